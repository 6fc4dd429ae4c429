/* What measuring shares with other layers and tests. */
#ifndef KILN_TUNER_BENCH_H
#define KILN_TUNER_BENCH_H

#include <kiln/plan.h>

/* Whether an element of an operand lies in its halo (operands with a halo are [n,h,w,c] or [n,h,w]). */
bool kiln__operand_in_halo(const kiln_operand *operand, size_t index);

#endif
