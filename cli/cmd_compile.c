/* kiln compile: the kernels of problems, compiled for architectures that need not be here. */
#include "arch.h"
#include <stdio.h>
#include <string.h>

static const output_column columns[] = {
    {"arch", "arch", NULL},           {"variant", "variant", NULL}, {"config", "config", NULL},
    {"result", "result", NULL},       {"ms", "ms", "%.0f"},         {"kernels", "kernels", NULL},
    {"registers", "registers", NULL}, {"spills", "spills", NULL},   {"local_bytes", "local bytes", NULL},
    {"problem", "problem", NULL},
};

typedef struct compile_request {
    const char *backend, *archs;
    const char *problems[MAX_ARGUMENTS];
    bool all;
    int64_t samples, units, seed;
    kiln_compile_options options;
    arch_list list;
} compile_request;

typedef struct compile_state {
    output out;
    const char *arch, *problem;
    unsigned n, n_compiled, n_failed, n_misfits, n_spilling;
    double ms;
} compile_state;

static kiln_status visit(void *user, const kiln_compile_row *row) {
    compile_state *s = user;
    output *out = &s->out;
    s->n++;
    s->n_compiled += row->n_compiled;
    s->ms += row->ms;
    output_row(out);
    output_cell_text(out, "arch", s->arch);
    output_cell_text(out, "problem", s->problem);
    output_cell_text(out, "variant", row->variant);
    output_cell_text(out, "config", row->config);
    output_cell_text(out, "result", !row->reason ? "ok" : row->is_misfit ? "too large" : "failed");
    output_cell_text(out, "reason", row->reason);
    output_cell_number(out, "ms", row->ms);
    output_cell_number(out, "compiled", row->n_compiled);
    if (row->reason) { /* at once: the table comes at the end */
        s->n_misfits += row->is_misfit != 0;
        s->n_failed += row->is_misfit == 0;
        if (!row->is_misfit)
            fprintf(stderr, "kiln: %s: %s: %s\n", s->arch, row->variant, row->reason);
        return KILN_OK;
    }
    s->n_spilling += row->spills > 0;
    output_cell_number(out, "kernels", row->n_kernels);
    output_cell_number(out, "registers", row->registers);
    output_cell_number(out, "spills", row->spills);
    output_cell_number(out, "local_bytes", (double)row->local_bytes);
    output_cell_number(out, "private_bytes", (double)row->private_bytes);
    return KILN_OK;
}

/* A family that --all would leave out silently. */
static int check_families(const cli_state *cli) {
    int status = 0;
    for (size_t i = 0; i < kiln_family_count(cli->context); i++) {
        const char *family = kiln_family_name(cli->context, i);
        const size_t length = strlen(family);
        bool found = false;
        for (const char *const *p = compile_problems; *p; p++)
            found = found || (strncmp(*p, family, length) == 0 && (*p)[length] == ':');
        if (!found) {
            fprintf(stderr, "kiln: --all knows no problem of family %s\n", family);
            status = 1;
        }
    }
    return status;
}

static int compile_problem(const cli_state *cli, const compile_request *r, kiln_device *device, const char *text,
                           compile_state *s) {
    kiln_problem problem;
    char key[KILN_MAX_KEY];
    if (kiln_problem_parse(cli->context, text, &problem) != KILN_OK)
        return cli_fail(NULL);
    kiln_problem_key(&problem, key, sizeof key);
    s->problem = key;
    return kiln_compile_problem(device, &problem, &r->options, visit, s) == KILN_OK ? 0 : cli_fail(key);
}

static int compile_all(cli_state *cli, const compile_request *r, compile_state *s) {
    for (size_t a = 0; a < r->list.n; a++) {
        kiln_device *device;
        s->arch = r->list.names[a];
        if (kiln_device_open_arch(cli->context, r->backend, s->arch, (uint32_t)r->units, &device) != KILN_OK)
            return cli_fail(NULL);
        for (size_t i = 0; i < MAX_ARGUMENTS && r->problems[i]; i++)
            if (compile_problem(cli, r, device, r->problems[i], s))
                return 1;
        for (const char *const *p = compile_problems; r->all && *p; p++)
            if (compile_problem(cli, r, device, *p, s))
                return 1;
    }
    return 0;
}

static void show_sums(compile_state *s) {
    output_line(&s->out, "%s", "");
    output_number(&s->out, "n_candidates", "candidates", NULL, s->n);
    output_number(&s->out, "n_programs", "programs compiled", NULL, s->n_compiled);
    output_number(&s->out, "n_failed", "failed", NULL, s->n_failed);
    output_number(&s->out, "n_misfits", "too large", NULL, s->n_misfits);
    output_number(&s->out, "n_spilling", "spilling", NULL, s->n_spilling);
    output_number(&s->out, "seconds", "seconds", "%.1f", s->ms * 1e-3);
}

static int compile(cli_state *cli, const compile_request *r) {
    compile_state s = {0};
    output_begin(&s.out, cli->json);
    output_text(&s.out, "backend", NULL, r->backend);
    output_table(&s.out, "candidates", columns, sizeof columns / sizeof columns[0]);
    int status = compile_all(cli, r, &s);
    output_table_end(&s.out);
    if (!status)
        show_sums(&s);
    if (status)
        s.out.json = false; /* nothing half-made */
    const int end = output_end(&s.out);
    return status || end || s.n_failed ? 1 : 0;
}

static int run(cli_state *cli, int argc, char **argv) {
    compile_request r = {.backend = "cuda", .samples = 1, .options = KILN_COMPILE_OPTIONS_INIT};
    const option options[] = {{"--backend", OPTION_TEXT, &r.backend, 0, 0},
                              {"--arch", OPTION_TEXT, &r.archs, 0, 0},
                              {"--units", OPTION_INT, &r.units, 1, 65536},
                              {"--all", OPTION_FLAG, &r.all, 0, 0},
                              {"--variant", OPTION_TEXT, &r.options.variant, 0, 0},
                              {"--samples", OPTION_INT, &r.samples, 0, 1000},
                              {"--seed", OPTION_INT, &r.seed, 0, 9e15},
                              {0}};
    int status = cli_options(cli, argc, argv, options, r.problems, 0, MAX_ARGUMENTS);
    if (status)
        return status;
    if (!r.archs || !arch_list_parse(r.archs, &r.list))
        return cli_usage(cli, "--arch takes architectures, e.g. sm_80,sm_90a");
    if (!r.all && !r.problems[0])
        return cli_usage(cli, "give problems, or --all");
    if (r.all && r.options.variant)
        return cli_usage(cli, "--variant is for one family; --all compiles every one");
    r.options.n_samples = (uint32_t)r.samples;
    r.options.seed = (uint64_t)r.seed;
    if ((status = cli_open(cli)) || (r.all && (status = check_families(cli))))
        return status;
    return compile(cli, &r);
}

const command command_compile = {
    .name = "compile",
    .usage = "compile --arch LIST [--all] [--samples N] [--variant V] [PROBLEM...]",
    .summary = "Compile the variants of problems for GPUs that need not be here",
    .help =
        "  --arch LIST    architectures, e.g. sm_75,sm_80,sm_86,sm_89,sm_90a,sm_100a,sm_120\n"
        "  --all          a built-in list of problems that uses every family and type\n"
        "  --samples N    configs of each variant beside the guess, drawn from its space (default 1)\n"
        "  --seed N       of the draw\n"
        "  --variant V    only this variant\n"
        "  --units N      compute units of the GPU, on which guesses depend (default: those of a common model)\n"
        "  --backend B    cuda (the default, and the only one that can)\n"
        "Needs the backend's compiler (NVRTC), and no GPU. `spills` are instructions that move registers to memory\n"
        "for want of them. `too large` is a drawn config whose compiled kernel does not fit. What compiles is kept\n"
        "in the store. The exit status is 1 when a candidate failed.\n\n"
        "Example: kiln compile --arch sm_80,sm_90a gemm:m=512,n=512,k=512,type=f16\n",
    .run = run,
};
