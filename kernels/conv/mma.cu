/* Implicit GEMM on matrix cores (mma_tile.h): rows are board points, columns output channels, the depth is the input
 * channels of one tap after the other. A row of a is put together from the taps' pixels while it is copied.
 *
 *     output [points][OC] = (a [points][KH * KW * IC]) x weights, whose channels pack/columns.cu made rows of
 *
 * Taps outside of the board are filled with zeros, unless the input's halo has those. Points and channels past the end
 * repeat the last one; what comes of them is not stored.
 *
 * With SPLIT = 1 one kernel does all. Else each of SPLIT work-groups sums a part of the depth, and conv_mma_sum adds up
 * the parts: for boards that are too few to give every unit work.
 *
 * Grid of the product: x = tiles of points, y = tiles of channels, z = parts of the depth. */
#include "epilogue.h"
#include "mma_tile.h"

#ifndef KC_H
#    define KC_H 19
#endif
#ifndef KC_W
#    define KC_W 19
#endif
#ifndef KC_IC
#    define KC_IC 96
#endif
#ifndef KC_OC
#    define KC_OC 96
#endif
#ifndef KC_KH
#    define KC_KH 3
#endif
#ifndef KC_KW
#    define KC_KW 3
#endif
#ifndef KC_IHALO
#    define KC_IHALO 0
#endif
#ifndef KC_OHALO
#    define KC_OHALO 0
#endif

#define K            (KC_KH * KC_KW * KC_IC)
#define PITCH        (KC_W + 2 * KC_IHALO) /* pixels of a row of the input */
#define LEAVES_INPUT (KC_KH / 2 > KC_IHALO || KC_KW / 2 > KC_IHALO)
#define V            MMA_VECTOR(KC_OC)
typedef floats<V> vector;

/* A tile of the inputs of TM points from `first` on. */
struct input_tile {
    typedef mma_share<KP_TM, MMA_COPY_BYTES(KC_IC)> share;
    const KILN_STORED *input;
    int pixel[share::OF_ITEM]; /* the first element of the point's pixel */
    int y[share::OF_ITEM], x[share::OF_ITEM];

    MMA_INLINE input_tile(const KILN_STORED *input, int first, int points) : input(input) {
        KILN_UNROLL_ALL
        for (int i = 0; i < share::OF_ITEM; i++) {
            const int row = first + share::row(i), point = row < points ? row : points - 1;
            y[i] = point / KC_W % KC_H;
            x[i] = point % KC_W;
            const int line = point / (KC_H * KC_W) * (KC_H + 2 * KC_IHALO) + y[i] + KC_IHALO;
            pixel[i] = (line * PITCH + x[i] + KC_IHALO) * KC_IC;
        }
    }
    MMA_INLINE void copy(unsigned to, int k0) const {
        KILN_UNROLL_ALL
        for (int i = 0; i < share::OF_ITEM; i++) {
            const int k = k0 + share::elem(i), tap = k / KC_IC;
            const int dy = tap / KC_KW - KC_KH / 2, dx = tap % KC_KW - KC_KW / 2;
            const int from = (dy * PITCH + dx) * KC_IC + k % KC_IC;
            bool inside = K % KP_TK == 0 || k < K;
            if (LEAVES_INPUT)
                inside = inside && (unsigned)(y[i] + dy) < KC_H && (unsigned)(x[i] + dx) < KC_W;
            if (share::exists(i))
                mma_copy<share::BYTES>(to + share::to(i), input + (inside ? pixel[i] + from : 0), inside);
        }
    }
};

/* Calls store(point, channel, vector) for the results of the work-group. */
template <class STORE>
KILN_INLINE void product(const KILN_STORED *input, const KILN_STORED *packed, int points, uint4 *local, STORE store) {
    const mma_place place = mma_where();
    const input_tile a_tile(input, place.row, points);
    const mma_matrix<KP_TN, MMA_PACKED_PITCH(K)> b_tile(packed, place.column, KC_OC);
    float acc[MMA_ROWS][MMA_COLUMNS][4];
    mma_ring(mma_address(local), MMA_FIRST(K), MMA_LAST(K), acc, [&](int tile, unsigned stage) {
        a_tile.copy(stage, tile * KP_TK);
        b_tile.copy(stage + MMA_A_BYTES, tile * KP_TK);
    });
    mma_results<V>((float *)local, acc, [&](int row, int column, vector x) {
        if (place.row + row < points && place.column + column < KC_OC)
            store(place.row + row, place.column + column, x);
    });
}

KILN_INLINE KILN_STORED *pixel_of(KILN_STORED *output, int board, int point) {
    const int y = point / KC_W % KC_H, x = point % KC_W;
    const int row = board * (KC_H + 2 * KC_OHALO) + y + KC_OHALO;
    return output + ((size_t)row * (KC_W + 2 * KC_OHALO) + x + KC_OHALO) * KC_OC;
}

#if KP_SPLIT == 1
KILN_KERNEL(conv_mma, MMA_ITEMS, 1, 1)
(const KILN_STORED *KILN_RESTRICT input, const KILN_STORED *KILN_RESTRICT packed,
 KILN_EPILOGUE_PARAMS KILN_STORED *output, int points) {
    KILN_DYNAMIC_LOCAL(uint4, local);
    product(input, packed, points, local, [&](int point, int channel, vector x) {
        const int board = point / (KC_H * KC_W);
        KILN_EPILOGUE(vector, floats_load<V>, floats_store, x, board, point, channel, KC_OC);
        floats_store(x, pixel_of(output, board, point) + channel);
    });
}
#else
KILN_KERNEL(conv_mma, MMA_ITEMS, 1, 1)
(const KILN_STORED *KILN_RESTRICT input, const KILN_STORED *KILN_RESTRICT packed, float *KILN_RESTRICT parts,
 int points) {
    KILN_DYNAMIC_LOCAL(uint4, local);
    product(input, packed, points, local, [&](int point, int channel, vector x) {
        floats_store(x, parts + ((size_t)KILN_GROUP_Z() * points + point) * KC_OC + channel);
    });
}

KILN_KERNEL(conv_mma_sum, 64, 1, 1)
(const float *KILN_RESTRICT parts, KILN_EPILOGUE_PARAMS KILN_STORED *output, int points) {
    const size_t at = KILN_GLOBAL_X() * V, results = (size_t)points * KC_OC;
    if (at >= results)
        return;
    const int point = (int)(at / KC_OC), channel = (int)(at % KC_OC), board = point / (KC_H * KC_W);
    vector x = mma_sum<V>(parts, results, at);
    KILN_EPILOGUE(vector, floats_load<V>, floats_store, x, board, point, channel, KC_OC);
    floats_store(x, pixel_of(output, board, point) + channel);
}
#endif
