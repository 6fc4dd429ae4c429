/* Chains: a composite's lowering may be made of parts, problems of other families that hand their results on through
 * the workspace. Each part is planned by itself, so it runs its own winner, and its plan is spliced in: units, prepare
 * and run steps, packed operands, workspace. A part may be a chain in turn; families of parts never lead back to the
 * composite's, so this ends. */
#ifndef KILN_TUNER_CHAIN_H
#define KILN_TUNER_CHAIN_H

#include "planner.h"

/* The plans of the parts, which keep their programs loaded until the composite's plan has them, and why each was
 * chosen. Zero-initialised is empty. */
typedef struct kiln_chain {
    kiln_plan *plans[KILN_MAX_PARTS];
    size_t n_plans;
    kiln_strbuf why;
} kiln_chain;

/* Lowers a candidate to see its parts. `*out` is NULL if it has none; else free it with kiln__free. */
kiln_status kiln__chain_parts(kiln_device *device, const kiln_problem *problem, const kiln_candidate *candidate,
                              kiln_lowering **out);

/* Replaces the parts of `lowering` by steps; nothing happens if it has none. Close the chain whatever comes of it.
 * KILN_E_UNSUPPORTED: a part takes more steps, units or operands than a plan can have, or a step that knows where its
 * operands are. Else what planning a part gives. */
kiln_status kiln__chain_expand(kiln_device *device, kiln_effort effort, kiln_lowering *lowering, kiln_chain *chain);
void kiln__chain_close(kiln_chain *chain);

#endif
