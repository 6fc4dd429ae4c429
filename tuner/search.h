/* The search of one problem: what is known from records, one strategy a variant, the champion. It decides what to try
 * next and takes in what became of it; tune.c measures. */
#ifndef KILN_TUNER_SEARCH_H
#define KILN_TUNER_SEARCH_H

#include "measure.h"
#include "planner.h"
#include "strategy.h"

enum { KILN_MAX_VARIANTS = 8, KILN_MAX_LEADS = 3 };

/* One variant of a problem. */
typedef struct kiln_arm {
    const kiln_variant *variant;
    kiln_variant_space space_user;
    kiln_space space;
    const kiln_strategy *strategy;
    void *state;
    bool opened;    /* its guess was tried */
    bool exhausted; /* the strategy has nothing left */
    double best_us; /* INFINITY: nothing valid yet */
    kiln_config best;
    size_t n_trials;
    bool has_parts;   /* a chain: it has one config, and its time is that of its parts */
    char content[33]; /* of a chain: that of its parts when it was tried */
} kiln_arm;

typedef struct kiln_search {
    kiln_device *device;
    kiln_problem problem;
    double count;         /* how often the problem occurs by itself */
    double weight;        /* and in chains that are worth tuning; the same unless told otherwise */
    kiln_ranking ranking; /* what records say */
    kiln_arm arms[KILN_MAX_VARIANTS];
    size_t n_arms;
    kiln_candidate champion; /* variant NULL: none yet */
    double champion_us, start_us;
    char base[KILN_MAX_BASE]; /* whose time all others are put in relation to, and that time */
    double base_us;

    kiln_arm *outdated;   /* the chain whose parts have other winners since it was tried, or NULL */
    double parts_gain_us; /* what they gained meanwhile */

    /* A comparison searches nothing: it tries what was best for a rival, another problem whose winner is and stays the
     * champion, so that the times of both are on one scale. */
    bool is_comparison;
    kiln_problem rival;
    kiln_candidate leads[KILN_MAX_LEADS];
    size_t n_leads, next_lead;

    size_t n_trials, n_known, since_gain;
    double seconds; /* spent on it */
    bool is_done;   /* a record says that nothing is left, or the search found so */
    bool was_done;  /* by a record, when it was opened */
    const char *strategy;
    uint64_t seed;
    kiln_serving serving;
} kiln_search;

typedef struct kiln_search_options {
    const char *strategy, *variant; /* NULL: the default, all */
    bool exhaust;                   /* every variant, whatever its home */
    double budget_seconds;          /* a recorded search of this length or more makes this one unnecessary */
    uint64_t seed;
    kiln_serving serving;
    const kiln_problem *rival; /* NULL: no comparison */
} kiln_search_options;

kiln_status kiln__search_open(kiln_search *search, kiln_device *device, const kiln_problem *problem, double count,
                              const kiln_search_options *options);
void kiln__search_close(kiln_search *search);

/* The next candidate. False: nothing is left. Candidates whose trial is on record are told to the strategy, counted in
 * n_known, and not given. */
bool kiln__search_next(kiln_search *search, kiln_candidate *out);

/* Whether a trial is clearly faster than the champion. */
bool kiln__search_would_win(const kiln_search *search, const kiln_trial *trial);

/* Takes in what became of a candidate of that content (planner.h). `us` is its time put on the champion's scale.
 * Returns whether it is the new champion, which nothing becomes in a comparison. */
bool kiln__search_tell(kiln_search *search, const kiln_candidate *candidate, const char *content,
                       const kiln_trial *trial, double *us);

/* Whether the chain was tried and its parts' gains may make it the champion. */
bool kiln__search_chain_in_reach(const kiln_search *search);

/* The parts of the chain may have gained so much: if they run other candidates than when it was tried, search_next
 * gives it before anything else. */
kiln_status kiln__search_parts_gained(kiln_search *search, double gain_us);

/* What another trial may gain, in microseconds of the whole: falls with every trial that gains nothing. */
double kiln__search_promise(const kiln_search *search);

#endif
