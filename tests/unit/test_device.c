/* The device list, names, fingerprints, queues and buffers; and a machine without OpenCL. */
#include "device.h"
#include "null_script.h"
#include "testing.h"
#include "topology.h"
#include <ctype.h>

static kiln_context *open_context(const char *backends) {
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    options.cache_dir = "";
    options.log_level = KILN_LOG_OFF;
    options.backends = backends;
    kiln_context *context = NULL;
    REQUIRE_OK(kiln_context_create(&options, &context));
    return context;
}

static kiln_device_info info(const kiln_device *device) {
    kiln_device_info i = KILN_DEVICE_INFO_INIT;
    REQUIRE_OK(kiln_device_get_info(device, &i));
    return i;
}

/* ---- no OpenCL at all ---- */

static void test_no_opencl(void) {
    setenv("KILN_OPENCL_LIBRARY", "/nonexistent/libOpenCL.so.1", 1);
    kiln_context *context = open_context(NULL);
    kiln_device *device = (kiln_device *)context;
    CHECK(kiln_device_count(context) == 0);
    CHECK(kiln_device_at(context, 0) == NULL);
    CHECK_STATUS(kiln_device_find(context, NULL, &device), KILN_E_NOT_FOUND);
    CHECK(device == NULL);
    CHECK_HAS(kiln_last_error(), "no device found");
    CHECK_HAS(kiln_last_error(), "pocl-opencl-icd");
    CHECK_HAS(kiln_last_error(), "/nonexistent/libOpenCL.so.1");
    CHECK_HAS(kiln_device_report(context), "opencl: no library where KILN_OPENCL_LIBRARY says");
    CHECK_HAS(kiln_device_report(context), "null: no test device");
    kiln_context_destroy(context);

    setenv("KILN_OPENCL_LIBRARY", "libz.so.1", 1); /* a library, but not this one */
    context = open_context("opencl");
    CHECK(kiln_device_count(context) == 0);
    CHECK_HAS(kiln_device_report(context), "lacks clGetPlatformIDs");
    CHECK_HAS(kiln_device_report(context), "null: not asked for");
    kiln_context_destroy(context);
    unsetenv("KILN_OPENCL_LIBRARY");
}

static void test_filter(void) {
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    options.cache_dir = "";
    kiln_context *context = NULL;
    const char *const bad[] = {"cuda8", "null,", ",", "opencl null", "nul"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        options.backends = bad[i];
        CHECK_STATUS(kiln_context_create(&options, &context), KILN_E_INVALID);
        CHECK_HAS(kiln_last_error(), "use some of cuda, opencl, null");
        CHECK(context == NULL);
    }
}

/* ---- names and order ---- */

static void test_list(void) {
    null_script("device name=slow kind=cpu units=2\n"
                "device name=odd kind=other units=3\n"
                "device name=fast kind=gpu units=7 graphs=1 clusters=1 f16=1 local=1024 max_group=128\n");
    kiln_context *context = open_context("null");
    REQUIRE(kiln_device_count(context) == 3);
    CHECK_STR(info(kiln_device_at(context, 0)).model, "slow"); /* test devices keep the script's order */
    CHECK_STR(info(kiln_device_at(context, 0)).name, "null:0");
    CHECK(info(kiln_device_at(context, 0)).kind == KILN_DEVICE_CPU);
    CHECK(info(kiln_device_at(context, 0)).vector_floats == 8);
    const kiln_device_info fast = info(kiln_device_at(context, 2));
    CHECK_STR(fast.name, "null:2");
    CHECK_STR(fast.backend, "null");
    CHECK_STR(fast.fingerprint, "null-fast-7u");
    CHECK(fast.units == 7 && fast.has_native_graphs && fast.has_clusters && fast.has_f16);
    CHECK(fast.local_bytes == 1024 && fast.max_group_size == 128 && fast.vector_floats == 0);
    CHECK(fast.numa_node == -1 && strcmp(fast.near_cores, "") == 0); /* not plugged in anywhere */
    CHECK(strcmp(info(kiln_device_at(context, 0)).near_cores, "") != 0);
    CHECK(kiln_device_context(kiln_device_at(context, 1)) == context);
    CHECK(kiln_device_at(context, 3) == NULL);
    kiln_context_destroy(context);
}

static void test_find(void) {
    null_script("device name=a\ndevice name=b\n");
    setenv("KILN_DEVICE", "null:1", 1);
    kiln_context *context = open_context("null");
    kiln_device *device;
    CHECK_OK(kiln_device_find(context, NULL, &device));
    CHECK(device == kiln_device_at(context, 1));
    CHECK_OK(kiln_device_find(context, "null", &device));
    CHECK(device == kiln_device_at(context, 0));
    CHECK_OK(kiln_device_find(context, "null:0", &device));
    CHECK(device == kiln_device_at(context, 0));
    const char *const bad[] = {"", "null:2", "null:", "opencl:0", "null:00", "NULL"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_STATUS(kiln_device_find(context, bad[i], &device), KILN_E_NOT_FOUND);
        CHECK_HAS(kiln_last_error(), "there is null:0, null:1");
    }
    CHECK_STATUS(kiln_device_find(context, NULL, NULL), KILN_E_INVALID);
    CHECK_STATUS(kiln_device_find(NULL, NULL, &device), KILN_E_INVALID);
    kiln_context_destroy(context);
    setenv("KILN_DEVICE", "cuda:0", 1);
    context = open_context("null");
    CHECK_STATUS(kiln_device_find(context, NULL, &device), KILN_E_NOT_FOUND);
    CHECK_HAS(kiln_last_error(), "KILN_DEVICE: device \"cuda:0\" not found");
    kiln_context_destroy(context);
    unsetenv("KILN_DEVICE");
    context = open_context("null");
    CHECK_OK(kiln_device_find(context, NULL, &device));
    CHECK(device == kiln_device_at(context, 0));
    kiln_context_destroy(context);
}

/* Fingerprints name folders, so they are short and plain, and still tell devices apart. */
static void test_fingerprints(void) {
    const char *const features = "kind=cpu vector=16 features=avx2,fma,avx512f,avx512bw,avx512vnni,amx_int8,amx_bf16";
    char x[64];
    memset(x, 'x', 62);
    x[62] = 0;
    null_script("device name=a/../b(R)_@1.5GHz kind=cpu vector=8 features=avx2,fma\n"
                "device name=%s1 %s,neon\n"
                "device name=%s2 %s,neon\n",
                x, features, x, features);
    kiln_context *context = open_context("null");
    REQUIRE(kiln_device_count(context) == 3);
    CHECK_STR(info(kiln_device_at(context, 0)).fingerprint, "null-a-..-b-R-_-1.5GHz-4u-v8-avx2-fma");
    const char *first = info(kiln_device_at(context, 1)).fingerprint,
               *second = info(kiln_device_at(context, 2)).fingerprint;
    CHECK(strlen(first) == 127 && strlen(second) == 127);
    CHECK(strcmp(first + 111, second + 111) != 0); /* the hash at the end */
    for (const char *c = first; *c; c++)
        CHECK(isalnum((unsigned char)*c) || strchr("._-", *c));
    CHECK_STR(info(kiln_device_at(context, 1)).features, "avx2 fma avx512f avx512bw avx512vnni amx_int8 amx_bf16 neon");
    kiln_context_destroy(context);
}

static void test_info(void) {
    null_script("device\n");
    kiln_context *context = open_context("null");
    kiln_device *device = kiln_device_at(context, 0);
    kiln_device_info i = {0};
    CHECK_STATUS(kiln_device_get_info(device, &i), KILN_E_INVALID);
    CHECK_STATUS(kiln_device_get_info(NULL, &i), KILN_E_INVALID);
    CHECK_STATUS(kiln_device_get_info(device, NULL), KILN_E_INVALID);
    i.struct_size = offsetof(kiln_device_info, model); /* a caller of an older header */
    CHECK_OK(kiln_device_get_info(device, &i));
    CHECK_STR(i.name, "null:0");
    CHECK(i.model == NULL && i.struct_size == offsetof(kiln_device_info, model));
    CHECK(kiln_device_count(NULL) == 0 && kiln_device_at(NULL, 0) == NULL && kiln_device_context(NULL) == NULL);
    CHECK_STR(kiln_device_report(NULL), "");
    kiln_context_destroy(context);
}

/* ---- queues and buffers ---- */

static void test_buffers(void) {
    null_script("device name=a memory=4096 max_alloc=2048\ndevice name=b\n");
    kiln_context *context = open_context("null");
    kiln_device *a = kiln_device_at(context, 0), *b = kiln_device_at(context, 1);
    kiln_queue *queue;
    kiln_buffer *buffer, *far, *none = NULL;
    uint32_t words[16];
    REQUIRE_OK(kiln_queue_create(a, &queue));
    REQUIRE_OK(kiln_buffer_create(a, 64, &buffer));
    REQUIRE_OK(kiln_buffer_create(b, 64, &far));
    CHECK(atomic_load(&context->live_objects) == 3);
    CHECK(kiln_buffer_bytes(buffer) == 64 && kiln_buffer_bytes(NULL) == 0);
    CHECK_STATUS(kiln_buffer_create(a, 0, &none), KILN_E_INVALID);
    CHECK_STATUS(kiln_buffer_create(a, 2049, &none), KILN_E_DEVICE_MEMORY);
    CHECK_STATUS(kiln_buffer_create(a, SIZE_MAX, &none), KILN_E_DEVICE_MEMORY);
    CHECK_STATUS(kiln_buffer_create(NULL, 4, &none), KILN_E_INVALID);
    CHECK(none == NULL);

    CHECK_OK(kiln_buffer_fill(queue, buffer, 8, 16, 0x01020304));
    CHECK_OK(kiln_buffer_read(queue, buffer, 0, words, 64));
    CHECK_OK(kiln_queue_finish(queue));
    CHECK(words[1] == 0xcdcdcdcd && words[2] == 0x01020304 && words[5] == 0x01020304 && words[6] == 0xcdcdcdcd);
    CHECK_OK(kiln_buffer_write(queue, buffer, 64, NULL, 0)); /* nothing, at the very end */
    CHECK_STATUS(kiln_buffer_write(queue, buffer, 0, words, 65), KILN_E_INVALID);
    CHECK_STATUS(kiln_buffer_write(queue, buffer, 65, words, 0), KILN_E_INVALID);
    CHECK_STATUS(kiln_buffer_read(queue, buffer, 61, words, 4), KILN_E_INVALID);
    CHECK_STATUS(kiln_buffer_read(queue, buffer, 4, words, SIZE_MAX - 1), KILN_E_INVALID);
    CHECK_HAS(kiln_last_error(), "leave a buffer of 64 bytes");
    CHECK_STATUS(kiln_buffer_fill(queue, buffer, 2, 4, 0), KILN_E_INVALID);
    CHECK_STATUS(kiln_buffer_fill(queue, buffer, 0, 6, 0), KILN_E_INVALID);
    CHECK_STATUS(kiln_buffer_fill(queue, buffer, 60, 8, 0), KILN_E_INVALID);
    CHECK_STATUS(kiln_buffer_read(queue, far, 0, words, 4), KILN_E_INVALID);
    CHECK_STATUS(kiln_buffer_read(NULL, buffer, 0, words, 4), KILN_E_INVALID);
    CHECK_STATUS(kiln_buffer_read(queue, NULL, 0, words, 4), KILN_E_INVALID);
    CHECK_STATUS(kiln_buffer_read(queue, buffer, 0, NULL, 4), KILN_E_INVALID);
    CHECK_STATUS(kiln_buffer_write(queue, buffer, 0, NULL, 4), KILN_E_INVALID);
    kiln_buffer_destroy(buffer);
    kiln_buffer_destroy(far);
    kiln_buffer_destroy(NULL);
    kiln_queue_destroy(queue);
    kiln_queue_destroy(NULL);
    CHECK(atomic_load(&context->live_objects) == 0);
    CHECK_STATUS(kiln_queue_finish(NULL), KILN_E_INVALID);
    CHECK_STATUS(kiln_queue_create(NULL, &queue), KILN_E_INVALID);
    kiln_context_destroy(context);
}

/* Opening is tried again after a failure, and an engine's context must come first. */
static void test_opening(void) {
    null_script("device\nfail call=open nth=1 status=KILN_E_DEVICE\n");
    kiln_context *context = open_context("null");
    kiln_device *device = kiln_device_at(context, 0);
    kiln_queue *queue, *no_queue = NULL;
    kiln_buffer *buffer, *no_buffer = NULL;
    int engine[4] = {1, 2, 3, 4};
    CHECK_STATUS(kiln_queue_create(device, &queue), KILN_E_DEVICE);
    CHECK(queue == NULL && atomic_load(&context->live_objects) == 0);
    CHECK_OK(kiln_device_adopt(device, engine));
    CHECK_STATUS(kiln_device_adopt(device, engine), KILN_E_INVALID);
    CHECK_HAS(kiln_last_error(), "open already");
    CHECK_STATUS(kiln_device_adopt(device, NULL), KILN_E_INVALID);
    REQUIRE_OK(kiln_queue_adopt(device, engine, &queue));
    REQUIRE_OK(kiln_buffer_adopt(device, engine, sizeof engine, &buffer));
    CHECK_OK(kiln_buffer_fill(queue, buffer, 4, 8, 9));
    CHECK(engine[1] == 2); /* not before the queue has finished */
    CHECK_OK(kiln_queue_finish(queue));
    CHECK(engine[0] == 1 && engine[1] == 9 && engine[2] == 9 && engine[3] == 4);
    CHECK_STATUS(kiln_buffer_adopt(device, engine, 0, &no_buffer), KILN_E_INVALID);
    CHECK_STATUS(kiln_queue_adopt(device, NULL, &no_queue), KILN_E_INVALID);
    CHECK(!no_buffer && !no_queue && atomic_load(&context->live_objects) == 2);
    kiln_buffer_destroy(buffer);
    kiln_queue_destroy(queue);
    CHECK(engine[1] == 9); /* the engine's memory is still the engine's */
    kiln_context_destroy(context);
}

/* ---- the processor and the machine ---- */

static kiln_caps narrowed(uint32_t floats, const char *target) {
    kiln_caps caps = {.vector_floats = 16,
                      .vector_registers = 32,
                      .features = KILN_FEATURE_avx2 | KILN_FEATURE_fma | KILN_FEATURE_avx512f |
                                  KILN_FEATURE_avx512vnni | KILN_FEATURE_amx_int8};
    kiln__cpu_narrow(&caps, floats, target);
    return caps;
}

static void test_cpu(void) {
    const uint32_t avx2 = KILN_FEATURE_avx2 | KILN_FEATURE_fma;
    kiln_caps c = narrowed(16, "pthread-skylake-avx512-Some CPU");
    CHECK(c.vector_floats == 16 && c.vector_registers == 32 && (c.features & KILN_FEATURE_avx512vnni));
    c = narrowed(0, NULL); /* the compiler tells nothing */
    CHECK(c.vector_floats == 16 && (c.features & KILN_FEATURE_amx_int8));
    c = narrowed(8, "pthread-haswell-AMD EPYC");
    CHECK(c.vector_floats == 8 && c.vector_registers == 16 && c.features == avx2);
    c = narrowed(8, "cpu-x86-64-v3");
    CHECK(c.features == avx2);
    c = narrowed(8, "pthread-sandybridge-Some CPU");
    CHECK(c.vector_floats == 8 && c.features == 0);
    c = narrowed(4, "pthread-x86-64");
    CHECK(c.vector_floats == 4 && c.features == 0);
    c = narrowed(32, NULL); /* no wider than the machine */
    CHECK(c.vector_floats == 16);

    kiln_caps own = {0};
    kiln__cpu_describe(&own);
    CHECK(own.vector_floats >= 1 && own.vector_registers >= 8);
#if defined(__x86_64__)
    __builtin_cpu_init();
    CHECK(((own.features & KILN_FEATURE_avx2) != 0) == (__builtin_cpu_supports("avx2") != 0));
    CHECK(((own.features & KILN_FEATURE_fma) != 0) == (__builtin_cpu_supports("fma") != 0));
    CHECK(((own.features & KILN_FEATURE_avx512f) != 0) == (__builtin_cpu_supports("avx512f") != 0));
    CHECK(((own.features & KILN_FEATURE_avx512bw) != 0) == (__builtin_cpu_supports("avx512bw") != 0));
    CHECK(((own.features & KILN_FEATURE_avx512vnni) != 0) == (__builtin_cpu_supports("avx512vnni") != 0));
    CHECK(own.vector_floats == (__builtin_cpu_supports("avx512f") ? 16u : __builtin_cpu_supports("avx") ? 8u : 4u));
#endif
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    CHECK(kiln__topology_cores() >= 1 && (long)kiln__topology_cores() <= online);
}

int main(void) {
    unsetenv("KILN_NULL_SCRIPT");
    unsetenv("KILN_DEVICE");
    test_no_opencl();
    test_filter();
    test_list();
    test_find();
    test_fingerprints();
    test_info();
    test_buffers();
    test_opening();
    test_cpu();
    null_script_end();
    return test_end();
}
