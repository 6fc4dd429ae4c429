/* conv's variants by Winograd's F(m x m, 3 x 3): what conv.c takes from winograd.c, and what it gives to it.
 *
 *     winograd             one kernel for CPUs: the tiles of a work-item stay in its core's cache
 *     winograd_nonfused    three kernels through the workspace, portable: input transform, one matrix product for each
 *                          of the (m + 2)^2 points, output transform and epilogue
 */
#ifndef KILN_KERNELS_WINOGRAD_H
#define KILN_KERNELS_WINOGRAD_H

#include "family.h"

extern const kiln_param kiln__winograd_params[], kiln__winograd_nonfused_params[];
extern const kiln_rule kiln__winograd_rules[], kiln__winograd_nonfused_rules[];
const char *kiln__winograd_reject(const kiln_problem *problem, const kiln_caps *caps);
const char *kiln__winograd_nonfused_reject(const kiln_problem *problem, const kiln_caps *caps);
void kiln__winograd_guess(const kiln_problem *problem, const kiln_caps *caps, kiln_config *out);
void kiln__winograd_nonfused_guess(const kiln_problem *problem, const kiln_caps *caps, kiln_config *out);
kiln_status kiln__winograd_lower(const kiln_problem *problem, const kiln_config *config, const kiln_caps *caps,
                                 kiln_lowering *l);
kiln_status kiln__winograd_nonfused_lower(const kiln_problem *problem, const kiln_config *config, const kiln_caps *caps,
                                          kiln_lowering *l);

/* What a random sum of 9 ic products rounds to is about eps 9 ic / sqrt(2). The sums of ic products at each point,
 * taken together, are 1.7, 4.8 and 7.1 times as large for m = 2, 3 and 4 (winograd_transform.h) but three times as
 * short in steps: 0.6, 1.6 and 2.4 times that. The transforms round a few times more, which counts where ic is small.
 * Measured with 32 to 256 channels: 0.4, 1.1 and 1.5 times a plain sum. */
#define KILN_WINOGRAD_ERROR_FACTOR 4.0

/* ---- of conv.c ---- */

typedef struct kiln_conv_shape {
    int64_t n, h, w, ic, oc, kh, kw;
} kiln_conv_shape;

kiln_conv_shape kiln__conv_shape(const kiln_problem *problem);

/* A unit with the problem's constants. */
uint32_t kiln__conv_unit(const kiln_problem *problem, const kiln_embed *source, kiln_lowering *l);

/* Appends the epilogue's operands, the output and a count: what every kernel that ends a convolution takes last. */
void kiln__conv_end_args(const kiln_problem *problem, const kiln_lowering *l, kiln_step *step, int64_t count);

#endif
