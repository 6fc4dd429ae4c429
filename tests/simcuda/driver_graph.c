/* Graphs: nodes and what they come after. */
#include "driver.h"
#include <stdlib.h>
#include <string.h>

/* ---- building ---- */

driver_graph *driver_graph_new(bool hidden) {
    driver_graph *graph = calloc(1, sizeof *graph);
    if (!graph || !driver_object_add(&graph->object, DRIVER_GRAPH, NULL)) {
        free(graph);
        return NULL;
    }
    graph->object.hidden = hidden;
    return graph;
}

static void node_free(driver_node *node) {
    if (node->child)
        driver_graph_release(node->child);
    driver_work_unref(node->work);
    free(node->after);
    driver_object_remove(&node->object);
    free(node);
}

void driver_graph_release(driver_graph *graph) {
    for (size_t i = 0; i < graph->n_nodes; i++)
        node_free(graph->nodes[i]);
    free(graph->nodes);
    free(graph->order);
    driver_object_remove(&graph->object);
    free(graph);
}

static bool node_comes_after(const driver_node *node, const driver_node *other) {
    for (size_t i = 0; i < node->n_after; i++)
        if (node->after[i] == other)
            return true;
    return false;
}

static CUresult node_set_after(driver_node *node, const CUgraphNode *after, size_t n) {
    if (n > 0 && !after)
        return CUDA_ERROR_INVALID_VALUE;
    node->after = calloc(n + 1, sizeof(driver_node *));
    if (!node->after)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; i < n; i++) {
        driver_node *other = driver_object_find(after[i], DRIVER_NODE);
        if (!other || other->graph != node->graph || node_comes_after(node, other))
            return CUDA_ERROR_INVALID_VALUE;
        node->after[node->n_after++] = other;
    }
    return CUDA_SUCCESS;
}

static driver_node *node_new(driver_graph *graph) {
    driver_node **more = realloc(graph->nodes, (graph->n_nodes + 1) * sizeof(driver_node *));
    if (!more)
        return NULL;
    graph->nodes = more;
    driver_node *node = calloc(1, sizeof *node);
    if (!node || !driver_object_add(&node->object, DRIVER_NODE, NULL)) {
        free(node);
        return NULL;
    }
    node->graph = graph;
    return node;
}

CUresult driver_graph_add(driver_graph *graph, const CUgraphNode *after, size_t n_after, driver_work *work,
                          driver_graph *child, driver_node **out) {
    driver_node *node = node_new(graph);
    if (!node) {
        driver_work_unref(work);
        if (child)
            driver_graph_release(child);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    node->work = work;
    node->child = child;
    if (child)
        child->parent = node;
    const CUresult result = node_set_after(node, after, n_after);
    if (result != CUDA_SUCCESS) {
        node_free(node);
        return result;
    }
    node->position = graph->n_nodes;
    graph->nodes[graph->n_nodes++] = node;
    *out = node;
    return CUDA_SUCCESS;
}

driver_graph *driver_graph_clone(const driver_graph *graph) {
    driver_graph *clone = driver_graph_new(true);
    CUgraphNode *after = calloc(graph->n_nodes + 1, sizeof *after);
    bool ok = clone && after;
    /* A node may come after a younger one: first all nodes, then what they come after. */
    for (size_t i = 0; ok && i < graph->n_nodes; i++) {
        const driver_node *from = graph->nodes[i];
        driver_graph *child = from->child ? driver_graph_clone(from->child) : NULL;
        driver_work *work = from->work ? driver_work_ref(from->work) : NULL;
        driver_node *node;
        ok = (child || !from->child) && driver_graph_add(clone, NULL, 0, work, child, &node) == CUDA_SUCCESS;
        if (ok)
            node->source = driver_object_handle(&from->object);
    }
    for (size_t i = 0; ok && i < graph->n_nodes; i++) {
        const driver_node *from = graph->nodes[i];
        for (size_t k = 0; k < from->n_after; k++)
            after[k] = driver_object_handle(&clone->nodes[from->after[k]->position]->object);
        free(clone->nodes[i]->after);
        ok = node_set_after(clone->nodes[i], after, from->n_after) == CUDA_SUCCESS;
    }
    free(after);
    if (!ok && clone)
        driver_graph_release(clone);
    return ok ? clone : NULL;
}

/* The youngest of the nodes that may run comes first: an edge that is missing shows, where the order of making would
 * hide it. */
bool driver_graph_sort(driver_graph *graph) {
    free(graph->order);
    graph->order = calloc(graph->n_nodes + 1, sizeof *graph->order);
    if (!graph->order)
        return false;
    for (size_t i = 0; i < graph->n_nodes; i++) {
        driver_node *node = graph->nodes[i];
        node->waiting = node->n_after;
        if (node->child && !driver_graph_sort(node->child))
            return false;
    }
    for (size_t done = 0; done < graph->n_nodes; done++) {
        size_t next = graph->n_nodes;
        while (next > 0 && graph->nodes[next - 1]->waiting != 0)
            next--;
        if (next == 0)
            return false; /* a cycle */
        driver_node *node = graph->nodes[next - 1];
        graph->order[done] = next - 1;
        node->waiting = SIZE_MAX;
        for (size_t i = 0; i < graph->n_nodes; i++)
            if (node_comes_after(graph->nodes[i], node))
                graph->nodes[i]->waiting--;
    }
    return true;
}

static void mark(driver_node *node) {
    if (node->waiting)
        return;
    node->waiting = 1;
    for (size_t i = 0; i < node->n_after; i++)
        mark(node->after[i]);
}

void driver_graph_mark(driver_graph *graph, const CUgraphNode *nodes, size_t n) {
    for (size_t i = 0; i < graph->n_nodes; i++)
        graph->nodes[i]->waiting = 0;
    for (size_t i = 0; i < n; i++) {
        driver_node *node = driver_object_find(nodes[i], DRIVER_NODE);
        if (node)
            mark(node);
    }
}

/* ---- work of nodes ---- */

CUresult driver_work_of_kernel(const CUDA_KERNEL_NODE_PARAMS *p, bool cooperative, driver_work **out) {
    if (!p || !p->func)
        return CUDA_ERROR_INVALID_VALUE;
    const driver_launch launch = {.function = p->func,
                                  .grid = {p->gridDimX, p->gridDimY, p->gridDimZ},
                                  .block = {p->blockDimX, p->blockDimY, p->blockDimZ},
                                  .shared_bytes = p->sharedMemBytes,
                                  .cooperative = cooperative};
    return driver_launch_make(&launch, p->kernelParams, p->extra, out);
}

static CUresult work_in(CUcontext handle, driver_work_kind kind, driver_work **out) {
    driver_context *context = driver_object_find(handle, DRIVER_CONTEXT);
    const CUresult result = driver_check_context(context);
    if (result != CUDA_SUCCESS)
        return result;
    *out = driver_work_new(kind, context);
    return *out ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult driver_work_of_copy(const CUDA_MEMCPY3D *params, CUcontext context, driver_work **out) {
    if (!params)
        return CUDA_ERROR_INVALID_VALUE;
    driver_copy copy;
    CUresult result = driver_copy_from_3d(params, &copy);
    if (result == CUDA_SUCCESS)
        result = work_in(context, DRIVER_WORK_COPY, out);
    if (result == CUDA_SUCCESS)
        (*out)->copy = copy;
    return result;
}

CUresult driver_work_of_fill(const CUDA_MEMSET_NODE_PARAMS *p, CUcontext context, driver_work **out) {
    if (!p)
        return CUDA_ERROR_INVALID_VALUE;
    const driver_device *owner = driver_device_at(p->dst);
    const driver_fill fill = {.device = owner ? owner->sim : NULL,
                              .address = p->dst,
                              .pitch = p->pitch,
                              .width = p->width,
                              .height = p->height,
                              .value = p->value,
                              .element_bytes = p->elementSize};
    CUresult result = driver_fill_check(&fill);
    if (result == CUDA_SUCCESS)
        result = work_in(context, DRIVER_WORK_FILL, out);
    if (result == CUDA_SUCCESS)
        (*out)->fill = fill;
    return result;
}

/* ---- entry points: graphs ---- */

static CUresult graph_of(CUgraph handle, driver_graph **out) {
    *out = driver_object_find(handle, DRIVER_GRAPH);
    return *out ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult node_of(CUgraphNode handle, driver_node **out) {
    *out = driver_object_find(handle, DRIVER_NODE);
    return *out ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult sim_cuGraphCreate(CUgraph *handle, unsigned flags) {
    if (!handle || flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    driver_graph *graph = driver_graph_new(false);
    if (!graph)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *handle = driver_object_handle(&graph->object);
    return CUDA_SUCCESS;
}

/* A graph that is being captured, or belongs to a node, is not the caller's to destroy. */
CUresult sim_cuGraphDestroy(CUgraph handle) {
    driver_graph *graph;
    const CUresult result = graph_of(handle, &graph);
    if (result != CUDA_SUCCESS || graph->object.hidden)
        return CUDA_ERROR_INVALID_VALUE;
    driver_graph_release(graph);
    return CUDA_SUCCESS;
}

CUresult sim_cuGraphClone(CUgraph *handle, CUgraph original) {
    driver_graph *graph;
    const CUresult result = graph_of(original, &graph);
    if (result != CUDA_SUCCESS || !handle)
        return CUDA_ERROR_INVALID_VALUE;
    driver_graph *clone = driver_graph_clone(graph);
    if (!clone)
        return CUDA_ERROR_OUT_OF_MEMORY;
    clone->object.hidden = false;
    *handle = driver_object_handle(&clone->object);
    return CUDA_SUCCESS;
}

CUresult sim_cuGraphNodeFindInClone(CUgraphNode *handle, CUgraphNode original, CUgraph clone_handle) {
    driver_graph *clone;
    const CUresult result = graph_of(clone_handle, &clone);
    if (result != CUDA_SUCCESS || !handle)
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < clone->n_nodes; i++) {
        if (clone->nodes[i]->source != original)
            continue;
        *handle = driver_object_handle(&clone->nodes[i]->object);
        return CUDA_SUCCESS;
    }
    return CUDA_ERROR_INVALID_VALUE;
}

/* ---- entry points: adding nodes ---- */

/* Takes over `work` and `child`. */
static CUresult add(CUgraphNode *handle, CUgraph graph_handle, const CUgraphNode *after, size_t n, driver_work *work,
                    driver_graph *child) {
    driver_graph *graph;
    driver_node *node;
    CUresult result = graph_of(graph_handle, &graph);
    if (result == CUDA_SUCCESS && handle) {
        result = driver_graph_add(graph, after, n, work, child, &node);
        if (result == CUDA_SUCCESS)
            *handle = driver_object_handle(&node->object);
        return result;
    }
    driver_work_unref(work);
    if (child)
        driver_graph_release(child);
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult sim_cuGraphAddKernelNode_v2(CUgraphNode *node, CUgraph graph, const CUgraphNode *after, size_t n,
                                     const CUDA_KERNEL_NODE_PARAMS *params) {
    driver_work *work;
    const CUresult result = driver_work_of_kernel(params, false, &work);
    return result != CUDA_SUCCESS ? result : add(node, graph, after, n, work, NULL);
}

CUresult sim_cuGraphAddMemcpyNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after, size_t n,
                                  const CUDA_MEMCPY3D *copy, CUcontext context) {
    driver_work *work;
    const CUresult result = driver_work_of_copy(copy, context, &work);
    return result != CUDA_SUCCESS ? result : add(node, graph, after, n, work, NULL);
}

CUresult sim_cuGraphAddMemsetNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after, size_t n,
                                  const CUDA_MEMSET_NODE_PARAMS *params, CUcontext context) {
    driver_work *work;
    const CUresult result = driver_work_of_fill(params, context, &work);
    return result != CUDA_SUCCESS ? result : add(node, graph, after, n, work, NULL);
}

CUresult sim_cuGraphAddHostNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after, size_t n,
                                const CUDA_HOST_NODE_PARAMS *params) {
    if (!params || !params->fn || !driver_current())
        return CUDA_ERROR_INVALID_VALUE;
    driver_work *work = driver_work_new(DRIVER_WORK_HOST, driver_current());
    if (!work)
        return CUDA_ERROR_OUT_OF_MEMORY;
    work->host.function = params->fn;
    work->host.user = params->userData;
    return add(node, graph, after, n, work, NULL);
}

CUresult sim_cuGraphAddEmptyNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after, size_t n) {
    return add(node, graph, after, n, NULL, NULL);
}

CUresult sim_cuGraphAddChildGraphNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *after, size_t n,
                                      CUgraph child_handle) {
    driver_graph *child;
    const CUresult result = graph_of(child_handle, &child);
    if (result != CUDA_SUCCESS || child_handle == graph)
        return CUDA_ERROR_INVALID_VALUE;
    driver_graph *clone = driver_graph_clone(child);
    return clone ? add(node, graph, after, n, NULL, clone) : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult sim_cuGraphChildGraphNodeGetGraph(CUgraphNode handle, CUgraph *graph) {
    driver_node *node;
    const CUresult result = node_of(handle, &node);
    if (result != CUDA_SUCCESS || !node->child || !graph)
        return CUDA_ERROR_INVALID_VALUE;
    *graph = driver_object_handle(&node->child->object);
    return CUDA_SUCCESS;
}

CUresult sim_cuGraphAddDependencies(CUgraph handle, const CUgraphNode *from, const CUgraphNode *to, size_t n) {
    driver_graph *graph;
    if (graph_of(handle, &graph) != CUDA_SUCCESS || (n > 0 && (!from || !to)))
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < n; i++) {
        driver_node *first = driver_object_find(from[i], DRIVER_NODE), *second = driver_object_find(to[i], DRIVER_NODE);
        if (!first || !second || first == second || first->graph != graph || second->graph != graph ||
            node_comes_after(second, first))
            return CUDA_ERROR_INVALID_VALUE;
        driver_node **more = realloc(second->after, (second->n_after + 2) * sizeof(driver_node *));
        if (!more)
            return CUDA_ERROR_OUT_OF_MEMORY;
        second->after = more;
        second->after[second->n_after++] = first;
    }
    return CUDA_SUCCESS;
}

CUresult sim_cuGraphDestroyNode(CUgraphNode handle) {
    driver_node *node;
    const CUresult result = node_of(handle, &node);
    if (result != CUDA_SUCCESS)
        return result;
    driver_graph *graph = node->graph;
    for (size_t i = node->position; i + 1 < graph->n_nodes; i++) {
        graph->nodes[i] = graph->nodes[i + 1];
        graph->nodes[i]->position = i;
    }
    graph->n_nodes--;
    for (size_t i = 0; i < graph->n_nodes; i++) {
        driver_node *other = graph->nodes[i];
        size_t kept = 0;
        for (size_t k = 0; k < other->n_after; k++)
            if (other->after[k] != node)
                other->after[kept++] = other->after[k];
        other->n_after = kept;
    }
    node_free(node);
    return CUDA_SUCCESS;
}
