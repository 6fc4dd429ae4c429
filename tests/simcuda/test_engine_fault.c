/* Every checker: a kernel with one fault planted, reported with kernel, line and thread, and the same without it. */
#include "engine_test.h"

/* A block whose kernel has two variables in shared memory and pointers to 256 bytes: `in` written, `out` not. */
#define KERNEL(body)                                                                                                   \
    PTX_HEAD ".visible .entry planted(.param .u64 in, .param .u64 out)\n{\n"                                           \
             ".reg .pred %p<8>;\n.reg .b32 %r<16>;\n.reg .b64 %d<16>;\n"                                               \
             ".shared .align 16 .b8 first[128];\n.shared .align 16 .b8 second[128];\n.local .align 4 .b8 own[8];\n"    \
             "ld.param.u64 %d0, [in];\nld.param.u64 %d1, [out];\nmov.u32 %r0, %tid.x;\nshl.b32 %r1, %r0, 2;\n"         \
             "cvt.u64.u32 %d2, %r1;\nadd.s64 %d3, %d0, %d2;\nadd.s64 %d4, %d1, %d2;\n"                                 \
             "mov.u32 %r2, first;\nadd.u32 %r3, %r2, %r1;\n.loc 1 17 5\n" body "\nret;\n}\n.file 1 \"planted.cu\"\n"

static const char *const where = "planted.cu:17";

/* `right` runs, `wrong` does not. */
static void plant(engine *e, unsigned threads, const char *right, const char *wrong, sim_fault_kind kind,
                  const char *text) {
    uint32_t in[64] = {0};
    for (int i = 0; i < 2; i++) {
        const engine_shape shape = {.blocks = 1, .threads = threads, .max_instructions = 100000};
        const uint64_t params[] = {engine_memory(e, in, sizeof in), engine_memory(e, NULL, sizeof in)};
        engine_load(e, i ? wrong : right);
        if (i) {
            engine_fails(e, "planted", shape, params, kind, where);
            CHECK_HAS(e->fault.text, text);
            CHECK_HAS(e->fault.text, "block (0,0,0) thread (");
            CHECK(e->fault.line == 17);
            CHECK_STR(e->fault.file, "planted.cu");
        } else {
            engine_run(e, "planted", shape, params);
        }
        sim_memory_free(e->device, params[0]);
        sim_memory_free(e->device, params[1]);
    }
}

static void test_bounds(engine *e) {
    plant(e, 64, KERNEL("st.global.u32 [%d4], %r0;"), KERNEL("st.global.u32 [%d4+4], %r0;"), SIM_FAULT_OUT_OF_BOUNDS,
          "thread (63,0,0): store of 4 bytes of global memory");
    CHECK_HAS(e->fault.text, "0 bytes behind the 256 bytes at 0x");
    CHECK(e->fault.thread[0] == 63);
    plant(e, 64, KERNEL("ld.global.u32 %r5, [%d3];"), KERNEL("ld.global.u32 %r5, [%d3+-4];"), SIM_FAULT_OUT_OF_BOUNDS,
          "thread (0,0,0): load of 4 bytes");
    plant(e, 32, KERNEL("st.shared.u32 [%r3], %r0;"), KERNEL("st.shared.u32 [%r3+4], %r0;"), SIM_FAULT_OUT_OF_BOUNDS,
          "byte 128 of first, which has 128");
    plant(e, 1, KERNEL("st.shared.u32 [second+124], %r0;"), KERNEL("st.shared.u32 [second+128], %r0;"),
          SIM_FAULT_OUT_OF_BOUNDS, "second");
    plant(e, 1, KERNEL("st.local.u32 [own+4], %r0;"), KERNEL("st.local.u32 [own+8], %r0;"), SIM_FAULT_OUT_OF_BOUNDS,
          "local memory");
    plant(e, 32, KERNEL("ld.global.u32 %r5, [%d3];"), KERNEL("mov.u64 %d5, 0;\nld.u32 %r5, [%d5];"),
          SIM_FAULT_OUT_OF_BOUNDS, "no allocation is near");
}

static void test_alignment(engine *e) {
    plant(e, 16,
          KERNEL("ld.global.v4.u32 {%r5, %r6, %r7, %r8}, [%d0+16];\nadd.u32 %r5, %r6, %r7;\nadd.u32 %r5, %r8, %r5;"),
          KERNEL("ld.global.v4.u32 {%r5, %r6, %r7, %r8}, [%d0+8];\nadd.u32 %r5, %r6, %r7;\nadd.u32 %r5, %r8, %r5;"),
          SIM_FAULT_MISALIGNED, "load of 16 bytes");
    plant(e, 32, KERNEL("st.shared.u32 [%r3], %r0;"), KERNEL("st.shared.u32 [%r2+2], %r0;"), SIM_FAULT_MISALIGNED,
          "shared memory");
}

static void test_uninitialised(engine *e) {
    plant(e, 32, KERNEL("st.global.u32 [%d4], %r0;\nld.global.u32 %r5, [%d4];"), KERNEL("ld.global.u32 %r5, [%d4];"),
          SIM_FAULT_UNINITIALISED, "byte 0 of the 256 bytes at 0x");
    plant(e, 32, KERNEL("st.shared.u32 [%r3], %r0;\nld.shared.u32 %r5, [%r3];"),
          KERNEL("setp.ne.u32 %p0, %r0, 9;\n@%p0 st.shared.u32 [%r3], %r0;\nld.shared.u32 %r5, [%r3];"),
          SIM_FAULT_UNINITIALISED, "thread (9,0,0)");
    /* the fourth of four values that nobody looks at may be anything */
    plant(e, 1,
          KERNEL("st.shared.v2.u32 [first], {%r0, %r0};\nst.shared.u32 [first+8], %r0;\nld.shared.v4.u32 {%r5, %r6, "
                 "%r7, %r8}, "
                 "[first];\nadd.u32 %r5, %r6, %r7;\nadd.u32 %r5, %r5, %r5;"),
          KERNEL("st.shared.v2.u32 [first], {%r0, %r0};\nst.shared.u32 [first+8], %r0;\nld.shared.v4.u32 {%r5, %r6, "
                 "%r7, %r8}, "
                 "[first];\nadd.u32 %r5, %r6, %r7;\nadd.u32 %r5, %r5, %r8;"),
          SIM_FAULT_UNINITIALISED, "shared memory");
}

static void test_races(engine *e) {
    /* one warp's words are read by the other */
#define EXCHANGE(between)                                                                                              \
    KERNEL("and.b32 %r4, %r0, 31;\nshl.b32 %r4, %r4, 2;\nadd.u32 %r5, %r2, %r4;\nsetp.lt.u32 %p0, %r0, 32;\n"          \
           "@%p0 st.shared.u32 [%r5], %r0;\n" between "\n@!%p0 ld.shared.u32 %r6, [%r5];")
    plant(e, 64, EXCHANGE("bar.sync 0;"), EXCHANGE(""), SIM_FAULT_RACE,
          "read of shared memory at 0x0, which thread (0,0,0) wrote at planted.cu:17: byte 0 of first");
    plant(e, 32, KERNEL("st.shared.u32 [%r3], %r0;\nbar.warp.sync -1;\nld.shared.u32 %r5, [first+12];"),
          KERNEL("st.shared.u32 [%r3], %r0;\nld.shared.u32 %r5, [first+12];"), SIM_FAULT_RACE, "thread (3,0,0) wrote");
}

static void test_copies(engine *e) {
#define COPY(after)                                                                                                    \
    KERNEL("cp.async.ca.shared.global [%r3], [%d3], 4;\ncp.async.commit_group;\n" after "ld.shared.u32 %r5, [%r3];")
    plant(e, 32, COPY("cp.async.wait_group 0;\n"), COPY(""), SIM_FAULT_RACE, "async copy not waited for");
    plant(e, 32, COPY("cp.async.wait_all;\n"), COPY("cp.async.wait_group 1;\n"), SIM_FAULT_RACE,
          "is copying to at planted.cu:17");
}

static void test_barriers(engine *e) {
    plant(e, 64, KERNEL("bar.sync 0;"), KERNEL("setp.lt.u32 %p0, %r0, 32;\n@%p0 bar.sync 0;"), SIM_FAULT_BARRIER,
          "barrier 0 waits for 64 threads, 32 came; thread (32,0,0) and its warp have left");
    plant(e, 32, KERNEL("bar.sync 0;"), KERNEL("setp.lt.u32 %p0, %r0, 5;\n@%p0 bar.sync 0;"), SIM_FAULT_BARRIER,
          "5 lanes of the warp came to it, thread (5,0,0) has left the kernel");
    plant(e, 32, KERNEL("bar.sync 0;"), KERNEL("setp.lt.u32 %p0, %r0, 5;\n@%p0 exit;\nbar.sync 0;"), SIM_FAULT_BARRIER,
          "27 lanes of the warp came to it, thread (0,0,0) has left the kernel");
    plant(e, 64, KERNEL("bar.sync 1, 64;"),
          KERNEL("setp.lt.u32 %p0, %r0, 32;\n@%p0 bar.sync 1, 64;\n@!%p0 bar.sync 2, 64;"), SIM_FAULT_BARRIER,
          "barrier 1 waits for 64 threads, 32 came; thread (32,0,0) and its warp wait at planted.cu:17");
    plant(e, 32, KERNEL("shfl.sync.idx.b32 %r5, %r0, 0, 31, -1;"),
          KERNEL("setp.lt.u32 %p0, %r0, 5;\n@%p0 bra AWAY;\nshfl.sync.idx.b32 %r5, %r0, 0, 31, -1;\nbra "
                 "END;\nAWAY:\nshfl.sync.idx.b32 %r5, "
                 "%r0, 1, 31, -1;\nEND:"),
          SIM_FAULT_BARRIER, "lanes of the warp came to it");
}

static void test_others(engine *e) {
    plant(e, 32, KERNEL("mov.u32 %r5, 0;"), KERNEL("AGAIN:\nbra AGAIN;"), SIM_FAULT_TIMEOUT,
          "100000 warp instructions and no end");
    plant(e, 32, KERNEL("mov.u32 %r5, 0;"), KERNEL("trap;"), SIM_FAULT_ILLEGAL, "trap");
    plant(e, 32, KERNEL("shfl.sync.idx.b32 %r5, %r0, 0, 31, -1;"),
          KERNEL("shfl.sync.idx.b32 %r5, %r0, 0, 31, 0x7fffffff;"), SIM_FAULT_ILLEGAL, "lane 31 is not in the mask");
}

/* Freed memory is nobody's; a pointer to it is as wrong as any other. */
static void test_freed(engine *e) {
    const uint32_t in[64] = {0};
    engine_load(e, KERNEL("ld.global.u32 %r5, [%d3];"));
    const uint64_t params[] = {engine_memory(e, in, sizeof in), engine_memory(e, NULL, sizeof in)};
    const size_t alive = sim_memory_count(e->device);
    CHECK(sim_memory_free(e->device, params[0]) && !sim_memory_free(e->device, params[0]));
    CHECK(sim_memory_count(e->device) == alive - 1);
    engine_fails(e, "planted", (engine_shape){.blocks = 1, .threads = 32}, params, SIM_FAULT_OUT_OF_BOUNDS, where);
    CHECK(sim_memory_free(e->device, params[1]));
}

static void test_launch(engine *e) {
    const uint64_t params[2] = {0};
    engine_load(e, KERNEL(""));
    engine_fails(e, "planted", (engine_shape){.blocks = 1, .threads = 1025}, params, SIM_FAULT_LAUNCH, "1025 threads");
    engine_fails(e, "planted", (engine_shape){.blocks = 1, .threads = 32, .dynamic_shared_bytes = 200000}, params,
                 SIM_FAULT_LAUNCH, "200000 bytes of shared memory");
    engine_fails(e, "planted", (engine_shape){.blocks = 0, .threads = 32}, params, SIM_FAULT_LAUNCH, "0 blocks");
}

/* What is no PTX of ours is refused with its line. */
static void test_refused(engine *e) {
    static const struct {
        const char *ptx, *reason;
    } all[] = {
        {PTX_HEAD ".entry k()\n{\n.reg .b32 %r<2>;\nfrob.b32 %r0, %r1;\n}\n",
         "line 7: instruction frob.b32 is not known"},
        {PTX_HEAD ".entry k()\n{\n.reg .b32 %r<2>;\nadd.s32 %r0, %r1, %r2;\n}\n", "no register %r2"},
        {PTX_HEAD ".entry k()\n{\n.reg .b32 %r<2>;\nadd.s64 %r0, %r1, 1;\n}\n",
         "a register of 32 bits where 64 are wanted"},
        {PTX_HEAD ".entry k()\n{\nbra NOWHERE;\n}\n", "no label NOWHERE"},
        {PTX_HEAD ".entry k()\n{\n.reg .b32 %r<2>;\nadd.s32 %r0, %r1;\n}\n", "add with 2 operands, not 3"},
        {PTX_HEAD ".entry k()\n{\nret;\n", "has no"},
        {PTX_HEAD
         ".entry k()\n{\n.reg .b32 %r<9>;\nmma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%r0,%r1,%r2,%r3}, "
         "{%r4,%r5,%r6,%r7}, {%r0,%r1}, {%r0,%r1,%r2,%r3};\n}\n",
         "mma of type"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char log[SIM_TEXT];
        CHECK(sim_module_load(e->device, all[i].ptx, log, sizeof log) == NULL);
        CHECK_HAS(log, all[i].reason);
        CHECK_HAS(log, "ptx line ");
    }
}

/* The same launch gives the same counts; strides and columns cost what they should. */
static void test_meter(engine *e) {
    uint32_t in[1024] = {0};
    static const struct {
        const char *body;
        uint64_t sectors, passes;
    } all[] = {
        {KERNEL("ld.global.u32 %r5, [%d3];"), 4, 0},
        {KERNEL("shl.b64 %d5, %d2, 5;\nadd.s64 %d5, %d5, %d0;\nld.global.u32 %r5, [%d5];"), 32, 0},
        {KERNEL("ld.global.u32 %r5, [%d0];"), 1, 0},
        {KERNEL("st.shared.u32 [%r3], %r0;"), 0, 1},
        {KERNEL("ld.global.v4.u32 {%r4, %r5, %r6, %r7}, [%d0];\nadd.u32 %r4, %r5, %r6;\nadd.u32 %r4, %r4, %r7;"), 1, 0},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        sim_meter first;
        const uint64_t params[] = {engine_memory(e, in, sizeof in), engine_memory(e, NULL, sizeof in)};
        engine_load(e, all[i].body);
        engine_run(e, "planted", (engine_shape){.blocks = 1, .threads = 32}, params);
        first = e->meter;
        engine_run(e, "planted", (engine_shape){.blocks = 1, .threads = 32}, params);
        CHECK(memcmp(&first, &e->meter, sizeof first) == 0);
        CHECK(first.global_sectors == all[i].sectors);
        CHECK(first.shared_passes == all[i].passes);
        sim_memory_free(e->device, params[0]);
        sim_memory_free(e->device, params[1]);
    }
}

int main(void) {
    engine e;
    engine_open(&e);
    test_bounds(&e);
    test_alignment(&e);
    test_uninitialised(&e);
    test_races(&e);
    test_copies(&e);
    test_barriers(&e);
    test_others(&e);
    test_freed(&e);
    test_launch(&e);
    test_refused(&e);
    test_meter(&e);
    engine_close(&e);
    return test_end();
}
