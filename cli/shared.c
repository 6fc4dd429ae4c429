/* Counters and host memory, as several commands need them. */
#include "cli.h"
#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *key, *text;
    size_t offset;
} counter_rows[] = {
    {"compiles", "programs compiled", offsetof(kiln_counters, compiles)},
    {"compile_failures", "programs that failed to compile", offsetof(kiln_counters, compile_failures)},
    {"binary_hits", "programs loaded from the store", offsetof(kiln_counters, binary_hits)},
    {"binary_misses", "programs not in the store", offsetof(kiln_counters, binary_misses)},
    {"binary_rejected", "stored programs rejected", offsetof(kiln_counters, binary_rejected)},
    {"program_reuses", "programs already loaded", offsetof(kiln_counters, program_reuses)},
    {"plan_hits", "plans decided by a record", offsetof(kiln_counters, plan_hits)},
    {"plan_misses", "plans guessed", offsetof(kiln_counters, plan_misses)},
    {"plan_fallbacks", "steps down the ladder", offsetof(kiln_counters, plan_fallbacks)},
    {"plan_revalidations", "records taken as a lead only", offsetof(kiln_counters, plan_revalidations)},
    {"records_read", "records read", offsetof(kiln_counters, records_read)},
    {"records_bad", "damaged records skipped", offsetof(kiln_counters, records_bad)},
    {"records_written", "records written", offsetof(kiln_counters, records_written)},
    {"store_failures", "writes that the disk refused", offsetof(kiln_counters, store_failures)},
};
enum { N_COUNTERS = sizeof counter_rows / sizeof counter_rows[0] };

void cli_counters(const cli_state *cli, output *out) {
    kiln_counters counters = KILN_COUNTERS_INIT;
    if (kiln_context_counters(cli->context, &counters) != KILN_OK)
        return;
    if (out->json)
        output_group(out, "counters");
    else
        output_line(out, "\ncounters");
    for (int i = 0; i < N_COUNTERS; i++) {
        const uint64_t value = *(const uint64_t *)(const void *)((const char *)&counters + counter_rows[i].offset);
        if (out->json)
            output_cell_number(out, counter_rows[i].key, (double)value);
        else if (value)
            output_line(out, "%8llu  %s", (unsigned long long)value, counter_rows[i].text);
    }
    if (out->json)
        output_group_end(out);
}

/* Elements of a tensor for a batch; 0 when they overflow what a host array may hold. */
static size_t tensor_elems(const kiln_tensor_info *t, int32_t batch, int64_t board) {
    const int64_t limit = INT64_C(1) << 34;
    int64_t n = batch;
    for (uint32_t i = 0; i < t->rank; i++) {
        const int64_t d = t->shape[i] < 0 ? board : t->shape[i];
        if (d <= 0 || n > limit / d)
            return 0;
        n *= d;
    }
    return (size_t)n;
}

static float *make_tensor(const kiln_tensor_info *t, int32_t batch, int64_t board, size_t *elems) {
    *elems = tensor_elems(t, batch, board);
    float *data = *elems ? calloc(*elems, sizeof *data) : NULL;
    if (!data)
        fprintf(stderr, "kiln: no memory for tensor %s of batch %d on a board of %lld\n", t->name, (int)batch,
                (long long)board);
    return data;
}

/* Half of the features set, by a small generator of its own: the same on every machine. */
static void fill_input(const kiln_tensor_info *t, float *data, size_t elems) {
    const size_t channels = t->rank == 3 ? (size_t)t->shape[2] : 0;
    uint32_t state = 1;
    for (size_t i = 0; i < elems; i++) {
        state = state * 1664525u + 1013904223u;
        data[i] = channels && i % channels == 0 ? 1.0f : (float)(state >> 31);
    }
}

int host_batch_make(const kiln_net *net, int32_t batch, int64_t board, host_batch *out) {
    enum { MAX_TENSORS = sizeof out->inputs / sizeof out->inputs[0] };
    *out = (host_batch){0};
    const kiln_tensor_info *t;
    while (out->n_inputs < MAX_TENSORS && (t = kiln_net_input(net, out->n_inputs))) {
        size_t elems;
        float *data = make_tensor(t, batch, board, &elems);
        if (!data)
            goto failed;
        fill_input(t, data, elems);
        out->inputs[out->n_inputs++] = data;
    }
    while (out->n_outputs < MAX_TENSORS && (t = kiln_net_output(net, out->n_outputs))) {
        float *data = make_tensor(t, batch, board, &out->output_elems[out->n_outputs]);
        if (!data)
            goto failed;
        out->outputs[out->n_outputs++] = data;
    }
    return 0;
failed:
    host_batch_free(out);
    return 1;
}

void host_batch_free(host_batch *b) {
    for (size_t i = 0; i < b->n_inputs; i++)
        free(b->inputs[i]);
    for (size_t i = 0; i < b->n_outputs; i++)
        free(b->outputs[i]);
    *b = (host_batch){0};
}
