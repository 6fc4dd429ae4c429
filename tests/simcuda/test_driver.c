/* Entry points, devices, contexts, memory, modules and launches of the look-alike driver. */
#include "test_driver.h"

static void test_entry_points(void) {
    void *function;
    int version;
    CUdriverProcAddressQueryResult status;
    CHECK_DONE(cu.cuDriverGetVersion(&version));
    CHECK(version == 13000);
    CHECK_DONE(cu.cuGetProcAddress_v2("cuMemAlloc", &function, 12000, 0, &status));
    CHECK(function && status == CU_GET_PROC_ADDRESS_SUCCESS);
    CHECK(memcmp(&function, &cu.cuMemAlloc_v2, sizeof function) == 0);
    CHECK_DONE(cu.cuGetProcAddress_v2("cuCtxCreate", &function, 12000, 0, NULL));
    CHECK(memcmp(&function, &cu.cuCtxCreate_v3, sizeof function) == 0);
    CHECK_DONE(cu.cuGetProcAddress_v2("cuCtxCreate", &function, 13000, 0, NULL));
    CHECK(memcmp(&function, &cu.cuCtxCreate_v4, sizeof function) == 0);
    CHECK_DONE(cu.cuGetProcAddress_v2("cuGraphAddKernelNode", &function, 11000, 0, &status));
    CHECK(!function && status == CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT);
    CHECK_DONE(cu.cuGetProcAddress_v2("cuMemAlloc_v2", &function, 12000, 0, &status));
    CHECK(!function && status == CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
    CHECK_CU(cu.cuGetProcAddress_v2("cuInit", &function, 99000, 0, NULL), CUDA_ERROR_INVALID_VALUE);
    const char *text;
    CHECK_DONE(cu.cuGetErrorName(CUDA_ERROR_ILLEGAL_ADDRESS, &text));
    CHECK_STR(text, "CUDA_ERROR_ILLEGAL_ADDRESS");
    CHECK_DONE(cu.cuGetErrorString(CUDA_ERROR_ILLEGAL_ADDRESS, &text));
    CHECK_STR(text, "illegal address");
    CHECK_CU(cu.cuGetErrorName((CUresult)12345, &text), CUDA_ERROR_INVALID_VALUE);
}

static void test_devices(void) {
    int n, value;
    size_t bytes;
    CUdevice device;
    char name[8];
    cu.reset();
    CHECK_CU(cu.cuDeviceGetCount(&n), CUDA_ERROR_NOT_INITIALIZED);
    CHECK_DONE(cu.cuInit(0));
    CHECK_DONE(cu.cuDeviceGetCount(&n));
    CHECK(n == 2);
    CHECK_DONE(cu.cuDeviceGet(&device, 1));
    CHECK_CU(cu.cuDeviceGet(&device, 2), CUDA_ERROR_INVALID_DEVICE);
    CHECK_DONE(cu.cuDeviceGetName(name, sizeof name, 0));
    CHECK_STR(name, "Simulat");
    CHECK_DONE(cu.cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 0));
    CHECK(value == 8);
    CHECK_DONE(cu.cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH, 0));
    CHECK(value == 0);
    CHECK_DONE(cu.cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_PCI_BUS_ID, 1));
    CHECK(value == 2);
    CHECK_CU(cu.cuDeviceGetAttribute(&value, (CUdevice_attribute)0, 0), CUDA_ERROR_INVALID_VALUE);
    CHECK_DONE(cu.cuDeviceTotalMem_v2(&bytes, 0));
    CHECK(bytes == (size_t)4 << 30);
}

static void test_contexts(void) {
    CUcontext primary = driver_begin(), other, popped;
    CUdeviceptr address;
    int active;
    unsigned flags;
    CUdevice device;
    CHECK_DONE(cu.cuCtxCreate_v3(&other, NULL, 0, 0, 1));
    CHECK_DONE(cu.cuCtxGetDevice(&device));
    CHECK(device == 1);
    CHECK_DONE(cu.cuCtxPopCurrent_v2(&popped));
    CHECK(popped == other);
    CHECK_DONE(cu.cuCtxGetCurrent(&popped));
    CHECK(popped == primary);
    CHECK_CU(cu.cuCtxPushCurrent_v2((CUcontext)&device), CUDA_ERROR_INVALID_CONTEXT);
    CHECK_CU(cu.cuCtxDestroy_v2(primary), CUDA_ERROR_INVALID_CONTEXT);
    CHECK_DONE(cu.cuCtxDestroy_v2(other));
    CHECK_CU(cu.cuCtxDestroy_v2(other), CUDA_ERROR_INVALID_CONTEXT);
    CHECK_CU(cu.cuCtxSetCurrent(other), CUDA_ERROR_INVALID_CONTEXT);
    CHECK_DONE(cu.cuCtxSetCurrent(NULL));
    CHECK_CU(cu.cuMemAlloc_v2(&address, 16), CUDA_ERROR_INVALID_CONTEXT);
    CHECK_DONE(cu.cuDevicePrimaryCtxGetState(0, &flags, &active));
    CHECK(active == 1);
    CHECK_DONE(cu.cuDevicePrimaryCtxRelease_v2(0));
    CHECK_CU(cu.cuDevicePrimaryCtxRelease_v2(0), CUDA_ERROR_INVALID_CONTEXT);
    CHECK_DONE(cu.cuDevicePrimaryCtxGetState(0, &flags, &active));
    CHECK(active == 0);
    CHECK(cu.ledger(NULL, 0) == 0);
}

static void test_memory(void) {
    CUcontext context = driver_begin(), owner;
    CUdeviceptr address, base, other;
    size_t free_before, free_after, total, bytes;
    float in[16], out[16] = {0};
    unsigned type;
    int ordinal;
    for (int i = 0; i < 16; i++)
        in[i] = (float)i;
    CHECK_DONE(cu.cuMemGetInfo_v2(&free_before, &total));
    CHECK_CU(cu.cuMemAlloc_v2(&address, 0), CUDA_ERROR_INVALID_VALUE);
    CHECK_CU(cu.cuMemAlloc_v2(&address, (size_t)1 << 40), CUDA_ERROR_OUT_OF_MEMORY);
    REQUIRE_DONE(cu.cuMemAlloc_v2(&address, sizeof in));
    REQUIRE_DONE(cu.cuMemAlloc_v2(&other, sizeof in));
    CHECK_DONE(cu.cuMemGetInfo_v2(&free_after, &total));
    CHECK(free_after < free_before);
    CHECK_DONE(cu.cuMemGetAddressRange_v2(&base, &bytes, address + 20));
    CHECK(base == address && bytes == sizeof in);
    CHECK_DONE(cu.cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, address + 4));
    CHECK(type == CU_MEMORYTYPE_DEVICE);
    CHECK_DONE(cu.cuPointerGetAttribute(&ordinal, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, address));
    CHECK(ordinal == 0);
    CHECK_DONE(cu.cuPointerGetAttribute(&owner, CU_POINTER_ATTRIBUTE_CONTEXT, address));
    CHECK(owner == context);
    CHECK_CU(cu.cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, (uintptr_t)in),
             CUDA_ERROR_INVALID_VALUE);
    CHECK_DONE(cu.cuMemcpyHtoD_v2(address, in, sizeof in));
    CHECK_CU(cu.cuMemcpyHtoD_v2(address + 4, in, sizeof in), CUDA_ERROR_INVALID_VALUE);
    CHECK_DONE(cu.cuMemcpyDtoD_v2(other, address, sizeof in));
    CHECK_DONE(cu.cuMemcpyDtoH_v2(out, other, sizeof out));
    CHECK(memcmp(in, out, sizeof in) == 0);
    /* Rows of 2 floats, every second row of 4. */
    const CUDA_MEMCPY2D rows = {.srcMemoryType = CU_MEMORYTYPE_DEVICE,
                                .srcDevice = address,
                                .srcPitch = 32,
                                .srcXInBytes = 4,
                                .dstMemoryType = CU_MEMORYTYPE_HOST,
                                .dstHost = out,
                                .dstPitch = 8,
                                .WidthInBytes = 8,
                                .Height = 2};
    CHECK_DONE(cu.cuMemcpy2DAsync_v2(&rows, NULL));
    CHECK(out[0] == 1 && out[1] == 2 && out[2] == 9 && out[3] == 10);
    CHECK_DONE(cu.cuMemFree_v2(other));
    CHECK_CU(cu.cuMemFree_v2(other), CUDA_ERROR_INVALID_VALUE);
    CHECK_CU(cu.cuMemcpyDtoH_v2(out, other, sizeof out), CUDA_ERROR_INVALID_VALUE);
    CHECK_CU(cu.cuMemFree_v2(address + 4), CUDA_ERROR_INVALID_VALUE);
    CHECK_DONE(cu.cuMemFree_v2(address));
    driver_end();
}

static void test_modules(void) {
    driver_begin();
    CUmodule module;
    CUfunction function;
    CUdeviceptr table;
    size_t bytes;
    int value;
    char log[256] = "";
    CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *values[] = {log, (void *)sizeof log};
    CHECK_CU(cu.cuModuleLoadData(&module, "\177ELF and so on"), CUDA_ERROR_NO_BINARY_FOR_GPU);
    CHECK_CU(
        cu.cuModuleLoadDataEx(&module, ".version 7.0\n.target sm_80\n.address_size 64\nbogus!\n", 2, options, values),
        CUDA_ERROR_INVALID_PTX);
    CHECK(strlen(log) > 0 && (size_t)values[1] == strlen(log));
    values[1] = (void *)sizeof log;
    CHECK_CU(cu.cuModuleLoadDataEx(&module, ".version 8.0\n.target sm_90a\n", 2, options, values),
             CUDA_ERROR_INVALID_PTX);
    CHECK_HAS(log, "sm_90a");
    REQUIRE_DONE(cu.cuModuleLoadData(&module, driver_ptx));
    CHECK_CU(cu.cuModuleGetFunction(&function, module, "nothing"), CUDA_ERROR_NOT_FOUND);
    REQUIRE_DONE(cu.cuModuleGetFunction(&function, module, "add"));
    CHECK_DONE(cu.cuModuleGetGlobal_v2(&table, &bytes, module, "table"));
    CHECK(bytes == 16);
    CHECK_DONE(cu.cuMemsetD8_v2(table, 1, 16));
    CHECK_DONE(cu.cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, function));
    CHECK(value == 1024);
    CHECK_DONE(cu.cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 163 << 10));
    CHECK_CU(cu.cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 164 << 10),
             CUDA_ERROR_INVALID_VALUE);
    CHECK_DONE(cu.cuOccupancyMaxActiveBlocksPerMultiprocessor(&value, function, 1024, 0));
    CHECK(value == 2);
    CHECK_DONE(cu.cuOccupancyMaxActiveBlocksPerMultiprocessor(&value, function, 32, 80 << 10));
    CHECK(value == 2);
    CHECK_DONE(cu.cuModuleUnload(module));
    CHECK_CU(cu.cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_NUM_REGS, function), CUDA_ERROR_INVALID_HANDLE);
    CHECK_CU(cu.cuModuleUnload(module), CUDA_ERROR_INVALID_HANDLE);
    driver_end();
}

static CUresult launch_shape(CUfunction function, unsigned grid, unsigned block, unsigned shared) {
    CUdeviceptr nothing = 0;
    float v = 0;
    uint32_t n = 0;
    void *params[] = {&nothing, &v, &n};
    return cu.cuLaunchKernel(function, grid, 1, 1, block, 1, 1, shared, NULL, params, NULL);
}

static void test_launches(void) {
    CUcontext context = driver_begin(), other;
    driver_fixture f = driver_fixture_make();
    CHECK_DONE(driver_launch_n(f.add, f.array, 2, DRIVER_TEST_N, NULL));
    CHECK(driver_first(f.array) == 2);
    struct {
        CUdeviceptr array;
        float v;
        uint32_t n;
    } packed = {f.array, 3, DRIVER_TEST_N};
    size_t packed_bytes = sizeof packed;
    void *extra[] = {(void *)1, &packed, (void *)2, &packed_bytes, NULL};
    CHECK_DONE(cu.cuLaunchKernel(f.scale, 2, 1, 1, 32, 1, 1, 0, NULL, NULL, extra));
    CHECK(driver_first(f.array) == 6);
    packed_bytes = 8;
    CHECK_CU(cu.cuLaunchKernel(f.scale, 2, 1, 1, 32, 1, 1, 0, NULL, NULL, extra), CUDA_ERROR_INVALID_VALUE);
    CHECK_CU(cu.cuLaunchKernel(f.scale, 2, 1, 1, 32, 1, 1, 0, NULL, NULL, NULL), CUDA_ERROR_INVALID_VALUE);
    CHECK_CU(launch_shape(f.add, 0, 32, 0), CUDA_ERROR_INVALID_VALUE);
    CHECK_CU(launch_shape(f.add, 1, 1025, 0), CUDA_ERROR_INVALID_VALUE);
    CHECK_CU(launch_shape(f.add, 1, 32, (48 << 10) + 4), CUDA_ERROR_INVALID_VALUE);
    CHECK_DONE(cu.cuFuncSetAttribute(f.add, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 64 << 10));
    CHECK_DONE(launch_shape(f.add, 1, 32, (48 << 10) + 4));

    CUlaunchAttribute attribute = {.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION, .value.clusterDim = {2, 1, 1}};
    CUlaunchConfig config = {.gridDimX = 2,
                             .gridDimY = 1,
                             .gridDimZ = 1,
                             .blockDimX = 32,
                             .blockDimY = 1,
                             .blockDimZ = 1,
                             .attrs = &attribute,
                             .numAttrs = 1};
    void *params[] = {&packed.array, &packed.v, &packed.n};
    CHECK_CU(cu.cuLaunchKernelEx(&config, f.add, params, NULL), CUDA_ERROR_NOT_SUPPORTED);
    attribute = (CUlaunchAttribute){.id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE, .value.cooperative = 1};
    CHECK_DONE(cu.cuLaunchKernelEx(&config, f.add, params, NULL));
    CHECK(driver_first(f.array) == 9);
    config.gridDimX = 8 * 32 + 1;
    CHECK_CU(cu.cuLaunchKernelEx(&config, f.add, params, NULL), CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);

    /* A function belongs to its context. */
    CHECK_DONE(cu.cuCtxCreate_v3(&other, NULL, 0, 0, 0));
    CHECK_CU(driver_launch_n(f.add, f.array, 1, 1, NULL), CUDA_ERROR_INVALID_HANDLE);
    CHECK_DONE(cu.cuCtxDestroy_v2(other));
    CHECK_DONE(cu.cuCtxSetCurrent(context));
    driver_fixture_free(&f);
    driver_end();
}

int main(void) {
    driver_open();
    test_entry_points();
    test_devices();
    test_contexts();
    test_memory();
    test_modules();
    test_launches();
    return test_end();
}
