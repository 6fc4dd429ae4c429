/* Kiln beside libraries that people know, on the same problems, in turns in one process.
 *
 * A case is a problem with its data. Each library opens runners for it: ways to compute the case, with weights laid
 * out beforehand as that way likes them. measure.c runs them in turns, main.c checks that they agree, report.c says
 * what came out. This program sees Kiln's public headers only, and Kiln never sees these libraries. */
#ifndef KILN_PERF_PEERS_H
#define KILN_PERF_PEERS_H

#include <kiln/kiln.h>
#include <stdio.h>
#include <string.h>

enum { PEERS_MAX_RUNNERS = 8, PEERS_MAX_PASSES = 9, PEERS_MAX_TEXT = 192 };

/* A convolution with a halo of zeros around the board, or a gemm as one: a 1x1 kernel over a board of 1 by m. */
typedef struct peers_case {
    kiln_problem problem;
    char key[KILN_MAX_KEY];
    bool is_conv;
    bool has_bias_relu;
    int64_t batch, h, w, ic, oc, kernel;
    int64_t m, n, k;               /* the same as a matrix product */
    float *input, *weights, *bias; /* [batch,h,w,ic], [kernel,kernel,ic,oc], [oc] */
    size_t n_input, n_weights, n_output;
} peers_case;

/* One way to compute a case. `state` belongs to it. Functions return false after saying on standard error why. */
typedef struct peers_runner {
    const char *peer;            /* "kiln", "onednn", "onednn-plain", "openblas"; the fastest of a peer's ways counts */
    char how[PEERS_MAX_TEXT];    /* which way */
    char absent[PEERS_MAX_TEXT]; /* why there is no such way here; "": it runs */
    void *state;
    bool (*run)(void *state, size_t times);   /* returns when all are done */
    bool (*read)(void *state, float *output); /* [batch,h,w,oc] */
    void (*close)(void *state);               /* may be NULL, as is the state then */
} peers_runner;

typedef struct peers_library {
    const char *name;
    /* Takes `threads` threads and says its version. NULL: failed. */
    void *(*start)(unsigned threads, char version[PEERS_MAX_TEXT]);
    /* Fills at most `capacity` runners and returns how many. */
    size_t (*open)(void *library, const peers_case *c, peers_runner *runners, size_t capacity);
    void (*stop)(void *library);
} peers_library;

/* Those this program was built with; ends with NULL. */
extern const peers_library *const peers_libraries[];

/* ---- kiln.c ---- */

typedef struct peers_kiln {
    kiln_context *context;
    kiln_device *device;
    kiln_queue *queue;
    kiln_device_info info;
} peers_kiln;

bool peers_kiln_start(peers_kiln *kiln, const char *device);
void peers_kiln_stop(peers_kiln *kiln);
bool peers_kiln_tune(const peers_kiln *kiln, const peers_case *c, double seconds);

/* `info` is of the plan that the planner chose; its strings live as long as the runner. */
bool peers_kiln_open(const peers_kiln *kiln, const peers_case *c, peers_runner *runner, kiln_plan_info *info);

/* ---- case.c ---- */

bool peers_case_open(const peers_kiln *kiln, const char *text, peers_case *c);
void peers_case_close(peers_case *c);

/* ---- measure.c ---- */

typedef struct peers_timing {
    double us[PEERS_MAX_RUNNERS]; /* median of one run; 0 for an absent runner */
    double others;                /* share of the machine's cores that other processes used meanwhile */
    size_t n_rounds;              /* that these come from */
} peers_timing;

/* Measures the runners in turns for about `seconds`. */
bool peers_measure(const peers_runner *runners, size_t n_runners, unsigned cores, double seconds, peers_timing *out);

double peers_now(void);
double peers_median(const double *values, size_t n);

/* ---- report.c ---- */

typedef struct peers_result {
    char problem[KILN_MAX_KEY];
    char family[16];
    char variant[32], config[PEERS_MAX_TEXT], source[16]; /* of Kiln's plan */
    double flops;
    size_t n_runners;                        /* the first is Kiln's */
    peers_runner runners[PEERS_MAX_RUNNERS]; /* closed: their texts only */
    double error[PEERS_MAX_RUNNERS];         /* largest difference from Kiln / largest value */
    peers_timing passes[PEERS_MAX_PASSES];
    size_t n_passes;
} peers_result;

typedef struct peers_report {
    const char *command;
    const peers_kiln *kiln;
    char versions[4][PEERS_MAX_TEXT]; /* of peers_libraries */
    unsigned cores;
    double load; /* of the machine at the start */
    const peers_result *results;
    size_t n_results;
} peers_report;

bool peers_report_table(const peers_report *report);
bool peers_report_json(const peers_report *report, const char *path);

void peers_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
