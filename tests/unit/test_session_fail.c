/* Sessions on a scripted device: every call of the backend fails once, at every place, and nothing is left behind; and
 * what a run sends to the device. */
#include "backends/null.h"
#include "katago_writer.h"
#include "net.h"
#include "null_script.h"

static unsigned char *file;
static size_t file_bytes;

static void make_file(void) {
    const toy_spec spec = {
        .version = 14, .blocks = "gn", .act = "ACTIVATION_RELU", .channels = 4, .policies = 1, .scores = 4, .seed = 1};
    toy_net *toy = toy_create(&spec);
    file = toy_write(toy, false, &file_bytes);
    toy_destroy(toy);
}

static kiln_context *open_context(kiln_device **device) {
    kiln_context *context;
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    options.cache_dir = "";
    options.backends = "null";
    options.log_level = KILN_LOG_OFF;
    REQUIRE_OK(kiln_context_create(&options, &context));
    REQUIRE_OK(kiln_device_find(context, NULL, device));
    return context;
}

enum { BOARD = 3 };
static float spatial[9 * BOARD * BOARD * 6], global[9 * 5], out[5][9 * BOARD * BOARD];

static kiln_status run(kiln_session *s, int32_t batch) {
    return kiln_session_run(s, batch, (const float *[2]){spatial, global},
                            (float *[5]){out[0], out[1], out[2], out[3], out[4]});
}

/* Opens, runs two bucket sizes, destroys. */
static kiln_status use(kiln_context *context, kiln_device *device, bool eager) {
    kiln_net *net;
    kiln_queue *queue = NULL;
    kiln_session *session = NULL;
    kiln_session_options o = KILN_SESSION_OPTIONS_INIT;
    o.board_h = o.board_w = BOARD;
    o.max_batch = 4;
    o.eager = eager;
    REQUIRE_OK(kiln__katago_read(context, file, file_bytes, &net));
    kiln_status status = kiln_queue_create(device, &queue);
    if (status == KILN_OK)
        status = kiln_session_create(net, queue, &o, &session);
    if (status == KILN_OK)
        status = run(session, 2);
    if (status == KILN_OK)
        status = run(session, 5);
    kiln_session_destroy(session);
    kiln_queue_destroy(queue);
    kiln_net_destroy(net);
    return status;
}

static void check_nothing_left(kiln_device *device) {
    CHECK(kiln__null_live(device, KILN_NULL_MEMORY) == 0);
    CHECK(kiln__null_live(device, KILN_NULL_KERNEL) == 0);
    CHECK(kiln__null_live(device, KILN_NULL_QUEUE) == 0);
    CHECK(kiln__null_live(device, KILN_NULL_GRAPH) == 0);
    CHECK(kiln__null_misuses(device) == 0);
}

/* Fails the first, second, … call of a slot until one run needs no more calls than that. */
static void test_failing(const char *call, bool eager, bool graphs) {
    unsigned nth = 1;
    for (bool passed = false; !passed && nth < 5000; nth++) {
        kiln_device *device;
        null_script("device graphs=%d\nfail call=%s nth=%u status=KILN_E_DEVICE_LOST\n", graphs, call, nth);
        kiln_context *context = open_context(&device);
        const kiln_status status = use(context, device, eager);
        passed = status == KILN_OK;
        if (!passed) {
            CHECK(status == KILN_E_DEVICE_LOST);
            CHECK(kiln_last_error()[0] != '\0');
            check_nothing_left(device);
            CHECK_OK(use(context, device, eager)); /* the device is as good as new */
        }
        check_nothing_left(device);
        kiln_context_destroy(context);
    }
    CHECK(nth > 2 && nth < 5000);
}

/* A failed run leaves its session fit for the next. */
static void test_again(void) {
    kiln_device *device;
    kiln_net *net;
    kiln_queue *queue;
    kiln_session *s;
    null_script("device graphs=1\nfail call=graph_launch nth=2 status=KILN_E_DEVICE\n"
                "fail call=graph_build nth=2 status=KILN_E_DEVICE\n");
    kiln_context *context = open_context(&device);
    REQUIRE_OK(kiln__katago_read(context, file, file_bytes, &net));
    REQUIRE_OK(kiln_queue_create(device, &queue));
    kiln_session_options o = KILN_SESSION_OPTIONS_INIT;
    o.board_h = o.board_w = BOARD;
    REQUIRE_OK(kiln_session_create(net, queue, &o, &s));
    CHECK_OK(run(s, 1));
    CHECK_STATUS(run(s, 1), KILN_E_DEVICE);
    CHECK_OK(run(s, 1));
    CHECK_STATUS(run(s, 2), KILN_E_DEVICE); /* the graph of its bucket cannot be built */
    CHECK_OK(run(s, 2));
    kiln_session_info info = KILN_SESSION_INFO_INIT;
    CHECK_OK(kiln_session_get_info(s, 2, &info));
    CHECK(info.bucket == 2 && info.is_native_graph == 1);
    kiln_session_destroy(s);
    kiln_queue_destroy(queue);
    kiln_net_destroy(net);
    check_nothing_left(device);
    kiln_context_destroy(context);
}

static size_t count_lines(const char *text, const char *start) {
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, start)) != NULL; at++)
        n += at == text || at[-1] == '\n';
    return n;
}

static const char *text_of(const char *format, size_t n) {
    static char text[64];
    snprintf(text, sizeof text, format, n);
    return text;
}

/* Once warm, a run writes each input, launches, reads each output; it allocates nothing and makes no kernel. */
static void test_steady(bool eager) {
    kiln_device *device;
    kiln_net *net;
    kiln_queue *queue;
    kiln_session *s;
    null_script("device graphs=1\n");
    kiln_context *context = open_context(&device);
    REQUIRE_OK(kiln__katago_read(context, file, file_bytes, &net));
    REQUIRE_OK(kiln_queue_create(device, &queue));
    kiln_session_options o = KILN_SESSION_OPTIONS_INIT;
    o.board_h = o.board_w = BOARD;
    o.eager = eager;
    REQUIRE_OK(kiln_session_create(net, queue, &o, &s));
    REQUIRE_OK(run(s, 4));
    const uint64_t allocs = kiln__null_calls(device, KILN_NULL_CALL_alloc);
    const uint64_t kernels = kiln__null_calls(device, KILN_NULL_CALL_kernel_create);
    kiln__null_trace_clear(device);
    CHECK_OK(run(s, 4));
    CHECK(kiln__null_calls(device, KILN_NULL_CALL_alloc) == allocs);
    CHECK(kiln__null_calls(device, KILN_NULL_CALL_kernel_create) == kernels);
    CHECK(count_lines(kiln__null_trace(device), "write ") == 2);
    CHECK(count_lines(kiln__null_trace(device), "read ") == 5);
    CHECK(count_lines(kiln__null_trace(device), "copy ") == 1); /* the mask */
    CHECK(count_lines(kiln__null_trace(device), "graph ") == (eager ? 0 : 1));
    const size_t item_bytes = BOARD * BOARD * 6 * sizeof(float);
    CHECK_HAS(kiln__null_trace(device), text_of("bytes=%zu\n", 4 * item_bytes));
    kiln__null_trace_clear(device);
    CHECK_OK(run(s, 3)); /* one item less: what it left is written over with zeros */
    CHECK_HAS(kiln__null_trace(device), text_of("bytes=%zu\n", 4 * item_bytes));
    kiln__null_trace_clear(device);
    CHECK_OK(run(s, 3));
    CHECK_HAS(kiln__null_trace(device), text_of("bytes=%zu\n", 3 * item_bytes));
    CHECK(!strstr(kiln__null_trace(device), text_of("bytes=%zu\n", 4 * item_bytes)));
    kiln_session_destroy(s);
    kiln_queue_destroy(queue);
    kiln_net_destroy(net);
    kiln_context_destroy(context);
}

int main(void) {
    make_file();
    test_failing("queue_create", false, false);
    test_failing("alloc", false, false);
    test_failing("write", false, false);
    test_failing("read", false, false);
    test_failing("queue_finish", false, false);
    test_failing("kernel_create", false, false);
    test_failing("enqueue", false, false);
    test_failing("enqueue", true, false);
    test_failing("graph_build", false, true);
    test_failing("graph_launch", false, true);
    test_again();
    test_steady(false);
    test_steady(true);
    null_script_end();
    free(file);
    return test_end();
}
