/* Matrix product through local memory: a work-group computes TM x TN outputs, TK products at a time; a work-item
 * computes WM x WN of them in registers.
 *
 *                   TN
 *             +-----------+
 *          TK |     b     |
 *             +-----------+
 *       TK
 *     +----+  +-----------+
 *     |    |  | x . x .   |   x: the WM x WN outputs of work-item (0, 0): strided, so that neighbours store
 *  TM | a  |  | . . . .   |      neighbouring columns
 *     |    |  | x . x .   |
 *     +----+  +-----------+
 *
 * a is kept transposed with one column of padding, so that neither writing nor reading it meets a bank twice.
 *
 * Grid: x = tiles of rows, y = tiles of columns. Group: x = TN / WN, y = TM / WM. */
#include "dialect.h"
#include "epilogue.h"

#ifndef KP_TM
#define KP_TM 64
#endif
#ifndef KP_TN
#define KP_TN 32
#endif
#ifndef KP_TK
#define KP_TK 16
#endif
#ifndef KP_WM
#define KP_WM 4
#endif
#ifndef KP_WN
#define KP_WN 4
#endif
#ifndef KC_N
#define KC_N 256
#endif
#ifndef KC_K
#define KC_K 256
#endif

#define ITEMS_N (KP_TN / KP_WN)
#define ITEMS_M (KP_TM / KP_WM)
#define ITEMS   (ITEMS_N * ITEMS_M)
#define A_PITCH (KP_TM + 1)

KILN_KERNEL(gemm_tile, ITEMS_N, ITEMS_M, 1)
(KILN_GLOBAL const KILN_STORED *KILN_RESTRICT a, KILN_GLOBAL const KILN_STORED *KILN_RESTRICT b,
 KILN_EPILOGUE_PARAMS KILN_GLOBAL KILN_STORED *c, int rows KILN_DYNAMIC_LOCAL_ARG(float, scratch)) {
    KILN_DYNAMIC_LOCAL(float, scratch);
    KILN_LOCAL float *local_a = scratch;                   /* [TK][A_PITCH] */
    KILN_LOCAL float *local_b = scratch + KP_TK * A_PITCH; /* [TK][TN] */
    const int first_row = KILN_GROUP_X() * KP_TM, first_column = KILN_GROUP_Y() * KP_TN;
    const int item_n = KILN_ITEM_X(), item_m = KILN_ITEM_Y(), item = item_m * ITEMS_N + item_n;

    float acc[KP_WM][KP_WN];
    KILN_UNROLL_ALL
    for (int i = 0; i < KP_WM; i++)
        KILN_UNROLL_ALL
        for (int j = 0; j < KP_WN; j++)
            acc[i][j] = 0.0f;

    for (int k0 = 0; k0 < KC_K; k0 += KP_TK) {
        for (int e = item; e < KP_TM * KP_TK; e += ITEMS) {
            const int row = first_row + e / KP_TK, k = k0 + e % KP_TK;
            local_a[e % KP_TK * A_PITCH + e / KP_TK] =
                row < rows && k < KC_K ? KILN_LOAD_STORED(a + (size_t)row * KC_K + k) : 0.0f;
        }
        for (int e = item; e < KP_TK * KP_TN; e += ITEMS) {
            const int k = k0 + e / KP_TN, column = first_column + e % KP_TN;
            local_b[e] = k < KC_K && column < KC_N ? KILN_LOAD_STORED(b + (size_t)k * KC_N + column) : 0.0f;
        }
        KILN_BARRIER();
        for (int k = 0; k < KP_TK; k++) {
            float x[KP_WM], w[KP_WN];
            KILN_UNROLL_ALL
            for (int i = 0; i < KP_WM; i++)
                x[i] = local_a[k * A_PITCH + item_m + i * ITEMS_M];
            KILN_UNROLL_ALL
            for (int j = 0; j < KP_WN; j++)
                w[j] = local_b[k * KP_TN + item_n + j * ITEMS_N];
            KILN_UNROLL_ALL
            for (int i = 0; i < KP_WM; i++)
                KILN_UNROLL_ALL
                for (int j = 0; j < KP_WN; j++)
                    acc[i][j] = KILN_FMA(x[i], w[j], acc[i][j]);
        }
        KILN_BARRIER();
    }

    KILN_UNROLL_ALL
    for (int i = 0; i < KP_WM; i++) {
        const int row = first_row + item_m + i * ITEMS_M;
        KILN_UNROLL_ALL
        for (int j = 0; j < KP_WN; j++) {
            const int column = first_column + item_n + j * ITEMS_N;
            if (row < rows && column < KC_N) {
                float value = acc[i][j];
                KILN_EPILOGUE(float, KILN_SCALAR_LOAD, KILN_SCALAR_STORE, value, row, row, column, KC_N);
                KILN_STORE_STORED(value, c + (size_t)row * KC_N + column);
            }
        }
    }
}
