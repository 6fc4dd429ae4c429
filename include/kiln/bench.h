/* Benchmarks: what runs how fast, each result validated against `ref` before it is timed. */
#ifndef KILN_BENCH_H
#define KILN_BENCH_H

#include <kiln/net.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kiln_bench_options {
    uint32_t struct_size;
    double min_seconds;  /* of measuring for each variant and mode; 0: 0.2 */
    const char *variant; /* NULL: every variant that applies */
    const char *config;  /* NULL: the guess */
    uint64_t seed;       /* of the input data; 0: 1 */
} kiln_bench_options;

#define KILN_BENCH_OPTIONS_INIT                                                                                        \
    { .struct_size = sizeof(kiln_bench_options) }

typedef struct kiln_bench_row {
    const char *variant; /* strings live until the visit returns */
    const char *config;
    const char *reason;     /* why it was not measured; NULL: measured */
    double compile_ms;      /* compiling or loading all its kernels */
    double eager_us;        /* median of one run, enqueue to finish, batched enqueues */
    double graph_us;        /* median of one replay */
    double gflops;          /* by the faster of the two */
    double gbytes_per_s;    /* likewise, each operand moved once */
    double max_error;       /* against ref: largest |difference| / tolerance; valid at <= 1 */
    uint64_t n_repetitions; /* of each mode */
} kiln_bench_row;

typedef kiln_status (*kiln_bench_visit)(void *user, const kiln_bench_row *row);

/* Measures the variants of a problem, in order of preference, and calls `visit` for each. A candidate that fails or
 * computes wrongly is reported with its reason and does not end the run. */
KILN_API kiln_status kiln_bench_problem(kiln_device *device, const kiln_problem *problem,
                                        const kiln_bench_options *options, kiln_bench_visit visit, void *user);

typedef struct kiln_net_bench_row {
    int32_t batch;
    const char *mode;  /* "eager" or "graph" */
    double latency_us; /* median of one batch, device part: enqueue to finish */
    double evals_per_s;
    uint64_t n_repetitions;
} kiln_net_bench_row;

typedef kiln_status (*kiln_net_bench_visit)(void *user, const kiln_net_bench_row *row);

/* Measures a net at each batch size, eager and by graph replay interleaved. The inputs hold seeded data. */
KILN_API kiln_status kiln_net_bench(kiln_net *net, kiln_queue *queue, const kiln_session_options *options,
                                    const int32_t *batches, size_t n_batches, double min_seconds,
                                    kiln_net_bench_visit visit, void *user);

#ifdef __cplusplus
}
#endif
#endif
