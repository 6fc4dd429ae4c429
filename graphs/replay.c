/* Launching a graph: one call of the driver's own graph, or all nodes in one batched enqueue. */
#include "graph.h"

kiln_status kiln__graph_capture(kiln_graph *graph) {
    kiln_device *d = graph->queue->device;
    graph->native = NULL;
    if (!d->backend->graph_build || graph->n_nodes == 0)
        return KILN_OK;
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
    for (size_t i = 0; i < graph->n_nodes; i++)
        KILN_TRY(d->backend->enqueue(d, graph->queue->handle, graph->nodes[i]));
    return kiln__queue_flush(graph->queue);
}
