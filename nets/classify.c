/* Labelled data through a net: how many items it gets right. */
#include "safetensors.h"
#include "session.h"
#include "status.h"
#include <string.h>

typedef struct labelled {
    kiln_net *net;
    kiln_safetensors file;
    const char *path;
    int64_t n, h, w, batch;
    const kiln_safetensor *in[KILN_NET_MAX_IO];
    float *inputs[KILN_NET_MAX_IO], *outputs[KILN_NET_MAX_IO]; /* of one batch; of the outputs the first alone */
    float *labels, *held_out;                                  /* of every item; held_out may be NULL */
} labelled;

/* ---- the file ---- */

static kiln_status match_input(labelled *d, size_t index) {
    const kiln_tensor_info *info = &d->net->inputs[index].info;
    const kiln_safetensor *t = kiln__safetensors_find(&d->file, info->name);
    if (!t)
        return kiln_fail(KILN_E_MISMATCH, "%s: no tensor \"%s\", which net \"%s\" has; the file is of another net",
                         d->path, info->name, d->net->name);
    if (index == 0)
        d->n = t->rank > 0 ? t->shape[0] : 0;
    bool same = t->rank == info->rank + 1 && d->n > 0 && d->n <= INT32_MAX && t->shape[0] == d->n;
    for (size_t i = 0; same && i < info->rank; i++) {
        int64_t *edge = i == 0 ? &d->h : &d->w; /* of the board, if this dimension is -1: the first input decides */
        if (info->shape[i] < 0 && *edge == 0)
            *edge = t->shape[i + 1];
        const int64_t wanted = info->shape[i] >= 0 ? info->shape[i] : *edge;
        same = wanted > 0 && t->shape[i + 1] == wanted; /* a board of no points would mean the default one */
    }
    if (!same || d->h > INT16_MAX || d->w > INT16_MAX)
        return kiln_fail(KILN_E_MISMATCH,
                         "%s: \"%s\" has another shape than [items] and that of the input of net \"%s\"", d->path,
                         info->name, d->net->name);
    d->in[index] = t;
    return KILN_OK;
}

/* A tensor of one byte for each item. */
static kiln_status read_bytes(labelled *d, const char *name, bool needed, float **out) {
    const kiln_safetensor *t = kiln__safetensors_find(&d->file, name);
    if (!t && !needed)
        return KILN_OK;
    if (!t || t->type != KILN_SAFETENSORS_U8 || t->rank != 1 || t->shape[0] != d->n)
        return kiln_fail(KILN_E_INVALID, "%s: \"%s\" is missing, or not U8 of %lld items", d->path, name,
                         (long long)d->n);
    *out = kiln__alloc(d->net->context, (size_t)d->n * sizeof **out);
    return *out ? kiln__safetensors_read(&d->file, t, 0, d->n, *out) : KILN_E_MEMORY;
}

static kiln_status read_file(labelled *d) {
    const kiln_net_tensor *classes = &d->net->tensors[d->net->outputs[0].tensor];
    if (classes->shape != KILN_NET_VECTOR || classes->c < 2)
        return kiln_fail(KILN_E_INVALID, "net \"%s\" does not classify: its output \"%s\" is not a vector of classes",
                         d->net->name, d->net->outputs[0].info.name);
    KILN_TRY(kiln__safetensors_open(d->net->context, d->path, &d->file));
    for (size_t i = 0; i < d->net->n_inputs; i++)
        KILN_TRY(match_input(d, i));
    KILN_TRY(read_bytes(d, "labels", true, &d->labels));
    KILN_TRY(read_bytes(d, "held_out", false, &d->held_out));
    for (int64_t i = 0; i < d->n; i++)
        if (d->labels[i] >= (float)classes->c)
            return kiln_fail(KILN_E_INVALID, "%s: item %lld has label %g; net \"%s\" knows %lld classes", d->path,
                             (long long)i, (double)d->labels[i], d->net->name, (long long)classes->c);
    return KILN_OK;
}

static int64_t item_floats(const labelled *d, size_t input) {
    return d->in[input]->elements / d->n;
}

static kiln_status allocate(labelled *d) {
    kiln_context *context = d->net->context;
    const size_t batch = (size_t)d->batch;
    const size_t classes = (size_t)d->net->tensors[d->net->outputs[0].tensor].c;
    for (size_t i = 0; i < d->net->n_inputs; i++)
        if (!(d->inputs[i] = kiln__alloc(context, batch * (size_t)item_floats(d, i) * sizeof(float))))
            return KILN_E_MEMORY;
    d->outputs[0] = kiln__alloc(context, batch * classes * sizeof(float));
    return d->outputs[0] ? KILN_OK : KILN_E_MEMORY;
}

/* ---- running ---- */

static int64_t largest(const float *values, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (values[i] > values[best])
            best = i;
    return best;
}

/* FNV-1a over the four bytes of a class (Fowler, Noll, Vo; RFC 9923). */
static uint64_t hash_class(uint64_t hash, int64_t class) {
    for (int i = 0; i < 4; i++)
        hash = (hash ^ (uint64_t)(class >> 8 * i & 255)) * 0x100000001b3u;
    return hash;
}

static kiln_status run_batch(labelled *d, kiln_session *session, const float *labels, int64_t n,
                             kiln_classify_report *report) {
    KILN_TRY(kiln_session_run(session, (int32_t)n, (const float *const *)d->inputs, d->outputs));
    for (int64_t i = 0; i < n; i++) {
        const int64_t class = largest(d->outputs[0] + i * report->n_classes, report->n_classes);
        report->predictions = hash_class(report->predictions, class);
        report->n_right += class == (int64_t)labels[i];
    }
    report->n_items += n;
    return KILN_OK;
}

/* Labels are gathered to the front of their array, which the reading of items has left behind by then. */
static kiln_status run_all(labelled *d, kiln_session *session, kiln_classify_report *report) {
    int64_t n = 0;
    for (int64_t item = 0; item < d->n; item++) {
        if (d->held_out && d->held_out[item] == 0)
            continue;
        for (size_t i = 0; i < d->net->n_inputs; i++) {
            const int64_t floats = item_floats(d, i);
            KILN_TRY(kiln__safetensors_read(&d->file, d->in[i], item * floats, floats, d->inputs[i] + n * floats));
        }
        d->labels[n++] = d->labels[item];
        if (n < d->batch)
            continue;
        KILN_TRY(run_batch(d, session, d->labels, n, report));
        n = 0;
    }
    return n > 0 ? run_batch(d, session, d->labels, n, report) : KILN_OK;
}

static kiln_status classify(labelled *d, kiln_queue *queue, const kiln_session_options *options,
                            kiln_classify_report *report) {
    kiln_session_options o = KILN_SESSION_OPTIONS_INIT;
    kiln_session *session;
    if (options)
        memcpy(&o, options, options->struct_size);
    KILN_TRY(read_file(d));
    o.board_h = (int32_t)d->h;
    o.board_w = (int32_t)d->w;
    report->n_classes = d->net->tensors[d->net->outputs[0].tensor].c;
    KILN_TRY(kiln_session_create(d->net, queue, &o, &session));
    const int64_t batch = session->buckets[session->n_buckets - 1];
    d->batch = batch < d->n ? batch : d->n;
    kiln_status status = allocate(d);
    if (status == KILN_OK)
        status = run_all(d, session, report);
    kiln_session_destroy(session);
    if (report->n_items > 0)
        report->accuracy = (double)report->n_right / (double)report->n_items;
    return status;
}

kiln_status kiln_net_classify(kiln_net *net, kiln_queue *queue, const kiln_session_options *options,
                              const char *data_path, kiln_classify_report *out) {
    if (!net || !queue || !data_path)
        return kiln_fail(KILN_E_INVALID, "kiln_net_classify: a NULL argument");
    KILN_CHECK_STRUCT(out, kiln_classify_report);
    if (options)
        KILN_CHECK_STRUCT(options, kiln_session_options);
    labelled d = {.net = net, .path = data_path};
    kiln_classify_report report = {.struct_size = out->struct_size, .predictions = 0xcbf29ce484222325u};
    const kiln_status status = classify(&d, queue, options, &report);
    for (size_t i = 0; i < KILN_NET_MAX_IO; i++) {
        kiln__free(net->context, d.inputs[i]);
        kiln__free(net->context, d.outputs[i]);
    }
    kiln__free(net->context, d.labels);
    kiln__free(net->context, d.held_out);
    kiln__safetensors_close(&d.file);
    memcpy(out, &report, out->struct_size);
    return status;
}
