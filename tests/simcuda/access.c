/* Where a warp's lanes go, whether they may, and what it costs. */
#include "device.h"
#include "run.h"
#include <stdio.h>
#include <string.h>

bool sim__all_written(const uint8_t *shadow, size_t bytes) {
    uint64_t word = UINT64_MAX;
    for (; bytes >= sizeof word; shadow += sizeof word, bytes -= sizeof word) {
        uint64_t next;
        memcpy(&next, shadow, sizeof next);
        word &= next;
    }
    uint8_t rest = 0xff;
    for (size_t i = 0; i < bytes; i++)
        rest &= shadow[i];
    return word == UINT64_MAX && rest == SIM_SHADOW_WRITTEN;
}

/* ---- addresses ---- */

static void fill_addresses(const sim_exec *x, const sim_access *a, uint64_t address[SIM_WARP]) {
    const uint64_t offset = (uint64_t)a->offset;
    if (a->address == SIM_NO_OPERAND) {
        for (int i = 0; i < SIM_WARP; i++)
            address[i] = offset;
    } else if (a->address_bytes == 8) {
        const uint64_t *base = sim__at(x, a->address);
        for (int i = 0; i < SIM_WARP; i++)
            address[i] = base[i] + offset;
    } else {
        const uint32_t *base = sim__at(x, a->address);
        for (int i = 0; i < SIM_WARP; i++)
            address[i] = (uint32_t)(base[i] + (uint32_t)offset);
    }
}

static sim_space window_of(uint64_t address) {
    if (address - SIM_WINDOW_SHARED >= 3 * SIM_WINDOW_BYTES)
        return SIM_SPACE_GLOBAL;
    return address < SIM_WINDOW_LOCAL   ? SIM_SPACE_SHARED
           : address < SIM_WINDOW_PARAM ? SIM_SPACE_LOCAL
                                        : SIM_SPACE_PARAM;
}

/* The lanes whose generic addresses lie in the first one's space; their addresses become those of the space. */
static void split_generic(sim_places *out) {
    const sim_space space = window_of(out->address[__builtin_ctz(out->mask)]);
    uint32_t same = 0;
    for (int i = 0; i < SIM_WARP; i++)
        same |= (uint32_t)(window_of(out->address[i]) == space) << i;
    out->mask &= same;
    out->space = space;
    if (space != SIM_SPACE_GLOBAL)
        for (int i = 0; i < SIM_WARP; i++)
            out->address[i] &= SIM_WINDOW_BYTES - 1;
}

/* ---- faults ---- */

static const char *use_text(sim_use use) {
    static const char *const texts[] = {"load of", "store of", "atomic operation on", "async copy from",
                                        "async copy to"};
    return texts[use];
}

static const char *space_text(sim_space space) {
    static const char *const texts[] = {"generic", "global", "shared", "local", "parameter"};
    return texts[space];
}

static void describe_shared(const sim_exec *x, uint64_t address, char *text, size_t bytes) {
    const sim_kernel *k = x->kernel;
    const sim_shared_variable *best = NULL;
    for (uint32_t i = 0; i < k->n_shared; i++)
        if (k->shared[i].offset <= address)
            best = &k->shared[i];
    if (k->has_dynamic && address >= SIM_SHARED_DYNAMIC)
        snprintf(text, bytes, "byte %llu of the launch's %u bytes", (unsigned long long)(address - SIM_SHARED_DYNAMIC),
                 x->launch->dynamic_shared_bytes);
    else if (best)
        snprintf(text, bytes, "byte %llu of %s, which has %u", (unsigned long long)(address - best->offset), best->name,
                 best->bytes);
    else
        snprintf(text, bytes, "the kernel has %u bytes of it", k->shared_bytes);
}

static sim_step fault_at(sim_exec *x, const sim_instr *in, const sim_places *at, sim_use use, sim_fault_kind kind,
                         int lane) {
    char what[256];
    if (at->space == SIM_SPACE_GLOBAL)
        sim__allocation_describe(x->device, at->address[lane], what, sizeof what);
    else if (at->space == SIM_SPACE_SHARED)
        describe_shared(x, at->address[lane], what, sizeof what);
    else
        snprintf(what, sizeof what, "the space has %u bytes",
                 at->space == SIM_SPACE_LOCAL ? x->kernel->local_bytes : x->kernel->param_bytes);
    return sim__fault(x, in, kind, 1u << lane, "%s %u bytes of %s memory at 0x%llx: %s", use_text(use), at->bytes,
                      space_text(at->space), (unsigned long long)at->address[lane], what);
}

static sim_step fault_first(sim_exec *x, const sim_instr *in, const sim_places *at, sim_use use, sim_fault_kind kind,
                            uint64_t end) {
    for (int i = 0; i < SIM_WARP; i++) {
        if (!(at->mask >> i & 1))
            continue;
        const bool bad = kind == SIM_FAULT_MISALIGNED ? at->address[i] & (at->bytes - 1)
                                                      : at->address[i] > end - at->bytes || at->bytes > end;
        if (bad)
            return fault_at(x, in, at, use, kind, i);
    }
    return fault_at(x, in, at, use, kind, __builtin_ctz(at->mask));
}

/* ---- initialised? ---- */

static sim_step check_written(sim_exec *x, const sim_instr *in, const sim_places *at, sim_use use) {
    bool all = true;
    for (uint32_t i = 0; i < at->shape->n_runs; i++)
        all &= sim__all_written(at->shadow + at->low + at->shape->run[i].begin, at->shape->run[i].bytes);
    if (all)
        return SIM_STEP_NEXT;
    for (int i = 0; i < SIM_WARP; i++) {
        const uint8_t *shadow = at->shadow + at->address[i];
        if (!(at->mask >> i & 1) || sim__all_written(shadow, at->bytes))
            continue;
        const bool gap = memchr(shadow, SIM_SHADOW_GAP, at->bytes) != NULL;
        return fault_at(x, in, at, use, gap ? SIM_FAULT_OUT_OF_BOUNDS : SIM_FAULT_UNINITIALISED, i);
    }
    return SIM_STEP_NEXT;
}

static void mark_written(const sim_places *at) {
    for (uint32_t i = 0; i < at->shape->n_runs; i++)
        memset(at->shadow + at->low + at->shape->run[i].begin, SIM_SHADOW_WRITTEN, at->shape->run[i].bytes);
}

/* ---- global memory ---- */

/* Lanes in the first one's allocation. */
static sim_step place_global(sim_exec *x, const sim_instr *in, sim_use use, sim_places *at) {
    const int first = __builtin_ctz(at->mask);
    const sim_allocation *a = x->last;
    if (!a || at->address[first] - a->begin >= a->bytes)
        x->last = a = sim__allocation_find(x->device, at->address[first]);
    if (!a || at->bytes > a->bytes - (at->address[first] - a->begin))
        return fault_at(x, in, at, use, SIM_FAULT_OUT_OF_BOUNDS, first);
    const uint64_t end = a->begin + a->bytes;
    if (at->low < a->begin || at->high + at->bytes > end) {
        for (int i = 0; i < SIM_WARP; i++)
            if (at->address[i] < a->begin || at->address[i] + at->bytes > end)
                at->mask &= ~(1u << i);
        sim__shape(x, in, at);
    }
    at->host = a->host - a->begin;
    at->shadow = a->shadow - a->begin;
    x->counts[SIM_COUNT_global_requests]++;
    x->counts[SIM_COUNT_global_sectors] += at->shape->cost;
    return SIM_STEP_NEXT;
}

/* ---- shared memory ---- */

static sim_step note_race(sim_exec *x, const sim_instr *in, const sim_places *at, sim_race_kind kind) {
    uint32_t address[SIM_WARP];
    sim_race_conflict c;
    for (int i = 0; i < SIM_WARP; i++)
        address[i] = (uint32_t)at->address[i];
    const sim_race_access access = {.kind = kind,
                                    .warp = x->warp->index,
                                    .mask = at->mask,
                                    .address = address,
                                    .bytes = at->bytes,
                                    .pc = (uint32_t)(in - x->module->code)};
    if (!sim_race_note(x->block->race, &access, &c))
        return SIM_STEP_NEXT;
    static const char *const verbs[] = {"read", "wrote", "changed atomically", "is copying to"};
    static const char *const nouns[] = {"read", "write", "atomic operation", "async copy"};
    char line[320], thread[64], what[256];
    sim__line_name(x->module, &x->module->code[c.other_pc], line, sizeof line);
    sim__thread_name(x, c.other_thread, thread, sizeof thread);
    describe_shared(x, c.address, what, sizeof what);
    return sim__fault(x, in, SIM_FAULT_RACE, 1u << c.lane, "%s%s of shared memory at 0x%x, which %s %s at %s: %s",
                      c.other_kind == SIM_RACE_ASYNC ? "async copy not waited for; " : "", nouns[c.kind], c.address,
                      thread, verbs[c.other_kind], line, what);
}

static bool touches_gap(const sim_places *at) {
    for (uint32_t i = 0; i < at->shape->n_runs; i++)
        if (memchr(at->shadow + at->low + at->shape->run[i].begin, SIM_SHADOW_GAP, at->shape->run[i].bytes))
            return true;
    return false;
}

static sim_step place_shared(sim_exec *x, const sim_instr *in, sim_use use, sim_places *at) {
    if (at->high + at->bytes > x->shared_bytes)
        return fault_first(x, in, at, use, SIM_FAULT_OUT_OF_BOUNDS, x->shared_bytes);
    at->host = x->block->shared;
    at->shadow = x->block->shared_shadow;
    if ((use == SIM_USE_STORE || use == SIM_USE_FILL) && touches_gap(at))
        for (int i = 0; i < SIM_WARP; i++)
            if ((at->mask >> i & 1) && memchr(at->shadow + at->address[i], SIM_SHADOW_GAP, at->bytes))
                return fault_at(x, in, at, use, SIM_FAULT_OUT_OF_BOUNDS, i);
    x->counts[SIM_COUNT_shared_requests]++;
    x->counts[SIM_COUNT_shared_passes] += at->shape->cost;
    static const sim_race_kind kinds[] = {[SIM_USE_LOAD] = SIM_RACE_READ,
                                          [SIM_USE_STORE] = SIM_RACE_WRITE,
                                          [SIM_USE_ATOMIC] = SIM_RACE_ATOMIC,
                                          [SIM_USE_FILL] = SIM_RACE_ASYNC};
    return note_race(x, in, at, kinds[use]);
}

/* ---- a thread's own memory and the parameters ---- */

static sim_step place_local(sim_exec *x, const sim_instr *in, sim_use use, sim_places *at) {
    const uint32_t own = x->kernel->local_bytes, functions = x->module->function_local_bytes;
    for (uint32_t i = 0; i < SIM_WARP; i++) {
        if (!(at->mask >> i & 1))
            continue;
        const uint64_t address = at->address[i];
        const bool in_function = address >= SIM_LOCAL_FUNCTIONS;
        const uint64_t inside = in_function ? address - SIM_LOCAL_FUNCTIONS : address;
        if (inside + at->bytes > (in_function ? functions : own))
            return fault_at(x, in, at, use, SIM_FAULT_OUT_OF_BOUNDS, (int)i);
        at->address[i] = (uint64_t)i * (own + functions) + inside + (in_function ? own : 0);
    }
    at->pattern = SIM_PATTERN_ANY; /* a thread's memory is in one piece */
    at->host = x->warp->local;
    at->shadow = NULL;
    x->counts[SIM_COUNT_local_requests]++;
    return SIM_STEP_NEXT;
}

static sim_step place_param(sim_exec *x, const sim_instr *in, sim_use use, sim_places *at) {
    if (use != SIM_USE_LOAD)
        return sim__fault(x, in, SIM_FAULT_ILLEGAL, at->mask, "a kernel's parameters cannot be written");
    if (at->high + at->bytes > x->kernel->param_bytes)
        return fault_first(x, in, at, use, SIM_FAULT_OUT_OF_BOUNDS, x->kernel->param_bytes);
    union {
        const void *from;
        uint8_t *to;
    } params = {.from = x->launch->params}; /* only read */
    at->host = params.to;
    at->shadow = NULL;
    return SIM_STEP_NEXT;
}

/* ---- all ---- */

sim_step sim__places(sim_exec *x, const sim_instr *in, const sim_access *a, sim_use use, uint32_t mask, sim_places *at,
                     uint32_t *rest) {
    at->mask = mask;
    at->bytes = (uint32_t)a->size * a->vector;
    at->space = (sim_space)a->space;
    fill_addresses(x, a, at->address);
    if (at->space == SIM_SPACE_GENERIC)
        split_generic(at);
    if (!sim__shape(x, in, at))
        return fault_first(x, in, at, use, SIM_FAULT_MISALIGNED, 0);
    sim_step step = at->space == SIM_SPACE_GLOBAL   ? place_global(x, in, use, at)
                    : at->space == SIM_SPACE_SHARED ? place_shared(x, in, use, at)
                    : at->space == SIM_SPACE_LOCAL  ? place_local(x, in, use, at)
                                                    : place_param(x, in, use, at);
    *rest = mask & ~at->mask;
    if (step != SIM_STEP_NEXT || !at->shadow || use == SIM_USE_COPY || use == SIM_USE_FILL)
        return step;
    if (use == SIM_USE_STORE) {
        mark_written(at);
        return step;
    }
    return check_written(x, in, at, use);
}
