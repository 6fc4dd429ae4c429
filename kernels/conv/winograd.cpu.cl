/* Winograd's F(m x m, 3 x 3) on CPU vectors, all in one kernel: one work-item computes TILES = ROUNDS * MR output tiles
 * of m x m points, for one part of the output channels.
 *
 *      input                v [point][tile][ic]      products [tile][point][NV * VW]        output
 *      (m + 2)^2            +-----------+            +-----------+                          m x m
 *      of a tile  --------> |           | --(GEMM)-> |           | ---------------------->  of a tile
 *                B^T d B    | per point |    with    | per panel |   A^T r A, epilogue
 *                           +-----------+   packed   +-----------+
 *
 * v and products are local memory, which on a CPU is memory of the core that stays in its cache: v is written once and
 * read for every panel of output channels, products are overwritten panel by panel. The GEMM of a point is that of
 * conv/vec.cpu.cl: MR tiles x NV vectors in registers, packed[panel][point][ic][NV * VW] read in one run.
 *
 * What is outside of the board counts as zero and is not read. Tiles are numbered across items of the batch. Those past
 * the last are zero and store nothing.
 *
 * Grid: x = blocks of tiles (neighbours share the panels), y = parts of the panels. */
#include "dialect.h"
#include "epilogue.h"

#ifndef KP_MR
#define KP_MR 6
#endif
#ifndef KP_NV
#define KP_NV 2
#endif
#ifndef KP_VW
#define KP_VW 8
#endif
#ifndef KP_UNROLL
#define KP_UNROLL 2
#endif
#ifndef KP_ROUNDS
#define KP_ROUNDS 2
#endif
#ifndef KP_SPLIT
#define KP_SPLIT 1
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
#define KC_IHALO 1
#endif
#ifndef KC_OHALO
#define KC_OHALO 0
#endif

#define VECTOR              KILN_VECTOR(KP_VW)
#define KILN_WINOGRAD_VALUE VECTOR
#include "winograd_transform.h"

#define LOAD(from)       KILN_VECTOR_LOAD(KP_VW, from)
#define STORE(value, to) KILN_VECTOR_STORE(KP_VW, value, to)
#define EDGE             KILN_WINOGRAD_EDGE
#define POINTS           KILN_WINOGRAD_POINTS
#define BLOCK            (KP_NV * KP_VW)
#define PANELS           ((KC_OC + BLOCK - 1) / BLOCK)
#define PANELS_A_PART    ((PANELS + KP_SPLIT - 1) / KP_SPLIT)
#define TILES            (KP_MR * KP_ROUNDS)
#define TILES_X          ((KC_W + KP_M - 1) / KP_M)
#define TILES_Y          ((KC_H + KP_M - 1) / KP_M)
#define PADDED_W         (KC_W + 2 * KC_IHALO)
#define PADDED_H         (KC_H + 2 * KC_IHALO)
#define V_ROW            ((KC_IC + KP_VW - 1) / KP_VW * KP_VW)
/* The margin keeps the points' rows out of the same few cache sets. The host reserves as much: kernels/winograd.c. */
#define V_POINT (TILES * V_ROW + 16)

#if KC_IC % KP_UNROLL == 0
#define UNROLL KP_UNROLL
#elif KC_IC % 2 == 0
#define UNROLL 2
#else
#define UNROLL 1
#endif

/* The last vector of a point may reach past the last channel. */
#define TAIL (KC_OC % KP_VW)
#if TAIL
KILN_VECTOR_TAIL(KP_VW, TAIL)
#endif
#define TAIL_IN (KC_IC % KP_VW)
#if TAIL_IN
KILN_INLINE VECTOR load_tail_in(KILN_GLOBAL const float *from) {
    float lane[KP_VW];
    for (int i = 0; i < KP_VW; i++)
        lane[i] = i < TAIL_IN ? from[i] : 0.0f;
    return LOAD(lane);
}
#endif

/* Where a tile's outputs begin. */
typedef struct {
    int item, y, x;
} place;

KILN_INLINE place place_of(int tile) {
    const place at = {tile / (TILES_Y * TILES_X), tile / TILES_X % TILES_Y * KP_M, tile % TILES_X * KP_M};
    return at;
}

/* v = B^T d B for VW channels of a tile. `whole` is a constant at each call. */
KILN_INLINE void transform_vector(KILN_GLOBAL const float *from, KILN_LOCAL float *v, place at, int whole) {
    VECTOR partly[EDGE][EDGE]; /* [x of the input][y of the points] */
    KILN_UNROLL_NONE
    for (int x = 0; x < EDGE; x++) {
        VECTOR d[EDGE];
        const int on_board = at.x + x >= 1 && at.x + x <= KC_W;
        KILN_UNROLL_ALL
        for (int y = 0; y < EDGE; y++) {
            d[y] = (VECTOR)(0.0f);
            if (on_board && at.y + y >= 1 && at.y + y <= KC_H) {
                KILN_GLOBAL const float *pixel = from + (y * PADDED_W + x) * KC_IC;
#if TAIL_IN
                d[y] = whole ? LOAD(pixel) : load_tail_in(pixel);
#else
                d[y] = LOAD(pixel);
#endif
            }
        }
        kiln_winograd_input(d, partly[x]);
    }
    KILN_UNROLL_NONE
    for (int y = 0; y < EDGE; y++) {
        VECTOR d[EDGE], u[EDGE];
        KILN_UNROLL_ALL
        for (int x = 0; x < EDGE; x++)
            d[x] = partly[x][y];
        kiln_winograd_input(d, u);
        KILN_UNROLL_ALL
        for (int x = 0; x < EDGE; x++)
            STORE(u[x], v + (y * EDGE + x) * V_POINT);
    }
}

KILN_INLINE void transform_tile(KILN_GLOBAL const float *input, KILN_LOCAL float *v, int tile) {
    const place at = place_of(tile);
    /* of the input at (y - 1, x - 1) of the board, maybe outside of memory: it is not read there */
    const long pixel = ((long)at.item * PADDED_H + at.y - 1 + KC_IHALO) * PADDED_W + at.x - 1 + KC_IHALO;
    KILN_GLOBAL const float *from = input + pixel * KC_IC;
    KILN_UNROLL_NONE
    for (int c = 0; c + KP_VW <= KC_IC; c += KP_VW)
        transform_vector(from + c, v + c, at, 1);
#if TAIL_IN
    transform_vector(from + KC_IC - TAIL_IN, v + KC_IC - TAIL_IN, at, 0);
#endif
}

/* MR rows of v times one point of a panel. */
KILN_INLINE void multiply(KILN_LOCAL const float *v, KILN_GLOBAL const float *weights, KILN_LOCAL float *products) {
    VECTOR acc[KP_MR][KP_NV];
    KILN_UNROLL_ALL
    for (int i = 0; i < KP_MR; i++)
        KILN_UNROLL_ALL
        for (int j = 0; j < KP_NV; j++)
            acc[i][j] = (VECTOR)(0.0f);
    KILN_UNROLL(UNROLL)
    for (int k = 0; k < KC_IC; k++) {
        VECTOR w[KP_NV];
        KILN_UNROLL_ALL
        for (int j = 0; j < KP_NV; j++)
            w[j] = LOAD(weights + j * KP_VW);
        weights += BLOCK;
        KILN_UNROLL_ALL
        for (int i = 0; i < KP_MR; i++) {
            const VECTOR x = (VECTOR)(v[i * V_ROW + k]);
            KILN_UNROLL_ALL
            for (int j = 0; j < KP_NV; j++)
                acc[i][j] = KILN_FMA(x, w[j], acc[i][j]);
        }
    }
    KILN_UNROLL_ALL
    for (int i = 0; i < KP_MR; i++)
        KILN_UNROLL_ALL
        for (int j = 0; j < KP_NV; j++)
            STORE(acc[i][j], products + i * (POINTS * BLOCK) + j * KP_VW);
}

/* A^T r A of VW channels of a tile, which `products` points at. */
KILN_INLINE void untransform(KILN_LOCAL const float *products, VECTOR result[KP_M][KP_M]) {
    VECTOR partly[EDGE][KP_M]; /* [x of the points][y of the output] */
    KILN_UNROLL_NONE
    for (int x = 0; x < EDGE; x++) {
        VECTOR r[EDGE];
        KILN_UNROLL_ALL
        for (int y = 0; y < EDGE; y++)
            r[y] = LOAD(products + (y * EDGE + x) * BLOCK);
        kiln_winograd_output(r, partly[x]);
    }
    KILN_UNROLL_NONE
    for (int y = 0; y < KP_M; y++) {
        VECTOR r[EDGE];
        KILN_UNROLL_ALL
        for (int x = 0; x < EDGE; x++)
            r[x] = partly[x][y];
        kiln_winograd_output(r, result[y]);
    }
}

KILN_KERNEL(conv_winograd, 1, 1, 1)
(KILN_GLOBAL const float *KILN_RESTRICT input, KILN_GLOBAL const float *KILN_RESTRICT packed,
 KILN_EPILOGUE_PARAMS KILN_GLOBAL float *output, int items KILN_DYNAMIC_LOCAL_ARG(float, scratch)) {
    KILN_LOCAL float *v = scratch;                      /* [POINTS][V_POINT] */
    KILN_LOCAL float *products = v + POINTS * V_POINT; /* [TILES][POINTS][BLOCK] */
    const int first = KILN_GROUP_X() * TILES, tiles = items * (TILES_Y * TILES_X);
    const int end = first + TILES < tiles ? TILES : tiles - first;
    const int rounds = (end + KP_MR - 1) / KP_MR;

    KILN_UNROLL_NONE
    for (int t = 0; t < end; t++)
        transform_tile(input, v + t * V_ROW, first + t);
    for (int p = 0; p < POINTS; p++)
        for (int i = end * V_ROW; i < rounds * KP_MR * V_ROW; i++)
            v[p * V_POINT + i] = 0.0f;

    const int first_panel = KILN_GROUP_Y() * PANELS_A_PART;
    const int end_panel = first_panel + PANELS_A_PART < PANELS ? first_panel + PANELS_A_PART : PANELS;
    KILN_UNROLL_NONE
    for (int panel = first_panel; panel < end_panel; panel++) {
        KILN_UNROLL_NONE
        for (int p = 0; p < POINTS; p++) {
            KILN_GLOBAL const float *weights = packed + ((size_t)panel * POINTS + p) * (KC_IC * BLOCK);
            KILN_UNROLL_NONE
            for (int r = 0; r < rounds; r++)
                multiply(v + p * V_POINT + r * (KP_MR * V_ROW), weights,
                         products + (r * KP_MR * POINTS + p) * BLOCK);
        }
        KILN_UNROLL_NONE
        for (int t = 0; t < end; t++) {
            const place at = place_of(first + t);
            KILN_UNROLL_NONE
            for (int j = 0; j < KP_NV; j++) {
                const int channel = panel * BLOCK + j * KP_VW;
                if (channel >= KC_OC)
                    break;
                VECTOR result[KP_M][KP_M];
                untransform(products + t * (POINTS * BLOCK) + j * KP_VW, result);
                KILN_UNROLL_NONE
                for (int i = 0; i < KP_M * KP_M; i++) {
                    const int y = at.y + i / KP_M, x = at.x + i % KP_M;
                    if (y >= KC_H || x >= KC_W)
                        continue;
                    const int point = (at.item * KC_H + y) * KC_W + x;
                    KILN_GLOBAL float *to =
                        output + (((size_t)at.item * (KC_H + 2 * KC_OHALO) + y + KC_OHALO) * (KC_W + 2 * KC_OHALO) + x +
                                  KC_OHALO) *
                                     KC_OC;
                    VECTOR value = result[i / KP_M][i % KP_M];
                    if (channel + KP_VW <= KC_OC) {
                        KILN_EPILOGUE(VECTOR, LOAD, STORE, value, at.item, point, channel, KC_OC);
                        STORE(value, to + channel);
                    }
#if TAIL
                    else {
                        KILN_EPILOGUE(VECTOR, load_tail, store_tail, value, at.item, point, channel, KC_OC);
                        store_tail(value, to + channel);
                    }
#endif
                }
            }
        }
    }
}
