#include "layout.h"
#include "epilogue_fields.h"
#include "problem.h"
#include "status.h"
#include <inttypes.h>
#include <string.h>

enum { MAX_BATCH = 65536, MAX_EDGE = 256 };

/* ---- halos ---- */

/* A convolution reads its input fastest from a halo of half its kernel, which the op before leaves free. Tensors that
 * are added, copied, flattened or seen from outside are compact. */
static void choose_halos(kiln_layout *l) {
    const kiln_net *net = l->net;
    for (size_t i = 0; i < net->n_ops; i++) {
        const kiln_net_op *op = &net->ops[i];
        if (op->kind != KILN_NET_CONV)
            continue;
        const int32_t wanted = (op->kh > op->kw ? op->kh : op->kw) / 2;
        int32_t *halo = &l->halo[kiln__net_operand(op, "input")->index];
        if (wanted > *halo)
            *halo = wanted;
    }
    for (size_t i = 0; i < net->n_ops; i++)
        for (size_t k = 0; k < net->ops[i].n_operands; k++) {
            const kiln_net_operand *o = &net->ops[i].operands[k];
            const bool added = strcmp(o->name, "residual") == 0 || strcmp(o->name, "sum") == 0;
            const bool copied = net->ops[i].kind == KILN_NET_CHANNEL || net->ops[i].kind == KILN_NET_GEMM;
            if (!o->is_weight && (added || (copied && !o->is_output)))
                l->halo[o->index] = 0;
        }
    for (size_t i = 0; i < net->n_inputs; i++)
        l->halo[net->inputs[i].tensor] = 0;
    for (size_t i = 0; i < net->n_outputs; i++)
        l->halo[net->outputs[i].tensor] = 0;
}

/* ---- memory ---- */

static void find_lifetimes(kiln_layout *l) {
    const kiln_net *net = l->net;
    const int32_t end = (int32_t)net->n_ops;
    for (size_t i = 0; i < net->n_ops; i++)
        for (size_t k = 0; k < net->ops[i].n_operands; k++) {
            const kiln_net_operand *o = &net->ops[i].operands[k];
            if (o->is_weight)
                continue;
            if (o->is_output)
                l->items[o->index].first = (int32_t)i;
            l->items[o->index].last = (int32_t)i;
        }
    for (size_t i = 0; i < net->n_outputs; i++)
        l->items[net->outputs[i].tensor].last = end;
}

static int64_t board_edge(const kiln_layout *l, size_t tensor, int64_t edge) {
    return edge + 2 * (int64_t)l->halo[tensor];
}

static kiln_status measure(kiln_layout *l) {
    const kiln_net *net = l->net;
    for (size_t i = 0; i < net->n_tensors; i++) {
        const kiln_net_tensor *t = &net->tensors[i];
        const int64_t floats = kiln__net_tensor_floats(t, board_edge(l, i, l->h), board_edge(l, i, l->w));
        const int64_t bytes = kiln__product(INT64_MAX, l->n, floats, (int64_t)kiln_type_bytes(l->type), (int64_t)-1);
        if (bytes < 0)
            return kiln_fail(KILN_E_INVALID, "net \"%s\": tensor \"%s\" overflows at batch %" PRId64, net->name,
                             t->name, l->n);
        l->items[i].bytes = (size_t)bytes;
        l->items[i].halo_class = -1;
        for (size_t k = 0; k <= i && l->halo[i] > 0 && l->items[i].halo_class < 0; k++)
            if (l->halo[k] == l->halo[i] && net->tensors[k].c == t->c)
                l->items[i].halo_class = (int32_t)k;
    }
    return KILN_OK;
}

/* Inputs lie outside of the arena: a run must not disturb them, since it may be repeated, and not every device copies
 * between pitches within one buffer. */
static void place_inputs(kiln_layout *l, size_t align_bytes) {
    for (size_t i = 0; i < l->net->n_inputs; i++) {
        kiln_arena_item *item = &l->items[l->net->inputs[i].tensor];
        l->is_input[l->net->inputs[i].tensor] = true;
        item->offset_bytes = l->input_bytes;
        l->input_bytes += (item->bytes + align_bytes - 1) & ~(align_bytes - 1);
    }
}

static kiln_status place_rest(kiln_layout *l, size_t align_bytes) {
    const kiln_net *net = l->net;
    size_t n = 0;
    kiln_arena_item *rest = kiln__alloc(net->context, net->n_tensors * sizeof *rest);
    if (!rest)
        return KILN_E_MEMORY;
    for (size_t i = 0; i < net->n_tensors; i++)
        if (!l->is_input[i])
            rest[n++] = l->items[i];
    const kiln_status status = kiln__arena_place(net->context, rest, n, align_bytes, &l->arena);
    n = 0;
    for (size_t i = 0; i < net->n_tensors; i++)
        if (!l->is_input[i])
            l->items[i] = rest[n++];
    kiln__free(net->context, rest);
    return status;
}

kiln_status kiln__layout_place(kiln_layout *l, size_t align_bytes) {
    find_lifetimes(l);
    KILN_TRY(measure(l));
    place_inputs(l, align_bytes);
    return place_rest(l, align_bytes);
}

kiln_status kiln__layout_open(const kiln_net *net, int64_t n, int64_t h, int64_t w, kiln_layout *out) {
    *out = (kiln_layout){.net = net, .n = n, .h = h, .w = w};
    if (n < 1 || n > MAX_BATCH || h < 1 || h > MAX_EDGE || w < 1 || w > MAX_EDGE)
        return kiln_fail(KILN_E_INVALID,
                         "net \"%s\": batch %" PRId64 " of a board of %" PRId64 " by %" PRId64
                         "; batches of 1 to %d and edges of 1 to %d are possible",
                         net->name, n, h, w, MAX_BATCH, MAX_EDGE);
    if (net->board_is_fixed && (h != net->default_board || w != net->default_board))
        return kiln_fail(KILN_E_INVALID,
                         "net \"%s\": a board of %" PRId64 " by %" PRId64
                         "; a layer flattens the board, so that only %" PRId64 " by %" PRId64 " is possible",
                         net->name, h, w, net->default_board, net->default_board);
    out->halo = kiln__alloc(net->context, net->n_tensors * sizeof *out->halo);
    out->items = kiln__alloc(net->context, net->n_tensors * sizeof *out->items);
    out->is_input = kiln__alloc(net->context, net->n_tensors * sizeof *out->is_input);
    if (!out->halo || !out->items || !out->is_input) {
        kiln__layout_free(out);
        return KILN_E_MEMORY;
    }
    choose_halos(out);
    return KILN_OK;
}

void kiln__layout_free(kiln_layout *layout) {
    if (layout->net) {
        kiln__free(layout->net->context, layout->halo);
        kiln__free(layout->net->context, layout->items);
        kiln__free(layout->net->context, layout->is_input);
    }
    *layout = (kiln_layout){0};
}

size_t kiln__layout_item_bytes(const kiln_layout *layout, int32_t tensor) {
    return (size_t)kiln__net_tensor_floats(&layout->net->tensors[tensor], layout->h, layout->w) *
           kiln_type_bytes(layout->type);
}

/* ---- problems ---- */

static void add_epilogue(kiln_strbuf *s, int64_t ep) {
    const char *separator = ",ep=";
    for (const kiln_token *t = kiln__epilogue_tokens; t->name; t++)
        if ((ep & t->mask) == t->value) {
            kiln__strbuf_addf(s, "%s%s", separator, t->name);
            separator = "+";
        }
}

static int32_t halo_of(const kiln_layout *l, const kiln_net_op *op, const char *operand) {
    return l->halo[kiln__net_operand(op, operand)->index];
}

/* What the families that keep the shape of a board have in common. */
static void write_board(const kiln_layout *l, const kiln_net_op *op, const char *family, kiln_strbuf *s) {
    kiln__strbuf_addf(s, "%s:n=%" PRId64 ",h=%" PRId64 ",w=%" PRId64 ",c=%" PRId64 ",ihalo=%d,ohalo=%d", family, l->n,
                      l->h, l->w, op->ic, halo_of(l, op, "input"), halo_of(l, op, "output"));
}

static void write_problem(const kiln_layout *l, const kiln_net_op *op, kiln_strbuf *s) {
    switch (op->kind) {
    case KILN_NET_CONV:
        kiln__strbuf_addf(s,
                          "conv:n=%" PRId64 ",h=%" PRId64 ",w=%" PRId64 ",ic=%" PRId64 ",oc=%" PRId64
                          ",kh=%d,kw=%d,ihalo=%d,ohalo=%d",
                          l->n, l->h, l->w, op->ic, op->oc, op->kh, op->kw, halo_of(l, op, "input"),
                          halo_of(l, op, "output"));
        add_epilogue(s, op->ep);
        return;
    case KILN_NET_GEMM:
        kiln__strbuf_addf(s, "gemm:m=%" PRId64 ",n=%" PRId64 ",k=%" PRId64, l->n, op->oc, op->ic);
        add_epilogue(s, op->ep);
        return;
    case KILN_NET_POOL:
        kiln__strbuf_addf(s, "global_pool:n=%" PRId64 ",h=%" PRId64 ",w=%" PRId64 ",c=%" PRId64 ",form=%s,ihalo=%d",
                          l->n, l->h, l->w, op->ic, op->form, halo_of(l, op, "input"));
        if (op->ep & KILN_EP_MASK)
            kiln__strbuf_add(s, ",mask=1");
        return;
    case KILN_NET_SE:
        write_board(l, op, "se_block", s);
        kiln__strbuf_addf(s, ",r=%" PRId64 ",form=%s", op->reduced, op->form);
        if (op->ep & KILN_EP_MASK)
            kiln__strbuf_add(s, ",mask=1");
        add_epilogue(s, op->ep);
        return;
    case KILN_NET_AFFINE:
        write_board(l, op, "affine", s);
        kiln__strbuf_addf(s, ",form=%s,gate=%s", op->form, op->gate);
        add_epilogue(s, op->ep);
        return;
    case KILN_NET_CHANNEL:
        return;
    }
}

kiln_status kiln__layout_problem(const kiln_layout *layout, size_t op, kiln_problem *out) {
    const kiln_net_op *o = &layout->net->ops[op];
    kiln_strbuf s = {0};
    write_problem(layout, o, &s);
    kiln__strbuf_addf(&s, ",type=%s", kiln_type_name(layout->type));
    kiln_status status = kiln__strbuf_status(&s);
    if (status == KILN_OK)
        status = kiln_problem_parse(layout->net->context, kiln__strbuf_text(&s), out);
    kiln__strbuf_free(&s);
    return status == KILN_OK ? KILN_OK : kiln_fail_in(status, "layer \"%s\"", o->name);
}
