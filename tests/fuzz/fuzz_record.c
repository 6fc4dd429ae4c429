/* Record files: any bytes, read without harm; what is visited keeps the promises of a record. The first byte says
 * whether the checksums of the lines are made right, so that what they protect is reached as well. */
#include "fuzz.h"
#include "store_internal.h"
#include <math.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

static const char device[] = "null-1";
static const char problem[] = "gemm:m=1,n=1,k=1";

static kiln_status check(void *user, const kiln_record *r) {
    const char *const texts[] = {r->driver, r->compiler, r->content, r->variant, r->config, r->reason};
    ++*(uint64_t *)user;
    FUZZ_CHECK(strcmp(r->device, device) == 0 && strcmp(r->problem, problem) == 0);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        FUZZ_CHECK(texts[i] && strlen(texts[i]) < KILN_STORE_MAX_LINE_BYTES);
    FUZZ_CHECK(isfinite(r->median_us) && isfinite(r->min_us) && isfinite(r->spread_us));
    FUZZ_CHECK(r->median_us >= 0 && r->min_us >= 0 && r->spread_us >= 0 && r->time >= 0);
    FUZZ_CHECK((unsigned)r->state <= KILN_TRIAL_MISS && (unsigned)r->serving <= KILN_SERVING_GRAPH);
    return KILN_OK;
}

/* The lines of `data`, each after a checksum that is right. */
static void write_lines(FILE *f, const uint8_t *data, size_t size) {
    while (size > 0) {
        const uint8_t *end = memchr(data, '\n', size);
        const size_t length = end ? (size_t)(end - data) : size;
        fprintf(f, "%016llx ", (unsigned long long)XXH3_64bits(data, length));
        fwrite(data, 1, length, f);
        if (!end)
            return;
        fputc('\n', f);
        data += length + 1;
        size -= length + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    const int fd = memfd_create("record", MFD_CLOEXEC);
    FILE *f = fd >= 0 ? fdopen(dup(fd), "wb") : NULL;
    FUZZ_CHECK(f != NULL);
    if (data[0] & 1)
        write_lines(f, data + 1, size - 1);
    else
        fwrite(data + 1, 1, size - 1, f);
    FUZZ_CHECK(fclose(f) == 0);

    char hash[33];
    kiln__hash_hex(problem, strlen(problem), hash);
    kiln_record_scan exact = {.device = device, .hash = hash, .problem = problem}, by_hash = exact;
    by_hash.problem = NULL;
    uint64_t n = 0;
    FUZZ_CHECK(lseek(fd, 0, SEEK_SET) == 0 && kiln__record_scan_fd(fd, &exact, check, &n) == KILN_OK);
    FUZZ_CHECK(n == exact.n_good);
    FUZZ_CHECK(lseek(fd, 0, SEEK_SET) == 0 && kiln__record_scan_fd(fd, &by_hash, check, &n) == KILN_OK);
    FUZZ_CHECK(by_hash.n_good == exact.n_good && by_hash.n_bad == exact.n_bad);
    close(fd);
    return 0;
}
