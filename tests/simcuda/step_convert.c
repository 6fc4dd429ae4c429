/* cvt in its general form: a lane at a time, through a 64-bit integer or a double. */
#include "half.h"
#include "run.h"
#include "steps.h"
#include <fenv.h>
#include <float.h>

typedef struct number {
    bool is_float;
    int64_t integer; /* of u64: its bits */
    double real;
} number;

static bool is_float(sim_number n) {
    return n.kind == 'f' || n.kind == 'b';
}

static uint64_t extend(uint64_t bits, sim_number type) {
    const unsigned shift = 64 - 8u * type.bytes;
    return type.kind == 's' ? (uint64_t)((int64_t)(bits << shift) >> shift) : bits << shift >> shift;
}

static number read_number(uint64_t bits, sim_number type) {
    if (!is_float(type))
        return (number){.integer = (int64_t)extend(bits, type)};
    number n = {.is_float = true};
    if (type.kind == 'b')
        n.real = sim__bfloat_to_float((uint16_t)bits);
    else if (type.bytes == 2)
        n.real = sim__half_to_float((uint16_t)bits);
    else if (type.bytes == 4)
        n.real = sim__bits_float((uint32_t)bits);
    else
        memcpy(&n.real, &bits, sizeof n.real);
    return n;
}

static double round_integral(double x, sim_round round) {
    return round == SIM_ROUND_RZ   ? trunc(x)
           : round == SIM_ROUND_RM ? floor(x)
           : round == SIM_ROUND_RP ? ceil(x)
                                   : nearbyint(x);
}

/* Rounds to the integer, clamps to the type. */
static uint64_t real_to_integer(double x, sim_round round, sim_number from, sim_number to) {
    const double top = ldexp(1, 8 * to.bytes - (to.kind == 's'));
    if (x != x)
        return to.bytes == 8 || from.bytes == 8 ? (uint64_t)1 << (8 * to.bytes - 1) : 0;
    x = round_integral(x, round);
    if (x >= top)
        return to.kind == 's' ? ((uint64_t)1 << (8 * to.bytes - 1)) - 1 : ~UINT64_C(0);
    if (to.kind == 's')
        return x <= -top ? (uint64_t)1 << (8 * to.bytes - 1) : (uint64_t)(int64_t)x;
    return x > 0 ? (uint64_t)x : 0;
}

static uint64_t clamp_integer(int64_t v, sim_number from, sim_number to) {
    const bool huge = from.kind == 'u' && v < 0; /* above 2^63 */
    const int bits = 8 * to.bytes;
    const int64_t low = to.kind == 's' ? (bits == 64 ? INT64_MIN : -(INT64_C(1) << (bits - 1))) : 0;
    const uint64_t high = to.kind == 's' ? (UINT64_C(1) << (bits - 1)) - 1
                          : bits == 64   ? ~UINT64_C(0)
                                         : (UINT64_C(1) << bits) - 1;
    if (huge || (v > 0 && (uint64_t)v > high))
        return huge && high == ~UINT64_C(0) ? (uint64_t)v : high;
    return v < low ? (uint64_t)low : (uint64_t)v;
}

/* The rounding mode of the host is the conversion's. */
static float to_float(const number *n, sim_number from) {
    if (n->is_float)
        return (float)n->real;
    return from.kind == 'u' ? (float)(uint64_t)n->integer : (float)n->integer;
}
static double to_double(const number *n, sim_number from) {
    if (n->is_float)
        return n->real;
    return from.kind == 'u' ? (double)(uint64_t)n->integer : (double)n->integer;
}

/* To 16 bits under any rounding: nearest, corrected by the neighbour on the other side. */
static uint16_t to_sixteen(double x, sim_number to, sim_round round) {
    const float odd = sim__round_to_odd(x);
    uint16_t h = to.kind == 'b' ? sim__float_to_bfloat(odd) : sim__float_to_half(odd);
    if (round == SIM_ROUND_RN || x != x)
        return h;
    const double back = to.kind == 'b' ? sim__bfloat_to_float(h) : sim__half_to_float(h);
    const bool zero_ward =
        round == SIM_ROUND_RZ || (round == SIM_ROUND_RM && x > 0) || (round == SIM_ROUND_RP && x < 0);
    if (zero_ward && fabs(back) > fabs(x))
        h--;
    else if (!zero_ward && fabs(back) < fabs(x))
        h++;
    return h;
}

static double finish_real(double x, const sim_conversion *c) {
    if (c->integral != SIM_ROUND_DEFAULT)
        x = round_integral(x, c->integral);
    if (c->sat)
        x = x > 0 ? x < 1 ? x : 1 : 0;
    if (c->relu && x < 0)
        x = 0;
    return x;
}

static uint64_t to_real(number n, const sim_conversion *c) {
    const sim_number to = c->to;
    if (n.is_float)
        n.real = finish_real(n.real, c);
    if (to.bytes == 8) {
        const double d = to_double(&n, c->from);
        uint64_t bits;
        memcpy(&bits, &d, sizeof bits);
        return bits;
    }
    if (to.bytes == 2) {
        double d = to_double(&n, c->from);
        const double most = to.kind == 'b' ? 0x1.fep127 : 65504;
        if (c->satfinite && d == d)
            d = d > most ? most : d < -most ? -most : d;
        return to_sixteen(d, to, c->round);
    }
    float f = to_float(&n, c->from);
    if (c->ftz && fabsf(f) < FLT_MIN)
        f = copysignf(0, f);
    return sim__float_bits(f);
}

static uint64_t convert(uint64_t bits, const sim_conversion *c) {
    number n = read_number(bits, c->from);
    if (c->ftz && c->from.bytes == 4 && n.is_float && fabs(n.real) < FLT_MIN)
        n.real = copysign(0, n.real);
    if (is_float(c->to))
        return to_real(n, c);
    if (n.is_float)
        return extend(real_to_integer(n.real, c->integral, c->from, c->to), c->to);
    return extend(c->sat ? clamp_integer(n.integer, c->from, c->to) : (uint64_t)n.integer, c->to);
}

sim_step sim__step_convert(sim_exec *x, const sim_instr *in, uint32_t mask) {
    const sim_conversion *c = in->more;
    const uint8_t *a = sim__at(x, in->a);
    uint8_t *d = sim__at(x, in->d);
    fesetround(c->to.bytes == 2 ? FE_TONEAREST : sim__host_rounding(c->round));
    for (unsigned i = 0; i < SIM_WARP; i++) {
        if (!(mask >> i & 1))
            continue;
        uint64_t bits = 0;
        memcpy(&bits, a + i * c->a_width, c->a_width);
        bits = convert(bits, c);
        memcpy(d + i * c->d_width, &bits, c->d_width);
    }
    fesetround(FE_TONEAREST);
    return SIM_STEP_NEXT;
}
