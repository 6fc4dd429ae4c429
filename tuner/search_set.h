/* The searches of all that is tuned together, and of the parts of its chains.
 *
 * A chain is tried with its parts as they are. Where it comes near the champion its parts are searched as well, for
 * what they weigh in the whole; once one of them has another winner the chain is tried again. */
#ifndef KILN_TUNER_SEARCH_SET_H
#define KILN_TUNER_SEARCH_SET_H

#include "search.h"
#include "tune.h"

typedef struct kiln_search_link {
    size_t whole, part;
    double times; /* how often the part is in the whole */
} kiln_search_link;

typedef struct kiln_search_set {
    kiln_device *device;
    kiln_search **searches; /* those asked for first */
    size_t n, capacity;
    kiln_search_link *links;
    size_t n_links, link_capacity;
} kiln_search_set;

/* Options hold for the items; a variant asked for does not hold for their parts. Close it whatever comes of it. */
kiln_status kiln__search_set_open(kiln_search_set *set, kiln_device *device, const kiln_tune_item *items,
                                  size_t n_items, const kiln_search_options *options);
void kiln__search_set_close(kiln_search_set *set);

/* Adds comparisons behind all that there is, items with a rival. */
kiln_status kiln__search_set_compare(kiln_search_set *set, const kiln_tune_item *items, size_t n_items,
                                     const kiln_search_options *options);

/* The search from `first` on that promises the most, the one at `current` (set->n: none) a bit more, since changing
 * costs its data and reference anew. set->n: none promises anything. */
size_t kiln__search_set_choose(kiln_search_set *set, size_t first, size_t current);

/* Tells the wholes of a search that it has a new champion, `gain_us` faster than the one before. */
kiln_status kiln__search_set_gained(kiln_search_set *set, size_t index, double gain_us);

#endif
