/* The parts of kiln demo. */
#ifndef KILN_CLI_DEMO_H
#define KILN_CLI_DEMO_H

#include "cli.h"

/* What became of a candidate that computes wrongly and one that crashes, tuned like any other. */
typedef struct planted_report {
    char wrong[160], crashed[200]; /* candidate and reason; "" if it was not met */
    double n_measured;
    bool chosen_is_sound; /* the plan is neither of them */
} planted_report;

/* Plants both in a copy of a kernel's source, tunes a problem with it on the device through the worker, and looks at
 * what became of them. Returns 1 after printing why it could not. */
int demo_planted(const kiln_device_info *on, planted_report *out);

/* One net at one batch size: microseconds of a batch, 0 where it was not measured. */
typedef struct demo_times {
    double ref_us, untuned_us, eager_us, graph_us;
    double max_diff, max_abs; /* of the tuned outputs from ref's */
} demo_times;

/* Measures a net at each batch size: `ref` where one run takes less than `ref_limit_ms`, then the guesses and the tuned
 * plans, all of them eager, and the tuned ones replayed, in turns. */
int demo_measure(kiln_net *net, kiln_queue *queue, const batch_list *batches, double seconds, double ref_limit_ms,
                 demo_times *out);

#endif
