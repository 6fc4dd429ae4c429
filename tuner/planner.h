/* The planner: problem -> plan. Choosing is planning: it walks the ladder of fallback
 *
 *     winner -> next best record -> guess -> simpler variant -> ref
 *
 * and writes down why each rung was left. */
#ifndef KILN_TUNER_PLANNER_H
#define KILN_TUNER_PLANNER_H

#include "family.h"
#include "store.h"

typedef struct kiln_candidate {
    const kiln_variant *variant;
    kiln_config config;
} kiln_candidate;

enum { KILN_MAX_BASE = KILN_MAX_CONFIG_TEXT + 64 };

/* What the records say of one candidate in one serving mode. */
typedef struct kiln_ranked {
    const kiln_variant *variant;
    kiln_config config;
    double median_us;         /* on the scale of the ranking */
    char base[KILN_MAX_BASE]; /* of the record; base_us on the scale of the ranking */
    double base_us;
    kiln_serving serving;
    kiln_trial_state state;
    bool stale; /* measured with another driver, compiler or source: a lead, not a result */
    int64_t time;
    size_t order;     /* in which it was read: later wins within a second */
    char reason[160]; /* of a failure */
} kiln_ranked;

typedef struct kiln_ranking {
    kiln_ranked *
        rows; /* sound replayed ones first, then sound eager ones, then stale ones, each fastest first; then failures */
    size_t n_rows, capacity, n_sound, n_stale;
    bool missed;         /* a miss was recorded already */
    double done_seconds; /* the longest search that ended, of what can be searched now; 0: none, HUGE_VAL: exhausted */
    double compared_seconds; /* the longest tuning in which this problem was to be compared with its rival */
} kiln_ranking;

/* A hash of what decides the code of a candidate, 32 hex digits: its source; of a chain, the candidates that its parts
 * would run now, and what decides theirs. A record with another hash is stale. */
kiln_status kiln__candidate_content(kiln_device *device, const kiln_problem *problem, const kiln_candidate *candidate,
                                    char out[33]);
/* A hash of all that a search could try: variants, what decides their code, parameters and values. */
kiln_status kiln__search_content(kiln_device *device, const kiln_problem *problem, char out[33]);

/* The name that records give the base of their scale. */
void kiln__base_print(const kiln_candidate *candidate, const char *content, char out[KILN_MAX_BASE]);
/* The name of the base where it is one of another problem, with which candidates were compared. */
void kiln__base_of_rival(const kiln_problem *rival, const char *base, char out[KILN_MAX_BASE]);

/* Derives the ranking from the records of a problem on a device. Times of searches that ran apart, maybe on a machine
 * as busy as never again, are compared as multiples of their common base: it is given the least it ever took. The
 * latest trial of a candidate decides; a kind that is unknown to this release is left out. Never fails for what the
 * files hold. */
kiln_status kiln__rank_records(kiln_device *device, const kiln_problem *problem, kiln_ranking *out);
/* The failed trial that keeps a candidate from being tried, or NULL. */
const kiln_ranked *kiln__ranking_quarantine(const kiln_ranking *ranking, const kiln_variant *variant,
                                            const kiln_config *config);
void kiln__ranking_free(kiln_context *context, kiln_ranking *ranking);

#endif
