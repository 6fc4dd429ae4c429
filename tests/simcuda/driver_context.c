/* Contexts: the primary one of a device, others, and each thread's stack of them. */
#include "driver.h"
#include <stdlib.h>

/* Handles, not pointers: a context may be destroyed while it is on another thread's stack. */
static _Thread_local CUcontext stack[DRIVER_MAX_DEPTH];
static _Thread_local size_t depth;

driver_context *driver_current(void) {
    return depth ? driver_object_find(stack[depth - 1], DRIVER_CONTEXT) : NULL;
}

CUresult driver_check_context(const driver_context *context) {
    return context ? context->dead : CUDA_ERROR_INVALID_CONTEXT;
}

static driver_context *context_new(driver_device *device, unsigned flags, unsigned version) {
    driver_context *context = calloc(1, sizeof *context);
    if (!context || !driver_object_add(&context->object, DRIVER_CONTEXT, NULL)) {
        free(context);
        return NULL;
    }
    context->device = device;
    context->flags = flags;
    context->api_version = version;
    context->null_stream = driver_stream_new(context, 0, 0);
    if (!context->null_stream) {
        driver_object_remove(&context->object);
        free(context);
        return NULL;
    }
    context->null_stream->object.hidden = true;
    return context;
}

/* What belongs to a context goes with it. The ledger keeps what its owner should have released before. */
static void release_contents(driver_context *context) {
    driver_context_drain(context);
    uint32_t at = 0;
    for (driver_object *o; (o = driver_object_walk(&at));) {
        if (o->context != context || o == &context->null_stream->object)
            continue;
        driver_ledger_orphan(o);
        if (o->kind == DRIVER_MODULE)
            driver_module_release((driver_module *)(void *)o);
        else if (o->kind == DRIVER_STREAM)
            driver_stream_release((driver_stream *)(void *)o);
        else if (o->kind == DRIVER_EVENT)
            driver_event_release((driver_event *)(void *)o);
        else if (o->kind == DRIVER_MEMORY || o->kind == DRIVER_HOST)
            driver_memory_release((driver_memory *)(void *)o);
    }
}

void driver_context_destroy(driver_context *context, bool keep) {
    release_contents(context);
    if (keep) {
        context->dead = CUDA_SUCCESS;
        return;
    }
    driver_stream_release(context->null_stream);
    if (context->primary)
        context->device->primary = NULL;
    if (depth && stack[depth - 1] == (CUcontext)driver_object_handle(&context->object))
        depth--;
    driver_object_remove(&context->object);
    free(context);
}

void driver_context_kill(driver_context *context, CUresult code) {
    if (context->dead == CUDA_SUCCESS)
        context->dead = code;
}

/* ---- the primary context ---- */

CUresult sim_cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice ordinal) {
    driver_device *device = driver_device_of(ordinal);
    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    if (!context)
        return CUDA_ERROR_INVALID_VALUE;
    if (!device->primary) {
        device->primary = context_new(device, device->flags, 3020);
        if (!device->primary)
            return CUDA_ERROR_OUT_OF_MEMORY;
        device->primary->primary = true;
    }
    if (device->primary->dead != CUDA_SUCCESS)
        return device->primary->dead;
    device->retained++;
    *context = driver_object_handle(&device->primary->object);
    return CUDA_SUCCESS;
}

CUresult sim_cuDevicePrimaryCtxRelease_v2(CUdevice ordinal) {
    driver_device *device = driver_device_of(ordinal);
    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    if (device->retained == 0)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (--device->retained == 0)
        driver_context_destroy(device->primary, false);
    return CUDA_SUCCESS;
}

CUresult sim_cuDevicePrimaryCtxReset_v2(CUdevice ordinal) {
    driver_device *device = driver_device_of(ordinal);
    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    if (device->primary)
        driver_context_destroy(device->primary, true);
    return CUDA_SUCCESS;
}

CUresult sim_cuDevicePrimaryCtxGetState(CUdevice ordinal, unsigned *flags, int *active) {
    const driver_device *device = driver_device_of(ordinal);
    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    if (!flags || !active)
        return CUDA_ERROR_INVALID_VALUE;
    *flags = device->flags;
    *active = device->primary != NULL;
    return CUDA_SUCCESS;
}

CUresult sim_cuDevicePrimaryCtxSetFlags_v2(CUdevice ordinal, unsigned flags) {
    driver_device *device = driver_device_of(ordinal);
    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    if (flags > 0xff)
        return CUDA_ERROR_INVALID_VALUE;
    device->flags = flags;
    if (device->primary)
        device->primary->flags = flags;
    return CUDA_SUCCESS;
}

/* ---- other contexts ---- */

static CUresult context_create(CUcontext *out, unsigned flags, CUdevice ordinal, unsigned version) {
    driver_device *device = driver_device_of(ordinal);
    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    if (!out || flags > 0xff)
        return CUDA_ERROR_INVALID_VALUE;
    driver_context *context = depth < DRIVER_MAX_DEPTH ? context_new(device, flags, version) : NULL;
    if (!context)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *out = stack[depth++] = driver_object_handle(&context->object);
    return CUDA_SUCCESS;
}

CUresult sim_cuCtxCreate_v2(CUcontext *context, unsigned flags, CUdevice device) {
    return context_create(context, flags, device, 3020);
}

CUresult sim_cuCtxCreate_v3(CUcontext *context, CUexecAffinityParam *affinity, int n, unsigned flags, CUdevice device) {
    if (affinity || n != 0)
        return CUDA_ERROR_NOT_SUPPORTED;
    return context_create(context, flags, device, 11040);
}

CUresult sim_cuCtxCreate_v4(CUcontext *context, CUctxCreateParams *params, unsigned flags, CUdevice device) {
    if (params)
        return CUDA_ERROR_NOT_SUPPORTED;
    return context_create(context, flags, device, 12050);
}

CUresult sim_cuCtxDestroy_v2(CUcontext handle) {
    driver_context *context = driver_object_find(handle, DRIVER_CONTEXT);
    if (!context || context->primary)
        return CUDA_ERROR_INVALID_CONTEXT;
    driver_context_destroy(context, false);
    return CUDA_SUCCESS;
}

CUresult sim_cuCtxPushCurrent_v2(CUcontext context) {
    if (!driver_object_find(context, DRIVER_CONTEXT))
        return CUDA_ERROR_INVALID_CONTEXT;
    if (depth == DRIVER_MAX_DEPTH)
        return CUDA_ERROR_OUT_OF_MEMORY;
    stack[depth++] = context;
    return CUDA_SUCCESS;
}

CUresult sim_cuCtxPopCurrent_v2(CUcontext *context) {
    if (depth == 0)
        return CUDA_ERROR_INVALID_CONTEXT;
    depth--;
    if (context)
        *context = stack[depth];
    return CUDA_SUCCESS;
}

/* Replaces the top of the stack; NULL takes it off. */
CUresult sim_cuCtxSetCurrent(CUcontext context) {
    if (context && !driver_object_find(context, DRIVER_CONTEXT))
        return CUDA_ERROR_INVALID_CONTEXT;
    if (depth)
        depth--;
    if (context)
        stack[depth++] = context;
    return CUDA_SUCCESS;
}

CUresult sim_cuCtxGetCurrent(CUcontext *context) {
    if (!context)
        return CUDA_ERROR_INVALID_VALUE;
    *context = depth ? stack[depth - 1] : NULL;
    return CUDA_SUCCESS;
}

CUresult sim_cuCtxGetDevice(CUdevice *device) {
    const driver_context *context = driver_current();
    if (!context)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (!device)
        return CUDA_ERROR_INVALID_VALUE;
    *device = context->device->ordinal;
    return CUDA_SUCCESS;
}

CUresult sim_cuCtxGetFlags(unsigned *flags) {
    const driver_context *context = driver_current();
    if (!context)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (!flags)
        return CUDA_ERROR_INVALID_VALUE;
    *flags = context->flags;
    return CUDA_SUCCESS;
}

CUresult sim_cuCtxGetApiVersion(CUcontext handle, unsigned *version) {
    const driver_context *context = handle ? driver_object_find(handle, DRIVER_CONTEXT) : driver_current();
    if (!context)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (!version)
        return CUDA_ERROR_INVALID_VALUE;
    *version = context->api_version;
    return CUDA_SUCCESS;
}

CUresult sim_cuCtxGetStreamPriorityRange(int *least, int *greatest) {
    if (least)
        *least = 0;
    if (greatest)
        *greatest = -5;
    return CUDA_SUCCESS;
}

CUresult sim_cuCtxSynchronize(void) {
    driver_context *context = driver_current();
    for (driver_stream *s = context->streams; s; s = s->next) {
        if (s->capture) {
            driver_capture_invalidate(s->capture);
            return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        }
    }
    driver_context_drain(context);
    return context->dead;
}
