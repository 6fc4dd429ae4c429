/* kiln_tune_net: the distinct problems of a net for some batch sizes, tuned together, then compared with what they
 * would be with other halos. */
#include "tune.h"
#include "halos.h"
#include "status.h"
#include <string.h>

/* A region changes as a whole or not at all: what lies within it goes first, its possible edges after that. */
static const double unlikely = 0.01;

typedef struct {
    kiln_net *net;
    kiln_device *device;
    const int32_t *batches;
    size_t n_batches;
    int64_t h, w;
    kiln_type type;
    kiln_tune_item *items;
    size_t n, capacity;
} collector;

static kiln_status add(collector *c, const kiln_tune_item *item) {
    if (c->n == c->capacity) {
        const size_t capacity = c->capacity ? 2 * c->capacity : 64;
        kiln_tune_item *grown = kiln__realloc(c->net->context, c->items, capacity * sizeof *grown);
        if (!grown)
            return KILN_E_MEMORY;
        c->items = grown;
        c->capacity = capacity;
    }
    c->items[c->n++] = *item;
    return KILN_OK;
}

static kiln_status collect(void *user, const kiln_problem *problem, size_t count) {
    const kiln_tune_item item = {.problem = *problem, .count = (double)count};
    return add(user, &item);
}

/* One that another layer has as it is needs no comparison: it is searched. */
static kiln_status collect_other(void *user, const kiln_problem *problem, const kiln_problem *usual, bool likely) {
    collector *c = user;
    const kiln_tune_item item = {.problem = *problem, .count = likely ? 1 : unlikely, .rival = *usual};
    for (size_t i = 0; i < c->n; i++)
        if (kiln__problem_equal(&c->items[i].problem, problem)) {
            c->items[i].count += c->items[i].rival.schema ? item.count : 0;
            return KILN_OK;
        }
    return add(c, &item);
}

/* Problems of two batch sizes are never the same. */
static kiln_status collect_all(collector *c, bool with_others) {
    for (size_t i = 0; i < c->n_batches; i++)
        KILN_TRY(kiln_net_problems(c->net, c->batches[i], (int32_t)c->h, (int32_t)c->w, c->type, collect, c));
    for (size_t i = 0; i < c->n_batches && with_others; i++) {
        kiln_layout layout;
        KILN_TRY(kiln__layout_open(c->net, c->batches[i], c->h, c->w, &layout));
        layout.type = c->type;
        const kiln_status status = kiln__halos_alternatives(&layout, collect_other, c);
        kiln__layout_free(&layout);
        KILN_TRY(status);
    }
    return KILN_OK;
}

/* What sessions will choose. */
static kiln_status add_gain(const collector *c, kiln_tune_result *result) {
    for (size_t i = 0; i < c->n_batches; i++) {
        kiln_layout layout;
        kiln_strbuf why = {0};
        kiln_halo_choice choice;
        KILN_TRY(kiln__layout_open(c->net, c->batches[i], c->h, c->w, &layout));
        layout.type = c->type;
        const kiln_status status = kiln__halos_choose(&layout, kiln__halos_recorded_us, c->device, &choice, &why);
        kiln__strbuf_free(&why);
        kiln__layout_free(&layout);
        KILN_TRY(status);
        result->n_halos_dropped += (uint32_t)choice.n_changed;
        result->halos_gain_us += choice.usual_us - choice.chosen_us;
    }
    return KILN_OK;
}

kiln_status kiln_tune_net(kiln_net *net, kiln_device *device, const int32_t *batches, size_t n_batches, int32_t board_h,
                          int32_t board_w, const kiln_tune_options *options, kiln_tune_result *out) {
    kiln_tune_result result = KILN_TUNE_RESULT_INIT;
    kiln_tune_options o = KILN_TUNE_OPTIONS_INIT;
    if (!net || !device || !batches || n_batches == 0)
        return kiln_fail(KILN_E_INVALID, "kiln_tune_net: a NULL argument or no batch size");
    if (device->context != net->context)
        return kiln_fail(KILN_E_INVALID, "kiln_tune_net: the net and the device are of different contexts");
    if (options) {
        KILN_CHECK_STRUCT(options, kiln_tune_options);
        memcpy(&o, options, options->struct_size);
    }
    if (out)
        KILN_CHECK_STRUCT(out, kiln_tune_result);
    const int64_t board = net->default_board;
    collector c = {.net = net,
                   .device = device,
                   .batches = batches,
                   .n_batches = n_batches,
                   .h = board_h ? board_h : board,
                   .w = board_w ? board_w : board,
                   .type = o.type};
    /* one variant, or launches that sessions do not make, say nothing of what sessions should choose */
    kiln_status status = collect_all(&c, !o.variant && !o.eager);
    if (status == KILN_OK)
        status = kiln__tune_many(device, c.items, c.n, options, &result);
    if (status == KILN_OK || status == KILN_E_CANCELLED) {
        const kiln_status chosen = add_gain(&c, &result);
        status = status == KILN_OK ? chosen : status;
    }
    kiln__free(net->context, c.items);
    if (out) {
        result.struct_size = out->struct_size;
        memcpy(out, &result, out->struct_size);
    }
    return status;
}
