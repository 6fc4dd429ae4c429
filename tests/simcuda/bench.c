/* simcuda_bench [n [repeats]]: how fast the simulator runs a tiled product of n x n matrices (ptx/gemm.cu) on one core,
 * all its checks on. */
#include "sim.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static char *read_file(const char *path) {
    FILE *f = fopen(path, "rb");
    char *text = calloc(1, 1 << 20);
    if (!f || !text || fread(text, 1, (1 << 20) - 1, f) == 0) {
        fprintf(stderr, "simcuda_bench: cannot read %s\n", path);
        exit(1);
    }
    fclose(f);
    return text;
}

static uint64_t matrix(sim_device *device, size_t elements) {
    uint64_t address = 0;
    if (!sim_memory_alloc(device, elements * sizeof(float), &address))
        exit(1);
    float *host = sim_memory_host(device, address, elements * sizeof(float));
    for (size_t i = 0; i < elements; i++)
        host[i] = (float)(i % 7) - 3;
    sim_memory_mark(device, address, elements * sizeof(float), true);
    return address;
}

int main(int argc, char **argv) {
    const unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) / 64 * 64 : 256;
    const int repeats = argc > 2 ? atoi(argv[2]) : 5;
    char log[256], *ptx = read_file(SIM_PTX_DIR "/gemm.ptx");
    sim_device *device = sim_device_create(0, UINT64_C(1) << 30);
    sim_module *module = sim_module_load(device, ptx, log, sizeof log);
    if (!module || n == 0) {
        fprintf(stderr, "simcuda_bench: %s\n", module ? "n is at least 64" : log);
        return 1;
    }
    struct {
        uint64_t a, b, c;
        unsigned n;
    } params = {matrix(device, (size_t)n * n), matrix(device, (size_t)n * n), matrix(device, (size_t)n * n), n};
    const sim_launch launch = {.kernel = sim_module_kernel(module, "gemm"),
                               .grid = {n / 64, n / 64, 1},
                               .block = {256, 1, 1},
                               .params = &params};
    for (int i = 0; i < repeats; i++) {
        sim_meter meter;
        sim_fault fault;
        const clock_t begin = clock();
        if (!sim_run(device, &launch, &meter, &fault)) {
            fprintf(stderr, "simcuda_bench: %s\n", fault.text);
            return 1;
        }
        const double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
        printf("%llu thread instructions in %.3f s: %.2f G a second\n", (unsigned long long)meter.instructions, seconds,
               (double)meter.instructions * 1e-9 / seconds);
    }
    sim_module_unload(module);
    sim_device_destroy(device);
    free(ptx);
    return 0;
}
