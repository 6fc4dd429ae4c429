/* Every call of the CUDA driver that Kiln makes fails once, at every place: a status that says which call it was,
 * nothing left behind, and afterwards a context that works or a device that is lost. On the simulated driver (simcuda),
 * whose ledger knows what was not released. */
#include "backends/cuda.h"
#include "scratch.h"
#include "simcuda/simcuda.h"
#include "testing.h"
#include <dlfcn.h>
#include <unistd.h>

/* ---- the simulator ---- */

static struct {
    void (*reset)(void);
    size_t (*ledger)(char *text, size_t bytes);
    CUresult (*cuCtxSetCurrent)(CUcontext context);
    CUresult (*cuStreamCreateWithPriority)(CUstream *stream, unsigned flags, int priority);
} sim;

static void take(void *library, const char *name, void *function) {
    void *symbol = dlsym(library, name);
    REQUIRE(symbol);
    memcpy(function, &symbol, sizeof symbol);
}

static void open_simulator(void) {
    char path[4096];
    const ssize_t length = readlink("/proc/self/exe", path, sizeof path - sizeof "libsimcuda.so");
    REQUIRE(length > 0);
    path[length] = '\0';
    strcpy(strrchr(path, '/') + 1, "libsimcuda.so");
    setenv("KILN_CUDA_LIBRARY", path, 1);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    REQUIRE(library);
    take(library, "simcuda_reset", &sim.reset);
    take(library, "simcuda_ledger", &sim.ledger);
    take(library, "cuCtxSetCurrent", &sim.cuCtxSetCurrent);
    take(library, "cuStreamCreateWithPriority", &sim.cuStreamCreateWithPriority);
}

/* ---- what Kiln is asked to do ---- */

typedef struct world {
    kiln_context *context;
    kiln_device *device;
    bool engine_failed; /* the failure hit a call of the test's own */
} world;

static kiln_status open_world(const char *store, world *w) {
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    options.cache_dir = store;
    options.backends = "cuda";
    options.log_level = KILN_LOG_OFF;
    *w = (world){0};
    REQUIRE_OK(kiln_context_create(&options, &w->context));
    return kiln_device_find(w->context, "cuda:0", &w->device);
}

enum { K = 16, PLACE = 4096, PLACES = 8 };

static bool all_equal(const float *values, size_t n, float expected) {
    for (size_t i = 0; i < n; i++)
        if (values[i] != expected)
            return false;
    return true;
}

/* Plan, run, graph, patch, destroy, as an engine calls it. */
typedef struct user {
    kiln_queue *queue;
    kiln_plan *plan;
    kiln_buffer *buffer;
    kiln_binding *binding;
    kiln_graph *graph;
} user;

static kiln_status use_plan(world *w, user *u) {
    kiln_problem problem;
    kiln_plan_info info = KILN_PLAN_INFO_INIT;
    kiln_view views[PLACES];
    size_t output = 0;
    static float got[PLACES][PLACE / sizeof(float)];
    REQUIRE_OK(kiln_problem_parse(w->context, "gemm:m=16,n=16,k=16", &problem));
    KILN_TRY(kiln_queue_create(w->device, &u->queue));
    KILN_TRY(kiln_plan_create(w->device, &problem, NULL, &u->plan));
    REQUIRE_OK(kiln_plan_get_info(u->plan, &info));
    REQUIRE(info.n_operands + 2 <= PLACES && info.workspace_bytes == 0);
    KILN_TRY(kiln_buffer_create(w->device, PLACES * PLACE, &u->buffer));
    for (size_t i = 0; i < PLACES; i++)
        views[i] = (kiln_view){u->buffer, i * PLACE};
    while (kiln_plan_operand(u->plan, output)->role != KILN_ROLE_OUTPUT)
        output++;
    const size_t bytes = kiln_plan_operand(u->plan, output)->bytes, spare = PLACES - 2, other = PLACES - 1;
    KILN_TRY(kiln_buffer_fill(u->queue, u->buffer, 0, PLACES * PLACE, 0x3f800000)); /* 1.0f */
    KILN_TRY(kiln_binding_create(u->plan, u->queue, views, info.n_operands, (kiln_view){NULL, 0}, &u->binding));
    KILN_TRY(kiln_binding_prepare(u->binding));
    KILN_TRY(kiln_binding_run(u->binding));
    KILN_TRY(kiln_graph_create(u->queue, &u->graph));
    KILN_TRY(kiln_graph_add(u->graph, u->binding));
    KILN_TRY(kiln_graph_add_copy(u->graph, views[spare], bytes, views[output], bytes, bytes, 1));
    KILN_TRY(kiln_graph_end(u->graph));
    KILN_TRY(kiln_graph_launch(u->graph));
    KILN_TRY(kiln_queue_finish(u->queue));
    KILN_TRY(kiln_graph_patch(u->graph, u->binding, output, views[other]));
    KILN_TRY(kiln_graph_launch(u->graph));
    KILN_TRY(kiln_buffer_write(u->queue, u->buffer, 0, got[0], sizeof(float)));
    KILN_TRY(kiln_buffer_read(u->queue, u->buffer, 0, got, sizeof got));
    KILN_TRY(kiln_queue_finish(u->queue));
    CHECK(all_equal(got[spare], bytes / sizeof(float), K));
    CHECK(all_equal(got[other], bytes / sizeof(float), K));
    return KILN_OK;
}

static kiln_status plan_and_run(world *w) {
    user u = {0};
    const kiln_status status = use_plan(w, &u);
    kiln_graph_destroy(u.graph);
    kiln_binding_destroy(u.binding);
    kiln_buffer_destroy(u.buffer);
    kiln_plan_destroy(u.plan);
    kiln_queue_destroy(u.queue);
    return status;
}

/* The rest of the backend, slot by slot: a cooperative kernel with much local memory, every kind of node, events. */
static const char source[] = "extern \"C\" __global__ void twice(float *data, int n) {\n"
                             "    extern __shared__ float shared[];\n"
                             "    const int i = blockIdx.x * blockDim.x + threadIdx.x;\n"
                             "    shared[threadIdx.x] = i < n ? data[i] : 0;\n"
                             "    __syncthreads();\n"
                             "    if (i < n)\n"
                             "        data[i] = 2 * shared[threadIdx.x];\n"
                             "}\n";

typedef struct slots {
    void *module, *memory, *queue, *kernel, *graph, *events[2];
} slots;

/* A vendor library, which says what the driver said. */
static kiln_status fill_by_library(void *device, void *native_queue, const kiln_place *operands) {
    CUDA_TRY((const kiln_device *)device, cuMemsetD32Async, cuda_address(operands[0]), 0x40400000, 4, native_queue);
    return KILN_OK;
}

static kiln_status use_graph(kiln_device *device, slots *s) {
    const kiln_backend *b = device->backend;
    const kiln_place data = {s->memory, 0}, row = {s->memory, 256}, rows = {s->memory, 512}, last = {s->memory, 1024};
    const kiln_node nodes[] = {
        {.kind = KILN_STEP_FILL, .label = "fill", .fill = {data, 256, 0x3f800000}},
        {.kind = KILN_STEP_KERNEL, .label = "twice", .kernel = s->kernel},
        {.kind = KILN_STEP_COPY, .label = "copy", .copy = {row, data, 64, 64, 64, 1}},
        {.kind = KILN_STEP_COPY, .label = "rows", .copy = {rows, data, 8, 16, 8, 4}},
        {.kind = KILN_STEP_CALL, .label = "call", .call = {fill_by_library, device, &last}},
    };
    enum { N = sizeof nodes / sizeof *nodes };
    const kiln_node *list[N];
    for (size_t i = 0; i < N; i++)
        list[i] = &nodes[i];
    KILN_TRY(b->graph_build(device, s->queue, list, N, &s->graph));
    for (size_t i = 0; i < N; i++)
        if (i != 3) /* copies of rows are built again */
            KILN_TRY(b->graph_patch(device, s->graph, i, list[i]));
    KILN_TRY(b->event_record(device, s->queue, s->events[0]));
    KILN_TRY(b->graph_launch(device, s->queue, s->graph));
    for (size_t i = 1; i < N; i++)
        KILN_TRY(b->enqueue(device, s->queue, list[i]));
    KILN_TRY(b->event_record(device, s->queue, s->events[1]));
    return KILN_OK;
}

static kiln_status use_slots(kiln_device *device, slots *s) {
    const kiln_backend *b = device->backend;
    void *binary = NULL;
    size_t bytes;
    float got[320];
    double us;
    kiln_resources resources;
    KILN_TRY(kiln__device_open(device));
    KILN_TRY(b->compile(device, source, sizeof source - 1, "twice.cu", "", &binary, &bytes));
    const kiln_status loaded = b->module_load(device, binary, bytes, &s->module);
    kiln__free(device->context, binary);
    KILN_TRY(loaded);
    KILN_TRY(b->module_resources(device, s->module, "twice", &resources));
    KILN_TRY(b->alloc(device, sizeof got, &s->memory));
    KILN_TRY(b->queue_create(device, &s->queue));
    KILN_TRY(b->event_create(device, &s->events[0]));
    KILN_TRY(b->event_create(device, &s->events[1]));
    const kiln_launch launch = {
        .entry = "twice", .grid = {KILN_GRID_RESIDENT, 1, 1}, .group = {32, 1, 1}, .cooperative = true};
    const kiln_arg_value args[] = {{.kind = KILN_ARG_OPERAND, .place = {s->memory, 0}, .bytes = 256},
                                   {.kind = KILN_ARG_I32, .i32 = 64},
                                   {.kind = KILN_ARG_LOCAL, .bytes = 100 << 10}};
    KILN_TRY(b->kernel_create(device, s->module, &launch, args, 3, &s->kernel));
    KILN_TRY(b->write(device, s->queue, (kiln_place){s->memory, 0}, memset(got, 0, sizeof got), sizeof got));
    KILN_TRY(use_graph(device, s));
    KILN_TRY(b->read(device, s->queue, got, (kiln_place){s->memory, 0}, sizeof got));
    KILN_TRY(b->queue_finish(device, s->queue));
    KILN_TRY(b->event_elapsed_us(device, s->events[0], s->events[1], &us));
    CHECK(us > 0);
    CHECK(all_equal(got, 64, 4) && all_equal(got + 64, 16, 4) && all_equal(got + 128, 8, 4));
    CHECK(all_equal(got + 256, 4, 3));
    return KILN_OK;
}

static kiln_status slot_by_slot(world *w) {
    const kiln_backend *b = w->device->backend;
    slots s = {0};
    const kiln_status status = use_slots(w->device, &s);
    if (s.graph)
        b->graph_destroy(w->device, s.graph);
    if (s.kernel)
        b->kernel_destroy(w->device, s.kernel);
    for (int i = 0; i < 2; i++)
        if (s.events[i])
            b->event_destroy(w->device, s.events[i]);
    if (s.queue)
        b->queue_destroy(w->device, s.queue);
    if (s.memory)
        b->free(w->device, s.memory);
    if (s.module)
        b->module_unload(w->device, s.module);
    return status;
}

/* A stream and memory of the engine's, which captures what Kiln does. */
static kiln_status adopt(world *w, CUstream stream, kiln_buffer *memory, kiln_buffer **adopted, kiln_queue **queue) {
    const cuda_library *cuda = cuda_of(w->device);
    const CUdeviceptr address = (CUdeviceptr)(uintptr_t)memory->memory;
    KILN_TRY(kiln_queue_adopt(w->device, stream, queue));
    KILN_TRY(kiln_buffer_adopt(w->device, (void *)(uintptr_t)address, PLACE, adopted));
    KILN_TRY(kiln_buffer_fill(*queue, *adopted, 0, PLACE, 0));
    KILN_TRY(kiln_queue_finish(*queue));
    CUgraph graph = NULL;
    w->engine_failed = cuda->cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL) != CUDA_SUCCESS;
    if (w->engine_failed)
        return KILN_E_CANCELLED;
    const kiln_status status = kiln_buffer_fill(*queue, *adopted, 0, PLACE, 0x3f800000);
    const CUresult ended = cuda->cuStreamEndCapture(stream, &graph);
    if (graph)
        (void)cuda->cuGraphDestroy(graph);
    w->engine_failed = ended != CUDA_SUCCESS;
    return w->engine_failed ? KILN_E_CANCELLED : status;
}

static kiln_status adopted(world *w) {
    kiln_buffer *memory = NULL, *adopted_buffer = NULL;
    kiln_queue *queue = NULL;
    CUstream stream;
    KILN_TRY(kiln_buffer_create(w->device, PLACE, &memory));
    w->engine_failed = sim.cuCtxSetCurrent(cuda_context(w->device)) != CUDA_SUCCESS ||
                       sim.cuStreamCreateWithPriority(&stream, CU_STREAM_NON_BLOCKING, 0) != CUDA_SUCCESS;
    if (w->engine_failed) {
        kiln_buffer_destroy(memory);
        (void)sim.cuCtxSetCurrent(NULL);
        return KILN_E_CANCELLED;
    }
    const kiln_status status = adopt(w, stream, memory, &adopted_buffer, &queue);
    kiln_buffer_destroy(adopted_buffer);
    kiln_queue_destroy(queue);
    (void)cuda_of(w->device)->cuStreamDestroy(stream);
    (void)sim.cuCtxSetCurrent(NULL);
    kiln_buffer_destroy(memory);
    return status;
}

static kiln_status whole(const char *store, world *w) {
    KILN_TRY(open_world(store, w));
    KILN_TRY(plan_and_run(w));
    KILN_TRY(slot_by_slot(w));
    return adopted(w);
}

/* ---- failing it ---- */

typedef struct called {
    char name[96];
    unsigned times;
} called;

/* Which functions a run without failures calls, and how often. */
static size_t count_calls(const char *store, called *list, size_t max) {
    char path[512];
    snprintf(path, sizeof path, "%s/calls", store);
    setenv("SIMCUDA_CALLS", path, 1);
    for (int i = 0; i < 2; i++) { /* the first fills the store */
        world w;
        sim.reset();
        unlink(path);
        REQUIRE_OK(whole(store, &w));
        kiln_context_destroy(w.context);
        CHECK(sim.ledger(NULL, 0) == 0);
    }
    sim.reset();
    unsetenv("SIMCUDA_CALLS");
    FILE *file = fopen(path, "r");
    size_t n = 0;
    while (file && n < max && fscanf(file, "%95s %u", list[n].name, &list[n].times) == 2)
        n++;
    REQUIRE(file && fclose(file) == 0);
    return n;
}

/* The name without a version, as messages have it. */
static const char *base_name(const char *name) {
    static char text[96];
    snprintf(text, sizeof text, "%s", name);
    char *suffix = strstr(text, "_v");
    if (suffix)
        *suffix = '\0';
    return text;
}

static void check_case(const char *store, const char *name, unsigned nth, int code, bool ends_context) {
    char text[160], left[2048] = "";
    world w;
    snprintf(text, sizeof text, "%s:%u:%d", name, nth, code);
    setenv("SIMCUDA_FAIL", text, 1);
    sim.reset();
    const int before = test_failures;
    const kiln_status status = whole(store, &w);
    if (status != KILN_OK && !w.engine_failed && !ends_context)
        CHECK_HAS(kiln_last_error(), base_name(name));
    /* Afterwards everything works, or the device is lost and says so. */
    if (w.device) {
        const kiln_status again = plan_and_run(&w);
        CHECK(again == KILN_OK || (ends_context && again == KILN_E_DEVICE_LOST));
    }
    kiln_context_destroy(w.context);
    if (sim.ledger(left, sizeof left) != 0) {
        fprintf(stderr, "left over:\n%s", left);
        test_failures++;
    }
    if (test_failures > before)
        fprintf(stderr, "SIMCUDA_FAIL=%s: %s: %s\n", text, kiln_status_name(status), kiln_last_error());
}

/* From some call on every call fails. What belongs to the context goes with it; nothing else is left. */
static void check_lost(const char *store, unsigned nth) {
    char text[32], left[4096] = "";
    world w;
    snprintf(text, sizeof text, "%u", nth);
    setenv("SIMCUDA_LOSE", text, 1);
    sim.reset();
    const int before = test_failures;
    const kiln_status status = whole(store, &w);
    CHECK(w.engine_failed || status == KILN_E_DEVICE_LOST || (!w.device && status == KILN_E_NOT_FOUND));
    if (w.device)
        CHECK_STATUS(plan_and_run(&w), KILN_E_DEVICE_LOST);
    kiln_context_destroy(w.context);
    sim.ledger(left, sizeof left);
    char *rest = NULL;
    for (char *line = strtok_r(left, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        CHECK_HAS(line, "left to its context");
    if (test_failures > before)
        fprintf(stderr, "SIMCUDA_LOSE=%s: %s: %s\n", text, kiln_status_name(status), kiln_last_error());
}

int main(void) {
    enum { MAX_NAMES = 128, UNKNOWN = CUDA_ERROR_UNKNOWN, FATAL = CUDA_ERROR_LAUNCH_FAILED };
    static called list[MAX_NAMES];
    world w;
    char store[256];
    scratch_make(store);
    open_simulator();
    REQUIRE(open_world(store, &w) == KILN_OK || strstr(kiln_device_report(w.context), "NVRTC"));
    const bool can_run = w.device != NULL;
    kiln_context_destroy(w.context);
    if (!can_run) {
        scratch_remove(store);
        SKIP("no NVRTC to compile for the simulated device");
    }
    const size_t n = count_calls(store, list, MAX_NAMES);
    CHECK(n > 40);
    for (size_t i = 0; i < n; i++) {
        for (unsigned nth = 1; nth <= list[i].times; nth++)
            check_case(store, list[i].name, nth, UNKNOWN, false);
        for (unsigned nth = 1; nth <= list[i].times; nth += (list[i].times + 2) / 3)
            check_case(store, list[i].name, nth, FATAL, true);
    }
    unsetenv("SIMCUDA_FAIL");
    unsigned total = 0;
    for (size_t i = 0; i < n; i++)
        total += list[i].times;
    /* Not the last ones: calls that release do their work, and those before cuInit are not counted. */
    for (unsigned nth = 1; nth < total * 3 / 4; nth += 7)
        check_lost(store, nth);
    unsetenv("SIMCUDA_LOSE");
    sim.reset();
    scratch_remove(store);
    return test_end();
}
