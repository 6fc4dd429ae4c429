/* Capturing streams: work becomes graph nodes instead of pieces. */
#include "driver.h"
#include <stdlib.h>
#include <string.h>

static driver_capture *captures;
static uint64_t last_number;
static _Thread_local CUstreamCaptureMode thread_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
static _Thread_local char self; /* its address tells threads apart */

/* ---- sets of nodes ---- */

static bool joints_set(CUgraphNode **joints, size_t *n, const CUgraphNode *from, size_t n_from) {
    CUgraphNode *copy = malloc((n_from + 1) * sizeof *copy);
    if (!copy)
        return false;
    if (n_from)
        memcpy(copy, from, n_from * sizeof *copy);
    free(*joints);
    *joints = copy;
    *n = n_from;
    return true;
}

static bool joints_add(CUgraphNode **joints, size_t *n, const CUgraphNode *from, size_t n_from) {
    CUgraphNode *more = realloc(*joints, (*n + n_from + 1) * sizeof *more);
    if (!more)
        return false;
    *joints = more;
    for (size_t i = 0; i < n_from; i++) {
        size_t known = 0;
        while (known < *n && more[known] != from[i])
            known++;
        if (known == *n)
            more[(*n)++] = from[i];
    }
    return true;
}

/* ---- what a capture forbids ---- */

void driver_capture_invalidate(driver_capture *capture) {
    capture->invalid = true;
}

bool driver_capture_refuses(void) {
    bool refused = false;
    if (thread_mode == CU_STREAM_CAPTURE_MODE_RELAXED)
        return false;
    for (driver_capture *c = captures; c; c = c->next) {
        const bool mine = c->thread == &self;
        if (mine ? c->mode == CU_STREAM_CAPTURE_MODE_RELAXED
                 : c->mode != CU_STREAM_CAPTURE_MODE_GLOBAL || thread_mode != CU_STREAM_CAPTURE_MODE_GLOBAL)
            continue;
        c->invalid = refused = true;
    }
    return refused;
}

static driver_stream *blocking_captured(const driver_context *context) {
    for (driver_stream *s = context->streams; s; s = s->next)
        if (s->capture && !(s->flags & CU_STREAM_NON_BLOCKING))
            return s;
    return NULL;
}

CUresult driver_capture_legacy(driver_context *context) {
    driver_stream *captured = blocking_captured(context);
    if (!captured)
        return CUDA_SUCCESS;
    captured->capture->invalid = true;
    return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
}

CUresult driver_capture_usable(driver_stream *stream) {
    return stream->capture && stream->capture->invalid ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : CUDA_SUCCESS;
}

/* ---- capturing ---- */

CUresult driver_capture_add(driver_stream *stream, driver_work *work, driver_graph *child) {
    driver_node *node;
    const CUresult result =
        driver_graph_add(stream->capture->graph, stream->joints, stream->n_joints, work, child, &node);
    if (result != CUDA_SUCCESS)
        return result;
    const CUgraphNode handle = driver_object_handle(&node->object);
    return joints_set(&stream->joints, &stream->n_joints, &handle, 1) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult driver_capture_record(driver_stream *stream, driver_event *event) {
    if (!joints_set(&event->joints, &event->n_joints, stream->joints, stream->n_joints))
        return CUDA_ERROR_OUT_OF_MEMORY;
    driver_command_unref(event->record);
    event->record = NULL;
    event->capture = stream->capture->number;
    return CUDA_SUCCESS;
}

static CUresult wait_in_capture(driver_stream *stream, const driver_event *event, driver_capture *capture) {
    if (capture->invalid)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (stream == stream->object.context->null_stream)
        return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    if (stream->capture && stream->capture != capture) {
        stream->capture->invalid = capture->invalid = true;
        return CUDA_ERROR_STREAM_CAPTURE_MERGE;
    }
    if (!stream->capture)
        stream->n_joints = 0;
    stream->capture = capture;
    return joints_add(&stream->joints, &stream->n_joints, event->joints, event->n_joints) ? CUDA_SUCCESS
                                                                                          : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult driver_capture_wait(driver_stream *stream, driver_event *event, bool *captured) {
    *captured = event->capture || stream->capture;
    if (event->capture) {
        for (driver_capture *c = captures; c; c = c->next)
            if (c->number == event->capture)
                return wait_in_capture(stream, event, c);
        return CUDA_ERROR_CAPTURED_EVENT; /* that capture has ended */
    }
    if (!stream->capture || !event->record)
        return driver_capture_usable(stream);
    stream->capture->invalid = true;
    return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
}

/* Every stream leaves; the graph is the caller's. */
static void capture_end(driver_capture *capture) {
    uint32_t at = 0;
    for (driver_object *o; (o = driver_object_walk(&at));) {
        driver_stream *stream = (driver_stream *)(void *)o;
        if (o->kind == DRIVER_STREAM && stream->capture == capture)
            stream->capture = NULL;
    }
    driver_capture **link = &captures;
    while (*link != capture)
        link = &(*link)->next;
    *link = capture->next;
    free(capture);
}

void driver_capture_leave(driver_stream *stream) {
    driver_capture *capture = stream->capture;
    if (!capture)
        return;
    capture->invalid = true;
    stream->capture = NULL;
    if (capture->origin != stream)
        return;
    driver_graph_release(capture->graph);
    capture_end(capture);
}

void driver_captures_clear(void) {
    while (captures)
        capture_end(captures);
    thread_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
}

/* Everything captured in other streams is before what the origin ends with. */
static bool all_joined(const driver_capture *capture) {
    driver_graph_mark(capture->graph, capture->origin->joints, capture->origin->n_joints);
    uint32_t at = 0;
    for (driver_object *o; (o = driver_object_walk(&at));) {
        const driver_stream *stream = (driver_stream *)(void *)o;
        if (o->kind != DRIVER_STREAM || stream->capture != capture)
            continue;
        for (size_t i = 0; i < stream->n_joints; i++) {
            const driver_node *node = driver_object_find(stream->joints[i], DRIVER_NODE);
            if (node && !node->waiting)
                return false;
        }
    }
    return true;
}

/* ---- entry points ---- */

CUresult sim_cuStreamBeginCapture_v2(CUstream handle, CUstreamCaptureMode mode) {
    driver_stream *stream;
    const CUresult result = driver_stream_of(handle, &stream);
    if (result != CUDA_SUCCESS)
        return result;
    if (stream->object.hidden)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if ((int)mode < 0 || mode > CU_STREAM_CAPTURE_MODE_RELAXED)
        return CUDA_ERROR_INVALID_VALUE;
    if (stream->capture)
        return CUDA_ERROR_ILLEGAL_STATE;
    driver_capture *capture = calloc(1, sizeof *capture);
    if (capture)
        capture->graph = driver_graph_new(true);
    if (!capture || !capture->graph) {
        free(capture);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    capture->number = ++last_number;
    capture->origin = stream;
    capture->mode = mode;
    capture->thread = &self;
    capture->next = captures;
    captures = capture;
    stream->capture = capture;
    stream->n_joints = 0;
    return CUDA_SUCCESS;
}

CUresult sim_cuStreamEndCapture(CUstream handle, CUgraph *graph) {
    driver_stream *stream;
    CUresult result = driver_stream_of(handle, &stream);
    if (result != CUDA_SUCCESS)
        return result;
    driver_capture *capture = stream->capture;
    if (!graph)
        return CUDA_ERROR_INVALID_VALUE;
    *graph = NULL;
    if (!capture)
        return CUDA_ERROR_ILLEGAL_STATE;
    if (capture->origin != stream)
        return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
    if (capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED && capture->thread != &self)
        return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
    if (capture->invalid)
        result = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    else if (!all_joined(capture))
        result = CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
    if (result == CUDA_SUCCESS) {
        capture->graph->object.hidden = false;
        *graph = driver_object_handle(&capture->graph->object);
    } else {
        driver_graph_release(capture->graph);
    }
    capture_end(capture);
    return result;
}

/* Asking about the null stream disturbs no capture, unlike using it. */
static CUresult stream_to_ask(CUstream handle, driver_stream **out) {
    if (!driver_stream_is_null(handle))
        return driver_stream_of(handle, out);
    *out = driver_current()->null_stream;
    return blocking_captured(driver_current()) ? CUDA_ERROR_STREAM_CAPTURE_IMPLICIT : CUDA_SUCCESS;
}

CUresult sim_cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus *status) {
    return sim_cuStreamGetCaptureInfo_v2(handle, status, NULL, NULL, NULL, NULL);
}

CUresult sim_cuStreamGetCaptureInfo_v2(CUstream handle, CUstreamCaptureStatus *status, cuuint64_t *id, CUgraph *graph,
                                       const CUgraphNode **dependencies, size_t *n) {
    driver_stream *stream;
    const CUresult result = stream_to_ask(handle, &stream);
    if (result != CUDA_SUCCESS)
        return result;
    if (!status)
        return CUDA_ERROR_INVALID_VALUE;
    const driver_capture *capture = stream->capture;
    *status = !capture           ? CU_STREAM_CAPTURE_STATUS_NONE
              : capture->invalid ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                 : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    if (*status != CU_STREAM_CAPTURE_STATUS_ACTIVE)
        return CUDA_SUCCESS;
    if (id)
        *id = capture->number;
    if (graph)
        *graph = driver_object_handle(&capture->graph->object);
    if (dependencies)
        *dependencies = stream->joints;
    if (n)
        *n = stream->n_joints;
    return CUDA_SUCCESS;
}

CUresult sim_cuStreamUpdateCaptureDependencies(CUstream handle, CUgraphNode *nodes, size_t n, unsigned flags) {
    driver_stream *stream;
    CUresult result = driver_stream_of(handle, &stream);
    if (result == CUDA_SUCCESS)
        result = driver_capture_usable(stream);
    if (result != CUDA_SUCCESS)
        return result;
    if (!stream->capture)
        return CUDA_ERROR_ILLEGAL_STATE;
    if (flags > CU_STREAM_SET_CAPTURE_DEPENDENCIES || (n > 0 && !nodes))
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < n; i++) {
        const driver_node *node = driver_object_find(nodes[i], DRIVER_NODE);
        if (!node || node->graph != stream->capture->graph)
            return CUDA_ERROR_INVALID_VALUE;
    }
    const bool done = flags == CU_STREAM_SET_CAPTURE_DEPENDENCIES
                          ? joints_set(&stream->joints, &stream->n_joints, nodes, n)
                          : joints_add(&stream->joints, &stream->n_joints, nodes, n);
    return done ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult sim_cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode) {
    if (!mode || (int)*mode < 0 || *mode > CU_STREAM_CAPTURE_MODE_RELAXED)
        return CUDA_ERROR_INVALID_VALUE;
    const CUstreamCaptureMode before = thread_mode;
    thread_mode = *mode;
    *mode = before;
    return CUDA_SUCCESS;
}
