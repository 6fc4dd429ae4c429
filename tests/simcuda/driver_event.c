/* Events. A record is a piece of its stream; its time is virtual, so measurements are the same in every run. */
#include "driver.h"
#include <stdlib.h>

static CUresult event_of(CUevent handle, driver_event **out) {
    *out = driver_object_find(handle, DRIVER_EVENT);
    return *out ? (*out)->object.context->dead : CUDA_ERROR_INVALID_HANDLE;
}

CUresult sim_cuEventCreate(CUevent *handle, unsigned flags) {
    if (!handle || flags > 7)
        return CUDA_ERROR_INVALID_VALUE;
    driver_event *event = calloc(1, sizeof *event);
    if (!event || !driver_object_add(&event->object, DRIVER_EVENT, driver_current())) {
        free(event);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    event->flags = flags;
    *handle = driver_object_handle(&event->object);
    return CUDA_SUCCESS;
}

void driver_event_release(driver_event *event) {
    driver_command_unref(event->record);
    free(event->joints);
    driver_object_remove(&event->object);
    free(event);
}

CUresult sim_cuEventDestroy_v2(CUevent handle) {
    driver_event *event = driver_object_find(handle, DRIVER_EVENT);
    if (!event)
        return CUDA_ERROR_INVALID_HANDLE;
    const driver_context *context = event->object.context;
    driver_event_release(event);
    return context->dead;
}

CUresult sim_cuEventRecordWithFlags(CUevent handle, CUstream stream_handle, unsigned flags) {
    driver_stream *stream;
    driver_event *event;
    CUresult result = driver_stream_of(stream_handle, &stream);
    if (result == CUDA_SUCCESS)
        result = event_of(handle, &event);
    if (result != CUDA_SUCCESS)
        return result;
    if (event->object.context != stream->object.context)
        return CUDA_ERROR_INVALID_HANDLE;
    if (flags != 0)
        return CUDA_ERROR_NOT_SUPPORTED; /* nodes that record events */
    result = driver_capture_usable(stream);
    if (result != CUDA_SUCCESS)
        return result;
    if (stream->capture)
        return driver_capture_record(stream, event);
    driver_command *record;
    result = driver_enqueue_command(stream, NULL, 0, NULL, &record);
    if (result != CUDA_SUCCESS)
        return result;
    record->references++;
    driver_command_unref(event->record);
    event->record = record;
    event->capture = 0;
    return CUDA_SUCCESS;
}

CUresult sim_cuEventRecord(CUevent event, CUstream stream) {
    return sim_cuEventRecordWithFlags(event, stream, 0);
}

CUresult sim_cuEventQuery(CUevent handle) {
    driver_event *event;
    const CUresult result = event_of(handle, &event);
    if (result != CUDA_SUCCESS)
        return result;
    if (event->capture)
        return CUDA_ERROR_CAPTURED_EVENT;
    if (!event->record || event->record->done)
        return CUDA_SUCCESS;
    /* A question runs one piece, so that who polls comes to an end. */
    driver_stream_step(event->record->stream);
    const CUresult dead = event->object.context->dead;
    return dead != CUDA_SUCCESS ? dead : event->record->done ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

CUresult sim_cuEventSynchronize(CUevent handle) {
    driver_event *event;
    const CUresult result = event_of(handle, &event);
    if (result != CUDA_SUCCESS)
        return result;
    if (event->capture)
        return CUDA_ERROR_CAPTURED_EVENT;
    if (event->record)
        driver_command_run(event->record);
    return event->object.context->dead;
}

CUresult sim_cuEventElapsedTime(float *ms, CUevent from_handle, CUevent to_handle) {
    driver_event *from, *to;
    CUresult result = event_of(from_handle, &from);
    if (result == CUDA_SUCCESS)
        result = event_of(to_handle, &to);
    if (result != CUDA_SUCCESS)
        return result;
    if (!ms)
        return CUDA_ERROR_INVALID_VALUE;
    if (from->capture || to->capture)
        return CUDA_ERROR_CAPTURED_EVENT;
    if (!from->record || !to->record || ((from->flags | to->flags) & CU_EVENT_DISABLE_TIMING) ||
        from->object.context != to->object.context)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!from->record->done || !to->record->done)
        return CUDA_ERROR_NOT_READY;
    *ms = (float)((double)(int64_t)(to->record->time - from->record->time) * (double)driver_set.clock * 1e-6);
    return CUDA_SUCCESS;
}

CUresult sim_cuEventElapsedTime_v2(float *ms, CUevent from, CUevent to) {
    return sim_cuEventElapsedTime(ms, from, to);
}
