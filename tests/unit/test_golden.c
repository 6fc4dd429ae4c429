/* A real engine's network against the outputs that engine computed: both board sizes, odd batches, `ref`, a board
 * inside a larger frame, and files that are not of this net. */
#include "safetensors.h"
#include "scratch.h"
#include <math.h>

static const double tolerance = 2e-3;
static kiln_context *context;
static kiln_queue *queue;
static kiln_net *net;
static char folder[512];

static const char *path_of(const char *name) {
    static char paths[4][800];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void find_folder(void) {
    const char *shared = getenv("KILN_SHARED"), *source = getenv("KILN_SOURCE_DIR");
    if (shared && shared[0])
        snprintf(folder, sizeof folder, "%s/data/katago", shared);
    else
        snprintf(folder, sizeof folder, "%s/../shared/data/katago", source && source[0] ? source : ".");
    if (access(path_of("g170-b6c96.board9.safetensors"), R_OK) != 0)
        SKIP("no golden files in %s; set KILN_SHARED to the folder that has data/katago", folder);
}

static void check(const char *golden, int32_t batch, const char *variant, kiln_session_halos halos) {
    kiln_session_options o = KILN_SESSION_OPTIONS_INIT;
    kiln_golden_report report = KILN_GOLDEN_REPORT_INIT;
    o.variant = variant;
    o.halos = halos;
    CHECK_OK(kiln_net_check(net, queue, &o, path_of(golden), batch, tolerance, &report));
    CHECK(report.n_items == 64 && report.n_rows == 5);
    for (size_t i = 0; i < report.n_rows; i++)
        printf("%s batch %d %s%s: %s is off by %.2g of %.3g\n", golden, batch, variant ? variant : "planned",
               halos == KILN_HALOS_NONE ? ", no halos" : "", report.rows[i].output, report.rows[i].max_diff,
               report.rows[i].max_abs);
}

static void test_mismatch(void) {
    kiln_golden_report report = KILN_GOLDEN_REPORT_INIT;
    CHECK_STATUS(kiln_net_check(net, queue, NULL, path_of("b7c96h3tfrs.board9.safetensors"), 16, tolerance, &report),
                 KILN_E_MISMATCH);
    CHECK_HAS(kiln_last_error(), "policy_logits");
    CHECK_HAS(kiln_last_error(), "another net");
    CHECK(report.n_rows == 0);
    CHECK_STATUS(kiln_net_check(net, queue, NULL, path_of("none"), 16, tolerance, &report), KILN_E_IO);
    CHECK_STATUS(kiln_net_check(net, queue, NULL, path_of("g170-b6c96.board9.safetensors"), 0, tolerance, &report),
                 KILN_E_INVALID);
    CHECK_STATUS(kiln_net_check(net, queue, NULL, path_of("g170-b6c96.board9.safetensors"), 64, 1e-12, &report),
                 KILN_E_MISMATCH);
    CHECK(report.n_rows == 5 && report.rows[0].max_diff > 1e-12);
}

/* The transformer net is not supported yet, and says so by name. */
static void test_unsupported(void) {
    kiln_net *other;
    CHECK_STATUS(kiln_net_open(context, path_of("b7c96h3tfrs-test5-cnorm.bin.gz"), &other), KILN_E_UNSUPPORTED);
    CHECK_HAS(kiln_last_error(), "transformer_attention_block");
}

/* ---- 9x9 positions in the corner of a 13x13 frame ---- */

enum { BOARD = 9, FRAME = 13, ITEMS = 16 };

static float *load(const kiln_safetensors *file, const char *name, int64_t *item_floats) {
    const kiln_safetensor *t = kiln__safetensors_find(file, name);
    REQUIRE(t != NULL && t->shape[0] == 64);
    *item_floats = t->elements / t->shape[0];
    float *data = malloc((size_t)(ITEMS * *item_floats) * sizeof *data);
    REQUIRE(data != NULL);
    REQUIRE_OK(kiln__safetensors_read(file, t, 0, ITEMS * *item_floats, data));
    return data;
}

/* The largest difference of the points of a board from those in its frame, or of the items of a vector. */
static double difference(const float *expected, const float *got, int64_t item_floats, bool board) {
    const int64_t c = board ? item_floats / (BOARD * BOARD) : item_floats;
    double worst = 0;
    for (int64_t n = 0; n < ITEMS; n++)
        for (int64_t i = 0; i < item_floats; i++) {
            const int64_t y = i / c / BOARD, x = i / c % BOARD;
            const int64_t at = board ? ((n * FRAME + y) * FRAME + x) * c + i % c : n * item_floats + i;
            const double d = fabs((double)got[at] - (double)expected[n * item_floats + i]);
            worst = d > worst || isnan(d) ? d : worst;
        }
    return worst;
}

static void test_frame(void) {
    kiln_safetensors file;
    REQUIRE_OK(kiln__safetensors_open(context, path_of("g170-b6c96.board9.safetensors"), &file));
    int64_t spatial_floats, global_floats;
    float *spatial = load(&file, "spatial", &spatial_floats), *global = load(&file, "global", &global_floats);
    const int64_t c = spatial_floats / (BOARD * BOARD);
    float *framed = calloc((size_t)(ITEMS * FRAME * FRAME * c), sizeof *framed);
    REQUIRE(framed != NULL);
    for (int64_t n = 0; n < ITEMS; n++)
        for (int64_t y = 0; y < BOARD; y++)
            memcpy(framed + (n * FRAME + y) * FRAME * c, spatial + (n * BOARD + y) * BOARD * c,
                   (size_t)(BOARD * c) * sizeof *framed);
    kiln_session_options o = KILN_SESSION_OPTIONS_INIT;
    kiln_session *session;
    o.board_h = o.board_w = FRAME;
    REQUIRE_OK(kiln_session_create(net, queue, &o, &session));
    float *outputs[5];
    for (size_t i = 0; i < 5; i++)
        REQUIRE((outputs[i] = malloc(sizeof(float) * ITEMS * FRAME * FRAME * 8)) != NULL);
    CHECK_OK(kiln_session_run(session, ITEMS, (const float *[2]){framed, global}, outputs));
    for (size_t i = 0; i < 5; i++) {
        int64_t floats;
        const kiln_tensor_info *info = kiln_net_output(net, i);
        float *expected = load(&file, info->name, &floats);
        const double worst = difference(expected, outputs[i], floats, info->shape[0] < 0);
        printf("9x9 in 13x13: %s is off by %.2g\n", info->name, worst);
        CHECK(worst <= tolerance);
        free(expected), free(outputs[i]);
    }
    free(spatial), free(global), free(framed);
    kiln_session_destroy(session);
    kiln__safetensors_close(&file);
}

int main(void) {
    kiln_device *device;
    find_folder();
    REQUIRE_OK(kiln_context_create(NULL, &context));
    if (kiln_device_find(context, NULL, &device) != KILN_OK)
        SKIP("%s", kiln_last_error());
    REQUIRE_OK(kiln_queue_create(device, &queue));
    REQUIRE_OK(kiln_net_open(context, path_of("g170-b6c96-s175395328-d26788732.bin.gz"), &net));
    check("g170-b6c96.board19.safetensors", 37, NULL, KILN_HALOS_FASTEST);
    check("g170-b6c96.board9.safetensors", 64, NULL, KILN_HALOS_FASTEST);
    check("g170-b6c96.board9.safetensors", 5, NULL, KILN_HALOS_NONE);
    check("g170-b6c96.board9.safetensors", 64, "ref", KILN_HALOS_NONE);
    test_mismatch();
    test_unsupported();
    test_frame();
    kiln_net_destroy(net);
    kiln_queue_destroy(queue);
    kiln_context_destroy(context);
    return test_end();
}
