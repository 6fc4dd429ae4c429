/* The types a family's elements may be stored as (field `type`) and the accuracy of its products (field `compute`).
 *
 * Storage and arithmetic differ: what is f16 or bf16 in memory is float once loaded, sums and epilogue are float, and
 * the result is rounded to nearest even when it is stored. Every operand has the problem's type but for vectors of
 * weights (bias, scale, batch norm: operands of role WEIGHT and rank 1), which are f32: they are small, and shared by
 * so many results that their rounding would be the largest error of all. */
#ifndef KILN_KERNELS_TYPES_H
#define KILN_KERNELS_TYPES_H

#include "family.h"

extern const kiln_token kiln__type_tokens[], kiln__compute_tokens[];

/* Values of `compute`. With TF32 a variant may round the factors of f32 products to 11 significant bits, as matrix
 * cores do; it may as well not. */
enum { KILN_COMPUTE_F32, KILN_COMPUTE_TF32 };

/* The value of the problem's field `type`; F32 for a family without one. */
kiln_type kiln__problem_type(const kiln_problem *problem);

/* Defines KC_TYPE for a unit: a kiln_type, an ABI of device code. */
void kiln__type_define(kiln_lowering *l, uint32_t unit, int64_t type);

/* What a number may lose, relative to itself, when it is stored: half a step. 0 for F32, where tolerances have it. */
double kiln__type_rounding(int64_t type);

/* `t` and the rounding of the result when it is stored. */
kiln_tolerance kiln__type_tolerance(kiln_tolerance t, int64_t type);

/* `t` and, with TF32, the roundings of the factors in sums of `depth` products of numbers up to 1 in magnitude. */
kiln_tolerance kiln__compute_tolerance(kiln_tolerance t, int64_t compute, int64_t depth);

#endif
