/* What can be asked of graphs, and a kernel node's parameters. */
#include "driver.h"

/* A list as the driver gives it: *n is the room there is and becomes what there is; without a list, the number alone.
 */
typedef struct listing {
    CUgraphNode *list;
    size_t room, n;
} listing;

static void say(listing *out, const driver_node *node) {
    if (out->list && out->n < out->room)
        out->list[out->n] = node ? driver_object_handle(&node->object) : NULL;
    out->n++;
}

static CUresult said(const listing *out, size_t *n) {
    if (!out->list || out->n <= out->room) {
        for (size_t i = out->n; out->list && i < out->room; i++)
            out->list[i] = NULL;
        *n = out->n;
        return CUDA_SUCCESS;
    }
    return CUDA_SUCCESS; /* the list is full, *n stays */
}

static CUresult nodes_list(CUgraph handle, CUgraphNode *nodes, size_t *n, bool roots) {
    const driver_graph *graph = driver_object_find(handle, DRIVER_GRAPH);
    if (!graph || !n)
        return CUDA_ERROR_INVALID_VALUE;
    listing out = {nodes, *n, 0};
    for (size_t i = 0; i < graph->n_nodes; i++)
        if (!roots || graph->nodes[i]->n_after == 0)
            say(&out, graph->nodes[i]);
    return said(&out, n);
}

CUresult sim_cuGraphGetNodes(CUgraph graph, CUgraphNode *nodes, size_t *n) {
    return nodes_list(graph, nodes, n, false);
}

CUresult sim_cuGraphGetRootNodes(CUgraph graph, CUgraphNode *nodes, size_t *n) {
    return nodes_list(graph, nodes, n, true);
}

CUresult sim_cuGraphGetEdges(CUgraph handle, CUgraphNode *from, CUgraphNode *to, size_t *n) {
    const driver_graph *graph = driver_object_find(handle, DRIVER_GRAPH);
    if (!graph || !n || (!from) != (!to))
        return CUDA_ERROR_INVALID_VALUE;
    listing sources = {from, *n, 0}, targets = {to, *n, 0};
    for (size_t i = 0; i < graph->n_nodes; i++) {
        for (size_t k = 0; k < graph->nodes[i]->n_after; k++) {
            say(&sources, graph->nodes[i]->after[k]);
            say(&targets, graph->nodes[i]);
        }
    }
    said(&targets, n);
    return said(&sources, n);
}

CUresult sim_cuGraphNodeGetDependencies(CUgraphNode handle, CUgraphNode *after, size_t *n) {
    const driver_node *node = driver_object_find(handle, DRIVER_NODE);
    if (!node || !n)
        return CUDA_ERROR_INVALID_VALUE;
    listing out = {after, *n, 0};
    for (size_t i = 0; i < node->n_after; i++)
        say(&out, node->after[i]);
    return said(&out, n);
}

CUresult sim_cuGraphNodeGetType(CUgraphNode handle, CUgraphNodeType *type) {
    static const CUgraphNodeType types[] = {
        [DRIVER_WORK_NONE] = CU_GRAPH_NODE_TYPE_EMPTY,  [DRIVER_WORK_KERNEL] = CU_GRAPH_NODE_TYPE_KERNEL,
        [DRIVER_WORK_COPY] = CU_GRAPH_NODE_TYPE_MEMCPY, [DRIVER_WORK_FILL] = CU_GRAPH_NODE_TYPE_MEMSET,
        [DRIVER_WORK_HOST] = CU_GRAPH_NODE_TYPE_HOST,
    };
    const driver_node *node = driver_object_find(handle, DRIVER_NODE);
    if (!node || !type)
        return CUDA_ERROR_INVALID_VALUE;
    *type = node->child ? CU_GRAPH_NODE_TYPE_GRAPH : types[node->work ? node->work->kind : DRIVER_WORK_NONE];
    return CUDA_SUCCESS;
}

/* ---- kernel nodes ---- */

static driver_node *kernel_node(CUgraphNode handle) {
    driver_node *node = driver_object_find(handle, DRIVER_NODE);
    return node && node->work && node->work->kind == DRIVER_WORK_KERNEL ? node : NULL;
}

CUresult sim_cuGraphKernelNodeGetParams_v2(CUgraphNode handle, CUDA_KERNEL_NODE_PARAMS *params) {
    const driver_node *node = kernel_node(handle);
    if (!node || !params)
        return CUDA_ERROR_INVALID_VALUE;
    const driver_launch *launch = &node->work->launch;
    *params = (CUDA_KERNEL_NODE_PARAMS){
        .func = launch->function,
        .gridDimX = launch->grid[0],
        .gridDimY = launch->grid[1],
        .gridDimZ = launch->grid[2],
        .blockDimX = launch->block[0],
        .blockDimY = launch->block[1],
        .blockDimZ = launch->block[2],
        .sharedMemBytes = launch->shared_bytes,
        .kernelParams = node->work->params,
        .ctx = driver_object_handle(&node->work->context->object),
    };
    return CUDA_SUCCESS;
}

static CUresult kernel_replace(driver_node *node, driver_work *work) {
    driver_work_unref(node->work);
    node->work = work;
    return CUDA_SUCCESS;
}

CUresult sim_cuGraphKernelNodeSetParams_v2(CUgraphNode handle, const CUDA_KERNEL_NODE_PARAMS *params) {
    driver_node *node = kernel_node(handle);
    if (!node)
        return CUDA_ERROR_INVALID_VALUE;
    driver_work *work;
    const CUresult result = driver_work_of_kernel(params, node->work->launch.cooperative, &work);
    return result != CUDA_SUCCESS ? result : kernel_replace(node, work);
}

CUresult sim_cuGraphKernelNodeGetAttribute(CUgraphNode handle, CUlaunchAttributeID attribute,
                                           CUlaunchAttributeValue *value) {
    const driver_node *node = kernel_node(handle);
    if (!node || !value || (attribute != CU_LAUNCH_ATTRIBUTE_COOPERATIVE))
        return CUDA_ERROR_INVALID_VALUE;
    *value = (CUlaunchAttributeValue){.cooperative = node->work->launch.cooperative};
    return CUDA_SUCCESS;
}

CUresult sim_cuGraphKernelNodeSetAttribute(CUgraphNode handle, CUlaunchAttributeID attribute,
                                           const CUlaunchAttributeValue *value) {
    driver_node *node = kernel_node(handle);
    if (!node || !value)
        return CUDA_ERROR_INVALID_VALUE;
    driver_launch launch = node->work->launch;
    const CUlaunchAttribute one = {.id = attribute, .value = *value};
    CUresult result = driver_launch_attribute(&one, &launch);
    driver_work *work;
    if (result == CUDA_SUCCESS)
        result = driver_launch_make(&launch, node->work->params, NULL, &work);
    return result != CUDA_SUCCESS ? result : kernel_replace(node, work);
}
