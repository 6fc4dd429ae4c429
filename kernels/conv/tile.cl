/* Implicit GEMM through local memory: a work-group computes TM board points x TN channels, TK of the
 * kh * kw * ic products at a time; a work-item computes WM x WN of them in registers.
 *
 *                          b: TK x TN of the weights
 *                          +---------------------+
 *                       TK |                     |
 *                          +---------------------+
 *      a: TM x TK of       TN
 *      the inputs          +---------------------+
 *      +-----+             |  x  .  x  .         |    x: the WM x WN outputs of work-item (0, 0): strided,
 *   TM |     |          TM |  .  .  .  .         |       so that neighbours store neighbouring channels
 *      |     |             |  x  .  x  .         |
 *      +-----+             +---------------------+
 *        TK
 *
 * Inputs outside of the board count as zero and are not read. a is kept transposed with one column of padding, so that
 * neither writing nor reading it meets a bank twice.
 *
 * Grid: x = tiles of points, y = tiles of channels. Group: x = TN / WN, y = TM / WM. */
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
#ifndef KC_H
#define KC_H 19
#endif
#ifndef KC_W
#define KC_W 19
#endif
#ifndef KC_IC
#define KC_IC 96
#endif
#ifndef KC_OC
#define KC_OC 96
#endif
#ifndef KC_KH
#define KC_KH 3
#endif
#ifndef KC_KW
#define KC_KW 3
#endif
#ifndef KC_IHALO
#define KC_IHALO 0
#endif
#ifndef KC_OHALO
#define KC_OHALO 0
#endif

#define ITEMS_N (KP_TN / KP_WN)
#define ITEMS_M (KP_TM / KP_WM)
#define ITEMS   (ITEMS_N * ITEMS_M)
#define A_PITCH (KP_TM + 1)
#define K       (KC_KH * KC_KW * KC_IC)

/* Where the products k of a point come from: the tap, from the point, and the channel. Work-items keep their k from copy
 * to copy, so that its divisions are made once a tile. */
typedef struct source {
    int y, x, channel;
} source;

KILN_INLINE source source_of(int k) {
    const int tap = k / KC_IC;
    const source s = {tap / KC_KW - KC_KH / 2, tap % KC_KW - KC_KW / 2, k % KC_IC};
    return s;
}

KILN_INLINE float load_input(KILN_GLOBAL const KILN_STORED *input, int point, source from) {
    const int item = point / (KC_H * KC_W), y = point / KC_W % KC_H + from.y, x = point % KC_W + from.x;
    if (y < 0 || y >= KC_H || x < 0 || x >= KC_W)
        return 0.0f;
    const size_t pixel = ((size_t)item * (KC_H + 2 * KC_IHALO) + y + KC_IHALO) * (KC_W + 2 * KC_IHALO) + x + KC_IHALO;
    return KILN_LOAD_STORED(input + pixel * KC_IC + from.channel);
}

KILN_KERNEL(conv_tile, ITEMS_N, ITEMS_M, 1)
(KILN_GLOBAL const KILN_STORED *KILN_RESTRICT input, KILN_GLOBAL const KILN_STORED *KILN_RESTRICT weights,
 KILN_EPILOGUE_PARAMS KILN_GLOBAL KILN_STORED *output, int points KILN_DYNAMIC_LOCAL_ARG(float, scratch)) {
    KILN_DYNAMIC_LOCAL(float, scratch);
    KILN_LOCAL float *a = scratch;                  /* [TK][A_PITCH] */
    KILN_LOCAL float *b = scratch + KP_TK * A_PITCH; /* [TK][TN] */
    const int first_point = KILN_GROUP_X() * KP_TM, first_channel = KILN_GROUP_Y() * KP_TN;
    const int item_n = KILN_ITEM_X(), item_m = KILN_ITEM_Y(), item = item_m * ITEMS_N + item_n;
    const int k_of_item = item % KP_TK; /* a group is at least 32 work-items, a multiple of TK */

    float acc[KP_WM][KP_WN];
    KILN_UNROLL_ALL
    for (int i = 0; i < KP_WM; i++)
        KILN_UNROLL_ALL
        for (int j = 0; j < KP_WN; j++)
            acc[i][j] = 0.0f;

    for (int k0 = 0; k0 < K; k0 += KP_TK) {
        const source from = source_of(k0 + k_of_item);
        for (int row = item / KP_TK; row < KP_TM; row += ITEMS / KP_TK)
            a[k_of_item * A_PITCH + row] =
                first_point + row < points && k0 + k_of_item < K ? load_input(input, first_point + row, from) : 0.0f;
        for (int e = item; e < KP_TK * KP_TN; e += ITEMS) {
            const int k = k0 + e / KP_TN, channel = first_channel + e % KP_TN;
            b[e] = k < K && channel < KC_OC ? KILN_LOAD_STORED(weights + (size_t)k * KC_OC + channel) : 0.0f;
        }
        KILN_BARRIER();
        for (int k = 0; k < KP_TK; k++) {
            float x[KP_WM], w[KP_WN];
            KILN_UNROLL_ALL
            for (int i = 0; i < KP_WM; i++)
                x[i] = a[k * A_PITCH + item_m + i * ITEMS_M];
            KILN_UNROLL_ALL
            for (int j = 0; j < KP_WN; j++)
                w[j] = b[k * KP_TN + item_n + j * ITEMS_N];
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
        const int point = first_point + item_m + i * ITEMS_M;
        const int board = point / (KC_H * KC_W), y = point / KC_W % KC_H, x = point % KC_W;
        KILN_GLOBAL KILN_STORED *to =
            output +
            (((size_t)board * (KC_H + 2 * KC_OHALO) + y + KC_OHALO) * (KC_W + 2 * KC_OHALO) + x + KC_OHALO) * KC_OC;
        KILN_UNROLL_ALL
        for (int j = 0; j < KP_WN; j++) {
            const int channel = first_channel + item_n + j * ITEMS_N;
            if (point < points && channel < KC_OC) {
                float value = acc[i][j];
                KILN_EPILOGUE(float, KILN_SCALAR_LOAD, KILN_SCALAR_STORE, value, board, point, channel, KC_OC);
                KILN_STORE_STORED(value, to + channel);
            }
        }
    }
}
