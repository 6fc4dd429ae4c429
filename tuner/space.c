#include "space.h"
#include <string.h>

enum { RANDOM_TRIES = 4096 };

/* ---- a variant's space ---- */

static bool variant_may_be_valid(const void *user, const kiln_config *config, uint32_t known) {
    const kiln_variant_space *s = user;
    for (const kiln_rule *r = s->variant->rules; r && r->why; r++)
        if ((r->uses & ~known) == 0 && !r->ok(config, s->problem, s->caps))
            return false;
    return true;
}

kiln_space kiln__variant_space(const kiln_variant_space *user) {
    return (kiln_space){user->variant->params, kiln__variant_n_params(user->variant), variant_may_be_valid, user};
}

/* ---- configs ---- */

int kiln__space_index(const kiln_space *space, const kiln_config *config, size_t i) {
    for (int k = 0; k < space->params[i].n_values; k++)
        if (space->params[i].values[k] == config->v[i])
            return k;
    return -1;
}

bool kiln__config_equal(const kiln_space *space, const kiln_config *a, const kiln_config *b) {
    return memcmp(a->v, b->v, space->n_params * sizeof a->v[0]) == 0;
}

/* ---- enumeration ---- */

/* Sets parameters from `depth` on to the first values that may be valid, moving earlier ones on when a branch is dead.
 */
static bool descend(const kiln_space *space, kiln_space_cursor *c, size_t depth, kiln_config *out) {
    for (;;) {
        if (depth == space->n_params)
            return true;
        if (c->index[depth] < space->params[depth].n_values) {
            out->v[depth] = space->params[depth].values[c->index[depth]];
            if (space->may_be_valid(space->user, out, (uint32_t)((UINT64_C(2) << depth) - 1))) {
                if (++depth < space->n_params)
                    c->index[depth] = 0;
            } else {
                c->index[depth]++;
            }
        } else {
            if (depth == 0)
                return false;
            c->index[--depth]++;
        }
    }
}

bool kiln__space_next(const kiln_space *space, kiln_space_cursor *cursor, kiln_config *out) {
    memset(out, 0, sizeof *out);
    if (cursor->ended)
        return false;
    size_t depth = 0;
    if (cursor->started) {
        if (space->n_params == 0) {
            cursor->ended = true;
            return false;
        }
        depth = space->n_params - 1;
        for (size_t i = 0; i < depth; i++)
            out->v[i] = space->params[i].values[cursor->index[i]];
        cursor->index[depth]++;
    } else if (!space->may_be_valid(space->user, out, 0)) {
        cursor->ended = true;
        return false;
    }
    cursor->started = true;
    cursor->ended = !descend(space, cursor, depth, out);
    return !cursor->ended;
}

size_t kiln__space_count(const kiln_space *space, size_t limit) {
    kiln_space_cursor cursor = {0};
    kiln_config config;
    size_t n = 0;
    while (n < limit && kiln__space_next(space, &cursor, &config))
        n++;
    return n;
}

/* ---- randomness ---- */

uint64_t kiln__random(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t kiln__random_below(uint64_t *state, uint64_t n) {
    const uint64_t limit = UINT64_MAX - UINT64_MAX % n; /* no value is favoured */
    uint64_t r;
    do
        r = kiln__random(state);
    while (r >= limit);
    return r % n;
}

bool kiln__space_random(const kiln_space *space, uint64_t *random, kiln_config *out) {
    memset(out, 0, sizeof *out);
    for (int i = 0; i < RANDOM_TRIES; i++) {
        for (size_t p = 0; p < space->n_params; p++)
            out->v[p] = space->params[p].values[kiln__random_below(random, space->params[p].n_values)];
        if (kiln__space_valid(space, out))
            return true;
    }
    /* Valid ones are rare: walk them, and keep each with a falling chance (reservoir of one), over a bounded number. */
    kiln_space_cursor cursor = {0};
    kiln_config config;
    uint64_t n = 0;
    while (n < RANDOM_TRIES && kiln__space_next(space, &cursor, &config))
        if (kiln__random_below(random, ++n) == 0)
            *out = config;
    return n > 0;
}
