/* The reference: one work-item computes one output.
 *
 *     output[n][y][x][c] = epilogue( input[n][y][x][c] * gate(scale[n][c]) + shift[n][c] )
 *
 *     input [h][w][c]                  gates [n]
 *       x . . . x . . . x . . .          s . . . | t . . .     a scale, a shift or both for each item and channel
 *       x . . . x . . . x . . .
 *
 * Grid: x = all outputs, channels fastest, 64 a group. */
#include "dialect.h"
#include "epilogue.h"

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

#define GATES (KC_FORM == 3 ? 2 * KC_C : KC_C)

KILN_KERNEL(affine_ref, 64, 1, 1)
(KILN_GLOBAL const KILN_STORED *input, KILN_GLOBAL const KILN_STORED *KILN_RESTRICT gates, KILN_EPILOGUE_PARAMS
 KILN_GLOBAL KILN_STORED *output, int points) {
    const size_t index = KILN_GLOBAL_X();
    if (index >= (size_t)points * KC_C)
        return;
    const int channel = (int)(index % KC_C), point = (int)(index / KC_C);
    const int item = point / (KC_H * KC_W), y = point / KC_W % KC_H, x = point % KC_W;
    KILN_GLOBAL const KILN_STORED *gate = gates + (size_t)item * GATES + channel;

    const size_t row = (size_t)item * (KC_H + 2 * KC_IHALO) + y + KC_IHALO;
    float value = KILN_LOAD_STORED(input + (row * (KC_W + 2 * KC_IHALO) + x + KC_IHALO) * KC_C + channel);
#if KC_FORM != 2
    const float scale = KILN_LOAD_STORED(gate);
#if KC_GATE
    value = value * KILN_SIGMOID(float, scale);
#else
    value = value * scale;
#endif
#endif
#if KC_FORM != 1
    value = value + KILN_LOAD_STORED(gate + GATES - KC_C);
#endif
    KILN_EPILOGUE(float, KILN_SCALAR_LOAD, KILN_SCALAR_STORE, value, item, point, channel, KC_C);
    const size_t to = (size_t)item * (KC_H + 2 * KC_OHALO) + y + KC_OHALO;
    KILN_STORE_STORED(value, output + (to * (KC_W + 2 * KC_OHALO) + x + KC_OHALO) * KC_C + channel);
}
