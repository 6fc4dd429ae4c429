/* Where tests find NVRTC: where the library looks, else a wheel of it unpacked below build/ of the checkout. */
#ifndef KILN_TESTS_FIND_NVRTC_H
#define KILN_TESTS_FIND_NVRTC_H

#include "testing.h"
#include <glob.h>

/* Lets KILN_NVRTC_LIBRARY name the wheel below build/, if there is one and nothing was asked for. */
static inline void nvrtc_look_below_build(void) {
    const char *asked = getenv("KILN_NVRTC_LIBRARY"), *root = getenv("KILN_SOURCE_DIR");
    glob_t found = {0};
    char pattern[1024];
    for (int depth = 1; depth <= 5 && !(asked && *asked); depth++) {
        snprintf(pattern, sizeof pattern, "%s/build/%.*snvidia/*/lib/libnvrtc.so.1[23]", root ? root : ".", 2 * depth,
                 "*/*/*/*/*/");
        if (glob(pattern, 0, NULL, &found) == 0) {
            setenv("KILN_NVRTC_LIBRARY", found.gl_pathv[found.gl_pathc - 1], 1);
            globfree(&found);
            return;
        }
        globfree(&found);
    }
}

/* An architecture to compile for; skips the test where there is no NVRTC. */
static inline kiln_device *nvrtc_open_arch(kiln_context *context, const char *arch, uint32_t units) {
    kiln_device *device = NULL;
    const kiln_status status = kiln_device_open_arch(context, "cuda", arch, units, &device);
    if (status == KILN_E_NOT_FOUND && test_failures)
        exit(test_end());
    if (status == KILN_E_NOT_FOUND)
        SKIP("%s", kiln_last_error());
    REQUIRE_OK(status);
    return device;
}

#endif
