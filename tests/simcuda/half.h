/* The 16-bit floating types, exactly. Conversions are branch-free where the compiler may vectorise them. */
#ifndef SIMCUDA_HALF_H
#define SIMCUDA_HALF_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#ifdef __F16C__
#    include <immintrin.h>
#endif

static inline uint32_t sim__float_bits(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}
static inline float sim__bits_float(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static inline float sim__half_to_float(uint16_t h) {
#ifdef __F16C__
    return _cvtsh_ss(h);
#else
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 0x3ff;
    if (exponent == 31)
        return sim__bits_float(sign | 0x7f800000 | fraction << 13 | (fraction ? 0x400000 : 0));
    if (exponent == 0) /* fraction * 2^-24 */
        return sim__bits_float(sign | sim__float_bits((float)fraction * 5.9604644775390625e-8f));
    return sim__bits_float(sign | (exponent + 112) << 23 | fraction << 13);
#endif
}

/* To nearest, ties to even; NaN becomes PTX's canonical one. */
static inline uint16_t sim__float_to_half(float x) {
    if (x != x)
        return 0x7fff;
#ifdef __F16C__
    return (uint16_t)_cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT);
#else
    const uint32_t u = sim__float_bits(x), magnitude = u & 0x7fffffff;
    const uint16_t sign = (uint16_t)(u >> 16 & 0x8000);
    if (magnitude >= 0x47800000)
        return sign | 0x7c00;
    if (magnitude < 0x38800000) { /* below 2^-14: adding 0.5 leaves the fraction's bits, rounded, at the end */
        const float moved = sim__bits_float(magnitude) + 0.5f;
        return (uint16_t)(sign | (sim__float_bits(moved) - 0x3f000000));
    }
    return (uint16_t)(sign | ((magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13));
#endif
}

static inline float sim__bfloat_to_float(uint16_t b) {
    return sim__bits_float((uint32_t)b << 16);
}
static inline uint16_t sim__float_to_bfloat(float x) {
    if (x != x)
        return 0x7fff;
    const uint32_t u = sim__float_bits(x);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

/* The float next to x whose last bit says that x was not exact: rounding it once more to 22 bits or fewer is as if x
 * itself were rounded. */
static inline float sim__round_to_odd(double x) {
    const float f = (float)x;
    uint32_t u = sim__float_bits(f);
    if (x != x || (double)f == x)
        return f;
    if (fabs((double)f) > fabs(x))
        u--; /* also from infinity to the largest finite */
    return sim__bits_float(u | 1);
}

#endif
