#include "check.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct check_oracle *const oracles[] = {
#define CHECK_ORACLE(family) &check_oracle_##family,
#include "oracles.def"
#undef CHECK_ORACLE
};

const check_oracle *check_oracle_of(const char *family) {
    for (size_t i = 0; i < sizeof oracles / sizeof *oracles; i++)
        if (strcmp(oracles[i]->family, family) == 0)
            return oracles[i];
    return NULL;
}

const check_tensor *check_find(const check_data *data, const char *name) {
    for (size_t i = 0; i < data->n_tensors; i++)
        if (strcmp(data->tensors[i].operand.name, name) == 0)
            return &data->tensors[i];
    return NULL;
}

uint64_t check_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

bool check_in_halo(const kiln_operand *o, size_t element) {
    if (!o->halo)
        return false;
    const size_t h = (size_t)o->shape[1], w = (size_t)o->shape[2], c = (size_t)o->shape[3], halo = (size_t)o->halo;
    const size_t x = element / c % w, y = element / c / w % h;
    return y < halo || y >= h - halo || x < halo || x >= w - halo;
}

/* Masks are 0 or 1; the last item of a batch has no point on the board at all. */
static float mask_value(const kiln_operand *o, size_t element, size_t n, uint64_t *state) {
    if (o->shape[0] > 1 && element >= n - n / (size_t)o->shape[0])
        return 0;
    return check_random(state) % 4 ? 1.0f : 0.0f;
}

static float value(bool integers, uint64_t *state) {
    const uint64_t r = check_random(state);
    return integers ? (float)(int)(r % 5) - 2 : (float)((double)(r >> 11) * 0x1p-52 - 1);
}

/* What makes a careless activation overflow or cancel, among the biases of the whole-number set (its sums are exact).
 */
static float bias_value(uint64_t *state) {
    static const float far[] = {-104, -100, -88, -50, -20, 20, 50, 88, 100, 104};
    const uint64_t r = check_random(state);
    return r % 4 ? value(true, state) : far[r / 4 % (sizeof far / sizeof *far)];
}

static void fill(check_tensor *t, bool integers, uint64_t *state) {
    const kiln_operand *o = &t->operand;
    const bool output = o->role == KILN_ROLE_OUTPUT;
    for (size_t i = 0; i < t->n; i++) {
        if (check_in_halo(o, i))
            t->data[i] = 0;
        else if (output)
            t->data[i] = NAN;
        else if (strcmp(o->name, "mask") == 0)
            t->data[i] = mask_value(o, i, t->n, state);
        else if (integers && strcmp(o->name, "bias") == 0)
            t->data[i] = bias_value(state);
        else
            t->data[i] = value(integers, state);
    }
}

static void *allocate(size_t n, size_t bytes) {
    void *memory = calloc(n, bytes);
    if (!memory) {
        fprintf(stderr, "check: out of memory\n");
        exit(1);
    }
    return memory;
}

void check_data_make(check_data *data, const kiln_lowering *l, bool integers, uint64_t seed) {
    uint64_t state = (seed + integers) * UINT64_C(0x9e3779b97f4a7c15) | 1;
    *data = (check_data){.n_tensors = l->n_operands, .integers = integers};
    for (size_t i = 0; i < l->n_operands; i++) {
        check_tensor *t = &data->tensors[i];
        t->operand = l->operands[i];
        t->n = t->operand.bytes / kiln_type_bytes(t->operand.type);
        t->data = allocate(t->n, sizeof *t->data);
        if (t->operand.role == KILN_ROLE_OUTPUT)
            t->expected = allocate(t->n, sizeof *t->expected);
        fill(t, integers, &state);
    }
}

void check_data_free(check_data *data) {
    for (size_t i = 0; i < data->n_tensors; i++) {
        free(data->tensors[i].data);
        free(data->tensors[i].expected);
    }
    *data = (check_data){0};
}
