/* The inside of a session: a net on a queue, with one made bucket for each batch size that was used. */
#ifndef KILN_NETS_SESSION_H
#define KILN_NETS_SESSION_H

#include "bucket.h"
#include "halos.h"
#include "layout.h"
#include "share.h"

/* Everything that runs one batch size. Made by kiln__made_create, immutable but for `used_items`. */
typedef struct kiln_made_bucket {
    kiln_layout layout;
    kiln_strbuf why; /* of the layout */
    kiln_buffer *inputs, *arena;
    kiln_plan **plans;       /* by op; NULL for a CHANNEL */
    kiln_binding **bindings; /* by op; likewise */
    kiln_node *copies;       /* by op; used for a CHANNEL */
    kiln_graph *graph;
    void *staging;      /* on the host: a batch of each input, then of each output, as they are stored */
    int32_t used_items; /* inputs from here on are zero */
} kiln_made_bucket;

struct kiln_session {
    kiln_net *net;
    kiln_queue *queue;
    kiln_net_share *share;
    int64_t h, w;
    char *variant; /* NULL: the planner chooses */
    kiln_effort effort;
    bool eager;
    kiln_type type; /* of activations and weight matrices */
    kiln_session_halos halos;
    int32_t buckets[KILN_MAX_BUCKETS];
    size_t n_buckets;
    kiln_made_bucket *made[KILN_MAX_BUCKETS];   /* NULL until used */
    kiln_buffer *scratch;                       /* workspace of every op: the queue runs one at a time */
    kiln_buffer *old_scratch[KILN_MAX_BUCKETS]; /* smaller ones that earlier buckets are bound to */
    size_t n_old_scratch;
};

kiln_status kiln__made_create(kiln_session *session, int32_t batch, kiln_made_bucket **out);
void kiln__made_destroy(kiln_session *session, kiln_made_bucket *made);

static inline kiln_view kiln__made_view(const kiln_made_bucket *made, int32_t tensor) {
    return (kiln_view){made->layout.is_input[tensor] ? made->inputs : made->arena,
                       made->layout.items[tensor].offset_bytes};
}

/* The bucket that serves `batch`, made if it is not. */
kiln_status kiln__session_bucket(kiln_session *session, int32_t batch, int32_t *size, kiln_made_bucket **out);

/* Enqueues writing items `first` to `first + n - 1` of host arrays to the inputs. Uses the staging memory until the
 * queue has finished. */
kiln_status kiln__session_write(kiln_session *session, kiln_made_bucket *made, int32_t first, int32_t n,
                                const float *const *inputs);

/* Enqueues a run of a made bucket, binding by binding or as a graph. */
kiln_status kiln__session_enqueue(kiln_session *session, kiln_made_bucket *made, bool eager);

#endif
