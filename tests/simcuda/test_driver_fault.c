/* What goes wrong, by itself or because the environment says so, and the files that tests read. */
#include "test_driver.h"

static char folder[] = "/tmp/simcuda.XXXXXX";

static const char *file_of(const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* The whole file, and removes it. */
static const char *taken(const char *name) {
    static char text[8192];
    FILE *file = fopen(file_of(name), "r");
    const size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
    text[n] = '\0';
    if (file)
        fclose(file);
    unlink(file_of(name));
    return text;
}

static void set(const char *variable, const char *value) {
    if (value)
        setenv(variable, value, 1);
    else
        unsetenv(variable);
}

/* A kernel's fault ends its context and no other, and is reported. */
static void test_dead_context(void) {
    set("SIMCUDA_REPORT", file_of("report"));
    CUcontext context = driver_begin(), other;
    driver_fixture f = driver_fixture_make();
    CUstream stream;
    CUdeviceptr address;
    REQUIRE_DONE(cu.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    CHECK_DONE(driver_launch_n(f.add, f.array, 1, DRIVER_TEST_N + 1, stream)); /* nobody waited yet */
    CHECK_CU(cu.cuStreamSynchronize(stream), CUDA_ERROR_ILLEGAL_ADDRESS);
    CHECK_HAS(taken("report"), "out-of-bounds");
    CHECK_CU(cu.cuMemAlloc_v2(&address, 16), CUDA_ERROR_ILLEGAL_ADDRESS);
    CHECK_CU(cu.cuStreamSynchronize(stream), CUDA_ERROR_ILLEGAL_ADDRESS);
    CHECK_CU(driver_launch_n(f.add, f.array, 1, 1, NULL), CUDA_ERROR_ILLEGAL_ADDRESS);
    CHECK_DONE(cu.cuCtxCreate_v3(&other, NULL, 0, 0, 0));
    CHECK_DONE(cu.cuMemAlloc_v2(&address, 16));
    CHECK_DONE(cu.cuMemFree_v2(address));
    CHECK_DONE(cu.cuCtxDestroy_v2(other));
    CHECK_DONE(cu.cuCtxSetCurrent(context));
    /* Releasing says so too, and releases. */
    CHECK_CU(cu.cuMemFree_v2(f.array), CUDA_ERROR_ILLEGAL_ADDRESS);
    CHECK_CU(cu.cuModuleUnload(f.module), CUDA_ERROR_ILLEGAL_ADDRESS);
    CHECK_CU(cu.cuStreamDestroy_v2(stream), CUDA_ERROR_ILLEGAL_ADDRESS);
    driver_end();
    /* The primary context made anew is a new one. */
    driver_begin();
    CHECK_DONE(cu.cuCtxSynchronize());
    driver_end();
    set("SIMCUDA_REPORT", NULL);
}

static void test_injected(void) {
    CUdeviceptr a, b;
    set("SIMCUDA_FAIL", "cuMemAlloc:2:CUDA_ERROR_OUT_OF_MEMORY,cuMemFree:1:719");
    driver_begin();
    CHECK_DONE(cu.cuMemAlloc_v2(&a, 16));
    CHECK_CU(cu.cuMemAlloc_v2(&b, 16), CUDA_ERROR_OUT_OF_MEMORY);
    CHECK_DONE(cu.cuMemAlloc_v2(&b, 16));
    /* A release that fails has released; 719 ends the context. */
    CHECK_CU(cu.cuMemFree_v2(a), CUDA_ERROR_LAUNCH_FAILED);
    CHECK_CU(cu.cuMemFree_v2(b), CUDA_ERROR_LAUNCH_FAILED);
    driver_end();
    set("SIMCUDA_FAIL", "cuInit:*:CUDA_ERROR_NO_DEVICE");
    cu.reset();
    CHECK_CU(cu.cuInit(0), CUDA_ERROR_NO_DEVICE);
    CHECK_CU(cu.cuInit(0), CUDA_ERROR_NO_DEVICE);
    set("SIMCUDA_FAIL", NULL);
}

/* cuInit is not counted: retaining and making current are calls 1 and 2. */
static void test_lost(void) {
    CUdeviceptr address;
    set("SIMCUDA_LOSE", "4");
    driver_begin();
    CHECK_DONE(cu.cuMemAlloc_v2(&address, 16));
    CHECK_CU(cu.cuCtxSynchronize(), CUDA_ERROR_DEVICE_UNAVAILABLE);
    CHECK_CU(cu.cuMemFree_v2(address), CUDA_ERROR_DEVICE_UNAVAILABLE);
    driver_end();
    set("SIMCUDA_LOSE", "3:CUDA_ERROR_UNKNOWN");
    driver_begin();
    CHECK_CU(cu.cuCtxSynchronize(), CUDA_ERROR_UNKNOWN);
    driver_end();
    set("SIMCUDA_LOSE", NULL);
}

static void test_small_devices(void) {
    CUdeviceptr address, more;
    int n;
    set("SIMCUDA_MEMORY", "4096");
    set("SIMCUDA_DEVICES", "1");
    driver_begin();
    CHECK_DONE(cu.cuDeviceGetCount(&n));
    CHECK(n == 1);
    CHECK_DONE(cu.cuMemAlloc_v2(&address, 4096));
    CHECK_CU(cu.cuMemAlloc_v2(&more, 256), CUDA_ERROR_OUT_OF_MEMORY);
    CHECK_DONE(cu.cuMemFree_v2(address));
    driver_end();
    set("SIMCUDA_DEVICES", "0");
    cu.reset();
    CHECK_CU(cu.cuInit(0), CUDA_ERROR_NO_DEVICE);
    set("SIMCUDA_DEVICES", NULL);
    set("SIMCUDA_MEMORY", NULL);
}

static void test_endless(void) {
    for (int by_name = 0; by_name < 2; by_name++) {
        set("SIMCUDA_HANG", by_name ? "add" : NULL);
        set("SIMCUDA_TIMEOUT", "100000");
        driver_begin();
        driver_fixture f = driver_fixture_make();
        if (by_name)
            CHECK_DONE(driver_launch_n(f.add, f.array, 1, 1, NULL));
        else
            CHECK_DONE(cu.cuLaunchKernel(f.spin, 1, 1, 1, 32, 1, 1, 0, NULL, NULL, NULL));
        CHECK_CU(cu.cuCtxSynchronize(), CUDA_ERROR_LAUNCH_TIMEOUT);
        CHECK_CU(cu.cuMemFree_v2(f.array), CUDA_ERROR_LAUNCH_TIMEOUT);
        CHECK_CU(cu.cuModuleUnload(f.module), CUDA_ERROR_LAUNCH_TIMEOUT);
        driver_end();
    }
    set("SIMCUDA_HANG", NULL);
    set("SIMCUDA_TIMEOUT", NULL);
}

/* Ledger, calls and meter, as files. */
static void test_files(void) {
    char text[1024];
    sim_meter meter;
    CUstream stream;
    set("SIMCUDA_LEDGER", file_of("ledger"));
    driver_begin();
    driver_fixture f = driver_fixture_make();
    CHECK_DONE(cu.cuStreamCreate(&stream, 0));
    CHECK(cu.ledger(text, sizeof text) == 4);
    CHECK_HAS(text, "device memory of 256 bytes");
    CHECK_HAS(text, "stream on device 0");
    CHECK_DONE(cu.cuDevicePrimaryCtxRelease_v2(0)); /* takes the rest along, which is on record */
    CHECK(cu.ledger(text, sizeof text) == 3);
    CHECK_HAS(text, "module on device 0, left to its context");
    cu.reset();
    CHECK_HAS(taken("ledger"), "left to its context");
    set("SIMCUDA_LEDGER", NULL);

    char meter_file[256];
    snprintf(meter_file, sizeof meter_file, "%s", file_of("meter"));
    set("SIMCUDA_METER", meter_file);
    set("SIMCUDA_CALLS", file_of("calls"));
    driver_begin();
    f = driver_fixture_make();
    CHECK_DONE(driver_launch_n(f.add, f.array, 1, DRIVER_TEST_N, NULL));
    CHECK_DONE(cu.cuCtxSynchronize());
    cu.meter(0, &meter);
    CHECK(meter.instructions > 0 && meter.cycles > 0);
    cu.meter(1, &meter);
    CHECK(meter.instructions == 0);
    const char *line = taken("meter");
    CHECK_HAS(line, "\"kernel\":\"add\",\"grid\":[2,1,1],\"block\":[32,1,1]");
    CHECK_HAS(line, "\"cycles\":");
    driver_fixture_free(&f);
    driver_end();
    cu.reset();
    CHECK_HAS(taken("calls"), "cuModuleGetFunction 3\n");
    set("SIMCUDA_METER", NULL);
    set("SIMCUDA_CALLS", NULL);
}

int main(void) {
    REQUIRE(mkdtemp(folder));
    driver_open();
    test_dead_context();
    test_injected();
    test_lost();
    test_small_devices();
    test_endless();
    test_files();
    cu.reset();
    rmdir(folder);
    return test_end();
}
