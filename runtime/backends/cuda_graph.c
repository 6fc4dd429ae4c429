/* CUDA's own graphs, built from our nodes: a chain, each node after the one before. Node handles are kept, so that a
 * node gets new contents in the executable graph, without instantiating again. */
#include "cuda.h"
#include <string.h>

typedef struct graph_node {
    CUgraphNode node;
    kiln_step_kind kind;
    bool is_flat; /* COPY: one run of bytes */
} graph_node;

typedef struct cuda_graph {
    CUgraph graph;
    CUgraphExec exec;
    CUstream recorder; /* a stream to record calls of vendor libraries on; NULL: not needed yet */
    size_t n_nodes;
    graph_node nodes[];
} cuda_graph;

/* ---- a node's contents ---- */

static CUDA_KERNEL_NODE_PARAMS kernel_params(const cuda_kernel *k) {
    const CUlaunchConfig *c = &k->config;
    return (CUDA_KERNEL_NODE_PARAMS){.func = k->function,
                                     .gridDimX = c->gridDimX,
                                     .gridDimY = c->gridDimY,
                                     .gridDimZ = c->gridDimZ,
                                     .blockDimX = c->blockDimX,
                                     .blockDimY = c->blockDimY,
                                     .blockDimZ = c->blockDimZ,
                                     .sharedMemBytes = c->sharedMemBytes,
                                     .kernelParams = k->params};
}

static bool is_flat(const kiln_node *n) {
    return n->copy.rows == 1 ||
           (n->copy.source_pitch_bytes == n->copy.row_bytes && n->copy.destination_pitch_bytes == n->copy.row_bytes);
}

static CUDA_MEMCPY3D copy_params(const kiln_node *n) {
    const bool flat = is_flat(n);
    return (CUDA_MEMCPY3D){.srcMemoryType = CU_MEMORYTYPE_DEVICE,
                           .srcDevice = cuda_address(n->copy.source),
                           .srcPitch = flat ? 0 : n->copy.source_pitch_bytes,
                           .dstMemoryType = CU_MEMORYTYPE_DEVICE,
                           .dstDevice = cuda_address(n->copy.destination),
                           .dstPitch = flat ? 0 : n->copy.destination_pitch_bytes,
                           .WidthInBytes = flat ? n->copy.row_bytes * n->copy.rows : n->copy.row_bytes,
                           .Height = flat ? 1 : n->copy.rows,
                           .Depth = 1};
}

static CUDA_MEMSET_NODE_PARAMS fill_params(const kiln_node *n) {
    return (CUDA_MEMSET_NODE_PARAMS){.dst = cuda_address(n->fill.destination),
                                     .value = n->fill.pattern,
                                     .elementSize = sizeof n->fill.pattern,
                                     .width = n->fill.bytes / sizeof n->fill.pattern,
                                     .height = 1};
}

/* Records what a vendor library enqueues. Relaxed: it may allocate for itself on its first call. */
static kiln_status record_call(const kiln_device *device, cuda_graph *g, const kiln_node *node, CUgraph *out) {
    if (!g->recorder)
        CUDA_TRY(device, cuStreamCreate, &g->recorder, CU_STREAM_NON_BLOCKING);
    CUDA_TRY(device, cuStreamBeginCapture, g->recorder, CU_STREAM_CAPTURE_MODE_RELAXED);
    const kiln_status called = node->call.call(node->call.user, g->recorder, node->call.operands);
    CUgraph recorded = NULL;
    const CUresult error = cuda_of(device)->cuStreamEndCapture(g->recorder, &recorded); /* also when the call failed */
    if (called == KILN_OK && error == CUDA_SUCCESS) {
        *out = recorded;
        return KILN_OK;
    }
    if (recorded)
        (void)cuda_of(device)->cuGraphDestroy(recorded);
    return called != KILN_OK ? called : kiln__cuda_fail(device, "cuStreamEndCapture", error);
}

/* ---- building ---- */

static kiln_status add_kernel(const kiln_device *device, CUgraph graph, const CUgraphNode *after, const cuda_kernel *k,
                              CUgraphNode *out) {
    const CUDA_KERNEL_NODE_PARAMS params = kernel_params(k);
    CUDA_TRY(device, cuGraphAddKernelNode, out, graph, after, after ? 1 : 0, &params);
    for (unsigned i = 0; i < k->config.numAttrs; i++)
        CUDA_TRY(device, cuGraphKernelNodeSetAttribute, *out, k->attributes[i].id, &k->attributes[i].value);
    return KILN_OK;
}

static kiln_status add_call(const kiln_device *device, cuda_graph *g, const CUgraphNode *after, const kiln_node *node,
                            CUgraphNode *out) {
    CUgraph child;
    KILN_TRY(record_call(device, g, node, &child));
    const CUresult error = cuda_of(device)->cuGraphAddChildGraphNode(out, g->graph, after, after ? 1 : 0, child);
    (void)cuda_of(device)->cuGraphDestroy(child); /* the node has a copy */
    return error == CUDA_SUCCESS ? KILN_OK : kiln__cuda_fail(device, "cuGraphAddChildGraphNode", error);
}

static kiln_status add_node(const kiln_device *device, cuda_graph *g, size_t index, const kiln_node *node) {
    graph_node *to = &g->nodes[index];
    const CUgraphNode *after = index ? &g->nodes[index - 1].node : NULL;
    const size_t n_after = index ? 1 : 0;
    to->kind = node->kind;
    switch (node->kind) {
    case KILN_STEP_KERNEL:
        return add_kernel(device, g->graph, after, node->kernel, &to->node);
    case KILN_STEP_COPY: {
        const CUDA_MEMCPY3D copy = copy_params(node);
        to->is_flat = is_flat(node);
        CUDA_TRY(device, cuGraphAddMemcpyNode, &to->node, g->graph, after, n_after, &copy, cuda_context(device));
        return KILN_OK;
    }
    case KILN_STEP_FILL: {
        const CUDA_MEMSET_NODE_PARAMS fill = fill_params(node);
        CUDA_TRY(device, cuGraphAddMemsetNode, &to->node, g->graph, after, n_after, &fill, cuda_context(device));
        return KILN_OK;
    }
    case KILN_STEP_CALL:
        return add_call(device, g, after, node, &to->node);
    }
    return kiln_fail(KILN_E_INTERNAL, "%s: unknown kind of step %d", device->name, (int)node->kind);
}

static kiln_status build(const kiln_device *device, cuda_graph *g, const kiln_node *const *nodes) {
    CUDA_TRY(device, cuGraphCreate, &g->graph, 0);
    for (size_t i = 0; i < g->n_nodes; i++) {
        const kiln_status status = add_node(device, g, i, nodes[i]);
        if (status != KILN_OK)
            return kiln_fail_in(status, "node %zu, %s", i, nodes[i]->label);
    }
    CUDA_TRY(device, cuGraphInstantiateWithFlags, &g->exec, g->graph, 0);
    return KILN_OK;
}

static kiln_status build_inside(const kiln_device *device, cuda_graph *g, const kiln_node *const *nodes) {
    CUDA_RETURN_INSIDE(device, build(device, g, nodes));
}

kiln_status kiln__cuda_graph_build(kiln_device *device, void *queue, const kiln_node *const *nodes, size_t n_nodes,
                                   void **graph) {
    (void)queue; /* the chain is of no stream until it is launched */
    cuda_graph *g = kiln__alloc(device->context, sizeof *g + n_nodes * sizeof *g->nodes);
    if (!g)
        return KILN_E_MEMORY;
    g->n_nodes = n_nodes;
    const kiln_status status = build_inside(device, g, nodes);
    if (status != KILN_OK) {
        kiln__cuda_graph_destroy(device, g);
        return status;
    }
    *graph = g;
    return KILN_OK;
}

/* ---- patching ---- */

/* What the driver will not change in place, it can build. */
static kiln_status patched(const kiln_device *device, const char *call, CUresult error) {
    if (error == CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE || error == CUDA_ERROR_NOT_SUPPORTED)
        return kiln_fail(KILN_E_UNSUPPORTED, "%s: %s: %s", device->name, call, kiln__cuda_error_name(error));
    return error == CUDA_SUCCESS ? KILN_OK : kiln__cuda_fail(device, call, error);
}

static kiln_status patch_call(const kiln_device *device, cuda_graph *g, const graph_node *to, const kiln_node *node) {
    CUgraph child;
    KILN_TRY(record_call(device, g, node, &child));
    const CUresult error = cuda_of(device)->cuGraphExecChildGraphNodeSetParams(g->exec, to->node, child);
    (void)cuda_of(device)->cuGraphDestroy(child);
    return patched(device, "cuGraphExecChildGraphNodeSetParams", error);
}

static kiln_status patch(const kiln_device *device, cuda_graph *g, const graph_node *to, const kiln_node *node) {
    const cuda_library *cuda = cuda_of(device);
    switch (node->kind) {
    case KILN_STEP_KERNEL: {
        const CUDA_KERNEL_NODE_PARAMS params = kernel_params(node->kernel);
        return patched(device, "cuGraphExecKernelNodeSetParams",
                       cuda->cuGraphExecKernelNodeSetParams(g->exec, to->node, &params));
    }
    case KILN_STEP_COPY: {
        if (!to->is_flat || !is_flat(node))
            return kiln_fail(KILN_E_UNSUPPORTED, "%s: only copies without pitch are patched in place", device->name);
        const CUDA_MEMCPY3D copy = copy_params(node);
        return patched(device, "cuGraphExecMemcpyNodeSetParams",
                       cuda->cuGraphExecMemcpyNodeSetParams(g->exec, to->node, &copy, cuda_context(device)));
    }
    case KILN_STEP_FILL: {
        const CUDA_MEMSET_NODE_PARAMS fill = fill_params(node);
        return patched(device, "cuGraphExecMemsetNodeSetParams",
                       cuda->cuGraphExecMemsetNodeSetParams(g->exec, to->node, &fill, cuda_context(device)));
    }
    case KILN_STEP_CALL:
        return patch_call(device, g, to, node);
    }
    return kiln_fail(KILN_E_INTERNAL, "%s: unknown kind of step %d", device->name, (int)node->kind);
}

kiln_status kiln__cuda_graph_patch(kiln_device *device, void *graph, size_t index, const kiln_node *node) {
    cuda_graph *g = graph;
    if (index >= g->n_nodes || node->kind != g->nodes[index].kind)
        return kiln_fail(KILN_E_INTERNAL, "%s: patching node %zu of %zu, or to another kind", device->name, index,
                         g->n_nodes);
    CUDA_RETURN_INSIDE(device, patch(device, g, &g->nodes[index], node));
}

/* ---- running ---- */

static kiln_status launch(const kiln_device *device, const cuda_graph *g, CUstream stream) {
    CUDA_TRY(device, cuGraphLaunch, g->exec, stream);
    return KILN_OK;
}

kiln_status kiln__cuda_graph_launch(kiln_device *device, void *queue, void *graph) {
    CUDA_RETURN_INSIDE(device, launch(device, graph, kiln__cuda_queue_stream(queue)));
}

void kiln__cuda_graph_destroy(kiln_device *device, void *graph) {
    const cuda_library *cuda = cuda_of(device);
    cuda_graph *g = graph;
    const bool pushed = kiln__cuda_enter_to_release(device);
    if (g->exec)
        (void)cuda->cuGraphExecDestroy(g->exec);
    if (g->graph)
        (void)cuda->cuGraphDestroy(g->graph);
    if (g->recorder)
        (void)cuda->cuStreamDestroy(g->recorder);
    kiln__cuda_leave(device, pushed);
    kiln__free(device->context, g);
}
