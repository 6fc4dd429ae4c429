/* The end of `./quickstart demo`: a trained net on the simulated GPU, and a race that the simulator finds. Needs
 * KILN_CUDA_LIBRARY (libsimcuda.so) and an NVRTC or its look-alike (simnvrtc.h), as quickstart sets them. Exit status:
 * 0, or 1 if the net computed something else than in training or the race was not reported; 77 without the libraries.
 */
#include "testing.h"
#include <sys/stat.h>
#include <unistd.h>

static const char *source_path(const char *name) {
    static char paths[2][900];
    static int next;
    const char *folder = getenv("KILN_SOURCE_DIR");
    char *path = paths[next++ % 2];
    snprintf(path, sizeof paths[0], "%s/%s", folder ? folder : ".", name);
    return path;
}

static kiln_context *open_context(const char *kernel_dir) {
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    kiln_context *context;
    options.backends = "cuda";
    options.cache_dir = "";
    options.kernel_dir = kernel_dir;
    REQUIRE_OK(kiln_context_create(&options, &context));
    return context;
}

static kiln_device *open_device(kiln_context *context) {
    if (kiln_device_count(context) == 0)
        SKIP("no simulated GPU: %s", kiln_last_error());
    return kiln_device_at(context, 0);
}

/* ---- the digits ---- */

/* What training computed for 128 of them, and what the simulated GPU does. */
static void show_digits(void) {
    kiln_context *context = open_context(NULL);
    kiln_device *device = open_device(context);
    kiln_device_info info = KILN_DEVICE_INFO_INIT;
    kiln_golden_report report = KILN_GOLDEN_REPORT_INIT;
    kiln_queue *queue;
    kiln_net *net;
    REQUIRE_OK(kiln_device_get_info(device, &info));
    REQUIRE_OK(kiln_queue_create(device, &queue));
    REQUIRE_OK(kiln_net_open(context, source_path("examples/digits/digits-net.safetensors"), &net));
    CHECK_OK(
        kiln_net_check(net, queue, NULL, source_path("examples/digits/digits-golden.safetensors"), 32, 1e-4, &report));
    printf("  digits net on %s (%s): %lld digits, logits within %.1g of those of training\n", info.name, info.model,
           (long long)report.n_items, report.rows[0].max_diff);
    kiln_net_destroy(net);
    kiln_queue_destroy(queue);
    kiln_context_destroy(context);
}

/* ---- the race ---- */

static char *read_text(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    char *text = calloc(1, 1 << 18);
    REQUIRE(text != NULL);
    if (fread(text, 1, (1 << 18) - 1, f) == 0)
        text[0] = 0;
    fclose(f);
    return text;
}

/* Takes the barrier out that keeps a tile from being read before it is all there. */
static void plant(const char *folder) {
    static const char barrier[] = "KILN_BARRIER();";
    char path[512];
    snprintf(path, sizeof path, "%s/gemm/tile.cl", folder);
    char *text = read_text(path);
    REQUIRE(text != NULL);
    char *at = strstr(text, barrier);
    REQUIRE(at != NULL);
    memset(at, ' ', sizeof barrier - 1);
    FILE *f = fopen(path, "wb");
    REQUIRE(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
    free(text);
}

/* A product by the planted kernel. The first call that waits for it fails. */
static kiln_status run_planted(kiln_device *device) {
    kiln_problem problem;
    kiln_plan *plan;
    kiln_queue *queue;
    kiln_buffer *buffer;
    kiln_binding *binding = NULL;
    kiln_plan_options options = KILN_PLAN_OPTIONS_INIT;
    options.variant = "tile";
    REQUIRE_OK(kiln_problem_parse(kiln_device_context(device), "gemm:m=64,n=64,k=64", &problem));
    REQUIRE_OK(kiln_plan_create(device, &problem, &options, &plan));
    REQUIRE_OK(kiln_queue_create(device, &queue));
    REQUIRE_OK(kiln_buffer_create(device, 3 * 64 * 64 * 4, &buffer));
    REQUIRE_OK(kiln_buffer_fill(queue, buffer, 0, 3 * 64 * 64 * 4, 0));
    const kiln_view views[] = {{buffer, 0}, {buffer, 64 * 64 * 4}, {buffer, 2 * 64 * 64 * 4}};
    REQUIRE_OK(kiln_binding_create(plan, queue, views, 3, (kiln_view){NULL, 0}, &binding));
    kiln_status status = kiln_binding_run(binding);
    if (status == KILN_OK)
        status = kiln_queue_finish(queue);
    kiln_binding_destroy(binding);
    kiln_buffer_destroy(buffer);
    kiln_queue_destroy(queue);
    kiln_plan_destroy(plan);
    return status;
}

static void show_race(void) {
    char folder[] = "/tmp/kiln-race-XXXXXX", report[64], command[64];
    REQUIRE(mkdtemp(folder) != NULL);
    snprintf(report, sizeof report, "%s.report", folder);
    setenv("SIMCUDA_REPORT", report, 1);
    REQUIRE_OK(kiln_kernels_write(folder));
    plant(folder);
    kiln_context *context = open_context(folder);
    printf("  gemm/tile.cl without one barrier:\n");
    fflush(stdout);
    const kiln_status status = run_planted(open_device(context));
    CHECK(status != KILN_OK);
    char *text = read_text(report);
    CHECK_HAS(text, "race in shared memory");
    CHECK_HAS(text, "gemm/tile.cl:");
    printf("  Kiln was told: %s\n", kiln_status_name(status));
    free(text);
    kiln_context_destroy(context);
    unlink(report);
    snprintf(command, sizeof command, "rm -r %s", folder);
    REQUIRE(system(command) == 0);
}

int main(void) {
    show_race();
    show_digits();
    return test_end();
}
