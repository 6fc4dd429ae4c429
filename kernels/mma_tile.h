/* A tile of a matrix product on matrix cores (mma.h): a work-group computes TM x TN outputs, TK products at a time,
 * from a ring of STAGES tiles of a and b in shared memory which asynchronous copies fill; a warp computes WM x WN of
 * them. Shared by gemm and conv, which say where rows come from and go to.
 *
 *                      b: TN rows of TK, as packed                A row of a tile is TK elements, in chunks of 16
 * bytes.
 *                      +-----------+                              Chunk c of row r lies where c ^ f(r) would, so that
 *                   TK |           |                              ldmatrix and the copies meet no bank twice.
 *                      +-----------+
 *              TK        TN
 *            +----+    +-----+-----+
 *            |    |    |  w  |     |  WM
 *    a:   TM |    |    +-----+-----+      w: the part of one warp
 *            |    |    |     |     |
 *            +----+    +-----+-----+
 *                         WN
 */
#ifndef KILN_MMA_TILE_H
#define KILN_MMA_TILE_H

#include "floats.h"
#include "mma.h"

#ifndef KP_TM
#    define KP_TM 128
#endif
#ifndef KP_TN
#    define KP_TN 128
#endif
#ifndef KP_TK
#    define KP_TK 32
#endif
#ifndef KP_WM
#    define KP_WM 64
#endif
#ifndef KP_WN
#    define KP_WN 64
#endif
#ifndef KP_STAGES
#    define KP_STAGES 3
#endif
#ifndef KP_SPLIT
#    define KP_SPLIT 1
#endif

#define MMA_INLINE     __device__ __forceinline__ /* in a class */
#define MMA_ELEM_BYTES (KC_TYPE == 0 ? 4 : 2)
#define MMA_WARPS_N    (KP_TN / KP_WN)
#define MMA_WARPS      (KP_TM / KP_WM * MMA_WARPS_N)
#define MMA_ITEMS      (32 * MMA_WARPS)
#define MMA_ROW_BYTES  (KP_TK * MMA_ELEM_BYTES)
#define MMA_CHUNKS     (MMA_ROW_BYTES / 16)
#define MMA_A_BYTES    (KP_TM * MMA_ROW_BYTES)
#define MMA_STAGE      (MMA_A_BYTES + KP_TN * MMA_ROW_BYTES)
#define MMA_ROWS       (KP_WM / 16) /* products a warp's tile is high ... */
#define MMA_COLUMNS    (KP_WN / 8)  /* ... and wide */

/* ---- which tile: of the work-group, and of the depth if that is split over work-groups ---- */

struct mma_place {
    int row, column; /* first of the tile */
};

/* Work-groups start in the order of their index. Those under way at once make up BAND tiles of rows by a few of
 * columns, not one by many, so that they find each other's rows of a and b in the second cache. */
KILN_INLINE mma_place mma_where() {
    enum { BAND = 8 };
    const int tiles = (int)gridDim.x, index = KILN_GROUP_Y() * tiles + KILN_GROUP_X();
    const int of_band = BAND * (int)gridDim.y, first = index / of_band * BAND, inside = index % of_band;
    const int height = tiles - first < BAND ? tiles - first : BAND;
    return mma_place{(first + inside % height) * KP_TM, inside / height * KP_TN};
}

#define MMA_TILES(depth) (((depth) + KP_TK - 1) / KP_TK)
#define MMA_FIRST(depth) (MMA_TILES(depth) * KILN_GROUP_Z() / KP_SPLIT)
#define MMA_LAST(depth)  (MMA_TILES(depth) * (KILN_GROUP_Z() + 1) / KP_SPLIT)

/* ---- copies ---- */

/* Bytes from the start of a tile to chunk `chunk` of row `row`. Rows share a line of all 32 banks (128 bytes), or take
 * several; those that follow each other in the same place of a line get another order of chunks. */
KILN_INLINE int mma_swizzle(int row, int chunk) {
    const int rows_of_line = MMA_ROW_BYTES < 128 ? 128 / MMA_ROW_BYTES : 1, orders = MMA_CHUNKS < 8 ? MMA_CHUNKS : 8;
    return row * MMA_ROW_BYTES + 16 * (chunk ^ row / rows_of_line % orders);
}

/* The widest copy for rows of so many elements. */
#define MMA_COPY_BYTES(elems) ((elems)*MMA_ELEM_BYTES % 16 == 0 ? 16 : (elems)*MMA_ELEM_BYTES % 8 == 0 ? 8 : 4)

/* Packed weights: rows of whole 16-byte chunks, f32 rounded. */
#define MMA_PACKED_PITCH(depth) (((depth) + 16 / MMA_ELEM_BYTES - 1) / (16 / MMA_ELEM_BYTES) * (16 / MMA_ELEM_BYTES))

KILN_INLINE KILN_STORED mma_packed(KILN_STORED x) {
#if KC_TYPE == 0
    return __uint_as_float(mma_round_tf32(__float_as_uint(x)));
#else
    return x;
#endif
}

/* How the work-items share the copies of a tile of TILE rows, COPY_BYTES each: item's i-th is number item + i * ITEMS.
 */
template <int TILE, int COPY_BYTES> struct mma_share {
    enum {
        BYTES = COPY_BYTES,
        ELEMS = BYTES / MMA_ELEM_BYTES,
        OF_ROW = MMA_ROW_BYTES / BYTES,
        ALL = TILE * OF_ROW,
        OF_ITEM = (ALL + MMA_ITEMS - 1) / MMA_ITEMS
    };
    /* Where a step from copy to copy is whole rows, all are of the same part of a row, and if it is eight rows, in the
     * same place but for their distance: said here, since the compiler does not find it. */
    static MMA_INLINE int number(int i) { return KILN_ITEM_X() + i * MMA_ITEMS; }
    static MMA_INLINE bool exists(int i) { return ALL % MMA_ITEMS == 0 || number(i) < ALL; }
    static MMA_INLINE int row(int i) { return number(i) / OF_ROW; }
    static MMA_INLINE int piece(int i) { return number(MMA_ITEMS % OF_ROW == 0 ? 0 : i) % OF_ROW; }
    static MMA_INLINE int elem(int i) { /* of the row: the first that is copied */
        return piece(i) * ELEMS;
    }
    static MMA_INLINE int to(int i) {
        const int apart = MMA_ITEMS % (8 * OF_ROW) == 0 ? MMA_ITEMS / OF_ROW * MMA_ROW_BYTES : 0, like = apart ? 0 : i;
        const int byte = piece(like) * BYTES;
        return mma_swizzle(row(like), byte / 16) + byte % 16 + i * apart;
    }
};

/* A tile of TILE rows of a matrix [rows][PITCH], from row `first` on. */
template <int TILE, int PITCH> struct mma_matrix {
    typedef mma_share<TILE, MMA_COPY_BYTES(PITCH)> share;
    const KILN_STORED *from[share::OF_ITEM];

    MMA_INLINE mma_matrix(const KILN_STORED *matrix, int first, int rows) {
        KILN_UNROLL_ALL
        for (int i = 0; i < share::OF_ITEM; i++) {
            const int row = first + share::row(i);
            from[i] = matrix + (size_t)(row < rows ? row : rows - 1) * PITCH;
        }
    }
    /* From element k0 of the rows on; zeros after the last one. */
    MMA_INLINE void copy(unsigned to, int k0) const {
        KILN_UNROLL_ALL
        for (int i = 0; i < share::OF_ITEM; i++) {
            const int k = k0 + share::elem(i);
            const bool inside = PITCH % KP_TK == 0 || k < PITCH;
            if (share::exists(i))
                mma_copy<share::BYTES>(to + share::to(i), from[i] + (inside ? k : 0), inside);
        }
    }
};

/* ---- the product of one stage ---- */

KILN_INLINE void mma_stage(unsigned stage, float acc[MMA_ROWS][MMA_COLUMNS][4]) {
    const int item = KILN_ITEM_X(), lane = item % 32, warp = item / 32;
    const int a_row = warp / MMA_WARPS_N * KP_WM + lane % 16, a_chunk = lane / 16;
    const int b_row = warp % MMA_WARPS_N * KP_WN + lane % 8 + lane / 16 * 8, b_chunk = lane / 8 % 2;
    KILN_UNROLL_ALL
    for (int step = 0; step < MMA_CHUNKS / 2; step++) {
        unsigned a[MMA_ROWS][4], b[2 * MMA_COLUMNS];
        KILN_UNROLL_ALL
        for (int i = 0; i < MMA_ROWS; i++)
            mma_load(a[i], stage + mma_swizzle(a_row + 16 * i, 2 * step + a_chunk));
        KILN_UNROLL_ALL
        for (int j = 0; j < MMA_COLUMNS; j += 2)
            mma_load(b + 2 * j, stage + MMA_A_BYTES + mma_swizzle(b_row + 8 * j, 2 * step + b_chunk));
        if (KC_TYPE == 0) {
            KILN_UNROLL_ALL
            for (int i = 0; i < 4 * MMA_ROWS; i++)
                a[i / 4][i % 4] = mma_round_tf32(a[i / 4][i % 4]);
        }
        KILN_UNROLL_ALL
        for (int i = 0; i < MMA_ROWS; i++) {
            KILN_UNROLL_ALL
            for (int j = 0; j < MMA_COLUMNS; j++)
                mma_product(acc[i][j], a[i], b + 2 * j);
        }
    }
}

/* ---- the ring: copy(tile, stage) starts the copies of a tile to a stage ---- */

template <class COPY>
KILN_INLINE void mma_ring(unsigned ring, int first, int last, float acc[MMA_ROWS][MMA_COLUMNS][4], COPY copy) {
    KILN_UNROLL_ALL
    for (int i = 0; i < MMA_ROWS; i++) {
        KILN_UNROLL_ALL
        for (int j = 0; j < 4 * MMA_COLUMNS; j++)
            acc[i][j / 4][j % 4] = 0.0f;
    }
    KILN_UNROLL_ALL
    for (int s = 0; s < KP_STAGES - 1; s++) {
        if (first + s < last)
            copy(first + s, ring + s * MMA_STAGE);
        mma_commit();
    }
    unsigned from = ring, to = ring + (KP_STAGES - 1) * MMA_STAGE;
    const unsigned end = ring + KP_STAGES * MMA_STAGE;
    KILN_UNROLL_NONE
    for (int tile = first; tile < last; tile++) {
        mma_wait<KP_STAGES - 2>();
        KILN_BARRIER(); /* the tile is there for all, and all are done with the stage that is filled next */
        if (tile + KP_STAGES - 1 < last)
            copy(tile + KP_STAGES - 1, to);
        mma_commit();
        mma_stage(from, acc);
        from = from + MMA_STAGE == end ? ring : from + MMA_STAGE;
        to = to + MMA_STAGE == end ? ring : to + MMA_STAGE;
    }
    KILN_BARRIER(); /* the ring's memory may be used for something else */
}

/* ---- results: through shared memory, so that a lane gets V neighbours of a row and a warp whole pieces of rows ----
 */

#define MMA_STRIP_PITCH   (KP_WN + 8) /* floats: rows g and g + 1 write to banks 8 apart */
#define MMA_STRIP_BYTES   (16 * MMA_STRIP_PITCH * 4)
#define MMA_RESULTS_BYTES (MMA_WARPS * MMA_STRIP_BYTES)

/* Where column `column` of row `row` lies in a strip. Two neighbouring chunks change places in every other group of
 * eight, or lanes that read eight floats each would meet in half of the banks. */
KILN_INLINE int mma_strip(int row, int column) {
    const int chunk = column / 4, swap = (row * (KP_WN / 4) + chunk) / 8 % 2;
    return row * MMA_STRIP_PITCH + 4 * (chunk ^ swap) + column % 4;
}

/* Neighbours in a row of so many results that are stored at once: 16 bytes at most. Parts of a sum are floats. */
#define MMA_VECTOR(results)                                                                                            \
    ((results) % 8 == 0 && KC_TYPE != 0 && KP_SPLIT == 1 ? 8 : (results) % 4 == 0 ? 4 : (results) % 2 == 0 ? 2 : 1)

template <int V> KILN_INLINE floats<V> mma_strip_load(const float *strip, int row, int column) {
    floats<V> x;
    if constexpr (V == 1) {
        x.v[0] = strip[mma_strip(row, column)];
    } else if constexpr (V == 2) {
        const float2 pair = *(const float2 *)(strip + mma_strip(row, column));
        x.v[0] = pair.x, x.v[1] = pair.y;
    } else {
        KILN_UNROLL_ALL
        for (int k = 0; k < V; k += 4) {
            const float4 chunk = *(const float4 *)(strip + mma_strip(row, column + k));
            x.v[k] = chunk.x, x.v[k + 1] = chunk.y, x.v[k + 2] = chunk.z, x.v[k + 3] = chunk.w;
        }
    }
    return x;
}

/* Calls store(row, column, floats<V>) for every V results of the work-group's tile. */
template <int V, class STORE>
KILN_INLINE void mma_results(float *local, const float acc[MMA_ROWS][MMA_COLUMNS][4], STORE store) {
    const int item = KILN_ITEM_X(), lane = item % 32, warp = item / 32;
    const int tile_row = warp / MMA_WARPS_N * KP_WM, tile_column = warp % MMA_WARPS_N * KP_WN;
    float *strip = local + warp * (MMA_STRIP_BYTES / 4);
    KILN_UNROLL_ALL
    for (int i = 0; i < MMA_ROWS; i++) {
        KILN_UNROLL_ALL
        for (int j = 0; j < 2 * MMA_COLUMNS; j++) {
            float2 *to = (float2 *)(strip + mma_strip(lane / 4 + j % 2 * 8, j / 2 * 8 + lane % 4 * 2));
            *to = make_float2(acc[i][j / 2][j % 2 * 2], acc[i][j / 2][j % 2 * 2 + 1]);
        }
        __syncwarp();
        KILN_UNROLL_NONE
        for (int e = lane * V; e < 16 * KP_WN; e += 32 * V) {
            const int row = e / KP_WN, column = e % KP_WN;
            store(tile_row + 16 * i + row, tile_column + column, mma_strip_load<V>(strip, row, column));
        }
        __syncwarp();
    }
}

/* The sum of what the SPLIT parts of the depth came to: parts [SPLIT][results], from result `at` on. */
template <int V> KILN_INLINE floats<V> mma_sum(const float *parts, size_t results, size_t at) {
    floats<V> x = floats_load<V>(parts + at);
    KILN_UNROLL_ALL
    for (int part = 1; part < KP_SPLIT; part++)
        x = x + floats_load<V>(parts + part * results + at);
    return x;
}

#endif
