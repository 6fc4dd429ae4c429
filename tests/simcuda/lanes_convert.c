/* The conversions kernels use most, where registers are as wide as their types. Every other one is made of parts in
 * step_convert.c. */
#include "half.h"
#include "lanes.h"

static int32_t truncate_s32(float x) {
    return x != x ? 0 : x >= 0x1p31f ? INT32_MAX : x <= -0x1p31f ? INT32_MIN : (int32_t)x;
}
static uint32_t truncate_u32(float x) {
    return x >= 0x1p32f ? UINT32_MAX : x > 0 ? (uint32_t)x : 0;
}
/* cvt.rna.tf32.f32: to 10 bits of fraction, ties away from zero. */
static uint32_t round_tf32(uint32_t u) {
    return (u & 0x7f800000) == 0x7f800000 ? (u & 0x7fffff ? 0x7fffffff : u) : (u + 0x1000) & ~0x1fffu;
}
/* The first source goes to the upper half. */
#define PACK(high, low) ((uint32_t)(high) << 16 | (low))
#define NO_NEGATIVE(x)  ((x) < 0 ? 0 : (x))

UNARY(u64_u32, uint64_t, uint32_t, x)
UNARY(s64_s32, int64_t, int32_t, x)
UNARY(u32_u64, uint32_t, uint64_t, x)
UNARY(u32_u16, uint32_t, uint16_t, x)
UNARY(s32_s16, int32_t, int16_t, x)
UNARY(u16_u32, uint16_t, uint32_t, x)
UNARY(f32_s32, float, int32_t, x)
UNARY(f32_u32, float, uint32_t, x)
UNARY(rzi_s32_f32, int32_t, float, truncate_s32(x))
UNARY(rzi_u32_f32, uint32_t, float, truncate_u32(x))
UNARY(f64_f32, double, float, x)
UNARY(f32_f16, float, uint16_t, sim__half_to_float(x))
UNARY(f16_f32, uint16_t, float, sim__float_to_half(x))
UNARY(f32_bf16, float, uint16_t, sim__bfloat_to_float(x))
UNARY(bf16_f32, uint16_t, float, sim__float_to_bfloat(x))
UNARY(tf32_f32, uint32_t, uint32_t, round_tf32(x))
BINARY(f16x2_f32, uint32_t, float, float, PACK(sim__float_to_half(x), sim__float_to_half(y)))
BINARY(bf16x2_f32, uint32_t, float, float, PACK(sim__float_to_bfloat(x), sim__float_to_bfloat(y)))
BINARY(relu_f16x2_f32, uint32_t, float, float,
       PACK(sim__float_to_half(NO_NEGATIVE(x)), sim__float_to_half(NO_NEGATIVE(y))))
BINARY(relu_bf16x2_f32, uint32_t, float, float,
       PACK(sim__float_to_bfloat(NO_NEGATIVE(x)), sim__float_to_bfloat(NO_NEGATIVE(y))))

#define CLAMP(x, low, high) ((x) < (low) ? (low) : (x) > (high) ? (high) : (x))
TERNARY(pack_s8, uint32_t, int32_t, int32_t, uint32_t,
        (uint32_t)(uint8_t)CLAMP(x, -128, 127) << 8 | (uint8_t)CLAMP(y, -128, 127) | z << 16)
TERNARY(pack_u8, uint32_t, int32_t, int32_t, uint32_t,
        (uint32_t)(uint8_t)CLAMP(x, 0, 255) << 8 | (uint8_t)CLAMP(y, 0, 255) | z << 16)
BINARY(pack_s16, uint32_t, int32_t, int32_t, PACK((uint16_t)CLAMP(x, -32768, 32767), (uint16_t)CLAMP(y, -32768, 32767)))
BINARY(pack_u16, uint32_t, int32_t, int32_t, PACK((uint16_t)CLAMP(x, 0, 65535), (uint16_t)CLAMP(y, 0, 65535)))

LANES_TABLE(convert) = {
    {"cvt.u64.u32", u64_u32, "lw"},
    {"cvt.s64.u32", u64_u32, "lw"},
    {"cvt.s64.s32", s64_s32, "lw"},
    {"cvt.u64.s32", s64_s32, "lw"},
    {"cvt.u32.u64", u32_u64, "wl"},
    {"cvt.s32.s64", u32_u64, "wl"},
    {"cvt.u32.s64", u32_u64, "wl"},
    {"cvt.s32.u64", u32_u64, "wl"},
    {"cvt.u32.u16", u32_u16, "wh"},
    {"cvt.s32.u16", u32_u16, "wh"},
    {"cvt.s32.s16", s32_s16, "wh"},
    {"cvt.u32.s16", s32_s16, "wh"},
    {"cvt.u16.u32", u16_u32, "hw"},
    {"cvt.s16.s32", u16_u32, "hw"},
    {"cvt.rn.f32.s32", f32_s32, "ww"},
    {"cvt.rn.f32.u32", f32_u32, "ww"},
    {"cvt.rzi.s32.f32", rzi_s32_f32, "ww"},
    {"cvt.rzi.u32.f32", rzi_u32_f32, "ww"},
    {"cvt.f64.f32", f64_f32, "lw"},
    {"cvt.f32.f16", f32_f16, "wh"},
    {"cvt.rn.f16.f32", f16_f32, "hw"},
    {"cvt.f32.bf16", f32_bf16, "wh"},
    {"cvt.rn.bf16.f32", bf16_f32, "hw"},
    {"cvt.rna.tf32.f32", tf32_f32, "ww"},
    {"cvt.rn.f16x2.f32", f16x2_f32, "www"},
    {"cvt.rn.bf16x2.f32", bf16x2_f32, "www"},
    {"cvt.rn.relu.f16x2.f32", relu_f16x2_f32, "www"},
    {"cvt.rn.relu.bf16x2.f32", relu_bf16x2_f32, "www"},
    {"cvt.pack.s8.s32.b32", pack_s8, "wwww"},
    {"cvt.pack.u8.s32.b32", pack_u8, "wwww"},
    {"cvt.pack.s16.s32", pack_s16, "www"},
    {"cvt.pack.u16.s32", pack_u16, "www"},
    LANES_END,
};
