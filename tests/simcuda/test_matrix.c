/* The warp-wide matrix instructions against plain matrices: where each element lies (by the tables of the PTX manual,
 * written down element by element, not by the rule matrix.c uses), and the arithmetic, against a model in doubles. */
#include "matrix.h"
#include "testing.h"
#include <math.h>
#include <time.h>

enum { MAX_M = 16, MAX_N = 8, MAX_K = 32 };

typedef struct {
    double a[MAX_M][MAX_K], b[MAX_K][MAX_N], c[MAX_M][MAX_N], d[MAX_M][MAX_N];
} matrices;

/* ---- numbers ---- */

static uint32_t bits_of(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static double half_value(uint32_t h) {
    const int e = (int)(h >> 10 & 31), fraction = (int)(h & 1023);
    const double size = e == 31 ? (fraction ? NAN : INFINITY)
                        : e     ? ldexp(1024 + fraction, e - 25)
                                : ldexp(fraction, -24);
    return h >> 15 ? -size : size;
}

/* Nearest even, of numbers an f16 can nearly hold. */
static uint32_t half_bits(double x) {
    const uint32_t sign = signbit(x) ? 0x8000 : 0;
    x = fabs(x);
    if (isnan(x))
        return 0x7fff;
    if (x >= 65520)
        return sign | 0x7c00;
    const int e = x < 0x1p-14 ? -14 : ilogb(x);
    const double rounded = nearbyint(ldexp(x, 10 - e)); /* 0..2048 */
    return sign | (uint32_t)((e + 14) * 1024 + (int)rounded);
}

static uint32_t encode(double x, sim_matrix_type type) {
    switch (type) {
    case SIM_MATRIX_F16:
        return half_bits(x);
    case SIM_MATRIX_BF16:
        return bits_of((float)x) >> 16;
    case SIM_MATRIX_TF32:
    case SIM_MATRIX_F32:
        return bits_of((float)x);
    case SIM_MATRIX_S8:
    case SIM_MATRIX_U8:
        return (uint32_t)(int32_t)x & 255;
    case SIM_MATRIX_S32:
        return (uint32_t)(int32_t)x;
    }
    return 0;
}

static unsigned width(sim_matrix_type type) { /* bits */
    return type == SIM_MATRIX_F16 || type == SIM_MATRIX_BF16 ? 16
           : type == SIM_MATRIX_S8 || type == SIM_MATRIX_U8  ? 8
                                                             : 32;
}

/* ---- where elements lie ---- */

static void put(uint32_t reg[][SIM_WARP], unsigned lane, unsigned i, uint32_t bits, unsigned element_bits) {
    const unsigned per = 32 / element_bits, shift = element_bits * (i % per);
    const uint32_t mask = element_bits == 32 ? UINT32_MAX : (1u << element_bits) - 1;
    reg[i / per][lane] = (reg[i / per][lane] & ~(mask << shift)) | (bits & mask) << shift;
}

static uint32_t take(uint32_t reg[][SIM_WARP], unsigned lane, unsigned i, unsigned element_bits) {
    const unsigned per = 32 / element_bits;
    return reg[i / per][lane] >> element_bits * (i % per) &
           (element_bits == 32 ? UINT32_MAX : (1u << element_bits) - 1);
}

typedef struct {
    unsigned m, k;
} place;

/* Element i of A in a lane: its row and column. */
static place a_place(const sim_mma *op, unsigned lane, unsigned i) {
    const unsigned g = lane >> 2, t = lane & 3;
    switch (width(op->a)) {
    case 16:
        return op->k == 8 ? (place){g + 8 * (i >> 1), 2 * t + (i & 1)}
                          : (place){g + 8 * (i >> 1 & 1), 2 * t + (i & 1) + 8 * (i >> 2)};
    case 32:
        return op->k == 4 ? (place){g + 8 * i, t} : (place){g + 8 * (i & 1), t + 4 * (i >> 1)};
    default:
        if (op->m == 8)
            return (place){g, 4 * t + i};
        return op->k == 16 ? (place){g + 8 * (i >> 2), 4 * t + (i & 3)}
                           : (place){g + 8 * (i >> 2 & 1), 4 * t + (i & 3) + 16 * (i >> 3)};
    }
}

/* The k of element i of B in a lane; its column is lane / 4. */
static unsigned b_place(const sim_mma *op, unsigned lane, unsigned i) {
    const unsigned t = lane & 3;
    switch (width(op->b)) {
    case 16:
        return op->k == 8 ? 2 * t + i : 2 * t + (i & 1) + 8 * (i >> 1);
    case 32:
        return t + 4 * i;
    default:
        return 4 * t + (i & 3) + 16 * (i >> 2);
    }
}

typedef struct {
    uint32_t a[4][SIM_WARP], b[2][SIM_WARP], c[4][SIM_WARP], d[4][SIM_WARP];
} registers;

/* Runs the instruction on matrices; returns D as bits. */
static void run(const sim_mma *op, const matrices *x, uint32_t d[MAX_M][MAX_N], bool in_place) {
    static registers r;
    memset(&r, 0x5a, sizeof r);
    const unsigned a_elems = op->m * op->k / SIM_WARP, b_elems = op->k * op->n / SIM_WARP;
    const unsigned c_elems = op->m * op->n / SIM_WARP;
    for (unsigned lane = 0; lane < SIM_WARP; lane++) {
        for (unsigned i = 0; i < a_elems; i++) {
            const place p = a_place(op, lane, i);
            put(r.a, lane, i, encode(x->a[p.m][p.k], op->a), width(op->a));
        }
        for (unsigned i = 0; i < b_elems; i++)
            put(r.b, lane, i, encode(x->b[b_place(op, lane, i)][lane >> 2], op->b), width(op->b));
        for (unsigned i = 0; i < c_elems; i++)
            put(r.c, lane, i, encode(x->c[(lane >> 2) + 8 * (i >> 1)][2 * (lane & 3) + (i & 1)], op->c), width(op->c));
    }
    const uint32_t *a[4], *b[2], *c[4];
    uint32_t *to[4];
    for (unsigned i = 0; i < 4; i++) {
        a[i] = r.a[i];
        b[i % 2] = r.b[i % 2];
        c[i] = r.c[i];
        to[i] = in_place ? r.c[i] : r.d[i];
    }
    sim_mma_run(op, to, a, b, c);
    for (unsigned lane = 0; lane < SIM_WARP; lane++)
        for (unsigned i = 0; i < c_elems; i++)
            d[(lane >> 2) + 8 * (i >> 1)][2 * (lane & 3) + (i & 1)] = take(in_place ? r.c : r.d, lane, i, width(op->d));
}

/* ---- the instructions there are ---- */

#define OP(m, n, k, d, t, ra, rb, rd)                                                                                  \
    {                                                                                                                  \
        {m, n, k, SIM_MATRIX_##d, SIM_MATRIX_##t, SIM_MATRIX_##t, SIM_MATRIX_##d, false}, {                            \
            rd, ra, rb, rd                                                                                             \
        }                                                                                                              \
    }
static const struct {
    sim_mma op;
    sim_mma_registers count;
} ops[] = {
    OP(16, 8, 8, F32, F16, 2, 1, 4),  OP(16, 8, 8, F16, F16, 2, 1, 2),  OP(16, 8, 16, F32, F16, 4, 2, 4),
    OP(16, 8, 16, F16, F16, 4, 2, 2), OP(16, 8, 8, F32, BF16, 2, 1, 4), OP(16, 8, 16, F32, BF16, 4, 2, 4),
    OP(16, 8, 4, F32, TF32, 2, 1, 4), OP(16, 8, 8, F32, TF32, 4, 2, 4), OP(8, 8, 16, S32, S8, 1, 1, 2),
    OP(16, 8, 16, S32, S8, 2, 1, 4),  OP(16, 8, 32, S32, S8, 4, 2, 4),  OP(8, 8, 16, S32, U8, 1, 1, 2),
    OP(16, 8, 16, S32, U8, 2, 1, 4),  OP(16, 8, 32, S32, U8, 4, 2, 4),
};
enum { N_OPS = sizeof ops / sizeof *ops };

static void test_describe(void) {
    for (size_t i = 0; i < N_OPS; i++) {
        sim_mma_registers count;
        CHECK(sim_mma_describe(&ops[i].op, &count));
        CHECK(memcmp(&count, &ops[i].count, sizeof count) == 0);
    }
    static const sim_mma none[] = {
        {16, 8, 16, SIM_MATRIX_BF16, SIM_MATRIX_BF16, SIM_MATRIX_BF16, SIM_MATRIX_BF16,
         false},                                                                              /* no such accumulator */
        {16, 8, 16, SIM_MATRIX_F32, SIM_MATRIX_F16, SIM_MATRIX_BF16, SIM_MATRIX_F32, false},  /* mixed */
        {16, 8, 16, SIM_MATRIX_F32, SIM_MATRIX_F16, SIM_MATRIX_F16, SIM_MATRIX_F16, false},   /* D is not C */
        {16, 8, 16, SIM_MATRIX_F32, SIM_MATRIX_TF32, SIM_MATRIX_TF32, SIM_MATRIX_F32, false}, /* no such shape */
        {8, 8, 32, SIM_MATRIX_S32, SIM_MATRIX_S8, SIM_MATRIX_S8, SIM_MATRIX_S32, false},
        {16, 8, 16, SIM_MATRIX_F32, SIM_MATRIX_F16, SIM_MATRIX_F16, SIM_MATRIX_F32, true}, /* integers only */
    };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        sim_mma_registers count;
        CHECK(!sim_mma_describe(&none[i], &count));
    }
}

/* ---- data ---- */

static uint64_t random_state = 88172645463325252u;
static uint32_t random_bits(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 16);
}

static double small_whole(sim_matrix_type type) {
    const int x = (int)(random_bits() % 7);
    return type == SIM_MATRIX_U8 ? x : x - 3;
}

/* A value `type` has exactly: sign, a random significand, an exponent in -spread..spread, sometimes zero. */
static double random_value(sim_matrix_type type, int spread) {
    static const int digits[] = {
        [SIM_MATRIX_F16] = 11, [SIM_MATRIX_BF16] = 8, [SIM_MATRIX_TF32] = 11, [SIM_MATRIX_F32] = 24};
    const int n = digits[type], e = (int)(random_bits() % (2 * (uint32_t)spread + 1)) - spread;
    const uint32_t s = (random_bits() & ((1u << (n - 1)) - 1)) | 1u << (n - 1);
    if (random_bits() % 16 == 0)
        return 0;
    return ldexp(random_bits() & 1 ? -(double)s : s, e - n + 1);
}

static void fill_whole(const sim_mma *op, matrices *x) {
    memset(x, 0, sizeof *x);
    for (unsigned m = 0; m < op->m; m++)
        for (unsigned k = 0; k < op->k; k++)
            x->a[m][k] = small_whole(op->a);
    for (unsigned k = 0; k < op->k; k++)
        for (unsigned n = 0; n < op->n; n++)
            x->b[k][n] = small_whole(op->b);
    for (unsigned m = 0; m < op->m; m++)
        for (unsigned n = 0; n < op->n; n++)
            x->c[m][n] = small_whole(op->c);
}

static void fill_floats(const sim_mma *op, matrices *x, int spread) {
    memset(x, 0, sizeof *x);
    for (unsigned m = 0; m < op->m; m++)
        for (unsigned k = 0; k < op->k; k++)
            x->a[m][k] = random_value(op->a, spread);
    for (unsigned k = 0; k < op->k; k++)
        for (unsigned n = 0; n < op->n; n++)
            x->b[k][n] = random_value(op->b, spread);
    for (unsigned m = 0; m < op->m; m++)
        for (unsigned n = 0; n < op->n; n++)
            x->c[m][n] = random_value(op->c, spread);
}

/* ---- layout: small whole numbers come out exact, whatever the arithmetic ---- */

static void test_layout(void) {
    static matrices x;
    uint32_t d[MAX_M][MAX_N];
    for (size_t i = 0; i < N_OPS; i++)
        for (unsigned round = 0; round < 4; round++) {
            const sim_mma *op = &ops[i].op;
            fill_whole(op, &x);
            run(op, &x, d, round % 2);
            unsigned wrong = 0;
            for (unsigned m = 0; m < op->m; m++)
                for (unsigned n = 0; n < op->n; n++) {
                    double sum = x.c[m][n];
                    for (unsigned k = 0; k < op->k; k++)
                        sum += x.a[m][k] * x.b[k][n];
                    wrong += d[m][n] != encode(sum, op->d);
                }
            if (wrong)
                fprintf(stderr, "m%un%uk%u type %d: %u wrong\n", op->m, op->n, op->k, (int)op->a, wrong);
            CHECK(wrong == 0);
        }
}

/* ---- integers ---- */

static void test_integers(void) {
    static matrices x;
    uint32_t d[MAX_M][MAX_N];
    const sim_matrix_type types[] = {SIM_MATRIX_S8, SIM_MATRIX_U8};
    for (unsigned mix = 0; mix < 8; mix++) {
        const sim_mma op = {16, 8, 32, SIM_MATRIX_S32, types[mix & 1], types[mix >> 1 & 1], SIM_MATRIX_S32, mix >> 2};
        memset(&x, 0, sizeof x);
        for (unsigned k = 0; k < 32; k++) {
            x.a[0][k] = op.a == SIM_MATRIX_S8 ? -128 : 255;
            x.b[k][0] = op.b == SIM_MATRIX_S8 ? -127 : 255;
        }
        const int64_t product = (int64_t)(x.a[0][0] * x.b[0][0]) * 32;
        const int64_t start = product > 0 ? INT32_MAX - 5 : INT32_MIN + 5;
        x.c[0][0] = (double)start;
        run(&op, &x, d, false);
        const int64_t clamped = product > 0 ? INT32_MAX : INT32_MIN;
        CHECK(d[0][0] == (uint32_t)(op.satfinite ? clamped : start + product));
        CHECK(d[1][0] == 0 && d[0][1] == 0);
    }
}

/* ---- floating point: the model, in doubles that hold all of it exactly ---- */

static int term_exponent(double x, sim_matrix_type type) {
    const int e = ilogb(x), least = type == SIM_MATRIX_F16 ? -14 : -126;
    return e < least ? least : e;
}

static double cut_to_f32(double x) {
    if (x == 0)
        return 0;
    const int e = ilogb(x) < -126 ? -126 : ilogb(x);
    return ldexp(trunc(ldexp(x, 23 - e)), e - 23);
}

static double model(const sim_mma *op, const matrices *x, unsigned m, unsigned n) {
    const unsigned terms = op->a == SIM_MATRIX_TF32 ? 4 : 8;
    double d = x->c[m][n];
    for (unsigned k0 = 0; k0 < op->k; k0 += terms) {
        int top = d != 0 ? term_exponent(d, op->c) : -1000;
        for (unsigned k = k0; k < k0 + terms; k++)
            if (x->a[m][k] * x->b[k][n] != 0) {
                const int e = term_exponent(x->a[m][k], op->a) + term_exponent(x->b[k][n], op->b);
                top = e > top ? e : top;
            }
        double sum = d != 0 ? trunc(ldexp(d, 24 - top)) : 0;
        for (unsigned k = k0; k < k0 + terms; k++)
            sum += trunc(ldexp(x->a[m][k] * x->b[k][n], 24 - top));
        d = ldexp(sum, top - 24);
        d = sum == 0 ? 0 : op->d == SIM_MATRIX_F16 ? half_value(half_bits(d)) : cut_to_f32(d);
    }
    return d;
}

/* spread: of exponents. A narrow one keeps to the fast path, a wide one does not. */
static void check_model(const sim_mma *op, int spread, unsigned rounds) {
    static matrices x;
    uint32_t d[MAX_M][MAX_N];
    unsigned wrong = 0;
    for (unsigned round = 0; round < rounds; round++) {
        fill_floats(op, &x, spread);
        run(op, &x, d, false);
        for (unsigned m = 0; m < op->m; m++)
            for (unsigned n = 0; n < op->n; n++)
                wrong += d[m][n] != encode(model(op, &x, m, n), op->d);
    }
    if (wrong)
        fprintf(stderr, "m%un%uk%u type %d, exponents +-%d: %u wrong\n", op->m, op->n, op->k, (int)op->a, spread,
                wrong);
    CHECK(wrong == 0);
}

static void test_model(void) {
    for (size_t i = 0; i < N_OPS; i++) {
        const sim_mma *op = &ops[i].op;
        if (op->d == SIM_MATRIX_S32)
            continue;
        check_model(op, 1, 20);
        check_model(op, op->d == SIM_MATRIX_F16 ? 5 : 12, 50);
        if (op->a != SIM_MATRIX_F16)
            check_model(op, 55, 20); /* f32 still holds every result */
    }
}

/* Sums of f16 that are subnormal, and factors that are. */
static void test_subnormal(void) {
    const sim_mma op = {16, 8, 8, SIM_MATRIX_F16, SIM_MATRIX_F16, SIM_MATRIX_F16, SIM_MATRIX_F16, false};
    static matrices x;
    uint32_t d[MAX_M][MAX_N];
    memset(&x, 0, sizeof x);
    x.a[0][0] = 0x1p-24, x.b[0][0] = 3;
    x.a[1][0] = 0x1p-12, x.b[0][1] = 0x1.8p-12;
    x.c[2][2] = 0x1.8p-23;
    run(&op, &x, d, false);
    CHECK(d[0][0] == 3 && d[1][1] == 2 /* 1.5: a tie to even */ && d[2][2] == 3);
    const sim_mma wide = {16, 8, 8, SIM_MATRIX_F32, SIM_MATRIX_BF16, SIM_MATRIX_BF16, SIM_MATRIX_F32, false};
    memset(&x, 0, sizeof x);
    x.a[0][0] = 0x1p-133, x.b[0][0] = 0x1p10; /* a bf16 subnormal */
    x.a[1][0] = 0x1p-100, x.b[0][1] = 0x1.8p-49;
    x.c[2][2] = 0x1p-149;
    run(&wide, &x, d, false);
    CHECK(d[0][0] == bits_of(0x1p-123f) && d[1][1] == 1 /* cut off */ && d[2][2] == 1);
}

static void test_special(void) {
    static matrices x;
    uint32_t d[MAX_M][MAX_N];
    for (size_t i = 0; i < N_OPS; i++) {
        const sim_mma *op = &ops[i].op;
        if (op->d == SIM_MATRIX_S32)
            continue;
        const bool half = op->d == SIM_MATRIX_F16;
        const uint32_t infinity = half ? 0x7c00 : 0x7f800000, nan = half ? 0x7fff : 0x7fffffff,
                       sign = half ? 0x8000 : 1u << 31;
        memset(&x, 0, sizeof x);
        for (unsigned n = 0; n < 8; n++)
            x.b[1][n] = 1;
        x.a[0][1] = INFINITY;
        x.a[1][1] = -INFINITY, x.c[1][0] = INFINITY;
        x.a[2][0] = INFINITY; /* times zero */
        x.c[3][0] = NAN;
        x.c[4][0] = -INFINITY;
        run(op, &x, d, false);
        CHECK(d[0][0] == infinity && d[1][0] == nan && d[2][0] == nan && d[3][0] == nan);
        CHECK(d[4][0] == (infinity | sign) && d[1][1] == (infinity | sign) && d[5][5] == 0);
    }
    /* Overflow, of the first group of two where the second brings it no further. */
    const sim_mma half = {16, 8, 16, SIM_MATRIX_F16, SIM_MATRIX_F16, SIM_MATRIX_F16, SIM_MATRIX_F16, false};
    memset(&x, 0, sizeof x);
    x.a[0][0] = 256, x.b[0][0] = 256, x.a[0][8] = -1, x.b[8][0] = 1;
    run(&half, &x, d, false);
    CHECK(d[0][0] == 0x7c00);
    const sim_mma wide = {16, 8, 8, SIM_MATRIX_F32, SIM_MATRIX_BF16, SIM_MATRIX_BF16, SIM_MATRIX_F32, false};
    memset(&x, 0, sizeof x);
    x.a[0][0] = -0x1p100, x.b[0][0] = 0x1p30;
    run(&wide, &x, d, false);
    CHECK(d[0][0] == 0xff800000);
}

static void test_tf32_low_bits(void) {
    const sim_mma op = {16, 8, 4, SIM_MATRIX_F32, SIM_MATRIX_TF32, SIM_MATRIX_TF32, SIM_MATRIX_F32, false};
    static matrices x;
    uint32_t d[MAX_M][MAX_N];
    memset(&x, 0, sizeof x);
    x.a[0][0] = float_of(bits_of(1.5f) | 0x1fff);
    x.b[0][0] = 1;
    run(&op, &x, d, false);
    CHECK(d[0][0] == bits_of(1.5f));
}

/* ---- ldmatrix, movmatrix ---- */

static void test_ldmatrix(void) {
    uint32_t rows[SIM_WARP][4], d[4][SIM_WARP], *to[4] = {d[0], d[1], d[2], d[3]};
    uint16_t elems[4][8][8];
    for (unsigned j = 0; j < 4; j++)
        for (unsigned r = 0; r < 8; r++)
            for (unsigned c = 0; c < 8; c++)
                elems[j][r][c] = (uint16_t)(j << 8 | r << 4 | c);
    memcpy(rows, elems, sizeof rows);
    for (unsigned count = 1; count <= 4; count *= 2)
        for (unsigned trans = 0; trans < 2; trans++) {
            memset(d, 0xee, sizeof d);
            sim_ldmatrix(count, trans, (const uint32_t(*)[4])rows, to);
            unsigned wrong = 0;
            for (unsigned j = 0; j < 4; j++)
                for (unsigned lane = 0; lane < SIM_WARP; lane++) {
                    const unsigned g = lane >> 2, t = lane & 3;
                    const uint32_t low = trans ? elems[j][2 * t][g] : elems[j][g][2 * t];
                    const uint32_t high = trans ? elems[j][2 * t + 1][g] : elems[j][g][2 * t + 1];
                    wrong += d[j][lane] != (j < count ? low | high << 16 : 0xeeeeeeee);
                }
            CHECK(wrong == 0);
        }
    /* movmatrix is the transposed load of what a plain load gave; in place too. */
    uint32_t moved[SIM_WARP];
    sim_ldmatrix(1, false, (const uint32_t(*)[4])rows, to);
    memcpy(moved, d[0], sizeof moved);
    sim_movmatrix(moved, moved);
    sim_ldmatrix(1, true, (const uint32_t(*)[4])rows, to);
    CHECK(memcmp(moved, d[0], sizeof moved) == 0);
}

/* ---- `test_matrix --bench` ---- */

static void bench(void) {
    for (size_t i = 0; i < N_OPS; i++) {
        const sim_mma *op = &ops[i].op;
        static uint32_t r[4][SIM_WARP];
        for (unsigned j = 0; j < 4; j++)
            for (unsigned lane = 0; lane < SIM_WARP; lane++)
                r[j][lane] = 0x3c003c00;
        uint32_t d[4][SIM_WARP], *to[4] = {d[0], d[1], d[2], d[3]};
        const uint32_t *from[4] = {r[0], r[1], r[2], r[3]};
        enum { TIMES = 100000 };
        const clock_t start = clock();
        for (unsigned t = 0; t < TIMES; t++)
            sim_mma_run(op, to, from, from, from);
        const double ns = (double)(clock() - start) / CLOCKS_PER_SEC / TIMES * 1e9;
        printf("m%un%uk%u type %d to %d: %.0f ns, %.1f G products/s\n", op->m, op->n, op->k, (int)op->a, (int)op->d, ns,
               op->m * op->n * op->k / ns);
    }
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
        bench();
        return 0;
    }
    test_describe();
    test_layout();
    test_integers();
    test_model();
    test_subnormal();
    test_special();
    test_tf32_low_bits();
    test_ldmatrix();
    return test_end();
}
