/* Streams and events of the look-alike: what waits for what, and when it runs. */
#include "test_driver.h"
#include <pthread.h>

/* A copy from pinned memory reads it when it runs; one from other memory at once. */
static void test_reuse_shows(void) {
    driver_begin();
    driver_fixture f = driver_fixture_make();
    CUstream stream;
    float *pinned, pageable = 1, out = 0;
    REQUIRE_DONE(cu.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    REQUIRE_DONE(cu.cuMemHostAlloc((void **)&pinned, sizeof *pinned, 0));
    *pinned = 1;
    CHECK_DONE(cu.cuMemcpyHtoDAsync_v2(f.array, pinned, sizeof(float), stream));
    CHECK_DONE(cu.cuMemcpyHtoDAsync_v2(f.array + 4, &pageable, sizeof(float), stream));
    *pinned = pageable = 2; /* too early for the first, in time for the second */
    CHECK_DONE(cu.cuStreamSynchronize(stream));
    CHECK(driver_first(f.array) == 2);
    CHECK(driver_first(f.array + 4) == 1);
    /* A result in pinned memory is there after waiting, not before; in other memory at once. */
    *pinned = 0;
    CHECK_DONE(cu.cuMemcpyDtoHAsync_v2(pinned, f.array, sizeof(float), stream));
    CHECK(*pinned == 0);
    CHECK_DONE(cu.cuMemcpyDtoHAsync_v2(&out, f.array, sizeof(float), stream));
    CHECK(out == 2 && *pinned == 2);
    /* The same for memory of the caller's that is registered. */
    static float mine[4];
    REQUIRE_DONE(cu.cuMemHostRegister_v2(mine, sizeof mine, 0));
    CHECK_CU(cu.cuMemHostRegister_v2(mine, sizeof mine, 0), CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
    CHECK_DONE(cu.cuMemcpyDtoHAsync_v2(mine, f.array, sizeof(float), stream));
    CHECK(mine[0] == 0);
    CHECK_DONE(cu.cuMemHostUnregister(mine)); /* waits */
    CHECK(mine[0] == 2);
    CHECK_CU(cu.cuMemHostUnregister(mine), CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
    CHECK_DONE(cu.cuMemFreeHost(pinned));
    CHECK_DONE(cu.cuStreamDestroy_v2(stream));
    driver_fixture_free(&f);
    driver_end();
}

/* Without an event the younger stream runs first; with one they are in order. */
static void test_events_order(void) {
    driver_begin();
    driver_fixture f = driver_fixture_make();
    CUstream first, second;
    CUevent event;
    REQUIRE_DONE(cu.cuStreamCreate(&first, CU_STREAM_NON_BLOCKING));
    REQUIRE_DONE(cu.cuStreamCreate(&second, CU_STREAM_NON_BLOCKING));
    REQUIRE_DONE(cu.cuEventCreate(&event, 0));
    CHECK_DONE(driver_launch_n(f.add, f.array, 1, 1, first));
    CHECK_DONE(driver_launch_n(f.scale, f.array, 5, 1, second));
    CHECK_DONE(cu.cuCtxSynchronize());
    CHECK(driver_first(f.array) == 1); /* 0 * 5 + 1 */
    CHECK_DONE(driver_launch_n(f.add, f.array, 1, 1, first));
    CHECK_DONE(cu.cuEventRecord(event, first));
    CHECK_DONE(cu.cuStreamWaitEvent(second, event, 0));
    CHECK_DONE(driver_launch_n(f.scale, f.array, 5, 1, second));
    CHECK_DONE(cu.cuCtxSynchronize());
    CHECK(driver_first(f.array) == 10); /* (1 + 1) * 5 */
    /* A wait is for the record before it, not for later ones. */
    CHECK_DONE(cu.cuEventRecord(event, first));
    CHECK_DONE(cu.cuStreamWaitEvent(second, event, 0));
    CHECK_DONE(driver_launch_n(f.add, f.array, 1, 1, first));
    CHECK_DONE(cu.cuEventRecord(event, first));
    CHECK_DONE(driver_launch_n(f.scale, f.array, 2, 1, second));
    CHECK_DONE(cu.cuStreamSynchronize(second));
    CHECK(driver_first(f.array) == 20);
    CHECK_DONE(cu.cuEventSynchronize(event));
    CHECK(driver_first(f.array) == 21);
    CHECK_DONE(cu.cuEventDestroy_v2(event));
    CHECK_CU(cu.cuEventRecord(event, first), CUDA_ERROR_INVALID_HANDLE);
    CHECK_DONE(cu.cuStreamDestroy_v2(first));
    CHECK_DONE(cu.cuStreamDestroy_v2(second));
    CHECK_CU(cu.cuStreamSynchronize(second), CUDA_ERROR_INVALID_HANDLE);
    driver_fixture_free(&f);
    driver_end();
}

/* The null stream is in order with streams that block with it, and with no others. */
static void test_null_stream(void) {
    driver_begin();
    driver_fixture f = driver_fixture_make();
    CUstream blocking, free_stream;
    REQUIRE_DONE(cu.cuStreamCreate(&blocking, CU_STREAM_DEFAULT));
    REQUIRE_DONE(cu.cuStreamCreate(&free_stream, CU_STREAM_NON_BLOCKING));
    CHECK_DONE(driver_launch_n(f.add, f.array, 1, 1, blocking));
    CHECK_DONE(driver_launch_n(f.scale, f.array, 3, 1, NULL));
    CHECK_DONE(driver_launch_n(f.add, f.array, 1, 1, blocking));
    CHECK(driver_first(f.array) == 4);
    CHECK_DONE(driver_launch_n(f.add, f.array, 1, 1, free_stream));
    CHECK(driver_first(f.array) == 4);
    CHECK_DONE(cu.cuStreamSynchronize(free_stream));
    CHECK(driver_first(f.array) == 5);
    CHECK_DONE(cu.cuStreamDestroy_v2(blocking));
    CHECK_DONE(cu.cuStreamDestroy_v2(free_stream));
    driver_fixture_free(&f);
    driver_end();
}

static void test_queries(void) {
    driver_begin();
    driver_fixture f = driver_fixture_make();
    CUstream stream;
    CUevent event;
    REQUIRE_DONE(cu.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    REQUIRE_DONE(cu.cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    CHECK_DONE(cu.cuEventQuery(event)); /* never recorded */
    CHECK_DONE(driver_launch_n(f.add, f.array, 1, 1, stream));
    CHECK_DONE(driver_launch_n(f.add, f.array, 1, 1, stream));
    CHECK_DONE(cu.cuEventRecord(event, stream));
    CHECK_CU(cu.cuEventQuery(event), CUDA_ERROR_NOT_READY);
    CHECK_CU(cu.cuStreamQuery(stream), CUDA_ERROR_NOT_READY);
    CHECK_DONE(cu.cuStreamQuery(stream));
    CHECK_DONE(cu.cuEventQuery(event));
    CHECK(driver_first(f.array) == 2);
    /* However much is enqueued, a stream holds 1024 pieces. */
    for (int i = 0; i < 1500; i++)
        CHECK_DONE(driver_launch_n(f.add, f.array, 1, 1, stream));
    CHECK(driver_first(f.array) == 2 + 1500 - 1024);
    CHECK_DONE(cu.cuStreamDestroy_v2(stream)); /* what is enqueued still runs */
    CHECK(driver_first(f.array) == 1502);
    CHECK_DONE(cu.cuEventDestroy_v2(event));
    driver_fixture_free(&f);
    driver_end();
}

static float timed(driver_fixture *f, int launches) {
    CUstream stream;
    CUevent from, to;
    float ms = -1;
    REQUIRE_DONE(cu.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    REQUIRE_DONE(cu.cuEventCreate(&from, 0));
    REQUIRE_DONE(cu.cuEventCreate(&to, 0));
    CHECK_CU(cu.cuEventElapsedTime(&ms, from, to), CUDA_ERROR_INVALID_HANDLE);
    CHECK_DONE(cu.cuEventRecord(from, stream));
    for (int i = 0; i < launches; i++)
        CHECK_DONE(driver_launch_n(f->add, f->array, 1, DRIVER_TEST_N, stream));
    CHECK_DONE(cu.cuEventRecord(to, stream));
    CHECK_CU(cu.cuEventElapsedTime(&ms, from, to), CUDA_ERROR_NOT_READY);
    CHECK_DONE(cu.cuEventSynchronize(to));
    CHECK_DONE(cu.cuEventElapsedTime(&ms, from, to));
    CHECK_DONE(cu.cuEventDestroy_v2(from));
    CHECK_DONE(cu.cuEventDestroy_v2(to));
    CHECK_DONE(cu.cuStreamDestroy_v2(stream));
    return ms;
}

static void test_virtual_time(void) {
    driver_begin();
    driver_fixture f = driver_fixture_make();
    const float one = timed(&f, 1), three = timed(&f, 3);
    CHECK(one > 0);
    CHECK(timed(&f, 1) == one);
    CHECK(three > 2.9f * one && three < 3.1f * one);
    driver_fixture_free(&f);
    driver_end();
    setenv("SIMCUDA_CLOCK", "1000", 1);
    driver_begin();
    f = driver_fixture_make();
    const float slow = timed(&f, 1);
    CHECK(slow > 999 * one && slow < 1001 * one);
    unsetenv("SIMCUDA_CLOCK");
    driver_fixture_free(&f);
    driver_end();
}

static CUresult inside;
static void callback(void *user) {
    inside = cu.cuCtxSynchronize();
    *(int *)user += 1;
}

static void test_host_function(void) {
    driver_begin();
    CUstream stream;
    int calls = 0;
    REQUIRE_DONE(cu.cuStreamCreate(&stream, 0));
    CHECK_DONE(cu.cuLaunchHostFunc(stream, callback, &calls));
    CHECK(calls == 0);
    CHECK_DONE(cu.cuStreamSynchronize(stream));
    CHECK(calls == 1 && inside == CUDA_ERROR_NOT_PERMITTED);
    CHECK_DONE(cu.cuStreamDestroy_v2(stream));
    driver_end();
}

/* Two devices: an event of one orders the other; copies go between them. */
static void test_two_devices(void) {
    CUcontext first = driver_begin(), second;
    driver_fixture f = driver_fixture_make();
    CUstream here, there;
    CUevent event;
    CUdeviceptr far;
    float out = 0;
    REQUIRE_DONE(cu.cuStreamCreate(&here, CU_STREAM_NON_BLOCKING));
    REQUIRE_DONE(cu.cuEventCreate(&event, 0));
    REQUIRE_DONE(cu.cuDevicePrimaryCtxRetain(&second, 1));
    CHECK_DONE(driver_launch_n(f.add, f.array, 7, 1, here));
    CHECK_DONE(cu.cuEventRecord(event, here));
    CHECK_DONE(cu.cuCtxPushCurrent_v2(second));
    REQUIRE_DONE(cu.cuStreamCreate(&there, CU_STREAM_NON_BLOCKING));
    REQUIRE_DONE(cu.cuMemAlloc_v2(&far, sizeof out));
    CHECK_CU(driver_launch_n(f.add, f.array, 1, 1, there), CUDA_ERROR_INVALID_HANDLE);
    CHECK_CU(cu.cuEventRecord(event, there), CUDA_ERROR_INVALID_HANDLE);
    CHECK_DONE(cu.cuStreamWaitEvent(there, event, 0));
    CHECK_DONE(cu.cuMemcpyDtoDAsync_v2(far, f.array, sizeof out, there));
    CHECK_DONE(cu.cuMemcpyDtoHAsync_v2(&out, far, sizeof out, there));
    CHECK(out == 7);
    CHECK_DONE(cu.cuMemFree_v2(far));
    CHECK_DONE(cu.cuStreamDestroy_v2(there));
    CHECK_DONE(cu.cuCtxPopCurrent_v2(NULL));
    CHECK_DONE(cu.cuDevicePrimaryCtxRelease_v2(1));
    CHECK_DONE(cu.cuCtxSetCurrent(first));
    CHECK_DONE(cu.cuEventDestroy_v2(event));
    CHECK_DONE(cu.cuStreamDestroy_v2(here));
    driver_fixture_free(&f);
    driver_end();
}

/* Threads with streams of their own, two to a device. */
static void *thread_main(void *user) {
    const int number = *(const int *)user;
    CUcontext context;
    CUstream stream;
    REQUIRE_DONE(cu.cuDevicePrimaryCtxRetain(&context, number % 2));
    REQUIRE_DONE(cu.cuCtxSetCurrent(context));
    driver_fixture f = driver_fixture_make();
    REQUIRE_DONE(cu.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    float out = 0;
    for (int i = 0; i < 50; i++) {
        CHECK_DONE(driver_launch_n(f.add, f.array, (float)number, 1, stream));
        CHECK_DONE(cu.cuMemcpyDtoHAsync_v2(&out, f.array, sizeof out, stream));
        CHECK(out == (float)(number * (i + 1)));
    }
    CHECK_DONE(cu.cuStreamDestroy_v2(stream));
    driver_fixture_free(&f);
    CHECK_DONE(cu.cuDevicePrimaryCtxRelease_v2(number % 2));
    return NULL;
}

static void test_threads(void) {
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    int numbers[THREADS];
    driver_begin();
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        REQUIRE(pthread_create(&threads[i], NULL, thread_main, &numbers[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    driver_end();
}

int main(void) {
    driver_open();
    test_reuse_shows();
    test_events_order();
    test_null_stream();
    test_queries();
    test_virtual_time();
    test_host_function();
    test_two_devices();
    test_threads();
    return test_end();
}
