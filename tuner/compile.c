/* kiln_compile_problem: the guess of every variant and a sample of its space, compiled and looked at. */
#include "clock.h"
#include "space.h"
#include <kiln/compile.h>
#include <string.h>

enum { MAX_DRAWS = 64 }; /* for one sample, until one turns up that was not there yet */

typedef struct {
    kiln_device *device;
    const kiln_problem *problem;
    const kiln_caps *caps;
    kiln_compile_options options;
    kiln_compile_visit visit;
    void *user;
} compiler;

/* Adds what the kernels of some steps take. */
static kiln_status add_resources(const kiln_plan *plan, const kiln_step *steps, size_t n, kiln_compile_row *row) {
    kiln_device *d = plan->device;
    for (size_t i = 0; i < n; i++) {
        if (steps[i].kind != KILN_STEP_KERNEL)
            continue;
        kiln_resources r = {0};
        if (d->backend->module_resources)
            KILN_TRY(d->backend->module_resources(d, plan->lowering.units[steps[i].kernel.unit].module->handle,
                                                  steps[i].kernel.launch.entry, &r));
        for (size_t a = 0; a < steps[i].kernel.n_args; a++)
            if (steps[i].kernel.args[a].kind == KILN_ARG_LOCAL)
                r.local_bytes += steps[i].kernel.args[a].bytes;
        row->n_kernels++;
        row->spills += r.spills;
        row->registers = r.registers > row->registers ? r.registers : row->registers;
        row->local_bytes = r.local_bytes > row->local_bytes ? r.local_bytes : row->local_bytes;
        row->private_bytes = r.private_bytes > row->private_bytes ? r.private_bytes : row->private_bytes;
    }
    return KILN_OK;
}

static uint64_t n_compiles(const compiler *c) {
    return atomic_load(&c->device->context->counters[KILN_COUNT_COMPILES]);
}

static kiln_status try_config(const compiler *c, const kiln_variant *variant, const kiln_config *config,
                              bool is_guess) {
    char text[KILN_MAX_CONFIG_TEXT];
    kiln_compile_row row = {.variant = variant->name, .config = text};
    kiln_plan_options options = KILN_PLAN_OPTIONS_INIT;
    kiln__config_print(variant, config, text, sizeof text);
    options.effort = KILN_PLAN_UNTUNED;
    options.variant = variant->name;
    options.config = text;
    kiln_plan *plan = NULL;
    const uint64_t before = n_compiles(c);
    const double start = kiln__now_us();
    kiln_status status = kiln_plan_create(c->device, c->problem, &options, &plan);
    row.ms = (kiln__now_us() - start) * 1e-3;
    row.n_compiled = (uint32_t)(n_compiles(c) - before);
    if (status == KILN_OK)
        status = add_resources(plan, plan->lowering.prepare, plan->lowering.n_prepare, &row);
    if (status == KILN_OK)
        status = add_resources(plan, plan->lowering.run, plan->lowering.n_run, &row);
    kiln_plan_destroy(plan);
    if (status != KILN_OK) {
        row.reason = kiln_last_error();
        row.is_misfit = status == KILN_E_UNSUPPORTED && !is_guess;
    }
    return c->visit(c->user, &row);
}

/* Draws a config that is none of `known`. False: the space seems to have no other. */
static bool draw(const kiln_space *space, uint64_t *random, const kiln_config *known, size_t n_known,
                 kiln_config *out) {
    for (int i = 0; i < MAX_DRAWS; i++) {
        size_t k = 0;
        if (!kiln__space_random(space, random, out))
            return false;
        while (k < n_known && !kiln__config_equal(space, &known[k], out))
            k++;
        if (k == n_known)
            return true;
    }
    return false;
}

static kiln_status compile_variant(const compiler *c, const kiln_variant *variant) {
    if (kiln__variant_reject(variant, c->problem, c->caps))
        return KILN_OK;
    const size_t n = 1 + (size_t)c->options.n_samples;
    kiln_config *configs = kiln__alloc(c->device->context, n * sizeof *configs);
    if (!configs)
        return KILN_E_MEMORY;
    const kiln_variant_space user = {variant, c->problem, c->caps};
    const kiln_space space = kiln__variant_space(&user);
    uint64_t random = c->options.seed ? c->options.seed : 1;
    kiln__variant_guess(variant, c->problem, c->caps, &configs[0]);
    kiln_status status = try_config(c, variant, &configs[0], true);
    for (size_t i = 1; i < n && status == KILN_OK && draw(&space, &random, configs, i, &configs[i]); i++)
        status = try_config(c, variant, &configs[i], false);
    kiln__free(c->device->context, configs);
    return status;
}

kiln_status kiln_compile_problem(kiln_device *device, const kiln_problem *problem, const kiln_compile_options *options,
                                 kiln_compile_visit visit, void *user) {
    if (!device || !problem || !problem->schema || !visit)
        return kiln_fail(KILN_E_INVALID, "kiln_compile_problem: NULL argument");
    compiler c = {
        .device = device, .problem = problem, .caps = kiln__device_caps(device), .visit = visit, .user = user};
    if (options) {
        KILN_CHECK_STRUCT(options, kiln_compile_options);
        memcpy(&c.options, options, options->struct_size);
    }
    const kiln_family *family = kiln__problem_family(problem);
    const char *only = c.options.variant;
    if (only && !kiln__family_variant(family, only))
        return kiln_fail(KILN_E_NOT_FOUND, "family %s has no variant \"%.40s\"", family->schema.name, only);
    for (const kiln_variant *v = family->variants; v->name; v++)
        if (!only || strcmp(only, v->name) == 0)
            KILN_TRY(compile_variant(&c, v));
    return KILN_OK;
}
