#include "planner.h"
#include "chain.h"
#include <kiln/tune.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* One walk down the ladder. */
typedef struct {
    kiln_device *device;
    const kiln_problem *problem;
    const kiln_family *family;
    kiln_effort effort;
    kiln_strbuf why;
    unsigned n_failed; /* rungs that should have held and did not */
    kiln_plan *plan;
    kiln_status status; /* of the last rung that failed */
    kiln_ranking ranking;
} walk;

static const char *state_text(kiln_trial_state state) {
    static const char *const texts[] = {
        "ok", "failed to compile or launch", "computed wrongly", "crashed", "did not return", "was missed"};
    return (unsigned)state < sizeof texts / sizeof *texts ? texts[state] : "failed";
}

/* How the parts of a chain are planned: as the whole is, but nothing is measured for them. */
static kiln_effort part_effort(const walk *w) {
    return w->effort == KILN_PLAN_MEASURE || w->effort == KILN_PLAN_EXHAUST ? KILN_PLAN_GUESS : w->effort;
}

/* Tries one candidate; on success the walk is over. Writes the line of this rung. */
static void try_candidate(walk *w, const kiln_variant *variant, const kiln_config *config, const char *source,
                          const char *note) {
    const kiln_caps *caps = &w->device->desc.caps;
    char text[KILN_MAX_CONFIG_TEXT];
    kiln__config_print(variant, config, text, sizeof text);
    kiln__strbuf_addf(&w->why, "%s%s%s (%s): ", variant->name, *text ? " " : "", text, note);
    const char *reason = kiln__variant_reject(variant, w->problem, caps);
    if (!reason)
        reason = kiln__config_reject(variant, w->problem, caps, config);
    kiln_lowering *lowering = reason ? NULL : kiln__alloc(w->device->context, sizeof *lowering);
    w->status = reason ? kiln_fail(KILN_E_UNSUPPORTED, "%s", reason) : lowering ? KILN_OK : KILN_E_MEMORY;
    if (w->status == KILN_OK)
        w->status = kiln__variant_lower(variant, w->problem, config, caps, lowering);
    kiln_chain chain = {0};
    if (w->status == KILN_OK)
        w->status = kiln__chain_expand(w->device, part_effort(w), lowering, &chain);
    if (w->status == KILN_OK) {
        const kiln_plan_spec spec = {.problem = w->problem,
                                     .variant = variant->name,
                                     .config = text,
                                     .source = source,
                                     .flops = w->family->flops(w->problem),
                                     .bytes = kiln__lowering_bytes(lowering)};
        w->status = kiln__plan_build(w->device, &spec, lowering, &w->plan);
    }
    kiln__free(w->device->context, lowering);
    if (w->status == KILN_OK)
        kiln__strbuf_addf(&w->why, "chosen\n%s", kiln__strbuf_text(&chain.why));
    kiln__chain_close(&chain);
    if (w->status == KILN_OK)
        return;
    kiln__strbuf_addf(&w->why, "%.300s\n", kiln_last_error());
    w->n_failed++;
    if (strcmp(source, "request") == 0)
        return; /* the caller asked for it and is told */
    kiln__count(w->device->context, KILN_COUNT_PLAN_FALLBACKS);
    char key[KILN_MAX_KEY];
    kiln_problem_key(w->problem, key, sizeof key);
    kiln__log(w->device->context, KILN_LOG_WARN, "%s on %s: %s %s left: %.300s", key, w->device->name, variant->name,
              text, kiln_last_error());
}

static bool strict(const walk *w) {
    return w->device->context->mode == KILN_MODE_STRICT;
}

/* Whether the walk may go down another rung. */
static bool may_go_on(const walk *w) {
    return !w->plan && w->status != KILN_E_DEVICE_LOST && !(strict(w) && w->n_failed);
}

/* Winner and next best records. */
static void walk_records(walk *w) {
    for (size_t i = 0; i < w->ranking.n_sound && may_go_on(w); i++) {
        const kiln_ranked *r = &w->ranking.rows[i];
        char note[96];
        snprintf(note, sizeof note, "%s, %.1f us %s", i ? "next best record" : "winner", r->median_us,
                 r->serving == KILN_SERVING_GRAPH ? "replayed" : "eager");
        try_candidate(w, r->variant, &r->config, i ? "fallback" : "record", note);
    }
    if (w->plan)
        kiln__count(w->device->context, KILN_COUNT_PLAN_HITS);
}

/* Records of another driver, compiler or source say what was good there: leads, tried before the guess. */
static void walk_leads(walk *w) {
    const size_t end = w->ranking.n_sound + w->ranking.n_stale;
    for (size_t i = w->ranking.n_sound; i < end && may_go_on(w); i++) {
        kiln__count(w->device->context, KILN_COUNT_PLAN_REVALIDATIONS);
        try_candidate(w, w->ranking.rows[i].variant, &w->ranking.rows[i].config, "guess",
                      "record of another driver, compiler or source, taken as a lead");
    }
}

static void walk_guesses(walk *w) {
    for (const kiln_variant *v = w->family->variants; v->name && may_go_on(w); v++) {
        const char *reason = kiln__variant_reject(v, w->problem, &w->device->desc.caps);
        if (reason) {
            kiln__strbuf_addf(&w->why, "%s: does not apply: %s\n", v->name, reason);
            continue;
        }
        kiln_config config;
        kiln__variant_guess(v, w->problem, &w->device->desc.caps, &config);
        const kiln_ranked *bad = kiln__ranking_quarantine(&w->ranking, v, &config);
        if (bad && v[1].name) { /* ref is tried whatever was recorded: there is nothing below it */
            kiln__strbuf_addf(&w->why, "%s (guess): in quarantine: %s %s\n", v->name, state_text(bad->state),
                              bad->reason);
            kiln__count(w->device->context, KILN_COUNT_PLAN_FALLBACKS);
            w->n_failed++;
            continue;
        }
        try_candidate(w, v, &config, w->n_failed ? "fallback" : "guess", w->n_failed ? "simpler variant" : "guess");
    }
}

static void record_miss(walk *w) {
    kiln_device *d = w->device;
    kiln__count(d->context, KILN_COUNT_PLAN_MISSES);
    if (w->ranking.missed)
        return;
    char key[KILN_MAX_KEY];
    kiln_problem_key(w->problem, key, sizeof key);
    const kiln_record miss = {.problem = key,
                              .device = d->fingerprint,
                              .driver = d->desc.driver,
                              .compiler = d->desc.compiler,
                              .content = "",
                              .variant = "",
                              .config = "",
                              .state = KILN_TRIAL_MISS,
                              .reason = "",
                              .time = (int64_t)time(NULL)};
    (void)kiln__store_append(d->context->store,
                             &miss); /* a full disk must not keep a net from running; it is counted */
}

static kiln_status walk_ladder(walk *w) {
    KILN_TRY(kiln__rank_records(w->device, w->problem, &w->ranking));
    walk_records(w);
    if (w->plan || !may_go_on(w))
        return w->plan ? KILN_OK : w->status;
    kiln__strbuf_addf(&w->why, "no record of this problem on %s\n", w->device->fingerprint);
    if (strict(w) || w->effort == KILN_PLAN_CACHED_ONLY)
        return kiln_fail(KILN_E_NOT_FOUND, "no usable record on %s and %s allows none else; tune it first",
                         w->device->fingerprint, strict(w) ? "strict mode" : "CACHED_ONLY");
    record_miss(w);
    walk_leads(w);
    walk_guesses(w);
    return w->plan ? KILN_OK : w->status;
}

/* A variant that the caller or the mode asks for, alone. */
static kiln_status walk_one(walk *w, const kiln_variant *variant, const char *config_text, const char *source) {
    kiln_config config;
    const char *reason = kiln__variant_reject(variant, w->problem, &w->device->desc.caps);
    if (reason)
        return kiln_fail(KILN_E_UNSUPPORTED, "variant %s does not apply on %s: %s", variant->name, w->device->name,
                         reason);
    kiln__variant_guess(variant, w->problem, &w->device->desc.caps, &config);
    if (config_text)
        KILN_TRY(kiln__config_parse(variant, config_text, &config));
    reason = kiln__config_reject(variant, w->problem, &w->device->desc.caps, &config);
    if (reason)
        return kiln_fail(KILN_E_INVALID, "variant %s, config \"%s\": %s", variant->name, config_text ? config_text : "",
                         reason);
    try_candidate(w, variant, &config, source, source);
    return w->plan ? KILN_OK : w->status;
}

static kiln_status plan(walk *w, const kiln_plan_options *o) {
    if (o->variant) {
        const kiln_variant *variant = kiln__family_variant(w->family, o->variant);
        if (!variant)
            return kiln_fail(KILN_E_NOT_FOUND, "family %s has no variant \"%.40s\"", w->family->schema.name,
                             o->variant);
        return walk_one(w, variant, o->config, "request");
    }
    if (o->config)
        return kiln_fail(KILN_E_INVALID, "a config needs the variant it is for");
    if (w->device->context->mode == KILN_MODE_REFERENCE)
        return walk_one(w, kiln__family_variant(w->family, "ref"), NULL, "reference");
    if (o->effort != KILN_PLAN_UNTUNED)
        return walk_ladder(w);
    kiln__strbuf_add(&w->why, "records were not to be used\n");
    walk_guesses(w);
    return w->plan ? KILN_OK : w->status;
}

kiln_status kiln_plan_create(kiln_device *device, const kiln_problem *problem, const kiln_plan_options *options,
                             kiln_plan **out) {
    if (!device || !problem || !problem->schema || !out)
        return kiln_fail(KILN_E_INVALID, "kiln_plan_create: NULL argument");
    *out = NULL;
    kiln_plan_options o = KILN_PLAN_OPTIONS_INIT;
    if (options) {
        KILN_CHECK_STRUCT(options, kiln_plan_options);
        memcpy(&o, options, options->struct_size);
    }
    if (o.effort < KILN_PLAN_GUESS || o.effort > KILN_PLAN_UNTUNED)
        return kiln_fail(KILN_E_INVALID, "kiln_plan_create: unknown effort %d", (int)o.effort);
    if ((o.effort == KILN_PLAN_MEASURE || o.effort == KILN_PLAN_EXHAUST) && !o.variant &&
        device->context->mode != KILN_MODE_REFERENCE) {
        kiln_tune_options tune = KILN_TUNE_OPTIONS_INIT; /* does nothing where the search is on record */
        tune.effort = o.effort;
        KILN_TRY(kiln_tune_problem(device, problem, &tune, NULL));
    }
    walk *w = kiln__alloc(device->context, sizeof *w);
    if (!w)
        return KILN_E_MEMORY;
    w->device = device;
    w->problem = problem;
    w->family = kiln__problem_family(problem);
    w->effort = o.effort;
    kiln_status status = plan(w, &o);
    if (status == KILN_OK) {
        w->plan->why = w->why;
        *out = w->plan;
    } else {
        char key[KILN_MAX_KEY];
        kiln_problem_key(problem, key, sizeof key);
        status = kiln_fail_in(status, "%s", key);
        kiln__strbuf_free(&w->why);
    }
    kiln__ranking_free(device->context, &w->ranking);
    kiln__free(device->context, w);
    return status;
}
