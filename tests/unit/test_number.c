/* f16 and bf16 on the host: every pattern of 16 bits, and rounding on and beside every middle between two numbers. */
#include "number.h"
#include "testing.h"
#include <math.h>

static bool is_nan_pattern(kiln_type type, unsigned bits) {
    return (bits & 0x7fff) > (type == KILN_TYPE_F16 ? 0x7c00u : 0x7f80u);
}

static float value_of(kiln_type type, unsigned bits) {
    const uint16_t stored = (uint16_t)bits;
    float x;
    kiln__decode(type, &stored, 1, &x);
    return x;
}

static unsigned stored_of(kiln_type type, float x) {
    uint16_t stored;
    kiln__encode(type, &x, 1, &stored);
    return stored;
}

/* By the formats' definitions: 1 sign bit, `exponent_bits`, the rest mantissa. */
static double by_definition(kiln_type type, unsigned bits) {
    const int mantissa_bits = type == KILN_TYPE_F16 ? 10 : 7, bias = type == KILN_TYPE_F16 ? 15 : 127;
    const int exponent = (int)((bits & 0x7fff) >> mantissa_bits), all = type == KILN_TYPE_F16 ? 31 : 255;
    const double mantissa = bits & ((1u << mantissa_bits) - 1), sign = bits & 0x8000 ? -1 : 1;
    if (exponent == all)
        return mantissa == 0 ? sign * INFINITY : NAN;
    const double fraction = ldexp(mantissa, -mantissa_bits);
    return sign * (exponent == 0 ? ldexp(fraction, 1 - bias) : ldexp(1 + fraction, exponent - bias));
}

static void test_every_pattern(kiln_type type) {
    for (unsigned bits = 0; bits < 0x10000; bits++) {
        const float x = value_of(type, bits);
        if (is_nan_pattern(type, bits)) {
            CHECK(isnan(x) && is_nan_pattern(type, stored_of(type, x)));
            continue;
        }
        CHECK(x == (float)by_definition(type, bits) && !signbit(x) == !(bits & 0x8000));
        CHECK(stored_of(type, x) == bits);
    }
}

/* Between two neighbours: the middle goes to the even one, what is beside it to the nearer. */
static void test_rounding(kiln_type type) {
    const unsigned infinity = type == KILN_TYPE_F16 ? 0x7c00 : 0x7f80;
    for (unsigned bits = 0; bits + 1 < infinity; bits++) {
        const float low = value_of(type, bits), high = value_of(type, bits + 1);
        const float middle = (float)(0.5 * ((double)low + (double)high));
        const unsigned even = bits % 2 ? bits + 1 : bits;
        CHECK(stored_of(type, middle) == even && stored_of(type, -middle) == (even | 0x8000));
        CHECK(stored_of(type, nextafterf(middle, 0)) == bits);
        CHECK(stored_of(type, nextafterf(middle, INFINITY)) == bits + 1);
    }
    const float largest = value_of(type, infinity - 1);
    const float step = largest - value_of(type, infinity - 2), over = type == KILN_TYPE_F16 ? 0.5f * step : step;
    CHECK(stored_of(type, largest + 0.25f * step) == infinity - 1 && stored_of(type, INFINITY) == infinity);
    CHECK(stored_of(type, largest + over) == infinity);
    CHECK(is_nan_pattern(type, stored_of(type, NAN)) && is_nan_pattern(type, stored_of(type, -NAN)));
}

/* A NaN whose payload would be lost with the lower bits. */
static void test_small_payload(void) {
    const uint32_t bits = 0x7f800001;
    float x;
    memcpy(&x, &bits, sizeof x);
    CHECK(isnan(kiln__stored_value(KILN_TYPE_F16, x)) && isnan(kiln__stored_value(KILN_TYPE_BF16, x)));
    CHECK(kiln__stored_value(KILN_TYPE_F32, 0.1f) == 0.1f);
}

int main(void) {
    test_every_pattern(KILN_TYPE_F16);
    test_every_pattern(KILN_TYPE_BF16);
    test_rounding(KILN_TYPE_F16);
    test_rounding(KILN_TYPE_BF16);
    test_small_payload();
    return test_end();
}
