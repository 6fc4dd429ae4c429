/* Graphs of the look-alike: captured, built, patched, launched. */
#include "test_driver.h"

static CUgraphExec instantiate(CUgraph graph) {
    CUgraphExec exec = NULL;
    CHECK_DONE(cu.cuGraphInstantiateWithFlags(&exec, graph, 0));
    return exec;
}

static void test_capture(void) {
    driver_begin();
    driver_fixture f = driver_fixture_make();
    CUstream a, b;
    CUevent fork, join;
    CUgraph graph;
    CUstreamCaptureStatus status;
    CUgraphNode from[8], to[8];
    size_t n = 8;
    REQUIRE_DONE(cu.cuStreamCreate(&a, CU_STREAM_NON_BLOCKING));
    REQUIRE_DONE(cu.cuStreamCreate(&b, CU_STREAM_NON_BLOCKING));
    REQUIRE_DONE(cu.cuEventCreate(&fork, CU_EVENT_DISABLE_TIMING));
    REQUIRE_DONE(cu.cuEventCreate(&join, CU_EVENT_DISABLE_TIMING));
    CHECK_DONE(cu.cuStreamBeginCapture_v2(a, CU_STREAM_CAPTURE_MODE_GLOBAL));
    CHECK_DONE(driver_launch_n(f.add, f.array, 1, 1, a));
    CHECK_DONE(cu.cuEventRecord(fork, a));
    CHECK_DONE(cu.cuStreamWaitEvent(b, fork, 0));
    CHECK_DONE(driver_launch_n(f.add, f.array + 4, 3, 1, b));
    CHECK_DONE(cu.cuStreamIsCapturing(b, &status));
    CHECK(status == CU_STREAM_CAPTURE_STATUS_ACTIVE);
    CHECK_DONE(driver_launch_n(f.scale, f.array, 2, 1, a));
    CHECK_DONE(cu.cuEventRecord(join, b));
    CHECK_DONE(cu.cuStreamWaitEvent(a, join, 0));
    CHECK_CU(cu.cuEventQuery(join), CUDA_ERROR_CAPTURED_EVENT);
    CHECK_DONE(cu.cuMemsetD32Async(f.array + 8, 0x40000000, 1, a));
    CHECK_DONE(cu.cuStreamEndCapture(a, &graph));
    CHECK_DONE(cu.cuGraphGetEdges(graph, from, to, &n));
    CHECK(n == 4);
    CHECK(driver_first(f.array) == 0); /* captured, not run */
    CUgraphExec exec = instantiate(graph);
    CHECK_DONE(cu.cuGraphDestroy(graph));
    CHECK_DONE(cu.cuGraphLaunch(exec, a));
    CHECK_DONE(cu.cuGraphLaunch(exec, a));
    CHECK_DONE(cu.cuStreamSynchronize(a));
    CHECK(driver_first(f.array) == 6); /* ((0 + 1) * 2 + 1) * 2 */
    CHECK(driver_first(f.array + 4) == 6);
    CHECK(driver_first(f.array + 8) == 2);
    CHECK_DONE(cu.cuGraphExecDestroy(exec));
    CHECK_CU(cu.cuGraphLaunch(exec, a), CUDA_ERROR_INVALID_VALUE);
    CHECK_DONE(cu.cuEventDestroy_v2(fork));
    CHECK_DONE(cu.cuEventDestroy_v2(join));
    CHECK_DONE(cu.cuStreamDestroy_v2(a));
    CHECK_DONE(cu.cuStreamDestroy_v2(b));
    driver_fixture_free(&f);
    driver_end();
}

/* What a capture forbids, and that it is lost then. */
static void test_capture_refuses(void) {
    driver_begin();
    driver_fixture f = driver_fixture_make();
    CUstream a, b;
    CUevent event;
    CUgraph graph;
    CUdeviceptr address;
    CUstreamCaptureMode relaxed = CU_STREAM_CAPTURE_MODE_RELAXED;
    REQUIRE_DONE(cu.cuStreamCreate(&a, CU_STREAM_DEFAULT));
    REQUIRE_DONE(cu.cuStreamCreate(&b, CU_STREAM_NON_BLOCKING));
    REQUIRE_DONE(cu.cuEventCreate(&event, 0));
    CHECK_CU(cu.cuStreamBeginCapture_v2(NULL, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    CHECK_CU(cu.cuStreamEndCapture(a, &graph), CUDA_ERROR_ILLEGAL_STATE);
    /* Waiting. */
    CHECK_DONE(cu.cuStreamBeginCapture_v2(a, CU_STREAM_CAPTURE_MODE_GLOBAL));
    CHECK_CU(cu.cuStreamSynchronize(a), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    CHECK_CU(driver_launch_n(f.add, f.array, 1, 1, a), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    CHECK_CU(cu.cuStreamEndCapture(a, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    CHECK(!graph);
    /* Allocating, unless the capture is relaxed. */
    CHECK_DONE(cu.cuStreamBeginCapture_v2(a, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    CHECK_CU(cu.cuMemAlloc_v2(&address, 16), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    CHECK_CU(cu.cuStreamEndCapture(a, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    CHECK_DONE(cu.cuStreamBeginCapture_v2(a, CU_STREAM_CAPTURE_MODE_RELAXED));
    CHECK_DONE(cu.cuMemAlloc_v2(&address, 16));
    CHECK_DONE(cu.cuStreamEndCapture(a, &graph));
    CHECK_DONE(cu.cuGraphDestroy(graph));
    CHECK_DONE(cu.cuStreamBeginCapture_v2(a, CU_STREAM_CAPTURE_MODE_GLOBAL));
    CHECK_DONE(cu.cuThreadExchangeStreamCaptureMode(&relaxed));
    CHECK_DONE(cu.cuMemFree_v2(address));
    CHECK_DONE(cu.cuThreadExchangeStreamCaptureMode(&relaxed));
    /* The null stream, beside a stream that blocks with it. */
    CHECK_CU(driver_launch_n(f.add, f.array, 1, 1, NULL), CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
    CHECK_CU(cu.cuStreamEndCapture(a, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    /* Another stream that does not come back, or one from outside. */
    CHECK_DONE(cu.cuStreamBeginCapture_v2(a, CU_STREAM_CAPTURE_MODE_GLOBAL));
    CHECK_CU(cu.cuStreamBeginCapture_v2(a, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_ERROR_ILLEGAL_STATE);
    CHECK_DONE(cu.cuEventRecord(event, a));
    CHECK_DONE(cu.cuStreamWaitEvent(b, event, 0));
    CHECK_DONE(driver_launch_n(f.add, f.array, 1, 1, b));
    CHECK_CU(cu.cuStreamEndCapture(b, &graph), CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
    CHECK_CU(cu.cuStreamEndCapture(a, &graph), CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
    CHECK_DONE(cu.cuEventRecord(event, b));
    CHECK_DONE(cu.cuStreamBeginCapture_v2(a, CU_STREAM_CAPTURE_MODE_GLOBAL));
    CHECK_CU(cu.cuStreamWaitEvent(a, event, 0), CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
    CHECK_DONE(cu.cuStreamDestroy_v2(a)); /* in the middle of it */
    CHECK_DONE(cu.cuStreamDestroy_v2(b));
    CHECK_DONE(cu.cuEventDestroy_v2(event));
    driver_fixture_free(&f);
    driver_end();
}

/* Nodes added to an engine's capture from outside its calls. */
static void test_capture_dependencies(void) {
    driver_begin();
    driver_fixture f = driver_fixture_make();
    CUstream a;
    CUgraph graph;
    CUgraphNode node;
    const CUgraphNode *joints;
    size_t n;
    cuuint64_t id = 0;
    CUstreamCaptureStatus status;
    float v = 4;
    uint32_t one = 1;
    void *params[] = {&f.array, &v, &one};
    const CUDA_KERNEL_NODE_PARAMS kernel = {.func = f.add,
                                            .gridDimX = 1,
                                            .gridDimY = 1,
                                            .gridDimZ = 1,
                                            .blockDimX = 32,
                                            .blockDimY = 1,
                                            .blockDimZ = 1,
                                            .kernelParams = params};
    REQUIRE_DONE(cu.cuStreamCreate(&a, CU_STREAM_NON_BLOCKING));
    CHECK_DONE(cu.cuStreamBeginCapture_v2(a, CU_STREAM_CAPTURE_MODE_GLOBAL));
    CHECK_DONE(driver_launch_n(f.add, f.array, 1, 1, a));
    CHECK_DONE(cu.cuStreamGetCaptureInfo_v2(a, &status, &id, &graph, &joints, &n));
    CHECK(status == CU_STREAM_CAPTURE_STATUS_ACTIVE && id != 0 && n == 1);
    CHECK_CU(cu.cuGraphDestroy(graph), CUDA_ERROR_INVALID_VALUE); /* it is being captured */
    CHECK_DONE(cu.cuGraphAddKernelNode_v2(&node, graph, joints, n, &kernel));
    CHECK_DONE(cu.cuStreamUpdateCaptureDependencies(a, &node, 1, CU_STREAM_SET_CAPTURE_DEPENDENCIES));
    CHECK_DONE(driver_launch_n(f.scale, f.array, 10, 1, a));
    CHECK_DONE(cu.cuStreamEndCapture(a, &graph));
    CUgraphExec exec = instantiate(graph);
    CHECK_DONE(cu.cuGraphLaunch(exec, a));
    CHECK_DONE(cu.cuStreamSynchronize(a));
    CHECK(driver_first(f.array) == 50);
    CHECK_DONE(cu.cuGraphExecDestroy(exec));
    CHECK_DONE(cu.cuGraphDestroy(graph));
    CHECK_DONE(cu.cuStreamDestroy_v2(a));
    driver_fixture_free(&f);
    driver_end();
}

/* A graph of two kernels on one element; `edge`: the second after the first. */
typedef struct built {
    CUgraph graph;
    CUgraphNode first, second;
    float v[2];
    uint32_t n;
    void *params[2][3];
    CUDA_KERNEL_NODE_PARAMS kernel[2];
} built;

static void build(built *b, const driver_fixture *f, CUdeviceptr *array, bool edge) {
    *b = (built){.v = {1, 5}, .n = 1};
    for (int i = 0; i < 2; i++) {
        b->params[i][0] = array;
        b->params[i][1] = &b->v[i];
        b->params[i][2] = &b->n;
        b->kernel[i] = (CUDA_KERNEL_NODE_PARAMS){.func = i ? f->scale : f->add,
                                                 .gridDimX = 1,
                                                 .gridDimY = 1,
                                                 .gridDimZ = 1,
                                                 .blockDimX = 32,
                                                 .blockDimY = 1,
                                                 .blockDimZ = 1,
                                                 .kernelParams = b->params[i]};
    }
    REQUIRE_DONE(cu.cuGraphCreate(&b->graph, 0));
    REQUIRE_DONE(cu.cuGraphAddKernelNode_v2(&b->first, b->graph, NULL, 0, &b->kernel[0]));
    REQUIRE_DONE(cu.cuGraphAddKernelNode_v2(&b->second, b->graph, &b->first, edge, &b->kernel[1]));
}

static float launched(CUgraphExec exec, CUdeviceptr array) {
    const float zero = 0;
    CHECK_DONE(cu.cuMemcpyHtoD_v2(array, &zero, sizeof zero));
    CHECK_DONE(cu.cuGraphLaunch(exec, NULL));
    return driver_first(array);
}

static void test_missing_edge_shows(void) {
    driver_begin();
    driver_fixture f = driver_fixture_make();
    for (int edge = 0; edge < 2; edge++) {
        built b;
        build(&b, &f, &f.array, edge);
        CUgraphExec exec = instantiate(b.graph);
        CHECK(launched(exec, f.array) == (edge ? 5 : 1));
        CHECK_DONE(cu.cuGraphExecDestroy(exec));
        CHECK_DONE(cu.cuGraphDestroy(b.graph));
    }
    /* A cycle is refused. */
    built b;
    CUgraphExec exec;
    build(&b, &f, &f.array, true);
    CHECK_DONE(cu.cuGraphAddDependencies(b.graph, &b.second, &b.first, 1));
    CHECK_CU(cu.cuGraphAddDependencies(b.graph, &b.first, &b.second, 1), CUDA_ERROR_INVALID_VALUE);
    CHECK_CU(cu.cuGraphInstantiateWithFlags(&exec, b.graph, 0), CUDA_ERROR_INVALID_VALUE);
    CHECK_DONE(cu.cuGraphDestroy(b.graph));
    driver_fixture_free(&f);
    driver_end();
}

static void test_patches(void) {
    CUcontext context = driver_begin();
    driver_fixture f = driver_fixture_make();
    built b;
    CUgraphNode copy_node, fill_node;
    CUdeviceptr source;
    const float nine = 9;
    REQUIRE_DONE(cu.cuMemAlloc_v2(&source, 2 * sizeof(float)));
    CHECK_DONE(cu.cuMemcpyHtoD_v2(source, &nine, sizeof nine));
    build(&b, &f, &f.array, true);
    CUDA_MEMCPY3D copy = {.srcMemoryType = CU_MEMORYTYPE_DEVICE,
                          .srcDevice = source,
                          .dstMemoryType = CU_MEMORYTYPE_DEVICE,
                          .dstDevice = f.array + 4,
                          .WidthInBytes = 4,
                          .Height = 1,
                          .Depth = 1};
    CUDA_MEMSET_NODE_PARAMS fill = {.dst = f.array + 8, .value = 0x40000000, .elementSize = 4, .width = 1, .height = 1};
    CHECK_DONE(cu.cuGraphAddMemcpyNode(&copy_node, b.graph, &b.second, 1, &copy, context));
    CHECK_DONE(cu.cuGraphAddMemsetNode(&fill_node, b.graph, &b.second, 1, &fill, context));
    CHECK_CU(cu.cuGraphAddMemsetNode(&fill_node, b.graph, &b.second, 1, &fill, NULL), CUDA_ERROR_INVALID_CONTEXT);
    CUgraphExec exec = instantiate(b.graph);
    CHECK(launched(exec, f.array) == 5);
    CHECK(driver_first(f.array + 4) == 9 && driver_first(f.array + 8) == 2);
    /* What was launched stays as it was. */
    b.v[0] = 2;
    CHECK_DONE(cu.cuGraphLaunch(exec, NULL));
    CHECK_DONE(cu.cuGraphExecKernelNodeSetParams_v2(exec, b.first, &b.kernel[0]));
    CHECK(driver_first(f.array) == 30);
    CHECK(launched(exec, f.array) == 10);
    copy.dstDevice = f.array + 12;
    fill.dst = f.array + 16;
    CHECK_DONE(cu.cuGraphExecMemcpyNodeSetParams(exec, copy_node, &copy, context));
    CHECK_DONE(cu.cuGraphExecMemsetNodeSetParams(exec, fill_node, &fill, context));
    CHECK(launched(exec, f.array) == 10);
    CHECK(driver_first(f.array + 12) == 9 && driver_first(f.array + 16) == 2);
    /* What may not be patched: kinds, rows, which memory is on the device. */
    CHECK_CU(cu.cuGraphExecMemcpyNodeSetParams(exec, fill_node, &copy, context), CUDA_ERROR_INVALID_VALUE);
    copy.Height = 2;
    copy.srcPitch = copy.dstPitch = 4;
    CHECK_CU(cu.cuGraphExecMemcpyNodeSetParams(exec, copy_node, &copy, context), CUDA_ERROR_INVALID_VALUE);
    float host = 0;
    copy.Height = 1;
    copy.srcMemoryType = CU_MEMORYTYPE_HOST;
    copy.srcHost = &host;
    CHECK_CU(cu.cuGraphExecMemcpyNodeSetParams(exec, copy_node, &copy, context), CUDA_ERROR_INVALID_VALUE);
    /* A node of a graph that is gone names nothing. */
    CHECK_DONE(cu.cuGraphDestroy(b.graph));
    CHECK_CU(cu.cuGraphExecKernelNodeSetParams_v2(exec, b.first, &b.kernel[0]), CUDA_ERROR_INVALID_VALUE);
    CHECK(launched(exec, f.array) == 10);
    /* A kernel whose module is gone is not launched. */
    CHECK_DONE(cu.cuModuleUnload(f.module));
    CHECK_CU(cu.cuGraphLaunch(exec, NULL), CUDA_ERROR_INVALID_HANDLE);
    CHECK_DONE(cu.cuGraphExecDestroy(exec));
    CHECK_DONE(cu.cuMemFree_v2(source));
    CHECK_DONE(cu.cuMemFree_v2(f.array));
    driver_end();
}

static void test_children_and_updates(void) {
    driver_begin();
    driver_fixture f = driver_fixture_make();
    built b, other;
    CUgraph parent, inner, clone;
    CUgraphNode child, found, inner_nodes[2];
    CUgraphNodeType type;
    size_t n = 2;
    CUDA_KERNEL_NODE_PARAMS params;
    build(&b, &f, &f.array, true);
    build(&other, &f, &f.array, true);
    REQUIRE_DONE(cu.cuGraphCreate(&parent, 0));
    CHECK_DONE(cu.cuGraphAddChildGraphNode(&child, parent, NULL, 0, b.graph));
    CHECK_DONE(cu.cuGraphNodeGetType(child, &type));
    CHECK(type == CU_GRAPH_NODE_TYPE_GRAPH);
    CUgraphExec exec = instantiate(parent);
    CHECK(launched(exec, f.array) == 5);
    /* Patched through the child's own nodes, or whole. */
    CHECK_DONE(cu.cuGraphChildGraphNodeGetGraph(child, &inner));
    CHECK_CU(cu.cuGraphDestroy(inner), CUDA_ERROR_INVALID_VALUE);
    CHECK_DONE(cu.cuGraphGetNodes(inner, inner_nodes, &n));
    CHECK(n == 2);
    CHECK_DONE(cu.cuGraphKernelNodeGetParams_v2(inner_nodes[1], &params));
    CHECK(params.func == f.scale && *(float *)params.kernelParams[1] == 5);
    b.v[1] = 6;
    CHECK_DONE(cu.cuGraphExecKernelNodeSetParams_v2(exec, inner_nodes[1], &b.kernel[1]));
    CHECK(launched(exec, f.array) == 6);
    other.v[1] = 7;
    CHECK_DONE(cu.cuGraphKernelNodeSetParams_v2(other.second, &other.kernel[1]));
    CHECK_DONE(cu.cuGraphExecChildGraphNodeSetParams(exec, child, other.graph));
    CHECK(launched(exec, f.array) == 7);
    CHECK_DONE(cu.cuGraphExecDestroy(exec));
    /* A whole graph over another. */
    CUgraphExecUpdateResultInfo info;
    exec = instantiate(b.graph);
    CHECK_DONE(cu.cuGraphExecUpdate_v2(exec, other.graph, &info));
    CHECK(launched(exec, f.array) == 7);
    CHECK_CU(cu.cuGraphExecUpdate_v2(exec, parent, &info), CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE);
    CHECK(info.result == CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED);
    CHECK_DONE(cu.cuGraphClone(&clone, other.graph));
    CHECK_DONE(cu.cuGraphNodeFindInClone(&found, other.second, clone));
    CHECK_DONE(cu.cuGraphDestroyNode(found));
    CHECK_CU(cu.cuGraphDestroyNode(found), CUDA_ERROR_INVALID_VALUE);
    CHECK_DONE(cu.cuGraphGetNodes(clone, NULL, &n));
    CHECK(n == 1);
    CHECK_DONE(cu.cuGraphExecDestroy(exec));
    CHECK_DONE(cu.cuGraphDestroy(clone));
    CHECK_DONE(cu.cuGraphDestroy(parent));
    CHECK_DONE(cu.cuGraphDestroy(b.graph));
    CHECK_DONE(cu.cuGraphDestroy(other.graph));
    driver_fixture_free(&f);
    driver_end();
}

int main(void) {
    driver_open();
    test_capture();
    test_capture_refuses();
    test_capture_dependencies();
    test_missing_edge_shows();
    test_patches();
    test_children_and_updates();
    return test_end();
}
