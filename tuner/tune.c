#include "tune.h"
#include "clock.h"
#include "search_set.h"
#include "worker.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const double default_budget_seconds = 60, candidate_seconds = 0.05, drop_ratio = 1.25,
                    default_limit_seconds = 20, comparing_share = 0.2;
enum { DEFAULT_SEED = 1 };

typedef struct {
    kiln_device *device;
    kiln_tune_options options;
    kiln_measure_options measure;
    kiln_search_set set;
    kiln_worker *worker;     /* NULL: in this process */
    kiln_measurer *measurer; /* in this process: of problem `measured` */
    size_t measured;
    kiln_candidate champion; /* that the measurer holds */
    kiln_tune_result result;
    double start_us;
} tuning;

static double elapsed(const tuning *t) {
    return 1e-6 * (kiln__now_us() - t->start_us);
}

/* ---- measuring: by the worker, or here ---- */

static const kiln_problem *champion_problem(const kiln_search *s) {
    return s->is_comparison ? &s->rival : &s->problem;
}

static kiln_status measure_here(tuning *t, size_t index, const kiln_candidate *c, kiln_trial *out) {
    kiln_search *s = t->set.searches[index];
    if (!t->measurer || t->measured != index) {
        kiln__measurer_destroy(t->measurer);
        t->measurer = NULL;
        t->champion.variant = NULL;
        KILN_TRY(kiln__measurer_create(t->device, &s->problem, &t->measure, &t->measurer));
        t->measured = index;
    }
    if (s->champion.variant && (t->champion.variant != s->champion.variant ||
                                memcmp(&t->champion.config, &s->champion.config, sizeof t->champion.config) != 0)) {
        KILN_TRY(kiln__measurer_champion(t->measurer, champion_problem(s), &s->champion));
        t->champion = s->champion;
    }
    return kiln__measure(t->measurer, c, out);
}

static kiln_status measure(tuning *t, size_t index, const kiln_candidate *c, kiln_trial *out) {
    kiln_search *s = t->set.searches[index];
    if (!t->worker)
        return measure_here(t, index, c, out);
    const kiln_worker_request request = {.device = t->device,
                                         .problem = &s->problem,
                                         .candidate = c,
                                         .champion = s->champion.variant ? &s->champion : NULL,
                                         .rival = champion_problem(s),
                                         .options = t->measure,
                                         .limit_seconds = t->options.limit_seconds};
    return kiln__worker_measure(t->worker, &request, out);
}

static kiln_status open_worker(tuning *t) {
    kiln_context *context = t->device->context;
    if (t->options.in_process)
        return KILN_OK;
    const kiln_status status = kiln__worker_find(context, t->options.worker, &t->worker);
    if (status != KILN_E_NOT_FOUND)
        return status;
    if (t->options.worker)
        return status; /* asked for by name */
    kiln__log(context, KILN_LOG_WARN, "%s: measuring in this process, where a candidate that crashes takes it along",
              kiln_last_error());
    return KILN_OK;
}

/* ---- records ---- */

/* A store that cannot be written is counted and logged there: tuning goes on for this process. */
static void record_trial(tuning *t, const kiln_search *s, const kiln_candidate *c, const char *content,
                         const kiln_trial *trial, double us) {
    char key[KILN_MAX_KEY], config[KILN_MAX_CONFIG_TEXT];
    const kiln_timing *timing = &trial->timing[s->serving];
    const double scale = timing->median_us > 0 ? us / timing->median_us : 0;
    kiln_problem_key(&s->problem, key, sizeof key);
    kiln__config_print(c->variant, &c->config, config, sizeof config);
    const kiln_record r = {.problem = key,
                           .device = t->device->fingerprint,
                           .driver = t->device->desc.driver,
                           .compiler = t->device->desc.compiler,
                           .content = content,
                           .variant = c->variant->name,
                           .config = config,
                           .serving = s->serving,
                           .state = trial->state,
                           .reason = trial->reason,
                           .median_us = us,
                           .min_us = scale * timing->min_us,
                           .spread_us = scale * timing->spread_us,
                           .base = trial->state == KILN_TRIAL_OK ? s->base : "",
                           .base_us = trial->state == KILN_TRIAL_OK ? s->base_us : 0,
                           .n_repetitions = timing->n_runs,
                           .time = (int64_t)time(NULL)};
    (void)kiln__store_append(t->device->context->store, &r);
}

/* So that the same search is not made again. */
static kiln_status record_done(tuning *t, const kiln_search *s) {
    char key[KILN_MAX_KEY], content[33];
    if (t->options.variant && s->count > 0)
        return KILN_OK; /* a part of the space says nothing of the rest */
    kiln_problem_key(&s->problem, key, sizeof key);
    KILN_TRY(kiln__search_content(t->device, &s->problem, content));
    const kiln_record r = {.problem = key,
                           .device = t->device->fingerprint,
                           .driver = t->device->desc.driver,
                           .compiler = t->device->desc.compiler,
                           .content = content,
                           .variant = "",
                           .config = s->is_comparison                         ? "compared"
                                     : t->options.effort == KILN_PLAN_EXHAUST ? "exhausted"
                                                                              : "searched",
                           .serving = s->serving,
                           .state = KILN_TRIAL_DONE,
                           .reason = "",
                           .median_us = 1e6 * t->options.budget_seconds,
                           .n_repetitions = (uint32_t)(s->n_trials + s->n_known),
                           .time = (int64_t)time(NULL)};
    (void)kiln__store_append(t->device->context->store, &r);
    return KILN_OK;
}

/* ---- progress ---- */

static const char *state_name(kiln_trial_state state) {
    static const char *const names[] = {"ok", "failed", "wrong", "crashed", "hung"};
    return (unsigned)state < sizeof names / sizeof *names ? names[state] : "?";
}

static void count(tuning *t, const kiln_trial *trial) {
    t->result.n_measured++;
    t->result.n_failed += trial->state == KILN_TRIAL_FAILED;
    t->result.n_wrong += trial->state == KILN_TRIAL_WRONG;
    t->result.n_quarantined += trial->state == KILN_TRIAL_CRASHED || trial->state == KILN_TRIAL_HUNG;
}

static kiln_status report(tuning *t, size_t index, const kiln_candidate *c, const kiln_trial *trial, double us) {
    const kiln_search *s = t->set.searches[index];
    char key[KILN_MAX_KEY], config[KILN_MAX_CONFIG_TEXT];
    if (!t->options.progress)
        return KILN_OK;
    kiln_problem_key(&s->problem, key, sizeof key);
    kiln__config_print(c->variant, &c->config, config, sizeof config);
    const double used = elapsed(t), budget = t->options.budget_seconds;
    const kiln_tune_progress p = {.struct_size = sizeof p,
                                  .problem_index = index,
                                  .n_problems = t->set.n,
                                  .problem = key,
                                  .variant = c->variant->name,
                                  .config = config,
                                  .state = state_name(trial->state),
                                  .reason = trial->reason,
                                  .time_us = us,
                                  .best_us = isinf(s->champion_us) ? 0 : s->champion_us,
                                  .start_us = isinf(s->start_us) ? 0 : s->start_us,
                                  .n_measured = t->result.n_measured,
                                  .n_failed = t->result.n_failed + t->result.n_wrong + t->result.n_quarantined,
                                  .elapsed_seconds = used,
                                  .eta_seconds = isinf(budget) ? 0 : fmax(0, budget - used),
                                  .done = isinf(budget) ? 0 : fmin(1, used / budget)};
    return t->options.progress(t->options.user, &p);
}

/* ---- the search ---- */

static kiln_status try_one(tuning *t, size_t index) {
    kiln_search *s = t->set.searches[index];
    kiln_candidate candidate;
    kiln_trial trial;
    char content[33];
    double us = 0;
    if (!kiln__search_next(s, &candidate))
        return KILN_OK;
    KILN_TRY(kiln__candidate_content(t->device, &s->problem, &candidate, content));
    const double start = kiln__now_us(), before_us = s->champion_us;
    KILN_TRY(measure(t, index, &candidate, &trial));
    /* The best of many noisy timings is partly the luckiest: a new champion has to win again, and its second time
     * counts. */
    if (kiln__search_would_win(s, &trial) && trial.ratio[s->serving] > 0)
        KILN_TRY(measure(t, index, &candidate, &trial));
    t->measured = index;
    s->seconds += 1e-6 * (kiln__now_us() - start);
    const bool gained = kiln__search_tell(s, &candidate, content, &trial, &us);
    record_trial(t, s, &candidate, content, &trial, us);
    count(t, &trial);
    if (gained)
        KILN_TRY(kiln__search_set_gained(&t->set, index, isinf(before_us) ? us : before_us - us));
    return report(t, index, &candidate, &trial, us);
}

/* A chain that was not tried with its parts as they are now would have no sound record. Its trial may change what a
 * chain around it is made of, so this goes on until all are as they were tried. */
static kiln_status settle_chains(tuning *t) {
    for (size_t n_tried = 1; n_tried > 0;) {
        n_tried = 0;
        for (size_t i = t->set.n; i-- > 0;) {
            KILN_TRY(kiln__search_parts_gained(t->set.searches[i], 0));
            if (!t->set.searches[i]->outdated)
                continue;
            KILN_TRY(try_one(t, i));
            n_tried++;
        }
    }
    return KILN_OK;
}

/* Those from `first` on. */
static kiln_status search_until(tuning *t, size_t first, double seconds) {
    size_t index = first;
    while (index < t->set.n && elapsed(t) < seconds) {
        index = kiln__search_set_choose(&t->set, first, t->result.n_measured ? t->measured : t->set.n);
        if (index < t->set.n)
            KILN_TRY(try_one(t, index));
    }
    return KILN_OK;
}

/* Comparisons begin when what they compare with has winners; time that they leave is for searching again. */
static kiln_status tune_all(tuning *t, const kiln_tune_item *items, size_t n_items) {
    const kiln_search_options o = {.strategy = t->options.strategy,
                                   .variant = t->options.variant,
                                   .exhaust = t->options.effort == KILN_PLAN_EXHAUST,
                                   .budget_seconds = t->options.budget_seconds,
                                   .seed = t->options.seed,
                                   .serving = t->options.eager ? KILN_SERVING_EAGER : KILN_SERVING_GRAPH};
    const double budget = t->options.budget_seconds;
    size_t n_asked = 0;
    while (n_asked < n_items && !items[n_asked].rival.schema)
        n_asked++;
    KILN_TRY(kiln__search_set_open(&t->set, t->device, items, n_asked, &o));
    if (n_asked < n_items) {
        KILN_TRY(search_until(t, 0, budget * (1 - comparing_share)));
        KILN_TRY(settle_chains(t));
        const size_t first = t->set.n;
        KILN_TRY(kiln__search_set_compare(&t->set, items + n_asked, n_items - n_asked, &o));
        KILN_TRY(search_until(t, first, budget));
    }
    KILN_TRY(search_until(t, 0, budget));
    return settle_chains(t);
}

static kiln_status end(tuning *t, kiln_status status) {
    for (size_t i = 0; i < t->set.n; i++) {
        const kiln_search *s = t->set.searches[i];
        const bool is_idle_part = s->count == 0 && s->n_trials + s->n_known == 0;
        const bool counts = s->champion.variant && !s->is_comparison;
        t->result.n_known += s->n_known;
        t->result.start_us += counts ? s->count * s->start_us : 0;
        t->result.best_us += counts ? s->count * s->champion_us : 0;
        t->result.n_problems += !is_idle_part && !s->is_comparison;
        /* also where the budget left no trial: the same one leaves none again */
        if (status == KILN_OK && !s->was_done && !is_idle_part)
            status = record_done(t, s);
    }
    kiln__search_set_close(&t->set);
    t->result.seconds = elapsed(t);
    t->result.used_worker = t->worker != NULL;
    kiln__worker_stop(t->worker);
    kiln__measurer_destroy(t->measurer);
    return status;
}

/* ---- options ---- */

static kiln_status check_options(tuning *t) {
    kiln_tune_options *o = &t->options;
    if (o->effort == KILN_PLAN_GUESS)
        o->effort = KILN_PLAN_MEASURE;
    if (o->effort != KILN_PLAN_MEASURE && o->effort != KILN_PLAN_EXHAUST)
        return kiln_fail(KILN_E_INVALID, "tuning with effort %d: use KILN_PLAN_MEASURE or KILN_PLAN_EXHAUST",
                         (int)o->effort);
    if (!(o->budget_seconds >= 0))
        return kiln_fail(KILN_E_INVALID, "a tuning budget of %g seconds", o->budget_seconds);
    if (o->budget_seconds == 0)
        o->budget_seconds = o->effort == KILN_PLAN_EXHAUST ? HUGE_VAL : default_budget_seconds;
    if (!kiln__strategy(o->strategy))
        return kiln_fail(KILN_E_NOT_FOUND, "no strategy \"%.40s\"; there are descent, random and exhaust", o->strategy);
    if (!(o->limit_seconds >= 0))
        return kiln_fail(KILN_E_INVALID, "a limit of %g seconds for a candidate", o->limit_seconds);
    if (o->limit_seconds == 0)
        o->limit_seconds = default_limit_seconds;
    if (o->seed == 0)
        o->seed = DEFAULT_SEED;
    t->measure = (kiln_measure_options){.seed = o->seed, .min_seconds = candidate_seconds, .drop_ratio = drop_ratio};
    t->measure.serving[o->eager ? KILN_SERVING_EAGER : KILN_SERVING_GRAPH] = true;
    return KILN_OK;
}

kiln_status kiln__tune_many(kiln_device *device, const kiln_tune_item *items, size_t n_items,
                            const kiln_tune_options *options, kiln_tune_result *out) {
    tuning t = {.device = device, .options = KILN_TUNE_OPTIONS_INIT, .start_us = kiln__now_us()};
    if (options) {
        KILN_CHECK_STRUCT(options, kiln_tune_options);
        memcpy(&t.options, options, options->struct_size);
    }
    if (out)
        KILN_CHECK_STRUCT(out, kiln_tune_result);
    KILN_TRY(check_options(&t));
    kiln_status status = open_worker(&t);
    if (status == KILN_OK)
        status = tune_all(&t, items, n_items);
    status = end(&t, status);
    if (out) {
        t.result.struct_size = out->struct_size;
        memcpy(out, &t.result, out->struct_size);
    }
    return status;
}

kiln_status kiln_tune_problem(kiln_device *device, const kiln_problem *problem, const kiln_tune_options *options,
                              kiln_tune_result *out) {
    if (!device || !problem || !problem->schema)
        return kiln_fail(KILN_E_INVALID, "kiln_tune_problem: NULL argument");
    if (options && options->struct_size >= offsetof(kiln_tune_options, seed) && options->variant &&
        !kiln__family_variant(kiln__problem_family(problem), options->variant))
        return kiln_fail(KILN_E_NOT_FOUND, "family %s has no variant \"%.40s\"", problem->schema->name,
                         options->variant);
    const kiln_tune_item item = {.problem = *problem, .count = 1};
    return kiln__tune_many(device, &item, 1, options, out);
}
