#include "number.h"
#include <assert.h>
#include <string.h>

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* bits >> n, rounded to the nearest, ties to even. */
static uint32_t shift_even(uint32_t bits, unsigned n) {
    return (bits + (UINT32_C(1) << (n - 1)) - 1 + (bits >> n & 1)) >> n;
}

enum { EXPONENT_STEP = (127 - 15) << 23 }; /* between the exponents of float and f16 */

uint16_t kiln__f16_of(float x) {
    const uint32_t bits = bits_of(x), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    if (size > 0x7f800000) /* NaN */
        return (uint16_t)(sign | 0x7e00 | (size >> 13 & 0x3ff));
    if (size >= bits_of(65520.0f)) /* half a step above the largest */
        return (uint16_t)(sign | 0x7c00);
    if (size >= bits_of(0x1p-14f))
        return (uint16_t)(sign | shift_even(size - EXPONENT_STEP, 13));
    /* below the normal numbers f16 has steps of 2^-24, and so has float at 0.5: the addition rounds */
    return (uint16_t)(sign | (bits_of(float_of(size) + 0.5f) - bits_of(0.5f)));
}

float kiln__f16_value(uint16_t bits) {
    const uint32_t sign = (uint32_t)(bits & 0x8000) << 16, size = bits & 0x7fff;
    if (size >= 0x7c00)
        return float_of(sign | 0x7f800000 | (size & 0x3ff) << 13);
    if (size >= 0x0400)
        return float_of(sign | ((size << 13) + EXPONENT_STEP));
    return float_of(sign | bits_of((float)size * 0x1p-24f));
}

uint16_t kiln__bf16_of(float x) {
    const uint32_t bits = bits_of(x);
    if ((bits & 0x7fffffff) > 0x7f800000) /* rounding could carry a NaN to infinity */
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)shift_even(bits, 16);
}

float kiln__bf16_value(uint16_t bits) {
    return float_of((uint32_t)bits << 16);
}

void kiln__encode(kiln_type type, const float *from, size_t n, void *to) {
    uint16_t *half = to;
    switch (type) {
    case KILN_TYPE_F16:
        for (size_t i = 0; i < n; i++)
            half[i] = kiln__f16_of(from[i]);
        return;
    case KILN_TYPE_BF16:
        for (size_t i = 0; i < n; i++)
            half[i] = kiln__bf16_of(from[i]);
        return;
    default:
        assert(type == KILN_TYPE_F32);
        memcpy(to, from, n * sizeof *from);
    }
}

void kiln__decode(kiln_type type, const void *from, size_t n, float *to) {
    const uint16_t *half = from;
    switch (type) {
    case KILN_TYPE_F16:
        for (size_t i = 0; i < n; i++)
            to[i] = kiln__f16_value(half[i]);
        return;
    case KILN_TYPE_BF16:
        for (size_t i = 0; i < n; i++)
            to[i] = kiln__bf16_value(half[i]);
        return;
    default:
        assert(type == KILN_TYPE_F32);
        memcpy(to, from, n * sizeof *to);
    }
}

float kiln__stored_value(kiln_type type, float x) {
    uint32_t bits = 0;
    float value;
    kiln__encode(type, &x, 1, &bits);
    kiln__decode(type, &bits, 1, &value);
    return value;
}
