/* Nets from a text, with seeded weights: the shapes of a real engine for measuring without a file.
 *
 *     tower:blocks=9,channels=256,inputs=46,board=9,seed=1
 *
 * A post-activation residual tower: stem conv3x3, relu; blocks of conv3x3, relu, conv3x3, + block input, relu; a policy
 * head conv1x1 to 32, relu, conv1x1 to 139 moves a point; a value head conv1x1 to 32, relu, mean/max/std, a linear
 * layer to 3. Batch norms are folded into weights and biases. */
#include "epilogue_fields.h"
#include "net.h"
#include "status.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_CHANNELS = 32, MOVES = 139, VALUES = 3 };

typedef struct tower {
    int64_t blocks, channels, inputs, board, seed;
} tower;

typedef struct builder {
    kiln_net *net;
    uint64_t state;
} builder;

/* ---- the text ---- */

typedef struct field {
    const char *name;
    size_t offset;
    int64_t min, max;
} field;

static const field fields[] = {{"blocks", offsetof(tower, blocks), 0, 200},
                               {"channels", offsetof(tower, channels), 1, 4096},
                               {"inputs", offsetof(tower, inputs), 1, 1024},
                               {"board", offsetof(tower, board), 1, 64},
                               {"seed", offsetof(tower, seed), 0, INT64_MAX}};
enum { N_FIELDS = sizeof fields / sizeof fields[0] };

static kiln_status parse_value(const char **at, const field *f, tower *out) {
    const char *p = *at;
    int64_t value = 0;
    if (*p < '0' || *p > '9')
        return kiln_fail(KILN_E_PARSE, "tower: %s needs a whole number, got \"%.20s\"", f->name, p);
    for (; *p >= '0' && *p <= '9'; p++) {
        if (value > (INT64_MAX - 9) / 10)
            return kiln_fail(KILN_E_PARSE, "tower: %s is too large", f->name);
        value = value * 10 + (*p - '0');
    }
    if (*p != '\0' && *p != ',')
        return kiln_fail(KILN_E_PARSE, "tower: unexpected \"%.20s\" after %s", p, f->name);
    if (value < f->min || value > f->max)
        return kiln_fail(KILN_E_PARSE, "tower: %s is %lld; %lld to %lld are possible", f->name, (long long)value,
                         (long long)f->min, (long long)f->max);
    memcpy((char *)out + f->offset, &value, sizeof value);
    *at = *p == ',' ? p + 1 : p;
    return KILN_OK;
}

static kiln_status parse(const char *text, tower *out) {
    unsigned seen = 0;
    const char *at = text + strlen("tower:");
    while (*at != '\0') {
        size_t i = 0, n = strcspn(at, "=,");
        while (i < N_FIELDS && (strlen(fields[i].name) != n || strncmp(at, fields[i].name, n) != 0))
            i++;
        if (i == N_FIELDS || at[n] != '=')
            return kiln_fail(KILN_E_PARSE,
                             "tower: unknown field \"%.*s\"; there are blocks, channels, inputs, board, seed",
                             (int)(n < 40 ? n : 40), at);
        if (seen & 1u << i)
            return kiln_fail(KILN_E_PARSE, "tower: %s is given twice", fields[i].name);
        seen |= 1u << i;
        at += n + 1;
        KILN_TRY(parse_value(&at, &fields[i], out));
    }
    return KILN_OK;
}

/* ---- weights ---- */

/* splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). */
static uint64_t next(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Uniform with the variance of He's initialisation (He et al. 2015), times `gain`; two values from each number. */
static kiln_status weights(builder *b, const char *name, int64_t count, int64_t fan_in, double gain, int32_t *out) {
    float *data = kiln__alloc(b->net->context, (size_t)count * sizeof *data);
    if (!data)
        return KILN_E_MEMORY;
    const float scale = (float)(gain * sqrt(6.0 / (double)fan_in) * ldexp(1, -31));
    uint64_t bits = 0;
    for (int64_t i = 0; i < count; i++) {
        bits = i % 2 == 0 ? next(&b->state) : bits >> 32;
        data[i] = scale * (float)(int32_t)(uint32_t)bits;
    }
    return kiln__net_weight(b->net, name, data, (size_t)count, out);
}

/* ---- layers ---- */

static kiln_status conv(builder *b, const char *name, int32_t input, int64_t oc, int32_t edge, double gain,
                        int64_t activation, int32_t residual, int32_t *output) {
    char text[96];
    const int64_t ic = b->net->tensors[input].c;
    kiln_net_conv c = {.name = name, .input = input, .kh = edge, .kw = edge, .ic = ic, .oc = oc};
    kiln_net_epilogue ep = KILN_NET_EPILOGUE_NONE;
    snprintf(text, sizeof text, "%s.weights", name);
    KILN_TRY(weights(b, text, ic * oc * edge * edge, ic * edge * edge, gain, &c.weights));
    snprintf(text, sizeof text, "%s.bias", name);
    KILN_TRY(weights(b, text, oc, 60000, 1, &ep.bias)); /* within 0.01 */
    ep.residual = residual;
    ep.activation = activation;
    return kiln__net_conv(b->net, &c, &ep, output, NULL);
}

static kiln_status blocks(builder *b, const tower *t, int32_t *x) {
    char name[64];
    /* Each block adds its share to the stream, so that values stay of order one however deep the tower is. */
    const double gain = t->blocks > 0 ? 1 / sqrt((double)t->blocks) : 1;
    for (int64_t i = 0; i < t->blocks; i++) {
        int32_t y;
        snprintf(name, sizeof name, "block%lld.conv1", (long long)i);
        KILN_TRY(conv(b, name, *x, t->channels, 3, 1, KILN_ACT_relu, KILN_NET_NONE, &y));
        snprintf(name, sizeof name, "block%lld.conv2", (long long)i);
        KILN_TRY(conv(b, name, y, t->channels, 3, gain, KILN_ACT_relu, *x, x));
    }
    return KILN_OK;
}

static kiln_status heads(builder *b, int32_t x) {
    int32_t p, policy, v, pooled, matrix, value;
    kiln_net_epilogue ep = KILN_NET_EPILOGUE_NONE;
    KILN_TRY(conv(b, "policy1", x, HEAD_CHANNELS, 1, 1, KILN_ACT_relu, KILN_NET_NONE, &p));
    KILN_TRY(conv(b, "policy2", p, MOVES, 1, 1, KILN_ACT_identity, KILN_NET_NONE, &policy));
    KILN_TRY(kiln__net_output(b->net, policy, "policy", false));
    KILN_TRY(conv(b, "value1", x, HEAD_CHANNELS, 1, 1, KILN_ACT_relu, KILN_NET_NONE, &v));
    KILN_TRY(kiln__net_pool(b->net, "value.pool", "mean_max_std", v, KILN_NET_NONE, &pooled));
    KILN_TRY(weights(b, "value2.weights", 3 * HEAD_CHANNELS * VALUES, 3 * HEAD_CHANNELS, 1, &matrix));
    KILN_TRY(weights(b, "value2.bias", VALUES, 60000, 1, &ep.bias));
    KILN_TRY(kiln__net_gemm(b->net, "value2", pooled, matrix, 3 * HEAD_CHANNELS, VALUES, &ep, &value));
    return kiln__net_output(b->net, value, "value", false);
}

static kiln_status build(builder *b, const tower *t) {
    int32_t spatial, x;
    b->net->channels = t->channels;
    b->net->n_blocks = (size_t)t->blocks;
    b->net->default_board = t->board;
    KILN_TRY(kiln__net_input(b->net, "spatial", KILN_NET_BOARD, t->inputs, &spatial));
    KILN_TRY(conv(b, "stem", spatial, t->channels, 3, 1, KILN_ACT_relu, KILN_NET_NONE, &x));
    KILN_TRY(blocks(b, t, &x));
    return heads(b, x);
}

kiln_status kiln__seeded_open(kiln_context *context, const char *text, kiln_net **out) {
    tower t = {.blocks = 9, .channels = 256, .inputs = 46, .board = 9, .seed = 1};
    builder b = {.net = NULL};
    char name[128];
    KILN_TRY(parse(text, &t));
    snprintf(name, sizeof name, "tower-%lldx%lld", (long long)t.blocks, (long long)t.channels);
    KILN_TRY(kiln__net_create(context, name, "seeded", &b.net));
    b.state = (uint64_t)t.seed;
    const kiln_status status = build(&b, &t);
    if (status != KILN_OK) {
        kiln_net_destroy(b.net);
        return status;
    }
    *out = b.net;
    return KILN_OK;
}
