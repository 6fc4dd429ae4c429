#include "check.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int64_t n, h, w, c, r, act, mask;
    bool se, shifts;
} shape;

static shape shape_of(const kiln_problem *p) {
    shape s = {0};
    const struct {
        const char *name;
        int64_t *to;
    } fields[] = {{"n", &s.n}, {"h", &s.h}, {"w", &s.w}, {"c", &s.c}, {"r", &s.r}, {"act", &s.act}, {"mask", &s.mask}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        kiln_problem_get(p, fields[i].name, fields[i].to);
    char key[KILN_MAX_KEY];
    kiln_problem_key(p, key, sizeof key);
    s.se = strstr(key, "se=scale");
    s.shifts = strstr(key, "se=scale_shift");
    return s;
}

static const float *values(const check_data *data, const char *name) {
    return check_find(data, name)->data;
}

/* One item's 3x3 convolution with a bias. */
static void convolve(const shape *s, const double *from, const float *weights, const float *bias, double *to) {
    for (int64_t e = 0; e < s->h * s->w * s->c; e++)
        to[e] = bias[e % s->c];
    for (int64_t point = 0; point < s->h * s->w; point++)
        for (int64_t tap = 0; tap < 9; tap++) {
            const int64_t y = point / s->w + tap / 3 - 1, x = point % s->w + tap % 3 - 1;
            if (y < 0 || y >= s->h || x < 0 || x >= s->w)
                continue;
            for (int64_t i = 0; i < s->c; i++)
                for (int64_t o = 0; o < s->c; o++)
                    to[point * s->c + o] += from[(y * s->w + x) * s->c + i] * weights[(tap * s->c + i) * s->c + o];
        }
}

/* x * sigmoid(g) + shift, in place, g from the mean of x over the points that `mask` counts (NULL: all). */
static void excite(const shape *s, const check_data *data, const float *mask, double *x) {
    const int64_t gates = s->shifts ? 2 * s->c : s->c, points = s->h * s->w;
    double *mean = calloc((size_t)(s->c + s->r + gates), sizeof *mean), *z = mean + s->c, *g = z + s->r;
    if (!mean)
        abort();
    double counted = 0;
    for (int64_t point = 0; point < points; point++)
        counted += !mask || mask[point] != 0;
    for (int64_t e = 0; e < points * s->c; e++)
        mean[e % s->c] += mask && mask[e / s->c] == 0 ? 0 : x[e] / counted;
    for (int64_t j = 0; j < s->r; j++) {
        z[j] = values(data, "b1")[j];
        for (int64_t k = 0; k < s->c; k++)
            z[j] += mean[k] * values(data, "w1")[k * s->r + j];
        z[j] = z[j] < 0 ? 0 : z[j];
    }
    for (int64_t j = 0; j < gates; j++) {
        g[j] = values(data, "b2")[j];
        for (int64_t k = 0; k < s->r; k++)
            g[j] += z[k] * values(data, "w2")[k * gates + j];
    }
    for (int64_t e = 0; e < points * s->c; e++)
        x[e] = x[e] / (1 + exp(-g[e % s->c])) + (s->shifts ? g[s->c + e % s->c] : 0);
    free(mean);
}

static void compute(const kiln_problem *p, const check_data *data) {
    const shape s = shape_of(p);
    const int64_t elems = s.h * s.w * s.c;
    double *from = calloc((size_t)(3 * elems), sizeof *from), *middle = from + elems, *to = middle + elems;
    if (!from)
        abort();
    for (int64_t item = 0; item < s.n; item++) {
        const float *mask = s.mask ? values(data, "mask") + item * s.h * s.w : NULL;
        for (int64_t e = 0; e < elems; e++)
            from[e] = values(data, "input")[item * elems + e];
        convolve(&s, from, values(data, "weights1"), values(data, "bias1"), middle);
        for (int64_t e = 0; e < elems; e++)
            middle[e] = kiln__activation(s.act, middle[e]) * (mask ? mask[e / s.c] : 1);
        convolve(&s, middle, values(data, "weights2"), values(data, "bias2"), to);
        if (s.se)
            excite(&s, data, mask, to);
        for (int64_t e = 0; e < elems; e++)
            check_find(data, "output")->expected[item * elems + e] =
                kiln__activation(s.act, to[e] + from[e]) * (mask ? mask[e / s.c] : 1);
    }
    free(from);
}

const check_oracle check_oracle_block = {"block", compute, false};
