/* The ladder of fallback and bindings, on scripted devices. */
#include "device.h"
#include "family.h"
#include "null_script.h"
#include "store.h"
#include "testing.h"

static const char *const text = "gemm:m=64,n=64,k=64,ep=relu";

/* A context over a scripted GPU, and a cache of its own. */
typedef struct {
    kiln_context *context;
    kiln_device *device;
    kiln_problem problem;
} world;

static world open_world(const char *cache_dir, kiln_mode mode, const char *script) {
    world w;
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    options.cache_dir = cache_dir;
    options.mode = mode;
    options.log_level = KILN_LOG_OFF;
    options.backends = "null";
    null_script("device name=a kind=gpu units=4 graphs=1 patch=1\ndevice name=b kind=gpu units=8\n%s", script);
    REQUIRE_OK(kiln_context_create(&options, &w.context));
    REQUIRE_OK(kiln_device_find(w.context, "null:0", &w.device));
    REQUIRE_OK(kiln_problem_parse(w.context, text, &w.problem));
    return w;
}

static kiln_counters counters(const world *w) {
    kiln_counters c = KILN_COUNTERS_INIT;
    REQUIRE_OK(kiln_context_counters(w->context, &c));
    return c;
}

static kiln_plan_info info(const kiln_plan *plan) {
    kiln_plan_info i = KILN_PLAN_INFO_INIT;
    REQUIRE_OK(kiln_plan_get_info(plan, &i));
    return i;
}

static kiln_plan *plan_of(const world *w) {
    kiln_plan *plan = NULL;
    REQUIRE_OK(kiln_plan_create(w->device, &w->problem, NULL, &plan));
    return plan;
}

static void close_world(world *w) {
    kiln_context_destroy(w->context);
}

/* ---- the ladder ---- */

static void test_guess(void) {
    world w = open_world("", KILN_MODE_DEFAULT, "");
    kiln_plan *plan = plan_of(&w);
    CHECK_STR(info(plan).source, "guess");
    CHECK_STR(info(plan).variant, "tile");
    CHECK_STR(info(plan).problem, text);
    CHECK(info(plan).flops == 2.0 * 64 * 64 * 64 && info(plan).bytes == 3.0 * 64 * 64 * 4);
    CHECK_HAS(kiln_plan_why(plan), "vec: does not apply");
    CHECK_HAS(kiln_plan_why(plan), "(guess): chosen");
    CHECK(counters(&w).plan_misses == 1 && counters(&w).plan_fallbacks == 0);
    kiln_plan_destroy(plan);
    close_world(&w);
}

static void test_fallback(void) {
    world w = open_world("", KILN_MODE_DEFAULT, "fail call=compile nth=1 status=KILN_E_COMPILE\n");
    kiln_plan *plan = plan_of(&w);
    CHECK_STR(info(plan).source, "fallback");
    CHECK_STR(info(plan).variant, "ref");
    CHECK_HAS(kiln_plan_why(plan), "ref (simpler variant): chosen");
    CHECK(counters(&w).plan_fallbacks == 1 && counters(&w).compile_failures == 1);
    kiln_plan_destroy(plan);
    close_world(&w);

    w = open_world("", KILN_MODE_DEFAULT, "fail call=compile nth=0 status=KILN_E_COMPILE\n");
    CHECK_STATUS(kiln_plan_create(w.device, &w.problem, NULL, &plan), KILN_E_COMPILE);
    CHECK_HAS(kiln_last_error(), text);
    CHECK(plan == NULL);
    close_world(&w);
}

static void test_modes(void) {
    world w = open_world("", KILN_MODE_REFERENCE, "");
    kiln_plan *plan = plan_of(&w);
    CHECK_STR(info(plan).variant, "ref");
    CHECK_STR(info(plan).source, "reference");
    kiln_plan_destroy(plan);
    close_world(&w);

    w = open_world("", KILN_MODE_STRICT, "");
    CHECK_STATUS(kiln_plan_create(w.device, &w.problem, NULL, &plan), KILN_E_NOT_FOUND);
    CHECK_HAS(kiln_last_error(), "strict mode");
    close_world(&w);
}

static void test_requests(void) {
    world w = open_world("", KILN_MODE_DEFAULT, "");
    kiln_plan_options o = KILN_PLAN_OPTIONS_INIT;
    kiln_plan *plan;
    o.variant = "ref";
    CHECK_OK(kiln_plan_create(w.device, &w.problem, &o, &plan));
    CHECK_STR(info(plan).source, "request");
    kiln_plan_destroy(plan);
    o.config = "tm=1";
    CHECK_STATUS(kiln_plan_create(w.device, &w.problem, &o, &plan), KILN_E_PARSE);
    CHECK_HAS(kiln_last_error(), "no config parameter \"tm\"");
    o.variant = NULL;
    CHECK_STATUS(kiln_plan_create(w.device, &w.problem, &o, &plan), KILN_E_INVALID);
    o.variant = "tile";
    o.config = "tm=7";
    CHECK_STATUS(kiln_plan_create(w.device, &w.problem, &o, &plan), KILN_E_PARSE);
    CHECK_HAS(kiln_last_error(), "is not one of");
    o.config = NULL;
    o.variant = "nosuch";
    CHECK_STATUS(kiln_plan_create(w.device, &w.problem, &o, &plan), KILN_E_NOT_FOUND);
    o.variant = "vec";
    CHECK_STATUS(kiln_plan_create(w.device, &w.problem, &o, &plan), KILN_E_UNSUPPORTED);
    CHECK_HAS(kiln_last_error(), "does not apply");
    o.variant = NULL;
    o.effort = KILN_PLAN_CACHED_ONLY;
    CHECK_STATUS(kiln_plan_create(w.device, &w.problem, &o, &plan), KILN_E_NOT_FOUND);
    o.effort = (kiln_effort)9;
    CHECK_STATUS(kiln_plan_create(w.device, &w.problem, &o, &plan), KILN_E_INVALID);
    o.struct_size = 0;
    CHECK_STATUS(kiln_plan_create(w.device, &w.problem, &o, &plan), KILN_E_INVALID);
    close_world(&w);
}

/* ---- records ---- */

static void append(const world *w, const char *variant, const char *config, kiln_trial_state state, double us,
                   const char *driver, int64_t time) {
    const kiln_variant *v = kiln__family_variant(kiln__problem_family(&w->problem), variant);
    const kiln_record r = {.problem = text,
                           .device = w->device->fingerprint,
                           .driver = driver ? driver : w->device->desc.driver,
                           .compiler = w->device->desc.compiler,
                           .content = v && v->source ? v->source->hash : "",
                           .variant = variant,
                           .config = config,
                           .serving = KILN_SERVING_GRAPH,
                           .state = state,
                           .reason = state == KILN_TRIAL_OK ? "" : "planted",
                           .median_us = us,
                           .min_us = us,
                           .n_repetitions = 10,
                           .time = time};
    REQUIRE_OK(kiln__store_append(w->context->store, &r));
}

static void test_records(void) {
    char dir[] = "/tmp/kiln-test-plan-XXXXXX";
    REQUIRE(mkdtemp(dir) != NULL);
    world w = open_world(dir, KILN_MODE_DEFAULT, "");
    kiln_plan *plan = plan_of(&w), *again = plan_of(&w);
    CHECK_STR(info(plan).source, "guess");
    CHECK(counters(&w).records_written == 1); /* the miss, once */
    char guess[192];
    snprintf(guess, sizeof guess, "%s", info(plan).config);
    kiln_plan_destroy(plan);
    kiln_plan_destroy(again);

    append(&w, "ref", "", KILN_TRIAL_OK, 50, NULL, 1);
    append(&w, "tile", guess, KILN_TRIAL_OK, 80, NULL, 2);
    append(&w, "alien", "x=1", KILN_TRIAL_OK, 1, NULL, 3);     /* of a later release */
    append(&w, "tile", "nosuch=1", KILN_TRIAL_OK, 2, NULL, 4); /* likewise */
    plan = plan_of(&w);
    CHECK_STR(info(plan).variant, "ref"); /* slower by nature, but the records say otherwise */
    CHECK_STR(info(plan).source, "record");
    CHECK_HAS(kiln_plan_why(plan), "winner, 50.0 us replayed");
    CHECK(counters(&w).plan_hits == 1);
    kiln_plan_destroy(plan);

    kiln_plan_options untuned = KILN_PLAN_OPTIONS_INIT; /* the guess all the same */
    untuned.effort = KILN_PLAN_UNTUNED;
    REQUIRE_OK(kiln_plan_create(w.device, &w.problem, &untuned, &plan));
    CHECK_STR(info(plan).variant, "tile");
    CHECK_STR(info(plan).config, guess);
    CHECK_STR(info(plan).source, "guess");
    CHECK(counters(&w).plan_hits == 1);
    kiln_plan_destroy(plan);

    append(&w, "ref", "", KILN_TRIAL_WRONG, 0, NULL, 5); /* the latest trial decides */
    plan = plan_of(&w);
    CHECK_STR(info(plan).variant, "tile");
    CHECK_STR(info(plan).source, "record");
    kiln_plan_destroy(plan);

    append(&w, "tile", guess, KILN_TRIAL_CRASHED, 0, NULL, 6); /* nothing sound is left: the guess is in quarantine */
    plan = plan_of(&w);
    CHECK_STR(info(plan).variant, "ref");
    CHECK_STR(info(plan).source, "fallback");
    CHECK_HAS(kiln_plan_why(plan), "in quarantine: crashed planted");
    kiln_plan_destroy(plan);
    close_world(&w);

    w = open_world(dir, KILN_MODE_STRICT, "");
    CHECK_STATUS(kiln_plan_create(w.device, &w.problem, NULL, &plan), KILN_E_NOT_FOUND);
    append(&w, "ref", "", KILN_TRIAL_OK, 40, NULL, 7);
    CHECK_OK(kiln_plan_create(w.device, &w.problem, NULL, &plan));
    kiln_plan_destroy(plan);
    close_world(&w);
    null_remove(dir);
}

static void test_stale_records(void) {
    char dir[] = "/tmp/kiln-test-plan-XXXXXX";
    REQUIRE(mkdtemp(dir) != NULL);
    world w = open_world(dir, KILN_MODE_DEFAULT, "");
    append(&w, "ref", "", KILN_TRIAL_OK, 5, "another driver", 1);
    kiln_plan *plan = plan_of(&w);
    CHECK_STR(info(plan).variant, "ref"); /* a lead, tried before the guess, and no hit */
    CHECK_STR(info(plan).source, "guess");
    CHECK_HAS(kiln_plan_why(plan), "taken as a lead");
    CHECK(counters(&w).plan_revalidations == 1 && counters(&w).plan_hits == 0);
    kiln_plan_destroy(plan);
    append(&w, "tile", "", KILN_TRIAL_OK, 9, NULL, 2); /* "" leaves every parameter at its guess */
    plan = plan_of(&w);
    CHECK_STR(info(plan).variant, "tile");
    CHECK_STR(info(plan).source, "record");
    kiln_plan_destroy(plan);
    close_world(&w);

    null_remove(dir);
}

/* The winner no longer compiles: the next best record, with the reason. */
static void test_next_best(void) {
    char dir[] = "/tmp/kiln-test-plan-XXXXXX";
    REQUIRE(mkdtemp(dir) != NULL);
    world w = open_world(dir, KILN_MODE_DEFAULT, "fail call=compile nth=1 status=KILN_E_COMPILE\n");
    append(&w, "tile", "", KILN_TRIAL_OK, 9, NULL, 1);
    append(&w, "ref", "", KILN_TRIAL_OK, 10, NULL, 2);
    kiln_plan *plan = plan_of(&w);
    CHECK_STR(info(plan).variant, "ref");
    CHECK_STR(info(plan).source, "fallback");
    CHECK_HAS(kiln_plan_why(plan), "next best record, 10.0 us replayed): chosen");
    kiln_plan_destroy(plan);
    close_world(&w);
    null_remove(dir);
}

/* ---- bindings ---- */

static void bad_binding(kiln_plan *plan, kiln_queue *queue, const kiln_view *views, size_t n, const char *part) {
    kiln_binding *binding = NULL;
    CHECK_STATUS(kiln_binding_create(plan, queue, views, n, (kiln_view){NULL, 0}, &binding), KILN_E_INVALID);
    CHECK_HAS(kiln_last_error(), part);
    CHECK(binding == NULL);
}

static void test_bindings(void) {
    world w = open_world("", KILN_MODE_DEFAULT, "");
    kiln_device *other;
    kiln_queue *queue, *far_queue;
    kiln_buffer *a, *small, *far;
    REQUIRE_OK(kiln_device_find(w.context, "null:1", &other));
    REQUIRE_OK(kiln_queue_create(w.device, &queue));
    REQUIRE_OK(kiln_queue_create(other, &far_queue));
    REQUIRE_OK(kiln_buffer_create(w.device, 3 * 64 * 64 * 4, &a));
    REQUIRE_OK(kiln_buffer_create(w.device, 64, &small));
    REQUIRE_OK(kiln_buffer_create(other, 64 * 64 * 4, &far));
    kiln_plan *plan = plan_of(&w);
    const size_t bytes = 64 * 64 * 4, n = info(plan).n_operands;
    REQUIRE(n == 3);
    kiln_view v[3] = {{a, 0}, {a, bytes}, {a, 2 * bytes}};
    kiln_binding *binding;
    CHECK_OK(kiln_binding_create(plan, queue, v, n, (kiln_view){NULL, 0}, &binding));
    CHECK_OK(kiln_binding_run(binding));
    CHECK_OK(kiln_queue_finish(queue));
    CHECK_OK(kiln_binding_patch(binding, 0, v[1]));
    CHECK_STATUS(kiln_binding_patch(binding, 3, v[1]), KILN_E_INVALID);
    CHECK_STATUS(kiln_binding_patch(binding, 0, (kiln_view){small, 0}), KILN_E_INVALID);
    bad_binding(plan, queue, v, n - 1, "2 views given for 3 operands");
    bad_binding(plan, far_queue, v, n, "the queue is of null:1");
    v[0] = (kiln_view){NULL, 0};
    bad_binding(plan, queue, v, n, "operand a has no buffer");
    v[0] = (kiln_view){far, 0};
    bad_binding(plan, queue, v, n, "operand a is on null:1");
    v[0] = (kiln_view){small, 0};
    bad_binding(plan, queue, v, n, "needs 16384 bytes, its view has 64");
    v[0] = (kiln_view){a, 4};
    bad_binding(plan, queue, v, n, "starts at byte 4");
    v[0] = (kiln_view){a, 3 * bytes};
    bad_binding(plan, queue, v, n, "has 0");
    kiln_plan_destroy(plan); /* the binding keeps it */
    CHECK_OK(kiln_binding_run(binding));
    CHECK_OK(kiln_queue_finish(queue));
    kiln_binding_destroy(binding);
    kiln_buffer_destroy(a);
    kiln_buffer_destroy(small);
    kiln_buffer_destroy(far);
    kiln_queue_destroy(queue);
    kiln_queue_destroy(far_queue);
    close_world(&w);
}

int main(void) {
    test_guess();
    test_fallback();
    test_modes();
    test_requests();
    test_records();
    test_stale_records();
    test_next_best();
    test_bindings();
    null_script_end();
    return test_end();
}
