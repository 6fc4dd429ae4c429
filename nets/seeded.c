/* Nets from a text, with seeded weights: the shapes of a real engine for measuring without a file.
 *
 *     tower:blocks=9,channels=256,inputs=46,board=9,seed=1
 *     tower:blocks=9,channels=256,se=scale,ratio=4
 *
 * A post-activation residual tower: stem conv3x3, relu; blocks of conv3x3, relu, conv3x3, squeeze-excitation if `se` is
 * scale or scale_shift, + block input, relu; a policy head conv1x1 to 32, relu, conv1x1 to 139 moves a point; a value
 * head conv1x1 to 32, relu, mean/max/std, a linear layer to 3. Batch norms are folded into weights and biases.
 * Squeeze-excitation has channels / ratio channels between its two layers. */
#include "epilogue_fields.h"
#include "net.h"
#include "status.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_CHANNELS = 32, MOVES = 139, VALUES = 3 };

typedef struct tower {
    int64_t blocks, channels, inputs, board, seed, se, ratio;
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
    const char *const *words; /* NULL: a number; else max + 1 of them */
} field;

enum { SE_NONE, SE_SCALE, SE_SCALE_SHIFT };
static const char *const se_words[] = {"none", "scale", "scale_shift"};

static const field fields[] = {
    {"blocks", offsetof(tower, blocks), 0, 200, NULL},   {"channels", offsetof(tower, channels), 1, 4096, NULL},
    {"inputs", offsetof(tower, inputs), 1, 1024, NULL},  {"board", offsetof(tower, board), 1, 64, NULL},
    {"seed", offsetof(tower, seed), 0, INT64_MAX, NULL}, {"se", offsetof(tower, se), SE_NONE, SE_SCALE_SHIFT, se_words},
    {"ratio", offsetof(tower, ratio), 1, 4096, NULL}};
enum { N_FIELDS = sizeof fields / sizeof fields[0] };

static kiln_status parse_word(const char **at, const field *f, tower *out) {
    const size_t n = strcspn(*at, ",");
    for (int64_t i = f->min; i <= f->max; i++)
        if (strlen(f->words[i]) == n && strncmp(*at, f->words[i], n) == 0) {
            memcpy((char *)out + f->offset, &i, sizeof i);
            *at += n + ((*at)[n] == ',');
            return KILN_OK;
        }
    return kiln_fail(KILN_E_PARSE, "tower: %s is \"%.20s\"; there are none, scale, scale_shift", f->name, *at);
}

static kiln_status parse_number(const char **at, const field *f, tower *out) {
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
            return kiln_fail(
                KILN_E_PARSE,
                "tower: unknown field \"%.*s\"; there are blocks, channels, inputs, board, seed, se, ratio",
                (int)(n < 40 ? n : 40), at);
        if (seen & 1u << i)
            return kiln_fail(KILN_E_PARSE, "tower: %s is given twice", fields[i].name);
        seen |= 1u << i;
        at += n + 1;
        KILN_TRY((fields[i].words ? parse_word : parse_number)(&at, &fields[i], out));
    }
    if (out->se != SE_NONE && out->ratio > out->channels)
        return kiln_fail(KILN_E_PARSE, "tower: ratio is %lld of %lld channels", (long long)out->ratio,
                         (long long)out->channels);
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

/* x + the excited y, relu. */
static kiln_status excite(builder *b, const tower *t, const char *name, int32_t y, int32_t *x) {
    char text[96];
    const int64_t c = t->channels, reduced = c / t->ratio, wide = t->se == SE_SCALE_SHIFT ? 2 * c : c;
    kiln_net_se se = {.name = name, .input = y, .form = se_words[t->se], .reduced = reduced};
    kiln_net_epilogue ep = KILN_NET_EPILOGUE_NONE;
    const struct {
        const char *name;
        int64_t count, fan_in;
        int32_t *out;
    } all[] = {{"w1", c * reduced, c, &se.w1},
               {"b1", reduced, 60000, &se.b1},
               {"w2", reduced * wide, reduced, &se.w2},
               {"b2", wide, 60000, &se.b2}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        snprintf(text, sizeof text, "%s.%s", name, all[i].name);
        KILN_TRY(weights(b, text, all[i].count, all[i].fan_in, 1, all[i].out));
    }
    ep.residual = *x;
    ep.activation = KILN_ACT_relu;
    return kiln__net_se(b->net, &se, &ep, x, NULL);
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
        if (t->se == SE_NONE) {
            KILN_TRY(conv(b, name, y, t->channels, 3, gain, KILN_ACT_relu, *x, x));
            continue;
        }
        KILN_TRY(conv(b, name, y, t->channels, 3, gain, KILN_ACT_identity, KILN_NET_NONE, &y));
        snprintf(name, sizeof name, "block%lld.se", (long long)i);
        KILN_TRY(excite(b, t, name, y, x));
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
    tower t = {.blocks = 9, .channels = 256, .inputs = 46, .board = 9, .seed = 1, .ratio = 4};
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
