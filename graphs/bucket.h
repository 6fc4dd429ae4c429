/* Batch buckets: the batch sizes that get a graph of their own. The smallest that holds a batch serves it, padded; a
 * batch over the largest is split. */
#ifndef KILN_GRAPHS_BUCKET_H
#define KILN_GRAPHS_BUCKET_H

#include <kiln/status.h>
#include <stddef.h>
#include <stdint.h>

enum { KILN_MAX_BUCKETS = 32, KILN_MAX_BATCH = 65536 };

/* Fills `out` (KILN_MAX_BUCKETS) with 1, 2, 4, … and `max` itself. Returns how many. 1 <= max <= KILN_MAX_BATCH. */
size_t kiln__buckets_default(int32_t max, int32_t *out);

/* KILN_E_INVALID: not ascending, not positive, too many, or over KILN_MAX_BATCH. */
kiln_status kiln__buckets_check(const int32_t *buckets, size_t n);

/* The index of the smallest bucket >= batch, or of the largest when there is none. */
size_t kiln__bucket_pick(const int32_t *buckets, size_t n, int32_t batch);

#endif
