/* kiln tune: finds faster candidates for a net or a problem and remembers them. */
#include "cli.h"
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_INTERRUPTED = 130, BAR = 24 };

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number) {
    (void)signal_number;
    interrupted = 1;
}

/* ---- progress ---- */

typedef struct progress_state {
    bool terminal, quiet;
    bool started;
    size_t problem; /* shown last */
} progress_state;

static void show_bar(const kiln_tune_progress *p) {
    char bar[BAR + 1];
    const int full = (int)(p->done * BAR);
    for (int i = 0; i < BAR; i++)
        bar[i] = i < full ? '#' : '.';
    bar[BAR] = 0;
    const double gain = p->best_us > 0 ? p->start_us / p->best_us : 1;
    fprintf(stderr, "\r\033[K[%s] %3.0f%%  %.0f s left  %llu tried  problem %zu of %zu: %.1f us, %.2fx  %s %s", bar,
            100 * p->done, p->eta_seconds, (unsigned long long)p->n_measured, p->problem_index + 1, p->n_problems,
            p->best_us, gain, p->variant, p->config);
    fflush(stderr);
}

/* Elsewhere a line for each thing worth one: a better candidate, a failed one. */
static void show_line(progress_state *s, const kiln_tune_progress *p) {
    const bool failed = strcmp(p->state, "ok") != 0;
    if (!failed && p->time_us > p->best_us)
        return;
    if (!s->started || s->problem != p->problem_index)
        fprintf(stderr, "%6.1f s  %s\n", p->elapsed_seconds, p->problem);
    s->started = true;
    s->problem = p->problem_index;
    fprintf(stderr, "%6.1f s    %s %s: ", p->elapsed_seconds, p->variant, p->config);
    if (failed)
        fprintf(stderr, "%s: %s\n", p->state, p->reason);
    else
        fprintf(stderr, "%.1f us, %.2fx\n", p->time_us, p->best_us > 0 ? p->start_us / p->best_us : 1);
}

static kiln_status on_progress(void *user, const kiln_tune_progress *p) {
    progress_state *s = user;
    if (!s->quiet && s->terminal) {
        show_bar(p);
        s->started = true;
    } else if (!s->quiet) {
        show_line(s, p);
    }
    return interrupted ? KILN_E_CANCELLED : KILN_OK;
}

/* ---- result ---- */

static void show_result(const cli_state *cli, const char *what, const char *device, const kiln_tune_result *r) {
    output out;
    output_begin(&out, cli->json);
    output_text(&out, "what", "tuned", what);
    output_text(&out, "device", "device", device);
    output_number(&out, "n_problems", "problems", NULL, (double)r->n_problems);
    output_number(&out, "n_measured", "candidates measured", NULL, (double)r->n_measured);
    output_number(&out, "n_known", "candidates known", NULL, (double)r->n_known);
    output_number(&out, "n_failed", "failed", NULL, (double)r->n_failed);
    output_number(&out, "n_wrong", "computed wrongly", NULL, (double)r->n_wrong);
    output_number(&out, "n_quarantined", "in quarantine", NULL, (double)r->n_quarantined);
    output_number(&out, "seconds", "seconds", "%.1f", r->seconds);
    output_number(&out, "start_us", "us before", "%.1f", r->start_us);
    output_number(&out, "best_us", "us now", "%.1f", r->best_us);
    output_number(&out, "speedup", "faster", "%.2fx", r->best_us > 0 ? r->start_us / r->best_us : 1);
    if (cli->json || r->n_halos_dropped) {
        output_number(&out, "n_halos_dropped", "halos dropped", NULL, (double)r->n_halos_dropped);
        output_number(&out, "halos_gain_us", "us less by that", "%.1f", r->halos_gain_us);
    }
    output_text(&out, "measured_in", "measured in", r->used_worker ? "worker process" : "this process");
    if (cli->json)
        cli_counters(cli, &out);
    (void)output_end(&out);
}

/* ---- options ---- */

/* "90", "90s", "2m" or "1.5h" in seconds; negative: none of these. */
static double parse_duration(const char *text) {
    char *end;
    const double value = strtod(text, &end);
    const double unit = *end == 0 || strcmp(end, "s") == 0 ? 1
                        : strcmp(end, "m") == 0            ? 60
                        : strcmp(end, "h") == 0            ? 3600
                                                           : -1;
    return end == text || !isfinite(value) || value < 0 || unit < 0 ? -1 : value * unit;
}

static bool is_problem(const cli_state *cli, const char *text) {
    const size_t length = strcspn(text, ":");
    for (size_t i = 0; i < kiln_family_count(cli->context); i++) {
        const char *name = kiln_family_name(cli->context, i);
        if (strlen(name) == length && memcmp(name, text, length) == 0)
            return true;
    }
    return false;
}

typedef struct tune_request {
    const char *what;
    batch_list batches;
    int64_t board;
    kiln_tune_options options;
} tune_request;

static kiln_status tune(const cli_state *cli, kiln_device *device, const tune_request *r, kiln_tune_result *result) {
    kiln_status status;
    if (is_problem(cli, r->what)) {
        kiln_problem problem;
        status = kiln_problem_parse(cli->context, r->what, &problem);
        return status == KILN_OK ? kiln_tune_problem(device, &problem, &r->options, result) : status;
    }
    kiln_net *net;
    status = kiln_net_open(cli->context, r->what, &net);
    if (status != KILN_OK)
        return status;
    status = kiln_tune_net(net, device, r->batches.v, r->batches.n, (int32_t)r->board, (int32_t)r->board, &r->options,
                           result);
    kiln_net_destroy(net);
    return status;
}

static int run_tune(const cli_state *cli, tune_request *r) {
    kiln_device *device;
    kiln_device_info on = KILN_DEVICE_INFO_INIT;
    int status = cli_open_device((cli_state *)cli, &device);
    if (status)
        return status;
    if (kiln_device_get_info(device, &on) != KILN_OK)
        return cli_fail(NULL);
    progress_state progress = {.terminal = isatty(STDERR_FILENO) != 0, .quiet = cli->json};
    r->options.progress = on_progress;
    r->options.user = &progress;
    struct sigaction action = {.sa_handler = on_interrupt}, before;
    sigaction(SIGINT, &action, &before);
    kiln_tune_result result = KILN_TUNE_RESULT_INIT;
    const kiln_status ended = tune(cli, device, r, &result);
    sigaction(SIGINT, &before, NULL);
    if (progress.terminal && !progress.quiet && progress.started)
        fprintf(stderr, "\r\033[K");
    if (ended != KILN_OK && ended != KILN_E_CANCELLED)
        return cli_fail(NULL);
    show_result(cli, r->what, on.name, &result);
    if (ended == KILN_E_CANCELLED)
        fprintf(stderr, "kiln: interrupted; what was found is kept\n");
    return ended == KILN_OK ? 0 : EXIT_INTERRUPTED;
}

static int run(cli_state *cli, int argc, char **argv) {
    tune_request r = {.batches = {{16}, 1}, .options = KILN_TUNE_OPTIONS_INIT};
    const char *budget = NULL, *effort = "measure";
    bool in_process = false, eager = false;
    int64_t seed = 0;
    const option options[] = {{"--batch", OPTION_BATCHES, &r.batches, 0, 0},
                              {"--board", OPTION_INT, &r.board, 1, 4096},
                              {"--type", OPTION_TYPE, &r.options.type, 0, 0},
                              {"--budget", OPTION_TEXT, &budget, 0, 0},
                              {"--effort", OPTION_TEXT, &effort, 0, 0},
                              {"--strategy", OPTION_TEXT, &r.options.strategy, 0, 0},
                              {"--variant", OPTION_TEXT, &r.options.variant, 0, 0},
                              {"--seed", OPTION_INT, &seed, 0, 9e15},
                              {"--worker", OPTION_TEXT, &r.options.worker, 0, 0},
                              {"--in-process", OPTION_FLAG, &in_process, 0, 0},
                              {"--eager", OPTION_FLAG, &eager, 0, 0},
                              {0}};
    int status = cli_options(cli, argc, argv, options, &r.what, 1, 1);
    if (status)
        return status;
    if (budget && (r.options.budget_seconds = parse_duration(budget)) <= 0)
        return cli_usage(cli, "--budget %s: not a time like 90s, 2m or 1.5h", budget);
    if (strcmp(effort, "measure") != 0 && strcmp(effort, "exhaust") != 0)
        return cli_usage(cli, "--effort %s: use measure or exhaust", effort);
    r.options.effort = strcmp(effort, "measure") == 0 ? KILN_PLAN_MEASURE : KILN_PLAN_EXHAUST;
    r.options.seed = (uint64_t)seed;
    r.options.in_process = in_process;
    r.options.eager = eager;
    status = cli_open(cli);
    return status ? status : run_tune(cli, &r);
}

const command command_tune = {
    .name = "tune",
    .usage = "tune (NET | PROBLEM) [--batch 1,8,16] [--board N] [--type T] [--budget 60s] [--effort E]",
    .summary = "Find faster kernels for a net or a problem, check them, and remember them",
    .help = "  --batch LIST   batch sizes of a net (default 16)\n"
            "  --board N      edge of a net's board (default: the net's)\n"
            "  --type T       what a net stores: f32 (default), f16 or bf16\n"
            "  --budget T     how long to search: 90s, 2m, 1.5h (default 60s)\n"
            "  --effort E     measure: search within the budget; exhaust: every candidate there is\n"
            "  --strategy S   descent (default), random or exhaust\n"
            "  --variant V    only this variant\n"
            "  --eager        time eager launches; default: graph replay, which is what sessions serve\n"
            "  --in-process   no worker process: a candidate that crashes ends the command\n"
            "  --worker PATH  the kiln-worker program\n"
            "  --seed N       of the data and of the search\n"
            "Every candidate is validated before it is timed, and recorded before the next is tried. Tuning again\n"
            "goes on where it stopped: a search that was finished measures nothing. Ctrl-C keeps what was found.\n\n"
            "Example: kiln tune net.bin.gz --batch 1,16 --board 19 --budget 2m\n",
    .run = run,
};
