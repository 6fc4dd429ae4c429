#include "planner.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const kiln_device *device;
    const kiln_problem *problem;
    kiln_ranking *out;
} collector;

static kiln_ranked *find_row(kiln_ranking *r, const kiln_variant *variant, const kiln_config *config) {
    for (size_t i = 0; i < r->n_rows; i++)
        if (r->rows[i].variant == variant &&
            memcmp(r->rows[i].config.v, config->v, kiln__variant_n_params(variant) * sizeof config->v[0]) == 0)
            return &r->rows[i];
    return NULL;
}

/* The row of a new candidate: a free one, or that of the slowest if the new one is faster. */
static kiln_ranked *new_row(kiln_ranking *r, double median_us) {
    if (r->n_rows < KILN_MAX_RANKED)
        return &r->rows[r->n_rows++];
    kiln_ranked *worst = &r->rows[0];
    for (size_t i = 1; i < r->n_rows; i++)
        if (r->rows[i].median_us > worst->median_us)
            worst = &r->rows[i];
    return median_us < worst->median_us ? worst : NULL;
}

static bool is_stale(const collector *c, const kiln_variant *variant, const kiln_record *record) {
    const kiln_device_desc *d = &c->device->desc;
    return strcmp(record->driver, d->driver) != 0 || strcmp(record->compiler, d->compiler) != 0 ||
           strcmp(record->content, variant->source ? variant->source->hash : "") != 0;
}

/* A later trial replaces an earlier one; a replayed timing replaces an eager one, since graphs are what is served. */
static bool replaces(const kiln_ranked *row, const kiln_record *record, bool stale) {
    if (row->stale != stale)
        return row->stale;
    if (row->state == KILN_TRIAL_OK && record->state == KILN_TRIAL_OK && row->serving != record->serving)
        return record->serving == KILN_SERVING_GRAPH;
    return record->time >= row->time;
}

static kiln_status collect(void *user, const kiln_record *record) {
    collector *c = user;
    if (record->state == KILN_TRIAL_MISS) {
        c->out->missed = true;
        return KILN_OK;
    }
    const kiln_variant *variant = kiln__family_variant(kiln__problem_family(c->problem), record->variant);
    kiln_config config;
    if (!variant)
        return KILN_OK; /* of another release */
    kiln__variant_guess(variant, c->problem, &c->device->desc.caps, &config);
    if (kiln__config_parse(variant, record->config, &config) != KILN_OK)
        return KILN_OK;
    const bool stale = is_stale(c, variant, record);
    kiln_ranked *row = find_row(c->out, variant, &config);
    if (row && !replaces(row, record, stale))
        return KILN_OK;
    if (!row)
        row = new_row(c->out, record->median_us);
    if (!row)
        return KILN_OK;
    *row = (kiln_ranked){.variant = variant,
                         .config = config,
                         .median_us = record->median_us,
                         .serving = record->serving,
                         .state = record->state,
                         .stale = stale,
                         .time = record->time};
    snprintf(row->reason, sizeof row->reason, "%s", record->reason);
    return KILN_OK;
}

static int group(const kiln_ranked *r) {
    return r->state != KILN_TRIAL_OK ? 2 : r->stale;
}

static int compare(const void *a, const void *b) {
    const kiln_ranked *x = a, *y = b;
    if (group(x) != group(y))
        return group(x) - group(y);
    return (x->median_us > y->median_us) - (x->median_us < y->median_us);
}

kiln_status kiln__rank_records(kiln_device *device, const kiln_problem *problem, kiln_ranking *out) {
    char key[KILN_MAX_KEY];
    memset(out, 0, sizeof *out);
    kiln_problem_key(problem, key, sizeof key);
    collector c = {device, problem, out};
    KILN_TRY(kiln__store_records(device->context->store, device->fingerprint, key, collect, &c));
    qsort(out->rows, out->n_rows, sizeof *out->rows, compare);
    for (size_t i = 0; i < out->n_rows; i++) {
        out->n_sound += group(&out->rows[i]) == 0;
        out->n_stale += group(&out->rows[i]) == 1;
    }
    return KILN_OK;
}
