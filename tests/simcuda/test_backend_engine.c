/* Kiln inside an engine: its context, stream, memory and capture, and its current context left alone. */
#include "test_backend.h"

/* A context, a stream and memory of the engine's own, and Kiln on them. */
typedef struct {
    CUcontext context, other;
    CUstream stream;
    CUdeviceptr memory;
    backend_world w;
} engine;

static CUcontext current(void) {
    CUcontext c = NULL;
    CHECK_DONE(cu.cuCtxGetCurrent(&c));
    return c;
}

static void open_engine(engine *e) {
    memset(e, 0, sizeof *e);
    REQUIRE_DONE(cu.cuInit(0));
    REQUIRE_DONE(cu.cuCtxCreate_v2(&e->context, 0, 1));
    REQUIRE_DONE(cu.cuStreamCreate(&e->stream, CU_STREAM_NON_BLOCKING));
    REQUIRE_DONE(cu.cuMemAlloc_v2(&e->memory, 6 * BACKEND_BYTES));
    REQUIRE_DONE(cu.cuCtxPopCurrent_v2(&e->context));
    REQUIRE_DONE(cu.cuCtxCreate_v2(&e->other, 0, 0)); /* of another device, and current from here on */
    backend_world *w = &e->w;
    w->context = backend_context(backend_store);
    w->device = backend_device(w->context, "cuda:1");
    CHECK_STATUS(kiln_device_adopt(w->device, e->other), KILN_E_INVALID);
    CHECK_HAS(kiln_last_error(), "not the device of the CUcontext");
    REQUIRE_OK(kiln_device_adopt(w->device, e->context));
    REQUIRE_OK(kiln_queue_adopt(w->device, e->stream, &w->queue));
    REQUIRE_OK(kiln_buffer_adopt(w->device, (void *)(uintptr_t)e->memory, 6 * BACKEND_BYTES, &w->buffer));
    backend_fill_world(w);
    CHECK(current() == e->other);
}

static void close_engine(engine *e) {
    backend_close(&e->w);
    CHECK(current() == e->other);
    REQUIRE_DONE(cu.cuCtxSetCurrent(e->context));
    CHECK_DONE(cu.cuStreamSynchronize(e->stream)); /* the engine's own are as they were */
    CHECK_DONE(cu.cuMemFree_v2(e->memory));
    CHECK_DONE(cu.cuStreamDestroy_v2(e->stream));
    CHECK_DONE(cu.cuCtxDestroy_v2(e->context));
    CHECK_DONE(cu.cuCtxDestroy_v2(e->other));
}

/* With the engine's context current, as it has it when it works itself. */
#define AS_ENGINE(e, call)                                                                                             \
    do {                                                                                                               \
        CUcontext popped_;                                                                                             \
        REQUIRE_DONE(cu.cuCtxPushCurrent_v2((e)->context));                                                            \
        REQUIRE_DONE(call);                                                                                            \
        REQUIRE_DONE(cu.cuCtxPopCurrent_v2(&popped_));                                                                 \
    } while (0)

/* The engine looks for itself. */
static bool engine_holds(engine *e, size_t operand, const float *want) {
    memset(e->w.got, 0x7f, sizeof e->w.got);
    AS_ENGINE(e, cu.cuMemcpyDtoHAsync_v2(e->w.got, e->memory + operand * BACKEND_BYTES, BACKEND_BYTES, e->stream));
    AS_ENGINE(e, cu.cuStreamSynchronize(e->stream));
    return memcmp(e->w.got, want, sizeof e->w.got) == 0;
}

static void test_adopted(engine *e) {
    backend_world *w = &e->w;
    CHECK_OK(kiln_binding_run(w->binding));
    CHECK(current() == e->other);
    backend_product(w->a, w->b, w->want);
    CHECK(engine_holds(e, 2, w->want)); /* in the order of the engine's stream */

    CUstream foreign = NULL;
    kiln_queue *queue = NULL;
    CHECK_DONE(cu.cuStreamCreate(&foreign, CU_STREAM_NON_BLOCKING)); /* of the other context */
    CHECK_STATUS(kiln_queue_adopt(w->device, foreign, &queue), KILN_E_INVALID);
    CHECK_HAS(kiln_last_error(), "another CUcontext");
    CHECK_DONE(cu.cuStreamDestroy_v2(foreign));

    kiln_buffer *buffer = NULL;
    CUdeviceptr elsewhere = 0;
    int on_host = 0;
    CHECK_DONE(cu.cuMemAlloc_v2(&elsewhere, 256));
    CHECK_STATUS(kiln_buffer_adopt(w->device, (void *)(uintptr_t)elsewhere, 256, &buffer), KILN_E_INVALID);
    CHECK_HAS(kiln_last_error(), "not memory of this device");
    CHECK_DONE(cu.cuMemFree_v2(elsewhere));
    CHECK_STATUS(kiln_buffer_adopt(w->device, (void *)((uintptr_t)&on_host & ~(uintptr_t)15), 16, &buffer),
                 KILN_E_INVALID);
    CHECK_STATUS(kiln_buffer_adopt(w->device, (void *)(uintptr_t)(e->memory + 4), 16, &buffer), KILN_E_INVALID);
    CHECK_HAS(kiln_last_error(), "not a multiple of 16");
    CHECK_STATUS(kiln_buffer_adopt(w->device, (void *)(uintptr_t)(e->memory + 16), 6 * BACKEND_BYTES, &buffer),
                 KILN_E_INVALID);
    CHECK_HAS(kiln_last_error(), "bytes behind it");
    CHECK(current() == e->other);
    REQUIRE_DONE(cu.cuCtxSetCurrent(NULL)); /* a thread without a context */
    CHECK_OK(kiln_binding_run(w->binding));
    CHECK_OK(kiln_queue_finish(w->queue));
    CHECK(current() == NULL);
    REQUIRE_DONE(cu.cuCtxSetCurrent(e->other));
}

/* The engine captures: a binding and a graph of ours go into its graph, which then runs on whatever the memory holds.
 */
static void test_capture(engine *e) {
    backend_world *w = &e->w;
    kiln_graph *graph = NULL;
    CUgraph captured = NULL;
    CUgraphExec exec = NULL;
    REQUIRE_OK(kiln_graph_create(w->queue, &graph));
    REQUIRE_OK(
        kiln_graph_add_copy(graph, backend_at(w, 4), BACKEND_BYTES, backend_at(w, 2), BACKEND_BYTES, BACKEND_BYTES, 1));
    REQUIRE_OK(kiln_graph_end(graph));
    CHECK_OK(kiln_buffer_fill(w->queue, w->buffer, 2 * BACKEND_BYTES, 3 * BACKEND_BYTES, 0));
    CHECK_OK(kiln_buffer_write(w->queue, w->buffer, 3 * BACKEND_BYTES, w->a2, BACKEND_BYTES));
    CHECK_OK(kiln_queue_finish(w->queue));

    AS_ENGINE(e, cu.cuStreamBeginCapture_v2(e->stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    CHECK_OK(kiln_binding_run(w->binding));
    CHECK_OK(kiln_graph_launch(graph));
    CHECK_OK(kiln_buffer_fill(w->queue, w->buffer, 5 * BACKEND_BYTES, BACKEND_BYTES, 0x3f800000));
    CHECK_STATUS(kiln_queue_finish(w->queue), KILN_E_INVALID);
    CHECK_HAS(kiln_last_error(), "capturing");
    AS_ENGINE(e, cu.cuStreamEndCapture(e->stream, &captured)); /* and that did not spoil it */
    AS_ENGINE(e, cu.cuGraphInstantiateWithFlags(&exec, captured, 0));

    static const float zeros[BACKEND_ELEMS];
    CHECK(engine_holds(e, 2, zeros) && engine_holds(e, 4, zeros)); /* nothing has run yet */
    CHECK_OK(kiln_buffer_write(w->queue, w->buffer, 0, w->a2, BACKEND_BYTES));
    AS_ENGINE(e, cu.cuGraphLaunch(exec, e->stream));
    backend_product(w->a2, w->b, w->want);
    CHECK(engine_holds(e, 2, w->want) && engine_holds(e, 4, w->want));
    CHECK_OK(kiln_buffer_write(w->queue, w->buffer, 0, w->a, BACKEND_BYTES));
    AS_ENGINE(e, cu.cuGraphLaunch(exec, e->stream));
    backend_product(w->a, w->b, w->want);
    CHECK(engine_holds(e, 2, w->want) && engine_holds(e, 4, w->want));
    float ones[BACKEND_ELEMS];
    for (size_t i = 0; i < BACKEND_ELEMS; i++)
        ones[i] = 1;
    CHECK(engine_holds(e, 5, ones));
    CHECK_DONE(cu.cuGraphExecDestroy(exec));
    CHECK_DONE(cu.cuGraphDestroy(captured));
    kiln_graph_destroy(graph);
}

/* The legacy default stream, which engines name by 1. */
static void test_default_stream(engine *e) {
    backend_world *w = &e->w;
    kiln_queue *queue = NULL;
    CHECK_OK(kiln_queue_adopt(w->device, (void *)1, &queue));
    if (!queue)
        return;
    CHECK_OK(kiln_buffer_write(queue, w->buffer, 4 * BACKEND_BYTES, w->b, BACKEND_BYTES));
    CHECK_OK(kiln_queue_finish(queue));
    CHECK(engine_holds(e, 4, w->b));
    kiln_queue_destroy(queue);
}

int main(void) {
    engine *e = calloc(1, sizeof *e);
    REQUIRE(e != NULL);
    backend_begin();
    open_engine(e);
    test_adopted(e);
    test_capture(e);
    test_default_stream(e);
    close_engine(e);
    backend_check_ledger("engine");
    free(e);
    return backend_end();
}
