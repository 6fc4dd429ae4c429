/* kiln net check, net bench: a net against known outputs, and against the clock. */
#include "cli.h"
#include <stdio.h>
#include <string.h>

/* ---- check ---- */

static const output_column check_columns[] = {
    {"output", "output", NULL},           {"max_diff", "largest difference", "%.3e"},
    {"max_abs", "largest value", "%.4g"}, {"worst_item", "at position", NULL},
    {"ok", "within tolerance", NULL},
};

static int show_check(const cli_state *cli, const char *net, const char *golden, int64_t batch, double tolerance,
                      const kiln_golden_report *report, kiln_status result) {
    output out;
    output_begin(&out, cli->json);
    output_text(&out, "net", "net", net);
    output_text(&out, "golden", "golden", golden);
    output_number(&out, "positions", "positions", NULL, (double)report->n_items);
    output_number(&out, "board_h", NULL, NULL, report->board_h);
    output_number(&out, "board_w", NULL, NULL, report->board_w);
    output_line(&out, "%-12s %dx%d", "board", (int)report->board_h, (int)report->board_w);
    output_number(&out, "batch", "batch", NULL, (double)batch);
    output_number(&out, "tolerance", "tolerance", "%g", tolerance);
    output_line(&out, "%s", "");
    output_table(&out, "outputs", check_columns, sizeof check_columns / sizeof check_columns[0]);
    for (size_t i = 0; i < report->n_rows; i++) {
        const kiln_golden_row *row = &report->rows[i];
        output_row(&out);
        output_cell_text(&out, "output", row->output);
        output_cell_number(&out, "max_diff", row->max_diff);
        output_cell_number(&out, "max_abs", row->max_abs);
        output_cell_number(&out, "worst_item", (double)row->worst_item);
        output_cell_bool(&out, "ok", row->max_diff <= tolerance);
    }
    output_table_end(&out);
    if (cli->json) {
        output_text(&out, "result", NULL, result == KILN_OK ? "ok" : "mismatch");
        cli_counters(cli, &out);
    }
    return output_end(&out);
}

static int check(cli_state *cli, kiln_net *net, const char *path, const char *golden,
                 const kiln_session_options *session, int64_t batch, double tolerance) {
    kiln_device *device;
    kiln_queue *queue;
    int status = cli_open_device(cli, &device);
    if (status)
        return status;
    if (kiln_queue_create(device, &queue) != KILN_OK)
        return cli_fail(NULL);
    kiln_golden_report report = KILN_GOLDEN_REPORT_INIT;
    const kiln_status result = kiln_net_check(net, queue, session, golden, (int32_t)batch, tolerance, &report);
    kiln_queue_destroy(queue);
    if (report.n_rows > 0)
        status = show_check(cli, path, golden, batch, tolerance, &report, result);
    return result == KILN_OK ? status : cli_fail(NULL);
}

/* Twice what a net of six blocks with outputs up to 64 was seen to differ by; of f32, more. */
static double default_tolerance(kiln_type type) {
    return type == KILN_TYPE_F16 ? 0.15 : type == KILN_TYPE_BF16 ? 1 : 2e-3;
}

static int run_check(cli_state *cli, int argc, char **argv) {
    kiln_session_options session = KILN_SESSION_OPTIONS_INIT;
    const char *path = NULL, *golden = NULL, *halos = NULL;
    int64_t batch = 16;
    double tolerance = -1;
    const option options[] = {{"--golden", OPTION_TEXT, &golden, 0, 0},
                              {"--batch", OPTION_INT, &batch, 1, 65536},
                              {"--tolerance", OPTION_REAL, &tolerance, 0, 1e6},
                              {"--type", OPTION_TYPE, &session.type, 0, 0},
                              {"--variant", OPTION_TEXT, &session.variant, 0, 0},
                              {"--halos", OPTION_TEXT, &halos, 0, 0},
                              {0}};
    int status = cli_options(cli, argc, argv, options, &path, 1, 1);
    if (status || (status = cli_halos(cli, halos, &session.halos)))
        return status;
    if (tolerance < 0)
        tolerance = default_tolerance(session.type);
    if (!golden)
        return cli_usage(cli, "--golden FILE is needed");
    if ((status = cli_open(cli)))
        return status;
    kiln_net *net;
    if (kiln_net_open(cli->context, path, &net) != KILN_OK)
        return cli_fail(NULL);
    status = check(cli, net, path, golden, &session, batch, tolerance);
    kiln_net_destroy(net);
    return status;
}

/* ---- bench ---- */

static const output_column bench_columns[] = {
    {"batch", "batch", NULL},
    {"mode", "mode", NULL},
    {"latency_us", "latency us", "%.1f"},
    {"evals_per_s", "evals/s", "%.1f"},
};

static kiln_status visit(void *user, const kiln_net_bench_row *row) {
    output *out = user;
    output_row(out);
    output_cell_number(out, "batch", row->batch);
    output_cell_text(out, "mode", row->mode);
    output_cell_number(out, "latency_us", row->latency_us);
    output_cell_number(out, "evals_per_s", row->evals_per_s);
    output_cell_number(out, "n_repetitions", (double)row->n_repetitions);
    return KILN_OK;
}

typedef struct bench_request {
    const char *path;
    batch_list batches;
    int64_t board;
    double seconds;
    kiln_session_options session;
} bench_request;

/* Milliseconds from the start of this process to a batch's outputs on the host. */
static int first_result(const cli_state *cli, const bench_request *r, kiln_net *net, kiln_session *session,
                        double *out_ms) {
    host_batch host;
    int status = host_batch_make(net, r->batches.v[0], r->board, &host);
    if (status)
        return status;
    if (kiln_session_run(session, r->batches.v[0], (const float *const *)host.inputs, host.outputs) != KILN_OK)
        status = cli_fail(NULL);
    *out_ms = cli_now_ms() - cli->start_ms;
    host_batch_free(&host);
    return status;
}

static int measure(const cli_state *cli, const kiln_device *device, kiln_net *net, kiln_queue *queue,
                   const bench_request *r, double first_ms) {
    kiln_device_info on = KILN_DEVICE_INFO_INIT;
    if (kiln_device_get_info(device, &on) != KILN_OK)
        return cli_fail(NULL);
    output out;
    output_begin(&out, cli->json);
    output_text(&out, "net", "net", r->path);
    output_text(&out, "device", "device", on.name);
    output_text(&out, "model", "model", on.model);
    output_number(&out, "board", "board", NULL, (double)r->board);
    output_number(&out, "first_result_ms", "first result", "%.0f ms after the start of the process", first_ms);
    output_line(&out, "%s", "");
    output_table(&out, "results", bench_columns, sizeof bench_columns / sizeof bench_columns[0]);
    const kiln_status result =
        kiln_net_bench(net, queue, &r->session, r->batches.v, r->batches.n, r->seconds, visit, &out);
    output_table_end(&out);
    cli_counters(cli, &out);
    if (result != KILN_OK)
        out.json = false;
    const int end = output_end(&out);
    return result == KILN_OK ? end : cli_fail(NULL);
}

static int bench_on(const cli_state *cli, const kiln_device *device, kiln_net *net, kiln_queue *queue,
                    const bench_request *r) {
    kiln_session *session;
    double first_ms = 0;
    if (kiln_session_create(net, queue, &r->session, &session) != KILN_OK)
        return cli_fail(NULL);
    int status = first_result(cli, r, net, session, &first_ms);
    if (!status) /* the session stays until the end: programs that it uses are not loaded twice */
        status = measure(cli, device, net, queue, r, first_ms);
    kiln_session_destroy(session);
    return status;
}

static int bench(cli_state *cli, kiln_net *net, bench_request *r) {
    kiln_net_info info = KILN_NET_INFO_INIT;
    kiln_device *device;
    kiln_queue *queue;
    if (kiln_net_get_info(net, &info) != KILN_OK)
        return cli_fail(NULL);
    if (!r->board)
        r->board = info.default_board;
    r->session.board_h = r->session.board_w = (int32_t)r->board;
    r->session.buckets = r->batches.v; /* exactly what is measured */
    r->session.n_buckets = r->batches.n;
    int status = cli_open_device(cli, &device);
    if (status)
        return status;
    if (kiln_queue_create(device, &queue) != KILN_OK)
        return cli_fail(NULL);
    status = bench_on(cli, device, net, queue, r);
    kiln_queue_destroy(queue);
    return status;
}

static int run_bench(cli_state *cli, int argc, char **argv) {
    bench_request r = {.batches = {{1}, 1}, .session = KILN_SESSION_OPTIONS_INIT};
    const char *halos = NULL;
    const option options[] = {{"--batch", OPTION_BATCHES, &r.batches, 0, 0},
                              {"--board", OPTION_INT, &r.board, 1, 1024},
                              {"--seconds", OPTION_REAL, &r.seconds, 0.001, 3600},
                              {"--type", OPTION_TYPE, &r.session.type, 0, 0},
                              {"--variant", OPTION_TEXT, &r.session.variant, 0, 0},
                              {"--halos", OPTION_TEXT, &halos, 0, 0},
                              {0}};
    int status = cli_options(cli, argc, argv, options, &r.path, 1, 1);
    if (status || (status = cli_halos(cli, halos, &r.session.halos)))
        return status;
    if (!batches_ascend(&r.batches))
        return cli_usage(cli, "--batch takes ascending sizes");
    if ((status = cli_open(cli)))
        return status;
    kiln_net *net;
    if (kiln_net_open(cli->context, r.path, &net) != KILN_OK)
        return cli_fail(NULL);
    status = bench(cli, net, &r);
    kiln_net_destroy(net);
    return status;
}

const command command_net_check = {
    .name = "net check",
    .usage = "net check NET --golden FILE [--batch N] [--tolerance T] [--halos H] [--type T] [--variant V]",
    .summary = "Run the positions of a golden file through a net and compare the outputs",
    .help = "  --golden FILE  safetensors file with inputs and expected outputs by the net's tensor names\n"
            "  --batch N      positions evaluated at once (default 16)\n"
            "  --tolerance T  largest allowed |difference| of every output (default 0.002; f16 0.15, bf16 1)\n"
            "  --halos H      fastest (default): by what is on record; usual: where convolutions use them; none\n"
            "  --type T       what the net stores: f32 (default), f16 or bf16\n"
            "  --variant V    force a variant where it applies, e.g. ref\n"
            "The board is that of the golden file. The exit status is 0 only if every output is within the\n"
            "tolerance.\n\n"
            "Example: kiln net check net.bin.gz --golden positions.safetensors\n",
    .run = run_check,
};
const command command_net_bench = {
    .name = "net bench",
    .usage = "net bench NET [--batch 1,8,16] [--board N] [--seconds S] [--halos H] [--type T] [--variant V]",
    .summary = "Measure a net at each batch size, eager and by graph replay",
    .help = "  --batch LIST   ascending batch sizes (default 1); each gets a graph of its own\n"
            "  --board N      edge of the board (default: the net's)\n"
            "  --seconds S    of measuring for each batch size and mode (default 0.2)\n"
            "  --halos H      fastest (default): by what is on record; usual: where convolutions use them; none\n"
            "  --type T       what the net stores: f32 (default), f16 or bf16\n"
            "  --variant V    force a variant where it applies, e.g. ref\n"
            "`first result` is the time from the start of the process to the first outputs on the host, of the\n"
            "first batch size: reading the net, choosing, compiling or loading kernels and running included.\n"
            "`latency` is the device part of one batch, from enqueueing to the end.\n\n"
            "Example: kiln net bench net.bin.gz --batch 1,8,16 --board 19 --json\n",
    .run = run_bench,
};
