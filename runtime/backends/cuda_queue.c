/* CUDA queues: a stream of ours or the engine's, and the work put on it. */
#include "cuda.h"
#include <string.h>

enum { STAGE_BYTES = 1 << 20, STAGE_ALIGN = 64, MAX_STAGED_READS = 64 };

/* Host memory of any kind is copied by the driver before or after the device's turn, and the caller waits for it. Small
 * transfers go through page-locked memory of the queue's own instead: writes leave from it, and reads wait in it until
 * queue_finish, so that the host runs ahead of the device. */
typedef struct staged_read {
    void *to;
    size_t offset, bytes; /* in the stage */
} staged_read;

typedef struct cuda_queue {
    CUstream stream;
    bool is_adopted;
    unsigned char *stage; /* NULL: not needed yet */
    bool stage_refused;   /* there is no page-locked memory to be had */
    size_t stage_used;
    size_t n_reads;
    staged_read reads[MAX_STAGED_READS];
} cuda_queue;

/* The engine's name for the default stream, which is NULL: an argument that was forgotten looks like that. */
#define LEGACY_STREAM ((CUstream)1)

CUstream kiln__cuda_queue_stream(void *queue) {
    return ((const cuda_queue *)queue)->stream;
}

/* ---- life ---- */

static kiln_status create_stream(const kiln_device *device, CUstream *out) {
    CUDA_TRY(device, cuStreamCreate, out, CU_STREAM_NON_BLOCKING);
    return KILN_OK;
}

static kiln_status create_stream_inside(const kiln_device *device, CUstream *out) {
    CUDA_RETURN_INSIDE(device, create_stream(device, out));
}

static kiln_status check_stream(const kiln_device *device, CUstream stream) {
    CUcontext context = NULL;
    CUDA_TRY(device, cuStreamGetCtx, stream, &context);
    return context == cuda_context(device)
               ? KILN_OK
               : kiln_fail(KILN_E_INVALID, "%s: the CUstream is of another CUcontext; see kiln_device_adopt",
                           device->name);
}

static kiln_status check_stream_inside(const kiln_device *device, CUstream stream) {
    CUDA_RETURN_INSIDE(device, check_stream(device, stream));
}

static kiln_status new_queue(kiln_device *device, CUstream adopted, void **queue) {
    cuda_queue *q = kiln__alloc(device->context, sizeof *q);
    if (!q)
        return KILN_E_MEMORY;
    const bool is_default = adopted == LEGACY_STREAM; /* of whatever context is current, so of ours */
    q->stream = is_default ? NULL : adopted;
    q->is_adopted = adopted != NULL;
    const kiln_status status = is_default ? KILN_OK
                               : adopted  ? check_stream_inside(device, adopted)
                                          : create_stream_inside(device, &q->stream);
    if (status != KILN_OK) {
        kiln__free(device->context, q);
        return status;
    }
    *queue = q;
    return KILN_OK;
}

kiln_status kiln__cuda_queue_create(kiln_device *device, void **queue) {
    return new_queue(device, NULL, queue);
}

kiln_status kiln__cuda_queue_adopt(kiln_device *device, void *native_queue, void **queue) {
    return new_queue(device, native_queue, queue);
}

void kiln__cuda_queue_destroy(kiln_device *device, void *queue) {
    cuda_queue *q = queue;
    const bool pushed = kiln__cuda_enter_to_release(device);
    if (q->stage)
        (void)cuda_of(device)->cuMemFreeHost(q->stage);
    if (!q->is_adopted)
        (void)cuda_of(device)->cuStreamDestroy(q->stream);
    kiln__cuda_leave(device, pushed);
    kiln__free(device->context, q);
}

/* Whether the engine is capturing: what we put on the stream now runs when its graph does, as often as that does. */
static kiln_status is_capturing(const kiln_device *device, const cuda_queue *q, bool *out) {
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    if (q->is_adopted)
        CUDA_TRY(device, cuStreamIsCapturing, q->stream, &status);
    *out = status != CU_STREAM_CAPTURE_STATUS_NONE;
    return KILN_OK;
}

static kiln_status finish(const kiln_device *device, cuda_queue *q) {
    bool capturing;
    KILN_TRY(is_capturing(device, q, &capturing));
    if (capturing) /* asking the driver would spoil the capture */
        return kiln_fail(KILN_E_INVALID, "%s: the engine is capturing the stream; finish when its graph has run",
                         device->name);
    const CUresult error = cuda_of(device)->cuStreamSynchronize(q->stream);
    if (error == CUDA_SUCCESS)
        for (size_t i = 0; i < q->n_reads; i++)
            memcpy(q->reads[i].to, q->stage + q->reads[i].offset, q->reads[i].bytes);
    q->n_reads = q->stage_used = 0;
    return error == CUDA_SUCCESS ? KILN_OK : kiln__cuda_fail(device, "cuStreamSynchronize", error);
}

kiln_status kiln__cuda_queue_finish(kiln_device *device, void *queue) {
    CUDA_RETURN_INSIDE(device, finish(device, queue));
}

/* ---- transfers ---- */

/* A place in the stage, or NULL: too large, none left, or a capture, which would copy what is there when it is
 * replayed. */
static unsigned char *take_stage(const kiln_device *device, cuda_queue *q, size_t bytes) {
    bool capturing;
    if (bytes > STAGE_BYTES - q->stage_used || is_capturing(device, q, &capturing) != KILN_OK || capturing)
        return NULL;
    if (!q->stage && !q->stage_refused) {
        void *memory = NULL;
        q->stage_refused = cuda_of(device)->cuMemAllocHost(&memory, STAGE_BYTES) != CUDA_SUCCESS;
        q->stage = q->stage_refused ? NULL : memory;
    }
    if (!q->stage)
        return NULL;
    unsigned char *place = q->stage + q->stage_used;
    q->stage_used += (bytes + STAGE_ALIGN - 1) / STAGE_ALIGN * STAGE_ALIGN;
    return place;
}

static kiln_status write(const kiln_device *device, cuda_queue *q, kiln_place to, const void *from, size_t bytes) {
    unsigned char *stage = take_stage(device, q, bytes);
    if (stage)
        memcpy(stage, from, bytes);
    CUDA_TRY(device, cuMemcpyHtoDAsync, cuda_address(to), stage ? stage : from, bytes, q->stream);
    return KILN_OK;
}

kiln_status kiln__cuda_write(kiln_device *device, void *queue, kiln_place to, const void *from, size_t bytes) {
    CUDA_RETURN_INSIDE(device, write(device, queue, to, from, bytes));
}

static kiln_status read(const kiln_device *device, cuda_queue *q, void *to, kiln_place from, size_t bytes) {
    unsigned char *stage = q->n_reads < MAX_STAGED_READS ? take_stage(device, q, bytes) : NULL;
    CUDA_TRY(device, cuMemcpyDtoHAsync, stage ? stage : to, cuda_address(from), bytes, q->stream);
    if (stage)
        q->reads[q->n_reads++] = (staged_read){to, (size_t)(stage - q->stage), bytes};
    return KILN_OK;
}

kiln_status kiln__cuda_read(kiln_device *device, void *queue, void *to, kiln_place from, size_t bytes) {
    CUDA_RETURN_INSIDE(device, read(device, queue, to, from, bytes));
}

/* ---- steps ---- */

static kiln_status enqueue_copy(const kiln_device *device, CUstream stream, const kiln_node *n) {
    const CUdeviceptr to = cuda_address(n->copy.destination), from = cuda_address(n->copy.source);
    const size_t row = n->copy.row_bytes, rows = n->copy.rows;
    const size_t to_pitch = n->copy.destination_pitch_bytes, from_pitch = n->copy.source_pitch_bytes;
    if (rows == 1 || (from_pitch == row && to_pitch == row)) {
        CUDA_TRY(device, cuMemcpyDtoDAsync, to, from, row * rows, stream);
        return KILN_OK;
    }
    const CUDA_MEMCPY2D copy = {.srcMemoryType = CU_MEMORYTYPE_DEVICE,
                                .srcDevice = from,
                                .srcPitch = from_pitch,
                                .dstMemoryType = CU_MEMORYTYPE_DEVICE,
                                .dstDevice = to,
                                .dstPitch = to_pitch,
                                .WidthInBytes = row,
                                .Height = rows};
    CUDA_TRY(device, cuMemcpy2DAsync, &copy, stream);
    return KILN_OK;
}

static kiln_status enqueue(const kiln_device *device, CUstream stream, const kiln_node *node) {
    switch (node->kind) {
    case KILN_STEP_KERNEL: {
        const kiln_status status = kiln__cuda_kernel_launch(device, node->kernel, stream);
        return status == KILN_OK ? KILN_OK : kiln_fail_in(status, "%s", node->label);
    }
    case KILN_STEP_COPY:
        return enqueue_copy(device, stream, node);
    case KILN_STEP_FILL:
        CUDA_TRY(device, cuMemsetD32Async, cuda_address(node->fill.destination), node->fill.pattern,
                 node->fill.bytes / sizeof node->fill.pattern, stream);
        return KILN_OK;
    case KILN_STEP_CALL:
        return node->call.call(node->call.user, stream, node->call.operands);
    }
    return kiln_fail(KILN_E_INTERNAL, "%s: unknown kind of step %d", device->name, (int)node->kind);
}

kiln_status kiln__cuda_enqueue(kiln_device *device, void *queue, const kiln_node *node) {
    CUDA_RETURN_INSIDE(device, enqueue(device, ((const cuda_queue *)queue)->stream, node));
}
