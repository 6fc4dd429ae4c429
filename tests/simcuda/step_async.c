/* cp.async. The source is read at once; what was read reaches shared memory only at the wait, so that a kernel that
 * does not wait sees what was there before, and the race detector sees it look. */
#include "run.h"
#include "steps.h"
#include <stdlib.h>
#include <string.h>

static sim_pending_copy *new_copy(sim_warp_state *w) {
    if (w->n_copies == w->max_copies) {
        const uint32_t max = w->max_copies ? 2 * w->max_copies : 16;
        sim_pending_copy *more = realloc(w->copies, max * sizeof *more);
        if (!more)
            return NULL;
        w->copies = more;
        w->max_copies = max;
    }
    return &w->copies[w->n_copies++];
}

/* How many bytes of its source each lane takes; the rest is zeros. */
static void taken(const sim_exec *x, const sim_instr *in, unsigned all, uint32_t bytes[SIM_WARP]) {
    const uint32_t *c = sim__at(x, in->c);
    const uint32_t ignored = in->negated & 2 ? ~*c : *c;
    for (int i = 0; i < SIM_WARP; i++)
        bytes[i] = in->sub == SIM_COPY_ALL ? all : in->sub == SIM_COPY_BYTES ? c[i] : ignored >> i & 1 ? 0 : all;
}

static void keep(sim_pending_copy *copy, const sim_places *from, const uint32_t bytes[SIM_WARP]) {
    for (int i = 0; i < SIM_WARP; i++)
        if (from->mask >> i & 1) {
            memcpy(copy->data[i], from->host + from->address[i], bytes[i]);
            memcpy(copy->shadow[i], from->shadow + from->address[i], bytes[i]);
        }
}

/* `more`: the destination's access, then the source's. Lanes that take nothing do not look at their source. */
sim_step sim__step_copy(sim_exec *x, const sim_instr *in, uint32_t mask) {
    const sim_access *both = in->more;
    sim_warp_state *w = x->warp;
    sim_places to, from;
    uint32_t bytes[SIM_WARP], rest, reading = 0;
    sim_step step = sim__places(x, in, &both[0], SIM_USE_FILL, mask, &to, &rest);
    if (step != SIM_STEP_NEXT)
        return step;
    sim_pending_copy *copy = new_copy(w);
    if (!copy)
        return sim__fault(x, in, SIM_FAULT_LAUNCH, mask, "no host memory for async copies");
    *copy = (sim_pending_copy){.mask = mask, .pc = (uint32_t)(in - x->module->code), .bytes = both[0].size};
    memset(copy->shadow, SIM_SHADOW_WRITTEN, sizeof copy->shadow);
    taken(x, in, copy->bytes, bytes);
    for (int i = 0; i < SIM_WARP; i++) {
        if (!(mask >> i & 1))
            continue;
        copy->address[i] = (uint32_t)to.address[i];
        copy->group[i] = w->committed[i];
        reading |= (uint32_t)(bytes[i] > 0) << i;
        if (bytes[i] > copy->bytes)
            return sim__fault(x, in, SIM_FAULT_ILLEGAL, 1u << i, "cp.async takes %u of %u bytes", bytes[i],
                              copy->bytes);
    }
    while (reading) {
        step = sim__places(x, in, &both[1], SIM_USE_COPY, reading, &from, &reading);
        if (step != SIM_STEP_NEXT)
            return step;
        keep(copy, &from, bytes);
    }
    return SIM_STEP_NEXT;
}

sim_step sim__step_commit(sim_exec *x, const sim_instr *in, uint32_t mask) {
    (void)in;
    for (int i = 0; i < SIM_WARP; i++)
        x->warp->committed[i] += mask >> i & 1;
    return SIM_STEP_NEXT;
}

/* Lanes whose groups before `end` are waited for. */
static void land(sim_exec *x, sim_pending_copy *copy, uint32_t mask, const uint32_t end[SIM_WARP]) {
    sim_block_state *b = x->block;
    for (uint32_t i = 0; i < SIM_WARP; i++) {
        if (!((copy->mask & mask) >> i & 1) || copy->group[i] >= end[i])
            continue;
        memcpy(b->shared + copy->address[i], copy->data[i], copy->bytes);
        memcpy(b->shared_shadow + copy->address[i], copy->shadow[i], copy->bytes);
        sim_race_landed(b->race, x->warp->index * SIM_WARP + i, copy->address[i], copy->bytes, copy->pc);
        copy->mask &= ~(1u << i);
    }
}

/* target: how many of the newest groups may go on; with sub WAIT_ALL also what is in no group is waited for. */
sim_step sim__step_wait(sim_exec *x, const sim_instr *in, uint32_t mask) {
    sim_warp_state *w = x->warp;
    uint32_t end[SIM_WARP], n = 0;
    for (int i = 0; i < SIM_WARP; i++) {
        if (in->sub == SIM_WAIT_ALL)
            w->committed[i] += mask >> i & 1;
        end[i] = w->committed[i] > in->target ? w->committed[i] - in->target : 0;
    }
    for (uint32_t i = 0; i < w->n_copies; i++) {
        land(x, &w->copies[i], mask, end);
        if (w->copies[i].mask)
            w->copies[n++] = w->copies[i];
    }
    w->n_copies = n;
    return SIM_STEP_NEXT;
}
