/* Records and binaries on disk: the user's folder over read-only layers.
 *
 *     DIR/rec/<device>/<hash of problem>/<writer>.log   append-only text, one checksummed line a trial
 *     DIR/bin/<2 hex>/<key>.kbin                        one atomic file a binary: header, zstd payload, checksum
 *
 * One writer a file, so nothing is lost to concurrency, a kill or NFS. A bad line is skipped and counted, a bad binary
 * refused and counted. Binaries are code: they are read only from layers that nobody else can write to. Every file is
 * hostile: sizes are bounded before anything is allocated. */
#ifndef KILN_RUNTIME_STORE_H
#define KILN_RUNTIME_STORE_H

#include "context.h"
#include <kiln/cache.h>

typedef struct kiln_store kiln_store;

/* Opens the store over `dir` ("": memory only, nothing is kept) and the colon-separated read-only `layers` (NULL:
 * none). A folder that cannot be used is logged and left out; only KILN_E_MEMORY fails. Folders are made at the first
 * write. */
kiln_status kiln__store_open(kiln_context *context, const char *dir, const char *layers, kiln_store **out);
void kiln__store_close(kiln_store *store);

/* ---- binaries ---- `key` is 32 hex digits over all that shaped the binary. */

/* KILN_E_NOT_FOUND; KILN_E_CORRUPT: every copy found is damaged or unsafe to load, the text says why. Free with
 * kiln__free. */
kiln_status kiln__store_get_binary(kiln_store *store, const char *key, void **data, size_t *bytes);
/* `what` says what it was compiled from, for kiln cache ls; `device` is a fingerprint. A full disk or unwritable folder
 * is KILN_E_IO, logged once; callers go on without. */
kiln_status kiln__store_put_binary(kiln_store *store, const char *key, const char *device, const char *what,
                                   const void *data, size_t bytes);
/* Removes a binary that the driver refused from the user's folder, so that the next one is written whole. */
void kiln__store_drop_binary(kiln_store *store, const char *key);

/* ---- records ---- */

typedef enum kiln_trial_state {
    KILN_TRIAL_OK = 0,      /* valid and timed */
    KILN_TRIAL_FAILED = 1,  /* did not compile or launch */
    KILN_TRIAL_WRONG = 2,   /* computed wrongly */
    KILN_TRIAL_CRASHED = 3, /* took its process with it */
    KILN_TRIAL_HUNG = 4,    /* did not come back in time */
    KILN_TRIAL_MISS = 5,    /* no trial: a problem that was asked for and had none */
    KILN_TRIAL_DONE = 6     /* no trial: a search ended; `config` says how far it went, `content` what it searched */
} kiln_trial_state;

typedef enum kiln_serving { KILN_SERVING_EAGER = 0, KILN_SERVING_GRAPH = 1 } kiln_serving;

/* One measured or failed trial. Strings in a record read back live until the visit returns. */
typedef struct kiln_record {
    const char *problem; /* canonical text */
    const char *device;  /* fingerprint */
    const char *driver, *compiler;
    const char *content; /* hash of the variant's sources */
    const char *variant, *config;
    kiln_serving serving;
    kiln_trial_state state;
    const char *reason; /* of a failure; "" else */
    double median_us, min_us, spread_us;
    /* The candidate whose time the search put all others in relation to, and what it took then: what tells a slow
     * candidate from a busy machine. NULL or "", 0: in no relation, as in records of older releases. */
    const char *base;
    double base_us;
    uint32_t n_repetitions;
    int64_t time; /* seconds since 1970 */
} kiln_record;

/* Appends one line to this process's file of the problem. KILN_E_IO: not written, logged once. Thread-safe. */
kiln_status kiln__store_append(kiln_store *store, const kiln_record *record);

typedef kiln_status (*kiln_record_visit)(void *user, const kiln_record *record);

/* Visits every valid record of a problem on a device, all layers, oldest first within a file. */
kiln_status kiln__store_records(kiln_store *store, const char *device, const char *problem, kiln_record_visit visit,
                                void *user);

#endif
