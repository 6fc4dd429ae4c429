#include "matrix_run.h"
#include <string.h>

static const struct {
    uint8_t m, n, k;
    sim_matrix_type d, a;
    uint8_t n_d, n_a, n_b;
} shapes[] = {
    {16, 8, 8, SIM_MATRIX_F32, SIM_MATRIX_F16, 4, 2, 1},  {16, 8, 8, SIM_MATRIX_F16, SIM_MATRIX_F16, 2, 2, 1},
    {16, 8, 16, SIM_MATRIX_F32, SIM_MATRIX_F16, 4, 4, 2}, {16, 8, 16, SIM_MATRIX_F16, SIM_MATRIX_F16, 2, 4, 2},
    {16, 8, 8, SIM_MATRIX_F32, SIM_MATRIX_BF16, 4, 2, 1}, {16, 8, 16, SIM_MATRIX_F32, SIM_MATRIX_BF16, 4, 4, 2},
    {16, 8, 4, SIM_MATRIX_F32, SIM_MATRIX_TF32, 4, 2, 1}, {16, 8, 8, SIM_MATRIX_F32, SIM_MATRIX_TF32, 4, 4, 2},
    {8, 8, 16, SIM_MATRIX_S32, SIM_MATRIX_S8, 2, 1, 1},   {16, 8, 16, SIM_MATRIX_S32, SIM_MATRIX_S8, 4, 2, 1},
    {16, 8, 32, SIM_MATRIX_S32, SIM_MATRIX_S8, 4, 4, 2},
};

static bool is_byte(sim_matrix_type type) {
    return type == SIM_MATRIX_S8 || type == SIM_MATRIX_U8;
}

bool sim_mma_describe(const sim_mma *mma, sim_mma_registers *count) {
    const bool bytes = is_byte(mma->a) && is_byte(mma->b);
    if (mma->d != mma->c || (!bytes && (mma->a != mma->b || mma->satfinite)))
        return false;
    const sim_matrix_type a = bytes ? SIM_MATRIX_S8 : mma->a;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (shapes[i].m == mma->m && shapes[i].n == mma->n && shapes[i].k == mma->k && shapes[i].d == mma->d &&
            shapes[i].a == a) {
            *count = (sim_mma_registers){shapes[i].n_d, shapes[i].n_a, shapes[i].n_b, shapes[i].n_d};
            return true;
        }
    return false;
}

/* ---- arithmetic ---- */

static sim_mma_function *best(void) {
#ifdef SIM_MATRIX_X86
    if (__builtin_cpu_supports("avx512f"))
        return sim_mma_run_avx512;
    if (__builtin_cpu_supports("avx2"))
        return sim_mma_run_avx2;
#endif
    return sim_mma_run_plain;
}

void sim_mma_run(const sim_mma *mma, uint32_t *const d[], const uint32_t *const a[], const uint32_t *const b[],
                 const uint32_t *const c[]) {
    best()(mma, d, a, b, c);
}

/* ---- matrices of 8 rows of 16 bytes ---- */

void sim_ldmatrix(unsigned count, bool trans, const uint32_t rows[SIM_WARP][4], uint32_t *const d[]) {
    for (unsigned j = 0; j < count; j++)
        for (unsigned lane = 0; lane < SIM_WARP; lane++) {
            const unsigned g = lane / 4, t = lane % 4, shift = 16 * (g % 2);
            const uint32_t(*row)[4] = &rows[8 * j];
            d[j][lane] =
                !trans ? row[g][t] : (row[2 * t][g / 2] >> shift & 0xffff) | (row[2 * t + 1][g / 2] >> shift) << 16;
        }
}

void sim_movmatrix(uint32_t d[SIM_WARP], const uint32_t a[SIM_WARP]) {
    uint32_t rows[SIM_WARP][4] = {{0}};
    memcpy(rows, a, SIM_WARP * sizeof *a);
    sim_ldmatrix(1, true, (const uint32_t(*)[4])rows, &d);
}
