/* kiln_bench_problem: every variant on the same seeded data, validated against `ref`, then timed eager and replayed in
 * turns, so that a drift of the machine hits both alike. */
#include "bench.h"
#include "clock.h"
#include "family.h"
#include <kiln/bench.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_SAMPLES = 512, MIN_SAMPLES = 5, POISON = 0x7fc0dead };

typedef struct {
    kiln_context *context;
    kiln_device *device;
    kiln_queue *queue;
    const kiln_problem *problem;
    kiln_bench_options options;
    kiln_buffer *buffers[KILN_MAX_OPERANDS]; /* of the operands that every variant takes */
    size_t n_shared;
    float *expected[KILN_MAX_OPERANDS]; /* what ref wrote, of each OUTPUT */
    float *got;                         /* as large as the largest operand */
    kiln_tolerance tolerance;
    double eager[MAX_SAMPLES], graph[MAX_SAMPLES];
} bench;

/* ---- data ---- */

static uint64_t next_random(uint64_t *state) { /* splitmix64 (Steele, Lea, Flood 2014) */
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

bool kiln__operand_in_halo(const kiln_operand *o, size_t index) {
    if (o->halo == 0)
        return false;
    const int64_t c = o->rank == 4 ? o->shape[3] : 1, w = o->shape[2], h = o->shape[1];
    const int64_t x = (int64_t)index / c % w, y = (int64_t)index / c / w % h;
    return x < o->halo || x >= w - o->halo || y < o->halo || y >= h - o->halo;
}

/* Uniform in [-1, 1], the halo zero; a mask is all ones. */
static void fill_data(const kiln_operand *o, uint64_t seed, float *data) {
    const size_t n = o->bytes / sizeof *data;
    uint64_t state = seed;
    const bool ones = strcmp(o->name, "mask") == 0;
    for (size_t i = 0; i < n; i++) {
        const float value = (float)(int64_t)(next_random(&state) >> 39) * 0x1p-24f - 1.0f;
        data[i] = kiln__operand_in_halo(o, i) ? 0.0f : ones ? 1.0f : value;
    }
}

static kiln_status make_data(bench *b, const kiln_plan *plan) {
    size_t largest = 1;
    for (size_t i = 0; kiln_plan_operand(plan, i); i++)
        if (kiln_plan_operand(plan, i)->bytes > largest)
            largest = kiln_plan_operand(plan, i)->bytes;
    b->got = kiln__alloc(b->context, largest);
    if (!b->got)
        return KILN_E_MEMORY;
    for (size_t i = 0; kiln_plan_operand(plan, i); i++) {
        const kiln_operand *o = kiln_plan_operand(plan, i);
        KILN_TRY(kiln_buffer_create(b->device, o->bytes, &b->buffers[i]));
        b->n_shared = i + 1;
        if (o->role == KILN_ROLE_OUTPUT) {
            b->expected[i] = kiln__alloc(b->context, o->bytes);
            if (!b->expected[i])
                return KILN_E_MEMORY;
            continue;
        }
        fill_data(o, b->options.seed + 1000 * i, b->got);
        KILN_TRY(kiln_buffer_write(b->queue, b->buffers[i], 0, b->got, o->bytes));
        KILN_TRY(kiln_queue_finish(b->queue));
    }
    return KILN_OK;
}

/* ---- running one plan ---- */

static kiln_status bind_plan(bench *b, kiln_plan *plan, kiln_binding **out) {
    kiln_view views[KILN_MAX_OPERANDS] = {{NULL, 0}};
    size_t n = 0;
    for (; kiln_plan_operand(plan, n); n++)
        if (kiln_plan_operand(plan, n)->role != KILN_ROLE_PACKED)
            views[n].buffer = b->buffers[n];
    return kiln_binding_create(plan, b->queue, views, n, (kiln_view){NULL, 0}, out);
}

static kiln_status run_poisoned(bench *b, const kiln_plan *plan, kiln_binding *binding) {
    for (size_t i = 0; i < b->n_shared; i++)
        if (kiln_plan_operand(plan, i)->role == KILN_ROLE_OUTPUT)
            KILN_TRY(kiln_buffer_fill(b->queue, b->buffers[i], 0, kiln_plan_operand(plan, i)->bytes, POISON));
    KILN_TRY(kiln_binding_run(binding));
    return kiln_queue_finish(b->queue);
}

static kiln_status read_expected(bench *b, const kiln_plan *plan, kiln_binding *binding) {
    KILN_TRY(run_poisoned(b, plan, binding));
    for (size_t i = 0; i < b->n_shared; i++)
        if (b->expected[i])
            KILN_TRY(kiln_buffer_read(b->queue, b->buffers[i], 0, b->expected[i], kiln_plan_operand(plan, i)->bytes));
    return kiln_queue_finish(b->queue);
}

static kiln_status run_reference(bench *b) {
    kiln_plan_options options = KILN_PLAN_OPTIONS_INIT;
    options.variant = "ref";
    kiln_plan *plan;
    kiln_binding *binding = NULL;
    KILN_TRY(kiln_plan_create(b->device, b->problem, &options, &plan));
    kiln_status status = make_data(b, plan);
    if (status == KILN_OK)
        status = bind_plan(b, plan, &binding);
    if (status == KILN_OK)
        status = read_expected(b, plan, binding);
    kiln_binding_destroy(binding);
    kiln_plan_destroy(plan);
    return status;
}

/* The largest difference to ref as a part of what two results, each within the tolerance, may differ by. */
static kiln_status validate(bench *b, const kiln_plan *plan, kiln_binding *binding, double *max_error) {
    *max_error = 0;
    KILN_TRY(run_poisoned(b, plan, binding));
    for (size_t i = 0; i < b->n_shared; i++) {
        const kiln_operand *o = kiln_plan_operand(plan, i);
        if (!b->expected[i])
            continue;
        KILN_TRY(kiln_buffer_read(b->queue, b->buffers[i], 0, b->got, o->bytes));
        KILN_TRY(kiln_queue_finish(b->queue));
        for (size_t k = 0; k < o->bytes / sizeof(float); k++) {
            if (kiln__operand_in_halo(o, k))
                continue;
            const double exact = b->expected[i][k], allowed = 2 * (b->tolerance.abs + b->tolerance.rel * fabs(exact));
            const double error = fabs(b->got[k] - exact) / allowed;
            if (!(error <= *max_error)) /* a NaN, too, is an error */
                *max_error = isnan(error) ? INFINITY : error;
        }
    }
    return KILN_OK;
}

/* ---- timing ---- */

static kiln_status time_runs(bench *b, kiln_binding *binding, kiln_graph *graph, unsigned n, double *us) {
    const double start = kiln__now_us();
    for (unsigned i = 0; i < n; i++)
        KILN_TRY(graph ? kiln_graph_launch(graph) : kiln_binding_run(binding));
    KILN_TRY(kiln_queue_finish(b->queue));
    *us = (kiln__now_us() - start) / n;
    return KILN_OK;
}

static kiln_status measure(bench *b, kiln_binding *binding, kiln_graph *graph, kiln_bench_row *row) {
    unsigned n = 1;
    double us;
    KILN_TRY(time_runs(b, binding, NULL, 1, &us));
    KILN_TRY(time_runs(b, binding, graph, 1, &us));
    while (us * n < 1000 && n < 1024) /* a sample is long against the clock and one enqueue */
        n *= 2;
    size_t samples = 0;
    const double start = kiln__now_us();
    while (samples < MIN_SAMPLES || (samples < MAX_SAMPLES && kiln__now_us() - start < 1e6 * b->options.min_seconds)) {
        KILN_TRY(time_runs(b, binding, NULL, n, &b->eager[samples]));
        KILN_TRY(time_runs(b, binding, graph, n, &b->graph[samples]));
        samples++;
    }
    row->n_repetitions = samples * n;
    row->eager_us = kiln__median(b->eager, samples);
    row->graph_us = kiln__median(b->graph, samples);
    return KILN_OK;
}

static kiln_status bench_plan(bench *b, kiln_plan *plan, kiln_bench_row *row) {
    kiln_binding *binding = NULL;
    kiln_graph *graph = NULL;
    kiln_status status;
    KILN_TRY_DONE(bind_plan(b, plan, &binding));
    KILN_TRY_DONE(validate(b, plan, binding, &row->max_error));
    if (row->max_error > 1) {
        status = kiln_fail(KILN_E_MISMATCH, "computes wrongly: %g times the tolerance away from ref", row->max_error);
        goto done;
    }
    KILN_TRY_DONE(kiln_graph_create(b->queue, &graph));
    KILN_TRY_DONE(kiln_graph_add(graph, binding));
    KILN_TRY_DONE(kiln_graph_end(graph));
    KILN_TRY_DONE(measure(b, binding, graph, row));
done:
    kiln_graph_destroy(graph);
    kiln_binding_destroy(binding);
    return status;
}

/* ---- all variants ---- */

static kiln_status bench_variant(bench *b, const kiln_variant *variant, kiln_bench_visit visit, void *user) {
    kiln_bench_row row = {.variant = variant->name, .config = ""};
    kiln_plan_options options = KILN_PLAN_OPTIONS_INIT;
    options.variant = variant->name;
    options.config = b->options.config;
    kiln_plan *plan = NULL;
    const double start = kiln__now_us();
    kiln_status status = kiln_plan_create(b->device, b->problem, &options, &plan);
    row.compile_ms = 1e-3 * (kiln__now_us() - start);
    kiln_plan_info info = KILN_PLAN_INFO_INIT;
    if (status == KILN_OK) {
        (void)kiln_plan_get_info(plan, &info);
        row.config = info.config;
        status = bench_plan(b, plan, &row);
    }
    char reason[KILN_MAX_ERROR_TEXT];
    if (status != KILN_OK) {
        if (status == KILN_E_DEVICE_LOST || status == KILN_E_MEMORY) {
            kiln_plan_destroy(plan);
            return status; /* nothing after this could be measured */
        }
        snprintf(reason, sizeof reason, "%s", kiln_last_error());
        row.reason = reason;
    } else {
        const double best_us = fmin(row.eager_us, row.graph_us);
        row.gflops = info.flops / best_us * 1e-3;
        row.gbytes_per_s = info.bytes / best_us * 1e-3;
    }
    status = visit(user, &row);
    kiln_plan_destroy(plan);
    return status;
}

static kiln_status bench_all(bench *b, kiln_bench_visit visit, void *user) {
    const kiln_family *family = kiln__problem_family(b->problem);
    const char *only = b->options.variant;
    if (only && !kiln__family_variant(family, only))
        return kiln_fail(KILN_E_NOT_FOUND, "family %s has no variant \"%.40s\"", family->schema.name, only);
    if (b->options.config && !only)
        return kiln_fail(KILN_E_INVALID, "a config needs the variant it is for");
    KILN_TRY(kiln_queue_create(b->device, &b->queue));
    b->tolerance = family->tolerance(b->problem);
    KILN_TRY(run_reference(b));
    for (const kiln_variant *v = family->variants; v->name; v++)
        if (!only || strcmp(only, v->name) == 0)
            KILN_TRY(bench_variant(b, v, visit, user));
    return KILN_OK;
}

kiln_status kiln_bench_problem(kiln_device *device, const kiln_problem *problem, const kiln_bench_options *options,
                               kiln_bench_visit visit, void *user) {
    if (!device || !problem || !problem->schema || !visit)
        return kiln_fail(KILN_E_INVALID, "kiln_bench_problem: NULL argument");
    if (options)
        KILN_CHECK_STRUCT(options, kiln_bench_options);
    bench *b = kiln__alloc(device->context, sizeof *b);
    if (!b)
        return KILN_E_MEMORY;
    b->context = device->context;
    b->device = device;
    b->problem = problem;
    if (options)
        memcpy(&b->options, options, options->struct_size);
    if (b->options.min_seconds <= 0)
        b->options.min_seconds = 0.2;
    if (b->options.seed == 0)
        b->options.seed = 1;
    const kiln_status status = bench_all(b, visit, user);
    for (size_t i = 0; i < b->n_shared; i++) {
        kiln_buffer_destroy(b->buffers[i]);
        kiln__free(b->context, b->expected[i]);
    }
    kiln__free(b->context, b->got);
    kiln_queue_destroy(b->queue);
    kiln__free(b->context, b);
    return status;
}
