#include "check.h"

/* output[n][y][x][o] = epilogue(sum of input[n][y + ky - kh/2][x + kx - kw/2][i] * weights[ky][kx][i][o]) */
typedef struct {
    int64_t n, h, w, ic, oc, kh, kw, ihalo, ohalo, ep;
} shape;

static shape shape_of(const kiln_problem *p) {
    shape s;
    kiln_problem_get(p, "n", &s.n);
    kiln_problem_get(p, "h", &s.h);
    kiln_problem_get(p, "w", &s.w);
    kiln_problem_get(p, "ic", &s.ic);
    kiln_problem_get(p, "oc", &s.oc);
    kiln_problem_get(p, "kh", &s.kh);
    kiln_problem_get(p, "kw", &s.kw);
    kiln_problem_get(p, "ihalo", &s.ihalo);
    kiln_problem_get(p, "ohalo", &s.ohalo);
    kiln_problem_get(p, "ep", &s.ep);
    return s;
}

static int64_t pixel(int64_t n, int64_t y, int64_t x, const shape *s, int64_t halo) {
    return (n * (s->h + 2 * halo) + y + halo) * (s->w + 2 * halo) + x + halo;
}

/* All channels of one point. */
static void add_products(const shape *s, const float *input, const float *weights, int64_t n, int64_t y, int64_t x,
                         double *acc) {
    for (int64_t ky = 0; ky < s->kh; ky++)
        for (int64_t kx = 0; kx < s->kw; kx++) {
            const int64_t iy = y + ky - s->kh / 2, ix = x + kx - s->kw / 2;
            if (iy < 0 || iy >= s->h || ix < 0 || ix >= s->w)
                continue;
            const float *from = input + pixel(n, iy, ix, s, s->ihalo) * s->ic;
            for (int64_t i = 0; i < s->ic; i++) {
                const float *w = weights + ((ky * s->kw + kx) * s->ic + i) * s->oc;
                for (int64_t o = 0; o < s->oc; o++)
                    acc[o] += (double)from[i] * w[o];
            }
        }
}

static void compute(const kiln_problem *p, const check_data *data) {
    const shape s = shape_of(p);
    double *expected = check_find(data, "output")->expected;
    for (int64_t n = 0; n < s.n; n++)
        for (int64_t y = 0; y < s.h; y++)
            for (int64_t x = 0; x < s.w; x++) {
                double *to = expected + pixel(n, y, x, &s, s.ohalo) * s.oc;
                add_products(&s, check_find(data, "input")->data, check_find(data, "weights")->data, n, y, x, to);
                for (int64_t o = 0; o < s.oc; o++)
                    to[o] = check_epilogue(data, s.ep, to[o], n, (n * s.h + y) * s.w + x, o, s.oc);
            }
}

const check_oracle check_oracle_conv = {"conv", compute, false};
