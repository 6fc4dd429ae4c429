/* mma.sync in every shape and type of sm_80. Layouts first: one element of A or of B is 1 and the other operand's
 * elements all differ, so each result says which element of which fragment it came from; then random values; then
 * what is not finite, or saturates. */
#include "half.h"
#include "hardware.h"
#include "matrix.h"
#include <stdio.h>
#include <string.h>

static const char *const type_names[] = {
    [SIM_MATRIX_F16] = "f16", [SIM_MATRIX_BF16] = "bf16", [SIM_MATRIX_TF32] = "tf32", [SIM_MATRIX_F32] = "f32",
    [SIM_MATRIX_S8] = "s8",   [SIM_MATRIX_U8] = "u8",     [SIM_MATRIX_S32] = "s32"};

#define FLOATS(m, n, k, d, a)                                                                                          \
    { m, n, k, SIM_MATRIX_##d, SIM_MATRIX_##a, SIM_MATRIX_##a, SIM_MATRIX_##d, false }
#define BYTES(m, n, k, a, b)                                                                                           \
    { m, n, k, SIM_MATRIX_S32, SIM_MATRIX_##a, SIM_MATRIX_##b, SIM_MATRIX_S32, false }
#define BYTES_OF(a, b) BYTES(8, 8, 16, a, b), BYTES(16, 8, 16, a, b), BYTES(16, 8, 32, a, b)
static const sim_mma ops[] = {
    FLOATS(16, 8, 8, F32, F16),
    FLOATS(16, 8, 8, F16, F16),
    FLOATS(16, 8, 16, F32, F16),
    FLOATS(16, 8, 16, F16, F16),
    FLOATS(16, 8, 8, F32, BF16),
    FLOATS(16, 8, 16, F32, BF16),
    FLOATS(16, 8, 4, F32, TF32),
    FLOATS(16, 8, 8, F32, TF32),
    BYTES_OF(S8, S8),
    BYTES_OF(S8, U8),
    BYTES_OF(U8, S8),
    BYTES_OF(U8, U8),
};
enum { N_OPS = sizeof ops / sizeof *ops, LAYOUT = 0, RANDOM, EXTREME, N_PASSES, RANDOM_BLOCKS = 64 };

static unsigned type_bits(sim_matrix_type type) {
    return type == SIM_MATRIX_S8 || type == SIM_MATRIX_U8      ? 8
           : type == SIM_MATRIX_F16 || type == SIM_MATRIX_BF16 ? 16
                                                               : 32;
}

/* Operands A, B and C in turn. */
typedef struct operand {
    sim_matrix_type type;
    unsigned elems, registers, first; /* a thread's registers, and the word where they begin */
} operand;

static void operands(const sim_mma *op, operand out[3]) {
    const sim_matrix_type types[] = {op->a, op->b, op->c};
    const unsigned elems[] = {op->m * op->k, op->n * op->k, op->m * op->n};
    unsigned first = 0;
    for (int i = 0; i < 3; i++) {
        out[i] = (operand){types[i], elems[i], elems[i] * type_bits(types[i]) / (32 * SIM_WARP), first};
        first += out[i].registers;
    }
}

static uint32_t encode(sim_matrix_type type, double x) {
    switch (type) {
    case SIM_MATRIX_F16:
        return sim__float_to_half((float)x);
    case SIM_MATRIX_BF16:
        return sim__float_to_bfloat((float)x);
    case SIM_MATRIX_S8:
    case SIM_MATRIX_U8:
        return (uint32_t)(int)x & 0xff;
    case SIM_MATRIX_S32:
        return (uint32_t)(int64_t)x;
    default:
        return sim__float_bits((float)x);
    }
}

/* Element e of an operand in the words of one block, counted through lanes, registers and parts of registers. */
static void put(uint32_t *block, unsigned n_in, const operand *o, unsigned e, uint32_t bits) {
    const unsigned width = type_bits(o->type), parts = 32 / width, a_lane = o->registers * parts;
    block[e / a_lane * n_in + o->first + e % a_lane / parts] |= bits << (e % parts * width);
}

static unsigned list(char *text, size_t bytes, const char *name, unsigned first, unsigned count) {
    size_t n = (size_t)snprintf(text, bytes, "{");
    for (unsigned i = 0; i < count; i++)
        n += (size_t)snprintf(text + n, bytes - n, "%s%s%u", i ? ", " : "", name, first + i);
    return (unsigned)(n + (size_t)snprintf(text + n, bytes - n, "}"));
}

size_t hardware_mma_count(void) {
    return (size_t)N_OPS * N_PASSES;
}

void hardware_mma_describe(size_t index, hardware_case *out) {
    static const char *const passes[] = {[LAYOUT] = "layout", [RANDOM] = "random", [EXTREME] = "extreme"};
    const sim_mma *op = &ops[index / N_PASSES];
    const int pass = (int)(index % N_PASSES);
    const bool whole = op->d == SIM_MATRIX_S32;
    operand o[3];
    operands(op, o);
    char d[64], a[64], b[64], c[64];
    list(d, sizeof d, "%o", 0, o[2].registers);
    list(a, sizeof a, "%i", o[0].first, o[0].registers);
    list(b, sizeof b, "%i", o[1].first, o[1].registers);
    list(c, sizeof c, "%i", o[2].first, o[2].registers);
    *out = (hardware_case){.n_in = o[2].first + o[2].registers,
                           .n_out = o[2].registers,
                           .blocks = pass == LAYOUT ? o[0].elems + o[1].elems + 1 : RANDOM_BLOCKS,
                           .result = whole                     ? HARDWARE_BITS
                                     : op->d == SIM_MATRIX_F16 ? HARDWARE_F16X2
                                                               : HARDWARE_F32};
    /* No product is beyond 1, so 17 terms at most are summed; the devices' own sums keep a bit more or less. */
    if (pass != LAYOUT && !whole)
        out->absolute = op->d == SIM_MATRIX_F16 ? 0x1p-6 : 0x1p-18;
    snprintf(out->name, sizeof out->name, "mma.m%un%uk%u.%s.%s.%s %s", op->m, op->n, op->k, type_names[op->d],
             type_names[op->a], type_names[op->b], passes[pass]);
    snprintf(out->body, sizeof out->body, "mma.sync.aligned.m%un%uk%u.row.col%s.%s.%s.%s.%s %s, %s, %s, %s;\n", op->m,
             op->n, op->k, whole && pass == EXTREME ? ".satfinite" : "", type_names[op->d], type_names[op->a],
             type_names[op->b], type_names[op->c], d, a, b, c);
}

static void layout(const sim_mma *op, uint32_t *words, unsigned n_in) {
    operand o[3];
    operands(op, o);
    for (unsigned block = 0; block <= o[0].elems + o[1].elems; block++, words += SIM_WARP * n_in) {
        if (block == o[0].elems + o[1].elems) { /* C alone */
            for (unsigned e = 0; e < o[2].elems; e++)
                put(words, n_in, &o[2], e, encode(o[2].type, e + 1));
            continue;
        }
        const bool first = block < o[0].elems;
        const operand *one = &o[first ? 0 : 1], *other = &o[first ? 1 : 0];
        put(words, n_in, one, first ? block : block - o[0].elems, encode(one->type, 1));
        for (unsigned e = 0; e < other->elems; e++)
            put(words, n_in, other, e, encode(other->type, e % 256 + 1)); /* all exact in bf16 */
    }
}

static double element(const sim_mma *op, sim_matrix_type type, int pass, uint64_t *state) {
    const uint32_t r = hardware_random(state);
    if (type == SIM_MATRIX_S8 || type == SIM_MATRIX_U8)
        return pass == EXTREME ? (type == SIM_MATRIX_U8 ? 255 - (double)(r % 8)
                                  : r % 8               ? 127
                                                        : -128)
                               : (double)(type == SIM_MATRIX_U8 ? r % 256 : r % 256 - 128.0);
    if (type == SIM_MATRIX_S32)
        return pass == EXTREME ? (r % 2 ? 2147483647.0 - r % 1000 : -2147483648.0 + r % 1000) : (double)(int32_t)r / 16;
    if (pass == EXTREME && r % 32 == 0) {
        const double odd[] = {INFINITY, -INFINITY, NAN, op->a == SIM_MATRIX_F16 ? 0x1p-24 : 0x1p-130};
        return odd[r / 32 % 4];
    }
    if (pass == EXTREME)
        return (int)(r >> 8 & 3) % 3 - 1;
    return ldexp((r >> 7) * 0x1p-24 - 1, -(int)(r % 12)); /* below 1 in magnitude, of many exponents */
}

void hardware_mma_inputs(size_t index, uint32_t *words) {
    const sim_mma *op = &ops[index / N_PASSES];
    const int pass = (int)(index % N_PASSES);
    hardware_case c;
    hardware_mma_describe(index, &c);
    operand o[3];
    operands(op, o);
    memset(words, 0, (size_t)c.blocks * SIM_WARP * c.n_in * sizeof *words);
    if (pass == LAYOUT) {
        layout(op, words, c.n_in);
        return;
    }
    uint64_t state = 0x9e3779b97f4a7c15 + index;
    for (unsigned block = 0; block < c.blocks; block++, words += SIM_WARP * c.n_in)
        for (int i = 0; i < 3; i++)
            for (unsigned e = 0; e < o[i].elems; e++)
                put(words, c.n_in, &o[i], e, encode(o[i].type, element(op, o[i].type, pass, &state)));
}
