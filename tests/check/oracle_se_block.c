#include "check.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int64_t n, h, w, c, r, ihalo, ohalo, mask, ep, gates;
    bool shifts;
} shape;

static shape shape_of(const kiln_problem *p) {
    shape s = {0};
    const struct {
        const char *name;
        int64_t *to;
    } fields[] = {{"n", &s.n},         {"h", &s.h},         {"w", &s.w},       {"c", &s.c},  {"r", &s.r},
                  {"ihalo", &s.ihalo}, {"ohalo", &s.ohalo}, {"mask", &s.mask}, {"ep", &s.ep}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        kiln_problem_get(p, fields[i].name, fields[i].to);
    char key[KILN_MAX_KEY];
    kiln_problem_key(p, key, sizeof key);
    s.shifts = strstr(key, "form=scale_shift");
    s.gates = s.shifts ? 2 * s.c : s.c;
    return s;
}

static int64_t pixel(const shape *s, int64_t item, int64_t point, int64_t halo) {
    return (item * (s->h + 2 * halo) + point / s->w + halo) * (s->w + 2 * halo) + point % s->w + halo;
}

static void add_mean(const shape *s, const check_data *data, int64_t item, double *mean) {
    const float *input = check_find(data, "input")->data, *mask = s->mask ? check_find(data, "mask")->data : NULL;
    double count = 0;
    for (int64_t point = 0; point < s->h * s->w; point++) {
        if (mask && mask[item * s->h * s->w + point] == 0)
            continue;
        count++;
        for (int64_t k = 0; k < s->c; k++)
            mean[k] += input[pixel(s, item, point, s->ihalo) * s->c + k];
    }
    for (int64_t k = 0; k < s->c && count > 0; k++)
        mean[k] /= count;
}

/* out = in w + b */
static void dense(const check_data *data, const char *w, const char *b, const double *in, int64_t depth, double *out,
                  int64_t width) {
    for (int64_t j = 0; j < width; j++) {
        out[j] = check_find(data, b)->data[j];
        for (int64_t k = 0; k < depth; k++)
            out[j] += in[k] * check_find(data, w)->data[k * width + j];
    }
}

static void compute(const kiln_problem *p, const check_data *data) {
    const shape s = shape_of(p);
    const float *input = check_find(data, "input")->data;
    double *output = check_find(data, "output")->expected;
    for (int64_t item = 0; item < s.n; item++) {
        double *mean = calloc((size_t)(s.c + s.r + s.gates), sizeof *mean), *z = mean + s.c, *gates = z + s.r;
        if (!mean)
            abort();
        add_mean(&s, data, item, mean);
        dense(data, "w1", "b1", mean, s.c, z, s.r);
        for (int64_t j = 0; j < s.r; j++)
            z[j] = z[j] < 0 ? 0 : z[j];
        dense(data, "w2", "b2", z, s.r, gates, s.gates);
        for (int64_t e = 0; e < s.h * s.w * s.c; e++) {
            const int64_t point = e / s.c, k = e % s.c;
            double v = input[pixel(&s, item, point, s.ihalo) * s.c + k] / (1 + exp(-gates[k]));
            if (s.shifts)
                v += gates[s.c + k];
            output[pixel(&s, item, point, s.ohalo) * s.c + k] =
                check_epilogue(data, s.ep, v, item, item * s.h * s.w + point, k, s.c);
        }
        free(mean);
    }
}

const check_oracle check_oracle_se_block = {"se_block", compute, false};
