/* Composite problems as chains of their parts, on scripted devices. */
#include "chain.h"
#include "device.h"
#include "embedded.h"
#include "family.h"
#include "null_script.h"
#include "scratch.h"
#include "testing.h"

static const char *const text = "se_block:n=2,h=9,w=9,c=64,r=16,form=scale_shift,mask=1,ep=res+relu";

typedef struct {
    kiln_context *context;
    kiln_device *device;
    kiln_problem problem;
} world;

static world open_world(kiln_mode mode, const char *device, const char *script) {
    world w;
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    options.mode = mode;
    options.log_level = KILN_LOG_OFF;
    options.backends = "null";
    null_script("device name=a units=4 %s\n%s", device, script);
    REQUIRE_OK(kiln_context_create(&options, &w.context));
    REQUIRE_OK(kiln_device_find(w.context, "null:0", &w.device));
    REQUIRE_OK(kiln_problem_parse(w.context, text, &w.problem));
    return w;
}

static kiln_status plan_as(const world *w, const char *variant, kiln_plan **out) {
    kiln_plan_options options = KILN_PLAN_OPTIONS_INIT;
    options.variant = variant;
    return kiln_plan_create(w->device, &w->problem, &options, out);
}

static const kiln_step *find_step(const kiln_plan *plan, const char *entry) {
    for (size_t i = 0; i < plan->lowering.n_run; i++)
        if (strcmp(plan->lowering.run[i].kernel.launch.entry, entry) == 0)
            return &plan->lowering.run[i];
    return NULL;
}

/* Every argument is inside of what it points at. */
static void check_arguments(const kiln_lowering *l, const kiln_step *steps, size_t n) {
    for (size_t i = 0; i < n; i++) {
        CHECK(steps[i].kernel.unit < l->n_units);
        for (size_t a = 0; a < steps[i].kernel.n_args; a++) {
            const kiln_arg *arg = &steps[i].kernel.args[a];
            CHECK(arg->kind != KILN_ARG_OPERAND || arg->operand < l->n_operands);
            CHECK(arg->kind != KILN_ARG_WORKSPACE || arg->offset_bytes < l->workspace_bytes);
        }
    }
}

static void test_parts(void) {
    world w = open_world(KILN_MODE_DEFAULT, "kind=gpu", "");
    kiln_plan *plan;
    REQUIRE_OK(plan_as(&w, "chain", &plan));
    const kiln_lowering *l = &plan->lowering;
    CHECK(l->n_run == 4);
    CHECK_STR(l->run[0].kernel.launch.entry, "global_pool_ref");
    CHECK_STR(l->run[1].kernel.launch.entry, "gemm_tile");
    CHECK_STR(l->run[3].kernel.launch.entry, "affine_ref");
    check_arguments(l, l->run, l->n_run);
    /* what one part writes the next one reads */
    const kiln_arg *mean = &l->run[0].kernel.args[2], *a = &l->run[1].kernel.args[0];
    CHECK(mean->kind == KILN_ARG_WORKSPACE && a->kind == KILN_ARG_WORKSPACE && mean->offset_bytes == a->offset_bytes);
    /* the operands of the whole under their own names */
    CHECK(l->run[0].kernel.args[1].operand == (uint32_t)kiln_plan_operand_index(plan, "mask"));
    CHECK(l->run[1].kernel.args[1].operand == (uint32_t)kiln_plan_operand_index(plan, "w1"));
    CHECK(l->run[2].kernel.args[1].operand == (uint32_t)kiln_plan_operand_index(plan, "w2"));
    CHECK_HAS(kiln_plan_why(plan), "chain (request): chosen\n  part global_pool:n=2,h=9,w=9,c=64,form=mean,mask=1\n");
    CHECK_HAS(kiln_plan_why(plan), "  part gemm:m=2,n=128,k=16,ep=bias\n");
    CHECK_HAS(kiln_plan_why(plan), "form=scale_shift,gate=sigmoid,ep=res+relu\n");
    kiln_plan_destroy(plan);
    kiln_context_destroy(w.context);
}

/* Both products pack their weights, under names of their own; the programs that they share are there once. */
static void test_packed(void) {
    world w = open_world(KILN_MODE_DEFAULT, "kind=cpu vector=8", "");
    kiln_plan *plan;
    REQUIRE_OK(plan_as(&w, "chain", &plan));
    const kiln_lowering *l = &plan->lowering;
    const int first = kiln_plan_operand_index(plan, "packed.0"), second = kiln_plan_operand_index(plan, "packed.1");
    REQUIRE(first >= 0 && second >= 0);
    CHECK(kiln_plan_operand_index(plan, "packed.2") < 0 && l->n_prepare == 2);
    CHECK(l->prepare[0].kernel.args[0].operand == (uint32_t)kiln_plan_operand_index(plan, "w1"));
    CHECK(l->prepare[0].kernel.args[1].operand == (uint32_t)first);
    CHECK(l->prepare[1].kernel.args[1].operand == (uint32_t)second);
    check_arguments(l, l->prepare, l->n_prepare);
    check_arguments(l, l->run, l->n_run);
    for (size_t i = 0; i < l->n_units; i++)
        for (size_t k = 0; k < i; k++)
            CHECK(l->units[i].source != l->units[k].source || strcmp(l->units[i].defines, l->units[k].defines) != 0);
    kiln_plan_destroy(plan);
    kiln_context_destroy(w.context);
}

static void test_reference(void) {
    world w = open_world(KILN_MODE_REFERENCE, "kind=cpu vector=8", "");
    kiln_plan *plan;
    REQUIRE_OK(kiln_plan_create(w.device, &w.problem, NULL, &plan));
    CHECK(find_step(plan, "global_pool_ref") && find_step(plan, "gemm_ref") && find_step(plan, "affine_ref"));
    CHECK(plan->lowering.n_prepare == 0);
    kiln_plan_destroy(plan);
    kiln_context_destroy(w.context);
}

/* A part that fails everywhere takes the chain with it, and leaves nothing behind. */
static void test_failing_part(void) {
    world w =
        open_world(KILN_MODE_DEFAULT, "kind=gpu", "fail call=compile nth=0 source=affine status=KILN_E_COMPILE\n");
    kiln_plan *plan;
    CHECK_STATUS(plan_as(&w, "chain", &plan), KILN_E_COMPILE);
    CHECK_HAS(kiln_last_error(), "affine:");
    CHECK(atomic_load(&w.context->live_objects) == 0);
    REQUIRE_OK(kiln_plan_create(w.device, &w.problem, NULL, &plan)); /* the fused kernel does without it */
    kiln_plan_destroy(plan);
    kiln_context_destroy(w.context);
}

/* Nothing but records in strict mode: the parts need them as well. */
static void test_strict(void) {
    world w = open_world(KILN_MODE_STRICT, "kind=gpu", "");
    kiln_plan *plan;
    CHECK_STATUS(plan_as(&w, "chain", &plan), KILN_E_NOT_FOUND);
    CHECK(atomic_load(&w.context->live_objects) == 0);
    kiln_context_destroy(w.context);
}

/* ---- records of chains ---- */

static void record(const world *w, const char *problem, const char *variant, const char *config, const char *content,
                   double us) {
    const kiln_record r = {.problem = problem,
                           .device = w->device->fingerprint,
                           .driver = w->device->desc.driver,
                           .compiler = w->device->desc.compiler,
                           .content = content,
                           .variant = variant,
                           .config = config,
                           .serving = KILN_SERVING_GRAPH,
                           .reason = "",
                           .median_us = us,
                           .time = 1};
    REQUIRE_OK(kiln__store_append(w->context->store, &r));
}

static void check_chain(const world *w, bool stale) {
    kiln_ranking ranking;
    REQUIRE_OK(kiln__rank_records(w->device, &w->problem, &ranking));
    CHECK(ranking.n_sound == !stale && ranking.n_stale == stale);
    kiln__ranking_free(w->context, &ranking);
}

/* A chain's record is of the parts it ran: another winner of a part, or another source of one, makes it a lead. */
static void test_records(void) {
    static const char part[] = "gemm:m=2,n=128,k=16,ep=bias";
    char dir[256], kernels[300], path[400], content[33], gemm[33];
    scratch_make(dir);
    snprintf(kernels, sizeof kernels, "%s/kernels", dir);
    REQUIRE(mkdir(kernels, 0700) == 0);
    REQUIRE_OK(kiln_kernels_write(kernels));
    setenv("KILN_CACHE_DIR", dir, 1);
    setenv("KILN_KERNEL_DIR", kernels, 1);
    world w = open_world(KILN_MODE_DEFAULT, "kind=gpu", "");
    const kiln_candidate chain = {.variant = kiln__family_variant(kiln__problem_family(&w.problem), "chain")};
    REQUIRE_OK(kiln__candidate_content(w.device, &w.problem, &chain, content));
    record(&w, text, "chain", "", content, 40);
    check_chain(&w, false);

    snprintf(path, sizeof path, "%s/gemm/tile.cl", kernels);
    kiln__jit_source_hash(w.context, &kiln__embed_gemm_tile_cl, gemm);
    record(&w, part, "tile", "tm=16,tn=32", gemm, 5); /* a winner that is not the guess */
    check_chain(&w, true);
    REQUIRE_OK(kiln__candidate_content(w.device, &w.problem, &chain, content));
    record(&w, text, "chain", "", content, 39);
    check_chain(&w, false);

    FILE *f = fopen(path, "a");
    REQUIRE(f != NULL);
    REQUIRE(fputs("/* changed */\n", f) >= 0 && fclose(f) == 0);
    check_chain(&w, true);
    kiln_context_destroy(w.context);
    unsetenv("KILN_KERNEL_DIR");
    setenv("KILN_CACHE_DIR", "", 1);
    scratch_remove(dir);
}

/* What does not fit a plan is said, not asserted. */
static void test_too_large(void) {
    world w = open_world(KILN_MODE_DEFAULT, "kind=gpu", "");
    static kiln_lowering l;
    kiln_chain chain = {0};
    memset(&l, 0, sizeof l);
    kiln__problem_family(&w.problem)->operands(&w.problem, &l);
    kiln_part *part = kiln__lower_part(&l, NULL, "gemm:m=2,n=16,k=64");
    kiln__part_workspace(part, "a", kiln__lower_scratch(&l, 2 * 64 * sizeof(float)));
    kiln__part_operand(part, "b", (uint32_t)kiln__lower_find(&l, "w1"));
    CHECK_STATUS(kiln__chain_expand(w.device, KILN_PLAN_GUESS, &l, &chain), KILN_E_INTERNAL);
    CHECK_HAS(kiln_last_error(), "operand c");
    kiln__chain_close(&chain);

    l.n_run = KILN_MAX_STEPS;
    kiln__part_workspace(part, "c", kiln__lower_scratch(&l, 2 * 16 * sizeof(float)));
    CHECK_STATUS(kiln__chain_expand(w.device, KILN_PLAN_GUESS, &l, &chain), KILN_E_UNSUPPORTED);
    CHECK_HAS(kiln_last_error(), "too many steps");
    kiln__chain_close(&chain);
    kiln_context_destroy(w.context);
}

int main(void) {
    setenv("KILN_CACHE_DIR", "", 1);
    test_parts();
    test_packed();
    test_reference();
    test_failing_part();
    test_strict();
    test_too_large();
    test_records();
    null_script_end();
    return test_end();
}
