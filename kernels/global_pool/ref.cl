/* The reference pooling: one work-item reduces one channel of one board.
 *
 *     input [h][w][c]: channel of the work-item       output [parts][c]
 *       x . . . x . . . x . . .
 *       x . . . x . . . x . . .     --->              x . . .   mean
 *       x . . . x . . . x . . .                       x . . .   max, ...
 *
 * Points with a mask of 0 do not count and are not read. A board without points gives zeros.
 *
 * Grid: x = all channels of all boards, 64 a group. */
#include "dialect.h"

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
#define MASK_PARAM      KILN_GLOBAL const KILN_STORED *KILN_RESTRICT mask,
#define ON_BOARD(point) (KILN_LOAD_STORED(mask + (point)) != 0.0f)
#else
#define MASK_PARAM
#define ON_BOARD(point) 1
#endif

KILN_KERNEL(global_pool_ref, 64, 1, 1)
(KILN_GLOBAL const KILN_STORED *KILN_RESTRICT input, MASK_PARAM KILN_GLOBAL KILN_STORED *KILN_RESTRICT output, int items) {
    const size_t index = KILN_GLOBAL_X();
    if (index >= (size_t)items * KC_C)
        return;
    const int item = (int)(index / KC_C), channel = (int)(index % KC_C);
    KILN_GLOBAL const KILN_STORED *board =
        input + (((size_t)item * (KC_H + 2 * KC_IHALO) + KC_IHALO) * PADDED_W + KC_IHALO) * KC_C + channel;
    int count = 0;
    float sum = (float)(0.0f), most = (float)(-KILN_INFINITY);
    for (int y = 0; y < KC_H; y++) {
        float row = (float)(0.0f); /* rows apart: a long chain of additions loses more */
        for (int x = 0; x < KC_W; x++)
            if (ON_BOARD(((size_t)item * KC_H + y) * KC_W + x)) {
                const float v = KILN_LOAD_STORED(board + ((size_t)y * PADDED_W + x) * KC_C);
                count++;
                row += v;
                most = KILN_MAX(most, v);
            }
        sum += row;
    }
    const float mean = sum / (float)(count > 0 ? count : 1);
    if (count == 0)
        most = (float)(0.0f);

    KILN_GLOBAL KILN_STORED *to = output + (size_t)item * (PARTS * KC_C) + channel;
#if KC_FORM == 1
    KILN_STORE_STORED(mean, to);
#elif KC_FORM == 2
    KILN_STORE_STORED(most, to);
#elif KC_FORM == 3 || KC_FORM == 4
    KILN_STORE_STORED(mean, to);
    KILN_STORE_STORED(most, to + KC_C);
#if KC_FORM == 4 /* in a second pass: the mean of squares less the square of the mean would cancel */
    sum = (float)(0.0f);
    for (int y = 0; y < KC_H; y++) {
        float row = (float)(0.0f);
        for (int x = 0; x < KC_W; x++)
            if (ON_BOARD(((size_t)item * KC_H + y) * KC_W + x)) {
                const float v = KILN_LOAD_STORED(board + ((size_t)y * PADDED_W + x) * KC_C) - mean;
                row = KILN_FMA(v, v, row);
            }
        sum += row;
    }
    KILN_STORE_STORED(KILN_SQRT(sum / (float)(count > 0 ? count : 1)), to + 2 * KC_C);
#endif
#else
    const float size = KILN_SQRT((float)count) - 14.0f;
    KILN_STORE_STORED(mean, to);
    KILN_STORE_STORED(mean * (size * 0.1f), to + KC_C);
#if KC_FORM == 5
    KILN_STORE_STORED(most, to + 2 * KC_C);
#else
    KILN_STORE_STORED(mean * (size * size * 0.01f - 0.1f), to + 2 * KC_C);
#endif
#endif
}
