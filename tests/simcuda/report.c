/* Faults in words. */
#include "run.h"
#include <stdio.h>
#include <string.h>

static const char *kind_text(sim_fault_kind kind) {
    static const char *const texts[] = {
#define TEXT(name, text) text,
        SIM_FAULT_MAP(TEXT)
#undef TEXT
    };
    return texts[kind];
}

static void thread_index(const sim_exec *x, uint32_t thread, uint32_t out[3]) {
    const uint32_t *size = x->launch->block;
    out[0] = thread % size[0];
    out[1] = thread / size[0] % size[1];
    out[2] = thread / size[0] / size[1];
}

void sim__thread_name(const sim_exec *x, uint32_t thread, char *text, size_t bytes) {
    uint32_t t[3];
    thread_index(x, thread, t);
    snprintf(text, bytes, "thread (%u,%u,%u)", t[0], t[1], t[2]);
}

static const char *file_of(const sim_module *m, const sim_instr *in) {
    return in->line && in->file < m->n_files ? m->files[in->file] : NULL;
}

void sim__line_name(const sim_module *m, const sim_instr *in, char *text, size_t bytes) {
    const char *file = file_of(m, in);
    if (file)
        snprintf(text, bytes, "%s:%u", file, in->line);
    else
        snprintf(text, bytes, "ptx:%u", in->ptx_line);
}

static void fill(sim_exec *x, sim_fault_kind kind, const char *where, const char *details) {
    sim_fault *f = x->fault;
    f->kind = kind;
    snprintf(f->kernel, sizeof f->kernel, "%s", x->kernel->name);
    snprintf(f->text, sizeof f->text, "%s in kernel %s%s: %s", kind_text(kind), x->kernel->name, where, details);
}

sim_step sim__fault(sim_exec *x, const sim_instr *in, sim_fault_kind kind, uint32_t lanes, const char *format, ...) {
    sim_fault *f = x->fault;
    char details[SIM_TEXT], where[512], line[320], thread[64];
    va_list values;
    va_start(values, format);
    vsnprintf(details, sizeof details, format, values);
    va_end(values);
    const uint32_t lane = lanes ? (uint32_t)__builtin_ctz(lanes) : 0;
    const uint32_t number = x->warp->index * SIM_WARP + lane, *b = x->block->index;
    const char *file = file_of(x->module, in);
    thread_index(x, number, f->thread);
    memcpy(f->block, b, sizeof f->block);
    f->line = file ? in->line : in->ptx_line;
    snprintf(f->file, sizeof f->file, "%s", file ? file : "ptx");
    sim__line_name(x->module, in, line, sizeof line);
    sim__thread_name(x, number, thread, sizeof thread);
    snprintf(where, sizeof where, " at %s, block (%u,%u,%u) %s", line, b[0], b[1], b[2], thread);
    fill(x, kind, where, details);
    return SIM_STEP_FAULT;
}

bool sim__fault_launch(sim_exec *x, const char *format, ...) {
    char details[SIM_TEXT];
    va_list values;
    va_start(values, format);
    vsnprintf(details, sizeof details, format, values);
    va_end(values);
    fill(x, SIM_FAULT_LAUNCH, "", details);
    return false;
}

sim_step sim__fault_missing(sim_exec *x, const sim_instr *in, uint32_t mask) {
    const sim_warp_state *w = x->warp;
    char thread[64] = "", line[320] = "";
    for (uint32_t i = 0; i < SIM_WARP; i++) {
        if (!((w->all & ~mask) >> i & 1))
            continue;
        const bool left = !(w->live >> i & 1);
        const sim_instr *at = &x->module->code[w->lane_pc[i]];
        if (!left)
            sim__line_name(x->module, at, line, sizeof line);
        sim__thread_name(x, w->index * SIM_WARP + i, thread, sizeof thread);
        return sim__fault(x, in, SIM_FAULT_BARRIER, mask, "%d lanes of the warp came to it, %s %s%s",
                          __builtin_popcount(mask), thread, left ? "has left the kernel" : "is at ", line);
    }
    return sim__fault(x, in, SIM_FAULT_BARRIER, mask, "lanes of the warp wait for others that never come");
}

bool sim__barrier_stuck(sim_exec *x) {
    const sim_block_state *b = x->block;
    const sim_warp_state *first = NULL, *other = NULL;
    for (uint32_t i = 0; i < b->n_warps; i++) {
        const sim_warp_state *w = &b->warps[i];
        if (w->live && !first)
            first = w;
    }
    for (uint32_t i = 0; i < b->n_warps && !other; i++)
        if (!b->warps[i].live || b->warps[i].barrier != first->barrier)
            other = &b->warps[i];
    const sim_barrier_state *bar = &b->barriers[first->barrier];
    char line[320] = "", thread[64] = "nobody";
    if (other) {
        sim__thread_name(x, other->index * SIM_WARP, thread, sizeof thread);
        if (other->live)
            sim__line_name(x->module, other->waits_at, line, sizeof line);
    }
    x->warp = &x->block->warps[first->index];
    sim__fault(x, first->waits_at, SIM_FAULT_BARRIER, first->live,
               "barrier %u waits for %u threads, %u came; %s and its warp %s%s", first->barrier, bar->expected,
               bar->arrived, thread,
               !other        ? "is missing"
               : other->live ? "wait at "
                             : "have left",
               line);
    return false;
}
