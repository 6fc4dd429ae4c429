#include "measure.h"
#include "clock.h"
#include "operand_data.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { N_SETS = 2, GUARD_BYTES = 4096, MAX_SAMPLES = 256, MIN_SAMPLES = 5 };
/* NaNs that no computation gives, in f32, f16 and bf16. */
static const uint32_t POISON = 0x7fdb7fdb, GUARD = 0x7fe57fe5;
static const double hopeless = 4.0; /* one sample is enough to leave a candidate this many times slower than the drop */

/* A buffer between two guard bands. */
typedef struct {
    kiln_buffer *buffer;
    size_t bytes;
} guarded;

/* A plan ready to run on the float set. */
typedef struct {
    kiln_plan *plan;
    kiln_binding *bindings[N_SETS];
    kiln_graph *graph;                            /* of the float set */
    guarded packed[KILN_MAX_OPERANDS], workspace; /* the packed weights are those of the set prepared last */
} runner;

struct kiln_measurer {
    kiln_context *context;
    kiln_device *device;
    kiln_queue *queue;
    kiln_problem problem;
    const kiln_family *family;
    kiln_measure_options options;
    kiln_tolerance tolerance;
    kiln_operand operands[KILN_MAX_OPERANDS]; /* that every variant takes */
    size_t n_operands;
    guarded buffers[N_SETS][KILN_MAX_OPERANDS];
    void *data[N_SETS][KILN_MAX_OPERANDS]; /* what inputs hold, and what ref made of the outputs */
    void *got, *again;                     /* as large as the largest operand */
    runner champion;
    kiln_measurer *rival;           /* the data of a champion of another problem, on this queue */
    void *events[2];                /* of the device's clock, or NULL */
    double samples[4][MAX_SAMPLES]; /* candidate and champion, each eager and replayed */
};

/* ---- guarded buffers ---- */

static size_t whole_words(size_t bytes) {
    return (bytes + 3) / 4 * 4;
}

static kiln_status make_guarded(kiln_measurer *m, size_t bytes, guarded *out) {
    const size_t whole = whole_words(bytes);
    KILN_TRY(kiln_buffer_create(m->device, whole + 2 * GUARD_BYTES, &out->buffer));
    out->bytes = bytes;
    return kiln_buffer_fill(m->queue, out->buffer, 0, whole + 2 * GUARD_BYTES, GUARD);
}

static kiln_view view_of(const guarded *g) {
    return (kiln_view){g->buffer, g->buffer ? GUARD_BYTES : 0};
}

/* Whether what lies between the last byte and the next whole word is as it was: the guard's, or the poison's. */
static bool is_untouched(const unsigned char *word, size_t n_used) {
    return memcmp(word + n_used, (const char *)&GUARD + n_used, sizeof GUARD - n_used) == 0 ||
           memcmp(word + n_used, (const char *)&POISON + n_used, sizeof POISON - n_used) == 0;
}

static kiln_status check_guard(kiln_measurer *m, const guarded *g, const char *name) {
    uint32_t words[2][GUARD_BYTES / 4], last = GUARD;
    if (!g->buffer)
        return KILN_OK;
    const size_t whole = whole_words(g->bytes), n_used = g->bytes % 4;
    if (n_used)
        KILN_TRY(kiln_buffer_read(m->queue, g->buffer, GUARD_BYTES + whole - 4, &last, sizeof last));
    KILN_TRY(kiln_buffer_read(m->queue, g->buffer, 0, words[0], GUARD_BYTES));
    KILN_TRY(kiln_buffer_read(m->queue, g->buffer, GUARD_BYTES + whole, words[1], GUARD_BYTES));
    KILN_TRY(kiln_queue_finish(m->queue));
    if (n_used && !is_untouched((const unsigned char *)&last, n_used))
        return kiln_fail(KILN_E_MISMATCH, "writes outside: just after operand %s", name);
    for (size_t side = 0; side < 2; side++)
        for (size_t i = 0; i < GUARD_BYTES / 4; i++)
            if (words[side][i] != GUARD)
                return kiln_fail(KILN_E_MISMATCH, "writes outside: %zu bytes %s operand %s",
                                 side ? 4 * i : GUARD_BYTES - 4 * i, side ? "after" : "before", name);
    return KILN_OK;
}

/* ---- runners ---- */

static void close_runner(runner *r) {
    kiln_graph_destroy(r->graph);
    for (int s = 0; s < N_SETS; s++)
        kiln_binding_destroy(r->bindings[s]);
    kiln_plan_destroy(r->plan);
    for (size_t i = 0; i < KILN_MAX_OPERANDS; i++)
        kiln_buffer_destroy(r->packed[i].buffer);
    kiln_buffer_destroy(r->workspace.buffer);
    *r = (runner){0};
}

static kiln_status bind(kiln_measurer *m, runner *r, int set) {
    const kiln_lowering *l = &r->plan->lowering;
    kiln_view views[KILN_MAX_OPERANDS];
    for (size_t i = 0; i < l->n_operands; i++)
        views[i] = view_of(l->operands[i].role == KILN_ROLE_PACKED ? &r->packed[i] : &m->buffers[set][i]);
    return kiln_binding_create(r->plan, m->queue, views, l->n_operands, view_of(&r->workspace), &r->bindings[set]);
}

static kiln_status open_runner(kiln_measurer *m, const kiln_candidate *c, runner *r) {
    char config[KILN_MAX_CONFIG_TEXT];
    kiln__config_print(c->variant, &c->config, config, sizeof config);
    kiln_plan_options options = KILN_PLAN_OPTIONS_INIT;
    options.variant = c->variant->name;
    options.config = config;
    KILN_TRY(kiln_plan_create(m->device, &m->problem, &options, &r->plan));
    const kiln_lowering *l = &r->plan->lowering;
    for (size_t i = 0; i < l->n_operands; i++)
        if (l->operands[i].role == KILN_ROLE_PACKED)
            KILN_TRY(make_guarded(m, l->operands[i].bytes, &r->packed[i]));
    if (l->workspace_bytes)
        KILN_TRY(make_guarded(m, l->workspace_bytes, &r->workspace));
    for (int set = 0; set < N_SETS; set++)
        KILN_TRY(bind(m, r, set));
    KILN_TRY(kiln_graph_create(m->queue, &r->graph));
    KILN_TRY(kiln_graph_add(r->graph, r->bindings[1]));
    return kiln_graph_end(r->graph);
}

/* ---- validation ---- */

static kiln_status run_poisoned(kiln_measurer *m, const runner *r, int set) {
    for (size_t i = 0; i < m->n_operands; i++)
        if (m->operands[i].role == KILN_ROLE_OUTPUT)
            KILN_TRY(kiln_buffer_fill(m->queue, m->buffers[set][i].buffer, GUARD_BYTES,
                                      whole_words(m->operands[i].bytes), POISON));
    KILN_TRY(kiln_binding_run(r->bindings[set]));
    return kiln_queue_finish(m->queue);
}

static kiln_status read_operand(kiln_measurer *m, int set, size_t i, void *to) {
    KILN_TRY(kiln_buffer_read(m->queue, m->buffers[set][i].buffer, GUARD_BYTES, to, m->operands[i].bytes));
    return kiln_queue_finish(m->queue);
}

/* Whether an element of m->got is as the poison left it. */
static bool is_poison(const kiln_measurer *m, const kiln_operand *o, size_t index) {
    const size_t bytes = kiln_type_bytes(o->type);
    return memcmp((const char *)m->got + index * bytes, &POISON, bytes) == 0;
}

/* Compares m->got with what ref made of an output. */
static kiln_status compare(const kiln_measurer *m, const kiln_variant *v, int set, size_t i, double *max_error) {
    const kiln_operand *o = &m->operands[i];
    const bool exact = set == 0 && v->error_factor == 0 && m->family->is_exact && m->family->is_exact(&m->problem);
    const double factor = 2 * (v->error_factor > 1 ? v->error_factor : 1); /* both may be off by the tolerance */
    for (size_t k = 0; k < o->bytes / kiln_type_bytes(o->type); k++) {
        const double want = kiln__operand_value(o, m->data[set][i], k), got = kiln__operand_value(o, m->got, k);
        if (kiln__operand_in_halo(o, k)) {
            if (!is_poison(m, o, k))
                return kiln_fail(KILN_E_MISMATCH, "writes outside: the halo of %s, element %zu", o->name, k);
            continue;
        }
        const double allowed = factor * (m->tolerance.abs + m->tolerance.rel * fabs(want));
        const double error = got == want ? 0 : exact ? INFINITY : fabs(got - want) / allowed;
        if (error <= *max_error) /* false for a NaN */
            continue;
        *max_error = isnan(error) ? INFINITY : error;
        if (*max_error > 1 && is_poison(m, o, k))
            return kiln_fail(KILN_E_MISMATCH, "does not write %s, element %zu", o->name, k);
        if (*max_error > 1)
            return kiln_fail(KILN_E_MISMATCH, "computes wrongly: %s[%zu] is %.9g, ref has %.9g (%s)", o->name, k, got,
                             want,
                             exact ? "small integers: must be exact"
                             : set ? "floats"
                                   : "small integers");
    }
    return KILN_OK;
}

static kiln_status check_operands(kiln_measurer *m, const runner *r, const kiln_variant *v, int set,
                                  double *max_error) {
    for (size_t i = 0; i < m->n_operands; i++) {
        KILN_TRY(check_guard(m, &m->buffers[set][i], m->operands[i].name));
        KILN_TRY(read_operand(m, set, i, m->got));
        if (m->operands[i].role == KILN_ROLE_OUTPUT)
            KILN_TRY(compare(m, v, set, i, max_error));
        else if (memcmp(m->got, m->data[set][i], m->operands[i].bytes) != 0)
            return kiln_fail(KILN_E_MISMATCH, "writes to its input %s", m->operands[i].name);
    }
    for (size_t i = 0; i < KILN_MAX_OPERANDS; i++)
        KILN_TRY(check_guard(m, &r->packed[i], "packed"));
    return check_guard(m, &r->workspace, "workspace");
}

/* The same bits again: what differs between two runs is a race. */
static kiln_status check_repeats(kiln_measurer *m, const runner *r) {
    for (size_t i = 0; i < m->n_operands; i++) {
        if (m->operands[i].role != KILN_ROLE_OUTPUT)
            continue;
        KILN_TRY(read_operand(m, 1, i, m->again));
        KILN_TRY(run_poisoned(m, r, 1));
        KILN_TRY(read_operand(m, 1, i, m->got));
        if (memcmp(m->got, m->again, m->operands[i].bytes) != 0)
            return kiln_fail(KILN_E_MISMATCH, "gives other bits for %s when run again", m->operands[i].name);
    }
    return KILN_OK;
}

static kiln_status validate(kiln_measurer *m, const runner *r, const kiln_variant *v, double *max_error) {
    *max_error = 0;
    for (int set = 0; set < N_SETS; set++) {
        KILN_TRY(kiln_binding_prepare(r->bindings[set]));
        KILN_TRY(run_poisoned(m, r, set));
        KILN_TRY(check_operands(m, r, v, set, max_error));
    }
    return check_repeats(m, r);
}

/* ---- timing ---- */

/* One stream of samples. */
typedef struct {
    const runner *runner;
    bool replayed;
    double *samples;
} sampled;

static kiln_status run_many(const sampled *s, unsigned n_runs) {
    for (unsigned i = 0; i < n_runs; i++)
        KILN_TRY(s->replayed ? kiln_graph_launch(s->runner->graph) : kiln_binding_run(s->runner->bindings[1]));
    return KILN_OK;
}

/* By the device's clock where there is one. On a CPU device launching is part of the work, so the host's is right. */
static kiln_status sample(kiln_measurer *m, const sampled *s, unsigned n_runs, double *us) {
    const kiln_backend *b = m->device->backend;
    if (!m->events[0]) {
        const double start = kiln__now_us();
        KILN_TRY(run_many(s, n_runs));
        KILN_TRY(kiln_queue_finish(m->queue));
        *us = (kiln__now_us() - start) / n_runs;
        return KILN_OK;
    }
    KILN_TRY(b->event_record(m->device, m->queue->handle, m->events[0]));
    KILN_TRY(run_many(s, n_runs));
    KILN_TRY(b->event_record(m->device, m->queue->handle, m->events[1]));
    KILN_TRY(kiln_queue_finish(m->queue));
    KILN_TRY(b->event_elapsed_us(m->device, m->events[0], m->events[1], us));
    *us /= n_runs;
    return KILN_OK;
}

static kiln_timing summarize(double *samples, size_t n, unsigned n_runs) {
    const double median = kiln__median(samples, n); /* sorts */
    return (kiln_timing){median, samples[0], 0.5 * (samples[3 * (n - 1) / 4] - samples[(n - 1) / 4]),
                         (uint32_t)(n * n_runs)};
}

/* The median of what neighbouring samples are to each other: what disturbs the machine disturbs both. */
static double paired_ratio(const double *candidate, const double *champion, size_t n) {
    double ratios[MAX_SAMPLES];
    for (size_t i = 0; i < n; i++)
        ratios[i] = candidate[i] / champion[i];
    return kiln__median(ratios, n);
}

/* Whether the candidate's first stream is so far behind the champion's that more samples are wasted. */
static bool is_loser(const kiln_measurer *m, const sampled *streams, size_t n_streams, size_t n) {
    if (m->options.drop_ratio <= 0 || n_streams < 2 || streams[1].runner != &m->champion)
        return false;
    const double ratio = paired_ratio(streams[0].samples, streams[1].samples, n);
    return ratio > m->options.drop_ratio * (n < 3 ? hopeless : 1);
}

static kiln_status time_streams(kiln_measurer *m, const sampled *streams, size_t n_streams, size_t *n_samples,
                                unsigned *n_runs, bool *dropped) {
    double us = 0, first = 0;
    const double warm = kiln__now_us();
    for (size_t s = 0; s < n_streams; s++) { /* warm-up, and how long a run takes */
        KILN_TRY(sample(m, &streams[s], 1, &us));
        KILN_TRY(sample(m, &streams[s], 1, &us));
        first = s == 0 || us < first ? us : first;
    }
    /* A simulated device's clock may run far behind ours: what somebody waits for is bounded by ours. */
    const double start = kiln__now_us(), run_us = (start - warm) / (double)(2 * n_streams);
    *n_runs = 1;
    while (first * *n_runs < 500 && run_us * *n_runs < 10000 && *n_runs < 256) /* long against clock and enqueueing */
        *n_runs *= 2;
    size_t n = 0;
    *dropped = false;
    while (n < MAX_SAMPLES && !*dropped && (n < MIN_SAMPLES || kiln__now_us() - start < 1e6 * m->options.min_seconds)) {
        for (size_t s = 0; s < n_streams; s++)
            KILN_TRY(sample(m, &streams[s], *n_runs, &streams[s].samples[n]));
        n++;
        *dropped = is_loser(m, streams, n_streams, n);
    }
    *n_samples = n;
    return KILN_OK;
}

static kiln_status time_runner(kiln_measurer *m, const runner *r, kiln_trial *out) {
    sampled streams[4];
    size_t n_streams = 0, n = 0;
    unsigned n_runs = 1;
    for (int serving = 1; serving >= 0; serving--) { /* candidate and champion next to each other */
        if (!m->options.serving[serving])
            continue;
        streams[n_streams] = (sampled){r, serving == KILN_SERVING_GRAPH, m->samples[n_streams]};
        n_streams++;
        if (m->champion.plan) {
            streams[n_streams] = (sampled){&m->champion, serving == KILN_SERVING_GRAPH, m->samples[n_streams]};
            n_streams++;
        }
    }
    KILN_TRY(time_streams(m, streams, n_streams, &n, &n_runs, &out->dropped));
    for (size_t s = 0; s < n_streams; s++) {
        if (streams[s].runner == &m->champion)
            continue;
        const int serving = streams[s].replayed ? KILN_SERVING_GRAPH : KILN_SERVING_EAGER;
        if (m->champion.plan)
            out->ratio[serving] = paired_ratio(streams[s].samples, streams[s + 1].samples, n);
        out->timing[serving] = summarize(streams[s].samples, n, n_runs);
    }
    return KILN_OK;
}

/* ---- a candidate ---- */

/* What a bad candidate may have written over: guard bands and inputs. */
static kiln_status restore(kiln_measurer *m) {
    for (int set = 0; set < N_SETS; set++)
        for (size_t i = 0; i < m->n_operands; i++) {
            const guarded *g = &m->buffers[set][i];
            KILN_TRY(kiln_buffer_fill(m->queue, g->buffer, 0, kiln_buffer_bytes(g->buffer), GUARD));
            if (m->operands[i].role != KILN_ROLE_OUTPUT)
                KILN_TRY(kiln_buffer_write(m->queue, g->buffer, GUARD_BYTES, m->data[set][i], g->bytes));
        }
    return kiln_queue_finish(m->queue);
}

static bool ends_measuring(kiln_status status) {
    return status == KILN_E_DEVICE_LOST || status == KILN_E_MEMORY || status == KILN_E_CANCELLED;
}

static kiln_status try_candidate(kiln_measurer *m, const kiln_candidate *c, runner *r, kiln_trial *out) {
    const double start = kiln__now_us();
    KILN_TRY(open_runner(m, c, r));
    out->compile_ms = 1e-3 * (kiln__now_us() - start);
    KILN_TRY(validate(m, r, c->variant, &out->max_error));
    return time_runner(m, r, out);
}

kiln_status kiln__measure(kiln_measurer *m, const kiln_candidate *candidate, kiln_trial *out) {
    runner r = {0};
    memset(out, 0, sizeof *out);
    const kiln_status status = try_candidate(m, candidate, &r, out);
    if (status != KILN_OK) {
        snprintf(out->reason, sizeof out->reason, "%s", kiln_last_error());
        out->state = status == KILN_E_MISMATCH ? KILN_TRIAL_WRONG : KILN_TRIAL_FAILED;
    }
    close_runner(&r);
    if (status == KILN_OK || ends_measuring(status))
        return status;
    return restore(m);
}

/* ---- life ---- */

static kiln_status make_operand(kiln_measurer *m, int set, size_t i) {
    const kiln_operand *o = &m->operands[i];
    m->data[set][i] = kiln__alloc(m->context, o->bytes);
    if (!m->data[set][i])
        return KILN_E_MEMORY;
    KILN_TRY(make_guarded(m, o->bytes, &m->buffers[set][i]));
    if (o->role == KILN_ROLE_OUTPUT)
        return KILN_OK;
    kiln__operand_fill(o, set == 0, kiln__operand_scale(m->family, o), m->options.seed + 2 * i + (uint64_t)set,
                       m->data[set][i]);
    return kiln_buffer_write(m->queue, m->buffers[set][i].buffer, GUARD_BYTES, m->data[set][i], o->bytes);
}

/* What ref makes of both sets. */
static kiln_status run_reference(kiln_measurer *m, runner *r) {
    const kiln_candidate ref = {.variant = kiln__family_variant(m->family, "ref")};
    KILN_TRY(open_runner(m, &ref, r));
    for (int set = 0; set < N_SETS; set++) {
        KILN_TRY(run_poisoned(m, r, set));
        for (size_t i = 0; i < m->n_operands; i++)
            if (m->operands[i].role == KILN_ROLE_OUTPUT)
                KILN_TRY(read_operand(m, set, i, m->data[set][i]));
    }
    return KILN_OK;
}

static kiln_status make_operands(kiln_measurer *m) {
    kiln_lowering *l = kiln__alloc(m->context, sizeof *l);
    if (!l)
        return KILN_E_MEMORY;
    m->family->operands(&m->problem, l);
    m->n_operands = l->n_operands;
    memcpy(m->operands, l->operands, sizeof m->operands);
    kiln__free(m->context, l);
    for (int set = 0; set < N_SETS; set++)
        for (size_t i = 0; i < m->n_operands; i++)
            KILN_TRY(make_operand(m, set, i));
    return kiln_queue_finish(m->queue);
}

static kiln_status open_measurer(kiln_measurer *m) {
    KILN_TRY(kiln_queue_create(m->device, &m->queue));
    KILN_TRY(make_operands(m));
    size_t largest = 1;
    for (size_t i = 0; i < m->n_operands; i++)
        largest = m->operands[i].bytes > largest ? m->operands[i].bytes : largest;
    m->got = kiln__alloc(m->context, largest);
    m->again = kiln__alloc(m->context, largest);
    if (!m->got || !m->again)
        return KILN_E_MEMORY;
    if (m->device->backend->event_create && m->device->desc.caps.kind != KILN_DEVICE_CPU)
        for (int i = 0; i < 2; i++)
            KILN_TRY(m->device->backend->event_create(m->device, &m->events[i]));
    runner ref = {0};
    const kiln_status status = run_reference(m, &ref);
    close_runner(&ref);
    return status;
}

static kiln_measurer *new_measurer(kiln_device *device, const kiln_problem *problem,
                                   const kiln_measure_options *options) {
    kiln_measurer *m = kiln__alloc(device->context, sizeof *m);
    if (!m)
        return NULL;
    m->context = device->context;
    m->device = device;
    m->problem = *problem;
    m->family = kiln__problem_family(problem);
    m->options = *options;
    m->tolerance = m->family->tolerance(problem);
    return m;
}

kiln_status kiln__measurer_create(kiln_device *device, const kiln_problem *problem, const kiln_measure_options *options,
                                  kiln_measurer **out) {
    kiln_measurer *m = new_measurer(device, problem, options);
    *out = NULL;
    if (!m)
        return KILN_E_MEMORY;
    const kiln_status status = open_measurer(m);
    if (status != KILN_OK) {
        kiln__measurer_destroy(m);
        return status;
    }
    *out = m;
    return KILN_OK;
}

static void close_rival(kiln_measurer *m) {
    if (m->rival)
        m->rival->queue = NULL; /* it is m's */
    kiln__measurer_destroy(m->rival);
    m->rival = NULL;
}

void kiln__measurer_destroy(kiln_measurer *m) {
    if (!m)
        return;
    kiln_context *context = m->context;
    close_runner(&m->champion);
    close_rival(m);
    for (int set = 0; set < N_SETS; set++)
        for (size_t i = 0; i < m->n_operands; i++) {
            kiln_buffer_destroy(m->buffers[set][i].buffer);
            kiln__free(context, m->data[set][i]);
        }
    kiln__free(context, m->got);
    kiln__free(context, m->again);
    for (int i = 0; i < 2; i++)
        if (m->events[i])
            m->device->backend->event_destroy(m->device, m->events[i]);
    kiln_queue_destroy(m->queue);
    kiln__free(context, m);
}

/* ---- the champion ---- */

/* Data alone, without what ref makes of it: a champion was validated where it won. */
static kiln_status open_rival(kiln_measurer *m, const kiln_problem *problem) {
    if (m->rival && kiln__problem_equal(problem, &m->rival->problem))
        return KILN_OK;
    close_rival(m);
    m->rival = new_measurer(m->device, problem, &m->options);
    if (!m->rival)
        return KILN_E_MEMORY;
    m->rival->queue = m->queue;
    const kiln_status status = make_operands(m->rival);
    if (status != KILN_OK)
        close_rival(m);
    return status;
}

kiln_status kiln__measurer_champion(kiln_measurer *m, const kiln_problem *problem, const kiln_candidate *champion) {
    close_runner(&m->champion);
    if (!champion)
        return KILN_OK;
    const bool own = kiln__problem_equal(problem, &m->problem);
    if (!own)
        KILN_TRY(open_rival(m, problem));
    kiln_status status = open_runner(own ? m : m->rival, champion, &m->champion);
    if (status == KILN_OK)
        status = kiln_binding_prepare(m->champion.bindings[1]);
    if (status == KILN_OK)
        status = kiln_queue_finish(m->queue);
    if (status != KILN_OK)
        close_runner(&m->champion);
    return status;
}
