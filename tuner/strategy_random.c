/* random: valid configs drawn uniformly, none twice. */
#include "strategy.h"

enum { TRIES = 512 };

typedef struct {
    const kiln_space *space;
    uint64_t random;
    kiln_seen seen;
} random_search;

static kiln_status init(void *state, const kiln_space *space, const kiln_config *start, const kiln_outcome *outcome,
                        uint64_t seed) {
    (void)outcome;
    random_search *s = state;
    s->space = space;
    s->random = seed;
    if (start)
        kiln__seen_add(&s->seen, space, start);
    return KILN_OK;
}

static size_t ask(void *state, kiln_config *configs, size_t max) {
    random_search *s = state;
    size_t n = 0;
    for (int tries = 0; n < max && tries < TRIES; tries++) { /* a space that is used up repeats itself */
        if (!kiln__space_random(s->space, &s->random, &configs[n]))
            break;
        n += kiln__seen_add(&s->seen, s->space, &configs[n]);
    }
    return n;
}

static void tell(void *state, const kiln_config *config, const kiln_outcome *outcome) {
    (void)state, (void)config, (void)outcome;
}

static void fini(void *state) {
    random_search *s = state;
    kiln__seen_free(&s->seen);
}

const kiln_strategy kiln__strategy_random = {
    "random", "valid configs drawn uniformly, none twice", sizeof(random_search), init, ask, tell, fini};
