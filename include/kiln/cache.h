/* The store on disk: records of trials and compiled binaries, looked at and cleaned up.
 *
 * Records are append-only text, one checksummed line a trial; binaries are one file each. Deleting any of them
 * is safe at any time: Kiln compiles or guesses again. Binaries are code: they are only loaded from folders that
 * nobody else can write to. */
#ifndef KILN_CACHE_H
#define KILN_CACHE_H

#include <kiln/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum kiln_cache_kind { KILN_CACHE_RECORDS = 1, KILN_CACHE_BINARY = 2, KILN_CACHE_STRAY = 3 } kiln_cache_kind;

typedef struct kiln_cache_entry {
    kiln_cache_kind kind;
    const char *path; /* strings live until the visit returns */
    const char *what; /* of records: the problem; of a binary: what it was compiled from */
    const char *device;
    uint64_t bytes;
    uint64_t n_lines, n_bad_lines; /* of records */
    int64_t modified;              /* seconds since 1970 */
    const char *fault;             /* NULL: sound (only known after kiln_cache_verify) */
} kiln_cache_entry;

typedef kiln_status (*kiln_cache_visit)(void *user, const kiln_cache_entry *entry);

/* The folder written to; "" without one. Lives as long as the context. */
KILN_API const char *kiln_cache_dir(const kiln_context *context);

/* Visits every entry of every layer, the user's folder first, in an order that does not change. */
KILN_API kiln_status kiln_cache_list(kiln_context *context, kiln_cache_visit visit, void *user);

/* Like kiln_cache_list, reading each entry whole and checking its checksums. Changes nothing.
 * KILN_E_CORRUPT: at least one entry has a fault. */
KILN_API kiln_status kiln_cache_verify(kiln_context *context, kiln_cache_visit visit, void *user);

typedef struct kiln_cache_prune_options {
    uint32_t struct_size;
    uint64_t max_bytes;    /* of binaries to keep, least recently used go first; 0: no limit */
    uint32_t max_age_days; /* of binaries since last used; 0: no limit */
    uint32_t all;          /* 1: every binary and every record */
    uint32_t dry_run;      /* 1: visit what would go, remove nothing */
} kiln_cache_prune_options;

#define KILN_CACHE_PRUNE_OPTIONS_INIT                                                                                  \
    { .struct_size = sizeof(kiln_cache_prune_options) }

/* Removes from the user's folder: damaged binaries and leftovers of interrupted writes always, binaries past the
 * limits, and with `all` everything. Records are measured time: without `all` they are kept, damaged lines and
 * all. Visits what was removed. */
KILN_API kiln_status kiln_cache_prune(kiln_context *context, const kiln_cache_prune_options *options,
                                      kiln_cache_visit visit, void *user);

#ifdef __cplusplus
}
#endif
#endif
