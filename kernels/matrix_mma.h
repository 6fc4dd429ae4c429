/* `mma`: gemm and conv on NVIDIA's matrix cores (device side: mma.h, mma_tile.h). A work-group makes TM x TN outputs,
 * TK products at a time, through a ring of STAGES tiles; a warp makes WM x WN of them. SPLIT work-groups may share the
 * depth of a tile, whose parts a second kernel adds up. */
#ifndef KILN_KERNELS_MATRIX_MMA_H
#define KILN_KERNELS_MATRIX_MMA_H

#include "matrix.h"

enum { KILN_MMA_TM, KILN_MMA_TN, KILN_MMA_TK, KILN_MMA_WM, KILN_MMA_WN, KILN_MMA_STAGES, KILN_MMA_SPLIT };

extern const kiln_param kiln__mma_params[];
extern const kiln_rule kiln__mma_rules[];

/* What of a problem matters here. */
typedef struct kiln_mma_work {
    kiln_matrix matrix;
    int64_t type, compute; /* fields of the problem */
    int64_t row_elems;     /* that lie together in memory: a row of a, the channels of a pixel */
    bool gathers;          /* rows of a are put together from several places */
} kiln_mma_work;

const char *kiln__mma_reject(const kiln_problem *problem, const kiln_caps *caps);
void kiln__mma_guess(const kiln_problem *problem, const kiln_caps *caps, kiln_config *out);

/* Adds the PACKED operand, the unit's parameters and all steps but for the last arguments of the last one, which is
 * returned: epilogue, output, number of rows. The entries in `unit` are `product` and, for SPLIT > 1, `sum`. */
kiln_step *kiln__mma_lower(kiln_lowering *l, const kiln_problem *problem, const kiln_config *config, uint32_t unit,
                           uint32_t input, uint32_t weights, const char *product, const char *sum);

/* ---- of conv.c and gemm.c ---- */

kiln_mma_work kiln__conv_mma_work(const kiln_problem *problem);
kiln_mma_work kiln__gemm_mma_work(const kiln_problem *problem);

#endif
