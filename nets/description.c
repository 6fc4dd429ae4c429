/* Nets in safetensors files that describe themselves: JSON to ops. docs/NETS.md is the manual of the format. The file
 * is hostile: everything is counted, named and checked before it is used. */
#include "description.h"
#include "epilogue_fields.h"
#include "status.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_LAYERS = 4096, MAX_TEXT_BYTES = 4 << 20, MAX_BOARD = 256, MAX_KERNEL = 31 };
static const int64_t max_values = INT64_C(1) << 30, max_uses = 16;

/* A tensor of the net by the name that the description gives it. */
typedef struct named {
    const char *name; /* of the JSON */
    int32_t tensor;
} named;

typedef struct reader {
    kiln_described d;
    named *names;
    size_t n_names;
    size_t n_inputs; /* the first names */
} reader;

/* ---- JSON ---- */

static size_t find_word(const char *const *words, size_t n, const char *word) {
    size_t i = 0;
    while (i < n && strcmp(words[i], word) != 0)
        i++;
    return i;
}

kiln_status kiln__described_object(const cJSON *json, const char *what, const char *const *keys, size_t n_keys,
                                   const cJSON **values) {
    const cJSON *item;
    for (size_t i = 0; i < n_keys; i++)
        values[i] = NULL;
    if (!cJSON_IsObject(json))
        return kiln_fail(KILN_E_PARSE, "%s is not a JSON object", what);
    cJSON_ArrayForEach(item, json) {
        const size_t i = find_word(keys, n_keys, item->string);
        if (i == n_keys)
            return kiln_fail(KILN_E_UNSUPPORTED, "%s has an unknown key \"%.60s\"", what, item->string);
        if (values[i])
            return kiln_fail(KILN_E_PARSE, "%s has \"%s\" twice", what, keys[i]);
        values[i] = item;
    }
    return KILN_OK;
}

kiln_status kiln__described_text(const cJSON *json, const char *what, const char **out) {
    if (!json)
        return kiln_fail(KILN_E_PARSE, "\"%s\" is missing", what);
    if (!cJSON_IsString(json))
        return kiln_fail(KILN_E_PARSE, "\"%s\" is not a text", what);
    const size_t length = strlen(json->valuestring);
    if (length == 0 || length >= KILN_DESCRIPTION_MAX_NAME)
        return kiln_fail(KILN_E_PARSE, "\"%s\" has %zu bytes; 1 to %d are possible", what, length,
                         KILN_DESCRIPTION_MAX_NAME - 1);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)json->valuestring[i] < ' ' || json->valuestring[i] == 127)
            return kiln_fail(KILN_E_PARSE, "\"%s\" has a control character", what);
    *out = json->valuestring;
    return KILN_OK;
}

static kiln_status read_int(const cJSON *json, const char *what, int64_t max, int64_t *out) {
    if (!cJSON_IsNumber(json) || !(json->valuedouble >= 1) || json->valuedouble > (double)max ||
        json->valuedouble != floor(json->valuedouble))
        return kiln_fail(KILN_E_PARSE, "\"%s\" is missing or not a whole number of 1 to %lld", what, (long long)max);
    *out = (int64_t)json->valuedouble;
    return KILN_OK;
}

static kiln_status read_list(const cJSON *json, const char *what, int max, int *n) {
    if (!cJSON_IsArray(json) || !json->child)
        return kiln_fail(KILN_E_PARSE, "\"%s\" is missing or not a list of at least one", what);
    *n = cJSON_GetArraySize(json);
    if (*n > max)
        return kiln_fail(KILN_E_UNSUPPORTED, "\"%s\" has %d entries; at most %d are read", what, *n, max);
    return KILN_OK;
}

/* One of `words`, which are static; the first of them if there is no value. */
static kiln_status read_word(const cJSON *json, const char *what, const char *const *words, size_t n,
                             const char **out) {
    const char *text;
    *out = words[0];
    if (!json)
        return KILN_OK;
    KILN_TRY(kiln__described_text(json, what, &text));
    const size_t i = find_word(words, n, text);
    if (i == n)
        return kiln_fail(KILN_E_UNSUPPORTED, "\"%s\" is \"%s\", which this release does not know", what, text);
    *out = words[i];
    return KILN_OK;
}
#define READ_WORD(json, what, words, out) read_word(json, what, words, sizeof(words) / sizeof(words)[0], out)

/* ---- names ---- */

static int32_t find_name(const reader *r, const char *name) {
    for (size_t i = 0; i < r->n_names; i++)
        if (strcmp(r->names[i].name, name) == 0)
            return r->names[i].tensor;
    return KILN_NET_NONE;
}

static kiln_status check_new(const reader *r, const char *name) {
    if (find_name(r, name) != KILN_NET_NONE)
        return kiln_fail(KILN_E_INVALID, "there is a \"%s\" already", name);
    return KILN_OK;
}

static void add_name(reader *r, const char *name, int32_t tensor) {
    r->names[r->n_names++] = (named){name, tensor};
}

/* ---- layers ---- */

#define LAYER_KEYS(X)                                                                                                  \
    X(op)                                                                                                              \
    X(in)                                                                                                              \
    X(out)                                                                                                             \
    X(weights)                                                                                                         \
    X(bias)                                                                                                            \
    X(bn)                                                                                                              \
    X(item_bias)                                                                                                       \
    X(residual)                                                                                                        \
    X(sum)                                                                                                             \
    X(sum_bn)                                                                                                          \
    X(act)                                                                                                             \
    X(form)                                                                                                            \
    X(gate)                                                                                                            \
    X(gates)                                                                                                           \
    X(fc1)                                                                                                             \
    X(fc2)
enum {
#define KEY(name) KEY_##name,
    LAYER_KEYS(KEY)
#undef KEY
        N_LAYER_KEYS
};
static const char *const layer_keys[N_LAYER_KEYS] = {
#define KEY(name) #name,
    LAYER_KEYS(KEY)
#undef KEY
};

typedef struct layer {
    const char *out;
    int32_t in;
    const cJSON *json[N_LAYER_KEYS];
    const char *text[N_LAYER_KEYS]; /* of those that are texts; NULL: not there */
} layer;

/* What an op leaves behind: `sum` only if it is asked for. */
typedef struct made {
    int32_t output, sum;
} made;

static kiln_status operand(const reader *r, const layer *l, int key, int32_t *out) {
    *out = KILN_NET_NONE;
    if (!l->text[key])
        return KILN_OK;
    *out = find_name(r, l->text[key]);
    if (*out == KILN_NET_NONE)
        return kiln_fail(KILN_E_INVALID, "\"%s\" is \"%s\", which no input or earlier layer makes", layer_keys[key],
                         l->text[key]);
    return KILN_OK;
}

static kiln_status activation(const layer *l, int64_t *out) {
    static const struct {
        const char *name;
        int64_t value;
    } known[] = {{"none", KILN_ACT_identity},
#define KNOWN(name, value) {#name, value},
                 KILN_ACTIVATION_MAP(KNOWN)
#undef KNOWN
    };
    const char *name = l->text[KEY_act] ? l->text[KEY_act] : "none";
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].name, name) == 0) {
            *out = known[i].value;
            return KILN_OK;
        }
    return kiln_fail(KILN_E_UNSUPPORTED, "\"act\" is \"%s\", which this release does not know", name);
}

/* All but the bias, which comes with the weights. */
static kiln_status epilogue(reader *r, const layer *l, int64_t channels, kiln_net_epilogue *ep) {
    KILN_TRY(operand(r, l, KEY_item_bias, &ep->nbias));
    KILN_TRY(operand(r, l, KEY_residual, &ep->residual));
    ep->sum = l->text[KEY_sum] != NULL;
    if (l->json[KEY_sum_bn])
        KILN_TRY(kiln__described_norm(&r->d, l->json[KEY_sum_bn], channels, &ep->bn_scale, &ep->bn_bias));
    return activation(l, &ep->activation);
}

static kiln_status wrong_shape(const kiln_safetensor *t, const char *needed) {
    return kiln_fail(KILN_E_INVALID, "tensor \"%s\" has %zu dimensions, first %lld and %lld; needed: %s", t->name,
                     t->rank, t->rank > 0 ? (long long)t->shape[0] : 0LL, t->rank > 1 ? (long long)t->shape[1] : 0LL,
                     needed);
}

static kiln_status build_conv(reader *r, const layer *l, made *m) {
    kiln_described_map map = {.bias = l->text[KEY_bias], .norm = l->json[KEY_bn]};
    kiln_net_epilogue ep = KILN_NET_EPILOGUE_NONE;
    KILN_TRY(kiln__described_tensor(&r->d, l->text[KEY_weights], &map.weights));
    const int64_t *shape = map.weights->shape;
    if (map.weights->rank != 4 || shape[2] < 1 || shape[2] > MAX_KERNEL || shape[3] < 1 || shape[3] > MAX_KERNEL)
        return wrong_shape(map.weights, "[out][in][rows][columns], rows and columns 1 to 31");
    map.oc = shape[0];
    map.ic = shape[1];
    map.points = shape[2] * shape[3];
    kiln_net_conv c = {
        .name = l->out, .input = l->in, .kh = (int32_t)shape[2], .kw = (int32_t)shape[3], .ic = map.ic, .oc = map.oc};
    KILN_TRY(kiln__described_map(&r->d, &map, &c.weights, &ep.bias));
    KILN_TRY(epilogue(r, l, c.oc, &ep));
    return kiln__net_conv(r->d.net, &c, &ep, &m->output, &m->sum);
}

static kiln_status build_linear(reader *r, const layer *l, made *m) {
    const kiln_net *net = r->d.net;
    const kiln_net_tensor *in = &net->tensors[l->in];
    kiln_described_map map = {.bias = l->text[KEY_bias], .norm = l->json[KEY_bn], .points = 1};
    kiln_net_epilogue ep = KILN_NET_EPILOGUE_NONE;
    int32_t weights;
    KILN_TRY(kiln__described_tensor(&r->d, l->text[KEY_weights], &map.weights));
    if (map.weights->rank != 2)
        return wrong_shape(map.weights, "[out][in]");
    if (in->shape == KILN_NET_BOARD)
        map.points = net->default_board * net->default_board;
    map.oc = map.weights->shape[0];
    const int64_t depth = map.weights->shape[1];
    if (depth != in->c * map.points)
        return kiln_fail(KILN_E_INVALID, "tensor \"%s\" takes %lld values where \"%s\" has %lld", map.weights->name,
                         (long long)depth, l->text[KEY_in], (long long)(in->c * map.points));
    map.ic = in->c;
    KILN_TRY(kiln__described_map(&r->d, &map, &weights, &ep.bias));
    KILN_TRY(epilogue(r, l, map.oc, &ep));
    return kiln__net_gemm(r->d.net, l->out, l->in, weights, depth, map.oc, &ep, &m->output);
}

static kiln_status build_pool(reader *r, const layer *l, made *m) {
    static const char *const forms[] = {"mean", "max", "mean_max", "mean_max_std", "katago", "katago_value"};
    const char *form;
    KILN_TRY(READ_WORD(l->json[KEY_form], "form", forms, &form));
    return kiln__net_pool(r->d.net, l->out, form, l->in, KILN_NET_NONE, &m->output);
}

/* One of the two layers of squeeze-excitation: PREFIX.weight, which may be that of a 1x1 convolution, and PREFIX.bias.
 */
static kiln_status se_layer(reader *r, const char *prefix, int32_t *weights, int32_t *bias, int64_t *oc) {
    char weight_name[KILN_DESCRIPTION_MAX_NAME + 8], bias_name[KILN_DESCRIPTION_MAX_NAME + 8];
    kiln_described_map map = {.points = 1, .needs_bias = true};
    snprintf(weight_name, sizeof weight_name, "%s.weight", prefix);
    snprintf(bias_name, sizeof bias_name, "%s.bias", prefix);
    KILN_TRY(kiln__described_tensor(&r->d, weight_name, &map.weights));
    const kiln_safetensor *t = map.weights;
    if (t->rank != 2 && !(t->rank == 4 && t->shape[2] == 1 && t->shape[3] == 1))
        return wrong_shape(t, "[out][in]");
    if (kiln__safetensors_find(r->d.file, bias_name))
        map.bias = bias_name;
    map.oc = *oc = t->shape[0];
    map.ic = t->shape[1];
    return kiln__described_map(&r->d, &map, weights, bias);
}

static kiln_status build_se(reader *r, const layer *l, made *m) {
    static const char *const forms[] = {"scale", "scale_shift"};
    kiln_net_se se = {.name = l->out, .input = l->in};
    kiln_net_epilogue ep = KILN_NET_EPILOGUE_NONE;
    int64_t unused;
    KILN_TRY(READ_WORD(l->json[KEY_form], "form", forms, &se.form));
    KILN_TRY(se_layer(r, l->text[KEY_fc1], &se.w1, &se.b1, &se.reduced));
    KILN_TRY(se_layer(r, l->text[KEY_fc2], &se.w2, &se.b2, &unused));
    KILN_TRY(epilogue(r, l, r->d.net->tensors[l->in].c, &ep));
    return kiln__net_se(r->d.net, &se, &ep, &m->output, &m->sum);
}

static kiln_status build_affine(reader *r, const layer *l, made *m) {
    static const char *const forms[] = {"scale", "shift", "scale_shift"}, *const gates[] = {"none", "sigmoid"};
    kiln_net_affine affine = {.name = l->out, .input = l->in};
    kiln_net_epilogue ep = KILN_NET_EPILOGUE_NONE;
    KILN_TRY(READ_WORD(l->json[KEY_form], "form", forms, &affine.form));
    KILN_TRY(READ_WORD(l->json[KEY_gate], "gate", gates, &affine.gate));
    KILN_TRY(operand(r, l, KEY_gates, &affine.gates));
    KILN_TRY(epilogue(r, l, r->d.net->tensors[l->in].c, &ep));
    return kiln__net_affine(r->d.net, &affine, &ep, &m->output, &m->sum);
}

#define BIT(key) (1u << KEY_##key)
enum {
    ALWAYS = BIT(op) | BIT(in) | BIT(out),
    STREAM = BIT(residual) | BIT(sum) | BIT(sum_bn) | BIT(act) /* of ops that keep the board */
};
static const struct {
    const char *name;
    unsigned needed, optional;
    kiln_status (*build)(reader *, const layer *, made *);
} ops[] = {{"conv", BIT(weights), BIT(bias) | BIT(bn) | BIT(item_bias) | STREAM, build_conv},
           {"linear", BIT(weights), BIT(bias) | BIT(bn) | BIT(residual) | BIT(act), build_linear},
           {"pool", BIT(form), 0, build_pool},
           {"se", BIT(fc1) | BIT(fc2), BIT(form) | STREAM, build_se},
           {"affine", BIT(form) | BIT(gates), BIT(gate) | STREAM, build_affine}};
enum { N_OPS = sizeof ops / sizeof ops[0] };

/* The keys that the op needs are there, and no others but those it knows. */
static kiln_status check_keys(layer *l, size_t op) {
    for (int i = 0; i < N_LAYER_KEYS; i++) {
        const bool needed = (ops[op].needed | ALWAYS) >> i & 1;
        if (l->json[i] && !needed && !(ops[op].optional >> i & 1))
            return kiln_fail(KILN_E_UNSUPPORTED, "\"%s\" has no key \"%s\"", ops[op].name, layer_keys[i]);
        if (needed && !l->json[i])
            return kiln_fail(KILN_E_PARSE, "\"%s\" needs a key \"%s\"", ops[op].name, layer_keys[i]);
        const bool norm = i == KEY_bn || i == KEY_sum_bn;
        if (l->json[i] && !norm)
            KILN_TRY(kiln__described_text(l->json[i], layer_keys[i], &l->text[i]));
    }
    return KILN_OK;
}

static kiln_status read_layer(reader *r, const cJSON *json, layer *l) {
    const char *op;
    made m = {KILN_NET_NONE, KILN_NET_NONE};
    KILN_TRY(kiln__described_object(json, "the layer", layer_keys, N_LAYER_KEYS, l->json));
    if (l->json[KEY_out])
        KILN_TRY(kiln__described_text(l->json[KEY_out], "out", &l->out));
    KILN_TRY(kiln__described_text(l->json[KEY_op], "op", &op));
    size_t i = 0;
    while (i < N_OPS && strcmp(ops[i].name, op) != 0)
        i++;
    if (i == N_OPS)
        return kiln_fail(KILN_E_UNSUPPORTED, "the op \"%s\" is not supported in this release", op);
    KILN_TRY(check_keys(l, i));
    KILN_TRY(operand(r, l, KEY_in, &l->in));
    KILN_TRY(check_new(r, l->out));
    if (l->text[KEY_sum]) {
        KILN_TRY(check_new(r, l->text[KEY_sum]));
        if (strcmp(l->text[KEY_sum], l->out) == 0)
            return kiln_fail(KILN_E_INVALID, "\"sum\" and \"out\" are both \"%s\"", l->out);
    }
    KILN_TRY(ops[i].build(r, l, &m));
    add_name(r, l->out, m.output);
    if (l->text[KEY_sum])
        add_name(r, l->text[KEY_sum], m.sum);
    return KILN_OK;
}

/* ---- the net ---- */

enum { NAME, BOARD, INPUTS, LAYERS, OUTPUTS, N_KEYS };
static const char *const net_keys[N_KEYS] = {"name", "board", "inputs", "layers", "outputs"};

static kiln_status read_input(reader *r, const cJSON *json) {
    static const char *const keys[] = {"name", "shape", "channels"}, *const shapes[] = {"board", "vector"};
    const cJSON *values[3];
    const char *name, *shape;
    int64_t channels;
    int32_t tensor;
    KILN_TRY(kiln__described_object(json, "it", keys, 3, values));
    KILN_TRY(kiln__described_text(values[0], keys[0], &name));
    KILN_TRY(READ_WORD(values[1], keys[1], shapes, &shape));
    KILN_TRY(read_int(values[2], keys[2], KILN_NET_MAX_CHANNELS, &channels));
    KILN_TRY(check_new(r, name));
    KILN_TRY(kiln__net_input(r->d.net, name, shape == shapes[0] ? KILN_NET_BOARD : KILN_NET_VECTOR, channels, &tensor));
    add_name(r, name, tensor);
    r->n_inputs++;
    return KILN_OK;
}

static kiln_status read_output(reader *r, const cJSON *json) {
    static const char *const keys[] = {"name", "from"};
    const cJSON *values[2];
    const char *name, *from;
    KILN_TRY(kiln__described_object(json, "it", keys, 2, values));
    KILN_TRY(kiln__described_text(values[0], keys[0], &name));
    KILN_TRY(kiln__described_text(values[1], keys[1], &from));
    for (size_t i = 0; i < r->d.net->n_outputs; i++)
        if (strcmp(r->d.net->outputs[i].name, name) == 0)
            return kiln_fail(KILN_E_INVALID, "there is an output \"%s\" already", name);
    for (size_t i = r->n_inputs; i < r->n_names; i++)
        if (strcmp(r->names[i].name, from) == 0)
            return kiln__net_output(r->d.net, r->names[i].tensor, name, false);
    return kiln_fail(KILN_E_INVALID, "\"from\" is \"%s\", which no layer makes", from);
}

static kiln_status read_layers(reader *r, const cJSON *list) {
    const cJSON *item;
    size_t i = 0;
    cJSON_ArrayForEach(item, list) {
        layer l = {.out = ""};
        const kiln_status status = read_layer(r, item, &l);
        if (status != KILN_OK)
            return kiln_fail_in(status, "layer %zu \"%s\"", i, l.out);
        i++;
    }
    return KILN_OK;
}

static kiln_status read_ios(reader *r, const cJSON *list, const char *what,
                            kiln_status (*read)(reader *, const cJSON *)) {
    const cJSON *item;
    size_t i = 0;
    cJSON_ArrayForEach(item, list) {
        const kiln_status status = read(r, item);
        if (status != KILN_OK)
            return kiln_fail_in(status, "%s %zu", what, i);
        i++;
    }
    return KILN_OK;
}

/* For kiln_net_info: a layer that adds to a board ends a block; the trunk is as wide as the first of them. */
static void count_blocks(kiln_net *net) {
    for (size_t i = 0; i < net->n_ops; i++) {
        const kiln_net_op *op = &net->ops[i];
        if (net->channels == 0)
            net->channels = op->oc;
        if (!(op->ep & KILN_EP_RES) || op->kind == KILN_NET_GEMM)
            continue;
        if (net->n_blocks++ == 0)
            net->channels = op->oc;
    }
}

static kiln_status read_net(reader *r, const cJSON **values) {
    kiln_context *context = r->d.net->context;
    int n_inputs, n_layers, n_outputs;
    KILN_TRY(read_int(values[BOARD], net_keys[BOARD], MAX_BOARD, &r->d.net->default_board));
    KILN_TRY(read_list(values[INPUTS], net_keys[INPUTS], KILN_NET_MAX_IO, &n_inputs));
    KILN_TRY(read_list(values[LAYERS], net_keys[LAYERS], MAX_LAYERS, &n_layers));
    KILN_TRY(read_list(values[OUTPUTS], net_keys[OUTPUTS], KILN_NET_MAX_IO, &n_outputs));
    r->names = kiln__alloc(context, ((size_t)n_inputs + 2 * (size_t)n_layers) * sizeof *r->names);
    if (!r->names)
        return KILN_E_MEMORY;
    kiln_status status = read_ios(r, values[INPUTS], "input", read_input);
    if (status == KILN_OK)
        status = read_layers(r, values[LAYERS]);
    if (status == KILN_OK)
        status = read_ios(r, values[OUTPUTS], "output", read_output);
    kiln__free(context, r->names);
    count_blocks(r->d.net);
    return status;
}

/* How many weights the net may have: each one of the file often enough for layers that share theirs. */
static int64_t count_values(const kiln_safetensors *file) {
    int64_t n = 0;
    for (size_t i = 0; i < file->n_tensors && n < max_values; i++)
        n += file->tensors[i].elements;
    return n < max_values / max_uses ? n * max_uses : max_values;
}

static kiln_status read_json(kiln_context *context, const kiln_safetensors *file, const cJSON *json, kiln_net **out) {
    const cJSON *values[N_KEYS];
    const char *name;
    reader r = {.d = {.file = file, .values_left = count_values(file)}};
    KILN_TRY(kiln__described_object(json, "the description", net_keys, N_KEYS, values));
    KILN_TRY(kiln__described_text(values[NAME], net_keys[NAME], &name));
    KILN_TRY(kiln__net_create(context, name, "safetensors", &r.d.net));
    const kiln_status status = read_net(&r, values);
    if (status != KILN_OK) {
        kiln_net_destroy(r.d.net);
        return status;
    }
    *out = r.d.net;
    return KILN_OK;
}

static kiln_status read_file(kiln_context *context, const kiln_safetensors *file, kiln_net **out) {
    const char *end = NULL;
    if (!file->description)
        return kiln_fail(KILN_E_UNSUPPORTED, "a safetensors file without a description of its net: "
                                             "__metadata__ has no entry \"kiln\" (docs/NETS.md)");
    if (strlen(file->description) > MAX_TEXT_BYTES)
        return kiln_fail(KILN_E_UNSUPPORTED, "a description of over %d bytes", MAX_TEXT_BYTES);
    cJSON *json = cJSON_ParseWithOpts(file->description, &end, 1);
    if (!json)
        return kiln_fail(KILN_E_PARSE, "the description is not JSON from byte %zu on",
                         end ? (size_t)(end - file->description) : 0);
    const kiln_status status = read_json(context, file, json, out);
    cJSON_Delete(json);
    return status;
}

/* ---- files ---- */

kiln_status kiln__description_read(kiln_context *context, const void *data, size_t bytes, kiln_net **out) {
    kiln_safetensors file;
    *out = NULL;
    KILN_TRY(kiln__safetensors_parse(context, data, bytes, &file));
    const kiln_status status = read_file(context, &file, out);
    kiln__safetensors_close(&file);
    return status;
}

kiln_status kiln__description_open(kiln_context *context, const char *path, kiln_net **out) {
    kiln_safetensors file;
    *out = NULL;
    KILN_TRY(kiln__safetensors_open(context, path, &file));
    const kiln_status status = read_file(context, &file, out);
    kiln__safetensors_close(&file);
    return status == KILN_OK ? KILN_OK : kiln_fail_in(status, "%s", path);
}
