/* Winograd's F(m x m, 3 x 3): m x m outputs of a 3 x 3 convolution from (m + 2)^2 products instead of 9 m^2,
 *
 *     Y = A^T [ (G w G^T) . (B^T d B) ] A        d: (m + 2) x (m + 2) inputs, w: 3 x 3 weights, Y: m x m outputs
 *
 * (Lavin and Gray, 2015). The functions below are the transforms along one side; each is done along both. They follow
 * from the points at which the polynomials are evaluated (Toom and Cook):
 *
 *     m = 2    0  1  -1                                  and infinity
 *     m = 3    0  1/2  -1  2
 *     m = 4    0  1/sqrt(2)  -1/sqrt(2)  sqrt(2)  -sqrt(2)
 *
 * With a random sum of products of size 1 the results of the products, put together, are 1.7, 4.8 and 7.1 times as
 * large (root mean square) as the nine they stand for, and that is what rounding is relative to. The better known
 * points 0, 1, -1, 2, -2 of m = 4 have 31.
 *
 * KILN_WINOGRAD_VALUE is what is transformed: float, or a vector of channels. */
#ifndef KILN_WINOGRAD_TRANSFORM_H
#define KILN_WINOGRAD_TRANSFORM_H

#include "dialect.h"

#ifndef KP_M /* edge of the output tile: 2, 3 or 4 */
#    define KP_M 4
#endif
#ifndef KILN_WINOGRAD_VALUE
#    define KILN_WINOGRAD_VALUE float
#endif

#define KILN_WINOGRAD_EDGE   (KP_M + 2) /* of the input tile */
#define KILN_WINOGRAD_POINTS (KILN_WINOGRAD_EDGE * KILN_WINOGRAD_EDGE)

#define KILN_WINOGRAD_TIMES(factor, x, y) KILN_FMA((KILN_WINOGRAD_VALUE)(factor), x, y) /* factor * x + y */

#define KILN_SQRT2      1.41421356237309505f
#define KILN_SQRT2_HALF 0.70710678118654752f
#define KILN_SQRT2_4TH  0.35355339059327376f

/* v = B^T d */
KILN_INLINE void kiln_winograd_input(const KILN_WINOGRAD_VALUE *d, KILN_WINOGRAD_VALUE *v) {
#if KP_M == 2
    v[0] = d[0] - d[2];
    v[1] = d[1] + d[2];
    v[2] = d[2] - d[1];
    v[3] = d[3] - d[1];
#elif KP_M == 3
    const KILN_WINOGRAD_VALUE middle = d[1] + d[2];
    v[0] = KILN_WINOGRAD_TIMES(-1.5f, middle, d[0] + d[3]);
    v[1] = KILN_WINOGRAD_TIMES(-2.0f, d[1], d[3] - d[2]);
    v[2] = KILN_WINOGRAD_TIMES(-2.5f, d[2], d[1] + d[3]);
    v[3] = KILN_WINOGRAD_TIMES(0.5f, d[2] - d[1], d[3]);
    v[4] = KILN_WINOGRAD_TIMES(-1.5f, d[2] + d[3], d[1] + d[4]);
#else
    const KILN_WINOGRAD_VALUE even1 = KILN_WINOGRAD_TIMES(-2.0f, d[2], d[4]);
    const KILN_WINOGRAD_VALUE even2 = KILN_WINOGRAD_TIMES(-0.5f, d[2], d[4]);
    const KILN_WINOGRAD_VALUE odd1 = KILN_WINOGRAD_TIMES(KILN_SQRT2_HALF, d[3], d[1] * -KILN_SQRT2);
    const KILN_WINOGRAD_VALUE odd2 = KILN_WINOGRAD_TIMES(KILN_SQRT2, d[3], d[1] * -KILN_SQRT2_HALF);
    v[0] = KILN_WINOGRAD_TIMES(-2.5f, d[2], d[0] + d[4]);
    v[1] = even1 + odd1;
    v[2] = even1 - odd1;
    v[3] = even2 + odd2;
    v[4] = even2 - odd2;
    v[5] = KILN_WINOGRAD_TIMES(-2.5f, d[3], d[1] + d[5]);
#endif
}

/* y = A^T r */
KILN_INLINE void kiln_winograd_output(const KILN_WINOGRAD_VALUE *r, KILN_WINOGRAD_VALUE *y) {
#if KP_M == 2
    y[0] = r[0] + r[1] + r[2];
    y[1] = r[1] - r[2] + r[3];
#elif KP_M == 3
    y[0] = (r[0] + r[1]) + (r[2] + r[3]);
    y[1] = KILN_WINOGRAD_TIMES(0.5f, r[1], KILN_WINOGRAD_TIMES(2.0f, r[3], -r[2]));
    y[2] = KILN_WINOGRAD_TIMES(0.25f, r[1], KILN_WINOGRAD_TIMES(4.0f, r[3], r[2] + r[4]));
#else
    const KILN_WINOGRAD_VALUE even1 = r[1] + r[2], odd1 = r[1] - r[2];
    const KILN_WINOGRAD_VALUE even2 = r[3] + r[4], odd2 = r[3] - r[4];
    y[0] = r[0] + even1 + even2;
    y[1] = KILN_WINOGRAD_TIMES(KILN_SQRT2, odd2, odd1 * KILN_SQRT2_HALF);
    y[2] = KILN_WINOGRAD_TIMES(2.0f, even2, even1 * 0.5f);
    y[3] = KILN_WINOGRAD_TIMES(2.0f * KILN_SQRT2, odd2, KILN_WINOGRAD_TIMES(KILN_SQRT2_4TH, odd1, r[5]));
#endif
}

/* u = G w */
KILN_INLINE void kiln_winograd_weights(const float *w, float *u) {
#if KP_M == 2
    u[0] = w[0];
    u[1] = (w[0] + w[1] + w[2]) * 0.5f;
    u[2] = (w[0] - w[1] + w[2]) * 0.5f;
    u[3] = w[2];
#elif KP_M == 3
    u[0] = w[0];
    u[1] = (w[0] + 0.5f * w[1] + 0.25f * w[2]) * (-8.0f / 9.0f);
    u[2] = (w[0] - w[1] + w[2]) * (-2.0f / 9.0f);
    u[3] = (w[0] + 2.0f * w[1] + 4.0f * w[2]) * (1.0f / 9.0f);
    u[4] = w[2];
#else
    const float outer = w[0] + 0.5f * w[2], far = w[0] + 2.0f * w[2];
    u[0] = w[0];
    u[1] = (outer + KILN_SQRT2_HALF * w[1]) * (-2.0f / 3.0f);
    u[2] = (outer - KILN_SQRT2_HALF * w[1]) * (-2.0f / 3.0f);
    u[3] = (far + KILN_SQRT2 * w[1]) * (1.0f / 6.0f);
    u[4] = (far - KILN_SQRT2 * w[1]) * (1.0f / 6.0f);
    u[5] = w[2];
#endif
}

#endif
