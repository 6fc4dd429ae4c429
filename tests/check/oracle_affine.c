#include "check.h"
#include <math.h>
#include <string.h>

/* output[n][y][x][c] = epilogue(input[n][y][x][c] * gate(scale[n][c]) + shift[n][c]) */
static void compute(const kiln_problem *p, const check_data *data) {
    char key[KILN_MAX_KEY];
    kiln_problem_key(p, key, sizeof key);
    const bool both = strstr(key, "form=scale_shift"), shifts = both || strstr(key, "form=shift");
    const bool scales = strstr(key, "form=scale"), gated = strstr(key, "gate=sigmoid");
    int64_t n, h, w, c, ihalo, ohalo, ep;
    kiln_problem_get(p, "n", &n);
    kiln_problem_get(p, "h", &h);
    kiln_problem_get(p, "w", &w);
    kiln_problem_get(p, "c", &c);
    kiln_problem_get(p, "ihalo", &ihalo);
    kiln_problem_get(p, "ohalo", &ohalo);
    kiln_problem_get(p, "ep", &ep);
    const float *input = check_find(data, "input")->data, *gates = check_find(data, "gates")->data;
    double *output = check_find(data, "output")->expected;
    for (int64_t point = 0; point < n * h * w; point++)
        for (int64_t k = 0; k < c; k++) {
            const int64_t item = point / (h * w), y = point / w % h, x = point % w;
            const float *gate = gates + item * (both ? 2 * c : c) + k;
            double v = input[((item * (h + 2 * ihalo) + y + ihalo) * (w + 2 * ihalo) + x + ihalo) * c + k];
            if (scales)
                v *= gated ? 1 / (1 + exp(-(double)gate[0])) : gate[0];
            if (shifts)
                v += gate[both ? c : 0];
            output[((item * (h + 2 * ohalo) + y + ohalo) * (w + 2 * ohalo) + x + ohalo) * c + k] =
                check_epilogue(data, ep, v, item, point, k, c);
        }
}

const check_oracle check_oracle_affine = {"affine", compute, false};
