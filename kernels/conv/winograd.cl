/* Winograd's F(m x m, 3 x 3) in three kernels through memory:
 *
 *      input                 v [point][tile][ic]       products [point][tile][oc]      output
 *      (m + 2)^2             +-----------+             +-----------+                   m x m
 *      of a tile  ---------> |           | --(GEMM)--> |           | ----------------> of a tile
 *      winograd_input        +-----------+  one for    +-----------+  winograd_output
 *      B^T d B                             each point                 A^T r A, epilogue
 *
 * The weights are transformed and packed as [point][ic][oc]. What is outside of the board counts as zero and is not
 * read. Tiles are numbered across items of the batch.
 *
 * winograd_products: a work-group computes TM tiles x TN channels of one point through local memory, TK of the ic
 * products at a time; a work-item computes WM x WN of them, as in conv/tile.cl.
 *
 * Grids: winograd_input, winograd_output: x = tiles x channels, channels fastest, 64 a group. winograd_products: x =
 * tiles / TM, y = channels / TN, z = points; group: x = TN / WN, y = TM / WM. */
#include "dialect.h"
#include "epilogue.h"
#include "winograd_transform.h"

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
#ifndef KC_IHALO
#define KC_IHALO 0
#endif
#ifndef KC_OHALO
#define KC_OHALO 0
#endif

#define EDGE    KILN_WINOGRAD_EDGE
#define POINTS  KILN_WINOGRAD_POINTS
#define TILES_X ((KC_W + KP_M - 1) / KP_M)
#define TILES_Y ((KC_H + KP_M - 1) / KP_M)
#define ITEMS_N (KP_TN / KP_WN)
#define ITEMS_M (KP_TM / KP_WM)
#define ITEMS   (ITEMS_N * ITEMS_M)
#define A_PITCH (KP_TM + 1)

/* ---- one tile and input channel ---- */

KILN_KERNEL(winograd_input, 64, 1, 1)
(KILN_GLOBAL const KILN_STORED *KILN_RESTRICT input, KILN_GLOBAL float *KILN_RESTRICT v, int tiles) {
    const size_t index = KILN_GLOBAL_X();
    if (index >= (size_t)tiles * KC_IC)
        return;
    const int tile = (int)(index / KC_IC), channel = (int)(index % KC_IC);
    const int item = tile / (TILES_Y * TILES_X), top = tile / TILES_X % TILES_Y * KP_M - 1,
              left = tile % TILES_X * KP_M - 1;

    float partly[EDGE][EDGE]; /* [x of the input][y of the points] */
    KILN_UNROLL_ALL
    for (int x = 0; x < EDGE; x++) {
        float d[EDGE];
        KILN_UNROLL_ALL
        for (int y = 0; y < EDGE; y++) {
            const int on_board = top + y >= 0 && top + y < KC_H && left + x >= 0 && left + x < KC_W;
            const size_t row = (size_t)item * (KC_H + 2 * KC_IHALO) + (on_board ? top + y : 0) + KC_IHALO;
            const size_t pixel = row * (KC_W + 2 * KC_IHALO) + (on_board ? left + x : 0) + KC_IHALO;
            d[y] = on_board ? KILN_LOAD_STORED(input + pixel * KC_IC + channel) : 0.0f;
        }
        kiln_winograd_input(d, partly[x]);
    }
    KILN_UNROLL_ALL
    for (int y = 0; y < EDGE; y++) {
        float d[EDGE], u[EDGE];
        KILN_UNROLL_ALL
        for (int x = 0; x < EDGE; x++)
            d[x] = partly[x][y];
        kiln_winograd_input(d, u);
        KILN_UNROLL_ALL
        for (int x = 0; x < EDGE; x++)
            v[(size_t)(y * EDGE + x) * tiles * KC_IC + index] = u[x];
    }
}

/* ---- a matrix product for each point ---- */

KILN_KERNEL(winograd_products, ITEMS_N, ITEMS_M, 1)
(KILN_GLOBAL const float *KILN_RESTRICT v, KILN_GLOBAL const float *KILN_RESTRICT packed,
 KILN_GLOBAL float *KILN_RESTRICT products, int tiles KILN_DYNAMIC_LOCAL_ARG(float, scratch)) {
    KILN_DYNAMIC_LOCAL(float, scratch);
    KILN_LOCAL float *a = scratch;                  /* [TK][A_PITCH] */
    KILN_LOCAL float *b = scratch + KP_TK * A_PITCH; /* [TK][TN] */
    const int first_tile = KILN_GROUP_X() * KP_TM, first_channel = KILN_GROUP_Y() * KP_TN, point = KILN_GROUP_Z();
    const int item_n = KILN_ITEM_X(), item_m = KILN_ITEM_Y(), item = item_m * ITEMS_N + item_n;
    KILN_GLOBAL const float *from = v + (size_t)point * tiles * KC_IC;
    KILN_GLOBAL const float *weights = packed + (size_t)point * KC_IC * KC_OC;

    float acc[KP_WM][KP_WN];
    KILN_UNROLL_ALL
    for (int i = 0; i < KP_WM; i++)
        KILN_UNROLL_ALL
        for (int j = 0; j < KP_WN; j++)
            acc[i][j] = 0.0f;

    for (int k0 = 0; k0 < KC_IC; k0 += KP_TK) {
        for (int e = item; e < KP_TM * KP_TK; e += ITEMS) {
            const int tile = first_tile + e / KP_TK, k = k0 + e % KP_TK;
            a[e % KP_TK * A_PITCH + e / KP_TK] = tile < tiles && k < KC_IC ? from[(size_t)tile * KC_IC + k] : 0.0f;
        }
        for (int e = item; e < KP_TK * KP_TN; e += ITEMS) {
            const int k = k0 + e / KP_TN, channel = first_channel + e % KP_TN;
            b[e] = k < KC_IC && channel < KC_OC ? weights[(size_t)k * KC_OC + channel] : 0.0f;
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
        const int tile = first_tile + item_m + i * ITEMS_M;
        KILN_GLOBAL float *to = products + ((size_t)point * tiles + tile) * KC_OC;
        KILN_UNROLL_ALL
        for (int j = 0; j < KP_WN; j++) {
            const int channel = first_channel + item_n + j * ITEMS_N;
            if (tile < tiles && channel < KC_OC)
                to[channel] = acc[i][j];
        }
    }
}

/* ---- one tile and output channel ---- */

KILN_KERNEL(winograd_output, 64, 1, 1)
(KILN_GLOBAL const float *KILN_RESTRICT products, KILN_EPILOGUE_PARAMS KILN_GLOBAL KILN_STORED *output, int tiles) {
    const size_t index = KILN_GLOBAL_X();
    if (index >= (size_t)tiles * KC_OC)
        return;
    const int tile = (int)(index / KC_OC), channel = (int)(index % KC_OC);
    const int item = tile / (TILES_Y * TILES_X), top = tile / TILES_X % TILES_Y * KP_M, left = tile % TILES_X * KP_M;

    float partly[EDGE][KP_M]; /* [x of the points][y of the output] */
    KILN_UNROLL_ALL
    for (int x = 0; x < EDGE; x++) {
        float r[EDGE];
        KILN_UNROLL_ALL
        for (int y = 0; y < EDGE; y++)
            r[y] = products[(size_t)(y * EDGE + x) * tiles * KC_OC + index];
        kiln_winograd_output(r, partly[x]);
    }
    KILN_UNROLL_ALL
    for (int y = 0; y < KP_M; y++) {
        float r[EDGE], result[KP_M];
        KILN_UNROLL_ALL
        for (int x = 0; x < EDGE; x++)
            r[x] = partly[x][y];
        kiln_winograd_output(r, result);
        KILN_UNROLL_ALL
        for (int x = 0; x < KP_M; x++)
            if (top + y < KC_H && left + x < KC_W) {
                const int point = (item * KC_H + top + y) * KC_W + left + x;
                const size_t row = (size_t)item * (KC_H + 2 * KC_OHALO) + top + y + KC_OHALO;
                float value = result[x];
                KILN_EPILOGUE(float, KILN_SCALAR_LOAD, KILN_SCALAR_STORE, value, item, point, channel, KC_OC);
                KILN_STORE_STORED(value, output + (row * (KC_W + 2 * KC_OHALO) + left + x + KC_OHALO) * KC_OC + channel);
            }
    }
}
