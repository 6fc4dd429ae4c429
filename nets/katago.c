/* KataGo networks: layers, blocks and heads, mapped to ops whose epilogues do everything between convolutions.
 *
 * Blocks are pre-activation: a block reads act(norm(x)) and adds to x. So the convolution that makes x waits, open,
 * until the norm of whoever reads x next is known; then one op writes both x (its second output) and act(norm(x)). */
#include "epilogue_fields.h"
#include "file.h"
#include "katago_file.h"
#include "net.h"
#include "status.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MIN_VERSION = 3,
    MAX_VERSION = 17,
    MAX_BLOCKS = 1024,
    MAX_KERNEL = 31,
    MASK_CHANNEL = 0 /* of the spatial input: 1 on the board */
};

typedef struct conv_layer {
    char name[KILN_KATAGO_MAX_NAME];
    kiln_net_conv conv; /* name and input unset */
} conv_layer;

typedef struct norm_layer {
    int32_t scale, bias; /* folded */
    int64_t activation;
} norm_layer;

typedef struct matmul_layer {
    char name[KILN_KATAGO_MAX_NAME];
    int32_t weights;
    int64_t ic, oc;
} matmul_layer;

/* A residual stream: the convolution whose output is not written yet, and what is known of its epilogue. */
typedef struct stream {
    conv_layer last;
    int32_t input;
    kiln_net_epilogue ep;
} stream;

typedef struct reader {
    kiln_katago_file *file;
    kiln_net *net;
    int64_t version, n_spatial, n_global, n_blocks, trunk_norm;
    int32_t spatial, global, mask;
} reader;

/* ---- layers ---- */

static kiln_status weight(reader *r, const char *what, int64_t count, int32_t *out) {
    float *data;
    char name[KILN_KATAGO_MAX_NAME + 16];
    KILN_TRY(kiln__katago_floats(r->file, what, count, &data));
    snprintf(name, sizeof name, "%s", r->file->layer);
    return kiln__net_weight(r->net, name, data, (size_t)count, out);
}

static kiln_status read_conv(reader *r, int64_t ic_needed, conv_layer *out) {
    int64_t kh, kw, ic, oc, dilation_y, dilation_x;
    KILN_TRY(kiln__katago_name(r->file));
    KILN_TRY(kiln__katago_int(r->file, "the height of a kernel", 1, MAX_KERNEL, &kh));
    KILN_TRY(kiln__katago_int(r->file, "the width of a kernel", 1, MAX_KERNEL, &kw));
    KILN_TRY(kiln__katago_int(r->file, "the input channels", 1, KILN_NET_MAX_CHANNELS, &ic));
    KILN_TRY(kiln__katago_int(r->file, "the output channels", 1, KILN_NET_MAX_CHANNELS, &oc));
    KILN_TRY(kiln__katago_int(r->file, "the dilation in y", 1, 64, &dilation_y));
    KILN_TRY(kiln__katago_int(r->file, "the dilation in x", 1, 64, &dilation_x));
    if (dilation_y != 1 || dilation_x != 1)
        return kiln__katago_fail(r->file, KILN_E_UNSUPPORTED, "a dilated convolution (%lld, %lld) is not supported yet",
                                 (long long)dilation_y, (long long)dilation_x);
    if (kh % 2 == 0 || kw % 2 == 0)
        return kiln__katago_fail(r->file, KILN_E_UNSUPPORTED, "a kernel of even size (%lld by %lld) is not supported",
                                 (long long)kh, (long long)kw);
    if (ic != ic_needed)
        return kiln__katago_fail(r->file, KILN_E_INVALID, "it takes %lld channels, but %lld flow in", (long long)ic,
                                 (long long)ic_needed);
    memcpy(out->name, r->file->layer, sizeof out->name);
    out->conv = (kiln_net_conv){.kh = (int32_t)kh, .kw = (int32_t)kw, .ic = ic, .oc = oc};
    return weight(r, "the kernel", kh * kw * ic * oc, &out->conv.weights);
}

static kiln_status read_matmul(reader *r, int64_t ic_needed, int64_t oc_needed, matmul_layer *out) {
    KILN_TRY(kiln__katago_name(r->file));
    KILN_TRY(kiln__katago_int(r->file, "the inputs of a matrix", 1, 3 * KILN_NET_MAX_CHANNELS, &out->ic));
    KILN_TRY(kiln__katago_int(r->file, "the outputs of a matrix", 1, KILN_NET_MAX_CHANNELS, &out->oc));
    if (out->ic != ic_needed || (oc_needed && out->oc != oc_needed))
        return kiln__katago_fail(r->file, KILN_E_INVALID, "a matrix of %lld by %lld where %lld by %lld belongs",
                                 (long long)out->ic, (long long)out->oc, (long long)ic_needed,
                                 (long long)(oc_needed ? oc_needed : out->oc));
    memcpy(out->name, r->file->layer, sizeof out->name);
    return weight(r, "the matrix", out->ic * out->oc, &out->weights);
}

static kiln_status read_bias(reader *r, int64_t channels, int32_t *out) {
    int64_t c;
    KILN_TRY(kiln__katago_name(r->file));
    KILN_TRY(kiln__katago_int(r->file, "the channels of a bias", 1, KILN_NET_MAX_CHANNELS, &c));
    if (c != channels)
        return kiln__katago_fail(r->file, KILN_E_INVALID, "a bias of %lld values for %lld channels", (long long)c,
                                 (long long)channels);
    return weight(r, "the bias", c, out);
}

static kiln_status read_activation(reader *r, int64_t *out) {
    static const struct {
        const char *name;
        int64_t activation;
    } known[] = {{"ACTIVATION_IDENTITY", KILN_ACT_identity},
                 {"ACTIVATION_RELU", KILN_ACT_relu},
                 {"ACTIVATION_MISH", KILN_ACT_mish},
                 {"ACTIVATION_SILU", KILN_ACT_silu}};
    KILN_TRY(kiln__katago_name(r->file));
    *out = KILN_ACT_relu;
    if (r->version < 11)
        return KILN_OK;
    char kind[KILN_KATAGO_MAX_NAME];
    KILN_TRY(kiln__katago_token(r->file, "an activation", kind));
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(kind, known[i].name) == 0) {
            *out = known[i].activation;
            return KILN_OK;
        }
    if (strncmp(kind, "ACTIVATION_", 11) == 0)
        return kiln__katago_fail(r->file, KILN_E_UNSUPPORTED, "activation %.60s is not supported in this release",
                                 kind);
    return kiln__katago_fail(r->file, KILN_E_PARSE, "\"%.60s\" where an activation belongs", kind);
}

/* A batch norm as it lies in the file: mean, variance, then scale and bias if there. */
typedef struct raw_norm {
    double epsilon;
    float *array[4];
} raw_norm;

static kiln_status fold(reader *r, const raw_norm *raw, int64_t c, norm_layer *out) {
    kiln_context *context = r->net->context;
    float *scale = kiln__alloc(context, (size_t)c * sizeof *scale);
    float *bias = kiln__alloc(context, (size_t)c * sizeof *bias);
    kiln_status status = scale && bias ? KILN_OK : KILN_E_MEMORY;
    for (int64_t i = 0; i < c && status == KILN_OK; i++) {
        const double spread = (double)raw->array[1][i] + raw->epsilon;
        if (!(spread > 0))
            status = kiln__katago_fail(r->file, KILN_E_INVALID,
                                       "the variance of channel %lld plus epsilon is %g; it must be positive",
                                       (long long)i, spread);
        const double a = (raw->array[2] ? (double)raw->array[2][i] : 1.0) / sqrt(spread);
        scale[i] = (float)a;
        bias[i] = (float)((raw->array[3] ? (double)raw->array[3][i] : 0.0) - a * (double)raw->array[0][i]);
    }
    if (status != KILN_OK) {
        kiln__free(context, scale);
        kiln__free(context, bias);
        return status;
    }
    char name[KILN_KATAGO_MAX_NAME + 16];
    snprintf(name, sizeof name, "%s.scale", r->file->layer);
    status = kiln__net_weight(r->net, name, scale, (size_t)c, &out->scale);
    if (status != KILN_OK) {
        kiln__free(context, bias);
        return status;
    }
    snprintf(name, sizeof name, "%s.bias", r->file->layer);
    return kiln__net_weight(r->net, name, bias, (size_t)c, &out->bias);
}

/* A norm and the activation after it. */
static kiln_status read_norm(reader *r, int64_t channels, norm_layer *out) {
    static const char *const what[4] = {"the means", "the variances", "the scales", "the biases"};
    int64_t c, has[4] = {1, 1, 0, 0};
    raw_norm raw = {0};
    KILN_TRY(kiln__katago_name(r->file));
    KILN_TRY(kiln__katago_int(r->file, "the channels of a norm", 1, KILN_NET_MAX_CHANNELS, &c));
    KILN_TRY(kiln__katago_float(r->file, "the epsilon of a norm", &raw.epsilon));
    KILN_TRY(kiln__katago_int(r->file, "whether a norm has scales", 0, 1, &has[2]));
    KILN_TRY(kiln__katago_int(r->file, "whether a norm has biases", 0, 1, &has[3]));
    if (c != channels)
        return kiln__katago_fail(r->file, KILN_E_INVALID, "a norm of %lld channels, but %lld flow in", (long long)c,
                                 (long long)channels);
    kiln_status status = KILN_OK;
    for (int i = 0; i < 4 && status == KILN_OK; i++)
        if (has[i])
            status = kiln__katago_floats(r->file, what[i], c, &raw.array[i]);
    if (status == KILN_OK)
        status = fold(r, &raw, c, out);
    for (int i = 0; i < 4; i++)
        if (raw.array[i])
            kiln__free(r->net->context, raw.array[i]);
    KILN_TRY(status);
    return read_activation(r, &out->activation);
}

/* ---- ops ---- */

static void epilogue_norm(const reader *r, const norm_layer *norm, kiln_net_epilogue *ep) {
    ep->bn_scale = norm->scale;
    ep->bn_bias = norm->bias;
    ep->activation = norm->activation;
    ep->mask = r->mask;
}

static kiln_status emit_conv(reader *r, const conv_layer *layer, int32_t input, const kiln_net_epilogue *ep,
                             int32_t *output, int32_t *sum) {
    kiln_net_conv conv = layer->conv;
    conv.name = layer->name;
    conv.input = input;
    return kiln__net_conv(r->net, &conv, ep, output, sum);
}

static kiln_status emit_normed(reader *r, const conv_layer *layer, int32_t input, const norm_layer *norm, int32_t nbias,
                               int32_t *output) {
    kiln_net_epilogue ep = KILN_NET_EPILOGUE_NONE;
    ep.nbias = nbias;
    epilogue_norm(r, norm, &ep);
    return emit_conv(r, layer, input, &ep, output, NULL);
}

static kiln_status emit_matmul(reader *r, const matmul_layer *layer, int32_t input, int32_t bias, int64_t activation,
                               int32_t *output) {
    kiln_net_epilogue ep = KILN_NET_EPILOGUE_NONE;
    ep.bias = bias;
    ep.activation = activation;
    return kiln__net_gemm(r->net, layer->name, input, layer->weights, layer->ic, layer->oc, &ep, output);
}

/* Reads the norm and activation that `s` flows into and writes the op that was waiting for them. `sum`, if given, is
 * the stream itself: what the next block adds to. */
static kiln_status stream_normed(reader *r, stream *s, int32_t *activated, int32_t *sum) {
    norm_layer norm;
    KILN_TRY(read_norm(r, s->last.conv.oc, &norm));
    epilogue_norm(r, &norm, &s->ep);
    s->ep.sum = sum != NULL;
    return emit_conv(r, &s->last, s->input, &s->ep, activated, sum);
}

/* The stream goes on with a convolution added to `residual` (NONE: it starts). */
static kiln_status stream_continue(reader *r, stream *s, int32_t input, int32_t residual, int64_t channels) {
    kiln_net_epilogue ep = KILN_NET_EPILOGUE_NONE;
    KILN_TRY(read_conv(r, r->net->tensors[input].c, &s->last));
    if (s->last.conv.oc != channels)
        return kiln__katago_fail(r->file, KILN_E_INVALID, "it makes %lld channels where %lld are added up",
                                 (long long)s->last.conv.oc, (long long)channels);
    ep.residual = residual;
    s->ep = ep;
    s->input = input;
    return KILN_OK;
}

/* ---- blocks ---- */

static kiln_status read_ordinary(reader *r, stream *s) {
    const int64_t channels = s->last.conv.oc;
    int32_t activated, x, middle;
    conv_layer conv1;
    norm_layer norm2;
    KILN_TRY(stream_normed(r, s, &activated, &x));
    KILN_TRY(read_conv(r, channels, &conv1));
    KILN_TRY(read_norm(r, conv1.conv.oc, &norm2));
    KILN_TRY(emit_normed(r, &conv1, activated, &norm2, KILN_NET_NONE, &middle));
    return stream_continue(r, s, middle, x, channels);
}

/* A convolution whose pooled output becomes a bias of `to` channels. */
static kiln_status pooled_bias(reader *r, const conv_layer *conv, const norm_layer *norm, const matmul_layer *matmul,
                               int32_t input, int32_t *pooled, int32_t *bias) {
    int32_t g;
    KILN_TRY(emit_normed(r, conv, input, norm, KILN_NET_NONE, &g));
    KILN_TRY(kiln__net_pool(r->net, conv->name, "katago", g, r->mask, pooled));
    return emit_matmul(r, matmul, *pooled, KILN_NET_NONE, KILN_ACT_identity, bias);
}

static kiln_status read_gpool(reader *r, stream *s) {
    const int64_t channels = s->last.conv.oc;
    int32_t activated, x, pooled, bias, middle;
    conv_layer regular, gpool;
    norm_layer norm_g, norm2;
    matmul_layer matmul;
    KILN_TRY(stream_normed(r, s, &activated, &x));
    KILN_TRY(read_conv(r, channels, &regular));
    KILN_TRY(read_conv(r, channels, &gpool));
    KILN_TRY(read_norm(r, gpool.conv.oc, &norm_g));
    KILN_TRY(read_matmul(r, 3 * gpool.conv.oc, regular.conv.oc, &matmul));
    KILN_TRY(read_norm(r, regular.conv.oc, &norm2));
    KILN_TRY(pooled_bias(r, &gpool, &norm_g, &matmul, activated, &pooled, &bias));
    KILN_TRY(emit_normed(r, &regular, activated, &norm2, bias, &middle));
    return stream_continue(r, s, middle, x, channels);
}

static kiln_status read_blocks(reader *r, stream *s, int64_t n, bool inner);

static kiln_status read_nested(reader *r, stream *s) {
    const int64_t channels = s->last.conv.oc;
    int64_t n;
    int32_t activated, x, middle;
    stream inside = {.last = {.name = ""}};
    KILN_TRY(kiln__katago_int(r->file, "the number of inner blocks", 1, MAX_BLOCKS, &n));
    KILN_TRY(stream_normed(r, s, &activated, &x));
    KILN_TRY(read_conv(r, channels, &inside.last));
    inside.input = activated;
    inside.ep = (kiln_net_epilogue)KILN_NET_EPILOGUE_NONE;
    KILN_TRY(read_blocks(r, &inside, n, true));
    KILN_TRY(stream_normed(r, &inside, &middle, NULL));
    return stream_continue(r, s, middle, x, channels);
}

static kiln_status read_block(reader *r, stream *s, bool inner) {
    char kind[KILN_KATAGO_MAX_NAME];
    KILN_TRY(kiln__katago_token(r->file, "the kind of a block", kind));
    const size_t length = strlen(kind);
    if (length < 6 || strcmp(kind + length - 6, "_block") != 0)
        return kiln__katago_fail(r->file, KILN_E_PARSE, "\"%.60s\" where the kind of a block belongs", kind);
    KILN_TRY(kiln__katago_name(r->file));
    if (strcmp(kind, "ordinary_block") == 0)
        return read_ordinary(r, s);
    if (strcmp(kind, "gpool_block") == 0)
        return read_gpool(r, s);
    if (strcmp(kind, "nested_bottleneck_block") == 0 && !inner)
        return read_nested(r, s);
    return kiln__katago_fail(r->file, KILN_E_UNSUPPORTED, "%.60s%s is not supported in this release", kind,
                             inner ? " inside another block" : "");
}

static kiln_status read_blocks(reader *r, stream *s, int64_t n, bool inner) {
    for (int64_t i = 0; i < n; i++)
        KILN_TRY(read_block(r, s, inner));
    return KILN_OK;
}

/* ---- header, stem and trunk ---- */

static kiln_status skip_ints(reader *r, const char *what, int n, int64_t *first) {
    for (int i = 0; i < n; i++) {
        int64_t value;
        KILN_TRY(kiln__katago_int(r->file, what, INT32_MIN, INT32_MAX, &value));
        if (i == 0)
            *first = value;
    }
    return KILN_OK;
}

static kiln_status read_header(reader *r) {
    KILN_TRY(kiln__katago_int(r->file, "the version", 0, INT32_MAX, &r->version));
    if (r->version < MIN_VERSION || r->version > MAX_VERSION)
        return kiln__katago_fail(r->file, KILN_E_UNSUPPORTED, "format version %lld; this release reads %d to %d",
                                 (long long)r->version, MIN_VERSION, MAX_VERSION);
    KILN_TRY(kiln__katago_int(r->file, "the spatial input channels", 1, 1024, &r->n_spatial));
    KILN_TRY(kiln__katago_int(r->file, "the global input channels", 1, 1024, &r->n_global));
    double unused;
    for (int i = 0; i < 7 && r->version >= 13; i++)
        KILN_TRY(kiln__katago_float(r->file, "a post-processing value", &unused));
    int64_t meta_encoder = 0;
    if (r->version >= 15)
        KILN_TRY(skip_ints(r, "the meta encoder", 8, &meta_encoder));
    if (meta_encoder != 0)
        return kiln__katago_fail(r->file, KILN_E_UNSUPPORTED,
                                 "a net with a meta encoder (version %lld) is not supported in this release",
                                 (long long)meta_encoder);
    return KILN_OK;
}

static kiln_status read_stem(reader *r, stream *s) {
    matmul_layer global;
    KILN_TRY(read_conv(r, r->n_spatial, &s->last));
    if (s->last.conv.oc != r->net->channels)
        return kiln__katago_fail(r->file, KILN_E_INVALID, "it makes %lld channels for a trunk of %lld",
                                 (long long)s->last.conv.oc, (long long)r->net->channels);
    KILN_TRY(read_matmul(r, r->n_global, r->net->channels, &global));
    s->input = r->spatial;
    s->ep = (kiln_net_epilogue)KILN_NET_EPILOGUE_NONE;
    return emit_matmul(r, &global, r->global, KILN_NET_NONE, KILN_ACT_identity, &s->ep.nbias);
}

static kiln_status read_trunk(reader *r, int32_t *tip) {
    kiln_net *net = r->net;
    int64_t unused;
    KILN_TRY(kiln__katago_name(r->file));
    KILN_TRY(kiln__katago_int(r->file, "the number of blocks", 0, MAX_BLOCKS, &r->n_blocks));
    KILN_TRY(kiln__katago_int(r->file, "the trunk channels", 1, KILN_NET_MAX_CHANNELS, &net->channels));
    for (int i = 0; i < 4; i++) /* middle, regular, dilated, pooled: each layer says so itself */
        KILN_TRY(kiln__katago_int(r->file, "a channel count", 0, KILN_NET_MAX_CHANNELS, &unused));
    if (r->version >= 15)
        KILN_TRY(skip_ints(r, "a trunk option", 6, &r->trunk_norm));
    net->n_blocks = (size_t)r->n_blocks;
    KILN_TRY(kiln__net_input(net, "spatial", KILN_NET_BOARD, r->n_spatial, &r->spatial));
    KILN_TRY(kiln__net_input(net, "global", KILN_NET_VECTOR, r->n_global, &r->global));
    KILN_TRY(kiln__net_channel(net, "mask", r->spatial, MASK_CHANNEL, &r->mask));
    stream s;
    KILN_TRY(read_stem(r, &s));
    KILN_TRY(read_blocks(r, &s, r->n_blocks, false));
    if (r->trunk_norm != 0)
        return kiln__katago_fail(r->file, KILN_E_UNSUPPORTED,
                                 "trunk norm kind %lld (RMSNorm at the tip) is not supported in this release",
                                 (long long)r->trunk_norm);
    return stream_normed(r, &s, tip, NULL);
}

/* ---- heads ---- */

static kiln_status read_pass(reader *r, int32_t pooled, int64_t pooled_channels, int64_t policies) {
    matmul_layer first, second;
    int32_t pass, bias;
    int64_t activation;
    if (r->version < 15) {
        KILN_TRY(read_matmul(r, pooled_channels, policies, &first));
        KILN_TRY(emit_matmul(r, &first, pooled, KILN_NET_NONE, KILN_ACT_identity, &pass));
    } else {
        int32_t hidden;
        KILN_TRY(read_matmul(r, pooled_channels, 0, &first));
        KILN_TRY(read_bias(r, first.oc, &bias));
        KILN_TRY(read_activation(r, &activation));
        KILN_TRY(read_matmul(r, first.oc, policies, &second));
        KILN_TRY(emit_matmul(r, &first, pooled, bias, activation, &hidden));
        KILN_TRY(emit_matmul(r, &second, hidden, KILN_NET_NONE, KILN_ACT_identity, &pass));
    }
    return kiln__net_output(r->net, pass, "policy_pass_logit", false);
}

static kiln_status read_policy(reader *r, int32_t tip) {
    const kiln_net_epilogue plain = KILN_NET_EPILOGUE_NONE;
    conv_layer p1, g1, p2;
    norm_layer norm_g, norm_p;
    matmul_layer matmul;
    int32_t pooled, bias, p, policy;
    int64_t unused;
    KILN_TRY(kiln__katago_name(r->file));
    if (r->version >= 17)
        KILN_TRY(skip_ints(r, "a policy head option", 4, &unused));
    KILN_TRY(read_conv(r, r->net->channels, &p1));
    KILN_TRY(read_conv(r, r->net->channels, &g1));
    KILN_TRY(read_norm(r, g1.conv.oc, &norm_g));
    KILN_TRY(read_matmul(r, 3 * g1.conv.oc, p1.conv.oc, &matmul));
    KILN_TRY(read_norm(r, p1.conv.oc, &norm_p));
    KILN_TRY(read_conv(r, p1.conv.oc, &p2));
    KILN_TRY(pooled_bias(r, &g1, &norm_g, &matmul, tip, &pooled, &bias));
    KILN_TRY(emit_normed(r, &p1, tip, &norm_p, bias, &p));
    KILN_TRY(emit_conv(r, &p2, p, &plain, &policy, NULL));
    KILN_TRY(kiln__net_output(r->net, policy, "policy_logits", false));
    return read_pass(r, pooled, 3 * g1.conv.oc, p2.conv.oc);
}

/* MATMUL, bias: an output. */
static kiln_status read_linear_output(reader *r, int32_t input, int64_t oc_needed, const char *name) {
    matmul_layer matmul;
    int32_t bias, output;
    KILN_TRY(read_matmul(r, r->net->tensors[input].c, oc_needed, &matmul));
    KILN_TRY(read_bias(r, matmul.oc, &bias));
    KILN_TRY(emit_matmul(r, &matmul, input, bias, KILN_ACT_identity, &output));
    return kiln__net_output(r->net, output, name, false);
}

static kiln_status read_value(reader *r, int32_t tip) {
    const kiln_net_epilogue plain = KILN_NET_EPILOGUE_NONE;
    conv_layer v1, ownership;
    norm_layer norm;
    matmul_layer v2;
    int32_t bias, v, pooled, hidden, output;
    int64_t activation, unused;
    KILN_TRY(kiln__katago_name(r->file));
    if (r->version >= 17)
        KILN_TRY(skip_ints(r, "a value head option", 3, &unused));
    KILN_TRY(read_conv(r, r->net->channels, &v1));
    KILN_TRY(read_norm(r, v1.conv.oc, &norm));
    KILN_TRY(read_matmul(r, 3 * v1.conv.oc, 0, &v2));
    KILN_TRY(read_bias(r, v2.oc, &bias));
    KILN_TRY(read_activation(r, &activation));
    KILN_TRY(emit_normed(r, &v1, tip, &norm, KILN_NET_NONE, &v));
    KILN_TRY(kiln__net_pool(r->net, v1.name, "katago_value", v, r->mask, &pooled));
    KILN_TRY(emit_matmul(r, &v2, pooled, bias, activation, &hidden));
    KILN_TRY(read_linear_output(r, hidden, 3, "value_logits"));
    KILN_TRY(read_linear_output(r, hidden, 0, "score_value"));
    KILN_TRY(read_conv(r, v1.conv.oc, &ownership));
    if (ownership.conv.oc != 1)
        return kiln__katago_fail(r->file, KILN_E_INVALID, "ownership has %lld channels, not one",
                                 (long long)ownership.conv.oc);
    KILN_TRY(emit_conv(r, &ownership, v, &plain, &output, NULL));
    return kiln__net_output(r->net, output, "ownership_pretanh", true);
}

/* ---- files ---- */

static kiln_status read_net(reader *r) {
    int32_t tip;
    KILN_TRY(read_header(r));
    KILN_TRY(read_trunk(r, &tip));
    KILN_TRY(read_policy(r, tip));
    KILN_TRY(read_value(r, tip));
    return kiln__katago_end(r->file);
}

kiln_status kiln__katago_read(kiln_context *context, const void *data, size_t bytes, kiln_net **out) {
    kiln_katago_file file;
    reader r = {.file = &file};
    *out = NULL;
    if (bytes == 0)
        return kiln_fail(KILN_E_PARSE, "the file is empty");
    KILN_TRY(kiln__katago_file_open(context, data, bytes, &file));
    kiln_status status = kiln__katago_name(&file);
    if (status == KILN_OK)
        status = kiln__net_create(context, file.layer, "katago", &r.net);
    if (status == KILN_OK)
        status = read_net(&r);
    kiln__katago_file_close(&file);
    if (status != KILN_OK) {
        kiln_net_destroy(r.net);
        return status;
    }
    *out = r.net;
    return KILN_OK;
}

kiln_status kiln__katago_open(kiln_context *context, const char *path, kiln_net **out) {
    void *data = NULL;
    size_t bytes;
    kiln_status status = kiln__file_read(context, path, (size_t)4 << 30, &data, &bytes);
    if (status == KILN_OK)
        status = kiln__katago_read(context, data, bytes, out);
    kiln__free(context, data);
    return status == KILN_OK ? KILN_OK : kiln_fail_in(status, "%s", path);
}
