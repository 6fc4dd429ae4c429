#include "check.h"

/* c[i][j] = epilogue(sum over l of a[i][l] * b[l][j]) */
static void compute(const kiln_problem *p, const check_data *data) {
    int64_t m, n, k, ep;
    kiln_problem_get(p, "m", &m);
    kiln_problem_get(p, "n", &n);
    kiln_problem_get(p, "k", &k);
    kiln_problem_get(p, "ep", &ep);
    const float *a = check_find(data, "a")->data, *b = check_find(data, "b")->data;
    double *c = check_find(data, "c")->expected;
    for (int64_t i = 0; i < m; i++) {
        for (int64_t l = 0; l < k; l++)
            for (int64_t j = 0; j < n; j++)
                c[i * n + j] += (double)a[i * k + l] * b[l * n + j];
        for (int64_t j = 0; j < n; j++)
            c[i * n + j] = check_epilogue(data, ep, c[i * n + j], i, i, j, n);
    }
}

const check_oracle check_oracle_gemm = {"gemm", compute, false};
