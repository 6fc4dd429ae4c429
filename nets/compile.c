/* Compiles a net for one batch size: layout -> plans -> packed weights and bindings -> graph. */
#include "family.h"
#include "session.h"
#include "status.h"
#include <string.h>

enum { ALIGN_BYTES = 256 };

/* ---- plans ---- */

static kiln_status plan_create(kiln_session *s, const kiln_problem *problem, size_t *n_forced, kiln_plan **out) {
    kiln_plan_options options = KILN_PLAN_OPTIONS_INIT;
    options.effort = s->effort;
    if (s->variant && kiln__family_variant(kiln__problem_family(problem), s->variant)) {
        options.variant = s->variant;
        const kiln_status status = kiln_plan_create(s->queue->device, problem, &options, out);
        if (status != KILN_E_UNSUPPORTED) {
            *n_forced += status == KILN_OK;
            return status;
        }
        options.variant = NULL;
    }
    return kiln_plan_create(s->queue->device, problem, &options, out);
}

/* Layers of the same problem share a plan. */
static kiln_status make_plans(kiln_session *s, kiln_made_bucket *m) {
    const kiln_net *net = s->net;
    size_t n_forced = 0;
    for (size_t i = 0; i < net->n_ops; i++) {
        kiln_problem problem;
        if (net->ops[i].kind == KILN_NET_CHANNEL)
            continue;
        KILN_TRY(kiln__layout_problem(&m->layout, i, &problem));
        for (size_t k = 0; k < i && !m->plans[i]; k++)
            if (m->plans[k] && kiln__problem_equal(&problem, &m->plans[k]->problem)) {
                m->plans[i] = m->plans[k];
                kiln__plan_retain(m->plans[i]);
            }
        if (m->plans[i])
            continue;
        const kiln_status status = plan_create(s, &problem, &n_forced, &m->plans[i]);
        if (status != KILN_OK)
            return kiln_fail_in(status, "layer \"%s\"", net->ops[i].name);
    }
    if (s->variant && n_forced == 0)
        return kiln_fail(KILN_E_NOT_FOUND, "net \"%s\": no operation has a variant \"%s\" that applies on %s",
                         net->name, s->variant, s->queue->device->name);
    return KILN_OK;
}

/* ---- memory ---- */

/* A larger workspace leaves the smaller one to the buckets that are bound to it. */
static kiln_status need_scratch(kiln_session *s, const kiln_made_bucket *m) {
    size_t bytes = 0;
    for (size_t i = 0; i < s->net->n_ops; i++)
        if (m->plans[i] && m->plans[i]->lowering.workspace_bytes > bytes)
            bytes = m->plans[i]->lowering.workspace_bytes;
    if (bytes == 0 || (s->scratch && kiln_buffer_bytes(s->scratch) >= bytes))
        return KILN_OK;
    kiln_buffer *bigger;
    KILN_TRY(kiln_buffer_create(s->queue->device, bytes, &bigger));
    if (s->scratch)
        s->old_scratch[s->n_old_scratch++] = s->scratch;
    s->scratch = bigger;
    return KILN_OK;
}

/* Zeros: halos must hold them, and padded items must be finite. */
static kiln_status make_arena(kiln_session *s, kiln_made_bucket *m) {
    KILN_TRY(kiln_buffer_create(s->queue->device, m->layout.input_bytes, &m->inputs));
    KILN_TRY(kiln_buffer_fill(s->queue, m->inputs, 0, m->layout.input_bytes, 0));
    KILN_TRY(kiln_buffer_create(s->queue->device, m->layout.arena.bytes, &m->arena));
    return kiln_buffer_fill(s->queue, m->arena, 0, m->layout.arena.bytes, 0);
}

static kiln_status make_staging(const kiln_session *s, kiln_made_bucket *m) {
    size_t bytes = 0;
    for (size_t i = 0; i < s->net->n_inputs; i++)
        bytes += (size_t)m->layout.n * kiln__layout_item_bytes(&m->layout, s->net->inputs[i].tensor);
    for (size_t i = 0; i < s->net->n_outputs; i++)
        bytes += (size_t)m->layout.n * kiln__layout_item_bytes(&m->layout, s->net->outputs[i].tensor);
    m->staging = kiln__alloc(s->net->context, bytes);
    return m->staging ? KILN_OK : KILN_E_MEMORY;
}

/* ---- bindings ---- */

static kiln_status find_view(kiln_session *s, const kiln_made_bucket *m, size_t op, const kiln_operand *operand,
                             kiln_view *out) {
    const kiln_net_operand *o = kiln__net_operand(&s->net->ops[op], operand->name);
    size_t bytes;
    if (!o)
        return kiln_fail(KILN_E_INTERNAL, "layer \"%s\": nothing is known of operand \"%s\"", s->net->ops[op].name,
                         operand->name);
    if (o->is_weight) {
        *out = (kiln_view){s->share->weights[o->index], 0};
        bytes = kiln_buffer_bytes(out->buffer);
    } else {
        *out = kiln__made_view(m, o->index);
        bytes = m->layout.items[o->index].bytes;
    }
    if (operand->bytes != bytes)
        return kiln_fail(KILN_E_INTERNAL, "layer \"%s\": operand \"%s\" takes %zu bytes, what it is has %zu",
                         s->net->ops[op].name, operand->name, operand->bytes, bytes);
    return KILN_OK;
}

static kiln_status bind_op(kiln_session *s, kiln_made_bucket *m, size_t op) {
    kiln_plan *plan = m->plans[op];
    kiln_view views[KILN_MAX_OPERANDS];
    bool prepare = false;
    for (size_t i = 0; i < plan->lowering.n_operands; i++) {
        const kiln_operand *operand = &plan->lowering.operands[i];
        if (operand->role != KILN_ROLE_PACKED) {
            KILN_TRY(find_view(s, m, op, operand, &views[i]));
            continue;
        }
        bool must_prepare;
        KILN_TRY(kiln__net_share_pack(s->net, s->share, op, plan, i, &views[i], &must_prepare));
        prepare |= must_prepare;
    }
    const kiln_view workspace = {plan->lowering.workspace_bytes ? s->scratch : NULL, 0};
    KILN_TRY(kiln_binding_create(plan, s->queue, views, plan->lowering.n_operands, workspace, &m->bindings[op]));
    return prepare ? kiln_binding_prepare(m->bindings[op]) : KILN_OK;
}

static void make_copy(kiln_session *s, kiln_made_bucket *m, size_t op) {
    const kiln_net_op *o = &s->net->ops[op];
    const kiln_view from = kiln__made_view(m, kiln__net_operand(o, "input")->index);
    const kiln_view to = kiln__made_view(m, kiln__net_operand(o, "output")->index);
    const size_t elem_bytes = kiln_type_bytes(s->type);
    kiln_node *node = &m->copies[op];
    node->kind = KILN_STEP_COPY;
    node->label = "copy";
    node->copy.source = (kiln_place){from.buffer->memory, from.offset_bytes + (size_t)o->channel * elem_bytes};
    node->copy.source_pitch_bytes = (size_t)o->ic * elem_bytes;
    node->copy.destination = (kiln_place){to.buffer->memory, to.offset_bytes};
    node->copy.destination_pitch_bytes = elem_bytes;
    node->copy.row_bytes = elem_bytes;
    node->copy.rows = (size_t)(m->layout.n * m->layout.h * m->layout.w);
}

static kiln_status bind_all(kiln_session *s, kiln_made_bucket *m) {
    for (size_t i = 0; i < s->net->n_ops; i++) {
        if (!m->plans[i]) {
            make_copy(s, m, i);
            continue;
        }
        const kiln_status status = bind_op(s, m, i);
        if (status != KILN_OK)
            return kiln_fail_in(status, "layer \"%s\"", s->net->ops[i].name);
    }
    return KILN_OK;
}

/* Packed weights are made by the first session that needs them, and seen by others once they are ready. */
static kiln_status make_bindings(kiln_session *s, kiln_made_bucket *m) {
    pthread_mutex_lock(&s->net->lock);
    kiln_status status = bind_all(s, m);
    const kiln_status finished = kiln_queue_finish(s->queue);
    if (status == KILN_OK)
        status = finished;
    if (status == KILN_OK)
        kiln__net_share_commit(s->share);
    else
        kiln__net_share_abandon(s->share);
    pthread_mutex_unlock(&s->net->lock);
    return status;
}

static kiln_status make_graph(kiln_session *s, kiln_made_bucket *m) {
    KILN_TRY(kiln_graph_create(s->queue, &m->graph));
    for (size_t i = 0; i < s->net->n_ops; i++) {
        if (m->bindings[i]) {
            KILN_TRY(kiln_graph_add(m->graph, m->bindings[i]));
            continue;
        }
        const kiln_node *c = &m->copies[i];
        kiln_view from = kiln__made_view(m, kiln__net_operand(&s->net->ops[i], "input")->index);
        const kiln_view to = kiln__made_view(m, kiln__net_operand(&s->net->ops[i], "output")->index);
        from.offset_bytes = c->copy.source.offset_bytes;
        KILN_TRY(kiln_graph_add_copy(m->graph, to, c->copy.destination_pitch_bytes, from, c->copy.source_pitch_bytes,
                                     c->copy.row_bytes, c->copy.rows));
    }
    return kiln_graph_end(m->graph);
}

/* ---- layout ---- */

/* Records decide where they decide about plans too: what is forced or a reference has the usual halos. */
static kiln_status make_layout(kiln_session *s, kiln_made_bucket *m, int32_t batch) {
    const size_t device_align = kiln__device_caps(s->queue->device)->address_align_bytes;
    const size_t align = device_align > ALIGN_BYTES ? device_align : ALIGN_BYTES;
    const bool by_records = s->halos == KILN_HALOS_FASTEST && !s->variant && s->effort != KILN_PLAN_UNTUNED &&
                            s->net->context->mode != KILN_MODE_REFERENCE;
    kiln_halo_choice choice;
    KILN_TRY(kiln__layout_open(s->net, batch, s->h, s->w, &m->layout));
    m->layout.type = s->type;
    if (by_records)
        KILN_TRY(kiln__halos_choose(&m->layout, kiln__halos_recorded_us, s->queue->device, &choice, &m->why));
    else
        kiln__strbuf_add(&m->why, s->halos == KILN_HALOS_NONE    ? "no halos, as asked for\n"
                                  : s->halos == KILN_HALOS_USUAL ? "the usual halos, as asked for\n"
                                                                 : "the usual halos: records were not to be used\n");
    if (s->halos == KILN_HALOS_NONE)
        kiln__halos_drop(&m->layout);
    return kiln__layout_place(&m->layout, align);
}

/* ---- all of it ---- */

static kiln_status make(kiln_session *s, kiln_made_bucket *m, int32_t batch) {
    const size_t n = s->net->n_ops;
    KILN_TRY(make_layout(s, m, batch));
    m->plans = kiln__alloc(s->net->context, n * sizeof(void *));
    m->bindings = kiln__alloc(s->net->context, n * sizeof(void *));
    m->copies = kiln__alloc(s->net->context, n * sizeof *m->copies);
    if (!m->plans || !m->bindings || !m->copies)
        return KILN_E_MEMORY;
    KILN_TRY(make_plans(s, m));
    KILN_TRY(need_scratch(s, m));
    KILN_TRY(make_arena(s, m));
    KILN_TRY(make_staging(s, m));
    KILN_TRY(make_bindings(s, m));
    return make_graph(s, m);
}

kiln_status kiln__made_create(kiln_session *session, int32_t batch, kiln_made_bucket **out) {
    kiln_made_bucket *m = kiln__alloc(session->net->context, sizeof *m);
    if (!m)
        return KILN_E_MEMORY;
    const kiln_status status = make(session, m, batch);
    if (status != KILN_OK) {
        kiln__made_destroy(session, m);
        return kiln_fail_in(status, "net \"%s\", batch %d, board %lld by %lld", session->net->name, batch,
                            (long long)session->h, (long long)session->w);
    }
    *out = m;
    return KILN_OK;
}

void kiln__made_destroy(kiln_session *session, kiln_made_bucket *made) {
    if (!made)
        return;
    kiln_context *context = session->net->context;
    kiln_graph_destroy(made->graph);
    for (size_t i = 0; i < session->net->n_ops; i++) {
        if (made->bindings)
            kiln_binding_destroy(made->bindings[i]);
        if (made->plans)
            kiln_plan_destroy(made->plans[i]);
    }
    kiln_buffer_destroy(made->inputs);
    kiln_buffer_destroy(made->arena);
    kiln__layout_free(&made->layout);
    kiln__strbuf_free(&made->why);
    kiln__free(context, made->plans);
    kiln__free(context, made->bindings);
    kiln__free(context, made->copies);
    kiln__free(context, made->staging);
    kiln__free(context, made);
}
