#include "team.h"
#include <string.h>

kiln_status kiln_graph_create(kiln_queue *queue, kiln_graph **out) {
    if (!queue || !out)
        return kiln_fail(KILN_E_INVALID, "kiln_graph_create: NULL argument");
    kiln_context *context = queue->device->context;
    *out = kiln__alloc(context, sizeof **out);
    if (!*out)
        return KILN_E_MEMORY;
    (*out)->queue = queue;
    atomic_fetch_add(&context->live_objects, 1);
    return KILN_OK;
}

static void release_native(kiln_graph *g) {
    if (g->native)
        g->queue->device->backend->graph_destroy(g->queue->device, g->native);
    g->native = NULL;
    kiln__team_destroy(g->team);
    g->team = NULL;
}

void kiln_graph_destroy(kiln_graph *graph) {
    if (!graph)
        return;
    kiln_context *context = graph->queue->device->context;
    if (graph->n_launches)
        (void)kiln_queue_finish(graph->queue); /* a lost device must not keep memory from being freed */
    release_native(graph);
    for (size_t i = 0; i < graph->n_captures; i++)
        kiln__free(context, graph->captures[i]);
    kiln__free(context, graph->captures);
    kiln__free(context, graph->nodes);
    kiln__free(context, graph);
    atomic_fetch_sub(&context->live_objects, 1);
}

/* ---- recording ---- */

static kiln_status add_capture(kiln_graph *g, kiln_capture **out) {
    kiln_context *context = g->queue->device->context;
    if (g->ended)
        return kiln_fail(KILN_E_INVALID, "kiln_graph: nothing can be added after kiln_graph_end");
    if (g->n_captures == g->cap_captures) {
        const size_t capacity = g->cap_captures ? 2 * g->cap_captures : 32;
        kiln_capture **grown = kiln__realloc(context, g->captures, capacity * sizeof *grown);
        if (!grown)
            return KILN_E_MEMORY;
        g->captures = grown;
        g->cap_captures = capacity;
    }
    *out = kiln__alloc(context, sizeof **out);
    if (!*out)
        return KILN_E_MEMORY;
    (*out)->first_node = g->n_nodes;
    g->captures[g->n_captures++] = *out;
    return KILN_OK;
}

kiln_status kiln_graph_add(kiln_graph *graph, kiln_binding *binding) {
    if (!graph || !binding)
        return kiln_fail(KILN_E_INVALID, "kiln_graph_add: NULL argument");
    if (binding->queue != graph->queue)
        return kiln_fail(KILN_E_INVALID, "kiln_graph_add: %s is bound to another queue than the graph's",
                         binding->plan->key);
    kiln_capture *capture = NULL;
    KILN_TRY(add_capture(graph, &capture));
    capture->binding = binding;
    graph->n_nodes += binding->plan->lowering.n_run;
    return KILN_OK;
}

/* Whether `rows` runs fit a buffer from an offset. */
static bool rows_fit(kiln_view v, size_t pitch, size_t row_bytes, size_t rows) {
    size_t last, end;
    return !__builtin_mul_overflow(pitch, rows - 1, &last) && !__builtin_add_overflow(last, row_bytes, &end) &&
           !__builtin_add_overflow(end, v.offset_bytes, &end) && end <= kiln_buffer_bytes(v.buffer);
}

kiln_status kiln_graph_add_copy(kiln_graph *graph, kiln_view destination, size_t destination_pitch_bytes,
                                kiln_view source, size_t source_pitch_bytes, size_t row_bytes, size_t rows) {
    if (!graph || !destination.buffer || !source.buffer)
        return kiln_fail(KILN_E_INVALID, "kiln_graph_add_copy: NULL argument");
    if (destination.buffer->device != graph->queue->device || source.buffer->device != graph->queue->device)
        return kiln_fail(KILN_E_INVALID, "kiln_graph_add_copy: a buffer is of another device than the graph's");
    if (!row_bytes || !rows || destination_pitch_bytes < row_bytes || source_pitch_bytes < row_bytes)
        return kiln_fail(KILN_E_INVALID, "kiln_graph_add_copy: %zu rows of %zu bytes, pitches %zu and %zu", rows,
                         row_bytes, destination_pitch_bytes, source_pitch_bytes);
    if (!rows_fit(destination, destination_pitch_bytes, row_bytes, rows) ||
        !rows_fit(source, source_pitch_bytes, row_bytes, rows))
        return kiln_fail(KILN_E_INVALID, "kiln_graph_add_copy: %zu rows of %zu bytes leave a buffer", rows, row_bytes);
    kiln_capture *capture = NULL;
    KILN_TRY(add_capture(graph, &capture));
    kiln_node *node = &capture->copy;
    node->kind = KILN_STEP_COPY;
    node->label = "copy";
    node->copy.destination = (kiln_place){destination.buffer->memory, destination.offset_bytes};
    node->copy.source = (kiln_place){source.buffer->memory, source.offset_bytes};
    node->copy.destination_pitch_bytes = destination_pitch_bytes;
    node->copy.source_pitch_bytes = source_pitch_bytes;
    node->copy.row_bytes = row_bytes;
    node->copy.rows = rows;
    graph->n_nodes++;
    return KILN_OK;
}

kiln_status kiln_graph_end(kiln_graph *graph) {
    if (!graph || graph->ended)
        return kiln_fail(KILN_E_INVALID, "kiln_graph_end: %s", graph ? "the graph has ended already" : "graph is NULL");
    graph->nodes = kiln__alloc(graph->queue->device->context, (graph->n_nodes + 1) * sizeof *graph->nodes);
    if (!graph->nodes)
        return KILN_E_MEMORY;
    size_t n = 0;
    for (size_t i = 0; i < graph->n_captures; i++) {
        const kiln_capture *c = graph->captures[i];
        if (!c->binding)
            graph->nodes[n++] = &c->copy;
        for (size_t k = 0; c->binding && k < c->binding->plan->lowering.n_run; k++)
            graph->nodes[n++] = &c->binding->run[k];
    }
    graph->ended = true;
    return kiln__graph_capture(graph);
}

/* ---- patching ---- */

typedef struct {
    kiln_graph *graph;
    size_t first_node;
    bool rebuild; /* the backend could not patch in place */
} patcher;

static kiln_status patch_native(void *user, size_t node) {
    patcher *p = user;
    kiln_graph *g = p->graph;
    const size_t index = p->first_node + node;
    if (g->team)
        return kiln__team_patch(g->team, index);
    if (!g->native || p->rebuild)
        return KILN_OK;
    const kiln_backend *b = g->queue->device->backend;
    const kiln_status status =
        b->graph_patch ? b->graph_patch(g->queue->device, g->native, index, g->nodes[index]) : KILN_E_UNSUPPORTED;
    p->rebuild = status == KILN_E_UNSUPPORTED;
    return p->rebuild ? KILN_OK : status;
}

kiln_status kiln_graph_patch(kiln_graph *graph, kiln_binding *binding, size_t operand, kiln_view view) {
    if (!graph || !graph->ended)
        return kiln_fail(KILN_E_INVALID, "kiln_graph_patch: the graph has not ended");
    bool found = false;
    for (size_t i = 0; i < graph->n_captures; i++) {
        if (graph->captures[i]->binding != binding || !binding)
            continue;
        found = true;
        patcher p = {graph, graph->captures[i]->first_node, false};
        KILN_TRY(kiln__binding_patch(binding, operand, view, patch_native, &p));
        if (p.rebuild) {
            release_native(graph);
            KILN_TRY(kiln__graph_capture(graph));
            graph->n_recaptures++;
        }
    }
    if (!found)
        return kiln_fail(KILN_E_INVALID, "kiln_graph_patch: the binding is not part of the graph");
    graph->n_patches++;
    return KILN_OK;
}

kiln_status kiln_graph_get_info(const kiln_graph *graph, kiln_graph_info *out) {
    if (!graph)
        return kiln_fail(KILN_E_INVALID, "kiln_graph_get_info: graph is NULL");
    KILN_CHECK_STRUCT(out, kiln_graph_info);
    const kiln_graph_info all = {.struct_size = out->struct_size,
                                 .n_nodes = graph->n_nodes,
                                 .is_native = graph->native != NULL,
                                 .n_launches = graph->n_launches,
                                 .n_patches = graph->n_patches,
                                 .n_recaptures = graph->n_recaptures,
                                 .n_commands = graph->native ? 1
                                               : graph->team ? kiln__team_commands(graph->team)
                                                             : graph->n_nodes};
    memcpy(out, &all, out->struct_size);
    return KILN_OK;
}
