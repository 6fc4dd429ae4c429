/* Every driver call that Kiln makes fails once: a clear status, nothing left on the device, and a context that works or
 * says that it is lost. */
#include "test_backend.h"

/* All that Kiln does with a device, in short. Returns the first failure, with `text` its words; frees everything. */
typedef struct {
    kiln_context *context;
    kiln_device *device;
    kiln_queue *queue, *adopted;
    kiln_plan *plan;
    kiln_buffer *buffer, *wrapped;
    kiln_binding *binding;
    kiln_graph *graph;
    void *from, *to, *native;
} job;

static kiln_status call_nothing(void *user, void *native_queue, const kiln_place *operands) {
    (void)user;
    return cu.cuMemsetD32Async((CUdeviceptr)(uintptr_t)operands->memory, 0, 4, native_queue) == CUDA_SUCCESS
               ? KILN_OK
               : kiln_fail(KILN_E_DEVICE, "a vendor library: cuMemsetD32Async failed");
}

static kiln_status run_nodes(job *j) {
    const kiln_backend *b = j->device->backend;
    const kiln_place place = {j->buffer->memory, 0};
    const kiln_node fill = {.kind = KILN_STEP_FILL, .label = "fill", .fill = {place, BACKEND_BYTES, 1}};
    const kiln_node copy = {
        .kind = KILN_STEP_COPY,
        .label = "copy",
        .copy = {{j->buffer->memory, BACKEND_BYTES}, place, BACKEND_BYTES, BACKEND_BYTES, BACKEND_BYTES, 1}};
    const kiln_node pitched = {
        .kind = KILN_STEP_COPY, .label = "copy", .copy = {{j->buffer->memory, BACKEND_BYTES}, place, 8, 8, 4, 8}};
    const kiln_node call = {.kind = KILN_STEP_CALL, .label = "call", .call = {call_nothing, NULL, &place}};
    const kiln_node *const nodes[] = {&fill, &copy, &call};
    KILN_TRY(b->enqueue(j->device, j->queue->handle, &pitched));
    KILN_TRY(b->graph_build(j->device, j->queue->handle, nodes, 3, &j->native));
    for (size_t i = 0; i < 3; i++)
        KILN_TRY(b->graph_patch(j->device, j->native, i, nodes[i]));
    KILN_TRY(b->graph_launch(j->device, j->queue->handle, j->native));
    return kiln_queue_finish(j->queue);
}

static kiln_status time_it(job *j) {
    const kiln_backend *b = j->device->backend;
    double us = 0;
    KILN_TRY(b->event_create(j->device, &j->from));
    KILN_TRY(b->event_create(j->device, &j->to));
    KILN_TRY(b->event_record(j->device, j->queue->handle, j->from));
    KILN_TRY(kiln_binding_run(j->binding));
    KILN_TRY(b->event_record(j->device, j->queue->handle, j->to));
    KILN_TRY(kiln_queue_finish(j->queue));
    return b->event_elapsed_us(j->device, j->from, j->to, &us);
}

static kiln_status run_graph(job *j) {
    KILN_TRY(kiln_graph_create(j->queue, &j->graph));
    KILN_TRY(kiln_graph_add(j->graph, j->binding));
    KILN_TRY(kiln_graph_end(j->graph));
    KILN_TRY(kiln_graph_patch(j->graph, j->binding, 0, (kiln_view){j->buffer, 3 * BACKEND_BYTES}));
    KILN_TRY(kiln_graph_launch(j->graph));
    return kiln_queue_finish(j->queue);
}

static kiln_status run_job(job *j) {
    static float data[BACKEND_ELEMS];
    kiln_problem problem;
    kiln_plan_options options = KILN_PLAN_OPTIONS_INIT;
    options.variant = "tile";
    KILN_TRY(kiln_device_find(j->context, "cuda:0", &j->device));
    KILN_TRY(kiln_problem_parse(j->context, backend_problem, &problem));
    KILN_TRY(kiln_plan_create(j->device, &problem, &options, &j->plan));
    KILN_TRY(kiln_queue_create(j->device, &j->queue));
    KILN_TRY(kiln_queue_adopt(j->device, (void *)1, &j->adopted));
    KILN_TRY(kiln_buffer_create(j->device, 4 * BACKEND_BYTES, &j->buffer));
    KILN_TRY(kiln_buffer_adopt(j->device, j->buffer->memory, BACKEND_BYTES, &j->wrapped));
    KILN_TRY(kiln_buffer_fill(j->queue, j->buffer, 0, 4 * BACKEND_BYTES, 0));
    KILN_TRY(kiln_buffer_write(j->queue, j->buffer, 0, data, BACKEND_BYTES));
    kiln_view views[KILN_MAX_OPERANDS] = {{j->buffer, 0}, {j->buffer, BACKEND_BYTES}, {j->buffer, 2 * BACKEND_BYTES}};
    kiln_plan_info info = KILN_PLAN_INFO_INIT;
    KILN_TRY(kiln_plan_get_info(j->plan, &info));
    KILN_TRY(kiln_binding_create(j->plan, j->queue, views, info.n_operands, (kiln_view){NULL, 0}, &j->binding));
    KILN_TRY(time_it(j));
    KILN_TRY(run_graph(j));
    KILN_TRY(run_nodes(j));
    KILN_TRY(kiln_queue_finish(j->adopted));
    KILN_TRY(kiln_buffer_read(j->queue, j->buffer, 0, data, BACKEND_BYTES));
    return kiln_queue_finish(j->queue);
}

static void end_job(job *j) {
    const kiln_backend *b = j->device ? j->device->backend : NULL;
    if (j->native)
        b->graph_destroy(j->device, j->native);
    if (j->from)
        b->event_destroy(j->device, j->from);
    if (j->to)
        b->event_destroy(j->device, j->to);
    kiln_graph_destroy(j->graph);
    kiln_binding_destroy(j->binding);
    kiln_buffer_destroy(j->wrapped);
    kiln_buffer_destroy(j->buffer);
    kiln_plan_destroy(j->plan);
    kiln_queue_destroy(j->adopted);
    kiln_queue_destroy(j->queue);
    kiln_context_destroy(j->context);
}

/* Returns the status, and its words in `text`; "" where the devices were not found at all: then the report. */
static kiln_status do_job(char text[2048]) {
    job j = {.context = backend_context(backend_store)};
    const kiln_status status = run_job(&j);
    snprintf(text, 2048, "%s", status == KILN_OK ? "" : kiln_last_error());
    end_job(&j);
    return status;
}

/* Failing these changes nothing that matters: work goes on by another way. */
static bool may_pass(const char *name) {
    static const char *const names[] = {
        "cuMemAllocHost",       /* transfers are not staged */
        "cuMemGetAddressRange", /* the size of the engine's memory is not checked */
        "cuStreamIsCapturing",  /* asked before staging: not staged; before finishing it is an error */
        "cuModuleLoadDataEx",   /* the PTX may do where the CUBIN does not */
        "cuGetErrorName",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static unsigned n_failed, n_passed;

static void fail_once(const char *name, const char *code, int nth) {
    char setting[256], text[2048];
    snprintf(setting, sizeof setting, "%s:%d:%s", name, nth, code);
    setenv("SIMCUDA_FAIL", setting, 1);
    cu.reset();
    const kiln_status status = do_job(text);
    unsetenv("SIMCUDA_FAIL");
    backend_check_ledger(setting);
    n_failed += status != KILN_OK;
    n_passed += status == KILN_OK;
    if (status == KILN_OK)
        return;
    const bool is_named = strstr(text, name) != NULL || strstr(text, code) != NULL ||
                          strcmp(name, "cuGetProcAddress") == 0 || may_pass(name) ||
                          strstr(text, "What was tried") != NULL || strstr(text, "not memory of this device") != NULL;
    if (!is_named || status == KILN_E_INTERNAL)
        fprintf(stderr, "%s: %s: %s\n", setting, kiln_status_name(status), text);
    CHECK(is_named && status != KILN_E_INTERNAL);
}

/* The functions of cuda.fn that a run calls, by the simulator's count. */
static const char *const functions[] = {
#define KILN_FN(name, suffix, params)          #name,
#define KILN_FN_OPTIONAL(name, suffix, params) #name,
#include "backends/cuda.fn"
#undef KILN_FN
#undef KILN_FN_OPTIONAL
};

static void test_each_call(void) {
    char text[2048];
    unsetenv("SIMCUDA_FAIL");
    cu.reset();
    REQUIRE_OK(do_job(text)); /* fills the store, so that nothing is compiled below */
    backend_check_ledger("without a failure");
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        fail_once(functions[i], "CUDA_ERROR_UNKNOWN", 1);
        fail_once(functions[i], "CUDA_ERROR_UNKNOWN", 2);
        fail_once(functions[i], "CUDA_ERROR_OUT_OF_MEMORY", 1);
    }
    printf("%u runs failed as they should, %u passed (not called, or done without)\n", n_failed, n_passed);
    CHECK(n_failed > 60);
    cu.reset();
    CHECK_OK(do_job(text)); /* and all is well again */
}

/* Required calls do not fail silently. */
static void test_told(void) {
    static const char *const names[] = {"cuDevicePrimaryCtxRetain",
                                        "cuMemAlloc",
                                        "cuStreamCreate",
                                        "cuLaunchKernelEx",
                                        "cuGraphLaunch",
                                        "cuStreamSynchronize",
                                        "cuMemcpyHtoDAsync",
                                        "cuMemcpyDtoHAsync",
                                        "cuGraphInstantiateWithFlags",
                                        "cuGraphExecKernelNodeSetParams",
                                        "cuEventRecord",
                                        "cuModuleGetFunction"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char setting[256], text[2048];
        snprintf(setting, sizeof setting, "%s:1:CUDA_ERROR_UNKNOWN", names[i]);
        setenv("SIMCUDA_FAIL", setting, 1);
        cu.reset();
        CHECK_STATUS(do_job(text), KILN_E_DEVICE);
        CHECK_HAS(text, names[i]);
        CHECK_HAS(text, "CUDA_ERROR_UNKNOWN (999)");
    }
    unsetenv("SIMCUDA_FAIL");
    cu.reset();
}

static void test_memory(void) {
    char text[2048];
    setenv("SIMCUDA_MEMORY", "4000", 1);
    cu.reset();
    CHECK_STATUS(do_job(text), KILN_E_DEVICE_MEMORY);
    backend_check_ledger("out of memory");
    unsetenv("SIMCUDA_MEMORY");
    cu.reset();
}

/* A kernel's fault ends the context: that is said, what is released is released, and the next context works. */
static void test_fault(void) {
    char text[2048];
    setenv("SIMCUDA_HANG", "gemm_tile", 1);
    setenv("SIMCUDA_TIMEOUT", "100000", 1);
    cu.reset();
    CHECK_STATUS(do_job(text), KILN_E_DEVICE_LOST);
    CHECK_HAS(text, "CUDA_ERROR_LAUNCH_TIMEOUT");
    backend_check_ledger("a kernel that never ends");
    unsetenv("SIMCUDA_HANG");
    unsetenv("SIMCUDA_TIMEOUT");
    setenv("SIMCUDA_FAIL", "cuStreamSynchronize:2:CUDA_ERROR_ILLEGAL_ADDRESS", 1);
    cu.reset();
    CHECK_STATUS(do_job(text), KILN_E_DEVICE_LOST);
    CHECK_HAS(text, "CUDA_ERROR_ILLEGAL_ADDRESS");
    backend_check_ledger("an illegal address");
    unsetenv("SIMCUDA_FAIL");
    cu.reset();
    CHECK_OK(do_job(text));
}

/* What a driver that refuses every call keeps goes with its context, which is let go. */
static void check_left_to_context(const char *when) {
    char text[4096] = "";
    (void)cu.ledger(text, sizeof text);
    for (const char *line = text; *line; line += strcspn(line, "\n") + (line[strcspn(line, "\n")] == '\n')) {
        const char *end = line + strcspn(line, "\n"), *left = strstr(line, "left to its context");
        if (!left || left > end) {
            fprintf(stderr, "%s: left over: %.*s\n", when, (int)(end - line), line);
            test_failures++;
        }
    }
}

/* From some call on nothing works: at whatever moment, it is said and nothing crashes. */
static void test_lost(void) {
    unsigned n_lost = 0;
    for (int at = 20; at < 260; at += 7) {
        char number[16], text[2048];
        snprintf(number, sizeof number, "%d", at);
        setenv("SIMCUDA_LOSE", number, 1);
        cu.reset();
        const kiln_status status = do_job(text);
        if (status != KILN_OK && !strstr(text, "What was tried"))
            CHECK(status == KILN_E_DEVICE_LOST);
        n_lost += status == KILN_E_DEVICE_LOST;
        check_left_to_context(number);
    }
    unsetenv("SIMCUDA_LOSE");
    cu.reset();
    CHECK(n_lost > 10);
}

int main(void) {
    backend_begin();
    kiln_context *context = backend_context("");
    (void)backend_device(context, NULL); /* skips where there is no NVRTC */
    kiln_context_destroy(context);
    test_each_call();
    test_told();
    test_memory();
    test_fault();
    test_lost();
    return backend_end();
}
