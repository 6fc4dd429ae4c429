/* kiln demo's figures: a net by its reference, untuned and tuned plans, measured in turns. */
#include "demo.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { UNTUNED, EAGER, GRAPH, N_MODES, MAX_SAMPLES = 64, MIN_SAMPLES = 3 };

static kiln_session *open_session(kiln_net *net, kiln_queue *queue, const batch_list *batches, const char *variant,
                                  bool untuned, bool eager) {
    kiln_session_options options = KILN_SESSION_OPTIONS_INIT;
    kiln_session *session;
    options.buckets = batches->v;
    options.n_buckets = batches->n;
    options.variant = variant;
    options.effort = untuned ? KILN_PLAN_UNTUNED : KILN_PLAN_GUESS;
    options.eager = eager;
    return kiln_session_create(net, queue, &options, &session) == KILN_OK ? session : NULL;
}

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static kiln_status time_once(kiln_session *session, kiln_queue *queue, int32_t batch, double *us) {
    const double start_ms = cli_now_ms();
    kiln_status status = kiln_session_enqueue(session, batch);
    if (status == KILN_OK)
        status = kiln_queue_finish(queue);
    *us = 1e3 * (cli_now_ms() - start_ms);
    return status;
}

/* Runs a batch through both sessions on the same inputs and compares; `once_us` is ref's time. */
static kiln_status compare(kiln_session *ref, kiln_session *tuned, kiln_queue *queue, int32_t batch, host_batch *a,
                           host_batch *b, demo_times *out) {
    kiln_status status = kiln_session_run(ref, batch, (const float *const *)a->inputs, a->outputs);
    if (status == KILN_OK)
        status = time_once(ref, queue, batch, &out->ref_us);
    if (status == KILN_OK)
        status = kiln_session_run(tuned, batch, (const float *const *)b->inputs, b->outputs);
    for (size_t i = 0; status == KILN_OK && i < a->n_outputs; i++)
        for (size_t k = 0; k < a->output_elems[i]; k++) {
            const double diff = fabs((double)a->outputs[i][k] - (double)b->outputs[i][k]);
            out->max_diff = isnan(diff) ? INFINITY : fmax(out->max_diff, diff);
            out->max_abs = fmax(out->max_abs, fabs((double)a->outputs[i][k]));
        }
    return status;
}

static kiln_status measure_modes(kiln_session *const *sessions, kiln_queue *queue, int32_t batch, double seconds,
                                 demo_times *out) {
    double samples[N_MODES][MAX_SAMPLES], us;
    for (int m = 0; m < N_MODES; m++)
        for (int warm_up = 0; warm_up < 2; warm_up++) {
            const kiln_status status = time_once(sessions[m], queue, batch, &us);
            if (status != KILN_OK)
                return status;
        }
    size_t n = 0;
    const double start_ms = cli_now_ms();
    while (n < MAX_SAMPLES && (n < MIN_SAMPLES || cli_now_ms() - start_ms < 1e3 * seconds)) {
        for (int m = 0; m < N_MODES; m++) {
            const kiln_status status = time_once(sessions[m], queue, batch, &samples[m][n]);
            if (status != KILN_OK)
                return status;
        }
        n++;
    }
    double *const to[N_MODES] = {&out->untuned_us, &out->eager_us, &out->graph_us};
    for (int m = 0; m < N_MODES; m++) {
        qsort(samples[m], n, sizeof samples[m][0], compare_doubles);
        *to[m] = samples[m][n / 2];
    }
    return KILN_OK;
}

static int measure_batch(kiln_net *net, kiln_queue *queue, kiln_session *ref, kiln_session *const *sessions,
                         int32_t batch, double seconds, bool with_ref, demo_times *out) {
    kiln_net_info info = KILN_NET_INFO_INIT;
    host_batch a, b;
    if (kiln_net_get_info(net, &info) != KILN_OK)
        return cli_fail(NULL);
    if (with_ref) {
        if (host_batch_make(net, batch, info.default_board, &a))
            return 1;
        if (host_batch_make(net, batch, info.default_board, &b)) {
            host_batch_free(&a);
            return 1;
        }
        const kiln_status status = compare(ref, sessions[GRAPH], queue, batch, &a, &b, out);
        host_batch_free(&a);
        host_batch_free(&b);
        if (status != KILN_OK)
            return cli_fail(NULL);
    }
    return measure_modes(sessions, queue, batch, seconds, out) == KILN_OK ? 0 : cli_fail(NULL);
}

int demo_measure(kiln_net *net, kiln_queue *queue, const batch_list *batches, double seconds, double ref_limit_ms,
                 demo_times *out) {
    kiln_session *sessions[N_MODES] = {open_session(net, queue, batches, NULL, true, true),
                                       open_session(net, queue, batches, NULL, false, true),
                                       open_session(net, queue, batches, NULL, false, false)};
    kiln_session *ref = open_session(net, queue, batches, "ref", false, true);
    int status = sessions[UNTUNED] && sessions[EAGER] && sessions[GRAPH] && ref ? 0 : cli_fail(NULL);
    double ref_ms_per_item = 0;
    for (size_t i = 0; !status && i < batches->n; i++) {
        const bool with_ref = i == 0 || ref_ms_per_item * batches->v[i] < ref_limit_ms;
        memset(&out[i], 0, sizeof out[i]);
        status = measure_batch(net, queue, ref, sessions, batches->v[i], seconds, with_ref, &out[i]);
        if (with_ref)
            ref_ms_per_item = fmax(ref_ms_per_item, 1e-3 * out[i].ref_us / batches->v[i]);
    }
    kiln_session_destroy(ref);
    for (int m = 0; m < N_MODES; m++)
        kiln_session_destroy(sessions[m]);
    return status;
}
