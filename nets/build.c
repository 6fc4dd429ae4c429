/* The builder: adds weights, tensors and ops, and checks that they fit together. */
#include "epilogue_fields.h"
#include "net.h"
#include "status.h"
#include <string.h>

/* Makes room for one more element of a growing array. */
static kiln_status grow(kiln_net *net, void **array, size_t n, size_t *capacity, size_t element_bytes) {
    if (n < *capacity)
        return KILN_OK;
    const size_t wanted = *capacity ? *capacity * 2 : 64;
    void *bigger = kiln__realloc(net->context, *array, wanted * element_bytes);
    if (!bigger)
        return kiln_fail(KILN_E_MEMORY, "net \"%s\": out of host memory for %zu elements", net->name, wanted);
    *array = bigger;
    *capacity = wanted;
    return KILN_OK;
}

static kiln_status check_channels(const char *name, int64_t channels) {
    if (channels < 1 || channels > KILN_NET_MAX_CHANNELS)
        return kiln_fail(KILN_E_INVALID, "\"%s\": %lld channels; 1 to %d are possible", name, (long long)channels,
                         KILN_NET_MAX_CHANNELS);
    return KILN_OK;
}

/* True unless every exponent is below that of infinity. Without branches, so that it vectorises. */
static bool any_not_finite(const float *data, size_t count) {
    uint32_t found = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &data[i], sizeof bits);
        found |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return found != 0;
}

static kiln_status weight_add(kiln_net *net, const char *name, float *data, size_t count, int32_t *out) {
    if (any_not_finite(data, count))
        return kiln_fail(KILN_E_INVALID, "\"%s\": a weight is NaN or infinite; the net is damaged", name);
    KILN_TRY(grow(net, (void **)&net->weights, net->n_weights, &net->cap_weights, sizeof *net->weights));
    char *copy = kiln__strdup(net->context, name);
    if (!copy)
        return KILN_E_MEMORY;
    net->weights[net->n_weights] = (kiln_net_weight){.name = copy, .data = data, .count = count};
    *out = (int32_t)net->n_weights++;
    return KILN_OK;
}

kiln_status kiln__net_weight(kiln_net *net, const char *name, float *data, size_t count, int32_t *out) {
    const kiln_status status = weight_add(net, name, data, count, out);
    if (status != KILN_OK)
        kiln__free(net->context, data);
    return status;
}

static kiln_status tensor_add(kiln_net *net, const char *name, kiln_net_shape shape, int64_t c, int32_t *out) {
    KILN_TRY(check_channels(name, c));
    KILN_TRY(grow(net, (void **)&net->tensors, net->n_tensors, &net->cap_tensors, sizeof *net->tensors));
    char *copy = kiln__strdup(net->context, name);
    if (!copy)
        return KILN_E_MEMORY;
    net->tensors[net->n_tensors] = (kiln_net_tensor){.name = copy, .shape = shape, .c = c};
    *out = (int32_t)net->n_tensors++;
    return KILN_OK;
}

static kiln_status io_add(kiln_net *net, kiln_net_io *list, size_t *n, int32_t tensor, const char *name,
                          bool as_points) {
    if (*n == KILN_NET_MAX_IO)
        return kiln_fail(KILN_E_INVALID, "\"%s\": a net has at most %d inputs or outputs", name, KILN_NET_MAX_IO);
    const kiln_net_tensor *t = &net->tensors[tensor];
    kiln_net_io *io = &list[*n];
    char *copy = kiln__strdup(net->context, name);
    if (!copy)
        return KILN_E_MEMORY;
    *io = (kiln_net_io){.tensor = tensor, .name = copy, .info = {.name = copy}};
    if (t->shape != KILN_NET_VECTOR) {
        io->info.shape[io->info.rank++] = -1;
        io->info.shape[io->info.rank++] = -1;
    }
    if (t->shape != KILN_NET_POINTS && !as_points)
        io->info.shape[io->info.rank++] = t->c;
    ++*n;
    return KILN_OK;
}

kiln_status kiln__net_input(kiln_net *net, const char *name, kiln_net_shape shape, int64_t channels, int32_t *out) {
    KILN_TRY(tensor_add(net, name, shape, channels, out));
    return io_add(net, net->inputs, &net->n_inputs, *out, name, false);
}

kiln_status kiln__net_output(kiln_net *net, int32_t tensor, const char *name, bool as_points) {
    const kiln_net_tensor *t = &net->tensors[tensor];
    if (as_points && (t->shape != KILN_NET_BOARD || t->c != 1))
        return kiln_fail(KILN_E_INVALID, "output \"%s\" has %lld channels, not one for each point", name,
                         (long long)t->c);
    return io_add(net, net->outputs, &net->n_outputs, tensor, name, as_points);
}

/* ---- operands ---- */

static void attach(kiln_net_op *op, const char *name, bool is_weight, bool is_output, int32_t index) {
    op->operands[op->n_operands++] =
        (kiln_net_operand){.name = name, .is_weight = is_weight, .is_output = is_output, .index = index};
}

static kiln_status attach_weight(const kiln_net *net, kiln_net_op *op, const char *name, int32_t weight,
                                 int64_t count) {
    if (weight == KILN_NET_NONE)
        return KILN_OK;
    const kiln_net_weight *w = &net->weights[weight];
    if (count < 0 || (uint64_t)count != w->count)
        return kiln_fail(KILN_E_INVALID, "\"%s\": its %s \"%s\" has %zu values where its shape needs %lld", op->name,
                         name, w->name, w->count, (long long)count);
    attach(op, name, true, false, weight);
    return KILN_OK;
}

static kiln_status attach_matrix(kiln_net *net, kiln_net_op *op, const char *name, int32_t weight, int64_t count) {
    KILN_TRY(attach_weight(net, op, name, weight, count));
    net->weights[weight].is_matrix = true;
    return KILN_OK;
}

static const char *shape_word(kiln_net_shape shape) {
    static const char *const words[] = {"a board", "points", "a vector"};
    return words[shape];
}

static kiln_status attach_tensor(const kiln_net *net, kiln_net_op *op, const char *name, int32_t tensor,
                                 kiln_net_shape shape, int64_t channels) {
    if (tensor == KILN_NET_NONE)
        return KILN_OK;
    const kiln_net_tensor *t = &net->tensors[tensor];
    if (t->shape != shape || t->c != channels)
        return kiln_fail(KILN_E_INVALID, "\"%s\": its %s is \"%s\", %s of %lld channels; needed: %s of %lld", op->name,
                         name, t->name, shape_word(t->shape), (long long)t->c, shape_word(shape), (long long)channels);
    attach(op, name, false, false, tensor);
    return KILN_OK;
}

static kiln_status attach_output(kiln_net *net, kiln_net_op *op, const char *name, kiln_net_shape shape, int64_t c,
                                 int32_t *out) {
    KILN_TRY(tensor_add(net, op->name, shape, c, out));
    attach(op, name, false, true, *out);
    return KILN_OK;
}

/* Operands in the order that the epilogue applies them. */
static kiln_status attach_epilogue(kiln_net *net, kiln_net_op *op, const kiln_net_epilogue *ep, kiln_net_shape shape,
                                   int32_t *sum) {
    KILN_TRY(attach_weight(net, op, "bias", ep->bias, op->oc));
    KILN_TRY(attach_tensor(net, op, "nbias", ep->nbias, KILN_NET_VECTOR, op->oc));
    KILN_TRY(attach_tensor(net, op, "residual", ep->residual, shape, op->oc));
    if (ep->sum)
        KILN_TRY(attach_output(net, op, "sum", shape, op->oc, sum));
    KILN_TRY(attach_weight(net, op, "bn_scale", ep->bn_scale, op->oc));
    KILN_TRY(attach_weight(net, op, "bn_bias", ep->bn_bias, op->oc));
    KILN_TRY(attach_tensor(net, op, "mask", ep->mask, KILN_NET_POINTS, 1));
    op->ep = (ep->bias != KILN_NET_NONE ? KILN_EP_BIAS : 0) | (ep->nbias != KILN_NET_NONE ? KILN_EP_NBIAS : 0) |
             (ep->residual != KILN_NET_NONE ? KILN_EP_RES : 0) | (ep->sum ? KILN_EP_SUM : 0) |
             (ep->bn_scale != KILN_NET_NONE ? KILN_EP_BN : 0) | (ep->activation << KILN_EP_ACT_SHIFT) |
             (ep->mask != KILN_NET_NONE ? KILN_EP_MASK : 0);
    return KILN_OK;
}

/* ---- ops ---- */

/* Appends an op whose `build` attaches operands; takes it back when that fails. */
static kiln_status op_begin(kiln_net *net, kiln_net_kind kind, const char *name, kiln_net_op **out) {
    KILN_TRY(grow(net, (void **)&net->ops, net->n_ops, &net->cap_ops, sizeof *net->ops));
    char *copy = kiln__strdup(net->context, name);
    if (!copy)
        return KILN_E_MEMORY;
    kiln_net_op *op = &net->ops[net->n_ops++]; /* a failed net is destroyed whole, a half-made op with it */
    *op = (kiln_net_op){.kind = kind, .name = copy};
    *out = op;
    return KILN_OK;
}

kiln_status kiln__net_conv(kiln_net *net, const kiln_net_conv *conv, const kiln_net_epilogue *ep, int32_t *output,
                           int32_t *sum) {
    kiln_net_op *op;
    KILN_TRY(op_begin(net, KILN_NET_CONV, conv->name, &op));
    op->ic = conv->ic;
    op->oc = conv->oc;
    op->kh = conv->kh;
    op->kw = conv->kw;
    KILN_TRY(check_channels(op->name, conv->ic));
    KILN_TRY(check_channels(op->name, conv->oc));
    if (conv->kh % 2 == 0 || conv->kw % 2 == 0)
        return kiln_fail(KILN_E_UNSUPPORTED, "\"%s\": a %d by %d convolution; edges must be odd", op->name, conv->kh,
                         conv->kw);
    KILN_TRY(attach_tensor(net, op, "input", conv->input, KILN_NET_BOARD, conv->ic));
    KILN_TRY(attach_matrix(net, op, "weights", conv->weights, (int64_t)conv->kh * conv->kw * conv->ic * conv->oc));
    KILN_TRY(attach_epilogue(net, op, ep, KILN_NET_BOARD, sum));
    return attach_output(net, op, "output", KILN_NET_BOARD, conv->oc, output);
}

/* Row-major memory of a board is a vector already; only its length depends on the board. */
static kiln_status attach_flat(kiln_net *net, kiln_net_op *op, const char *name, int32_t tensor) {
    const kiln_net_tensor *t = &net->tensors[tensor];
    const int64_t floats = kiln__net_tensor_floats(t, net->default_board, net->default_board);
    if (t->shape != KILN_NET_BOARD)
        return attach_tensor(net, op, name, tensor, KILN_NET_VECTOR, op->ic);
    if (floats != op->ic)
        return kiln_fail(KILN_E_INVALID,
                         "\"%s\": its %s is \"%s\", a board of %lld by %lld with %lld channels, not %lld values",
                         op->name, name, t->name, (long long)net->default_board, (long long)net->default_board,
                         (long long)t->c, (long long)op->ic);
    net->board_is_fixed = true;
    attach(op, name, false, false, tensor);
    return KILN_OK;
}

static kiln_status check_epilogue(const kiln_net_op *op, const kiln_net_epilogue *ep) {
    if (ep->bias != KILN_NET_NONE || ep->nbias != KILN_NET_NONE)
        return kiln_fail(KILN_E_INVALID, "\"%s\": this kind of layer takes no bias", op->name);
    return KILN_OK;
}

kiln_status kiln__net_gemm(kiln_net *net, const char *name, int32_t input, int32_t weights, int64_t ic, int64_t oc,
                           const kiln_net_epilogue *ep, int32_t *output) {
    kiln_net_op *op;
    KILN_TRY(op_begin(net, KILN_NET_GEMM, name, &op));
    op->ic = ic;
    op->oc = oc;
    if (ic < 1 || ic > KILN_NET_MAX_DEPTH)
        return kiln_fail(KILN_E_INVALID, "\"%s\": %lld values in; 1 to %d are possible", op->name, (long long)ic,
                         KILN_NET_MAX_DEPTH);
    KILN_TRY(check_channels(op->name, oc));
    KILN_TRY(attach_flat(net, op, "a", input));
    KILN_TRY(attach_matrix(net, op, "b", weights, ic * oc));
    KILN_TRY(attach_epilogue(net, op, ep, KILN_NET_VECTOR, NULL));
    return attach_output(net, op, "c", KILN_NET_VECTOR, oc, output);
}

static int64_t pool_parts(const char *form) {
    static const struct {
        const char *form;
        int64_t parts;
    } forms[] = {{"mean", 1}, {"max", 1}, {"mean_max", 2}};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        if (strcmp(forms[i].form, form) == 0)
            return forms[i].parts;
    return 3;
}

kiln_status kiln__net_pool(kiln_net *net, const char *name, const char *form, int32_t input, int32_t mask,
                           int32_t *output) {
    kiln_net_op *op;
    KILN_TRY(op_begin(net, KILN_NET_POOL, name, &op));
    op->ic = net->tensors[input].c;
    op->oc = pool_parts(form) * op->ic;
    op->form = form;
    op->ep = mask != KILN_NET_NONE ? KILN_EP_MASK : 0;
    KILN_TRY(attach_tensor(net, op, "input", input, KILN_NET_BOARD, op->ic));
    KILN_TRY(attach_tensor(net, op, "mask", mask, KILN_NET_POINTS, 1));
    return attach_output(net, op, "output", KILN_NET_VECTOR, op->oc, output);
}

kiln_status kiln__net_se(kiln_net *net, const kiln_net_se *se, const kiln_net_epilogue *ep, int32_t *output,
                         int32_t *sum) {
    kiln_net_op *op;
    KILN_TRY(op_begin(net, KILN_NET_SE, se->name, &op));
    const int64_t c = net->tensors[se->input].c, wide = strcmp(se->form, "scale_shift") == 0 ? 2 * c : c;
    op->ic = op->oc = c;
    op->reduced = se->reduced;
    op->form = se->form;
    KILN_TRY(check_channels(op->name, se->reduced));
    KILN_TRY(check_epilogue(op, ep));
    KILN_TRY(attach_tensor(net, op, "input", se->input, KILN_NET_BOARD, c));
    KILN_TRY(attach_matrix(net, op, "w1", se->w1, c * se->reduced));
    KILN_TRY(attach_weight(net, op, "b1", se->b1, se->reduced));
    KILN_TRY(attach_matrix(net, op, "w2", se->w2, se->reduced * wide));
    KILN_TRY(attach_weight(net, op, "b2", se->b2, wide));
    KILN_TRY(attach_epilogue(net, op, ep, KILN_NET_BOARD, sum));
    return attach_output(net, op, "output", KILN_NET_BOARD, c, output);
}

kiln_status kiln__net_affine(kiln_net *net, const kiln_net_affine *affine, const kiln_net_epilogue *ep, int32_t *output,
                             int32_t *sum) {
    kiln_net_op *op;
    KILN_TRY(op_begin(net, KILN_NET_AFFINE, affine->name, &op));
    const int64_t c = net->tensors[affine->input].c;
    op->ic = op->oc = c;
    op->form = affine->form;
    op->gate = affine->gate;
    if (strcmp(affine->form, "shift") == 0 && strcmp(affine->gate, "none") != 0)
        return kiln_fail(KILN_E_INVALID, "\"%s\": a shift alone has no scale for the gate", op->name);
    KILN_TRY(check_epilogue(op, ep));
    KILN_TRY(attach_tensor(net, op, "input", affine->input, KILN_NET_BOARD, c));
    KILN_TRY(attach_tensor(net, op, "gates", affine->gates, KILN_NET_VECTOR,
                           strcmp(affine->form, "scale_shift") == 0 ? 2 * c : c));
    KILN_TRY(attach_epilogue(net, op, ep, KILN_NET_BOARD, sum));
    return attach_output(net, op, "output", KILN_NET_BOARD, c, output);
}

kiln_status kiln__net_channel(kiln_net *net, const char *name, int32_t input, int64_t channel, int32_t *output) {
    kiln_net_op *op;
    KILN_TRY(op_begin(net, KILN_NET_CHANNEL, name, &op));
    op->ic = net->tensors[input].c;
    op->oc = 1;
    op->channel = channel;
    KILN_TRY(attach_tensor(net, op, "input", input, KILN_NET_BOARD, op->ic));
    return attach_output(net, op, "output", KILN_NET_POINTS, 1, output);
}
