/* The planner: problem -> plan. Choosing is planning: it walks the ladder of fallback
 *
 *     winner -> next best record -> guess -> simpler variant -> ref
 *
 * and writes down why each rung was left. */
#ifndef KILN_TUNER_PLANNER_H
#define KILN_TUNER_PLANNER_H

#include "family.h"
#include "store.h"

enum { KILN_MAX_RANKED = 64 };

/* What the records say of one candidate. */
typedef struct kiln_ranked {
    const kiln_variant *variant;
    kiln_config config;
    double median_us; /* of graph replay if that was measured, else eager */
    kiln_serving serving;
    kiln_trial_state state;
    bool stale; /* measured with another driver, compiler or source: a lead, not a result */
    int64_t time;
    char reason[160]; /* of a failure */
} kiln_ranked;

typedef struct kiln_ranking {
    kiln_ranked rows[KILN_MAX_RANKED]; /* sound ones first, fastest first; then stale ones; then failures */
    size_t n_rows, n_sound, n_stale;
    bool missed; /* a miss was recorded already */
} kiln_ranking;

/* Derives the ranking from the records of a problem on a device. The latest trial of a candidate decides; a kind that
 * is unknown to this release is left out. Never fails for what the files hold. */
kiln_status kiln__rank_records(kiln_device *device, const kiln_problem *problem, kiln_ranking *out);

#endif
