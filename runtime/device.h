/* The inside of devices, queues and buffers. */
#ifndef KILN_RUNTIME_DEVICE_H
#define KILN_RUNTIME_DEVICE_H

#include "backend.h"
#include <kiln/device.h>

struct kiln_module; /* jit.h */

struct kiln_device {
    kiln_context *context;
    const kiln_backend *backend;
    void *library; /* of the backend */
    kiln_device_desc desc;
    char name[32];
    char fingerprint[128]; /* [A-Za-z0-9._-]+: backend, model, units, features */
    char near_cores[64];   /* this and numa_node: valid once is_placed */
    char features[128];
    int32_t numa_node;
    atomic_bool is_placed;
    bool is_absent; /* described by its architecture: compiles, and nothing else */

    pthread_mutex_t place_lock; /* guards asking the topology, which is done when somebody wants to know */
    pthread_mutex_t lock;       /* guards opening and the module list */
    atomic_bool is_open;
    void *handle; /* of the backend, once open */
    struct kiln_module *modules;
};

struct kiln_queue {
    kiln_device *device;
    void *handle;
};

struct kiln_buffer {
    kiln_device *device;
    void *memory;
    size_t bytes;
    bool is_adopted;
};

/* For a backend's load: appends a device. Takes over `desc` even when it fails. */
kiln_status kiln__device_add(kiln_context *context, const kiln_backend *backend, void *library, kiln_device_desc *desc);

/* Loads every backend named in `filter` (NULL: all) and sorts the devices. Called by kiln__context_open. */
kiln_status kiln__devices_load(kiln_context *context, const char *filter);
void kiln__devices_unload(kiln_context *context);

/* KILN_E_UNSUPPORTED for a device that is not here, with `what` one wanted. */
kiln_status kiln__device_check_present(const kiln_device *device, const char *what);

/* Opens the device if it is not. */
kiln_status kiln__device_open(kiln_device *device);

static inline const kiln_caps *kiln__device_caps(const kiln_device *device) {
    return &device->desc.caps;
}

/* Enqueues one resolved step. */
static inline kiln_status kiln__queue_enqueue(kiln_queue *queue, const kiln_node *node) {
    return queue->device->backend->enqueue(queue->device, queue->handle, node);
}
kiln_status kiln__queue_flush(kiln_queue *queue);

/* CPU features of this machine as KILN_FEATURE_*, and the shape of its vector registers. */
void kiln__cpu_describe(kiln_caps *caps);

/* Narrows what kiln__cpu_describe found to what the run-time compiler generates code for. `compiler_vector_floats`: the
 * widest vector it uses, 0 unknown. `target`: a device name that may hold the compiler's name of the CPU between dashes
 * ("pthread-haswell-AMD EPYC"), or NULL. */
void kiln__cpu_narrow(kiln_caps *caps, uint32_t compiler_vector_floats, const char *target);

#endif
