/* Numbers as they are stored: f16 (IEEE binary16) and bf16 (the upper half of a float) to and from float. Rounding is
 * to the nearest, ties to even; a NaN stays one; what is too large for f16 becomes infinite. */
#ifndef KILN_RUNTIME_NUMBER_H
#define KILN_RUNTIME_NUMBER_H

#include <kiln/plan.h>

uint16_t kiln__f16_of(float x);
float kiln__f16_value(uint16_t bits);
uint16_t kiln__bf16_of(float x);
float kiln__bf16_value(uint16_t bits);

/* n numbers of type F32, F16 or BF16, at an address aligned to the type. */
void kiln__encode(kiln_type type, const float *from, size_t n, void *to);
void kiln__decode(kiln_type type, const void *from, size_t n, float *to);

/* What is left of x when it is stored as `type`. */
float kiln__stored_value(kiln_type type, float x);

#endif
