/* Launching kernels, and how many blocks fit. */
#include "driver.h"
#include <stdlib.h>
#include <string.h>

enum { UNIT_THREADS = 2048, UNIT_BLOCKS = 32, UNIT_REGISTERS = 65536, BLOCK_THREADS = 1024 };

static int least(int a, size_t b) {
    return b < (size_t)a ? (int)b : a;
}

/* The registers that PTX declares are far more than a compiler would use: they are taken for no more than a block that
 * runs alone could have. */
int driver_function_occupancy(const driver_function *function, uint32_t threads, size_t dynamic_shared) {
    const size_t warps = (threads + SIM_WARP - 1) / SIM_WARP, rounded = warps * SIM_WARP;
    const size_t shared = function->info.static_shared_bytes + dynamic_shared;
    if (threads == 0 || threads > function->info.max_threads || shared > DRIVER_SHARED_OPTIN)
        return 0;
    size_t registers = function->info.registers;
    if (registers * rounded > UNIT_REGISTERS)
        registers = UNIT_REGISTERS / rounded;
    int blocks = least(UNIT_BLOCKS, UNIT_THREADS / rounded);
    if (registers > 0)
        blocks = least(blocks, UNIT_REGISTERS / (registers * rounded));
    return least(blocks, DRIVER_SHARED_UNIT / (shared + DRIVER_SHARED_RESERVED));
}

CUresult sim_cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction handle, int threads, size_t shared) {
    driver_function *function;
    const CUresult result = driver_function_of(handle, &function);
    if (result != CUDA_SUCCESS)
        return result;
    if (!blocks || threads <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    *blocks = driver_function_occupancy(function, (uint32_t)threads, shared);
    return CUDA_SUCCESS;
}

CUresult sim_cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, CUfunction function, int threads,
                                                                  size_t shared, unsigned flags) {
    if (flags > 1)
        return CUDA_ERROR_INVALID_VALUE;
    return sim_cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, threads, shared);
}

CUresult sim_cuOccupancyMaxActiveClusters(int *clusters, CUfunction handle, const CUlaunchConfig *config) {
    driver_function *function;
    const CUresult result = driver_function_of(handle, &function);
    if (result != CUDA_SUCCESS)
        return result;
    if (!clusters || !config)
        return CUDA_ERROR_INVALID_VALUE;
    return CUDA_ERROR_NOT_SUPPORTED; /* sm_80 has no clusters */
}

/* ---- checks ---- */

static bool dims_within(const uint32_t dims[3], const uint32_t most[3]) {
    for (int i = 0; i < 3; i++)
        if (dims[i] == 0 || dims[i] > most[i])
            return false;
    return true;
}

static CUresult launch_check(const driver_launch *launch, const driver_function *function) {
    static const uint32_t most_grid[3] = {2147483647, 65535, 65535}, most_block[3] = {1024, 1024, 64};
    const sim_kernel_info *info = &function->info;
    if (!dims_within(launch->grid, most_grid) || !dims_within(launch->block, most_block))
        return CUDA_ERROR_INVALID_VALUE;
    const uint64_t threads = (uint64_t)launch->block[0] * launch->block[1] * launch->block[2];
    if (threads > BLOCK_THREADS)
        return CUDA_ERROR_INVALID_VALUE;
    if (info->required[0] && memcmp(info->required, launch->block, sizeof info->required) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (threads > info->max_threads)
        return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
    if (launch->shared_bytes > (uint32_t)function->max_dynamic_shared)
        return CUDA_ERROR_INVALID_VALUE;
    const uint64_t blocks = (uint64_t)launch->grid[0] * launch->grid[1] * launch->grid[2];
    if (launch->cooperative && blocks > (uint64_t)DRIVER_UNITS * (uint64_t)driver_function_occupancy(
                                                                     function, (uint32_t)threads, launch->shared_bytes))
        return CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE;
    return CUDA_SUCCESS;
}

/* The buffer form of parameters: pairs of a name and a value. */
static CUresult params_from_buffer(void **extra, const driver_function *function, char *bytes) {
    const void *buffer = NULL;
    const size_t *size = NULL;
    for (; *extra != DRIVER_LAUNCH_PARAM_END; extra += 2) {
        if (*extra == DRIVER_LAUNCH_PARAM_BUFFER_POINTER)
            buffer = extra[1];
        else if (*extra == DRIVER_LAUNCH_PARAM_BUFFER_SIZE)
            size = extra[1];
        else
            return CUDA_ERROR_INVALID_VALUE;
    }
    if (!buffer || !size || *size != function->info.param_bytes)
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(bytes, buffer, *size);
    return CUDA_SUCCESS;
}

static CUresult params_copy(driver_work *work, const driver_function *function, void **params, void **extra) {
    const uint32_t n = function->info.n_params;
    if ((params && extra) || (n > 0 && !params && !extra))
        return CUDA_ERROR_INVALID_VALUE;
    work->bytes = calloc(1, function->info.param_bytes + 1);
    work->params = calloc(n + 1, sizeof(void *));
    if (!work->bytes || !work->params)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t offset, bytes;
        if (!sim_kernel_param(function->kernel, i, &offset, &bytes))
            return CUDA_ERROR_INVALID_VALUE;
        work->params[i] = work->bytes + offset;
        if (params && !params[i])
            return CUDA_ERROR_INVALID_VALUE;
        if (params)
            memcpy(work->params[i], params[i], bytes);
    }
    return extra ? params_from_buffer(extra, function, work->bytes) : CUDA_SUCCESS;
}

CUresult driver_launch_make(const driver_launch *launch, void **params, void **extra, driver_work **out) {
    driver_function *function;
    CUresult result = driver_function_of(launch->function, &function);
    if (result == CUDA_SUCCESS)
        result = launch_check(launch, function);
    if (result != CUDA_SUCCESS)
        return result;
    driver_work *work = driver_work_new(DRIVER_WORK_KERNEL, function->object.context);
    if (!work)
        return CUDA_ERROR_OUT_OF_MEMORY;
    work->launch = *launch;
    result = params_copy(work, function, params, extra);
    if (result != CUDA_SUCCESS)
        driver_work_unref(work);
    else
        *out = work;
    return result;
}

/* ---- entry points ---- */

static CUresult launch_on(const driver_launch *launch, CUstream handle, void **params, void **extra) {
    driver_stream *stream;
    driver_work *work;
    CUresult result = driver_stream_of(handle, &stream);
    if (result == CUDA_SUCCESS)
        result = driver_launch_make(launch, params, extra, &work);
    if (result != CUDA_SUCCESS)
        return result;
    if (work->context != stream->object.context) {
        driver_work_unref(work);
        return CUDA_ERROR_INVALID_HANDLE;
    }
    return driver_enqueue(stream, work);
}

CUresult sim_cuLaunchKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                            unsigned bz, unsigned shared, CUstream stream, void **params, void **extra) {
    const driver_launch launch = {
        .function = function, .grid = {gx, gy, gz}, .block = {bx, by, bz}, .shared_bytes = shared};
    return launch_on(&launch, stream, params, extra);
}

CUresult sim_cuLaunchCooperativeKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                                       unsigned by, unsigned bz, unsigned shared, CUstream stream, void **params) {
    const driver_launch launch = {
        .function = function, .grid = {gx, gy, gz}, .block = {bx, by, bz}, .shared_bytes = shared, .cooperative = true};
    return launch_on(&launch, stream, params, NULL);
}

/* Of the attributes sm_80 knows the cooperative one. Programmatic dependence is a hint that it may ignore. */
CUresult driver_launch_attribute(const CUlaunchAttribute *attribute, driver_launch *launch) {
    const CUlaunchAttributeValue *value = &attribute->value;
    switch (attribute->id) {
    case CU_LAUNCH_ATTRIBUTE_IGNORE:
        return CUDA_SUCCESS;
    case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
        launch->cooperative = value->cooperative != 0;
        return CUDA_SUCCESS;
    case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
        if (value->clusterDim.x == 0 || value->clusterDim.y == 0 || value->clusterDim.z == 0)
            return CUDA_ERROR_INVALID_VALUE;
        return (uint64_t)value->clusterDim.x * value->clusterDim.y * value->clusterDim.z == 1
                   ? CUDA_SUCCESS
                   : CUDA_ERROR_NOT_SUPPORTED;
    case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION:
        return value->programmaticStreamSerializationAllowed ? CUDA_ERROR_NOT_SUPPORTED : CUDA_SUCCESS;
    default:
        return CUDA_ERROR_NOT_SUPPORTED;
    }
}

CUresult sim_cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction function, void **params, void **extra) {
    if (!config || (config->numAttrs > 0 && !config->attrs))
        return CUDA_ERROR_INVALID_VALUE;
    driver_launch launch = {.function = function,
                            .grid = {config->gridDimX, config->gridDimY, config->gridDimZ},
                            .block = {config->blockDimX, config->blockDimY, config->blockDimZ},
                            .shared_bytes = config->sharedMemBytes};
    for (unsigned i = 0; i < config->numAttrs; i++) {
        const CUresult result = driver_launch_attribute(&config->attrs[i], &launch);
        if (result != CUDA_SUCCESS)
            return result;
    }
    return launch_on(&launch, config->hStream, params, extra);
}

CUresult sim_cuLaunchHostFunc(CUstream handle, CUhostFn function, void *user) {
    driver_stream *stream;
    const CUresult result = driver_stream_of(handle, &stream);
    if (result != CUDA_SUCCESS)
        return result;
    if (!function)
        return CUDA_ERROR_INVALID_VALUE;
    driver_work *work = driver_work_new(DRIVER_WORK_HOST, stream->object.context);
    if (!work)
        return CUDA_ERROR_OUT_OF_MEMORY;
    work->host.function = function;
    work->host.user = user;
    return driver_enqueue(stream, work);
}

CUresult sim_cuTensorMapEncodeTiled(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank, void *address,
                                    const cuuint64_t *dims, const cuuint64_t *strides, const cuuint32_t *box,
                                    const cuuint32_t *element_strides, CUtensorMapInterleave interleave,
                                    CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion,
                                    CUtensorMapFloatOOBfill fill) {
    (void)type, (void)rank, (void)address, (void)dims, (void)strides, (void)box, (void)element_strides;
    (void)interleave, (void)swizzle, (void)promotion, (void)fill;
    return map ? CUDA_ERROR_NOT_SUPPORTED : CUDA_ERROR_INVALID_VALUE; /* sm_80 has no such hardware */
}
