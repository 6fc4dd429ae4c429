/* The look-alike as a caller sees it: loaded by dlopen, called through pointers. `cu.cuMemAlloc_v2(...)`. */
#ifndef SIMCUDA_TEST_DRIVER_H
#define SIMCUDA_TEST_DRIVER_H

#include "driver_abi.h"
#include "simcuda.h"
#include "testing.h"
#include <dlfcn.h>
#include <unistd.h>

static struct {
#define DRIVER_ENTRY(name, suffix, since, demands, params, args) CUresult(*name##suffix) params;
#include "driver.def"
#undef DRIVER_ENTRY
    void (*reset)(void);
    size_t (*ledger)(char *text, size_t bytes);
    void (*meter)(int device, sim_meter *out);
} cu;

/* Functions come from dlsym as object pointers. */
static inline void driver_symbol(void *library, const char *name, void *function) {
    void *symbol = dlsym(library, name);
    REQUIRE(symbol);
    memcpy(function, &symbol, sizeof symbol);
}

static inline void driver_open(void) {
    /* The library lies beside the tests. */
    char path[4096];
    const ssize_t length = readlink("/proc/self/exe", path, sizeof path - sizeof "libsimcuda.so");
    REQUIRE(length > 0);
    path[length] = '\0';
    strcpy(strrchr(path, '/') + 1, "libsimcuda.so");
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    REQUIRE(library);
#define DRIVER_ENTRY(name, suffix, since, demands, params, args)                                                       \
    driver_symbol(library, #name #suffix, &cu.name##suffix);
#include "driver.def"
#undef DRIVER_ENTRY
    driver_symbol(library, "simcuda_reset", &cu.reset);
    driver_symbol(library, "simcuda_ledger", &cu.ledger);
    driver_symbol(library, "simcuda_meter", &cu.meter);
}

/* Begins anew with the environment as it is, and leaves a primary context of device 0 current. */
static inline CUcontext driver_begin(void) {
    CUcontext context;
    cu.reset();
    REQUIRE(cu.cuInit(0) == CUDA_SUCCESS);
    REQUIRE(cu.cuDevicePrimaryCtxRetain(&context, 0) == CUDA_SUCCESS);
    REQUIRE(cu.cuCtxSetCurrent(context) == CUDA_SUCCESS);
    return context;
}

#define CHECK_CU(call, expected)                                                                                       \
    do {                                                                                                               \
        const CUresult got_ = (call);                                                                                  \
        if (got_ != (expected)) {                                                                                      \
            fprintf(stderr, "%s:%d: failed: %s is %d, not %s\n", __FILE__, __LINE__, #call, (int)got_, #expected);     \
            test_failures++;                                                                                           \
        }                                                                                                              \
    } while (0)
#define CHECK_DONE(call)   CHECK_CU(call, CUDA_SUCCESS)
#define REQUIRE_DONE(call) REQUIRE((call) == CUDA_SUCCESS)

/* a[i] = a[i] + v and a[i] = a[i] * v for i < n; a loop without end; a global variable. */
#define DRIVER_TEST_KERNEL(name, operation)                                                                            \
    ".visible .entry " name "(.param .u64 a, .param .f32 v, .param .u32 n)\n"                                          \
    "{\n"                                                                                                              \
    "  .reg .pred %p<2>;\n  .reg .b32 %r<6>;\n  .reg .f32 %f<4>;\n  .reg .b64 %rd<5>;\n"                               \
    "  ld.param.u64 %rd1, [a];\n  ld.param.f32 %f1, [v];\n  ld.param.u32 %r1, [n];\n"                                  \
    "  mov.u32 %r2, %ctaid.x;\n  mov.u32 %r3, %ntid.x;\n  mov.u32 %r4, %tid.x;\n"                                      \
    "  mad.lo.s32 %r5, %r2, %r3, %r4;\n"                                                                               \
    "  setp.ge.u32 %p1, %r5, %r1;\n"                                                                                   \
    "  @%p1 bra DONE;\n"                                                                                               \
    "  cvta.to.global.u64 %rd2, %rd1;\n"                                                                               \
    "  mul.wide.u32 %rd3, %r5, 4;\n"                                                                                   \
    "  add.s64 %rd4, %rd2, %rd3;\n"                                                                                    \
    "  ld.global.f32 %f2, [%rd4];\n"                                                                                   \
    "  " operation ".f32 %f3, %f2, %f1;\n"                                                                             \
    "  st.global.f32 [%rd4], %f3;\n"                                                                                   \
    "DONE:\n"                                                                                                          \
    "  ret;\n"                                                                                                         \
    "}\n"

static const char driver_ptx[] = ".version 7.0\n.target sm_80\n.address_size 64\n"
                                 ".global .align 4 .b8 table[16];\n" DRIVER_TEST_KERNEL("add", "add")
                                     DRIVER_TEST_KERNEL("scale", "mul") ".visible .entry spin()\n"
                                                                        "{\n"
                                                                        "AGAIN:\n"
                                                                        "  bra AGAIN;\n"
                                                                        "}\n";

enum { DRIVER_TEST_N = 64 };

/* One context's module and an array of DRIVER_TEST_N floats. */
typedef struct driver_fixture {
    CUmodule module;
    CUfunction add, scale, spin;
    CUdeviceptr array;
} driver_fixture;

static inline driver_fixture driver_fixture_make(void) {
    driver_fixture f;
    REQUIRE_DONE(cu.cuModuleLoadData(&f.module, driver_ptx));
    REQUIRE_DONE(cu.cuModuleGetFunction(&f.add, f.module, "add"));
    REQUIRE_DONE(cu.cuModuleGetFunction(&f.scale, f.module, "scale"));
    REQUIRE_DONE(cu.cuModuleGetFunction(&f.spin, f.module, "spin"));
    REQUIRE_DONE(cu.cuMemAlloc_v2(&f.array, DRIVER_TEST_N * sizeof(float)));
    REQUIRE_DONE(cu.cuMemsetD32_v2(f.array, 0, DRIVER_TEST_N));
    REQUIRE_DONE(cu.cuCtxSynchronize()); /* streams that do not block would not wait for it */
    return f;
}

static inline void driver_fixture_free(driver_fixture *f) {
    CHECK_DONE(cu.cuMemFree_v2(f->array));
    CHECK_DONE(cu.cuModuleUnload(f->module));
}

/* `function` over the first n of the array. */
static inline CUresult driver_launch_n(CUfunction function, CUdeviceptr array, float v, uint32_t n, CUstream stream) {
    void *params[] = {&array, &v, &n};
    return cu.cuLaunchKernel(function, (n + 31) / 32, 1, 1, 32, 1, 1, 0, stream, params, NULL);
}

/* The first element, after all that blocks with the null stream. */
static inline float driver_first(CUdeviceptr array) {
    float value = -1;
    CHECK_DONE(cu.cuMemcpyDtoH_v2(&value, array, sizeof value));
    return value;
}

/* Ends a case: the context goes, and nothing else is left. */
static inline void driver_end(void) {
    char text[2048] = "";
    cu.cuDevicePrimaryCtxRelease_v2(0);
    if (cu.ledger(text, sizeof text) != 0) {
        fprintf(stderr, "%s: left over:\n%s", __FILE__, text);
        test_failures++;
    }
}

#endif
