/* f16, bf16 and their pairs. Sums and products are made in float and rounded once more, which is exact for numbers of
 * at most 11 bits; a fused product needs rounding to odd on the way. */
#include "half.h"
#include "lanes.h"

#define H(x)           sim__half_to_float(x)
#define TO_H(x)        sim__float_to_half((float)(x))
#define B(x)           sim__bfloat_to_float(x)
#define TO_B(x)        sim__float_to_bfloat((float)(x))
#define RELU(x)        ((x) < 0 ? 0 : (x))
#define FUSED(x, y, z) sim__round_to_odd((double)(x) * (double)(y) + (double)(z))

static float least(float x, float y) {
    return x < y || y != y ? x : y < x || x != x ? y : signbit(x) ? x : y;
}
static float most(float x, float y) {
    return x > y || y != y ? x : y > x || x != x ? y : signbit(x) ? y : x;
}
static float least_nan(float x, float y) {
    return x != x || y != y ? NAN : least(x, y);
}
static float most_nan(float x, float y) {
    return x != x || y != y ? NAN : most(x, y);
}

/* A function of single values becomes one over lanes of one value and one over lanes of two. */
#define PAIRED(name, n, expression)                                                                                    \
    static uint16_t one_##name##_##n(uint16_t xh, uint16_t yh, uint16_t zh) {                                          \
        (void)yh;                                                                                                      \
        (void)zh;                                                                                                      \
        return expression;                                                                                             \
    }                                                                                                                  \
    static void name##_##n(void *dv, const void *av, const void *bv, const void *cv) {                                 \
        uint16_t *d = dv;                                                                                              \
        const uint16_t *a = av, *b = bv, *c = cv;                                                                      \
        LANES d[i] = one_##name##_##n(a[i], b[i], c[i]);                                                               \
    }                                                                                                                  \
    static void name##_##n##x2(void *dv, const void *av, const void *bv, const void *cv) {                             \
        uint16_t *d = dv;                                                                                              \
        const uint16_t *a = av, *b = bv, *c = cv;                                                                      \
        LANES_INDEPENDENT for (int i = 0; i < 2 * SIM_WARP; i++) d[i] = one_##name##_##n(a[i], b[i], c[i]);            \
    }

#define SIXTEEN(n, F, TO)                                                                                              \
    PAIRED(add, n, TO(F(xh) + F(yh)))                                                                                  \
    PAIRED(sub, n, TO(F(xh) - F(yh)))                                                                                  \
    PAIRED(mul, n, TO(F(xh) * F(yh)))                                                                                  \
    PAIRED(fma, n, TO(FUSED(F(xh), F(yh), F(zh))))                                                                     \
    PAIRED(fma_relu, n, TO(RELU(FUSED(F(xh), F(yh), F(zh)))))                                                          \
    PAIRED(neg, n, xh ^ 0x8000)                                                                                        \
    PAIRED(abs, n, xh & 0x7fff)                                                                                        \
    PAIRED(min, n, TO(least(F(xh), F(yh))))                                                                            \
    PAIRED(max, n, TO(most(F(xh), F(yh))))                                                                             \
    PAIRED(min_nan, n, TO(least_nan(F(xh), F(yh))))                                                                    \
    PAIRED(max_nan, n, TO(most_nan(F(xh), F(yh))))                                                                     \
    PAIRED(ex2, n, TO(exp2f(F(xh))))                                                                                   \
    PAIRED(tanh, n, TO(tanhf(F(xh))))
SIXTEEN(f16, H, TO_H)
SIXTEEN(bf16, B, TO_B)

/* add, sub and mul of bf16 are sm_90's; there is no harm in knowing them. */
#define ROWS(op, name, n, one, two)                                                                                    \
    {name "." #n, op##_##n, one}, {                                                                                    \
        name "." #n "x2", op##_##n##x2, two                                                                            \
    }
#define BOTH(op, name, one, two) ROWS(op, name, f16, one, two), ROWS(op, name, bf16, one, two)

LANES_TABLE(half) = {
    BOTH(add, "add", "hhh", "www"),
    BOTH(sub, "sub", "hhh", "www"),
    BOTH(mul, "mul", "hhh", "www"),
    BOTH(fma, "fma", "hhhh", "wwww"),
    BOTH(fma_relu, "fma.relu", "hhhh", "wwww"),
    BOTH(neg, "neg", "hh", "ww"),
    BOTH(abs, "abs", "hh", "ww"),
    BOTH(min, "min", "hhh", "www"),
    BOTH(max, "max", "hhh", "www"),
    BOTH(min_nan, "min.NaN", "hhh", "www"),
    BOTH(max_nan, "max.NaN", "hhh", "www"),
    BOTH(ex2, "ex2", "hh", "ww"),
    BOTH(tanh, "tanh", "hh", "ww"),
    LANES_END,
};
