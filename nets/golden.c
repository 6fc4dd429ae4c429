/* Golden files: the inputs of a net and the outputs another implementation computed from them. */
#include "safetensors.h"
#include "session.h"
#include "status.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct golden {
    kiln_net *net;
    kiln_safetensors file;
    const char *path;
    int64_t n, h, w;
    const kiln_safetensor *in[KILN_NET_MAX_IO], *out[KILN_NET_MAX_IO];
    float *inputs[KILN_NET_MAX_IO], *outputs[KILN_NET_MAX_IO], *expected[KILN_NET_MAX_IO]; /* of one batch */
} golden;

/* ---- is it of this net? ---- */

static void shape_text(const int64_t *shape, size_t rank, char *text, size_t capacity) {
    size_t n = 0;
    text[0] = '\0';
    for (size_t i = 0; i < rank && n < capacity; i++) {
        const char *comma = i ? "," : "";
        if (shape[i] < 0)
            n += (size_t)snprintf(text + n, capacity - n, "%sboard", comma);
        else
            n += (size_t)snprintf(text + n, capacity - n, "%s%lld", comma, (long long)shape[i]);
    }
}

static kiln_status shape_differs(const golden *g, const kiln_safetensor *t, const kiln_tensor_info *info) {
    char has[96], needs[96];
    shape_text(t->shape, t->rank, has, sizeof has);
    shape_text(info->shape, info->rank, needs, sizeof needs);
    return kiln_fail(KILN_E_MISMATCH, "%s: \"%s\" is [%s], net \"%s\" has [batch,%s]; the file is of another net",
                     g->path, info->name, has, g->net->name, needs);
}

/* The first board tensor says how large the board is. */
static kiln_status match(golden *g, const kiln_tensor_info *info, const kiln_safetensor **out) {
    const kiln_safetensor *t = kiln__safetensors_find(&g->file, info->name);
    if (!t)
        return kiln_fail(KILN_E_MISMATCH, "%s: no tensor \"%s\", which net \"%s\" has; the file is of another net",
                         g->path, info->name, g->net->name);
    if (t->rank != info->rank + 1 || t->shape[0] < 1)
        return shape_differs(g, t, info);
    if (g->n == 0)
        g->n = t->shape[0];
    if (info->shape[0] < 0 && g->h == 0) {
        g->h = t->shape[1];
        g->w = t->shape[2];
    }
    for (size_t i = 0; i < info->rank; i++) {
        const int64_t wanted = info->shape[i] >= 0 ? info->shape[i] : i == 0 ? g->h : g->w;
        if (t->shape[i + 1] != wanted || wanted < 1 || t->shape[0] != g->n)
            return shape_differs(g, t, info);
    }
    if (g->n > INT32_MAX || g->h > INT16_MAX || g->w > INT16_MAX)
        return kiln_fail(KILN_E_INVALID, "%s: %lld items of a board of %lld by %lld are too many", g->path,
                         (long long)g->n, (long long)g->h, (long long)g->w);
    *out = t;
    return KILN_OK;
}

static kiln_status match_all(golden *g) {
    for (size_t i = 0; i < g->net->n_inputs; i++)
        KILN_TRY(match(g, &g->net->inputs[i].info, &g->in[i]));
    for (size_t i = 0; i < g->net->n_outputs; i++)
        KILN_TRY(match(g, &g->net->outputs[i].info, &g->out[i]));
    return KILN_OK;
}

/* ---- running ---- */

static int64_t item_floats(const golden *g, const kiln_safetensor *t) {
    return t->elements / g->n;
}

static kiln_status allocate(golden *g, int64_t batch) {
    for (size_t i = 0; i < g->net->n_inputs + g->net->n_outputs; i++) {
        const bool input = i < g->net->n_inputs;
        const size_t k = input ? i : i - g->net->n_inputs;
        const size_t bytes = (size_t)(item_floats(g, input ? g->in[k] : g->out[k]) * batch) * sizeof(float);
        float **arrays[2] = {input ? &g->inputs[k] : &g->outputs[k], input ? NULL : &g->expected[k]};
        for (int a = 0; a < 2; a++)
            if (arrays[a] && !(*arrays[a] = kiln__alloc(g->net->context, bytes)))
                return KILN_E_MEMORY;
    }
    return KILN_OK;
}

/* A NaN on either side counts as infinitely far. */
static void compare(const float *got, const float *expected, int64_t floats, int64_t first_item, int64_t n,
                    kiln_golden_row *row) {
    for (int64_t i = 0; i < n * floats; i++) {
        double diff = fabs((double)got[i] - (double)expected[i]);
        if (isnan(diff))
            diff = INFINITY;
        if (diff > row->max_diff) {
            row->max_diff = diff;
            row->worst_item = first_item + i / floats;
        }
        row->max_abs = fmax(row->max_abs, fabs((double)expected[i]));
    }
}

static kiln_status run_batch(golden *g, kiln_session *session, int64_t first, int64_t n, kiln_golden_report *report) {
    for (size_t i = 0; i < g->net->n_inputs; i++) {
        const int64_t floats = item_floats(g, g->in[i]);
        KILN_TRY(kiln__safetensors_read(&g->file, g->in[i], first * floats, n * floats, g->inputs[i]));
    }
    KILN_TRY(kiln_session_run(session, (int32_t)n, (const float *const *)g->inputs, g->outputs));
    for (size_t i = 0; i < g->net->n_outputs; i++) {
        const int64_t floats = item_floats(g, g->out[i]);
        KILN_TRY(kiln__safetensors_read(&g->file, g->out[i], first * floats, n * floats, g->expected[i]));
        compare(g->outputs[i], g->expected[i], floats, first, n, &report->rows[i]);
    }
    return KILN_OK;
}

static kiln_status run_all(golden *g, kiln_queue *queue, const kiln_session_options *options, int64_t batch,
                           kiln_golden_report *report) {
    kiln_session_options o = KILN_SESSION_OPTIONS_INIT;
    kiln_session *session;
    if (options)
        memcpy(&o, options, options->struct_size);
    o.board_h = (int32_t)g->h;
    o.board_w = (int32_t)g->w;
    KILN_TRY(allocate(g, batch));
    KILN_TRY(kiln_session_create(g->net, queue, &o, &session));
    kiln_status status = KILN_OK;
    for (int64_t first = 0; first < g->n && status == KILN_OK; first += batch)
        status = run_batch(g, session, first, g->n - first < batch ? g->n - first : batch, report);
    kiln_session_destroy(session);
    return status;
}

/* ---- judging ---- */

static kiln_status judge(const golden *g, double tolerance, const kiln_golden_report *report) {
    const kiln_golden_row *worst = NULL;
    for (size_t i = 0; i < report->n_rows; i++)
        if (!(report->rows[i].max_diff <= tolerance) && (!worst || report->rows[i].max_diff > worst->max_diff))
            worst = &report->rows[i];
    if (!worst)
        return KILN_OK;
    return kiln_fail(KILN_E_MISMATCH, "%s: \"%s\" is off by %g at item %lld; %g is allowed", g->path, worst->output,
                     worst->max_diff, (long long)worst->worst_item, tolerance);
}

static kiln_status check(golden *g, kiln_queue *queue, const kiln_session_options *options, int32_t batch,
                         double tolerance, kiln_golden_report *report) {
    KILN_TRY(kiln__safetensors_open(g->net->context, g->path, &g->file));
    KILN_TRY(match_all(g));
    report->n_items = g->n;
    report->board_h = (int32_t)g->h;
    report->board_w = (int32_t)g->w;
    for (size_t i = 0; i < g->net->n_outputs; i++)
        report->rows[report->n_rows++].output = g->net->outputs[i].info.name;
    const kiln_status status = run_all(g, queue, options, batch < g->n ? batch : g->n, report);
    if (status != KILN_OK)
        report->n_rows = 0;
    return status == KILN_OK ? judge(g, tolerance, report) : status;
}

kiln_status kiln_net_check(kiln_net *net, kiln_queue *queue, const kiln_session_options *options,
                           const char *golden_path, int32_t batch, double tolerance, kiln_golden_report *out) {
    _Static_assert(sizeof out->rows / sizeof out->rows[0] >= KILN_NET_MAX_IO, "a row for each output");
    if (!net || !queue || !golden_path || batch < 1)
        return kiln_fail(KILN_E_INVALID, "kiln_net_check: a NULL argument, or a batch of %d", batch);
    KILN_CHECK_STRUCT(out, kiln_golden_report);
    if (options)
        KILN_CHECK_STRUCT(options, kiln_session_options);
    golden g = {.net = net, .path = golden_path};
    kiln_golden_report report = {.struct_size = out->struct_size};
    const kiln_status status = check(&g, queue, options, batch, tolerance, &report);
    for (size_t i = 0; i < KILN_NET_MAX_IO; i++) {
        kiln__free(net->context, g.inputs[i]);
        kiln__free(net->context, g.outputs[i]);
        kiln__free(net->context, g.expected[i]);
    }
    kiln__safetensors_close(&g.file);
    memcpy(out, &report, out->struct_size);
    return status;
}
