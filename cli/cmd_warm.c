/* kiln warm: fills the store with the kernels of a net, for a GPU that is not here. */
#include "arch.h"
#include <stdio.h>

typedef struct warm_state {
    kiln_device *device;
    batch_list batches;
    int64_t board;
    kiln_type type;
    unsigned n_problems;
} warm_state;

/* As a session plans it on a device without records. */
static kiln_status visit(void *user, const kiln_problem *problem, size_t count) {
    (void)count;
    warm_state *s = user;
    kiln_plan_options options = KILN_PLAN_OPTIONS_INIT;
    options.effort = KILN_PLAN_UNTUNED;
    kiln_plan *plan = NULL;
    s->n_problems++;
    const kiln_status status = kiln_plan_create(s->device, problem, &options, &plan);
    kiln_plan_destroy(plan);
    return status;
}

static void show(const cli_state *cli, const char *net, const kiln_device_info *on, const warm_state *s, double ms) {
    output out;
    output_begin(&out, cli->json);
    output_text(&out, "net", "net", net);
    output_text(&out, "arch", "architecture", on->arch);
    output_number(&out, "units", "units", NULL, on->units);
    output_text(&out, "compiler", "compiler", on->compiler);
    output_number(&out, "n_problems", "problems", NULL, s->n_problems);
    output_number(&out, "seconds", "seconds", "%.1f", ms * 1e-3);
    output_text(&out, "store", "store", kiln_cache_dir(cli->context));
    cli_counters(cli, &out);
    (void)output_end(&out);
}

static int warm(cli_state *cli, const char *path, const char *arch, warm_state *s) {
    const double start = cli_now_ms();
    kiln_device_info on = KILN_DEVICE_INFO_INIT;
    kiln_net *net;
    kiln_status status = kiln_net_open(cli->context, path, &net);
    if (status != KILN_OK)
        return cli_fail(NULL);
    for (size_t i = 0; i < s->batches.n && status == KILN_OK; i++)
        status = kiln_net_problems(net, s->batches.v[i], (int32_t)s->board, (int32_t)s->board, s->type, visit, s);
    kiln_net_destroy(net);
    if (status != KILN_OK || kiln_device_get_info(s->device, &on) != KILN_OK)
        return cli_fail(arch);
    show(cli, path, &on, s, cli_now_ms() - start);
    return 0;
}

static int run(cli_state *cli, int argc, char **argv) {
    warm_state s = {.batches = {{1, 2, 4, 8, 16, 32, 64}, 7}}; /* what a session makes buckets of by default */
    const char *path = NULL, *arch = NULL, *backend = "cuda";
    int64_t units = 0;
    const option options[] = {{"--arch", OPTION_TEXT, &arch, 0, 0},
                              {"--units", OPTION_INT, &units, 1, 65536},
                              {"--backend", OPTION_TEXT, &backend, 0, 0},
                              {"--batch", OPTION_BATCHES, &s.batches, 0, 0},
                              {"--board", OPTION_INT, &s.board, 1, 1024},
                              {"--type", OPTION_TYPE, &s.type, 0, 0},
                              {0}};
    int status = cli_options(cli, argc, argv, options, &path, 1, 1);
    if (status)
        return status;
    if (!arch)
        return cli_usage(cli, "--arch says what to compile for, e.g. sm_90a");
    if ((status = cli_open(cli)))
        return status;
    if (!kiln_cache_dir(cli->context)[0]) {
        fprintf(stderr, "kiln: there is no store to fill; give --cache-dir\n");
        return 1;
    }
    if (kiln_device_open_arch(cli->context, backend, arch, (uint32_t)units, &s.device) != KILN_OK)
        return cli_fail(NULL);
    return warm(cli, path, arch, &s);
}

const command command_warm = {
    .name = "warm",
    .usage = "warm NET --arch A [--units N] [--batch 1,8,16] [--board N] [--type T]",
    .summary = "Fill the store with a net's kernels, for a GPU that is not here",
    .help = "  --arch A       the GPU's architecture, e.g. sm_90a: `kiln devices` says it on the machine that has one\n"
            "  --units N      its compute units, on which guesses depend (default: those of a common model)\n"
            "  --batch LIST   batch sizes (default: 1,2,4,8,16,32,64, what sessions have by default)\n"
            "  --board N      edge of the board (default: the net's)\n"
            "  --type T       what the net stores: f32 (default), f16 or bf16\n"
            "  --backend B    cuda (the default, and the only one that can)\n"
            "Copy the store, or let KILN_CACHE_PATH name it: a process on that GPU, with the same version of Kiln and\n"
            "of NVRTC and no tuning records of its own, compiles nothing.\n\n"
            "Example: kiln warm net.bin.gz --arch sm_90a --units 132 --batch 1,16 --board 19\n",
    .run = run,
};
