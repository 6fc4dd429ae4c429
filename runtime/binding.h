/* The inside of a binding: the plan's steps with their memory resolved. */
#ifndef KILN_RUNTIME_BINDING_H
#define KILN_RUNTIME_BINDING_H

#include "plan.h"

struct kiln_binding {
    kiln_plan *plan;
    kiln_queue *queue;
    kiln_view views[KILN_MAX_OPERANDS];
    kiln_place places[KILN_MAX_OPERANDS]; /* the same, resolved; what CALL steps see */
    kiln_view workspace;
    kiln_buffer *owned[KILN_MAX_OPERANDS + 1]; /* packed operands and workspace that the caller left to us */
    size_t n_owned;
    kiln_node prepare[KILN_MAX_STEPS]; /* kernels of prepare steps are made when first needed */
    bool prepare_ready;
    kiln_node run[KILN_MAX_STEPS];
};

/* Checks and applies a new view of an operand, and calls `changed` (may be NULL) for each run node that uses it. */
kiln_status kiln__binding_patch(kiln_binding *binding, size_t operand, kiln_view view,
                                kiln_status (*changed)(void *user, size_t node), void *user);

/* An argument of a step of the plan with its memory resolved. */
kiln_arg_value kiln__binding_arg(const kiln_binding *binding, const kiln_arg *arg);

#endif
