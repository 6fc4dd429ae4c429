/* kiln explain: how a problem is planned, and why so. */
#include "cli.h"
#include <stdio.h>
#include <string.h>

static const char *const roles[] = {"input", "weight", "packed", "output"};

static const output_column columns[] = {
    {"operand", "operand", NULL}, {"role", "role", NULL}, {"type", "type", NULL},
    {"shape", "shape", NULL},     {"axes", "axes", NULL}, {"bytes", "bytes", NULL},
};

static void add_operand(output *out, const kiln_operand *operand) {
    char shape[128] = "";
    size_t n = 0;
    for (uint32_t i = 0; i < operand->rank && n < sizeof shape; i++)
        n += (size_t)snprintf(shape + n, sizeof shape - n, "%s%lld", i ? "x" : "", (long long)operand->shape[i]);
    output_row(out);
    output_cell_text(out, "operand", operand->name);
    output_cell_text(out, "role", roles[operand->role <= KILN_ROLE_OUTPUT ? operand->role : 0]);
    output_cell_text(out, "type", kiln_type_name(operand->type));
    output_cell_text(out, "shape", shape);
    output_cell_text(out, "axes", operand->axes);
    output_cell_number(out, "halo", (double)operand->halo);
    output_cell_number(out, "align_bytes", (double)operand->align_bytes);
    output_cell_number(out, "bytes", (double)operand->bytes);
}

static int show(const cli_state *cli, const kiln_device *device, const kiln_plan *plan) {
    kiln_plan_info info = KILN_PLAN_INFO_INIT;
    kiln_device_info on = KILN_DEVICE_INFO_INIT;
    if (kiln_plan_get_info(plan, &info) != KILN_OK || kiln_device_get_info(device, &on) != KILN_OK)
        return cli_fail(NULL);
    output out;
    output_begin(&out, cli->json);
    output_text(&out, "problem", "problem", info.problem);
    output_text(&out, "device", "device", on.name);
    output_text(&out, "variant", "variant", info.variant);
    output_text(&out, "config", "config", info.config);
    output_text(&out, "source", "chosen by", info.source);
    output_number(&out, "prepare_steps", "prepare", "%.0f steps", (double)info.n_prepare_steps);
    output_number(&out, "run_steps", "run", "%.0f steps", (double)info.n_run_steps);
    output_number(&out, "workspace_bytes", "workspace", "%.0f bytes", (double)info.workspace_bytes);
    output_number(&out, "flops", "arithmetic", "%.4g floating-point operations", info.flops);
    output_number(&out, "bytes", "memory", "%.4g bytes, each operand moved once", info.bytes);
    if (cli->json)
        output_text(&out, "why", NULL, kiln_plan_why(plan));
    else
        printf("\nwhy\n%s\n", kiln_plan_why(plan));
    output_table(&out, "operands", columns, sizeof columns / sizeof columns[0]);
    const kiln_operand *operand;
    for (size_t i = 0; (operand = kiln_plan_operand(plan, i)); i++)
        add_operand(&out, operand);
    output_table_end(&out);
    cli_counters(cli, &out);
    return output_end(&out);
}

static int run(cli_state *cli, int argc, char **argv) {
    kiln_plan_options plan_options = KILN_PLAN_OPTIONS_INIT;
    const char *text = NULL;
    const option options[] = {{"--variant", OPTION_TEXT, &plan_options.variant, 0, 0},
                              {"--config", OPTION_TEXT, &plan_options.config, 0, 0},
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
    kiln_plan *plan;
    if (kiln_plan_create(device, &problem, &plan_options, &plan) != KILN_OK)
        return cli_fail(NULL);
    status = show(cli, device, plan);
    kiln_plan_destroy(plan);
    return status;
}

const command command_explain = {
    .name = "explain",
    .usage = "explain PROBLEM [--variant V] [--config C]",
    .summary = "Show how a problem is planned on a device, and why each rung of the ladder was taken or left",
    .help = "  PROBLEM        e.g. gemm:m=64,n=256,k=256,ep=bias+relu; `kiln problems` has the fields\n"
            "  --variant V    plan only this variant, e.g. ref\n"
            "  --config C     with these parameters, e.g. mr=6,nv=2; those left out are guessed\n"
            "`why` has one line for each candidate that was considered, best first, with the reason it was left.\n\n"
            "Example: kiln explain conv:n=8,h=19,w=19,ic=96,oc=96,kh=3,kw=3,ihalo=1,ep=bias+relu\n",
    .run = run,
};
