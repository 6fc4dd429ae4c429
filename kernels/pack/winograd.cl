/* Transforms the weights of a 3 x 3 convolution for Winograd's F(m x m, 3 x 3) and packs them into panels of KC_NB
 * output channels, the last one filled up with zeros.
 *
 *     from [3][3][ic][oc]                      to [panel][point][ic][NB]
 *     w w w                      u u u u u u
 *     w w w   of (ic, oc)  --->  u u u u u u   one element in each of the (m + 2)^2 points
 *     w w w                      ...
 *
 * Grid: x = input channels x padded output channels, 64 a group. */
#include "winograd_transform.h"

#ifndef KC_NB
#define KC_NB 16
#endif

KILN_KERNEL(pack_winograd, 64, 1, 1)
(KILN_GLOBAL const KILN_STORED *KILN_RESTRICT from, KILN_GLOBAL float *KILN_RESTRICT to, int ic, int oc) {
    const int padded = (oc + KC_NB - 1) / KC_NB * KC_NB;
    const size_t index = KILN_GLOBAL_X();
    if (index >= (size_t)ic * padded)
        return;
    const int input = (int)(index / padded), output = (int)(index % padded);

    float partly[KILN_WINOGRAD_EDGE][3]; /* [y of the points][x of the weights] */
    for (int x = 0; x < 3; x++) {
        float w[3], u[KILN_WINOGRAD_EDGE];
        for (int y = 0; y < 3; y++)
            w[y] = output < oc ? KILN_LOAD_STORED(from + ((size_t)(y * 3 + x) * ic + input) * oc + output) : 0.0f;
        kiln_winograd_weights(w, u);
        for (int y = 0; y < KILN_WINOGRAD_EDGE; y++)
            partly[y][x] = u[y];
    }
    KILN_GLOBAL float *panel = to + (size_t)(output / KC_NB) * KILN_WINOGRAD_POINTS * ic * KC_NB;
    for (int y = 0; y < KILN_WINOGRAD_EDGE; y++) {
        float u[KILN_WINOGRAD_EDGE];
        kiln_winograd_weights(partly[y], u);
        for (int x = 0; x < KILN_WINOGRAD_EDGE; x++)
            panel[((size_t)(y * KILN_WINOGRAD_EDGE + x) * ic + input) * KC_NB + output % KC_NB] = u[x];
    }
}
