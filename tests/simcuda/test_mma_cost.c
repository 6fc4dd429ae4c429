/* What the matrix-core kernels cost on the simulated GPU is what they must: every product once, every byte of a tile
 * from global memory once in whole sectors, and no pass through the banks of shared memory that moves fewer than 128
 * bytes. Needs NVRTC. */
#include "simcuda.h"
#include "testing.h"
#include <dlfcn.h>
#include <inttypes.h>
#include <kiln/kiln.h>
#include <unistd.h>

/* Extents are multiples of the tile, or edges would cost what no formula says. */
typedef struct {
    const char *problem;
    uint64_t rows, columns, depth, elem_bytes;
    uint64_t tm, tn, tk, wm, wn;
} cost_case;

static const cost_case cases[] = {
    {"gemm:m=128,n=128,k=64,type=f16", 128, 128, 64, 2, 64, 64, 16, 32, 32},
    {"gemm:m=128,n=256,k=128,type=f16", 128, 256, 128, 2, 128, 128, 32, 64, 32},
    {"gemm:m=128,n=128,k=128,type=bf16", 128, 128, 128, 2, 64, 128, 64, 64, 64},
    {"gemm:m=64,n=64,k=128,type=f16", 64, 64, 128, 2, 16, 64, 64, 16, 32},
    {"gemm:m=128,n=128,k=64,compute=tf32", 128, 128, 64, 4, 128, 64, 16, 64, 32},
    {"gemm:m=64,n=64,k=128,compute=tf32", 64, 64, 128, 4, 32, 64, 64, 16, 64},
    {"conv:n=4,h=8,w=8,ic=32,oc=64,kh=3,kw=3,ihalo=1,type=f16", 256, 64, 288, 2, 64, 64, 32, 32, 32},
};

static void (*meter)(int device, sim_meter *out);

/* Beside the test; the backend opens the same. */
static void find_simulator(void) {
    char path[4096];
    const ssize_t length = readlink("/proc/self/exe", path, sizeof path - sizeof "libsimcuda.so");
    REQUIRE(length > 0);
    path[length] = '\0';
    strcpy(strrchr(path, '/') + 1, "libsimcuda.so");
    REQUIRE(setenv("KILN_CUDA_LIBRARY", path, 1) == 0);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    REQUIRE(library);
    void *symbol = dlsym(library, "simcuda_meter");
    REQUIRE(symbol);
    memcpy(&meter, &symbol, sizeof symbol);
}

static sim_meter run(kiln_device *device, kiln_queue *queue, const kiln_problem *problem, const char *config) {
    const kiln_plan_options options = {.struct_size = sizeof options, .variant = "mma", .config = config};
    kiln_plan *plan;
    REQUIRE_OK(kiln_plan_create(device, problem, &options, &plan));
    kiln_view views[KILN_MAX_OPERANDS] = {0};
    size_t n = 0;
    for (const kiln_operand *o; (o = kiln_plan_operand(plan, n)); n++) {
        REQUIRE_OK(kiln_buffer_create(device, o->bytes, &views[n].buffer));
        REQUIRE_OK(kiln_buffer_fill(queue, views[n].buffer, 0, o->bytes, 0));
    }
    kiln_binding *binding;
    REQUIRE_OK(kiln_binding_create(plan, queue, views, n, (kiln_view){0}, &binding));
    REQUIRE_OK(kiln_binding_prepare(binding));
    REQUIRE_OK(kiln_queue_finish(queue));
    sim_meter before, after;
    meter(0, &before);
    REQUIRE_OK(kiln_binding_run(binding));
    REQUIRE_OK(kiln_queue_finish(queue));
    meter(0, &after);
    kiln_binding_destroy(binding);
    for (size_t i = 0; i < n; i++)
        kiln_buffer_destroy(views[i].buffer);
    kiln_plan_destroy(plan);
    return (sim_meter){.matrix = after.matrix - before.matrix,
                       .global_sectors = after.global_sectors - before.global_sectors,
                       .shared_passes = after.shared_passes - before.shared_passes,
                       .local_requests = after.local_requests - before.local_requests};
}

static void check_case(kiln_context *context, kiln_device *device, kiln_queue *queue, const cost_case *c) {
    char config[128];
    snprintf(config, sizeof config,
             "tm=%" PRIu64 ",tn=%" PRIu64 ",tk=%" PRIu64 ",wm=%" PRIu64 ",wn=%" PRIu64 ",stages=3,split=1", c->tm,
             c->tn, c->tk, c->wm, c->wn);
    kiln_problem problem;
    REQUIRE_OK(kiln_problem_parse(context, c->problem, &problem));
    const sim_meter got = run(device, queue, &problem, config);

    const uint64_t row_bytes = c->tk * c->elem_bytes, copied = (c->tm + c->tn) * row_bytes;
    const uint64_t warps = c->tm / c->wm * (c->tn / c->wn), steps = row_bytes / 32;
    const uint64_t read = warps * (c->wm + c->wn) * row_bytes, results = c->tm * c->tn * 4;
    const uint64_t groups = c->rows / c->tm * (c->columns / c->tn), tiles = c->depth / c->tk;
    const sim_meter least = {
        .matrix = groups * tiles * warps * steps * (c->wm / 16) * (c->wn / 8),
        .global_sectors = (groups * tiles * copied + c->rows * c->columns * c->elem_bytes) / 32,
        .shared_passes = groups * (tiles * (copied + read) + 2 * results) / 128,
    };
    if (got.shared_passes != least.shared_passes || got.global_sectors != least.global_sectors)
        fprintf(stderr, "%s %s: %" PRIu64 " passes, not %" PRIu64 "; %" PRIu64 " sectors, not %" PRIu64 "\n",
                c->problem, config, got.shared_passes, least.shared_passes, got.global_sectors, least.global_sectors);
    CHECK(got.matrix == least.matrix);
    CHECK(got.global_sectors == least.global_sectors);
    CHECK(got.shared_passes == least.shared_passes);
    CHECK(got.local_requests == 0);
}

int main(void) {
    find_simulator();
    kiln_context *context;
    kiln_device *device;
    kiln_queue *queue;
    const kiln_context_options options = {.struct_size = sizeof options, .cache_dir = "", .backends = "cuda"};
    REQUIRE_OK(kiln_context_create(&options, &context));
    if (kiln_device_find(context, "cuda:0", &device) != KILN_OK) {
        fprintf(stderr, "%s\n", kiln_device_report(context));
        SKIP("no CUDA device: without NVRTC nothing compiles");
    }
    REQUIRE_OK(kiln_queue_create(device, &queue));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_case(context, device, queue, &cases[i]);
    kiln_queue_destroy(queue);
    kiln_context_destroy(context);
    return test_end();
}
