#include "planner.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const kiln_device *device;
    const kiln_problem *problem;
    kiln_ranking *out;
} collector;

static kiln_status add_row(const collector *c, const kiln_ranked *row) {
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

static bool is_stale(const collector *c, const kiln_variant *variant, const kiln_record *record) {
    const kiln_device_desc *d = &c->device->desc;
    return strcmp(record->driver, d->driver) != 0 || strcmp(record->compiler, d->compiler) != 0 ||
           strcmp(record->content, variant->source ? variant->source->hash : "") != 0;
}

void kiln__search_content(const kiln_problem *problem, char out[33]) {
    kiln_strbuf s = {0};
    for (const kiln_variant *v = kiln__problem_family(problem)->variants; v->name; v++) {
        kiln__strbuf_addf(&s, "%s %s", v->name, v->source ? v->source->hash : "");
        for (size_t p = 0; p < kiln__variant_n_params(v); p++) {
            kiln__strbuf_addf(&s, " %s", v->params[p].name);
            for (size_t i = 0; i < v->params[p].n_values; i++)
                kiln__strbuf_addf(&s, ",%d", v->params[p].values[i]);
        }
        kiln__strbuf_add(&s, "\n");
    }
    kiln__hash_hex(kiln__strbuf_text(&s), s.length, out);
    kiln__strbuf_free(&s);
}

/* A search of the same space with the same driver need not be made again; one of another time limit may. */
static void read_done(collector *c, const kiln_record *record) {
    const kiln_device_desc *d = &c->device->desc;
    char content[33];
    kiln__search_content(c->problem, content);
    if (strcmp(record->content, content) != 0 || strcmp(record->driver, d->driver) != 0 ||
        strcmp(record->compiler, d->compiler) != 0)
        return;
    const double seconds = strcmp(record->config, "exhausted") == 0 ? HUGE_VAL : record->median_us * 1e-6;
    if (seconds > c->out->done_seconds)
        c->out->done_seconds = seconds;
}

static kiln_status collect(void *user, const kiln_record *record) {
    collector *c = user;
    if (record->state == KILN_TRIAL_MISS) {
        c->out->missed = true;
        return KILN_OK;
    }
    const kiln_variant *variant = kiln__family_variant(kiln__problem_family(c->problem), record->variant);
    if (record->state == KILN_TRIAL_DONE) {
        read_done(c, record);
        return KILN_OK;
    }
    kiln_config config;
    if (!variant)
        return KILN_OK; /* of another release */
    kiln__variant_guess(variant, c->problem, &c->device->desc.caps, &config);
    if (kiln__config_parse(variant, record->config, &config) != KILN_OK)
        return KILN_OK;
    kiln_ranked row = {.variant = variant,
                       .config = config,
                       .median_us = record->median_us,
                       .serving = record->serving,
                       .state = record->state,
                       .stale = is_stale(c, variant, record),
                       .time = record->time,
                       .order = c->out->n_rows};
    snprintf(row.reason, sizeof row.reason, "%s", record->reason);
    return add_row(c, &row);
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

void kiln__ranking_free(kiln_context *context, kiln_ranking *ranking) {
    kiln__free(context, ranking->rows);
    *ranking = (kiln_ranking){0};
}

kiln_status kiln__rank_records(kiln_device *device, const kiln_problem *problem, kiln_ranking *out) {
    char key[KILN_MAX_KEY];
    memset(out, 0, sizeof *out);
    kiln_problem_key(problem, key, sizeof key);
    collector c = {device, problem, out};
    const kiln_status status = kiln__store_records(device->context->store, device->fingerprint, key, collect, &c);
    if (status != KILN_OK) {
        kiln__ranking_free(device->context, out);
        return status;
    }
    rank(out);
    return KILN_OK;
}
