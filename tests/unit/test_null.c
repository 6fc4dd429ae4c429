/* The scripted test backend: what other tests rely on. */
#include "backends/null.h"
#include "null_script.h"
#include "testing.h"

static const char source[] = "#define KILN_KERNEL(entry, x, y, z) __kernel void entry\n"
                             "KILN_KERNEL(first, 8, 1, 1)(int a) {}\n"
                             "  KILN_KERNEL(second, 8, 1, 1)(int a) {}\n"
                             "NOT_KILN_KERNEL(third)\n";

static char logged[4096];

static void keep_log(void *user, kiln_log_level level, const char *message) {
    (void)user, (void)level;
    strncat(logged, message, sizeof logged - strlen(logged) - 1);
    strncat(logged, "\n", sizeof logged - strlen(logged) - 1);
}

typedef struct {
    kiln_context *context;
    kiln_device *device;
    const kiln_backend *backend;
    kiln_queue *queue;
    void *module;
} world;

static kiln_status create_context(kiln_context **out) {
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    options.cache_dir = "";
    options.backends = "null";
    options.log = keep_log;
    logged[0] = 0;
    return kiln_context_create(&options, out);
}

static kiln_status compile(kiln_device *device, const char *defines, void **module) {
    void *binary;
    size_t bytes;
    KILN_TRY(device->backend->compile(device, source, sizeof source - 1, "test.cl", defines, &binary, &bytes));
    const kiln_status status = device->backend->module_load(device, binary, bytes, module);
    kiln__free(device->context, binary);
    return status;
}

#define OPEN_WORLD(w, ...)                                                                                             \
    world w;                                                                                                           \
    null_script(__VA_ARGS__);                                                                                          \
    start_world(&w)
static void start_world(world *w) {
    REQUIRE_OK(create_context(&w->context));
    w->device = kiln_device_at(w->context, 0);
    REQUIRE(w->device != NULL);
    w->backend = w->device->backend;
    REQUIRE_OK(kiln_queue_create(w->device, &w->queue));
    REQUIRE_OK(compile(w->device, "-DKP_mr=6 -DKP_nv=2", &w->module));
}

static void close_world(world *w) {
    w->backend->module_unload(w->device, w->module);
    kiln_queue_destroy(w->queue);
    for (int kind = 0; kind < KILN_NULL_N_OBJECTS; kind++)
        CHECK(kiln__null_live(w->device, (kiln_null_object)kind) == 0);
    CHECK(kiln__null_misuses(w->device) == 0);
    kiln_context_destroy(w->context);
    CHECK_STR(logged, "");
}

static kiln_status make_kernel(const world *w, const kiln_launch *launch, const kiln_arg_value *args, size_t n,
                               kiln_node *node) {
    *node = (kiln_node){.kind = KILN_STEP_KERNEL, .label = launch->entry};
    return w->backend->kernel_create(w->device, w->module, launch, args, n, &node->kernel);
}

static kiln_status enqueue(const world *w, const kiln_node *node) {
    return kiln__queue_enqueue(w->queue, node);
}

static const kiln_launch usual = {.entry = "first", .grid = {2, 1, 1}, .group = {8, 1, 1}};

/* ---- the script ---- */

static void test_bad_scripts(void) {
    static const struct {
        const char *text, *part;
    } bad[] = {
        {"devise name=a\n", "line 1: unknown statement \"devise\""},
        {"\n# fine\ndevice colour=red\n", "line 3: device: unknown word \"colour\""},
        {"device units\n", "\"units\" is not of the form"},
        {"device units=\n", "units=: not a number"},
        {"device units=0\n", "must not be empty or 0"},
        {"device units=-1\n", "not a number"},
        {"device units=4294967296\n", "from 0 to 4294967295"},
        {"device memory=99999999999999999999\n", "not a number"},
        {"device graphs=2\n", "from 0 to 1"},
        {"device kind=tpu\n", "kind=tpu: unknown"},
        {"device kind=\n", "use gpu, cpu or other"},
        {"device features=avx2,mmx\n", "\"mmx\" is unknown"},
        {"device launch_us=nan\n", "not a time"},
        {"device\nfail call=alloc\n", "needs call= and a status="},
        {"device\nfail call=alloc status=KILN_OK\n", "other than KILN_OK"},
        {"device\nfail call=alloc status=KILN_E_WHAT\n", "not the name of a status"},
        {"device\nfail call=fly status=KILN_E_DEVICE\n", "call=fly: unknown"},
        {"device\nfail call=alloc status=KILN_E_DEVICE us=1\n", "unknown word \"us\""},
        {"device\nfail call=alloc status=KILN_E_DEVICE device=1\n", "names device 1 of 1"},
        {"device\nfail call=alloc status=KILN_E_DEVICE device=8\n", "at most 8"},
        {"device\ntime kernel=a\n", "needs us="},
        {"device\ntime us=1\n", "needs us= and kernel= or call="},
        {"device\ntime kernel=a us=-1\n", "not a time"},
        {"device\nresources registers=1\n", "needs kernel="},
    };
    kiln_context *context = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        null_script("%s", bad[i].text);
        CHECK_STATUS(create_context(&context), KILN_E_PARSE);
        CHECK_HAS(kiln_last_error(), bad[i].part);
        CHECK_HAS(kiln_last_error(), null_script_path);
    }
    char longer[2048];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    null_script("device\n%s\n", longer);
    CHECK_STATUS(create_context(&context), KILN_E_PARSE);
    CHECK_HAS(kiln_last_error(), "line 2: longer than");
    null_script("device name=%.64s\n", longer);
    CHECK_STATUS(create_context(&context), KILN_E_PARSE);
    null_script("device\ndevice\ndevice\ndevice\ndevice\ndevice\ndevice\ndevice\ndevice\n");
    CHECK_STATUS(create_context(&context), KILN_E_PARSE);
    CHECK_HAS(kiln_last_error(), "line 9: more than 8 devices");
    CHECK(context == NULL);
}

static void test_no_script(void) {
    kiln_context *context;
    setenv("KILN_NULL_SCRIPT", "/nonexistent", 1);
    REQUIRE_OK(create_context(&context));
    CHECK(kiln_device_count(context) == 0);
    CHECK_HAS(kiln_device_report(context), "/nonexistent cannot be opened");
    kiln_context_destroy(context);
    setenv("KILN_NULL_SCRIPT", "/tmp", 1);
    REQUIRE_OK(create_context(&context));
    CHECK(kiln_device_count(context) == 0);
    CHECK_HAS(kiln_device_report(context), "/tmp cannot be read");
    kiln_context_destroy(context);
}

/* ---- memory and queues ---- */

/* Nothing happens before the queue has finished, and what is under way keeps its memory. */
static void test_put_off(void) {
    OPEN_WORLD(w, "device\n");
    kiln_buffer *a, *b;
    uint32_t from[16], to[16] = {0};
    for (uint32_t i = 0; i < 16; i++)
        from[i] = i;
    REQUIRE_OK(kiln_buffer_create(w.device, 64, &a));
    REQUIRE_OK(kiln_buffer_create(w.device, 64, &b));
    CHECK_OK(kiln_buffer_write(w.queue, a, 0, from, 64));
    const kiln_node copy = {.kind = KILN_STEP_COPY,
                            .label = "copy",
                            .copy = {.destination = {b->memory, 4},
                                     .source = {a->memory, 8},
                                     .destination_pitch_bytes = 8,
                                     .source_pitch_bytes = 16,
                                     .row_bytes = 4,
                                     .rows = 3}};
    CHECK_OK(kiln_buffer_fill(w.queue, b, 0, 64, 7));
    CHECK_OK(enqueue(&w, &copy));
    CHECK_OK(kiln_buffer_read(w.queue, b, 0, to, 64));
    CHECK_OK(kiln__queue_flush(w.queue));
    CHECK(to[1] == 0);
    CHECK_STR(kiln__null_trace(w.device), "");
    kiln_buffer_destroy(b);
    CHECK_OK(kiln_queue_finish(w.queue));
    CHECK(to[0] == 7 && to[1] == 2 && to[2] == 7 && to[3] == 6 && to[5] == 10 && to[6] == 7 && to[7] == 7);
    CHECK_STR(kiln__null_trace(w.device), "write m1+0 bytes=64\nfill m2+0 bytes=64 pattern=0x00000007\n"
                                          "copy m2+4 <- m1+8 row=4 rows=3\nread m2+0 bytes=64\n");
    CHECK(kiln__null_clock_us(w.device) == 4);
    kiln__null_trace_clear(w.device);
    CHECK_STR(kiln__null_trace(w.device), "");
    kiln_node outside = copy;
    outside.copy.destination.memory = a->memory;
    outside.copy.rows = 5; /* the last of the source is out */
    CHECK_STATUS(enqueue(&w, &outside), KILN_E_INTERNAL);
    outside.copy.rows = 3;
    outside.copy.destination_pitch_bytes = SIZE_MAX / 2;
    CHECK_STATUS(enqueue(&w, &outside), KILN_E_INTERNAL);
    kiln_buffer_destroy(a);
    close_world(&w);
}

/* More than a queue can put off. */
static void test_long_queue(void) {
    OPEN_WORLD(w, "device\ntime call=fill us=0.5\n");
    kiln_buffer *a;
    uint32_t to = 0;
    REQUIRE_OK(kiln_buffer_create(w.device, 4, &a));
    for (uint32_t i = 0; i < 1000; i++)
        CHECK_OK(kiln_buffer_fill(w.queue, a, 0, 4, i));
    CHECK_OK(kiln_buffer_read(w.queue, a, 0, &to, 4));
    CHECK_OK(kiln_queue_finish(w.queue));
    CHECK(to == 999);
    CHECK(kiln__null_clock_us(w.device) == 501);
    for (uint32_t i = 0; i < 20000; i++) /* and more than a trace holds */
        CHECK_OK(kiln_buffer_fill(w.queue, a, 0, 4, i));
    CHECK_OK(kiln_queue_finish(w.queue));
    const char *trace = kiln__null_trace(w.device);
    CHECK(strlen(trace) < 1 << 18 && strcmp(trace + strlen(trace) - 4, "…\n") == 0);
    kiln_buffer_destroy(a);
    close_world(&w);
}

static void test_memory(void) {
    OPEN_WORLD(w, "device memory=1000 max_alloc=600\nfail call=alloc nth=3 status=KILN_E_DEVICE\n");
    kiln_buffer *a, *b;
    CHECK_OK(kiln_buffer_create(w.device, 600, &a));
    CHECK_STATUS(kiln_buffer_create(w.device, 401, &b), KILN_E_DEVICE_MEMORY);
    CHECK_STATUS(kiln_buffer_create(w.device, 400, &b), KILN_E_DEVICE);
    CHECK_HAS(kiln_last_error(), "null:0: scripted failure of call 3");
    CHECK_OK(kiln_buffer_create(w.device, 400, &b));
    CHECK(kiln__null_live(w.device, KILN_NULL_MEMORY) == 2);
    kiln_buffer_destroy(a);
    CHECK_OK(kiln_buffer_create(w.device, 600, &a));
    CHECK(kiln__null_calls(w.device, KILN_NULL_CALL_alloc) == 5);
    kiln_buffer_destroy(a);
    kiln_buffer_destroy(b);
    close_world(&w);
}

/* ---- programs and kernels ---- */

static void test_programs(void) {
    OPEN_WORLD(w, "device\nfail call=compile source=other status=KILN_E_COMPILE\n"
                  "fail call=module_load defines=A=2 status=KILN_E_CORRUPT\n"
                  "resources kernel=second registers=40 spill=8 local=1024\n");
    void *binary, *module;
    size_t bytes;
    const kiln_backend *b = w.backend;
    CHECK_STATUS(b->compile(w.device, source, sizeof source - 1, "an/other.cl", "", &binary, &bytes), KILN_E_COMPILE);
    CHECK_STATUS(compile(w.device, "-DA=2", &module), KILN_E_CORRUPT);
    CHECK_OK(compile(w.device, "-DA=21 -DBA=2", &module));
    b->module_unload(w.device, module);

    REQUIRE_OK(b->compile(w.device, source, sizeof source - 1, "test.cl", "-DA=1", &binary, &bytes));
    char *damaged = malloc(bytes);
    REQUIRE(damaged != NULL);
    for (size_t i = 0; i < bytes; i++) { /* any one byte */
        memcpy(damaged, binary, bytes);
        damaged[i] = (char)(damaged[i] ^ 1);
        CHECK_STATUS(b->module_load(w.device, damaged, bytes, &module), KILN_E_CORRUPT);
    }
    for (size_t n = 0; n < bytes; n++)
        CHECK_STATUS(b->module_load(w.device, binary, n, &module), KILN_E_CORRUPT);
    free(damaged);
    kiln__free(w.context, binary);

    kiln_resources r;
    CHECK_OK(b->module_resources(w.device, w.module, "second", &r));
    CHECK(r.registers == 40 && r.spills == 8 && r.local_bytes == 1024 && r.max_group_size == 1024);
    CHECK_OK(b->module_resources(w.device, w.module, "first", &r));
    CHECK(r.registers == 0 && r.max_group_size == 1024);
    const char *const missing[] = {"third", "entry", "fir", ""};
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++)
        CHECK_STATUS(b->module_resources(w.device, w.module, missing[i], &r), KILN_E_NOT_FOUND);
    close_world(&w);
}

static void test_launches(void) {
    OPEN_WORLD(w, "device units=4 max_group=64 local=1000\n"
                  "time kernel=first us=12.5 defines=KP_mr=6\ntime kernel=first us=99 defines=KP_mr=60\n");
    kiln_buffer *a;
    kiln_node node, again;
    REQUIRE_OK(kiln_buffer_create(w.device, 256, &a));
    kiln_arg_value args[] = {{.kind = KILN_ARG_OPERAND, .place = {a->memory, 64}, .bytes = 192},
                             {.kind = KILN_ARG_I32, .i32 = -7},
                             {.kind = KILN_ARG_F32, .f32 = 1.5f},
                             {.kind = KILN_ARG_LOCAL, .bytes = 1000},
                             {.kind = KILN_ARG_OPERAND}};
    CHECK_OK(make_kernel(&w, &usual, args, 5, &node));
    kiln_launch second = {.entry = "second", .grid = {KILN_GRID_RESIDENT, 2, 1}, .group = {64, 1, 1}};
    CHECK_OK(make_kernel(&w, &second, NULL, 0, &again));
    CHECK_OK(enqueue(&w, &node));
    CHECK_OK(enqueue(&w, &again));
    args[0].place.offset_bytes = 128;
    args[0].bytes = 64;
    CHECK_OK(w.backend->kernel_patch(w.device, node.kernel, 0, &args[0])); /* not for the launch under way */
    CHECK_OK(enqueue(&w, &node));
    CHECK_OK(kiln_queue_finish(w.queue));
    CHECK_STR(kiln__null_trace(w.device), "kernel first grid=2x1x1 group=8x1x1 args=m1+64,-7,1.5,local:1000,m0+0\n"
                                          "kernel second grid=4x2x1 group=64x1x1 args=\n"
                                          "kernel first grid=2x1x1 group=8x1x1 args=m1+128,-7,1.5,local:1000,m0+0\n");
    CHECK(kiln__null_clock_us(w.device) == 12.5 + 10 + 12.5);
    CHECK_STATUS(w.backend->kernel_patch(w.device, node.kernel, 5, &args[0]), KILN_E_INVALID);
    CHECK_STATUS(w.backend->kernel_patch(w.device, node.kernel, 1, &args[0]), KILN_E_INVALID);
    args[0].bytes = 256;
    CHECK_STATUS(w.backend->kernel_patch(w.device, node.kernel, 0, &args[0]), KILN_E_INVALID);
    w.backend->kernel_destroy(w.device, node.kernel);
    w.backend->kernel_destroy(w.device, again.kernel);

    args[0] = (kiln_arg_value){.kind = KILN_ARG_LOCAL, .bytes = 1};
    CHECK_STATUS(make_kernel(&w, &usual, args, 5, &node), KILN_E_UNSUPPORTED); /* 1001 of 1000 */
    args[0] = (kiln_arg_value){.kind = KILN_ARG_WORKSPACE, .place = {a->memory, 4}};
    CHECK_STATUS(make_kernel(&w, &usual, args, 1, &node), KILN_E_INVALID);
    CHECK_HAS(kiln_last_error(), "use a multiple of 64");
    second.group[1] = 2;
    CHECK_STATUS(make_kernel(&w, &second, NULL, 0, &node), KILN_E_UNSUPPORTED); /* 128 of 64 */
    second.group[1] = 0;
    CHECK_STATUS(make_kernel(&w, &second, NULL, 0, &node), KILN_E_INVALID);
    second.entry = "third";
    CHECK_STATUS(make_kernel(&w, &second, NULL, 0, &node), KILN_E_NOT_FOUND);
    kiln_buffer_destroy(a);
    close_world(&w);
}

/* What only some devices can do. */
static void test_abilities(void) {
    kiln_launch clusters = usual, cooperative = usual;
    kiln_node node;
    const kiln_arg_value map = {.kind = KILN_ARG_TENSOR_MAP};
    clusters.grid[0] = 4;
    clusters.cluster[0] = 2;
    clusters.cluster[1] = clusters.cluster[2] = 1;
    cooperative.cooperative = true;
    OPEN_WORLD(w, "device units=4\n");
    CHECK_STATUS(make_kernel(&w, &clusters, NULL, 0, &node), KILN_E_UNSUPPORTED);
    CHECK_HAS(kiln_last_error(), "no clusters");
    CHECK_STATUS(make_kernel(&w, &cooperative, NULL, 0, &node), KILN_E_UNSUPPORTED);
    CHECK_HAS(kiln_last_error(), "no cooperative launch");
    CHECK_STATUS(make_kernel(&w, &usual, &map, 1, &node), KILN_E_UNSUPPORTED);
    CHECK_HAS(kiln_last_error(), "tensor map");
    close_world(&w);

    OPEN_WORLD(able, "device units=4 clusters=1 cooperative=1 tensor_maps=1\n");
    CHECK_OK(make_kernel(&able, &clusters, NULL, 0, &node));
    CHECK_OK(enqueue(&able, &node));
    CHECK_OK(kiln_queue_finish(able.queue));
    CHECK_HAS(kiln__null_trace(able.device), "cluster=2x1x1");
    able.backend->kernel_destroy(able.device, node.kernel);
    clusters.grid[0] = 5;
    CHECK_STATUS(make_kernel(&able, &clusters, NULL, 0, &node), KILN_E_INVALID); /* half a cluster */
    CHECK_OK(make_kernel(&able, &cooperative, &map, 1, &node));
    able.backend->kernel_destroy(able.device, node.kernel);
    cooperative.grid[1] = 3;
    CHECK_STATUS(make_kernel(&able, &cooperative, NULL, 0, &node), KILN_E_UNSUPPORTED);
    CHECK_HAS(kiln_last_error(), "6 groups of a cooperative launch; 4 fit");
    close_world(&able);
}

/* ---- failures ---- */

static void test_scripted_failures(void) {
    OPEN_WORLD(w, "device name=a\ndevice name=b\n"
                  "fail call=enqueue kernel=second nth=2 status=KILN_E_DEVICE_LOST device=0\n"
                  "fail call=queue_finish nth=2 status=KILN_E_TIMEOUT device=0\n");
    kiln_node first, second;
    kiln_launch launch = usual;
    CHECK_OK(make_kernel(&w, &launch, NULL, 0, &first));
    launch.entry = "second";
    CHECK_OK(make_kernel(&w, &launch, NULL, 0, &second));
    CHECK_OK(enqueue(&w, &second));
    CHECK_OK(enqueue(&w, &first));
    CHECK_STATUS(enqueue(&w, &second), KILN_E_DEVICE_LOST);
    CHECK_OK(enqueue(&w, &second));
    CHECK_OK(kiln_queue_finish(w.queue));
    kiln__null_trace_clear(w.device);
    CHECK_OK(enqueue(&w, &first));
    CHECK_STATUS(kiln_queue_finish(w.queue), KILN_E_TIMEOUT); /* and loses the work */
    CHECK_STR(kiln__null_trace(w.device), "");
    CHECK_OK(kiln_queue_finish(w.queue));
    CHECK_STR(kiln__null_trace(w.device), "");
    CHECK(kiln__null_calls(w.device, KILN_NULL_CALL_enqueue) == 5);
    CHECK(kiln__null_calls(kiln_device_at(w.context, 1), KILN_NULL_CALL_enqueue) == 0);
    w.backend->kernel_destroy(w.device, first.kernel);
    w.backend->kernel_destroy(w.device, second.kernel);
    close_world(&w);
}

/* A kernel destroyed while it is under way, and things never destroyed, are told. */
static void test_ledger(void) {
    OPEN_WORLD(w, "device\n");
    kiln_node node;
    void *event;
    REQUIRE_OK(make_kernel(&w, &usual, NULL, 0, &node));
    CHECK_OK(enqueue(&w, &node));
    w.backend->kernel_destroy(w.device, node.kernel);
    CHECK(kiln__null_misuses(w.device) == 1);
    REQUIRE_OK(w.backend->event_create(w.device, &event));
    CHECK(kiln__null_live(w.device, KILN_NULL_EVENT) == 1);
    CHECK(kiln__null_live(w.device, KILN_NULL_MODULE) == 1);
    CHECK(kiln__null_live(w.device, KILN_NULL_QUEUE) == 1);
    w.device->backend->close(w.device); /* as the context does */
    CHECK_HAS(logged, "null:0: 1 modules not freed");
    CHECK_HAS(logged, "null:0: 1 queues not freed");
    CHECK_HAS(logged, "null:0: 1 events not freed");
    CHECK_HAS(logged, "null:0: 1 things destroyed that pending work used");
    w.backend->event_destroy(w.device, event);
    w.backend->module_unload(w.device, w.module);
    kiln_queue_destroy(w.queue);
    kiln_context_destroy(w.context);
}

/* ---- events, calls, graphs ---- */

static void test_events(void) {
    OPEN_WORLD(w, "device\ntime kernel=first us=3.25\n");
    kiln_node node;
    void *from, *to;
    double us = -1;
    REQUIRE_OK(make_kernel(&w, &usual, NULL, 0, &node));
    REQUIRE_OK(w.backend->event_create(w.device, &from));
    REQUIRE_OK(w.backend->event_create(w.device, &to));
    CHECK_OK(w.backend->event_record(w.device, w.queue->handle, from));
    CHECK_OK(enqueue(&w, &node));
    CHECK_OK(enqueue(&w, &node));
    CHECK_OK(w.backend->event_record(w.device, w.queue->handle, to));
    CHECK_STATUS(w.backend->event_elapsed_us(w.device, from, to, &us), KILN_E_INVALID);
    CHECK_OK(kiln_queue_finish(w.queue));
    CHECK_OK(w.backend->event_elapsed_us(w.device, from, to, &us));
    CHECK(us == 6.5);
    w.backend->event_destroy(w.device, from);
    w.backend->event_destroy(w.device, to);
    w.backend->kernel_destroy(w.device, node.kernel);
    close_world(&w);
}

static kiln_status vendor(void *user, void *native_queue, const kiln_place *operands) {
    const kiln_node *node = user;
    kiln_device *device = (kiln_device *)(uintptr_t)operands[0].offset_bytes;
    return device->backend->enqueue(device, native_queue, node);
}

/* A vendor library enqueues on the queue it is given, in order. */
static void test_calls(void) {
    OPEN_WORLD(w, "device\n");
    kiln_node node;
    REQUIRE_OK(make_kernel(&w, &usual, NULL, 0, &node));
    const kiln_place operands[] = {{NULL, (size_t)(uintptr_t)w.device}};
    const kiln_node call = {
        .kind = KILN_STEP_CALL, .label = "call", .call = {.call = vendor, .user = &node, .operands = operands}};
    CHECK_OK(enqueue(&w, &node));
    CHECK_OK(enqueue(&w, &call));
    CHECK_OK(kiln_queue_finish(w.queue));
    CHECK_STR(kiln__null_trace(w.device), "kernel first grid=2x1x1 group=8x1x1 args=\ncall\n"
                                          "kernel first grid=2x1x1 group=8x1x1 args=\n");
    w.backend->kernel_destroy(w.device, node.kernel);
    close_world(&w);
}

static void test_graphs(void) {
    OPEN_WORLD(w, "device graphs=1 patch=1 launch_us=4\n");
    const kiln_backend *b = w.backend;
    kiln_buffer *a;
    void *graph;
    uint32_t word = 0;
    REQUIRE_OK(kiln_buffer_create(w.device, 64, &a));
    kiln_arg_value arg = {.kind = KILN_ARG_I32, .i32 = 1};
    kiln_node kernel, fill = {.kind = KILN_STEP_FILL,
                              .label = "fill",
                              .fill = {.destination = {a->memory, 0}, .bytes = 4, .pattern = 5}};
    REQUIRE_OK(make_kernel(&w, &usual, &arg, 1, &kernel));
    const kiln_node *nodes[] = {&kernel, &fill, &kernel};
    REQUIRE_OK(b->graph_build(w.device, w.queue->handle, nodes, 3, &graph));
    arg.i32 = 2;
    fill.fill.pattern = 6;
    CHECK_OK(b->kernel_patch(w.device, kernel.kernel, 0, &arg)); /* a graph keeps what it was built from */
    CHECK_OK(b->graph_launch(w.device, w.queue->handle, graph));
    CHECK_OK(kiln_buffer_read(w.queue, a, 0, &word, 4));
    CHECK_OK(kiln_queue_finish(w.queue));
    CHECK(word == 5);
    CHECK_STR(kiln__null_trace(w.device), "graph nodes=3\nkernel first grid=2x1x1 group=8x1x1 args=1\n"
                                          "fill m1+0 bytes=4 pattern=0x00000005\n"
                                          "kernel first grid=2x1x1 group=8x1x1 args=1\nread m1+0 bytes=4\n");
    CHECK(kiln__null_clock_us(w.device) == 4 + 6 + 1 + 6 + 1); /* eagerly the kernels take 10 each */
    kiln__null_trace_clear(w.device);
    CHECK_OK(b->graph_launch(w.device, w.queue->handle, graph)); /* under way: sees the old nodes */
    CHECK_OK(b->graph_patch(w.device, graph, 0, &kernel));
    CHECK_OK(b->graph_patch(w.device, graph, 1, &fill));
    CHECK_OK(b->graph_launch(w.device, w.queue->handle, graph));
    CHECK_OK(kiln_queue_finish(w.queue));
    CHECK_STR(kiln__null_trace(w.device), "graph nodes=3\nkernel first grid=2x1x1 group=8x1x1 args=1\n"
                                          "fill m1+0 bytes=4 pattern=0x00000005\n"
                                          "kernel first grid=2x1x1 group=8x1x1 args=1\n"
                                          "graph nodes=3\nkernel first grid=2x1x1 group=8x1x1 args=2\n"
                                          "fill m1+0 bytes=4 pattern=0x00000006\n"
                                          "kernel first grid=2x1x1 group=8x1x1 args=1\n");
    CHECK_STATUS(b->graph_patch(w.device, graph, 3, &kernel), KILN_E_INTERNAL);
    CHECK_STATUS(b->graph_patch(w.device, graph, 1, &kernel), KILN_E_INTERNAL);
    CHECK(kiln__null_live(w.device, KILN_NULL_GRAPH) == 1);
    b->graph_destroy(w.device, graph);
    b->kernel_destroy(w.device, kernel.kernel);
    kiln_buffer_destroy(a);
    close_world(&w);

    OPEN_WORLD(unable, "device graphs=1\n");
    REQUIRE_OK(unable.backend->graph_build(unable.device, unable.queue->handle, nodes, 0, &graph));
    CHECK_STATUS(unable.backend->graph_patch(unable.device, graph, 0, &fill), KILN_E_UNSUPPORTED);
    unable.backend->graph_destroy(unable.device, graph);
    close_world(&unable);
    OPEN_WORLD(plain, "device\n");
    CHECK_STATUS(plain.backend->graph_build(plain.device, plain.queue->handle, nodes, 0, &graph), KILN_E_UNSUPPORTED);
    close_world(&plain);
}

int main(void) {
    test_bad_scripts();
    test_no_script();
    test_put_off();
    test_long_queue();
    test_memory();
    test_programs();
    test_launches();
    test_abilities();
    test_scripted_failures();
    test_ledger();
    test_events();
    test_calls();
    test_graphs();
    null_script_end();
    return test_end();
}
