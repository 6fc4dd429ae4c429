/* The CUDA backend on the simulated GPU: contexts that find it, and a small product to run. */
#ifndef SIMCUDA_TEST_BACKEND_H
#define SIMCUDA_TEST_BACKEND_H

#include "device.h"
#include "find_nvrtc.h"
#include "graph.h"
#include "scratch.h"
#include "test_driver.h"

enum { BACKEND_EDGE = 16, BACKEND_ELEMS = BACKEND_EDGE * BACKEND_EDGE, BACKEND_BYTES = 4 * BACKEND_ELEMS };
static const char backend_problem[] = "gemm:m=16,n=16,k=16";
static char backend_store[256]; /* of this test program */

/* Kiln loads the look-alike, which lies beside the tests. Skips where there is no NVRTC. */
static inline void backend_begin(void) {
    char path[4096];
    nvrtc_look_below_build();
    driver_open();
    const ssize_t length = readlink("/proc/self/exe", path, sizeof path - sizeof "libsimcuda.so");
    REQUIRE(length > 0);
    path[length] = '\0';
    strcpy(strrchr(path, '/') + 1, "libsimcuda.so");
    setenv("KILN_CUDA_LIBRARY", path, 1);
    setenv("SIMCUDA_DEVICES", "2", 1);
    cu.reset();
    scratch_make(backend_store);
}

static inline int backend_end(void) {
    scratch_remove(backend_store);
    return test_end();
}

static inline kiln_context *backend_context(const char *cache_dir) {
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    options.cache_dir = cache_dir;
    options.log_level = KILN_LOG_ERROR;
    options.backends = "cuda";
    kiln_context *context = NULL;
    REQUIRE_OK(kiln_context_create(&options, &context));
    return context;
}

static inline kiln_device *backend_device(kiln_context *context, const char *name) {
    kiln_device *device = NULL;
    if (kiln_device_count(context) == 0 && strstr(kiln_device_report(context), "no NVRTC"))
        SKIP("%s", kiln_device_report(context));
    REQUIRE_OK(kiln_device_find(context, name, &device));
    return device;
}

/* Nothing of Kiln's is left on the device. */
static inline void backend_check_ledger(const char *when) {
    char text[2048] = "";
    if (cu.ledger(text, sizeof text) != 0) {
        fprintf(stderr, "%s: left over:\n%s", when, text);
        test_failures++;
    }
}

/* c = a b, whole numbers, in double. */
static inline void backend_product(const float *a, const float *b, float *c) {
    for (int m = 0; m < BACKEND_EDGE; m++)
        for (int n = 0; n < BACKEND_EDGE; n++) {
            double sum = 0;
            for (int k = 0; k < BACKEND_EDGE; k++)
                sum += (double)a[m * BACKEND_EDGE + k] * (double)b[k * BACKEND_EDGE + n];
            c[m * BACKEND_EDGE + n] = (float)sum;
        }
}

static inline void backend_fill(float *data, size_t n, int seed) {
    for (size_t i = 0; i < n; i++)
        data[i] = (float)((int)((i * 7 + (size_t)seed * 13) % 11) - 5);
}

/* ---- a product and what it takes ---- */

typedef struct {
    kiln_context *context;
    kiln_device *device;
    kiln_queue *queue;
    kiln_plan *plan;
    kiln_buffer *buffer; /* six operands' worth */
    kiln_binding *binding;
    float a[BACKEND_ELEMS], b[BACKEND_ELEMS], a2[BACKEND_ELEMS], want[BACKEND_ELEMS], got[BACKEND_ELEMS];
} backend_world;

static inline kiln_view backend_at(const backend_world *w, size_t i) {
    return (kiln_view){w->buffer, i * BACKEND_BYTES};
}

/* On a queue and memory that are there already; operand 0 a, 1 b, 2 the product, 3 another a, 4 and 5 spare. */
static inline void backend_fill_world(backend_world *w) {
    kiln_problem problem;
    kiln_plan_options options = KILN_PLAN_OPTIONS_INIT;
    options.variant = "ref";
    REQUIRE_OK(kiln_problem_parse(w->context, backend_problem, &problem));
    REQUIRE_OK(kiln_plan_create(w->device, &problem, &options, &w->plan));
    const kiln_view v[3] = {backend_at(w, 0), backend_at(w, 1), backend_at(w, 2)};
    REQUIRE_OK(kiln_binding_create(w->plan, w->queue, v, 3, (kiln_view){NULL, 0}, &w->binding));
    backend_fill(w->a, BACKEND_ELEMS, 1);
    backend_fill(w->b, BACKEND_ELEMS, 2);
    backend_fill(w->a2, BACKEND_ELEMS, 3);
    REQUIRE_OK(kiln_buffer_write(w->queue, w->buffer, 0, w->a, BACKEND_BYTES));
    REQUIRE_OK(kiln_buffer_write(w->queue, w->buffer, BACKEND_BYTES, w->b, BACKEND_BYTES));
    REQUIRE_OK(kiln_buffer_write(w->queue, w->buffer, 3 * BACKEND_BYTES, w->a2, BACKEND_BYTES));
    REQUIRE_OK(kiln_buffer_fill(w->queue, w->buffer, 4 * BACKEND_BYTES, 2 * BACKEND_BYTES, 0));
    REQUIRE_OK(kiln_queue_finish(w->queue));
}

static inline void backend_open(backend_world *w, const char *device) {
    memset(w, 0, sizeof *w);
    w->context = backend_context(backend_store);
    w->device = backend_device(w->context, device);
    REQUIRE_OK(kiln_queue_create(w->device, &w->queue));
    REQUIRE_OK(kiln_buffer_create(w->device, 6 * BACKEND_BYTES, &w->buffer));
    backend_fill_world(w);
}

static inline void backend_close(backend_world *w) {
    kiln_binding_destroy(w->binding);
    kiln_plan_destroy(w->plan);
    kiln_buffer_destroy(w->buffer);
    kiln_queue_destroy(w->queue);
    kiln_context_destroy(w->context);
}

static inline bool backend_holds(backend_world *w, size_t operand, const float *want) {
    memset(w->got, 0x7f, sizeof w->got);
    CHECK_OK(kiln_buffer_read(w->queue, w->buffer, operand * BACKEND_BYTES, w->got, BACKEND_BYTES));
    CHECK_OK(kiln_queue_finish(w->queue));
    return memcmp(w->got, want, sizeof w->got) == 0;
}

#endif
