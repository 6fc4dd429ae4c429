/* Branches, calls and ends. A step that moves lanes apart sets their own program counters and returns JUMP. */
#include "parse.h"
#include "run.h"
#include "steps.h"
#include <string.h>

static void set_pc(sim_warp_state *w, uint32_t lanes, uint32_t pc) {
    for (int i = 0; i < SIM_WARP; i++)
        if (lanes >> i & 1)
            w->lane_pc[i] = pc;
}

sim_step sim__step_branch(sim_exec *x, const sim_instr *in, uint32_t mask) {
    sim_warp_state *w = x->warp;
    if (mask == w->mask && !w->divided) {
        w->pc = in->target - 1;
        return SIM_STEP_NEXT;
    }
    set_pc(w, mask, in->target);
    set_pc(w, w->mask & ~mask, w->pc + 1);
    return SIM_STEP_JUMP;
}

sim_step sim__step_branch_table(sim_exec *x, const sim_instr *in, uint32_t mask) {
    sim_warp_state *w = x->warp;
    const sim_jump_table *table = in->more;
    const uint32_t *index = sim__at(x, in->a);
    set_pc(w, w->mask & ~mask, w->pc + 1);
    for (int i = 0; i < SIM_WARP; i++) {
        if (!(mask >> i & 1))
            continue;
        if (index[i] >= table->n)
            return sim__fault(x, in, SIM_FAULT_ILLEGAL, 1u << i, "brx.idx with index %u of %u", index[i], table->n);
        w->lane_pc[i] = table->pc[index[i]];
    }
    return SIM_STEP_JUMP;
}

/* ---- calls: arguments are copied between places in each thread's local memory ---- */

static uint8_t *local_place(const sim_exec *x, int lane, uint32_t offset) {
    const uint32_t own = x->kernel->local_bytes, functions = x->module->function_local_bytes;
    uint8_t *base = x->warp->local + (size_t)lane * (own + functions);
    return offset >= SIM_LOCAL_FUNCTIONS ? base + own + (offset - SIM_LOCAL_FUNCTIONS) : base + offset;
}

static void copy_formals(const sim_exec *x, uint32_t mask, const sim_formal *to, const sim_formal *from, uint32_t n) {
    for (int lane = 0; lane < SIM_WARP; lane++)
        for (uint32_t i = 0; (mask >> lane & 1) && i < n; i++)
            memcpy(local_place(x, lane, to[i].offset), local_place(x, lane, from[i].offset),
                   to[i].bytes < from[i].bytes ? to[i].bytes : from[i].bytes);
}

/* Functions without a body: what the CUDA runtime has on a device. */
static sim_step call_outside(sim_exec *x, const sim_instr *in, const sim_function *f, uint32_t mask) {
    if (strcmp(f->name, "__assertfail") == 0)
        return sim__fault(x, in, SIM_FAULT_ILLEGAL, mask, "an assertion failed");
    if (strcmp(f->name, "vprintf") == 0) /* prints nothing */
        return SIM_STEP_NEXT;
    return sim__fault(x, in, SIM_FAULT_ILLEGAL, mask, "function %s has no body", f->name);
}

sim_step sim__step_call(sim_exec *x, const sim_instr *in, uint32_t mask) {
    sim_warp_state *w = x->warp;
    const sim_call *call = in->more;
    const sim_function *f = x->module->functions[call->function];
    if (!f->defined)
        return call_outside(x, in, f, mask);
    copy_formals(x, mask, f->params, call->params, call->n_params);
    set_pc(w, w->mask & ~mask, w->pc + 1);
    set_pc(w, mask, f->pc);
    for (int i = 0; i < SIM_WARP; i++) {
        if (!(mask >> i & 1))
            continue;
        if (w->depth[i] == SIM_CALL_DEPTH)
            return sim__fault(x, in, SIM_FAULT_ILLEGAL, 1u << i, "more than %d calls inside each other",
                              SIM_CALL_DEPTH);
        w->returns[w->depth[i]++][i] = w->pc;
    }
    return SIM_STEP_JUMP;
}

sim_step sim__step_return(sim_exec *x, const sim_instr *in, uint32_t mask) {
    sim_warp_state *w = x->warp;
    uint32_t leaving = 0;
    set_pc(w, w->mask & ~mask, w->pc + 1);
    for (int i = 0; i < SIM_WARP; i++) {
        if (!(mask >> i & 1))
            continue;
        if (w->depth[i] == 0) {
            leaving |= 1u << i;
            continue;
        }
        const uint32_t pc = w->returns[--w->depth[i]][i];
        const sim_call *call = x->module->code[pc].more;
        copy_formals(x, 1u << i, call->results, x->module->functions[call->function]->results, call->n_results);
        w->lane_pc[i] = pc + 1;
    }
    if (leaving)
        return sim__step_exit(x, in, leaving);
    return SIM_STEP_JUMP;
}

sim_step sim__step_exit(sim_exec *x, const sim_instr *in, uint32_t mask) {
    sim_warp_state *w = x->warp;
    if (in->step == sim__step_exit)
        set_pc(w, w->mask & ~mask, w->pc + 1);
    w->live &= ~mask;
    return SIM_STEP_JUMP;
}

sim_step sim__step_trap(sim_exec *x, const sim_instr *in, uint32_t mask) {
    return sim__fault(x, in, SIM_FAULT_ILLEGAL, mask, "trap");
}
