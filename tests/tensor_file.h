/* Safetensors files of random weights with a description, for tests of described nets. */
#ifndef KILN_TESTS_TENSOR_FILE_H
#define KILN_TESTS_TENSOR_FILE_H

#include "net.h"
#include "testing.h"
#include <math.h>

enum { MAX_TENSORS = 64 };

typedef struct tensor {
    char name[48];
    size_t rank, shape[4], count;
    float *data;
} tensor;

typedef struct file {
    tensor tensors[MAX_TENSORS];
    size_t n;
    uint64_t state;
} file;

static inline double uniform(file *f) {
    f->state = f->state * 6364136223846793005u + 1442695040888963407u;
    return (double)(f->state >> 33) / 2147483648.0 * 2 - 1;
}

/* Adds a tensor of values around `centre`; dimensions end with 0. */
static inline tensor *add(file *f, const char *name, double centre, double spread, const size_t shape[5]) {
    REQUIRE(f->n < MAX_TENSORS);
    tensor *t = &f->tensors[f->n++];
    snprintf(t->name, sizeof t->name, "%s", name);
    t->count = 1;
    for (t->rank = 0; shape[t->rank] > 0; t->rank++)
        t->count *= t->shape[t->rank] = shape[t->rank];
    REQUIRE((t->data = malloc(t->count * sizeof(float))) != NULL);
    for (size_t i = 0; i < t->count; i++)
        t->data[i] = (float)(centre + spread * uniform(f));
    return t;
}
#define SHAPE(...)                                                                                                     \
    (const size_t[5]) {                                                                                                \
        __VA_ARGS__                                                                                                    \
    }

static inline void add_conv(file *f, const char *name, size_t oc, size_t ic, size_t edge) {
    add(f, name, 0, sqrt(3.0 / (double)(ic * edge * edge)), SHAPE(oc, ic, edge, edge));
}

static inline void add_norm(file *f, const char *prefix, size_t c) {
    static const char *const endings[] = {"weight", "bias", "running_mean", "running_var"};
    static const double centres[] = {1, 0, 0, 0.7};
    for (int i = 0; i < 4; i++) {
        char name[48];
        snprintf(name, sizeof name, "%s.%s", prefix, endings[i]);
        add(f, name, centres[i], 0.3, SHAPE(c));
    }
}

static inline void add_linear(file *f, const char *prefix, size_t oc, size_t ic) {
    char name[48];
    snprintf(name, sizeof name, "%s.weight", prefix);
    add(f, name, 0, sqrt(3.0 / (double)ic), SHAPE(oc, ic));
    snprintf(name, sizeof name, "%s.bias", prefix);
    add(f, name, 0, 0.5, SHAPE(oc));
}

static inline tensor *get(file *f, const char *name) {
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->tensors[i].name, name) == 0)
            return &f->tensors[i];
    fprintf(stderr, "the test has no tensor %s\n", name);
    exit(1);
}

static inline void file_free(file *f) {
    for (size_t i = 0; i < f->n; i++)
        free(f->tensors[i].data);
    f->n = 0;
}

/* The safetensors file, with `description` (whose ' stand for ") as its entry "kiln"; NULL: without one. Free it. */
static inline char *write_file(const file *f, const char *description, const char *type, size_t *bytes) {
    const size_t capacity = 4096 + 256 * f->n + (description ? 3 * strlen(description) : 0);
    char *text = malloc(capacity);
    REQUIRE(text != NULL);
    size_t n = 0, at = 0, data_bytes = 0;
    text[n++] = '{';
    if (description) {
        n += (size_t)snprintf(text + n, capacity - n, "\"__metadata__\":{\"kiln\":\"");
        for (const char *p = description; *p; p++) {
            if (*p == '\'' || *p == '\\')
                text[n++] = '\\';
            text[n++] = *p == '\'' ? '"' : *p;
        }
        n += (size_t)snprintf(text + n, capacity - n, "\"}");
    }
    for (size_t i = 0; i < f->n; i++) {
        const tensor *t = &f->tensors[i];
        n += (size_t)snprintf(text + n, capacity - n, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", n > 1 ? "," : "",
                              t->name, type);
        for (size_t k = 0; k < t->rank; k++)
            n += (size_t)snprintf(text + n, capacity - n, "%s%zu", k ? "," : "", t->shape[k]);
        n += (size_t)snprintf(text + n, capacity - n, "],\"data_offsets\":[%zu,%zu]}", at, at + t->count * 4);
        at += t->count * 4;
    }
    text[n++] = '}';
    data_bytes = at;
    *bytes = 8 + n + data_bytes;
    char *out = malloc(*bytes);
    REQUIRE(out != NULL);
    for (int i = 0; i < 8; i++)
        out[i] = (char)((uint64_t)n >> 8 * i);
    memcpy(out + 8, text, n);
    at = 8 + n;
    for (size_t i = 0; i < f->n; i++) {
        memcpy(out + at, f->tensors[i].data, f->tensors[i].count * 4);
        at += f->tensors[i].count * 4;
    }
    free(text);
    return out;
}

static inline kiln_status read_net(kiln_context *context, const file *f, const char *description, kiln_net **out) {
    size_t n;
    char *data = write_file(f, description, "F32", &n);
    const kiln_status status = kiln__description_read(context, data, n, out);
    free(data);
    return status;
}

#endif
