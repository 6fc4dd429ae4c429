/* Launches of the CUDA backend: grids that fill the device, cooperative ones, local memory sized at launch, and what is
 * refused with its reason. */
#include "test_backend.h"

static const char source[] =
    "extern \"C\" __global__ void __launch_bounds__(64) count(int *sum) { atomicAdd(sum, 1); }\n"
    "extern \"C\" __global__ void __launch_bounds__(64) last(int *sum, int n) {\n"
    "    extern __shared__ int local[];\n"
    "    if (threadIdx.x == 0) local[n - 1] = n;\n"
    "    __syncthreads();\n"
    "    if (threadIdx.x == 1) *sum = local[n - 1];\n"
    "}\n";

typedef struct {
    kiln_context *context;
    kiln_device *device;
    kiln_queue *queue;
    kiln_buffer *sum;
    void *module;
} bench;

static kiln_arg_value sum_of(const bench *b) {
    return (kiln_arg_value){.kind = KILN_ARG_OPERAND, .place = {b->sum->memory, 0}, .bytes = 4};
}

/* Makes a kernel, runs it once, and returns what it left in `sum`; -1 where it could not be made. */
static int run(const bench *b, const kiln_launch *launch, const kiln_arg_value *args, size_t n, kiln_status *status) {
    const kiln_backend *backend = b->device->backend;
    void *kernel = NULL;
    int sum = -1;
    *status = backend->kernel_create(b->device, b->module, launch, args, n, &kernel);
    if (*status != KILN_OK)
        return -1;
    const kiln_node node = {.kind = KILN_STEP_KERNEL, .label = launch->entry, .kernel = kernel};
    CHECK_OK(kiln_buffer_fill(b->queue, b->sum, 0, 4, 0));
    CHECK_OK(backend->enqueue(b->device, b->queue->handle, &node));
    CHECK_OK(kiln_buffer_read(b->queue, b->sum, 0, &sum, sizeof sum));
    CHECK_OK(kiln_queue_finish(b->queue));
    backend->kernel_destroy(b->device, kernel);
    return sum;
}

static void test_grids(const bench *b) {
    const kiln_arg_value sum = sum_of(b);
    kiln_status status;
    kiln_launch l = {.entry = "count", .grid = {3, 2, 1}, .group = {64, 1, 1}};
    CHECK(run(b, &l, &sum, 1, &status) == 6 * 64);
    l.grid[1] = 1;
    l.grid[0] = KILN_GRID_RESIDENT;
    const int items = run(b, &l, &sum, 1, &status);
    const int most = (int)(b->device->desc.caps.units * b->device->desc.caps.unit_items);
    CHECK(status == KILN_OK && items > 0 && items <= most && items % (64 * 8) == 0);
    l.cooperative = true; /* as many as fit, which may wait for each other */
    CHECK(run(b, &l, &sum, 1, &status) == items);
    l.grid[0] = (uint32_t)items / 64;
    CHECK(run(b, &l, &sum, 1, &status) == items);
    l.grid[0]++;
    (void)run(b, &l, &sum, 1, &status);
    CHECK(status == KILN_E_UNSUPPORTED);
    CHECK_HAS(kiln_last_error(), "fit on the device at once");
}

static void test_local(const bench *b) {
    kiln_status status;
    const kiln_launch l = {.entry = "last", .grid = {1, 1, 1}, .group = {64, 1, 1}};
    const int sizes[] = {1000, 48 << 10, 100 << 10, 163 << 10};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const kiln_arg_value args[] = {sum_of(b),
                                       {.kind = KILN_ARG_I32, .i32 = sizes[i] / 4},
                                       {.kind = KILN_ARG_LOCAL, .bytes = (size_t)sizes[i]}};
        CHECK(run(b, &l, args, 3, &status) == sizes[i] / 4);
    }
    const kiln_arg_value args[] = {
        sum_of(b), {.kind = KILN_ARG_I32, .i32 = 1}, {.kind = KILN_ARG_LOCAL, .bytes = 164 << 10}};
    (void)run(b, &l, args, 3, &status);
    CHECK(status == KILN_E_UNSUPPORTED);
    CHECK_HAS(kiln_last_error(), "last needs 167936 bytes of local memory; the device has 166912");
}

static void test_refused(const bench *b) {
    static const kiln_tensor_map map = {.type = KILN_TYPE_F16, .rank = 2, .shape = {64, 64}, .box = {64, 64}};
    kiln_arg_value args[2] = {sum_of(b), {.kind = KILN_ARG_I32}};
    kiln_status status;
    kiln_launch l = {.entry = "count", .grid = {4, 1, 1}, .group = {64, 1, 1}, .cluster = {2, 1, 1}};
    (void)run(b, &l, args, 1, &status);
    CHECK(status == KILN_E_UNSUPPORTED);
    CHECK_HAS(kiln_last_error(), "before sm_90 have no clusters");
    memset(l.cluster, 0, sizeof l.cluster);
    (void)run(b, &l, args, 2, &status);
    CHECK(status == KILN_E_INVALID);
    CHECK_HAS(kiln_last_error(), "count takes 1 arguments, 2 given");
    args[0].kind = KILN_ARG_TENSOR_MAP;
    args[0].tensor_map = &map;
    (void)run(b, &l, args, 1, &status);
    CHECK(status == KILN_E_UNSUPPORTED);
    CHECK_HAS(kiln_last_error(), "argument 0 is a tensor map");
    args[0] = sum_of(b);
    l.entry = "none";
    (void)run(b, &l, args, 1, &status);
    CHECK(status == KILN_E_NOT_FOUND);
    l.entry = "count";
    l.group[0] = 128; /* more than its launch bounds */
    (void)run(b, &l, args, 1, &status);
    CHECK(status == KILN_E_UNSUPPORTED);
    l.group[0] = 2048;
    (void)run(b, &l, args, 1, &status);
    CHECK(status == KILN_E_INVALID);
    l.group[0] = 64;
    l.grid[1] = 70000;
    (void)run(b, &l, args, 1, &status);
    CHECK(status == KILN_E_INVALID);
    CHECK_HAS(kiln_last_error(), "allowed 1 to 65535");
}

int main(void) {
    bench b = {0};
    void *binary = NULL;
    size_t bytes = 0;
    backend_begin();
    b.context = backend_context("");
    b.device = backend_device(b.context, "cuda:0");
    const kiln_backend *backend = b.device->backend;
    REQUIRE_OK(kiln_queue_create(b.device, &b.queue));
    REQUIRE_OK(kiln_buffer_create(b.device, 256, &b.sum));
    REQUIRE_OK(backend->compile(b.device, source, strlen(source), "launch.cu", "", &binary, &bytes));
    REQUIRE_OK(backend->module_load(b.device, binary, bytes, &b.module));
    kiln__free(b.context, binary);
    test_grids(&b);
    test_local(&b);
    test_refused(&b);
    backend->module_unload(b.device, b.module);
    kiln_buffer_destroy(b.sum);
    kiln_queue_destroy(b.queue);
    kiln_context_destroy(b.context);
    backend_check_ledger("launch");
    return backend_end();
}
