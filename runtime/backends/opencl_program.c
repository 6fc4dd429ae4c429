/* OpenCL programs: source -> binary -> module. */
#include "opencl.h"
#include <stdio.h>
#include <string.h>

enum { MAX_CONTEXT_DEVICES = 64, MAX_LOG_BYTES = 1 << 20 };
static const size_t max_binary_bytes = (size_t)256 << 20;

/* What every kernel is built with. Nothing that changes results: relaxed arithmetic is a kernel's own choice. */
static const char build_options[] = "-cl-std=CL1.2 -DKILN_LANGUAGE_OPENCL=1";

/* The compiler's log, from the C library's memory of a strbuf. */
static void read_log(const kiln_device *device, cl_program program, kiln_strbuf *out) {
    const opencl_library *cl = opencl_of(device);
    size_t bytes = 0;
    if (cl->clGetProgramBuildInfo(program, opencl_device(device), CL_PROGRAM_BUILD_LOG, 0, NULL, &bytes) !=
            CL_SUCCESS ||
        bytes == 0 || bytes > MAX_LOG_BYTES)
        return;
    char *log = kiln__alloc(device->context, bytes + 1);
    if (log &&
        cl->clGetProgramBuildInfo(program, opencl_device(device), CL_PROGRAM_BUILD_LOG, bytes, log, NULL) == CL_SUCCESS)
        kiln__strbuf_add(out, log);
    kiln__free(device->context, log);
}

/* An adopted context may hold several devices: finds ours among the program's. */
static kiln_status find_own_slot(kiln_device *device, cl_program program, size_t *slot, size_t *n_slots) {
    const opencl_library *cl = opencl_of(device);
    cl_device_id devices[MAX_CONTEXT_DEVICES];
    size_t bytes = 0;
    OPENCL_TRY(device, "clGetProgramInfo(CL_PROGRAM_DEVICES)",
               cl->clGetProgramInfo(program, CL_PROGRAM_DEVICES, sizeof devices, devices, &bytes));
    *n_slots = bytes / sizeof *devices;
    for (*slot = 0; *slot < *n_slots; ++*slot)
        if (devices[*slot] == opencl_device(device))
            return KILN_OK;
    return kiln_fail(KILN_E_INTERNAL, "%s: a program built for it does not know it", device->name);
}

static kiln_status read_binary(kiln_device *device, cl_program program, const char *name, void **binary,
                               size_t *binary_bytes) {
    const opencl_library *cl = opencl_of(device);
    size_t slot = 0, n_slots = 0, sizes[MAX_CONTEXT_DEVICES] = {0};
    unsigned char *binaries[MAX_CONTEXT_DEVICES] = {NULL};
    KILN_TRY(find_own_slot(device, program, &slot, &n_slots));
    OPENCL_TRY(device, "clGetProgramInfo(CL_PROGRAM_BINARY_SIZES)",
               cl->clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, n_slots * sizeof *sizes, sizes, NULL));
    if (sizes[slot] == 0 || sizes[slot] > max_binary_bytes)
        return kiln_fail(KILN_E_DEVICE, "%s: the driver gives a binary of %zu bytes for %s", device->name, sizes[slot],
                         name);
    unsigned char *bytes = kiln__alloc(device->context, sizes[slot]);
    if (!bytes)
        return KILN_E_MEMORY;
    binaries[slot] = bytes; /* NULL: the driver leaves out that device */
    const cl_int error = cl->clGetProgramInfo(program, CL_PROGRAM_BINARIES, n_slots * sizeof *binaries, binaries, NULL);
    if (error != CL_SUCCESS) {
        kiln__free(device->context, bytes);
        return kiln__opencl_fail(device, "clGetProgramInfo(CL_PROGRAM_BINARIES)", error);
    }
    *binary = bytes;
    *binary_bytes = sizes[slot];
    return KILN_OK;
}

/* What a failed build, compilation or link says. */
static kiln_status build_failed(kiln_device *device, cl_program program, const char *call, const char *name,
                                cl_int error) {
    if (error != CL_BUILD_PROGRAM_FAILURE && error != CL_INVALID_BUILD_OPTIONS && error != CL_COMPILE_PROGRAM_FAILURE &&
        error != CL_LINK_PROGRAM_FAILURE)
        return kiln__opencl_fail(device, call, error);
    kiln_strbuf log = {0};
    if (program)
        read_log(device, program, &log);
    kiln_fail(KILN_E_COMPILE, "%s: %s does not compile (%s)\n%s", device->name, name, kiln__opencl_error_name(error),
              log.length ? log.data : "the compiler left no log");
    kiln__strbuf_free(&log);
    return KILN_E_COMPILE;
}

static kiln_status build_source(kiln_device *device, cl_program program, const char *name, const char *options) {
    const cl_device_id id = opencl_device(device);
    kiln_strbuf all = {0};
    kiln__strbuf_addf(&all, "%s %s", build_options, options ? options : "");
    kiln_status status = kiln__strbuf_status(&all);
    const cl_int error = status == KILN_OK
                             ? opencl_of(device)->clBuildProgram(program, 1, &id, kiln__strbuf_text(&all), NULL, NULL)
                             : CL_SUCCESS;
    if (error != CL_SUCCESS)
        status = build_failed(device, program, "clBuildProgram", name, error);
    kiln__strbuf_free(&all);
    return status;
}

kiln_status kiln__opencl_compile(kiln_device *device, const char *source, size_t source_bytes, const char *name,
                                 const char *options, void **binary, size_t *binary_bytes) {
    const opencl_library *cl = opencl_of(device);
    cl_int error;
    cl_program program = cl->clCreateProgramWithSource(opencl_context(device), 1, &source, &source_bytes, &error);
    OPENCL_TRY(device, "clCreateProgramWithSource", error);
    kiln_status status = build_source(device, program, name, options);
    if (status == KILN_OK)
        status = read_binary(device, program, name, binary, binary_bytes);
    cl->clReleaseProgram(program);
    return status;
}

/* ---- several sources ---- */

static kiln_status compile_object(kiln_device *device, const kiln_source *source, cl_program *out) {
    const opencl_library *cl = opencl_of(device);
    const cl_device_id id = opencl_device(device);
    cl_int error;
    *out = cl->clCreateProgramWithSource(opencl_context(device), 1, (const char *[]){source->text}, &source->bytes,
                                         &error);
    OPENCL_TRY(device, "clCreateProgramWithSource", error);
    kiln_strbuf options = {0};
    kiln__strbuf_addf(&options, "%s %s", build_options, source->options ? source->options : "");
    KILN_TRY(kiln__strbuf_status(&options));
    error = cl->clCompileProgram(*out, 1, &id, kiln__strbuf_text(&options), 0, NULL, NULL, NULL, NULL);
    kiln__strbuf_free(&options);
    return error == CL_SUCCESS ? KILN_OK : build_failed(device, *out, "clCompileProgram", source->name, error);
}

static kiln_status link_objects(kiln_device *device, const cl_program *objects, size_t n, const char *name,
                                void **binary, size_t *binary_bytes) {
    const opencl_library *cl = opencl_of(device);
    const cl_device_id id = opencl_device(device);
    cl_int error;
    cl_program linked = cl->clLinkProgram(opencl_context(device), 1, &id, "", (cl_uint)n, objects, NULL, NULL, &error);
    kiln_status status = error == CL_SUCCESS ? KILN_OK : build_failed(device, linked, "clLinkProgram", name, error);
    if (status == KILN_OK)
        status = read_binary(device, linked, name, binary, binary_bytes);
    if (linked)
        cl->clReleaseProgram(linked);
    return status;
}

kiln_status kiln__opencl_link(kiln_device *device, const kiln_source *sources, size_t n_sources, const char *name,
                              void **binary, size_t *binary_bytes) {
    const opencl_library *cl = opencl_of(device);
    size_t context_bytes = 0;
    OPENCL_TRY(device, "clGetContextInfo(CL_CONTEXT_DEVICES)",
               cl->clGetContextInfo(opencl_context(device), CL_CONTEXT_DEVICES, 0, NULL, &context_bytes));
    if (context_bytes != sizeof(cl_device_id)) /* the driver may move a buffer from one to another */
        return kiln_fail(KILN_E_UNSUPPORTED, "%s: its context has several devices", device->name);
    cl_program *objects = kiln__alloc(device->context, n_sources * sizeof *objects);
    if (!objects)
        return KILN_E_MEMORY;
    kiln_status status = KILN_OK;
    for (size_t i = 0; i < n_sources && status == KILN_OK; i++)
        status = compile_object(device, &sources[i], &objects[i]);
    if (status == KILN_OK)
        status = link_objects(device, objects, n_sources, name, binary, binary_bytes);
    for (size_t i = 0; i < n_sources; i++)
        if (objects[i])
            cl->clReleaseProgram(objects[i]);
    kiln__free(device->context, objects);
    return status;
}

/* ---- modules: a cl_program, built ----
 * Drivers trust binaries: PoCL 3.1 refuses what does not begin like one, but a truncated one kills the process. So only
 * bytes whose checksum the store has verified may come here. */

kiln_status kiln__opencl_module_load(kiln_device *device, const void *binary, size_t bytes, void **module) {
    const opencl_library *cl = opencl_of(device);
    const cl_device_id id = opencl_device(device);
    const unsigned char *image = binary;
    if (bytes == 0)
        return kiln_fail(KILN_E_CORRUPT, "%s: an empty program binary", device->name);
    cl_int state = CL_SUCCESS, error;
    cl_program program = cl->clCreateProgramWithBinary(opencl_context(device), 1, &id, &bytes, &image, &state, &error);
    if (error == CL_OUT_OF_HOST_MEMORY)
        return kiln__opencl_fail(device, "clCreateProgramWithBinary", error);
    if (error != CL_SUCCESS || state != CL_SUCCESS) {
        if (program)
            cl->clReleaseProgram(program);
        return kiln_fail(KILN_E_CORRUPT, "%s: the driver refuses a program binary of %zu bytes (%s)", device->name,
                         bytes, kiln__opencl_error_name(error ? error : state));
    }
    error = cl->clBuildProgram(program, 1, &id, "", NULL, NULL);
    if (error != CL_SUCCESS) {
        kiln_strbuf log = {0};
        read_log(device, program, &log);
        kiln_fail(KILN_E_CORRUPT, "%s: the driver refuses a program binary of %zu bytes (%s) %s", device->name, bytes,
                  kiln__opencl_error_name(error), kiln__strbuf_text(&log));
        kiln__strbuf_free(&log);
        cl->clReleaseProgram(program);
        return KILN_E_CORRUPT;
    }
    *module = program;
    return KILN_OK;
}

void kiln__opencl_module_unload(kiln_device *device, void *module) {
    opencl_of(device)->clReleaseProgram(module);
}

kiln_status kiln__opencl_module_resources(kiln_device *device, void *module, const char *entry, kiln_resources *out) {
    const opencl_library *cl = opencl_of(device);
    const cl_device_id id = opencl_device(device);
    *out = (kiln_resources){0};
    cl_int error;
    cl_kernel kernel = cl->clCreateKernel(module, entry, &error);
    if (error == CL_INVALID_KERNEL_NAME)
        return kiln_fail(KILN_E_NOT_FOUND, "%s: the program has no kernel %s", device->name, entry);
    OPENCL_TRY(device, "clCreateKernel", error);
    size_t group = 0;
    cl_ulong local = 0, private_bytes = 0;
    error = cl->clGetKernelWorkGroupInfo(kernel, id, CL_KERNEL_WORK_GROUP_SIZE, sizeof group, &group, NULL);
    if (error == CL_SUCCESS)
        error = cl->clGetKernelWorkGroupInfo(kernel, id, CL_KERNEL_LOCAL_MEM_SIZE, sizeof local, &local, NULL);
    if (error == CL_SUCCESS) /* not every driver tells */
        (void)cl->clGetKernelWorkGroupInfo(kernel, id, CL_KERNEL_PRIVATE_MEM_SIZE, sizeof private_bytes, &private_bytes,
                                           NULL);
    cl->clReleaseKernel(kernel);
    OPENCL_TRY(device, "clGetKernelWorkGroupInfo", error);
    out->max_group_size = group < UINT32_MAX ? (uint32_t)group : UINT32_MAX;
    out->local_bytes = local;
    out->private_bytes = private_bytes;
    return KILN_OK;
}
