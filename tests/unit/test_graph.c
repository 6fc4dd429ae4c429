/* Graphs on scripted devices: native, native without patching in place, and replayed by the host. */
#include "device.h"
#include "null_script.h"
#include "testing.h"

enum { BYTES = 64 * 64 * 4 };

typedef struct {
    kiln_device *device;
    kiln_queue *queue;
    kiln_plan *plan;
    kiln_buffer *buffer; /* four operands' worth */
    kiln_binding *binding;
    kiln_graph *graph;
} world;

static kiln_view at(const world *w, size_t i) {
    return (kiln_view){w->buffer, i * BYTES};
}

static world open_world(kiln_context *context, const char *device) {
    world w;
    kiln_problem problem;
    REQUIRE_OK(kiln_device_find(context, device, &w.device));
    REQUIRE_OK(kiln_problem_parse(context, "gemm:m=64,n=64,k=64", &problem));
    REQUIRE_OK(kiln_queue_create(w.device, &w.queue));
    REQUIRE_OK(kiln_plan_create(w.device, &problem, NULL, &w.plan));
    REQUIRE_OK(kiln_buffer_create(w.device, 4 * BYTES, &w.buffer));
    const kiln_view v[3] = {at(&w, 0), at(&w, 1), at(&w, 2)};
    REQUIRE_OK(kiln_binding_create(w.plan, w.queue, v, 3, (kiln_view){NULL, 0}, &w.binding));
    REQUIRE_OK(kiln_graph_create(w.queue, &w.graph));
    return w;
}

static void close_world(world *w) {
    kiln_graph_destroy(w->graph);
    kiln_binding_destroy(w->binding);
    kiln_buffer_destroy(w->buffer);
    kiln_plan_destroy(w->plan);
    kiln_queue_destroy(w->queue);
}

static kiln_graph_info info(const world *w) {
    kiln_graph_info i = KILN_GRAPH_INFO_INIT;
    REQUIRE_OK(kiln_graph_get_info(w->graph, &i));
    return i;
}

/* Copies every second word of operand 0 to operand 3, closely, by the graph; and checks it. */
static void test_replay(kiln_context *context, const char *device, bool is_native, uint64_t recaptures) {
    world w = open_world(context, device);
    static uint32_t data[BYTES / 4], got[BYTES / 4];
    for (size_t i = 0; i < BYTES / 4; i++)
        data[i] = (uint32_t)i;
    CHECK_STATUS(kiln_graph_launch(w.graph), KILN_E_INVALID); /* not ended */
    REQUIRE_OK(kiln_graph_add(w.graph, w.binding));
    REQUIRE_OK(kiln_graph_add_copy(w.graph, at(&w, 3), 4, at(&w, 0), 8, 4, 100));
    REQUIRE_OK(kiln_graph_add(w.graph, w.binding)); /* twice is fine: they run in order */
    REQUIRE_OK(kiln_graph_end(w.graph));
    CHECK_STATUS(kiln_graph_end(w.graph), KILN_E_INVALID);
    CHECK_STATUS(kiln_graph_add(w.graph, w.binding), KILN_E_INVALID);
    CHECK(info(&w).is_native == is_native);
    const size_t n_run = info(&w).n_nodes;
    CHECK(n_run == 3);

    REQUIRE_OK(kiln_buffer_write(w.queue, w.buffer, 0, data, BYTES));
    REQUIRE_OK(kiln_buffer_fill(w.queue, w.buffer, 3 * BYTES, BYTES, 0xabcdabcd));
    CHECK_OK(kiln_graph_launch(w.graph));
    CHECK_OK(kiln_graph_launch(w.graph));
    REQUIRE_OK(kiln_buffer_read(w.queue, w.buffer, 3 * BYTES, got, BYTES));
    REQUIRE_OK(kiln_queue_finish(w.queue));
    for (size_t i = 0; i < 100; i++)
        CHECK(got[i] == 2 * i);
    CHECK(got[100] == 0xabcdabcd);

    CHECK_OK(kiln_graph_patch(w.graph, w.binding, 0, at(&w, 3)));
    CHECK_OK(kiln_graph_launch(w.graph));
    CHECK_OK(kiln_queue_finish(w.queue));
    CHECK(info(&w).n_launches == 3 && info(&w).n_patches == 1 && info(&w).n_recaptures == recaptures);
    CHECK_STATUS(kiln_graph_patch(w.graph, w.binding, 0, (kiln_view){NULL, 0}), KILN_E_INVALID);
    CHECK_STATUS(kiln_graph_patch(w.graph, NULL, 0, at(&w, 0)), KILN_E_INVALID);
    close_world(&w);
}

static void test_bad(kiln_context *context) {
    world w = open_world(context, "null:0"), other = open_world(context, "null:1");
    CHECK_STATUS(kiln_graph_add(w.graph, other.binding), KILN_E_INVALID);
    CHECK_HAS(kiln_last_error(), "another queue");
    CHECK_STATUS(kiln_graph_add_copy(w.graph, at(&w, 3), 4, at(&other, 0), 8, 4, 100), KILN_E_INVALID);
    CHECK_STATUS(kiln_graph_add_copy(w.graph, at(&w, 3), 2, at(&w, 0), 8, 4, 100), KILN_E_INVALID);
    CHECK_STATUS(kiln_graph_add_copy(w.graph, at(&w, 3), 4, at(&w, 0), 8, 4, BYTES), KILN_E_INVALID);
    CHECK_STATUS(kiln_graph_add_copy(w.graph, at(&w, 3), 4, at(&w, 0), 8, 4, 0), KILN_E_INVALID);
    CHECK_STATUS(kiln_graph_add_copy(w.graph, at(&w, 3), SIZE_MAX / 2, at(&w, 0), 8, 4, 5), KILN_E_INVALID);
    CHECK_STATUS(kiln_graph_patch(w.graph, w.binding, 0, at(&w, 0)), KILN_E_INVALID); /* not ended */
    CHECK_OK(kiln_graph_end(w.graph));                                                /* an empty graph */
    CHECK_OK(kiln_graph_launch(w.graph));
    kiln_graph_destroy(NULL);
    close_world(&other);
    close_world(&w);
}

/* A launch that fails says so, and the graph can be launched again. */
static void test_failing(void) {
    null_script("device name=a kind=gpu units=4\nfail call=enqueue nth=2 status=KILN_E_DEVICE_LOST\n");
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    options.cache_dir = "";
    options.backends = "null";
    kiln_context *context;
    REQUIRE_OK(kiln_context_create(&options, &context));
    world w = open_world(context, "null");
    REQUIRE_OK(kiln_graph_add(w.graph, w.binding));
    REQUIRE_OK(kiln_graph_add(w.graph, w.binding));
    REQUIRE_OK(kiln_graph_end(w.graph));
    CHECK_STATUS(kiln_graph_launch(w.graph), KILN_E_DEVICE_LOST);
    CHECK_OK(kiln_graph_launch(w.graph));
    close_world(&w);
    kiln_context_destroy(context);
}

int main(void) {
    null_script("device name=a kind=gpu units=4 graphs=1 patch=1\n"
                "device name=b kind=gpu units=4 graphs=1 patch=0\n"
                "device name=c kind=gpu units=4 graphs=0\n");
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    options.cache_dir = "";
    options.backends = "null";
    kiln_context *context;
    REQUIRE_OK(kiln_context_create(&options, &context));
    test_replay(context, "null:0", true, 0);
    test_replay(context, "null:1", true, 2); /* the binding was recorded twice */
    test_replay(context, "null:2", false, 0);
    test_bad(context);
    kiln_context_destroy(context);
    test_failing();
    null_script_end();
    return test_end();
}
