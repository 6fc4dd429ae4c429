/* How fast a net runs: eager and replayed, interleaved, so that both see the same machine. */
#include "clock.h"
#include "session.h"
#include "status.h"
#include <kiln/bench.h>
#include <string.h>

enum { MAX_SAMPLES = 20000, MIN_SAMPLES = 5 };
static const double DEFAULT_SECONDS = 0.5;

/* Inputs of zeros and ones, about one in four; a mask, which is the first channel, is all ones. */
static void fill_input(float *data, size_t floats, int64_t channels, bool board) {
    uint32_t state = 12345;
    for (size_t i = 0; i < floats; i++) {
        state = state * 1664525u + 1013904223u;
        const bool mask = board && i % (size_t)channels == 0;
        data[i] = mask || state >> 30 == 0 ? 1.0f : 0.0f;
    }
}

static kiln_status write_inputs(kiln_session *s, kiln_made_bucket *made, int32_t size) {
    float *inputs[KILN_NET_MAX_IO] = {0};
    kiln_status status = KILN_OK;
    for (size_t i = 0; i < s->net->n_inputs && status == KILN_OK; i++) {
        const kiln_net_tensor *t = &s->net->tensors[s->net->inputs[i].tensor];
        const size_t floats = (size_t)size * (size_t)kiln__net_tensor_floats(t, s->h, s->w);
        inputs[i] = kiln__alloc(s->net->context, floats * sizeof **inputs);
        if (inputs[i])
            fill_input(inputs[i], floats, t->c, t->shape == KILN_NET_BOARD);
        else
            status = KILN_E_MEMORY;
    }
    if (status == KILN_OK)
        status = kiln__session_write(s, made, 0, size, (const float *const *)inputs);
    const kiln_status finished = kiln_queue_finish(s->queue);
    for (size_t i = 0; i < s->net->n_inputs; i++)
        kiln__free(s->net->context, inputs[i]);
    return status == KILN_OK ? finished : status;
}

static kiln_status time_once(kiln_session *s, kiln_made_bucket *made, bool eager, double *us) {
    const double start = kiln__now_us();
    KILN_TRY(kiln__session_enqueue(s, made, eager));
    KILN_TRY(kiln_queue_finish(s->queue));
    *us = kiln__now_us() - start;
    return KILN_OK;
}

/* samples[0]: eager, samples[1]: graph. */
static kiln_status sample(kiln_session *s, kiln_made_bucket *made, double min_seconds, double *samples[2], size_t *n) {
    double unused;
    for (int mode = 0; mode < 2; mode++)
        for (int i = 0; i < 2; i++)
            KILN_TRY(time_once(s, made, mode == 0, &unused));
    const double end = kiln__now_us() + min_seconds * 1e6;
    for (*n = 0; *n < MAX_SAMPLES && (*n < MIN_SAMPLES || kiln__now_us() < end); ++*n)
        for (int mode = 0; mode < 2; mode++)
            KILN_TRY(time_once(s, made, mode == 0, &samples[mode][*n]));
    return KILN_OK;
}

static kiln_status bench_batch(kiln_session *s, int32_t batch, double min_seconds, double *samples[2],
                               kiln_net_bench_visit visit, void *user) {
    int32_t size = 0;
    kiln_made_bucket *made = NULL;
    size_t n = 0;
    if (batch > s->buckets[s->n_buckets - 1])
        return kiln_fail(KILN_E_INVALID, "kiln_net_bench: batch %d is over the largest bucket, %d", batch,
                         s->buckets[s->n_buckets - 1]);
    KILN_TRY(kiln__session_bucket(s, batch, &size, &made));
    KILN_TRY(write_inputs(s, made, size));
    KILN_TRY(sample(s, made, min_seconds, samples, &n));
    for (int mode = 0; mode < 2; mode++) {
        kiln_net_bench_row row = {.batch = batch, .mode = mode == 0 ? "eager" : "graph", .n_repetitions = n};
        row.latency_us = kiln__median(samples[mode], n);
        row.evals_per_s = row.latency_us > 0 ? batch / row.latency_us * 1e6 : 0;
        KILN_TRY(visit(user, &row));
    }
    return KILN_OK;
}

static int by_value(const void *a, const void *b) {
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* Each batch size gets a bucket of its own, so that nothing is measured padded. */
static kiln_status exact_buckets(const int32_t *batches, size_t n_batches, int32_t *out, size_t *n) {
    int32_t sorted[KILN_MAX_BUCKETS];
    if (n_batches < 1 || n_batches > KILN_MAX_BUCKETS)
        return kiln_fail(KILN_E_INVALID, "kiln_net_bench: %zu batch sizes; 1 to %d are possible", n_batches,
                         KILN_MAX_BUCKETS);
    memcpy(sorted, batches, n_batches * sizeof sorted[0]);
    qsort(sorted, n_batches, sizeof sorted[0], by_value);
    *n = 0;
    for (size_t i = 0; i < n_batches; i++)
        if (*n == 0 || sorted[i] != out[*n - 1])
            out[(*n)++] = sorted[i];
    return KILN_OK;
}

kiln_status kiln_net_bench(kiln_net *net, kiln_queue *queue, const kiln_session_options *options,
                           const int32_t *batches, size_t n_batches, double min_seconds, kiln_net_bench_visit visit,
                           void *user) {
    int32_t buckets[KILN_MAX_BUCKETS];
    kiln_session_options o = KILN_SESSION_OPTIONS_INIT;
    kiln_session *s;
    if (!net || !queue || !batches || !visit)
        return kiln_fail(KILN_E_INVALID, "kiln_net_bench: NULL argument");
    if (options) {
        KILN_CHECK_STRUCT(options, kiln_session_options);
        memcpy(&o, options, options->struct_size);
    }
    if (!o.buckets) {
        KILN_TRY(exact_buckets(batches, n_batches, buckets, &o.n_buckets));
        o.buckets = buckets;
    }
    KILN_TRY(kiln_session_create(net, queue, &o, &s));
    double *samples[2] = {kiln__alloc(net->context, MAX_SAMPLES * sizeof(double)),
                          kiln__alloc(net->context, MAX_SAMPLES * sizeof(double))};
    kiln_status status = samples[0] && samples[1] ? KILN_OK : KILN_E_MEMORY;
    for (size_t i = 0; i < n_batches && status == KILN_OK; i++)
        status = bench_batch(s, batches[i], min_seconds > 0 ? min_seconds : DEFAULT_SECONDS, samples, visit, user);
    kiln__free(net->context, samples[0]);
    kiln__free(net->context, samples[1]);
    kiln_session_destroy(s);
    return status;
}
