#include "check.h"
#include <math.h>
#include <string.h>

/* Each form as what it keeps of a channel, apart from how the family numbers them. */
typedef struct {
    const char *name;
    const char *parts; /* m mean, x max, d deviation, s mean by size, q mean by size squared */
} form;

static const form forms[] = {{"mean", "m"},           {"max", "x"},      {"mean_max", "mx"},
                             {"mean_max_std", "mxd"}, {"katago", "msx"}, {"katago_value", "msq"}};

static const form *form_of(const kiln_problem *p) {
    char key[KILN_MAX_KEY];
    kiln_problem_key(p, key, sizeof key);
    const char *text = strstr(key, "form=") + strlen("form=");
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strlen(forms[i].name) == strcspn(text, ",") && strncmp(forms[i].name, text, strlen(forms[i].name)) == 0)
            return &forms[i];
    return &forms[0];
}

typedef struct {
    double count, mean, most, deviation;
} moments;

static moments reduce(const float *input, const float *mask, int64_t h, int64_t w, int64_t c, int64_t halo) {
    moments m = {0, 0, -INFINITY, 0};
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t y = 0; y < h; y++)
            for (int64_t x = 0; x < w; x++) {
                if (mask && mask[y * w + x] == 0)
                    continue;
                const double v = input[((y + halo) * (w + 2 * halo) + x + halo) * c];
                if (pass == 0) {
                    m.count++;
                    m.mean += v;
                    m.most = fmax(m.most, v);
                } else {
                    m.deviation += (v - m.mean) * (v - m.mean);
                }
            }
        if (pass == 0 && m.count > 0)
            m.mean /= m.count;
    }
    if (m.count == 0)
        return (moments){0};
    m.deviation = sqrt(m.deviation / m.count);
    return m;
}

static double part(char which, const moments *m) {
    const double size = sqrt(m->count) - 14;
    switch (which) {
    case 'm':
        return m->mean;
    case 'x':
        return m->most;
    case 'd':
        return m->deviation;
    case 's':
        return m->mean * size / 10;
    default:
        return m->mean * (size * size / 100 - 0.1);
    }
}

static void compute(const kiln_problem *p, const check_data *data) {
    int64_t n, h, w, c, halo;
    kiln_problem_get(p, "n", &n);
    kiln_problem_get(p, "h", &h);
    kiln_problem_get(p, "w", &w);
    kiln_problem_get(p, "c", &c);
    kiln_problem_get(p, "ihalo", &halo);
    const char *parts = form_of(p)->parts;
    const int64_t n_parts = (int64_t)strlen(parts), board = (h + 2 * halo) * (w + 2 * halo) * c;
    const check_tensor *mask = check_find(data, "mask");
    double *output = check_find(data, "output")->expected;
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < c; k++) {
            const moments m = reduce(check_find(data, "input")->data + i * board + k,
                                     mask ? mask->data + i * h * w : NULL, h, w, c, halo);
            for (int64_t q = 0; q < n_parts; q++)
                output[(i * n_parts + q) * c + k] = part(parts[q], &m);
        }
}

const check_oracle check_oracle_global_pool = {"global_pool", compute, true};
