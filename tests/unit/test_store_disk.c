/* A disk that refuses: a clear status, logged once, counted each time, nothing left behind, nothing else disturbed. */
#include "scratch.h"
#include "store_internal.h"
#include <errno.h>
#include <sched.h>
#include <sys/mount.h>

static const char key[] = "0123456789abcdef0123456789abcdef";
static unsigned n_warnings;
static char warning[1024];

static void keep_warning(void *user, kiln_log_level level, const char *message) {
    (void)user;
    if (level != KILN_LOG_WARN)
        return;
    n_warnings++;
    snprintf(warning, sizeof warning, "%s", message);
}

static kiln_context *open_context(const char *dir) {
    kiln_context_options o = KILN_CONTEXT_OPTIONS_INIT;
    o.cache_dir = dir;
    o.backends = "";
    o.log_level = KILN_LOG_WARN;
    o.log = keep_warning;
    kiln_context *context;
    n_warnings = 0;
    REQUIRE_OK(kiln__context_open(&o, &context));
    return context;
}

static kiln_record make_record(const char *problem) {
    return (kiln_record){.problem = problem, .device = "null-1", .variant = "ref", .config = "", .time = 1};
}

static kiln_status count_record(void *user, const kiln_record *r) {
    (void)r;
    ++*(unsigned *)user;
    return KILN_OK;
}

static void check_refused(kiln_context *c, const char *reason) {
    const kiln_record r = make_record("gemm:m=1,n=1,k=1");
    void *data;
    size_t bytes;
    CHECK_STATUS(kiln__store_put_binary(c->store, key, "d", "w", "abc", 3), KILN_E_IO);
    CHECK_HAS(kiln_last_error(), reason);
    CHECK_STATUS(kiln__store_put_binary(c->store, key, "d", "w", "abc", 3), KILN_E_IO);
    CHECK_STATUS(kiln__store_append(c->store, &r), KILN_E_IO);
    CHECK_HAS(kiln_last_error(), reason);
    CHECK_STATUS(kiln__store_get_binary(c->store, key, &data, &bytes), KILN_E_NOT_FOUND);
    CHECK_OK(kiln__store_records(c->store, r.device, r.problem, NULL, NULL));
    CHECK_OK(kiln_cache_list(c, NULL, NULL));
    kiln_counters counters = KILN_COUNTERS_INIT;
    CHECK_OK(kiln_context_counters(c, &counters));
    CHECK(counters.store_failures == 3 && counters.records_written == 0);
    CHECK(n_warnings == 1);
    CHECK_HAS(warning, reason);
}

/* Works for root as well, whom modes do not bind. */
static void below_a_file(void) {
    char dir[256], path[512];
    scratch_make(dir);
    snprintf(path, sizeof path, "%s/file", dir);
    scratch_write(path, "x", 1);
    snprintf(path, sizeof path, "%s/file/cache", dir);
    kiln_context *c = open_context(path);
    CHECK(n_warnings == 1); /* at once: the user should not have to wait for the first write */
    check_refused(c, "Not a directory");
    kiln_context_destroy(c);
    scratch_remove(dir);
}

static void read_only(const char *mounted) {
    if (mount(NULL, mounted, NULL, MS_REMOUNT | MS_RDONLY, NULL) != 0) {
        printf("skipped: a read-only file system (%s)\n", strerror(errno));
        return;
    }
    char path[512];
    snprintf(path, sizeof path, "%s/cache", mounted);
    kiln_context *c = open_context(path);
    check_refused(c, "Read-only file system");
    kiln_context_destroy(c);
    REQUIRE(mount(NULL, mounted, NULL, MS_REMOUNT, "size=64k") == 0);
}

static void full_of_binaries(const char *mounted) {
    kiln_context *c = open_context(mounted);
    static unsigned char noise[100000];
    uint32_t seed = 7;
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (unsigned char)((seed = seed * 1664525u + 1013904223u) >> 24);
    REQUIRE_OK(kiln__store_put_binary(c->store, key, "d", "w", "small", 5));
    CHECK_STATUS(kiln__store_put_binary(c->store, key, "d", "w", noise, sizeof noise), KILN_E_IO);
    CHECK_HAS(kiln_last_error(), "No space left");
    CHECK_STATUS(kiln__store_put_binary(c->store, key, "d", "w", noise, sizeof noise), KILN_E_IO);
    CHECK(n_warnings == 1);
    CHECK(scratch_count(mounted, NULL) == 1); /* the temporary is gone, */
    void *data = NULL;
    size_t bytes = 0;
    CHECK_OK(kiln__store_get_binary(c->store, key, &data, &bytes)); /* the old one is whole */
    CHECK(bytes == 5 && data && memcmp(data, "small", 5) == 0);
    kiln__free(c, data);
    kiln_cache_prune_options all = KILN_CACHE_PRUNE_OPTIONS_INIT;
    all.all = 1;
    CHECK_OK(kiln_cache_prune(c, &all, NULL, NULL));
    CHECK(scratch_count(mounted, NULL) == 0);
    kiln_context_destroy(c);
}

static void full_of_records(const char *mounted) {
    kiln_context *c = open_context(mounted);
    const kiln_record r = make_record("gemm:m=1,n=1,k=1");
    unsigned written = 0, n = 0;
    kiln_status status;
    while ((status = kiln__store_append(c->store, &r)) == KILN_OK && written < 10000)
        written++;
    CHECK(status == KILN_E_IO && written > 10 && written < 10000);
    CHECK_HAS(kiln_last_error(), "No space left");
    CHECK_STATUS(kiln__store_append(c->store, &r), KILN_E_IO);
    CHECK(n_warnings == 1);
    CHECK_OK(kiln__store_records(c->store, r.device, r.problem, count_record, &n));
    CHECK(n == written); /* none lost, and no half of one left */
    kiln_counters counters = KILN_COUNTERS_INIT;
    CHECK_OK(kiln_context_counters(c, &counters));
    CHECK(counters.records_bad == 0 && counters.records_written == written && counters.store_failures == 2);
    kiln_context_destroy(c);
}

static void on_a_small_disk(void) {
    char dir[256];
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        printf("skipped: full and read-only disks (no mount namespace: %s)\n", strerror(errno));
        return;
    }
    scratch_make(dir);
    if (mount("tmpfs", dir, "tmpfs", 0, "size=64k,mode=0700") != 0) {
        printf("skipped: full and read-only disks (no tmpfs: %s)\n", strerror(errno));
        scratch_remove(dir);
        return;
    }
    full_of_binaries(dir);
    full_of_records(dir);
    read_only(dir);
    umount(dir);
    scratch_remove(dir);
}

int main(void) {
    below_a_file();
    on_a_small_disk();
    return test_end();
}
