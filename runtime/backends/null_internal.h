/* What null.c (life of things), null_script.c and null_run.c (queues, pending work, graphs) share. */
#ifndef KILN_RUNTIME_BACKENDS_NULL_INTERNAL_H
#define KILN_RUNTIME_BACKENDS_NULL_INTERNAL_H

#include "null.h"

/* ---- the script ---- */

enum { NULL_MAX_DEVICES = 8, NULL_MAX_RULES = 64, NULL_MAX_TEXT = 64 };

typedef enum null_rule_kind { NULL_RULE_FAIL, NULL_RULE_TIME, NULL_RULE_RESOURCES, NULL_RULE_COMPUTE } null_rule_kind;

/* What a launch does to its last memory argument. */
#define NULL_RESULTS(X) X(nothing) X(zeros) X(ones) X(nan) X(outside) X(past) X(flaky) X(crash) X(hang)
typedef enum null_result {
#define NULL_ENUM(name) NULL_RESULT_##name,
    NULL_RESULTS(NULL_ENUM)
#undef NULL_ENUM
        NULL_N_RESULTS
} null_result;

/* What a node does, for `time call=`. */
#define NULL_WORK(X) X(kernel, 10) X(copy, 1) X(fill, 1) X(write, 1) X(read, 1) X(call, 0)
typedef enum null_work {
#define NULL_ENUM(name, us) NULL_WORK_##name,
    NULL_WORK(NULL_ENUM)
#undef NULL_ENUM
        NULL_N_WORK
} null_work;

typedef struct null_rule {
    null_rule_kind kind;
    int device;                                                                /* -1: all */
    char kernel[NULL_MAX_TEXT], source[NULL_MAX_TEXT], defines[NULL_MAX_TEXT]; /* "": any */
    uint32_t call;                                                             /* kiln_null_call or null_work */
    uint32_t result;                                                           /* null_result */
    uint64_t nth, seen;
    kiln_status status;
    double us;
    kiln_resources resources;
} null_rule;

typedef struct null_spec { /* a `device` statement */
    char name[NULL_MAX_TEXT], driver[NULL_MAX_TEXT], compiler[NULL_MAX_TEXT], pci[NULL_MAX_TEXT];
    kiln_caps caps;
    bool patch;
    double launch_us;
} null_spec;

typedef struct null_script {
    null_spec devices[NULL_MAX_DEVICES];
    size_t n_devices;
    null_rule rules[NULL_MAX_RULES];
    size_t n_rules;
} null_script;

/* Parses `text` (NUL-terminated), called `path` in failures. */
kiln_status kiln__null_script_parse(const char *path, const char *text, null_script *out);

/* Whether "-DA=1 -DB=2" contains the define "B=2", whole. */
bool kiln__null_has_define(const char *options, const char *define);

/* ---- things ---- */

enum { NULL_MAX_PENDING = 256, NULL_MAX_TRACE = 1 << 18, NULL_MAX_ARGS = 64 };

struct null_queue;

/* desc.native and device->handle: everything of one device, guarded by `lock`. */
typedef struct null_device {
    pthread_mutex_t lock;
    null_spec spec;
    null_rule rules[NULL_MAX_RULES]; /* those of this device */
    size_t n_rules;
    struct null_queue *queues;
    size_t live[KILN_NULL_N_OBJECTS];
    uint64_t calls[KILN_NULL_N_CALLS];
    uint64_t misuses, memory_used;
    uint32_t last_memory, n_launches;
    double clock_us;
    size_t trace_length;
    char trace[NULL_MAX_TRACE]; /* allocated with the device: running must not allocate */
} null_device;

typedef struct null_memory {
    uint32_t number; /* "m1" in the trace */
    bool is_adopted;
    size_t bytes;
    unsigned char *data;
} null_memory;

/* A binary that was accepted: its text (null.c has the format). */
typedef struct null_module {
    char *text;
} null_module;

typedef struct null_kernel {
    char entry[NULL_MAX_TEXT];
    kiln_launch launch; /* grid resolved; `entry` points to our copy */
    double us;
    null_result result;
    unsigned pending; /* launches in queues */
    size_t n_args;
    kiln_arg_value args[];
} null_kernel;

typedef struct null_event {
    double time_us;
    bool is_recorded;
    unsigned pending;
} null_event;

typedef struct null_graph {
    unsigned pending;
    size_t n_nodes;
    kiln_node nodes[]; /* kernels are copies of our own, as a driver's graph keeps its own parameters */
} null_graph;

typedef enum null_op_kind { NULL_OP_NODE, NULL_OP_WRITE, NULL_OP_READ, NULL_OP_EVENT, NULL_OP_GRAPH } null_op_kind;

typedef struct null_op {
    null_op_kind kind;
    kiln_node node;
    kiln_place place;
    const void *from;
    void *to;
    size_t bytes;
    null_event *event;
    null_graph *graph;
} null_op;

typedef struct null_queue {
    struct null_queue *next;
    null_device *owner;
    size_t n_pending;
    null_op pending[NULL_MAX_PENDING];
} null_queue;

static inline null_device *null_of(const kiln_device *device) {
    return device->desc.native;
}

/* What a call is about, for the filters of rules; any may be NULL. */
typedef struct null_about {
    const char *kernel, *source, *defines;
} null_about;

/* Counts a call and fails it if the script says so. `_locked`: with the device's lock held. */
kiln_status kiln__null_call(kiln_device *device, kiln_null_call call, null_about about);
kiln_status kiln__null_call_locked(kiln_device *device, kiln_null_call call, null_about about);

/* Runs the pending work of every queue of the device. With the lock held. */
void kiln__null_settle(null_device *d);

double kiln__null_work_us(const null_device *d, null_work work);

/* A copy of a kernel, from kiln__alloc; NULL when out of memory. */
null_kernel *kiln__null_kernel_copy(kiln_context *context, const null_kernel *kernel);

/* ---- slots in null_run.c ---- */
kiln_status kiln__null_queue_create(kiln_device *device, void **queue);
void kiln__null_queue_destroy(kiln_device *device, void *queue);
kiln_status kiln__null_queue_adopt(kiln_device *device, void *native_queue, void **queue);
kiln_status kiln__null_queue_finish(kiln_device *device, void *queue);
kiln_status kiln__null_queue_flush(kiln_device *device, void *queue);
kiln_status kiln__null_write(kiln_device *device, void *queue, kiln_place to, const void *from, size_t bytes);
kiln_status kiln__null_read(kiln_device *device, void *queue, void *to, kiln_place from, size_t bytes);
kiln_status kiln__null_enqueue(kiln_device *device, void *queue, const kiln_node *node);
kiln_status kiln__null_event_create(kiln_device *device, void **event);
void kiln__null_event_destroy(kiln_device *device, void *event);
kiln_status kiln__null_event_record(kiln_device *device, void *queue, void *event);
kiln_status kiln__null_event_elapsed_us(kiln_device *device, void *from, void *to, double *out);
kiln_status kiln__null_graph_build(kiln_device *device, void *queue, const kiln_node *const *nodes, size_t n_nodes,
                                   void **graph);
kiln_status kiln__null_graph_patch(kiln_device *device, void *graph, size_t index, const kiln_node *node);
kiln_status kiln__null_graph_launch(kiln_device *device, void *queue, void *graph);
void kiln__null_graph_destroy(kiln_device *device, void *graph);

#endif
