/* Squeeze and excite in one kernel on CPU vectors: one work-item does one item of the batch.
 *
 *     input [h][w][c]      mean [c]       z [r]          gates [c or 2c]             output [h][w][c]
 *     x x x x . . . .
 *     x x x x . . . .  ->  m m m m  -w1->  z z z  -w2->  s s s s | t t t t   ->    x * sigmoid(s) + t, epilogue
 *     x x x x . . . .                relu
 *
 * What is between input and output is local memory, which on a CPU stays in the core's cache, as the board itself does
 * from the mean to the output. Points with a mask of 0 do not count; a board without points has a mean of zero.
 *
 * Grid: x = items. */
#include "dialect.h"
#include "epilogue.h"

#ifndef KP_VW
#define KP_VW 8
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

#define VECTOR           KILN_VECTOR(KP_VW)
#define LOAD(from)       KILN_VECTOR_LOAD(KP_VW, from)
#define STORE(value, to) KILN_VECTOR_STORE(KP_VW, value, to)
#define GATES            (KC_FORM * KC_C)
#define PADDED_W         (KC_W + 2 * KC_IHALO)
#define ROUND_UP(n)      (((n) + KP_VW - 1) / KP_VW * KP_VW)
#define TAIL             (KC_C % KP_VW)
#if TAIL
KILN_VECTOR_TAIL(KP_VW, TAIL)
#endif

#if KC_MASK
#define MASK_PARAM      KILN_GLOBAL const float *KILN_RESTRICT mask,
#define ON_BOARD(point) (mask[point] != 0.0f)
#else
#define MASK_PARAM
#define ON_BOARD(point) 1
#endif

/* The sum over the board of VW channels; rows apart: a long chain of additions loses more. */
#define SUM_CHANNELS(LOAD_, sum)                                                                                       \
    do {                                                                                                               \
        sum = (VECTOR)(0.0f);                                                                                          \
        for (int y = 0; y < KC_H; y++) {                                                                               \
            VECTOR row = (VECTOR)(0.0f);                                                                               \
            for (int x = 0; x < KC_W; x++)                                                                             \
                if (ON_BOARD((size_t)item * (KC_H * KC_W) + y * KC_W + x))                                             \
                    row += LOAD_(board + (y * PADDED_W + x) * KC_C + channel);                                         \
            sum += row;                                                                                                \
        }                                                                                                              \
    } while (0)

#define SCALE_CHANNELS(LOAD_, STORE_)                                                                                  \
    do {                                                                                                               \
        const VECTOR gate = LOAD(gates + channel), scale = KILN_SIGMOID(VECTOR, gate);                                 \
        for (int y = 0; y < KC_H; y++)                                                                                 \
            for (int x = 0; x < KC_W; x++) {                                                                           \
                const int point = item * (KC_H * KC_W) + y * KC_W + x;                                                 \
                const size_t row = (size_t)item * (KC_H + 2 * KC_OHALO) + y + KC_OHALO;                                \
                VECTOR value = LOAD_(board + (y * PADDED_W + x) * KC_C + channel) * scale;                             \
                if (KC_FORM == 2)                                                                                      \
                    value += LOAD(gates + GATES - KC_C + channel);                                                     \
                KILN_EPILOGUE(VECTOR, LOAD_, STORE_, value, item, point, channel, KC_C);                               \
                STORE_(value, output + (row * (KC_W + 2 * KC_OHALO) + x + KC_OHALO) * KC_C + channel);                 \
            }                                                                                                          \
    } while (0)

/* out = in w + b. Four vectors at once keep the multiply-adds of one from waiting for each other. */
KILN_INLINE void dense(KILN_LOCAL const float *in, KILN_GLOBAL const float *w, KILN_GLOBAL const float *b,
                       KILN_LOCAL float *out, int depth, int width) {
    int j = 0;
    KILN_UNROLL_NONE
    for (; j + 4 * KP_VW <= width; j += 4 * KP_VW) {
        VECTOR acc[4];
        KILN_UNROLL_ALL
        for (int q = 0; q < 4; q++)
            acc[q] = LOAD(b + j + q * KP_VW);
        KILN_UNROLL_NONE
        for (int k = 0; k < depth; k++)
            KILN_UNROLL_ALL
            for (int q = 0; q < 4; q++)
                acc[q] = KILN_FMA((VECTOR)(in[k]), LOAD(w + (size_t)k * width + j + q * KP_VW), acc[q]);
        KILN_UNROLL_ALL
        for (int q = 0; q < 4; q++)
            STORE(acc[q], out + j + q * KP_VW);
    }
    KILN_UNROLL_NONE
    for (; j + KP_VW <= width; j += KP_VW) {
        VECTOR acc = LOAD(b + j);
        for (int k = 0; k < depth; k++)
            acc = KILN_FMA((VECTOR)(in[k]), LOAD(w + (size_t)k * width + j), acc);
        STORE(acc, out + j);
    }
    KILN_UNROLL_NONE
    for (; j < width; j++) {
        float acc = b[j];
        for (int k = 0; k < depth; k++)
            acc = KILN_FMA(in[k], w[(size_t)k * width + j], acc);
        out[j] = acc;
    }
}

KILN_KERNEL(se_block_fused, 1, 1, 1)
(KILN_GLOBAL const float *input, MASK_PARAM KILN_GLOBAL const float *KILN_RESTRICT w1,
 KILN_GLOBAL const float *KILN_RESTRICT b1, KILN_GLOBAL const float *KILN_RESTRICT w2,
 KILN_GLOBAL const float *KILN_RESTRICT b2, KILN_EPILOGUE_PARAMS KILN_GLOBAL float *output
 KILN_DYNAMIC_LOCAL_ARG(float, scratch)) {
    KILN_LOCAL float *mean = scratch;
    KILN_LOCAL float *z = mean + ROUND_UP(KC_C);
    KILN_LOCAL float *gates = z + ROUND_UP(KC_R); /* a vector longer, for the last one to reach past the end */
    const int item = KILN_GROUP_X();
    KILN_GLOBAL const float *board =
        input + (((size_t)item * (KC_H + 2 * KC_IHALO) + KC_IHALO) * PADDED_W + KC_IHALO) * KC_C;

    int count = 0;
    for (int point = 0; point < KC_H * KC_W; point++)
        count += ON_BOARD((size_t)item * (KC_H * KC_W) + point);
    const float share = 1.0f / (float)(count > 0 ? count : 1);
    int channel = 0;
    KILN_UNROLL_NONE
    for (; channel + KP_VW <= KC_C; channel += KP_VW) {
        VECTOR sum;
        SUM_CHANNELS(LOAD, sum);
        STORE(sum * share, mean + channel);
    }
#if TAIL
    VECTOR sum;
    SUM_CHANNELS(load_tail, sum);
    STORE(sum * share, mean + channel);
#endif

    dense(mean, w1, b1, z, KC_C, KC_R);
    for (int j = 0; j < KC_R; j++)
        z[j] = z[j] < 0.0f ? 0.0f : z[j];
    dense(z, w2, b2, gates, KC_R, GATES);

    channel = 0;
    KILN_UNROLL_NONE
    for (; channel + KP_VW <= KC_C; channel += KP_VW)
        SCALE_CHANNELS(LOAD, STORE);
#if TAIL
    SCALE_CHANNELS(load_tail, store_tail);
#endif
}
