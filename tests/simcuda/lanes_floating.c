/* Arithmetic of f32 and f64. Other roundings than to nearest are the same code under another rounding mode (step_float
 * sets it); flushing of subnormals and saturation are passes before and after. */
#include "lanes.h"

#define ARITHMETIC(T, n, fused, root, magnitude, sign)                                                                 \
    BINARY(add_##n, T, T, T, x + y)                                                                                    \
    BINARY(sub_##n, T, T, T, x - y)                                                                                    \
    BINARY(mul_##n, T, T, T, x *y)                                                                                     \
    BINARY(div_##n, T, T, T, x / y)                                                                                    \
    TERNARY(fma_##n, T, T, T, T, fused(x, y, z))                                                                       \
    UNARY(neg_##n, T, T, -x)                                                                                           \
    UNARY(abs_##n, T, T, magnitude(x))                                                                                 \
    UNARY(sqrt_##n, T, T, root(x))                                                                                     \
    UNARY(rcp_##n, T, T, 1 / x)                                                                                        \
    BINARY(copysign_##n, T, T, T, sign(y, x))                                                                          \
    BINARY(min_##n, T, T, T, x < y || y != y ? x : y < x || x != x ? y : signbit(x) ? x : y)                           \
    BINARY(max_##n, T, T, T, x > y || y != y ? x : y > x || x != x ? y : signbit(x) ? y : x)                           \
    BINARY(min_nan_##n, T, T, T, x != x || y != y ? (T)NAN : x < y || (x == y && signbit(x)) ? x : y)                  \
    BINARY(max_nan_##n, T, T, T, x != x || y != y ? (T)NAN : x > y || (x == y && signbit(y)) ? x : y)
ARITHMETIC(float, f32, fmaf, sqrtf, fabsf, copysignf)
ARITHMETIC(double, f64, fma, sqrt, fabs, copysign)

UNARY(rsqrt_f32, float, float, 1 / sqrt((double)x))
UNARY(rsqrt_f64, double, double, 1 / sqrt(x))
UNARY(ex2_f32, float, float, exp2((double)x))
UNARY(lg2_f32, float, float, log2((double)x))
UNARY(sin_f32, float, float, sin((double)x))
UNARY(cos_f32, float, float, cos((double)x))
UNARY(tanh_f32, float, float, tanh((double)x))

/* rcp.approx.ftz.f64 and its like know only the upper half of a double. */
static double upper_half(double x) {
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    u &= ~UINT64_C(0xffffffff);
    memcpy(&x, &u, sizeof u);
    return x;
}
UNARY(rcp_approx_f64, double, double, upper_half(1 / upper_half(x)))
UNARY(rsqrt_approx_f64, double, double, upper_half(1 / sqrt(upper_half(x))))

#define BOTH(name, op, letters32, letters64)                                                                           \
    {name ".f32", op##_f32, letters32}, {                                                                              \
        name ".f64", op##_f64, letters64                                                                               \
    }

LANES_TABLE(floating) = {
    BOTH("add", add, "www", "lll"),
    BOTH("sub", sub, "www", "lll"),
    BOTH("mul", mul, "www", "lll"),
    BOTH("div", div, "www", "lll"),
    BOTH("fma", fma, "wwww", "llll"),
    BOTH("mad", fma, "wwww", "llll"),
    BOTH("neg", neg, "ww", "ll"),
    BOTH("abs", abs, "ww", "ll"),
    BOTH("sqrt", sqrt, "ww", "ll"),
    BOTH("rcp", rcp, "ww", "ll"),
    BOTH("copysign", copysign, "www", "lll"),
    BOTH("min", min, "www", "lll"),
    BOTH("max", max, "www", "lll"),
    BOTH("min.NaN", min_nan, "www", "lll"),
    BOTH("max.NaN", max_nan, "www", "lll"),
    BOTH("rsqrt", rsqrt, "ww", "ll"),
    {"ex2.f32", ex2_f32, "ww"},
    {"lg2.f32", lg2_f32, "ww"},
    {"sin.f32", sin_f32, "ww"},
    {"cos.f32", cos_f32, "ww"},
    {"tanh.f32", tanh_f32, "ww"},
    {"rcp.approx.f64", rcp_approx_f64, "ll"},
    {"rsqrt.approx.f64", rsqrt_approx_f64, "ll"},
    LANES_END,
};
