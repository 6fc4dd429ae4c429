/* On CPU vectors: one work-item computes ROWS rows of a board, VW channels of all its points after another, so that a
 * gate is computed once for many points.
 *
 *     input [h][w][c]                     gates [n]
 *       x x x x . . . .  x x x x . . . .    s s s s . . . . | t t t t . . . .
 *       x x x x . . . .  x x x x . . . .
 *       <--VW-->
 *
 * The last vector may reach past the last channel; what is past it is neither read nor written.
 *
 * Grid: x = blocks of rows of a board, y = items. */
#include "dialect.h"
#include "epilogue.h"

#ifndef KP_VW
#define KP_VW 8
#endif
#ifndef KP_ROWS
#define KP_ROWS 4
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
#ifndef KC_FORM /* of affine.c: 1 scale, 2 shift, 3 both */
#define KC_FORM 3
#endif
#ifndef KC_GATE /* 1: the scale goes through a sigmoid */
#define KC_GATE 0
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
#define GATES            (KC_FORM == 3 ? 2 * KC_C : KC_C)
#define TAIL             (KC_C % KP_VW)
#if TAIL
KILN_VECTOR_TAIL(KP_VW, TAIL)
#endif

#if KC_FORM == 2
#define AFFINE(x) (x + shift)
#elif KC_FORM == 1
#define AFFINE(x) (x * scale)
#else
#define AFFINE(x) KILN_FMA(x, scale, shift)
#endif

/* LOAD_ and STORE_ are those of a whole vector, or of the last one. */
#define CHANNELS(LOAD_, STORE_)                                                                                        \
    do {                                                                                                               \
        VECTOR scale = LOAD_(gate + channel), shift = LOAD_(gate + GATES - KC_C + channel);                            \
        if (KC_GATE)                                                                                                   \
            scale = KILN_SIGMOID(VECTOR, scale);                                                                       \
        for (int y = first; y < end; y++)                                                                              \
            for (int x = 0; x < KC_W; x++) {                                                                           \
                const int point = (item * KC_H + y) * KC_W + x;                                                        \
                const size_t row_in = (size_t)item * (KC_H + 2 * KC_IHALO) + y + KC_IHALO;                             \
                const size_t row_out = (size_t)item * (KC_H + 2 * KC_OHALO) + y + KC_OHALO;                            \
                VECTOR value = LOAD_(input + (row_in * (KC_W + 2 * KC_IHALO) + x + KC_IHALO) * KC_C + channel);        \
                value = AFFINE(value);                                                                                 \
                KILN_EPILOGUE(VECTOR, LOAD_, STORE_, value, item, point, channel, KC_C);                               \
                STORE_(value, output + (row_out * (KC_W + 2 * KC_OHALO) + x + KC_OHALO) * KC_C + channel);             \
            }                                                                                                          \
    } while (0)

KILN_KERNEL(affine_vec, 1, 1, 1)
(KILN_GLOBAL const float *input, KILN_GLOBAL const float *KILN_RESTRICT gates, KILN_EPILOGUE_PARAMS
 KILN_GLOBAL float *output) {
    const int first = KILN_GROUP_X() * KP_ROWS, end = first + KP_ROWS < KC_H ? first + KP_ROWS : KC_H;
    const int item = KILN_GROUP_Y();
    KILN_GLOBAL const float *gate = gates + (size_t)item * GATES;
    int channel = 0;
    KILN_UNROLL_NONE
    for (; channel + KP_VW <= KC_C; channel += KP_VW)
        CHANNELS(LOAD, STORE);
#if TAIL
    CHANNELS(load_tail, store_tail);
#endif
}
