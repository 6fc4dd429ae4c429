/* The OpenCL backend: any device of OpenCL 1.2 or newer. */
#include "opencl.h"
#include <string.h>

/* ---- errors ---- */

/* X(name, value): errors by number, so that those of extensions need no header. */
#define OPENCL_ERRORS(X)                                                                                               \
    X(CL_SUCCESS, 0)                                                                                                   \
    X(CL_DEVICE_NOT_FOUND, -1)                                                                                         \
    X(CL_DEVICE_NOT_AVAILABLE, -2)                                                                                     \
    X(CL_COMPILER_NOT_AVAILABLE, -3)                                                                                   \
    X(CL_MEM_OBJECT_ALLOCATION_FAILURE, -4)                                                                            \
    X(CL_OUT_OF_RESOURCES, -5)                                                                                         \
    X(CL_OUT_OF_HOST_MEMORY, -6)                                                                                       \
    X(CL_PROFILING_INFO_NOT_AVAILABLE, -7)                                                                             \
    X(CL_MEM_COPY_OVERLAP, -8)                                                                                         \
    X(CL_BUILD_PROGRAM_FAILURE, -11)                                                                                   \
    X(CL_MAP_FAILURE, -12)                                                                                             \
    X(CL_MISALIGNED_SUB_BUFFER_OFFSET, -13)                                                                            \
    X(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST, -14)                                                               \
    X(CL_COMPILE_PROGRAM_FAILURE, -15)                                                                                 \
    X(CL_LINKER_NOT_AVAILABLE, -16)                                                                                    \
    X(CL_LINK_PROGRAM_FAILURE, -17)                                                                                    \
    X(CL_DEVICE_PARTITION_FAILED, -18)                                                                                 \
    X(CL_KERNEL_ARG_INFO_NOT_AVAILABLE, -19)                                                                           \
    X(CL_INVALID_VALUE, -30)                                                                                           \
    X(CL_INVALID_DEVICE_TYPE, -31)                                                                                     \
    X(CL_INVALID_PLATFORM, -32)                                                                                        \
    X(CL_INVALID_DEVICE, -33)                                                                                          \
    X(CL_INVALID_CONTEXT, -34)                                                                                         \
    X(CL_INVALID_QUEUE_PROPERTIES, -35)                                                                                \
    X(CL_INVALID_COMMAND_QUEUE, -36)                                                                                   \
    X(CL_INVALID_HOST_PTR, -37)                                                                                        \
    X(CL_INVALID_MEM_OBJECT, -38)                                                                                      \
    X(CL_INVALID_BINARY, -42)                                                                                          \
    X(CL_INVALID_BUILD_OPTIONS, -43)                                                                                   \
    X(CL_INVALID_PROGRAM, -44)                                                                                         \
    X(CL_INVALID_PROGRAM_EXECUTABLE, -45)                                                                              \
    X(CL_INVALID_KERNEL_NAME, -46)                                                                                     \
    X(CL_INVALID_KERNEL_DEFINITION, -47)                                                                               \
    X(CL_INVALID_KERNEL, -48)                                                                                          \
    X(CL_INVALID_ARG_INDEX, -49)                                                                                       \
    X(CL_INVALID_ARG_VALUE, -50)                                                                                       \
    X(CL_INVALID_ARG_SIZE, -51)                                                                                        \
    X(CL_INVALID_KERNEL_ARGS, -52)                                                                                     \
    X(CL_INVALID_WORK_DIMENSION, -53)                                                                                  \
    X(CL_INVALID_WORK_GROUP_SIZE, -54)                                                                                 \
    X(CL_INVALID_WORK_ITEM_SIZE, -55)                                                                                  \
    X(CL_INVALID_GLOBAL_OFFSET, -56)                                                                                   \
    X(CL_INVALID_EVENT_WAIT_LIST, -57)                                                                                 \
    X(CL_INVALID_EVENT, -58)                                                                                           \
    X(CL_INVALID_OPERATION, -59)                                                                                       \
    X(CL_INVALID_BUFFER_SIZE, -61)                                                                                     \
    X(CL_INVALID_GLOBAL_WORK_SIZE, -63)                                                                                \
    X(CL_INVALID_PROPERTY, -64)                                                                                        \
    X(CL_INVALID_COMPILER_OPTIONS, -66)                                                                                \
    X(CL_INVALID_LINKER_OPTIONS, -67)                                                                                  \
    X(CL_PLATFORM_NOT_FOUND_KHR, -1001)                                                                                \
    X(NVIDIA_ILLEGAL_READ_OR_WRITE, -9999)

const char *kiln__opencl_error_name(cl_int error) {
    static const struct {
        cl_int value;
        const char *name;
    } names[] = {
#define ROW(name, value) {value, #name},
        OPENCL_ERRORS(ROW)
#undef ROW
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].value == error)
            return names[i].name;
    return "unknown OpenCL error";
}

static kiln_status status_of(cl_int error) {
    switch (error) {
    case CL_MEM_OBJECT_ALLOCATION_FAILURE:
        return KILN_E_DEVICE_MEMORY;
    case CL_OUT_OF_HOST_MEMORY:
        return KILN_E_MEMORY;
    case CL_DEVICE_NOT_AVAILABLE:
    case -9999: /* the driver has given up the context */
        return KILN_E_DEVICE_LOST;
    default:
        return KILN_E_DEVICE;
    }
}

kiln_status kiln__opencl_fail(const kiln_device *device, const char *call, cl_int error) {
    return kiln_fail(status_of(error), "%s: %s: %s (%d)", device->name, call, kiln__opencl_error_name(error),
                     (int)error);
}

/* ---- opening ---- */

/* A context of the engine's must hold our device. */
static kiln_status check_context(kiln_device *device, cl_context context) {
    const opencl_library *cl = opencl_of(device);
    size_t bytes = 0;
    OPENCL_TRY(device, "clGetContextInfo(CL_CONTEXT_DEVICES)",
               cl->clGetContextInfo(context, CL_CONTEXT_DEVICES, 0, NULL, &bytes));
    cl_device_id *ids = kiln__alloc(device->context, bytes);
    if (!ids)
        return KILN_E_MEMORY;
    const cl_int error = cl->clGetContextInfo(context, CL_CONTEXT_DEVICES, bytes, ids, NULL);
    bool found = false;
    for (size_t i = 0; error == CL_SUCCESS && i < bytes / sizeof *ids; i++)
        found = found || ids[i] == opencl_device(device);
    kiln__free(device->context, ids);
    OPENCL_TRY(device, "clGetContextInfo(CL_CONTEXT_DEVICES)", error);
    return found ? KILN_OK : kiln_fail(KILN_E_INVALID, "%s is not a device of the cl_context to adopt", device->name);
}

static kiln_status open_context(kiln_device *device, cl_context native, cl_context *out) {
    const opencl_library *cl = opencl_of(device);
    if (native) {
        KILN_TRY(check_context(device, native));
        OPENCL_TRY(device, "clRetainContext", cl->clRetainContext(native));
        *out = native;
        return KILN_OK;
    }
    const opencl_native *id = device->desc.native;
    const cl_context_properties properties[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)id->platform, 0};
    cl_int error;
    *out = cl->clCreateContext(properties, 1, &id->device, NULL, NULL, &error);
    OPENCL_TRY(device, "clCreateContext", error);
    return KILN_OK;
}

static kiln_status opencl_open_device(kiln_device *device, void *native_context) {
    opencl_open *open = kiln__alloc(device->context, sizeof *open);
    if (!open)
        return KILN_E_MEMORY;
    const kiln_status status = open_context(device, native_context, &open->context);
    if (status != KILN_OK) {
        kiln__free(device->context, open);
        return status;
    }
    device->handle = open;
    return KILN_OK;
}

static void opencl_close(kiln_device *device) {
    opencl_of(device)->clReleaseContext(opencl_context(device));
    kiln__free(device->context, device->handle);
    device->handle = NULL;
}

/* ---- memory ---- */

static kiln_status opencl_alloc(kiln_device *device, size_t bytes, void **memory) {
    /* On a CPU, memory the host can see is the device's memory, and asking for it allocates now: without, drivers wait
     * for the first use and fail in the middle of a queue. */
    const cl_mem_flags where = device->desc.caps.kind == KILN_DEVICE_CPU ? CL_MEM_ALLOC_HOST_PTR : 0;
    cl_int error;
    cl_mem made =
        opencl_of(device)->clCreateBuffer(opencl_context(device), CL_MEM_READ_WRITE | where, bytes, NULL, &error);
    if (error != CL_SUCCESS) {
        const bool full = error == CL_MEM_OBJECT_ALLOCATION_FAILURE || error == CL_OUT_OF_RESOURCES ||
                          error == CL_INVALID_BUFFER_SIZE || error == CL_OUT_OF_HOST_MEMORY;
        return kiln_fail(full ? KILN_E_DEVICE_MEMORY : status_of(error), "%s: clCreateBuffer of %zu bytes: %s",
                         device->name, bytes, kiln__opencl_error_name(error));
    }
    *memory = made;
    return KILN_OK;
}

static void opencl_free(kiln_device *device, void *memory) {
    opencl_of(device)->clReleaseMemObject(memory); /* work under way keeps it */
}

static kiln_status opencl_memory_adopt(kiln_device *device, void *native_memory, size_t bytes, void **memory) {
    const opencl_library *cl = opencl_of(device);
    cl_context context = NULL;
    size_t size = 0;
    OPENCL_TRY(device, "clGetMemObjectInfo(CL_MEM_CONTEXT)",
               cl->clGetMemObjectInfo(native_memory, CL_MEM_CONTEXT, sizeof context, &context, NULL));
    OPENCL_TRY(device, "clGetMemObjectInfo(CL_MEM_SIZE)",
               cl->clGetMemObjectInfo(native_memory, CL_MEM_SIZE, sizeof size, &size, NULL));
    if (context != opencl_context(device))
        return kiln_fail(KILN_E_INVALID, "%s: the cl_mem is of another cl_context; see kiln_device_adopt",
                         device->name);
    if (bytes > size)
        return kiln_fail(KILN_E_INVALID, "%s: the cl_mem has %zu bytes, not %zu", device->name, size, bytes);
    OPENCL_TRY(device, "clRetainMemObject", cl->clRetainMemObject(native_memory));
    *memory = native_memory;
    return KILN_OK;
}

/* ---- queues: a cl_command_queue, which CALL steps get as it is ---- */

static kiln_status opencl_queue_create(kiln_device *device, void **queue) {
    cl_int error;
    /* Profiling is a property of the queue, and whether anybody will record events is not known yet. */
    cl_command_queue made = opencl_of(device)->clCreateCommandQueue(opencl_context(device), opencl_device(device),
                                                                    CL_QUEUE_PROFILING_ENABLE, &error);
    OPENCL_TRY(device, "clCreateCommandQueue", error);
    *queue = made;
    return KILN_OK;
}

static void opencl_queue_destroy(kiln_device *device, void *queue) {
    opencl_of(device)->clReleaseCommandQueue(queue);
}

static kiln_status opencl_queue_adopt(kiln_device *device, void *native_queue, void **queue) {
    const opencl_library *cl = opencl_of(device);
    cl_context context = NULL;
    cl_device_id id = NULL;
    cl_command_queue_properties properties = 0;
    OPENCL_TRY(device, "clGetCommandQueueInfo(CL_QUEUE_CONTEXT)",
               cl->clGetCommandQueueInfo(native_queue, CL_QUEUE_CONTEXT, sizeof context, &context, NULL));
    OPENCL_TRY(device, "clGetCommandQueueInfo(CL_QUEUE_DEVICE)",
               cl->clGetCommandQueueInfo(native_queue, CL_QUEUE_DEVICE, sizeof id, &id, NULL));
    OPENCL_TRY(device, "clGetCommandQueueInfo(CL_QUEUE_PROPERTIES)",
               cl->clGetCommandQueueInfo(native_queue, CL_QUEUE_PROPERTIES, sizeof properties, &properties, NULL));
    if (context != opencl_context(device))
        return kiln_fail(KILN_E_INVALID, "%s: the cl_command_queue is of another cl_context; see kiln_device_adopt",
                         device->name);
    if (id != opencl_device(device))
        return kiln_fail(KILN_E_INVALID, "%s: the cl_command_queue is of another device", device->name);
    if (properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE)
        return kiln_fail(KILN_E_INVALID, "%s: the cl_command_queue runs out of order; make an in-order one",
                         device->name);
    OPENCL_TRY(device, "clRetainCommandQueue", cl->clRetainCommandQueue(native_queue));
    *queue = native_queue;
    return KILN_OK;
}

static kiln_status opencl_queue_finish(kiln_device *device, void *queue) {
    OPENCL_TRY(device, "clFinish", opencl_of(device)->clFinish(queue));
    return KILN_OK;
}

static kiln_status opencl_queue_flush(kiln_device *device, void *queue) {
    OPENCL_TRY(device, "clFlush", opencl_of(device)->clFlush(queue));
    return KILN_OK;
}

/* ---- work ---- */

static kiln_status opencl_write(kiln_device *device, void *queue, kiln_place to, const void *from, size_t bytes) {
    OPENCL_TRY(device, "clEnqueueWriteBuffer",
               opencl_of(device)->clEnqueueWriteBuffer(queue, to.memory, CL_FALSE, to.offset_bytes, bytes, from, 0,
                                                       NULL, NULL));
    return KILN_OK;
}

static kiln_status opencl_read(kiln_device *device, void *queue, void *to, kiln_place from, size_t bytes) {
    OPENCL_TRY(device, "clEnqueueReadBuffer",
               opencl_of(device)->clEnqueueReadBuffer(queue, from.memory, CL_FALSE, from.offset_bytes, bytes, to, 0,
                                                      NULL, NULL));
    return KILN_OK;
}

static cl_int enqueue_copy(const opencl_library *cl, cl_command_queue queue, const kiln_node *n) {
    cl_mem from = n->copy.source.memory, to = n->copy.destination.memory;
    const size_t from_offset = n->copy.source.offset_bytes, to_offset = n->copy.destination.offset_bytes;
    const size_t row = n->copy.row_bytes, rows = n->copy.rows;
    const size_t from_pitch = n->copy.source_pitch_bytes, to_pitch = n->copy.destination_pitch_bytes;
    if (rows == 1 || (from_pitch == row && to_pitch == row))
        return cl->clEnqueueCopyBuffer(queue, from, to, from_offset, to_offset, row * rows, 0, NULL, NULL);
    /* A rectangle starts at a column of a row; slices are not used, so their pitches stay 0. */
    const size_t from_origin[3] = {from_offset % from_pitch, from_offset / from_pitch, 0};
    const size_t to_origin[3] = {to_offset % to_pitch, to_offset / to_pitch, 0};
    const size_t region[3] = {row, rows, 1};
    if (row <= from_pitch - from_origin[0] && row <= to_pitch - to_origin[0])
        return cl->clEnqueueCopyBufferRect(queue, from, to, from_origin, to_origin, region, from_pitch, 0, to_pitch, 0,
                                           0, NULL, NULL);
    for (size_t i = 0; i < rows; i++) { /* the offset shifts rows over the end of a pitch: no rectangle */
        const cl_int error = cl->clEnqueueCopyBuffer(queue, from, to, from_offset + i * from_pitch,
                                                     to_offset + i * to_pitch, row, 0, NULL, NULL);
        if (error != CL_SUCCESS)
            return error;
    }
    return CL_SUCCESS;
}

static kiln_status opencl_enqueue(kiln_device *device, void *queue, const kiln_node *node) {
    const opencl_library *cl = opencl_of(device);
    switch (node->kind) {
    case KILN_STEP_KERNEL: {
        const opencl_kernel *k = node->kernel;
        const cl_int error = cl->clEnqueueNDRangeKernel(queue, k->kernel, 3, NULL, k->global, k->group, 0, NULL, NULL);
        return error == CL_SUCCESS
                   ? KILN_OK
                   : kiln_fail_in(kiln__opencl_fail(device, "clEnqueueNDRangeKernel", error), "%s", node->label);
    }
    case KILN_STEP_COPY:
        OPENCL_TRY(device, "clEnqueueCopyBuffer", enqueue_copy(cl, queue, node));
        return KILN_OK;
    case KILN_STEP_FILL:
        OPENCL_TRY(device, "clEnqueueFillBuffer",
                   cl->clEnqueueFillBuffer(queue, node->fill.destination.memory, &node->fill.pattern,
                                           sizeof node->fill.pattern, node->fill.destination.offset_bytes,
                                           node->fill.bytes, 0, NULL, NULL));
        return KILN_OK;
    case KILN_STEP_CALL:
        return node->call.call(node->call.user, queue, node->call.operands);
    }
    return kiln_fail(KILN_E_INTERNAL, "%s: unknown kind of step %d", device->name, (int)node->kind);
}

/* ---- timing: a marker takes its time when all before it has ended ---- */

typedef struct {
    cl_event event; /* of the last record, or NULL */
} opencl_event;

static kiln_status opencl_event_create(kiln_device *device, void **event) {
    *event = kiln__alloc(device->context, sizeof(opencl_event));
    return *event ? KILN_OK : KILN_E_MEMORY;
}

static void opencl_event_destroy(kiln_device *device, void *event) {
    opencl_event *e = event;
    if (e->event)
        opencl_of(device)->clReleaseEvent(e->event);
    kiln__free(device->context, e);
}

static kiln_status opencl_event_record(kiln_device *device, void *queue, void *event) {
    opencl_event *e = event;
    cl_event made;
    OPENCL_TRY(device, "clEnqueueMarkerWithWaitList",
               opencl_of(device)->clEnqueueMarkerWithWaitList(queue, 0, NULL, &made));
    if (e->event)
        opencl_of(device)->clReleaseEvent(e->event);
    e->event = made;
    return KILN_OK;
}

static kiln_status read_time(kiln_device *device, const opencl_event *e, cl_ulong *out) {
    if (!e->event)
        return kiln_fail(KILN_E_INVALID, "%s: an event that was not recorded", device->name);
    const cl_int error =
        opencl_of(device)->clGetEventProfilingInfo(e->event, CL_PROFILING_COMMAND_END, sizeof *out, out, NULL);
    if (error == CL_PROFILING_INFO_NOT_AVAILABLE)
        return kiln_fail(KILN_E_UNSUPPORTED, "%s: the queue does not keep time; make it with CL_QUEUE_PROFILING_ENABLE",
                         device->name);
    OPENCL_TRY(device, "clGetEventProfilingInfo", error);
    return KILN_OK;
}

static kiln_status opencl_event_elapsed_us(kiln_device *device, void *from, void *to, double *out) {
    cl_ulong start, end;
    KILN_TRY(read_time(device, from, &start));
    KILN_TRY(read_time(device, to, &end));
    *out = end > start ? (double)(end - start) * 1e-3 : 0;
    return KILN_OK;
}

const kiln_backend kiln__backend_opencl = {
    .name = "opencl",
    .language = KILN_LANGUAGE_OPENCL,
    .rank = 100,
    .load = kiln__opencl_load,
    .unload = kiln__opencl_unload,
    .forget = kiln__opencl_forget,
    .open = opencl_open_device,
    .close = opencl_close,
    .compile = kiln__opencl_compile,
    .link = kiln__opencl_link,
    .module_load = kiln__opencl_module_load,
    .module_unload = kiln__opencl_module_unload,
    .module_resources = kiln__opencl_module_resources,
    .kernel_create = kiln__opencl_kernel_create,
    .kernel_patch = kiln__opencl_kernel_patch,
    .kernel_destroy = kiln__opencl_kernel_destroy,
    .alloc = opencl_alloc,
    .free = opencl_free,
    .memory_adopt = opencl_memory_adopt,
    .memory_release = opencl_free,
    .queue_create = opencl_queue_create,
    .queue_destroy = opencl_queue_destroy,
    .queue_adopt = opencl_queue_adopt,
    .queue_finish = opencl_queue_finish,
    .queue_flush = opencl_queue_flush,
    .write = opencl_write,
    .read = opencl_read,
    .enqueue = opencl_enqueue,
    .event_create = opencl_event_create,
    .event_destroy = opencl_event_destroy,
    .event_record = opencl_event_record,
    .event_elapsed_us = opencl_event_elapsed_us,
};
