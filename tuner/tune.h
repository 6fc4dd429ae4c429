/* Tuning: the search over candidates of one or many problems. */
#ifndef KILN_TUNER_TUNE_H
#define KILN_TUNER_TUNE_H

#include "family.h"
#include <kiln/tune.h>

/* A problem, and how often it occurs in what is tuned. */
typedef struct kiln_tune_item {
    kiln_problem problem;
    double count;
    /* Its schema NULL: the problem is searched. Else the problem is one that `rival`, an item too, could be replaced
     * by: once the others had most of the budget, it is compared with it, trying what is best for the rival. */
    kiln_problem rival;
} kiln_tune_item;

/* kiln_tune_problem for many: the budget goes where the most may be gained. Options are checked here. Comparisons must
 * come last in the list; they count in none of the sums. */
kiln_status kiln__tune_many(kiln_device *device, const kiln_tune_item *items, size_t n_items,
                            const kiln_tune_options *options, kiln_tune_result *out);

#endif
