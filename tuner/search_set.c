#include "search_set.h"
#include "chain.h"
#include <string.h>

static const double staying = 1.5; /* another search must promise so many times more */

/* ---- lists ---- */

static kiln_status grow(kiln_context *context, void **list, size_t n, size_t *capacity, size_t bytes) {
    if (n < *capacity)
        return KILN_OK;
    const size_t more = *capacity ? 2 * *capacity : 16;
    void *grown = kiln__realloc(context, *list, more * bytes);
    if (!grown)
        return KILN_E_MEMORY;
    *list = grown;
    *capacity = more;
    return KILN_OK;
}

static kiln_status add_search(kiln_search_set *set, const kiln_problem *problem, double count,
                              const kiln_search_options *options) {
    kiln_context *context = set->device->context;
    KILN_TRY(grow(context, (void **)&set->searches, set->n, &set->capacity, sizeof *set->searches));
    kiln_search *s = kiln__alloc(context, sizeof *s);
    if (!s)
        return KILN_E_MEMORY;
    set->searches[set->n++] = s;
    return kiln__search_open(s, set->device, problem, count, options);
}

static size_t find_search(const kiln_search_set *set, const char *key) {
    char other[KILN_MAX_KEY];
    for (size_t i = 0; i < set->n; i++) {
        kiln_problem_key(&set->searches[i]->problem, other, sizeof other);
        if (strcmp(key, other) == 0)
            return i;
    }
    return set->n;
}

static kiln_status add_link(kiln_search_set *set, size_t whole, size_t part) {
    for (size_t i = 0; i < set->n_links; i++)
        if (set->links[i].whole == whole && set->links[i].part == part) {
            set->links[i].times++;
            return KILN_OK;
        }
    KILN_TRY(grow(set->device->context, (void **)&set->links, set->n_links, &set->link_capacity, sizeof *set->links));
    set->links[set->n_links++] = (kiln_search_link){whole, part, 1};
    return KILN_OK;
}

/* ---- parts ---- */

static kiln_status add_part(kiln_search_set *set, size_t whole, const kiln_part *part,
                            const kiln_search_options *options) {
    kiln_problem problem;
    char key[KILN_MAX_KEY];
    if (part->variant)
        return KILN_OK; /* nothing to choose */
    KILN_TRY(kiln_problem_parse(set->device->context, part->problem, &problem));
    kiln_problem_key(&problem, key, sizeof key);
    const size_t at = find_search(set, key);
    if (at == set->n)
        KILN_TRY(add_search(set, &problem, 0, options));
    return add_link(set, whole, at);
}

static kiln_status add_parts(kiln_search_set *set, size_t whole, const kiln_search_options *options) {
    const kiln_search *s = set->searches[whole];
    kiln_status status = KILN_OK;
    for (size_t i = 0; i < s->n_arms && status == KILN_OK; i++) {
        kiln_candidate c = {.variant = s->arms[i].variant};
        kiln_lowering *l = NULL;
        kiln__variant_guess(c.variant, &s->problem, kiln__device_caps(set->device), &c.config);
        KILN_TRY(kiln__chain_parts(set->device, &s->problem, &c, &l));
        for (size_t p = 0; l && p < l->n_parts && status == KILN_OK; p++)
            status = add_part(set, whole, &l->parts[p], options);
        kiln__free(set->device->context, l);
    }
    return status;
}

kiln_status kiln__search_set_open(kiln_search_set *set, kiln_device *device, const kiln_tune_item *items,
                                  size_t n_items, const kiln_search_options *options) {
    kiln_search_options of_parts = *options;
    of_parts.variant = NULL;
    *set = (kiln_search_set){.device = device};
    for (size_t i = 0; i < n_items; i++)
        KILN_TRY(add_search(set, &items[i].problem, items[i].count, options));
    for (size_t i = 0; i < set->n; i++) /* parts come behind and have parts in turn */
        KILN_TRY(add_parts(set, i, &of_parts));
    return KILN_OK;
}

kiln_status kiln__search_set_compare(kiln_search_set *set, const kiln_tune_item *items, size_t n_items,
                                     const kiln_search_options *options) {
    kiln_search_options comparing = *options;
    for (size_t i = 0; i < n_items; i++) {
        comparing.rival = &items[i].rival;
        KILN_TRY(add_search(set, &items[i].problem, items[i].count, &comparing));
    }
    return KILN_OK;
}

void kiln__search_set_close(kiln_search_set *set) {
    for (size_t i = 0; i < set->n; i++) {
        kiln__search_close(set->searches[i]);
        kiln__free(set->device->context, set->searches[i]);
    }
    if (set->device) {
        kiln__free(set->device->context, set->searches);
        kiln__free(set->device->context, set->links);
    }
}

/* ---- choosing ---- */

/* How often a problem occurs, by itself and in the chains that are worth their parts' search. */
static double weight_of(const kiln_search_set *set, size_t index) {
    double weight = set->searches[index]->count;
    for (size_t i = 0; i < set->n_links; i++) {
        const kiln_search_link *link = &set->links[i];
        if (link->part == index && kiln__search_chain_in_reach(set->searches[link->whole]))
            weight += link->times * weight_of(set, link->whole);
    }
    return weight;
}

size_t kiln__search_set_choose(kiln_search_set *set, size_t first, size_t current) {
    size_t best = set->n;
    double most = 0;
    for (size_t i = first; i < set->n; i++) {
        set->searches[i]->weight = weight_of(set, i);
        const double promise = (i == current ? staying : 1) * kiln__search_promise(set->searches[i]);
        if (promise > most) {
            most = promise;
            best = i;
        }
    }
    return best;
}

kiln_status kiln__search_set_gained(kiln_search_set *set, size_t index, double gain_us) {
    for (size_t i = 0; i < set->n_links; i++)
        if (set->links[i].part == index)
            KILN_TRY(kiln__search_parts_gained(set->searches[set->links[i].whole], set->links[i].times * gain_us));
    return KILN_OK;
}
