/* All cases but mma.sync. */
#include "half.h"
#include "hardware.h"
#include "sim.h"
#include <stdio.h>
#include <string.h>

/* inputs, a letter a word: b random bits; f, h, g numbers of f32, two of f16, two of bf16, many of them subnormal, not
 * finite or ties; D the upper word of a double near 1; i a small whole number; r an f32 in low...high, now and then not
 * finite. */
typedef struct row {
    const char *name, *body, *inputs;
    unsigned n_out;
    hardware_result result;
    double absolute, relative, low, high;
} row;

#define EXACT(name, body, inputs, n_out)                                                                               \
    { name, body, inputs, n_out, HARDWARE_BITS, 0, 0, 0, 0 }
#define ONE(text, inputs)   EXACT(text, text " %o0, %i0;\n", inputs, 1)
#define TWO(text, inputs)   EXACT(text, text " %o0, %i0, %i1;\n", inputs, 1)
#define THREE(text, inputs) EXACT(text, text " %o0, %i0, %i1, %i2;\n", inputs, 1)
#define CVT_NARROW(text)    EXACT(text, text " %h0, %i0;\nmov.b32 %o0, {%h0, %h0};\n", "f", 1)
#define CVT_SMALL(text)     EXACT(text, text " %o0, %i0;\n", "f", 1)
#define LONG(text, after, inputs)                                                                                      \
    EXACT(text,                                                                                                        \
          "mov.b64 %l0, {%i0, %i1};\nmov.b64 %l1, {%i2, %i3};\n" text " %l2, %l0, " after ";\n"                        \
          "mov.b64 {%o0, %o1}, %l2;\n",                                                                                \
          inputs, 2)
#define DOUBLE(text)                                                                                                   \
    EXACT(text,                                                                                                        \
          "mov.b64 %l0, {%i0, %i1};\nmov.b64 %l1, {%i2, %i3};\nmov.b64 %l2, {%i4, %i5};\n" text                        \
          " %l3, %l0, %l1, %l2;\nmov.b64 {%o0, %o1}, %l3;\n",                                                          \
          "bDbDbD", 2)
/* Limits close to the accuracy PTX promises, not yet held against its manual, and half a unit for the simulator's
 * rounding. */
#define APPROX(text, absolute, relative, low, high)                                                                    \
    { text, text " %o0, %i0;\n", "r", 1, HARDWARE_F32, absolute, relative + 0x1p-24, low, high }
#define APPROX2(text, relative, low, high)                                                                             \
    { text, text " %o0, %i0, %i1;\n", "rr", 1, HARDWARE_F32, 0, relative + 0x1p-24, low, high }

#define SHARED_ROW                                                                                                     \
    "mov.u32 %t0, sh;\nshl.b32 %t1, %lane, 4;\nadd.u32 %t2, %t0, %t1;\n"                                               \
    "st.shared.v4.b32 [%t2], {%i0, %i1, %i2, %i3};\nbar.sync 0;\n"                                                     \
    "mad.lo.u32 %t3, %lane, 5, 3;\nand.b32 %t3, %t3, 31;\nshl.b32 %t3, %t3, 4;\nadd.u32 %t3, %t0, %t3;\n"
#define LDMATRIX(form, results, n)                                                                                     \
    EXACT("ldmatrix." form, SHARED_ROW "ldmatrix.sync.aligned.m8n8." form ".shared.b16 {" results "}, [%t3];\n",       \
          "bbbb", n)
/* The size to take from the source is a thread's own; the rest of the copy is zeros. */
#define CP_ASYNC(form, bytes, sizes, load, n)                                                                          \
    EXACT("cp.async." form "." bytes,                                                                                  \
          "mov.u32 %t0, sh;\nshl.b32 %t1, %lane, 4;\nadd.u32 %t2, %t0, %t1;\n"                                         \
          "cp.async." form ".shared.global [%t2], [%in], " bytes ";\n"                                                 \
          "cp.async.commit_group;\ncp.async.wait_group 0;\n" load " [%t2];\n",                                         \
          "bbbbbbbb", n),                                                                                              \
        EXACT("cp.async." form "." bytes " src-size",                                                                  \
              "mov.u32 %t0, sh;\nshl.b32 %t1, %lane, 4;\nadd.u32 %t2, %t0, %t1;\n"                                     \
              "rem.u32 %t3, %i4, " sizes ";\ncp.async." form ".shared.global [%t2], [%in], " bytes ", %t3;\n"          \
              "cp.async.wait_all;\n" load " [%t2];\n",                                                                 \
              "bbbbbbbb", n)
/* Nothing depends on the order in which threads come. */
#define RED(form, start, inputs)                                                                                       \
    EXACT("red." form,                                                                                                 \
          "mov.u32 %t0, sh;\nshl.b32 %t1, %lane, 2;\nadd.u32 %t2, %t0, %t1;\nst.shared.b32 [%t2], " start              \
          ";\nbar.sync 0;\nand.b32 %t3, %i0, 15;\nshl.b32 %t3, %t3, 2;\nadd.u32 %t3, %t0, %t3;\n"                      \
          "red.shared." form " [%t3], %i1;\nbar.sync 0;\nld.shared.b32 %o0, [%t2];\n",                                 \
          inputs, 1)
#define OWN_ATOM(form, operands)                                                                                       \
    EXACT("atom." form,                                                                                                \
          "mov.u32 %t0, sh;\nshl.b32 %t1, %lane, 2;\nadd.u32 %t2, %t0, %t1;\nst.shared.b32 [%t2], %i0;\n"              \
          "and.b32 %t3, %i2, 1;\nadd.u32 %t3, %t3, %i0;\natom.shared." form " %o0, [%t2], " operands ";\n"             \
          "ld.shared.b32 %o1, [%t2];\n",                                                                               \
          "bbb", 2)
#define SHFL(mode, c)                                                                                                  \
    EXACT("shfl." mode " " c, "shfl.sync." mode ".b32 %o0|%p0, %i0, %i1, " c ", -1;\nselp.b32 %o1, 1, 0, %p0;\n",      \
          "bb", 2)
#define VOTE(mode, bits)                                                                                               \
    EXACT("vote." mode " " bits,                                                                                       \
          "and.b32 %t0, %i0, " bits ";\nsetp.ne.u32 %p0, %t0, 0;\n"                                                    \
          "vote.sync." mode ".pred %p1, %p0, -1;\nselp.b32 %o0, %i0, 0, %p1;\n",                                       \
          "b", 1)
#define PRMT(mode)  EXACT("prmt" mode, "and.b32 %t0, %i2, 0xffff;\nprmt.b32" mode " %o0, %i0, %i1, %t0;\n", "bbb", 1)
#define LOP3(table) EXACT("lop3 " table, "lop3.b32 %o0, %i0, %i1, %i2, " table ";\n", "bbb", 1)

static const row rows[] = {
    /* integers and bits */
    TWO("add.sat.s32", "bb"),
    TWO("mul.hi.s32", "bb"),
    TWO("mul.hi.u32", "bb"),
    THREE("mad.lo.s32", "bbb"),
    THREE("dp4a.s32.s32", "bbb"),
    THREE("dp4a.u32.s32", "bbb"),
    TWO("div.s32", "bi"),
    TWO("rem.u32", "bi"),
    ONE("popc.b32", "b"),
    ONE("clz.b32", "b"),
    ONE("brev.b32", "b"),
    ONE("bfind.s32", "b"),
    ONE("bfind.u32", "b"),
    THREE("shf.l.wrap.b32", "bbi"),
    THREE("shf.r.clamp.b32", "bbi"),
    TWO("shl.b32", "bi"),
    TWO("shr.s32", "bi"),
    THREE("bfe.u32", "bii"),
    THREE("bfe.s32", "bii"),
    EXACT("bfi.b32", "bfi.b32 %o0, %i0, %i1, %i2, %i3;\n", "bbii", 1),
    LONG("bfe.u64", "%i2, %i3", "bbii"),
    LONG("bfe.s64", "%i2, %i3", "bbii"),
    LONG("bfi.b64", "%l1, %i4, %i5", "bbbbii"),
    LONG("mul.hi.s64", "%l1", "bbbb"),
    LONG("add.s64", "%l1", "bbbb"),
    PRMT(""),
    PRMT(".f4e"),
    PRMT(".b4e"),
    PRMT(".rc8"),
    PRMT(".ecl"),
    PRMT(".ecr"),
    PRMT(".rc16"),
    LOP3("0x96"),
    LOP3("0xe8"),
    LOP3("0xca"),
    LOP3("0x1b"),
    /* conversions */
    CVT_NARROW("cvt.rn.f16.f32"),
    CVT_NARROW("cvt.rz.f16.f32"),
    CVT_NARROW("cvt.rn.bf16.f32"),
    CVT_NARROW("cvt.rz.bf16.f32"),
    CVT_NARROW("cvt.rn.relu.f16.f32"),
    CVT_NARROW("cvt.rn.relu.bf16.f32"),
    CVT_NARROW("cvt.rm.f16.f32"),
    CVT_NARROW("cvt.rp.f16.f32"),
    ONE("cvt.rna.tf32.f32", "f"),
    TWO("cvt.rn.f16x2.f32", "ff"),
    TWO("cvt.rn.bf16x2.f32", "ff"),
    TWO("cvt.rn.relu.bf16x2.f32", "ff"),
    EXACT("cvt.f32.f16", "mov.b32 {%h0, %h1}, %i0;\ncvt.f32.f16 %o0, %h0;\ncvt.f32.f16 %o1, %h1;\n", "h", 2),
    CVT_SMALL("cvt.rni.s32.f32"),
    CVT_SMALL("cvt.rzi.s32.f32"),
    CVT_SMALL("cvt.rmi.s32.f32"),
    CVT_SMALL("cvt.rpi.s32.f32"),
    CVT_SMALL("cvt.rni.u32.f32"),
    CVT_SMALL("cvt.rzi.u32.f32"),
    CVT_SMALL("cvt.rni.sat.u8.f32"),
    CVT_SMALL("cvt.rni.sat.s8.f32"),
    CVT_SMALL("cvt.rzi.sat.u8.f32"),
    CVT_SMALL("cvt.rni.f32.f32"),
    CVT_SMALL("cvt.sat.f32.f32"),
    ONE("cvt.sat.u8.s32", "b"),
    ONE("cvt.sat.s8.s32", "b"),
    EXACT("cvt.sat.u8.s32 small", "cvt.sat.u8.s32 %o0, %i0;\n", "i", 1),
    ONE("cvt.rn.f32.s32", "b"),
    ONE("cvt.rz.f32.u32", "b"),
    THREE("cvt.pack.sat.s8.s32.b32", "iib"),
    THREE("cvt.pack.sat.u8.s32.b32", "iib"),
    TWO("cvt.pack.sat.s16.s32", "bi"),
    /* floating point */
    THREE("fma.rn.f32", "fff"),
    THREE("fma.rz.f32", "fff"),
    THREE("fma.rm.f32", "fff"),
    THREE("fma.rp.f32", "fff"),
    THREE("fma.rn.ftz.f32", "fff"),
    THREE("fma.rn.sat.f32", "fff"),
    THREE("fma.rn.f16x2", "hhh"),
    THREE("fma.rn.relu.f16x2", "hhh"),
    THREE("fma.rn.bf16x2", "ggg"),
    THREE("fma.rn.relu.bf16x2", "ggg"),
    DOUBLE("fma.rn.f64"),
    TWO("add.rn.f32", "ff"),
    TWO("add.rz.ftz.f32", "ff"),
    TWO("mul.rn.f32", "ff"),
    TWO("mul.rn.ftz.f32", "ff"),
    TWO("div.rn.f32", "ff"),
    ONE("rcp.rn.f32", "f"),
    ONE("sqrt.rn.f32", "f"),
    TWO("min.f32", "ff"),
    TWO("max.f32", "ff"),
    TWO("max.NaN.f32", "ff"),
    TWO("max.ftz.f32", "ff"),
    TWO("add.rn.f16x2", "hh"),
    TWO("mul.rn.f16x2", "hh"),
    TWO("max.f16x2", "hh"),
    TWO("min.NaN.f16x2", "hh"),
    TWO("max.bf16x2", "gg"),
    /* approximations */
    APPROX("ex2.approx.f32", 0, 0x1p-22, -120, 120),
    APPROX("ex2.approx.ftz.f32", 0, 0x1p-22, -120, 120),
    APPROX("lg2.approx.f32", 0x1p-22, 0x1p-22, 0, 1000),
    APPROX("rcp.approx.f32", 0, 0x1p-23, -1000, 1000),
    APPROX("sqrt.approx.f32", 0, 0x1p-23, 0, 1000),
    APPROX("rsqrt.approx.f32", 0, 0x1.13p-23, 0.001, 1000),
    APPROX("sin.approx.f32", 0x1.6ap-21, 0, -3.14, 3.14),
    APPROX("cos.approx.f32", 0x1.6ap-21, 0, -3.14, 3.14),
    APPROX("tanh.approx.f32", 0, 0x1p-11, -8, 8),
    APPROX2("div.approx.f32", 0x1p-22, -1000, 1000),
    APPROX2("div.full.f32", 0x1p-22, -1000, 1000),
    {"tanh.approx.f16x2", "cvt.rn.f16x2.f32 %t0, %i0, %i1;\ntanh.approx.f16x2 %o0, %t0;\n", "rr", 1, HARDWARE_F16X2,
     0x1.03p-11, 0x1p-11, -8, 8},
    {"ex2.approx.f16x2", "cvt.rn.f16x2.f32 %t0, %i0, %i1;\nex2.approx.f16x2 %o0, %t0;\n", "rr", 1, HARDWARE_F16X2, 0,
     0x1.12p-10 + 0x1p-11, -13, 15},
    /* across a warp */
    SHFL("idx", "0x1f"),
    SHFL("idx", "0x181f"),
    SHFL("up", "0"),
    SHFL("up", "0x1800"),
    SHFL("down", "0x1f"),
    SHFL("down", "0x181f"),
    SHFL("bfly", "0x1f"),
    SHFL("bfly", "0x1c1f"),
    SHFL("bfly", "3"),
    VOTE("any", "0x3f000000"),
    VOTE("any", "31"),
    VOTE("all", "0x00ffffff"),
    VOTE("all", "31"),
    VOTE("uni", "0x1fff"),
    EXACT("vote.ballot", "setp.lt.s32 %p0, %i0, 0;\nvote.sync.ballot.b32 %o0, %p0, -1;\n", "b", 1),
    EXACT("match.any", "and.b32 %t0, %i0, 7;\nmatch.any.sync.b32 %o0, %t0, -1;\n", "b", 1),
    EXACT("redux.add.s32", "redux.sync.add.s32 %o0, %i0, -1;\n", "b", 1),
    EXACT("redux.min.s32", "redux.sync.min.s32 %o0, %i0, -1;\n", "b", 1),
    EXACT("redux.max.u32", "redux.sync.max.u32 %o0, %i0, -1;\n", "b", 1),
    EXACT("redux.xor.b32", "redux.sync.xor.b32 %o0, %i0, -1;\n", "b", 1),
    /* shared memory */
    LDMATRIX("x1", "%o0", 1),
    LDMATRIX("x1.trans", "%o0", 1),
    LDMATRIX("x2", "%o0, %o1", 2),
    LDMATRIX("x2.trans", "%o0, %o1", 2),
    LDMATRIX("x4", "%o0, %o1, %o2, %o3", 4),
    LDMATRIX("x4.trans", "%o0, %o1, %o2, %o3", 4),
    CP_ASYNC("ca", "4", "5", "ld.shared.b32 %o0,", 1),
    CP_ASYNC("ca", "8", "9", "ld.shared.v2.b32 {%o0, %o1},", 2),
    CP_ASYNC("ca", "16", "17", "ld.shared.v4.b32 {%o0, %o1, %o2, %o3},", 4),
    CP_ASYNC("cg", "16", "17", "ld.shared.v4.b32 {%o0, %o1, %o2, %o3},", 4),
    RED("add.u32", "0", "bb"),
    RED("min.s32", "0", "bb"),
    RED("max.u32", "0", "bb"),
    RED("and.b32", "-1", "bb"),
    RED("or.b32", "0", "bb"),
    RED("xor.b32", "0", "bb"),
    OWN_ATOM("exch.b32", "%i1"),
    OWN_ATOM("cas.b32", "%t3, %i1"),
    OWN_ATOM("inc.u32", "%i1"),
    OWN_ATOM("dec.u32", "%i1"),
    /* whole numbers: their sum does not depend on the order */
    EXACT("red.add.f32",
          "mov.u32 %t0, sh;\nshl.b32 %t1, %lane, 2;\nadd.u32 %t2, %t0, %t1;\nst.shared.b32 [%t2], 0;\n"
          "bar.sync 0;\nand.b32 %t3, %i0, 15;\nshl.b32 %t3, %t3, 2;\nadd.u32 %t3, %t0, %t3;\ncvt.rn.f32.s32 %t4, %i1;\n"
          "red.shared.add.f32 [%t3], %t4;\nbar.sync 0;\nld.shared.b32 %o0, [%t2];\n",
          "bi", 1),
};
enum { N_ROWS = sizeof rows / sizeof *rows, BLOCKS = 64 };

/* ---- inputs ---- */

static uint32_t any_f32(uint64_t *state) {
    static const uint32_t edges[] = {0,          0x80000000, 1,          0x80000001, 0x007fffff, 0x00800000,
                                     0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001,
                                     0xffc12345, 0x3f800000, 0x3f000000, 0x40200000, /* 2.5 */
                                     0xbfc00000, 0x4f000000, 0xcf000000, 0x4f800000, 0x437f8000, /* 255.5 */ 0x33800000,
                                     0x38800000, 0x387fe000, 0x477fe000, 0x477ff000, 0x477fefff, 0x3f801000,
                                     0x3f803000, 0x3f808000, 0x3f818000, 0x7f7f8000};
    const uint32_t r = hardware_random(state), kind = hardware_random(state) % 4;
    if (kind == 0)
        return edges[r % (sizeof edges / sizeof *edges)];
    return kind == 1 ? r : (r & 0x80ffffff) | (112 + r % 31) << 23; /* 2^-15 to 2^15 */
}

static uint32_t any_half(uint64_t *state, uint32_t infinity, uint32_t one) {
    const uint32_t edges[] = {0,      0x8000,       1,  0x8001, infinity, infinity | 0x8000, infinity | 1,
                              0x7fff, infinity - 1, one};
    const uint32_t r = hardware_random(state), kind = r >> 16 & 3;
    return kind == 0 ? edges[(r & 0xffff) % 10] : kind == 1 ? r & 0xffff : ((r & 0x83ff) + one) & 0xffff;
}

static uint32_t input(char letter, const row *w, uint64_t *state) {
    const uint32_t r = hardware_random(state);
    switch (letter) {
    case 'f':
        return any_f32(state);
    case 'h':
        return any_half(state, 0x7c00, 0x3c00) | any_half(state, 0x7c00, 0x3800) << 16;
    case 'g':
        return any_half(state, 0x7f80, 0x3f80) | any_half(state, 0x7f80, 0x3e00) << 16;
    case 'D':
        return (r & 0x800fffff) | (1019 + r % 8) << 20;
    case 'i':
        return r % 80 + 1;
    case 'r':
        if (r % 64 == 0)
            return (const uint32_t[]){0x7f800000, 0x7fc00000, 0xff800000, 0}[r / 64 % 4];
        return sim__float_bits((float)(w->low + (w->high - w->low) * r * 0x1p-32));
    default:
        return r;
    }
}

/* ---- all cases: the rows, then mma ---- */

size_t hardware_count(void) {
    return N_ROWS + hardware_mma_count();
}

void hardware_describe(size_t index, hardware_case *out) {
    if (index >= N_ROWS) {
        hardware_mma_describe(index - N_ROWS, out);
        return;
    }
    const row *w = &rows[index];
    *out = (hardware_case){.n_in = (unsigned)strlen(w->inputs),
                           .n_out = w->n_out,
                           .blocks = BLOCKS,
                           .result = w->result,
                           .absolute = w->absolute,
                           .relative = w->relative};
    snprintf(out->name, sizeof out->name, "%s", w->name);
    snprintf(out->body, sizeof out->body, "%s", w->body);
}

void hardware_inputs(size_t index, const hardware_case *c, uint32_t *words) {
    if (index >= N_ROWS) {
        hardware_mma_inputs(index - N_ROWS, words);
        return;
    }
    uint64_t state = 0x853c49e6748fea9b + index;
    for (size_t thread = 0; thread < (size_t)c->blocks * SIM_WARP; thread++)
        for (unsigned i = 0; i < c->n_in; i++)
            *words++ = input(rows[index].inputs[i], &rows[index], &state);
}
