#include "planner.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    kiln_device *device;
    const kiln_problem *problem;
    kiln_ranking *out;
    kiln_candidate candidate; /* that `content` is of; variant NULL: none yet */
    char content[33], search_content[33];
} collector;

static kiln_status add_row(collector *c, const kiln_ranked *row) {
    kiln_ranking *r = c->out;
    if (r->n_rows == r->capacity) {
        const size_t capacity = r->capacity ? 2 * r->capacity : 64;
        kiln_ranked *grown = kiln__realloc(c->device->context, r->rows, capacity * sizeof *grown);
        if (!grown)
            return KILN_E_MEMORY;
        r->rows = grown;
        r->capacity = capacity;
    }
    r->rows[r->n_rows++] = *row;
    return KILN_OK;
}

/* The hash that a candidate's records have to have. Records of a variant come one after another, so the last answer
 * mostly holds; a variant with a source of its own has the same one for every config. */
static kiln_status content_of(collector *c, const kiln_candidate *candidate, const char **out) {
    const kiln_candidate *last = &c->candidate;
    const bool same =
        last->variant == candidate->variant &&
        (candidate->variant->source || memcmp(&last->config, &candidate->config, sizeof last->config) == 0);
    *out = c->content;
    if (same)
        return KILN_OK;
    c->candidate = *candidate;
    return kiln__candidate_content(c->device, c->problem, candidate, c->content);
}

static bool same_tools(const collector *c, const kiln_record *record) {
    const kiln_device_desc *d = &c->device->desc;
    return strcmp(record->driver, d->driver) == 0 && strcmp(record->compiler, d->compiler) == 0;
}

/* A search of the same space with the same driver need not be made again; one of another time limit may. */
static kiln_status read_done(collector *c, const kiln_record *record) {
    if (!same_tools(c, record))
        return KILN_OK;
    if (!c->search_content[0])
        KILN_TRY(kiln__search_content(c->device, c->problem, c->search_content));
    if (strcmp(record->content, c->search_content) != 0)
        return KILN_OK;
    const double seconds = strcmp(record->config, "exhausted") == 0 ? HUGE_VAL : record->median_us * 1e-6;
    double *longest = strcmp(record->config, "compared") == 0 ? &c->out->compared_seconds : &c->out->done_seconds;
    if (seconds > *longest)
        *longest = seconds;
    return KILN_OK;
}

static kiln_status collect(void *user, const kiln_record *record) {
    collector *c = user;
    if (record->state == KILN_TRIAL_MISS) {
        c->out->missed = true;
        return KILN_OK;
    }
    if (record->state == KILN_TRIAL_DONE)
        return read_done(c, record);
    kiln_candidate candidate = {.variant = kiln__family_variant(kiln__problem_family(c->problem), record->variant)};
    if (!candidate.variant)
        return KILN_OK; /* of another release */
    kiln__variant_guess(candidate.variant, c->problem, &c->device->desc.caps, &candidate.config);
    if (kiln__config_parse(candidate.variant, record->config, &candidate.config) != KILN_OK)
        return KILN_OK;
    const char *content;
    KILN_TRY(content_of(c, &candidate, &content));
    kiln_ranked row = {.variant = candidate.variant,
                       .config = candidate.config,
                       .median_us = record->median_us,
                       .base_us = record->base_us,
                       .serving = record->serving,
                       .state = record->state,
                       .stale = !same_tools(c, record) || strcmp(record->content, content) != 0,
                       .time = record->time,
                       .order = c->out->n_rows};
    snprintf(row.reason, sizeof row.reason, "%s", record->reason);
    snprintf(row.base, sizeof row.base, "%s", record->base);
    return add_row(c, &row);
}

/* ---- scales ---- */

void kiln__base_print(const kiln_candidate *c, const char *content, char out[KILN_MAX_BASE]) {
    char config[KILN_MAX_CONFIG_TEXT];
    kiln__config_print(c->variant, &c->config, config, sizeof config);
    snprintf(out, KILN_MAX_BASE, "%s %s %s", c->variant->name, config, content);
}

void kiln__base_of_rival(const kiln_problem *rival, const char *base, char out[KILN_MAX_BASE]) {
    char text[KILN_MAX_KEY + 1 + KILN_MAX_BASE], hash[33], key[KILN_MAX_KEY];
    kiln_problem_key(rival, key, sizeof key);
    const int n = snprintf(text, sizeof text, "%s %s", key, base);
    kiln__hash_hex(text, (size_t)n, hash);
    snprintf(out, KILN_MAX_BASE, "rival %s", hash);
}

static bool has_base(const kiln_ranked *r) {
    return r->state == KILN_TRIAL_OK && r->base[0] && r->base_us > 0;
}

static bool same_base(const kiln_ranked *x, const kiln_ranked *y) {
    return x->serving == y->serving && x->stale == y->stale && strcmp(x->base, y->base) == 0;
}

/* Puts the times that have a common base on one scale: that of the search where the base took the least, which was
 * disturbed the least. There are few bases: another search takes over that of the best record. */
static void rescale(kiln_ranking *r) {
    const kiln_ranked *first[64];
    double least_us[64];
    size_t n = 0;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < r->n_rows; i++) {
            kiln_ranked *row = &r->rows[i];
            size_t k = 0;
            while (k < n && !(has_base(row) && same_base(first[k], row)))
                k++;
            if (!has_base(row) || k == sizeof first / sizeof *first)
                continue;
            if (k == n) {
                first[n] = row;
                least_us[n++] = row->base_us;
            }
            if (pass == 0) {
                least_us[k] = fmin(least_us[k], row->base_us);
            } else {
                row->median_us *= least_us[k] / row->base_us;
                row->base_us = least_us[k];
            }
        }
}

/* ---- from trials to candidates ---- */

/* Variants are rows of one table, so their addresses order them. */
static int compare_candidates(const kiln_ranked *x, const kiln_ranked *y) {
    return x->variant != y->variant ? (x->variant > y->variant) - (x->variant < y->variant)
                                    : memcmp(x->config.v, y->config.v, sizeof x->config.v);
}

/* Trials of a candidate next to each other; what decides last: not stale, later. */
static int compare_trials(const void *a, const void *b) {
    const kiln_ranked *x = a, *y = b;
    const int candidates = compare_candidates(x, y);
    if (candidates)
        return candidates;
    if (x->stale != y->stale)
        return x->stale ? -1 : 1;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

/* Keeps of the trials rows[first..end) of one candidate those that count, from `to` on. Returns the new end. */
static size_t keep(kiln_ranked *rows, size_t first, size_t end, size_t to) {
    const kiln_ranked last = rows[end - 1];
    bool kept[2] = {false, false};
    if (last.state != KILN_TRIAL_OK) {
        rows[to] = last;
        return to + 1;
    }
    kiln_ranked found[2];
    for (size_t i = end; i-- > first;)
        if (rows[i].state == KILN_TRIAL_OK && rows[i].stale == last.stale && !kept[rows[i].serving]) {
            kept[rows[i].serving] = true;
            found[rows[i].serving] = rows[i];
        }
    for (int serving = 0; serving < 2; serving++)
        if (kept[serving])
            rows[to++] = found[serving];
    return to;
}

static int group(const kiln_ranked *r) {
    return r->state != KILN_TRIAL_OK ? 3 : r->stale ? 2 : r->serving == KILN_SERVING_EAGER;
}

static int compare_ranks(const void *a, const void *b) {
    const kiln_ranked *x = a, *y = b;
    if (group(x) != group(y))
        return group(x) - group(y);
    if (x->median_us != y->median_us)
        return x->median_us < y->median_us ? -1 : 1;
    return compare_candidates(x, y);
}

static void rank(kiln_ranking *r) {
    size_t n = 0;
    if (r->n_rows == 0)
        return;
    rescale(r);
    qsort(r->rows, r->n_rows, sizeof *r->rows, compare_trials);
    for (size_t first = 0, end; first < r->n_rows; first = end) {
        for (end = first + 1; end < r->n_rows && compare_candidates(&r->rows[first], &r->rows[end]) == 0; end++)
            continue;
        n = keep(r->rows, first, end, n);
    }
    r->n_rows = n;
    qsort(r->rows, n, sizeof *r->rows, compare_ranks);
    for (size_t i = 0; i < n; i++) {
        r->n_sound += group(&r->rows[i]) <= 1;
        r->n_stale += group(&r->rows[i]) == 2;
    }
}

const kiln_ranked *kiln__ranking_quarantine(const kiln_ranking *ranking, const kiln_variant *variant,
                                            const kiln_config *config) {
    const size_t bytes = kiln__variant_n_params(variant) * sizeof config->v[0];
    for (size_t i = ranking->n_sound + ranking->n_stale; i < ranking->n_rows; i++) {
        const kiln_ranked *r = &ranking->rows[i];
        if (r->variant == variant && !r->stale && memcmp(r->config.v, config->v, bytes) == 0)
            return r;
    }
    return NULL;
}

void kiln__ranking_free(kiln_context *context, kiln_ranking *ranking) {
    kiln__free(context, ranking->rows);
    *ranking = (kiln_ranking){0};
}

kiln_status kiln__rank_records(kiln_device *device, const kiln_problem *problem, kiln_ranking *out) {
    char key[KILN_MAX_KEY];
    memset(out, 0, sizeof *out);
    kiln_problem_key(problem, key, sizeof key);
    collector c = {.device = device, .problem = problem, .out = out};
    const kiln_status status = kiln__store_records(device->context->store, device->fingerprint, key, collect, &c);
    if (status != KILN_OK) {
        kiln__ranking_free(device->context, out);
        return status;
    }
    rank(out);
    return KILN_OK;
}
