/* Tuning real kernels that are bad, on an OpenCL CPU device: faults are planted in a copy of a kernel's source under
 * some of its tuning parameters. Each is told apart, recorded, never chosen, and not run again until the source
 * changes. */
#include "device.h"
#include "planner.h"
#include "scratch.h"
#include "testing.h"
#include <kiln/tune.h>

enum { N = 2, H = 19, W = 19, C = 16, N_ELEMS = N * H * W * C };
static const char text[] = "affine:n=2,h=19,w=19,c=16,form=scale";

/* `rows` and `vw` decide: the fast ones are bad, one sound one is left alone, the others wait before they begin. The
 * kernel reads its group's number first, with its arguments in reach. */
static const char faults[] = "inline int hang(void) {\n"
                             "    volatile int go = 1;\n"
                             "    while (go)\n"
                             "        ;\n"
                             "    return 0;\n"
                             "}\n"
                             "inline int wait_first(int group) {\n"
                             "    for (volatile int i = 0; i < 400000; i++)\n"
                             "        ;\n"
                             "    return group;\n"
                             "}\n"
                             "#undef KILN_GROUP_X\n"
                             "#define GROUP ((int)get_group_id(0))\n"
                             "#if KP_ROWS == 1\n" /* crashes */
                             "#define KILN_GROUP_X() (*(volatile __global int *)64)\n"
                             "#elif KP_ROWS == 2 && KP_VW == 4\n"
                             "#define KILN_GROUP_X() hang()\n"
                             "#elif KP_ROWS == 4\n" /* writes in front of its output */
                             "#define KILN_GROUP_X() (output[-1] = 1, GROUP)\n"
                             "#elif KP_ROWS == 8\n"
                             "#define KILN_GROUP_X() (output[0] = NAN, KC_H)\n"
                             "#elif KP_ROWS == 16\n" /* does not do its work */
                             "#define KILN_GROUP_X() (output[0] = 3, KC_H)\n"
                             "#elif KP_ROWS == 32 && KP_VW == 4\n"
                             "#define KILN_GROUP_X() GROUP\n"
                             "#else\n"
                             "#define KILN_GROUP_X() wait_first(GROUP)\n"
                             "#endif\n";
static const char winner[] = "vw=4,rows=32";

static char folder[256], cache[300], kernels[300];

static void copy_source(const char *name, bool planted) {
    const char *root = getenv("KILN_SOURCE_DIR");
    char from[1024], to[1024];
    size_t bytes;
    snprintf(from, sizeof from, "%s/kernels/%s", root ? root : ".", name);
    snprintf(to, sizeof to, "%s/%s", kernels, name);
    char *source = scratch_read(from, &bytes);
    const char *body = planted ? strstr(source, "KILN_KERNEL(affine_vec") : source;
    REQUIRE(body != NULL);
    FILE *f = fopen(to, "w");
    REQUIRE(f != NULL);
    fprintf(f, "%.*s%s%s", (int)(body - source), source, planted ? faults : "", body);
    REQUIRE(fclose(f) == 0);
    free(source);
}

static void make_kernels(void) {
    char sub[310];
    snprintf(cache, sizeof cache, "%s/cache", folder);
    snprintf(kernels, sizeof kernels, "%s/kernels", folder);
    snprintf(sub, sizeof sub, "%s/affine", kernels);
    REQUIRE(mkdir(kernels, 0700) == 0 && mkdir(sub, 0700) == 0);
    copy_source("dialect.h", false);
    copy_source("epilogue.h", false);
    copy_source("affine/ref.cl", false);
    copy_source("affine/vec.cpu.cl", true);
}

typedef struct {
    kiln_context *context;
    kiln_device *device;
    kiln_problem problem;
} world;

static world open_world(void) {
    world w;
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    options.cache_dir = cache;
    options.kernel_dir = kernels;
    options.log_level = KILN_LOG_ERROR;
    options.backends = "opencl";
    REQUIRE_OK(kiln_context_create(&options, &w.context));
    if (kiln_device_find(w.context, "opencl", &w.device) != KILN_OK ||
        kiln__device_caps(w.device)->kind != KILN_DEVICE_CPU)
        SKIP("no OpenCL CPU device");
    REQUIRE_OK(kiln_problem_parse(w.context, text, &w.problem));
    return w;
}

typedef struct {
    size_t n, n_crashed, n_hung, n_wrong, n_outside, n_ok;
} seen;

static kiln_status watch(void *user, const kiln_tune_progress *p) {
    seen *s = user;
    s->n++;
    s->n_crashed += strcmp(p->state, "crashed") == 0 && strstr(p->config, "rows=1") != NULL;
    s->n_hung += strcmp(p->state, "hung") == 0 && strcmp(p->config, "vw=4,rows=2") == 0;
    s->n_outside += strcmp(p->state, "wrong") == 0 && strstr(p->config, "rows=4") && strstr(p->reason, "outside");
    s->n_wrong += strcmp(p->state, "wrong") == 0;
    s->n_ok += strcmp(p->state, "ok") == 0;
    return KILN_OK;
}

static kiln_tune_result tune(const world *w, seen *s) {
    kiln_tune_options o = KILN_TUNE_OPTIONS_INIT;
    kiln_tune_result r = KILN_TUNE_RESULT_INIT;
    o.effort = KILN_PLAN_EXHAUST;
    o.variant = "vec"; /* of a part of the space there is no record that it was searched: only candidates stop it */
    o.limit_seconds = 6;
    o.progress = watch;
    o.user = s;
    *s = (seen){0};
    CHECK_OK(kiln_tune_problem(w->device, &w->problem, &o, &r));
    CHECK(r.used_worker && r.n_measured == s->n);
    return r;
}

/* The plan that is made now, and what it computes. */
static void check_plan(const world *w, const char *config) {
    static float input[N_ELEMS], gates[N * C], output[N_ELEMS];
    kiln_plan *plan;
    kiln_plan_info info = KILN_PLAN_INFO_INIT;
    kiln_queue *queue;
    kiln_binding *binding;
    kiln_view views[3] = {0};
    REQUIRE_OK(kiln_plan_create(w->device, &w->problem, NULL, &plan));
    REQUIRE_OK(kiln_plan_get_info(plan, &info));
    CHECK_STR(info.source, "record");
    CHECK_STR(info.config, config);
    for (int i = 0; i < N_ELEMS; i++)
        input[i] = (float)(i % 13 - 6);
    for (int i = 0; i < N * C; i++)
        gates[i] = (float)(i % 5 - 2);
    REQUIRE_OK(kiln_queue_create(w->device, &queue));
    REQUIRE(info.n_operands == 3);
    for (size_t i = 0; i < 3; i++)
        REQUIRE_OK(kiln_buffer_create(w->device, kiln_plan_operand(plan, i)->bytes, &views[i].buffer));
    REQUIRE_OK(kiln_buffer_write(queue, views[0].buffer, 0, input, sizeof input));
    REQUIRE_OK(kiln_buffer_write(queue, views[1].buffer, 0, gates, sizeof gates));
    REQUIRE_OK(kiln_binding_create(plan, queue, views, 3, (kiln_view){0}, &binding));
    REQUIRE_OK(kiln_binding_run(binding));
    REQUIRE_OK(kiln_buffer_read(queue, views[2].buffer, 0, output, sizeof output));
    REQUIRE_OK(kiln_queue_finish(queue));
    int n_wrong = 0;
    for (int i = 0; i < N_ELEMS; i++)
        n_wrong += output[i] != input[i] * gates[i / (H * W * C) * C + i % C];
    CHECK(n_wrong == 0);
    kiln_binding_destroy(binding);
    for (int i = 0; i < 3; i++)
        kiln_buffer_destroy(views[i].buffer);
    kiln_queue_destroy(queue);
    kiln_plan_destroy(plan);
}

/* What the records say of the candidates with `rows`: the state and a word of the reason. */
static void check_recorded(const kiln_ranking *ranking, int32_t rows, kiln_trial_state state, const char *reason) {
    size_t n = 0;
    for (size_t i = 0; i < ranking->n_rows; i++)
        if (ranking->rows[i].config.v[1] == rows && ranking->rows[i].state == state) {
            CHECK_HAS(ranking->rows[i].reason, reason);
            n++;
        }
    CHECK(n > 0);
}

static void check_records(const world *w, const kiln_tune_result *r) {
    kiln_ranking ranking;
    REQUIRE_OK(kiln__rank_records(w->device, &w->problem, &ranking));
    CHECK(ranking.n_rows == r->n_measured);
    check_recorded(&ranking, 1, KILN_TRIAL_CRASHED, "the worker died");
    check_recorded(&ranking, 2, KILN_TRIAL_HUNG, "no result within 6 seconds");
    check_recorded(&ranking, 4, KILN_TRIAL_WRONG, "outside");
    check_recorded(&ranking, 8, KILN_TRIAL_WRONG, "nan");
    check_recorded(&ranking, 16, KILN_TRIAL_WRONG, "output");
    kiln__ranking_free(w->context, &ranking);
}

int main(void) {
    seen s;
    scratch_make(folder);
    make_kernels();
    world w = open_world();
    const kiln_tune_result first = tune(&w, &s);
    const size_t n_widths = s.n / 6; /* six values of rows, for each width of the device's vectors */
    CHECK(s.n == 6 * n_widths && s.n_crashed == n_widths && s.n_hung == 1 && s.n_outside == n_widths);
    CHECK(s.n_wrong == 3 * n_widths && s.n_ok == 2 * n_widths - 1);
    CHECK(first.n_quarantined == n_widths + 1 && first.n_wrong == s.n_wrong && first.n_failed == 0);
    check_records(&w, &first);
    check_plan(&w, winner);

    const kiln_tune_result second = tune(&w, &s); /* in quarantine: not run again */
    CHECK(second.n_measured == 0 && second.n_known == first.n_measured);
    check_plan(&w, winner);

    copy_source("affine/vec.cpu.cl", false); /* another source is another candidate */
    const kiln_tune_result repaired = tune(&w, &s);
    CHECK(repaired.n_measured == first.n_measured && s.n_ok == s.n);
    kiln_context_destroy(w.context);
    scratch_remove(folder);
    return test_end();
}
