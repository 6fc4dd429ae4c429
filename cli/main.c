/* kiln: the command. Global options, the table of commands, and what they share. */
#include "cli.h"
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const command *const commands[] = {
    &command_devices,   &command_problems,    &command_explain,      &command_bench,       &command_net_check,
    &command_net_bench, &command_net_explain, &command_tune,         &command_compile,     &command_warm,
    &command_demo,      &command_cache_ls,    &command_cache_verify, &command_cache_prune,
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static const char global_help[] =
    "Options of every command:\n"
    "  --device NAME     device to use, e.g. opencl:0 (default: KILN_DEVICE, else the first of `kiln devices`)\n"
    "  --cache-dir DIR   store of records and binaries (default: KILN_CACHE_DIR, else ~/.cache/kiln; empty: none)\n"
    "  --json            print one JSON object instead of text\n"
    "  --help            this text, or after a command its manual\n"
    "  --version         the release\n";

double cli_now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* How long this process has lived, in milliseconds: loading and linking are part of the first result's time. The
 * kernel keeps the start in clock ticks, so this is right to 10 ms. 0 where /proc does not tell. */
static double process_age_ms(void) {
    char text[1024];
    FILE *f = fopen("/proc/self/stat", "r");
    if (!f)
        return 0;
    const size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    /* The second field, the name, may hold spaces; the start is field 22, the 20th after its ')'. */
    const char *p = strrchr(text, ')');
    for (int field = 2; p && field < 22; field++)
        p = strchr(p + 1, ' ');
    struct timespec now;
    const long ticks = sysconf(_SC_CLK_TCK);
    if (!p || ticks <= 0 || clock_gettime(CLOCK_BOOTTIME, &now) != 0)
        return 0;
    const double start_ms = (double)strtoull(p + 1, NULL, 10) * 1e3 / (double)ticks;
    const double age_ms = (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6 - start_ms;
    return age_ms > 0 && age_ms < 60e3 ? age_ms : 0;
}

/* PoCL's workers may share one core unless they are bound to cores of their own. This process is ours, so we may ask
 * for it, except where the process may not use every core: PoCL then binds to cores that are not to be had. */
static void bind_cpu_workers(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0 || CPU_COUNT(&set) < sysconf(_SC_NPROCESSORS_ONLN))
        return;
    setenv("POCL_AFFINITY", "1", 0);
}

int cli_usage(const cli_state *cli, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "kiln: ");
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "; see kiln %s%s--help\n", cli->command ? cli->command : "", cli->command ? " " : "");
    return EXIT_USAGE;
}

int cli_fail(const char *doing) {
    if (doing)
        fprintf(stderr, "kiln: %s: %s\n", doing, kiln_last_error());
    else
        fprintf(stderr, "kiln: %s\n", kiln_last_error());
    return 1;
}

int cli_open(cli_state *cli) {
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    options.cache_dir = cli->cache_dir;
    if (cli->context)
        return 0;
    return kiln_context_create(&options, &cli->context) == KILN_OK ? 0 : cli_fail(NULL);
}

int cli_open_device(cli_state *cli, kiln_device **device) {
    if (cli_open(cli))
        return 1;
    return kiln_device_find(cli->context, cli->device_name, device) == KILN_OK ? 0 : cli_fail(NULL);
}

static void print_help(void) {
    printf("usage: kiln COMMAND [ARGUMENT...] [OPTION...]\n\n"
           "Fused inference kernels, compiled at run time, remembered, replayed as graphs.\n\n");
    for (int i = 0; i < N_COMMANDS; i++)
        printf("  %-14s %s\n", commands[i]->name, commands[i]->summary);
    printf("\n%s\n`kiln COMMAND --help` has each command's options and an example. The environment is described in "
           "kiln/kiln.h.\n",
           global_help);
}

static void print_command_help(const command *c) {
    printf("usage: kiln %s\n\n%s.\n\n%s\n%s", c->usage, c->summary, c->help, global_help);
}

/* `kiln net --help`: every command of a group. */
static bool print_group_help(const char *group) {
    const size_t length = strlen(group);
    bool found = false;
    for (int i = 0; i < N_COMMANDS; i++) {
        const command *c = commands[i];
        if (strncmp(c->name, group, length) != 0 || c->name[length] != ' ')
            continue;
        printf("%susage: kiln %s\n\n%s.\n\n%s", found ? "\n" : "", c->usage, c->summary, c->help);
        found = true;
    }
    if (found)
        printf("\n%s", global_help);
    return found;
}

/* The command that the words name, and how many words that took. */
static const command *find_command(int argc, char **argv, int *words) {
    for (int i = 0; i < N_COMMANDS; i++) {
        const command *c = commands[i];
        const char *space = strchr(c->name, ' ');
        const size_t first = space ? (size_t)(space - c->name) : strlen(c->name);
        if (strlen(argv[0]) != first || strncmp(c->name, argv[0], first) != 0)
            continue;
        *words = space ? 2 : 1;
        if (!space || (argc > 1 && strcmp(space + 1, argv[1]) == 0))
            return c;
    }
    return NULL;
}

/* Takes the global options out of argv. Returns 0 or EXIT_USAGE. */
static int take_globals(cli_state *cli, int *argc, char **argv, bool *help, bool *version) {
    int n = 0;
    for (int i = 0; i < *argc; i++) {
        const char **text = NULL;
        if (strcmp(argv[i], "--") == 0) { /* what follows is arguments */
            while (i < *argc)
                argv[n++] = argv[i++];
            break;
        }
        if (strcmp(argv[i], "--json") == 0)
            cli->json = true;
        else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            *help = true;
        else if (strcmp(argv[i], "--version") == 0)
            *version = true;
        else if (strcmp(argv[i], "--device") == 0 || strncmp(argv[i], "--device=", 9) == 0)
            text = &cli->device_name;
        else if (strcmp(argv[i], "--cache-dir") == 0 || strncmp(argv[i], "--cache-dir=", 12) == 0)
            text = &cli->cache_dir;
        else
            argv[n++] = argv[i];
        if (!text)
            continue;
        const char *equals = strchr(argv[i], '=');
        if (!equals && i + 1 == *argc)
            return cli_usage(cli, "%s needs a value", argv[i]);
        *text = equals ? equals + 1 : argv[++i];
    }
    *argc = n;
    return 0;
}

static int run(cli_state *cli, int argc, char **argv) {
    bool help = false, version = false;
    const int status = take_globals(cli, &argc, argv, &help, &version);
    if (status)
        return status;
    if (version) {
        printf("kiln %s\n", kiln_version());
        return 0;
    }
    if (argc == 0) {
        if (help) {
            print_help();
            return 0;
        }
        return cli_usage(cli, "what to do?");
    }
    if (argv[0][0] == '-')
        return cli_usage(cli, "unknown option '%s'", argv[0]);
    int words = 1;
    const command *c = find_command(argc, argv, &words);
    if (!c) {
        if (help && print_group_help(argv[0]))
            return 0;
        if (words == 2 && argc > 1)
            return cli_usage(cli, "unknown command '%s %s'", argv[0], argv[1]);
        return cli_usage(cli, words == 2 ? "'%s' needs a command after it" : "unknown command '%s'", argv[0]);
    }
    if (help) {
        print_command_help(c);
        return 0;
    }
    cli->command = c->name;
    return c->run(cli, argc - words, argv + words);
}

int main(int argc, char **argv) {
    cli_state cli = {.program = argc > 0 ? argv[0] : "kiln", .start_ms = cli_now_ms()};
    cli.start_ms -= process_age_ms();
    bind_cpu_workers();
    int status = run(&cli, argc > 0 ? argc - 1 : 0, argv + 1);
    kiln_context_destroy(cli.context);
    errno = 0;
    if (status == 0 && (fflush(stdout) != 0 || ferror(stdout))) {
        fprintf(stderr, "kiln: cannot write the output: %s\n", strerror(errno));
        status = 1;
    }
    return status;
}
