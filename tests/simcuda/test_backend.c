/* The CUDA backend end to end: programs, native graphs and their patches, an engine's context, stream, memory and
 * capture. */
#include "test_backend.h"
#include <math.h>

/* ---- what is told of a device ---- */

static void test_info(void) {
    kiln_context *context = backend_context("");
    kiln_device *device = backend_device(context, "cuda:1");
    kiln_device_info info = KILN_DEVICE_INFO_INIT;
    REQUIRE_OK(kiln_device_get_info(device, &info));
    CHECK(kiln_device_count(context) == 2);
    CHECK_STR(info.arch, "sm_80");
    CHECK(info.kind == KILN_DEVICE_GPU && info.compute_capability == 80 && info.units == 8 && !info.is_absent);
    CHECK(info.local_bytes == 163 << 10 && info.has_native_graphs && !info.has_clusters);
    CHECK_HAS(info.driver, "CUDA 13.0");
    CHECK_HAS(kiln_device_report(context), "cuda: Simulated sm_80, sm_80, driver of CUDA 13.0");
    /* Described by its architecture alone, it asks for the same of its kernels. */
    kiln_device *absent = NULL;
    REQUIRE_OK(kiln_device_open_arch(context, "cuda", "sm_80", info.units, &absent));
    const kiln_caps *a = kiln__device_caps(absent), *b = kiln__device_caps(device);
    CHECK(a->local_bytes == b->local_bytes && a->max_group_size == b->max_group_size && a->units == b->units);
    CHECK(memcmp(a->max_group, b->max_group, sizeof a->max_group) == 0);
    CHECK(a->compute_capability == b->compute_capability && a->address_align_bytes == b->address_align_bytes);
    CHECK(a->f16 == b->f16 && a->clusters == b->clusters && a->tensor_maps == b->tensor_maps);
    CHECK(a->warp_items == b->warp_items && a->unit_registers == b->unit_registers);
    kiln_context_destroy(context);
    backend_check_ledger("info");
}

/* ---- families: each variant's guess against ref ---- */

enum { MAX_ELEMS = 1 << 16 };

/* Runs a variant on seeded data; `out` gets the output. False: the variant does not apply. */
static bool run_variant(kiln_device *device, kiln_queue *queue, const char *text, const char *variant, float *out,
                        size_t *n) {
    kiln_problem problem;
    kiln_plan_options options = KILN_PLAN_OPTIONS_INIT;
    kiln_plan_info info = KILN_PLAN_INFO_INIT;
    kiln_plan *plan = NULL;
    kiln_binding *binding = NULL;
    kiln_view views[KILN_MAX_OPERANDS] = {0};
    static float data[MAX_ELEMS];
    options.variant = variant;
    REQUIRE_OK(kiln_problem_parse(device->context, text, &problem));
    const kiln_status status = kiln_plan_create(device, &problem, &options, &plan);
    CHECK(status == KILN_OK || status == KILN_E_UNSUPPORTED);
    if (status != KILN_OK)
        return false;
    REQUIRE_OK(kiln_plan_get_info(plan, &info));
    for (size_t i = 0; i < info.n_operands; i++) {
        const kiln_operand *o = kiln_plan_operand(plan, i);
        if (o->role == KILN_ROLE_PACKED)
            continue;
        REQUIRE(o->bytes <= sizeof data);
        REQUIRE_OK(kiln_buffer_create(device, o->bytes, &views[i].buffer));
        memset(data, 0, o->bytes);
        if (o->role != KILN_ROLE_OUTPUT)
            backend_fill(data, o->bytes / sizeof *data, (int)i);
        REQUIRE_OK(kiln_buffer_write(queue, views[i].buffer, 0, data, o->bytes));
        REQUIRE_OK(kiln_queue_finish(queue));
    }
    REQUIRE_OK(kiln_binding_create(plan, queue, views, info.n_operands, (kiln_view){0}, &binding));
    CHECK_OK(kiln_binding_run(binding));
    size_t output = 0;
    while (kiln_plan_operand(plan, output)->role != KILN_ROLE_OUTPUT)
        output++;
    *n = kiln_plan_operand(plan, output)->bytes / sizeof *out;
    CHECK_OK(kiln_buffer_read(queue, views[output].buffer, 0, out, *n * sizeof *out));
    CHECK_OK(kiln_queue_finish(queue));
    kiln_binding_destroy(binding);
    for (size_t i = 0; i < info.n_operands; i++)
        kiln_buffer_destroy(views[i].buffer);
    kiln_plan_destroy(plan);
    return true;
}

static void test_families(void) {
    static const struct {
        const char *problem, *variants[3];
    } rows[] = {
        {"gemm:m=33,n=21,k=40,ep=bias+relu", {"tile"}},
        {"gemm:m=32,n=64,k=32,compute=tf32", {"mma", "tile"}},
        {"conv:n=2,h=5,w=4,ic=16,oc=16,kh=3,kw=3,ihalo=1,ep=bias+relu", {"tile", "winograd_nonfused"}},
        {"se_block:n=2,h=5,w=5,c=16,r=4,form=scale,ep=res+relu", {"fused_group", "chain"}},
        {"block:n=1,h=5,w=5,c=8,se=scale,r=4", {"chain"}},
    };
    static float want[MAX_ELEMS], got[MAX_ELEMS];
    kiln_context *context = backend_context(backend_store);
    kiln_device *device = backend_device(context, "cuda:0");
    kiln_queue *queue = NULL;
    REQUIRE_OK(kiln_queue_create(device, &queue));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t n = 0, n_got = 0;
        double largest = 1;
        REQUIRE(run_variant(device, queue, rows[i].problem, "ref", want, &n));
        for (size_t k = 0; k < n; k++)
            largest = fmax(largest, fabs((double)want[k]));
        for (size_t v = 0; v < 3 && rows[i].variants[v]; v++) {
            double worst = 0;
            if (!run_variant(device, queue, rows[i].problem, rows[i].variants[v], got, &n_got)) {
                fprintf(stderr, "%s %s: %s\n", rows[i].problem, rows[i].variants[v], kiln_last_error());
                test_failures++;
                continue;
            }
            CHECK(n_got == n);
            for (size_t k = 0; k < n; k++)
                worst = fmax(worst, fabs((double)got[k] - (double)want[k]) / largest);
            if (!(worst < 1e-5))
                fprintf(stderr, "%s %s: off by %g of the largest\n", rows[i].problem, rows[i].variants[v], worst);
            CHECK(worst < 1e-5);
        }
    }
    kiln_queue_destroy(queue);
    kiln_context_destroy(context);
    backend_check_ledger("families");
}

/* ---- a store filled without the device ---- */

static kiln_status plan_arch(void *user, const kiln_problem *problem, size_t count) {
    (void)count;
    kiln_plan_options options = KILN_PLAN_OPTIONS_INIT;
    options.effort = KILN_PLAN_UNTUNED;
    kiln_plan *plan = NULL;
    const kiln_status status = kiln_plan_create(user, problem, &options, &plan);
    kiln_plan_destroy(plan);
    return status;
}

static void test_warm(void) {
    static const char tower[] = "tower:blocks=1,channels=16,inputs=4,board=5,seed=1";
    char dir[256];
    scratch_make(dir);
    kiln_context *context = backend_context(dir);
    kiln_device *absent = nvrtc_open_arch(context, "sm_80", 8);
    kiln_net *net = NULL;
    REQUIRE_OK(kiln_net_open(context, tower, &net));
    CHECK_OK(kiln_net_problems(net, 2, 0, 0, KILN_TYPE_F32, plan_arch, absent));
    kiln_counters c = KILN_COUNTERS_INIT;
    REQUIRE_OK(kiln_context_counters(context, &c));
    CHECK(c.compiles > 0 && c.records_written == 0);
    kiln_net_destroy(net);
    kiln_context_destroy(context);

    context = backend_context(dir); /* as another process: the device is there now */
    kiln_queue *queue = NULL;
    kiln_session *session = NULL;
    kiln_session_options options = KILN_SESSION_OPTIONS_INIT;
    options.max_batch = 2;
    REQUIRE_OK(kiln_queue_create(backend_device(context, "cuda:0"), &queue));
    REQUIRE_OK(kiln_net_open(context, tower, &net));
    REQUIRE_OK(kiln_session_create(net, queue, &options, &session));
    CHECK_OK(kiln_session_warm(session, 2));
    CHECK_OK(kiln_session_enqueue(session, 2));
    CHECK_OK(kiln_queue_finish(queue));
    REQUIRE_OK(kiln_context_counters(context, &c));
    CHECK(c.compiles == 0 && c.binary_hits > 0 && c.binary_misses == 0 && c.binary_rejected == 0);
    kiln_session_destroy(session);
    kiln_net_destroy(net);
    kiln_queue_destroy(queue);
    kiln_context_destroy(context);
    scratch_remove(dir);
    backend_check_ledger("warm");
}

/* ---- graphs ---- */

static void test_graph(void) {
    backend_world *w = calloc(1, sizeof *w);
    REQUIRE(w != NULL);
    backend_open(w, "cuda:0");
    kiln_graph *graph = NULL;
    kiln_graph_info info = KILN_GRAPH_INFO_INIT;
    REQUIRE_OK(kiln_graph_create(w->queue, &graph));
    REQUIRE_OK(kiln_graph_add(graph, w->binding));
    REQUIRE_OK(
        kiln_graph_add_copy(graph, backend_at(w, 4), BACKEND_BYTES, backend_at(w, 2), BACKEND_BYTES, BACKEND_BYTES, 1));
    REQUIRE_OK(kiln_graph_add_copy(graph, backend_at(w, 5), 4, backend_at(w, 2), 64, 4, 16)); /* the first column */
    REQUIRE_OK(kiln_graph_end(graph));
    REQUIRE_OK(kiln_graph_get_info(graph, &info));
    CHECK(info.is_native && info.n_nodes == 3);
    CHECK_OK(kiln_graph_launch(graph));
    backend_product(w->a, w->b, w->want);
    CHECK(backend_holds(w, 2, w->want) && backend_holds(w, 4, w->want));
    (void)backend_holds(w, 5, w->want);
    for (int i = 0; i < 16; i++)
        CHECK(w->got[i] == w->want[16 * i]);
    CHECK_OK(kiln_graph_patch(graph, w->binding, 0, backend_at(w, 3)));
    CHECK_OK(kiln_graph_launch(graph));
    backend_product(w->a2, w->b, w->want);
    CHECK(backend_holds(w, 4, w->want));
    REQUIRE_OK(kiln_graph_get_info(graph, &info));
    CHECK(info.n_patches == 1 && info.n_recaptures == 0 && info.is_native);
    kiln_graph_destroy(graph);
    backend_close(w);
    free(w);
    backend_check_ledger("graph");
}

/* A vendor library: sets its operand to `user` on the stream it is given. */
static kiln_status vendor_call(void *user, void *native_queue, const kiln_place *operands) {
    const uint32_t pattern = *(const uint32_t *)user;
    const CUdeviceptr to = (CUdeviceptr)(uintptr_t)operands->memory + operands->offset_bytes;
    if (pattern == 0)
        return kiln_fail(KILN_E_INVALID, "the library refuses");
    return cu.cuMemsetD32Async(to, pattern, BACKEND_ELEMS, native_queue) == CUDA_SUCCESS ? KILN_OK : KILN_E_DEVICE;
}

static bool all_are(backend_world *w, size_t operand, uint32_t pattern) {
    float want[BACKEND_ELEMS];
    for (size_t i = 0; i < BACKEND_ELEMS; i++)
        memcpy(&want[i], &pattern, sizeof pattern);
    return backend_holds(w, operand, want);
}

/* Fills, copies and opaque calls as nodes, and each patched in place. */
static void test_nodes(void) {
    backend_world *w = calloc(1, sizeof *w);
    REQUIRE(w != NULL);
    backend_open(w, "cuda:0");
    const kiln_backend *b = w->device->backend;
    void *memory = w->buffer->memory, *graph = NULL;
    uint32_t pattern = 0x3f800000;
    kiln_place called = {memory, 5 * BACKEND_BYTES};
    kiln_node fill = {.kind = KILN_STEP_FILL, .label = "fill"}, copy = {.kind = KILN_STEP_COPY, .label = "copy"},
              call = {.kind = KILN_STEP_CALL, .label = "call"};
    fill.fill.destination = (kiln_place){memory, 2 * BACKEND_BYTES};
    fill.fill.bytes = BACKEND_BYTES;
    fill.fill.pattern = 0x40000000;
    copy.copy.source = fill.fill.destination;
    copy.copy.destination = (kiln_place){memory, 4 * BACKEND_BYTES};
    copy.copy.source_pitch_bytes = copy.copy.destination_pitch_bytes = copy.copy.row_bytes = BACKEND_BYTES / 4;
    copy.copy.rows = 4;
    call.call.call = vendor_call;
    call.call.user = &pattern;
    call.call.operands = &called;
    const kiln_node *const nodes[] = {&fill, &copy, &call};
    for (size_t i = 0; i < 3; i++) /* one by one */
        CHECK_OK(b->enqueue(w->device, w->queue->handle, nodes[i]));
    CHECK(all_are(w, 2, 0x40000000) && all_are(w, 4, 0x40000000) && all_are(w, 5, 0x3f800000));

    REQUIRE_OK(b->graph_build(w->device, w->queue->handle, nodes, 3, &graph));
    fill.fill.pattern = 0x40400000;
    pattern = 0x40800000;
    called.offset_bytes = 3 * BACKEND_BYTES;
    CHECK_OK(b->graph_patch(w->device, graph, 0, &fill));
    CHECK_OK(b->graph_patch(w->device, graph, 2, &call));
    copy.copy.destination.offset_bytes = 0;
    CHECK_OK(b->graph_patch(w->device, graph, 1, &copy));
    CHECK_OK(b->graph_launch(w->device, w->queue->handle, graph));
    CHECK(all_are(w, 0, 0x40400000) && all_are(w, 3, 0x40800000) && all_are(w, 4, 0x40000000));
    CHECK_STATUS(b->graph_patch(w->device, graph, 3, &fill), KILN_E_INTERNAL);
    copy.copy.destination_pitch_bytes *= 2; /* rows apart: to be built anew */
    copy.copy.rows = 2;
    CHECK_STATUS(b->graph_patch(w->device, graph, 1, &copy), KILN_E_UNSUPPORTED);
    b->graph_destroy(w->device, graph);
    pattern = 0;
    CHECK_STATUS(b->graph_build(w->device, w->queue->handle, nodes, 3, &graph), KILN_E_INVALID);
    CHECK_HAS(kiln_last_error(), "the library refuses");
    backend_close(w);
    free(w);
    backend_check_ledger("nodes");
}

/* ---- large and many transfers ---- */

static void test_transfers(void) {
    backend_world *w = calloc(1, sizeof *w);
    REQUIRE(w != NULL);
    backend_open(w, "cuda:0");
    const size_t bytes = 3 << 20;
    kiln_buffer *large = NULL;
    unsigned char *from = malloc(bytes), *to = calloc(1, bytes);
    REQUIRE(from && to);
    for (size_t i = 0; i < bytes; i++)
        from[i] = (unsigned char)(i * 31 + (i >> 12));
    REQUIRE_OK(kiln_buffer_create(w->device, bytes, &large));
    for (size_t i = 0; i < 300; i++) /* more reads and bytes than are staged */
        CHECK_OK(kiln_buffer_write(w->queue, large, i * 10000, from + i * 10000, 10000));
    for (size_t i = 0; i < 300; i++)
        CHECK_OK(kiln_buffer_read(w->queue, large, i * 10000, to + i * 10000, 10000));
    CHECK_OK(kiln_queue_finish(w->queue));
    CHECK(memcmp(from, to, 3000000) == 0);
    memset(to, 0, bytes);
    CHECK_OK(kiln_buffer_write(w->queue, large, 0, from, bytes));
    CHECK_OK(kiln_buffer_read(w->queue, large, 0, to, bytes));
    CHECK_OK(kiln_queue_finish(w->queue));
    CHECK(memcmp(from, to, bytes) == 0);
    /* A write has read its source once the queue is finished, and not before: what is staged is copied at once. */
    memset(from, 1, 1000);
    CHECK_OK(kiln_buffer_write(w->queue, large, 0, from, 1000));
    memset(from, 2, 1000);
    CHECK_OK(kiln_buffer_read(w->queue, large, 0, to, 1000));
    CHECK_OK(kiln_queue_finish(w->queue));
    CHECK(to[0] == 1 && to[999] == 1);
    kiln_buffer_destroy(large);
    free(from);
    free(to);
    backend_close(w);
    free(w);
    backend_check_ledger("transfers");
}

/* ---- time ---- */

static void test_events(void) {
    backend_world *w = calloc(1, sizeof *w);
    REQUIRE(w != NULL);
    backend_open(w, "cuda:0");
    const kiln_backend *b = w->device->backend;
    void *from = NULL, *to = NULL;
    double us = 0;
    REQUIRE_OK(b->event_create(w->device, &from));
    REQUIRE_OK(b->event_create(w->device, &to));
    CHECK_OK(b->event_record(w->device, w->queue->handle, from));
    CHECK_OK(kiln_binding_run(w->binding));
    CHECK_OK(b->event_record(w->device, w->queue->handle, to));
    CHECK_OK(kiln_queue_finish(w->queue));
    CHECK_OK(b->event_elapsed_us(w->device, from, to, &us));
    CHECK(us > 0);
    b->event_destroy(w->device, from);
    b->event_destroy(w->device, to);
    backend_close(w);
    free(w);
    backend_check_ledger("events");
}

int main(void) {
    backend_begin();
    scratch_make(backend_store);
    test_info();
    test_graph();
    test_nodes();
    test_transfers();
    test_events();
    test_warm();
    test_families();
    scratch_remove(backend_store);
    return test_end();
}
