/* Writes the script of the null backend to a temporary file and points KILN_NULL_SCRIPT at it. */
#ifndef KILN_TESTS_NULL_SCRIPT_H
#define KILN_TESTS_NULL_SCRIPT_H

#include "testing.h"
#include <ftw.h>
#include <stdarg.h>
#include <unistd.h>

static char null_script_path[64];

__attribute__((format(printf, 1, 2), unused)) static void null_script(const char *format, ...) {
    if (!null_script_path[0]) {
        strcpy(null_script_path, "/tmp/kiln-null-XXXXXX");
        const int fd = mkstemp(null_script_path);
        REQUIRE(fd >= 0);
        close(fd);
    }
    FILE *f = fopen(null_script_path, "w");
    REQUIRE(f != NULL);
    va_list args;
    va_start(args, format);
    vfprintf(f, format, args);
    va_end(args);
    REQUIRE(fclose(f) == 0);
    setenv("KILN_NULL_SCRIPT", null_script_path, 1);
}

__attribute__((unused)) static void null_script_end(void) {
    if (null_script_path[0])
        unlink(null_script_path);
}

static int null_remove_one(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)st, (void)type, (void)at;
    return remove(path);
}

/* Removes a temporary folder with all in it. */
__attribute__((unused)) static void null_remove(const char *folder) {
    nftw(folder, null_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
