#include "share.h"
#include "number.h"
#include "status.h"
#include <string.h>

static void share_free(kiln_net *net, kiln_net_share *share) {
    for (size_t i = 0; share->weights && i < net->n_weights; i++)
        kiln_buffer_destroy(share->weights[i]);
    for (size_t i = 0; i < share->n_packs; i++)
        kiln_buffer_destroy(share->packs[i].buffer);
    kiln__free(net->context, share->weights);
    kiln__free(net->context, share->packs);
    kiln__free(net->context, share);
}

void kiln__net_shares_free(kiln_net *net) {
    while (net->shares) {
        kiln_net_share *share = net->shares;
        net->shares = share->next;
        share_free(net, share);
    }
}

/* Waits for the write, which reads the converted copy. */
static kiln_status write_matrix(kiln_net *net, kiln_queue *queue, const kiln_net_share *share, size_t index) {
    const kiln_net_weight *w = &net->weights[index];
    const size_t bytes = w->count * kiln_type_bytes(share->type);
    void *stored = kiln__alloc(net->context, bytes);
    if (!stored)
        return KILN_E_MEMORY;
    kiln__encode(share->type, w->data, w->count, stored);
    const kiln_status status = kiln_buffer_write(queue, share->weights[index], 0, stored, bytes);
    const kiln_status finished = kiln_queue_finish(queue);
    kiln__free(net->context, stored);
    return status == KILN_OK ? finished : status;
}

static kiln_status upload(kiln_net *net, kiln_queue *queue, kiln_net_share *share) {
    share->weights = kiln__alloc(net->context, net->n_weights * sizeof *share->weights);
    if (!share->weights)
        return KILN_E_MEMORY;
    for (size_t i = 0; i < net->n_weights; i++) {
        const kiln_net_weight *w = &net->weights[i];
        const bool converted = w->is_matrix && share->type != KILN_TYPE_F32;
        const size_t bytes = w->count * kiln_type_bytes(converted ? share->type : KILN_TYPE_F32);
        KILN_TRY(kiln_buffer_create(share->device, bytes, &share->weights[i]));
        KILN_TRY(converted ? write_matrix(net, queue, share, i)
                           : kiln_buffer_write(queue, share->weights[i], 0, w->data, bytes));
        share->bytes += bytes;
    }
    return KILN_OK;
}

static kiln_status share_make(kiln_net *net, kiln_queue *queue, kiln_type type, kiln_net_share **out) {
    kiln_net_share *share = kiln__alloc(net->context, sizeof *share);
    if (!share)
        return KILN_E_MEMORY;
    share->device = queue->device;
    share->type = type;
    kiln_status status = upload(net, queue, share);
    const kiln_status finished = kiln_queue_finish(queue); /* the writes read host memory until here */
    if (status == KILN_OK)
        status = finished;
    if (status != KILN_OK) {
        share_free(net, share);
        return status;
    }
    share->next = net->shares;
    net->shares = share;
    *out = share;
    return KILN_OK;
}

kiln_status kiln__net_share_get(kiln_net *net, kiln_queue *queue, kiln_type type, kiln_net_share **out) {
    pthread_mutex_lock(&net->lock);
    kiln_net_share *share = net->shares;
    while (share && (share->device != queue->device || share->type != type))
        share = share->next;
    kiln_status status = KILN_OK;
    if (share)
        *out = share;
    else
        status = share_make(net, queue, type, out);
    pthread_mutex_unlock(&net->lock);
    return status;
}

/* ---- packed weights ---- */

static kiln_status pack_add(kiln_net *net, kiln_net_share *share, kiln_net_pack **out) {
    if (share->n_packs == share->cap_packs) {
        const size_t wanted = share->cap_packs ? 2 * share->cap_packs : 64;
        kiln_net_pack *bigger = kiln__realloc(net->context, share->packs, wanted * sizeof *bigger);
        if (!bigger)
            return kiln_fail(KILN_E_MEMORY, "net \"%s\": out of host memory", net->name);
        share->packs = bigger;
        share->cap_packs = wanted;
    }
    *out = &share->packs[share->n_packs];
    return KILN_OK;
}

kiln_status kiln__net_share_pack(kiln_net *net, kiln_net_share *share, size_t op, const kiln_plan *plan, size_t operand,
                                 kiln_view *out, bool *must_prepare) {
    kiln_net_pack pack = {.op = op, .operand = operand}, *place = NULL;
    const size_t bytes = plan->lowering.operands[operand].bytes;
    kiln__plan_pack_key(plan, pack.key);
    for (size_t i = 0; i < share->n_packs; i++) {
        const kiln_net_pack *p = &share->packs[i];
        if (p->op == op && p->operand == operand && strcmp(p->key, pack.key) == 0) {
            *out = (kiln_view){p->buffer, 0};
            *must_prepare = !p->ready;
            return KILN_OK;
        }
    }
    KILN_TRY(pack_add(net, share, &place));
    KILN_TRY(kiln_buffer_create(share->device, bytes, &pack.buffer));
    *place = pack;
    share->n_packs++;
    share->bytes += bytes;
    *out = (kiln_view){pack.buffer, 0};
    *must_prepare = true;
    return KILN_OK;
}

void kiln__net_share_commit(kiln_net_share *share) {
    for (size_t i = 0; i < share->n_packs; i++)
        share->packs[i].ready = true;
}

void kiln__net_share_abandon(kiln_net_share *share) {
    size_t kept = 0;
    for (size_t i = 0; i < share->n_packs; i++) {
        if (share->packs[i].ready) {
            share->packs[kept++] = share->packs[i];
            continue;
        }
        share->bytes -= kiln_buffer_bytes(share->packs[i].buffer);
        kiln_buffer_destroy(share->packs[i].buffer);
    }
    share->n_packs = kept;
}
