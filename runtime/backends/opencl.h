/* The inside of the OpenCL backend: the function table and what its parts share.
 *
 * Handles: memory is a cl_mem (which CALL steps can hand to a vendor library as it is), an event, a queue, a module and
 * a kernel are structs of ours. */
#ifndef KILN_RUNTIME_BACKENDS_OPENCL_H
#define KILN_RUNTIME_BACKENDS_OPENCL_H

#include "device.h"
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

/* The library as it was opened: one for each context. */
typedef struct opencl_library {
    void *so;
#define KILN_FN(name) __typeof__(&name) name;
#include "opencl.fn"
#undef KILN_FN
} opencl_library;

/* desc.native: which device it is. */
typedef struct opencl_native {
    cl_platform_id platform;
    cl_device_id device;
} opencl_native;

/* device->handle. */
typedef struct opencl_open {
    cl_context context;
} opencl_open;

static inline const opencl_library *opencl_of(const kiln_device *device) {
    return device->library;
}

static inline cl_device_id opencl_device(const kiln_device *device) {
    return ((const opencl_native *)device->desc.native)->device;
}

static inline cl_context opencl_context(const kiln_device *device) {
    return ((const opencl_open *)device->handle)->context;
}

/* "CL_OUT_OF_RESOURCES"; static text for any number. */
const char *kiln__opencl_error_name(cl_int error);

/* Fails with the text "DEVICE: CALL: CL_ERROR" and the status that the error means. */
kiln_status kiln__opencl_fail(const kiln_device *device, const char *call, cl_int error);

#define OPENCL_TRY(device, call, error)                                                                                \
    do {                                                                                                               \
        const cl_int try_error_ = (error);                                                                             \
        if (try_error_ != CL_SUCCESS)                                                                                  \
            return kiln__opencl_fail(device, call, try_error_);                                                        \
    } while (0)

/* ---- opencl_device.c ---- */
kiln_status kiln__opencl_load(kiln_context *context, kiln_strbuf *report, void **library);
void kiln__opencl_unload(kiln_context *context, void *library);
void kiln__opencl_forget(kiln_device *device);

/* ---- opencl_program.c ---- */
kiln_status kiln__opencl_compile(kiln_device *device, const char *source, size_t source_bytes, const char *name,
                                 const char *options, void **binary, size_t *binary_bytes);
kiln_status kiln__opencl_link(kiln_device *device, const kiln_source *sources, size_t n_sources, const char *name,
                              void **binary, size_t *binary_bytes);
kiln_status kiln__opencl_module_load(kiln_device *device, const void *binary, size_t bytes, void **module);
void kiln__opencl_module_unload(kiln_device *device, void *module);
kiln_status kiln__opencl_module_resources(kiln_device *device, void *module, const char *entry, kiln_resources *out);

/* ---- opencl_kernel.c ---- */
typedef struct opencl_kernel {
    cl_kernel kernel;
    size_t global[3], group[3];
    size_t n_args;
    cl_mem views[]; /* sub-buffers of ours, one for each argument that has an offset */
} opencl_kernel;

kiln_status kiln__opencl_kernel_create(kiln_device *device, void *module, const kiln_launch *launch,
                                       const kiln_arg_value *args, size_t n_args, void **kernel);
kiln_status kiln__opencl_kernel_patch(kiln_device *device, void *kernel, size_t arg, const kiln_arg_value *value);
void kiln__opencl_kernel_destroy(kiln_device *device, void *kernel);

#endif
