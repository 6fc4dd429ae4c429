/* Strategies: which candidates to try next. They see a space and the trials they asked for, no device and no clock, so
 * that they can be judged on recorded spaces. Budgets are the tuner's.
 *
 * The tuner calls init, then ask and tell in turns: every config that ask gave is told, in the order given, before the
 * next ask. Asking 0 configs ends the search. The starting config was measured before. */
#ifndef KILN_TUNER_STRATEGY_H
#define KILN_TUNER_STRATEGY_H

#include "space.h"

/* What became of a config. */
typedef struct kiln_outcome {
    bool valid;     /* ran and computed rightly */
    double time_us; /* of a valid one */
} kiln_outcome;

typedef struct kiln_strategy {
    const char *name;
    const char *help;
    size_t state_bytes; /* zeroed before init */
    /* `start` is a valid config and `outcome` what it took; NULL where there is none. */
    kiln_status (*init)(void *state, const kiln_space *space, const kiln_config *start, const kiln_outcome *outcome,
                        uint64_t seed);
    size_t (*ask)(void *state, kiln_config *configs, size_t max);
    void (*tell)(void *state, const kiln_config *config, const kiln_outcome *outcome);
    void (*fini)(void *state);
} kiln_strategy;

/* NULL: none of that name. */
const kiln_strategy *kiln__strategy(const char *name);

/* The configs a strategy has seen already: a bounded hash set. */
typedef struct kiln_seen {
    uint64_t *slots; /* hashes, 0 = free */
    size_t n, capacity;
} kiln_seen;
/* True if it was not there before. Out of memory forgets, which costs a repeated trial at most. */
bool kiln__seen_add(kiln_seen *seen, const kiln_space *space, const kiln_config *config);
void kiln__seen_free(kiln_seen *seen);

#define KILN_STRATEGY(name) extern const kiln_strategy kiln__strategy_##name;
#include "strategies.def"
#undef KILN_STRATEGY

#endif
