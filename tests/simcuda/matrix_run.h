/* sim_mma_run for each kind of vectors: matrix.c takes the best the CPU has. */
#ifndef SIMCUDA_MATRIX_RUN_H
#define SIMCUDA_MATRIX_RUN_H

#include "matrix.h"

typedef void sim_mma_function(const sim_mma *mma, uint32_t *const d[], const uint32_t *const a[],
                              const uint32_t *const b[], const uint32_t *const c[]);
sim_mma_function sim_mma_run_plain;
#ifdef SIM_MATRIX_X86
sim_mma_function sim_mma_run_avx2, sim_mma_run_avx512;
#endif

#endif
