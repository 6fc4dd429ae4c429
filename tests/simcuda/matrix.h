/* The warp-wide matrix instructions of sm_80 as pure functions over registers. A register of a warp is 32 words, one a
 * lane; operands are pointers to registers, so that the engine passes places in its register file. Destinations may be
 * the same registers as sources: read everything before writing.
 */
#ifndef SIMCUDA_MATRIX_H
#define SIMCUDA_MATRIX_H

#include "sim.h"

typedef enum sim_matrix_type {
    SIM_MATRIX_F16,
    SIM_MATRIX_BF16,
    SIM_MATRIX_TF32, /* the low 13 bits of a register are ignored */
    SIM_MATRIX_F32,  /* accumulators only */
    SIM_MATRIX_S8,
    SIM_MATRIX_U8,
    SIM_MATRIX_S32, /* accumulators only */
} sim_matrix_type;

/* mma.sync.aligned.m<m>n<n>k<k>.row.col{.satfinite}.<d>.<a>.<b>.<c> */
typedef struct sim_mma {
    uint8_t m, n, k;
    sim_matrix_type d, a, b, c;
    bool satfinite;
} sim_mma;

typedef struct sim_mma_registers {
    uint8_t d, a, b, c; /* how many registers a lane each operand has */
} sim_mma_registers;

/* false: sm_80 has no such instruction. */
bool sim_mma_describe(const sim_mma *mma, sim_mma_registers *count);

/* d = a * b + c with the arithmetic of sm_80's tensor cores. */
void sim_mma_run(const sim_mma *mma, uint32_t *const d[], const uint32_t *const a[], const uint32_t *const b[],
                 const uint32_t *const c[]);

/* ldmatrix.m8n8.x<count>{.trans}.b16: rows[8 * j + r] are the 16 bytes of row r of matrix j (the engine fetched them
 * from the addresses of lane 8 * j + r). count: 1, 2 or 4. */
void sim_ldmatrix(unsigned count, bool trans, const uint32_t rows[SIM_WARP][4], uint32_t *const d[]);

/* movmatrix.m8n8.trans.b16 */
void sim_movmatrix(uint32_t d[SIM_WARP], const uint32_t a[SIM_WARP]);

#endif
