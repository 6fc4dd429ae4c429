/* DIR/bin/<2 hex>/<key>.kbin: a fixed header, then one zstd frame. All numbers are little-endian.
 *
 *       0  magic          8  "KILNBIN\n"
 *       8  format         4  1
 *      12  reserved       4  0
 *      16  key           32  the file's own name, so that a renamed file is refused
 *      48  raw_bytes      8  after decompression
 *      56  packed_bytes   8  the rest of the file
 *      64  payload_hash   8  XXH3-64 of the packed bytes
 *      72  device       128  NUL-padded
 *     200  what         304  NUL-padded
 *     504  header_hash    8  XXH3-64 of the 504 bytes before */
#include "store_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

enum {
    AT_FORMAT = 8,
    AT_RESERVED = 12,
    AT_KEY = 16,
    AT_RAW_BYTES = 48,
    AT_PACKED_BYTES = 56,
    AT_PAYLOAD_HASH = 64,
    AT_DEVICE = 72,
    AT_WHAT = AT_DEVICE + KILN_STORE_MAX_DEVICE,
    AT_HEADER_HASH = AT_WHAT + KILN_STORE_MAX_WHAT,
    HEADER_BYTES = AT_HEADER_HASH + 8,
    FORMAT = 1
};
_Static_assert(HEADER_BYTES == 512, "the header's size is part of the format");

static const char magic[8] = {'K', 'I', 'L', 'N', 'B', 'I', 'N', '\n'};

static void put_le(unsigned char *at, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t get_le(const unsigned char *at, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

/* ---- reading ---- */

static kiln_status corrupt(const kiln_store_layer *layer, const char *key, const char *why) {
    return kiln_fail(KILN_E_CORRUPT, "binary %s in %s: %s; it is made again, or removed by kiln cache prune", key,
                     layer->path, why);
}

/* The text is shown to people: it must end, and not steer their terminal. */
static void clean_text(char *text, size_t capacity) {
    text[capacity - 1] = 0;
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

static const char *parse_header(const unsigned char *h, const char *key, uint64_t file_bytes, kiln_binary_info *info) {
    if (memcmp(h, magic, sizeof magic) != 0)
        return "not a binary of this store";
    if (get_le(h + AT_HEADER_HASH, 8) != XXH3_64bits(h, AT_HEADER_HASH))
        return "damaged header";
    if (get_le(h + AT_FORMAT, 4) != FORMAT || get_le(h + AT_RESERVED, 4) != 0)
        return "of an unknown format";
    if (memcmp(h + AT_KEY, key, KILN_STORE_KEY_LENGTH) != 0)
        return "has the key of another one";
    info->raw_bytes = get_le(h + AT_RAW_BYTES, 8);
    info->packed_bytes = get_le(h + AT_PACKED_BYTES, 8);
    info->payload_hash = get_le(h + AT_PAYLOAD_HASH, 8);
    memcpy(info->device, h + AT_DEVICE, sizeof info->device);
    memcpy(info->what, h + AT_WHAT, sizeof info->what);
    clean_text(info->device, sizeof info->device);
    clean_text(info->what, sizeof info->what);
    if (info->raw_bytes == 0 || info->raw_bytes > KILN_STORE_MAX_BINARY_BYTES)
        return "larger than 64 MiB, or empty";
    if (info->packed_bytes != file_bytes - HEADER_BYTES)
        return "truncated";
    return NULL;
}

static bool read_all(int fd, unsigned char *to, size_t bytes, off_t at) {
    while (bytes > 0) {
        const ssize_t n = pread(fd, to, bytes, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        to += n;
        at += n;
        bytes -= (size_t)n;
    }
    return true;
}

static kiln_status unpack(kiln_store *store, const kiln_store_layer *layer, const char *key,
                          const unsigned char *packed, const kiln_binary_info *info, void **data, size_t *bytes) {
    const size_t packed_bytes = (size_t)info->packed_bytes, raw_bytes = (size_t)info->raw_bytes;
    if (XXH3_64bits(packed, packed_bytes) != info->payload_hash)
        return corrupt(layer, key, "damaged contents");
    if (ZSTD_getFrameContentSize(packed, packed_bytes) != raw_bytes)
        return corrupt(layer, key, "its size is not what its header says");
    void *raw = kiln__realloc(store->context, NULL, raw_bytes);
    if (!raw)
        return KILN_E_MEMORY;
    if (ZSTD_decompress(raw, raw_bytes, packed, packed_bytes) != raw_bytes) {
        kiln__free(store->context, raw);
        return corrupt(layer, key, "cannot be decompressed");
    }
    if (data) {
        *data = raw;
        *bytes = raw_bytes;
    } else {
        kiln__free(store->context, raw);
    }
    return KILN_OK;
}

static kiln_status read_open_file(kiln_store *store, const kiln_store_layer *layer, int fd, const char *key,
                                  bool header_only, kiln_binary_info *info, void **data, size_t *bytes) {
    struct stat st;
    if (fstat(fd, &st) != 0)
        return corrupt(layer, key, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return corrupt(layer, key, "not a regular file");
    KILN_TRY(kiln__store_check_safe(layer, &st, key));
    if (st.st_size <= HEADER_BYTES || st.st_size > KILN_STORE_MAX_FILE_BYTES)
        return corrupt(layer, key, "truncated, or larger than 128 MiB");
    unsigned char header[HEADER_BYTES];
    if (!read_all(fd, header, sizeof header, 0))
        return corrupt(layer, key, "cannot be read");
    const char *why = parse_header(header, key, (uint64_t)st.st_size, info);
    if (why)
        return corrupt(layer, key, why);
    if (header_only)
        return KILN_OK;
    unsigned char *packed = kiln__realloc(store->context, NULL, (size_t)info->packed_bytes);
    if (!packed)
        return KILN_E_MEMORY;
    kiln_status status = read_all(fd, packed, (size_t)info->packed_bytes, HEADER_BYTES)
                             ? unpack(store, layer, key, packed, info, data, bytes)
                             : corrupt(layer, key, "cannot be read");
    kiln__free(store->context, packed);
    if (status == KILN_OK && data && layer->is_user)
        futimens(fd, NULL); /* last used: what prune goes by; a failure only makes it prune this one earlier */
    return status;
}

static void file_name(const char *key, char out[KILN_STORE_KEY_LENGTH + 6]) {
    snprintf(out, KILN_STORE_KEY_LENGTH + 6, "%.32s.kbin", key);
}

kiln_status kiln__binary_read(kiln_store *store, const kiln_store_layer *layer, int folder, const char *key,
                              bool header_only, kiln_binary_info *info, void **data, size_t *bytes) {
    char name[KILN_STORE_KEY_LENGTH + 6];
    file_name(key, name);
    const int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return kiln_fail(KILN_E_NOT_FOUND, "no binary %s in %s", key, layer->path);
    if (fd < 0)
        return corrupt(layer, key, errno == ELOOP ? "is a symbolic link" : strerror(errno));
    kiln_status status = read_open_file(store, layer, fd, key, header_only, info, data, bytes);
    close(fd);
    return status;
}

static bool key_is_valid(const char *key) {
    return strlen(key) == KILN_STORE_KEY_LENGTH && kiln__store_is_hex(key, KILN_STORE_KEY_LENGTH);
}

kiln_status kiln__store_get_binary(kiln_store *store, const char *key, void **data, size_t *bytes) {
    if (!key_is_valid(key))
        return kiln_fail(KILN_E_INVALID, "store: \"%s\" is not a key of 32 hex digits", key);
    const char first[3] = {key[0], key[1], 0};
    const char *const names[] = {"bin", first, NULL};
    char *refused = NULL;
    kiln_status status = KILN_E_NOT_FOUND;
    for (size_t i = 0; i < store->n_layers; i++) {
        const kiln_store_layer *layer = &store->layers[i];
        int folder;
        kiln_binary_info info;
        status = kiln__store_folder(layer, names, KILN_STORE_SAFE, &folder);
        if (status == KILN_OK) {
            status = kiln__binary_read(store, layer, folder, key, false, &info, data, bytes);
            close(folder);
            if (status == KILN_E_CORRUPT)
                kiln__store_warn(store, KILN_STORE_WARN_DAMAGED);
        } else if (status == KILN_E_CORRUPT) {
            kiln__store_warn(store, KILN_STORE_WARN_UNSAFE);
        } else if (status == KILN_E_IO) {
            status = KILN_E_CORRUPT;
        }
        if (status == KILN_OK || status == KILN_E_MEMORY)
            break;
        if (status == KILN_E_CORRUPT && !refused)
            refused = kiln__strdup(store->context, kiln_last_error());
    }
    if (status != KILN_OK && status != KILN_E_MEMORY)
        status = refused ? kiln_fail(KILN_E_CORRUPT, "%s", refused)
                         : kiln_fail(KILN_E_NOT_FOUND, "no binary %s in the store", key);
    kiln__free(store->context, refused);
    return status;
}

/* ---- writing ---- */

static kiln_status compress(const void *data, size_t bytes, unsigned char *to, size_t capacity, size_t *out) {
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    if (!zstd)
        return kiln_fail(KILN_E_MEMORY, "out of host memory compressing a binary of %zu bytes", bytes);
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, 3);
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1);
    const size_t n = ZSTD_compress2(zstd, to, capacity, data, bytes);
    ZSTD_freeCCtx(zstd);
    if (ZSTD_isError(n))
        return kiln_fail(KILN_E_INTERNAL, "zstd: %s", ZSTD_getErrorName(n));
    *out = n;
    return KILN_OK;
}

static void put_text(unsigned char *at, const char *text, size_t capacity) {
    const size_t length = strnlen(text, capacity - 1);
    memcpy(at, text, length);
}

/* The whole file in memory: header and payload. */
static kiln_status pack(kiln_store *store, const char *key, const char *device, const char *what, const void *data,
                        size_t bytes, unsigned char **file, size_t *file_bytes) {
    const size_t bound = ZSTD_compressBound(bytes);
    unsigned char *f = kiln__realloc(store->context, NULL, HEADER_BYTES + bound);
    size_t packed_bytes = 0;
    if (!f)
        return KILN_E_MEMORY;
    kiln_status status = compress(data, bytes, f + HEADER_BYTES, bound, &packed_bytes);
    if (status != KILN_OK) {
        kiln__free(store->context, f);
        return status;
    }
    memset(f, 0, HEADER_BYTES);
    memcpy(f, magic, sizeof magic);
    put_le(f + AT_FORMAT, FORMAT, 4);
    memcpy(f + AT_KEY, key, KILN_STORE_KEY_LENGTH);
    put_le(f + AT_RAW_BYTES, bytes, 8);
    put_le(f + AT_PACKED_BYTES, packed_bytes, 8);
    put_le(f + AT_PAYLOAD_HASH, XXH3_64bits(f + HEADER_BYTES, packed_bytes), 8);
    put_text(f + AT_DEVICE, device, KILN_STORE_MAX_DEVICE);
    put_text(f + AT_WHAT, what, KILN_STORE_MAX_WHAT);
    put_le(f + AT_HEADER_HASH, XXH3_64bits(f, AT_HEADER_HASH), 8);
    *file = f;
    *file_bytes = HEADER_BYTES + packed_bytes;
    return KILN_OK;
}

static bool write_all(int fd, const unsigned char *from, size_t bytes) {
    while (bytes > 0) {
        const ssize_t n = write(fd, from, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0)
                errno = ENOSPC;
            return false;
        }
        from += n;
        bytes -= (size_t)n;
    }
    return true;
}

/* Whole or not at all: readers see the old file, or none, until the rename. What a power cut leaves of it fails its
 * checksum and is made again, so nobody waits for the disk: tuning writes a file for each candidate. */
static kiln_status write_file(kiln_store *store, const kiln_store_layer *layer, int folder, const char *key,
                              const unsigned char *file, size_t file_bytes) {
    char name[KILN_STORE_KEY_LENGTH + 6], temporary[160];
    pthread_mutex_lock(&store->lock);
    kiln__store_name_writer(store);
    file_name(key, name);
    snprintf(temporary, sizeof temporary, "%s.tmp.%s.%llu", name, store->writer,
             (unsigned long long)atomic_fetch_add(&store->n_temporaries, 1));
    pthread_mutex_unlock(&store->lock);
    const int fd = openat(folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 && errno == ENOENT)
        return kiln_fail(KILN_E_NOT_FOUND, "folder of binary %s in %s is gone", name, layer->path);
    bool ok = fd >= 0 && write_all(fd, file, file_bytes);
    int error = errno;
    if (fd >= 0 && close(fd) != 0 && ok) { /* NFS reports a full disk here */
        ok = false;
        error = errno;
    }
    if (ok && renameat(folder, temporary, folder, name) != 0) {
        ok = false;
        error = errno;
    }
    if (ok)
        return KILN_OK;
    if (fd >= 0)
        unlinkat(folder, temporary, 0);
    return kiln_fail(KILN_E_IO, "cannot write binary %s to %s: %s; it is not kept", name, layer->path, strerror(error));
}

static kiln_status write_below(kiln_store *store, const kiln_store_layer *layer, const char *key,
                               const unsigned char *file, size_t file_bytes) {
    const char first[3] = {key[0], key[1], 0};
    const char *const names[] = {"bin", first, NULL};
    int folder;
    KILN_TRY(kiln__store_folder(layer, names, KILN_STORE_CREATE | KILN_STORE_SAFE, &folder));
    kiln_status status = write_file(store, layer, folder, key, file, file_bytes);
    close(folder);
    return status;
}

kiln_status kiln__store_put_binary(kiln_store *store, const char *key, const char *device, const char *what,
                                   const void *data, size_t bytes) {
    if (!key_is_valid(key) || bytes == 0 || bytes > KILN_STORE_MAX_BINARY_BYTES)
        return kiln_fail(KILN_E_INVALID, "store: key \"%s\" is not 32 hex digits, or a binary of %zu bytes is not kept",
                         key, bytes);
    const kiln_store_layer *layer = kiln__store_user(store);
    if (!layer)
        return KILN_OK;
    unsigned char *file = NULL;
    size_t file_bytes = 0;
    KILN_TRY(pack(store, key, device, what, data, bytes, &file, &file_bytes));
    kiln_status status = write_below(store, layer, key, file, file_bytes);
    if (status == KILN_E_NOT_FOUND) /* a prune removed the folder just made */
        status = write_below(store, layer, key, file, file_bytes);
    kiln__free(store->context, file);
    return status == KILN_OK ? KILN_OK : kiln__store_failed(store, KILN_E_IO);
}

void kiln__store_drop_binary(kiln_store *store, const char *key) {
    const kiln_store_layer *layer = kiln__store_user(store);
    if (!layer || !key_is_valid(key))
        return;
    const char first[3] = {key[0], key[1], 0};
    const char *const names[] = {"bin", first, NULL};
    char name[KILN_STORE_KEY_LENGTH + 6];
    int folder;
    if (kiln__store_folder(layer, names, 0, &folder) != KILN_OK)
        return;
    file_name(key, name);
    unlinkat(folder, name, 0);
    close(folder);
}
