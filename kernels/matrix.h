/* What conv and gemm share. Both multiply rows (board points, matrix rows) by a weight matrix [depth][channels], and
 * both have a `vec` and a `tile` variant of the same parameters. */
#ifndef KILN_KERNELS_MATRIX_H
#define KILN_KERNELS_MATRIX_H

#include "family.h"

/* rows x channels outputs, each a sum of depth products. */
typedef struct kiln_matrix {
    int64_t rows, channels, depth;
} kiln_matrix;

/* ---- vec: MR rows x NV vectors of VW channels in registers ---- */
enum { KILN_VEC_MR, KILN_VEC_NV, KILN_VEC_VW, KILN_VEC_UNROLL };
extern const kiln_param kiln__vec_params[];
extern const kiln_rule kiln__vec_rules[];
bool kiln__vec_registers(const kiln_config *c, const kiln_problem *p, const kiln_caps *caps); /* ignores p */
bool kiln__vec_width(const kiln_config *c, const kiln_problem *p, const kiln_caps *caps);
#define KILN_VEC_RULES                                                                                                 \
    {"the accumulators, a vector of weights for each column and a broadcast input do not fit the vector registers",    \
     1u << KILN_VEC_MR | 1u << KILN_VEC_NV, kiln__vec_registers},                                                      \
    {                                                                                                                  \
        "vw is wider than the device's vectors", 1u << KILN_VEC_VW, kiln__vec_width                                    \
    }
const char *kiln__vec_reject(const kiln_problem *problem, const kiln_caps *caps);
void kiln__vec_guess(kiln_matrix m, const kiln_caps *caps, kiln_config *out);
void kiln__vec_define(kiln_lowering *l, uint32_t unit, const kiln_config *config);

/* Adds the PACKED operand [panels][depth][NV * VW] and the step that makes it from the weights. Returns its index. The
 * step's program depends on NV * VW alone, so plans of different MR or batch share packed weights. */
uint32_t kiln__vec_pack(kiln_lowering *l, kiln_matrix m, const kiln_config *config, uint32_t weights);
void kiln__vec_launch(kiln_step *step, kiln_matrix m, const kiln_config *config);

/* ---- tile: a work-group makes TM x TN outputs through local memory, a work-item WM x WN of them ---- */
enum { KILN_TILE_TM, KILN_TILE_TN, KILN_TILE_TK, KILN_TILE_WM, KILN_TILE_WN };
extern const kiln_param kiln__tile_params[];
extern const kiln_rule kiln__tile_rules[];
bool kiln__tile_group(const kiln_config *c, const kiln_problem *p, const kiln_caps *caps); /* ignores p */
bool kiln__tile_warp(const kiln_config *c, const kiln_problem *p, const kiln_caps *caps);
bool kiln__tile_local(const kiln_config *c, const kiln_problem *p, const kiln_caps *caps);
#define KILN_TILE_RULES                                                                                                \
    {"the work-group is larger than the device's",                                                                     \
     1u << KILN_TILE_TM | 1u << KILN_TILE_TN | 1u << KILN_TILE_WM | 1u << KILN_TILE_WN, kiln__tile_group},             \
        {"the work-group has fewer than 32 work-items",                                                                \
         1u << KILN_TILE_TM | 1u << KILN_TILE_TN | 1u << KILN_TILE_WM | 1u << KILN_TILE_WN, kiln__tile_warp},          \
    {                                                                                                                  \
        "the tiles do not fit the device's local memory",                                                              \
            1u << KILN_TILE_TM | 1u << KILN_TILE_TN | 1u << KILN_TILE_TK, kiln__tile_local                             \
    }
const char *kiln__tile_reject(const kiln_problem *problem, const kiln_caps *caps);
void kiln__tile_guess(kiln_matrix m, const kiln_caps *caps, kiln_config *out);
void kiln__tile_define(kiln_lowering *l, uint32_t unit, const kiln_config *config);
void kiln__tile_launch(kiln_step *step, kiln_matrix m, const kiln_config *config);

/* ---- both, and ref ---- */

/* One work-item for each of `items`, 64 a group. */
void kiln__linear_launch(kiln_step *step, int64_t items);

/* ref: on CPUs a work-item computes up to 64 outputs next to each other (KC_SIDE of its unit), else one. */
void kiln__ref_launch(kiln_lowering *l, kiln_step *step, kiln_matrix m, const kiln_caps *caps);

/* What sums of `depth` products of numbers up to 1 in magnitude may be off by, plus a few roundings of the epilogue. */
kiln_tolerance kiln__sum_tolerance(int64_t depth);

#endif
