/* The reference convolution: one work-item computes KC_SIDE outputs next to each other, each in the
 * order of the formula, so that a compiler for CPUs makes vectors of them.
 *
 *     output[n][y][x][o] = epilogue( sum over ky, kx, i of
 *                          input[n][y + ky - kh/2][x + kx - kw/2][i] * weights[ky][kx][i][o] )
 *
 *     board + halo          tile: one output
 *     . . . . . .           inputs outside of the board count as zero and are not read, so the halo may hold anything
 *     . o o o o .
 *     . o x o o .     x <- kh x kw x ic products for each output
 *     . . . . . .
 *
 * Grid: x = all outputs by KC_SIDE, channels fastest, 64 a group. */
#include "dialect.h"
#include "epilogue.h"

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
#ifndef KC_IHALO
#define KC_IHALO 0
#endif
#ifndef KC_OHALO
#define KC_OHALO 0
#endif
#ifndef KC_SIDE /* divides KC_OC */
#define KC_SIDE 1
#endif

KILN_KERNEL(conv_ref, 64, 1, 1)
(KILN_GLOBAL const KILN_STORED *KILN_RESTRICT input, KILN_GLOBAL const KILN_STORED *KILN_RESTRICT weights,
 KILN_EPILOGUE_PARAMS KILN_GLOBAL KILN_STORED *output, int points) {
    const size_t index = KILN_GLOBAL_X() * KC_SIDE;
    if (index >= (size_t)points * KC_OC)
        return;
    const int channel = (int)(index % KC_OC), point = (int)(index / KC_OC);
    const int item = point / (KC_H * KC_W), y = point / KC_W % KC_H, x = point % KC_W;

    float acc[KC_SIDE];
    for (int j = 0; j < KC_SIDE; j++)
        acc[j] = 0.0f;
    for (int ky = 0; ky < KC_KH; ky++)
        for (int kx = 0; kx < KC_KW; kx++) {
            const int iy = y + ky - KC_KH / 2, ix = x + kx - KC_KW / 2;
            if (iy < 0 || iy >= KC_H || ix < 0 || ix >= KC_W)
                continue;
            const size_t row = (size_t)item * (KC_H + 2 * KC_IHALO) + iy + KC_IHALO;
            KILN_GLOBAL const KILN_STORED *from = input + (row * (KC_W + 2 * KC_IHALO) + ix + KC_IHALO) * KC_IC;
            KILN_GLOBAL const KILN_STORED *w = weights + (size_t)(ky * KC_KW + kx) * KC_IC * KC_OC + channel;
            for (int i = 0; i < KC_IC; i++)
                for (int j = 0; j < KC_SIDE; j++)
                    acc[j] = KILN_FMA(KILN_LOAD_STORED(from + i), KILN_LOAD_STORED(w + (size_t)i * KC_OC + j), acc[j]);
        }

    const size_t row = (size_t)item * (KC_H + 2 * KC_OHALO) + y + KC_OHALO;
    KILN_GLOBAL KILN_STORED *to = output + (row * (KC_W + 2 * KC_OHALO) + x + KC_OHALO) * KC_OC + channel;
    KILN_UNROLL_NONE /* an epilogue for each would take seconds to compile */
    for (int j = 0; j < KC_SIDE; j++) {
        float value = acc[j];
        KILN_EPILOGUE(float, KILN_SCALAR_LOAD, KILN_SCALAR_STORE, value, item, point, channel + j, KC_OC);
        KILN_STORE_STORED(value, to + j);
    }
}
