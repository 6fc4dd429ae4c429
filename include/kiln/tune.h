/* Tuning: finding faster candidates, validated, and remembering them.
 *
 * Candidates are compiled and measured in a worker process (kiln-worker), so that one that crashes or hangs costs
 * itself and nothing else. Each is validated against `ref` before it is timed, in turns with the best so far. Every
 * trial is a record, written before the next begins: a kill at any moment loses at most the candidate in flight, and
 * tuning again goes on where it stopped. Adding a variant or a value keeps all earlier timings. */
#ifndef KILN_TUNE_H
#define KILN_TUNE_H

#include <kiln/net.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What just happened; strings live until the callback returns. */
typedef struct kiln_tune_progress {
    uint32_t struct_size;
    size_t problem_index, n_problems;
    const char *problem;
    const char *variant, *config; /* the candidate just tried */
    const char *state;            /* "ok", "failed", "wrong", "crashed" or "hung" */
    const char *reason;           /* of a failure; "" else */
    double time_us;               /* of the candidate; 0: failed */
    double best_us, start_us;     /* of the problem: the fastest so far, and what was known or guessed at the start */
    uint64_t n_measured, n_failed;
    double elapsed_seconds, eta_seconds; /* eta: until the budget ends or nothing is left to try, whichever is known */
    double done;                         /* 0 to 1, for a progress bar */
} kiln_tune_progress;

/* Called after each candidate from the thread that tunes. Anything but KILN_OK ends tuning; what was found is kept. */
typedef kiln_status (*kiln_tune_fn)(void *user, const kiln_tune_progress *progress);

typedef struct kiln_tune_options {
    uint32_t struct_size;
    kiln_effort effort;    /* KILN_PLAN_MEASURE (also for 0): search within the budget; _EXHAUST: every candidate */
    double budget_seconds; /* 0: 60; ignored by EXHAUST unless given */
    const char *strategy;  /* NULL: "descent"; "random", "exhaust" */
    const char *variant;   /* NULL: all */
    uint64_t seed;         /* 0: 1 */
    double limit_seconds;  /* for one candidate, then it counts as hung; 0: 20 */
    uint32_t eager;        /* 1: tune eager launches; 0: graph replay, which is what sessions serve */
    uint32_t in_process;   /* 1: no worker: a crash is the caller's */
    const char *worker;    /* path of kiln-worker; NULL: KILN_WORKER, else beside the library or the program */
    kiln_tune_fn progress;
    void *user;
    kiln_type type; /* of kiln_tune_net: what sessions will store (kiln_session_options); a problem says its own */
} kiln_tune_options;

#define KILN_TUNE_OPTIONS_INIT                                                                                         \
    { .struct_size = sizeof(kiln_tune_options) }

typedef struct kiln_tune_result {
    uint32_t struct_size;
    size_t n_problems;
    uint64_t n_measured;    /* candidates tried now */
    uint64_t n_known;       /* candidates whose record made a trial unnecessary */
    uint64_t n_failed;      /* of those measured: did not compile or launch */
    uint64_t n_wrong;       /* computed wrongly */
    uint64_t n_quarantined; /* crashed or hung: never tried again with this driver and source */
    double seconds;
    double start_us, best_us; /* sum over problems, each times its count: with what was known or guessed, and now */
    uint32_t used_worker;     /* 0: measured in this process */
    uint32_t n_halos_dropped; /* of a net: tensors that are better off without their halo, over all batch sizes */
    double halos_gain_us;     /* of a net: what best_us loses by that */
} kiln_tune_result;

#define KILN_TUNE_RESULT_INIT                                                                                          \
    { .struct_size = sizeof(kiln_tune_result) }

/* Tunes one problem. `out` may be NULL. KILN_E_CANCELLED: the callback ended it. KILN_E_NOT_FOUND: an unknown strategy
 * or variant. KILN_E_DEVICE_LOST, KILN_E_MEMORY: nothing more could be measured. In every case what was found is kept.
 */
KILN_API kiln_status kiln_tune_problem(kiln_device *device, const kiln_problem *problem,
                                       const kiln_tune_options *options, kiln_tune_result *out);

/* Tunes the distinct problems of a net for some batch sizes: the most expensive first, the budget shared by what may be
 * gained. The last fifth of the budget, or what is left of it, goes to other halos (kiln_session_halos): the best
 * candidates of each problem are timed in turns against what it would become. Board sizes of 0 mean the net's default.
 */
KILN_API kiln_status kiln_tune_net(kiln_net *net, kiln_device *device, const int32_t *batches, size_t n_batches,
                                   int32_t board_h, int32_t board_w, const kiln_tune_options *options,
                                   kiln_tune_result *out);

#ifdef __cplusplus
}
#endif
#endif
