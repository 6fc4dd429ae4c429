/* kiln_cache_*: sees everything, removes only what is ours, never follows a link. */
#include "scratch.h"
#include "store_internal.h"
#include <fcntl.h>
#include <time.h>

enum { MAX_SEEN = 32 };

typedef struct {
    size_t n, n_faults;
    kiln_cache_kind kind[MAX_SEEN];
    char path[MAX_SEEN][512], what[MAX_SEEN][128], device[MAX_SEEN][64];
    uint64_t bytes[MAX_SEEN], n_lines[MAX_SEEN], n_bad[MAX_SEEN];
} seen;

static kiln_status see(void *user, const kiln_cache_entry *e) {
    seen *s = user;
    REQUIRE(s->n < MAX_SEEN);
    s->kind[s->n] = e->kind;
    snprintf(s->path[s->n], sizeof s->path[0], "%s", e->path);
    snprintf(s->what[s->n], sizeof s->what[0], "%s", e->what);
    snprintf(s->device[s->n], sizeof s->device[0], "%s", e->device);
    s->bytes[s->n] = e->bytes;
    s->n_lines[s->n] = e->n_lines;
    s->n_bad[s->n] = e->n_bad_lines;
    s->n_faults += e->fault != NULL;
    s->n++;
    return KILN_OK;
}

static kiln_status stop(void *user, const kiln_cache_entry *e) {
    (void)e;
    ++*(unsigned *)user;
    return KILN_E_CANCELLED;
}

static kiln_context *open_context(const char *dir, const char *layers) {
    kiln_context_options o = KILN_CONTEXT_OPTIONS_INIT;
    o.cache_dir = dir;
    o.cache_path = layers;
    o.backends = "";
    o.log_level = KILN_LOG_OFF;
    kiln_context *context;
    REQUIRE_OK(kiln__context_open(&o, &context));
    return context;
}

static void key_of(unsigned i, char out[33]) {
    snprintf(out, 33, "%02x%030x", i, i);
}

static void binary_path(const char *dir, unsigned i, char out[512]) {
    char key[33];
    key_of(i, key);
    snprintf(out, 512, "%s/bin/%.2s/%s.kbin", dir, key, key);
}

/* Binary `i`, last used `age` seconds ago. */
static void put(kiln_context *c, unsigned i, time_t age) {
    char key[33], path[512];
    key_of(i, key);
    REQUIRE_OK(kiln__store_put_binary(c->store, key, "dev", "conv/ref.cl", "0123456789", 10));
    binary_path(kiln_cache_dir(c), i, path);
    const struct timespec then[2] = {{.tv_sec = time(NULL) - age}, {.tv_sec = time(NULL) - age}};
    REQUIRE(utimensat(AT_FDCWD, path, then, 0) == 0);
}

static bool has(kiln_context *c, unsigned i) {
    char path[512];
    binary_path(kiln_cache_dir(c), i, path);
    return access(path, F_OK) == 0;
}

static void append(kiln_context *c, const char *problem) {
    const kiln_record r = {.problem = problem, .device = "dev", .variant = "ref", .config = "", .time = 1};
    REQUIRE_OK(kiln__store_append(c->store, &r));
}

static void damage(const char *path) {
    size_t bytes;
    char *file = scratch_read(path, &bytes);
    file[bytes / 2] ^= 1;
    scratch_write(path, file, bytes);
    free(file);
}

static seen prune(kiln_context *c, kiln_cache_prune_options o) {
    seen s = {0};
    CHECK_OK(kiln_cache_prune(c, &o, see, &s));
    return s;
}

static const kiln_cache_prune_options no_options = KILN_CACHE_PRUNE_OPTIONS_INIT;

static void list_and_verify(void) {
    char dir[256], lower[256], path[512];
    scratch_make(dir);
    scratch_make(lower);
    kiln_context *c = open_context(lower, NULL);
    put(c, 9, 0);
    kiln_context_destroy(c);
    c = open_context(dir, lower);
    CHECK_STR(kiln_cache_dir(c), dir);
    seen s = {0};
    CHECK_OK(kiln_cache_list(c, see, &s));
    CHECK(s.n == 1);
    put(c, 2, 0);
    put(c, 1, 0);
    append(c, "gemm:m=1,n=1,k=1");
    append(c, "gemm:m=1,n=1,k=1");
    s = (seen){0};
    CHECK_OK(kiln_cache_verify(c, see, &s));
    CHECK(s.n == 4 && s.n_faults == 0);
    CHECK(s.kind[0] == KILN_CACHE_BINARY && s.kind[2] == KILN_CACHE_RECORDS);
    binary_path(dir, 1, path);
    CHECK_STR(s.path[0], path);
    CHECK_STR(s.what[0], "conv/ref.cl");
    CHECK_STR(s.device[0], "dev");
    binary_path(dir, 2, path);
    CHECK_STR(s.path[1], path);
    CHECK_STR(s.what[2], "gemm:m=1,n=1,k=1");
    CHECK_STR(s.device[2], "dev");
    CHECK(s.n_lines[2] == 2 && s.n_bad[2] == 0);
    CHECK_HAS(s.path[3], lower);
    CHECK_OK(kiln_cache_verify(c, NULL, NULL));

    binary_path(dir, 2, path);
    damage(path);
    s = (seen){0};
    CHECK_OK(kiln_cache_list(c, see, &s));
    CHECK(s.n == 4 && s.n_faults == 0);
    s = (seen){0};
    CHECK_STATUS(kiln_cache_verify(c, see, &s), KILN_E_CORRUPT);
    CHECK(s.n == 4 && s.n_faults == 1);
    damage(s.path[2]);
    s = (seen){0};
    CHECK_STATUS(kiln_cache_verify(c, see, &s), KILN_E_CORRUPT);
    CHECK(s.n_faults == 2 && s.n_lines[2] == 2 && s.n_bad[2] == 1);
    snprintf(path, sizeof path, "%s/bin", lower);
    REQUIRE(chmod(path, 0777) == 0); /* sound, but never loaded */
    s = (seen){0};
    CHECK_STATUS(kiln_cache_verify(c, see, &s), KILN_E_CORRUPT);
    CHECK(s.n_faults == 3);
    unsigned visits = 0;
    CHECK_STATUS(kiln_cache_list(c, stop, &visits), KILN_E_CANCELLED);
    CHECK(visits == 1);
    kiln_context_destroy(c);
    scratch_remove(dir);
    scratch_remove(lower);
}

static void least_recently_used(void) {
    char dir[256];
    scratch_make(dir);
    kiln_context *c = open_context(dir, NULL);
    put(c, 1, 500);
    put(c, 2, 400);
    put(c, 3, 300);
    put(c, 4, 200);
    char key[33];
    void *data;
    size_t bytes;
    key_of(1, key); /* using the oldest makes it the newest */
    REQUIRE_OK(kiln__store_get_binary(c->store, key, &data, &bytes));
    kiln__free(c, data);
    seen s = {0};
    CHECK_OK(kiln_cache_list(c, see, &s));
    kiln_cache_prune_options o = no_options;
    o.max_bytes = 2 * s.bytes[0];
    o.dry_run = 1;
    s = prune(c, o);
    CHECK(s.n == 2 && has(c, 2) && has(c, 3));
    o.dry_run = 0;
    s = prune(c, o);
    CHECK(s.n == 2 && has(c, 1) && !has(c, 2) && !has(c, 3) && has(c, 4));
    CHECK(prune(c, o).n == 0);
    o.max_bytes = 1;
    CHECK(prune(c, o).n == 2 && scratch_count(dir, NULL) == 0);
    kiln_context_destroy(c);
    scratch_remove(dir);
}

static void age_damage_and_leftovers(void) {
    char dir[256], path[512], fresh[700], stale[700];
    scratch_make(dir);
    kiln_context *c = open_context(dir, NULL);
    put(c, 1, 86400 * 10);
    put(c, 2, 86400 * 2);
    put(c, 3, 0);
    append(c, "gemm:m=1,n=1,k=1");
    kiln_cache_prune_options o = no_options;
    CHECK(prune(c, o).n == 0);
    o.max_age_days = 5;
    CHECK(prune(c, o).n == 1 && !has(c, 1) && has(c, 2));
    binary_path(dir, 3, path);
    damage(path);
    snprintf(fresh, sizeof fresh, "%s.tmp.a-1-b.0", path);
    snprintf(stale, sizeof stale, "%s.tmp.a-1-b.1", path);
    scratch_write(fresh, "x", 1); /* somebody may be writing it */
    scratch_write(stale, "x", 1);
    const struct timespec then[2] = {{.tv_sec = time(NULL) - 4000}, {.tv_sec = time(NULL) - 4000}};
    REQUIRE(utimensat(AT_FDCWD, stale, then, 0) == 0);
    const seen s = prune(c, no_options);
    CHECK(s.n == 2 && !has(c, 3) && access(stale, F_OK) != 0 && access(fresh, F_OK) == 0);
    CHECK(has(c, 2) && scratch_count(dir, NULL) == 3); /* 2, fresh, records */
    o = no_options;
    o.all = o.dry_run = 1;
    CHECK(prune(c, o).n == 3 && scratch_count(dir, NULL) == 3);
    o.dry_run = 0;
    CHECK(prune(c, o).n == 3 && scratch_count(dir, NULL) == 0);
    snprintf(path, sizeof path, "%s/bin", dir);
    CHECK(access(path, F_OK) != 0); /* empty folders go as well */
    append(c, "gemm:m=1,n=1,k=1");  /* and come back */
    put(c, 1, 0);
    CHECK_OK(kiln_cache_verify(c, NULL, NULL));
    kiln_context_destroy(c);
    scratch_remove(dir);
}

/* Whatever is not ours stays, and links lead nowhere. */
static void strangers(void) {
    char dir[256], outside[256], path[600], target[600];
    scratch_make(dir);
    scratch_make(outside);
    kiln_context *c = open_context(dir, NULL), *o = open_context(outside, NULL);
    put(o, 1, 0); /* what a link into the folder could lead to */
    append(o, "gemm:m=1,n=1,k=1");
    put(c, 2, 0);
    append(c, "gemm:m=1,n=1,k=1");
    static const char *const names[] = {"/letter.txt", "/bin/letter.txt", "/bin/02/letter.txt", "/rec/letter.txt",
                                        "/rec/dev/letter.log"};
    for (size_t i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "%s%s", dir, names[i]);
        scratch_write(path, "dear", 4);
    }
    snprintf(path, sizeof path, "%s/bin/01", dir);
    snprintf(target, sizeof target, "%s/bin/01", outside);
    REQUIRE(symlink(target, path) == 0);
    snprintf(path, sizeof path, "%s/rec/linked", dir);
    snprintf(target, sizeof target, "%s/rec/dev", outside);
    REQUIRE(symlink(target, path) == 0);
    key_of(1, target);
    snprintf(path, sizeof path, "%s/bin/02/02%s.kbin", dir, target + 2); /* a link with a name of ours: itself may go */
    binary_path(outside, 1, target);
    REQUIRE(symlink(target, path) == 0);
    seen s = {0};
    CHECK_STATUS(kiln_cache_verify(c, see, &s), KILN_E_CORRUPT);
    size_t n_stray = 0;
    for (size_t i = 0; i < s.n; i++)
        n_stray += s.kind[i] == KILN_CACHE_STRAY;
    CHECK(n_stray == 6 && s.n_faults == 1);
    kiln_cache_prune_options all = no_options;
    all.all = 1;
    CHECK(prune(c, all).n == 3); /* binary, records, the link */
    for (size_t i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "%s%s", dir, names[i]);
        CHECK(access(path, F_OK) == 0);
    }
    CHECK(has(o, 1) && scratch_count(outside, NULL) == 2);
    kiln_context_destroy(c);
    snprintf(path, sizeof path, "%s/linked", dir); /* a store whose whole trees are links */
    REQUIRE(mkdir(path, 0700) == 0);
    c = open_context(path, NULL);
    static const char *const trees[] = {"bin", "rec"};
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/linked/%s", dir, trees[i]);
        snprintf(target, sizeof target, "%s/%s", outside, trees[i]);
        REQUIRE(symlink(target, path) == 0);
    }
    CHECK(prune(c, all).n == 0 && has(o, 1) && scratch_count(outside, NULL) == 2);
    kiln_context_destroy(c);
    kiln_context_destroy(o);
    scratch_remove(dir);
    scratch_remove(outside);
}

static void arguments(void) {
    kiln_context *c = open_context("", NULL);
    kiln_cache_prune_options o = no_options;
    o.all = 1;
    CHECK_OK(kiln_cache_prune(c, &o, NULL, NULL));
    CHECK_OK(kiln_cache_list(c, NULL, NULL));
    CHECK_OK(kiln_cache_verify(c, NULL, NULL));
    CHECK_STATUS(kiln_cache_prune(c, NULL, NULL, NULL), KILN_E_INVALID);
    o.struct_size = 0;
    CHECK_STATUS(kiln_cache_prune(c, &o, NULL, NULL), KILN_E_INVALID);
    CHECK_STATUS(kiln_cache_list(NULL, NULL, NULL), KILN_E_INVALID);
    CHECK_STATUS(kiln_cache_verify(NULL, NULL, NULL), KILN_E_INVALID);
    kiln_context_destroy(c);
}

int main(void) {
    list_and_verify();
    least_recently_used();
    age_damage_and_leftovers();
    strangers();
    arguments();
    return test_end();
}
