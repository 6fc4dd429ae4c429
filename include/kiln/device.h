/* Devices, their queues and buffers. */
#ifndef KILN_DEVICE_H
#define KILN_DEVICE_H

#include <kiln/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kiln_device kiln_device;
typedef struct kiln_queue kiln_queue;
typedef struct kiln_buffer kiln_buffer;

typedef enum kiln_device_kind { KILN_DEVICE_CPU = 1, KILN_DEVICE_GPU = 2, KILN_DEVICE_OTHER = 3 } kiln_device_kind;

/* What is known of a device without opening it. Strings live as long as the context. */
typedef struct kiln_device_info {
    uint32_t struct_size;
    const char *name;        /* "opencl:0": backend and index, what KILN_DEVICE and --device take */
    const char *backend;     /* "opencl" */
    const char *model;       /* the vendor's name of the device */
    const char *vendor;      /* platform or vendor */
    const char *driver;      /* driver version */
    const char *compiler;    /* version of the run-time compiler */
    const char *fingerprint; /* stable name of this kind of device in stores: letters, digits, '-', '_' and '.' */
    kiln_device_kind kind;
    uint32_t units;              /* compute units (streaming multiprocessors, CPU cores) */
    uint32_t vector_floats;      /* floats in the widest register of a CPU device, 0 on others */
    uint32_t max_group_size;     /* work-items of one work-group */
    uint64_t memory_bytes;       /* global memory */
    uint64_t max_alloc_bytes;    /* largest single buffer */
    uint64_t local_bytes;        /* local (shared) memory of one work-group */
    uint32_t has_native_graphs;  /* 1: graphs are the driver's own; 0: replayed by the host in one batch */
    uint32_t has_clusters;       /* 1: cluster launches */
    uint32_t has_f16;            /* 1: half arithmetic */
    int32_t numa_node;           /* memory node next to the device, -1 unknown */
    const char *near_cores;      /* cores next to the device, e.g. "0-15"; "" unknown */
    const char *features;        /* instruction sets that kernels may use, e.g. "avx2 fma"; "" none */
    const char *arch;            /* that programs are compiled for, where it alone decides: "sm_90a"; "" elsewhere */
    uint32_t compute_capability; /* CUDA: 10 * major + minor; 0 on others */
    uint32_t is_absent;          /* 1: of kiln_device_open_arch */
} kiln_device_info;

#define KILN_DEVICE_INFO_INIT                                                                                          \
    { .struct_size = sizeof(kiln_device_info) }

/* The number of devices of all backends, in order of preference: GPUs first, test devices last. */
KILN_API size_t kiln_device_count(const kiln_context *context);

/* The device at `index`, or NULL. Owned by the context. Devices may be used from several threads. */
KILN_API kiln_device *kiln_device_at(const kiln_context *context, size_t index);

/* Finds a device by name ("opencl:0", or a backend's name for its first). NULL: what KILN_DEVICE says, else the
 * first. KILN_E_NOT_FOUND: none of that name, or no device at all; the error text lists what was tried. */
KILN_API kiln_status kiln_device_find(kiln_context *context, const char *name, kiln_device **out);

/* KILN_E_INVALID: NULL or an unknown struct_size. */
KILN_API kiln_status kiln_device_get_info(const kiln_device *device, kiln_device_info *out);

/* The context that owns a device. */
KILN_API kiln_context *kiln_device_context(const kiln_device *device);

/* Text that says for each backend what was found, or why nothing was: one line each. Lives as long as the
 * context. */
KILN_API const char *kiln_device_report(const kiln_context *context);

/* Opens a device that is not here, to compile for: plans made for it put their programs into the store, where a process
 * on such a device finds them. It has no queues and no buffers. `arch` is the backend's name of the architecture (CUDA:
 * "sm_90a"); `units` is how many compute units the real one has, on which guesses depend, 0: those of a common model.
 * Owned by the context, and not one of kiln_device_count; the same arguments give the same device. Thread-safe.
 * KILN_E_NOT_FOUND: no such backend, or its compiler is not installed. KILN_E_UNSUPPORTED: the backend compiles only
 * for what is here, or its compiler does not know the architecture; the text lists those it knows. */
KILN_API kiln_status kiln_device_open_arch(kiln_context *context, const char *backend, const char *arch, uint32_t units,
                                           kiln_device **out);

/* ---- queues: work runs in order. A queue belongs to one thread at a time. ---- */

/* Opens the device at the first call. KILN_E_DEVICE, KILN_E_MEMORY. */
KILN_API kiln_status kiln_queue_create(kiln_device *device, kiln_queue **out);

/* Uses a queue of the engine's own (OpenCL: cl_command_queue, in order; CUDA: CUstream, (void *)1 for the legacy
 * default one), of the context passed to kiln_device_adopt. The engine keeps its reference and outlives the kiln_queue.
 * CUDA: bindings may run, and graphs be launched, while the engine captures the stream; only kiln_queue_finish may not.
 * KILN_E_UNSUPPORTED: the backend cannot. KILN_E_INVALID: not a queue of this device. */
KILN_API kiln_status kiln_queue_adopt(kiln_device *device, void *native_queue, kiln_queue **out);

/* Waits for the queue, then destroys it. NULL is ignored. */
KILN_API void kiln_queue_destroy(kiln_queue *queue);

/* Waits until everything enqueued has run. KILN_E_DEVICE or KILN_E_DEVICE_LOST: a kernel failed. */
KILN_API kiln_status kiln_queue_finish(kiln_queue *queue);

/* Makes a device use the engine's own device context (OpenCL: cl_context; CUDA: CUcontext, which must outlive the
 * kiln_context; without this call the device's primary context, which is also CUDA's runtime's) instead of opening one.
 * Call before anything else opens the device; KILN_E_INVALID if it is open already or the context holds another device.
 */
KILN_API kiln_status kiln_device_adopt(kiln_device *device, void *native_context);

/* ---- buffers: device memory. May be used by several threads as far as the device API allows it. ---- */

/* Allocates `bytes` (> 0) of uninitialised device memory. KILN_E_DEVICE_MEMORY: too large or none left. */
KILN_API kiln_status kiln_buffer_create(kiln_device *device, size_t bytes, kiln_buffer **out);

/* Wraps memory of the engine's own (OpenCL: cl_mem, retained; CUDA: CUdeviceptr as a pointer, a multiple of 16, which
 * must outlive the buffer). `bytes` is its size. */
KILN_API kiln_status kiln_buffer_adopt(kiln_device *device, void *native_memory, size_t bytes, kiln_buffer **out);

/* Frees the buffer once the device no longer needs it. NULL is ignored. */
KILN_API void kiln_buffer_destroy(kiln_buffer *buffer);

KILN_API size_t kiln_buffer_bytes(const kiln_buffer *buffer);

/* Copies between host and device memory in the order of `queue`. A write has read `source` and a read has filled
 * `destination` only after the next kiln_queue_finish. KILN_E_INVALID: out of the buffer's range. */
KILN_API kiln_status kiln_buffer_write(kiln_queue *queue, kiln_buffer *buffer, size_t offset_bytes, const void *source,
                                       size_t bytes);
KILN_API kiln_status kiln_buffer_read(kiln_queue *queue, kiln_buffer *buffer, size_t offset_bytes, void *destination,
                                      size_t bytes);

/* Fills `bytes` from `offset_bytes`, both multiples of 4, with a 32-bit pattern. */
KILN_API kiln_status kiln_buffer_fill(kiln_queue *queue, kiln_buffer *buffer, size_t offset_bytes, size_t bytes,
                                      uint32_t pattern);

#ifdef __cplusplus
}
#endif
#endif
