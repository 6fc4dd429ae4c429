/* Atomic operations, one lane after another. */
#include "half.h"
#include "run.h"
#include "steps.h"
#include <string.h>

static uint64_t atomic_integer(unsigned how, uint64_t old, uint64_t b, uint64_t c, const sim_access *a) {
    const unsigned shift = 64 - 8u * a->size;
    const bool less = a->is_signed ? (int64_t)(old << shift) < (int64_t)(b << shift) : old < b;
    switch (how) {
    case SIM_ATOMIC_add:
        return old + b;
    case SIM_ATOMIC_min:
        return less ? old : b;
    case SIM_ATOMIC_max:
        return less ? b : old;
    case SIM_ATOMIC_inc:
        return old >= b ? 0 : old + 1;
    case SIM_ATOMIC_dec:
        return old == 0 || old > b ? b : old - 1;
    case SIM_ATOMIC_and:
        return old & b;
    case SIM_ATOMIC_or:
        return old | b;
    case SIM_ATOMIC_xor:
        return old ^ b;
    case SIM_ATOMIC_cas:
        return old == b ? c : old;
    default:
        return b;
    }
}

static uint16_t add_sixteen(uint16_t x, uint16_t y, bool bfloat) {
    return bfloat ? sim__float_to_bfloat(sim__bfloat_to_float(x) + sim__bfloat_to_float(y))
                  : sim__float_to_half(sim__half_to_float(x) + sim__half_to_float(y));
}

static uint64_t add_float(uint64_t old, uint64_t b, const sim_access *a) {
    if (strcmp(a->type, "f32") == 0)
        return sim__float_bits(sim__bits_float((uint32_t)old) + sim__bits_float((uint32_t)b));
    if (strcmp(a->type, "f64") == 0) {
        double x, y;
        memcpy(&x, &old, sizeof x);
        memcpy(&y, &b, sizeof y);
        x += y;
        memcpy(&old, &x, sizeof old);
        return old;
    }
    const bool bfloat = a->type[0] == 'b';
    const uint64_t low = add_sixteen((uint16_t)old, (uint16_t)b, bfloat);
    return a->size == 2 ? low : low | (uint64_t)add_sixteen((uint16_t)(old >> 16), (uint16_t)(b >> 16), bfloat) << 16;
}

static uint64_t source(const sim_exec *x, const sim_access *a, unsigned operand, unsigned lane) {
    uint64_t bits = 0;
    if (a->reg[operand] != SIM_NO_OPERAND)
        memcpy(&bits, (const uint8_t *)sim__at(x, a->reg[operand]) + lane * a->size, a->size);
    return bits;
}

sim_step sim__step_atomic(sim_exec *x, const sim_instr *in, uint32_t mask) {
    const sim_access *a = in->more;
    const bool floating = (a->type[0] == 'f' || (a->type[0] == 'b' && a->type[1] == 'f')) && in->sub == SIM_ATOMIC_add;
    sim_places at;
    do {
        const sim_step step = sim__places(x, in, a, SIM_USE_ATOMIC, mask, &at, &mask);
        if (step != SIM_STEP_NEXT)
            return step;
        for (unsigned i = 0; i < SIM_WARP; i++) {
            if (!(at.mask >> i & 1))
                continue;
            uint64_t old = 0;
            memcpy(&old, at.host + at.address[i], a->size);
            const uint64_t b = source(x, a, 1, i), c = source(x, a, 2, i);
            const uint64_t next = floating ? add_float(old, b, a) : atomic_integer(in->sub, old, b, c, a);
            memcpy(at.host + at.address[i], &next, a->size);
            if (a->reg[0] != SIM_NO_OPERAND)
                memcpy((uint8_t *)sim__at(x, a->reg[0]) + i * a->size, &old, a->size);
        }
    } while (mask);
    return SIM_STEP_NEXT;
}
