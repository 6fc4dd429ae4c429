#include "bucket.h"
#include "status.h"
#include <assert.h>

size_t kiln__buckets_default(int32_t max, int32_t *out) {
    assert(max >= 1 && max <= KILN_MAX_BATCH);
    size_t n = 0;
    for (int32_t b = 1; b < max; b *= 2)
        out[n++] = b;
    out[n++] = max;
    return n;
}

kiln_status kiln__buckets_check(const int32_t *buckets, size_t n) {
    if (n == 0 || n > KILN_MAX_BUCKETS)
        return kiln_fail(KILN_E_INVALID, "%zu batch buckets: give from 1 to %d", n, KILN_MAX_BUCKETS);
    for (size_t i = 0; i < n; i++)
        if (buckets[i] < 1 || buckets[i] > KILN_MAX_BATCH || (i && buckets[i] <= buckets[i - 1]))
            return kiln_fail(KILN_E_INVALID, "batch bucket %d: sizes must ascend from 1 to %d", buckets[i],
                             KILN_MAX_BATCH);
    return KILN_OK;
}

size_t kiln__bucket_pick(const int32_t *buckets, size_t n, int32_t batch) {
    size_t i = 0;
    while (i + 1 < n && buckets[i] < batch)
        i++;
    return i;
}
