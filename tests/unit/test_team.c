/* Graphs of a CPU device in one kernel: the same results as step by step, whatever the graph is made of. */
#include "testing.h"
#include <pthread.h>

enum { M = 37, N = 48, K = 40, WORDS = 1 << 14, LAUNCHES = 3 };

static kiln_context *open_context(const char *team) {
    kiln_context *context;
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    options.backends = "opencl";
    setenv("KILN_TEAM", team, 1);
    REQUIRE_OK(kiln_context_create(&options, &context));
    return context;
}

static kiln_device *find_cpu(kiln_context *context) {
    for (size_t i = 0; i < kiln_device_count(context); i++) {
        kiln_device_info info = KILN_DEVICE_INFO_INIT;
        kiln_device *device = kiln_device_at(context, i);
        if (kiln_device_get_info(device, &info) == KILN_OK && info.kind == KILN_DEVICE_CPU)
            return device;
    }
    SKIP("no CPU device of OpenCL");
}

/* Bindings whose operands are all in one buffer, one after the other; a run leaves its output in the last. */
typedef struct {
    kiln_plan *plan;
    kiln_binding *binding;
    kiln_buffer *buffer;
    size_t output_bytes, output_offset, output;
} work;

typedef struct {
    kiln_device *device;
    kiln_queue *queue;
    kiln_graph *graph;
    work works[4];
    size_t n_works;
    kiln_buffer *copied; /* WORDS words */
} world;

static work add_work(world *w, const char *text, const char *variant) {
    work made = {0};
    kiln_problem problem;
    kiln_plan_options options = KILN_PLAN_OPTIONS_INIT;
    options.variant = variant;
    REQUIRE_OK(kiln_problem_parse(kiln_device_context(w->device), text, &problem));
    REQUIRE_OK(kiln_plan_create(w->device, &problem, &options, &made.plan));
    kiln_view views[KILN_MAX_OPERANDS] = {{NULL, 0}};
    size_t n = 0, bytes = 0;
    for (const kiln_operand *o; (o = kiln_plan_operand(made.plan, n)); n++)
        bytes += (o->bytes + 255) / 256 * 256;
    REQUIRE_OK(kiln_buffer_create(w->device, bytes, &made.buffer));
    float *values = calloc(1, bytes);
    REQUIRE(values != NULL);
    for (size_t i = 0; i < bytes / sizeof *values; i++)
        values[i] = (float)((i * 2654435761u >> 20) % 17) - 8.0f;
    REQUIRE_OK(kiln_buffer_write(w->queue, made.buffer, 0, values, bytes));
    REQUIRE_OK(kiln_queue_finish(w->queue));
    free(values);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const kiln_operand *o = kiln_plan_operand(made.plan, i);
        if (o->role == KILN_ROLE_OUTPUT) {
            made.output = i;
            made.output_offset = at;
            made.output_bytes = o->bytes;
            REQUIRE_OK(kiln_buffer_fill(w->queue, made.buffer, at, o->bytes, 0));
        }
        if (o->role != KILN_ROLE_PACKED)
            views[i] = (kiln_view){made.buffer, at};
        at += (o->bytes + 255) / 256 * 256;
    }
    REQUIRE_OK(kiln_binding_create(made.plan, w->queue, views, n, (kiln_view){NULL, 0}, &made.binding));
    return w->works[w->n_works++] = made;
}

static world open_world(kiln_context *context) {
    world w = {.device = find_cpu(context)};
    REQUIRE_OK(kiln_queue_create(w.device, &w.queue));
    REQUIRE_OK(kiln_graph_create(w.queue, &w.graph));
    REQUIRE_OK(kiln_buffer_create(w.device, WORDS * 4, &w.copied));
    REQUIRE_OK(kiln_buffer_fill(w.queue, w.copied, 0, WORDS * 4, 0xdeadbeef));
    return w;
}

static void close_world(world *w) {
    kiln_graph_destroy(w->graph);
    for (size_t i = 0; i < w->n_works; i++) {
        kiln_binding_destroy(w->works[i].binding);
        kiln_buffer_destroy(w->works[i].buffer);
        kiln_plan_destroy(w->works[i].plan);
    }
    kiln_buffer_destroy(w->copied);
    kiln_queue_destroy(w->queue);
}

static kiln_view output_of(const work *w) {
    return (kiln_view){w->buffer, w->output_offset};
}

static size_t commands(const world *w) {
    kiln_graph_info info = KILN_GRAPH_INFO_INIT;
    REQUIRE_OK(kiln_graph_get_info(w->graph, &info));
    return info.n_commands;
}

/* A product, a convolution that uses local memory, copies with and without gaps, the product of the copy. */
static void record(world *w, const char *middle) {
    const work product = add_work(w, "gemm:m=37,n=48,k=40,ep=bias+relu", "vec");
    const work conv = add_work(w, "conv:n=2,h=9,w=9,ic=16,oc=16,kh=3,kw=3,ihalo=1,ohalo=1,ep=bn+relu", "winograd");
    REQUIRE_OK(kiln_graph_add(w->graph, product.binding));
    REQUIRE_OK(kiln_graph_add_copy(w->graph, (kiln_view){w->copied, 0}, M * N * 4, output_of(&product), M * N * 4,
                                   M * N * 4, 1));
    if (middle)
        REQUIRE_OK(kiln_graph_add(w->graph, add_work(w, middle, "ref").binding));
    REQUIRE_OK(kiln_graph_add(w->graph, conv.binding));
    /* every second word, at an odd place; then bytes */
    REQUIRE_OK(kiln_graph_add_copy(w->graph, (kiln_view){w->copied, M * N * 4}, 4, output_of(&conv), 8, 4, 501));
    REQUIRE_OK(kiln_graph_add_copy(w->graph, (kiln_view){w->copied, 12001}, 7, output_of(&conv), 5, 3, 99));
    REQUIRE_OK(kiln_graph_end(w->graph));
}

static void run_and_read(world *w, uint32_t *out) {
    for (int i = 0; i < LAUNCHES; i++)
        REQUIRE_OK(kiln_graph_launch(w->graph));
    REQUIRE_OK(kiln_buffer_read(w->queue, w->copied, 0, out, WORDS * 4));
    REQUIRE_OK(kiln_queue_finish(w->queue));
}

static uint32_t expected[WORDS], got[WORDS];

static void test_same_results(kiln_context *team, kiln_context *single) {
    for (int with_ref = 0; with_ref < 2; with_ref++) {
        const char *middle = with_ref ? "gemm:m=5,n=6,k=7" : NULL;
        world a = open_world(single), b = open_world(team);
        record(&a, middle);
        record(&b, middle);
        CHECK(commands(&a) == (with_ref ? 6u : 5u));
        CHECK(commands(&b) == (with_ref ? 3u : 1u)); /* ref has groups of 64 work-items */
        run_and_read(&a, expected);
        run_and_read(&b, got);
        CHECK(memcmp(expected, got, sizeof got) == 0);
        CHECK(got[0] != 0xdeadbeef && got[WORDS - 1] == 0xdeadbeef);
        close_world(&b);
        close_world(&a);
    }
}

/* The patched output gets the result, the old one keeps what it had. */
static void test_patch(kiln_context *context) {
    world w = open_world(context);
    const work product = add_work(&w, "gemm:m=37,n=48,k=40,ep=bias+relu", "vec");
    kiln_buffer *elsewhere;
    REQUIRE_OK(kiln_buffer_create(w.device, M * N * 4, &elsewhere));
    REQUIRE_OK(kiln_graph_add(w.graph, product.binding));
    REQUIRE_OK(kiln_graph_add(w.graph, product.binding));
    REQUIRE_OK(kiln_graph_end(w.graph));
    CHECK(commands(&w) == 1);
    REQUIRE_OK(kiln_graph_launch(w.graph));
    REQUIRE_OK(kiln_buffer_read(w.queue, product.buffer, product.output_offset, expected, M * N * 4));
    REQUIRE_OK(kiln_queue_finish(w.queue));
    REQUIRE_OK(kiln_graph_patch(w.graph, product.binding, product.output, (kiln_view){elsewhere, 0}));
    REQUIRE_OK(kiln_buffer_fill(w.queue, product.buffer, product.output_offset, M * N * 4, 0x12345678));
    REQUIRE_OK(kiln_graph_launch(w.graph));
    REQUIRE_OK(kiln_buffer_read(w.queue, elsewhere, 0, got, M * N * 4));
    REQUIRE_OK(kiln_queue_finish(w.queue));
    CHECK(memcmp(expected, got, M * N * 4) == 0);
    REQUIRE_OK(kiln_buffer_read(w.queue, product.buffer, product.output_offset, got, M * N * 4));
    REQUIRE_OK(kiln_queue_finish(w.queue));
    CHECK(got[0] == 0x12345678 && got[M * N - 1] == 0x12345678);
    close_world(&w);
    kiln_buffer_destroy(elsewhere);
}

/* One step is one kernel already. */
static void test_one_step(kiln_context *context) {
    world w = open_world(context);
    REQUIRE_OK(kiln_graph_add(w.graph, add_work(&w, "gemm:m=37,n=48,k=40", "vec").binding));
    REQUIRE_OK(kiln_graph_end(w.graph));
    CHECK(commands(&w) == 1);
    CHECK_OK(kiln_graph_launch(w.graph));
    close_world(&w);
}

/* Teams of several queues share the device's threads: each must end whatever the others do. */
static void *launch_many(void *context) {
    static uint32_t results[2][WORDS];
    static _Atomic int next;
    world w = open_world(context);
    uint32_t *mine = results[next++];
    record(&w, NULL);
    for (int i = 0; i < 40; i++)
        run_and_read(&w, mine);
    close_world(&w);
    return mine;
}

static void test_two_queues(kiln_context *context) {
    pthread_t threads[2];
    void *results[2];
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_create(&threads[i], NULL, launch_many, context) == 0);
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_join(threads[i], &results[i]) == 0);
    CHECK(memcmp(results[0], results[1], sizeof got) == 0);
}

int main(void) {
    kiln_context *single = open_context("0"), *team = open_context("1");
    (void)find_cpu(team);
    test_same_results(team, single);
    test_patch(team);
    test_one_step(team);
    test_two_queues(team);
    kiln_context_destroy(team);
    kiln_context_destroy(single);
    return test_end();
}
