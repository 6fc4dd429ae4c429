/* Matrix product on matrix cores (mma_tile.h): c [rows][N] = a [rows][K] x b, whose columns pack/columns.cu made rows
 * of. Rows and columns past the end repeat the last one; what comes of them is not stored.
 *
 * With SPLIT = 1 one kernel does all. Else each of SPLIT work-groups sums a part of the depth, and gemm_mma_sum adds up
 * the parts: for products that are deep, but not large enough to give every unit work.
 *
 * Grid of the product: x = tiles of rows, y = tiles of columns, z = parts of the depth. */
#include "epilogue.h"
#include "mma_tile.h"

#ifndef KC_N
#    define KC_N 256
#endif
#ifndef KC_K
#    define KC_K 256
#endif

#define V MMA_VECTOR(KC_N)
typedef floats<V> vector;

/* Calls store(row, column, vector) for the results of the work-group. */
template <class STORE>
KILN_INLINE void product(const KILN_STORED *a, const KILN_STORED *packed, int rows, uint4 *local, STORE store) {
    const mma_place place = mma_where();
    const mma_matrix<KP_TM, KC_K> a_tile(a, place.row, rows);
    const mma_matrix<KP_TN, MMA_PACKED_PITCH(KC_K)> b_tile(packed, place.column, KC_N);
    float acc[MMA_ROWS][MMA_COLUMNS][4];
    mma_ring(mma_address(local), MMA_FIRST(KC_K), MMA_LAST(KC_K), acc, [&](int tile, unsigned stage) {
        a_tile.copy(stage, tile * KP_TK);
        b_tile.copy(stage + MMA_A_BYTES, tile * KP_TK);
    });
    mma_results<V>((float *)local, acc, [&](int row, int column, vector x) {
        if (place.row + row < rows && place.column + column < KC_N)
            store(place.row + row, place.column + column, x);
    });
}

#if KP_SPLIT == 1
KILN_KERNEL(gemm_mma, MMA_ITEMS, 1, 1)
(const KILN_STORED *KILN_RESTRICT a, const KILN_STORED *KILN_RESTRICT packed, KILN_EPILOGUE_PARAMS KILN_STORED *c,
 int rows) {
    KILN_DYNAMIC_LOCAL(uint4, local);
    product(a, packed, rows, local, [&](int row, int column, vector x) {
        KILN_EPILOGUE(vector, floats_load<V>, floats_store, x, row, row, column, KC_N);
        floats_store(x, c + (size_t)row * KC_N + column);
    });
}
#else
KILN_KERNEL(gemm_mma, MMA_ITEMS, 1, 1)
(const KILN_STORED *KILN_RESTRICT a, const KILN_STORED *KILN_RESTRICT packed, float *KILN_RESTRICT parts, int rows) {
    KILN_DYNAMIC_LOCAL(uint4, local);
    product(a, packed, rows, local, [&](int row, int column, vector x) {
        floats_store(x, parts + ((size_t)KILN_GROUP_Z() * rows + row) * KC_N + column);
    });
}

KILN_KERNEL(gemm_mma_sum, 64, 1, 1)
(const float *KILN_RESTRICT parts, KILN_EPILOGUE_PARAMS KILN_STORED *c, int rows) {
    const size_t at = KILN_GLOBAL_X() * V, results = (size_t)rows * KC_N;
    if (at >= results)
        return;
    const int row = (int)(at / KC_N), column = (int)(at % KC_N);
    vector x = mma_sum<V>(parts, results, at);
    KILN_EPILOGUE(vector, floats_load<V>, floats_store, x, row, row, column, KC_N);
    floats_store(x, c + at);
}
#endif
