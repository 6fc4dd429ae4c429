/* Matrix product on CPU vectors: one work-item computes MR rows x NV vectors of VW columns.
 *
 *               NV * VW columns of one panel
 *            <------------------------------->
 *            acc[0][0]  acc[0][1] ... acc[0][NV-1]   row 0   <- broadcast of a[0][k]
 *            acc[1][0]  acc[1][1] ... acc[1][NV-1]   row 1   <- broadcast of a[1][k]
 *            ...
 *            acc[MR-1][0] ...                        row MR-1
 *                 ^ packed[panel][k][NV * VW]
 *
 * Rows past the last read the last one and store nothing.
 *
 * Grid: x = tiles of rows (neighbours share the panel), y = panels. */
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
#define KP_UNROLL 4
#endif
#ifndef KC_N
#define KC_N 256
#endif
#ifndef KC_K
#define KC_K 256
#endif

#define VECTOR           KILN_VECTOR(KP_VW)
#define LOAD(from)       KILN_VECTOR_LOAD(KP_VW, from)
#define STORE(value, to) KILN_VECTOR_STORE(KP_VW, value, to)
#define PANEL            (KP_NV * KP_VW)

/* The compiler unrolls a loop whole if its length is no multiple of what was asked for: seconds, and slow code. */
#if KC_K % KP_UNROLL == 0
#define UNROLL KP_UNROLL
#elif KC_K % 2 == 0
#define UNROLL 2
#else
#define UNROLL 1
#endif

/* The last vector of a row may reach past the last column. */
#define TAIL (KC_N % KP_VW)
#if TAIL
KILN_VECTOR_TAIL(KP_VW, TAIL)
#endif

/* Unrolled, results go from register to memory. A long epilogue would take seconds to compile that often. */
#if TAIL || KC_EP_ACT > 1
#define EPILOGUE_UNROLL KILN_UNROLL_NONE
#else
#define EPILOGUE_UNROLL KILN_UNROLL_ALL
#endif

KILN_KERNEL(gemm_vec, 1, 1, 1)
(KILN_GLOBAL const float *KILN_RESTRICT a, KILN_GLOBAL const float *KILN_RESTRICT packed,
 KILN_EPILOGUE_PARAMS KILN_GLOBAL float *c, int rows) {
    const int first = KILN_GROUP_X() * KP_MR, panel = KILN_GROUP_Y();
    KILN_GLOBAL const float *b = packed + (size_t)panel * (KC_K * PANEL);

    KILN_GLOBAL const float *from[KP_MR];
    VECTOR acc[KP_MR][KP_NV];
    KILN_UNROLL_ALL
    for (int i = 0; i < KP_MR; i++) {
        from[i] = a + (size_t)(first + i < rows ? first + i : rows - 1) * KC_K;
        KILN_UNROLL_ALL
        for (int j = 0; j < KP_NV; j++)
            acc[i][j] = (VECTOR)(0.0f);
    }

    KILN_UNROLL(UNROLL)
    for (int k = 0; k < KC_K; k++) {
        VECTOR w[KP_NV];
        KILN_UNROLL_ALL
        for (int j = 0; j < KP_NV; j++)
            w[j] = LOAD(b + j * KP_VW);
        b += PANEL;
        KILN_UNROLL_ALL
        for (int i = 0; i < KP_MR; i++) {
            const VECTOR x = (VECTOR)(from[i][k]);
            KILN_UNROLL_ALL
            for (int j = 0; j < KP_NV; j++)
                acc[i][j] = KILN_FMA(x, w[j], acc[i][j]);
        }
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
        const int row = first + i;
        if (row >= rows)
            continue;
        KILN_GLOBAL float *to = c + (size_t)row * KC_N;
        EPILOGUE_UNROLL
        for (int j = 0; j < KP_NV; j++) {
            const int column = panel * PANEL + j * KP_VW;
            VECTOR x = result[i][j];
            if (column + KP_VW <= KC_N) {
                KILN_EPILOGUE(VECTOR, LOAD, STORE, x, row, row, column, KC_N);
                STORE(x, to + column);
            }
#if TAIL
            else if (column < KC_N) {
                KILN_EPILOGUE(VECTOR, load_tail, store_tail, x, row, row, column, KC_N);
                store_tail(x, to + column);
            }
#endif
        }
    }
}
