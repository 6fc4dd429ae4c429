/* Barriers of a block. A warp arrives as a whole: lanes that took another way, or have left, would be missing. */
#include "run.h"
#include "steps.h"

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
    const uint32_t elsewhere = w->live & ~mask, gone = w->all & ~w->live;
    if (id >= SIM_BARRIERS)
        return sim__fault(x, in, SIM_FAULT_ILLEGAL, mask, "barrier %u of %d", id, SIM_BARRIERS);
    if (elsewhere || gone) {
        char missing[64];
        sim__thread_name(x, w->index * SIM_WARP + (uint32_t)__builtin_ctz(elsewhere | gone), missing, sizeof missing);
        return sim__fault(x, in, SIM_FAULT_BARRIER, mask, "%d lanes of the warp came to barrier %u, %s %s",
                          __builtin_popcount(mask), id, missing, gone ? "has left the kernel" : "took another way");
    }
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

/* ---- lanes of a warp that name each other ---- */

/* Live lanes that some lane of `lanes` names and that are not among them. */
static uint32_t missing_lanes(const sim_warp_state *w, uint32_t lanes, const uint32_t *members) {
    uint32_t named = 0;
    for (int i = 0; i < SIM_WARP; i++)
        if (lanes >> i & 1)
            named |= members[i];
    return named & w->live & ~lanes;
}

sim_step sim__warp_sync(sim_exec *x, const sim_instr *in, uint32_t mask, sim_operand operand) {
    sim_warp_state *w = x->warp;
    const uint32_t *members = sim__at(x, operand);
    uint32_t here = mask;
    for (int i = 0; i < SIM_WARP; i++)
        if ((mask >> i & 1) && !(members[i] >> i & 1))
            return sim__fault(x, in, SIM_FAULT_ILLEGAL, 1u << i, "lane %d is not in the mask 0x%x it gives", i,
                              members[i]);
    for (int i = 0; i < SIM_WARP; i++)
        if ((w->parked >> i & 1) && w->lane_pc[i] == w->pc)
            here |= 1u << i;
    const uint32_t missing = missing_lanes(w, here, members);
    if (!missing && here == mask) {
        sim_race_warp_sync(x->block->race, w->index, mask);
        return SIM_STEP_NEXT;
    }
    /* Wait here, or, with the last to come, run it once more together. */
    for (int i = 0; i < SIM_WARP; i++)
        if (w->mask >> i & 1)
            w->lane_pc[i] = mask >> i & 1 ? w->pc : w->pc + 1;
    if (missing) {
        w->parked |= mask;
        w->waits_at = in;
    } else {
        w->parked &= ~here;
    }
    return SIM_STEP_JUMP;
}

sim_step sim__step_warp_barrier(sim_exec *x, const sim_instr *in, uint32_t mask) {
    return sim__warp_sync(x, in, mask, in->a);
}
