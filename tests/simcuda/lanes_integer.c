/* Integer arithmetic. All of it wraps, so signed operations are done unsigned. */
#include "lanes.h"
#include "wide.h"

/* ---- what is the same for signed and unsigned ---- */

#define WRAPPING(T, n)                                                                                                 \
    BINARY(add_##n, T, T, T, x + y)                                                                                    \
    BINARY(sub_##n, T, T, T, x - y)                                                                                    \
    BINARY(mul_lo_##n, T, T, T, (uint64_t)x *y)                                                                        \
    TERNARY(mad_lo_##n, T, T, T, T, (uint64_t)x *y + z)                                                                \
    UNARY(neg_##n, T, T, 0u - (uint64_t)x)
WRAPPING(uint16_t, b16)
WRAPPING(uint32_t, b32)
WRAPPING(uint64_t, b64)

/* ---- what is not; W is twice as wide, U the unsigned type ---- */

#define SIGNED_ONLY(T, U, n) UNARY(abs_##n, U, T, x < 0 ? (U)(0u - (U)x) : (U)x)
SIGNED_ONLY(int16_t, uint16_t, s16)
SIGNED_ONLY(int32_t, uint32_t, s32)
SIGNED_ONLY(int64_t, uint64_t, s64)

#define ORDERED(T, n)                                                                                                  \
    BINARY(min_##n, T, T, T, x < y ? x : y)                                                                            \
    BINARY(max_##n, T, T, T, x > y ? x : y)
ORDERED(int16_t, s16)
ORDERED(uint16_t, u16)
ORDERED(int32_t, s32)
ORDERED(uint32_t, u32)
ORDERED(int64_t, s64)
ORDERED(uint64_t, u64)

/* Division by zero gives all ones; the remainder is then the dividend. */
#define DIVIDING(T, n)                                                                                                 \
    BINARY(div_##n, T, T, T, y == 0 ? (T)-1 : x / y)                                                                   \
    BINARY(rem_##n, T, T, T, y == 0 ? x : x % y)
DIVIDING(uint16_t, u16)
DIVIDING(uint32_t, u32)
DIVIDING(uint64_t, u64)
#define DIVIDING_SIGNED(T, U, n)                                                                                       \
    BINARY(div_##n, T, T, T, y == 0 ? (T)-1 : y == -1 ? (T)(0u - (U)x) : x / y)                                        \
    BINARY(rem_##n, T, T, T, y == 0 ? x : y == -1 ? 0 : x % y)
DIVIDING_SIGNED(int16_t, uint16_t, s16)
DIVIDING_SIGNED(int32_t, uint32_t, s32)
DIVIDING_SIGNED(int64_t, uint64_t, s64)

#define WIDENING(T, W, U, UW, n)                                                                                       \
    BINARY(mul_wide_##n, W, T, T, (W)x *(W)y)                                                                          \
    TERNARY(mad_wide_##n, UW, T, T, UW, (UW)((W)x * (W)y) + z)                                                         \
    BINARY(mul_hi_##n, T, T, T, ((W)x * (W)y) >> (8 * sizeof(T)))                                                      \
    TERNARY(mad_hi_##n, U, T, T, U, (U)(((W)x * (W)y) >> (8 * sizeof(T))) + z)
WIDENING(int16_t, int32_t, uint16_t, uint32_t, s16)
WIDENING(uint16_t, uint32_t, uint16_t, uint32_t, u16)
WIDENING(int32_t, int64_t, uint32_t, uint64_t, s32)
WIDENING(uint32_t, uint64_t, uint32_t, uint64_t, u32)

BINARY(mul_hi_u64, uint64_t, uint64_t, uint64_t, sim__high_u64(x, y))
BINARY(mul_hi_s64, uint64_t, uint64_t, uint64_t, sim__high_s64(x, y))
TERNARY(mad_hi_u64, uint64_t, uint64_t, uint64_t, uint64_t, sim__high_u64(x, y) + z)
TERNARY(mad_hi_s64, uint64_t, uint64_t, uint64_t, uint64_t, sim__high_s64(x, y) + z)

static int32_t clamp_s32(int64_t x) {
    return (int32_t)(x < INT32_MIN ? INT32_MIN : x > INT32_MAX ? INT32_MAX : x);
}
BINARY(add_sat_s32, int32_t, int32_t, int32_t, clamp_s32((int64_t)x + y))
BINARY(sub_sat_s32, int32_t, int32_t, int32_t, clamp_s32((int64_t)x - y))

/* mul24 and mad24: products of the low 24 bits. */
static int64_t low24(int32_t x) {
    return (int32_t)((uint32_t)x << 8) >> 8;
}
BINARY(mul24_lo_s32, uint32_t, int32_t, int32_t, low24(x) * low24(y))
BINARY(mul24_lo_u32, uint32_t, uint32_t, uint32_t, (uint64_t)(x & 0xffffff) * (y & 0xffffff))
TERNARY(mad24_lo_s32, uint32_t, int32_t, int32_t, uint32_t, (uint32_t)(low24(x) * low24(y)) + z)
TERNARY(mad24_lo_u32, uint32_t, uint32_t, uint32_t, uint32_t, (uint64_t)(x & 0xffffff) * (y & 0xffffff) + z)

#define SAD(T, U, n) TERNARY(sad_##n, U, T, T, U, (x < y ? (U)y - (U)x : (U)x - (U)y) + z)
SAD(int32_t, uint32_t, s32)
SAD(uint32_t, uint32_t, u32)

/* ---- products of packed bytes ---- */

#define BYTE_S(x, i) (int32_t)(int8_t)((x) >> 8 * (i))
#define BYTE_U(x, i) (int32_t)(uint8_t)((x) >> 8 * (i))
#define HALF_S(x, i) (int32_t)(int16_t)((x) >> 16 * (i))
#define HALF_U(x, i) (int32_t)(uint16_t)((x) >> 16 * (i))
#define DP4A(n, A, B)                                                                                                  \
    TERNARY(dp4a_##n, uint32_t, uint32_t, uint32_t, uint32_t,                                                          \
            z + (uint32_t)(A(x, 0) * B(y, 0) + A(x, 1) * B(y, 1) + A(x, 2) * B(y, 2) + A(x, 3) * B(y, 3)))
DP4A(s32_s32, BYTE_S, BYTE_S)
DP4A(s32_u32, BYTE_S, BYTE_U)
DP4A(u32_s32, BYTE_U, BYTE_S)
DP4A(u32_u32, BYTE_U, BYTE_U)
#define DP2A(n, A, B)                                                                                                  \
    TERNARY(dp2a_lo_##n, uint32_t, uint32_t, uint32_t, uint32_t,                                                       \
            z + (uint32_t)(A(x, 0) * B(y, 0)) + (uint32_t)(A(x, 1) * B(y, 1)))                                         \
    TERNARY(dp2a_hi_##n, uint32_t, uint32_t, uint32_t, uint32_t,                                                       \
            z + (uint32_t)(A(x, 0) * B(y, 2)) + (uint32_t)(A(x, 1) * B(y, 3)))
DP2A(s32_s32, HALF_S, BYTE_S)
DP2A(s32_u32, HALF_S, BYTE_U)
DP2A(u32_s32, HALF_U, BYTE_S)
DP2A(u32_u32, HALF_U, BYTE_U)

LANES_TABLE(integer) = {
    {"add.b16", add_b16, "hhh"},
    {"add.b32", add_b32, "www"},
    {"add.b64", add_b64, "lll"},
    {"sub.b16", sub_b16, "hhh"},
    {"sub.b32", sub_b32, "www"},
    {"sub.b64", sub_b64, "lll"},
    {"mul.lo.b16", mul_lo_b16, "hhh"},
    {"mul.lo.b32", mul_lo_b32, "www"},
    {"mul.lo.b64", mul_lo_b64, "lll"},
    {"mad.lo.b16", mad_lo_b16, "hhhh"},
    {"mad.lo.b32", mad_lo_b32, "wwww"},
    {"mad.lo.b64", mad_lo_b64, "llll"},
    {"neg.b16", neg_b16, "hh"},
    {"neg.b32", neg_b32, "ww"},
    {"neg.b64", neg_b64, "ll"},
    {"abs.s16", abs_s16, "hh"},
    {"abs.s32", abs_s32, "ww"},
    {"abs.s64", abs_s64, "ll"},
    {"min.s16", min_s16, "hhh"},
    {"min.u16", min_u16, "hhh"},
    {"min.s32", min_s32, "www"},
    {"min.u32", min_u32, "www"},
    {"min.s64", min_s64, "lll"},
    {"min.u64", min_u64, "lll"},
    {"max.s16", max_s16, "hhh"},
    {"max.u16", max_u16, "hhh"},
    {"max.s32", max_s32, "www"},
    {"max.u32", max_u32, "www"},
    {"max.s64", max_s64, "lll"},
    {"max.u64", max_u64, "lll"},
    {"div.s16", div_s16, "hhh"},
    {"div.u16", div_u16, "hhh"},
    {"div.s32", div_s32, "www"},
    {"div.u32", div_u32, "www"},
    {"div.s64", div_s64, "lll"},
    {"div.u64", div_u64, "lll"},
    {"rem.s16", rem_s16, "hhh"},
    {"rem.u16", rem_u16, "hhh"},
    {"rem.s32", rem_s32, "www"},
    {"rem.u32", rem_u32, "www"},
    {"rem.s64", rem_s64, "lll"},
    {"rem.u64", rem_u64, "lll"},
    {"mul.wide.s16", mul_wide_s16, "whh"},
    {"mul.wide.u16", mul_wide_u16, "whh"},
    {"mul.wide.s32", mul_wide_s32, "lww"},
    {"mul.wide.u32", mul_wide_u32, "lww"},
    {"mad.wide.s16", mad_wide_s16, "whhw"},
    {"mad.wide.u16", mad_wide_u16, "whhw"},
    {"mad.wide.s32", mad_wide_s32, "lwwl"},
    {"mad.wide.u32", mad_wide_u32, "lwwl"},
    {"mul.hi.s16", mul_hi_s16, "hhh"},
    {"mul.hi.u16", mul_hi_u16, "hhh"},
    {"mul.hi.s32", mul_hi_s32, "www"},
    {"mul.hi.u32", mul_hi_u32, "www"},
    {"mul.hi.s64", mul_hi_s64, "lll"},
    {"mul.hi.u64", mul_hi_u64, "lll"},
    {"mad.hi.s16", mad_hi_s16, "hhhh"},
    {"mad.hi.u16", mad_hi_u16, "hhhh"},
    {"mad.hi.s32", mad_hi_s32, "wwww"},
    {"mad.hi.u32", mad_hi_u32, "wwww"},
    {"mad.hi.s64", mad_hi_s64, "llll"},
    {"mad.hi.u64", mad_hi_u64, "llll"},
    {"add.sat.s32", add_sat_s32, "www"},
    {"sub.sat.s32", sub_sat_s32, "www"},
    {"mul24.lo.s32", mul24_lo_s32, "www"},
    {"mul24.lo.u32", mul24_lo_u32, "www"},
    {"mad24.lo.s32", mad24_lo_s32, "wwww"},
    {"mad24.lo.u32", mad24_lo_u32, "wwww"},
    {"sad.s32", sad_s32, "wwww"},
    {"sad.u32", sad_u32, "wwww"},
    {"dp4a.s32.s32", dp4a_s32_s32, "wwww"},
    {"dp4a.s32.u32", dp4a_s32_u32, "wwww"},
    {"dp4a.u32.s32", dp4a_u32_s32, "wwww"},
    {"dp4a.u32.u32", dp4a_u32_u32, "wwww"},
    {"dp2a.lo.s32.s32", dp2a_lo_s32_s32, "wwww"},
    {"dp2a.lo.s32.u32", dp2a_lo_s32_u32, "wwww"},
    {"dp2a.lo.u32.s32", dp2a_lo_u32_s32, "wwww"},
    {"dp2a.lo.u32.u32", dp2a_lo_u32_u32, "wwww"},
    {"dp2a.hi.s32.s32", dp2a_hi_s32_s32, "wwww"},
    {"dp2a.hi.s32.u32", dp2a_hi_s32_u32, "wwww"},
    {"dp2a.hi.u32.s32", dp2a_hi_u32_s32, "wwww"},
    {"dp2a.hi.u32.u32", dp2a_hi_u32_u32, "wwww"},
    LANES_END,
};
