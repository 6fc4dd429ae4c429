#include "search.h"
#include "chain.h"
#include <math.h>
#include <string.h>

static const double noise = 0.01;        /* a champion must be beaten by more than this */
static const double arm_reach = 1.6;     /* a variant this far behind the best is searched no further */
static const double first_promise = 0.3; /* part of its time that a problem is expected to lose at first */
static const double patience = 16;       /* trials without a gain after which the promise has halved */

/* ---- life ---- */

static bool belongs(const kiln_variant *v, const kiln_caps *caps, const kiln_search_options *o, bool is_only) {
    if (o->variant)
        return strcmp(o->variant, v->name) == 0;
    if (o->exhaust || is_only)
        return true;
    const bool is_ref = !v[1].name; /* the last one: searching begins above it */
    return !is_ref && (v->home == 0 || (v->home >> caps->kind & 1));
}

static void take_recorded_best(const kiln_search *s, kiln_arm *a) {
    a->best_us = INFINITY;
    for (size_t i = 0; i < s->ranking.n_sound; i++) {
        const kiln_ranked *r = &s->ranking.rows[i];
        if (r->variant == a->variant && r->serving == s->serving && r->median_us < a->best_us) {
            a->best_us = r->median_us;
            a->best = r->config;
        }
    }
}

static kiln_status mark_chain(const kiln_search *s, kiln_arm *a) {
    kiln_candidate c = {.variant = a->variant};
    kiln_lowering *l;
    kiln__variant_guess(a->variant, &s->problem, kiln__device_caps(s->device), &c.config);
    KILN_TRY(kiln__chain_parts(s->device, &s->problem, &c, &l));
    a->has_parts = l != NULL;
    kiln__free(s->device->context, l);
    return a->has_parts ? kiln__candidate_content(s->device, &s->problem, &c, a->content) : KILN_OK;
}

static kiln_status add_arms(kiln_search *s, const kiln_search_options *o) {
    const kiln_caps *caps = kiln__device_caps(s->device);
    const kiln_family *family = kiln__problem_family(&s->problem);
    for (int pass = 0; pass < 2 && s->n_arms == 0; pass++) /* ref alone where nothing else is at home */
        for (const kiln_variant *v = family->variants; v->name && s->n_arms < KILN_MAX_VARIANTS; v++) {
            if (kiln__variant_reject(v, &s->problem, caps) || !belongs(v, caps, o, pass == 1))
                continue;
            kiln_arm *a = &s->arms[s->n_arms++];
            a->variant = v;
            a->space_user = (kiln_variant_space){v, &s->problem, caps};
            a->space = kiln__variant_space(&a->space_user);
            a->strategy = kiln__strategy(kiln__variant_n_params(v) ? o->strategy : "exhaust");
            take_recorded_best(s, a);
            a->state = kiln__alloc(s->device->context, a->strategy->state_bytes);
            if (!a->state)
                return KILN_E_MEMORY;
            KILN_TRY(mark_chain(s, a));
        }
    return KILN_OK;
}

/* The best of those records that are of this serving mode: of the other there is no time to put others in relation to.
 */
static kiln_status take_recorded_champion(kiln_search *s, const kiln_problem *problem, const kiln_ranking *ranking) {
    const kiln_ranked *best = NULL;
    for (size_t i = 0; i < ranking->n_sound && !best; i++)
        if (ranking->rows[i].serving == s->serving)
            best = &ranking->rows[i];
    if (!best)
        return KILN_OK;
    s->champion = (kiln_candidate){best->variant, best->config};
    s->champion_us = s->start_us = best->median_us;
    memcpy(s->base, best->base, sizeof s->base);
    s->base_us = best->base_us;
    if (s->base[0])
        return KILN_OK;
    char content[33];
    KILN_TRY(kiln__candidate_content(s->device, problem, &s->champion, content));
    kiln__base_print(&s->champion, content, s->base);
    s->base_us = best->median_us;
    return KILN_OK;
}

/* The best of each variant that was good enough for the rival, where it applies. */
static void take_leads(kiln_search *s, const kiln_ranking *rival) {
    const kiln_caps *caps = kiln__device_caps(s->device);
    for (size_t i = 0; i < rival->n_sound && s->n_leads < KILN_MAX_LEADS; i++) {
        const kiln_ranked *r = &rival->rows[i];
        bool taken = r->serving != s->serving || r->median_us > arm_reach * s->champion_us;
        for (size_t k = 0; k < s->n_leads; k++)
            taken |= s->leads[k].variant == r->variant;
        if (!taken && !kiln__variant_reject(r->variant, &s->problem, caps) &&
            !kiln__config_reject(r->variant, &s->problem, caps, &r->config))
            s->leads[s->n_leads++] = (kiln_candidate){r->variant, r->config};
    }
}

static kiln_status open_comparison(kiln_search *s, const kiln_search_options *o) {
    kiln_ranking ranking;
    s->is_comparison = true;
    s->rival = *o->rival;
    KILN_TRY(kiln__rank_records(s->device, &s->rival, &ranking));
    const kiln_status status = take_recorded_champion(s, &s->rival, &ranking);
    if (s->champion.variant) {
        kiln__base_of_rival(&s->rival, s->base, s->base);
        take_leads(s, &ranking);
    }
    kiln__ranking_free(s->device->context, &ranking);
    s->was_done = s->ranking.compared_seconds >= o->budget_seconds;
    s->is_done = s->was_done || s->n_leads == 0; /* none: the budget left the rival no time, or nothing of it applies */
    return status;
}

kiln_status kiln__search_open(kiln_search *s, kiln_device *device, const kiln_problem *problem, double count,
                              const kiln_search_options *o) {
    memset(s, 0, sizeof *s);
    s->device = device;
    s->problem = *problem;
    s->count = s->weight = count;
    s->champion_us = s->start_us = INFINITY;
    s->seed = o->seed;
    s->serving = o->serving;
    s->strategy = o->exhaust ? "exhaust" : o->strategy;
    KILN_TRY(kiln__rank_records(device, &s->problem, &s->ranking));
    if (o->rival)
        return open_comparison(s, o);
    kiln_search_options named = *o;
    named.strategy = s->strategy;
    KILN_TRY(add_arms(s, &named));
    KILN_TRY(take_recorded_champion(s, &s->problem, &s->ranking));
    s->is_done = !o->variant && s->ranking.done_seconds >= (o->exhaust ? HUGE_VAL : o->budget_seconds);
    s->was_done = s->is_done;
    return KILN_OK;
}

void kiln__search_close(kiln_search *s) {
    for (size_t i = 0; i < s->n_arms; i++) {
        if (s->arms[i].opened && s->arms[i].state)
            s->arms[i].strategy->fini(s->arms[i].state);
        kiln__free(s->device->context, s->arms[i].state);
    }
    if (s->device)
        kiln__ranking_free(s->device->context, &s->ranking);
}

/* ---- what to try ---- */

/* What records of this driver and source say of a candidate, or NULL. */
static const kiln_ranked *find_known(const kiln_search *s, const kiln_candidate *c) {
    const size_t bytes = kiln__variant_n_params(c->variant) * sizeof c->config.v[0];
    for (size_t i = 0; i < s->ranking.n_rows; i++) {
        const kiln_ranked *r = &s->ranking.rows[i];
        const bool same_mode = r->state != KILN_TRIAL_OK || r->serving == s->serving;
        if (r->variant == c->variant && !r->stale && same_mode && memcmp(r->config.v, c->config.v, bytes) == 0)
            return r;
    }
    return NULL;
}

static void take(kiln_arm *a, const kiln_config *config, kiln_outcome outcome, uint64_t seed) {
    if (outcome.valid && outcome.time_us < a->best_us) {
        a->best_us = outcome.time_us;
        a->best = *config;
    }
    if (a->opened) {
        a->strategy->tell(a->state, config, &outcome);
        return;
    }
    a->opened = a->strategy->init(a->state, &a->space, config, &outcome, seed) == KILN_OK;
    a->exhausted = !a->opened;
}

static bool is_exhausting(const kiln_search *s) {
    return s->strategy && strcmp(s->strategy, "exhaust") == 0;
}

/* The variant to search next: the fastest so far, now and then another one that is not far behind. */
static kiln_arm *choose_arm(kiln_search *s) {
    kiln_arm *best = NULL, *other = NULL;
    for (size_t i = 0; i < s->n_arms; i++) {
        kiln_arm *a = &s->arms[i];
        if (!a->opened && !a->exhausted)
            return a; /* every guess first */
        if (a->exhausted)
            continue;
        if (!best || a->best_us < best->best_us) {
            other = best;
            best = a;
        } else if (!other || a->n_trials < other->n_trials) {
            other = a;
        }
    }
    const bool exhausting = is_exhausting(s);
    if (best && !exhausting && best->best_us > arm_reach * s->champion_us)
        return NULL; /* the fastest variant has nothing left, and these are far behind */
    const bool in_reach = other && (exhausting || other->best_us < arm_reach * s->champion_us);
    return best && in_reach && s->n_trials % 4 == 3 ? other : best;
}

/* The fastest candidate of any variant but one. */
static void fall_back(kiln_search *s, const kiln_arm *without) {
    s->champion.variant = NULL;
    s->champion_us = INFINITY;
    for (size_t i = 0; i < s->n_arms; i++) {
        const kiln_arm *a = &s->arms[i];
        if (a != without && a->opened && a->best_us < s->champion_us) {
            s->champion = (kiln_candidate){a->variant, a->best};
            s->champion_us = a->best_us;
        }
    }
}

/* The chain as it is now. A champion that is the chain as it was cannot be run any more to compare with. */
static void next_chain(kiln_search *s, kiln_candidate *out) {
    kiln_arm *a = s->outdated;
    s->outdated = NULL;
    s->parts_gain_us = 0;
    if (s->champion.variant == a->variant)
        fall_back(s, a);
    *out = (kiln_candidate){a->variant, a->best};
    a->best_us = INFINITY;
}

static bool next_lead(kiln_search *s, kiln_candidate *out) {
    while (!s->is_done && s->next_lead < s->n_leads) {
        *out = s->leads[s->next_lead++];
        if (!find_known(s, out))
            return true;
        s->n_known++;
    }
    s->is_done = true;
    return false;
}

bool kiln__search_next(kiln_search *s, kiln_candidate *out) {
    kiln_arm *a;
    if (s->is_comparison)
        return next_lead(s, out);
    if (s->outdated) {
        next_chain(s, out);
        return true;
    }
    while (!s->is_done && (a = choose_arm(s)) != NULL) {
        out->variant = a->variant;
        if (!a->opened)
            kiln__variant_guess(a->variant, &s->problem, kiln__device_caps(s->device), &out->config);
        else if (a->strategy->ask(a->state, &out->config, 1) == 0) {
            a->exhausted = true;
            continue;
        }
        const kiln_ranked *known = find_known(s, out);
        if (!known)
            return true;
        s->n_known++;
        take(a, &out->config, (kiln_outcome){known->state == KILN_TRIAL_OK, known->median_us}, s->seed);
    }
    s->is_done = true;
    return false;
}

/* ---- what became of it ---- */

static double scaled_us(const kiln_search *s, const kiln_trial *trial) {
    const double ratio = trial->ratio[s->serving];
    return trial->state != KILN_TRIAL_OK ? 0 : ratio > 0 ? ratio * s->champion_us : trial->timing[s->serving].median_us;
}

bool kiln__search_would_win(const kiln_search *s, const kiln_trial *trial) {
    if (trial->state != KILN_TRIAL_OK)
        return false;
    return !s->champion.variant || scaled_us(s, trial) < s->champion_us * (1 - noise);
}

bool kiln__search_tell(kiln_search *s, const kiln_candidate *c, const char *content, const kiln_trial *trial,
                       double *us) {
    kiln_arm *a = NULL;
    for (size_t i = 0; i < s->n_arms; i++)
        if (s->arms[i].variant == c->variant)
            a = &s->arms[i];
    const bool valid = trial->state == KILN_TRIAL_OK, wins = kiln__search_would_win(s, trial);
    *us = scaled_us(s, trial);
    if (valid && !(trial->ratio[s->serving] > 0)) { /* by the clock alone: a scale of its own */
        kiln__base_print(c, content, s->base);
        s->base_us = *us;
    }
    s->n_trials++;
    s->since_gain++;
    if (a) {
        a->n_trials++;
        memcpy(a->content, content, sizeof a->content);
        take(a, &c->config, (kiln_outcome){valid, *us}, s->seed);
    }
    if (!wins || s->is_comparison)
        return false;
    s->champion = *c;
    if (isinf(s->start_us))
        s->start_us = *us;
    s->champion_us = *us;
    s->since_gain = 0;
    return true;
}

static kiln_arm *find_chain(kiln_search *s) {
    for (size_t i = 0; i < s->n_arms; i++)
        if (s->arms[i].has_parts && s->arms[i].opened)
            return &s->arms[i];
    return NULL;
}

bool kiln__search_chain_in_reach(const kiln_search *s) {
    const kiln_arm *chain = find_chain((kiln_search *)s);
    return chain && (is_exhausting(s) || chain->best_us < arm_reach * s->champion_us);
}

kiln_status kiln__search_parts_gained(kiln_search *s, double gain_us) {
    kiln_arm *chain = find_chain(s);
    if (!chain)
        return KILN_OK;
    char content[33];
    const kiln_candidate c = {chain->variant, chain->best};
    KILN_TRY(kiln__candidate_content(s->device, &s->problem, &c, content));
    s->parts_gain_us += gain_us;
    s->outdated = strcmp(content, chain->content) != 0 ? chain : NULL;
    return KILN_OK;
}

double kiln__search_promise(const kiln_search *s) {
    if (s->weight == 0)
        return 0;
    if (!s->champion.variant && !s->is_done) /* what it costs is not known, so it is looked at first */
        return INFINITY;
    const double share =
        s->is_comparison ? 1 : exp2(-(double)s->since_gain / patience); /* leads are few: all of them */
    const double known = s->outdated ? s->parts_gain_us : 0;
    const double hoped = s->is_done ? 0 : s->champion_us * first_promise * share;
    return s->weight * fmax(known, hoped);
}
