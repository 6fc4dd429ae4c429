/* Spaces: every valid config of a variant for a problem on a device, enumerated lazily.
 *
 * A space is parameters with value lists and a test of partial configs, so that a broken rule cuts off a whole branch.
 * Nothing here knows a device: recorded spaces are searched by the same code. */
#ifndef KILN_TUNER_SPACE_H
#define KILN_TUNER_SPACE_H

#include "family.h"

typedef struct kiln_space {
    const kiln_param *params;
    size_t n_params;
    /* Whether the parameters whose bits are set in `known` break no rule. With all bits set: whether the config is
     * valid. */
    bool (*may_be_valid)(const void *user, const kiln_config *config, uint32_t known);
    const void *user;
} kiln_space;

/* A variant's space: its rules, and its reject for the problem, decide. The context must outlive the space. */
typedef struct kiln_variant_space {
    const kiln_variant *variant;
    const kiln_problem *problem;
    const kiln_caps *caps;
} kiln_variant_space;
kiln_space kiln__variant_space(const kiln_variant_space *user);

static inline uint32_t kiln__space_all(const kiln_space *s) {
    return (uint32_t)((UINT64_C(1) << s->n_params) - 1);
}
static inline bool kiln__space_valid(const kiln_space *s, const kiln_config *c) {
    return s->may_be_valid(s->user, c, kiln__space_all(s));
}
/* The position of a config's value in the list of parameter i, or -1. */
int kiln__space_index(const kiln_space *space, const kiln_config *config, size_t i);
bool kiln__config_equal(const kiln_space *space, const kiln_config *a, const kiln_config *b);

/* Walks the valid configs in lexical order of the value lists. Zero-initialise. */
typedef struct kiln_space_cursor {
    uint8_t index[KILN_MAX_PARAMS];
    bool started, ended;
} kiln_space_cursor;
bool kiln__space_next(const kiln_space *space, kiln_space_cursor *cursor, kiln_config *out);

/* How many valid configs there are, counting no further than `limit`. */
size_t kiln__space_count(const kiln_space *space, size_t limit);

/* splitmix64 (Steele, Lea, Flood 2014): all randomness of tuning comes from one seed. */
uint64_t kiln__random(uint64_t *state);
/* Uniform below n >= 1. */
uint64_t kiln__random_below(uint64_t *state, uint64_t n);

/* A random valid config, uniform unless valid ones are rarer than one in 4,096. False: the space is empty. */
bool kiln__space_random(const kiln_space *space, uint64_t *random, kiln_config *out);

#endif
