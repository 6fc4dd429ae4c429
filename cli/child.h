/* Running this command again in a process of its own, so that a start is measured as users meet it. */
#ifndef KILN_CLI_CHILD_H
#define KILN_CLI_CHILD_H

#include "cli.h"

/* A process's way to its first result. */
typedef struct start_report {
    double first_result_ms;
    double compiles, binary_hits;
} start_report;

/* Runs `net bench NET --batch 1 --json` in a new process over the store `cache_dir` and reads its report. `pocl_cache`
 * replaces PoCL's own cache, so that a first start compiles in earnest. Returns 1 after printing why. */
int child_start(const cli_state *cli, const char *net, const char *cache_dir, const char *pocl_cache,
                start_report *out);

#endif
