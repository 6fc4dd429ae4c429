/* Largest first, each at the lowest offset where it fits between the slots that live at the same time. */
#include "arena.h"
#include "status.h"
#include <stdlib.h>

/* One item, or all items with a halo that take turns in one place. */
typedef struct slot {
    size_t bytes, offset;
    int32_t first, last;
    int32_t halo_class;
    int32_t busy_until; /* of a halo slot: the last op of its latest item */
    size_t item;
} slot;

static size_t round_up(size_t bytes, size_t align) {
    return (bytes + align - 1) & ~(align - 1);
}

static int by_first(const void *a, const void *b) {
    const kiln_arena_item *const *x = a, *const *y = b;
    if ((*x)->first != (*y)->first)
        return (*x)->first < (*y)->first ? -1 : 1;
    return *x < *y ? -1 : *x > *y;
}

static int by_size(const void *a, const void *b) {
    const slot *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    return x->item < y->item ? -1 : x->item > y->item;
}

static int by_offset(const void *a, const void *b) {
    const slot *const *x = a, *const *y = b;
    return (*x)->offset < (*y)->offset ? -1 : (*x)->offset > (*y)->offset;
}

/* Gives each item with a halo the first free slot of its class; a slot keeps its memory for good. `slot_of` is by
 * item. */
static size_t make_slots(kiln_arena_item *items, kiln_arena_item **order, size_t n, size_t align, slot *slots,
                         size_t *slot_of) {
    size_t n_slots = 0;
    for (size_t k = 0; k < n; k++) {
        const kiln_arena_item *it = order[k];
        const size_t index = (size_t)(it - items);
        size_t s = n_slots;
        for (size_t i = 0; i < n_slots && it->halo_class >= 0; i++)
            if (slots[i].halo_class == it->halo_class && slots[i].busy_until < it->first) {
                s = i;
                break;
            }
        if (s == n_slots)
            slots[n_slots++] = (slot){.bytes = round_up(it->bytes, align),
                                      .first = it->halo_class >= 0 ? INT32_MIN : it->first,
                                      .last = it->halo_class >= 0 ? INT32_MAX : it->last,
                                      .halo_class = it->halo_class,
                                      .item = s};
        slots[s].busy_until = it->last;
        slot_of[index] = s;
    }
    return n_slots;
}

/* The lowest offset for `s` among the slots already placed that live at the same time. */
static size_t find_gap(const slot *s, slot *placed, size_t n_placed, slot **at_once) {
    size_t n = 0, offset = 0;
    for (size_t i = 0; i < n_placed; i++)
        if (placed[i].first <= s->last && s->first <= placed[i].last)
            at_once[n++] = &placed[i];
    qsort(at_once, n, sizeof *at_once, by_offset);
    for (size_t i = 0; i < n; i++) {
        if (at_once[i]->offset >= offset + s->bytes)
            break;
        if (at_once[i]->offset + at_once[i]->bytes > offset)
            offset = at_once[i]->offset + at_once[i]->bytes;
    }
    return offset;
}

static kiln_status check(const kiln_arena_item *items, size_t n, size_t align, kiln_arena *out) {
    *out = (kiln_arena){0};
    for (size_t i = 0; i < n; i++) {
        if (items[i].bytes > SIZE_MAX / 4 || out->unshared_bytes > SIZE_MAX / 2)
            return kiln_fail(KILN_E_INVALID, "the activations overflow the address space");
        out->unshared_bytes += round_up(items[i].bytes, align);
    }
    return KILN_OK;
}

kiln_status kiln__arena_place(kiln_context *context, kiln_arena_item *items, size_t n, size_t align_bytes,
                              kiln_arena *out) {
    KILN_TRY(check(items, n, align_bytes, out));
    kiln_status status = KILN_OK;
    slot *slots = kiln__alloc(context, n * sizeof *slots);
    slot **at_once = kiln__alloc(context, n * sizeof(void *));
    kiln_arena_item **order = kiln__alloc(context, n * sizeof(void *));
    size_t *slot_of = kiln__alloc(context, n * sizeof *slot_of), *offsets = kiln__alloc(context, n * sizeof *offsets);
    if (!slots || !at_once || !order || !slot_of || !offsets) {
        status = KILN_E_MEMORY;
        goto done;
    }
    for (size_t i = 0; i < n; i++)
        order[i] = &items[i];
    qsort(order, n, sizeof(void *), by_first);
    const size_t n_slots = make_slots(items, order, n, align_bytes, slots, slot_of);
    qsort(slots, n_slots, sizeof *slots, by_size);
    for (size_t i = 0; i < n_slots; i++) {
        slots[i].offset = find_gap(&slots[i], slots, i, at_once);
        offsets[slots[i].item] = slots[i].offset;
        if (slots[i].offset + slots[i].bytes > out->bytes)
            out->bytes = slots[i].offset + slots[i].bytes;
    }
    for (size_t i = 0; i < n; i++)
        items[i].offset_bytes = offsets[slot_of[i]];
done:
    kiln__free(context, slots);
    kiln__free(context, at_once);
    kiln__free(context, order);
    kiln__free(context, slot_of);
    kiln__free(context, offsets);
    return status;
}
