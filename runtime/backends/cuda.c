/* The CUDA backend: NVIDIA GPUs through the driver API of CUDA 12.0 or newer, programs compiled by NVRTC. */
#include "cuda.h"

/* ---- errors ---- */

const char *kiln__cuda_error_name(CUresult error) {
    static const struct {
        int value;
        const char *name;
    } names[] = {
#define ROW(name, value) {value, #name},
        CUDA_ABI_ERRORS(ROW)
#undef ROW
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].value == (int)error)
            return names[i].name;
    return "unknown CUDA error";
}

/* After most faults of a kernel the driver has given up the context: every later call fails in the same way. */
static kiln_status status_of(CUresult error) {
    switch ((int)error) {
    case CUDA_ERROR_OUT_OF_MEMORY:
        return KILN_E_DEVICE_MEMORY;
    case CUDA_ERROR_DEVICE_UNAVAILABLE:
    case CUDA_ERROR_ECC_UNCORRECTABLE:
    case CUDA_ERROR_NVLINK_UNCORRECTABLE:
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_CONTEXT_IS_DESTROYED:
    case CUDA_ERROR_ASSERT:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_LAUNCH_FAILED:
    case CUDA_ERROR_EXTERNAL_DEVICE:
        return KILN_E_DEVICE_LOST;
    case CUDA_ERROR_NOT_SUPPORTED:
        return KILN_E_UNSUPPORTED;
    default:
        return KILN_E_DEVICE;
    }
}

kiln_status kiln__cuda_fail(const kiln_device *device, const char *call, CUresult error) {
    return kiln_fail(status_of(error), "%s: %s: %s (%d)", device->name, call, kiln__cuda_error_name(error), (int)error);
}

/* ---- the current context ---- */

kiln_status kiln__cuda_enter(const kiln_device *device, bool *pushed) {
    CUcontext current = NULL;
    *pushed = false;
    CUDA_TRY(device, cuCtxGetCurrent, &current);
    if (current == cuda_context(device))
        return KILN_OK;
    CUDA_TRY(device, cuCtxPushCurrent, cuda_context(device));
    *pushed = true;
    return KILN_OK;
}

bool kiln__cuda_enter_to_release(const kiln_device *device) {
    bool pushed = false;
    if (kiln__cuda_enter(device, &pushed) != KILN_OK)
        (void)kiln__cuda_enter(device, &pushed);
    return pushed;
}

void kiln__cuda_leave(const kiln_device *device, bool pushed) {
    CUcontext ours;
    if (pushed)
        (void)cuda_of(device)->cuCtxPopCurrent(&ours);
}

/* ---- opening ---- */

static kiln_status check_device(const kiln_device *device) {
    CUdevice of_context;
    CUDA_TRY(device, cuCtxGetDevice, &of_context);
    return of_context == cuda_native_of(device)->device
               ? KILN_OK
               : kiln_fail(KILN_E_INVALID, "%s is not the device of the CUcontext to adopt", device->name);
}

static kiln_status check_device_inside(const kiln_device *device) {
    CUDA_RETURN_INSIDE(device, check_device(device));
}

static kiln_status open_context(kiln_device *device, cuda_open *open, void *native_context) {
    open->context = native_context;
    open->is_adopted = native_context != NULL;
    device->handle = open;
    if (open->is_adopted)
        return check_device_inside(device);
    if (!cuda_native_of(device)->is_absent)
        CUDA_TRY(device, cuDevicePrimaryCtxRetain, &open->context, cuda_native_of(device)->device);
    return KILN_OK;
}

static kiln_status cuda_open_device(kiln_device *device, void *native_context) {
    cuda_open *open = kiln__alloc(device->context, sizeof *open);
    if (!open)
        return KILN_E_MEMORY;
    const kiln_status status = open_context(device, open, native_context);
    if (status != KILN_OK) {
        device->handle = NULL;
        kiln__free(device->context, open);
    }
    return status;
}

static void cuda_close(kiln_device *device) {
    const cuda_open *open = device->handle;
    if (open->context && !open->is_adopted)
        (void)cuda_of(device)->cuDevicePrimaryCtxRelease(cuda_native_of(device)->device);
    kiln__free(device->context, device->handle);
    device->handle = NULL;
}

/* ---- memory ---- */

static kiln_status alloc(const kiln_device *device, size_t bytes, void **memory) {
    CUdeviceptr address = 0;
    const CUresult error = cuda_of(device)->cuMemAlloc(&address, bytes);
    if (error != CUDA_SUCCESS)
        return kiln_fail_in(kiln__cuda_fail(device, "cuMemAlloc", error), "%zu bytes", bytes);
    *memory = (void *)(uintptr_t)address;
    return KILN_OK;
}

static kiln_status cuda_alloc(kiln_device *device, size_t bytes, void **memory) {
    CUDA_RETURN_INSIDE(device, alloc(device, bytes, memory));
}

static void cuda_free(kiln_device *device, void *memory) {
    const bool pushed = kiln__cuda_enter_to_release(device);
    (void)cuda_of(device)->cuMemFree((CUdeviceptr)(uintptr_t)memory);
    kiln__cuda_leave(device, pushed);
}

/* The engine's address must be of memory that our kernels can reach. */
static kiln_status check_address(const kiln_device *device, CUdeviceptr address, size_t bytes) {
    const cuda_library *cuda = cuda_of(device);
    int ordinal = -1;
    CUmemorytype type = 0;
    if (address % device->desc.caps.address_align_bytes)
        return kiln_fail(KILN_E_INVALID, "%s: address %#llx is not a multiple of %u", device->name, address,
                         (unsigned)device->desc.caps.address_align_bytes);
    CUresult error = cuda->cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, address);
    if (error == CUDA_SUCCESS)
        error = cuda->cuPointerGetAttribute(&ordinal, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, address);
    if (error != CUDA_SUCCESS && error != CUDA_ERROR_INVALID_VALUE)
        return kiln__cuda_fail(device, "cuPointerGetAttribute", error);
    if (error != CUDA_SUCCESS || type != CU_MEMORYTYPE_DEVICE || ordinal != cuda_native_of(device)->device)
        return kiln_fail(KILN_E_INVALID, "%s: address %#llx is not memory of this device", device->name, address);
    CUdeviceptr base = 0;
    size_t size = 0; /* mapped ranges have no single size, which the driver says by failing */
    if (cuda->cuMemGetAddressRange(&base, &size, address) == CUDA_SUCCESS &&
        (bytes > size || address - base > size - bytes))
        return kiln_fail(KILN_E_INVALID, "%s: address %#llx has %llu bytes behind it, not %zu", device->name, address,
                         (unsigned long long)(base + size - address), bytes);
    return KILN_OK;
}

static kiln_status check_address_inside(const kiln_device *device, CUdeviceptr address, size_t bytes) {
    CUDA_RETURN_INSIDE(device, check_address(device, address, bytes));
}

static kiln_status cuda_memory_adopt(kiln_device *device, void *native_memory, size_t bytes, void **memory) {
    KILN_TRY(check_address_inside(device, (CUdeviceptr)(uintptr_t)native_memory, bytes));
    *memory = native_memory;
    return KILN_OK;
}

/* ---- timing ---- */

static kiln_status event_create(const kiln_device *device, CUevent *event) {
    CUDA_TRY(device, cuEventCreate, event, CU_EVENT_DEFAULT);
    return KILN_OK;
}

static kiln_status event_create_inside(const kiln_device *device, CUevent *event) {
    CUDA_RETURN_INSIDE(device, event_create(device, event));
}

static kiln_status cuda_event_create(kiln_device *device, void **event) {
    CUevent made;
    KILN_TRY(event_create_inside(device, &made));
    *event = made;
    return KILN_OK;
}

static void cuda_event_destroy(kiln_device *device, void *event) {
    const bool pushed = kiln__cuda_enter_to_release(device);
    (void)cuda_of(device)->cuEventDestroy(event);
    kiln__cuda_leave(device, pushed);
}

static kiln_status event_record(const kiln_device *device, CUstream stream, CUevent event) {
    CUDA_TRY(device, cuEventRecord, event, stream);
    return KILN_OK;
}

static kiln_status cuda_event_record(kiln_device *device, void *queue, void *event) {
    CUDA_RETURN_INSIDE(device, event_record(device, kiln__cuda_queue_stream(queue), event));
}

static kiln_status event_elapsed(const kiln_device *device, CUevent from, CUevent to, double *out_us) {
    float ms = 0;
    CUDA_TRY(device, cuEventElapsedTime, &ms, from, to);
    *out_us = ms > 0 ? (double)ms * 1e3 : 0;
    return KILN_OK;
}

static kiln_status cuda_event_elapsed_us(kiln_device *device, void *from, void *to, double *out) {
    CUDA_RETURN_INSIDE(device, event_elapsed(device, from, to, out));
}

const kiln_backend kiln__backend_cuda = {
    .name = "cuda",
    .language = KILN_LANGUAGE_CUDA,
    .rank = 10,
    .load = kiln__cuda_load,
    .unload = kiln__cuda_unload,
    .forget = kiln__cuda_forget,
    .describe_arch = kiln__cuda_describe_arch,
    .open = cuda_open_device,
    .close = cuda_close,
    .compile = kiln__cuda_compile,
    .module_load = kiln__cuda_module_load,
    .module_unload = kiln__cuda_module_unload,
    .module_resources = kiln__cuda_module_resources,
    .kernel_create = kiln__cuda_kernel_create,
    .kernel_patch = kiln__cuda_kernel_patch,
    .kernel_destroy = kiln__cuda_kernel_destroy,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .memory_adopt = cuda_memory_adopt,
    .queue_create = kiln__cuda_queue_create,
    .queue_destroy = kiln__cuda_queue_destroy,
    .queue_adopt = kiln__cuda_queue_adopt,
    .queue_finish = kiln__cuda_queue_finish,
    .write = kiln__cuda_write,
    .read = kiln__cuda_read,
    .enqueue = kiln__cuda_enqueue,
    .event_create = cuda_event_create,
    .event_destroy = cuda_event_destroy,
    .event_record = cuda_event_record,
    .event_elapsed_us = cuda_event_elapsed_us,
    .graph_build = kiln__cuda_graph_build,
    .graph_patch = kiln__cuda_graph_patch,
    .graph_launch = kiln__cuda_graph_launch,
    .graph_destroy = kiln__cuda_graph_destroy,
};
