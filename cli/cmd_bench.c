/* kiln bench: the variants of a problem against each other. */
#include "cli.h"
#include <string.h>

static const output_column columns[] = {
    {"variant", "variant", NULL},     {"config", "config", NULL},       {"compile_ms", "compile ms", "%.1f"},
    {"eager_us", "eager us", "%.1f"}, {"graph_us", "graph us", "%.1f"}, {"gflops", "GFLOP/s", "%.1f"},
    {"gbytes_per_s", "GB/s", "%.1f"}, {"max_error", "error", "%.2g"},   {"reason", "not measured because", NULL},
};

typedef struct bench_state {
    output out;
    int measured;
} bench_state;

static kiln_status visit(void *user, const kiln_bench_row *row) {
    bench_state *state = user;
    output *out = &state->out;
    output_row(out);
    output_cell_text(out, "variant", row->variant);
    output_cell_text(out, "config", row->config);
    output_cell_text(out, "reason", row->reason);
    if (row->reason)
        return KILN_OK;
    output_cell_number(out, "compile_ms", row->compile_ms);
    output_cell_number(out, "eager_us", row->eager_us);
    output_cell_number(out, "graph_us", row->graph_us);
    output_cell_number(out, "gflops", row->gflops);
    output_cell_number(out, "gbytes_per_s", row->gbytes_per_s);
    output_cell_number(out, "max_error", row->max_error);
    output_cell_number(out, "n_repetitions", (double)row->n_repetitions);
    state->measured++;
    return KILN_OK;
}

static int measure(const cli_state *cli, kiln_device *device, const kiln_problem *problem,
                   const kiln_bench_options *options) {
    kiln_device_info on = KILN_DEVICE_INFO_INIT;
    if (kiln_device_get_info(device, &on) != KILN_OK)
        return cli_fail(NULL);
    char key[KILN_MAX_KEY];
    kiln_problem_key(problem, key, sizeof key);
    bench_state state = {0};
    output_begin(&state.out, cli->json);
    output_text(&state.out, "problem", "problem", key);
    output_text(&state.out, "device", "device", on.name);
    output_line(&state.out, "%s", "");
    output_table(&state.out, "results", columns, sizeof columns / sizeof columns[0]);
    const kiln_status result = kiln_bench_problem(device, problem, options, visit, &state);
    output_table_end(&state.out);
    if (result != KILN_OK)
        state.out.json = false;
    const int end = output_end(&state.out);
    if (result != KILN_OK)
        return cli_fail(NULL);
    return state.measured ? end : 1;
}

static int run(cli_state *cli, int argc, char **argv) {
    kiln_bench_options bench = KILN_BENCH_OPTIONS_INIT;
    const char *text = NULL;
    const option options[] = {{"--variant", OPTION_TEXT, &bench.variant, 0, 0},
                              {"--config", OPTION_TEXT, &bench.config, 0, 0},
                              {"--seconds", OPTION_REAL, &bench.min_seconds, 0.001, 3600},
                              {0}};
    int status = cli_options(cli, argc, argv, options, &text, 1, 1);
    if (status || (status = cli_open(cli)))
        return status;
    kiln_problem problem;
    if (kiln_problem_parse(cli->context, text, &problem) != KILN_OK)
        return cli_fail(NULL);
    kiln_device *device;
    if ((status = cli_open_device(cli, &device)))
        return status;
    return measure(cli, device, &problem, &bench);
}

const command command_bench = {
    .name = "bench",
    .usage = "bench PROBLEM [--variant V] [--config C] [--seconds S]",
    .summary = "Measure the variants of a problem, each checked against ref first",
    .help = "  --variant V    only this variant\n"
            "  --config C     with these parameters (default: the guess)\n"
            "  --seconds S    of measuring for each variant and mode (default 0.2)\n"
            "`eager` is the median of one run enqueued by itself, `graph` of one replay. `error` is the largest\n"
            "difference from ref over the tolerance: valid up to 1. A variant that does not apply, fails or\n"
            "computes wrongly has its reason. The exit status is 1 when nothing could be measured.\n\n"
            "Example: kiln bench gemm:m=256,n=256,k=256 --seconds 1\n",
    .run = run,
};
