/* The front end of libsimcuda.so: entry points of the CUDA driver over the engine of sim.h.
 *
 * driver_entry.c makes an exported function of each line of driver.def: it counts the call, takes the one lock, checks
 * what the line demands, injects the failure that was asked for, and calls the sim_cu... of the same name.
 *
 * A handle is a number, never an address: one that is destroyed, of another kind or made up is found to be so.
 *
 * Work is enqueued, not run: it runs when something waits for it, or asks for it (a query runs one piece), or 1024
 * pieces wait in its stream. So host memory is read when hardware would read it at the latest, and what no event orders
 * runs in an order that hardware need not take: the stream made last first, the graph node made last first. */
#ifndef SIMCUDA_DRIVER_H
#define SIMCUDA_DRIVER_H

#include "driver_abi.h"
#include "sim.h"
#include <stdio.h>

enum {
    DRIVER_VERSION = 13000,
    DRIVER_MAX_DEVICES = 8,
    DRIVER_UNITS = 8, /* multiprocessors */
    DRIVER_SHARED_BLOCK = 48 << 10,
    DRIVER_SHARED_OPTIN = 163 << 10,
    DRIVER_SHARED_UNIT = 164 << 10,
    DRIVER_SHARED_RESERVED = 1 << 10,
    DRIVER_MAX_PENDING = 1024,
    DRIVER_MAX_DEPTH = 64, /* of a thread's stack of contexts */
};

/* ---- what exists ---- */

#define DRIVER_KIND_MAP(X)                                                                                             \
    X(CONTEXT, "context")                                                                                              \
    X(MODULE, "module")                                                                                                \
    X(FUNCTION, "function")                                                                                            \
    X(STREAM, "stream")                                                                                                \
    X(EVENT, "event")                                                                                                  \
    X(GRAPH, "graph")                                                                                                  \
    X(NODE, "graph node")                                                                                              \
    X(EXEC, "executable graph")                                                                                        \
    X(MEMORY, "device memory")                                                                                         \
    X(HOST, "pinned host memory")
typedef enum driver_kind {
#define DRIVER_KIND_ENUM(name, text) DRIVER_##name,
    DRIVER_KIND_MAP(DRIVER_KIND_ENUM)
#undef DRIVER_KIND_ENUM
} driver_kind;

typedef struct driver_context driver_context;
typedef struct driver_stream driver_stream;
typedef struct driver_graph driver_graph;
typedef struct driver_capture driver_capture;

/* The first member of everything with a handle. */
typedef struct driver_object {
    driver_kind kind;
    bool hidden;             /* made by the simulator itself: not in the ledger */
    uint32_t index;          /* place in the table */
    driver_context *context; /* NULL: none (contexts, graphs) */
} driver_object;

typedef struct driver_device {
    sim_device *sim;
    int ordinal;
    driver_context *primary; /* NULL: not active */
    unsigned retained, flags;
    sim_meter meter;
} driver_device;

struct driver_context {
    driver_object object;
    driver_device *device;
    unsigned flags, api_version;
    bool primary;
    CUresult dead; /* what every later call of this context returns; CUDA_SUCCESS: alive */
    driver_stream *null_stream;
    driver_stream *streams; /* all, the youngest first, the null stream last */
};

typedef struct driver_module {
    driver_object object;
    sim_module *sim;
    struct driver_function *functions; /* that were asked for */
} driver_module;

typedef struct driver_function {
    driver_object object;
    driver_module *module;
    struct driver_function *next;
    const sim_kernel *kernel;
    sim_kernel_info info;
    int max_dynamic_shared, carveout;
} driver_function;

typedef struct driver_memory { /* of a device or of the host */
    driver_object object;
    uint64_t address;
    size_t bytes;
    bool registered; /* host memory of the caller's */
    struct driver_memory *next;
} driver_memory;

/* ---- work: what a stream or a graph node does. Immutable, so that what is enqueued stays as it was. ---- */

typedef enum driver_work_kind {
    DRIVER_WORK_NONE,
    DRIVER_WORK_KERNEL,
    DRIVER_WORK_COPY,
    DRIVER_WORK_FILL,
    DRIVER_WORK_HOST
} driver_work_kind;

typedef struct driver_launch {
    CUfunction function; /* a handle: its module may be gone when a graph is launched */
    uint32_t grid[3], block[3], shared_bytes;
    bool cooperative;
} driver_launch;

typedef struct driver_side { /* one end of a copy */
    sim_device *device;      /* NULL: host memory */
    uint64_t address;
    size_t row_pitch, plane_pitch;
} driver_side;

typedef struct driver_copy {
    driver_side to, from;
    size_t width, height, depth; /* bytes, rows, planes */
} driver_copy;

typedef struct driver_fill {
    sim_device *device;
    uint64_t address;
    size_t pitch, width, height; /* elements a row, rows */
    uint32_t value, element_bytes;
} driver_fill;

typedef struct driver_work {
    unsigned references;
    driver_work_kind kind;
    driver_context *context;
    union {
        driver_launch launch;
        driver_copy copy;
        driver_fill fill;
        struct {
            CUhostFn function;
            void *user;
        } host;
    };
    void *staged;  /* a copy's source, where the caller may reuse pageable memory at once */
    void **params; /* a kernel's, pointers into `bytes` */
    char *bytes;   /* as PTX lays them out */
} driver_work;

/* ---- streams ---- */

/* A piece of a stream. An event's record and a stream's wait are pieces without work. */
typedef struct driver_command {
    unsigned references;
    bool done;
    uint64_t time; /* virtual, when done */
    driver_stream *stream;
    struct driver_command *next;
    driver_work **works;
    struct driver_command **after; /* of other streams */
    size_t n_works, n_after;
} driver_command;

struct driver_stream {
    driver_object object;
    driver_stream *next; /* of the context's list */
    unsigned flags;
    int priority;
    uint64_t time;
    driver_command *head, *tail; /* pending */
    driver_command *last;        /* the youngest, pending or not */
    size_t n_pending;
    driver_capture *capture;
    CUgraphNode *joints; /* nodes that captured work will come after */
    size_t n_joints;
};

typedef struct driver_event {
    driver_object object;
    unsigned flags;
    driver_command *record; /* NULL: never recorded */
    uint64_t capture;       /* number of the capture it was recorded in; 0: none */
    CUgraphNode *joints;    /* of that record */
    size_t n_joints;
} driver_event;

struct driver_capture {
    uint64_t number;
    driver_graph *graph;
    driver_stream *origin;
    CUstreamCaptureMode mode;
    bool invalid;
    const void *thread; /* who began it */
    driver_capture *next;
};

/* ---- graphs ---- */

typedef struct driver_node {
    driver_object object;
    driver_graph *graph;
    CUgraphNode source; /* the node this one was cloned from */
    driver_work *work;
    driver_graph *child;
    struct driver_node **after;
    size_t n_after, position;
    size_t waiting; /* scratch of sorting */
} driver_node;

struct driver_graph {
    driver_object object;
    driver_node **nodes;
    size_t n_nodes;
    driver_node *parent; /* the child graph of a node is the node's */
    size_t *order;       /* of an executable graph: positions in the order of running */
};

typedef struct driver_exec {
    driver_object object;
    driver_graph *graph; /* a clone of its own */
} driver_exec;

/* ---- driver_entry.c ---- */

#define DRIVER_ENTRY(name, suffix, since, demands, params, args) CUresult sim_##name##suffix params;
#include "driver.def"
#undef DRIVER_ENTRY

CUresult driver_error_by_name(const char *name); /* or by number; CUDA_SUCCESS: no such error */
const char *driver_error_name(CUresult error);
driver_context *driver_current(void); /* NULL: none; not checked for being alive */

/* ---- driver_settings.c: the environment, and files written for tests ---- */

typedef struct driver_settings {
    int n_devices;
    uint64_t memory_bytes;
    uint64_t lose_at;
    CUresult lose_with;
    char hang[128];
    bool hang_for_ever;
    uint64_t max_instructions;
    uint64_t clock; /* factor of measured times */
} driver_settings;

extern driver_settings driver_set;
void driver_settings_read(void);
/* What the environment makes of call number `nth` (from 1) of `name`; CUDA_SUCCESS: nothing. */
CUresult driver_settings_fail(const char *name, const char *suffix, uint64_t nth);
void driver_settings_write(const char *variable, const char *text); /* appends, where the variable names a file */

/* ---- driver_object.c ---- */

/* Handle table. Indices are never given out twice, so a stale handle stays stale. */
bool driver_object_add(driver_object *object, driver_kind kind, driver_context *context); /* false: no memory */
void driver_object_remove(driver_object *object);
void *driver_object_find(const void *handle, driver_kind kind); /* NULL: no such thing, or no longer */
void *driver_object_handle(const driver_object *object);
/* The next thing at or after *at, which begins at 0; NULL: no more. Things may go on the way. */
driver_object *driver_object_walk(uint32_t *at);
size_t driver_ledger(char *text, size_t bytes);
void driver_ledger_orphan(const driver_object *object); /* went with its context, not by its own call */
void driver_table_clear(void);

/* Of the CUresult functions below: CUDA_SUCCESS, or why not, in the driver's words. */
CUresult driver_check_context(const driver_context *context);

/* ---- driver_device.c, driver_context.c ---- */

extern driver_device driver_devices[DRIVER_MAX_DEVICES];
driver_device *driver_device_of(CUdevice device); /* NULL: no such device */
bool driver_devices_create(void);
void driver_devices_destroy(void);
driver_device *driver_device_at(uint64_t address); /* whose memory an address is in; NULL: nobody's */
void driver_context_destroy(driver_context *context, bool keep);
void driver_context_kill(driver_context *context, CUresult code);

/* ---- driver_memory.c ---- */

driver_memory *driver_memory_at(driver_kind kind, uint64_t address); /* the allocation that holds it */
void driver_memory_release(driver_memory *memory);
/* A side at `address` of device or host memory, by CUmemorytype. */
CUresult driver_side_make(CUmemorytype type, const void *host, CUdeviceptr device, driver_side *out);
CUresult driver_copy_check(const driver_copy *copy);
CUresult driver_copy_from_3d(const CUDA_MEMCPY3D *params, driver_copy *out);
CUresult driver_fill_check(const driver_fill *fill);

/* ---- driver_module.c, driver_launch.c ---- */

void driver_module_release(driver_module *module);
CUresult driver_function_of(CUfunction handle, driver_function **out);
int driver_function_occupancy(const driver_function *function, uint32_t threads, size_t dynamic_shared);
CUresult driver_launch_attribute(const CUlaunchAttribute *attribute, driver_launch *launch);
/* Checks a launch and copies its parameters. */
CUresult driver_launch_make(const driver_launch *launch, void **params, void **extra, driver_work **out);

/* ---- driver_work.c ---- */

driver_work *driver_work_new(driver_work_kind kind, driver_context *context); /* NULL: no memory */
driver_work *driver_work_ref(driver_work *work);
void driver_work_unref(driver_work *work);
/* Runs it. Returns its virtual duration; a fault kills the context. */
uint64_t driver_work_run(driver_work *work);

/* ---- driver_stream.c, driver_capture.c ---- */

bool driver_stream_is_null(CUstream handle); /* the current context's null stream, under one of its two names */
CUresult driver_stream_of(CUstream handle, driver_stream **out);
driver_stream *driver_stream_new(driver_context *context, unsigned flags, int priority);
void driver_stream_release(driver_stream *stream);
void driver_event_release(driver_event *event);
void driver_stream_drain(driver_stream *stream);
void driver_context_drain(driver_context *context);
void driver_command_run(driver_command *command); /* and all it waits for */
void driver_command_unref(driver_command *command);
void driver_stream_step(driver_stream *stream); /* one piece, if there is one */
/* Both take over the work, also when they fail. The first captures it when the stream is being captured. */
CUresult driver_enqueue(driver_stream *stream, driver_work *work);
CUresult driver_enqueue_command(driver_stream *stream, driver_work **works, size_t n_works, driver_command *after,
                                driver_command **out);

bool driver_capture_refuses(void); /* an UNSAFE call of this thread, now; it ends what it would disturb */
void driver_capture_invalidate(driver_capture *capture);
CUresult driver_capture_usable(driver_stream *stream);   /* work may be enqueued or captured */
CUresult driver_capture_legacy(driver_context *context); /* the null stream may be used */
CUresult driver_capture_add(driver_stream *stream, driver_work *work, driver_graph *child);
CUresult driver_capture_record(driver_stream *stream, driver_event *event);
CUresult driver_capture_wait(driver_stream *stream, driver_event *event, bool *captured);
void driver_capture_leave(driver_stream *stream); /* it is destroyed */
void driver_captures_clear(void);

/* ---- driver_graph.c, driver_exec.c ---- */

driver_graph *driver_graph_new(bool hidden);
void driver_graph_release(driver_graph *graph);
driver_graph *driver_graph_clone(const driver_graph *graph);
/* Takes over `work` or `child`, also when it fails. */
CUresult driver_graph_add(driver_graph *graph, const CUgraphNode *after, size_t n_after, driver_work *work,
                          driver_graph *child, driver_node **out);
/* `node` or one it comes after, directly or not, is marked in `waiting`. Marks begin cleared. */
void driver_graph_mark(driver_graph *graph, const CUgraphNode *nodes, size_t n);
bool driver_graph_sort(driver_graph *graph); /* false: it has a cycle, or no memory */
CUresult driver_work_of_kernel(const CUDA_KERNEL_NODE_PARAMS *params, bool cooperative, driver_work **out);
CUresult driver_work_of_copy(const CUDA_MEMCPY3D *params, CUcontext context, driver_work **out);
CUresult driver_work_of_fill(const CUDA_MEMSET_NODE_PARAMS *params, CUcontext context, driver_work **out);

#endif
