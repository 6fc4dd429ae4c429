/* Loads and stores: between 32 places and registers. */
#include "run.h"
#include "steps.h"
#include <string.h>

/* ---- values narrower than their registers ---- */

static uint64_t fetch(const uint8_t *from, unsigned size, bool is_signed) {
    uint64_t bits = 0;
    memcpy(&bits, from, size);
    if (is_signed && size < 8 && (bits >> (8 * size - 1) & 1))
        bits |= ~UINT64_C(0) << 8 * size;
    return bits;
}

static void load_any(const sim_access *a, const sim_places *at, unsigned element, uint8_t *reg) {
    for (int i = 0; i < SIM_WARP; i++)
        if (at->mask >> i & 1) {
            const uint64_t bits = fetch(at->host + at->address[i] + element * a->size, a->size, a->is_signed);
            memcpy(reg + i * a->register_bytes, &bits, a->register_bytes);
        }
}

static void store_any(const sim_access *a, const sim_places *at, unsigned element, const uint8_t *reg) {
    for (int i = 0; i < SIM_WARP; i++)
        if (at->mask >> i & 1)
            memcpy(at->host + at->address[i] + element * a->size, reg + i * a->register_bytes, a->size);
}

/* ---- words of 4 bytes, which are most ---- */

static void load_words(const sim_access *a, const sim_places *at, unsigned element, uint32_t *reg) {
    const uint8_t *from = at->host + element * 4;
    if (at->mask == UINT32_MAX && at->pattern == SIM_PATTERN_ONE) {
        uint32_t word;
        memcpy(&word, from + at->low, 4);
        for (int i = 0; i < SIM_WARP; i++)
            reg[i] = word;
    } else if (a->vector == 1 && at->pattern == SIM_PATTERN_ROW) {
        memcpy(reg, from + at->low, 4 * SIM_WARP);
    } else if (at->mask == UINT32_MAX) {
        for (int i = 0; i < SIM_WARP; i++)
            memcpy(&reg[i], from + at->address[i], 4);
    } else {
        for (int i = 0; i < SIM_WARP; i++)
            if (at->mask >> i & 1)
                memcpy(&reg[i], from + at->address[i], 4);
    }
}

static void store_words(const sim_access *a, const sim_places *at, unsigned element, const uint32_t *reg) {
    uint8_t *to = at->host + element * 4;
    if (a->vector == 1 && at->pattern == SIM_PATTERN_ROW) {
        memcpy(to + at->low, reg, 4 * SIM_WARP);
        return;
    }
    for (int i = 0; i < SIM_WARP; i++)
        if (at->mask >> i & 1)
            memcpy(to + at->address[i], &reg[i], 4);
}

/* ---- steps ---- */

static sim_step load(sim_exec *x, const sim_instr *in, const sim_access *a, uint32_t mask) {
    sim_places at;
    do {
        const sim_step step = sim__places(x, in, a, SIM_USE_LOAD, mask, &at, &mask);
        if (step != SIM_STEP_NEXT)
            return step;
        for (unsigned e = 0; e < a->vector; e++) {
            if (a->reg[e] == SIM_NO_OPERAND)
                continue;
            void *reg = sim__at(x, a->reg[e]);
            if (a->size == 4 && a->register_bytes == 4)
                load_words(a, &at, e, reg);
            else
                load_any(a, &at, e, reg);
        }
    } while (mask);
    return SIM_STEP_NEXT;
}

/* A vector with holes: its parts by themselves, counted as the one access that it is. */
static sim_step load_parts(sim_exec *x, const sim_instr *in, const sim_access *a, uint32_t mask) {
    uint64_t counts[SIM_COUNTS];
    bool counted = false;
    for (unsigned e = 0; e < a->vector; e++) {
        if (a->reg[e] == SIM_NO_OPERAND)
            continue;
        sim_access part = *a;
        part.vector = 1;
        part.offset += e * a->size;
        part.reg[0] = a->reg[e];
        const sim_step step = load(x, in, &part, mask);
        if (step != SIM_STEP_NEXT)
            return step;
        if (counted)
            memcpy(x->counts, counts, sizeof counts);
        memcpy(counts, x->counts, sizeof counts);
        counted = true;
    }
    return SIM_STEP_NEXT;
}

sim_step sim__step_load(sim_exec *x, const sim_instr *in, uint32_t mask) {
    const sim_access *a = in->more;
    return a->has_holes ? load_parts(x, in, a, mask) : load(x, in, a, mask);
}

sim_step sim__step_store(sim_exec *x, const sim_instr *in, uint32_t mask) {
    const sim_access *a = in->more;
    sim_places at;
    do {
        const sim_step step = sim__places(x, in, a, SIM_USE_STORE, mask, &at, &mask);
        if (step != SIM_STEP_NEXT)
            return step;
        for (unsigned e = 0; e < a->vector; e++) {
            const void *reg = sim__at(x, a->reg[e]);
            if (a->size == 4 && a->register_bytes == 4)
                store_words(a, &at, e, reg);
            else
                store_any(a, &at, e, reg);
        }
    } while (mask);
    return SIM_STEP_NEXT;
}
