/* Devices: an sm_80 part of eight multiprocessors. What Kiln asks of one, with an A100's values where they matter. */
#include "driver.h"
#include <string.h>

driver_device driver_devices[DRIVER_MAX_DEVICES];

bool driver_devices_create(void) {
    for (int i = 0; i < driver_set.n_devices; i++) {
        driver_devices[i] = (driver_device){.ordinal = i, .sim = sim_device_create(i, driver_set.memory_bytes)};
        if (!driver_devices[i].sim) {
            driver_devices_destroy();
            return false;
        }
    }
    return true;
}

void driver_devices_destroy(void) {
    uint32_t at = 0;
    for (driver_object *o; (o = driver_object_walk(&at));) {
        if (o->kind == DRIVER_CONTEXT)
            driver_context_destroy((driver_context *)(void *)o, false);
        else if (o->kind == DRIVER_EXEC)
            sim_cuGraphExecDestroy(driver_object_handle(o));
        else if (o->kind == DRIVER_GRAPH && !o->hidden)
            driver_graph_release((driver_graph *)(void *)o);
    }
    for (int i = 0; i < DRIVER_MAX_DEVICES; i++)
        sim_device_destroy(driver_devices[i].sim);
    memset(driver_devices, 0, sizeof driver_devices);
}

driver_device *driver_device_of(CUdevice device) {
    return device >= 0 && device < driver_set.n_devices ? &driver_devices[device] : NULL;
}

driver_device *driver_device_at(uint64_t address) {
    uint64_t begin;
    size_t bytes;
    for (int i = 0; i < driver_set.n_devices; i++)
        if (sim_memory_range(driver_devices[i].sim, address, &begin, &bytes))
            return &driver_devices[i];
    return NULL;
}

CUresult sim_cuDeviceGetCount(int *count) {
    if (!count)
        return CUDA_ERROR_INVALID_VALUE;
    *count = driver_set.n_devices;
    return CUDA_SUCCESS;
}

CUresult sim_cuDeviceGet(CUdevice *device, int ordinal) {
    if (!device)
        return CUDA_ERROR_INVALID_VALUE;
    if (!driver_device_of(ordinal))
        return CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_SUCCESS;
}

CUresult sim_cuDeviceGetName(char *name, int bytes, CUdevice device) {
    if (!name || bytes <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (!driver_device_of(device))
        return CUDA_ERROR_INVALID_DEVICE;
    snprintf(name, (size_t)bytes, "Simulated sm_80");
    return CUDA_SUCCESS;
}

CUresult sim_cuDeviceGetUuid(CUuuid *uuid, CUdevice device) {
    if (!uuid)
        return CUDA_ERROR_INVALID_VALUE;
    if (!driver_device_of(device))
        return CUDA_ERROR_INVALID_DEVICE;
    memcpy(uuid->bytes, "simcuda, sm_80 ", 16);
    uuid->bytes[15] = (char)device;
    return CUDA_SUCCESS;
}

CUresult sim_cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice device) {
    return sim_cuDeviceGetUuid(uuid, device);
}

CUresult sim_cuDeviceGetPCIBusId(char *id, int bytes, CUdevice device) {
    if (!id || bytes <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (!driver_device_of(device))
        return CUDA_ERROR_INVALID_DEVICE;
    snprintf(id, (size_t)bytes, "0000:%02x:00.0", (unsigned)device + 1);
    return CUDA_SUCCESS;
}

CUresult sim_cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) {
    if (!bytes)
        return CUDA_ERROR_INVALID_VALUE;
    if (!driver_device_of(device))
        return CUDA_ERROR_INVALID_DEVICE;
    *bytes = driver_set.memory_bytes;
    return CUDA_SUCCESS;
}

/* Attributes that are not 0, by number where backends/cuda_abi.h has no name. */
static const struct {
    int attribute, value;
} attributes[] = {
    {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1024},
    {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X, 1024},
    {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y, 1024},
    {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z, 64},
    {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, 2147483647},
    {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, 65535},
    {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z, 65535},
    {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, DRIVER_SHARED_BLOCK},
    {9, 65536}, /* constant memory */
    {CU_DEVICE_ATTRIBUTE_WARP_SIZE, SIM_WARP},
    {11, 2147483647}, /* pitch of a copy */
    {CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK, 65536},
    {CU_DEVICE_ATTRIBUTE_CLOCK_RATE, 1000000}, /* kHz: the clock of the meter */
    {14, 512},                                 /* alignment of textures */
    {15, 1},                                   /* copies overlap kernels */
    {CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, DRIVER_UNITS},
    {CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS, 1},
    {CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE, 1215000},
    {CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH, 5120},
    {CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, 4 << 20},
    {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, 2048},
    {40, 1}, /* copy engines */
    {CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING, 1},
    {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 8},
    {78, 1}, /* priorities of streams */
    {79, 1}, /* global memory in L1 */
    {80, 1}, /* local memory in L1 */
    {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, DRIVER_SHARED_UNIT},
    {CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR, 65536},
    {90, 1}, /* preemption */
    {CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH, 1},
    {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, DRIVER_SHARED_OPTIN},
    {CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR, 32},
    {CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK, DRIVER_SHARED_RESERVED},
};

enum { LAST_ATTRIBUTE = 150 }; /* about where CUDA 13.0 ends */

CUresult sim_cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device) {
    if (!value || (int)attribute <= 0 || (int)attribute > LAST_ATTRIBUTE)
        return CUDA_ERROR_INVALID_VALUE;
    if (!driver_device_of(device))
        return CUDA_ERROR_INVALID_DEVICE;
    *value = attribute == CU_DEVICE_ATTRIBUTE_PCI_BUS_ID ? device + 1 : 0;
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
        if (attributes[i].attribute == (int)attribute)
            *value = attributes[i].value;
    return CUDA_SUCCESS;
}
