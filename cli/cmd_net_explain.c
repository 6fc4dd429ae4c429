/* kiln net explain: how a net's activations lie and what each of its problems runs, and why so. */
#include "cli.h"
#include <stdio.h>

static const output_column columns[] = {
    {"count", "count", NULL},   {"problem", "problem", NULL},  {"variant", "variant", NULL},
    {"config", "config", NULL}, {"source", "chosen by", NULL},
};

/* How often the plan at `index` occurs; 0 unless it is the first of its kind. Layers of one problem share a plan. */
static size_t count_plan(kiln_session *session, int32_t batch, size_t index) {
    const kiln_plan *plan = kiln_session_plan(session, batch, index), *other;
    size_t n = 0;
    for (size_t i = 0; (other = kiln_session_plan(session, batch, i)); i++) {
        if (other == plan && i < index)
            return 0;
        n += other == plan;
    }
    return n;
}

static int show(const cli_state *cli, const char *path, kiln_device *device, kiln_session *session, int32_t batch) {
    kiln_device_info on = KILN_DEVICE_INFO_INIT;
    const char *why = kiln_session_why(session, batch);
    const kiln_plan *plan;
    if (!why || kiln_device_get_info(device, &on) != KILN_OK)
        return cli_fail(NULL);
    output out;
    output_begin(&out, cli->json);
    output_text(&out, "net", "net", path);
    output_text(&out, "device", "device", on.name);
    output_number(&out, "batch", "batch", NULL, batch);
    if (cli->json)
        output_text(&out, "why", NULL, why);
    else
        printf("\nlayout\n%s\n", why);
    output_table(&out, "problems", columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; (plan = kiln_session_plan(session, batch, i)); i++) {
        const size_t count = count_plan(session, batch, i);
        kiln_plan_info info = KILN_PLAN_INFO_INIT;
        if (count == 0 || kiln_plan_get_info(plan, &info) != KILN_OK)
            continue;
        output_row(&out);
        output_cell_number(&out, "count", (double)count);
        output_cell_text(&out, "problem", info.problem);
        output_cell_text(&out, "variant", info.variant);
        output_cell_text(&out, "config", info.config);
        output_cell_text(&out, "source", info.source);
        output_cell_text(&out, "why", kiln_plan_why(plan));
    }
    output_table_end(&out);
    cli_counters(cli, &out);
    return output_end(&out);
}

static int explain(cli_state *cli, const char *path, const kiln_session_options *options) {
    kiln_device *device;
    kiln_queue *queue;
    kiln_session *session;
    kiln_net *net;
    int status = cli_open_device(cli, &device);
    if (status)
        return status;
    if (kiln_net_open(cli->context, path, &net) != KILN_OK)
        return cli_fail(NULL);
    if (kiln_queue_create(device, &queue) != KILN_OK) {
        kiln_net_destroy(net);
        return cli_fail(NULL);
    }
    status = kiln_session_create(net, queue, options, &session) == KILN_OK ? 0 : cli_fail(NULL);
    if (!status) {
        status = show(cli, path, device, session, options->buckets[0]);
        kiln_session_destroy(session);
    }
    kiln_queue_destroy(queue);
    kiln_net_destroy(net);
    return status;
}

static int run(cli_state *cli, int argc, char **argv) {
    kiln_session_options session = KILN_SESSION_OPTIONS_INIT;
    const char *path = NULL, *halos = NULL;
    int64_t batch = 16, board = 0;
    const option options[] = {{"--batch", OPTION_INT, &batch, 1, 65536},
                              {"--board", OPTION_INT, &board, 1, 1024},
                              {"--halos", OPTION_TEXT, &halos, 0, 0},
                              {"--type", OPTION_TYPE, &session.type, 0, 0},
                              {"--variant", OPTION_TEXT, &session.variant, 0, 0},
                              {0}};
    int status = cli_options(cli, argc, argv, options, &path, 1, 1);
    if (status || (status = cli_halos(cli, halos, &session.halos)) || (status = cli_open(cli)))
        return status;
    const int32_t bucket = (int32_t)batch;
    session.buckets = &bucket;
    session.n_buckets = 1;
    session.board_h = session.board_w = (int32_t)board;
    return explain(cli, path, &session);
}

const command command_net_explain = {
    .name = "net explain",
    .usage = "net explain NET [--batch N] [--board N] [--halos H] [--type T] [--variant V]",
    .summary = "Show how a net's activations lie and what each of its problems runs",
    .help = "  --batch N      positions evaluated at once (default 16)\n"
            "  --board N      edge of the board (default: the net's)\n"
            "  --halos H      fastest (default): by what is on record; usual: where convolutions use them; none\n"
            "  --type T       what the net stores: f32 (default), f16 or bf16\n"
            "  --variant V    force a variant where it applies, e.g. ref\n"
            "`layout` says which tensors keep a halo of zeros, and by which times. Why a problem runs what it runs is\n"
            "in the JSON, and in `kiln explain PROBLEM`.\n\n"
            "Example: kiln net explain net.bin.gz --batch 16 --board 19\n",
    .run = run,
};
