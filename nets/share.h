/* What the sessions of a net of one type on one device share: weights in device memory, as they are and packed. Made
 * once, under the net's lock, and kept until the net is destroyed. */
#ifndef KILN_NETS_SHARE_H
#define KILN_NETS_SHARE_H

#include "net.h"
#include "plan.h"

/* A PACKED operand of an op. Plans whose prepare steps do the same share it: other buckets, other sessions. */
typedef struct kiln_net_pack {
    size_t op, operand;
    char key[33]; /* kiln__plan_pack_key */
    kiln_buffer *buffer;
    bool ready; /* prepared, and the queue has finished */
} kiln_net_pack;

typedef struct kiln_net_share {
    struct kiln_net_share *next;
    kiln_device *device;
    kiln_type type;        /* of the weight matrices */
    kiln_buffer **weights; /* by weight */
    kiln_net_pack *packs;
    size_t n_packs, cap_packs;
    size_t bytes;
} kiln_net_share;

/* Finds, or makes and uploads, the share of the queue's device and a type. */
kiln_status kiln__net_share_get(kiln_net *net, kiln_queue *queue, kiln_type type, kiln_net_share **out);
void kiln__net_shares_free(kiln_net *net);

/* Below: with the net's lock held until commit or abandon. */

/* The packed operand, and whether the caller must prepare it before it commits. */
kiln_status kiln__net_share_pack(kiln_net *net, kiln_net_share *share, size_t op, const kiln_plan *plan, size_t operand,
                                 kiln_view *out, bool *must_prepare);
/* All new packs are prepared and the queue has finished. */
void kiln__net_share_commit(kiln_net_share *share);
/* New packs are taken back. */
void kiln__net_share_abandon(kiln_net_share *share);

#endif
