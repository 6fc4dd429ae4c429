/* Squeeze and excite in one kernel: one work-group of GROUP work-items does one item of the batch.
 *
 *     input [h][w][c]      mean [c]       z [r]          gates [c or 2c]             output [h][w][c]
 *     x . . . x . . .
 *     x . . . x . . .  ->  m . . .  -w1->  z . .  -w2->  s . . . | t . . .   ->    x * sigmoid(s) + t, epilogue
 *     x . . . x . . .                relu
 *
 * A work-item computes every GROUP-th element of each stage, so that neighbours read neighbouring channels. What is
 * between input and output is local memory. Points with a mask of 0 do not count; a board without points has a mean of
 * zero.
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

#if KC_MASK
#define MASK_PARAM      KILN_GLOBAL const KILN_STORED *KILN_RESTRICT mask,
#define ON_BOARD(point) (KILN_LOAD_STORED(mask + (point)) != 0.0f)
#else
#define MASK_PARAM
#define ON_BOARD(point) 1
#endif

/* One element of in w + b. */
KILN_INLINE float dense(KILN_LOCAL const float *in, KILN_GLOBAL const KILN_STORED *w, KILN_GLOBAL const float *b, int j,
                        int depth, int width) {
    float acc = b[j];
    for (int k = 0; k < depth; k++)
        acc = KILN_FMA(in[k], KILN_LOAD_STORED(w + (size_t)k * width + j), acc);
    return acc;
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
    const int item = KILN_GROUP_X(), local_item = KILN_ITEM_X();
    KILN_GLOBAL const KILN_STORED *board =
        input + (((size_t)item * (KC_H + 2 * KC_IHALO) + KC_IHALO) * PADDED_W + KC_IHALO) * KC_C;

    for (int channel = local_item; channel < KC_C; channel += KP_GROUP) {
        int count = 0;
        float sum = 0.0f;
        for (int y = 0; y < KC_H; y++) {
            float row = 0.0f; /* rows apart: a long chain of additions loses more */
            for (int x = 0; x < KC_W; x++)
                if (ON_BOARD((size_t)item * (KC_H * KC_W) + y * KC_W + x)) {
                    count++;
                    row += KILN_LOAD_STORED(board + (y * PADDED_W + x) * KC_C + channel);
                }
            sum += row;
        }
        mean[channel] = sum / (float)(count > 0 ? count : 1);
    }
    KILN_BARRIER();
    for (int j = local_item; j < KC_R; j += KP_GROUP) {
        const float x = dense(mean, w1, b1, j, KC_C, KC_R);
        z[j] = x < 0.0f ? 0.0f : x;
    }
    KILN_BARRIER();
    for (int j = local_item; j < GATES; j += KP_GROUP) {
        const float x = dense(z, w2, b2, j, KC_R, GATES);
        gates[j] = j < KC_C ? KILN_SIGMOID(float, x) : x;
    }
    KILN_BARRIER();
    for (int e = local_item; e < KC_H * KC_W * KC_C; e += KP_GROUP) {
        const int channel = e % KC_C, y = e / KC_C / KC_W, x = e / KC_C % KC_W;
        const int point = (item * KC_H + y) * KC_W + x;
        float value = KILN_LOAD_STORED(board + (y * PADDED_W + x) * KC_C + channel) * gates[channel];
        if (KC_FORM == 2)
            value = value + gates[GATES - KC_C + channel];
        KILN_EPILOGUE(float, KILN_SCALAR_LOAD, KILN_SCALAR_STORE, value, item, point, channel, KC_C);
        const size_t row = (size_t)item * (KC_H + 2 * KC_OHALO) + y + KC_OHALO;
        KILN_STORE_STORED(value, output + (row * (KC_W + 2 * KC_OHALO) + x + KC_OHALO) * KC_C + channel);
    }
}
