/* The inside of a graph: a list of the nodes of bindings and of its own copies, in running order. */
#ifndef KILN_GRAPHS_GRAPH_H
#define KILN_GRAPHS_GRAPH_H

#include "binding.h"
#include <kiln/graph.h>

typedef struct kiln_team kiln_team;

/* One recorded thing: all run nodes of a binding, or one copy. */
typedef struct kiln_capture {
    kiln_binding *binding; /* NULL: a copy */
    kiln_node copy;
    size_t first_node; /* index of its first node in `nodes` */
} kiln_capture;

struct kiln_graph {
    kiln_queue *queue;
    kiln_capture **captures; /* each allocated alone: nodes point into them */
    size_t n_captures, cap_captures;
    const kiln_node **nodes; /* made by kiln_graph_end */
    size_t n_nodes;
    void *native;    /* the backend's graph, or NULL */
    kiln_team *team; /* team.h, or NULL; without either the host enqueues every node */
    bool ended;
    uint64_t n_launches, n_patches, n_recaptures;
};

/* Makes what a launch takes: the backend's own graph where it has them, a team on a CPU, else nothing. */
kiln_status kiln__graph_capture(kiln_graph *graph);

#endif
