/* Tuning a composite, on a scripted device: its chain is tried with the winners of its parts, which are searched where
 * it may win, and not where it is hopeless. */
#include "device.h"
#include "null_script.h"
#include "planner.h"
#include "testing.h"
#include <kiln/tune.h>

static const char text[] = "se_block:n=2,h=9,w=9,c=64,r=16,form=scale";
static const char products[] = "device name=a kind=gpu units=4 graphs=1 patch=1\n"
                               "compute result=zeros\n"
                               "time call=kernel us=5\n"
                               "time kernel=gemm_tile us=30\n" /* as guessed the chain takes 64 us, replayed, else 14 */
                               "time kernel=gemm_tile us=5 defines=KP_WN=1\n";

typedef struct {
    char dir[64];
    kiln_context *context;
    kiln_device *device;
    kiln_problem problem;
} world;

static void open_world(world *w, const char *script) {
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    if (!w->dir[0]) {
        strcpy(w->dir, "/tmp/kiln-test-chain-XXXXXX");
        REQUIRE(mkdtemp(w->dir) != NULL);
    }
    options.cache_dir = w->dir;
    options.log_level = KILN_LOG_ERROR;
    options.backends = "null";
    null_script("%s%s", products, script);
    REQUIRE_OK(kiln_context_create(&options, &w->context));
    REQUIRE_OK(kiln_device_find(w->context, "null:0", &w->device));
    REQUIRE_OK(kiln_problem_parse(w->context, text, &w->problem));
}

typedef struct {
    size_t n_chain, n_parts;
} seen;

static kiln_status watch(void *user, const kiln_tune_progress *p) {
    seen *s = user;
    s->n_chain += strcmp(p->variant, "chain") == 0;
    s->n_parts += strcmp(p->problem, text) != 0;
    return KILN_OK;
}

static kiln_tune_result tune(const world *w, const char *variant, double budget_seconds, seen *s) {
    kiln_tune_options o = KILN_TUNE_OPTIONS_INIT;
    kiln_tune_result r = KILN_TUNE_RESULT_INIT;
    o.budget_seconds = budget_seconds;
    o.variant = variant;
    o.in_process = 1;
    o.progress = watch;
    o.user = s;
    *s = (seen){0};
    CHECK_OK(kiln_tune_problem(w->device, &w->problem, &o, &r));
    return r;
}

static void check_winner(const world *w, const char *variant, double least_us, double most_us) {
    kiln_plan *plan;
    kiln_plan_info info = KILN_PLAN_INFO_INIT;
    kiln_ranking ranking;
    REQUIRE_OK(kiln__rank_records(w->device, &w->problem, &ranking));
    REQUIRE(ranking.n_sound > 0);
    CHECK_STR(ranking.rows[0].variant->name, variant);
    CHECK(ranking.rows[0].median_us >= least_us && ranking.rows[0].median_us <= most_us);
    CHECK(ranking.n_stale == 0); /* no record is of parts that have changed since */
    kiln__ranking_free(w->context, &ranking);
    REQUIRE_OK(kiln_plan_create(w->device, &w->problem, NULL, &plan));
    REQUIRE_OK(kiln_plan_get_info(plan, &info));
    CHECK_STR(info.variant, variant);
    if (strcmp(variant, "chain") == 0)
        CHECK_HAS(kiln_plan_why(plan), "wn=1");
    kiln_plan_destroy(plan);
}

static void test_parts_win(void) {
    world w = {.dir = ""};
    seen s;
    open_world(&w, "time kernel=se_block_fused_group us=50\n");
    kiln_tune_result r = tune(&w, NULL, 2, &s);
    CHECK(s.n_chain >= 2 && s.n_parts > 4); /* before its parts, and after */
    CHECK(r.n_problems == 5);
    check_winner(&w, "chain", 13, 15);

    r = tune(&w, NULL, 2, &s); /* all of it is on record */
    CHECK(r.n_measured == 0 && r.best_us >= 13 && r.best_us <= 15);
    kiln_context_destroy(w.context);
    null_remove(w.dir);
}

static void test_hopeless(void) {
    world w = {.dir = ""};
    seen s;
    open_world(&w, "time kernel=se_block_fused_group us=10\n");
    const kiln_tune_result r = tune(&w, NULL, 2, &s);
    CHECK(s.n_chain == 1 && s.n_parts == 0 && r.n_problems == 1);
    check_winner(&w, "fused_group", 8, 12);
    kiln_context_destroy(w.context);
    null_remove(w.dir);
}

/* A part is tuned by itself later: the chain is tried again, and the fused ones are known. */
static void test_later(void) {
    world w = {.dir = ""};
    seen s;
    open_world(&w, "time kernel=se_block_fused_group us=25\n");
    tune(&w, NULL, 2, &s);
    check_winner(&w, "fused_group", 20, 30);
    kiln_problem part, whole = w.problem;
    for (int i = 0; i < 2; i++) {
        REQUIRE_OK(
            kiln_problem_parse(w.context, i ? "gemm:m=2,n=64,k=16,ep=bias" : "gemm:m=2,n=16,k=64,ep=bias+relu", &part));
        w.problem = part;
        tune(&w, NULL, 2, &s);
    }
    w.problem = whole;
    const kiln_tune_result r = tune(&w, NULL, 2, &s);
    CHECK(s.n_chain == 1 && r.n_known > 0);
    check_winner(&w, "chain", 13, 15);
    kiln_context_destroy(w.context);
    null_remove(w.dir);
}

int main(void) {
    test_parts_win();
    test_hopeless();
    test_later();
    null_script_end();
    return test_end();
}
