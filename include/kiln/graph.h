/* Graphs: bindings captured for one static shape and replayed at once.
 *
 * Capture records the steps themselves, so nodes, dependencies and patch points are known on every backend. A
 * backend with native graphs replays with one driver call. On a CPU device of OpenCL the steps become one kernel, whose
 * threads are woken once a launch and take the steps together; while it runs they wait for each other without sleeping.
 * KILN_TEAM=0 turns that off. Else a launch is one batched enqueue. A graph runs one execution at a time: each thread
 * makes its own. A launch allocates nothing and takes no lock. */
#ifndef KILN_GRAPH_H
#define KILN_GRAPH_H

#include <kiln/plan.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kiln_graph kiln_graph;

/* Starts an empty graph for a queue. */
KILN_API kiln_status kiln_graph_create(kiln_queue *queue, kiln_graph **out);

/* Waits for the queue if the graph was launched, then destroys it. Bindings are not destroyed. NULL is ignored. */
KILN_API void kiln_graph_destroy(kiln_graph *graph);

/* Appends the run steps of a binding of the same queue, which must outlive the graph. KILN_E_INVALID: after
 * kiln_graph_end, or of another queue. */
KILN_API kiln_status kiln_graph_add(kiln_graph *graph, kiln_binding *binding);

/* Appends a strided copy between device buffers: `rows` runs of `row_bytes`, each `pitch` bytes after the last. */
KILN_API kiln_status kiln_graph_add_copy(kiln_graph *graph, kiln_view destination, size_t destination_pitch_bytes,
                                         kiln_view source, size_t source_pitch_bytes, size_t row_bytes, size_t rows);

/* Closes the graph and makes it ready to launch. */
KILN_API kiln_status kiln_graph_end(kiln_graph *graph);

/* Enqueues everything recorded. Returns before it has run. KILN_E_INVALID: before kiln_graph_end. */
KILN_API kiln_status kiln_graph_launch(kiln_graph *graph);

/* Replaces one operand of one recorded binding from the next launch on, without capturing again. The last launch
 * must have finished. */
KILN_API kiln_status kiln_graph_patch(kiln_graph *graph, kiln_binding *binding, size_t operand, kiln_view view);

typedef struct kiln_graph_info {
    uint32_t struct_size;
    size_t n_nodes;
    uint32_t is_native;    /* 1: the driver's own graph; 0: replayed by the host */
    uint64_t n_launches;   /* so far */
    uint64_t n_patches;    /* so far */
    uint64_t n_recaptures; /* native graphs built again because a patch could not be made in place */
    size_t n_commands; /* what one launch enqueues: n_nodes, or fewer where steps run in one kernel or native graph */
} kiln_graph_info;

#define KILN_GRAPH_INFO_INIT                                                                                           \
    { .struct_size = sizeof(kiln_graph_info) }

KILN_API kiln_status kiln_graph_get_info(const kiln_graph *graph, kiln_graph_info *out);

#ifdef __cplusplus
}
#endif
#endif
