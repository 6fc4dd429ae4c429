/* The reference matrix product: one work-item computes one output, in the order of the formula.
 *
 *                    b [k][n]
 *                    .  |  .
 *     a [m][k]       .  v  .
 *     .  .  .  .
 *     ---------->    .  x  .     x <- k products, then the epilogue of its column
 *     .  .  .  .     c [m][n]
 *
 * Grid: x = all outputs, columns fastest, 64 a group. */
#include "dialect.h"
#include "epilogue.h"

#ifndef KC_N
#define KC_N 256
#endif
#ifndef KC_K
#define KC_K 256
#endif

KILN_KERNEL(gemm_ref, 64, 1, 1)
(KILN_GLOBAL const KILN_STORED *KILN_RESTRICT a, KILN_GLOBAL const KILN_STORED *KILN_RESTRICT b,
 KILN_EPILOGUE_PARAMS KILN_GLOBAL KILN_STORED *c, int rows) {
    const size_t index = KILN_GLOBAL_X();
    if (index >= (size_t)rows * KC_N)
        return;
    const int column = (int)(index % KC_N), row = (int)(index / KC_N);
    float acc = 0.0f;
    for (int k = 0; k < KC_K; k++)
        acc = KILN_FMA(KILN_LOAD_STORED(a + (size_t)row * KC_K + k), KILN_LOAD_STORED(b + (size_t)k * KC_N + column), acc);
    KILN_EPILOGUE(float, KILN_SCALAR_LOAD, KILN_SCALAR_STORE, acc, row, row, column, KC_N);
    KILN_STORE_STORED(acc, c + index);
}
