/* Direct convolution on CPU vectors: one work-item computes MR board points x NV vectors of VW channels.
 *
 *               NV * VW channels of one block
 *            <------------------------------->
 *            acc[0][0]  acc[0][1] ... acc[0][NV-1]   point 0   <- broadcast of row[0][k]
 *            acc[1][0]  acc[1][1] ... acc[1][NV-1]   point 1   <- broadcast of row[1][k]
 *            ...
 *            acc[MR-1][0] ...                        point MR-1
 *                 ^ packed[block][k][NV * VW]
 *
 * k runs over kh * kw * ic. A point's kw * ic inputs of one kernel row are contiguous in NHWC, and so are the packed
 * weights, so the inner loop is two running pointers. Points are numbered across rows and items of the batch; each has
 * its own pointer, so no tile is cut short by an edge of the board. Points past the last read the last one's inputs
 * and store nothing. The input has a zero halo of KC_PAD >= kernel / 2; conv_pad makes one that lacks it.
 *
 * Grid: x = tiles of points (neighbours share the block's weights), y = blocks of channels. */
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
#ifndef KC_IHALO /* of the problem's input */
#define KC_IHALO 1
#endif
#ifndef KC_PAD /* of the input that conv_vec reads: KC_IHALO, or that of conv_pad's output */
#define KC_PAD 1
#endif
#ifndef KC_OHALO
#define KC_OHALO 0
#endif

#define VECTOR           KILN_VECTOR(KP_VW)
#define LOAD(from)       KILN_VECTOR_LOAD(KP_VW, from)
#define STORE(value, to) KILN_VECTOR_STORE(KP_VW, value, to)
#define BLOCK            (KP_NV * KP_VW)
#define RUN              (KC_KW * KC_IC) /* inputs in one row under the kernel */
#define PADDED_W         (KC_W + 2 * KC_PAD)
#define PADDED_H         (KC_H + 2 * KC_PAD)

/* The compiler unrolls a loop whole if its length is no multiple of what was asked for: seconds, and slow code. */
#if RUN % KP_UNROLL == 0
#define UNROLL KP_UNROLL
#elif RUN % 2 == 0
#define UNROLL 2
#else
#define UNROLL 1
#endif

/* The last vector of a row may reach past the last channel. */
#define TAIL (KC_OC % KP_VW)
#if TAIL
KILN_VECTOR_TAIL(KP_VW, TAIL)
#endif

KILN_INLINE size_t padded_pixel(int point, int halo, int dy, int dx) {
    const int item = point / (KC_H * KC_W), y = point / KC_W % KC_H, x = point % KC_W;
    return ((size_t)item * (KC_H + 2 * halo) + y + dy) * (KC_W + 2 * halo) + x + dx;
}

/* Unrolled, results go from register to memory. A long epilogue would take seconds to compile that often. */
#if TAIL || KC_EP_ACT > 1
#define EPILOGUE_UNROLL KILN_UNROLL_NONE
#else
#define EPILOGUE_UNROLL KILN_UNROLL_ALL
#endif

KILN_KERNEL(conv_vec, 1, 1, 1)
(KILN_GLOBAL const float *KILN_RESTRICT input, KILN_GLOBAL const float *KILN_RESTRICT packed,
 KILN_EPILOGUE_PARAMS KILN_GLOBAL float *output, int points) {
    const int first = KILN_GROUP_X() * KP_MR, block = KILN_GROUP_Y();
    KILN_GLOBAL const float *weights = packed + (size_t)block * (KC_KH * KC_KW * KC_IC * BLOCK);

    KILN_GLOBAL const float *row[KP_MR];
    VECTOR acc[KP_MR][KP_NV];
    KILN_UNROLL_ALL
    for (int i = 0; i < KP_MR; i++) {
        const int point = first + i < points ? first + i : points - 1;
        row[i] = input + padded_pixel(point, KC_PAD, KC_PAD - KC_KH / 2, KC_PAD - KC_KW / 2) * KC_IC;
        KILN_UNROLL_ALL
        for (int j = 0; j < KP_NV; j++)
            acc[i][j] = (VECTOR)(0.0f);
    }

    KILN_UNROLL_NONE
    for (int ky = 0; ky < KC_KH; ky++) {
        KILN_UNROLL(UNROLL)
        for (int k = 0; k < RUN; k++) {
            VECTOR w[KP_NV];
            KILN_UNROLL_ALL
            for (int j = 0; j < KP_NV; j++)
                w[j] = LOAD(weights + j * KP_VW);
            weights += BLOCK;
            KILN_UNROLL_ALL
            for (int i = 0; i < KP_MR; i++) {
                const VECTOR x = (VECTOR)(row[i][k]);
                KILN_UNROLL_ALL
                for (int j = 0; j < KP_NV; j++)
                    acc[i][j] = KILN_FMA(x, w[j], acc[i][j]);
            }
        }
        KILN_UNROLL_ALL
        for (int i = 0; i < KP_MR; i++)
            row[i] += PADDED_W * KC_IC;
    }

    /* A copy that loops which are not unrolled may index: the accumulators themselves must stay in registers. */
    VECTOR result[KP_MR][KP_NV];
    KILN_UNROLL_ALL
    for (int i = 0; i < KP_MR; i++)
        KILN_UNROLL_ALL
    for (int j = 0; j < KP_NV; j++)
        result[i][j] = acc[i][j];

    EPILOGUE_UNROLL
    for (int i = 0; i < KP_MR; i++) {
        const int point = first + i;
        if (point >= points)
            continue;
        KILN_GLOBAL float *to = output + padded_pixel(point, KC_OHALO, KC_OHALO, KC_OHALO) * KC_OC;
        EPILOGUE_UNROLL
        for (int j = 0; j < KP_NV; j++) {
            const int channel = block * BLOCK + j * KP_VW;
            VECTOR x = result[i][j];
            if (channel + KP_VW <= KC_OC) {
                KILN_EPILOGUE(VECTOR, LOAD, STORE, x, point / (KC_H * KC_W), point, channel, KC_OC);
                STORE(x, to + channel);
            }
#if TAIL
            else if (channel < KC_OC) {
                KILN_EPILOGUE(VECTOR, load_tail, store_tail, x, point / (KC_H * KC_W), point, channel, KC_OC);
                store_tail(x, to + channel);
            }
#endif
        }
    }
}

#if KC_PAD > KC_IHALO
/* Copies the board into a zero halo of KC_PAD. Grid: x = rows of all padded boards. */
KILN_KERNEL(conv_pad, 1, 1, 1)
(KILN_GLOBAL const float *KILN_RESTRICT input, KILN_GLOBAL float *KILN_RESTRICT padded) {
    const int item = KILN_GROUP_X() / PADDED_H, y = KILN_GROUP_X() % PADDED_H - KC_PAD;
    KILN_GLOBAL float *to = padded + (size_t)KILN_GROUP_X() * (PADDED_W * KC_IC);
    KILN_GLOBAL const float *from =
        input + (((size_t)item * (KC_H + 2 * KC_IHALO) + y + KC_IHALO) * (KC_W + 2 * KC_IHALO) + KC_IHALO) * KC_IC;
    const int on_board = y >= 0 && y < KC_H;
    for (int i = 0; i < PADDED_W * KC_IC; i++) {
        const int k = i - KC_PAD * KC_IC;
        to[i] = on_board && k >= 0 && k < KC_W * KC_IC ? from[k] : 0.0f;
    }
}
#endif
