/* Files for tests: a temporary folder of the test's own, and whole files in and out. */
#ifndef KILN_TESTS_SCRATCH_H
#define KILN_TESTS_SCRATCH_H

#include "testing.h"
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

/* A fresh folder, mode 0700. */
static inline void scratch_make(char path[256]) {
    const char *base = getenv("TMPDIR");
    snprintf(path, 256, "%s/kiln-test-XXXXXX", base && base[0] == '/' ? base : "/tmp");
    REQUIRE(mkdtemp(path) != NULL);
}

static inline int scratch_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static inline void scratch_remove(const char *path) {
    nftw(path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* The whole file, with a NUL behind it; free it. */
static inline char *scratch_read(const char *path, size_t *bytes) {
    FILE *f = fopen(path, "rb");
    REQUIRE(f != NULL);
    REQUIRE(fseek(f, 0, SEEK_END) == 0);
    const long n = ftell(f);
    REQUIRE(n >= 0 && fseek(f, 0, SEEK_SET) == 0);
    char *data = calloc(1, (size_t)n + 1);
    REQUIRE(data && fread(data, 1, (size_t)n, f) == (size_t)n);
    fclose(f);
    *bytes = (size_t)n;
    return data;
}

static inline void scratch_write(const char *path, const void *data, size_t bytes) {
    FILE *f = fopen(path, "wb");
    REQUIRE(f != NULL);
    REQUIRE(fwrite(data, 1, bytes, f) == bytes && fclose(f) == 0);
}

/* Overwrites one byte of a file. In place: writing the whole file anew waits for the disk on some file systems. */
static inline void scratch_patch(const char *path, size_t at, char byte) {
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    REQUIRE(fd >= 0 && pwrite(fd, &byte, 1, (off_t)at) == 1);
    close(fd);
}

/* The number of files (not folders) below `path`; the path of the last one if `out` is not NULL. */
static int scratch_n_files;
static char scratch_last_file[1024];

static inline int scratch_count_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)ftw;
    if (type != FTW_D && type != FTW_DP) {
        scratch_n_files++;
        snprintf(scratch_last_file, sizeof scratch_last_file, "%s", path);
    }
    return 0;
}

static inline int scratch_count(const char *path, char out[1024]) {
    scratch_n_files = 0;
    scratch_last_file[0] = 0;
    nftw(path, scratch_count_one, 16, FTW_PHYS);
    if (out)
        memcpy(out, scratch_last_file, sizeof scratch_last_file);
    return scratch_n_files;
}

#endif
