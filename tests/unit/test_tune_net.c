/* Tuning a net on a real device: its problems, then what they would be with other halos; what it tells is what sessions
 * choose. */
#include "device.h"
#include "halos.h"
#include "planner.h"
#include "testing.h"
#include <ftw.h>
#include <kiln/tune.h>
#include <math.h>
#include <unistd.h>

static const int32_t batches[] = {2};
enum { N_BATCHES = 1, BOARD = 5 };

static kiln_device *device;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)st, (void)type, (void)at;
    return remove(path);
}

typedef struct {
    size_t n, n_timed;
} counted;

/* Whether the problem, and the one it could replace, have records. */
static kiln_status count_timed(void *user, const kiln_problem *problem, const kiln_problem *usual, bool likely) {
    counted *c = user;
    double us, usual_us;
    (void)likely;
    CHECK_OK(kiln__halos_recorded_us(device, problem, usual, &us));
    CHECK_OK(kiln__halos_recorded_us(device, usual, usual, &usual_us));
    CHECK(us == 0 || (usual_us > 0 && us < 50 * usual_us)); /* compared with something */
    c->n++;
    c->n_timed += us > 0;
    return KILN_OK;
}

static size_t count_all(const kiln_net *net) {
    size_t n_timed = 0;
    for (size_t i = 0; i < N_BATCHES; i++) {
        counted c = {0};
        kiln_layout layout;
        REQUIRE_OK(kiln__layout_open(net, batches[i], BOARD, BOARD, &layout));
        CHECK_OK(kiln__halos_alternatives(&layout, count_timed, &c));
        kiln__layout_free(&layout);
        CHECK(c.n == 2); /* a block: the tensor between its convolutions */
        n_timed += c.n_timed > 0;
    }
    return n_timed;
}

static void check_sessions(kiln_net *net, const kiln_tune_result *r) {
    kiln_queue *queue;
    size_t n_dropped = 0;
    double gain_us = 0;
    REQUIRE_OK(kiln_queue_create(device, &queue));
    for (size_t i = 0; i < N_BATCHES; i++) {
        kiln_session_options o = KILN_SESSION_OPTIONS_INIT;
        kiln_session *s;
        o.buckets = &batches[i];
        o.n_buckets = 1;
        REQUIRE_OK(kiln_session_create(net, queue, &o, &s));
        const char *why = kiln_session_why(s, batches[i]);
        REQUIRE(why != NULL);
        size_t dropped = 0;
        double us = 0, usual_us = 0;
        if (sscanf(why, "%zu of %*u tensors without their usual halo: %lf us by what is on record instead of %lf us",
                   &dropped, &us, &usual_us) == 3)
            gain_us += usual_us - us;
        else
            CHECK_HAS(why, "no other choice is faster");
        n_dropped += dropped;
        CHECK_OK(kiln_session_enqueue(s, batches[i]));
        CHECK_OK(kiln_queue_finish(queue));
        kiln_session_destroy(s);
    }
    CHECK(n_dropped == r->n_halos_dropped);
    CHECK(fabs(gain_us - r->halos_gain_us) < 0.2 * N_BATCHES); /* as it is printed */
    CHECK(r->halos_gain_us >= 0);
    kiln_queue_destroy(queue);
}

int main(void) {
    char dir[] = "/tmp/kiln-test-tune-net-XXXXXX";
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    kiln_context *context;
    kiln_net *net;
    REQUIRE(mkdtemp(dir) != NULL);
    options.cache_dir = dir;
    REQUIRE_OK(kiln_context_create(&options, &context));
    if (kiln_device_find(context, NULL, &device) != KILN_OK)
        SKIP("%s", kiln_last_error());
    REQUIRE_OK(kiln_net_open(context, "tower:blocks=1,channels=16,inputs=4,board=5", &net));
    kiln_tune_options o = KILN_TUNE_OPTIONS_INIT;
    kiln_tune_result r = KILN_TUNE_RESULT_INIT, again = KILN_TUNE_RESULT_INIT;
    size_t n_timed = 0;
    for (o.budget_seconds = 8; o.budget_seconds < 100 && n_timed < N_BATCHES; o.budget_seconds *= 2) {
        r = (kiln_tune_result)KILN_TUNE_RESULT_INIT;
        CHECK_OK(kiln_tune_net(net, device, batches, N_BATCHES, 0, 0, &o, &r));
        CHECK(r.n_problems == 7);
        n_timed = count_all(net);
    }
    o.budget_seconds /= 2;
    CHECK(n_timed >= N_BATCHES); /* a slow machine gets on, too */
    check_sessions(net, &r);
    CHECK_OK(kiln_tune_net(net, device, batches, N_BATCHES, 0, 0, &o, &again));
    CHECK(again.n_measured == 0);
    CHECK(again.n_halos_dropped == r.n_halos_dropped && again.halos_gain_us == r.halos_gain_us);
    kiln_net_destroy(net);
    kiln_context_destroy(context);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return test_end();
}
