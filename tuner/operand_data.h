/* Seeded data for operands, their elements, and where their halos are. */
#ifndef KILN_TUNER_OPERAND_DATA_H
#define KILN_TUNER_OPERAND_DATA_H

#include <kiln/plan.h>

/* Whether an element of an operand lies in its halo (operands with a halo are [n,h,w,c] or [n,h,w]). */
bool kiln__operand_in_halo(const kiln_operand *operand, size_t index);

/* Fills an operand, in its type: whole numbers from -1 to 1, on which sums of products are exact in any order, or
 * floats uniform in [-1, 1), times `scale`. The halo is zero. A mask holds 0 and 1, and an item of the batch has at
 * least one 1. */
void kiln__operand_fill(const kiln_operand *operand, bool integers, float scale, uint64_t seed, void *data);

/* One element of an operand. */
float kiln__operand_value(const kiln_operand *operand, const void *data, size_t index);

#endif
