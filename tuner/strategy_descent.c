/* descent: first-improvement local search with restarts. From a config it tries those that differ in one parameter, in
 * random order, and moves as soon as one is faster; where none is, it starts again from a random config. */
#include "strategy.h"
#include <math.h>

enum { MAX_NEIGHBORS = 256, TRIES = 512 };
static const double hopeless = 3.0; /* a start this many times slower than the best is not descended from */

typedef struct {
    const kiln_space *space;
    uint64_t random;
    kiln_seen seen;
    kiln_config center;
    double center_us; /* INFINITY: a restart not measured yet, or invalid */
    double best_us;
    bool has_center;
    kiln_config neighbors[MAX_NEIGHBORS]; /* of the center, shuffled, those not tried yet */
    size_t n_neighbors;
} descent;

/* Adds the valid configs that differ from the center in parameter p, by one place in its list or by more. */
static void add_neighbors(descent *s, size_t p, bool adjacent) {
    const int at = kiln__space_index(s->space, &s->center, p);
    for (int k = 0; k < s->space->params[p].n_values && s->n_neighbors < MAX_NEIGHBORS; k++) {
        kiln_config *c = &s->neighbors[s->n_neighbors];
        *c = s->center;
        c->v[p] = s->space->params[p].values[k];
        if (k != at && (k == at - 1 || k == at + 1) == adjacent && kiln__space_valid(s->space, c))
            s->n_neighbors++;
    }
}

static void shuffle(descent *s, size_t first) {
    for (size_t i = s->n_neighbors; i > first + 1; i--) {
        const size_t k = first + kiln__random_below(&s->random, i - first);
        const kiln_config t = s->neighbors[i - 1];
        s->neighbors[i - 1] = s->neighbors[k];
        s->neighbors[k] = t;
    }
}

/* Taken from the end of the list: adjacent values first, since timings change little from one value to the next. */
static void move_to(descent *s, const kiln_config *config, double us) {
    s->center = *config;
    s->center_us = us;
    s->has_center = true;
    s->n_neighbors = 0;
    for (int adjacent = 0; adjacent <= 1; adjacent++) {
        const size_t first = s->n_neighbors;
        for (size_t p = 0; p < s->space->n_params; p++)
            add_neighbors(s, p, adjacent);
        shuffle(s, first);
    }
}

static kiln_status init(void *state, const kiln_space *space, const kiln_config *start, const kiln_outcome *outcome,
                        uint64_t seed) {
    descent *s = state;
    s->space = space;
    s->random = seed;
    s->best_us = INFINITY;
    if (start)
        kiln__seen_add(&s->seen, space, start);
    if (start && outcome && outcome->valid) {
        s->best_us = outcome->time_us;
        move_to(s, start, outcome->time_us);
    }
    return KILN_OK;
}

static size_t ask(void *state, kiln_config *configs, size_t max) {
    descent *s = state;
    if (max == 0)
        return 0;
    while (s->has_center && s->n_neighbors > 0) {
        *configs = s->neighbors[--s->n_neighbors];
        if (kiln__seen_add(&s->seen, s->space, configs))
            return 1;
    }
    s->has_center = false; /* nothing around it is faster: start again elsewhere */
    for (int tries = 0; tries < TRIES; tries++)
        if (kiln__space_random(s->space, &s->random, configs) && kiln__seen_add(&s->seen, s->space, configs))
            return 1;
    return 0;
}

static void tell(void *state, const kiln_config *config, const kiln_outcome *outcome) {
    descent *s = state;
    const double us = outcome->valid ? outcome->time_us : INFINITY;
    if (us < s->best_us)
        s->best_us = us;
    if (s->has_center ? us < s->center_us : us < hopeless * s->best_us)
        move_to(s, config, us);
}

static void fini(void *state) {
    descent *s = state;
    kiln__seen_free(&s->seen);
}

const kiln_strategy kiln__strategy_descent = {
    "descent", "first-improvement local search with restarts", sizeof(descent), init, ask, tell, fini};
