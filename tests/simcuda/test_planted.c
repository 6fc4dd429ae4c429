/* Errors planted in kernels (planted.cu), each reported with kernel and line, and each kernel's sound twin, which is
 * not. */
#include "nvrtc_open.h"
#include "scratch.h"
#include "sim.h"

enum { THREADS = 64, DEVICE_BYTES = 1 << 20, MANY = 100000 };

static const struct {
    const char *kernel;
    sim_fault_kind kind;
    const char *says; /* part of the report */
} plants[] = {
    {"out_of_bounds", SIM_FAULT_OUT_OF_BOUNDS, "store of 4 bytes of global memory"},
    {"out_of_shared", SIM_FAULT_OUT_OF_BOUNDS, "load of 4 bytes of shared memory"},
    {"misaligned", SIM_FAULT_MISALIGNED, "load of 4 bytes of global memory"},
    {"uninitialised", SIM_FAULT_UNINITIALISED, "shared memory"},
    {"uninitialised_global", SIM_FAULT_UNINITIALISED, "global memory"},
    {"race", SIM_FAULT_RACE, "read at"},
    {"race_in_warp", SIM_FAULT_RACE, "wrote at"},
    {"race_in_loop", SIM_FAULT_RACE, "wrote at"},
    {"one_place", SIM_FAULT_RACE, "wrote at"},
    {"no_wait", SIM_FAULT_RACE, "async copy not waited for"},
    {"no_barrier", SIM_FAULT_RACE, "async copy of shared memory"},
    {"barrier", SIM_FAULT_BARRIER, "has left the kernel"},
    {"endless", SIM_FAULT_TIMEOUT, "never ends"},
};

static char *source;

/* The line of planted.cu that the comment "WORD: KERNEL" is on; 0: none. */
static uint32_t marked_line(const char *word, const char *kernel) {
    char mark[128];
    snprintf(mark, sizeof mark, "// %s: %s\n", word, kernel);
    const char *hit = strstr(source, mark);
    uint32_t line = hit != NULL;
    for (const char *c = source; hit && c < hit; c++)
        line += *c == '\n';
    return line;
}

static char *compile(const char *define) {
    const char *const options[] = {"--gpu-architecture=sm_80", "-default-device", "-std=c++17", "-lineinfo", define};
    nvrtcProgram program;
    REQUIRE(nvrtc.nvrtcCreateProgram(&program, source, "planted.cu", 0, NULL, NULL) == NVRTC_SUCCESS);
    const nvrtcResult result = nvrtc.nvrtcCompileProgram(program, sizeof options / sizeof *options, options);
    size_t bytes = 0;
    if (result != NVRTC_SUCCESS && nvrtc.nvrtcGetProgramLogSize(program, &bytes) == NVRTC_SUCCESS) {
        char *log = calloc(1, bytes + 1);
        REQUIRE(log && nvrtc.nvrtcGetProgramLog(program, log) == NVRTC_SUCCESS);
        fprintf(stderr, "%s\n", log);
        free(log);
    }
    REQUIRE(result == NVRTC_SUCCESS && nvrtc.nvrtcGetPTXSize(program, &bytes) == NVRTC_SUCCESS);
    char *ptx = malloc(bytes);
    REQUIRE(ptx && nvrtc.nvrtcGetPTX(program, ptx) == NVRTC_SUCCESS);
    nvrtc.nvrtcDestroyProgram(&program);
    return ptx;
}

static bool run(const sim_module *module, sim_device *device, const char *name, sim_fault *fault) {
    uint64_t params[2];
    REQUIRE(sim_memory_alloc(device, THREADS * sizeof(float), &params[0]));
    REQUIRE(sim_memory_alloc(device, THREADS * sizeof(float), &params[1]));
    memset(sim_memory_host(device, params[1], THREADS * sizeof(float)), 0, THREADS * sizeof(float));
    sim_memory_mark(device, params[1], THREADS * sizeof(float), true);
    const sim_launch launch = {.kernel = sim_module_kernel(module, name),
                               .grid = {1, 1, 1},
                               .block = {THREADS, 1, 1},
                               .params = params,
                               .max_instructions = MANY};
    REQUIRE(launch.kernel != NULL);
    sim_meter meter = {0};
    *fault = (sim_fault){0};
    const bool ok = sim_run(device, &launch, &meter, fault);
    CHECK(sim_memory_free(device, params[0]) && sim_memory_free(device, params[1]));
    return ok;
}

/* Where the other of two accesses was is in the text. */
static void check_report(size_t i, const sim_fault *fault) {
    const char *kernel = plants[i].kernel;
    const uint32_t line = marked_line("at", kernel), other = marked_line("other", kernel);
    char place[64];
    CHECK(fault->kind == plants[i].kind && line > 0 && fault->line == line);
    CHECK_STR(fault->kernel, kernel);
    CHECK_HAS(fault->file, "planted.cu");
    CHECK_HAS(fault->text, kernel);
    CHECK_HAS(fault->text, plants[i].says);
    snprintf(place, sizeof place, "planted.cu:%u", line);
    CHECK_HAS(fault->text, place);
    snprintf(place, sizeof place, "planted.cu:%u", other);
    if (other)
        CHECK_HAS(fault->text, place);
}

int main(void) {
    char path[1024], log[1024];
    size_t bytes;
    const char *root = getenv("KILN_SOURCE_DIR");
    snprintf(path, sizeof path, "%s/tests/simcuda/planted.cu", root ? root : ".");
    source = scratch_read(path, &bytes);
    nvrtc_open();
    for (int awry = 0; awry < 2; awry++) {
        char *ptx = compile(awry ? "-DAWRY=1" : "-DAWRY=0");
        sim_device *device = sim_device_create(0, DEVICE_BYTES);
        REQUIRE(device != NULL);
        sim_module *module = sim_module_load(device, ptx, log, sizeof log);
        if (!module)
            fprintf(stderr, "%s\n", log);
        REQUIRE(module != NULL);
        for (size_t i = 0; i < sizeof plants / sizeof *plants; i++) {
            sim_fault fault;
            const bool ok = run(module, device, plants[i].kernel, &fault);
            printf("%s %s: %s\n", plants[i].kernel, awry ? "awry" : "sound", ok ? "nothing" : fault.text);
            CHECK(ok == !awry);
            if (!ok && awry)
                check_report(i, &fault);
        }
        sim_module_unload(module);
        sim_device_destroy(device);
        free(ptx);
    }
    free(source);
    return test_end();
}
