/* Tuning: the search over candidates of one or many problems. */
#ifndef KILN_TUNER_TUNE_H
#define KILN_TUNER_TUNE_H

#include "family.h"
#include <kiln/tune.h>

/* A problem, and how often it occurs in what is tuned. */
typedef struct kiln_tune_item {
    kiln_problem problem;
    double count;
} kiln_tune_item;

/* kiln_tune_problem for many: the budget goes where the most may be gained. Options are checked here. */
kiln_status kiln__tune_many(kiln_device *device, const kiln_tune_item *items, size_t n_items,
                            const kiln_tune_options *options, kiln_tune_result *out);

#endif
