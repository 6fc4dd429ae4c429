#include "child.h"
#include <cJSON.h>
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { MAX_REPORT_BYTES = 1 << 20 };

/* Everything a pipe brings, NUL-terminated; NULL when there is too much of it or no memory. */
static char *read_all(int fd) {
    char *text = malloc(MAX_REPORT_BYTES);
    size_t n = 0;
    while (text && n < MAX_REPORT_BYTES - 1) {
        const ssize_t got = read(fd, text + n, MAX_REPORT_BYTES - 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    if (text)
        text[n] = 0;
    return text;
}

/* Runs argv with standard output in a pipe; the output, or NULL if it did not exit with 0. */
static char *capture(const char *path, char **argv, char **environment) {
    int ends[2], status = 1;
    pid_t pid;
    if (pipe(ends) != 0)
        return NULL;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    const int failed = posix_spawn(&pid, path, &actions, NULL, argv, environment);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    char *text = failed ? NULL : read_all(ends[0]);
    close(ends[0]);
    while (!failed && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (failed || status != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* The environment with one variable replaced; its entries are borrowed. */
static char **environment_with(char *assignment, size_t name_length) {
    size_t n = 0;
    while (environ[n])
        n++;
    char **copy = calloc(n + 2, sizeof *copy);
    size_t out = 0;
    for (size_t i = 0; copy && i < n; i++)
        if (strncmp(environ[i], assignment, name_length + 1) != 0)
            copy[out++] = environ[i];
    if (copy)
        copy[out] = assignment;
    return copy;
}

static bool read_number(const cJSON *object, const char *key, double *out) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!cJSON_IsNumber(item))
        return false;
    *out = item->valuedouble;
    return true;
}

static bool parse_report(const char *text, start_report *out) {
    cJSON *root = cJSON_Parse(text);
    const cJSON *counters = cJSON_GetObjectItemCaseSensitive(root, "counters");
    const bool ok = read_number(root, "first_result_ms", &out->first_result_ms) &&
                    read_number(counters, "compiles", &out->compiles) &&
                    read_number(counters, "binary_hits", &out->binary_hits);
    cJSON_Delete(root);
    return ok;
}

int child_start(const cli_state *cli, const char *net, const char *cache_dir, const char *pocl_cache,
                start_report *out) {
    char variable[4096];
    snprintf(variable, sizeof variable, "POCL_CACHE_DIR=%s", pocl_cache);
    char *argv[16] = {"kiln",  "--json",  "--cache-dir", (char *)cache_dir, "net",
                      "bench", "--batch", "1",           "--seconds",       "0.001"};
    size_t n = 10;
    if (cli->device_name) {
        argv[n++] = "--device";
        argv[n++] = (char *)cli->device_name;
    }
    argv[n++] = "--";
    argv[n++] = (char *)net;
    fflush(stdout);
    char **environment = environment_with(variable, strlen("POCL_CACHE_DIR"));
    char *text = environment ? capture("/proc/self/exe", argv, environment) : NULL;
    const bool ok = text && parse_report(text, out);
    free(text);
    free(environment);
    if (!ok)
        fprintf(stderr, "kiln: measuring the start in a process of its own failed\n");
    return ok ? 0 : 1;
}
