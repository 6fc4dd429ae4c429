/* CUDA kernels: a function with its launch and its encoded arguments. */
#include "cuda.h"
#include <string.h>

enum { USUAL_SHARED_BYTES = 48 << 10, MAP_ALIGN = 128 };

/* ---- tensor maps ---- */

static bool map_type(kiln_type type, CUtensorMapDataType *out) {
    static const CUtensorMapDataType types[] = {
        [KILN_TYPE_F32] = CU_TENSOR_MAP_DATA_TYPE_FLOAT32,   [KILN_TYPE_F16] = CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
        [KILN_TYPE_BF16] = CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, [KILN_TYPE_S32] = CU_TENSOR_MAP_DATA_TYPE_INT32,
        [KILN_TYPE_S8] = CU_TENSOR_MAP_DATA_TYPE_UINT8,      [KILN_TYPE_U8] = CU_TENSOR_MAP_DATA_TYPE_UINT8};
    if ((unsigned)type >= sizeof types / sizeof *types)
        return false;
    *out = types[type];
    return true;
}

static bool map_swizzle(uint32_t bytes, CUtensorMapSwizzle *out) {
    *out = bytes == 128  ? CU_TENSOR_MAP_SWIZZLE_128B
           : bytes == 64 ? CU_TENSOR_MAP_SWIZZLE_64B
           : bytes == 32 ? CU_TENSOR_MAP_SWIZZLE_32B
                         : CU_TENSOR_MAP_SWIZZLE_NONE;
    return bytes == 0 || *out != CU_TENSOR_MAP_SWIZZLE_NONE;
}

static kiln_status encode_map(kiln_device *device, size_t arg, const kiln_arg_value *value, cuda_arg *out) {
    const kiln_tensor_map *map = value->tensor_map;
    CUtensorMapDataType type;
    CUtensorMapSwizzle swizzle;
    if (!device->desc.caps.tensor_maps)
        return kiln_fail(KILN_E_UNSUPPORTED, "%s: argument %zu is a tensor map; devices before sm_90 have none",
                         device->name, arg);
    if (!map || map->rank < 1 || map->rank > 5 || !map_type(map->type, &type) ||
        !map_swizzle(map->swizzle_bytes, &swizzle))
        return kiln_fail(KILN_E_INVALID, "%s: argument %zu: a tensor map of rank %u, type %d, swizzle %u", device->name,
                         arg, map ? (unsigned)map->rank : 0, map ? (int)map->type : -1,
                         map ? (unsigned)map->swizzle_bytes : 0);
    if (!out->map_block) {
        out->map_block = kiln__alloc(device->context, sizeof(CUtensorMap) + MAP_ALIGN);
        if (!out->map_block)
            return KILN_E_MEMORY;
        out->map = (CUtensorMap *)(((uintptr_t)out->map_block + MAP_ALIGN - 1) / MAP_ALIGN * MAP_ALIGN);
    }
    const cuuint32_t every[5] = {1, 1, 1, 1, 1};
    CUtensorMap made;
    CUDA_TRY(device, cuTensorMapEncodeTiled, &made, type, map->rank, (void *)(uintptr_t)cuda_address(value->place),
             map->shape, map->stride_bytes + 1, map->box, every, CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle,
             CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    *out->map = made;
    return KILN_OK;
}

/* ---- arguments ---- */

static kiln_status set_arg(kiln_device *device, cuda_kernel *k, size_t arg, const kiln_arg_value *value) {
    switch (value->kind) {
    case KILN_ARG_OPERAND:
    case KILN_ARG_WORKSPACE:
        k->args[arg].address = value->place.memory ? cuda_address(value->place) : 0;
        return KILN_OK;
    case KILN_ARG_I32:
        k->args[arg].i32 = value->i32;
        return KILN_OK;
    case KILN_ARG_F32:
        k->args[arg].f32 = value->f32;
        return KILN_OK;
    case KILN_ARG_LOCAL: /* a launch field here */
        return KILN_OK;
    case KILN_ARG_TENSOR_MAP:
        return encode_map(device, arg, value, &k->args[arg]);
    }
    return kiln_fail(KILN_E_INTERNAL, "%s: unknown kind of argument %d", device->name, (int)value->kind);
}

static kiln_status set_args(kiln_device *device, cuda_kernel *k, const kiln_arg_value *args, size_t *n_params) {
    uint64_t local = 0;
    *n_params = 0;
    for (size_t i = 0; i < k->n_args; i++) {
        KILN_TRY(set_arg(device, k, i, &args[i]));
        if (args[i].kind != KILN_ARG_LOCAL)
            k->params[(*n_params)++] = args[i].kind == KILN_ARG_TENSOR_MAP ? (void *)k->args[i].map : &k->args[i];
        else if (__builtin_add_overflow(local, args[i].bytes, &local))
            local = UINT64_MAX;
    }
    k->config.sharedMemBytes = local < UINT32_MAX ? (unsigned)local : UINT32_MAX;
    return KILN_OK;
}

/* ---- launch ---- */

static kiln_status check_launch(const kiln_device *device, const kiln_launch *l) {
    const kiln_caps *caps = &device->desc.caps;
    static const uint32_t max_grid[3] = {INT32_MAX, 65535, 65535}; /* of every compute capability there is */
    const bool clusters = l->cluster[0] || l->cluster[1] || l->cluster[2];
    if (clusters && !caps->clusters)
        return kiln_fail(KILN_E_UNSUPPORTED, "%s: %s: devices before sm_90 have no clusters of work-groups",
                         device->name, l->entry);
    if (l->cooperative && !caps->cooperative)
        return kiln_fail(KILN_E_UNSUPPORTED, "%s: %s: the device has no cooperative launch", device->name, l->entry);
    for (int i = 0; i < 3; i++) {
        const bool resident = i == 0 && l->grid[0] == KILN_GRID_RESIDENT;
        if (l->group[i] == 0 || l->group[i] > caps->max_group[i])
            return kiln_fail(KILN_E_INVALID, "%s: %s: a group is %u work-items along dimension %d, allowed 1 to %u",
                             device->name, l->entry, (unsigned)l->group[i], i, (unsigned)caps->max_group[i]);
        if ((l->grid[i] == 0 && !resident) || l->grid[i] > max_grid[i])
            return kiln_fail(KILN_E_INVALID, "%s: %s: %u groups along dimension %d, allowed 1 to %u", device->name,
                             l->entry, (unsigned)l->grid[i], i, (unsigned)max_grid[i]);
        if (clusters && (l->cluster[i] == 0 || l->grid[i] % l->cluster[i]))
            return kiln_fail(KILN_E_INVALID, "%s: %s: %u groups are not whole clusters of %u", device->name, l->entry,
                             (unsigned)l->grid[i], (unsigned)l->cluster[i]);
    }
    return KILN_OK;
}

/* Against what the compiled kernel asks for, so that a launch does not fail later. */
static kiln_status check_function(const kiln_device *device, const cuda_kernel *k, const kiln_launch *l) {
    const uint64_t items = (uint64_t)l->group[0] * l->group[1] * l->group[2];
    int most = 0, fixed = 0;
    CUDA_TRY(device, cuFuncGetAttribute, &most, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, k->function);
    CUDA_TRY(device, cuFuncGetAttribute, &fixed, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, k->function);
    if (items > (uint64_t)most)
        return kiln_fail(KILN_E_UNSUPPORTED, "%s: %s: a group of %llu work-items; the compiled kernel allows %d",
                         device->name, l->entry, (unsigned long long)items, most);
    const uint64_t need = (uint64_t)fixed + k->config.sharedMemBytes, have = device->desc.caps.local_bytes;
    if (need > have)
        return kiln_fail(KILN_E_UNSUPPORTED, "%s: %s needs %llu bytes of local memory; the device has %llu",
                         device->name, l->entry, (unsigned long long)need, (unsigned long long)have);
    if (k->config.sharedMemBytes && need > USUAL_SHARED_BYTES)
        /* All the device has, whatever this launch asks for: other threads may be setting it for theirs. */
        CUDA_TRY(device, cuFuncSetAttribute, k->function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                 (int)have - fixed);
    return KILN_OK;
}

static void set_attributes(cuda_kernel *k, const kiln_launch *l) {
    unsigned n = 0;
    if (l->cooperative) {
        k->attributes[n].id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
        k->attributes[n++].value.cooperative = 1;
    }
    if (l->cluster[0]) {
        k->attributes[n].id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
        k->attributes[n].value.clusterDim.x = l->cluster[0];
        k->attributes[n].value.clusterDim.y = l->cluster[1];
        k->attributes[n++].value.clusterDim.z = l->cluster[2];
    }
    k->config.attrs = k->attributes;
    k->config.numAttrs = n;
}

/* How many groups are on the device at once. */
static kiln_status count_resident(const kiln_device *device, const cuda_kernel *k, const kiln_launch *l,
                                  uint64_t *out) {
    const uint32_t items = l->group[0] * l->group[1] * l->group[2];
    int n = 0;
    if (l->cluster[0] && cuda_of(device)->cuOccupancyMaxActiveClusters) {
        CUlaunchConfig config = k->config;
        config.gridDimX = l->cluster[0]; /* any grid of whole clusters will do */
        CUDA_TRY(device, cuOccupancyMaxActiveClusters, &n, k->function, &config);
        *out = (uint64_t)(n > 0 ? n : 0) * l->cluster[0] * l->cluster[1] * l->cluster[2];
    } else {
        CUDA_TRY(device, cuOccupancyMaxActiveBlocksPerMultiprocessor, &n, k->function, (int)items,
                 k->config.sharedMemBytes);
        *out = (uint64_t)(n > 0 ? n : 0) * device->desc.caps.units;
    }
    if (*out == 0)
        return kiln_fail(KILN_E_UNSUPPORTED, "%s: %s: not one group fits on a unit", device->name, l->entry);
    return KILN_OK;
}

static kiln_status set_grid(const kiln_device *device, cuda_kernel *k, const kiln_launch *l) {
    k->config.gridDimX = l->grid[0];
    k->config.gridDimY = l->grid[1];
    k->config.gridDimZ = l->grid[2];
    if (l->grid[0] != KILN_GRID_RESIDENT && !l->cooperative)
        return KILN_OK;
    const uint64_t plane = (uint64_t)l->grid[1] * l->grid[2], step = l->cluster[0] ? l->cluster[0] : 1;
    uint64_t resident;
    KILN_TRY(count_resident(device, k, l, &resident));
    const uint64_t columns = resident / plane / step * step;
    if (l->grid[0] == KILN_GRID_RESIDENT)
        k->config.gridDimX = (unsigned)(columns ? columns : step);
    if (l->cooperative && k->config.gridDimX * plane > resident)
        return kiln_fail(
            KILN_E_UNSUPPORTED, "%s: %s: a cooperative launch of %llu groups, of which %llu fit on the device at once",
            device->name, l->entry, (unsigned long long)(k->config.gridDimX * plane), (unsigned long long)resident);
    return KILN_OK;
}

static kiln_status set_up(kiln_device *device, cuda_kernel *k, const cuda_module *m, const kiln_launch *l,
                          const kiln_arg_value *args) {
    const CUresult error = cuda_of(device)->cuModuleGetFunction(&k->function, m->module, l->entry);
    if (error == CUDA_ERROR_NOT_FOUND)
        return kiln_fail(KILN_E_NOT_FOUND, "%s: the program has no kernel %s", device->name, l->entry);
    if (error != CUDA_SUCCESS)
        return kiln__cuda_fail(device, "cuModuleGetFunction", error);
    size_t n_params;
    KILN_TRY(set_args(device, k, args, &n_params));
    const cubin_kernel *known = kiln__cuda_find_kernel(m, l->entry); /* the driver would read past our arguments */
    if (known && known->n_params != n_params)
        return kiln_fail(KILN_E_INVALID, "%s: %s takes %u arguments, %zu given", device->name, l->entry,
                         (unsigned)known->n_params, n_params);
    k->config.blockDimX = l->group[0];
    k->config.blockDimY = l->group[1];
    k->config.blockDimZ = l->group[2];
    set_attributes(k, l);
    KILN_TRY(check_function(device, k, l));
    return set_grid(device, k, l);
}

static kiln_status set_up_inside(kiln_device *device, cuda_kernel *k, const cuda_module *m, const kiln_launch *l,
                                 const kiln_arg_value *args) {
    CUDA_RETURN_INSIDE(device, set_up(device, k, m, l, args));
}

/* ---- slots ---- */

kiln_status kiln__cuda_kernel_create(kiln_device *device, void *module, const kiln_launch *launch,
                                     const kiln_arg_value *args, size_t n_args, void **kernel) {
    KILN_TRY(check_launch(device, launch));
    cuda_kernel *k = kiln__alloc(device->context, sizeof *k + n_args * (sizeof *k->args + sizeof *k->params));
    if (!k)
        return KILN_E_MEMORY;
    k->n_args = n_args;
    k->params = (void **)(k->args + n_args);
    const kiln_status status = set_up_inside(device, k, module, launch, args);
    if (status != KILN_OK) {
        kiln__cuda_kernel_destroy(device, k);
        return status;
    }
    *kernel = k;
    return KILN_OK;
}

kiln_status kiln__cuda_kernel_patch(kiln_device *device, void *kernel, size_t arg, const kiln_arg_value *value) {
    cuda_kernel *k = kernel;
    if (arg >= k->n_args)
        return kiln_fail(KILN_E_INVALID, "%s: argument %zu of a kernel with %zu", device->name, arg, k->n_args);
    return set_arg(device, k, arg, value);
}

void kiln__cuda_kernel_destroy(kiln_device *device, void *kernel) {
    cuda_kernel *k = kernel;
    for (size_t i = 0; i < k->n_args; i++)
        kiln__free(device->context, k->args[i].map_block);
    kiln__free(device->context, k);
}

kiln_status kiln__cuda_kernel_launch(const kiln_device *device, const cuda_kernel *kernel, CUstream stream) {
    CUlaunchConfig config = kernel->config;
    config.hStream = stream;
    CUDA_TRY(device, cuLaunchKernelEx, &config, kernel->function, kernel->params, NULL);
    return KILN_OK;
}
