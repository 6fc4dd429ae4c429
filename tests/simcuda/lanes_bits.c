/* Moves, logic, shifts and the shuffling of bits and bytes. */
#include "lanes.h"

#define PLAIN(T, n)                                                                                                    \
    UNARY(mov_##n, T, T, x)                                                                                            \
    UNARY(not_##n, T, T, ~x)                                                                                           \
    UNARY(cnot_##n, T, T, x == 0)                                                                                      \
    BINARY(and_##n, T, T, T, x &y)                                                                                     \
    BINARY(or_##n, T, T, T, x | y)                                                                                     \
    BINARY(xor_##n, T, T, T, x ^ y)                                                                                    \
    BINARY(shl_##n, T, T, uint32_t, y < 8 * sizeof(T) ? (T)((uint64_t)x << (y & 63)) : 0)                              \
    BINARY(shr_##n, T, T, uint32_t, y < 8 * sizeof(T) ? (T)(x >> (y & (8 * sizeof(T) - 1))) : 0)
PLAIN(uint16_t, b16)
PLAIN(uint32_t, b32)
PLAIN(uint64_t, b64)

#define SHIFT_SIGNED(T, n) BINARY(shr_##n, T, T, uint32_t, x >> (y < 8 * sizeof(T) ? (int)y : (int)(8 * sizeof(T) - 1)))
SHIFT_SIGNED(int16_t, s16)
SHIFT_SIGNED(int32_t, s32)
SHIFT_SIGNED(int64_t, s64)

/* Predicates are 32 bits in one word. */
#define PREDICATE(name, expression)                                                                                    \
    static void name(void *dv, const void *av, const void *bv, const void *cv) {                                       \
        uint32_t *d = dv;                                                                                              \
        const uint32_t x = *(const uint32_t *)av, y = *(const uint32_t *)bv;                                           \
        (void)cv;                                                                                                      \
        (void)y;                                                                                                       \
        *d = (expression);                                                                                             \
    }
PREDICATE(mov_pred, x)
PREDICATE(not_pred, ~x)
PREDICATE(and_pred, x &y)
PREDICATE(or_pred, x | y)
PREDICATE(xor_pred, x ^ y)

#define SELECT(T, n)                                                                                                   \
    static void selp_##n(void *dv, const void *av, const void *bv, const void *cv) {                                   \
        T *d = dv;                                                                                                     \
        const T *a = av, *b = bv;                                                                                      \
        const uint32_t p = *(const uint32_t *)cv;                                                                      \
        LANES d[i] = p >> i & 1 ? a[i] : b[i];                                                                         \
    }                                                                                                                  \
    TERNARY(slct_##n##_s32, T, T, T, int32_t, z >= 0 ? x : y)                                                          \
    TERNARY(slct_##n##_f32, T, T, T, float, z >= 0 ? x : y)
SELECT(uint16_t, b16)
SELECT(uint32_t, b32)
SELECT(uint64_t, b64)

static uint32_t count_bits(uint64_t x) {
    return (uint32_t)__builtin_popcountll(x);
}
UNARY(popc_b32, uint32_t, uint32_t, count_bits(x))
UNARY(popc_b64, uint32_t, uint64_t, count_bits(x))
UNARY(clz_b32, uint32_t, uint32_t, x ? __builtin_clz(x) : 32)
UNARY(clz_b64, uint32_t, uint64_t, x ? __builtin_clzll(x) : 64)

static uint32_t reverse32(uint32_t x) {
    x = (x >> 1 & 0x55555555) | (x & 0x55555555) << 1;
    x = (x >> 2 & 0x33333333) | (x & 0x33333333) << 2;
    x = (x >> 4 & 0x0f0f0f0f) | (x & 0x0f0f0f0f) << 4;
    return __builtin_bswap32(x);
}
UNARY(brev_b32, uint32_t, uint32_t, reverse32(x))
UNARY(brev_b64, uint64_t, uint64_t, (uint64_t)reverse32((uint32_t)x) << 32 | reverse32((uint32_t)(x >> 32)))

/* Position of the highest bit that is not the sign; all ones: none. shiftamt: how far it is from the top. */
static uint32_t highest(uint64_t x, bool shift, uint32_t bits) {
    if (x == 0)
        return UINT32_MAX;
    const uint32_t position = 63 - (uint32_t)__builtin_clzll(x);
    return shift ? bits - 1 - position : position;
}
UNARY(bfind_u32, uint32_t, uint32_t, highest(x, false, 32))
UNARY(bfind_u64, uint32_t, uint64_t, highest(x, false, 64))
UNARY(bfind_s32, uint32_t, int32_t, highest((uint32_t)(x < 0 ? ~x : x), false, 32))
UNARY(bfind_s64, uint32_t, int64_t, highest((uint64_t)(x < 0 ? ~x : x), false, 64))
UNARY(bfind_shiftamt_u32, uint32_t, uint32_t, highest(x, true, 32))
UNARY(bfind_shiftamt_u64, uint32_t, uint64_t, highest(x, true, 64))
UNARY(bfind_shiftamt_s32, uint32_t, int32_t, highest((uint32_t)(x < 0 ? ~x : x), true, 32))
UNARY(bfind_shiftamt_s64, uint32_t, int64_t, highest((uint64_t)(x < 0 ? ~x : x), true, 64))

/* bfe: `length` bits from `position`, extended; beyond the top the sign goes on. */
static uint64_t extract(uint64_t x, uint32_t position, uint32_t length, unsigned bits, bool is_signed) {
    position &= 0xff;
    length &= 0xff;
    if (length == 0)
        return 0;
    const uint32_t last = position + length - 1 < bits - 1 ? position + length - 1 : bits - 1;
    const uint64_t sign = is_signed && (x >> last & 1) ? ~UINT64_C(0) : 0;
    if (position >= bits)
        return sign;
    const uint32_t n = last - position + 1;
    const uint64_t mask = n < 64 ? (UINT64_C(1) << n) - 1 : ~UINT64_C(0);
    return (x >> position & mask) | (sign & ~mask);
}
TERNARY(bfe_u32, uint32_t, uint32_t, uint32_t, uint32_t, extract(x, y, z, 32, false))
TERNARY(bfe_s32, uint32_t, uint32_t, uint32_t, uint32_t, extract(x, y, z, 32, true))
TERNARY(bfe_u64, uint64_t, uint64_t, uint32_t, uint32_t, extract(x, y, z, 64, false))
TERNARY(bfe_s64, uint64_t, uint64_t, uint32_t, uint32_t, extract(x, y, z, 64, true))

static uint32_t funnel(uint32_t low, uint32_t high, uint32_t n, bool left) {
    const uint64_t both = (uint64_t)high << 32 | low;
    return (uint32_t)(left ? both << n >> 32 : both >> n);
}
TERNARY(shf_l_wrap_b32, uint32_t, uint32_t, uint32_t, uint32_t, funnel(x, y, z & 31, true))
TERNARY(shf_r_wrap_b32, uint32_t, uint32_t, uint32_t, uint32_t, funnel(x, y, z & 31, false))
TERNARY(shf_l_clamp_b32, uint32_t, uint32_t, uint32_t, uint32_t, funnel(x, y, z < 32 ? z : 32, true))
TERNARY(shf_r_clamp_b32, uint32_t, uint32_t, uint32_t, uint32_t, funnel(x, y, z < 32 ? z : 32, false))

static uint32_t permute(uint32_t x, uint32_t y, uint32_t selector) {
    const uint64_t bytes = (uint64_t)y << 32 | x;
    uint32_t d = 0;
    for (int j = 0; j < 4; j++) {
        const uint32_t s = selector >> 4 * j & 15;
        uint8_t byte = (uint8_t)(bytes >> 8 * (s & 7));
        if (s & 8)
            byte = byte & 0x80 ? 0xff : 0;
        d |= (uint32_t)byte << 8 * j;
    }
    return d;
}
TERNARY(prmt_b32, uint32_t, uint32_t, uint32_t, uint32_t, permute(x, y, z))

#define BYTES_AT(s0, s1, s2, s3) ((uint32_t)(s0) | (uint32_t)(s1) << 4 | (uint32_t)(s2) << 8 | (uint32_t)(s3) << 12)
#define LARGER(a, b)             ((a) > (b) ? (a) : (b))
#define SMALLER(a, b)            ((a) < (b) ? (a) : (b))
#define PRMT_MODE(n, s0, s1, s2, s3)                                                                                   \
    TERNARY(prmt_b32_##n, uint32_t, uint32_t, uint32_t, uint32_t,                                                      \
            permute(x, y, BYTES_AT((s0)&7, (s1)&7, (s2)&7, (s3)&7)))
PRMT_MODE(f4e, (z & 3), (z & 3) + 1, (z & 3) + 2, (z & 3) + 3)
PRMT_MODE(b4e, (z & 3), (z & 3) - 1, (z & 3) - 2, (z & 3) - 3)
PRMT_MODE(rc8, (z & 3), (z & 3), (z & 3), (z & 3))
PRMT_MODE(ecl, (z & 3), LARGER(1u, z & 3), LARGER(2u, z & 3), 3u)
PRMT_MODE(ecr, 0u, SMALLER(1u, z & 3), SMALLER(2u, z & 3), SMALLER(3u, z & 3))
PRMT_MODE(rc16, 2 * (z & 1), 2 * (z & 1) + 1, 2 * (z & 1), 2 * (z & 1) + 1)

#define WIDTHS(op, letters)                                                                                            \
    {#op ".b16", op##_b16, letters(h)}, {#op ".b32", op##_b32, letters(w)}, {                                          \
#        op ".b64", op##_b64, letters(l)                                                                               \
    }
#define TWO(t)   #t #t
#define THREE(t) #t #t #t
#define SHIFT(t) #t #t "w"
#define PICK(t)  #t #t #t "p"

LANES_TABLE(bits) = {
    WIDTHS(mov, TWO),
    WIDTHS(not, TWO),
    WIDTHS(cnot, TWO),
    WIDTHS(and, THREE),
    WIDTHS(or, THREE),
    WIDTHS(xor, THREE),
    WIDTHS(shl, SHIFT),
    WIDTHS(shr, SHIFT),
    WIDTHS(selp, PICK),
    {"shr.s16", shr_s16, "hhw"},
    {"shr.s32", shr_s32, "www"},
    {"shr.s64", shr_s64, "llw"},
    {"mov.pred", mov_pred, "pp"},
    {"not.pred", not_pred, "pp"},
    {"and.pred", and_pred, "ppp"},
    {"or.pred", or_pred, "ppp"},
    {"xor.pred", xor_pred, "ppp"},
    {"slct.b16.s32", slct_b16_s32, "hhhw"},
    {"slct.b32.s32", slct_b32_s32, "wwww"},
    {"slct.b64.s32", slct_b64_s32, "lllw"},
    {"slct.b16.f32", slct_b16_f32, "hhhw"},
    {"slct.b32.f32", slct_b32_f32, "wwww"},
    {"slct.b64.f32", slct_b64_f32, "lllw"},
    {"popc.b32", popc_b32, "ww"},
    {"popc.b64", popc_b64, "wl"},
    {"clz.b32", clz_b32, "ww"},
    {"clz.b64", clz_b64, "wl"},
    {"brev.b32", brev_b32, "ww"},
    {"brev.b64", brev_b64, "ll"},
    {"bfind.u32", bfind_u32, "ww"},
    {"bfind.s32", bfind_s32, "ww"},
    {"bfind.u64", bfind_u64, "wl"},
    {"bfind.s64", bfind_s64, "wl"},
    {"bfind.shiftamt.u32", bfind_shiftamt_u32, "ww"},
    {"bfind.shiftamt.s32", bfind_shiftamt_s32, "ww"},
    {"bfind.shiftamt.u64", bfind_shiftamt_u64, "wl"},
    {"bfind.shiftamt.s64", bfind_shiftamt_s64, "wl"},
    {"bfe.u32", bfe_u32, "wwww"},
    {"bfe.s32", bfe_s32, "wwww"},
    {"bfe.u64", bfe_u64, "llww"},
    {"bfe.s64", bfe_s64, "llww"},
    {"shf.l.wrap.b32", shf_l_wrap_b32, "wwww"},
    {"shf.r.wrap.b32", shf_r_wrap_b32, "wwww"},
    {"shf.l.clamp.b32", shf_l_clamp_b32, "wwww"},
    {"shf.r.clamp.b32", shf_r_clamp_b32, "wwww"},
    {"prmt.b32", prmt_b32, "wwww"},
    {"prmt.b32.f4e", prmt_b32_f4e, "wwww"},
    {"prmt.b32.b4e", prmt_b32_b4e, "wwww"},
    {"prmt.b32.rc8", prmt_b32_rc8, "wwww"},
    {"prmt.b32.ecl", prmt_b32_ecl, "wwww"},
    {"prmt.b32.ecr", prmt_b32_ecr, "wwww"},
    {"prmt.b32.rc16", prmt_b32_rc16, "wwww"},
    LANES_END,
};
