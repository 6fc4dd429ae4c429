/* The host's clock and medians, for measuring. */
#ifndef KILN_TUNER_CLOCK_H
#define KILN_TUNER_CLOCK_H

#include <stddef.h>
#include <stdlib.h>
#include <time.h>

static inline double kiln__now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static inline int kiln__compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts the samples. n >= 1. */
static inline double kiln__median(double *samples, size_t n) {
    qsort(samples, n, sizeof *samples, kiln__compare_doubles);
    return n % 2 ? samples[n / 2] : 0.5 * (samples[n / 2 - 1] + samples[n / 2]);
}

#endif
