/* kiln demo: a net of real size, planned, compiled, replayed, on one screen. */
#include "child.h"
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The residual tower of a strong shogi or Go net: 46 input planes of a 9x9 board. */
static const char demo_net[] = "tower:blocks=9,channels=256,inputs=46,board=9,seed=1";

/* A run of `ref` that would take longer than this is left out; the demo is to last about a minute. */
static const double ref_limit_ms = 20e3;

typedef struct demo_row {
    double ref_us, eager_us, graph_us; /* 0: not measured */
    double max_diff, max_abs;          /* of the default plan's outputs from ref's */
} demo_row;

typedef struct demo {
    cli_state *cli;
    const char *net_path;
    batch_list batches;
    double seconds;
    char folder[256]; /* temporary: our store and PoCL's */
    start_report cold, warm;
    kiln_device *device;
    kiln_queue *queue;
    kiln_net *net;
    kiln_net_info net_info;
    size_t n_steps, n_problems, n_distinct;
    size_t activation_bytes, weight_bytes;
    demo_row rows[MAX_BATCHES];
    double slowest_ref_ms_per_item;
} demo;

/* ---- the temporary folder ---- */

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static int make_folder(demo *d) {
    const char *tmp = getenv("TMPDIR");
    const int n = snprintf(d->folder, sizeof d->folder, "%s/kiln-demo-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (n >= 0 && (size_t)n < sizeof d->folder && mkdtemp(d->folder))
        return 0;
    fprintf(stderr, "kiln: cannot make a temporary folder in %s\n", tmp && *tmp ? tmp : "/tmp");
    d->folder[0] = 0;
    return 1;
}

/* ---- measuring ---- */

static int measure_starts(demo *d) {
    char store[512], pocl[512];
    snprintf(store, sizeof store, "%s/store", d->folder);
    snprintf(pocl, sizeof pocl, "%s/pocl", d->folder);
    if (child_start(d->cli, d->net_path, store, pocl, &d->cold))
        return 1;
    return child_start(d->cli, d->net_path, store, pocl, &d->warm);
}

static kiln_status count_problem(void *user, const kiln_problem *problem, size_t count) {
    (void)problem;
    demo *d = user;
    d->n_distinct++;
    d->n_problems += count;
    return KILN_OK;
}

static kiln_session *open_session(demo *d, const char *variant, bool eager) {
    kiln_session_options options = KILN_SESSION_OPTIONS_INIT;
    kiln_session *session;
    options.buckets = d->batches.v;
    options.n_buckets = d->batches.n;
    options.variant = variant;
    options.eager = eager;
    return kiln_session_create(d->net, d->queue, &options, &session) == KILN_OK ? session : NULL;
}

/* Runs a batch through `ref` and the default plan, compares what they compute, and times ref. */
static int compare(demo *d, size_t index, kiln_session *ref, kiln_session *chosen) {
    const int32_t batch = d->batches.v[index];
    demo_row *row = &d->rows[index];
    if (d->slowest_ref_ms_per_item * batch > ref_limit_ms)
        return 0;
    host_batch a, b;
    if (host_batch_make(d->net, batch, d->net_info.default_board, &a))
        return 1;
    if (host_batch_make(d->net, batch, d->net_info.default_board, &b)) {
        host_batch_free(&a);
        return 1;
    }
    int status = 1;
    /* Made ready first: compiling is no part of the time. */
    if (kiln_session_warm(ref, batch) != KILN_OK)
        goto done;
    const double start_ms = cli_now_ms();
    if (kiln_session_run(ref, batch, (const float *const *)a.inputs, a.outputs) != KILN_OK)
        goto done;
    const double once_ms = cli_now_ms() - start_ms;
    row->ref_us = once_ms * 1e3;
    d->slowest_ref_ms_per_item = fmax(d->slowest_ref_ms_per_item, once_ms / batch);
    if (kiln_session_run(chosen, batch, (const float *const *)b.inputs, b.outputs) != KILN_OK)
        goto done;
    for (size_t i = 0; i < a.n_outputs; i++)
        for (size_t k = 0; k < a.output_elems[i]; k++) {
            const double diff = fabs((double)a.outputs[i][k] - (double)b.outputs[i][k]);
            row->max_diff = isnan(diff) ? INFINITY : fmax(row->max_diff, diff);
            row->max_abs = fmax(row->max_abs, fabs((double)a.outputs[i][k]));
        }
    status = 0;
done:
    if (status)
        cli_fail(NULL);
    host_batch_free(&a);
    host_batch_free(&b);
    return status;
}

static kiln_status take_row(void *user, const kiln_net_bench_row *measured) {
    demo *d = user;
    for (size_t i = 0; i < d->batches.n; i++) {
        if (d->batches.v[i] != measured->batch)
            continue;
        if (strcmp(measured->mode, "graph") == 0)
            d->rows[i].graph_us = measured->latency_us;
        else
            d->rows[i].eager_us = measured->latency_us;
    }
    return KILN_OK;
}

static int measure(demo *d) {
    kiln_session *ref = open_session(d, "ref", true);
    kiln_session *chosen = ref ? open_session(d, NULL, false) : NULL;
    int status = chosen ? 0 : cli_fail(NULL);
    for (size_t i = 0; !status && i < d->batches.n; i++)
        status = compare(d, i, ref, chosen);
    kiln_session_info info = KILN_SESSION_INFO_INIT;
    if (!status && kiln_session_warm(chosen, d->batches.v[0]) == KILN_OK &&
        kiln_session_get_info(chosen, d->batches.v[0], &info) == KILN_OK) {
        d->n_steps = info.n_steps;
        d->activation_bytes = info.activation_bytes;
        d->weight_bytes = info.weight_bytes;
    }
    kiln_session_destroy(chosen);
    kiln_session_destroy(ref);
    if (status)
        return status;
    kiln_session_options options = KILN_SESSION_OPTIONS_INIT;
    options.buckets = d->batches.v;
    options.n_buckets = d->batches.n;
    if (kiln_net_bench(d->net, d->queue, &options, d->batches.v, d->batches.n, d->seconds, take_row, d) != KILN_OK)
        return cli_fail(NULL);
    return 0;
}

/* ---- showing ---- */

static const output_column columns[] = {
    {"batch", "batch", NULL},
    {"ref_ms", "ref ms", "%.2f"},
    {"eager_ms", "eager ms", "%.2f"},
    {"graph_ms", "graph ms", "%.2f"},
    {"evals_per_s", "evals/s", "%.1f"},
    {"speed_up", "times ref", "%.1f"},
    {"max_diff", "largest difference", "%.2e"},
};

static void show_rows(const demo *d, output *out) {
    output_table(out, "results", columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; i < d->batches.n; i++) {
        const demo_row *row = &d->rows[i];
        const double best_us = fmin(row->eager_us, row->graph_us);
        output_row(out);
        output_cell_number(out, "batch", d->batches.v[i]);
        output_cell_number(out, "eager_ms", row->eager_us / 1e3);
        output_cell_number(out, "graph_ms", row->graph_us / 1e3);
        output_cell_number(out, "evals_per_s", best_us > 0 ? d->batches.v[i] * 1e6 / best_us : 0);
        if (row->ref_us > 0) {
            output_cell_number(out, "ref_ms", row->ref_us / 1e3);
            output_cell_number(out, "speed_up", best_us > 0 ? row->ref_us / best_us : 0);
            output_cell_number(out, "max_diff", row->max_diff);
            output_cell_number(out, "max_abs", row->max_abs);
        }
    }
    output_table_end(out);
}

static void show_starts(const demo *d, output *out) {
    static const output_column starts[] = {
        {"start", "start", NULL},
        {"first_result_ms", "first result ms", NULL},
        {"compiles", "programs compiled", NULL},
        {"binary_hits", "loaded from the store", NULL},
    };
    output_table(out, "starts", starts, sizeof starts / sizeof starts[0]);
    for (int i = 0; i < 2; i++) {
        const start_report *r = i ? &d->warm : &d->cold;
        output_row(out);
        output_cell_text(out, "start", i ? "warm" : "cold");
        output_cell_number(out, "first_result_ms", r->first_result_ms);
        output_cell_number(out, "compiles", r->compiles);
        output_cell_number(out, "binary_hits", r->binary_hits);
    }
    output_table_end(out);
}

static int show(const demo *d) {
    kiln_device_info on = KILN_DEVICE_INFO_INIT;
    if (kiln_device_get_info(d->device, &on) != KILN_OK)
        return cli_fail(NULL);
    output out;
    output_begin(&out, d->cli->json);
    output_text(&out, "device", "device", on.name);
    output_text(&out, "model", "model", on.model);
    output_text(&out, "features", "features", on.features);
    output_text(&out, "net", "net", d->net_path);
    output_number(&out, "parameters", "parameters", NULL, (double)d->net_info.n_parameters);
    output_number(&out, "steps", "steps", "%.0f a replay", (double)d->n_steps);
    output_number(&out, "operations", "operations", NULL, (double)d->n_problems);
    output_number(&out, "distinct_problems", "problems", "%.0f distinct", (double)d->n_distinct);
    output_number(&out, "weight_bytes", NULL, NULL, (double)d->weight_bytes);
    output_number(&out, "activation_bytes", NULL, NULL, (double)d->activation_bytes);
    output_line(&out, "\nlatency of one batch; eager and graph run the plans that Kiln chooses:");
    show_rows(d, &out);
    if (d->slowest_ref_ms_per_item * d->batches.v[d->batches.n - 1] > ref_limit_ms)
        output_line(&out, "(-: one run of ref would take longer than %.0f s)", ref_limit_ms / 1e3);
    output_line(&out, "\nfrom the start of a process to the first result (batch 1):");
    show_starts(d, &out);
    return output_end(&out);
}

static int run_in_folder(demo *d) {
    int status = measure_starts(d);
    if (status)
        return status;
    char store[512];
    snprintf(store, sizeof store, "%s/store", d->folder);
    d->cli->cache_dir = store;
    status = cli_open_device(d->cli, &d->device);
    d->cli->cache_dir = NULL;
    if (status)
        return status;
    d->net_info = (kiln_net_info)KILN_NET_INFO_INIT;
    if (kiln_net_open(d->cli->context, d->net_path, &d->net) != KILN_OK ||
        kiln_net_get_info(d->net, &d->net_info) != KILN_OK ||
        kiln_net_problems(d->net, d->batches.v[0], 0, 0, count_problem, d) != KILN_OK ||
        kiln_queue_create(d->device, &d->queue) != KILN_OK)
        return cli_fail(NULL);
    status = measure(d);
    return status ? status : show(d);
}

static int run(cli_state *cli, int argc, char **argv) {
    demo d = {.cli = cli, .net_path = demo_net, .batches = {{1, 8, 64}, 3}, .seconds = 1};
    const option options[] = {{"--batch", OPTION_BATCHES, &d.batches, 0, 0},
                              {"--seconds", OPTION_REAL, &d.seconds, 0.001, 3600},
                              {"--net", OPTION_TEXT, &d.net_path, 0, 0},
                              {0}};
    int status = cli_options(cli, argc, argv, options, NULL, 0, 0);
    if (status)
        return status;
    if (!batches_ascend(&d.batches))
        return cli_usage(cli, "--batch takes ascending sizes");
    if (!cli->json)
        fprintf(stderr, "kiln: planning, compiling and measuring %s; about a minute\n", d.net_path);
    if ((status = make_folder(&d)))
        return status;
    status = run_in_folder(&d);
    kiln_queue_destroy(d.queue);
    kiln_net_destroy(d.net);
    nftw(d.folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return status;
}

const command command_demo = {
    .name = "demo",
    .usage = "demo [--batch 1,8,64] [--seconds S] [--net NET]",
    .summary = "Plan, compile and replay a residual tower of real size, on one screen",
    .help = "  --batch LIST   ascending batch sizes (default 1,8,64)\n"
            "  --seconds S    of measuring for each batch size and mode (default 1)\n"
            "  --net NET      another net: a network file, or a seeded one (default\n"
            "                 tower:blocks=9,channels=256,inputs=46,board=9,seed=1)\n"
            "Shows the latency of `ref`, the plain kernels that everything is checked against, and of the plans\n"
            "that Kiln chooses, eager and by graph replay; the largest difference between their outputs; and\n"
            "the start of a process on an empty store (cold) and on a filled one (warm). It works in a\n"
            "temporary store. `ref` is left out where one run would take longer than 20 s.\n\n"
            "Example: kiln demo --batch 1,16 --seconds 0.5\n",
    .run = run,
};
