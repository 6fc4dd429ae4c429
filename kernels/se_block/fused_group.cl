/* Squeeze and excite in one kernel: one work-group of GROUP work-items does one item of the batch.
 *
 *     input [h][w][c]      mean [c]       z [r]          gates [c or 2c]             output [h][w][c]
 *     x . . . x . . .
 *     x . . . x . . .  ->  m . . .  -w1->  z . .  -w2->  s . . . | t . . .   ->    x * sigmoid(s) + t, epilogue
 *     x . . . x . . .                relu
 *
 * A work-item computes every GROUP-th element of each stage, so that neighbours read neighbouring channels. Where a stage
 * has fewer elements than the group has work-items, several share the sum of one:
 *
 *     work-items   0 1 2   3 4 5   6 7 8 .        width 3, GROUP 10: three parts, each every third term
 *     partial      a b c   a b c   a b c   ->   added up
 *
 * What is between input and output is local memory. Points with a mask of 0 do not count; a board without points has a
 * mean of zero.
 *
 * Grid: x = items. Group: GROUP. */
#include "dialect.h"
#include "epilogue.h"

#ifndef KP_GROUP
#define KP_GROUP 256
#endif
#ifndef KC_H
#define KC_H 9
#endif
#ifndef KC_W
#define KC_W 9
#endif
#ifndef KC_C
#define KC_C 256
#endif
#ifndef KC_R
#define KC_R 64
#endif
#ifndef KC_FORM /* of se_block.c: 1 scale, 2 scale_shift */
#define KC_FORM 1
#endif
#ifndef KC_MASK /* 1: the mean is over points whose mask is not 0 */
#define KC_MASK 0
#endif
#ifndef KC_IHALO
#define KC_IHALO 0
#endif
#ifndef KC_OHALO
#define KC_OHALO 0
#endif

#define GATES    (KC_FORM * KC_C)
#define PADDED_W (KC_W + 2 * KC_IHALO)
/* Of a point of the board, from its first on. */
#define PIXEL(point, halo) ((halo) ? (point) / KC_W * (KC_W + 2 * (halo)) + (point) % KC_W : (point))

#if KC_MASK
#define MASK_PARAM      KILN_GLOBAL const KILN_STORED *KILN_RESTRICT mask,
#define ON_BOARD(point) (KILN_LOAD_STORED(mask + (point)) != 0.0f)
#else
#define MASK_PARAM
#define ON_BOARD(point) 1
#endif

/* How many work-items share an element of a stage of `width` elements, and what there is of partial sums at most. */
#define PARTS(width)  (KP_GROUP / (width) > 1 ? KP_GROUP / (width) : 1)
#define MOST(a, b)    ((a) > (b) ? (a) : (b))
#define PARTIAL       MOST(MOST(KP_GROUP, KC_R), GATES) /* GATES >= C */

/* Adds up what the parts of an element have. */
KILN_INLINE float whole(KILN_LOCAL const float *partial, int j, int width) {
    float sum = partial[j];
    for (int part = 1; part < PARTS(width); part++)
        sum += partial[part * width + j];
    return sum;
}

/* Partial sums of in w. */
KILN_INLINE void dense(KILN_LOCAL const float *in, KILN_GLOBAL const KILN_STORED *w, int depth, int width,
                       KILN_LOCAL float *partial) {
    for (int e = KILN_ITEM_X(); e < PARTS(width) * width; e += KP_GROUP) {
        const int j = e % width;
        float acc = 0.0f;
        for (int k = e / width; k < depth; k += PARTS(width))
            acc = KILN_FMA(in[k], KILN_LOAD_STORED(w + (size_t)k * width + j), acc);
        partial[e] = acc;
    }
}

KILN_KERNEL(se_block_fused_group, KP_GROUP, 1, 1)
(KILN_GLOBAL const KILN_STORED *input, MASK_PARAM KILN_GLOBAL const KILN_STORED *KILN_RESTRICT w1,
 KILN_GLOBAL const float *KILN_RESTRICT b1, KILN_GLOBAL const KILN_STORED *KILN_RESTRICT w2,
 KILN_GLOBAL const float *KILN_RESTRICT b2, KILN_EPILOGUE_PARAMS KILN_GLOBAL KILN_STORED *output
 KILN_DYNAMIC_LOCAL_ARG(float, scratch)) {
    KILN_DYNAMIC_LOCAL(float, scratch);
    KILN_LOCAL float *mean = scratch;
    KILN_LOCAL float *z = mean + KC_C;
    KILN_LOCAL float *gates = z + KC_R;
    KILN_LOCAL float *partial = gates + GATES;
    KILN_LOCAL float *counted = partial + PARTIAL;
    const int item = KILN_GROUP_X(), local_item = KILN_ITEM_X();
    KILN_GLOBAL const KILN_STORED *board =
        input + (((size_t)item * (KC_H + 2 * KC_IHALO) + KC_IHALO) * PADDED_W + KC_IHALO) * KC_C;
    KILN_GLOBAL KILN_STORED *to =
        output + (((size_t)item * (KC_H + 2 * KC_OHALO) + KC_OHALO) * (KC_W + 2 * KC_OHALO) + KC_OHALO) * KC_C;

    for (int e = local_item; e < PARTS(KC_C) * KC_C; e += KP_GROUP) {
        const int channel = e % KC_C;
        int count = 0;
        float sum = 0.0f;
        for (int y = e / KC_C; y < KC_H; y += PARTS(KC_C)) {
            float row = 0.0f; /* rows apart: a long chain of additions loses more */
            for (int x = 0; x < KC_W; x++)
                if (ON_BOARD((size_t)item * (KC_H * KC_W) + y * KC_W + x)) {
                    count++;
                    row += KILN_LOAD_STORED(board + (y * PADDED_W + x) * KC_C + channel);
                }
            sum += row;
        }
        partial[e] = sum;
        counted[e] = (float)count;
    }
    KILN_BARRIER();
    for (int channel = local_item; channel < KC_C; channel += KP_GROUP)
        mean[channel] = whole(partial, channel, KC_C) / KILN_MAX(whole(counted, channel, KC_C), 1.0f);
    KILN_BARRIER();
    dense(mean, w1, KC_C, KC_R, partial);
    KILN_BARRIER();
    for (int j = local_item; j < KC_R; j += KP_GROUP) {
        const float x = b1[j] + whole(partial, j, KC_R);
        z[j] = x < 0.0f ? 0.0f : x;
    }
    KILN_BARRIER();
    dense(z, w2, KC_R, GATES, partial);
    KILN_BARRIER();
    for (int j = local_item; j < GATES; j += KP_GROUP) {
        const float x = b2[j] + whole(partial, j, GATES);
        gates[j] = j < KC_C ? KILN_SIGMOID(float, x) : x;
    }
    KILN_BARRIER();
    /* a work-item stays with its channel, so that it has the gates in registers */
    for (int e = local_item; e < PARTS(KC_C) * KC_C; e += KP_GROUP) {
        const int channel = e % KC_C;
        const float scale = gates[channel], shift = KC_FORM == 2 ? gates[GATES - KC_C + channel] : 0.0f;
        for (int p = e / KC_C; p < KC_H * KC_W; p += PARTS(KC_C)) {
            float value = KILN_LOAD_STORED(board + PIXEL(p, KC_IHALO) * KC_C + channel) * scale;
            if (KC_FORM == 2)
                value = value + shift;
            KILN_EPILOGUE(float, KILN_SCALAR_LOAD, KILN_SCALAR_STORE, value, item, item * (KC_H * KC_W) + p, channel,
                          KC_C);
            KILN_STORE_STORED(value, to + PIXEL(p, KC_OHALO) * KC_C + channel);
        }
    }
}
