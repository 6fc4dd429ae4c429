/* The context: owns the allocator, the logger, the store, the registry of kernel families and the devices.
 * There are no globals: two contexts in one process do not know of each other. */
#ifndef KILN_CONTEXT_H
#define KILN_CONTEXT_H

#include <kiln/status.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kiln_context kiln_context;

/* How far Kiln may step down from the best it knows (see kiln/plan.h on the ladder of fallback). */
typedef enum kiln_mode {
    KILN_MODE_ENVIRONMENT = 0, /* what KILN_MODE says, else KILN_MODE_DEFAULT */
    KILN_MODE_DEFAULT = 1,     /* winner, next best record, guess, simpler variant, ref: each step explained */
    KILN_MODE_REFERENCE = 2,   /* everything runs through `ref`: tells whether a tuned kernel is at fault */
    KILN_MODE_STRICT = 3       /* a step down is an error */
} kiln_mode;

typedef enum kiln_log_level {
    KILN_LOG_ENVIRONMENT = 0, /* what KILN_LOG says (error, warn, info, debug, off), else KILN_LOG_WARN */
    KILN_LOG_OFF = 1,
    KILN_LOG_ERROR = 2,
    KILN_LOG_WARN = 3,
    KILN_LOG_INFO = 4,
    KILN_LOG_DEBUG = 5
} kiln_log_level;

/* Receives one message without a newline. May be called from any thread that uses the context, from one at a
 * time. Must not call Kiln. */
typedef void (*kiln_log_fn)(void *user, kiln_log_level level, const char *message);

/* Allocates (ptr == NULL), resizes, or frees (bytes == 0, returns NULL) host memory, like realloc. Must be
 * callable from any thread. Returns NULL when out of memory. */
typedef void *(*kiln_realloc_fn)(void *user, void *ptr, size_t bytes);

/* Options of kiln_context_create. Strings are copied. A member left at its KILN_CONTEXT_OPTIONS_INIT value means
 * what the environment says, and failing that the default. */
typedef struct kiln_context_options {
    uint32_t struct_size;
    kiln_mode mode;
    kiln_log_level log_level;
    kiln_log_fn log; /* NULL: standard error */
    void *log_user;
    kiln_realloc_fn realloc; /* NULL: the C library's */
    void *realloc_user;
    const char
        *cache_dir; /* KILN_CACHE_DIR, else $XDG_CACHE_HOME/kiln, else $HOME/.cache/kiln; "" keeps nothing on disk */
    const char *cache_path; /* KILN_CACHE_PATH: read-only store layers under cache_dir, colon-separated */
    const char *kernel_dir; /* KILN_KERNEL_DIR: loads kernel sources from this folder instead of the embedded ones */
    const char *backends;   /* comma-separated names to try; NULL: all */
} kiln_context_options;

#define KILN_CONTEXT_OPTIONS_INIT                                                                                      \
    { .struct_size = sizeof(kiln_context_options) }

/* Creates a context. `options` may be NULL. Loads each backend library that is there; a missing one means fewer
 * devices, never an error. Does not open a device. A cache folder that cannot be used is reported through the
 * log once, and the context works without one.
 *
 * KILN_E_INVALID: an option or an environment variable has an unknown value. KILN_E_MEMORY. */
KILN_API kiln_status kiln_context_create(const kiln_context_options *options, kiln_context **out);

/* Destroys a context and closes its devices. Everything made from it must have been destroyed before; what is
 * left is reported through the log. NULL is ignored. */
KILN_API void kiln_context_destroy(kiln_context *context);

/* Writes every kernel source of this library to a folder, which must be there, each whole in one file: to be read, or
 * to be changed and tried with `kernel_dir`. KILN_E_IO: a file or a folder below it cannot be written. */
KILN_API kiln_status kiln_kernels_write(const char *folder);

/* What a context did so far. Every count starts at zero. */
typedef struct kiln_counters {
    uint32_t struct_size;
    uint64_t compiles;           /* kernel programs compiled from source */
    uint64_t compile_failures;   /* of these, failed */
    uint64_t binary_hits;        /* kernel programs loaded from the store instead */
    uint64_t binary_misses;      /* looked for in the store, not there */
    uint64_t binary_rejected;    /* found in the store but corrupt, unsafe, or refused by the driver */
    uint64_t program_reuses;     /* kernel programs already loaded in this process */
    uint64_t plan_hits;          /* plans that a valid record decided */
    uint64_t plan_misses;        /* plans without a record: guessed */
    uint64_t plan_fallbacks;     /* steps down the ladder because something failed */
    uint64_t plan_revalidations; /* records of another driver, compiler or source taken as a lead only */
    uint64_t records_read;       /* valid record lines read */
    uint64_t records_bad;        /* damaged record lines skipped */
    uint64_t records_written;
    uint64_t store_failures; /* writes that the disk refused */
} kiln_counters;

#define KILN_COUNTERS_INIT                                                                                             \
    { .struct_size = sizeof(kiln_counters) }

/* Reads the counters. Thread-safe. KILN_E_INVALID: NULL or an unknown struct_size. */
KILN_API kiln_status kiln_context_counters(const kiln_context *context, kiln_counters *out);

/* The release of the library, e.g. "0.1.0". Static storage. */
KILN_API const char *kiln_version(void);

#ifdef __cplusplus
}
#endif
#endif
