/* OpenCL kernels: one cl_kernel for each handle, since setting arguments of a shared one is not thread-safe. */
#include "opencl.h"
#include <string.h>

/* ---- arguments ---- */

/* Memory from an offset on, as a sub-buffer of ours; NULL when the whole buffer will do. */
static kiln_status make_view(kiln_device *device, size_t arg, const kiln_arg_value *value, cl_mem *out) {
    const opencl_library *cl = opencl_of(device);
    cl_mem memory = value->place.memory, parent = NULL;
    size_t bytes = 0, base = 0, offset = value->place.offset_bytes;
    *out = NULL;
    if (!memory || offset == 0)
        return KILN_OK;
    const size_t align = device->desc.caps.address_align_bytes;
    if (offset % align)
        return kiln_fail(KILN_E_INVALID, "%s: argument %zu starts at byte %zu; use a multiple of %zu", device->name,
                         arg, offset, align);
    OPENCL_TRY(device, "clGetMemObjectInfo(CL_MEM_SIZE)",
               cl->clGetMemObjectInfo(memory, CL_MEM_SIZE, sizeof bytes, &bytes, NULL));
    /* An engine's memory may be a sub-buffer itself, and those do not nest. */
    OPENCL_TRY(device, "clGetMemObjectInfo(CL_MEM_ASSOCIATED_MEMOBJECT)",
               cl->clGetMemObjectInfo(memory, CL_MEM_ASSOCIATED_MEMOBJECT, sizeof parent, &parent, NULL));
    if (parent)
        OPENCL_TRY(device, "clGetMemObjectInfo(CL_MEM_OFFSET)",
                   cl->clGetMemObjectInfo(memory, CL_MEM_OFFSET, sizeof base, &base, NULL));
    if (offset >= bytes || value->bytes > bytes - offset)
        return kiln_fail(KILN_E_INVALID, "%s: argument %zu: %zu bytes from byte %zu leave a buffer of %zu bytes",
                         device->name, arg, value->bytes, offset, bytes);
    const cl_buffer_region region = {base + offset, value->bytes ? value->bytes : bytes - offset};
    cl_int error;
    *out = cl->clCreateSubBuffer(parent ? parent : memory, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region,
                                 &error);
    OPENCL_TRY(device, "clCreateSubBuffer", error);
    return KILN_OK;
}

static kiln_status set_place(kiln_device *device, opencl_kernel *k, size_t arg, const kiln_arg_value *value) {
    const opencl_library *cl = opencl_of(device);
    cl_mem view;
    KILN_TRY(make_view(device, arg, value, &view));
    cl_mem memory = view ? view : value->place.memory;
    const cl_int error = cl->clSetKernelArg(k->kernel, (cl_uint)arg, sizeof memory, &memory);
    if (error != CL_SUCCESS) {
        if (view)
            cl->clReleaseMemObject(view);
        return kiln__opencl_fail(device, "clSetKernelArg", error);
    }
    if (k->views[arg])
        cl->clReleaseMemObject(k->views[arg]); /* launches under way keep it */
    k->views[arg] = view;
    return KILN_OK;
}

static kiln_status set_arg(kiln_device *device, opencl_kernel *k, size_t arg, const kiln_arg_value *value) {
    const opencl_library *cl = opencl_of(device);
    cl_int error = CL_SUCCESS;
    switch (value->kind) {
    case KILN_ARG_OPERAND:
    case KILN_ARG_WORKSPACE:
        return set_place(device, k, arg, value);
    case KILN_ARG_I32:
        error = cl->clSetKernelArg(k->kernel, (cl_uint)arg, sizeof value->i32, &value->i32);
        break;
    case KILN_ARG_F32:
        error = cl->clSetKernelArg(k->kernel, (cl_uint)arg, sizeof value->f32, &value->f32);
        break;
    case KILN_ARG_LOCAL: /* no driver takes an empty one */
        error = cl->clSetKernelArg(k->kernel, (cl_uint)arg, value->bytes ? value->bytes : 4, NULL);
        break;
    case KILN_ARG_TENSOR_MAP:
        return kiln_fail(KILN_E_UNSUPPORTED, "%s: argument %zu is a tensor map, which OpenCL does not have",
                         device->name, arg);
    }
    if (error != CL_SUCCESS)
        return kiln_fail_in(kiln__opencl_fail(device, "clSetKernelArg", error), "argument %zu", arg);
    return KILN_OK;
}

/* ---- launch ---- */

static kiln_status check_launch(const kiln_device *device, const kiln_launch *l) {
    const kiln_caps *caps = &device->desc.caps;
    if (l->cluster[0] || l->cluster[1] || l->cluster[2])
        return kiln_fail(KILN_E_UNSUPPORTED, "%s: %s: OpenCL has no clusters of work-groups", device->name, l->entry);
    if (l->cooperative)
        return kiln_fail(KILN_E_UNSUPPORTED, "%s: %s: OpenCL has no cooperative launch", device->name, l->entry);
    for (int i = 0; i < 3; i++)
        if (l->group[i] == 0 || l->group[i] > caps->max_group[i])
            return kiln_fail(KILN_E_INVALID, "%s: %s: a group is %u work-items along dimension %d, allowed 1 to %u",
                             device->name, l->entry, (unsigned)l->group[i], i, (unsigned)caps->max_group[i]);
    if (l->grid[1] == 0 || l->grid[2] == 0)
        return kiln_fail(KILN_E_INVALID, "%s: %s: a grid of %u x %u x %u groups", device->name, l->entry,
                         (unsigned)l->grid[0], (unsigned)l->grid[1], (unsigned)l->grid[2]);
    return KILN_OK;
}

/* Against what the compiled kernel asks for, so that a launch does not fail later. */
static kiln_status check_kernel(kiln_device *device, const opencl_kernel *k, const kiln_launch *l,
                                const kiln_arg_value *args) {
    const opencl_library *cl = opencl_of(device);
    const cl_device_id id = opencl_device(device);
    cl_uint n_args = 0;
    size_t max_group = 0, fixed[3] = {0};
    cl_ulong local = 0;
    OPENCL_TRY(device, "clGetKernelInfo(CL_KERNEL_NUM_ARGS)",
               cl->clGetKernelInfo(k->kernel, CL_KERNEL_NUM_ARGS, sizeof n_args, &n_args, NULL));
    if (n_args != k->n_args)
        return kiln_fail(KILN_E_INVALID, "%s: %s takes %u arguments, %zu given", device->name, l->entry,
                         (unsigned)n_args, k->n_args);
    OPENCL_TRY(
        device, "clGetKernelWorkGroupInfo(CL_KERNEL_WORK_GROUP_SIZE)",
        cl->clGetKernelWorkGroupInfo(k->kernel, id, CL_KERNEL_WORK_GROUP_SIZE, sizeof max_group, &max_group, NULL));
    OPENCL_TRY(
        device, "clGetKernelWorkGroupInfo(CL_KERNEL_COMPILE_WORK_GROUP_SIZE)",
        cl->clGetKernelWorkGroupInfo(k->kernel, id, CL_KERNEL_COMPILE_WORK_GROUP_SIZE, sizeof fixed, fixed, NULL));
    OPENCL_TRY(device, "clGetKernelWorkGroupInfo(CL_KERNEL_LOCAL_MEM_SIZE)",
               cl->clGetKernelWorkGroupInfo(k->kernel, id, CL_KERNEL_LOCAL_MEM_SIZE, sizeof local, &local, NULL));
    if (fixed[0] && memcmp(fixed, k->group, sizeof fixed) != 0)
        return kiln_fail(KILN_E_INVALID, "%s: %s is compiled for groups of %zu x %zu x %zu, launched with %u x %u x %u",
                         device->name, l->entry, fixed[0], fixed[1], fixed[2], (unsigned)l->group[0],
                         (unsigned)l->group[1], (unsigned)l->group[2]);
    if (k->group[0] * k->group[1] > max_group || k->group[0] * k->group[1] * k->group[2] > max_group)
        return kiln_fail(KILN_E_UNSUPPORTED,
                         "%s: %s: a group of %u x %u x %u work-items; the compiled kernel allows %zu", device->name,
                         l->entry, (unsigned)l->group[0], (unsigned)l->group[1], (unsigned)l->group[2], max_group);
    uint64_t need = local;
    for (size_t i = 0; i < k->n_args; i++)
        if (args[i].kind == KILN_ARG_LOCAL && __builtin_add_overflow(need, args[i].bytes, &need))
            need = UINT64_MAX;
    if (need > device->desc.caps.local_bytes)
        return kiln_fail(KILN_E_UNSUPPORTED, "%s: %s needs %llu bytes of local memory; the device has %llu",
                         device->name, l->entry, (unsigned long long)need,
                         (unsigned long long)device->desc.caps.local_bytes);
    return KILN_OK;
}

static kiln_status set_up(kiln_device *device, opencl_kernel *k, const kiln_launch *l, const kiln_arg_value *args) {
    for (int i = 0; i < 3; i++) {
        /* How many groups of a kernel fit a unit at once is not told, so RESIDENT is one each. */
        const size_t groups = i == 0 && l->grid[0] == KILN_GRID_RESIDENT ? device->desc.caps.units : l->grid[i];
        k->group[i] = l->group[i];
        if (__builtin_mul_overflow(groups, k->group[i], &k->global[i]))
            return kiln_fail(KILN_E_INVALID, "%s: %s: the grid is too large", device->name, l->entry);
    }
    KILN_TRY(check_kernel(device, k, l, args));
    for (size_t i = 0; i < k->n_args; i++)
        KILN_TRY(set_arg(device, k, i, &args[i]));
    return KILN_OK;
}

/* ---- slots ---- */

kiln_status kiln__opencl_kernel_create(kiln_device *device, void *module, const kiln_launch *launch,
                                       const kiln_arg_value *args, size_t n_args, void **kernel) {
    const opencl_library *cl = opencl_of(device);
    KILN_TRY(check_launch(device, launch));
    cl_int error;
    cl_kernel native = cl->clCreateKernel(module, launch->entry, &error);
    if (error == CL_INVALID_KERNEL_NAME)
        return kiln_fail(KILN_E_NOT_FOUND, "%s: the program has no kernel %s", device->name, launch->entry);
    OPENCL_TRY(device, "clCreateKernel", error);
    opencl_kernel *k = kiln__alloc(device->context, sizeof *k + n_args * sizeof *k->views);
    if (!k) {
        cl->clReleaseKernel(native);
        return KILN_E_MEMORY;
    }
    k->kernel = native;
    k->n_args = n_args;
    const kiln_status status = set_up(device, k, launch, args);
    if (status != KILN_OK) {
        kiln__opencl_kernel_destroy(device, k);
        return status;
    }
    *kernel = k;
    return KILN_OK;
}

kiln_status kiln__opencl_kernel_patch(kiln_device *device, void *kernel, size_t arg, const kiln_arg_value *value) {
    opencl_kernel *k = kernel;
    if (arg >= k->n_args)
        return kiln_fail(KILN_E_INVALID, "%s: argument %zu of a kernel with %zu", device->name, arg, k->n_args);
    return set_arg(device, k, arg, value);
}

void kiln__opencl_kernel_destroy(kiln_device *device, void *kernel) {
    const opencl_library *cl = opencl_of(device);
    opencl_kernel *k = kernel;
    for (size_t i = 0; i < k->n_args; i++)
        if (k->views[i])
            cl->clReleaseMemObject(k->views[i]);
    cl->clReleaseKernel(k->kernel);
    kiln__free(device->context, k);
}
