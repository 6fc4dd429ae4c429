/* kiln problems: which operations a net needs, and the manual of each family's fields. */
#include "cli.h"
#include <stdio.h>
#include <stdlib.h>

static const output_column columns[] = {{"count", "count", NULL}, {"problem", "problem", NULL}};

static kiln_status visit(void *user, const kiln_problem *problem, size_t count) {
    output *out = user;
    char key[KILN_MAX_KEY];
    kiln_problem_key(problem, key, sizeof key);
    output_row(out);
    output_cell_number(out, "count", (double)count);
    output_cell_text(out, "problem", key);
    return KILN_OK;
}

static int list_net(cli_state *cli, output *out, const char *path, int64_t batch, int64_t board, kiln_type type) {
    kiln_net *net;
    if (kiln_net_open(cli->context, path, &net) != KILN_OK)
        return cli_fail(NULL);
    kiln_net_info info = KILN_NET_INFO_INIT;
    int status = kiln_net_get_info(net, &info) == KILN_OK ? 0 : cli_fail(NULL);
    if (!status) {
        output_text(out, "net", NULL, info.name);
        output_number(out, "batch", NULL, NULL, (double)batch);
        output_number(out, "board", NULL, NULL, (double)(board ? board : info.default_board));
        output_table(out, "problems", columns, sizeof columns / sizeof columns[0]);
        if (kiln_net_problems(net, (int32_t)batch, (int32_t)board, (int32_t)board, type, visit, out) != KILN_OK)
            status = cli_fail(NULL);
        output_table_end(out);
    }
    kiln_net_destroy(net);
    return status;
}

static int show_family(const cli_state *cli, output *out, const char *family) {
    const size_t length = kiln_family_help(cli->context, family, NULL, 0);
    char *text = length ? malloc(length + 1) : NULL;
    if (!text) {
        fprintf(stderr, "kiln: no family '%s'; `kiln problems` lists them\n", family);
        return 1;
    }
    kiln_family_help(cli->context, family, text, length + 1);
    output_text(out, "family", NULL, family);
    if (cli->json)
        output_text(out, "manual", NULL, text);
    else
        fputs(text, stdout);
    free(text);
    return 0;
}

static void list_families(const cli_state *cli, output *out) {
    static const output_column names[] = {{"family", "family", NULL}};
    output_table(out, "families", names, 1);
    for (size_t i = 0; i < kiln_family_count(cli->context); i++) {
        output_row(out);
        output_cell_text(out, "family", kiln_family_name(cli->context, i));
    }
    output_table_end(out);
}

static int run(cli_state *cli, int argc, char **argv) {
    int64_t batch = 1, board = 0;
    const char *family = NULL, *path = NULL;
    kiln_type type = KILN_TYPE_F32;
    const option options[] = {{"--batch", OPTION_INT, &batch, 1, 65536},
                              {"--board", OPTION_INT, &board, 1, 1024},
                              {"--type", OPTION_TYPE, &type, 0, 0},
                              {"--family", OPTION_TEXT, &family, 0, 0},
                              {0}};
    int status = cli_options(cli, argc, argv, options, &path, 0, 1);
    if (status)
        return status;
    if (family && path)
        return cli_usage(cli, "a net or --family, not both");
    if ((status = cli_open(cli)))
        return status;
    output out;
    output_begin(&out, cli->json);
    if (path)
        status = list_net(cli, &out, path, batch, board, type);
    else if (family)
        status = show_family(cli, &out, family);
    else
        list_families(cli, &out);
    if (status)
        out.json = false; /* nothing half-made */
    const int end = output_end(&out);
    return status ? status : end;
}

const command command_problems = {
    .name = "problems",
    .usage = "problems [NET [--batch N] [--board N] [--type T] | --family NAME]",
    .summary = "List the distinct problems of a net, or the fields of a family",
    .help = "A problem is one operation with its shapes, types, layouts and epilogue, written as text. Every other\n"
            "command takes the texts that this one prints.\n\n"
            "  NET            a network file, or a seeded one such as tower:blocks=9,channels=256,board=9\n"
            "  --batch N      positions evaluated at once (default 1)\n"
            "  --board N      edge of the board (default: the net's)\n"
            "  --type T       what the net stores: f32 (default), f16 or bf16\n"
            "  --family NAME  the fields of a family with their ranges, defaults and meaning\n"
            "Without arguments the families are listed.\n\n"
            "Example: kiln problems net.bin.gz --batch 8 --board 19\n",
    .run = run,
};
