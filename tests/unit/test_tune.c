/* Tuning on a scripted device: the fastest valid candidate wins; what crashes, hangs, writes outside, computes wrongly
 * or gives NaN is recorded and never chosen; a search goes on where it stopped. */
#include "device.h"
#include "family.h"
#include "null_script.h"
#include "planner.h"
#include "testing.h"
#include "tune.h"

static const char *const text = "gemm:m=64,n=64,k=64,ep=relu";
static char dir[64];

static void new_dir(void) {
    strcpy(dir, "/tmp/kiln-test-tune-XXXXXX");
    REQUIRE(mkdtemp(dir) != NULL);
}

typedef struct {
    kiln_context *context;
    kiln_device *device;
    kiln_problem problem;
} world;

/* A GPU whose kernels give zeros, as ref does, with a time for each candidate. */
static world open_world(const char *script) {
    world w;
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    options.cache_dir = dir;
    options.log_level = KILN_LOG_ERROR;
    options.backends = "null";
    null_script("device name=a kind=gpu units=4 graphs=1 patch=1\n"
                "compute result=zeros\ntime call=kernel us=100\n%s",
                script);
    REQUIRE_OK(kiln_context_create(&options, &w.context));
    REQUIRE_OK(kiln_device_find(w.context, "null:0", &w.device));
    REQUIRE_OK(kiln_problem_parse(w.context, text, &w.problem));
    return w;
}

/* ---- what the callback saw ---- */

typedef struct {
    size_t n, n_crashed, n_hung, n_wrong, n_failed, cancel_at;
    char last_failure[256];
} seen;

static kiln_status watch(void *user, const kiln_tune_progress *p) {
    seen *s = user;
    s->n++;
    s->n_crashed += strcmp(p->state, "crashed") == 0;
    s->n_hung += strcmp(p->state, "hung") == 0;
    s->n_wrong += strcmp(p->state, "wrong") == 0;
    s->n_failed += strcmp(p->state, "failed") == 0;
    if (p->reason[0])
        snprintf(s->last_failure, sizeof s->last_failure, "%s", p->reason);
    CHECK_STR(p->problem, text);
    CHECK(p->n_problems == 1 && p->problem_index == 0 && p->done >= 0 && p->done <= 1);
    return s->cancel_at == s->n ? KILN_E_CANCELLED : KILN_OK;
}

static kiln_tune_options options_for(seen *s) {
    kiln_tune_options o = KILN_TUNE_OPTIONS_INIT;
    o.progress = watch;
    o.user = s;
    o.effort = KILN_PLAN_EXHAUST;
    o.variant = "tile";
    o.limit_seconds = 2;
    return o;
}

static kiln_tune_result tune(const world *w, const kiln_tune_options *o, kiln_status expected) {
    kiln_tune_result r = KILN_TUNE_RESULT_INIT;
    CHECK_STATUS(kiln_tune_problem(w->device, &w->problem, o, &r), expected);
    return r;
}

static void check_plan(const world *w, const char *variant, const char *config_part, const char *source) {
    kiln_plan *plan;
    kiln_plan_info i = KILN_PLAN_INFO_INIT;
    REQUIRE_OK(kiln_plan_create(w->device, &w->problem, NULL, &plan));
    REQUIRE_OK(kiln_plan_get_info(plan, &i));
    CHECK_STR(i.variant, variant);
    CHECK_HAS(i.config, config_part);
    CHECK_STR(i.source, source);
    kiln_plan_destroy(plan);
}

/* ---- tests ---- */

static void test_winner(bool in_process) {
    new_dir();
    world w = open_world("time kernel=gemm_tile us=40 defines=KP_TM=32\n"
                         "time kernel=gemm_tile us=20 defines=KP_WN=1\n");
    seen s = {0};
    kiln_tune_options o = options_for(&s);
    o.in_process = in_process;
    kiln_tune_result r = tune(&w, &o, KILN_OK);
    CHECK(r.used_worker == !in_process);
    CHECK(r.n_problems == 1 && r.n_measured == s.n && r.n_measured > 50 && r.n_known == 0);
    CHECK(r.n_failed + r.n_wrong + r.n_quarantined == 0);
    CHECK(r.best_us < 25 && r.start_us > 35);
    check_plan(&w, "tile", "wn=1", "record");

    const size_t n = s.n; /* everything is known now */
    r = tune(&w, &o, KILN_OK);
    CHECK(r.n_measured == 0 && r.n_known == n && s.n == n);
    kiln_context_destroy(w.context);
    null_remove(dir);
}

static void test_resume(void) {
    new_dir();
    world w = open_world("time kernel=gemm_tile us=20 defines=KP_WN=1\n");
    seen s = {.cancel_at = 20};
    kiln_tune_options o = options_for(&s);
    kiln_tune_result r = tune(&w, &o, KILN_E_CANCELLED);
    CHECK(r.n_measured == 20);
    s.cancel_at = 0;
    r = tune(&w, &o, KILN_OK);
    CHECK(r.n_known == 20 && r.n_measured > 20); /* nothing was lost, nothing tried twice */
    kiln_context_destroy(w.context);
    null_remove(dir);
}

/* A whole search, of every variant at home: the second one measures nothing. */
static void test_done(void) {
    new_dir();
    world w = open_world("");
    seen s = {0};
    kiln_tune_options o = options_for(&s);
    o.variant = NULL;
    o.effort = KILN_PLAN_MEASURE;
    o.budget_seconds = 1;
    kiln_tune_result r = tune(&w, &o, KILN_OK);
    CHECK(r.n_measured > 0);
    r = tune(&w, &o, KILN_OK);
    CHECK(r.n_measured == 0 && r.n_known == 0);
    o.budget_seconds = 1.5; /* longer than what was searched: goes on */
    const size_t before = s.n;
    r = tune(&w, &o, KILN_OK);
    CHECK(r.n_measured == s.n - before);
    check_plan(&w, "tile", "tm=", "record");
    kiln_context_destroy(w.context);
    null_remove(dir);
}

/* Planning that may measure tunes first, and the next plan finds it done. */
static void test_plan_effort(void) {
    new_dir();
    world w = open_world("time kernel=gemm_tile us=20 defines=KP_WN=1\n");
    kiln_plan_options o = KILN_PLAN_OPTIONS_INIT;
    kiln_plan *plan;
    kiln_plan_info i = KILN_PLAN_INFO_INIT;
    kiln_counters c = KILN_COUNTERS_INIT;
    o.effort = KILN_PLAN_EXHAUST;
    REQUIRE_OK(kiln_plan_create(w.device, &w.problem, &o, &plan));
    REQUIRE_OK(kiln_plan_get_info(plan, &i));
    CHECK_HAS(i.config, "wn=1");
    CHECK_STR(i.source, "record");
    kiln_plan_destroy(plan);
    REQUIRE_OK(kiln_context_counters(w.context, &c));
    const uint64_t written = c.records_written;
    CHECK(written > 100);
    REQUIRE_OK(kiln_plan_create(w.device, &w.problem, &o, &plan));
    kiln_plan_destroy(plan);
    REQUIRE_OK(kiln_context_counters(w.context, &c));
    CHECK(c.records_written == written);
    kiln_context_destroy(w.context);
    null_remove(dir);
}

/* Two searches that knew nothing of each other, the second on a machine ten times as busy. What it found is ranked by
 * how much faster than their common base it is, not by the clock. */
static void test_busy(void) {
    char quiet[sizeof dir];
    new_dir();
    world w = open_world("time kernel=gemm_tile us=20 defines=KP_TM=128\n");
    seen s = {.cancel_at = 10};
    kiln_tune_options o = options_for(&s);
    o.in_process = 1;
    tune(&w, &o, KILN_E_CANCELLED); /* before it comes to tm=128 */
    kiln_context_destroy(w.context);
    memcpy(quiet, dir, sizeof dir);

    new_dir();
    w = open_world("time call=kernel us=1000\ntime kernel=gemm_tile us=200 defines=KP_TM=128\n");
    s.cancel_at = 0;
    const kiln_tune_result r = tune(&w, &o, KILN_OK);
    CHECK(r.best_us > 150);
    kiln_context_destroy(w.context);

    setenv("KILN_CACHE_PATH", dir, 1); /* both */
    char busy[sizeof dir];
    memcpy(busy, dir, sizeof dir);
    memcpy(dir, quiet, sizeof dir);
    w = open_world("");
    check_plan(&w, "tile", "tm=128", "record");
    kiln_ranking ranking;
    REQUIRE_OK(kiln__rank_records(w.device, &w.problem, &ranking));
    CHECK(ranking.rows[0].median_us > 15 && ranking.rows[0].median_us < 25);
    CHECK(ranking.rows[ranking.n_sound - 1].median_us < 110); /* those of the busy machine as well */
    kiln__ranking_free(w.context, &ranking);
    kiln_context_destroy(w.context);
    unsetenv("KILN_CACHE_PATH");
    null_remove(busy);
    null_remove(quiet);
}

/* Eager times and replayed ones are two scales: a search of one takes no champion of the other. */
static void test_two_modes(void) {
    new_dir();
    world w = open_world("time kernel=gemm_tile us=20 defines=KP_WN=1\n");
    seen s = {0};
    kiln_tune_options o = options_for(&s);
    o.in_process = 1;
    tune(&w, &o, KILN_OK);
    kiln_context_destroy(w.context);
    w = open_world("time call=kernel us=10000\n");
    s = (seen){.cancel_at = 3};
    o.eager = 1;
    const kiln_tune_result r = tune(&w, &o, KILN_E_CANCELLED);
    CHECK(r.n_known == 0 && r.start_us > 9000 && r.best_us > 9000);
    kiln_context_destroy(w.context);
    null_remove(dir);
}

/* The tempting candidates are all bad: each way of being bad is told apart, and none is chosen. */
static void test_planted(void) {
    new_dir();
    world w = open_world("compute kernel=gemm_tile result=nan defines=KP_TM=16\n"
                         "time kernel=gemm_tile us=1 defines=KP_TM=16\n"
                         "compute kernel=gemm_tile result=ones defines=KP_TM=32\n"
                         "time kernel=gemm_tile us=2 defines=KP_TM=32\n"
                         "compute kernel=gemm_tile result=outside defines=KP_TN=16\n"
                         "compute kernel=gemm_tile result=nothing defines=KP_TN=32\n"
                         "compute kernel=gemm_tile result=flaky defines=KP_TK=8\n"
                         "fail call=compile status=KILN_E_COMPILE source=gemm defines=KP_WM=1\n"
                         "time kernel=gemm_tile us=50 defines=KP_WN=2\n");
    seen s = {0};
    kiln_tune_options o = options_for(&s);
    const kiln_tune_result r = tune(&w, &o, KILN_OK);
    CHECK(r.n_wrong > 0 && r.n_failed > 0 && r.n_quarantined == 0);
    CHECK(s.n_wrong == r.n_wrong && s.n_failed == r.n_failed);
    check_plan(&w, "tile", "wn=2", "record");
    kiln_ranking ranking;
    REQUIRE_OK(kiln__rank_records(w.device, &w.problem, &ranking));
    CHECK(ranking.n_rows == r.n_measured && ranking.n_sound == r.n_measured - r.n_wrong - r.n_failed);
    CHECK(ranking.n_sound > 20); /* a bad candidate does not spoil the good ones after it */
    for (size_t i = 0; i < ranking.n_sound; i++) {
        const int32_t *v = ranking.rows[i].config.v; /* tm, tn, tk, wm, wn */
        CHECK(v[0] > 32 && v[1] > 32 && v[2] > 8 && v[3] > 1);
    }
    kiln__ranking_free(w.context, &ranking);
    kiln_context_destroy(w.context);
    null_remove(dir);
}

/* A candidate that takes its process with it, or does not come back. */
static void test_quarantine(void) {
    new_dir();
    world w = open_world("compute kernel=gemm_tile result=crash defines=KP_TM=16\n"
                         "compute kernel=gemm_tile result=hang defines=KP_TM=32\n"
                         "time kernel=gemm_tile us=50 defines=KP_WN=2\n");
    seen s = {0};
    kiln_tune_options o = options_for(&s);
    o.strategy = "random";
    o.effort = KILN_PLAN_MEASURE;
    o.budget_seconds = 60;
    o.limit_seconds = 0.3;
    s.cancel_at = 16;
    const kiln_tune_result r = tune(&w, &o, KILN_E_CANCELLED);
    CHECK(s.n_crashed > 0 && s.n_hung > 0);
    CHECK(r.n_quarantined == s.n_crashed + s.n_hung);
    CHECK(r.best_us > 0 && r.best_us <= 100);
    kiln_plan *plan;
    kiln_plan_info i = KILN_PLAN_INFO_INIT;
    REQUIRE_OK(kiln_plan_create(w.device, &w.problem, NULL, &plan));
    REQUIRE_OK(kiln_plan_get_info(plan, &i));
    CHECK(!strstr(i.config, "tm=16") && !strstr(i.config, "tm=32"));
    kiln_plan_destroy(plan);

    s = (seen){.cancel_at = 4}; /* the quarantine is on record: goes on after what was tried */
    const kiln_tune_result again = tune(&w, &o, KILN_E_CANCELLED);
    CHECK(again.n_known == 16 && again.n_measured == 4);
    kiln_context_destroy(w.context);
    null_remove(dir);
}

/* What loses the device costs a worker, not the search. */
static void test_lost(void) {
    new_dir();
    world w = open_world("fail call=kernel_create status=KILN_E_DEVICE_LOST defines=KP_TM=16\n");
    seen s = {.cancel_at = 4};
    kiln_tune_options o = options_for(&s);
    const kiln_tune_result r = tune(&w, &o, KILN_E_CANCELLED);
    CHECK(s.n == 4 && s.n_crashed == 3 && r.n_quarantined == 3 && r.best_us > 0); /* the guess, and the first of all */
    CHECK_HAS(s.last_failure, "scripted failure");
    kiln_context_destroy(w.context);
    null_remove(dir);
}

/* ---- comparisons ---- */

/* The fastest record of a problem, and how many candidates have one. */
static kiln_ranked best_record(const world *w, const kiln_problem *problem, size_t *n_rows) {
    kiln_ranking ranking;
    REQUIRE_OK(kiln__rank_records(w->device, problem, &ranking));
    REQUIRE(ranking.n_sound > 0);
    const kiln_ranked best = ranking.rows[0];
    *n_rows = ranking.n_rows;
    kiln__ranking_free(w->context, &ranking);
    return best;
}

static kiln_status count_trial(void *user, const kiln_tune_progress *p) {
    CHECK_STR(p->state, "ok");
    ++*(size_t *)user;
    return KILN_OK;
}

/* A problem that could take another's place is tried with what was best there, and timed in turns against its winner:
 * so both have times on one scale. */
static void test_comparison(bool in_process) {
    new_dir();
    world w = open_world("time kernel=gemm_tile us=40 defines=KP_WN=1\n"
                         "time kernel=gemm_tile us=30 defines=KC_K=128\n");
    kiln_tune_item items[2] = {{.problem = w.problem, .count = 3}, {.count = 2}};
    kiln_tune_options o = KILN_TUNE_OPTIONS_INIT;
    kiln_tune_result r = KILN_TUNE_RESULT_INIT, again = KILN_TUNE_RESULT_INIT;
    size_t n = 0, n_rows;
    REQUIRE_OK(kiln_problem_parse(w.context, "gemm:m=64,n=64,k=128,ep=relu", &items[1].problem));
    items[1].rival = w.problem;
    o.budget_seconds = 1.5;
    o.in_process = in_process;
    o.progress = count_trial;
    o.user = &n;
    CHECK_OK(kiln__tune_many(w.device, items, 2, &o, &r));
    CHECK(r.n_problems == 1 && r.n_measured == n);
    CHECK(r.best_us > 3 * 39 && r.best_us < 3 * 45); /* of the first alone */
    char base[KILN_MAX_BASE];
    const kiln_ranked rival = best_record(&w, &w.problem, &n_rows), best = best_record(&w, &items[1].problem, &n_rows);
    kiln__base_of_rival(&w.problem, rival.base, base);
    CHECK_STR(best.base, base);
    CHECK(best.base_us == rival.base_us);
    CHECK(n_rows == 1); /* the best of the one variant at home; nothing was searched */
    CHECK(best.median_us > 0.70 * rival.median_us && best.median_us < 0.85 * rival.median_us);
    CHECK_OK(kiln__tune_many(w.device, items, 2, &o, &again));
    CHECK(again.n_measured == 0);

    CHECK_STATUS(kiln_problem_parse(w.context, "gemm:m=64,n=64,k=256", &items[1].problem), KILN_OK);
    o.budget_seconds = 1e-6; /* no time for it, which is on record too: with as little, nothing more is tried */
    CHECK_OK(kiln__tune_many(w.device, items, 2, &o, &again));
    CHECK(again.n_measured == 0);
    o.budget_seconds = 1.5;
    CHECK_OK(kiln__tune_many(w.device, items, 2, &o, &again));
    CHECK(again.n_measured == 1);
    kiln_context_destroy(w.context);
    null_remove(dir);
}

/* Nor is there time to find what to compare with: that is on record too. */
static void test_no_rival(void) {
    new_dir();
    world w = open_world("");
    kiln_tune_item items[2] = {{.problem = w.problem, .count = 1}, {.count = 1, .rival = w.problem}};
    kiln_tune_options o = KILN_TUNE_OPTIONS_INIT;
    kiln_tune_result r = KILN_TUNE_RESULT_INIT;
    kiln_ranking ranking;
    REQUIRE_OK(kiln_problem_parse(w.context, "gemm:m=64,n=64,k=128,ep=relu", &items[1].problem));
    o.budget_seconds = 1e-6;
    o.in_process = 1;
    CHECK_OK(kiln__tune_many(w.device, items, 2, &o, &r));
    CHECK(r.n_measured == 0);
    REQUIRE_OK(kiln__rank_records(w.device, &items[1].problem, &ranking));
    CHECK(ranking.compared_seconds > 0);
    kiln__ranking_free(w.context, &ranking);
    kiln_context_destroy(w.context);
    null_remove(dir);
}

static void test_bad(void) {
    new_dir();
    world w = open_world("");
    seen s = {0};
    kiln_tune_options o = options_for(&s);
    o.variant = "nosuch";
    tune(&w, &o, KILN_E_NOT_FOUND);
    o.variant = NULL;
    o.strategy = "nosuch";
    tune(&w, &o, KILN_E_NOT_FOUND);
    CHECK_HAS(kiln_last_error(), "descent");
    o.strategy = NULL;
    o.budget_seconds = -1;
    tune(&w, &o, KILN_E_INVALID);
    o.budget_seconds = 0;
    o.effort = KILN_PLAN_CACHED_ONLY;
    tune(&w, &o, KILN_E_INVALID);
    o.effort = KILN_PLAN_MEASURE;
    o.worker = "/nonexistent/kiln-worker";
    tune(&w, &o, KILN_E_NOT_FOUND);
    CHECK_HAS(kiln_last_error(), "/nonexistent/kiln-worker");
    o.worker = "/bin/true"; /* something else than a worker */
    tune(&w, &o, KILN_E_IO);
    o.struct_size = 0;
    tune(&w, &o, KILN_E_INVALID);
    CHECK_STATUS(kiln_tune_problem(NULL, &w.problem, NULL, NULL), KILN_E_INVALID);
    CHECK(s.n == 0);
    kiln_context_destroy(w.context);
    null_remove(dir);
}

int main(void) {
    test_bad();
    test_winner(true);
    test_winner(false);
    test_resume();
    test_done();
    test_plan_effort();
    test_busy();
    test_two_modes();
    test_planted();
    test_quarantine();
    test_lost();
    test_no_rival();
    test_comparison(true);
    test_comparison(false);
    null_script_end();
    return test_end();
}
