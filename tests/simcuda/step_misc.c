/* What does not fit the pattern of three sources and one result. */
#include "run.h"
#include "steps.h"
#include "wide.h"
#include <string.h>

sim_step sim__step_nothing(sim_exec *x, const sim_instr *in, uint32_t mask) {
    (void)x;
    (void)in;
    (void)mask;
    return SIM_STEP_NEXT;
}

/* ---- comparisons with more than two sources or one result ---- */

/* Pairs of 16-bit values, split into the low and the high ones. */
static void split(const uint32_t *pair, uint16_t *low, uint16_t *high) {
    for (int i = 0; i < SIM_WARP; i++) {
        low[i] = (uint16_t)pair[i];
        high[i] = (uint16_t)(pair[i] >> 16);
    }
}

static void compare_pairs(const sim_instr *in, const void *a, const void *b, uint32_t out[2]) {
    uint16_t al[SIM_WARP], ah[SIM_WARP], bl[SIM_WARP], bh[SIM_WARP];
    split(a, al, ah);
    split(b, bl, bh);
    in->lanes(&out[0], al, bl, bl);
    in->lanes(&out[1], ah, bh, bh);
}

static void compare(const sim_exec *x, const sim_instr *in, bool pair, uint32_t out[2]) {
    const void *a = sim__at(x, in->a), *b = sim__at(x, in->b);
    float flushed[2][SIM_WARP];
    if (pair) {
        compare_pairs(in, a, b, out);
        return;
    }
    if (in->flags & SIM_FLAG_FTZ) {
        sim__flush(flushed[0], a);
        sim__flush(flushed[1], b);
        a = flushed[0];
        b = flushed[1];
    }
    in->lanes(&out[0], a, b, b);
    out[1] = ~out[0];
}

static uint32_t combine(uint32_t p, char how, uint32_t q) {
    return how == 'a' ? p & q : how == 'o' ? p | q : how == 'x' ? p ^ q : p;
}

sim_step sim__step_setp(sim_exec *x, const sim_instr *in, uint32_t mask) {
    const sim_setp *s = in->more;
    uint32_t p[2];
    compare(x, in, s->pair, p);
    if (s->combine) {
        const uint32_t c = *(const uint32_t *)sim__at(x, in->c), q = s->negated ? ~c : c;
        p[0] = combine(p[0], s->combine, q);
        p[1] = combine(p[1], s->combine, q);
    }
    sim__blend(sim__at(x, in->d), &p[0], mask, 0);
    if (s->second != SIM_NO_OPERAND)
        sim__blend(sim__at(x, s->second), &p[1], mask, 0);
    return SIM_STEP_NEXT;
}

/* sub: the first letter of the result's type: f or b (1.0), u or s (all ones). */
sim_step sim__step_set(sim_exec *x, const sim_instr *in, uint32_t mask) {
    const sim_setp *s = in->more;
    uint32_t p[2], result[SIM_WARP];
    uint16_t narrow[SIM_WARP];
    compare(x, in, s->pair, p);
    const bool is_float = in->sub == 'f' || in->sub == 'b';
    const uint32_t half_one = in->sub == 'f' ? 0x3c00 : 0x3f80;
    const uint32_t one16 = is_float ? half_one : 0xffff, one32 = is_float ? 0x3f800000 : UINT32_MAX;
    for (int i = 0; i < SIM_WARP; i++) {
        const bool low = p[0] >> i & 1, high = p[1] >> i & 1;
        result[i] = s->pair ? (low ? one16 : 0) | (high ? one16 << 16 : 0) : low ? one32 : 0;
        narrow[i] = (uint16_t)(low ? one16 : 0);
    }
    if (in->width == 2)
        sim__blend(sim__at(x, in->d), narrow, mask, 2);
    else
        sim__blend(sim__at(x, in->d), result, mask, 4);
    return SIM_STEP_NEXT;
}

/* ---- four sources ---- */

static uint64_t insert(uint64_t from, uint64_t into, uint32_t position, uint32_t length, unsigned bits) {
    position &= 0xff;
    length &= 0xff;
    if (position >= bits || length == 0)
        return into;
    if (length > bits - position)
        length = bits - position;
    const uint64_t mask = (length < 64 ? (UINT64_C(1) << length) - 1 : ~UINT64_C(0)) << position;
    return (into & ~mask) | (from << position & mask);
}

/* d, a into b at c; the length in `more`. */
sim_step sim__step_bfi(sim_exec *x, const sim_instr *in, uint32_t mask) {
    const sim_list *list = in->more;
    const void *a = sim__at(x, in->a), *b = sim__at(x, in->b);
    const uint32_t *position = sim__at(x, in->c), *length = sim__at(x, list->operand[0]);
    uint64_t wide[SIM_WARP];
    uint32_t word[SIM_WARP];
    for (int i = 0; i < SIM_WARP; i++) {
        if (in->width == 8)
            wide[i] = insert(((const uint64_t *)a)[i], ((const uint64_t *)b)[i], position[i], length[i], 64);
        else
            word[i] = (uint32_t)insert(((const uint32_t *)a)[i], ((const uint32_t *)b)[i], position[i], length[i], 32);
    }
    sim__blend(sim__at(x, in->d), in->width == 8 ? (const void *)wide : word, mask, in->width);
    return SIM_STEP_NEXT;
}

sim_step sim__step_lop3(sim_exec *x, const sim_instr *in, uint32_t mask) {
    const uint32_t *a = sim__at(x, in->a), *b = sim__at(x, in->b), *c = sim__at(x, in->c);
    const sim_setp *more = in->more;
    uint32_t on[8], result[SIM_WARP], p = 0;
    for (int i = 0; i < 8; i++)
        on[i] = in->sub >> i & 1 ? UINT32_MAX : 0;
    for (int i = 0; i < SIM_WARP; i++) {
        const uint32_t u = a[i], v = b[i], w = c[i];
        result[i] = (on[0] & ~u & ~v & ~w) | (on[1] & ~u & ~v & w) | (on[2] & ~u & v & ~w) | (on[3] & ~u & v & w) |
                    (on[4] & u & ~v & ~w) | (on[5] & u & ~v & w) | (on[6] & u & v & ~w) | (on[7] & u & v & w);
        p |= (uint32_t)(result[i] != 0) << i;
    }
    if (more) {
        const uint32_t q = *(const uint32_t *)sim__at(x, more->source);
        p = combine(p, more->combine, more->negated ? ~q : q);
        if (more->second != SIM_NO_OPERAND)
            sim__blend(sim__at(x, more->second), &p, mask, 0);
    }
    sim__blend(sim__at(x, in->d), result, mask, 4);
    return SIM_STEP_NEXT;
}

/* ---- carries ---- */

/* The first of the two numbers that are added. */
static uint64_t first_term(const sim_instr *in, uint64_t a, uint64_t b) {
    if (in->sub & SIM_CARRY_LOW)
        return a * b;
    if (!(in->sub & SIM_CARRY_HIGH))
        return a;
    if (in->width == 8)
        return in->flags ? sim__high_s64(a, b) : sim__high_u64(a, b);
    return in->flags ? (uint64_t)((int64_t)(int32_t)a * (int32_t)b) >> 32 : a * b >> 32;
}

sim_step sim__step_carry(sim_exec *x, const sim_instr *in, uint32_t mask) {
    const uint8_t *const source[] = {sim__at(x, in->a), sim__at(x, in->b), sim__at(x, in->c)};
    const uint64_t all = in->width == 8 ? UINT64_MAX : UINT32_MAX;
    const bool product = in->sub & (SIM_CARRY_LOW | SIM_CARRY_HIGH);
    uint8_t *d = sim__at(x, in->d);
    uint32_t out = 0;
    for (unsigned i = 0; i < SIM_WARP; i++) {
        uint64_t v[3] = {0, 0, 0};
        if (!(mask >> i & 1))
            continue;
        for (int s = 0; s < 3; s++)
            memcpy(&v[s], source[s] + i * in->width, in->width);
        const uint64_t first = first_term(in, v[0], v[1]) & all, second = product ? v[2] : v[1];
        const uint64_t carry = in->sub & SIM_CARRY_IN ? x->warp->carry >> i & 1 : 0;
        const bool minus = in->sub & SIM_CARRY_SUB;
        const uint64_t part = (minus ? first - second : first + second) & all;
        const uint64_t result = (minus ? part - carry : part + carry) & all;
        const bool over = minus ? first < second || part < carry : part < first || result < part;
        out |= (uint32_t)over << i;
        memcpy(d + i * in->width, &result, in->width);
    }
    if (in->sub & SIM_CARRY_OUT)
        sim__blend(&x->warp->carry, &out, mask, 0);
    return SIM_STEP_NEXT;
}

/* ---- parts of registers ---- */

sim_step sim__step_pack(sim_exec *x, const sim_instr *in, uint32_t mask) {
    const sim_list *list = in->more;
    uint64_t result[SIM_WARP];
    for (uint32_t e = 0; e < list->n; e++) {
        const unsigned width = list->width[e];
        const uint8_t *part = sim__at(x, list->operand[e]);
        for (int i = 0; i < SIM_WARP; i++)
            memcpy((uint8_t *)result + (size_t)i * in->width + e * width, part + (size_t)i * width, width);
    }
    sim__blend(sim__at(x, in->d), result, mask, in->width);
    return SIM_STEP_NEXT;
}

sim_step sim__step_unpack(sim_exec *x, const sim_instr *in, uint32_t mask) {
    const sim_list *list = in->more;
    uint64_t whole[SIM_WARP];
    memcpy(whole, sim__at(x, in->a), (size_t)SIM_WARP * in->width); /* a part may be the register itself */
    for (uint32_t e = 0; e < list->n; e++) {
        if (list->operand[e] == SIM_NO_OPERAND)
            continue;
        const unsigned width = list->width[e];
        uint64_t part[SIM_WARP];
        for (int i = 0; i < SIM_WARP; i++)
            memcpy((uint8_t *)part + (size_t)i * width, (const uint8_t *)whole + (size_t)i * in->width + e * width,
                   width);
        sim__blend(sim__at(x, list->operand[e]), part, mask, width);
    }
    return SIM_STEP_NEXT;
}

/* ---- time and addresses ---- */

/* Virtual: instructions of warps since the launch began. */
sim_step sim__step_clock(sim_exec *x, const sim_instr *in, uint32_t mask) {
    const uint64_t limit = x->launch->max_instructions ? x->launch->max_instructions : UINT64_C(1) << 40;
    uint64_t wide[SIM_WARP];
    uint32_t word[SIM_WARP];
    for (int i = 0; i < SIM_WARP; i++) {
        wide[i] = limit - x->left;
        word[i] = (uint32_t)wide[i];
    }
    sim__blend(sim__at(x, in->d), in->width == 8 ? (const void *)wide : word, mask, in->width);
    return SIM_STEP_NEXT;
}

static uint64_t window(uint32_t space) {
    return space == SIM_SPACE_SHARED  ? SIM_WINDOW_SHARED
           : space == SIM_SPACE_LOCAL ? SIM_WINDOW_LOCAL
           : space == SIM_SPACE_PARAM ? SIM_WINDOW_PARAM
                                      : 0;
}

sim_step sim__step_cvta(sim_exec *x, const sim_instr *in, uint32_t mask) {
    if (in->width == 4) { /* 32-bit generic addresses are those of the space */
        uint32_t same[SIM_WARP];
        memcpy(same, sim__at(x, in->a), sizeof same);
        sim__blend(sim__at(x, in->d), same, mask, 4);
        return SIM_STEP_NEXT;
    }
    const uint64_t base = window(in->target), *a = sim__at(x, in->a);
    uint64_t result[SIM_WARP];
    for (int i = 0; i < SIM_WARP; i++)
        result[i] = in->sub ? a[i] - base : a[i] + base;
    sim__blend(sim__at(x, in->d), result, mask, 8);
    return SIM_STEP_NEXT;
}

sim_step sim__step_isspacep(sim_exec *x, const sim_instr *in, uint32_t mask) {
    const uint64_t base = window(in->target), *a = sim__at(x, in->a);
    uint32_t p = 0;
    for (int i = 0; i < SIM_WARP; i++) {
        const bool inside = base ? a[i] - base < SIM_WINDOW_BYTES : a[i] - SIM_WINDOW_SHARED >= 3 * SIM_WINDOW_BYTES;
        p |= (uint32_t)inside << i;
    }
    sim__blend(sim__at(x, in->d), &p, mask, 0);
    return SIM_STEP_NEXT;
}
