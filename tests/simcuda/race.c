#include "race.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Happens-before by clocks. One counter for the block; `now` of a warp is its value when the warp last synchronised, so
 * an access is stamped with `now` of its warp, and `known[w][v]` is the latest stamp of warp v that warp w is behind.
 * An access of warp v at stamp s is before one of warp w if s <= known[w][v], or if the same thread made both. `floor`
 * is the stamp of the last barrier of the whole block: everything below it is before everything now, which is the one
 * comparison nearly every access takes.
 *
 * A cell is what is known of a word: the last write, the last read, the warps that read since the floor. A word that
 * was touched in smaller pieces has four cells more, one a byte, and is put together again when they are all old.
 *
 * With barriers of the whole block alone, any other warp that read since the floor races with a write. The first
 * barrier of some warps makes that too strict: from then on each warp's last read of each cell is kept as well. Within
 * a warp, synchronising some of its lanes counts as synchronising all. */

enum { MAX_WARPS = 32, WORD_BYTES = 4 };

#define NOT_LANDED UINT32_MAX           /* the stamp of an async copy that is on its way */
#define LAST_STAMP UINT32_C(0xf0000000) /* enough for a block below NOT_LANDED */

typedef struct cell {
    uint32_t write_stamp, write_pc;
    uint16_t writer; /* warp * 32 + lane */
    uint8_t write_kind;
    bool split;                                          /* of a word: look at its bytes */
    uint32_t read_stamp, read_pc, read_lanes, read_warp; /* the last one */
    uint32_t read_warps;                                 /* since the floor, if read_stamp is not below it */
} cell;

struct sim_race {
    uint32_t warps;                      /* of the block */
    uint32_t stamp, floor, n_not_landed; /* words */
    bool some;                           /* a barrier of some warps was passed */
    uint32_t now[MAX_WARPS], known[MAX_WARPS][MAX_WARPS];
    cell *words, *bytes;
    uint32_t (*reads)[MAX_WARPS]; /* words, then bytes: stamps of each warp's last read, with `some` */
    uint32_t max_words;
};

sim_race *sim_race_create(uint32_t max_shared_bytes) {
    sim_race *race = calloc(1, sizeof *race);
    if (!race)
        return NULL;
    race->max_words = (max_shared_bytes + WORD_BYTES - 1) / WORD_BYTES + 1;
    const size_t cells = (size_t)race->max_words * (1 + WORD_BYTES);
    race->words = calloc(cells, sizeof *race->words);
    race->reads = calloc(cells, sizeof *race->reads);
    race->stamp = 1;
    if (!race->words || !race->reads) {
        sim_race_destroy(race);
        return NULL;
    }
    race->bytes = race->words + race->max_words;
    return race;
}

void sim_race_destroy(sim_race *race) {
    if (!race)
        return;
    free(race->words);
    free(race->reads);
    free(race);
}

/* ---- order ---- */

static void forget(sim_race *race) {
    const size_t cells = (size_t)race->max_words * (1 + WORD_BYTES);
    memset(race->words, 0, cells * sizeof *race->words);
    if (race->some)
        memset(race->reads, 0, cells * sizeof *race->reads);
}

/* Everything so far is before everything from now on. */
static void raise_floor(sim_race *race) {
    race->floor = ++race->stamp;
    for (uint32_t w = 0; w < MAX_WARPS; w++) {
        race->now[w] = race->floor;
        for (uint32_t v = 0; v < MAX_WARPS; v++)
            race->known[w][v] = race->floor - 1;
    }
}

void sim_race_begin(sim_race *race, uint32_t shared_bytes, uint32_t threads) {
    assert(shared_bytes <= race->max_words * WORD_BYTES);
    (void)shared_bytes;
    if (race->n_not_landed || race->stamp > LAST_STAMP) {
        forget(race);
        race->stamp = 1;
    }
    race->n_not_landed = 0;
    const uint32_t n = (threads + SIM_WARP - 1) / SIM_WARP;
    race->warps = n >= MAX_WARPS ? UINT32_MAX : (UINT32_C(1) << n) - 1;
    raise_floor(race);
}

/* Reads were noted by warp alone; from now on by stamp. Those since the floor are taken for reads of this moment. */
static void keep_reads(sim_race *race) {
    race->some = true;
    const size_t cells = (size_t)race->max_words * (1 + WORD_BYTES);
    for (size_t i = 0; i < cells; i++)
        if (race->words[i].read_stamp >= race->floor)
            for (uint32_t w = 0; w < MAX_WARPS; w++)
                race->reads[i][w] = race->words[i].read_warps >> w & 1 ? race->now[w] : 0;
}

void sim_race_barrier(sim_race *race, uint32_t warps) {
    if ((warps & race->warps) == race->warps) {
        raise_floor(race);
        return;
    }
    if (!race->some)
        keep_reads(race);
    uint32_t joined[MAX_WARPS] = {0};
    for (uint32_t w = 0; w < MAX_WARPS; w++)
        for (uint32_t v = 0; v < MAX_WARPS && warps >> w & 1; v++) {
            const uint32_t behind = v == w ? race->now[w] : race->known[w][v];
            joined[v] = behind > joined[v] ? behind : joined[v];
        }
    for (uint32_t w = 0; w < MAX_WARPS; w++)
        if (warps >> w & 1) {
            memcpy(race->known[w], joined, sizeof joined);
            race->now[w] = ++race->stamp;
        }
}

void sim_race_warp_sync(sim_race *race, uint32_t warp, uint32_t mask) {
    (void)mask;
    race->known[warp][warp] = race->now[warp];
    race->now[warp] = ++race->stamp;
}

/* ---- one access to one cell ---- */

typedef struct touch {
    sim_race_kind kind;
    uint32_t warp, lanes, pc; /* lanes: all that touch this cell, never none */
} touch;

static uint32_t first_bit(uint32_t mask) {
    return (uint32_t)__builtin_ctz(mask);
}

static bool report(sim_race_conflict *conflict, const touch *t, uint32_t other_thread, uint32_t other_pc,
                   sim_race_kind other_kind) {
    const uint32_t others = t->warp == other_thread / SIM_WARP ? t->lanes & ~(1u << other_thread % SIM_WARP) : t->lanes;
    conflict->lane = first_bit(others ? others : t->lanes);
    conflict->kind = t->kind;
    conflict->other_thread = other_thread;
    conflict->other_pc = other_pc;
    conflict->other_kind = other_kind;
    return true;
}

/* Against the last write, which is not below the floor. */
static bool races_with_write(const sim_race *race, const cell *c, const touch *t, sim_race_conflict *conflict) {
    if (c->write_stamp <= race->known[t->warp][c->writer / SIM_WARP])
        return false;
    const bool same_thread = c->writer / SIM_WARP == t->warp && t->lanes == 1u << c->writer % SIM_WARP;
    const bool atomics = t->kind == SIM_RACE_ATOMIC && c->write_kind == SIM_RACE_ATOMIC;
    if (c->write_stamp != NOT_LANDED && (same_thread || atomics))
        return false;
    return report(conflict, t, c->writer, c->write_pc, (sim_race_kind)c->write_kind);
}

/* Against the reads since the floor. */
static bool races_with_reads(const sim_race *race, const cell *c, const touch *t, sim_race_conflict *conflict) {
    uint32_t others = c->read_warps & ~(1u << t->warp);
    if (others && race->some)
        for (uint32_t w = 0, all = others; w < MAX_WARPS; w++)
            if (all >> w & 1 && race->reads[c - race->words][w] <= race->known[t->warp][w])
                others &= ~(1u << w);
    if (others) {
        const uint32_t warp = others >> c->read_warp & 1 ? c->read_warp : first_bit(others);
        return report(conflict, t, warp * SIM_WARP + first_bit(c->read_lanes), c->read_pc, SIM_RACE_READ);
    }
    if (c->read_warp != t->warp || c->read_stamp <= race->known[t->warp][t->warp])
        return false;
    const uint32_t lanes = t->lanes & (t->lanes - 1) ? c->read_lanes : c->read_lanes & ~t->lanes;
    return lanes && report(conflict, t, t->warp * SIM_WARP + first_bit(lanes), c->read_pc, SIM_RACE_READ);
}

static inline bool read_cell(sim_race *race, cell *c, const touch *t, sim_race_conflict *conflict) {
    if (c->write_stamp >= race->floor && races_with_write(race, c, t, conflict))
        return true;
    const uint32_t now = race->now[t->warp];
    if (c->read_stamp == now && c->read_warp == t->warp) {
        c->read_lanes |= t->lanes;
        return false;
    }
    c->read_warps = (c->read_stamp >= race->floor ? c->read_warps : 0) | 1u << t->warp;
    c->read_stamp = now;
    c->read_warp = t->warp;
    c->read_lanes = t->lanes;
    c->read_pc = t->pc;
    if (race->some)
        race->reads[c - race->words][t->warp] = now;
    return false;
}

static inline bool write_cell(sim_race *race, cell *c, const touch *t, sim_race_conflict *conflict) {
    if (c->write_stamp >= race->floor && races_with_write(race, c, t, conflict))
        return true;
    if (c->read_stamp >= race->floor && races_with_reads(race, c, t, conflict))
        return true;
    if (t->lanes & (t->lanes - 1) && t->kind != SIM_RACE_ATOMIC) { /* at once, by more than one lane */
        const touch rest = {t->kind, t->warp, t->lanes & (t->lanes - 1), t->pc};
        return report(conflict, &rest, t->warp * SIM_WARP + first_bit(t->lanes), t->pc, t->kind);
    }
    c->write_stamp = t->kind == SIM_RACE_ASYNC ? NOT_LANDED : race->now[t->warp];
    c->write_pc = t->pc;
    c->writer = (uint16_t)(t->warp * SIM_WARP + first_bit(t->lanes));
    c->write_kind = (uint8_t)t->kind;
    if (t->kind != SIM_RACE_ATOMIC) /* which is no order: a read before it still counts against another atomic */
        c->read_stamp = 0;
    return false;
}

static inline bool touch_cell(sim_race *race, cell *c, const touch *t, sim_race_conflict *conflict) {
    return t->kind == SIM_RACE_READ ? read_cell(race, c, t, conflict) : write_cell(race, c, t, conflict);
}

/* ---- words and bytes ---- */

static bool touch_bytes(sim_race *race, uint32_t first, uint32_t n, const touch *t, sim_race_conflict *conflict) {
    for (uint32_t i = 0; i < n; i++)
        if (touch_cell(race, &race->bytes[first + i], t, conflict)) {
            conflict->address = first + i;
            return true;
        }
    return false;
}

/* A word's four bytes are all from before the floor: it can be one again. */
static bool are_old(const sim_race *race, const cell *bytes) {
    for (uint32_t i = 0; i < WORD_BYTES; i++)
        if (bytes[i].write_stamp >= race->floor || bytes[i].read_stamp >= race->floor)
            return false;
    return true;
}

static bool touch_split(sim_race *race, uint32_t word, const touch *t, sim_race_conflict *conflict) {
    cell *bytes = &race->bytes[word * WORD_BYTES];
    if (are_old(race, bytes)) {
        race->words[word] = (cell){0};
        return touch_cell(race, &race->words[word], t, conflict);
    }
    if (touch_bytes(race, word * WORD_BYTES, WORD_BYTES, t, conflict))
        return true;
    if (t->kind == SIM_RACE_WRITE || t->kind == SIM_RACE_ASYNC)
        race->words[word] = bytes[0]; /* they are all alike now, and bytes are not split */
    return false;
}

static inline bool touch_words(sim_race *race, uint32_t word, uint32_t n, const touch *t, sim_race_conflict *conflict) {
    for (uint32_t i = word; i < word + n; i++) {
        cell *c = &race->words[i];
        if (c->split ? touch_split(race, i, t, conflict) : touch_cell(race, c, t, conflict)) {
            if (!c->split)
                conflict->address = i * WORD_BYTES;
            return true;
        }
    }
    return false;
}

static bool touch_part(sim_race *race, uint32_t address, uint32_t n, const touch *t, sim_race_conflict *conflict) {
    const uint32_t word = address / WORD_BYTES;
    cell *c = &race->words[word];
    if (!c->split) {
        for (uint32_t i = 0; i < WORD_BYTES; i++) {
            race->bytes[word * WORD_BYTES + i] = *c;
            if (race->some)
                memcpy(race->reads[race->max_words + word * WORD_BYTES + i], race->reads[word], sizeof *race->reads);
        }
        c->split = true;
    }
    return touch_bytes(race, address, n, t, conflict);
}

/* ---- one access of a warp ---- */

/* All lanes from `lane` on that touch the same address. */
static inline uint32_t same_address(const sim_race_access *a, uint32_t lane) {
    uint32_t lanes = 0;
    for (uint32_t i = lane; i < SIM_WARP && (!(a->mask >> i & 1) || a->address[i] == a->address[lane]); i++)
        lanes |= 1u << i;
    return lanes & a->mask;
}

/* Each lane's bytes come right after those of the lane before. */
static bool side_by_side(const sim_race_access *a) {
    uint32_t off = a->mask != UINT32_MAX || a->bytes < WORD_BYTES;
    for (uint32_t lane = 0; lane < SIM_WARP; lane++)
        off |= a->address[lane] - a->address[0] - lane * a->bytes;
    return !off;
}

static bool note_side_by_side(sim_race *race, const sim_race_access *a, touch *t, sim_race_conflict *conflict) {
    const uint32_t words = a->bytes / WORD_BYTES;
    for (uint32_t lane = 0; lane < SIM_WARP; lane++) {
        t->lanes = 1u << lane;
        if (touch_words(race, a->address[lane] / WORD_BYTES, words, t, conflict))
            return true;
    }
    return false;
}

static bool note_any(sim_race *race, const sim_race_access *a, touch *t, sim_race_conflict *conflict) {
    for (uint32_t left = a->mask; left; left &= ~t->lanes) {
        const uint32_t lane = first_bit(left), address = a->address[lane];
        t->lanes = same_address(a, lane);
        if (a->bytes < WORD_BYTES ? touch_part(race, address, a->bytes, t, conflict)
                                  : touch_words(race, address / WORD_BYTES, a->bytes / WORD_BYTES, t, conflict))
            return true;
    }
    return false;
}

bool sim_race_note(sim_race *race, const sim_race_access *access, sim_race_conflict *conflict) {
    touch t = {access->kind, access->warp, 0, access->pc};
    if (access->kind == SIM_RACE_ASYNC)
        race->n_not_landed += (uint32_t)__builtin_popcount(access->mask) * access->bytes / WORD_BYTES;
    if (side_by_side(access))
        return note_side_by_side(race, access, &t, conflict);
    return note_any(race, access, &t, conflict);
}

void sim_race_landed(sim_race *race, uint32_t thread, uint32_t address, uint32_t bytes, uint32_t pc) {
    for (uint32_t word = address / WORD_BYTES; word < (address + bytes) / WORD_BYTES; word++) {
        cell *c = &race->words[word];
        race->n_not_landed -= c->write_stamp == NOT_LANDED;
        c->write_stamp = race->now[thread / SIM_WARP];
        c->write_pc = pc;
        c->writer = (uint16_t)thread;
        c->write_kind = SIM_RACE_ASYNC;
    }
}
