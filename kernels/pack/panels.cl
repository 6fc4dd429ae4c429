/* Packs a row-major matrix into panels of KC_NB columns, the last one filled up with zeros: what the vec variants
 * read in one run.
 *
 *     from [rows][columns]              to [panel][rows][NB]
 *     +-----+-----+---+                 +-----+
 *     |  0  |  1  | 2 |                 |  0  |  rows x NB, contiguous
 *     |     |     |   |                 +-----+
 *     +-----+-----+---+                 |  1  |
 *      <NB->                            +---+-+
 *                                       | 2 |0|
 *                                       +---+-+
 * Grid: x = all elements of `to`, 64 a group. */
#include "dialect.h"

#ifndef KC_NB
#define KC_NB 16
#endif

KILN_KERNEL(pack_panels, 64, 1, 1)
(KILN_GLOBAL const float *KILN_RESTRICT from, KILN_GLOBAL float *KILN_RESTRICT to, int rows, int columns) {
    const int panels = (columns + KC_NB - 1) / KC_NB;
    const size_t index = KILN_GLOBAL_X();
    if (index >= (size_t)panels * rows * KC_NB)
        return;
    const int panel = (int)(index / ((size_t)rows * KC_NB)), row = (int)(index / KC_NB % rows);
    const int column = panel * KC_NB + (int)(index % KC_NB);
    to[index] = column < columns ? from[(size_t)row * columns + column] : 0.0f;
}
