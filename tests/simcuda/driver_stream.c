/* Streams and events: pieces in order, run when something waits for them. */
#include "driver.h"
#include <stdlib.h>

/* ---- running ---- */

static void command_complete(driver_command *command, uint64_t time) {
    for (size_t i = 0; i < command->n_after; i++)
        driver_command_unref(command->after[i]);
    for (size_t i = 0; i < command->n_works; i++)
        driver_work_unref(command->works[i]);
    free(command->after);
    free(command->works);
    command->after = NULL;
    command->works = NULL;
    command->n_after = command->n_works = 0;
    command->time = time;
    command->done = true;
}

void driver_command_unref(driver_command *command) {
    if (!command || --command->references > 0)
        return;
    command_complete(command, 0);
    free(command);
}

/* The stream's oldest piece, after what it waits for. Each piece waits for pieces enqueued before it, so this ends. */
static void run_head(driver_stream *stream) {
    driver_command *command = stream->head;
    driver_context *context = stream->object.context;
    uint64_t time = stream->time;
    for (size_t i = 0; i < command->n_after; i++) {
        driver_command_run(command->after[i]);
        if (command->after[i]->time > time)
            time = command->after[i]->time;
    }
    for (size_t i = 0; i < command->n_works && context->dead == CUDA_SUCCESS; i++)
        time += driver_work_run(command->works[i]);
    stream->time = time;
    stream->head = command->next;
    if (!stream->head)
        stream->tail = NULL;
    stream->n_pending--;
    command_complete(command, time);
    driver_command_unref(command);
}

void driver_command_run(driver_command *command) {
    while (!command->done)
        run_head(command->stream);
}

void driver_stream_drain(driver_stream *stream) {
    while (stream->head)
        run_head(stream);
}

void driver_stream_step(driver_stream *stream) {
    if (stream->head)
        run_head(stream);
}

void driver_context_drain(driver_context *context) {
    for (driver_stream *s = context->streams; s; s = s->next)
        driver_stream_drain(s);
}

/* ---- enqueuing ---- */

static void wait_for(driver_command *command, driver_command *other) {
    if (other)
        other->references++, command->after[command->n_after++] = other;
}

static bool blocking(const driver_stream *stream) {
    return !(stream->flags & CU_STREAM_NON_BLOCKING);
}

/* The null stream comes after everything in the streams that block with it, and they after it. */
static void wait_implicitly(driver_command *command, driver_stream *stream) {
    driver_context *context = stream->object.context;
    if (stream != context->null_stream && blocking(stream))
        wait_for(command, context->null_stream->last);
    if (stream != context->null_stream)
        return;
    for (driver_stream *s = context->streams; s; s = s->next)
        if (s != stream && blocking(s))
            wait_for(command, s->last);
}

/* Takes over `works`. */
CUresult driver_enqueue_command(driver_stream *stream, driver_work **works, size_t n_works, driver_command *after,
                                driver_command **out) {
    size_t n_streams = 2;
    for (const driver_stream *s = stream->object.context->streams; s; s = s->next)
        n_streams++;
    driver_command *command = calloc(1, sizeof *command);
    if (command)
        command->after = calloc(n_streams, sizeof(driver_command *));
    if (!command || !command->after) {
        free(command);
        for (size_t i = 0; i < n_works; i++)
            driver_work_unref(works[i]);
        free(works);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    command->references = 2; /* the queue's and stream->last */
    command->stream = stream;
    command->works = works;
    command->n_works = n_works;
    wait_for(command, after);
    wait_implicitly(command, stream);
    if (stream->tail)
        stream->tail->next = command;
    else
        stream->head = command;
    stream->tail = command;
    driver_command_unref(stream->last);
    stream->last = command;
    if (out)
        *out = command;
    stream->n_pending++;
    while (stream->n_pending > DRIVER_MAX_PENDING)
        run_head(stream);
    return CUDA_SUCCESS;
}

CUresult driver_enqueue(driver_stream *stream, driver_work *work) {
    const CUresult usable = driver_capture_usable(stream);
    if (usable != CUDA_SUCCESS) {
        driver_work_unref(work);
        return usable;
    }
    if (stream->capture)
        return driver_capture_add(stream, work, NULL);
    driver_work **works = malloc(sizeof(driver_work *));
    if (!works) {
        driver_work_unref(work);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    works[0] = work;
    return driver_enqueue_command(stream, works, 1, NULL, NULL);
}

/* ---- streams ---- */

driver_stream *driver_stream_new(driver_context *context, unsigned flags, int priority) {
    driver_stream *stream = calloc(1, sizeof *stream);
    if (!stream || !driver_object_add(&stream->object, DRIVER_STREAM, context)) {
        free(stream);
        return NULL;
    }
    stream->flags = flags;
    stream->priority = priority;
    stream->next = context->streams;
    context->streams = stream;
    return stream;
}

void driver_stream_release(driver_stream *stream) {
    driver_capture_leave(stream);
    driver_stream_drain(stream);
    driver_stream **link = &stream->object.context->streams;
    while (*link != stream)
        link = &(*link)->next;
    *link = stream->next;
    driver_command_unref(stream->last);
    free(stream->joints);
    driver_object_remove(&stream->object);
    free(stream);
}

bool driver_stream_is_null(CUstream handle) {
    return !handle || handle == (CUstream)1;
}

CUresult driver_stream_of(CUstream handle, driver_stream **out) {
    driver_context *current = driver_current();
    if (driver_stream_is_null(handle)) {
        *out = current->null_stream;
        return current->dead != CUDA_SUCCESS ? current->dead : driver_capture_legacy(current);
    }
    *out = driver_object_find(handle, DRIVER_STREAM);
    if (!*out || (*out)->object.context != current)
        return CUDA_ERROR_INVALID_HANDLE;
    return current->dead;
}

CUresult sim_cuStreamCreateWithPriority(CUstream *handle, unsigned flags, int priority) {
    if (!handle || flags > CU_STREAM_NON_BLOCKING)
        return CUDA_ERROR_INVALID_VALUE;
    /* Priorities beyond the range are taken for its ends. */
    driver_stream *stream = driver_stream_new(driver_current(), flags,
                                              priority > 0    ? 0
                                              : priority < -5 ? -5
                                                              : priority);
    if (!stream)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *handle = driver_object_handle(&stream->object);
    return CUDA_SUCCESS;
}

CUresult sim_cuStreamCreate(CUstream *handle, unsigned flags) {
    return sim_cuStreamCreateWithPriority(handle, flags, 0);
}

CUresult sim_cuStreamDestroy_v2(CUstream handle) {
    driver_stream *stream = driver_object_find(handle, DRIVER_STREAM);
    if (!stream || stream->object.hidden)
        return CUDA_ERROR_INVALID_HANDLE;
    driver_context *context = stream->object.context;
    driver_stream_release(stream);
    return context->dead;
}

/* A stream that is being captured cannot be waited for: the capture is lost. */
static CUresult refuse_captured(driver_stream *stream) {
    if (!stream->capture)
        return CUDA_SUCCESS;
    driver_capture_invalidate(stream->capture);
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

CUresult sim_cuStreamSynchronize(CUstream handle) {
    driver_stream *stream;
    CUresult result = driver_stream_of(handle, &stream);
    if (result == CUDA_SUCCESS)
        result = refuse_captured(stream);
    if (result != CUDA_SUCCESS)
        return result;
    /* Waiting for the null stream is waiting for those that block with it. */
    if (stream == stream->object.context->null_stream)
        for (driver_stream *s = stream->object.context->streams; s; s = s->next)
            if (blocking(s))
                driver_stream_drain(s);
    driver_stream_drain(stream);
    return stream->object.context->dead;
}

CUresult sim_cuStreamQuery(CUstream handle) {
    driver_stream *stream;
    CUresult result = driver_stream_of(handle, &stream);
    if (result == CUDA_SUCCESS)
        result = refuse_captured(stream);
    if (result != CUDA_SUCCESS)
        return result;
    driver_stream_step(stream);
    result = stream->object.context->dead;
    return result != CUDA_SUCCESS ? result : stream->head ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}

CUresult sim_cuStreamGetCtx(CUstream handle, CUcontext *context) {
    const bool is_null = driver_stream_is_null(handle);
    driver_stream *stream = is_null ? driver_current()->null_stream : driver_object_find(handle, DRIVER_STREAM);
    if (!stream)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!context)
        return CUDA_ERROR_INVALID_VALUE;
    *context = driver_object_handle(&stream->object.context->object);
    return CUDA_SUCCESS;
}

CUresult sim_cuStreamGetFlags(CUstream handle, unsigned *flags) {
    driver_stream *stream;
    const CUresult result = driver_stream_of(handle, &stream);
    if (result != CUDA_SUCCESS)
        return result;
    if (!flags)
        return CUDA_ERROR_INVALID_VALUE;
    *flags = stream->flags;
    return CUDA_SUCCESS;
}

CUresult sim_cuStreamGetPriority(CUstream handle, int *priority) {
    driver_stream *stream;
    const CUresult result = driver_stream_of(handle, &stream);
    if (result != CUDA_SUCCESS)
        return result;
    if (!priority)
        return CUDA_ERROR_INVALID_VALUE;
    *priority = stream->priority;
    return CUDA_SUCCESS;
}

CUresult sim_cuStreamWaitEvent(CUstream handle, CUevent event_handle, unsigned flags) {
    driver_stream *stream;
    CUresult result = driver_stream_of(handle, &stream);
    if (result != CUDA_SUCCESS)
        return result;
    driver_event *event = driver_object_find(event_handle, DRIVER_EVENT);
    if (!event)
        return CUDA_ERROR_INVALID_HANDLE;
    if (flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    bool captured;
    result = driver_capture_wait(stream, event, &captured);
    if (result != CUDA_SUCCESS || captured || !event->record)
        return result;
    return driver_enqueue_command(stream, NULL, 0, event->record, NULL);
}
