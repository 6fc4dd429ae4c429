/* kiln cache ls, verify, prune: the store on disk. */
#include "cli.h"
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static const char *const kinds[] = {"-", "records", "binary", "stray"};

typedef struct cache_state {
    output out;
    uint64_t n_entries, n_faults, n_bad_lines, bytes;
} cache_state;

static const output_column columns[] = {
    {"kind", "kind", NULL},         {"bytes", "bytes", NULL},   {"lines", "lines", NULL}, {"bad_lines", "bad", NULL},
    {"modified", "modified", NULL}, {"device", "device", NULL}, {"what", "what", NULL},
};
static const output_column verify_columns[] = {
    {"kind", "kind", NULL},
    {"bytes", "bytes", NULL},
    {"fault", "fault", NULL},
    {"path", "path", NULL},
};

static kiln_status visit(void *user, const kiln_cache_entry *entry) {
    cache_state *state = user;
    output *out = &state->out;
    char when[32] = "-";
    const time_t modified = (time_t)entry->modified;
    struct tm tm;
    if (gmtime_r(&modified, &tm))
        strftime(when, sizeof when, "%Y-%m-%d %H:%M", &tm);
    output_row(out);
    output_cell_text(out, "kind", kinds[entry->kind <= KILN_CACHE_STRAY ? entry->kind : 0]);
    output_cell_text(out, "path", entry->path);
    output_cell_text(out, "what", entry->what);
    output_cell_text(out, "device", entry->device);
    output_cell_number(out, "bytes", (double)entry->bytes);
    output_cell_text(out, "modified", when);
    if (entry->kind == KILN_CACHE_RECORDS) {
        output_cell_number(out, "lines", (double)entry->n_lines);
        output_cell_number(out, "bad_lines", (double)entry->n_bad_lines);
    }
    output_cell_text(out, "fault", entry->fault);
    state->n_entries++;
    state->n_faults += entry->fault != NULL;
    state->n_bad_lines += entry->n_bad_lines;
    state->bytes += entry->bytes;
    return KILN_OK;
}

static int finish(cache_state *state, kiln_status result, const char *verb) {
    output_table_end(&state->out);
    if (!state->out.json) {
        output_line(&state->out, "%s%" PRIu64 " entries, %.1f MB%s%s", state->n_entries ? "\n" : "", state->n_entries,
                    (double)state->bytes / 1e6, *verb ? " " : "", verb);
    } else {
        output_number(&state->out, "entries", NULL, NULL, (double)state->n_entries);
        output_number(&state->out, "bytes", NULL, NULL, (double)state->bytes);
        output_number(&state->out, "faults", NULL, NULL, (double)state->n_faults);
        output_number(&state->out, "bad_lines", NULL, NULL, (double)state->n_bad_lines);
    }
    const int end = output_end(&state->out);
    return result == KILN_OK ? end : cli_fail(NULL);
}

static int begin(cli_state *cli, cache_state *state) {
    const int status = cli_open(cli);
    if (status)
        return status;
    *state = (cache_state){0};
    output_begin(&state->out, cli->json);
    const char *dir = kiln_cache_dir(cli->context);
    output_text(&state->out, "cache_dir", "cache", *dir ? dir : "none");
    return 0;
}

static int run_ls(cli_state *cli, int argc, char **argv) {
    const option options[] = {{0}};
    cache_state state;
    int status = cli_options(cli, argc, argv, options, NULL, 0, 0);
    if (status || (status = begin(cli, &state)))
        return status;
    output_table(&state.out, "list", columns, sizeof columns / sizeof columns[0]);
    return finish(&state, kiln_cache_list(cli->context, visit, &state), "");
}

static int run_verify(cli_state *cli, int argc, char **argv) {
    const option options[] = {{0}};
    cache_state state;
    int status = cli_options(cli, argc, argv, options, NULL, 0, 0);
    if (status || (status = begin(cli, &state)))
        return status;
    output_table(&state.out, "list", verify_columns, sizeof verify_columns / sizeof verify_columns[0]);
    return finish(&state, kiln_cache_verify(cli->context, visit, &state), "read");
}

static int run_prune(cli_state *cli, int argc, char **argv) {
    kiln_cache_prune_options prune = KILN_CACHE_PRUNE_OPTIONS_INIT;
    int64_t max_bytes = 0, max_age_days = 0;
    bool all = false, dry_run = false;
    const option options[] = {{"--max-bytes", OPTION_INT, &max_bytes, 1, 1e15},
                              {"--max-age-days", OPTION_INT, &max_age_days, 1, 1e6},
                              {"--all", OPTION_FLAG, &all, 0, 0},
                              {"--dry-run", OPTION_FLAG, &dry_run, 0, 0},
                              {0}};
    cache_state state;
    int status = cli_options(cli, argc, argv, options, NULL, 0, 0);
    if (status || (status = begin(cli, &state)))
        return status;
    prune.max_bytes = (uint64_t)max_bytes;
    prune.max_age_days = (uint32_t)max_age_days;
    prune.all = all;
    prune.dry_run = dry_run;
    output_table(&state.out, "list", columns, sizeof columns / sizeof columns[0]);
    return finish(&state, kiln_cache_prune(cli->context, &prune, visit, &state), dry_run ? "would go" : "removed");
}

const command command_cache_ls = {
    .name = "cache ls",
    .usage = "cache ls",
    .summary = "List the records and binaries of the store",
    .help = "Records are measured trials, one file a problem, device and writer; binaries are compiled programs.\n\n"
            "Example: kiln cache ls\n",
    .run = run_ls,
};
const command command_cache_verify = {
    .name = "cache verify",
    .usage = "cache verify",
    .summary = "Read every entry of the store and check it; changes nothing",
    .help = "The exit status is 1 when an entry is damaged. Damaged entries do no harm: they are compiled or\n"
            "guessed again. `kiln cache prune` removes damaged binaries.\n\n"
            "Example: kiln cache verify\n",
    .run = run_verify,
};
const command command_cache_prune = {
    .name = "cache prune",
    .usage = "cache prune [--max-bytes N] [--max-age-days N] [--all] [--dry-run]",
    .summary = "Remove damaged binaries and leftovers, and what is past the limits",
    .help = "  --max-bytes N     keep at most this much of binaries; those unused longest go first\n"
            "  --max-age-days N  remove binaries not used for so long\n"
            "  --all             remove every binary and every record\n"
            "  --dry-run         list what would go, remove nothing\n"
            "Records are measured time and stay unless --all is given. Only the folder that is written to is\n"
            "touched, never the read-only layers of KILN_CACHE_PATH.\n\n"
            "Example: kiln cache prune --max-bytes 100000000 --dry-run\n",
    .run = run_prune,
};
