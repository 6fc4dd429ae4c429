/* Comparisons: a predicate of 32 bits. The combining forms of setp and set are steps that use these. */
#include "half.h"
#include "lanes.h"

#define COMPARE(name, T, expression)                                                                                   \
    static void name(void *dv, const void *av, const void *bv, const void *cv) {                                       \
        const T *a = av, *b = bv;                                                                                      \
        uint32_t p = 0;                                                                                                \
        (void)cv;                                                                                                      \
        for (int i = 0; i < SIM_WARP; i++) {                                                                           \
            const T x = a[i], y = b[i];                                                                                \
            p |= (uint32_t)(expression) << i;                                                                          \
        }                                                                                                              \
        *(uint32_t *)dv = p;                                                                                           \
    }

#define EQUAL(T, n)                                                                                                    \
    COMPARE(eq_##n, T, x == y)                                                                                         \
    COMPARE(ne_##n, T, x != y)
EQUAL(uint16_t, b16)
EQUAL(uint32_t, b32)
EQUAL(uint64_t, b64)

#define ORDER(T, n)                                                                                                    \
    COMPARE(lt_##n, T, x < y)                                                                                          \
    COMPARE(le_##n, T, x <= y)                                                                                         \
    COMPARE(gt_##n, T, x > y)                                                                                          \
    COMPARE(ge_##n, T, x >= y)
ORDER(int16_t, s16)
ORDER(uint16_t, u16)
ORDER(int32_t, s32)
ORDER(uint32_t, u32)
ORDER(int64_t, s64)
ORDER(uint64_t, u64)
ORDER(float, f32)
ORDER(double, f64)

/* `f` makes a number of the type; the forms with u are true for NaN. */
#define FLOATING(T, n, f)                                                                                              \
    COMPARE(eq_##n, T, f(x) == f(y))                                                                                   \
    COMPARE(ne_##n, T, f(x) < f(y) || f(x) > f(y))                                                                     \
    COMPARE(equ_##n, T, !(f(x) < f(y) || f(x) > f(y)))                                                                 \
    COMPARE(neu_##n, T, f(x) != f(y))                                                                                  \
    COMPARE(ltu_##n, T, !(f(x) >= f(y)))                                                                               \
    COMPARE(leu_##n, T, !(f(x) > f(y)))                                                                                \
    COMPARE(gtu_##n, T, !(f(x) <= f(y)))                                                                               \
    COMPARE(geu_##n, T, !(f(x) < f(y)))                                                                                \
    COMPARE(num_##n, T, f(x) == f(x) && f(y) == f(y))                                                                  \
    COMPARE(nan_##n, T, f(x) != f(x) || f(y) != f(y))
#define ITSELF(x) (x)
FLOATING(float, f32, ITSELF)
FLOATING(double, f64, ITSELF)

#define SIXTEEN(n, f)                                                                                                  \
    FLOATING(uint16_t, n, f)                                                                                           \
    COMPARE(lt_##n, uint16_t, f(x) < f(y))                                                                             \
    COMPARE(le_##n, uint16_t, f(x) <= f(y))                                                                            \
    COMPARE(gt_##n, uint16_t, f(x) > f(y))                                                                             \
    COMPARE(ge_##n, uint16_t, f(x) >= f(y))
SIXTEEN(f16, sim__half_to_float)
SIXTEEN(bf16, sim__bfloat_to_float)

/* testp.<property>: b is not looked at. */
#define CLASS(T, n, smallest)                                                                                          \
    COMPARE(finite_##n, T, ((void)y, isfinite(x) != 0))                                                                \
    COMPARE(infinite_##n, T, ((void)y, isinf(x) != 0))                                                                 \
    COMPARE(number_##n, T, ((void)y, x == x))                                                                          \
    COMPARE(notanumber_##n, T, ((void)y, x != x))                                                                      \
    COMPARE(normal_##n, T, ((void)y, isnormal(x) != 0))                                                                \
    COMPARE(subnormal_##n, T, ((void)y, x != 0 && fabs((double)x) < smallest))
CLASS(float, f32, 0x1p-126)
CLASS(double, f64, 0x1p-1022)

#define ROW(op, n, t)                                                                                                  \
    { "setp." #op "." #n, op##_##n, "p" #t #t }
#define EQUAL_ROWS(n, t) ROW(eq, n, t), ROW(ne, n, t)
#define ORDER_ROWS(n, t) ROW(lt, n, t), ROW(le, n, t), ROW(gt, n, t), ROW(ge, n, t)
#define UNSIGNED_ROWS(n, t)                                                                                            \
    ORDER_ROWS(n, t), {"setp.lo." #n, lt_##n, "p" #t #t}, {"setp.ls." #n, le_##n, "p" #t #t},                          \
        {"setp.hi." #n, gt_##n, "p" #t #t}, {                                                                          \
        "setp.hs." #n, ge_##n, "p" #t #t                                                                               \
    }
#define FLOATING_ROWS(n, t)                                                                                            \
    EQUAL_ROWS(n, t), ORDER_ROWS(n, t), ROW(equ, n, t), ROW(neu, n, t), ROW(ltu, n, t), ROW(leu, n, t),                \
        ROW(gtu, n, t), ROW(geu, n, t), ROW(num, n, t), ROW(nan, n, t)
#define CLASS_ROW(op, n, t)                                                                                            \
    { "testp." #op "." #n, op##_##n, "p" #t }
#define CLASS_ROWS(n, t)                                                                                               \
    CLASS_ROW(finite, n, t), CLASS_ROW(infinite, n, t), CLASS_ROW(number, n, t), CLASS_ROW(notanumber, n, t),          \
        CLASS_ROW(normal, n, t), CLASS_ROW(subnormal, n, t)

LANES_TABLE(compare) = {
    EQUAL_ROWS(b16, h),     EQUAL_ROWS(b32, w),    EQUAL_ROWS(b64, l),    ORDER_ROWS(s16, h),
    ORDER_ROWS(s32, w),     ORDER_ROWS(s64, l),    UNSIGNED_ROWS(u16, h), UNSIGNED_ROWS(u32, w),
    UNSIGNED_ROWS(u64, l),  FLOATING_ROWS(f32, w), FLOATING_ROWS(f64, l), FLOATING_ROWS(f16, h),
    FLOATING_ROWS(bf16, h), CLASS_ROWS(f32, w),    CLASS_ROWS(f64, l),    LANES_END,
};
