#include "matrix_run.h"
#include <string.h>
#ifdef __AVX512F__
#    include <immintrin.h>
#endif

/* Fragments: a row of A, and a column of B, is a line of contiguous bytes. A register of A or B holds 4 bytes of such a
 * line for each lane: with g = lane / 4 and t = lane % 4,
 *
 *     A register j: bytes [16 * (j / 2) + 4 * t, + 4) of row g + 8 * (j % 2)
 *     B register j: bytes [16 * j + 4 * t, + 4) of column g
 *     C, D element i: row g + 8 * (i / 2), column 2 * t + i % 2
 *
 * whatever the type. So a register is four pieces, one for each t, of eight words, one for each g, and the type matters
 * only afterwards. The arithmetic is on the 16 rows of a column at once.
 *
 * This file is compiled once for each kind of vectors a CPU may have; SIM_MMA_RUN names the function. */

enum { ROWS = 16, COLUMNS = 8, LINE_WORDS = 8, LINE_ELEMS = 32 };

#define INLINE static inline __attribute__((always_inline))

typedef int32_t ints __attribute__((vector_size(64)));
typedef uint32_t bits __attribute__((vector_size(64)));
typedef float reals __attribute__((vector_size(64)));
typedef union column {
    bits word;
    ints whole;
    reals real;
    uint32_t row[ROWS];
    int32_t whole_row[ROWS];
    float real_row[ROWS];
} column;

/* ---- fragments to columns and back ---- */

INLINE void spread(uint32_t piece[4][8], const uint32_t reg[SIM_WARP]) {
    bits from[2], to[2];
    memcpy(from, reg, sizeof from);
    to[0] = __builtin_shufflevector(from[0], from[1], 0, 4, 8, 12, 16, 20, 24, 28, 1, 5, 9, 13, 17, 21, 25, 29);
    to[1] = __builtin_shufflevector(from[0], from[1], 2, 6, 10, 14, 18, 22, 26, 30, 3, 7, 11, 15, 19, 23, 27, 31);
    memcpy(piece, to, sizeof to);
}

INLINE void collect(uint32_t reg[SIM_WARP], uint32_t piece[4][8]) {
    bits from[2], to[2];
    memcpy(from, piece, sizeof from);
    to[0] = __builtin_shufflevector(from[0], from[1], 0, 8, 16, 24, 1, 9, 17, 25, 2, 10, 18, 26, 3, 11, 19, 27);
    to[1] = __builtin_shufflevector(from[0], from[1], 4, 12, 20, 28, 5, 13, 21, 29, 6, 14, 22, 30, 7, 15, 23, 31);
    memcpy(reg, to, sizeof to);
}

/* Word w of the lines of A is column line[w]. */
INLINE void gather_a(column line[LINE_WORDS], const uint32_t *const reg[], unsigned n) {
    uint32_t piece[4][8];
    for (unsigned j = 0; j < n; j++) {
        spread(piece, reg[j]);
        for (unsigned t = 0; t < 4; t++)
            memcpy(&line[4 * (j / 2) + t].row[8 * (j % 2)], piece[t], sizeof *piece);
    }
}

/* The same of B, in the first eight rows. */
INLINE void gather_b(column line[LINE_WORDS], const uint32_t *const reg[], unsigned n) {
    uint32_t piece[4][8];
    for (unsigned j = 0; j < n; j++) {
        spread(piece, reg[j]);
        for (unsigned t = 0; t < 4; t++)
            memcpy(line[4 * j + t].row, piece[t], sizeof *piece);
    }
}

INLINE void gather_c(column c[COLUMNS], const uint32_t *const reg[], unsigned n) {
    uint32_t piece[4][8];
    for (unsigned j = 0; j < n; j++) {
        spread(piece, reg[j]);
        for (unsigned t = 0; t < 4; t++)
            memcpy(&c[2 * t + j % 2].row[8 * (j / 2)], piece[t], sizeof *piece);
    }
}

INLINE void scatter_d(uint32_t *const reg[], unsigned n, column d[COLUMNS]) {
    uint32_t piece[4][8];
    for (unsigned j = 0; j < n; j++) {
        for (unsigned t = 0; t < 4; t++)
            memcpy(piece[t], &d[2 * t + j % 2].row[8 * (j / 2)], sizeof *piece);
        collect(reg[j], piece);
    }
}

/* ---- integers ---- */

/* Bytes k of all lines, extended. */
INLINE ints bytes_of(const column *line, unsigned k, sim_matrix_type type) {
    const bits high = line[k / 4].word << 8 * (3 - k % 4);
    return type == SIM_MATRIX_S8 ? (ints)high >> 24 : (ints)(high >> 24);
}

/* Once, after everything was added. */
INLINE void add_clamped(column *d, column sum) {
    for (unsigned m = 0; m < ROWS; m++) {
        const int64_t exact = (int64_t)(int32_t)sum.row[m] + (int32_t)d->row[m];
        d->row[m] = (uint32_t)(int32_t)(exact > INT32_MAX ? INT32_MAX : exact < INT32_MIN ? INT32_MIN : exact);
    }
}

/* Products and their sum fit easily; the sum with C wraps, or with .satfinite is clamped. */
INLINE void integer_mma(const sim_mma *mma, column d[COLUMNS], const column *a_line, const column *b_line) {
    column a[LINE_ELEMS], b[LINE_ELEMS];
    for (unsigned k = 0; k < mma->k; k++) {
        a[k].whole = bytes_of(a_line, k, mma->a);
        b[k].whole = bytes_of(b_line, k, mma->b);
    }
    for (unsigned n = 0; n < COLUMNS; n++) {
        column sum = {.whole = {0}};
        for (unsigned k = 0; k < mma->k; k++)
            sum.whole += a[k].whole * b[k].whole_row[n];
        if (mma->satfinite)
            add_clamped(&d[n], sum);
        else
            d[n].word += sum.word;
    }
}

/* ---- floating point ----
 *
 * What measurements of sm_80 agree with. The products of a group (8 of 16-bit types, 4 of tf32, in the order of k) and
 * the accumulator are added at once: each is exact, aligned to the largest exponent among them, cut off (toward zero)
 * FRACTION bits below it, and the integers are summed. An exponent is that of the factors added, so a product counts
 * as one in [1, 4). The sum becomes f32 by cutting off, f16 by rounding to nearest even. Groups are chained.
 *
 * Numbers far from the edges of f32 take a path the compiler makes vectors of: a product is exact as f32, and cutting
 * off is a conversion to int32. Others, and infinities and NaNs, go one by one in integers. */

enum { FRACTION = 24, NO_EXPONENT = -10000, MAX_K = 16, LEAST_FAST = -30, MOST_FAST = 60, LEAST_FAST_C = -90 };

typedef struct floats {
    column a[MAX_K], b[MAX_K];   /* f32 of the same values; of b only eight rows */
    column ea[MAX_K], eb[MAX_K]; /* exponents, NO_EXPONENT of zeros */
} floats;

INLINE bits choose(ints mask, bits yes, bits no) {
    return ((bits)mask & yes) | (~(bits)mask & no);
}

INLINE ints max_of(ints x, ints y) {
    return (ints)choose(x > y, (bits)x, (bits)y);
}

/* f16 to the f32 of the same value; infinities and NaNs stay such. */
INLINE bits widen(bits half) {
    const bits size = (half & 0x7fff) << 13;
    return (half & 0x8000) << 16 | (bits)((reals)size * 0x1p112f) | ((bits)(size >= 0x7c00u << 13) & 0x7f800000);
}

/* f32 to the nearest f16, even on ties. */
INLINE bits narrow(bits x) {
    const bits size = x & 0x7fffffff, sign = x >> 16 & 0x8000;
    const bits normal = (size - 0x38000000 + 0xfff + (size >> 13 & 1)) >> 13;
    const bits subnormal = (bits)((reals)size + 0.5f) - 0x3f000000; /* the addition rounds to multiples of 2^-24 */
    bits half = choose(size < 0x38800000, subnormal, normal);
    half = sign | choose(size >= 0x47800000, half - half + 0x7c00, half);
    return choose(size > 0x7f800000, half - half + 0x7fff, half);
}

/* Elements k of all lines as f32. */
INLINE bits elements(const column *line, unsigned k, sim_matrix_type type) {
    if (type == SIM_MATRIX_TF32)
        return line[k].word & ~UINT32_C(0x1fff);
    const bits half = line[k / 2].word >> 16 * (k % 2) & 0xffff;
    return type == SIM_MATRIX_BF16 ? half << 16 : widen(half);
}

/* Exponents of factors of `type`: a subnormal has that of the least normal number. */
INLINE ints exponents(bits x, sim_matrix_type type) {
    const ints least = (ints){0} + (type == SIM_MATRIX_F16 ? -14 : -126), none = (ints){0} + NO_EXPONENT;
    return (ints)choose((x & 0x7fffffff) == 0, (bits)none, (bits)max_of((ints)(x >> 23 & 255) - 127, least));
}

/* Where the fast path cannot be taken. */
INLINE ints unfit(ints e, int32_t least) {
    return (e != NO_EXPONENT) & ((e < least) | (e > MOST_FAST));
}

INLINE bool any(ints mask) {
    const column x = {.whole = mask};
    uint32_t sum = 0;
    for (unsigned m = 0; m < ROWS; m++)
        sum |= x.row[m];
    return sum != 0;
}

/* true: all are fit for the fast path. */
INLINE bool decode(floats *f, sim_matrix_type type, unsigned n_k, const column *a_line, const column *b_line) {
    ints slow = {0};
    for (unsigned k = 0; k < n_k; k++) {
        f->a[k].word = elements(a_line, k, type);
        f->b[k].word = elements(b_line, k, type);
        f->ea[k].whole = exponents(f->a[k].word, type);
        f->eb[k].whole = exponents(f->b[k].word, type);
        slow |= unfit(f->ea[k].whole, LEAST_FAST) | unfit(f->eb[k].whole, LEAST_FAST);
    }
    return !any(slow);
}

/* 2^e of normal numbers. */
INLINE reals power(ints e) {
    return (reals)((e + 127) << 23);
}

/* One group of a column. */
INLINE bits group_fast(bits d, const floats *f, unsigned n, unsigned k0, unsigned terms, sim_matrix_type type) {
    ints top = max_of(exponents(d, type), (ints){0} - 100); /* -100: all terms are zero */
    for (unsigned k = k0; k < k0 + terms; k++)
        top = max_of(top, f->ea[k].whole + f->eb[k].whole_row[n]);
    const reals scale = power(FRACTION - top);
    ints sum = __builtin_convertvector((reals)d * scale, ints);
    for (unsigned k = k0; k < k0 + terms; k++)
        sum += __builtin_convertvector(f->a[k].real * f->b[k].real_row[n] * scale, ints);
    /* To f32 by cutting off: the nearest one, less one place if that went up. */
    const reals nearest = __builtin_convertvector(sum, reals);
    const ints back = __builtin_convertvector(nearest, ints);
    const ints size = max_of(sum, -sum), back_size = max_of(back, -back);
    bits cut = (bits)nearest + (bits)(back_size > size); /* a mask is -1 */
    if (type == SIM_MATRIX_F16)
        cut |= (bits)(back_size != size) & 1; /* then rounding twice is rounding once */
    return (bits)((reals)cut * power(top - FRACTION));
}

/* ---- one by one ---- */

typedef struct term {
    int64_t significand; /* signed, in units of 2^(exponent - 23) */
    int32_t exponent;
} term;

INLINE float float_of(uint32_t word) {
    float f;
    memcpy(&f, &word, sizeof f);
    return f;
}

static term split(uint32_t word, int32_t e) {
    const int32_t stored = (int32_t)(word >> 23 & 255), own = stored ? stored - 127 : -126;
    int64_t s = (word & 0x7fffff) | (stored ? 0x800000 : 0);
    if (e != NO_EXPONENT)
        s >>= e - own; /* an f16 subnormal is normal as f32; its low bits are zero */
    return (term){word >> 31 ? -s : s, e};
}

/* sum * 2^(top - FRACTION) as f32, cut off at f32's last place; `sticky` sets that place if anything was lost. */
static uint32_t assemble(int64_t sum, int32_t top, bool sticky) {
    if (sum == 0)
        return 0;
    const uint32_t sign = sum < 0 ? 0x80000000 : 0;
    uint64_t size = (uint64_t)(sum < 0 ? -sum : sum);
    int32_t e = top - FRACTION + 23; /* of bit 23 */
    bool lost = false;
    for (; size >> 24 || e < -126; e++) {
        lost |= size & 1;
        size >>= 1;
    }
    for (; !(size >> 23) && e > -126; e--)
        size <<= 1;
    if (e > 127)
        return sign | 0x7f800000;
    const uint32_t stored = size >> 23 ? (uint32_t)(e + 127) << 23 : 0;
    return sign | stored | ((uint32_t)size & 0x7fffff) | (lost && sticky);
}

/* significand / 2^shift toward zero. */
static int64_t cut_off(int64_t significand, int32_t shift) {
    return shift > 62 ? 0 : significand / (INT64_C(1) << shift);
}

static bool is_finite(float x) {
    return x - x == 0;
}

/* With an infinity or a NaN among the terms, *d becomes their sum. false: there is none. */
static bool special_sum(uint32_t *d, const float *a, const float *b, unsigned terms) {
    bool special = !is_finite(float_of(*d));
    float sum = special ? float_of(*d) : 0;
    for (unsigned k = 0; k < terms; k++)
        if (!is_finite(a[k]) || !is_finite(b[k])) {
            sum += a[k] * b[k];
            special = true;
        }
    if (special)
        *d = sum != sum ? 0x7fffffff : sum > 0 ? 0x7f800000 : 0xff800000;
    return special;
}

static uint32_t group_exact(uint32_t d, int32_t d_exponent, const floats *f, unsigned n, unsigned m, unsigned k0,
                            unsigned terms, sim_matrix_type type) {
    float a_value[MAX_K], b_value[MAX_K];
    term a[MAX_K], b[MAX_K];
    int32_t top = d_exponent;
    for (unsigned i = 0; i < terms; i++) {
        const uint32_t a_word = f->a[k0 + i].row[m], b_word = f->b[k0 + i].row[n];
        a_value[i] = float_of(a_word);
        b_value[i] = float_of(b_word);
        a[i] = split(a_word, f->ea[k0 + i].whole_row[m]);
        b[i] = split(b_word, f->eb[k0 + i].whole_row[n]);
        const int32_t e = a[i].exponent + b[i].exponent;
        top = e > top ? e : top;
    }
    if (special_sum(&d, a_value, b_value, terms))
        return d;
    int64_t sum = cut_off(split(d, d_exponent).significand * (1 << (FRACTION - 23)), top - d_exponent);
    for (unsigned i = 0; i < terms; i++)
        sum += cut_off(a[i].significand * b[i].significand, 46 - FRACTION + top - a[i].exponent - b[i].exponent);
    return assemble(sum, top, type == SIM_MATRIX_F16);
}

static void column_exact(column *d, const floats *f, unsigned n, unsigned k0, unsigned terms, sim_matrix_type type) {
    const column e = {.whole = exponents(d->word, type)};
    for (unsigned m = 0; m < ROWS; m++)
        d->row[m] = group_exact(d->row[m], e.whole_row[m], f, n, m, k0, terms, type);
}

/* ---- all of it ---- */

/* Two f16 lie in one word of D: (2t, 2t + 1) of row g in register 0, of row g + 8 in register 1. As if each of the two
 * registers were two of f32. */
INLINE void unpack_c(column c[COLUMNS]) {
    for (unsigned t = 0; t < COLUMNS; t += 2) {
        column low = c[t], high = c[t + 1]; /* words of rows 0..7, of rows 8..15, both in the first eight places */
        memcpy(&low.row[8], high.row, 8 * sizeof *high.row);
        c[t].word = widen(low.word & 0xffff);
        c[t + 1].word = widen(low.word >> 16);
    }
}

INLINE void pack_d(column d[COLUMNS]) {
    for (unsigned t = 0; t < COLUMNS; t += 2) {
        const column both = {.word = narrow(d[t].word) | narrow(d[t + 1].word) << 16};
        d[t] = both;
        memcpy(d[t + 1].row, &both.row[8], 8 * sizeof *both.row);
    }
}

INLINE void float_mma(sim_matrix_type type, sim_matrix_type d_type, unsigned n_k, column d[COLUMNS],
                      const column *a_line, const column *b_line) {
    floats f;
    const unsigned terms = type == SIM_MATRIX_TF32 ? 4 : 8;
    const bool fit = decode(&f, type, n_k, a_line, b_line), half = d_type == SIM_MATRIX_F16;
    if (half)
        unpack_c(d);
    for (unsigned k = 0; k < n_k; k += terms) {
        ints slow = {0};
        for (unsigned n = 0; n < COLUMNS; n++)
            slow |= unfit(exponents(d[n].word, SIM_MATRIX_F32), LEAST_FAST_C);
        const bool fast = fit && !any(slow);
        for (unsigned n = 0; n < COLUMNS; n++) {
            if (fast)
                d[n].word = group_fast(d[n].word, &f, n, k, terms, d_type);
            else
                column_exact(&d[n], &f, n, k, terms, d_type);
            if (half)
                d[n].word = widen(narrow(d[n].word));
        }
    }
    if (half)
        pack_d(d);
}

/* The types are constants of each call, so that nothing is decided in the loops. */
INLINE void multiply(const sim_mma *mma, column d[COLUMNS], const column *a, const column *b) {
    if (mma->d == SIM_MATRIX_S32)
        integer_mma(mma, d, a, b);
    else if (mma->a == SIM_MATRIX_BF16)
        float_mma(SIM_MATRIX_BF16, SIM_MATRIX_F32, mma->k, d, a, b);
    else if (mma->a == SIM_MATRIX_TF32)
        float_mma(SIM_MATRIX_TF32, SIM_MATRIX_F32, mma->k, d, a, b);
    else if (mma->d == SIM_MATRIX_F32)
        float_mma(SIM_MATRIX_F16, SIM_MATRIX_F32, mma->k, d, a, b);
    else
        float_mma(SIM_MATRIX_F16, SIM_MATRIX_F16, mma->k, d, a, b);
}

void SIM_MMA_RUN(const sim_mma *mma, uint32_t *const d[], const uint32_t *const a[], const uint32_t *const b[],
                 const uint32_t *const c[]) {
    sim_mma_registers count = {0};
    sim_mma_describe(mma, &count);
    column a_line[LINE_WORDS] = {{{0}}}, b_line[LINE_WORDS] = {{{0}}}, sum[COLUMNS] = {{{0}}};
    gather_a(a_line, a, count.a);
    gather_b(b_line, b, count.b);
    gather_c(sum, c, count.c);
    multiply(mma, sum, a_line, b_line);
    scatter_d(d, count.d, sum);
}
