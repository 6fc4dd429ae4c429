/* How the files lanes_*.c write operations. Each is compiled for the plain instruction set and, on x86-64, once more
 * with AVX2, FMA and F16C, which changes speed only; lanes.c takes the table this machine can run.
 *
 * Results are IEEE's where PTX says so. The approximate functions (ex2, sin, ...) are the correctly rounded ones or
 * nearly: real devices are off by a few units in the last place, each in its own way.
 */
#ifndef SIMCUDA_LANES_H
#define SIMCUDA_LANES_H

#include "engine.h"
#include <math.h>
#include <string.h>

#if defined __clang__
#    define LANES_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined __GNUC__
#    define LANES_INDEPENDENT _Pragma("GCC ivdep")
#else
#    define LANES_INDEPENDENT
#endif
#define LANES LANES_INDEPENDENT for (int i = 0; i < SIM_WARP; i++)

/* The tables of a file are named for the instruction set. */
#ifdef SIM_LANES_AVX2
#    define LANES_TABLE(part) const sim_lane_op sim__lanes_##part##_avx2[]
#else
#    define LANES_TABLE(part) const sim_lane_op sim__lanes_##part##_plain[]
#endif
#define LANES_DECLARE(part) extern const sim_lane_op sim__lanes_##part##_plain[], sim__lanes_##part##_avx2[];
#define LANES_PARTS(X)                                                                                                 \
    X(integer)                                                                                                         \
    X(bits)                                                                                                            \
    X(compare)                                                                                                         \
    X(floating)                                                                                                        \
    X(half)                                                                                                            \
    X(convert)
LANES_PARTS(LANES_DECLARE)
#define LANES_END                                                                                                      \
    { NULL, NULL, NULL }

/* name(T result, A, B, C operands): the expression over x, y, z. */
#define UNARY(name, D, A, expression)                                                                                  \
    static void name(void *dv, const void *av, const void *bv, const void *cv) {                                       \
        D *d = dv;                                                                                                     \
        const A *a = av;                                                                                               \
        (void)bv;                                                                                                      \
        (void)cv;                                                                                                      \
        LANES {                                                                                                        \
            const A x = a[i];                                                                                          \
            d[i] = (D)(expression);                                                                                    \
        }                                                                                                              \
    }
#define BINARY(name, D, A, B, expression)                                                                              \
    static void name(void *dv, const void *av, const void *bv, const void *cv) {                                       \
        D *d = dv;                                                                                                     \
        const A *a = av;                                                                                               \
        const B *b = bv;                                                                                               \
        (void)cv;                                                                                                      \
        LANES {                                                                                                        \
            const A x = a[i];                                                                                          \
            const B y = b[i];                                                                                          \
            d[i] = (D)(expression);                                                                                    \
        }                                                                                                              \
    }
#define TERNARY(name, D, A, B, C, expression)                                                                          \
    static void name(void *dv, const void *av, const void *bv, const void *cv) {                                       \
        D *d = dv;                                                                                                     \
        const A *a = av;                                                                                               \
        const B *b = bv;                                                                                               \
        const C *c = cv;                                                                                               \
        LANES {                                                                                                        \
            const A x = a[i];                                                                                          \
            const B y = b[i];                                                                                          \
            const C z = c[i];                                                                                          \
            d[i] = (D)(expression);                                                                                    \
        }                                                                                                              \
    }

#endif
