/* Binaries in the store: what was put comes back, and nothing else ever does. */
#include "scratch.h"
#include "store_internal.h"
#include <xxhash.h>
#include <zstd.h>

static const char key[] = "0123456789abcdef0123456789abcdef";
static const char other_key[] = "0123456789abcdef0123456789abcde0";

static unsigned n_warnings;

static void count_warnings(void *user, kiln_log_level level, const char *message) {
    (void)user, (void)message;
    n_warnings += level == KILN_LOG_WARN;
}

static kiln_context *open_context(const char *dir, const char *layers) {
    kiln_context_options o = KILN_CONTEXT_OPTIONS_INIT;
    o.cache_dir = dir;
    o.cache_path = layers;
    o.backends = "";
    o.log_level = KILN_LOG_WARN;
    o.log = count_warnings;
    kiln_context *context;
    n_warnings = 0;
    REQUIRE_OK(kiln__context_open(&o, &context));
    return context;
}

static void binary_path(const char *dir, const char *k, char out[512]) {
    snprintf(out, 512, "%s/bin/%.2s/%s.kbin", dir, k, k);
}

static void put(kiln_context *c, const char *k, const void *data, size_t bytes) {
    REQUIRE_OK(kiln__store_put_binary(c->store, k, "null-1", "conv/ref.cl -DA=1", data, bytes));
}

static kiln_status get(kiln_context *c, const char *k, const void *expected, size_t expected_bytes) {
    void *data = NULL;
    size_t bytes = 0;
    kiln_status status = kiln__store_get_binary(c->store, k, &data, &bytes);
    if (status == KILN_OK) {
        CHECK(bytes == expected_bytes && memcmp(data, expected, bytes) == 0);
        kiln__free(c, data);
    }
    return status;
}

static void round_trip(void) {
    char dir[256];
    scratch_make(dir);
    kiln_context *c = open_context(dir, NULL);
    static const size_t sizes[] = {1, 2, 511, 512, 4096, 1000003};
    unsigned char *data = malloc(1000003);
    uint32_t seed = 1;
    for (size_t i = 0; i < 1000003; i++)
        data[i] = (unsigned char)((i & 4096) ? i : (seed = seed * 1664525u + 1013904223u) >> 24);
    CHECK_STATUS(get(c, key, data, 1), KILN_E_NOT_FOUND);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        put(c, key, data, sizes[i]);
        CHECK_OK(get(c, key, data, sizes[i]));
    }
    CHECK_STATUS(get(c, other_key, data, 1), KILN_E_NOT_FOUND);
    CHECK(scratch_count(dir, NULL) == 1); /* no temporaries left */
    kiln_context *again = open_context(dir, NULL);
    CHECK_OK(get(again, key, data, 1000003));
    kiln__store_drop_binary(again->store, key);
    CHECK_STATUS(get(c, key, data, 1), KILN_E_NOT_FOUND);
    CHECK_STATUS(kiln__store_put_binary(c->store, "../../etc/passwd", "d", "w", data, 1), KILN_E_INVALID);
    CHECK_STATUS(kiln__store_put_binary(c->store, key, "d", "w", data, 0), KILN_E_INVALID);
    CHECK_STATUS(kiln__store_put_binary(c->store, key, "d", "w", data, (64u << 20) + 1), KILN_E_INVALID);
    CHECK_STATUS(get(c, "0123456789ABCDEF0123456789abcdef", data, 1), KILN_E_INVALID);
    CHECK(n_warnings == 0);
    kiln_context_destroy(again);
    kiln_context_destroy(c);
    free(data);
    scratch_remove(dir);
}

/* Without a folder nothing is kept and nothing fails. */
static void no_folder(void) {
    kiln_context *c = open_context("", NULL);
    put(c, key, "abc", 3);
    CHECK_STATUS(get(c, key, "abc", 3), KILN_E_NOT_FOUND);
    CHECK_STR(kiln_cache_dir(c), "");
    CHECK(n_warnings == 0);
    kiln_context_destroy(c);
}

static void every_byte_flipped(void) {
    char dir[256], path[512];
    static const char data[] = "a program of a few bytes: a program of a few bytes";
    scratch_make(dir);
    kiln_context *c = open_context(dir, NULL);
    put(c, key, data, sizeof data);
    binary_path(dir, key, path);
    size_t bytes;
    char *file = scratch_read(path, &bytes);
    for (size_t i = 0; i < bytes; i++) {
        for (int bit = 0; bit < 8; bit += 7) {
            scratch_patch(path, i, (char)(file[i] ^ (1 << bit)));
            CHECK_STATUS(get(c, key, data, sizeof data), KILN_E_CORRUPT);
            scratch_patch(path, i, file[i]);
        }
    }
    CHECK_OK(get(c, key, data, sizeof data));
    for (size_t n = bytes - 1; n > 0; n--) {
        REQUIRE(truncate(path, (off_t)n) == 0);
        CHECK_STATUS(get(c, key, data, sizeof data), KILN_E_CORRUPT);
    }
    char *longer = calloc(1, bytes + 1);
    memcpy(longer, file, bytes);
    scratch_write(path, longer, bytes + 1);
    CHECK_STATUS(get(c, key, data, sizeof data), KILN_E_CORRUPT);
    CHECK(n_warnings == 1);         /* not for each */
    put(c, key, data, sizeof data); /* written whole again */
    CHECK_OK(get(c, key, data, sizeof data));
    char other_path[512];
    binary_path(dir, other_key, other_path);
    scratch_write(other_path, file, bytes);
    chmod(other_path, 0600);
    CHECK_STATUS(get(c, other_key, data, sizeof data), KILN_E_CORRUPT);
    CHECK_HAS(kiln_last_error(), "key of another");
    free(longer);
    free(file);
    kiln_context_destroy(c);
    scratch_remove(dir);
}

static void put_le64(char *at, uint64_t value) {
    for (int i = 0; i < 8; i++)
        at[i] = (char)(value >> (8 * i));
}

/* Sizes that lie, under checksums that are right. */
static void hostile_sizes(void) {
    char dir[256], path[512];
    scratch_make(dir);
    kiln_context *c = open_context(dir, NULL);
    put(c, key, "abcdefgh", 8);
    binary_path(dir, key, path);
    size_t bytes;
    char *file = scratch_read(path, &bytes);
    static const uint64_t lies[] = {0, 7, 9, 64u << 20, (64u << 20) + 1, 1ull << 40, UINT64_MAX, UINT64_MAX - 511};
    for (size_t field = 48; field <= 56; field += 8) {
        for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
            char saved[8];
            memcpy(saved, file + field, 8);
            put_le64(file + field, lies[i]);
            put_le64(file + 504, XXH3_64bits(file, 504));
            scratch_write(path, file, bytes);
            CHECK_STATUS(get(c, key, "abcdefgh", 8), KILN_E_CORRUPT);
            memcpy(file + field, saved, 8);
        }
    }
    /* A payload that unpacks to more than both headers say. */
    char bomb[512 + 1024];
    static char zeros[1 << 20];
    const size_t packed = ZSTD_compress(bomb + 512, 1024, zeros, sizeof zeros, 3);
    REQUIRE(!ZSTD_isError(packed));
    memcpy(bomb, file, 512);
    put_le64(bomb + 48, 8);
    put_le64(bomb + 56, packed);
    put_le64(bomb + 64, XXH3_64bits(bomb + 512, packed));
    put_le64(bomb + 504, XXH3_64bits(bomb, 504));
    scratch_write(path, bomb, 512 + packed);
    CHECK_STATUS(get(c, key, "abcdefgh", 8), KILN_E_CORRUPT);
    /* Text without an end, and text that would steer a terminal. */
    memset(file + 72, 'x', 128);
    memset(file + 200, 27, 304);
    put_le64(file + 504, XXH3_64bits(file, 504));
    scratch_write(path, file, bytes);
    CHECK_OK(get(c, key, "abcdefgh", 8));
    free(file);
    kiln_context_destroy(c);
    scratch_remove(dir);
}

static void unsafe_places(void) {
    char dir[256], path[512], moved[512];
    scratch_make(dir);
    kiln_context *c = open_context(dir, NULL);
    put(c, key, "abc", 3);
    static const char *const below[] = {"", "/bin", "/bin/01", "/bin/01/0123456789abcdef0123456789abcdef.kbin"};
    for (size_t i = 0; i < 4; i++) {
        static const mode_t modes[] = {0020, 0002};
        for (size_t m = 0; m < 2; m++) {
            snprintf(path, sizeof path, "%s%s", dir, below[i]);
            REQUIRE(chmod(path, (i == 3 ? 0600 : 0700) | modes[m]) == 0);
            CHECK_STATUS(get(c, key, "abc", 3), KILN_E_CORRUPT);
            CHECK_HAS(kiln_last_error(), "can be written by others");
            if (i < 3)
                CHECK_STATUS(kiln__store_put_binary(c->store, key, "d", "w", "abc", 3), KILN_E_IO);
            REQUIRE(chmod(path, i == 3 ? 0600 : 0700) == 0);
        }
    }
    CHECK_OK(get(c, key, "abc", 3));
    CHECK(n_warnings == 3);          /* once for folders, for a file, for writing */
    for (size_t i = 1; i < 4; i++) { /* links, though they lead to sound things */
        snprintf(path, sizeof path, "%s%s", dir, below[i]);
        snprintf(moved, sizeof moved, "%s/moved", dir);
        REQUIRE(rename(path, moved) == 0 && symlink(moved, path) == 0);
        CHECK_STATUS(get(c, key, "abc", 3), i == 3 ? KILN_E_CORRUPT : KILN_E_NOT_FOUND);
        REQUIRE(unlink(path) == 0 && rename(moved, path) == 0);
    }
    binary_path(dir, key, path);
    unlink(path);
    REQUIRE(mkfifo(path, 0600) == 0);
    CHECK_STATUS(get(c, key, "abc", 3), KILN_E_CORRUPT);
    unlink(path);
    REQUIRE(mkdir(path, 0700) == 0);
    CHECK_STATUS(get(c, key, "abc", 3), KILN_E_CORRUPT);
    if (geteuid() == 0) {
        REQUIRE(rmdir(path) == 0);
        put(c, key, "abc", 3);
        REQUIRE(chown(path, 12345, 12345) == 0);
        CHECK_STATUS(get(c, key, "abc", 3), KILN_E_CORRUPT);
        CHECK_HAS(kiln_last_error(), "belongs to user 12345");
    } else {
        printf("skipped: a file of another user (not root)\n");
    }
    kiln_context_destroy(c);
    scratch_remove(dir);
}

static void layers(void) {
    char dir[256], lower[256], list[600], path[512];
    scratch_make(dir);
    scratch_make(lower);
    kiln_context *c = open_context(lower, NULL);
    put(c, key, "lower", 5);
    put(c, other_key, "other", 5);
    kiln_context_destroy(c);
    snprintf(list, sizeof list, "/nowhere/at/all::%s", lower);
    c = open_context(dir, list);
    CHECK(n_warnings == 1); /* the layer that is not there */
    CHECK_OK(get(c, key, "lower", 5));
    CHECK(scratch_count(dir, NULL) == 0); /* reading writes nothing */
    put(c, key, "upper", 5);
    CHECK_OK(get(c, key, "upper", 5));
    binary_path(dir, key, path);
    scratch_write(path, "damaged", 7);
    CHECK_OK(get(c, key, "lower", 5));
    kiln__store_drop_binary(c->store, key);
    CHECK_OK(get(c, key, "lower", 5));
    CHECK(scratch_count(lower, NULL) == 2);
    binary_path(lower, other_key, path);
    scratch_write(path, "damaged", 7);
    CHECK_STATUS(get(c, other_key, "other", 5), KILN_E_CORRUPT);
    CHECK_HAS(kiln_last_error(), lower);
    kiln_context_destroy(c);
    scratch_remove(dir);
    scratch_remove(lower);
}

int main(void) {
    round_trip();
    no_folder();
    every_byte_flipped();
    hostile_sizes();
    unsafe_places();
    layers();
    return test_end();
}
