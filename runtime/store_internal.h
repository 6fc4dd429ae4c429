/* What the parts of the store share: layers, folders and the one way to report that the disk refused. */
#ifndef KILN_RUNTIME_STORE_INTERNAL_H
#define KILN_RUNTIME_STORE_INTERNAL_H

#include "embed.h"
#include "store.h"
#include <sys/stat.h>

enum {
    KILN_STORE_MAX_LAYERS = 16,
    KILN_STORE_MAX_NAMES = 1 << 16,         /* entries of one folder that are looked at */
    KILN_STORE_MAX_BINARY_BYTES = 64 << 20, /* before compression */
    KILN_STORE_MAX_FILE_BYTES = 128 << 20,  /* of a binary's file */
    KILN_STORE_MAX_LOG_BYTES = 64 << 20,    /* of a record file */
    KILN_STORE_MAX_LINE_BYTES = 16 << 10,
    KILN_STORE_KEY_LENGTH = 32,
    KILN_STORE_MAX_DEVICE = 128,
    KILN_STORE_MAX_WHAT = 304
};

typedef struct kiln_store_layer {
    char *path; /* absolute */
    bool is_user;
} kiln_store_layer;

struct kiln_store {
    kiln_context *context;
    kiln_store_layer layers[KILN_STORE_MAX_LAYERS]; /* the user's first, if there is one */
    size_t n_layers;
    _Atomic unsigned warned; /* kiln_store_warning bits that were logged */
    _Atomic uint64_t n_temporaries;
    pthread_mutex_t lock; /* guards the writer's name and the end of its record files */
    char writer[64];
    pid_t writer_pid; /* a forked child needs a name of its own */
};

/* The layer written to, or NULL. */
static inline const kiln_store_layer *kiln__store_user(const kiln_store *store) {
    return store->n_layers && store->layers[0].is_user ? &store->layers[0] : NULL;
}

/* ---- reporting ---- */
typedef enum kiln_store_warning {
    KILN_STORE_WARN_WRITE = 1,  /* the disk refused */
    KILN_STORE_WARN_UNSAFE = 2, /* a folder that others can write to */
    KILN_STORE_WARN_DAMAGED = 4 /* a binary that is not what was written */
} kiln_store_warning;

/* Logs the text of the last failure, once for each kind in the life of the store. */
void kiln__store_warn(kiln_store *store, kiln_store_warning kind);
/* Counts and logs a failed write; returns `status`. */
kiln_status kiln__store_failed(kiln_store *store, kiln_status status);

/* ---- names ---- */
bool kiln__store_is_hex(const char *text, size_t length); /* `length` lower-case hex digits and more or nothing after */
bool kiln__store_is_device(const char *text);             /* a fingerprint that is safe as a folder name */
/* Writes the writer's name, made anew after a fork. Call with the lock held. */
void kiln__store_name_writer(kiln_store *store);

/* ---- folders ---- all below a layer are opened one by one, without following links */
typedef enum kiln_store_folder_flags {
    KILN_STORE_CREATE = 1, /* make what is missing, mode 0700 */
    KILN_STORE_SAFE = 2    /* KILN_E_CORRUPT unless nobody else can write to any folder of the chain */
} kiln_store_folder_flags;

/* Opens layer/names[0]/names[1]/…; NULL ends the names. KILN_E_NOT_FOUND: not there. KILN_E_IO: the system says no. */
kiln_status kiln__store_folder(const kiln_store_layer *layer, const char *const *names, unsigned flags, int *out);

/* Is the thing that `st` describes ours, and closed to other writers? KILN_E_CORRUPT with the reason if not. Files of
 * read-only layers may belong to root as well. */
kiln_status kiln__store_check_safe(const kiln_store_layer *layer, const struct stat *st, const char *name);

/* The names in a folder, sorted, without "." and "..". */
typedef struct kiln_store_names {
    kiln_strbuf text;
    char **v;
    size_t n;
} kiln_store_names;
kiln_status kiln__store_list(kiln_store *store, int folder, kiln_store_names *out);
void kiln__store_names_free(kiln_store *store, kiln_store_names *names);

/* ---- binaries ---- */
typedef struct kiln_binary_info {
    char device[KILN_STORE_MAX_DEVICE];
    char what[KILN_STORE_MAX_WHAT];
    uint64_t raw_bytes, packed_bytes, payload_hash;
} kiln_binary_info;

/* Reads and checks the binary `key` in an open folder. `data` may be NULL: then the payload is still checked unless
 * `header_only`. */
kiln_status kiln__binary_read(kiln_store *store, const kiln_store_layer *layer, int folder, const char *key,
                              bool header_only, kiln_binary_info *info, void **data, size_t *bytes);

/* ---- records ---- */
typedef struct kiln_record_scan {
    const char *device;  /* every line must be of this device */
    const char *hash;    /* and of a problem with this hash */
    const char *problem; /* and of this one, unless NULL */
    uint64_t n_good, n_bad;
} kiln_record_scan;

/* Visits the valid lines of an open record file. `visit` may be NULL. */
kiln_status kiln__record_scan_fd(int fd, kiln_record_scan *scan, kiln_record_visit visit, void *user);

#endif
