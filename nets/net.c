/* Nets as containers: opening, describing, destroying. */
#include "net.h"
#include "safetensors.h"
#include "share.h"
#include "status.h"
#include <math.h>
#include <string.h>

kiln_status kiln__net_create(kiln_context *context, const char *name, const char *format, kiln_net **out) {
    kiln_net *net = kiln__alloc(context, sizeof *net);
    if (!net)
        return KILN_E_MEMORY;
    net->context = context;
    net->format = format;
    net->default_board = 19;
    net->name = kiln__strdup(context, name);
    if (!net->name) {
        kiln__free(context, net);
        return KILN_E_MEMORY;
    }
    pthread_mutex_init(&net->lock, NULL);
    atomic_fetch_add(&context->live_objects, 1);
    *out = net;
    return KILN_OK;
}

void kiln_net_destroy(kiln_net *net) {
    if (!net)
        return;
    kiln_context *context = net->context;
    kiln__net_shares_free(net);
    for (size_t i = 0; i < net->n_tensors; i++)
        kiln__free(context, net->tensors[i].name);
    for (size_t i = 0; i < net->n_weights; i++) {
        kiln__free(context, net->weights[i].name);
        kiln__free(context, net->weights[i].data);
    }
    for (size_t i = 0; i < net->n_ops; i++)
        kiln__free(context, net->ops[i].name);
    for (size_t i = 0; i < net->n_inputs; i++)
        kiln__free(context, net->inputs[i].name);
    for (size_t i = 0; i < net->n_outputs; i++)
        kiln__free(context, net->outputs[i].name);
    kiln__free(context, net->tensors);
    kiln__free(context, net->weights);
    kiln__free(context, net->ops);
    kiln__free(context, net->name);
    pthread_mutex_destroy(&net->lock);
    kiln__free(context, net);
    atomic_fetch_sub(&context->live_objects, 1);
}

kiln_status kiln_net_open(kiln_context *context, const char *path, kiln_net **out) {
    if (!context || !path || !out)
        return kiln_fail(KILN_E_INVALID, "kiln_net_open: context, path or out is NULL");
    *out = NULL;
    if (strncmp(path, "tower:", 6) == 0)
        return kiln__seeded_open(context, path, out);
    if (kiln__safetensors_recognise(path))
        return kiln__description_open(context, path, out);
    return kiln__katago_open(context, path, out);
}

kiln_status kiln_net_get_info(const kiln_net *net, kiln_net_info *out) {
    if (!net)
        return kiln_fail(KILN_E_INVALID, "kiln_net_get_info: net is NULL");
    KILN_CHECK_STRUCT(out, kiln_net_info);
    kiln_net_info info = {.struct_size = out->struct_size,
                          .name = net->name,
                          .format = net->format,
                          .n_blocks = net->n_blocks,
                          .channels = net->channels,
                          .default_board = net->default_board,
                          .n_inputs = net->n_inputs,
                          .n_outputs = net->n_outputs};
    for (size_t i = 0; i < net->n_weights; i++)
        info.n_parameters += (int64_t)net->weights[i].count;
    memcpy(out, &info, out->struct_size);
    return KILN_OK;
}

const kiln_tensor_info *kiln_net_input(const kiln_net *net, size_t index) {
    return net && index < net->n_inputs ? &net->inputs[index].info : NULL;
}

const kiln_tensor_info *kiln_net_output(const kiln_net *net, size_t index) {
    return net && index < net->n_outputs ? &net->outputs[index].info : NULL;
}

int64_t kiln__net_tensor_floats(const kiln_net_tensor *tensor, int64_t h, int64_t w) {
    switch (tensor->shape) {
    case KILN_NET_BOARD:
        return h * w * tensor->c;
    case KILN_NET_POINTS:
        return h * w;
    case KILN_NET_VECTOR:
        return tensor->c;
    }
    return 0;
}

const kiln_net_operand *kiln__net_operand(const kiln_net_op *op, const char *name) {
    for (size_t i = 0; i < op->n_operands; i++)
        if (strcmp(op->operands[i].name, name) == 0)
            return &op->operands[i];
    return NULL;
}
