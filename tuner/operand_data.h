/* Seeded data for operands, and where their halos are. */
#ifndef KILN_TUNER_OPERAND_DATA_H
#define KILN_TUNER_OPERAND_DATA_H

#include <kiln/plan.h>

/* Whether an element of an operand lies in its halo (operands with a halo are [n,h,w,c] or [n,h,w]). */
bool kiln__operand_in_halo(const kiln_operand *operand, size_t index);

/* Fills an f32 operand: whole numbers from -1 to 1, on which sums of products are exact in any order, or floats uniform
 * in
 * [-1, 1). The halo is zero. A mask holds 0 and 1, and an item of the batch has at least one 1. */
void kiln__operand_fill(const kiln_operand *operand, bool integers, uint64_t seed, float *data);

#endif
