/* Shuffles, votes, matches, reductions. All wait for the lanes they name. */
#include "run.h"
#include "steps.h"
#include <string.h>

/* The lane that lane `i` reads; false: none, it keeps its own value. */
static bool shuffle_source(unsigned mode, int i, uint32_t b, uint32_t c, int *from) {
    const int clamp = c & 31, segment = c >> 8 & 31, by = b & 31;
    const int max = (i & segment) | (clamp & ~segment), min = i & segment;
    switch (mode) {
    case SIM_SHUFFLE_UP:
        *from = i - by;
        return *from >= max;
    case SIM_SHUFFLE_DOWN:
        *from = i + by;
        break;
    case SIM_SHUFFLE_BFLY:
        *from = i ^ by;
        break;
    default:
        *from = min | (by & ~segment);
    }
    return *from <= max;
}

sim_step sim__step_shuffle(sim_exec *x, const sim_instr *in, uint32_t mask) {
    const sim_list *list = in->more;
    const sim_step step = sim__warp_sync(x, in, mask, list->operand[2]);
    if (step != SIM_STEP_NEXT)
        return step;
    const uint32_t *a = sim__at(x, in->a), *b = sim__at(x, list->operand[0]), *c = sim__at(x, list->operand[1]);
    uint32_t result[SIM_WARP], p = 0;
    for (int i = 0; i < SIM_WARP; i++) {
        int from;
        const bool ok = shuffle_source(in->sub, i, b[i], c[i], &from);
        p |= (uint32_t)ok << i;
        result[i] = a[ok ? from : i];
        if (ok && (mask >> i & 1) && !(mask >> from & 1))
            return sim__fault(x, in, SIM_FAULT_ILLEGAL, 1u << i, "shfl.sync reads lane %d, which does not take part",
                              from);
    }
    sim__blend(sim__at(x, in->d), result, mask, 4);
    if (list->operand[3] != SIM_NO_OPERAND)
        sim__blend(sim__at(x, list->operand[3]), &p, mask, 0);
    return SIM_STEP_NEXT;
}

sim_step sim__step_vote(sim_exec *x, const sim_instr *in, uint32_t mask) {
    const sim_step step = sim__warp_sync(x, in, mask, in->b);
    if (step != SIM_STEP_NEXT)
        return step;
    const uint32_t *members = sim__at(x, in->b), a = *(const uint32_t *)sim__at(x, in->a);
    const uint32_t p = in->negated & 2 ? ~a : a;
    uint32_t ballot[SIM_WARP], answer = 0;
    for (int i = 0; i < SIM_WARP; i++) {
        const uint32_t who = members[i] & mask, yes = p & who;
        ballot[i] = yes;
        const bool held = in->sub == SIM_VOTE_ALL   ? yes == who
                          : in->sub == SIM_VOTE_ANY ? yes != 0
                                                    : yes == who || yes == 0;
        answer |= (uint32_t)held << i;
    }
    sim__blend(sim__at(x, in->d), in->width ? ballot : &answer, mask, in->width);
    return SIM_STEP_NEXT;
}

sim_step sim__step_match(sim_exec *x, const sim_instr *in, uint32_t mask) {
    const sim_step step = sim__warp_sync(x, in, mask, in->b);
    if (step != SIM_STEP_NEXT)
        return step;
    const uint8_t *a = sim__at(x, in->a);
    const uint32_t *members = sim__at(x, in->b);
    uint32_t result[SIM_WARP], p = 0;
    for (int i = 0; i < SIM_WARP; i++) {
        uint32_t same = 0;
        for (int j = 0; j < SIM_WARP; j++)
            if ((members[i] & mask) >> j & 1)
                same |= (uint32_t)(memcmp(a + i * in->width, a + j * in->width, in->width) == 0) << j;
        const bool all = same == (members[i] & mask);
        result[i] = in->sub && !all ? 0 : same;
        p |= (uint32_t)all << i;
    }
    sim__blend(sim__at(x, in->d), result, mask, 4);
    if (in->target != SIM_NO_OPERAND)
        sim__blend(sim__at(x, in->target), &p, mask, 0);
    return SIM_STEP_NEXT;
}

static uint32_t reduce(uint32_t x, uint32_t y, unsigned how, bool is_signed) {
    const bool less = is_signed ? (int32_t)x < (int32_t)y : x < y;
    switch (how) {
    case SIM_REDUCE_ADD:
        return x + y;
    case SIM_REDUCE_MIN:
        return less ? x : y;
    case SIM_REDUCE_MAX:
        return less ? y : x;
    case SIM_REDUCE_AND:
        return x & y;
    case SIM_REDUCE_OR:
        return x | y;
    default:
        return x ^ y;
    }
}

/* flags: of signed numbers */
sim_step sim__step_reduce(sim_exec *x, const sim_instr *in, uint32_t mask) {
    const sim_step step = sim__warp_sync(x, in, mask, in->b);
    if (step != SIM_STEP_NEXT)
        return step;
    const uint32_t *a = sim__at(x, in->a), *members = sim__at(x, in->b);
    uint32_t result[SIM_WARP] = {0};
    for (int i = 0; i < SIM_WARP; i++) {
        const uint32_t who = members[i] & mask;
        bool first = true;
        for (int j = 0; j < SIM_WARP; j++) {
            if (!(who >> j & 1))
                continue;
            result[i] = first ? a[j] : reduce(result[i], a[j], in->sub, in->flags);
            first = false;
        }
    }
    sim__blend(sim__at(x, in->d), result, mask, 4);
    return SIM_STEP_NEXT;
}

sim_step sim__step_activemask(sim_exec *x, const sim_instr *in, uint32_t mask) {
    uint32_t result[SIM_WARP];
    for (int i = 0; i < SIM_WARP; i++)
        result[i] = x->warp->mask;
    sim__blend(sim__at(x, in->d), result, mask, 4);
    return SIM_STEP_NEXT;
}
