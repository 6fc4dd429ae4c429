/* Sessions: choosing the bucket, moving inputs and outputs, running. */
#include "session.h"
#include "number.h"
#include "status.h"
#include <string.h>

enum { DEFAULT_MAX_BATCH = 64 };

/* ---- life ---- */

static kiln_status choose_buckets(kiln_session *s, const kiln_session_options *o) {
    if (!o->buckets) {
        const int32_t max = o->max_batch ? o->max_batch : DEFAULT_MAX_BATCH;
        if (max < 1 || max > KILN_MAX_BATCH)
            return kiln_fail(KILN_E_INVALID, "kiln_session_create: max_batch is %d; 1 to %d are possible", max,
                             KILN_MAX_BATCH);
        s->n_buckets = kiln__buckets_default(max, s->buckets);
        return KILN_OK;
    }
    KILN_TRY(kiln__buckets_check(o->buckets, o->n_buckets));
    memcpy(s->buckets, o->buckets, o->n_buckets * sizeof s->buckets[0]);
    s->n_buckets = o->n_buckets;
    return KILN_OK;
}

static kiln_status check_type(const char *function, kiln_type type) {
    if (type != KILN_TYPE_F32 && type != KILN_TYPE_F16 && type != KILN_TYPE_BF16)
        return kiln_fail(KILN_E_INVALID, "%s: type %d; activations are f32, f16 or bf16", function, (int)type);
    return KILN_OK;
}

static kiln_status open_session(kiln_session *s, const kiln_session_options *o) {
    const int64_t board = s->net->default_board;
    s->h = o->board_h ? o->board_h : board;
    s->w = o->board_w ? o->board_w : board;
    s->eager = o->eager != 0;
    s->effort = o->effort;
    s->halos = o->halos;
    if (o->halos < KILN_HALOS_FASTEST || o->halos > KILN_HALOS_NONE)
        return kiln_fail(KILN_E_INVALID, "kiln_session_create: unknown halos %d", (int)o->halos);
    s->type = o->type;
    KILN_TRY(check_type("kiln_session_create", o->type));
    KILN_TRY(choose_buckets(s, o));
    if (o->variant) {
        s->variant = kiln__strdup(s->net->context, o->variant);
        if (!s->variant)
            return KILN_E_MEMORY;
    }
    kiln_layout layout; /* says at once whether the net fits the board */
    KILN_TRY(kiln__layout_open(s->net, s->buckets[0], s->h, s->w, &layout));
    const kiln_status fits = kiln__layout_place(&layout, 64);
    kiln__layout_free(&layout);
    return fits == KILN_OK ? kiln__net_share_get(s->net, s->queue, s->type, &s->share) : fits;
}

kiln_status kiln_session_create(kiln_net *net, kiln_queue *queue, const kiln_session_options *options,
                                kiln_session **out) {
    if (!net || !queue || !out)
        return kiln_fail(KILN_E_INVALID, "kiln_session_create: net, queue or out is NULL");
    *out = NULL;
    kiln_session_options o = KILN_SESSION_OPTIONS_INIT;
    if (options) {
        KILN_CHECK_STRUCT(options, kiln_session_options);
        memcpy(&o, options, options->struct_size);
    }
    if (queue->device->context != net->context)
        return kiln_fail(KILN_E_INVALID, "kiln_session_create: the net and the queue are of different contexts");
    kiln_session *s = kiln__alloc(net->context, sizeof *s);
    if (!s)
        return KILN_E_MEMORY;
    s->net = net;
    s->queue = queue;
    atomic_fetch_add(&net->context->live_objects, 1);
    const kiln_status status = open_session(s, &o);
    if (status != KILN_OK) {
        kiln_session_destroy(s);
        return status;
    }
    *out = s;
    return KILN_OK;
}

void kiln_session_destroy(kiln_session *session) {
    if (!session)
        return;
    kiln_context *context = session->net->context;
    (void)kiln_queue_finish(session->queue); /* a lost device must not keep memory from being freed */
    for (size_t i = 0; i < session->n_buckets; i++)
        kiln__made_destroy(session, session->made[i]);
    for (size_t i = 0; i < session->n_old_scratch; i++)
        kiln_buffer_destroy(session->old_scratch[i]);
    kiln_buffer_destroy(session->scratch);
    kiln__free(context, session->variant);
    kiln__free(context, session);
    atomic_fetch_sub(&context->live_objects, 1);
}

/* ---- buckets ---- */

kiln_status kiln__session_bucket(kiln_session *session, int32_t batch, int32_t *size, kiln_made_bucket **out) {
    if (!session)
        return kiln_fail(KILN_E_INVALID, "kiln_session: session is NULL");
    if (batch < 1)
        return kiln_fail(KILN_E_INVALID, "kiln_session: batch is %d; at least 1 is needed", batch);
    const size_t i = kiln__bucket_pick(session->buckets, session->n_buckets, batch);
    if (!session->made[i])
        KILN_TRY(kiln__made_create(session, session->buckets[i], &session->made[i]));
    *size = session->buckets[i];
    *out = session->made[i];
    return KILN_OK;
}

kiln_status kiln_session_warm(kiln_session *session, int32_t batch) {
    int32_t size = 0;
    kiln_made_bucket *made = NULL;
    return kiln__session_bucket(session, batch, &size, &made);
}

/* ---- running ---- */

kiln_status kiln__session_enqueue(kiln_session *session, kiln_made_bucket *made, bool eager) {
    if (!eager)
        return kiln_graph_launch(made->graph);
    for (size_t i = 0; i < session->net->n_ops; i++) {
        if (made->bindings[i])
            KILN_TRY(kiln_binding_run(made->bindings[i]));
        else
            KILN_TRY(kiln__queue_enqueue(session->queue, &made->copies[i]));
    }
    return KILN_OK;
}

kiln_status kiln_session_enqueue(kiln_session *session, int32_t batch) {
    int32_t size = 0;
    kiln_made_bucket *made = NULL;
    KILN_TRY(kiln__session_bucket(session, batch, &size, &made));
    made->used_items = size; /* the caller may have filled all of the inputs */
    return kiln__session_enqueue(session, made, session->eager);
}

/* Items past `n` that an earlier run filled are zeroed: they must stay finite. */
kiln_status kiln__session_write(kiln_session *s, kiln_made_bucket *m, int32_t first, int32_t n,
                                const float *const *inputs) {
    const int32_t n_used = n > m->used_items ? n : m->used_items;
    char *staging = m->staging;
    for (size_t i = 0; i < s->net->n_inputs; i++) {
        const int32_t tensor = s->net->inputs[i].tensor;
        const size_t item_bytes = kiln__layout_item_bytes(&m->layout, tensor);
        const size_t item = item_bytes / kiln_type_bytes(s->type);
        const kiln_view to = kiln__made_view(m, tensor);
        kiln__encode(s->type, inputs[i] + (size_t)first * item, (size_t)n * item, staging);
        memset(staging + (size_t)n * item_bytes, 0, (size_t)(n_used - n) * item_bytes);
        KILN_TRY(kiln_buffer_write(s->queue, to.buffer, to.offset_bytes, staging, (size_t)n_used * item_bytes));
        staging += (size_t)m->layout.n * item_bytes;
    }
    m->used_items = n;
    return KILN_OK;
}

/* Where outputs lie in the staging memory: behind the inputs. */
static char *staged_outputs(const kiln_session *s, const kiln_made_bucket *m) {
    size_t item_bytes = 0;
    for (size_t i = 0; i < s->net->n_inputs; i++)
        item_bytes += kiln__layout_item_bytes(&m->layout, s->net->inputs[i].tensor);
    return (char *)m->staging + (size_t)m->layout.n * item_bytes;
}

static kiln_status read_outputs(kiln_session *s, const kiln_made_bucket *m, int32_t n, float *const *outputs) {
    char *staged = staged_outputs(s, m);
    for (size_t i = 0; i < s->net->n_outputs; i++) {
        const int32_t tensor = s->net->outputs[i].tensor;
        const size_t item_bytes = kiln__layout_item_bytes(&m->layout, tensor);
        const kiln_view from = kiln__made_view(m, tensor);
        if (outputs[i])
            KILN_TRY(kiln_buffer_read(s->queue, from.buffer, from.offset_bytes, staged, (size_t)n * item_bytes));
        staged += (size_t)m->layout.n * item_bytes;
    }
    return KILN_OK;
}

static void decode_outputs(const kiln_session *s, const kiln_made_bucket *m, int32_t first, int32_t n,
                           float *const *outputs) {
    const char *staged = staged_outputs(s, m);
    for (size_t i = 0; i < s->net->n_outputs; i++) {
        const size_t item_bytes = kiln__layout_item_bytes(&m->layout, s->net->outputs[i].tensor);
        const size_t item = item_bytes / kiln_type_bytes(s->type);
        if (outputs[i])
            kiln__decode(s->type, staged, (size_t)n * item, outputs[i] + (size_t)first * item);
        staged += (size_t)m->layout.n * item_bytes;
    }
}

static kiln_status enqueue_part(kiln_session *s, kiln_made_bucket *m, int32_t first, int32_t n,
                                const float *const *inputs, float *const *outputs) {
    KILN_TRY(kiln__session_write(s, m, first, n, inputs));
    KILN_TRY(kiln__session_enqueue(s, m, s->eager));
    return read_outputs(s, m, n, outputs);
}

kiln_status kiln_session_run(kiln_session *session, int32_t batch, const float *const *inputs, float *const *outputs) {
    if (!session || !inputs || !outputs || batch < 1)
        return kiln_fail(KILN_E_INVALID, "kiln_session_run: a NULL argument, or a batch of %d", batch);
    for (size_t i = 0; i < session->net->n_inputs; i++)
        if (!inputs[i])
            return kiln_fail(KILN_E_INVALID, "kiln_session_run: input \"%s\" is NULL",
                             session->net->inputs[i].info.name);
    for (int32_t first = 0; first < batch;) {
        int32_t size = 0;
        kiln_made_bucket *made = NULL;
        KILN_TRY(kiln__session_bucket(session, batch - first, &size, &made));
        const int32_t n = batch - first < size ? batch - first : size;
        const kiln_status status = enqueue_part(session, made, first, n, inputs, outputs);
        const kiln_status finished = kiln_queue_finish(session->queue); /* the staging memory is in use until here */
        if (status != KILN_OK)
            return status;
        KILN_TRY(finished);
        decode_outputs(session, made, first, n, outputs);
        first += n;
    }
    return KILN_OK;
}

/* ---- asking ---- */

static kiln_status io_view(kiln_session *session, int32_t batch, const kiln_net_io *list, size_t n, size_t index,
                           kiln_view *out) {
    int32_t size = 0;
    kiln_made_bucket *made = NULL;
    if (index >= n)
        return kiln_fail(KILN_E_INVALID, "kiln_session: the net has %zu of these, none with index %zu", n, index);
    KILN_TRY(kiln__session_bucket(session, batch, &size, &made));
    *out = kiln__made_view(made, list[index].tensor);
    return KILN_OK;
}

kiln_status kiln_session_input(kiln_session *session, int32_t batch, size_t index, kiln_view *out) {
    if (!session || !out)
        return kiln_fail(KILN_E_INVALID, "kiln_session_input: NULL argument");
    return io_view(session, batch, session->net->inputs, session->net->n_inputs, index, out);
}

kiln_status kiln_session_output(kiln_session *session, int32_t batch, size_t index, kiln_view *out) {
    if (!session || !out)
        return kiln_fail(KILN_E_INVALID, "kiln_session_output: NULL argument");
    return io_view(session, batch, session->net->outputs, session->net->n_outputs, index, out);
}

kiln_status kiln_session_get_info(kiln_session *session, int32_t batch, kiln_session_info *out) {
    int32_t size = 0;
    kiln_made_bucket *made = NULL;
    kiln_graph_info graph = KILN_GRAPH_INFO_INIT;
    KILN_CHECK_STRUCT(out, kiln_session_info);
    KILN_TRY(kiln__session_bucket(session, batch, &size, &made));
    KILN_TRY(kiln_graph_get_info(made->graph, &graph));
    kiln_session_info info = {.struct_size = out->struct_size,
                              .bucket = size,
                              .n_steps = graph.n_nodes,
                              .activation_bytes = made->layout.input_bytes + made->layout.arena.bytes,
                              .activation_unshared_bytes = made->layout.input_bytes + made->layout.arena.unshared_bytes,
                              .is_native_graph = graph.is_native};
    pthread_mutex_lock(&session->net->lock);
    info.weight_bytes = session->share->bytes;
    pthread_mutex_unlock(&session->net->lock);
    memcpy(out, &info, out->struct_size);
    return KILN_OK;
}

const kiln_plan *kiln_session_plan(kiln_session *session, int32_t batch, size_t index) {
    int32_t size = 0;
    kiln_made_bucket *made = NULL;
    if (kiln__session_bucket(session, batch, &size, &made) != KILN_OK)
        return NULL;
    for (size_t i = 0; i < session->net->n_ops; i++)
        if (made->plans[i] && index-- == 0)
            return made->plans[i];
    return NULL;
}

const char *kiln_session_why(kiln_session *session, int32_t batch) {
    int32_t size = 0;
    kiln_made_bucket *made = NULL;
    return kiln__session_bucket(session, batch, &size, &made) == KILN_OK ? kiln__strbuf_text(&made->why) : NULL;
}

kiln_status kiln_net_problems(kiln_net *net, int32_t batch, int32_t board_h, int32_t board_w, kiln_type type,
                              kiln_problem_visit visit, void *user) {
    if (!net || !visit)
        return kiln_fail(KILN_E_INVALID, "kiln_net_problems: net or visit is NULL");
    KILN_TRY(check_type("kiln_net_problems", type));
    const int64_t board = net->default_board;
    kiln_layout layout;
    KILN_TRY(kiln__layout_open(net, batch, board_h ? board_h : board, board_w ? board_w : board, &layout));
    layout.type = type;
    kiln_status status = KILN_OK;
    kiln_problem *problems = kiln__alloc(net->context, net->n_ops * sizeof *problems);
    size_t *counts = kiln__alloc(net->context, net->n_ops * sizeof *counts), n = 0;
    if (!problems || !counts)
        status = KILN_E_MEMORY;
    for (size_t i = 0; i < net->n_ops && status == KILN_OK; i++) {
        if (net->ops[i].kind == KILN_NET_CHANNEL)
            continue;
        status = kiln__layout_problem(&layout, i, &problems[n]);
        size_t same = 0;
        while (status == KILN_OK && same < n && !kiln__problem_equal(&problems[same], &problems[n]))
            same++;
        if (status == KILN_OK && counts[same]++ == 0)
            n++;
    }
    for (size_t i = 0; i < n && status == KILN_OK; i++)
        status = visit(user, &problems[i], counts[i]);
    kiln__free(net->context, problems);
    kiln__free(net->context, counts);
    kiln__layout_free(&layout);
    return status;
}
