/* What a device API must provide. One table for each backend, in backends/NAME.c, listed in backends.def.
 *
 * Slots marked OPTIONAL may be NULL; the comment says what happens then. All others are required. Slots are called
 * with valid arguments (the caller has checked ranges and nulls) and report failures with kiln_fail, naming the
 * API call and its error. Handles (`void *`) belong to the backend. Unless a slot says otherwise it may be called
 * from several threads at once, but never twice at once for the same queue, kernel or graph. */
#ifndef KILN_RUNTIME_BACKEND_H
#define KILN_RUNTIME_BACKEND_H

#include "context.h"
#include <kiln/plan.h>

typedef enum kiln_language { KILN_LANGUAGE_OPENCL, KILN_LANGUAGE_CUDA, KILN_LANGUAGE_HIP } kiln_language;

/* Instruction sets of CPU devices. X(name, bit) */
#define KILN_FEATURE_MAP(X)                                                                                            \
    X(avx2, 0)                                                                                                         \
    X(fma, 1)                                                                                                          \
    X(avx512f, 2)                                                                                                      \
    X(avx512bw, 3)                                                                                                     \
    X(avx512vnni, 4)                                                                                                   \
    X(amx_int8, 5)                                                                                                     \
    X(amx_bf16, 6)                                                                                                     \
    X(neon, 7)
enum {
#define KILN_FEATURE_ENUM(name, bit) KILN_FEATURE_##name = 1u << (bit),
    KILN_FEATURE_MAP(KILN_FEATURE_ENUM)
#undef KILN_FEATURE_ENUM
};

/* What rejections, rules and guesses may ask about a device. Plain data. */
typedef struct kiln_caps {
    kiln_device_kind kind;
    kiln_language language;
    uint32_t units;
    uint32_t vector_floats;    /* CPU: floats in a vector register */
    uint32_t vector_registers; /* CPU: how many of them */
    uint32_t features;         /* KILN_FEATURE_* */
    uint32_t max_group_size;
    uint32_t max_group[3];
    uint32_t address_align_bytes; /* of a view's offset */
    uint32_t compute_capability;  /* CUDA: 10 * major + minor; else 0 */
    uint64_t local_bytes;         /* that a group may ask for */
    uint64_t memory_bytes, max_alloc_bytes;
    /* GPUs, where the API tells; 0: unknown. What a unit shares among the groups on it decides how many fit. */
    uint32_t warp_items; /* work-items that run in lockstep */
    uint32_t unit_items, unit_registers;
    uint64_t unit_local_bytes;
    uint64_t cache_bytes; /* shared by all units */
    bool f16, cooperative, clusters, tensor_maps;
    bool native_graphs; /* graph_build works on this device */
} kiln_caps;

/* Filled in by a backend's load; strings from kiln__strdup, owned by the device from then on. */
typedef struct kiln_device_desc {
    char *model, *vendor, *driver, *compiler;
    char *pci; /* "0000:41:00.0", or NULL: lets topology say which cores are near */
    /* What compiled programs depend on besides source, defines and compiler: an architecture, "sm_90a". NULL: the
     * driver and the device's fingerprint. */
    char *target;
    kiln_caps caps;
    void *native; /* the backend's identity of the device, freed by `forget` */
} kiln_device_desc;

/* A step with its memory resolved: what a binding holds and a graph replays. Owned by the binding. */
typedef enum kiln_step_kind { KILN_STEP_KERNEL, KILN_STEP_COPY, KILN_STEP_FILL, KILN_STEP_CALL } kiln_step_kind;

typedef struct kiln_place { /* a resolved view */
    void *memory;           /* backend's handle */
    size_t offset_bytes;
} kiln_place;

typedef struct kiln_node {
    kiln_step_kind kind;
    const char *label; /* kernel entry or "copy", for logs and profiles */
    union {
        void *kernel; /* from kernel_create: entry, sizes and arguments */
        struct {
            kiln_place destination, source;
            size_t destination_pitch_bytes, source_pitch_bytes, row_bytes, rows;
        } copy;
        struct {
            kiln_place destination;
            size_t bytes;
            uint32_t pattern;
        } fill;
        struct { /* opaque: a vendor library enqueues work on the queue */
            kiln_status (*call)(void *user, void *native_queue, const kiln_place *operands);
            void *user;
            const kiln_place *operands;
        } call;
    };
} kiln_node;

/* One kernel argument with its memory resolved. */
typedef enum kiln_arg_kind {
    KILN_ARG_OPERAND,   /* device memory of an operand, + offset */
    KILN_ARG_WORKSPACE, /* device memory of the workspace, + offset */
    KILN_ARG_I32,
    KILN_ARG_F32,
    KILN_ARG_LOCAL,     /* dynamic local memory: an argument in OpenCL, a launch field elsewhere */
    KILN_ARG_TENSOR_MAP /* CUDA only: encoded by the backend from an operand, kept in the kernel handle */
} kiln_arg_kind;

typedef struct kiln_arg_value {
    kiln_arg_kind kind;
    kiln_place place;       /* OPERAND, WORKSPACE, TENSOR_MAP */
    size_t bytes;           /* of the place that may be touched; of LOCAL */
    const void *tensor_map; /* kiln_tensor_map of the step */
    union {
        int32_t i32;
        float f32;
    };
} kiln_arg_value;

/* A tile of an operand that a kernel asks the device to copy: kiln_arg_value.tensor_map. Dimensions from the innermost,
 * whose elements are contiguous. */
typedef struct kiln_tensor_map {
    kiln_type type;
    uint32_t rank;            /* 1 to 5 */
    uint64_t shape[5];        /* elements of the operand */
    uint64_t stride_bytes[5]; /* from an element to the next of the dimension, multiples of 16; [0] is not read */
    uint32_t box[5];          /* elements of the tile, 1 to 256 */
    uint32_t swizzle_bytes;   /* 0, 32, 64 or 128: how the tile's rows are spread over banks of local memory */
} kiln_tensor_map;

enum { KILN_GRID_RESIDENT = 0 }; /* grid[0]: as many groups as fit on the device at once */

typedef struct kiln_launch {
    const char *entry;
    uint32_t grid[3];    /* work-groups */
    uint32_t group[3];   /* work-items of a group */
    uint32_t cluster[3]; /* groups of a cluster; 0: none */
    bool cooperative;    /* all groups resident, grid-wide barriers */
} kiln_launch;

/* What the compiled binary needs; 0 where the backend cannot tell. */
typedef struct kiln_resources {
    uint32_t registers, max_group_size;
    uint32_t spills; /* instructions that move a register's value to memory or back for want of registers */
    uint64_t local_bytes, private_bytes;
} kiln_resources;

/* Source text with what it is compiled with. */
typedef struct kiln_source {
    const char *name; /* for messages */
    const char *text;
    size_t bytes;
    const char *options; /* space-separated -DNAME=VALUE */
} kiln_source;

struct kiln_device; /* device.h */

enum { KILN_RANK_TEST = 1000 }; /* a backend of this rank or more: its devices come after all others */

typedef struct kiln_backend {
    const char *name;
    kiln_language language;
    int rank; /* order of devices of the same kind: lower first */

    /* Opens the API library and calls kiln__device_add for each device. A missing library or a platform without devices
     * is KILN_OK with a line added to `report` that says what was looked for. `*library` is passed to unload. */
    kiln_status (*load)(kiln_context *context, kiln_strbuf *report, void **library);
    void (*unload)(kiln_context *context, void *library);
    void (*forget)(struct kiln_device *device); /* frees desc.native */
    /* Describes a device that is not here, to compile for: `arch` as kiln_device_open_arch takes it. Only open, close,
     * compile and the module slots are called for such a device. OPTIONAL: absent = KILN_E_UNSUPPORTED. */
    kiln_status (*describe_arch)(kiln_context *context, void *library, const char *arch, uint32_t units,
                                 kiln_device_desc *out);

    /* Makes device->handle. Called once, under the device's lock, before any slot below. `native_context` is the
     * engine's to adopt, or NULL. */
    kiln_status (*open)(struct kiln_device *device, void *native_context);
    void (*close)(struct kiln_device *device);

    /* Source text -> binary that module_load takes, from kiln__realloc memory. On KILN_E_COMPILE the failure text holds
     * the compiler's log. */
    kiln_status (*compile)(struct kiln_device *device, const char *source, size_t source_bytes, const char *name,
                           const char *options, void **binary, size_t *binary_bytes);
    /* Several sources, compiled each by itself and linked: a function of one may be called from another. OPTIONAL:
     * absent, or KILN_E_UNSUPPORTED = graphs on CPU devices are not merged into one kernel (graphs/team.h). A backend
     * that has it for CPU devices says with it that a kernel may use the address of a buffer in another launch. */
    kiln_status (*link)(struct kiln_device *device, const kiln_source *sources, size_t n_sources, const char *name,
                        void **binary, size_t *binary_bytes);
    kiln_status (*module_load)(struct kiln_device *device, const void *binary, size_t bytes, void **module);
    void (*module_unload)(struct kiln_device *device, void *module);
    /* OPTIONAL: absent = nothing is known of a kernel's needs, limits show only at launch. */
    kiln_status (*module_resources)(struct kiln_device *device, void *module, const char *entry, kiln_resources *out);

    /* A kernel ready to launch, with its arguments encoded. One thread at a time uses it. Rejects what the API cannot
     * do (clusters, cooperative launch, tensor maps) with KILN_E_UNSUPPORTED and the reason. */
    kiln_status (*kernel_create)(struct kiln_device *device, void *module, const kiln_launch *launch,
                                 const kiln_arg_value *args, size_t n_args, void **kernel);
    kiln_status (*kernel_patch)(struct kiln_device *device, void *kernel, size_t arg, const kiln_arg_value *value);
    void (*kernel_destroy)(struct kiln_device *device, void *kernel);

    kiln_status (*alloc)(struct kiln_device *device, size_t bytes, void **memory);
    void (*free)(struct kiln_device *device, void *memory);
    /* OPTIONAL: absent = KILN_E_UNSUPPORTED. */
    kiln_status (*memory_adopt)(struct kiln_device *device, void *native_memory, size_t bytes, void **memory);
    /* Undoes memory_adopt, leaving the engine's own reference alone. OPTIONAL: absent = there is nothing to undo. */
    void (*memory_release)(struct kiln_device *device, void *memory);

    kiln_status (*queue_create)(struct kiln_device *device, void **queue);
    void (*queue_destroy)(struct kiln_device *device, void *queue);
    /* OPTIONAL: absent = KILN_E_UNSUPPORTED. */
    kiln_status (*queue_adopt)(struct kiln_device *device, void *native_queue, void **queue);
    kiln_status (*queue_finish)(struct kiln_device *device, void *queue);
    /* OPTIONAL: starts what was enqueued without waiting; absent = the API starts it by itself. */
    kiln_status (*queue_flush)(struct kiln_device *device, void *queue);

    /* All enqueue and return; host memory must stay until queue_finish. */
    kiln_status (*write)(struct kiln_device *device, void *queue, kiln_place to, const void *from, size_t bytes);
    kiln_status (*read)(struct kiln_device *device, void *queue, void *to, kiln_place from, size_t bytes);
    kiln_status (*enqueue)(struct kiln_device *device, void *queue, const kiln_node *node); /* no allocation, no lock */

    /* Timing by the device's clock. OPTIONAL as a group: absent = the host's clock around queue_finish. */
    kiln_status (*event_create)(struct kiln_device *device, void **event);
    void (*event_destroy)(struct kiln_device *device, void *event);
    kiln_status (*event_record)(struct kiln_device *device, void *queue, void *event);
    kiln_status (*event_elapsed_us)(struct kiln_device *device, void *from, void *to, double *out); /* both finished */

    /* Native graphs. OPTIONAL as a group: absent = the host replays the nodes in one batch. graph_patch takes over the
     * new contents of nodes[index]; KILN_E_UNSUPPORTED from it makes the caller build again. */
    kiln_status (*graph_build)(struct kiln_device *device, void *queue, const kiln_node *const *nodes, size_t n_nodes,
                               void **graph);
    kiln_status (*graph_patch)(struct kiln_device *device, void *graph, size_t index, const kiln_node *node);
    kiln_status (*graph_launch)(struct kiln_device *device, void *queue, void *graph);
    void (*graph_destroy)(struct kiln_device *device, void *graph);
} kiln_backend;

#define KILN_BACKEND(name) extern const kiln_backend kiln__backend_##name;
#include "backends.def"
#undef KILN_BACKEND

#endif
