#include "types.h"
#include <math.h>
#include <string.h>

const kiln_token kiln__type_tokens[] = {{"f32", -1, KILN_TYPE_F32, "single precision"},
                                        {"f16", -1, KILN_TYPE_F16, "half precision, computed in f32"},
                                        {"bf16", -1, KILN_TYPE_BF16, "the upper half of f32, computed in f32"},
                                        {0}};

const kiln_token kiln__compute_tokens[] = {
    {"f32", -1, KILN_COMPUTE_F32, "products in single precision"},
    {"tf32", -1, KILN_COMPUTE_TF32, "factors may be rounded to 11 significant bits"},
    {0}};

kiln_type kiln__problem_type(const kiln_problem *problem) {
    for (size_t i = 0; i < problem->schema->n_fields; i++)
        if (strcmp(problem->schema->fields[i].name, "type") == 0)
            return (kiln_type)problem->v[i];
    return KILN_TYPE_F32;
}

void kiln__type_define(kiln_lowering *l, uint32_t unit, int64_t type) {
    if (type != KILN_TYPE_F32)
        kiln__lower_define(l, unit, "KC_TYPE", type);
}

double kiln__type_rounding(int64_t type) {
    return type == KILN_TYPE_F16 ? 0x1p-11 : type == KILN_TYPE_BF16 ? 0x1p-8 : 0;
}

/* Below 2^-14 the steps of f16 grow no smaller. */
kiln_tolerance kiln__type_tolerance(kiln_tolerance t, int64_t type) {
    const double least = type == KILN_TYPE_F16 ? 0x1p-25 : 0;
    return (kiln_tolerance){.abs = t.abs + least, .rel = t.rel + kiln__type_rounding(type)};
}

/* A factor is off by up to 2^-11 of itself if it is rounded, 2^-10 if it is cut off, which takes from all products
 * alike. What is random in it is about 2^-13 for products of numbers uniform in [-1, 1], whose sum grows like
 * sqrt(depth). */
kiln_tolerance kiln__compute_tolerance(kiln_tolerance t, int64_t compute, int64_t depth) {
    if (compute != KILN_COMPUTE_TF32)
        return t;
    return (kiln_tolerance){.abs = t.abs + 0x1p-10 * (sqrt((double)depth) + 1), .rel = t.rel + 0x1p-9};
}
