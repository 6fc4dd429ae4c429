/* Weights of described nets: from PyTorch's layouts to Kiln's, batch norms folded in double precision. */
#include "description.h"
#include "status.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const double DEFAULT_EPSILON = 1e-5; /* PyTorch's */

/* ---- tensors ---- */

kiln_status kiln__described_tensor(const kiln_described *d, const char *name, const kiln_safetensor **out) {
    *out = kiln__safetensors_find(d->file, name);
    if (!*out)
        return kiln_fail(KILN_E_INVALID, "the file has no tensor \"%s\"", name);
    if ((*out)->type != KILN_SAFETENSORS_F32)
        return kiln_fail(KILN_E_UNSUPPORTED, "tensor \"%s\" is of %s; weights are read as F32", name,
                         (*out)->type_name);
    return KILN_OK;
}

/* All of a tensor, from kiln__alloc. */
static kiln_status read_all(kiln_described *d, const kiln_safetensor *t, float **out) {
    if (t->elements < 1)
        return kiln_fail(KILN_E_INVALID, "tensor \"%s\" is empty", t->name);
    if (t->elements > d->values_left)
        return kiln_fail(KILN_E_INVALID, "tensor \"%s\": the net has too many weights", t->name);
    d->values_left -= t->elements;
    float *data = kiln__alloc(d->net->context, (size_t)t->elements * sizeof *data);
    if (!data)
        return KILN_E_MEMORY;
    const kiln_status status = kiln__safetensors_read(d->file, t, 0, t->elements, data);
    if (status != KILN_OK) {
        kiln__free(d->net->context, data);
        return status;
    }
    *out = data;
    return KILN_OK;
}

/* A tensor of one value for each channel, as doubles. */
static kiln_status read_channels(kiln_described *d, const char *name, int64_t channels, double *out) {
    const kiln_safetensor *t;
    float *data;
    KILN_TRY(kiln__described_tensor(d, name, &t));
    if (t->rank != 1 || t->shape[0] != channels)
        return kiln_fail(KILN_E_INVALID, "tensor \"%s\" has %lld values in %zu dimensions; needed: %lld in one", name,
                         (long long)t->elements, t->rank, (long long)channels);
    KILN_TRY(read_all(d, t, &data));
    for (int64_t i = 0; i < channels; i++)
        out[i] = (double)data[i];
    kiln__free(d->net->context, data);
    return KILN_OK;
}

/* ---- batch norms ---- */

enum { PREFIX, WEIGHT, BIAS, MEAN, VAR, EPS, N_NORM_KEYS };
static const char *const norm_keys[N_NORM_KEYS] = {"prefix", "weight", "bias", "mean", "var", "eps"};

/* The names of a norm's tensors; "" for a weight or bias that it does without. */
typedef struct norm_names {
    char name[EPS][KILN_DESCRIPTION_MAX_NAME + 16];
    double epsilon;
} norm_names;

static kiln_status names_of_prefix(const kiln_described *d, const char *prefix, norm_names *n) {
    static const char *const endings[EPS] = {"", "weight", "bias", "running_mean", "running_var"};
    for (int i = WEIGHT; i <= VAR; i++)
        snprintf(n->name[i], sizeof n->name[i], "%s.%s", prefix, endings[i]);
    /* A norm without affine parameters has neither; one alone is a mistake, which reading it reports. */
    if (!kiln__safetensors_find(d->file, n->name[WEIGHT]) && !kiln__safetensors_find(d->file, n->name[BIAS]))
        n->name[WEIGHT][0] = n->name[BIAS][0] = '\0';
    return KILN_OK;
}

static kiln_status names_of_object(const kiln_described *d, const cJSON *norm, norm_names *n) {
    const cJSON *values[N_NORM_KEYS];
    const char *text;
    KILN_TRY(kiln__described_object(norm, "a batch norm", norm_keys, N_NORM_KEYS, values));
    if (values[EPS] && (!cJSON_IsNumber(values[EPS]) || !(values[EPS]->valuedouble >= 0)))
        return kiln_fail(KILN_E_PARSE, "a batch norm's eps is not a number of 0 or more");
    if (values[EPS])
        n->epsilon = values[EPS]->valuedouble;
    for (int i = WEIGHT; i <= VAR; i++) {
        if (values[i] && values[PREFIX])
            return kiln_fail(KILN_E_PARSE, "a batch norm has both a prefix and a %s", norm_keys[i]);
        if (!values[i])
            continue;
        KILN_TRY(kiln__described_text(values[i], norm_keys[i], &text));
        snprintf(n->name[i], sizeof n->name[i], "%s", text);
    }
    if (!values[PREFIX])
        return n->name[MEAN][0] && n->name[VAR][0]
                   ? KILN_OK
                   : kiln_fail(KILN_E_PARSE, "a batch norm needs a prefix, or mean and var");
    KILN_TRY(kiln__described_text(values[PREFIX], norm_keys[PREFIX], &text));
    return names_of_prefix(d, text, n);
}

static kiln_status find_names(const kiln_described *d, const cJSON *norm, norm_names *out) {
    const char *prefix;
    *out = (norm_names){.epsilon = DEFAULT_EPSILON};
    if (!cJSON_IsString(norm))
        return names_of_object(d, norm, out);
    KILN_TRY(kiln__described_text(norm, "a batch norm", &prefix));
    return names_of_prefix(d, prefix, out);
}

/* `values` has room for one tensor. */
static kiln_status fold_named(kiln_described *d, const norm_names *n, int64_t channels, double *values, double *scale,
                              double *shift) {
    KILN_TRY(read_channels(d, n->name[VAR], channels, values));
    for (int64_t i = 0; i < channels; i++) {
        scale[i] = 1 / sqrt(values[i] + n->epsilon);
        if (!(values[i] >= 0) || !isfinite(scale[i]))
            return kiln_fail(KILN_E_INVALID, "tensor \"%s\": a variance of %g with epsilon %g", n->name[VAR], values[i],
                             n->epsilon);
        shift[i] = 0;
    }
    if (n->name[WEIGHT][0]) {
        KILN_TRY(read_channels(d, n->name[WEIGHT], channels, values));
        for (int64_t i = 0; i < channels; i++)
            scale[i] *= values[i];
    }
    if (n->name[BIAS][0])
        KILN_TRY(read_channels(d, n->name[BIAS], channels, shift));
    KILN_TRY(read_channels(d, n->name[MEAN], channels, values));
    for (int64_t i = 0; i < channels; i++)
        shift[i] -= values[i] * scale[i];
    return KILN_OK;
}

/* (x - mean) / sqrt(var + epsilon) * weight + bias as x * scale + shift, for each channel. */
static kiln_status fold(kiln_described *d, const cJSON *norm, int64_t channels, double *scale, double *shift) {
    norm_names n;
    KILN_TRY(find_names(d, norm, &n));
    double *values = kiln__alloc(d->net->context, (size_t)channels * sizeof *values);
    if (!values)
        return KILN_E_MEMORY;
    const kiln_status status = fold_named(d, &n, channels, values, scale, shift);
    kiln__free(d->net->context, values);
    return status;
}

/* ---- adding ---- */

static kiln_status add_channels(kiln_described *d, const char *name, const double *values, int64_t channels,
                                int32_t *out) {
    float *data = kiln__alloc(d->net->context, (size_t)channels * sizeof *data);
    if (!data)
        return KILN_E_MEMORY;
    for (int64_t i = 0; i < channels; i++)
        data[i] = (float)values[i];
    return kiln__net_weight(d->net, name, data, (size_t)channels, out);
}

static kiln_status add_weights(kiln_described *d, const kiln_described_map *m, const double *scale, int32_t *out) {
    float *data;
    KILN_TRY(read_all(d, m->weights, &data));
    float *turned = kiln__alloc(d->net->context, (size_t)m->weights->elements * sizeof *turned);
    if (!turned) {
        kiln__free(d->net->context, data);
        return KILN_E_MEMORY;
    }
    const float *from = data;
    for (int64_t o = 0; o < m->oc; o++)
        for (int64_t i = 0; i < m->ic; i++)
            for (int64_t p = 0; p < m->points; p++)
                turned[(p * m->ic + i) * m->oc + o] = (float)((double)*from++ * scale[o]);
    kiln__free(d->net->context, data);
    return kiln__net_weight(d->net, m->weights->name, turned, (size_t)m->weights->elements, out);
}

/* `work` has room for three times oc. */
static kiln_status add_map(kiln_described *d, const kiln_described_map *m, double *work, int32_t *weights,
                           int32_t *bias) {
    double *scale = work, *shift = work + m->oc, *raw = work + 2 * m->oc; /* raw and shift are zeros */
    for (int64_t i = 0; i < m->oc; i++)
        scale[i] = 1;
    if (m->norm)
        KILN_TRY(fold(d, m->norm, m->oc, scale, shift));
    if (m->bias)
        KILN_TRY(read_channels(d, m->bias, m->oc, raw));
    for (int64_t i = 0; i < m->oc; i++)
        shift[i] += raw[i] * scale[i];
    *bias = KILN_NET_NONE;
    if (m->norm || m->bias || m->needs_bias)
        KILN_TRY(add_channels(d, m->bias ? m->bias : m->weights->name, shift, m->oc, bias));
    return add_weights(d, m, scale, weights);
}

kiln_status kiln__described_map(kiln_described *d, const kiln_described_map *map, int32_t *weights, int32_t *bias) {
    if (map->oc < 1 || map->oc > KILN_NET_MAX_CHANNELS)
        return kiln_fail(KILN_E_INVALID, "tensor \"%s\" makes %lld channels; 1 to %d are possible", map->weights->name,
                         (long long)map->oc, KILN_NET_MAX_CHANNELS);
    double *work = kiln__alloc(d->net->context, 3 * (size_t)map->oc * sizeof *work);
    if (!work)
        return KILN_E_MEMORY;
    const kiln_status status = add_map(d, map, work, weights, bias);
    kiln__free(d->net->context, work);
    return status;
}

kiln_status kiln__described_norm(kiln_described *d, const cJSON *norm, int64_t channels, int32_t *scale,
                                 int32_t *bias) {
    double *work = kiln__alloc(d->net->context, 2 * (size_t)channels * sizeof *work);
    if (!work)
        return KILN_E_MEMORY;
    kiln_status status = fold(d, norm, channels, work, work + channels);
    if (status == KILN_OK)
        status = add_channels(d, "norm.scale", work, channels, scale);
    if (status == KILN_OK)
        status = add_channels(d, "norm.bias", work + channels, channels, bias);
    kiln__free(d->net->context, work);
    return status;
}
