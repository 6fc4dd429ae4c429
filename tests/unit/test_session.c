/* Sessions: small KataGo nets of every block kind against plain loops in double precision, on boards smaller than their
 * frame; batches, buckets, threads, eager and replayed. */
#include "katago_writer.h"
#include "net.h"
#include "testing.h"
#include <math.h>
#include <pthread.h>

enum { FRAME_H = 7, FRAME_W = 8, MAX_ITEMS = 11 };

static kiln_context *context;
static kiln_device *device;

/* One net with positions of boards of several sizes and what they must give. */
typedef struct fixture {
    toy_net *toy;
    kiln_net *net;
    float *inputs[2];
    size_t in_floats[2], out_floats[5]; /* of one item */
    toy_outputs expected[MAX_ITEMS];
    int board[MAX_ITEMS];
} fixture;

typedef struct results {
    float *outputs[5];
} results;

static void fixture_make(fixture *f, int version, const char *blocks, const char *act, bool text) {
    const toy_spec spec = {.version = version,
                           .blocks = blocks,
                           .act = act,
                           .channels = 10,
                           .policies = version >= 15 ? 4 : 1,
                           .scores = version >= 9 ? 6 : 4,
                           .seed = (uint64_t)version};
    size_t n;
    f->toy = toy_create(&spec);
    unsigned char *data = toy_write(f->toy, text, &n);
    REQUIRE_OK(kiln__katago_read(context, data, n, &f->net));
    free(data);
    const size_t points = (size_t)FRAME_H * FRAME_W;
    const size_t in[2] = {points * (size_t)f->toy->n_spatial, (size_t)f->toy->n_global};
    const size_t out[5] = {points * (size_t)spec.policies, (size_t)spec.policies, 3, (size_t)spec.scores, points};
    memcpy(f->in_floats, in, sizeof in);
    memcpy(f->out_floats, out, sizeof out);
    for (int i = 0; i < 2; i++)
        REQUIRE((f->inputs[i] = calloc(MAX_ITEMS * in[i], sizeof(float))) != NULL);
    for (size_t i = 0; i < MAX_ITEMS; i++) {
        float *spatial = f->inputs[0] + i * in[0], *global = f->inputs[1] + i * in[1];
        f->board[i] = i % 3 == 0 ? 5 : i % 3 == 1 ? 7 : 2;
        toy_position(f->toy, 100 + i, FRAME_H, FRAME_W, f->board[i], spatial, global);
        toy_forward(f->toy, FRAME_H, FRAME_W, spatial, global, &f->expected[i]);
    }
}

static void fixture_free(fixture *f) {
    for (int i = 0; i < MAX_ITEMS; i++)
        toy_outputs_free(&f->expected[i]);
    free(f->inputs[0]), free(f->inputs[1]);
    kiln_net_destroy(f->net);
    toy_destroy(f->toy);
}

static results results_make(const fixture *f) {
    results r;
    for (int i = 0; i < 5; i++) {
        REQUIRE((r.outputs[i] = malloc(MAX_ITEMS * f->out_floats[i] * sizeof(float))) != NULL);
        for (size_t k = 0; k < MAX_ITEMS * f->out_floats[i]; k++)
            r.outputs[i][k] = NAN; /* an output that is not written shows */
    }
    return r;
}

static void results_free(results *r) {
    for (int i = 0; i < 5; i++)
        free(r->outputs[i]);
}

static kiln_session *session_make(const fixture *f, kiln_queue *queue, const kiln_session_options *base) {
    kiln_session_options o = base ? *base : (kiln_session_options)KILN_SESSION_OPTIONS_INIT;
    kiln_session *s;
    o.board_h = FRAME_H;
    o.board_w = FRAME_W;
    if (!o.max_batch)
        o.max_batch = 8;
    REQUIRE_OK(kiln_session_create(f->net, queue, &o, &s));
    return s;
}

static kiln_status run(const fixture *f, kiln_session *s, int first, int n, results *r) {
    const float *in[2] = {f->inputs[0] + (size_t)first * f->in_floats[0],
                          f->inputs[1] + (size_t)first * f->in_floats[1]};
    float *out[5];
    for (int i = 0; i < 5; i++)
        out[i] = r->outputs[i] + (size_t)first * f->out_floats[i];
    return kiln_session_run(s, n, in, out);
}

/* Within `tolerance` of the double-precision result, relative to 1 + |it|. */
static bool near(double got, double expected, double tolerance) {
    return fabs(got - expected) <= tolerance * (1 + fabs(expected)); /* false for a NaN */
}

static int count_far(const fixture *f, const results *r, int first, int n, double tolerance) {
    int wrong = 0;
    for (int i = first; i < first + n; i++) {
        const toy_outputs *e = &f->expected[i];
        const size_t item = (size_t)i, policies = f->out_floats[1];
        for (size_t p = 0; p < FRAME_H * FRAME_W; p++) { /* off the board there is nothing to promise */
            if ((int)(p / FRAME_W) >= f->board[i] || (int)(p % FRAME_W) >= f->board[i])
                continue;
            for (size_t k = 0; k < policies; k++)
                wrong += !near((double)r->outputs[0][item * f->out_floats[0] + p * policies + k],
                               e->policy[p * policies + k], tolerance);
            wrong += !near((double)r->outputs[4][item * f->out_floats[4] + p], e->ownership[p], tolerance);
        }
        for (size_t k = 0; k < policies; k++)
            wrong += !near((double)r->outputs[1][item * policies + k], e->pass[k], tolerance);
        for (size_t k = 0; k < 3; k++)
            wrong += !near((double)r->outputs[2][item * 3 + k], e->value[k], tolerance);
        for (size_t k = 0; k < f->out_floats[3]; k++)
            wrong += !near((double)r->outputs[3][item * f->out_floats[3] + k], e->score[k], tolerance);
    }
    return wrong;
}

static int count_wrong(const fixture *f, const results *r, int first, int n) {
    return count_far(f, r, first, n, 1e-4);
}

static bool same_bits(const fixture *f, const results *a, const results *b, int n) {
    for (int i = 0; i < 5; i++)
        if (memcmp(a->outputs[i], b->outputs[i], (size_t)n * f->out_floats[i] * sizeof(float)) != 0)
            return false;
    return true;
}

/* ---- every kind of net, by every way ---- */

static void test_forward(const fixture *f, kiln_queue *queue, const char *variant) {
    kiln_session_options o = KILN_SESSION_OPTIONS_INIT;
    o.variant = variant;
    kiln_session *s = session_make(f, queue, &o);
    results r = results_make(f);
    CHECK_OK(run(f, s, 0, 8, &r));
    CHECK(count_wrong(f, &r, 0, 8) == 0);
    for (size_t i = 0; variant && kiln_session_plan(s, 8, i); i++) {
        kiln_plan_info info = KILN_PLAN_INFO_INIT;
        CHECK_OK(kiln_plan_get_info(kiln_session_plan(s, 8, i), &info));
        CHECK_STR(info.variant, variant);
    }
    results_free(&r);
    kiln_session_destroy(s);
}

/* ---- batches ---- */

static void test_batches(const fixture *f, kiln_queue *queue) {
    kiln_session *s = session_make(f, queue, NULL);
    for (int n = 1; n <= 9; n++) { /* a padded bucket still holds what a larger batch left in it */
        results r = results_make(f);
        CHECK_OK(run(f, s, 0, n, &r));
        CHECK(count_wrong(f, &r, 0, n) == 0);
        CHECK(isnan(r.outputs[2][3 * n])); /* nothing is written past the batch */
        results_free(&r);
    }
    for (int n = 8; n >= 5; n--) {
        results r = results_make(f);
        CHECK_OK(run(f, s, MAX_ITEMS - n, n, &r));
        CHECK(count_wrong(f, &r, MAX_ITEMS - n, n) == 0);
        results_free(&r);
    }
    results r = results_make(f);
    CHECK_OK(run(f, s, 0, MAX_ITEMS, &r)); /* 8, then 3 in a bucket of 4 */
    CHECK(count_wrong(f, &r, 0, MAX_ITEMS) == 0);
    results_free(&r);
    r = results_make(f);
    float *out[5] = {NULL, r.outputs[1], NULL, NULL, NULL};
    CHECK_OK(kiln_session_run(s, 2, (const float *const *)f->inputs, out));
    CHECK(!isnan(r.outputs[1][0]) && isnan(r.outputs[0][0]) && isnan(r.outputs[2][0]));
    CHECK_STATUS(kiln_session_run(s, 0, (const float *const *)f->inputs, out), KILN_E_INVALID);
    const float *no_inputs[2] = {f->inputs[0], NULL};
    CHECK_STATUS(kiln_session_run(s, 1, no_inputs, out), KILN_E_INVALID);
    CHECK_HAS(kiln_last_error(), "global");
    results_free(&r);
    kiln_session_destroy(s);
}

static void test_eager(const fixture *f, kiln_queue *queue) {
    kiln_session_options o = KILN_SESSION_OPTIONS_INIT;
    o.eager = 1;
    kiln_session *eager = session_make(f, queue, &o), *graph = session_make(f, queue, NULL);
    results a = results_make(f), b = results_make(f), c = results_make(f);
    CHECK_OK(run(f, eager, 0, 7, &a));
    CHECK_OK(run(f, graph, 0, 7, &b));
    CHECK_OK(run(f, graph, 0, 7, &c));
    CHECK(same_bits(f, &a, &b, 7));
    CHECK(same_bits(f, &b, &c, 7));
    results_free(&a), results_free(&b), results_free(&c);
    kiln_session_destroy(graph);
    kiln_session_destroy(eager);
}

/* With halos wherever they are of use and without any: the same numbers but for rounding. */
static void test_halos(const fixture *f, kiln_queue *queue, const char *variant) {
    for (int halos = KILN_HALOS_USUAL; halos <= KILN_HALOS_NONE; halos++) {
        kiln_session_options o = KILN_SESSION_OPTIONS_INIT;
        o.halos = (kiln_session_halos)halos;
        o.variant = variant;
        kiln_session *s = session_make(f, queue, &o);
        results r = results_make(f);
        for (int n = 8; n >= 5; n -= 3) { /* a padded bucket, too */
            CHECK_OK(run(f, s, 0, n, &r));
            CHECK(count_wrong(f, &r, 0, n) == 0);
        }
        results_free(&r);
        kiln_session_destroy(s);
    }
}

/* What is stored in 16 bits takes half the memory and is right up to its roundings: 2^-11 and 2^-8 of a value, and the
 * largest lie on the way. */
static void test_types(const fixture *f, kiln_queue *queue) {
    static const struct {
        kiln_type type;
        double tolerance;
    } cases[] = {{KILN_TYPE_F16, 0.01}, {KILN_TYPE_BF16, 0.08}};
    kiln_session *whole = session_make(f, queue, NULL);
    kiln_session_info info = KILN_SESSION_INFO_INIT, halved = KILN_SESSION_INFO_INIT;
    CHECK_OK(kiln_session_get_info(whole, 8, &info));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        kiln_session_options o = KILN_SESSION_OPTIONS_INIT;
        o.type = cases[i].type;
        o.variant = "ref"; /* the portable variants with the least to compile */
        kiln_session *s = session_make(f, queue, &o);
        results r = results_make(f);
        for (int n = 8; n >= 5; n -= 3) { /* a padded bucket, too */
            CHECK_OK(run(f, s, 0, n, &r));
            CHECK(count_far(f, &r, 0, n, cases[i].tolerance) == 0);
            CHECK(count_far(f, &r, 0, n, cases[i].tolerance / 200) > 0); /* it is not f32 after all */
        }
        CHECK_OK(kiln_session_get_info(s, 8, &halved));
        CHECK(halved.activation_unshared_bytes < 0.6 * (double)info.activation_unshared_bytes);
        results_free(&r);
        kiln_session_destroy(s);
    }
    kiln_session_destroy(whole);
}

/* ---- what can be asked ---- */

static kiln_status count_problem(void *user, const kiln_problem *problem, size_t count) {
    char key[KILN_MAX_KEY];
    CHECK(kiln_problem_key(problem, key, sizeof key) < sizeof key && count > 0);
    *(size_t *)user += count;
    return KILN_OK;
}

static kiln_status stop(void *user, const kiln_problem *problem, size_t count) {
    (void)user, (void)problem, (void)count;
    return KILN_E_CANCELLED;
}

static void test_info(const fixture *f, kiln_queue *queue) {
    const int32_t buckets[2] = {4, 8}, wrong[2] = {8, 4};
    kiln_session_options o = KILN_SESSION_OPTIONS_INIT;
    o.buckets = buckets;
    o.n_buckets = 2;
    kiln_session *s = session_make(f, queue, &o);
    kiln_session_info info = KILN_SESSION_INFO_INIT;
    CHECK_OK(kiln_session_get_info(s, 2, &info));
    CHECK(info.bucket == 4);
    CHECK_OK(kiln_session_get_info(s, 100, &info));
    CHECK(info.bucket == 8);
    CHECK(info.activation_bytes < info.activation_unshared_bytes && info.weight_bytes > 0 && info.n_steps > 0);
    size_t n = 0, n_plans = 0;
    CHECK_OK(kiln_net_problems(f->net, 6, FRAME_H, FRAME_W, KILN_TYPE_F32, count_problem, &n));
    while (kiln_session_plan(s, 8, n_plans))
        n_plans++;
    CHECK(n == n_plans);
    CHECK_STATUS(kiln_net_problems(f->net, 6, 0, 0, KILN_TYPE_F32, stop, NULL), KILN_E_CANCELLED);
    kiln_view in, out;
    CHECK_OK(kiln_session_input(s, 8, 0, &in));
    CHECK_OK(kiln_session_output(s, 8, 4, &out));
    CHECK(in.buffer && out.buffer);
    CHECK_STATUS(kiln_session_output(s, 8, 5, &out), KILN_E_INVALID);
    kiln_session_destroy(s);
    o.buckets = wrong;
    CHECK_STATUS(kiln_session_create(f->net, queue, &o, &s), KILN_E_INVALID);
    o = (kiln_session_options)KILN_SESSION_OPTIONS_INIT;
    o.board_h = -3;
    CHECK_STATUS(kiln_session_create(f->net, queue, &o, &s), KILN_E_INVALID);
    o.board_h = 5;
    o.type = KILN_TYPE_S8;
    CHECK_STATUS(kiln_session_create(f->net, queue, &o, &s), KILN_E_INVALID);
    CHECK_HAS(kiln_last_error(), "bf16");
    o.type = KILN_TYPE_F32;
    o.variant = "no such variant";
    REQUIRE_OK(kiln_session_create(f->net, queue, &o, &s));
    CHECK_STATUS(kiln_session_warm(s, 1), KILN_E_NOT_FOUND);
    CHECK_HAS(kiln_last_error(), "no such variant");
    kiln_session_destroy(s);
}

/* Two sessions of a net share its packed weights: the second adds nothing. */
static void test_sharing(const fixture *f, kiln_queue *queue) {
    kiln_session *a = session_make(f, queue, NULL), *b = session_make(f, queue, NULL);
    kiln_session_info first = KILN_SESSION_INFO_INIT, second = KILN_SESSION_INFO_INIT;
    CHECK_OK(kiln_session_get_info(a, 8, &first));
    CHECK_OK(kiln_session_get_info(b, 8, &second));
    CHECK(first.weight_bytes == second.weight_bytes);
    kiln_session_destroy(a);
    kiln_session_destroy(b);
}

/* ---- threads ---- */

typedef struct worker {
    const fixture *f;
    pthread_t thread;
    results r;
    int failures;
} worker;

static void *work(void *user) {
    worker *w = user;
    kiln_queue *queue;
    if (kiln_queue_create(device, &queue) != KILN_OK) {
        w->failures++;
        return NULL;
    }
    kiln_session *s = session_make(w->f, queue, NULL);
    for (int i = 0; i < 5; i++)
        w->failures += run(w->f, s, 0, 8, &w->r) != KILN_OK || count_wrong(w->f, &w->r, 0, 8) != 0;
    kiln_session_destroy(s);
    kiln_queue_destroy(queue);
    return NULL;
}

/* Two threads open sessions of a fresh net at once, so that they race for its weights. */
static void test_threads(void) {
    fixture f = {0};
    fixture_make(&f, 8, "og", "", false);
    worker workers[2];
    for (int i = 0; i < 2; i++) {
        workers[i] = (worker){.f = &f, .r = results_make(&f)};
        REQUIRE(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(workers[i].thread, NULL);
        CHECK(workers[i].failures == 0);
    }
    CHECK(same_bits(&f, &workers[0].r, &workers[1].r, 8));
    results_free(&workers[0].r), results_free(&workers[1].r);
    fixture_free(&f);
}

/* ---- seeded towers ---- */

static void test_seeded(kiln_queue *queue) {
    kiln_net *net;
    CHECK_STATUS(kiln_net_open(context, "tower:blocks=two", &net), KILN_E_PARSE);
    CHECK_HAS(kiln_last_error(), "blocks");
    CHECK_STATUS(kiln_net_open(context, "tower:blocks=2,blocks=2", &net), KILN_E_PARSE);
    CHECK_STATUS(kiln_net_open(context, "tower:height=2", &net), KILN_E_PARSE);
    CHECK_HAS(kiln_last_error(), "height");
    CHECK_STATUS(kiln_net_open(context, "tower:channels=99999999999999999999", &net), KILN_E_PARSE);
    REQUIRE_OK(kiln_net_open(context, "tower:blocks=12,channels=16,inputs=5,board=5,seed=3", &net));
    kiln_session *s;
    REQUIRE_OK(kiln_session_create(net, queue, NULL, &s));
    static float in[2 * 5 * 5 * 5], policy[2 * 5 * 5 * 139], value[2 * 3];
    for (size_t i = 0; i < sizeof in / sizeof in[0]; i++)
        in[i] = (float)(i * 7 % 3 == 0);
    CHECK_OK(kiln_session_run(s, 2, (const float *[1]){in}, (float *[2]){policy, value}));
    double square = 0;
    for (size_t i = 0; i < sizeof policy / sizeof policy[0]; i++)
        square += (double)policy[i] * (double)policy[i];
    const double size = sqrt(square / (double)(sizeof policy / sizeof policy[0]));
    CHECK(size > 0.05 && size < 20); /* neither dies out nor explodes over the blocks */
    CHECK(isfinite(value[0]) && memcmp(value, value + 3, sizeof(float[3])) != 0);
    kiln_session_destroy(s);
    kiln_net_destroy(net);
}

static kiln_status count_row(void *user, const kiln_net_bench_row *row) {
    CHECK(row->latency_us > 0 && row->evals_per_s > 0 && row->n_repetitions > 0);
    ++*(int *)user;
    return KILN_OK;
}

static void test_bench(const fixture *f, kiln_queue *queue) {
    const int32_t batches[3] = {4, 1, 4}, wrong[1] = {0};
    int n = 0;
    CHECK_OK(kiln_net_bench(f->net, queue, NULL, batches, 3, 1e-3, count_row, &n));
    CHECK(n == 6);
    CHECK_STATUS(kiln_net_bench(f->net, queue, NULL, wrong, 1, 1e-3, count_row, &n), KILN_E_INVALID);
}

int main(void) {
    REQUIRE_OK(kiln_context_create(NULL, &context));
    if (kiln_device_find(context, NULL, &device) != KILN_OK)
        SKIP("%s", kiln_last_error());
    kiln_queue *queue;
    REQUIRE_OK(kiln_queue_create(device, &queue));
    test_threads();
    static const struct {
        int version;
        const char *blocks, *act;
        bool text, ref;
    } nets[] = {{8, "og", "", false, false},
                {14, "n", "ACTIVATION_MISH", true, false},
                {16, "nog", "ACTIVATION_MISH", false, true}};
    for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++) {
        fixture f = {0};
        fixture_make(&f, nets[i].version, nets[i].blocks, nets[i].act, nets[i].text);
        test_forward(&f, queue, NULL);
        if (nets[i].ref)
            test_forward(&f, queue, "ref");
        if (i == 0) {
            test_batches(&f, queue);
            test_eager(&f, queue);
            test_halos(&f, queue, NULL);
            test_halos(&f, queue, "vec");
            test_halos(&f, queue, "tile");
            test_types(&f, queue);
            test_info(&f, queue);
            test_sharing(&f, queue);
            test_bench(&f, queue);
        }
        fixture_free(&f);
    }
    test_seeded(queue);
    kiln_queue_destroy(queue);
    kiln_context_destroy(context);
    return test_end();
}
