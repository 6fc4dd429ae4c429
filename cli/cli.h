/* What the commands share: global options, the context they run in, their options, and how they fail.
 *
 * A command returns an exit status: 0 only when it did what was asked, 1 when something failed, 2 when it was asked
 * wrongly. Failures are printed to standard error as "kiln: text". */
#ifndef KILN_CLI_CLI_H
#define KILN_CLI_CLI_H

#include "output.h"
#include <kiln/kiln.h>
#include <stddef.h>

enum { EXIT_USAGE = 2, MAX_ARGUMENTS = 8, MAX_BATCHES = 32 };

typedef struct cli_state {
    const char *device_name; /* NULL: KILN_DEVICE, else the first */
    const char *cache_dir;   /* NULL: KILN_CACHE_DIR and so on */
    bool json;
    const char *program;   /* argv[0] */
    double start_ms;       /* on cli_now_ms's clock, when this process was started */
    const char *command;   /* name of the running command, for messages: "net check" */
    kiln_context *context; /* after cli_open */
} cli_state;

typedef struct command {
    const char *name; /* "net check" */
    const char *usage;
    const char *summary;                               /* one line */
    const char *help;                                  /* options, what the output means, an example */
    int (*run)(cli_state *cli, int argc, char **argv); /* argv[0] is the first argument after the command */
} command;

/* One file each, cmd_*.c; main.c has the table. */
extern const command command_devices, command_problems, command_explain, command_bench, command_net_check,
    command_net_bench, command_cache_ls, command_cache_verify, command_cache_prune, command_demo, command_tune,
    command_compile, command_warm, command_net_explain;

/* ---- options ---- */

typedef enum option_kind {
    OPTION_FLAG,    /* bool *: becomes true */
    OPTION_TEXT,    /* const char ** */
    OPTION_INT,     /* int64_t *: from min to max */
    OPTION_REAL,    /* double *: from min to max */
    OPTION_BATCHES, /* batch_list *: 1,8,16 */
    OPTION_TYPE     /* kiln_type *: f32, f16 or bf16 */
} option_kind;

typedef struct batch_list {
    int32_t v[MAX_BATCHES];
    size_t n;
} batch_list;
bool batches_ascend(const batch_list *b);

typedef struct option {
    const char *name; /* "--batch" */
    option_kind kind;
    void *to;
    double min, max; /* of INT and REAL */
} option;

/* Reads the options of a command, ended by a NULL name, and its arguments. Fewer than `min_arguments` or more than
 * `max_arguments` is a usage error. Returns 0, or EXIT_USAGE after printing why. */
int cli_options(const cli_state *cli, int argc, char **argv, const option *options, const char **arguments,
                int min_arguments, int max_arguments);

/* fastest (also for NULL), usual or none. Returns 0, or EXIT_USAGE after printing why. */
int cli_halos(const cli_state *cli, const char *text, kiln_session_halos *out);

/* ---- running ---- */

/* Creates the context by the global options. */
int cli_open(cli_state *cli);
/* cli_open and the device asked for. */
int cli_open_device(cli_state *cli, kiln_device **device);

/* Prints the text of the last failing Kiln call, after `doing: ` unless NULL; returns 1. */
int cli_fail(const char *doing);
/* Prints a usage error; returns EXIT_USAGE. */
int cli_usage(const cli_state *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

double cli_now_ms(void);

/* The counters: in JSON the group "counters", on a terminal those that are not zero. */
void cli_counters(const cli_state *cli, output *out);

/* Inputs and outputs on the host for one batch of a net: inputs hold 0 and 1 by a fixed seed, a board's channel 0 (the
 * on-board mask) holds 1. */
typedef struct host_batch {
    float *inputs[16], *outputs[16];
    size_t output_elems[16]; /* of the whole batch */
    size_t n_inputs, n_outputs;
} host_batch;
int host_batch_make(const kiln_net *net, int32_t batch, int64_t board, host_batch *out); /* 1 after printing why */
void host_batch_free(host_batch *b);

#endif
