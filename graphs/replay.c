/* Launching a graph: one call of the driver's own graph, a team, or all nodes in one batched enqueue. */
#include "team.h"

/* Without a team a graph runs as well, only slower. */
static void make_team(kiln_graph *graph) {
    const kiln_device *d = graph->queue->device;
    if (d->context->no_team)
        return;
    const kiln_status status = kiln__team_build(graph, &graph->team);
    if (status != KILN_OK)
        kiln__log(d->context, status == KILN_E_UNSUPPORTED ? KILN_LOG_DEBUG : KILN_LOG_WARN,
                  "graph: %zu steps are enqueued one by one: %s", graph->n_nodes, kiln_last_error());
}

kiln_status kiln__graph_capture(kiln_graph *graph) {
    kiln_device *d = graph->queue->device;
    graph->native = NULL;
    if (graph->n_nodes == 0)
        return KILN_OK;
    if (!d->backend->graph_build) {
        make_team(graph);
        return KILN_OK;
    }
    const kiln_status status =
        d->backend->graph_build(d, graph->queue->handle, graph->nodes, graph->n_nodes, &graph->native);
    if (status == KILN_E_UNSUPPORTED) { /* this device has none: the host replays */
        graph->native = NULL;
        return KILN_OK;
    }
    return status;
}

kiln_status kiln_graph_launch(kiln_graph *graph) {
    if (!graph || !graph->ended)
        return kiln_fail(KILN_E_INVALID, "kiln_graph_launch: %s", graph ? "the graph has not ended" : "graph is NULL");
    kiln_device *d = graph->queue->device;
    graph->n_launches++;
    if (graph->native)
        return d->backend->graph_launch(d, graph->queue->handle, graph->native);
    if (graph->team)
        return kiln__team_launch(graph->team);
    for (size_t i = 0; i < graph->n_nodes; i++)
        KILN_TRY(d->backend->enqueue(d, graph->queue->handle, graph->nodes[i]));
    return kiln__queue_flush(graph->queue);
}
