/* Makes rows of a matrix's columns, filled up with zeros to whole chunks of 16 bytes: what the mma variants read.
 * f32 is rounded to tf32.
 *
 *     from [rows][columns]             to [columns][PITCH]
 *     +---------------+                +----------+-+
 *     | a b c d       |                | a         0|
 *     |               |      ->        | b         0|
 *     +---------------+                | c         0|
 *                                      | d         0|
 *                                      +----------+-+
 *
 * A work-group moves 32 x 32 through local memory, so that both sides are runs of 32 elements; a column of padding
 * keeps them in different banks.
 *
 * Grid: x = tiles of PITCH, y = tiles of columns. Group: 32 x 8. */
#include "mma_tile.h"

KILN_KERNEL(pack_columns, 32, 8, 1)
(const KILN_STORED *KILN_RESTRICT from, KILN_STORED *KILN_RESTRICT to, int rows, int columns) {
    KILN_LOCAL_ARRAY KILN_STORED tile[32][33];
    const int first_row = KILN_GROUP_X() * 32, first_column = KILN_GROUP_Y() * 32, pitch = MMA_PACKED_PITCH(rows);
    for (int i = KILN_ITEM_Y(); i < 32; i += 8) {
        const int row = first_row + i, column = first_column + KILN_ITEM_X();
        tile[i][KILN_ITEM_X()] = row < rows && column < columns ? from[(size_t)row * columns + column] : (KILN_STORED)0;
    }
    KILN_BARRIER();
    for (int i = KILN_ITEM_Y(); i < 32; i += 8) {
        const int row = first_row + KILN_ITEM_X(), column = first_column + i;
        if (row < pitch && column < columns)
            to[(size_t)column * pitch + row] = mma_packed(tile[KILN_ITEM_X()][i]);
    }
}
