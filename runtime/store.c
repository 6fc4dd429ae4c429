#include "store_internal.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

/* ---- reporting ---- */

void kiln__store_warn(kiln_store *store, kiln_store_warning kind) {
    if (!(atomic_fetch_or(&store->warned, (unsigned)kind) & (unsigned)kind))
        kiln__log(store->context, KILN_LOG_WARN, "store: %s", kiln_last_error());
}

kiln_status kiln__store_failed(kiln_store *store, kiln_status status) {
    kiln__count(store->context, KILN_COUNT_STORE_FAILURES);
    kiln__store_warn(store, KILN_STORE_WARN_WRITE);
    return status;
}

/* ---- names ---- */

bool kiln__store_is_hex(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
            return false;
    return true;
}

bool kiln__store_is_device(const char *text) {
    const size_t length = strlen(text);
    if (length == 0 || length >= KILN_STORE_MAX_DEVICE || text[0] == '.')
        return false;
    for (size_t i = 0; i < length; i++) {
        const char c = text[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
              c == '.'))
            return false;
    }
    return true;
}

void kiln__store_name_writer(kiln_store *store) {
    if (store->writer_pid == getpid())
        return;
    store->writer_pid = getpid();
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    uint64_t nonce = 0;
    if (getrandom(&nonce, sizeof nonce, GRND_NONBLOCK) != (ssize_t)sizeof nonce) {
        struct timespec now; /* early boot: the start time tells writers apart as well */
        clock_gettime(CLOCK_REALTIME, &now);
        nonce = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    }
    snprintf(store->writer, sizeof store->writer, "%08x-%ld-%016llx", (unsigned)XXH3_64bits(host, strlen(host)),
             (long)store->writer_pid, (unsigned long long)nonce);
}

/* ---- folders ---- */

kiln_status kiln__store_check_safe(const kiln_store_layer *layer, const struct stat *st, const char *name) {
    const bool is_folder = S_ISDIR(st->st_mode);
    if (st->st_uid != geteuid() && !(st->st_uid == 0 && !layer->is_user))
        return kiln_fail(KILN_E_CORRUPT,
                         "%s in %s belongs to user %u: binaries are code and are loaded from one's own %s only; set "
                         "KILN_CACHE_DIR to a folder of your own",
                         name, layer->path, (unsigned)st->st_uid, is_folder ? "folders" : "files");
    if (st->st_mode & (S_IWGRP | S_IWOTH))
        return kiln_fail(KILN_E_CORRUPT,
                         "%s in %s can be written by others (mode %03o): binaries are code and are not loaded from "
                         "there; chmod go-w it",
                         name, layer->path, (unsigned)(st->st_mode & 0777));
    return KILN_OK;
}

static kiln_status folder_failed(const kiln_store_layer *layer, const char *name, unsigned flags) {
    const int error = errno;
    if (!(flags & KILN_STORE_CREATE) && (error == ENOENT || error == ENOTDIR))
        return kiln_fail(KILN_E_NOT_FOUND, "no folder %s in %s", name, layer->path);
    return kiln_fail(KILN_E_IO, "folder %s in %s: %s; make it writable or set KILN_CACHE_DIR", name, layer->path,
                     error == ELOOP ? "is a symbolic link" : strerror(error));
}

static bool make_path(const char *path) {
    char part[PATH_MAX];
    const size_t length = strlen(path);
    if (length >= sizeof part) {
        errno = ENAMETOOLONG;
        return false;
    }
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != 0)
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return false;
    }
    return true;
}

static int open_root(const char *path, bool create) {
    const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    const int fd = open(path, flags);
    if (fd >= 0 || errno != ENOENT || !create || !make_path(path))
        return fd;
    return open(path, flags);
}

static int open_below(int parent, const char *name, bool create) {
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    const int fd = openat(parent, name, flags);
    if (fd >= 0 || errno != ENOENT || !create)
        return fd;
    if (mkdirat(parent, name, 0700) != 0 && errno != EEXIST)
        return -1;
    return openat(parent, name, flags);
}

static kiln_status check_folder(const kiln_store_layer *layer, int fd, const char *name, unsigned flags) {
    struct stat st;
    if (!(flags & KILN_STORE_SAFE))
        return KILN_OK;
    if (fstat(fd, &st) != 0)
        return kiln_fail(KILN_E_IO, "folder %s in %s: %s", name, layer->path, strerror(errno));
    return kiln__store_check_safe(layer, &st, name);
}

static kiln_status walk(const kiln_store_layer *layer, const char *const *names, unsigned flags, int *out) {
    const bool create = flags & KILN_STORE_CREATE;
    int fd = open_root(layer->path, create);
    if (fd < 0)
        return folder_failed(layer, ".", flags);
    kiln_status status = check_folder(layer, fd, ".", flags);
    for (; *names && status == KILN_OK; names++) {
        const int next = open_below(fd, *names, create);
        if (next < 0) {
            status = folder_failed(layer, *names, flags);
            break;
        }
        close(fd);
        fd = next;
        status = check_folder(layer, fd, *names, flags);
    }
    if (status == KILN_OK)
        *out = fd;
    else
        close(fd);
    return status;
}

kiln_status kiln__store_folder(const kiln_store_layer *layer, const char *const *names, unsigned flags, int *out) {
    kiln_status status = walk(layer, names, flags, out);
    if (status == KILN_E_IO && (flags & KILN_STORE_CREATE)) /* a prune may have removed the folder just made */
        status = walk(layer, names, flags, out);
    return status;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static kiln_status read_names(int folder, kiln_store_names *names) {
    const int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* a read position of our own */
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        const int error = errno;
        if (fd >= 0)
            close(fd);
        return kiln_fail(KILN_E_IO, "cannot read a folder of the store: %s", strerror(error));
    }
    struct dirent *entry;
    while (names->n < KILN_STORE_MAX_NAMES && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        kiln__strbuf_add_bytes(&names->text, entry->d_name, strlen(entry->d_name) + 1);
        names->n++;
    }
    closedir(dir);
    return kiln__strbuf_status(&names->text);
}

kiln_status kiln__store_list(kiln_store *store, int folder, kiln_store_names *out) {
    *out = (kiln_store_names){0};
    kiln_status status = read_names(folder, out);
    if (status == KILN_OK && out->n > 0) {
        out->v = kiln__alloc(store->context, out->n * sizeof *out->v);
        if (!out->v)
            status = KILN_E_MEMORY;
    }
    if (status != KILN_OK || out->n == 0) {
        kiln__strbuf_free(&out->text);
        out->n = 0;
        return status;
    }
    char *name = out->text.data;
    for (size_t i = 0; i < out->n; i++, name += strlen(name) + 1)
        out->v[i] = name;
    qsort(out->v, out->n, sizeof *out->v, compare_names);
    return KILN_OK;
}

void kiln__store_names_free(kiln_store *store, kiln_store_names *names) {
    kiln__strbuf_free(&names->text);
    kiln__free(store->context, names->v);
    *names = (kiln_store_names){0};
}

/* ---- opening ---- */

static kiln_status add_layer(kiln_store *store, const char *path, size_t length, bool is_user) {
    char cwd[PATH_MAX];
    kiln_strbuf full = {0};
    if (path[0] != '/' && getcwd(cwd, sizeof cwd)) /* the process may change its folder later */
        kiln__strbuf_addf(&full, "%s/", cwd);
    kiln__strbuf_add_bytes(&full, path, length);
    while (full.length > 1 && full.data[full.length - 1] == '/')
        full.data[--full.length] = 0;
    kiln_status status = kiln__strbuf_status(&full);
    char *copy = status == KILN_OK ? kiln__strdup(store->context, full.data) : NULL;
    kiln__strbuf_free(&full);
    if (!copy)
        return KILN_E_MEMORY;
    store->layers[store->n_layers++] = (kiln_store_layer){copy, is_user};
    return KILN_OK;
}

static bool folder_is_usable(const char *path, bool may_be_missing) {
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd >= 0 || (may_be_missing && errno == ENOENT);
}

static kiln_status add_layers(kiln_store *store, const char *layers) {
    for (const char *path = layers; *path;) {
        const size_t length = strcspn(path, ":");
        if (length > 0 && store->n_layers == KILN_STORE_MAX_LAYERS) {
            kiln__log(store->context, KILN_LOG_WARN, "store: more than %d layers; the rest from %s on is left out",
                      KILN_STORE_MAX_LAYERS, path);
            return KILN_OK;
        }
        if (length > 0) {
            KILN_TRY(add_layer(store, path, length, false));
            kiln_store_layer *layer = &store->layers[store->n_layers - 1];
            if (!folder_is_usable(layer->path, false)) {
                kiln__log(store->context, KILN_LOG_WARN, "store: layer %s left out: %s", layer->path, strerror(errno));
                kiln__free(store->context, layer->path);
                store->n_layers--;
            }
        }
        path += length + (path[length] == ':');
    }
    return KILN_OK;
}

kiln_status kiln__store_open(kiln_context *context, const char *dir, const char *layers, kiln_store **out) {
    kiln_store *store = kiln__alloc(context, sizeof *store);
    if (!store)
        return KILN_E_MEMORY;
    store->context = context;
    pthread_mutex_init(&store->lock, NULL);
    kiln_status status = dir && dir[0] ? add_layer(store, dir, strlen(dir), true) : KILN_OK;
    if (status == KILN_OK && kiln__store_user(store) && !folder_is_usable(store->layers[0].path, true)) {
        /* Kept as a layer: each write then fails and is counted. */
        kiln_fail(KILN_E_IO, "cache folder %s cannot be used: %s; nothing is kept, set KILN_CACHE_DIR",
                  store->layers[0].path, strerror(errno));
        kiln__store_warn(store, KILN_STORE_WARN_WRITE);
    }
    if (status == KILN_OK && layers)
        status = add_layers(store, layers);
    if (status == KILN_OK)
        *out = store;
    else
        kiln__store_close(store);
    return status;
}

void kiln__store_close(kiln_store *store) {
    if (!store)
        return;
    for (size_t i = 0; i < store->n_layers; i++)
        kiln__free(store->context, store->layers[i].path);
    pthread_mutex_destroy(&store->lock);
    kiln__free(store->context, store);
}
