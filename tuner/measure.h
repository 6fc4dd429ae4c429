/* Measuring: a candidate is validated, then timed. Correctness is a gate, not a score.
 *
 * A measurer holds one problem on one device: two sets of seeded data (small integers and floats), what `ref` makes of
 * them, and buffers with guard bands. A candidate must write every output element it owes and nothing else, agree with
 * `ref` on both sets, and give the same bits twice; only then is the clock looked at. Timing is in turns with the
 * champion, so that a drift of the machine hits both alike. One thread at a time. */
#ifndef KILN_TUNER_MEASURE_H
#define KILN_TUNER_MEASURE_H

#include "planner.h"
#include <kiln/graph.h>

typedef struct kiln_measurer kiln_measurer;

typedef struct kiln_measure_options {
    uint64_t seed;      /* of the data */
    double min_seconds; /* of timing a candidate; fewer than 5 samples are never enough */
    double drop_ratio;  /* a candidate this many times slower than the champion is left early; 0: never */
    bool serving[2];    /* which modes to time, by kiln_serving */
} kiln_measure_options;

typedef struct kiln_timing {
    double median_us, min_us, spread_us; /* spread: half of what the middle half of the samples spans */
    uint32_t n_runs;
} kiln_timing;

/* What became of a candidate. */
typedef struct kiln_trial {
    kiln_trial_state state; /* OK, FAILED, WRONG; CRASHED and HUNG are for the worker's keeper to say */
    char reason[512];
    double compile_ms;
    double max_error;      /* largest difference to ref, as a part of what is allowed */
    kiln_timing timing[2]; /* by kiln_serving; zero where it was not asked for */
    double ratio[2];       /* time / the champion's, the median over samples taken in turns; 0 without a champion */
    bool dropped;          /* left early as too slow: the timing is a rough one */
} kiln_trial;

/* Runs `ref` on both sets of data. */
kiln_status kiln__measurer_create(kiln_device *device, const kiln_problem *problem, const kiln_measure_options *options,
                                  kiln_measurer **out);
void kiln__measurer_destroy(kiln_measurer *measurer);

/* Makes a validated candidate the one to compare with; NULL: none. It may be of another problem, whose data it gets:
 * so are two layouts compared. */
kiln_status kiln__measurer_champion(kiln_measurer *measurer, const kiln_problem *problem,
                                    const kiln_candidate *champion);

/* A candidate that does not compile, fails or computes wrongly is KILN_OK with the state and reason in `out`. A failure
 * is something after which nothing can be measured any more: KILN_E_DEVICE_LOST, KILN_E_MEMORY. */
kiln_status kiln__measure(kiln_measurer *measurer, const kiln_candidate *candidate, kiln_trial *out);

#endif
