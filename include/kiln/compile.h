/* Compiling without running: which kernels an architecture can have, and what they take of it.
 *
 *     kiln_device_open_arch(context, "cuda", "sm_90a", 0, &device);
 *     kiln_compile_problem(device, &problem, NULL, visit, user);
 *
 * What compiles is kept in the store, where a process on such a device finds it. */
#ifndef KILN_COMPILE_H
#define KILN_COMPILE_H

#include <kiln/plan.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kiln_compile_options {
    uint32_t struct_size;
    const char *variant; /* NULL: every variant that applies */
    uint32_t n_samples;  /* configs of a variant beside the guess, drawn from its space */
    uint64_t seed;       /* of the draw; 0: 1 */
} kiln_compile_options;

#define KILN_COMPILE_OPTIONS_INIT                                                                                      \
    { .struct_size = sizeof(kiln_compile_options) }

/* One candidate. Strings live until the visit returns. */
typedef struct kiln_compile_row {
    const char *variant, *config;
    const char *reason;     /* NULL: it compiled, and fits the device */
    uint32_t is_misfit;     /* 1: a drawn config of which only the compiled kernel shows that it does not fit */
    double ms;              /* compiling, or loading from the store, all its programs */
    uint32_t n_compiled;    /* programs that were not in the store */
    uint32_t n_kernels;     /* packing included */
    uint32_t registers;     /* of a work-item, of the kernel that takes most; 0: not known */
    uint32_t spills;        /* instructions in all kernels that move registers to memory for want of them */
    uint64_t local_bytes;   /* of a work-group, of the kernel that takes most */
    uint64_t private_bytes; /* of a work-item, likewise */
} kiln_compile_row;

typedef kiln_status (*kiln_compile_visit)(void *user, const kiln_compile_row *row);

/* Compiles the variants of a problem that apply on a device, which may be one of kiln_device_open_arch, and calls
 * `visit` for each candidate. One that fails is reported with its reason and does not end the run; a visit that returns
 * anything but KILN_OK does. KILN_E_NOT_FOUND: an unknown variant. */
KILN_API kiln_status kiln_compile_problem(kiln_device *device, const kiln_problem *problem,
                                          const kiln_compile_options *options, kiln_compile_visit visit, void *user);

#ifdef __cplusplus
}
#endif
#endif
