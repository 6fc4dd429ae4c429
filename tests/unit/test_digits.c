/* The digits net of examples/digits: what training computed, what the labels say, and that planned kernels and plain
 * ones decide alike. `test_digits once`: only the planned ones, for a device that is slow. */
#include "scratch.h"

enum { HELD_OUT = 896 };
static const double least_accuracy = 0.97;
static kiln_context *context;
static kiln_queue *queue;
static kiln_net *net;

static const char *path_of(const char *name) {
    static char paths[4][800];
    static int next;
    char *path = paths[next++ % 4];
    const char *source = getenv("KILN_SOURCE_DIR");
    snprintf(path, sizeof paths[0], "%s/examples/digits/%s", source && source[0] ? source : ".", name);
    return path;
}

static kiln_classify_report classify(const char *variant, int32_t max_batch, bool eager) {
    kiln_session_options o = KILN_SESSION_OPTIONS_INIT;
    kiln_classify_report report = KILN_CLASSIFY_REPORT_INIT;
    o.variant = variant;
    o.max_batch = max_batch;
    o.eager = eager;
    CHECK_OK(kiln_net_classify(net, queue, &o, path_of("digits.safetensors"), &report));
    printf("%s, batches of %d: %lld of %lld right, %.4f; decisions %016llx\n", variant ? variant : "planned", max_batch,
           (long long)report.n_right, (long long)report.n_items, report.accuracy,
           (unsigned long long)report.predictions);
    CHECK(report.n_items == HELD_OUT && report.n_classes == 10);
    CHECK(report.accuracy >= least_accuracy && report.accuracy <= 1);
    CHECK(report.accuracy == (double)report.n_right / HELD_OUT);
    return report;
}

static void test_accuracy(void) {
    const kiln_classify_report planned = classify(NULL, 64, false), plain = classify("ref", 64, false),
                               small = classify(NULL, 5, true);
    CHECK(planned.predictions == plain.predictions && planned.n_right == plain.n_right);
    CHECK(planned.predictions == small.predictions && planned.n_right == small.n_right);
}

static void test_golden(const char *variant) {
    kiln_session_options o = KILN_SESSION_OPTIONS_INIT;
    kiln_golden_report report = KILN_GOLDEN_REPORT_INIT;
    o.variant = variant;
    CHECK_OK(kiln_net_check(net, queue, &o, path_of("digits-golden.safetensors"), 50, 1e-4, &report));
    CHECK(report.n_items == 128 && report.n_rows == 1);
    printf("%s: logits are off by %.2g of %.3g\n", variant ? variant : "planned", report.rows[0].max_diff,
           report.rows[0].max_abs);
}

/* Data that are not this net's, or lie. `from` in the header, which is text, becomes `to`, of the same length. */
static void check_data(const char *from, const char *to, kiln_status status, const char *what) {
    char folder[256], path[512];
    size_t n, at = 0;
    kiln_classify_report report = KILN_CLASSIFY_REPORT_INIT;
    char *data = scratch_read(path_of("digits.safetensors"), &n);
    REQUIRE(strlen(from) == strlen(to));
    while (at + strlen(from) < n && memcmp(data + at, from, strlen(from)) != 0)
        at++;
    REQUIRE(at + strlen(from) < n);
    memcpy(data + at, to, strlen(to));
    scratch_make(folder);
    snprintf(path, sizeof path, "%s/data.safetensors", folder);
    scratch_write(path, data, n);
    CHECK_STATUS(kiln_net_classify(net, queue, NULL, path, &report), status);
    if (status != KILN_OK) {
        CHECK_HAS(kiln_last_error(), what);
        CHECK(report.n_items == 0 && report.accuracy == 0);
    } else {
        CHECK(report.n_items == 1797); /* none are held out */
    }
    free(data);
    scratch_remove(folder);
}

static void test_data(void) {
    kiln_classify_report report = KILN_CLASSIFY_REPORT_INIT;
    kiln_net *tower;
    check_data("\"image\"", "\"other\"", KILN_E_MISMATCH, "no tensor \"image\"");
    check_data("\"labels\"", "\"letter\"", KILN_E_INVALID, "\"labels\" is missing");
    check_data("\"held_out\"", "\"left_out\"", KILN_OK, "");
    check_data("[1797,8,8,1]", "[1797,8,4,2]", KILN_E_MISMATCH, "another shape");
    check_data("[1797,8,8,1]", "[3594,4,8,1]", KILN_E_INVALID, "not U8 of 3594");
    CHECK_STATUS(kiln_net_classify(net, queue, NULL, path_of("none"), &report), KILN_E_IO);
    CHECK_STATUS(kiln_net_classify(net, queue, NULL, NULL, &report), KILN_E_INVALID);
    REQUIRE_OK(kiln_net_open(context, "tower:blocks=0,channels=8,inputs=1,board=8", &tower));
    CHECK_STATUS(kiln_net_classify(tower, queue, NULL, path_of("digits.safetensors"), &report), KILN_E_INVALID);
    CHECK_HAS(kiln_last_error(), "does not classify");
    kiln_net_destroy(tower);
}

int main(int argc, char **argv) {
    kiln_device *device;
    REQUIRE_OK(kiln_context_create(NULL, &context));
    if (kiln_device_find(context, NULL, &device) != KILN_OK)
        SKIP("%s", kiln_last_error());
    REQUIRE_OK(kiln_queue_create(device, &queue));
    REQUIRE_OK(kiln_net_open(context, path_of("digits-net.safetensors"), &net));
    if (argc > 1 && strcmp(argv[1], "once") == 0) {
        classify(NULL, 64, false);
    } else {
        test_accuracy();
        test_golden("ref");
        test_data();
    }
    test_golden(NULL);
    kiln_net_destroy(net);
    kiln_queue_destroy(queue);
    kiln_context_destroy(context);
    return test_end();
}
