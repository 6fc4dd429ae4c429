/* Memory, divergence, calls, barriers, lanes that talk, async copies: small kernels against C. */
#include "engine_test.h"

#define ENTRY(params)                                                                                                  \
    ".visible .entry k(" params                                                                                        \
    ")\n{\n.reg .pred %p<8>;\n.reg .b16 %h<8>;\n.reg .b32 %r<32>;\n.reg .f32 %f<16>;\n.reg .b64 %d<16>;\n"
#define IN_OUT ".param .u64 in, .param .u64 out"
#define LOAD_IN_OUT                                                                                                    \
    "ld.param.u64 %d0, [in];\nld.param.u64 %d1, [out];\ncvta.to.global.u64 %d1, %d1;\nmov.u32 %r0, %tid.x;\n"
/* %d2: where this thread's word of the output is. */
#define OWN_WORD "mul.wide.u32 %d2, %r0, 4;\nadd.s64 %d2, %d1, %d2;\n"

enum { THREADS = 64 };

/* Runs a kernel of one block that writes a word a thread. */
static void words(engine *e, const char *ptx, const void *in, size_t in_bytes, uint32_t out[THREADS]) {
    const uint64_t none[1] = {0};
    engine_load(e, ptx);
    const uint64_t params[] = {engine_memory(e, in ? in : none, in ? in_bytes : sizeof none),
                               engine_memory(e, NULL, 4 * THREADS)};
    engine_run(e, "k", (engine_shape){.blocks = 1, .threads = THREADS, .dynamic_shared_bytes = 4096}, params);
    memcpy(out, engine_host(e, params[1]), 4 * THREADS);
    sim_memory_free(e->device, params[0]);
    sim_memory_free(e->device, params[1]);
}
#define CHECK_WORDS(out, expression)                                                                                   \
    for (uint32_t i = 0; i < THREADS; i++)                                                                             \
        if ((out)[i] != (uint32_t)(expression)) {                                                                      \
            fprintf(stderr, "%s:%d: thread %u: 0x%x\n", __FILE__, __LINE__, i, (out)[i]);                              \
            test_failures++;                                                                                           \
            break;                                                                                                     \
        }

static void test_loads(engine *e) {
    uint32_t out[THREADS];
    uint8_t bytes[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (uint8_t)(3 * i);
    words(e,
          PTX_HEAD ENTRY(IN_OUT) LOAD_IN_OUT OWN_WORD
          "mul.wide.u32 %d3, %r0, 1;\nadd.s64 %d3, %d0, %d3;\n"
          "ld.global.nc.L1::no_allocate.s8 %r1, [%d3+7];\nst.global.s32 [%d2], %r1;\nret;\n}\n",
          bytes, sizeof bytes, out);
    CHECK_WORDS(out, (int8_t)bytes[i + 7]);
    words(e,
          PTX_HEAD ENTRY(IN_OUT) LOAD_IN_OUT OWN_WORD
          "and.b32 %r1, %r0, 3;\nmul.wide.u32 %d3, %r1, 16;\nadd.s64 %d3, %d0, %d3;\n"
          "ld.v4.u32 {%r2, %r3, %r4, %r5}, [%d3];\nadd.u32 %r2, %r2, %r3;\nadd.u32 %r2, %r2, %r4;\nadd.u32 %r2, %r2, "
          "%r5;\n"
          "ld.global.v2.u8 {%h0, %h1}, [%d3+2];\ncvt.u32.u16 %r6, %h1;\nadd.u32 %r2, %r2, %r6;\nst.u32 [%d2], "
          "%r2;\nret;\n}\n",
          bytes, sizeof bytes, out);
    for (uint32_t i = 0; i < THREADS; i++) {
        uint32_t v[4];
        memcpy(v, bytes + i % 4 * 16, 16);
        CHECK(out[i] == v[0] + v[1] + v[2] + v[3] + bytes[i % 4 * 16 + 3]);
    }
}

/* Initialised variables, their addresses, shared memory of both kinds, local memory, generic addresses. */
static void test_spaces(engine *e) {
    uint32_t out[THREADS], sum = 0;
    words(e,
          PTX_HEAD
          ".const .align 4 .u32 table[4] = {1, 2, 0x30, 4};\n.global .align 8 .u64 where[1] = {generic(table)+4};\n"
          ".extern .shared .align 16 .b8 dynamic[];\n" ENTRY(
              IN_OUT) ".shared .align 4 .b8 fixed[256];\n.local .align 8 .b8 depot[16];\n" LOAD_IN_OUT OWN_WORD
                      "ld.const.u32 %r1, [table+8];\nld.global.u64 %d3, [where];\nld.u32 %r2, [%d3];\nadd.u32 %r1, "
                      "%r1, %r2;\n" /* 0x32 */
                      "mov.u32 %r3, fixed;\nshl.b32 %r4, %r0, 2;\nadd.u32 %r3, %r3, %r4;\nst.shared.u32 [%r3], %r1;\n"
                      "mov.u64 %d4, dynamic;\ncvta.shared.u64 %d4, %d4;\nmul.wide.u32 %d5, %r0, 4;\nadd.s64 %d4, %d4, "
                      "%d5;\nst.u32 [%d4], %r0;\n"
                      "bar.sync 0;\n"
                      "xor.b32 %r5, %r4, 252;\nmov.u32 %r6, dynamic;\nadd.u32 %r6, %r6, %r5;\nld.shared.u32 %r7, "
                      "[%r6];\n" /* 63 - t */
                      "mov.u64 %d6, depot;\ncvta.local.u64 %d6, %d6;\nst.u32 [%d6+4], %r7;\nld.local.u32 %r8, "
                      "[depot+4];\n"
                      "ld.shared.u32 %r9, [fixed+4];\nadd.u32 %r8, %r8, %r9;\nst.global.u32 [%d2], %r8;\nret;\n}\n",
          NULL, 0, out);
    CHECK_WORDS(out, 63 - i + 0x32);
    uint64_t address;
    size_t bytes;
    CHECK(sim_module_global(e->module, "table", &address, &bytes) && bytes == 16);
    memcpy(&sum, engine_host(e, address), 4);
    CHECK(sum == 1);
    CHECK(e->meter.barriers == 1);
    CHECK(e->meter.shared_requests == 8 && e->meter.shared_passes == 8);
}

static void test_divergence(engine *e) {
    uint32_t out[THREADS];
    /* the Collatz way down from t + 1; loops end at different times */
    words(
        e,
        PTX_HEAD ENTRY(IN_OUT) LOAD_IN_OUT OWN_WORD
        "add.u32 %r1, %r0, 1;\nmov.u32 %r2, 0;\nLOOP:\nsetp.eq.u32 %p0, %r1, 1;\n@%p0 bra DONE;\nadd.u32 %r2, %r2, 1;\n"
        "and.b32 %r3, %r1, 1;\nsetp.eq.u32 %p1, %r3, 0;\n@%p1 bra EVEN;\nmad.lo.u32 %r1, %r1, 3, 1;\nbra LOOP;\n"
        "EVEN:\nshr.u32 %r1, %r1, 1;\nbra.uni LOOP;\nDONE:\nst.global.u32 [%d2], %r2;\nret;\n}\n",
        NULL, 0, out);
    for (uint32_t i = 0; i < THREADS; i++) {
        uint32_t steps = 0;
        for (uint32_t n = i + 1; n != 1; steps++)
            n = n % 2 ? 3 * n + 1 : n / 2;
        CHECK(out[i] == steps);
    }
    /* a lane waits for a word that a lane behind it in the code writes: lanes of a warp have to get turns */
    words(e,
          PTX_HEAD ".global .u32 flag;\n" ENTRY(IN_OUT) LOAD_IN_OUT OWN_WORD
          "setp.eq.u32 %p0, %r0, 3;\n@%p0 bra SET;\nWAIT:\nld.volatile.global.u32 %r1, [flag];\nsetp.eq.u32 %p1, %r1, "
          "0;\n"
          "@%p1 bra WAIT;\nbra END;\nSET:\nmov.u32 %r1, 9;\nst.global.u32 [flag], %r1;\nEND:\nst.global.u32 [%d2], "
          "%r1;\nret;\n}\n",
          NULL, 0, out);
    CHECK_WORDS(out, 9);
    words(e,
          PTX_HEAD ENTRY(IN_OUT) LOAD_IN_OUT OWN_WORD
          "and.b32 %r1, %r0, 3;\nT: .branchtargets A, B, C, D;\nbrx.idx %r1, T;\nA:\nmov.u32 %r2, 10;\nbra "
          "E;\nB:\nmov.u32 %r2, 20;\nbra E;\n"
          "C:\nmov.u32 %r2, 30;\nbra E;\nD:\nmov.u32 %r2, 40;\nE:\nst.global.u32 [%d2], %r2;\nret;\n}\n",
          NULL, 0, out);
    CHECK_WORDS(out, 10 * (i % 4 + 1));
}

static void test_calls(engine *e) {
    uint32_t out[THREADS];
    words(e,
          PTX_HEAD ".func (.param .b32 r) twice(.param .b32 a);\n"
                   ".func (.param .b32 r) more(.param .b32 a)\n{\n.reg .b32 %r<4>;\nld.param.u32 %r0, [a];\n{\n.param "
                   ".b32 x;\nst.param.b32 [x+0], %r0;\n"
                   ".param .b32 y;\ncall.uni (y), twice, (x);\nld.param.b32 %r1, [y+0];\n}\nadd.u32 %r1, %r1, "
                   "1;\nst.param.b32 [r+0], %r1;\nret;\n}\n"
                   ".func (.param .b32 r) twice(.param .b32 a)\n{\n.reg .b32 %r<4>;\nld.param.u32 %r0, [a];\nadd.u32 "
                   "%r0, %r0, %r0;\nst.param.b32 [r], %r0;\nret;\n}\n" ENTRY(IN_OUT) LOAD_IN_OUT OWN_WORD
          "mov.u32 %r5, %r0;\nsetp.lt.u32 %p0, %r0, 7;\n@%p0 bra SKIP;\n{\n.param .b32 x;\n.param .b32 "
          "y;\nst.param.b32 [x+0], %r0;\ncall (y), more, (x);\n"
          "ld.param.b32 %r5, [y+0];\n}\nSKIP:\nst.global.u32 [%d2], %r5;\nret;\n}\n",
          NULL, 0, out);
    CHECK_WORDS(out, i < 7 ? i : 2 * i + 1);
}

static void test_lanes(engine *e) {
    uint32_t out[THREADS];
#define OVER_LANES(text)                                                                                               \
    PTX_HEAD ENTRY(IN_OUT)                                                                                             \
    LOAD_IN_OUT OWN_WORD text "st.global.u32 [%d2], %r2;\nret;\n}\n"
    words(e, OVER_LANES("shfl.sync.bfly.b32 %r2|%p0, %r0, 5, 31, -1;\n"), NULL, 0, out);
    CHECK_WORDS(out, i ^ 5);
    words(e, OVER_LANES("shfl.sync.up.b32 %r2|%p0, %r0, 1, 0, -1;\n@!%p0 mov.u32 %r2, 99;\n"), NULL, 0, out);
    CHECK_WORDS(out, i % 32 ? i - 1 : 99);
    words(e, OVER_LANES("shfl.sync.down.b32 %r2, %r0, 2, 0x181f, -1;\n"), NULL, 0, out);
    CHECK_WORDS(out, i % 8 < 6 ? i + 2 : i);
    words(e, OVER_LANES("shfl.sync.idx.b32 %r2, %r0, 3, 31, -1;\n"), NULL, 0, out);
    CHECK_WORDS(out, i / 32 * 32 + 3);
    words(e, OVER_LANES("setp.lt.u32 %p0, %r0, 5;\nvote.sync.ballot.b32 %r2, %p0, -1;\n"), NULL, 0, out);
    CHECK_WORDS(out, i < 32 ? 0x1f : 0);
    words(e, OVER_LANES("setp.lt.u32 %p0, %r0, 5;\nvote.sync.any.pred %p1, %p0, -1;\nselp.b32 %r2, 1, 0, %p1;\n"), NULL,
          0, out);
    CHECK_WORDS(out, i < 32);
    words(e, OVER_LANES("and.b32 %r1, %r0, 1;\nmatch.any.sync.b32 %r2, %r1, -1;\n"), NULL, 0, out);
    CHECK_WORDS(out, i % 2 ? 0xaaaaaaaa : 0x55555555);
    words(e, OVER_LANES("redux.sync.add.s32 %r2, %r0, -1;\n"), NULL, 0, out);
    CHECK_WORDS(out, i < 32 ? 31 * 16 : 31 * 16 + 32 * 32);
    words(e, OVER_LANES("setp.lt.u32 %p0, %r0, 3;\nmov.u32 %r2, 0;\n@%p0 activemask.b32 %r2;\n"), NULL, 0, out);
    CHECK(out[0] != 0);
    /* halves of a warp that name only themselves, at different times */
    words(e,
          OVER_LANES("and.b32 %r1, %r0, 16;\nsetp.eq.u32 %p0, %r1, 0;\n@%p0 bra LOW;\nshfl.sync.idx.b32 %r2, %r0, 20, "
                     "31, 0xffff0000;\nbra "
                     "END;\nLOW:\nshfl.sync.idx.b32 %r2, %r0, 4, 31, 0x0000ffff;\nEND:\n"),
          NULL, 0, out);
    CHECK_WORDS(out, i / 32 * 32 + (i % 32 < 16 ? 4 : 20));
    /* both ways of a branch come to the same barrier although one lies behind it */
    words(e,
          OVER_LANES("mov.u32 %r2, 1;\nsetp.eq.u32 %p0, %r0, 0;\n@%p0 bra FAR;\nBACK:\nbar.warp.sync -1;\nbar.sync "
                     "0;\nbra END;\nFAR:\nmov.u32 "
                     "%r2, 2;\nbra BACK;\nEND:\n"),
          NULL, 0, out);
    CHECK_WORDS(out, i ? 1 : 2);
}

static void test_barriers(engine *e) {
    uint32_t out[THREADS];
    words(e, OVER_LANES("setp.lt.u32 %p0, %r0, 40;\nbarrier.red.popc.u32 %r2, 0, %p0;\n"), NULL, 0, out);
    CHECK_WORDS(out, 40);
    words(e, OVER_LANES("setp.lt.u32 %p0, %r0, 40;\nbar.red.and.pred %p1, 1, 64, !%p0;\nselp.u32 %r2, 1, 0, %p1;\n"),
          NULL, 0, out);
    CHECK_WORDS(out, 0);
    /* one warp produces, the other consumes, at a barrier of their own */
    words(e,
          PTX_HEAD ENTRY(IN_OUT) ".shared .align 4 .b8 box[128];\n" LOAD_IN_OUT OWN_WORD
                                 "mov.u32 %r3, box;\nand.b32 %r4, %r0, 31;\nshl.b32 %r4, %r4, 2;\nadd.u32 %r3, %r3, "
                                 "%r4;\nsetp.lt.u32 %p0, %r0, 32;\n@%p0 bra MAKE;\n"
                                 "bar.sync 2, 64;\nld.shared.u32 %r2, [%r3];\nbra END;\nMAKE:\nmul.lo.u32 %r2, %r0, "
                                 "3;\nst.shared.u32 [%r3], %r2;\nbar.arrive 2, 64;\n"
                                 "END:\nst.global.u32 [%d2], %r2;\nret;\n}\n",
          NULL, 0, out);
    CHECK_WORDS(out, i % 32 * 3);
}

static void test_atomics(engine *e) {
    uint32_t out[THREADS];
    uint32_t in[6] = {0, 100, 5, 0, 0, 7};
    const float one = 1;
    memcpy(&in[3], &one, 4);
    words(e,
          OVER_LANES("atom.global.add.u32 %r2, [%d0], 2;\nred.global.min.s32 [%d0+4], %r0;\natom.global.inc.u32 %r3, "
                     "[%d0+8], 9;\n"
                     "mov.f32 %f0, 0f3F000000;\nred.global.add.f32 [%d0+12], %f0;\nmov.u32 %r4, "
                     "0x3c004000;\nred.global.add.noftz.f16x2 [%d0+16], "
                     "%r4;\natom.global.cas.b32 %r5, [%d0+20], 7, %r0;\natom.global.exch.b32 %r6, [%d0+20], 8;\n"
                     "bar.sync 0;\nsetp.ne.u32 %p0, %r0, 0;\n@%p0 bra END;\nld.global.u32 %r2, [%d0];\nEND:\n"),
          in, sizeof in, out);
    CHECK(out[0] == 128 && out[1] == 2 && out[63] == 126);
    words(e,
          PTX_HEAD ENTRY(IN_OUT) ".shared .align 4 .u32 n;\n" LOAD_IN_OUT OWN_WORD
                                 "setp.ne.u32 %p0, %r0, 0;\n@!%p0 st.shared.u32 [n], 5;\nbar.sync "
                                 "0;\natom.shared.max.u32 %r1, [n], %r0;\nbar.sync 0;\nld.shared.u32 %r2, "
                                 "[n];\nst.global.u32 [%d2], %r2;\nret;\n}\n",
          NULL, 0, out);
    CHECK_WORDS(out, 63);
    CHECK(e->meter.atomics == THREADS);
}

/* Two stages, the last copy short: what is missing is zeros. */
static void test_copies(engine *e) {
    uint32_t out[THREADS], in[128];
    for (uint32_t i = 0; i < 128; i++)
        in[i] = 1000 + i;
    words(e,
          PTX_HEAD ENTRY(IN_OUT) ".shared .align 16 .b8 stage[1024];\n" LOAD_IN_OUT OWN_WORD
                                 "mul.wide.u32 %d3, %r0, 4;\nadd.s64 %d3, %d0, %d3;\nmov.u32 %r3, stage;\nshl.b32 %r4, "
                                 "%r0, 2;\nadd.u32 %r3, %r3, %r4;\n"
                                 "cp.async.ca.shared.global.L2::128B [%r3], [%d3], "
                                 "4;\ncp.async.commit_group;\nsetp.lt.u32 %p0, %r0, 10;\nselp.b32 %r5, 4, 0, %p0;\n"
                                 "cp.async.ca.shared.global [%r3+256], [%d3+256], 4, "
                                 "%r5;\ncp.async.commit_group;\ncp.async.wait_group 1;\nbar.sync 0;\n"
                                 "ld.shared.u32 %r6, [%r3];\ncp.async.wait_all;\nld.shared.u32 %r7, "
                                 "[%r3+256];\nadd.u32 %r2, %r6, %r7;\nst.global.u32 [%d2], %r2;\nret;\n}\n",
          in, sizeof in, out);
    CHECK_WORDS(out, 1000 + i + (i < 10 ? 1064 + i : 0));
}

/* Blocks meet through an atomic: each has to get its turn. */
static void test_cooperative(engine *e) {
    const uint32_t zero = 0;
    engine_load(e, PTX_HEAD ENTRY(".param .u64 in") "ld.param.u64 %d0, [in];\natom.global.add.u32 %r1, [%d0], "
                                                    "1;\nWAIT:\nld.volatile.global.u32 %r2, "
                                                    "[%d0];\nsetp.lt.u32 %p0, %r2, 128;\n@%p0 bra WAIT;\nret;\n}\n");
    const uint64_t counter = engine_memory(e, &zero, 4);
    engine_run(e, "k", (engine_shape){.blocks = 4, .threads = 32, .cooperative = true}, &counter);
    CHECK(*(uint32_t *)engine_host(e, counter) == 128);
    engine_fails(e, "k", (engine_shape){.blocks = 8, .threads = 32, .max_instructions = 100000},
                 &(uint64_t){engine_memory(e, &zero, 4)}, SIM_FAULT_TIMEOUT, "no end");
}

/* mma and ldmatrix: 16 x 16 ones times 16 x 8 ones. */
static void test_matrix(engine *e) {
    uint32_t out[THREADS];
    words(e,
          PTX_HEAD ENTRY(
              IN_OUT) ".shared .align 16 .b8 tile[512];\n" LOAD_IN_OUT OWN_WORD
                      "mov.u32 %r1, tile;\nshl.b32 %r2, %r0, 3;\nadd.u32 %r3, %r1, %r2;\nmov.u32 %r4, "
                      "0x3c003c00;\nst.shared.v2.u32 [%r3], {%r4, %r4};\nbar.sync 0;\n"
                      "and.b32 %r5, %r0, 31;\nshl.b32 %r5, %r5, 4;\nadd.u32 %r6, %r1, "
                      "%r5;\nldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r8, %r9, %r10, %r11}, [%r6];\n"
                      "ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%r12, %r13}, [%r6];\nmov.f32 %f0, 0f40000000;\n"
                      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f1, %f2, %f3, %f4}, {%r8, %r9, %r10, %r11}, "
                      "{%r12, %r13}, {%f0, %f0, %f0, %f0};\n"
                      "cvt.rni.s32.f32 %r2, %f4;\nst.global.u32 [%d2], %r2;\nret;\n}\n",
          NULL, 0, out);
    CHECK_WORDS(out, 18);
    CHECK(e->meter.matrix == 2);
}

int main(void) {
    engine e;
    engine_open(&e);
    test_loads(&e);
    test_spaces(&e);
    test_divergence(&e);
    test_calls(&e);
    test_lanes(&e);
    test_barriers(&e);
    test_atomics(&e);
    test_copies(&e);
    test_cooperative(&e);
    test_matrix(&e);
    engine_close(&e);
    return test_end();
}
