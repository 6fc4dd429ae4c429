/* kiln demo: a net that reads digits and a tower of real size, tuned, checked and measured, on one screen. */
#include "demo.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The residual tower of a strong shogi or Go net: 46 input planes of a 9x9 board. */
static const char tower[] = "tower:blocks=9,channels=256,inputs=46,board=9,se=scale,seed=1";

static const double digits_budget_seconds = 10, tower_budget_seconds = 42, ref_limit_ms = 2e3;

typedef struct demo {
    cli_state *cli;
    const char *net_path; /* --net: instead of both nets */
    batch_list batches;
    double seconds, budget_seconds;
    char data[4096]; /* folder of the digits */
    kiln_device *device;
    kiln_queue *queue;
    kiln_tune_result tuned; /* of all nets */
    bool started;           /* the first result was there */
    output out;
} demo;

/* ---- the digits' folder ---- */

static bool has_digits(const char *folder) {
    char path[4200];
    snprintf(path, sizeof path, "%s/digits-net.safetensors", folder);
    return access(path, R_OK) == 0;
}

/* Beside an installed command, else where this one was built from. */
static bool find_digits(demo *d) {
    char self[2048];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    char *slash = strrchr(self, '/');
    if (slash) {
        *slash = 0;
        snprintf(d->data, sizeof d->data, "%s/../share/kiln/digits", self);
        if (has_digits(d->data))
            return true;
        snprintf(d->data, sizeof d->data, "%s/../../examples/digits", self);
        if (has_digits(d->data))
            return true;
    }
    snprintf(d->data, sizeof d->data, "examples/digits");
    return has_digits(d->data);
}

/* ---- tuning ---- */

static kiln_status show_progress(void *user, const kiln_tune_progress *p) {
    (void)user;
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r\033[Ktuning: problem %zu of %zu, %llu candidates, %.0f s left, %s %s", p->problem_index + 1,
                p->n_problems, (unsigned long long)p->n_measured, p->eta_seconds, p->variant, p->config);
        fflush(stderr);
    }
    return KILN_OK;
}

static int tune(demo *d, kiln_net *net, double budget_seconds) {
    kiln_tune_options options = KILN_TUNE_OPTIONS_INIT;
    kiln_tune_result r = KILN_TUNE_RESULT_INIT;
    options.budget_seconds = d->budget_seconds > 0 ? d->budget_seconds : budget_seconds;
    options.progress = show_progress;
    if (kiln_tune_net(net, d->device, d->batches.v, d->batches.n, 0, 0, &options, &r) != KILN_OK)
        return cli_fail("tuning");
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
    d->tuned.n_problems += r.n_problems;
    d->tuned.n_measured += r.n_measured;
    d->tuned.n_failed += r.n_failed;
    d->tuned.n_wrong += r.n_wrong;
    d->tuned.n_quarantined += r.n_quarantined;
    d->tuned.seconds += r.seconds;
    return 0;
}

/* ---- the start ---- */

/* The first result of this process, of whatever net comes first, before anything is tuned; and the steps of a replay.
 */
static int show_start(demo *d, kiln_net *net, const kiln_net_info *info, size_t *n_steps) {
    const int32_t batch = d->batches.v[0];
    kiln_session_options options = KILN_SESSION_OPTIONS_INIT;
    kiln_session_info shape = KILN_SESSION_INFO_INIT;
    kiln_counters c = KILN_COUNTERS_INIT;
    kiln_session *session;
    host_batch b;
    options.buckets = d->batches.v;
    options.n_buckets = d->batches.n;
    if (host_batch_make(net, batch, info->default_board, &b))
        return 1;
    kiln_status status = kiln_session_create(net, d->queue, &options, &session);
    if (status == KILN_OK) {
        status = kiln_session_run(session, batch, (const float *const *)b.inputs, b.outputs);
        const double first_ms = cli_now_ms() - d->cli->start_ms;
        if (status == KILN_OK)
            status = kiln_session_get_info(session, batch, &shape);
        if (status == KILN_OK && !d->started && kiln_context_counters(d->cli->context, &c) == KILN_OK) {
            output_line(
                &d->out,
                "%-12s first result %.0f ms after the process: %llu programs compiled, %llu loaded from the store",
                "start", first_ms, (unsigned long long)c.compiles, (unsigned long long)c.binary_hits);
            output_number(&d->out, "first_result_ms", NULL, NULL, first_ms);
            output_number(&d->out, "first_result_compiles", NULL, NULL, (double)c.compiles);
            d->started = true;
        }
        kiln_session_destroy(session);
    }
    host_batch_free(&b);
    *n_steps = shape.n_steps;
    return status == KILN_OK ? 0 : cli_fail(NULL);
}

/* ---- one net ---- */

static const output_column columns[] = {
    {"batch", "batch", NULL},
    {"ref_ms", "reference ms", "%.2f"},
    {"untuned_ms", "untuned ms", "%.2f"},
    {"eager_ms", "tuned ms", "%.2f"},
    {"graph_ms", "tuned + graph ms", "%.2f"},
    {"evals_per_s", "evals/s", "%.1f"},
    {"times_untuned", "times untuned", "%.2f"},
    {"max_diff", "largest difference", "%.1e"},
};

static void show_times(demo *d, const char *key, const demo_times *times) {
    output_table(&d->out, key, columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; i < d->batches.n; i++) {
        const demo_times *t = &times[i];
        output_row(&d->out);
        output_cell_number(&d->out, "batch", d->batches.v[i]);
        output_cell_number(&d->out, "untuned_ms", 1e-3 * t->untuned_us);
        output_cell_number(&d->out, "eager_ms", 1e-3 * t->eager_us);
        output_cell_number(&d->out, "graph_ms", 1e-3 * t->graph_us);
        output_cell_number(&d->out, "evals_per_s", d->batches.v[i] * 1e6 / t->graph_us);
        output_cell_number(&d->out, "times_untuned", t->untuned_us / t->graph_us);
        if (t->ref_us > 0) {
            output_cell_number(&d->out, "ref_ms", 1e-3 * t->ref_us);
            output_cell_number(&d->out, "max_diff", t->max_diff);
            output_cell_number(&d->out, "max_abs", t->max_abs);
        }
    }
    output_table_end(&d->out);
}

static int show_accuracy(demo *d, kiln_net *net) {
    char path[4200];
    snprintf(path, sizeof path, "%s/digits.safetensors", d->data);
    kiln_session_options options = KILN_SESSION_OPTIONS_INIT;
    options.buckets = d->batches.v;
    options.n_buckets = d->batches.n;
    kiln_classify_report tuned = KILN_CLASSIFY_REPORT_INIT, ref = KILN_CLASSIFY_REPORT_INIT;
    if (kiln_net_classify(net, d->queue, &options, path, &tuned) != KILN_OK)
        return cli_fail(NULL);
    options.variant = "ref";
    if (kiln_net_classify(net, d->queue, &options, path, &ref) != KILN_OK)
        return cli_fail(NULL);
    output_line(&d->out, "accuracy: %.4f tuned, %.4f reference, of %lld images held out; %s", tuned.accuracy,
                ref.accuracy, (long long)tuned.n_items,
                tuned.predictions == ref.predictions ? "the same answers" : "NOT the same answers");
    output_number(&d->out, "accuracy", NULL, NULL, tuned.accuracy);
    output_number(&d->out, "accuracy_reference", NULL, NULL, ref.accuracy);
    return tuned.predictions == ref.predictions ? 0 : 1;
}

static int show_net(demo *d, const char *key, const char *path, double budget_seconds, bool digits) {
    kiln_net *net;
    kiln_net_info info = KILN_NET_INFO_INIT;
    demo_times times[MAX_BATCHES];
    if (kiln_net_open(d->cli->context, path, &net) != KILN_OK)
        return cli_fail(NULL);
    int status = kiln_net_get_info(net, &info) == KILN_OK ? 0 : cli_fail(NULL);
    size_t n_steps = 0;
    if (!status)
        status = show_start(d, net, &info, &n_steps);
    if (!status)
        status = tune(d, net, budget_seconds);
    if (!status)
        status = demo_measure(net, d->queue, &d->batches, d->seconds, ref_limit_ms, times);
    if (!status) {
        output_line(&d->out, "\n%s: %zu blocks of %lld channels, board %lld, %lld parameters, %zu steps", info.name,
                    info.n_blocks, (long long)info.channels, (long long)info.default_board,
                    (long long)info.n_parameters, n_steps);
        if (digits)
            status = show_accuracy(d, net);
        show_times(d, key, times);
    }
    kiln_net_destroy(net);
    return status;
}

/* ---- what is bad, and what is kept ---- */

static int show_planted(demo *d, const kiln_device_info *on) {
    planted_report r;
    const int status = demo_planted(on, &r);
    if (status)
        return status;
    output_line(&d->out, "\nfaults planted in kernels of this device, tuned like any other:");
    output_line(&d->out, "  rejected:   %s", r.wrong);
    output_line(&d->out, "  quarantine: %s", r.crashed);
    output_line(&d->out, "  the plan is %s", r.chosen_is_sound ? "another, sound candidate" : "ONE OF THEM");
    output_text(&d->out, "planted_wrong", NULL, r.wrong);
    output_text(&d->out, "planted_crash", NULL, r.crashed);
    return r.wrong[0] && r.crashed[0] && r.chosen_is_sound ? 0 : 1;
}

typedef struct kept {
    double n_records, n_binaries, bytes;
} kept;

static kiln_status count_entry(void *user, const kiln_cache_entry *entry) {
    kept *k = user;
    k->n_records += (double)entry->n_lines;
    k->n_binaries += entry->kind == KILN_CACHE_BINARY;
    k->bytes += (double)entry->bytes;
    return KILN_OK;
}

static int show_kept(demo *d) {
    kept k = {0};
    if (kiln_cache_list(d->cli->context, count_entry, &k) != KILN_OK)
        return cli_fail(NULL);
    output_line(&d->out, "\ncandidates measured: %llu (%llu failed, %llu wrong, %llu in quarantine), %.0f s",
                (unsigned long long)d->tuned.n_measured, (unsigned long long)d->tuned.n_failed,
                (unsigned long long)d->tuned.n_wrong, (unsigned long long)d->tuned.n_quarantined, d->tuned.seconds);
    output_line(&d->out, "stored in %s: %.0f records, %.0f binaries, %.1f MB", kiln_cache_dir(d->cli->context),
                k.n_records, k.n_binaries, 1e-6 * k.bytes);
    output_number(&d->out, "candidates_measured", NULL, NULL, (double)d->tuned.n_measured);
    output_number(&d->out, "records", NULL, NULL, k.n_records);
    output_number(&d->out, "binaries", NULL, NULL, k.n_binaries);
    return 0;
}

static int show_all(demo *d) {
    kiln_device_info on = KILN_DEVICE_INFO_INIT;
    if (kiln_device_get_info(d->device, &on) != KILN_OK)
        return cli_fail(NULL);
    output_text(&d->out, "device", "device", on.name);
    output_text(&d->out, "model", "model", on.model);
    output_text(&d->out, "features", "features", on.features);
    int status;
    if (d->net_path) {
        status = show_net(d, "net", d->net_path, tower_budget_seconds, false);
    } else {
        char digits[4200];
        snprintf(digits, sizeof digits, "%s/digits-net.safetensors", d->data);
        status = show_net(d, "digits", digits, digits_budget_seconds, true);
        if (!status)
            status = show_net(d, "tower", tower, tower_budget_seconds, false);
    }
    if (!status)
        status = show_planted(d, &on);
    if (!status)
        status = show_kept(d);
    if (!status && d->cli->json)
        cli_counters(d->cli, &d->out);
    return status;
}

static int run(cli_state *cli, int argc, char **argv) {
    demo d = {.cli = cli, .batches = {{1, 8, 64}, 3}, .seconds = 0.3, .tuned = KILN_TUNE_RESULT_INIT};
    const option options[] = {{"--batch", OPTION_BATCHES, &d.batches, 0, 0},
                              {"--seconds", OPTION_REAL, &d.seconds, 0.001, 3600},
                              {"--budget", OPTION_REAL, &d.budget_seconds, 0.1, 36000},
                              {"--net", OPTION_TEXT, &d.net_path, 0, 0},
                              {0}};
    int status = cli_options(cli, argc, argv, options, NULL, 0, 0);
    if (status)
        return status;
    if (!batches_ascend(&d.batches))
        return cli_usage(cli, "--batch takes ascending sizes");
    if (!d.net_path && !find_digits(&d)) {
        fprintf(stderr, "kiln: the digits are neither in ../share/kiln nor in examples/digits; use --net\n");
        return 1;
    }
    if ((status = cli_open_device(cli, &d.device)))
        return status;
    if (kiln_queue_create(d.device, &d.queue) != KILN_OK)
        return cli_fail(NULL);
    if (!cli->json)
        fprintf(stderr, "kiln: tuning, checking and measuring; up to two minutes the first time\n");
    output_begin(&d.out, cli->json);
    status = show_all(&d);
    const int ended = output_end(&d.out);
    kiln_queue_destroy(d.queue);
    return status ? status : ended;
}

const command command_demo = {
    .name = "demo",
    .usage = "demo [--batch 1,8,64] [--budget S] [--seconds S] [--net NET]",
    .summary = "Tune, check and measure a net that reads digits and a tower of real size",
    .help = "  --batch LIST   ascending batch sizes (default 1,8,64)\n"
            "  --budget S     seconds of tuning for each net (default 10 for the digits, 42 for the tower)\n"
            "  --seconds S    of measuring for each batch size (default 0.3)\n"
            "  --net NET      this net instead of both: a network file, or a seeded one\n"
            "Shows how many images held out of training the net names, tuned and by reference; the latency of\n"
            "`ref` (left out where one run would take over 2 s), of the guesses and of the tuned plans, step by\n"
            "step, and of the tuned by graph replay, in turns; a wrong candidate rejected, a crashing one put in\n"
            "quarantine; and what was stored. The second time nothing is left to measure.\n\n"
            "Example: kiln demo --net net.bin.gz --batch 1,16\n",
    .run = run,
};
