/* exhaust: every valid config once, in order. */
#include "strategy.h"

typedef struct {
    const kiln_space *space;
    kiln_space_cursor cursor;
    kiln_config start;
    bool has_start;
} exhaust;

static kiln_status init(void *state, const kiln_space *space, const kiln_config *start, const kiln_outcome *outcome,
                        uint64_t seed) {
    (void)outcome, (void)seed;
    exhaust *s = state;
    s->space = space;
    s->has_start = start != NULL;
    if (start)
        s->start = *start;
    return KILN_OK;
}

static size_t ask(void *state, kiln_config *configs, size_t max) {
    exhaust *s = state;
    size_t n = 0;
    while (n < max && kiln__space_next(s->space, &s->cursor, &configs[n]))
        n += !(s->has_start && kiln__config_equal(s->space, &configs[n], &s->start));
    return n;
}

static void tell(void *state, const kiln_config *config, const kiln_outcome *outcome) {
    (void)state, (void)config, (void)outcome;
}

static void fini(void *state) {
    (void)state;
}

const kiln_strategy kiln__strategy_exhaust = {"exhaust", "every valid config once", sizeof(exhaust), init, ask, tell,
                                              fini};
