/* Pooling on CPU vectors: one work-item reduces VW channels of one board.
 *
 *     input [h][w][c]: VW channels of the work-item       output [parts][c]
 *       x x x x . . . .  x x x x . . . .
 *       x x x x . . . .  x x x x . . . .     --->         x x x x . . . .   mean
 *       x x x x . . . .  x x x x . . . .                  x x x x . . . .   max, ...
 *
 * Points with a mask of 0 do not count and are not read. A board without points gives zeros. The last work-item's
 * vector may reach past the last channel; what is past it is neither read nor written.
 *
 * Grid: x = vectors of channels, y = boards. */
#include "dialect.h"

#ifndef KP_VW
#define KP_VW 8
#endif
#ifndef KC_H
#define KC_H 19
#endif
#ifndef KC_W
#define KC_W 19
#endif
#ifndef KC_C
#define KC_C 96
#endif
#ifndef KC_FORM /* of global_pool.c: 1 mean, 2 max, 3 mean_max, 4 mean_max_std, 5 katago, 6 katago_value */
#define KC_FORM 5
#endif
#ifndef KC_MASK
#define KC_MASK 0
#endif
#ifndef KC_IHALO
#define KC_IHALO 0
#endif

#define PARTS    (KC_FORM <= 2 ? 1 : KC_FORM == 3 ? 2 : 3)
#define PADDED_W (KC_W + 2 * KC_IHALO)
#if KC_MASK
#define MASK_PARAM      KILN_GLOBAL const float *KILN_RESTRICT mask,
#define MASK_ARG        mask,
#define ON_BOARD(point) (mask[point] != 0.0f)
#else
#define MASK_PARAM
#define MASK_ARG
#define ON_BOARD(point) 1
#endif

#define VECTOR KILN_VECTOR(KP_VW)
#define TAIL   (KC_C % KP_VW)
#if TAIL
KILN_VECTOR_TAIL(KP_VW, TAIL)
#define LOAD(from)       (whole ? KILN_VECTOR_LOAD(KP_VW, from) : load_tail(from))
#define STORE(value, to) (whole ? KILN_VECTOR_STORE(KP_VW, value, to) : store_tail(value, to))
#else
#define LOAD(from)       KILN_VECTOR_LOAD(KP_VW, from)
#define STORE(value, to) KILN_VECTOR_STORE(KP_VW, value, to)
#endif

/* `whole` is a constant at each call, so that the loops have no branch for the tail. */
KILN_INLINE void pool(KILN_GLOBAL const float *KILN_RESTRICT input, MASK_PARAM KILN_GLOBAL float *KILN_RESTRICT output,
                      int item, int channel, int whole) {
    KILN_GLOBAL const float *board =
        input + (((size_t)item * (KC_H + 2 * KC_IHALO) + KC_IHALO) * PADDED_W + KC_IHALO) * KC_C + channel;
    int count = 0;
    VECTOR sum = (VECTOR)(0.0f), most = (VECTOR)(-KILN_INFINITY);
    for (int y = 0; y < KC_H; y++) {
        VECTOR row = (VECTOR)(0.0f); /* rows apart: a long chain of additions loses more */
        for (int x = 0; x < KC_W; x++)
            if (ON_BOARD(((size_t)item * KC_H + y) * KC_W + x)) {
                const VECTOR v = LOAD(board + ((size_t)y * PADDED_W + x) * KC_C);
                count++;
                row += v;
                most = KILN_MAX(most, v);
            }
        sum += row;
    }
    const VECTOR mean = sum / (float)(count > 0 ? count : 1);
    if (count == 0)
        most = (VECTOR)(0.0f);

    KILN_GLOBAL float *to = output + (size_t)item * (PARTS * KC_C) + channel;
#if KC_FORM == 1
    STORE(mean, to);
#elif KC_FORM == 2
    STORE(most, to);
#elif KC_FORM == 3 || KC_FORM == 4
    STORE(mean, to);
    STORE(most, to + KC_C);
#if KC_FORM == 4 /* in a second pass: the mean of squares less the square of the mean would cancel */
    sum = (VECTOR)(0.0f);
    for (int y = 0; y < KC_H; y++) {
        VECTOR row = (VECTOR)(0.0f);
        for (int x = 0; x < KC_W; x++)
            if (ON_BOARD(((size_t)item * KC_H + y) * KC_W + x)) {
                const VECTOR v = LOAD(board + ((size_t)y * PADDED_W + x) * KC_C) - mean;
                row = KILN_FMA(v, v, row);
            }
        sum += row;
    }
    STORE(KILN_SQRT(sum / (float)(count > 0 ? count : 1)), to + 2 * KC_C);
#endif
#else
    const float size = KILN_SQRT((float)count) - 14.0f;
    STORE(mean, to);
    STORE(mean * (size * 0.1f), to + KC_C);
#if KC_FORM == 5
    STORE(most, to + 2 * KC_C);
#else
    STORE(mean * (size * size * 0.01f - 0.1f), to + 2 * KC_C);
#endif
#endif
}

KILN_KERNEL(global_pool_vec, 1, 1, 1)
(KILN_GLOBAL const float *KILN_RESTRICT input, MASK_PARAM KILN_GLOBAL float *KILN_RESTRICT output) {
    const int channel = KILN_GROUP_X() * KP_VW;
#if TAIL
    if (channel + KP_VW > KC_C) {
        pool(input, MASK_ARG output, KILN_GROUP_Y(), channel, 0);
        return;
    }
#endif
    pool(input, MASK_ARG output, KILN_GROUP_Y(), channel, 1);
}
