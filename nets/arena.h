/* The activation arena: offsets in one buffer for tensors that live at different times. */
#ifndef KILN_NETS_ARENA_H
#define KILN_NETS_ARENA_H

#include "context.h"

typedef struct kiln_arena_item {
    size_t bytes;
    int32_t first, last; /* alive from op `first` to op `last`, both included */
    /* >= 0: has a halo whose zeros must survive. Such items share memory only with items of the same class, which
     * must have the same size and place their zeros alike. -1: none. */
    int32_t halo_class;
    size_t offset_bytes; /* out */
} kiln_arena_item;

typedef struct kiln_arena {
    size_t bytes;          /* of the buffer */
    size_t unshared_bytes; /* what it would be if nothing were shared */
} kiln_arena;

/* Chooses offsets, multiples of `align_bytes` (a power of two). Items alive at the same time never overlap.
 * KILN_E_INVALID: sizes that overflow. KILN_E_MEMORY. */
kiln_status kiln__arena_place(kiln_context *context, kiln_arena_item *items, size_t n, size_t align_bytes,
                              kiln_arena *out);

#endif
