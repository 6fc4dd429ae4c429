/* Executable graphs: a clone of the graph with its order, patched by the handles of the graph's own nodes. */
#include "driver.h"
#include <stdlib.h>

static CUresult exec_of(CUgraphExec handle, driver_exec **out) {
    *out = driver_object_find(handle, DRIVER_EXEC);
    return *out ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult sim_cuGraphInstantiateWithFlags(CUgraphExec *handle, CUgraph graph_handle, unsigned long long flags) {
    const driver_graph *graph = driver_object_find(graph_handle, DRIVER_GRAPH);
    if (!graph || !handle || flags > 15)
        return CUDA_ERROR_INVALID_VALUE;
    if (flags & 4) /* launched by kernels */
        return CUDA_ERROR_NOT_SUPPORTED;
    driver_exec *exec = calloc(1, sizeof *exec);
    driver_graph *clone = driver_graph_clone(graph);
    const bool sorted = clone && driver_graph_sort(clone);
    if (!exec || !sorted || !driver_object_add(&exec->object, DRIVER_EXEC, NULL)) {
        if (clone)
            driver_graph_release(clone);
        free(exec);
        return clone && !sorted ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_OUT_OF_MEMORY;
    }
    exec->graph = clone;
    *handle = driver_object_handle(&exec->object);
    return CUDA_SUCCESS;
}

/* What was launched keeps its work. */
CUresult sim_cuGraphExecDestroy(CUgraphExec handle) {
    driver_exec *exec;
    const CUresult result = exec_of(handle, &exec);
    if (result != CUDA_SUCCESS)
        return result;
    driver_graph_release(exec->graph);
    driver_object_remove(&exec->object);
    free(exec);
    return CUDA_SUCCESS;
}

/* ---- patching ---- */

/* The clone of a node of the graph, or of one of its child graphs. */
static driver_node *find_clone(const driver_graph *graph, CUgraphNode source) {
    for (size_t i = 0; i < graph->n_nodes; i++) {
        driver_node *node = graph->nodes[i];
        driver_node *inner = node->child ? find_clone(node->child, source) : NULL;
        if (node->source == source || inner)
            return inner ? inner : node;
    }
    return NULL;
}

/* The node must still exist in the graph: its handle means nothing otherwise. */
static CUresult exec_node(CUgraphExec exec_handle, CUgraphNode handle, driver_work_kind kind, driver_node **out) {
    driver_exec *exec;
    const CUresult result = exec_of(exec_handle, &exec);
    if (result != CUDA_SUCCESS || !driver_object_find(handle, DRIVER_NODE))
        return CUDA_ERROR_INVALID_VALUE;
    *out = find_clone(exec->graph, handle);
    return *out && (*out)->work && (*out)->work->kind == kind ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static bool one_row(const driver_work *work) {
    if (work->kind == DRIVER_WORK_COPY)
        return work->copy.height <= 1 && work->copy.depth <= 1;
    return work->kind != DRIVER_WORK_FILL || work->fill.height <= 1;
}

/* What a patch may not change: the context, which devices take part, and copies or fills of more than one row. */
static bool may_replace(const driver_work *before, const driver_work *now) {
    if (before->kind != now->kind || before->context != now->context || !one_row(before) || !one_row(now))
        return false;
    if (before->kind == DRIVER_WORK_COPY)
        return before->copy.to.device == now->copy.to.device && before->copy.from.device == now->copy.from.device;
    return before->kind != DRIVER_WORK_FILL || before->fill.device == now->fill.device;
}

/* Takes over `work`. */
static CUresult replace(driver_node *node, driver_work *work) {
    if (!may_replace(node->work, work)) {
        driver_work_unref(work);
        return CUDA_ERROR_INVALID_VALUE;
    }
    driver_work_unref(node->work);
    node->work = work;
    return CUDA_SUCCESS;
}

CUresult sim_cuGraphExecKernelNodeSetParams_v2(CUgraphExec exec, CUgraphNode handle,
                                               const CUDA_KERNEL_NODE_PARAMS *params) {
    driver_node *node;
    driver_work *work;
    CUresult result = exec_node(exec, handle, DRIVER_WORK_KERNEL, &node);
    if (result == CUDA_SUCCESS)
        result = driver_work_of_kernel(params, node->work->launch.cooperative, &work);
    return result == CUDA_SUCCESS ? replace(node, work) : result;
}

CUresult sim_cuGraphExecMemcpyNodeSetParams(CUgraphExec exec, CUgraphNode handle, const CUDA_MEMCPY3D *copy,
                                            CUcontext context) {
    driver_node *node;
    driver_work *work;
    CUresult result = exec_node(exec, handle, DRIVER_WORK_COPY, &node);
    if (result == CUDA_SUCCESS)
        result = driver_work_of_copy(copy, context, &work);
    return result == CUDA_SUCCESS ? replace(node, work) : result;
}

CUresult sim_cuGraphExecMemsetNodeSetParams(CUgraphExec exec, CUgraphNode handle, const CUDA_MEMSET_NODE_PARAMS *params,
                                            CUcontext context) {
    driver_node *node;
    driver_work *work;
    CUresult result = exec_node(exec, handle, DRIVER_WORK_FILL, &node);
    if (result == CUDA_SUCCESS)
        result = driver_work_of_fill(params, context, &work);
    return result == CUDA_SUCCESS ? replace(node, work) : result;
}

static bool node_alike(const driver_node *a, const driver_node *b, CUgraphExecUpdateResult *why) {
    *why = CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
    if (a->n_after != b->n_after)
        return false;
    for (size_t i = 0; i < a->n_after; i++)
        if (a->after[i]->position != b->after[i]->position)
            return false;
    *why = CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED;
    if ((!a->child) != (!b->child) || (!a->work) != (!b->work) || (a->work && a->work->kind != b->work->kind))
        return false;
    *why = CU_GRAPH_EXEC_UPDATE_ERROR;
    return !a->work || may_replace(a->work, b->work);
}

static bool graphs_alike(const driver_graph *a, const driver_graph *b, CUgraphExecUpdateResultInfo *info) {
    info->result = CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
    if (a->n_nodes != b->n_nodes)
        return false;
    for (size_t i = 0; i < a->n_nodes; i++) {
        if (!node_alike(a->nodes[i], b->nodes[i], &info->result)) {
            info->errorNode = driver_object_handle(&b->nodes[i]->object);
            return false;
        }
        if (a->nodes[i]->child && !graphs_alike(a->nodes[i]->child, b->nodes[i]->child, info))
            return false;
    }
    info->result = CU_GRAPH_EXEC_UPDATE_SUCCESS;
    return true;
}

static void take_over(driver_graph *to, const driver_graph *from) {
    for (size_t i = 0; i < to->n_nodes; i++) {
        driver_node *node = to->nodes[i];
        if (node->child)
            take_over(node->child, from->nodes[i]->child);
        if (!node->work)
            continue;
        driver_work_ref(from->nodes[i]->work);
        driver_work_unref(node->work);
        node->work = from->nodes[i]->work;
    }
}

CUresult sim_cuGraphExecUpdate_v2(CUgraphExec exec_handle, CUgraph graph_handle, CUgraphExecUpdateResultInfo *result) {
    driver_exec *exec;
    const driver_graph *graph = driver_object_find(graph_handle, DRIVER_GRAPH);
    if (exec_of(exec_handle, &exec) != CUDA_SUCCESS || !graph || !result)
        return CUDA_ERROR_INVALID_VALUE;
    *result = (CUgraphExecUpdateResultInfo){0};
    if (!graphs_alike(exec->graph, graph, result))
        return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
    take_over(exec->graph, graph);
    return CUDA_SUCCESS;
}

CUresult sim_cuGraphExecChildGraphNodeSetParams(CUgraphExec exec_handle, CUgraphNode handle, CUgraph child_handle) {
    driver_exec *exec;
    const driver_graph *child = driver_object_find(child_handle, DRIVER_GRAPH);
    if (exec_of(exec_handle, &exec) != CUDA_SUCCESS || !child || !driver_object_find(handle, DRIVER_NODE))
        return CUDA_ERROR_INVALID_VALUE;
    const driver_node *node = find_clone(exec->graph, handle);
    CUgraphExecUpdateResultInfo info = {0};
    if (!node || !node->child || !graphs_alike(node->child, child, &info))
        return CUDA_ERROR_INVALID_VALUE;
    take_over(node->child, child);
    return CUDA_SUCCESS;
}

/* ---- launching ---- */

static size_t count(const driver_graph *graph) {
    size_t n = graph->n_nodes;
    for (size_t i = 0; i < graph->n_nodes; i++)
        n += graph->nodes[i]->child ? count(graph->nodes[i]->child) : 0;
    return n;
}

/* In the order of running, with references of their own. */
static size_t flatten(const driver_graph *graph, driver_work **works, size_t n) {
    for (size_t i = 0; i < graph->n_nodes; i++) {
        const driver_node *node = graph->nodes[graph->order[i]];
        if (node->child)
            n = flatten(node->child, works, n);
        else if (node->work)
            works[n++] = driver_work_ref(node->work);
    }
    return n;
}

static CUresult work_usable(const driver_work *work) {
    driver_function *function;
    if (work->kind == DRIVER_WORK_KERNEL)
        return driver_function_of(work->launch.function, &function);
    return CUDA_SUCCESS;
}

CUresult sim_cuGraphUpload(CUgraphExec handle, CUstream stream_handle) {
    driver_exec *exec;
    driver_stream *stream;
    const CUresult result = exec_of(handle, &exec);
    return result != CUDA_SUCCESS ? result : driver_stream_of(stream_handle, &stream);
}

CUresult sim_cuGraphLaunch(CUgraphExec handle, CUstream stream_handle) {
    driver_exec *exec;
    driver_stream *stream;
    CUresult result = driver_stream_of(stream_handle, &stream);
    if (result == CUDA_SUCCESS)
        result = exec_of(handle, &exec);
    if (result == CUDA_SUCCESS)
        result = driver_capture_usable(stream);
    if (result != CUDA_SUCCESS)
        return result;
    if (stream->capture) {
        driver_graph *clone = driver_graph_clone(exec->graph);
        return clone ? driver_capture_add(stream, NULL, clone) : CUDA_ERROR_OUT_OF_MEMORY;
    }
    driver_work **works = calloc(count(exec->graph) + 1, sizeof(driver_work *));
    if (!works)
        return CUDA_ERROR_OUT_OF_MEMORY;
    const size_t n = flatten(exec->graph, works, 0);
    for (size_t i = 0; i < n && result == CUDA_SUCCESS; i++)
        result = work_usable(works[i]);
    if (result == CUDA_SUCCESS)
        return driver_enqueue_command(stream, works, n, NULL, NULL);
    for (size_t i = 0; i < n; i++)
        driver_work_unref(works[i]);
    free(works);
    return result;
}
