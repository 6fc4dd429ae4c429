/* Barriers. At those of a block a warp arrives as a whole. */
#include "run.h"
#include "steps.h"

/* ---- lanes of a warp that wait for each other ---- */

/* The lanes of `mask` stay until all live ones of `needed` are at the same instruction. Lanes that took different ways
 * need not meet before: nothing says where the compiler put the ways. */
static sim_step gather(sim_exec *x, const sim_instr *in, uint32_t mask, uint32_t needed) {
    sim_warp_state *w = x->warp;
    uint32_t here = mask;
    (void)in;
    for (int i = 0; i < SIM_WARP; i++)
        if ((w->parked >> i & 1) && w->lane_pc[i] == w->pc)
            here |= 1u << i;
    const bool missing = needed & w->live & ~here;
    if (!missing && here == mask) {
        sim_race_warp_sync(x->block->race, w->index, mask);
        return SIM_STEP_NEXT;
    }
    for (int i = 0; i < SIM_WARP; i++)
        if (w->mask >> i & 1)
            w->lane_pc[i] = mask >> i & 1 ? w->pc : w->pc + 1;
    if (missing)
        w->parked |= mask;
    else
        w->parked &= ~here; /* the last has come: once more, together */
    return SIM_STEP_JUMP;
}

sim_step sim__warp_sync(sim_exec *x, const sim_instr *in, uint32_t mask, sim_operand operand) {
    const uint32_t *members = sim__at(x, operand);
    uint32_t named = 0;
    for (int i = 0; i < SIM_WARP; i++) {
        if (!(mask >> i & 1))
            continue;
        if (!(members[i] >> i & 1))
            return sim__fault(x, in, SIM_FAULT_ILLEGAL, 1u << i, "lane %d is not in the mask 0x%x it gives", i,
                              members[i]);
        named |= members[i];
    }
    return gather(x, in, mask, named);
}

sim_step sim__whole_warp(sim_exec *x, const sim_instr *in, uint32_t mask) {
    sim_warp_state *w = x->warp;
    if (w->live != w->all)
        return sim__fault_missing(x, in, mask);
    return gather(x, in, mask, w->all);
}

sim_step sim__step_warp_barrier(sim_exec *x, const sim_instr *in, uint32_t mask) {
    return sim__warp_sync(x, in, mask, in->a);
}

/* ---- warps of a block ---- */

static uint32_t lane_value(const sim_exec *x, sim_operand operand, uint32_t mask) {
    return ((const uint32_t *)sim__at(x, operand))[__builtin_ctz(mask)];
}

/* A waiting warp's share of bar.red. */
static void give_result(const sim_warp_state *w, const sim_barrier_state *bar) {
    const sim_instr *in = w->waits_at;
    if (in->sub < SIM_BAR_POPC)
        return;
    uint32_t result[SIM_WARP];
    const uint32_t p = in->sub == SIM_BAR_AND ? bar->true_lanes == bar->threads : bar->true_lanes > 0;
    for (int i = 0; i < SIM_WARP; i++)
        result[i] = in->sub == SIM_BAR_POPC ? bar->true_lanes : p ? UINT32_MAX : 0;
    sim__blend(sim__place(w->banks, in->d), result, w->all, in->width);
}

static void release(sim_exec *x, uint32_t id) {
    sim_block_state *b = x->block;
    sim_barrier_state *bar = &b->barriers[id];
    for (uint32_t i = 0; i < b->n_warps; i++) {
        sim_warp_state *w = &b->warps[i];
        if (!w->waiting || w->barrier != id)
            continue;
        give_result(w, bar);
        w->waiting = false;
    }
    sim_race_barrier(b->race, bar->warps);
    x->counts[SIM_COUNT_barriers]++;
    *bar = (sim_barrier_state){0};
}

static sim_step check_arrival(sim_exec *x, const sim_instr *in, uint32_t mask, uint32_t id, uint32_t expected) {
    const sim_warp_state *w = x->warp;
    if (id >= SIM_BARRIERS)
        return sim__fault(x, in, SIM_FAULT_ILLEGAL, mask, "barrier %u of %d", id, SIM_BARRIERS);
    const sim_barrier_state *bar = &x->block->barriers[id];
    if (expected == 0 || expected % SIM_WARP)
        return sim__fault(x, in, SIM_FAULT_ILLEGAL, mask, "barrier %u for %u threads, no multiple of a warp", id,
                          expected);
    if (bar->arrived && bar->expected != expected)
        return sim__fault(x, in, SIM_FAULT_BARRIER, mask, "barrier %u for %u threads, others came for %u", id, expected,
                          bar->expected);
    if (bar->warps >> w->index & 1)
        return sim__fault(x, in, SIM_FAULT_BARRIER, mask, "barrier %u once more before the others came", id);
    return SIM_STEP_NEXT;
}

sim_step sim__step_barrier(sim_exec *x, const sim_instr *in, uint32_t mask) {
    sim_warp_state *w = x->warp;
    sim_block_state *b = x->block;
    const sim_step step = sim__whole_warp(x, in, mask);
    if (step != SIM_STEP_NEXT)
        return step;
    const uint32_t id = lane_value(x, in->a, mask);
    const uint32_t expected = in->target ? lane_value(x, in->b, mask) : b->n_warps * SIM_WARP;
    if (check_arrival(x, in, mask, id, expected) == SIM_STEP_FAULT)
        return SIM_STEP_FAULT;
    sim_barrier_state *bar = &b->barriers[id];
    bar->expected = expected;
    bar->arrived += SIM_WARP;
    bar->threads += (uint32_t)__builtin_popcount(mask);
    bar->warps |= 1u << w->index;
    if (in->sub >= SIM_BAR_POPC) {
        const uint32_t p = *(const uint32_t *)sim__at(x, in->c);
        bar->true_lanes += (uint32_t)__builtin_popcount((in->negated & 2 ? ~p : p) & mask);
    }
    if (in->sub != SIM_BAR_ARRIVE) {
        w->waiting = true;
        w->barrier = id;
        w->waits_at = in;
    }
    if (bar->arrived >= bar->expected)
        release(x, id);
    if (!w->waiting)
        return SIM_STEP_NEXT;
    for (int i = 0; i < SIM_WARP; i++)
        if (mask >> i & 1)
            w->lane_pc[i] = w->pc + 1;
    return SIM_STEP_YIELD;
}
