/* Batch buckets. */
#include "bucket.h"
#include "testing.h"

int main(void) {
    int32_t b[KILN_MAX_BUCKETS];
    CHECK(kiln__buckets_default(1, b) == 1 && b[0] == 1);
    CHECK(kiln__buckets_default(64, b) == 7 && b[0] == 1 && b[6] == 64);
    CHECK(kiln__buckets_default(37, b) == 7 && b[5] == 32 && b[6] == 37);
    const size_t n = kiln__buckets_default(KILN_MAX_BATCH, b);
    CHECK_OK(kiln__buckets_check(b, n));
    CHECK(b[kiln__bucket_pick(b, n, 1)] == 1);
    CHECK(b[kiln__bucket_pick(b, n, 5)] == 8);
    CHECK(b[kiln__bucket_pick(b, n, 64)] == 64);
    CHECK(b[kiln__bucket_pick(b, n, KILN_MAX_BATCH + 1)] == KILN_MAX_BATCH); /* over the largest: split */
    for (int32_t batch = 1; batch <= 300; batch++) {
        const size_t i = kiln__bucket_pick(b, n, batch);
        CHECK(b[i] >= batch && (i == 0 || b[i - 1] < batch));
    }
    const int32_t twice[] = {1, 4, 4}, zero[] = {0, 2}, falling[] = {4, 2}, huge[] = {KILN_MAX_BATCH + 1};
    CHECK_STATUS(kiln__buckets_check(twice, 3), KILN_E_INVALID);
    CHECK_STATUS(kiln__buckets_check(zero, 2), KILN_E_INVALID);
    CHECK_STATUS(kiln__buckets_check(falling, 2), KILN_E_INVALID);
    CHECK_STATUS(kiln__buckets_check(huge, 1), KILN_E_INVALID);
    CHECK_STATUS(kiln__buckets_check(huge, 0), KILN_E_INVALID);
    CHECK_STATUS(kiln__buckets_check(huge, KILN_MAX_BUCKETS + 1), KILN_E_INVALID);
    return test_end();
}
