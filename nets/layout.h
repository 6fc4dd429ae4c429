/* Where a net's tensors lie for one batch and board size: halos along chains of convolutions, offsets by liveness, and
 * with them the problem of each op. */
#ifndef KILN_NETS_LAYOUT_H
#define KILN_NETS_LAYOUT_H

#include "arena.h"
#include "net.h"

typedef struct kiln_layout {
    const kiln_net *net;
    int64_t n, h, w;
    kiln_type type;         /* of every tensor in memory */
    int32_t *halo;          /* by tensor */
    kiln_arena_item *items; /* by tensor; outputs live on after the last op */
    kiln_arena arena;
    bool *is_input;     /* by tensor: in a buffer of its own, its offset is there */
    size_t input_bytes; /* of that buffer */
} kiln_layout;

/* The usual halos: convolutions find theirs where nothing speaks against it. All tensors are f32. No memory yet; `halo`
 * (halos.h) and `type` may be changed until kiln__layout_place. KILN_E_INVALID: a batch or board that is not possible.
 */
kiln_status kiln__layout_open(const kiln_net *net, int64_t n, int64_t h, int64_t w, kiln_layout *out);
kiln_status kiln__layout_place(kiln_layout *layout, size_t align_bytes);
void kiln__layout_free(kiln_layout *layout);

/* The problem of an op with the halos as they are, placed or not. It must not be a CHANNEL. */
kiln_status kiln__layout_problem(const kiln_layout *layout, size_t op, kiln_problem *out);

/* Bytes of one item of a tensor without its halo. */
size_t kiln__layout_item_bytes(const kiln_layout *layout, int32_t tensor);

#endif
