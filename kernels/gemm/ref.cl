/* The reference matrix product: one work-item computes KC_SIDE outputs next to each other, each in the
 * order of the formula, so that a compiler for CPUs makes vectors of them.
 *
 *                    b [k][n]
 *                    .  |  .
 *     a [m][k]       .  v  .
 *     .  .  .  .
 *     ---------->    .  x  .     x <- k products for each output, then the epilogue of its column
 *     .  .  .  .     c [m][n]
 *
 * Grid: x = all outputs by KC_SIDE, columns fastest, 64 a group. */
#include "dialect.h"
#include "epilogue.h"

#ifndef KC_N
#define KC_N 256
#endif
#ifndef KC_K
#define KC_K 256
#endif
#ifndef KC_SIDE /* divides KC_N */
#define KC_SIDE 1
#endif

KILN_KERNEL(gemm_ref, 64, 1, 1)
(KILN_GLOBAL const KILN_STORED *KILN_RESTRICT a, KILN_GLOBAL const KILN_STORED *KILN_RESTRICT b,
 KILN_EPILOGUE_PARAMS KILN_GLOBAL KILN_STORED *c, int rows) {
    const size_t index = KILN_GLOBAL_X() * KC_SIDE;
    if (index >= (size_t)rows * KC_N)
        return;
    const int column = (int)(index % KC_N), row = (int)(index / KC_N);
    KILN_GLOBAL const KILN_STORED *from = a + (size_t)row * KC_K, *w = b + column;
    float acc[KC_SIDE];
    for (int j = 0; j < KC_SIDE; j++)
        acc[j] = 0.0f;
    for (int k = 0; k < KC_K; k++)
        for (int j = 0; j < KC_SIDE; j++)
            acc[j] = KILN_FMA(KILN_LOAD_STORED(from + k), KILN_LOAD_STORED(w + (size_t)k * KC_N + j), acc[j]);
    KILN_UNROLL_NONE /* an epilogue for each would take seconds to compile */
    for (int j = 0; j < KC_SIDE; j++) {
        float value = acc[j];
        KILN_EPILOGUE(float, KILN_SCALAR_LOAD, KILN_SCALAR_STORE, value, row, row, column + j, KC_N);
        KILN_STORE_STORED(value, c + index + j);
    }
}
