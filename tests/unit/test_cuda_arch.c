/* CUDA without a GPU: libraries that are not there, architectures to compile for, what is stored, what is refused. */
#include "backends/cuda_cubin.h"
#include "find_nvrtc.h"
#include "jit.h"
#include "scratch.h"
#include <stdint.h>

static kiln_context *open_context(const char *dir) {
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    options.cache_dir = dir;
    options.log_level = KILN_LOG_OFF;
    options.backends = "cuda,null";
    kiln_context *context = NULL;
    REQUIRE_OK(kiln_context_create(&options, &context));
    return context;
}

static kiln_counters counters(const kiln_context *context) {
    kiln_counters c = KILN_COUNTERS_INIT;
    REQUIRE_OK(kiln_context_counters(context, &c));
    return c;
}

/* ---- libraries ---- */

static void test_no_driver(void) {
    setenv("KILN_CUDA_LIBRARY", "/nonexistent/libcuda.so.1", 1);
    kiln_context *context = open_context("");
    CHECK(kiln_device_count(context) == 0);
    CHECK_HAS(kiln_device_report(context), "cuda: no driver where KILN_CUDA_LIBRARY says");
    kiln_context_destroy(context);

    setenv("KILN_CUDA_LIBRARY", "libz.so.1", 1); /* a library, but not this one */
    context = open_context("");
    CHECK(kiln_device_count(context) == 0);
    CHECK_HAS(kiln_device_report(context), "lacks cuInit");
    kiln_context_destroy(context);
    setenv("KILN_CUDA_LIBRARY", "/nonexistent/libcuda.so.1", 1); /* what follows is about none */
}

static void test_no_nvrtc(void) {
    const char *before = getenv("KILN_NVRTC_LIBRARY");
    char *kept = before ? strdup(before) : NULL;
    kiln_device *device = NULL;
    setenv("KILN_NVRTC_LIBRARY", "/nonexistent/libnvrtc.so.13", 1);
    kiln_context *context = open_context("");
    CHECK_STATUS(kiln_device_open_arch(context, "cuda", "sm_80", 0, &device), KILN_E_NOT_FOUND);
    CHECK_HAS(kiln_last_error(), "no NVRTC where KILN_NVRTC_LIBRARY says");
    CHECK_HAS(kiln_last_error(), "nvidia-cuda-nvrtc");
    setenv("KILN_NVRTC_LIBRARY", "libz.so.1", 1);
    CHECK_STATUS(kiln_device_open_arch(context, "cuda", "sm_80", 0, &device), KILN_E_NOT_FOUND);
    CHECK_HAS(kiln_last_error(), "lacks nvrtcGetErrorString");
    CHECK(device == NULL);
    kiln_context_destroy(context);
    if (kept)
        setenv("KILN_NVRTC_LIBRARY", kept, 1);
    else
        unsetenv("KILN_NVRTC_LIBRARY");
    free(kept);
}

/* ---- architectures ---- */

static void test_arch(void) {
    kiln_context *context = open_context("");
    kiln_device *device = nvrtc_open_arch(context, "sm_90a", 0), *other = NULL;
    kiln_device_info info = KILN_DEVICE_INFO_INIT;
    REQUIRE_OK(kiln_device_get_info(device, &info));
    CHECK_STR(info.name, "cuda:sm_90a");
    CHECK_STR(info.arch, "sm_90a");
    CHECK(info.kind == KILN_DEVICE_GPU && info.compute_capability == 90 && info.is_absent && info.has_clusters);
    CHECK(info.units == 132 && info.local_bytes == 227 << 10 && info.max_group_size == 1024);
    CHECK_HAS(info.compiler, "NVRTC ");
    CHECK(kiln_device_count(context) == 0); /* it is not one to run on */

    CHECK_OK(kiln_device_open_arch(context, "cuda", "sm_90a", 0, &other));
    CHECK(other == device);
    CHECK_OK(kiln_device_open_arch(context, "cuda", "sm_90a", 78, &other));
    CHECK(other != device);
    REQUIRE_OK(kiln_device_get_info(other, &info));
    CHECK(info.units == 78);

    kiln_queue *queue = NULL;
    kiln_buffer *buffer = NULL;
    CHECK_STATUS(kiln_queue_create(device, &queue), KILN_E_UNSUPPORTED);
    CHECK_HAS(kiln_last_error(), "to compile for");
    CHECK_STATUS(kiln_queue_adopt(device, &queue, &queue), KILN_E_UNSUPPORTED);
    CHECK_STATUS(kiln_buffer_create(device, 64, &buffer), KILN_E_UNSUPPORTED);
    CHECK_STATUS(kiln_buffer_adopt(device, &buffer, 64, &buffer), KILN_E_UNSUPPORTED);
    CHECK_STATUS(kiln_device_adopt(device, &queue), KILN_E_UNSUPPORTED);

    const char *const wrong[] = {"sm_12345", "compute_80", "sm_80a", "gfx90a", "", "sm_", "sm_79", "sm_90b", "sm_90aa"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_STATUS(kiln_device_open_arch(context, "cuda", wrong[i], 0, &other), KILN_E_UNSUPPORTED);
        CHECK_HAS(kiln_last_error(), "sm_80, ");
        CHECK(other == NULL);
    }
    CHECK_STATUS(kiln_device_open_arch(context, "nope", "sm_80", 0, &other), KILN_E_NOT_FOUND);
    CHECK_STATUS(kiln_device_open_arch(context, "cuda", NULL, 0, &other), KILN_E_INVALID);
    kiln_context_destroy(context);
}

/* ---- plans and the store ---- */

static void plan_for(kiln_context *context, const char *arch, uint32_t units, const char *variant) {
    kiln_device *device = nvrtc_open_arch(context, arch, units);
    kiln_problem problem;
    kiln_plan_options options = KILN_PLAN_OPTIONS_INIT;
    options.effort = KILN_PLAN_UNTUNED;
    options.variant = variant;
    kiln_plan *plan = NULL;
    REQUIRE_OK(kiln_problem_parse(context, "gemm:m=64,n=64,k=64,ep=bias+relu", &problem));
    CHECK_OK(kiln_plan_create(device, &problem, &options, &plan));
    kiln_plan_destroy(plan);
}

/* What is compiled for an architecture serves every device of it, in any process with the same NVRTC. */
static void test_store(const char *dir) {
    kiln_context *context = open_context(dir);
    plan_for(context, "sm_80", 108, "ref");
    const kiln_counters first = counters(context);
    CHECK(first.compiles > 0 && first.binary_hits == 0);
    kiln_context_destroy(context);

    context = open_context(dir);
    plan_for(context, "sm_80", 4, "ref");
    const kiln_counters second = counters(context);
    CHECK(second.compiles == 0 && second.binary_hits == first.compiles && second.binary_rejected == 0);
    plan_for(context, "sm_86", 4, "ref");
    CHECK(counters(context).compiles == first.compiles);
    kiln_context_destroy(context);
}

/* ---- programs ---- */

static const char text[] =
    "extern \"C\" __global__ void __launch_bounds__(64) small(float *o, int n) { o[threadIdx.x] = (float)n; }\n"
    "extern \"C\" __global__ void __launch_bounds__(1024, 2) big(float *o, const float *a, int n) {\n"
    "    __shared__ float t[512];\n"
    "    float x[64];\n"
    "    for (int i = 0; i < 64; i++) x[i] = a[i * n + threadIdx.x];\n"
    "    t[threadIdx.x & 511] = x[3];\n"
    "    __syncthreads();\n"
    "    for (int k = 0; k < n; k++)\n"
    "        for (int i = 0; i < 64; i++) x[i] = x[i] * x[(i * 7 + 3) % 64] + t[(k + i) & 511];\n"
    "    for (int i = 0; i < 64; i++) o[i * n + threadIdx.x] = x[i];\n"
    "}\n";

static kiln_device *open_device(kiln_context *context, const char *arch) {
    kiln_device *device = nvrtc_open_arch(context, arch, 0);
    REQUIRE_OK(kiln__device_open(device));
    return device;
}

static void test_resources(const char *arch) {
    kiln_context *context = open_context("");
    kiln_device *device = open_device(context, arch);
    const kiln_backend *b = device->backend;
    void *binary = NULL, *module = NULL;
    size_t bytes = 0;
    REQUIRE_OK(b->compile(device, text, strlen(text), "test.cu", "-DX=1 -DY=2", &binary, &bytes));
    REQUIRE_OK(b->module_load(device, binary, bytes, &module));
    kiln_resources r;
    REQUIRE_OK(b->module_resources(device, module, "small", &r));
    CHECK(r.registers > 0 && r.registers < 32 && r.spills == 0 && r.local_bytes == 0 && r.private_bytes == 0);
    CHECK(r.max_group_size == 64);
    REQUIRE_OK(b->module_resources(device, module, "big", &r));
    CHECK(r.registers == 32 && r.spills > 50 && r.local_bytes == 2048 && r.private_bytes > 100);
    CHECK(r.max_group_size == 1024);
    printf("%s: big takes %u registers, %u spills, %llu bytes of its own\n", arch, (unsigned)r.registers,
           (unsigned)r.spills, (unsigned long long)r.private_bytes);
    CHECK_STATUS(b->module_resources(device, module, "none", &r), KILN_E_NOT_FOUND);
    cuda_binary parts;
    REQUIRE(kiln__cuda_binary_read(binary, bytes, &parts));
    CHECK(parts.cubin && parts.ptx);
    CHECK_HAS(parts.ptx, ".entry big");
    CHECK_HAS(parts.ptx, ".loc"); /* so that a fault can be told by its source line */
    CHECK_HAS(parts.ptx, arch);
    b->module_unload(device, module);
    kiln__free(context, binary);
    kiln_context_destroy(context);
}

static void test_compile_error(void) {
    kiln_context *context = open_context("");
    kiln_device *device = open_device(context, "sm_80");
    static const char wrong[] = "extern \"C\" __global__ void k(float *o) { o[0] = nothing; }\n";
    void *binary = NULL;
    size_t bytes = 0;
    CHECK_STATUS(device->backend->compile(device, wrong, strlen(wrong), "wrong.cu", "", &binary, &bytes),
                 KILN_E_COMPILE);
    CHECK_HAS(kiln_last_error(), "wrong.cu does not compile for sm_80");
    CHECK_HAS(kiln_last_error(), "identifier \"nothing\" is undefined");
    CHECK_STATUS(device->backend->compile(device, text, strlen(text), "test.cu", "--no-such-option", &binary, &bytes),
                 KILN_E_COMPILE);
    CHECK(binary == NULL);
    kiln_context_destroy(context);
}

/* ---- damage: nothing read may be outside, whatever the bytes say (run with the address sanitizer) ---- */

static uint32_t seed = 1;

static uint32_t next_random(void) {
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

/* A copy without a byte to spare, so that a read past the end is seen. */
static int read_copy(const unsigned char *bytes, size_t n, bool *is_container) {
    unsigned char *copy = malloc(n ? n : 1);
    REQUIRE(copy != NULL);
    memcpy(copy, bytes, n);
    cuda_binary parts;
    cubin_kernel kernels[2];
    *is_container = kiln__cuda_binary_read(copy, n, &parts);
    const int result = *is_container && parts.cubin ? kiln__cubin_read(parts.cubin, parts.cubin_bytes, kernels, 2) : -1;
    free(copy);
    return result;
}

static void test_damage(void) {
    kiln_context *context = open_context("");
    kiln_device *device = open_device(context, "sm_90a");
    void *binary = NULL, *module = NULL;
    size_t bytes = 0;
    bool is_container;
    REQUIRE_OK(device->backend->compile(device, text, strlen(text), "test.cu", "", &binary, &bytes));
    unsigned char *copy = malloc(bytes);
    REQUIRE(copy != NULL);
    CHECK(read_copy(binary, bytes, &is_container) == 2 && is_container);
    for (size_t n = 0; n < bytes; n += n < 512 ? 1 : 97) { /* cut short */
        (void)read_copy(binary, n, &is_container);
        CHECK(!is_container);
    }
    cuda_binary parts;
    REQUIRE(kiln__cuda_binary_read(binary, bytes, &parts));
    for (size_t n = 0; n < parts.cubin_bytes; n += n < 512 ? 1 : 61) { /* a CUBIN cut short inside a sound container */
        cubin_kernel kernels[2];
        memcpy(copy, parts.cubin, n);
        (void)kiln__cubin_read(copy, n, kernels, 2);
    }
    size_t n_refused = 0;
    for (int i = 0; i < 3000; i++) { /* a few bytes changed, mostly where the structure is */
        memcpy(copy, binary, bytes);
        for (uint32_t k = next_random() % 4 + 1; k > 0; k--) {
            const size_t range = next_random() % 2 ? 64 + 64 : parts.cubin_bytes;
            copy[CUDA_BINARY_HEADER_BYTES + next_random() % range] = (unsigned char)next_random();
        }
        n_refused += read_copy(copy, bytes, &is_container) < 0;
    }
    CHECK(n_refused > 100);
    CHECK_STATUS(device->backend->module_load(device, binary, bytes - 1, &module), KILN_E_CORRUPT);
    CHECK_STATUS(device->backend->module_load(device, "kiln", 4, &module), KILN_E_CORRUPT);
    free(copy);
    kiln__free(context, binary);
    kiln_context_destroy(context);
}

int main(void) {
    char dir[256];
    nvrtc_look_below_build();
    test_no_driver();
    test_no_nvrtc();
    scratch_make(dir);
    test_arch();
    test_store(dir);
    test_resources("sm_80");
    test_resources("sm_90a");
    test_compile_error();
    test_damage();
    scratch_remove(dir);
    return test_end();
}
