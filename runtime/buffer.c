/* Queues and buffers: the checks that every backend relies on. */
#include "device.h"

/* ---- queues ---- */

static kiln_status new_queue(kiln_device *device, kiln_queue **out) {
    kiln_queue *q = kiln__alloc(device->context, sizeof *q);
    if (!q)
        return KILN_E_MEMORY;
    q->device = device;
    *out = q;
    return KILN_OK;
}

static kiln_status end_queue(kiln_status status, kiln_queue *queue, kiln_queue **out) {
    kiln_context *context = queue->device->context;
    if (status != KILN_OK) {
        kiln__free(context, queue);
        return status;
    }
    atomic_fetch_add(&context->live_objects, 1);
    *out = queue;
    return KILN_OK;
}

kiln_status kiln_queue_create(kiln_device *device, kiln_queue **out) {
    if (!device || !out)
        return kiln_fail(KILN_E_INVALID, "kiln_queue_create: NULL argument");
    *out = NULL;
    KILN_TRY(kiln__device_check_present(device, "a queue"));
    KILN_TRY(kiln__device_open(device));
    kiln_queue *q;
    KILN_TRY(new_queue(device, &q));
    return end_queue(device->backend->queue_create(device, &q->handle), q, out);
}

kiln_status kiln_queue_adopt(kiln_device *device, void *native_queue, kiln_queue **out) {
    if (!device || !native_queue || !out)
        return kiln_fail(KILN_E_INVALID, "kiln_queue_adopt: NULL argument");
    *out = NULL;
    KILN_TRY(kiln__device_check_present(device, "a queue"));
    if (!device->backend->queue_adopt)
        return kiln_fail(KILN_E_UNSUPPORTED, "%s: the backend cannot adopt a queue", device->name);
    KILN_TRY(kiln__device_open(device));
    kiln_queue *q;
    KILN_TRY(new_queue(device, &q));
    return end_queue(device->backend->queue_adopt(device, native_queue, &q->handle), q, out);
}

void kiln_queue_destroy(kiln_queue *queue) {
    if (!queue)
        return;
    kiln_device *d = queue->device;
    if (d->backend->queue_finish(d, queue->handle) != KILN_OK)
        kiln__log(d->context, KILN_LOG_WARN, "%s: destroying a queue that failed: %s", d->name, kiln_last_error());
    d->backend->queue_destroy(d, queue->handle);
    kiln__free(d->context, queue);
    atomic_fetch_sub(&d->context->live_objects, 1);
}

kiln_status kiln_queue_finish(kiln_queue *queue) {
    if (!queue)
        return kiln_fail(KILN_E_INVALID, "kiln_queue_finish: queue is NULL");
    return queue->device->backend->queue_finish(queue->device, queue->handle);
}

kiln_status kiln__queue_flush(kiln_queue *queue) {
    const kiln_backend *b = queue->device->backend;
    return b->queue_flush ? b->queue_flush(queue->device, queue->handle) : KILN_OK;
}

/* ---- buffers ---- */

static void release_memory(kiln_device *device, void *memory, bool is_adopted) {
    if (!is_adopted)
        device->backend->free(device, memory);
    else if (device->backend->memory_release)
        device->backend->memory_release(device, memory);
}

static kiln_status wrap_memory(kiln_device *device, void *memory, size_t bytes, bool is_adopted, kiln_buffer **out) {
    kiln_buffer *b = kiln__alloc(device->context, sizeof *b);
    if (!b) {
        release_memory(device, memory, is_adopted);
        return KILN_E_MEMORY;
    }
    b->device = device;
    b->memory = memory;
    b->bytes = bytes;
    b->is_adopted = is_adopted;
    atomic_fetch_add(&device->context->live_objects, 1);
    *out = b;
    return KILN_OK;
}

kiln_status kiln_buffer_create(kiln_device *device, size_t bytes, kiln_buffer **out) {
    if (!device || !out)
        return kiln_fail(KILN_E_INVALID, "kiln_buffer_create: NULL argument");
    *out = NULL;
    KILN_TRY(kiln__device_check_present(device, "a buffer"));
    if (bytes == 0)
        return kiln_fail(KILN_E_INVALID, "kiln_buffer_create: 0 bytes; a buffer holds at least one");
    const kiln_caps *caps = kiln__device_caps(device);
    if (caps->max_alloc_bytes && bytes > caps->max_alloc_bytes)
        return kiln_fail(KILN_E_DEVICE_MEMORY, "%s: a buffer of %zu bytes is larger than the device's limit of %llu",
                         device->name, bytes, (unsigned long long)caps->max_alloc_bytes);
    KILN_TRY(kiln__device_open(device));
    void *memory;
    KILN_TRY(device->backend->alloc(device, bytes, &memory));
    return wrap_memory(device, memory, bytes, false, out);
}

kiln_status kiln_buffer_adopt(kiln_device *device, void *native_memory, size_t bytes, kiln_buffer **out) {
    if (!device || !native_memory || !out)
        return kiln_fail(KILN_E_INVALID, "kiln_buffer_adopt: NULL argument");
    *out = NULL;
    KILN_TRY(kiln__device_check_present(device, "a buffer"));
    if (bytes == 0)
        return kiln_fail(KILN_E_INVALID, "kiln_buffer_adopt: 0 bytes; a buffer holds at least one");
    if (!device->backend->memory_adopt)
        return kiln_fail(KILN_E_UNSUPPORTED, "%s: the backend cannot adopt memory", device->name);
    KILN_TRY(kiln__device_open(device));
    void *memory;
    KILN_TRY(device->backend->memory_adopt(device, native_memory, bytes, &memory));
    return wrap_memory(device, memory, bytes, true, out);
}

void kiln_buffer_destroy(kiln_buffer *buffer) {
    if (!buffer)
        return;
    kiln_device *d = buffer->device;
    release_memory(d, buffer->memory, buffer->is_adopted);
    kiln__free(d->context, buffer);
    atomic_fetch_sub(&d->context->live_objects, 1);
}

size_t kiln_buffer_bytes(const kiln_buffer *buffer) {
    return buffer ? buffer->bytes : 0;
}

/* ---- transfers ---- */

static kiln_status check_range(const char *what, const kiln_queue *queue, const kiln_buffer *buffer,
                               size_t offset_bytes, size_t bytes) {
    if (!queue || !buffer)
        return kiln_fail(KILN_E_INVALID, "%s: NULL argument", what);
    if (queue->device != buffer->device)
        return kiln_fail(KILN_E_INVALID, "%s: the queue is of %s, the buffer of %s", what, queue->device->name,
                         buffer->device->name);
    if (offset_bytes > buffer->bytes || bytes > buffer->bytes - offset_bytes)
        return kiln_fail(KILN_E_INVALID, "%s: %zu bytes from byte %zu leave a buffer of %zu bytes", what, bytes,
                         offset_bytes, buffer->bytes);
    return KILN_OK;
}

kiln_status kiln_buffer_write(kiln_queue *queue, kiln_buffer *buffer, size_t offset_bytes, const void *source,
                              size_t bytes) {
    KILN_TRY(check_range("kiln_buffer_write", queue, buffer, offset_bytes, bytes));
    if (bytes == 0)
        return KILN_OK;
    if (!source)
        return kiln_fail(KILN_E_INVALID, "kiln_buffer_write: source is NULL");
    return queue->device->backend->write(queue->device, queue->handle, (kiln_place){buffer->memory, offset_bytes},
                                         source, bytes);
}

kiln_status kiln_buffer_read(kiln_queue *queue, kiln_buffer *buffer, size_t offset_bytes, void *destination,
                             size_t bytes) {
    KILN_TRY(check_range("kiln_buffer_read", queue, buffer, offset_bytes, bytes));
    if (bytes == 0)
        return KILN_OK;
    if (!destination)
        return kiln_fail(KILN_E_INVALID, "kiln_buffer_read: destination is NULL");
    return queue->device->backend->read(queue->device, queue->handle, destination,
                                        (kiln_place){buffer->memory, offset_bytes}, bytes);
}

kiln_status kiln_buffer_fill(kiln_queue *queue, kiln_buffer *buffer, size_t offset_bytes, size_t bytes,
                             uint32_t pattern) {
    KILN_TRY(check_range("kiln_buffer_fill", queue, buffer, offset_bytes, bytes));
    if (offset_bytes % sizeof pattern || bytes % sizeof pattern)
        return kiln_fail(KILN_E_INVALID, "kiln_buffer_fill: %zu bytes from byte %zu are not multiples of %zu", bytes,
                         offset_bytes, sizeof pattern);
    if (bytes == 0)
        return KILN_OK;
    const kiln_node node = {
        .kind = KILN_STEP_FILL,
        .label = "fill",
        .fill = {.destination = {buffer->memory, offset_bytes}, .bytes = bytes, .pattern = pattern}};
    return kiln__queue_enqueue(queue, &node);
}
