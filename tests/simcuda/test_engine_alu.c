/* One instruction a row: its operands, and what PTX says comes out. */
#include "engine_test.h"
#include <math.h>

/* Widths are letters, result first: p, h, w, l as in engine.h. */
typedef struct row {
    const char *text, *widths;
    uint64_t a, b, c, expected;
} row;

static uint64_t f32(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}
static uint64_t f64(double x) {
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static const char *type_of(char width) {
    return width == 'h' ? "b16" : width == 'w' ? "b32" : "b64";
}

static void program(const row *r, char *ptx, size_t bytes) {
    static const char names[] = "dabc";
    size_t n =
        (size_t)snprintf(ptx, bytes,
                         PTX_HEAD ".visible .entry k(.param .u64 in, .param .u64 out)\n{\n.reg .b64 %%in, %%out;\n"
                                  ".reg .b32 %%x;\nld.param.u64 %%in, [in];\nld.param.u64 %%out, [out];\n");
    for (size_t i = 0; r->widths[i]; i++) {
        const char w = r->widths[i];
        n += (size_t)snprintf(ptx + n, bytes - n, ".reg .%s %%%c;\n", w == 'p' ? "pred" : type_of(w), names[i]);
        if (i && w == 'p')
            n += (size_t)snprintf(ptx + n, bytes - n, "ld.global.b32 %%x, [%%in+%zu];\nsetp.ne.u32 %%%c, %%x, 0;\n",
                                  8 * (i - 1), names[i]);
        else if (i)
            n += (size_t)snprintf(ptx + n, bytes - n, "ld.global.%s %%%c, [%%in+%zu];\n", type_of(w), names[i],
                                  8 * (i - 1));
    }
    n += (size_t)snprintf(ptx + n, bytes - n, "%s;\n", r->text);
    if (r->widths[0] == 'p')
        snprintf(ptx + n, bytes - n, "selp.b32 %%x, 1, 0, %%d;\nst.global.b32 [%%out], %%x;\nret;\n}\n");
    else
        snprintf(ptx + n, bytes - n, "st.global.%s [%%out], %%d;\nret;\n}\n", type_of(r->widths[0]));
}

static void run_rows(engine *e, const row *rows, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char ptx[4096];
        const uint64_t in[] = {rows[i].a, rows[i].b, rows[i].c}, zero = 0;
        program(&rows[i], ptx, sizeof ptx);
        engine_load(e, ptx);
        const uint64_t params[] = {engine_memory(e, in, sizeof in), engine_memory(e, &zero, sizeof zero)};
        engine_run(e, "k", (engine_shape){.blocks = 1, .threads = 32}, params);
        uint64_t got;
        memcpy(&got, engine_host(e, params[1]), sizeof got);
        if (got != rows[i].expected) {
            fprintf(stderr, "%s: 0x%llx instead of 0x%llx\n", rows[i].text, (unsigned long long)got,
                    (unsigned long long)rows[i].expected);
            test_failures++;
        }
        sim_memory_free(e->device, params[0]);
        sim_memory_free(e->device, params[1]);
    }
}
#define RUN(e, rows) run_rows(e, rows, sizeof rows / sizeof *rows)

static void test_integer(engine *e) {
    const row rows[] = {
        {"add.s32 %d, %a, %b", "www", 0xffffffff, 2, 0, 1},
        {"add.s64 %d, %a, %b", "lll", UINT64_MAX, 2, 0, 1},
        {"add.u16 %d, %a, %b", "hhh", 0xffff, 2, 0, 1},
        {"add.sat.s32 %d, %a, %b", "www", 0x7fffffff, 2, 0, 0x7fffffff},
        {"sub.s32 %d, %a, 7", "ww", 5, 0, 0, 0xfffffffe},
        {"sub.sat.s32 %d, %a, %b", "www", 0x80000000, 1, 0, 0x80000000},
        {"mul.lo.s32 %d, %a, %b", "www", 0xfffffffd, 7, 0, 0xffffffeb},
        {"mul.hi.s32 %d, %a, %b", "www", 0xfffffffd, 7, 0, 0xffffffff},
        {"mul.hi.u32 %d, %a, %b", "www", 0xfffffffd, 7, 0, 6},
        {"mul.hi.u64 %d, %a, %b", "lll", UINT64_MAX, UINT64_MAX, 0, UINT64_MAX - 1},
        {"mul.hi.s64 %d, %a, %b", "lll", UINT64_MAX, 7, 0, UINT64_MAX},
        {"mul.wide.s32 %d, %a, %b", "lww", 0xfffffffd, 7, 0, (uint64_t)-21},
        {"mul.wide.u32 %d, %a, %b", "lww", 0xfffffffd, 7, 0, UINT64_C(0x6ffffffeb)},
        {"mul.wide.u16 %d, %a, %b", "whh", 0xffff, 3, 0, 0x2fffd},
        {"mul24.lo.s32 %d, %a, %b", "www", 0xffffffff, 3, 0, 0xfffffffd},
        {"mad.lo.s32 %d, %a, %b, %c", "wwww", 3, 4, 5, 17},
        {"mad.wide.s32 %d, %a, %b, %c", "lwwl", 0xffffffff, 4, 5, 1},
        {"mad.hi.u32 %d, %a, %b, %c", "wwww", 0x80000000, 4, 5, 7},
        {"div.s32 %d, %a, %b", "www", (uint32_t)-7, 2, 0, (uint32_t)-3},
        {"rem.s32 %d, %a, %b", "www", (uint32_t)-7, 2, 0, (uint32_t)-1},
        {"div.s32 %d, %a, %b", "www", 0x80000000, UINT32_MAX, 0, 0x80000000},
        {"div.u32 %d, %a, %b", "www", 7, 0, 0, UINT32_MAX},
        {"rem.u64 %d, %a, %b", "lll", 1000000000007, 10, 0, 7},
        {"neg.s32 %d, %a", "ww", 5, 0, 0, (uint32_t)-5},
        {"abs.s32 %d, %a", "ww", (uint32_t)-5, 0, 0, 5},
        {"min.s32 %d, %a, %b", "www", (uint32_t)-5, 3, 0, (uint32_t)-5},
        {"min.u32 %d, %a, %b", "www", (uint32_t)-5, 3, 0, 3},
        {"max.s64 %d, %a, %b", "lll", UINT64_MAX, 3, 0, 3},
        {"max.s16 %d, %a, %b", "hhh", 0xffff, 3, 0, 3},
        {"sad.u32 %d, %a, %b, %c", "wwww", 3, 10, 1, 8},
        {"dp4a.s32.s32 %d, %a, %b, %c", "wwww", 0x01ff0203, 0x02030405, 100, 100 + 2 - 3 + 8 + 15},
        {"dp4a.u32.s32 %d, %a, %b, %c", "wwww", 0x000000ff, 0x000000ff, 0, (uint32_t)-255},
        /* 64 bits from halves: the upper one takes the carry */
        {"add.cc.u32 %d, %a, %b; addc.u32 %d, %c, 0", "wwww", UINT32_MAX, 1, 7, 8},
        {"add.cc.u32 %d, %a, %b; addc.u32 %d, %c, 0", "wwww", UINT32_MAX, 0, 7, 7},
        {"add.cc.u64 %d, %a, %b; addc.cc.u64 %d, %c, %c; addc.u64 %d, 0, 0", "llll", UINT64_MAX, 1, UINT64_MAX, 1},
        {"sub.cc.u32 %d, %a, %b; subc.u32 %d, %c, 0", "wwww", 0, 1, 7, 6},
        {"mad.lo.cc.u32 %d, %a, %b, %c; madc.hi.u32 %d, %a, %b, 0", "wwww", UINT32_MAX, UINT32_MAX, UINT32_MAX,
         UINT32_MAX},
        {"mad.lo.cc.u64 %d, %a, %b, %c; madc.hi.u64 %d, %a, %b, 0", "llll", UINT64_MAX, UINT64_MAX, UINT64_MAX,
         UINT64_MAX},
        {"dp2a.hi.s32.u32 %d, %a, %b, %c", "wwww", 0xffff0002, 0x03040506, 1, 1 + 8 - 3},
    };
    RUN(e, rows);
}

static void test_bits(engine *e) {
    const row rows[] = {
        {"and.b32 %d, %a, %b", "www", 0xff00ff00, 0x0ff00ff0, 0, 0x0f000f00},
        {"or.b64 %d, %a, %b", "lll", 1, UINT64_C(1) << 63, 0, UINT64_C(1) << 63 | 1},
        {"xor.b16 %d, %a, %b", "hhh", 0xff00, 0x0ff0, 0, 0xf0f0},
        {"not.b32 %d, %a", "ww", 0xff00ff00, 0, 0, 0x00ff00ff},
        {"cnot.b32 %d, %a", "ww", 0, 0, 0, 1},
        {"and.pred %d, %a, %b", "ppp", 1, 0, 0, 0},
        {"xor.pred %d, %a, %b", "ppp", 1, 0, 0, 1},
        {"not.pred %d, %a", "pp", 0, 0, 0, 1},
        {"mov.pred %d, -1", "p", 0, 0, 0, 1},
        {"shl.b32 %d, %a, %b", "www", 0x80000001, 1, 0, 2},
        {"shl.b32 %d, %a, %b", "www", 1, 32, 0, 0},
        {"shl.b64 %d, %a, 40", "ll", 1, 0, 0, UINT64_C(1) << 40},
        {"shr.s32 %d, %a, %b", "www", 0x80000000, 40, 0, UINT32_MAX},
        {"shr.u32 %d, %a, %b", "www", 0x80000000, 31, 0, 1},
        {"shr.s16 %d, %a, %b", "hhw", 0x8000, 3, 0, 0xf000},
        {"shf.l.wrap.b32 %d, %a, %b, %c", "wwww", 0x12345678, 0x9abcdef0, 8, 0xbcdef012},
        {"shf.r.clamp.b32 %d, %a, %b, %c", "wwww", 0x12345678, 0x9abcdef0, 40, 0x9abcdef0},
        {"selp.b32 %d, %a, %b, %c", "wwwp", 3, 4, 1, 3},
        {"selp.f64 %d, %a, %b, %c", "lllp", 3, 4, 0, 4},
        {"slct.f32.s32 %d, %a, %b, %c", "wwww", 3, 4, UINT32_MAX, 4},
        {"popc.b32 %d, %a", "ww", 0xf0f0, 0, 0, 8},
        {"popc.b64 %d, %a", "wl", UINT64_MAX, 0, 0, 64},
        {"clz.b32 %d, %a", "ww", 0x8000, 0, 0, 16},
        {"clz.b64 %d, %a", "wl", 0, 0, 0, 64},
        {"brev.b32 %d, %a", "ww", 0x80000002, 0, 0, 0x40000001},
        {"bfind.u32 %d, %a", "ww", 0x8000, 0, 0, 15},
        {"bfind.s32 %d, %a", "ww", UINT32_MAX, 0, 0, UINT32_MAX},
        {"bfind.shiftamt.u32 %d, %a", "ww", 0x8000, 0, 0, 16},
        {"bfe.u32 %d, %a, %b, %c", "wwww", 0x12345678, 8, 8, 0x56},
        {"bfe.s32 %d, %a, %b, %c", "wwww", 0x0000f000, 12, 4, UINT32_MAX},
        {"bfe.s64 %d, %a, %b, %c", "llww", UINT64_C(1) << 63, 60, 10, UINT64_MAX << 3},
        {"bfi.b32 %d, %a, %b, 8, 4", "www", 0xff, 0x12345678, 0, 0x12345f78},
        {"bfi.b64 %d, %a, %b, 32, 32", "lll", 0xabcd, 0x1234, 0, UINT64_C(0xabcd00001234)},
        {"lop3.b32 %d, %a, %b, %c, 0xe8", "wwww", 0x0f, 0x33, 0x55, 0x17},
        {"lop3.b32 %d, %a, %b, %c, 0x96", "wwww", 0x0f, 0x33, 0x55, 0x0f ^ 0x33 ^ 0x55},
        {"prmt.b32 %d, %a, %b, 0x7531", "www", 0x33221100, 0x77665544, 0, 0x77553311},
        {"prmt.b32 %d, %a, %b, 0xb000", "www", 0x80221101, 0, 0, 0xff010101},
        {"prmt.b32.f4e %d, %a, %b, %c", "wwww", 0x33221100, 0x77665544, 3, 0x66554433},
        {"prmt.b32.rc8 %d, %a, %b, %c", "wwww", 0x33221100, 0, 2, 0x22222222},
        {"{ .reg .b16 l, h; mov.b32 {l, h}, %a; mov.b32 %d, {h, l}; }", "ww", 0x12345678, 0, 0, 0x56781234},
        {"{ .reg .b32 l; mov.b64 {l, _}, %a; cvt.u64.u32 %d, l; }", "ll", UINT64_MAX, 0, 0, UINT32_MAX},
        {"mov.b64 %d, {%a, %b}", "lww", 1, 2, 0, UINT64_C(0x200000001)},
        {"@%a mov.b32 %d, 5; @!%a mov.b32 %d, 6", "wp", 1, 0, 0, 5},
        {"@%a mov.b32 %d, 5; @!%a mov.b32 %d, 6", "wp", 0, 0, 0, 6},
    };
    RUN(e, rows);
}

static void test_compare(engine *e) {
    const uint64_t nan = 0x7fc00000;
    const row rows[] = {
        {"setp.lt.s32 %d, %a, %b", "pww", UINT32_MAX, 1, 0, 1},
        {"setp.lt.u32 %d, %a, %b", "pww", UINT32_MAX, 1, 0, 0},
        {"setp.hi.u32 %d, %a, %b", "pww", UINT32_MAX, 1, 0, 1},
        {"setp.eq.s64 %d, %a, %b", "pll", 3, 3, 0, 1},
        {"setp.ge.s16 %d, %a, %b", "phh", 0xffff, 0, 0, 0},
        {"setp.ne.f32 %d, %a, %b", "pww", nan, f32(1), 0, 0},
        {"setp.neu.f32 %d, %a, %b", "pww", nan, f32(1), 0, 1},
        {"setp.gtu.f32 %d, %a, %b", "pww", f32(1), nan, 0, 1},
        {"setp.le.f64 %d, %a, %b", "pll", f64(1), f64(1), 0, 1},
        {"setp.num.f32 %d, %a, %b", "pww", nan, f32(1), 0, 0},
        {"setp.nan.f32 %d, %a, %b", "pww", nan, f32(1), 0, 1},
        {"setp.eq.ftz.f32 %d, %a, %b", "pww", 1, 0, 0, 1},
        {"setp.gt.f16 %d, %a, %b", "phh", 0x4000, 0x3c00, 0, 1},
        {"setp.lt.bf16 %d, %a, %b", "phh", 0x4000, 0x3f80, 0, 0},
        {"setp.lt.and.s32 %d, %a, %b, %c", "pwwp", 1, 2, 0, 0},
        {"setp.lt.or.s32 %d, %a, %b, %c", "pwwp", 2, 1, 1, 1},
        {"setp.lt.xor.s32 %d, %a, %b, !%c", "pwwp", 1, 2, 1, 1},
        {"{ .reg .pred q; setp.lt.s32 q|%d, %a, %b; }", "pww", 1, 2, 0, 0},
        {"{ .reg .pred q; setp.gt.f16x2 q|%d, %a, %b; }", "pww", 0x40003c00, 0x3c004000, 0, 1},
        {"set.gt.f16x2.f16x2 %d, %a, %b", "www", 0x40003c00, 0x3c004000, 0, 0x3c000000},
        {"set.lt.u32.s32 %d, %a, %b", "www", 1, 2, 0, UINT32_MAX},
        {"set.lt.f32.f32 %d, %a, %b", "www", f32(1), f32(2), 0, f32(1)},
        {"testp.infinite.f32 %d, %a", "pw", 0x7f800000, 0, 0, 1},
        {"testp.subnormal.f32 %d, %a", "pw", 1, 0, 0, 1},
    };
    RUN(e, rows);
}

static void test_float(engine *e) {
    const uint64_t inf = 0x7f800000, tiny = 1;
    const row rows[] = {
        {"add.f32 %d, %a, %b", "www", f32(1.5f), f32(2.25f), 0, f32(3.75f)},
        {"add.rz.f32 %d, %a, %b", "www", f32(1), f32(0x1.8p-24f), 0, f32(1)},
        {"add.rp.f32 %d, %a, %b", "www", f32(1), f32(0x1p-30f), 0, f32(0x1.000002p0f)},
        {"sub.rm.f32 %d, %a, %b", "www", f32(1), f32(0x1p-30f), 0, f32(0x1.fffffep-1f)},
        {"add.ftz.f32 %d, %a, %b", "www", tiny, tiny, 0, 0},
        {"add.f32 %d, %a, %b", "www", tiny, tiny, 0, 2},
        {"mul.sat.f32 %d, %a, %b", "www", f32(3), f32(2), 0, f32(1)},
        {"fma.rn.f32 %d, %a, %b, %c", "wwww", f32(0x1.0008p0f), f32(0x1.0008p0f), f32(-0x1.001p0f), f32(0x1p-26f)},
        {"fma.rn.ftz.sat.f32 %d, %a, %b, %c", "wwww", f32(-3), f32(2), f32(1), 0},
        {"div.rn.f32 %d, %a, %b", "www", f32(1), f32(3), 0, f32(1.0f / 3)},
        {"div.full.f32 %d, %a, %b", "www", f32(6), f32(3), 0, f32(2)},
        {"sqrt.rn.f32 %d, %a", "ww", f32(2), 0, 0, f32(sqrtf(2))},
        {"rcp.rn.f32 %d, %a", "ww", f32(4), 0, 0, f32(0.25f)},
        {"rcp.approx.ftz.f32 %d, %a", "ww", 0, 0, 0, inf},
        {"rsqrt.approx.f32 %d, %a", "ww", f32(16), 0, 0, f32(0.25f)},
        {"ex2.approx.ftz.f32 %d, %a", "ww", f32(5), 0, 0, f32(32)},
        {"lg2.approx.f32 %d, %a", "ww", f32(32), 0, 0, f32(5)},
        {"sin.approx.f32 %d, %a", "ww", 0, 0, 0, 0},
        {"cos.approx.f32 %d, %a", "ww", 0, 0, 0, f32(1)},
        {"tanh.approx.f32 %d, %a", "ww", f32(100), 0, 0, f32(1)},
        {"neg.f32 %d, %a", "ww", f32(1), 0, 0, f32(-1)},
        {"abs.ftz.f32 %d, %a", "ww", f32(-1), 0, 0, f32(1)},
        {"min.f32 %d, %a, %b", "www", 0x7fc00000, f32(1), 0, f32(1)},
        {"max.f32 %d, %a, %b", "www", f32(-0.0f), 0, 0, 0},
        {"min.NaN.f32 %d, %a, %b", "www", 0x7fc00000, f32(1), 0, 0x7fc00000},
        {"copysign.f32 %d, %a, %b", "www", f32(-1), f32(3), 0, f32(-3)},
        {"add.f64 %d, %a, %b", "lll", f64(1), f64(2), 0, f64(3)},
        {"fma.rz.f64 %d, %a, %b, %c", "llll", f64(1), f64(1), f64(0x1p-60), f64(1)},
        {"sqrt.rn.f64 %d, %a", "ll", f64(2), 0, 0, f64(sqrt(2))},
        {"mul.f32 %d, %a, 0f40000000", "ww", f32(3), 0, 0, f32(6)},
        {"mul.f64 %d, %a, 0d4000000000000000", "ll", f64(3), 0, 0, f64(6)},
        {"mov.f32 %d, 1.5", "w", 0, 0, 0, f32(1.5f)},
    };
    RUN(e, rows);
}

static void test_half(engine *e) {
    const row rows[] = {
        {"add.f16 %d, %a, %b", "hhh", 0x3c00, 0x4000, 0, 0x4200},
        {"add.f16x2 %d, %a, %b", "www", 0x3c004000, 0x3c003c00, 0, 0x40004200},
        {"sub.rn.f16x2 %d, %a, %b", "www", 0x3c004000, 0x3c003c00, 0, 0x00003c00},
        {"mul.f16 %d, %a, %b", "hhh", 0x7bff, 0x4000, 0, 0x7c00},
        {"mul.sat.f16 %d, %a, %b", "hhh", 0x7bff, 0x4000, 0, 0x3c00},
        /* 1 + 2^-10 times itself, less 1 + 2^-9: what is left is 2^-20, which two roundings would lose */
        {"fma.rn.f16 %d, %a, %b, %c", "hhhh", 0x3c01, 0x3c01, 0xbc02, 0x0010},
        {"fma.rn.relu.f16x2 %d, %a, %b, %c", "wwww", 0xbc003c00, 0x3c003c00, 0, 0x00003c00},
        {"fma.rn.bf16 %d, %a, %b, %c", "hhhh", 0x3f80, 0x4000, 0x3f80, 0x4040},
        {"fma.rn.bf16x2 %d, %a, %b, %c", "wwww", 0x3f803f80, 0x40004000, 0x3f800000, 0x40404000},
        {"neg.f16x2 %d, %a", "ww", 0x3c00bc00, 0, 0, 0xbc003c00},
        {"abs.bf16 %d, %a", "hh", 0xbf80, 0, 0, 0x3f80},
        {"min.f16 %d, %a, %b", "hhh", 0x7e00, 0x3c00, 0, 0x3c00},
        {"max.NaN.f16x2 %d, %a, %b", "www", 0x7e003c00, 0x3c004000, 0, 0x7fff4000},
        {"max.bf16x2 %d, %a, %b", "www", 0x3f804000, 0x40003f80, 0, 0x40004000},
        {"ex2.approx.f16 %d, %a", "hh", 0x4000, 0, 0, 0x4400},
        {"tanh.approx.f16x2 %d, %a", "ww", 0, 0, 0, 0},
        {"add.f16 %d, %a, %b", "hhh", 0x0001, 0x0001, 0, 0x0002},
        {"add.ftz.f16 %d, %a, %b", "hhh", 0x0001, 0x0001, 0, 0},
    };
    RUN(e, rows);
}

static void test_convert(engine *e) {
    const uint64_t nan = 0x7fc00000;
    const row rows[] = {
        {"cvt.u64.u32 %d, %a", "lw", UINT32_MAX, 0, 0, UINT32_MAX},
        {"cvt.s64.s32 %d, %a", "lw", UINT32_MAX, 0, 0, UINT64_MAX},
        {"cvt.u32.u8 %d, %a", "ww", 0x1ff, 0, 0, 0xff},
        {"cvt.s32.s8 %d, %a", "wh", 0x80, 0, 0, 0xffffff80},
        {"cvt.s16.s8 %d, %a", "hw", 0x80, 0, 0, 0xff80},
        {"cvt.sat.s8.s32 %d, %a", "ww", 1000, 0, 0, 127},
        {"cvt.sat.u8.s32 %d, %a", "ww", (uint32_t)-4, 0, 0, 0},
        {"cvt.rn.f32.s32 %d, %a", "ww", (uint32_t)-7, 0, 0, f32(-7)},
        {"cvt.rn.f32.u64 %d, %a", "wl", UINT64_MAX, 0, 0, f32(0x1p64f)},
        {"cvt.rz.f32.u32 %d, %a", "ww", UINT32_MAX, 0, 0, f32(0x1.fffffep31f)},
        {"cvt.rn.f64.s32 %d, %a", "lw", (uint32_t)-7, 0, 0, f64(-7)},
        {"cvt.rzi.s32.f32 %d, %a", "ww", f32(-2.7f), 0, 0, (uint32_t)-2},
        {"cvt.rni.s32.f32 %d, %a", "ww", f32(2.5f), 0, 0, 2},
        {"cvt.rmi.s32.f32 %d, %a", "ww", f32(-2.1f), 0, 0, (uint32_t)-3},
        {"cvt.rpi.u32.f32 %d, %a", "ww", f32(2.1f), 0, 0, 3},
        {"cvt.rzi.s32.f32 %d, %a", "ww", nan, 0, 0, 0},
        {"cvt.rzi.u32.f32 %d, %a", "ww", f32(1e20f), 0, 0, UINT32_MAX},
        {"cvt.rzi.s64.f64 %d, %a", "ll", f64(-3e9), 0, 0, (uint64_t)-INT64_C(3000000000)},
        {"cvt.rni.sat.s8.f32 %d, %a", "ww", f32(-300), 0, 0, (uint32_t)-128},
        {"cvt.rni.f32.f32 %d, %a", "ww", f32(3.5f), 0, 0, f32(4)},
        {"cvt.rmi.f32.f32 %d, %a", "ww", f32(-0.5f), 0, 0, f32(-1)},
        {"cvt.sat.f32.f32 %d, %a", "ww", f32(7), 0, 0, f32(1)},
        {"cvt.f64.f32 %d, %a", "lw", f32(0.5f), 0, 0, f64(0.5)},
        {"cvt.rn.f32.f64 %d, %a", "wl", f64(1.0 / 3), 0, 0, f32(1.0f / 3)},
        {"cvt.rp.f32.f64 %d, %a", "wl", f64(1 + 0x1p-40), 0, 0, f32(0x1.000002p0f)},
        {"cvt.f32.f16 %d, %a", "wh", 0x3c00, 0, 0, f32(1)},
        {"cvt.f32.f16 %d, %a", "wh", 0x0001, 0, 0, f32(0x1p-24f)},
        {"cvt.rn.f16.f32 %d, %a", "hw", f32(65520), 0, 0, 0x7c00},
        {"cvt.rn.f16.f32 %d, %a", "hw", f32(0x1.002p0f), 0, 0, 0x3c00},
        {"cvt.rz.f16.f32 %d, %a", "hw", f32(65535), 0, 0, 0x7bff},
        {"cvt.rp.f16.f32 %d, %a", "hw", f32(0x1.0001p0f), 0, 0, 0x3c01},
        {"cvt.rn.f16.s32 %d, %a", "hw", 2049, 0, 0, 0x6800},
        {"cvt.rni.f16.f16 %d, %a", "hh", 0x3e00, 0, 0, 0x4000},
        {"cvt.f32.bf16 %d, %a", "wh", 0x3f80, 0, 0, f32(1)},
        {"cvt.rn.bf16.f32 %d, %a", "hw", f32(0x1.01p0f), 0, 0, 0x3f80},
        {"cvt.rn.relu.bf16.f32 %d, %a", "hw", f32(-1), 0, 0, 0},
        {"cvt.rn.f16x2.f32 %d, %a, %b", "www", f32(1), f32(2), 0, 0x3c004000},
        {"cvt.rn.bf16x2.f32 %d, %a, %b", "www", f32(1), f32(2), 0, 0x3f804000},
        {"cvt.rn.relu.f16x2.f32 %d, %a, %b", "www", f32(-1), f32(2), 0, 0x00004000},
        {"cvt.rna.tf32.f32 %d, %a", "ww", 0x3f801000, 0, 0, 0x3f802000},
        {"cvt.pack.sat.s8.s32.b32 %d, %a, %b, %c", "wwww", 1000, (uint32_t)-3, 0x1234, 0x12347ffd},
        {"cvt.pack.sat.s16.s32 %d, %a, %b", "www", 40000, 5, 0, 0x7fff0005},
        {"cvt.u16.u32 %d, %a", "hw", 0x12345, 0, 0, 0x2345},
        {"cvt.u32.u64 %d, %a", "wl", UINT64_MAX, 0, 0, UINT32_MAX},
    };
    RUN(e, rows);
}

int main(void) {
    engine e;
    engine_open(&e);
    test_integer(&e);
    test_bits(&e);
    test_compare(&e);
    test_float(&e);
    test_half(&e);
    test_convert(&e);
    engine_close(&e);
    return test_end();
}
