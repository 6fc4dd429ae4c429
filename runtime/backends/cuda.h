/* The inside of the CUDA backend: driver API and NVRTC, both opened at run time.
 *
 * Handles: memory is a CUdeviceptr in a pointer, which CALL steps hand to a vendor library as it is; they get the queue
 * as a CUstream. Kernels, modules, queues and graphs are structs of ours, an event is a CUevent.
 *
 * Every slot that calls the driver does so with the device's CUcontext current and puts the caller's back: an engine's
 * current context is as it was. */
#ifndef KILN_RUNTIME_BACKENDS_CUDA_H
#define KILN_RUNTIME_BACKENDS_CUDA_H

#include "cuda_abi.h"
#include "cuda_cubin.h"
#include "device.h"

enum { CUDA_MAX_ARCHS = 64 };

/* NVRTC as it was opened. Guarded by cuda_library.lock until it is open. */
typedef struct cuda_nvrtc {
    void *so;
    int major, minor;
    int archs[CUDA_MAX_ARCHS]; /* that it compiles for, ascending: 75, 80, … */
    int n_archs;
#define KILN_FN(result, name, params) result(*name) params;
#include "nvrtc.fn"
#undef KILN_FN
} cuda_nvrtc;

/* The libraries: one for each context. */
typedef struct cuda_library {
    void *so; /* NULL: no driver */
    int version;
    pthread_mutex_t lock;
    cuda_nvrtc nvrtc;
#define KILN_FN(name, suffix, params)          CUresult(*name) params;
#define KILN_FN_OPTIONAL(name, suffix, params) KILN_FN(name, suffix, params)
#include "cuda.fn"
#undef KILN_FN
#undef KILN_FN_OPTIONAL
} cuda_library;

/* What a device is compiled for. */
typedef struct cuda_target {
    char arch[16]; /* "sm_90a": CUBIN and PTX; "compute_120": PTX alone, for a device newer than NVRTC knows */
    bool has_cubin;
} cuda_target;

/* desc.native */
typedef struct cuda_native {
    bool is_absent; /* known by its architecture alone */
    CUdevice device;
    cuda_target target;
} cuda_native;

/* device->handle */
typedef struct cuda_open {
    CUcontext context; /* NULL: absent */
    bool is_adopted;
} cuda_open;

static inline const cuda_library *cuda_of(const kiln_device *device) {
    return device->library;
}

static inline const cuda_native *cuda_native_of(const kiln_device *device) {
    return device->desc.native;
}

static inline CUcontext cuda_context(const kiln_device *device) {
    return ((const cuda_open *)device->handle)->context;
}

static inline CUdeviceptr cuda_address(kiln_place place) {
    return (CUdeviceptr)(uintptr_t)place.memory + place.offset_bytes;
}

/* ---- errors ---- */

/* Fails with the text "DEVICE: CALL: CUDA_ERROR_X (number)" and the status that the error means. */
kiln_status kiln__cuda_fail(const kiln_device *device, const char *call, CUresult error);
const char *kiln__cuda_error_name(CUresult error); /* static text for any number */

#define CUDA_TRY(device, name, ...)                                                                                    \
    do {                                                                                                               \
        const CUresult try_error_ = cuda_of(device)->name(__VA_ARGS__);                                                \
        if (try_error_ != CUDA_SUCCESS)                                                                                \
            return kiln__cuda_fail(device, #name, try_error_);                                                         \
    } while (0)

/* ---- the current context ---- */

/* Makes the device's context current; `*pushed` is for kiln__cuda_leave. */
kiln_status kiln__cuda_enter(const kiln_device *device, bool *pushed);
/* To release something; returns what kiln__cuda_leave wants. Tries twice, because what is not released now stays. A
 * lost device refuses its context too, and is asked to let go all the same: graphs are of no context. */
bool kiln__cuda_enter_to_release(const kiln_device *device);
void kiln__cuda_leave(const kiln_device *device, bool pushed);

/* Returns what `call` returns, made with the device's context current. */
#define CUDA_RETURN_INSIDE(device, call)                                                                               \
    do {                                                                                                               \
        bool pushed_;                                                                                                  \
        KILN_TRY(kiln__cuda_enter(device, &pushed_));                                                                  \
        const kiln_status inside_status_ = (call);                                                                     \
        kiln__cuda_leave(device, pushed_);                                                                             \
        return inside_status_;                                                                                         \
    } while (0)

/* ---- cuda_load.c ---- */
/* False: the report says why. The library may then be used for kiln__cuda_open_nvrtc alone. */
bool kiln__cuda_open_driver(cuda_library *cuda, kiln_strbuf *report);
/* Opens NVRTC unless it is open. False: `why` says what was tried. Thread-safe. */
bool kiln__cuda_open_nvrtc(cuda_library *cuda, kiln_strbuf *why);

/* ---- cuda_device.c ---- */
kiln_status kiln__cuda_load(kiln_context *context, kiln_strbuf *report, void **library);
void kiln__cuda_unload(kiln_context *context, void *library);
void kiln__cuda_forget(kiln_device *device);
kiln_status kiln__cuda_describe_arch(kiln_context *context, void *library, const char *arch, uint32_t units,
                                     kiln_device_desc *out);
/* What a device of a compute capability is compiled for. False: nothing NVRTC makes runs on it. */
bool kiln__cuda_choose_target(const cuda_nvrtc *nvrtc, int capability, cuda_target *out);

/* ---- cuda_program.c ---- */
typedef struct cuda_module {
    CUmodule module; /* NULL: of an absent device */
    size_t n_kernels;
    cubin_kernel *kernels; /* NULL: there is no CUBIN to read */
} cuda_module;

const cubin_kernel *kiln__cuda_find_kernel(const cuda_module *module, const char *entry); /* NULL: not known */
kiln_status kiln__cuda_compile(kiln_device *device, const char *source, size_t source_bytes, const char *name,
                               const char *options, void **binary, size_t *binary_bytes);
kiln_status kiln__cuda_module_load(kiln_device *device, const void *binary, size_t bytes, void **module);
void kiln__cuda_module_unload(kiln_device *device, void *module);
kiln_status kiln__cuda_module_resources(kiln_device *device, void *module, const char *entry, kiln_resources *out);

/* ---- cuda_kernel.c ---- */
enum { CUDA_MAX_LAUNCH_ATTRIBUTES = 2 };

typedef struct cuda_arg {
    union {
        CUdeviceptr address;
        int32_t i32;
        float f32;
    };
    void *map_block;  /* of a tensor map: what is to be freed … */
    CUtensorMap *map; /* … and the map in it, aligned */
} cuda_arg;

typedef struct cuda_kernel {
    CUfunction function;
    CUlaunchConfig config; /* the stream is set at launch */
    CUlaunchAttribute attributes[CUDA_MAX_LAUNCH_ATTRIBUTES];
    void **params; /* what the driver takes: addresses inside `args`; local memory is none */
    size_t n_args;
    cuda_arg args[];
} cuda_kernel;

kiln_status kiln__cuda_kernel_create(kiln_device *device, void *module, const kiln_launch *launch,
                                     const kiln_arg_value *args, size_t n_args, void **kernel);
kiln_status kiln__cuda_kernel_patch(kiln_device *device, void *kernel, size_t arg, const kiln_arg_value *value);
void kiln__cuda_kernel_destroy(kiln_device *device, void *kernel);
kiln_status kiln__cuda_kernel_launch(const kiln_device *device, const cuda_kernel *kernel, CUstream stream);

/* ---- cuda_queue.c ---- */
kiln_status kiln__cuda_queue_create(kiln_device *device, void **queue);
void kiln__cuda_queue_destroy(kiln_device *device, void *queue);
kiln_status kiln__cuda_queue_adopt(kiln_device *device, void *native_queue, void **queue);
kiln_status kiln__cuda_queue_finish(kiln_device *device, void *queue);
kiln_status kiln__cuda_write(kiln_device *device, void *queue, kiln_place to, const void *from, size_t bytes);
kiln_status kiln__cuda_read(kiln_device *device, void *queue, void *to, kiln_place from, size_t bytes);
kiln_status kiln__cuda_enqueue(kiln_device *device, void *queue, const kiln_node *node);
CUstream kiln__cuda_queue_stream(void *queue);

/* ---- cuda_graph.c ---- */
kiln_status kiln__cuda_graph_build(kiln_device *device, void *queue, const kiln_node *const *nodes, size_t n_nodes,
                                   void **graph);
kiln_status kiln__cuda_graph_patch(kiln_device *device, void *graph, size_t index, const kiln_node *node);
kiln_status kiln__cuda_graph_launch(kiln_device *device, void *queue, void *graph);
void kiln__cuda_graph_destroy(kiln_device *device, void *graph);

#endif
