#include "peers.h"
#include <math.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* A sample is many runs, so that enqueueing and the clock weigh little. */
static const double sample_seconds = 0.01;
enum { MIN_ROUNDS = 6, MAX_ROUNDS = 200, MAX_TIMES = 4096 };

typedef struct round {
    double us[PEERS_MAX_RUNNERS];
    double others;
} round_sample;

double peers_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double own_cpu(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Seconds that all cores together were busy since the machine started. */
static double machine_cpu(void) {
    unsigned long long user, nice, system, idle, wait, irq, soft, steal;
    FILE *f = fopen("/proc/stat", "r");
    if (!f)
        return 0;
    const int n = fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &wait, &irq,
                         &soft, &steal);
    fclose(f);
    return n == 8 ? (double)(user + nice + system + irq + soft + steal) / (double)sysconf(_SC_CLK_TCK) : 0;
}

/* Threads of OpenMP and of OpenBLAS spin for a while after their last work. Each sample begins when those of the one
 * before sleep, and no sooner than that took, so that a run with real-time priority leaves half of the machine to
 * others. */
static void wait_for_rest(double last_seconds) {
    const struct timespec nap = {.tv_nsec = 1000000};
    const struct timespec pause = {.tv_sec = (time_t)last_seconds,
                                   .tv_nsec = (long)((last_seconds - floor(last_seconds)) * 1e9)};
    nanosleep(&pause, NULL);
    for (int calm = 0, i = 0; calm < 2 && i < 300; i++) {
        const double cpu = own_cpu();
        nanosleep(&nap, NULL);
        calm = own_cpu() - cpu < 1e-4 ? calm + 1 : 0;
    }
}

/* Seconds of one run, after one that warms caches and threads up. */
static bool sample(const peers_runner *r, size_t times, double *out) {
    if (!r->run(r->state, 1))
        return false;
    const double start = peers_now();
    const bool ok = r->run(r->state, times);
    const double seconds = peers_now() - start;
    *out = seconds / (double)times;
    wait_for_rest(seconds);
    return ok;
}

static bool calibrate(const peers_runner *r, size_t *times) {
    double seconds = 0;
    for (*times = 1; *times < MAX_TIMES; *times *= 2) {
        if (!sample(r, *times, &seconds))
            return false;
        if (seconds * (double)*times >= sample_seconds)
            break;
    }
    return true;
}

static int by_others(const void *a, const void *b) {
    const double x = ((const round_sample *)a)->others, y = ((const round_sample *)b)->others;
    return (x > y) - (x < y);
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double peers_median(const double *values, size_t n) {
    double sorted[MAX_ROUNDS];
    if (n == 0 || n > MAX_ROUNDS)
        return 0;
    memcpy(sorted, values, n * sizeof *values);
    qsort(sorted, n, sizeof *sorted, by_value);
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

/* Runs every runner once, forwards or backwards, so that none always follows the same other. */
static bool one_round(const peers_runner *runners, size_t n, const size_t *times, unsigned cores, bool backwards,
                      round_sample *out) {
    const double start = peers_now(), own = own_cpu(), machine = machine_cpu();
    for (size_t i = 0; i < n; i++) {
        const size_t at = backwards ? n - 1 - i : i;
        double seconds = 0;
        if (!runners[at].absent[0] && !sample(&runners[at], times[at], &seconds))
            return false;
        out->us[at] = seconds * 1e6;
    }
    const double others = (machine_cpu() - machine) - (own_cpu() - own);
    out->others = others > 0 ? others / ((peers_now() - start) * cores) : 0;
    return true;
}

bool peers_measure(const peers_runner *runners, size_t n_runners, unsigned cores, double seconds, peers_timing *out) {
    size_t times[PEERS_MAX_RUNNERS] = {0};
    round_sample rounds[MAX_ROUNDS];
    double values[MAX_ROUNDS];
    size_t n = 0;
    for (size_t r = 0; r < n_runners; r++)
        if (!runners[r].absent[0] && !calibrate(&runners[r], &times[r]))
            return false;
    for (const double start = peers_now(); n < MAX_ROUNDS && (n < MIN_ROUNDS || peers_now() - start < seconds); n++)
        if (!one_round(runners, n_runners, times, cores, n % 2 == 1, &rounds[n]))
            return false;
    /* The calmer half of the rounds: work of other processes slows the libraries unequally. */
    qsort(rounds, n, sizeof *rounds, by_others);
    *out = (peers_timing){.n_rounds = (n + 1) / 2};
    for (size_t r = 0; r < n_runners; r++) {
        for (size_t i = 0; i < out->n_rounds; i++)
            values[i] = rounds[i].us[r];
        out->us[r] = peers_median(values, out->n_rounds);
    }
    for (size_t i = 0; i < out->n_rounds; i++)
        values[i] = rounds[i].others;
    out->others = peers_median(values, out->n_rounds);
    return true;
}
