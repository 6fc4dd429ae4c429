/* Device memory, pinned host memory, pointers, and what copies and fills are made of. */
#include "driver.h"
#include <stdlib.h>
#include <string.h>

static driver_memory *memories;

driver_memory *driver_memory_at(driver_kind kind, uint64_t address) {
    driver_memory *memory = memories;
    while (memory && (memory->object.kind != kind || address - memory->address >= memory->bytes))
        memory = memory->next;
    return memory;
}

static CUresult memory_new(driver_kind kind, uint64_t address, size_t bytes, bool registered) {
    driver_memory *memory = calloc(1, sizeof *memory);
    if (!memory || !driver_object_add(&memory->object, kind, driver_current())) {
        free(memory);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    memory->address = address;
    memory->bytes = bytes;
    memory->registered = registered;
    memory->next = memories;
    memories = memory;
    return CUDA_SUCCESS;
}

void driver_memory_release(driver_memory *memory) {
    if (memory->object.kind == DRIVER_MEMORY)
        sim_memory_free(memory->object.context->device->sim, memory->address);
    else if (!memory->registered)
        free((void *)(uintptr_t)memory->address);
    driver_memory **link = &memories;
    while (*link != memory)
        link = &(*link)->next;
    *link = memory->next;
    driver_object_remove(&memory->object);
    free(memory);
}

CUresult sim_cuMemGetInfo_v2(size_t *free_bytes, size_t *total_bytes) {
    if (!free_bytes || !total_bytes)
        return CUDA_ERROR_INVALID_VALUE;
    *total_bytes = driver_set.memory_bytes;
    *free_bytes = driver_set.memory_bytes - sim_memory_used(driver_current()->device->sim);
    return CUDA_SUCCESS;
}

CUresult sim_cuMemAlloc_v2(CUdeviceptr *address, size_t bytes) {
    if (!address || bytes == 0)
        return CUDA_ERROR_INVALID_VALUE;
    sim_device *device = driver_current()->device->sim;
    uint64_t at;
    if (!sim_memory_alloc(device, bytes, &at))
        return CUDA_ERROR_OUT_OF_MEMORY;
    const CUresult result = memory_new(DRIVER_MEMORY, at, bytes, false);
    if (result != CUDA_SUCCESS)
        sim_memory_free(device, at);
    *address = at;
    return result;
}

/* Waits for all work of the context, like the real one. */
static CUresult memory_free(driver_kind kind, uint64_t address, bool registered, CUresult unknown) {
    driver_memory *memory = driver_memory_at(kind, address);
    if (!memory || memory->address != address || memory->registered != registered)
        return unknown;
    driver_context *context = memory->object.context;
    driver_context_drain(context);
    driver_memory_release(memory);
    return context->dead;
}

CUresult sim_cuMemFree_v2(CUdeviceptr address) {
    if (address == 0)
        return CUDA_SUCCESS;
    return memory_free(DRIVER_MEMORY, address, false, CUDA_ERROR_INVALID_VALUE);
}

CUresult sim_cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *bytes, CUdeviceptr address) {
    const driver_memory *memory = driver_memory_at(DRIVER_MEMORY, address);
    if (!memory)
        return CUDA_ERROR_NOT_FOUND;
    if (base)
        *base = memory->address;
    if (bytes)
        *bytes = memory->bytes;
    return CUDA_SUCCESS;
}

/* ---- host memory ---- */

CUresult sim_cuMemHostAlloc(void **memory, size_t bytes, unsigned flags) {
    if (!memory || bytes == 0 || flags > 7)
        return CUDA_ERROR_INVALID_VALUE;
    const size_t page = 4096;
    void *host = bytes < SIZE_MAX - page ? aligned_alloc(page, (bytes + page - 1) / page * page) : NULL;
    if (!host)
        return CUDA_ERROR_OUT_OF_MEMORY;
    const CUresult result = memory_new(DRIVER_HOST, (uintptr_t)host, bytes, false);
    if (result != CUDA_SUCCESS)
        free(host);
    else
        *memory = host;
    return result;
}

CUresult sim_cuMemAllocHost_v2(void **memory, size_t bytes) {
    return sim_cuMemHostAlloc(memory, bytes, 0);
}

CUresult sim_cuMemFreeHost(void *memory) {
    if (!memory)
        return CUDA_SUCCESS;
    return memory_free(DRIVER_HOST, (uintptr_t)memory, false, CUDA_ERROR_INVALID_VALUE);
}

CUresult sim_cuMemHostRegister_v2(void *memory, size_t bytes, unsigned flags) {
    if (!memory || bytes == 0 || flags > 15)
        return CUDA_ERROR_INVALID_VALUE;
    if (driver_memory_at(DRIVER_HOST, (uintptr_t)memory) ||
        driver_memory_at(DRIVER_HOST, (uintptr_t)memory + bytes - 1))
        return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    return memory_new(DRIVER_HOST, (uintptr_t)memory, bytes, true);
}

CUresult sim_cuMemHostUnregister(void *memory) {
    return memory_free(DRIVER_HOST, (uintptr_t)memory, true, CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
}

/* ---- pointers ---- */

static CUresult pointer_attribute(void *value, int attribute, CUdeviceptr address) {
    const driver_memory *device = driver_memory_at(DRIVER_MEMORY, address);
    const driver_memory *memory = device ? device : driver_memory_at(DRIVER_HOST, address);
    if (!value)
        return CUDA_ERROR_INVALID_VALUE;
    if (!memory)
        return CUDA_ERROR_INVALID_VALUE;
    switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
        *(CUcontext *)value = driver_object_handle(&memory->object.context->object);
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
        *(unsigned *)value = device ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER: /* kernels cannot reach host memory here */
        if (!device)
            return CUDA_ERROR_INVALID_VALUE;
        *(CUdeviceptr *)value = address;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
        if (device)
            return CUDA_ERROR_INVALID_VALUE;
        *(void **)value = (void *)(uintptr_t)address;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
        *(unsigned *)value = 0;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
        *(int *)value = memory->object.context->device->ordinal;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
        *(CUdeviceptr *)value = memory->address;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
        *(size_t *)value = memory->bytes;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_MAPPED:
        *(unsigned *)value = 1;
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult sim_cuPointerGetAttribute(void *value, CUpointer_attribute attribute, CUdeviceptr address) {
    return pointer_attribute(value, (int)attribute, address);
}

/* Of a pointer that nobody knows only the memory type and the context can be asked: zeros. */
CUresult sim_cuPointerGetAttributes(unsigned n, CUpointer_attribute *attributes, void **values, CUdeviceptr address) {
    if (n == 0 || !attributes || !values)
        return CUDA_ERROR_INVALID_VALUE;
    const bool known = driver_memory_at(DRIVER_MEMORY, address) || driver_memory_at(DRIVER_HOST, address);
    for (unsigned i = 0; i < n; i++) {
        const bool word = attributes[i] == CU_POINTER_ATTRIBUTE_CONTEXT;
        if (known && pointer_attribute(values[i], (int)attributes[i], address) != CUDA_SUCCESS)
            return CUDA_ERROR_INVALID_VALUE;
        if (!known)
            memset(values[i], 0, word ? sizeof(void *) : sizeof(int));
    }
    return CUDA_SUCCESS;
}

/* ---- copies ---- */

CUresult driver_side_make(CUmemorytype type, const void *host, CUdeviceptr device, driver_side *out) {
    memset(out, 0, sizeof *out);
    const driver_device *owner = NULL;
    switch (type) {
    case CU_MEMORYTYPE_HOST:
        out->address = (uintptr_t)host;
        return host ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    case CU_MEMORYTYPE_UNIFIED:
    case CU_MEMORYTYPE_DEVICE:
        owner = driver_device_at(device);
        out->device = owner ? owner->sim : NULL;
        out->address = device;
        return device && (owner || type == CU_MEMORYTYPE_UNIFIED) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    default:
        return CUDA_ERROR_NOT_SUPPORTED; /* arrays */
    }
}

/* The bytes from a side's first to its last; SIZE_MAX: more than there can be. */
static size_t extent(const driver_side *side, const driver_copy *copy) {
    size_t rows, planes, bytes;
    if (__builtin_mul_overflow(side->row_pitch, copy->height - 1, &rows) ||
        __builtin_mul_overflow(side->plane_pitch, copy->depth - 1, &planes) ||
        __builtin_add_overflow(rows, planes, &bytes) || __builtin_add_overflow(bytes, copy->width, &bytes))
        return SIZE_MAX;
    return bytes;
}

static bool side_fits(const driver_side *side, const driver_copy *copy) {
    if (copy->height > 1 && side->row_pitch < copy->width)
        return false;
    return !side->device || sim_memory_host(side->device, side->address, extent(side, copy));
}

CUresult driver_copy_check(const driver_copy *copy) {
    if (copy->width == 0 || copy->height == 0 || copy->depth == 0)
        return CUDA_SUCCESS;
    return side_fits(&copy->to, copy) && side_fits(&copy->from, copy) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static void side_place(driver_side *side, size_t x, size_t y, size_t z, size_t pitch, size_t height) {
    side->row_pitch = pitch;
    side->plane_pitch = pitch * height;
    side->address += x + y * pitch + z * side->plane_pitch;
}

CUresult driver_copy_from_3d(const CUDA_MEMCPY3D *p, driver_copy *out) {
    *out = (driver_copy){.width = p->WidthInBytes, .height = p->Height, .depth = p->Depth};
    CUresult result = driver_side_make(p->srcMemoryType, p->srcHost, p->srcDevice, &out->from);
    if (result == CUDA_SUCCESS)
        result = driver_side_make(p->dstMemoryType, p->dstHost, p->dstDevice, &out->to);
    if (result != CUDA_SUCCESS)
        return result;
    side_place(&out->from, p->srcXInBytes, p->srcY, p->srcZ, p->srcPitch, p->srcHeight);
    side_place(&out->to, p->dstXInBytes, p->dstY, p->dstZ, p->dstPitch, p->dstHeight);
    return driver_copy_check(out);
}

/* Host memory that is not pinned is read before the call returns, and written before it returns, as the real driver
 * does by way of buffers of its own. Inside a capture it is read when the graph runs. */
static CUresult enqueue_copy(const driver_copy *copy, driver_stream *stream) {
    const CUresult checked = driver_copy_check(copy);
    if (checked != CUDA_SUCCESS || copy->width == 0 || copy->height == 0 || copy->depth == 0)
        return checked;
    driver_work *work = driver_work_new(DRIVER_WORK_COPY, stream->object.context);
    if (!work)
        return CUDA_ERROR_OUT_OF_MEMORY;
    work->copy = *copy;
    const bool flat = copy->height == 1 && copy->depth == 1, captured = stream->capture != NULL;
    const bool pageable_from = !copy->from.device && !driver_memory_at(DRIVER_HOST, copy->from.address);
    const bool pageable_to = !copy->to.device && !driver_memory_at(DRIVER_HOST, copy->to.address);
    if (pageable_from && flat && !captured && copy->width > 0) {
        work->staged = malloc(copy->width);
        if (!work->staged) {
            driver_work_unref(work);
            return CUDA_ERROR_OUT_OF_MEMORY;
        }
        memcpy(work->staged, (const void *)(uintptr_t)copy->from.address, copy->width);
        work->copy.from.address = (uintptr_t)work->staged;
    }
    const CUresult result = driver_enqueue(stream, work);
    if (result == CUDA_SUCCESS && !captured && (pageable_to || (pageable_from && !flat)))
        driver_stream_drain(stream);
    return result != CUDA_SUCCESS ? result : stream->object.context->dead;
}

static CUresult copy_flat(CUmemorytype to_type, CUdeviceptr to, CUmemorytype from_type, CUdeviceptr from, size_t bytes,
                          CUstream handle, bool wait) {
    driver_stream *stream;
    CUresult result = driver_stream_of(handle, &stream);
    driver_copy copy = {.width = bytes, .height = 1, .depth = 1};
    if (result == CUDA_SUCCESS && bytes > 0)
        result = driver_side_make(to_type, (void *)(uintptr_t)to, to, &copy.to);
    if (result == CUDA_SUCCESS && bytes > 0)
        result = driver_side_make(from_type, (void *)(uintptr_t)from, from, &copy.from);
    if (result == CUDA_SUCCESS)
        result = enqueue_copy(&copy, stream);
    if (result == CUDA_SUCCESS && wait) {
        driver_stream_drain(stream);
        result = stream->object.context->dead;
    }
    return result;
}

CUresult sim_cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t bytes) {
    return copy_flat(CU_MEMORYTYPE_DEVICE, to, CU_MEMORYTYPE_HOST, (uintptr_t)from, bytes, NULL, true);
}

CUresult sim_cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t bytes) {
    return copy_flat(CU_MEMORYTYPE_HOST, (uintptr_t)to, CU_MEMORYTYPE_DEVICE, from, bytes, NULL, true);
}

/* Does not wait, like the real one. */
CUresult sim_cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
    return copy_flat(CU_MEMORYTYPE_DEVICE, to, CU_MEMORYTYPE_DEVICE, from, bytes, NULL, false);
}

CUresult sim_cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
    return copy_flat(CU_MEMORYTYPE_DEVICE, to, CU_MEMORYTYPE_HOST, (uintptr_t)from, bytes, stream, false);
}

CUresult sim_cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
    return copy_flat(CU_MEMORYTYPE_HOST, (uintptr_t)to, CU_MEMORYTYPE_DEVICE, from, bytes, stream, false);
}

CUresult sim_cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
    return copy_flat(CU_MEMORYTYPE_DEVICE, to, CU_MEMORYTYPE_DEVICE, from, bytes, stream, false);
}

CUresult sim_cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
    return copy_flat(CU_MEMORYTYPE_UNIFIED, to, CU_MEMORYTYPE_UNIFIED, from, bytes, stream, false);
}

CUresult sim_cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D *p, CUstream handle) {
    driver_stream *stream;
    CUresult result = driver_stream_of(handle, &stream);
    if (result != CUDA_SUCCESS)
        return result;
    if (!p)
        return CUDA_ERROR_INVALID_VALUE;
    driver_copy copy = {.width = p->WidthInBytes, .height = p->Height, .depth = 1};
    if (copy.width == 0 || copy.height == 0)
        return CUDA_SUCCESS;
    result = driver_side_make(p->srcMemoryType, p->srcHost, p->srcDevice, &copy.from);
    if (result == CUDA_SUCCESS)
        result = driver_side_make(p->dstMemoryType, p->dstHost, p->dstDevice, &copy.to);
    if (result != CUDA_SUCCESS)
        return result;
    /* Pitch 0: rows lie next to each other. */
    side_place(&copy.from, p->srcXInBytes, p->srcY, 0, p->srcPitch ? p->srcPitch : copy.width + p->srcXInBytes, 0);
    side_place(&copy.to, p->dstXInBytes, p->dstY, 0, p->dstPitch ? p->dstPitch : copy.width + p->dstXInBytes, 0);
    return enqueue_copy(&copy, stream);
}

/* ---- fills ---- */

CUresult driver_fill_check(const driver_fill *fill) {
    size_t row, bytes;
    if (fill->element_bytes != 1 && fill->element_bytes != 2 && fill->element_bytes != 4)
        return CUDA_ERROR_INVALID_VALUE;
    if (fill->width == 0 || fill->height == 0)
        return CUDA_SUCCESS;
    if (__builtin_mul_overflow(fill->width, (size_t)fill->element_bytes, &row) ||
        __builtin_mul_overflow(fill->pitch, fill->height - 1, &bytes) || __builtin_add_overflow(bytes, row, &bytes) ||
        fill->address % fill->element_bytes != 0 || (fill->height > 1 && fill->pitch < row))
        return CUDA_ERROR_INVALID_VALUE;
    return fill->device && sim_memory_host(fill->device, fill->address, bytes) ? CUDA_SUCCESS
                                                                               : CUDA_ERROR_INVALID_VALUE;
}

static CUresult fill_flat(CUdeviceptr to, uint32_t value, uint32_t element_bytes, size_t n, CUstream handle) {
    driver_stream *stream;
    CUresult result = driver_stream_of(handle, &stream);
    if (result != CUDA_SUCCESS)
        return result;
    const driver_device *owner = driver_device_at(to);
    const driver_fill fill = {.device = owner ? owner->sim : NULL,
                              .address = to,
                              .width = n,
                              .height = 1,
                              .value = value,
                              .element_bytes = element_bytes};
    result = driver_fill_check(&fill);
    if (result != CUDA_SUCCESS || n == 0)
        return result;
    driver_work *work = driver_work_new(DRIVER_WORK_FILL, stream->object.context);
    if (!work)
        return CUDA_ERROR_OUT_OF_MEMORY;
    work->fill = fill;
    return driver_enqueue(stream, work);
}

CUresult sim_cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t n) {
    return fill_flat(to, value, 1, n, NULL);
}

CUresult sim_cuMemsetD32_v2(CUdeviceptr to, unsigned value, size_t n) {
    return fill_flat(to, value, 4, n, NULL);
}

CUresult sim_cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t n, CUstream stream) {
    return fill_flat(to, value, 1, n, stream);
}

CUresult sim_cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t n, CUstream stream) {
    return fill_flat(to, value, 4, n, stream);
}
