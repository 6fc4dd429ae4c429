/* Grids, blocks, warps: whose turn it is, and the loop over instructions. */
#include "run.h"
#include <stdlib.h>
#include <string.h>

enum {
    WARP_TURN = 1024,        /* instructions of a warp until another's turn */
    LANES_TURN = 2048,       /* of some lanes of a warp while others of it wait */
    MAX_SHARED = 164 * 1024, /* of a block on sm_80 */
};
static const uint64_t endless = UINT64_C(1) << 40;

/* ---- lanes of a warp ---- */

static void save_lanes(sim_warp_state *w) {
    for (int i = 0; i < SIM_WARP; i++)
        if (w->mask >> i & 1)
            w->lane_pc[i] = w->pc;
}

static uint32_t lowest_pc(const sim_warp_state *w) {
    uint32_t pc = UINT32_MAX;
    for (int i = 0; i < SIM_WARP; i++)
        if ((w->live & ~w->parked) >> i & 1 && w->lane_pc[i] < pc)
            pc = w->lane_pc[i];
    return pc;
}

/* Lanes that wait for others for long get a turn: the next lane after the favoured one that stands elsewhere. */
static void favour_another(sim_warp_state *w) {
    for (int n = 1; n <= SIM_WARP; n++) {
        const int lane = (w->favoured + n) % SIM_WARP;
        if (((w->live & ~w->parked) >> lane & 1) && w->lane_pc[lane] != w->pc) {
            w->favoured = lane;
            w->favour = true;
            return;
        }
    }
}

/* Those with the lowest program counter run, until they come to where others are. false: all lanes have left. */
static bool choose_lanes(sim_warp_state *w) {
    const uint32_t ready = w->live & ~w->parked;
    if (ready == 0)
        return false;
    if (w->turn >= LANES_TURN) {
        w->turn = 0;
        if (w->favour)
            w->favour = false;
        else
            favour_another(w);
    }
    const bool favour = w->favour && (ready >> w->favoured & 1);
    w->pc = favour ? w->lane_pc[w->favoured] : lowest_pc(w);
    w->mask = 0;
    w->limit = UINT32_MAX;
    for (int i = 0; i < SIM_WARP; i++) {
        if (!(ready >> i & 1))
            continue;
        if (w->lane_pc[i] == w->pc)
            w->mask |= 1u << i;
        else if (w->lane_pc[i] > w->pc && w->lane_pc[i] < w->limit)
            w->limit = w->lane_pc[i];
    }
    w->divided = w->mask != w->live;
    return true;
}

void sim__blend(void *d, const void *result, uint32_t mask, unsigned width) {
    if (width == 0) {
        uint32_t *p = d;
        *p = (*p & ~mask) | (*(const uint32_t *)result & mask);
    } else if (width == 2) {
        uint16_t *to = d;
        const uint16_t *from = result;
        for (int i = 0; i < SIM_WARP; i++)
            to[i] = mask >> i & 1 ? from[i] : to[i];
    } else if (width == 4) {
        uint32_t *to = d;
        const uint32_t *from = result;
        for (int i = 0; i < SIM_WARP; i++)
            to[i] = mask >> i & 1 ? from[i] : to[i];
    } else {
        uint64_t *to = d;
        const uint64_t *from = result;
        for (int i = 0; i < SIM_WARP; i++)
            to[i] = mask >> i & 1 ? from[i] : to[i];
    }
}

/* ---- instructions ---- */

static void run_lanes(const sim_warp_state *w, const sim_instr *in, uint32_t mask) {
    uint8_t *const *banks = w->banks;
    void *d = sim__place(banks, in->d);
    const void *a = sim__place(banks, in->a), *b = sim__place(banks, in->b), *c = sim__place(banks, in->c);
    if (mask == UINT32_MAX) {
        in->lanes(d, a, b, c);
        return;
    }
    uint64_t result[SIM_WARP];
    in->lanes(result, a, b, c);
    sim__blend(d, result, mask, in->width);
}

static sim_step run_one(sim_exec *x, const sim_instr *in) {
    sim_warp_state *w = x->warp;
    uint32_t mask = w->mask;
    if (in->guard != SIM_NO_OPERAND) {
        const uint32_t p = *(const uint32_t *)sim__place(w->banks, in->guard);
        mask &= in->negated & 1 ? ~p : p;
    }
    if (mask == 0)
        return SIM_STEP_NEXT;
    const uint64_t n = mask == UINT32_MAX ? SIM_WARP : (uint64_t)__builtin_popcount(mask);
    x->instructions += n;
    x->counts[in->kind] += n;
    if (in->step)
        return in->step(x, in, mask);
    run_lanes(w, in, mask);
    return SIM_STEP_NEXT;
}

/* All lanes have left, or those that have not wait for each other at different places. */
static sim_step nobody_ready(sim_exec *x) {
    const sim_warp_state *w = x->warp;
    if (w->live == 0)
        return SIM_STEP_YIELD;
    const uint32_t pc = w->lane_pc[__builtin_ctz(w->parked)];
    uint32_t here = 0;
    for (int i = 0; i < SIM_WARP; i++)
        here |= (uint32_t)((w->parked >> i & 1) && w->lane_pc[i] == pc) << i;
    return sim__fault_missing(x, &x->module->code[pc], here);
}

/* One turn of a warp. */
static sim_step run_warp(sim_exec *x) {
    sim_warp_state *w = x->warp;
    const sim_instr *code = x->module->code;
    if (!choose_lanes(w))
        return nobody_ready(x);
    for (int n = 0; n < WARP_TURN; n++) {
        const sim_instr *in = &code[w->pc];
        if (--x->left == 0)
            return sim__fault(
                x, in, SIM_FAULT_TIMEOUT, w->mask, "%llu warp instructions and no end",
                (unsigned long long)(x->launch->max_instructions ? x->launch->max_instructions : endless));
        sim_step step = run_one(x, in);
        if (step == SIM_STEP_FAULT || step == SIM_STEP_YIELD)
            return step;
        w->turn += w->divided;
        if (step == SIM_STEP_NEXT) {
            w->pc++;
            if (w->pc < w->limit && !(w->divided && w->turn >= LANES_TURN))
                continue;
            save_lanes(w);
        }
        if (!choose_lanes(w))
            return nobody_ready(x);
    }
    save_lanes(w);
    return SIM_STEP_YIELD;
}

/* ---- blocks ---- */

static uint32_t product(const uint32_t n[3]) {
    return n[0] * n[1] * n[2];
}

static void destroy_block(sim_block_state *b) {
    for (uint32_t i = 0; b->warps && i < b->n_warps; i++) {
        free(b->warps[i].banks[SIM_BANK_KERNEL]);
        free(b->warps[i].banks[SIM_BANK_FUNCTIONS]);
        free(b->warps[i].banks[SIM_BANK_SPECIALS]);
        free(b->warps[i].local);
        free(b->warps[i].copies);
    }
    free(b->warps);
    free(b->shared);
    free(b->shared_shadow);
    sim_race_destroy(b->race);
}

static bool create_warp(const sim_exec *x, sim_warp_state *w, uint32_t index, uint32_t threads) {
    const sim_kernel *k = x->kernel;
    w->index = index;
    const uint32_t lanes = threads - index * SIM_WARP;
    w->all = lanes >= SIM_WARP ? UINT32_MAX : (1u << lanes) - 1;
    w->banks[SIM_BANK_KERNEL] = calloc(1, k->register_bytes + 1);
    w->banks[SIM_BANK_FUNCTIONS] = calloc(1, x->module->function_register_bytes + 1);
    w->banks[SIM_BANK_SPECIALS] = calloc(SIM_SPECIALS, SIM_WARP * 4);
    w->banks[SIM_BANK_CONSTANTS] = x->module->constants;
    w->local = calloc(SIM_WARP, k->local_bytes + x->module->function_local_bytes + 1);
    return w->banks[0] && w->banks[1] && w->banks[3] && w->local;
}

static bool create_block(const sim_exec *x, sim_block_state *b) {
    b->threads = product(x->launch->block);
    b->n_warps = (b->threads + SIM_WARP - 1) / SIM_WARP;
    b->warps = calloc(b->n_warps, sizeof *b->warps);
    b->shared = calloc(1, x->shared_bytes + 1);
    b->shared_shadow = malloc(x->shared_bytes + 1);
    b->race = sim_race_create(x->shared_bytes);
    bool ok = b->warps && b->shared && b->shared_shadow && b->race;
    if (ok)
        memset(b->shared_shadow, SIM_SHADOW_GAP, x->shared_bytes);
    for (uint32_t i = 0; ok && i < b->n_warps; i++)
        ok = create_warp(x, &b->warps[i], i, b->threads);
    return ok;
}

static void fill_specials(const sim_exec *x, const sim_block_state *b, sim_warp_state *w, uint64_t number) {
    const sim_launch *l = x->launch;
    uint32_t(*s)[SIM_WARP] = (void *)w->banks[SIM_BANK_SPECIALS];
    for (uint32_t i = 0; i < SIM_WARP; i++) {
        const uint32_t t = w->index * SIM_WARP + i;
        s[SIM_SPECIAL_tid_x][i] = t % l->block[0];
        s[SIM_SPECIAL_tid_y][i] = t / l->block[0] % l->block[1];
        s[SIM_SPECIAL_tid_z][i] = t / l->block[0] / l->block[1];
        for (int d = 0; d < 3; d++) {
            s[SIM_SPECIAL_ntid_x + d][i] = l->block[d];
            s[SIM_SPECIAL_ctaid_x + d][i] = b->index[d];
            s[SIM_SPECIAL_nctaid_x + d][i] = l->grid[d];
        }
        s[SIM_SPECIAL_laneid][i] = i;
        s[SIM_SPECIAL_warpid][i] = w->index;
        s[SIM_SPECIAL_nwarpid][i] = b->n_warps;
        s[SIM_SPECIAL_smid][i] = (uint32_t)(number % SIM_MULTIPROCESSORS);
        s[SIM_SPECIAL_nsmid][i] = SIM_MULTIPROCESSORS;
        s[SIM_SPECIAL_lanemask_eq][i] = 1u << i;
        s[SIM_SPECIAL_lanemask_lt][i] = (1u << i) - 1;
        s[SIM_SPECIAL_lanemask_le][i] = (1u << i) - 1 + (1u << i);
        s[SIM_SPECIAL_lanemask_gt][i] = ~((1u << i) - 1 + (1u << i));
        s[SIM_SPECIAL_lanemask_ge][i] = ~((1u << i) - 1);
        s[SIM_SPECIAL_dynamic_smem_size][i] = l->dynamic_shared_bytes;
        s[SIM_SPECIAL_total_smem_size][i] = l->dynamic_shared_bytes + x->kernel->shared_bytes;
    }
}

static void begin_block(const sim_exec *x, sim_block_state *b, uint64_t number) {
    const sim_kernel *k = x->kernel;
    const uint32_t *grid = x->launch->grid;
    b->index[0] = (uint32_t)(number % grid[0]);
    b->index[1] = (uint32_t)(number / grid[0] % grid[1]);
    b->index[2] = (uint32_t)(number / grid[0] / grid[1]);
    b->done = false;
    memset(b->barriers, 0, sizeof b->barriers);
    for (uint32_t i = 0; i < k->n_shared; i++)
        memset(b->shared_shadow + k->shared[i].offset, SIM_SHADOW_NONE, k->shared[i].bytes);
    if (k->has_dynamic)
        memset(b->shared_shadow + SIM_SHARED_DYNAMIC, SIM_SHADOW_NONE, x->launch->dynamic_shared_bytes);
    sim_race_begin(b->race, x->shared_bytes, b->threads);
    for (uint32_t i = 0; i < b->n_warps; i++) {
        sim_warp_state *w = &b->warps[i];
        w->live = w->all;
        w->waiting = w->favour = false;
        w->turn = w->n_copies = w->parked = 0;
        w->favoured = 0;
        memset(w->depth, 0, sizeof w->depth);
        memset(w->committed, 0, sizeof w->committed);
        for (int lane = 0; lane < SIM_WARP; lane++)
            w->lane_pc[lane] = k->pc;
        fill_specials(x, b, w, number);
    }
}

/* A turn of every warp that can. false: a fault. */
static bool turn_of_block(sim_exec *x, sim_block_state *b) {
    bool ran = false, left = false;
    x->block = b;
    for (uint32_t i = 0; i < b->n_warps; i++) {
        x->warp = &b->warps[i];
        if (!x->warp->live)
            continue;
        left = true;
        if (x->warp->waiting)
            continue;
        ran = true;
        if (run_warp(x) == SIM_STEP_FAULT)
            return false;
    }
    b->done = !left;
    return ran || !left || sim__barrier_stuck(x);
}

/* ---- grids ---- */

static bool run_blocks(sim_exec *x, uint64_t blocks) {
    sim_block_state b = {0};
    bool ok = create_block(x, &b) || sim__fault_launch(x, "no host memory for a block");
    for (uint64_t n = 0; ok && n < blocks; n++) {
        begin_block(x, &b, n);
        while (ok && !b.done)
            ok = turn_of_block(x, &b);
    }
    destroy_block(&b);
    return ok;
}

static bool run_cooperative(sim_exec *x, uint64_t blocks) {
    sim_block_state *all = calloc(blocks, sizeof *all);
    bool ok = all || sim__fault_launch(x, "no host memory for %llu blocks at once", (unsigned long long)blocks);
    for (uint64_t n = 0; ok && n < blocks; n++) {
        ok = create_block(x, &all[n]) ||
             sim__fault_launch(x, "no host memory for %llu blocks at once", (unsigned long long)blocks);
        if (ok)
            begin_block(x, &all[n], n);
    }
    for (bool left = true; ok && left;) {
        left = false;
        for (uint64_t n = 0; ok && n < blocks; n++)
            if (!all[n].done) {
                ok = turn_of_block(x, &all[n]);
                left = true;
            }
    }
    for (uint64_t n = 0; all && n < blocks; n++)
        destroy_block(&all[n]);
    free(all);
    return ok;
}

static bool check_launch(sim_exec *x) {
    const sim_launch *l = x->launch;
    const sim_kernel *k = x->kernel;
    static const uint32_t block_limit[3] = {1024, 1024, 64}, grid_limit[3] = {INT32_MAX, 65535, 65535};
    sim_kernel_info info;
    sim_kernel_describe(k, &info);
    for (int i = 0; i < 3; i++) {
        if (l->block[i] == 0 || l->block[i] > block_limit[i])
            return sim__fault_launch(x, "blocks of %u threads in dimension %d", l->block[i], i);
        if (l->grid[i] == 0 || l->grid[i] > grid_limit[i])
            return sim__fault_launch(x, "%u blocks in dimension %d", l->grid[i], i);
        if (info.required[0] && l->block[i] != info.required[i])
            return sim__fault_launch(x, "blocks of %u threads in dimension %d, the kernel requires %u", l->block[i], i,
                                     info.required[i]);
    }
    if (product(l->block) > info.max_threads)
        return sim__fault_launch(x, "blocks of %u threads, the kernel takes %u", product(l->block), info.max_threads);
    if (k->shared_bytes + (uint64_t)l->dynamic_shared_bytes > MAX_SHARED)
        return sim__fault_launch(x, "%u and %u bytes of shared memory, the device has %d", k->shared_bytes,
                                 l->dynamic_shared_bytes, MAX_SHARED);
    return true;
}

/* Space for the variables with their gaps, and for what the launch adds. */
static uint32_t shared_size(const sim_exec *x) {
    const sim_kernel *k = x->kernel;
    if (k->has_dynamic)
        return SIM_SHARED_DYNAMIC + x->launch->dynamic_shared_bytes;
    return k->n_shared ? k->shared[k->n_shared - 1].offset + k->shared[k->n_shared - 1].bytes : 0;
}

bool sim_run(sim_device *device, const sim_launch *launch, sim_meter *meter, sim_fault *fault) {
    sim_exec x = {
        .device = device, .launch = launch, .kernel = launch->kernel, .module = launch->kernel->module, .fault = fault};
    memset(fault, 0, sizeof *fault);
    x.left = launch->max_instructions ? launch->max_instructions : endless;
    const uint64_t blocks = (uint64_t)launch->grid[0] * launch->grid[1] * launch->grid[2];
    bool ok = check_launch(&x);
    x.shapes = calloc(x.module->n_code, sizeof(struct sim_shape *));
    if (ok && !x.shapes)
        ok = sim__fault_launch(&x, "no host memory");
    if (ok) {
        x.shared_bytes = shared_size(&x);
        ok = launch->cooperative ? run_cooperative(&x, blocks) : run_blocks(&x, blocks);
    }
    x.counts[SIM_COUNT_instructions] = x.instructions;
    sim__shapes_free(&x);
    sim__meter_fill(&x, blocks, meter);
    return ok;
}
