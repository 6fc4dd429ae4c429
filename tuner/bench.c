/* kiln_bench_problem: every variant that is asked for, measured alone and in both serving modes. */
#include "measure.h"
#include <kiln/bench.h>
#include <math.h>
#include <string.h>

typedef struct {
    kiln_measurer *measurer;
    const kiln_problem *problem;
    const kiln_family *family;
    const kiln_caps *caps;
    kiln_bench_options options;
    double bytes; /* of all operands */
    kiln_bench_visit visit;
    void *user;
} bench;

static kiln_status bench_variant(bench *b, const kiln_variant *variant) {
    kiln_candidate candidate = {.variant = variant};
    kiln_trial trial = {0};
    char config[KILN_MAX_CONFIG_TEXT] = "";
    kiln_bench_row row = {.variant = variant->name, .config = config};
    row.reason = kiln__variant_reject(variant, b->problem, b->caps);
    if (!row.reason) {
        kiln__variant_guess(variant, b->problem, b->caps, &candidate.config);
        if (b->options.config)
            KILN_TRY(kiln__config_parse(variant, b->options.config, &candidate.config));
        kiln__config_print(variant, &candidate.config, config, sizeof config);
        row.reason = kiln__config_reject(variant, b->problem, b->caps, &candidate.config);
    }
    if (!row.reason) {
        KILN_TRY(kiln__measure(b->measurer, &candidate, &trial));
        row.compile_ms = trial.compile_ms;
        row.max_error = trial.max_error;
        if (trial.state != KILN_TRIAL_OK)
            row.reason = trial.reason;
    }
    if (!row.reason) {
        row.eager_us = trial.timing[KILN_SERVING_EAGER].median_us;
        row.graph_us = trial.timing[KILN_SERVING_GRAPH].median_us;
        row.n_repetitions = trial.timing[KILN_SERVING_GRAPH].n_runs;
        row.gflops = b->family->flops(b->problem) / fmin(row.eager_us, row.graph_us) * 1e-3;
        row.gbytes_per_s = b->bytes / fmin(row.eager_us, row.graph_us) * 1e-3;
    }
    return b->visit(b->user, &row);
}

static kiln_status bench_all(bench *b, kiln_device *device) {
    const char *only = b->options.variant;
    if (only && !kiln__family_variant(b->family, only))
        return kiln_fail(KILN_E_NOT_FOUND, "family %s has no variant \"%.40s\"", b->family->schema.name, only);
    if (b->options.config && !only)
        return kiln_fail(KILN_E_INVALID, "a config needs the variant it is for");
    const kiln_measure_options options = {
        .seed = b->options.seed, .min_seconds = b->options.min_seconds, .serving = {true, true}};
    KILN_TRY(kiln__measurer_create(device, b->problem, &options, &b->measurer));
    for (const kiln_variant *v = b->family->variants; v->name; v++)
        if (!only || strcmp(only, v->name) == 0)
            KILN_TRY(bench_variant(b, v));
    return KILN_OK;
}

static kiln_status count_bytes(kiln_context *context, bench *b) {
    kiln_lowering *l = kiln__alloc(context, sizeof *l);
    if (!l)
        return KILN_E_MEMORY;
    b->family->operands(b->problem, l);
    b->bytes = kiln__lowering_bytes(l);
    kiln__free(context, l);
    return KILN_OK;
}

kiln_status kiln_bench_problem(kiln_device *device, const kiln_problem *problem, const kiln_bench_options *options,
                               kiln_bench_visit visit, void *user) {
    if (!device || !problem || !problem->schema || !visit)
        return kiln_fail(KILN_E_INVALID, "kiln_bench_problem: NULL argument");
    bench b = {.problem = problem,
               .family = kiln__problem_family(problem),
               .caps = kiln__device_caps(device),
               .visit = visit,
               .user = user};
    if (options) {
        KILN_CHECK_STRUCT(options, kiln_bench_options);
        memcpy(&b.options, options, options->struct_size);
    }
    if (b.options.min_seconds <= 0)
        b.options.min_seconds = 0.2;
    if (b.options.seed == 0)
        b.options.seed = 1;
    KILN_TRY(count_bytes(device->context, &b));
    const kiln_status status = bench_all(&b, device);
    kiln__measurer_destroy(b.measurer);
    return status;
}
