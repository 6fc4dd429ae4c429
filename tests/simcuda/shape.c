#include "run.h"
#include <stdlib.h>
#include <string.h>

/* ---- what follows from a shape, found once ---- */

/* The active lanes' addresses from the lowest on, sorted, each once. */
static uint32_t sorted(const sim_places *at, uint64_t out[SIM_WARP]) {
    uint32_t n = 0;
    for (int i = 0; i < SIM_WARP; i++) {
        if (!(at->mask >> i & 1))
            continue;
        uint32_t j = n; /* most come in order */
        while (j > 0 && out[j - 1] > at->address[i])
            j--;
        if (j > 0 && out[j - 1] == at->address[i])
            continue;
        memmove(out + j + 1, out + j, (n - j) * sizeof *out);
        out[j] = at->address[i];
        n++;
    }
    return n;
}

static void fill_runs(sim_shape *s, const uint64_t *address, uint32_t n, uint32_t bytes) {
    s->n_runs = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t begin = address[i] - address[0];
        if (s->n_runs && s->run[s->n_runs - 1].begin + s->run[s->n_runs - 1].bytes == begin) {
            s->run[s->n_runs - 1].bytes += bytes;
        } else {
            s->run[s->n_runs].begin = begin;
            s->run[s->n_runs++].bytes = bytes;
        }
    }
}

static uint32_t count_sectors(const uint64_t *address, uint32_t n) {
    uint32_t sectors = 0;
    for (uint32_t i = 0; i < n; i++) /* 16 bytes at most, aligned: never in two */
        sectors += i == 0 || address[i] / 32 != address[i - 1] / 32;
    return sectors;
}

/* How often the banks are needed for one phase: the most different words any bank is asked for. */
static uint32_t phase_passes(const sim_places *at, uint32_t from, uint32_t to) {
    uint32_t word[32][SIM_WARP], n[32] = {0}, most = 0;
    for (uint32_t i = from; i < to; i++) {
        if (!(at->mask >> i & 1))
            continue;
        const uint32_t end = ((uint32_t)at->address[i] + at->bytes + 3) / 4;
        for (uint32_t w = (uint32_t)at->address[i] / 4; w < end; w++) {
            const uint32_t bank = w % 32;
            uint32_t j = 0;
            while (j < n[bank] && word[bank][j] != w)
                j++;
            if (j < n[bank])
                continue;
            word[bank][n[bank]++] = w;
            if (most < n[bank])
                most = n[bank];
        }
    }
    return most;
}

/* 8 bytes a lane go in two halves of the warp, 16 in four quarters. */
static uint32_t count_passes(const sim_places *at, sim_pattern pattern) {
    if (pattern == SIM_PATTERN_ONE)
        return 1;
    const uint32_t phases = at->bytes <= 4 ? 1 : at->bytes / 4;
    uint32_t passes = 0;
    for (uint32_t i = 0; i < phases; i++)
        passes += phase_passes(at, i * SIM_WARP / phases, (i + 1) * SIM_WARP / phases);
    return passes;
}

static bool is_aligned(const sim_places *at) {
    uint64_t bits = 0;
    for (int i = 0; i < SIM_WARP; i++)
        bits |= at->mask >> i & 1 ? at->address[i] : 0;
    return (bits & (at->bytes - 1)) == 0;
}

/* How far an access is from where its alignment and its cost would be the same: banks are all alike, a sector begins
 * every 32 bytes. */
static uint32_t phase_of(const sim_places *at, uint64_t first) {
    return (uint32_t)first % (at->space == SIM_SPACE_GLOBAL ? 32 : 16);
}

static void fill_shape(sim_shape *s, const sim_places *at, uint64_t first) {
    uint64_t address[SIM_WARP], row = at->mask != UINT32_MAX;
    s->mask = at->mask;
    s->space = at->space;
    s->phase = phase_of(at, first);
    for (uint32_t i = 0; i < SIM_WARP; i++) {
        s->distance[i] = at->address[i] - first;
        s->watch[i] = at->mask >> i & 1 ? UINT64_MAX : 0;
        row |= s->distance[i] - (uint64_t)i * at->bytes;
    }
    const uint32_t n = sorted(at, address);
    s->below = first - address[0];
    s->span = address[n - 1] - address[0];
    s->pattern = n == 1 ? SIM_PATTERN_ONE : row ? SIM_PATTERN_ANY : SIM_PATTERN_ROW;
    fill_runs(s, address, n, at->bytes);
    s->cost = at->space == SIM_SPACE_GLOBAL ? count_sectors(address, n) : count_passes(at, s->pattern);
}

/* ---- looking it up ---- */

static bool is_same(const sim_shape *s, const sim_places *at, uint64_t first) {
    uint64_t differs = 0;
    for (int i = 0; i < SIM_WARP; i++)
        differs |= (at->address[i] - first - s->distance[i]) & s->watch[i];
    return !differs && s->mask == at->mask && s->phase == phase_of(at, first) && s->space == (uint32_t)at->space;
}

bool sim__shape(sim_exec *x, const sim_instr *in, sim_places *at) {
    sim_shape **slot = &x->shapes[in - x->module->code];
    const uint64_t first = at->address[__builtin_ctz(at->mask)];
    if (!*slot)
        *slot = calloc(1, sizeof **slot);
    if (!*slot)
        return false;
    if (!is_same(*slot, at, first)) {
        if (!is_aligned(at))
            return false;
        fill_shape(*slot, at, first);
    }
    at->shape = *slot;
    at->pattern = at->shape->pattern;
    at->low = first - at->shape->below;
    at->high = at->low + at->shape->span;
    return true;
}

void sim__shapes_free(sim_exec *x) {
    for (uint32_t i = 0; x->shapes && i < x->module->n_code; i++)
        free(x->shapes[i]);
    free(x->shapes);
}
