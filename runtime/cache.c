/* Looking at the store as a whole: one walk over its tree, in the order of names, that list, verify and prune share.
 *
 *     bin/<2 hex>/<key>.kbin        rec/<device>/<hash>/<writer>.log
 *
 * Links are never followed, and what does not have the shape of these names is shown as stray and left alone. */
#include "store_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_DEPTH = 4, LEFTOVER_SECONDS = 3600 };

typedef struct walker {
    kiln_store *store;
    const kiln_store_layer *layer;
    bool reads_all;       /* check the contents of every entry */
    bool removes_folders; /* that have become empty */
    const char *names[MAX_DEPTH];
    size_t depth;
    kiln_strbuf path;
    char unsafe[512]; /* why no binary below this layer may be loaded; "" if they may */
    /* Called for each entry. `folder` and `name` say where it is; `shaped`: its name is one that we write. */
    kiln_status (*found)(struct walker *w, int folder, const char *name, bool shaped, const struct stat *st,
                         const kiln_cache_entry *entry);
    void *user;
} walker;

/* ---- shapes of names ---- */

static bool has_key(const char *name) {
    return kiln__store_is_hex(name, KILN_STORE_KEY_LENGTH);
}

static bool is_binary_name(const walker *w, const char *name) {
    return has_key(name) && strcmp(name + KILN_STORE_KEY_LENGTH, ".kbin") == 0 && strncmp(name, w->names[1], 2) == 0;
}

static bool is_leftover_name(const char *name) {
    static const char middle[] = ".kbin.tmp.";
    return has_key(name) && strncmp(name + KILN_STORE_KEY_LENGTH, middle, sizeof middle - 1) == 0;
}

/* 8 hex digits, '-', digits, '-', 16 hex digits, ".log" */
static bool is_log_name(const char *name) {
    if (!kiln__store_is_hex(name, 8) || name[8] != '-')
        return false;
    const size_t digits = strspn(name + 9, "0123456789");
    const char *rest = name + 9 + digits;
    return digits > 0 && rest[0] == '-' && kiln__store_is_hex(rest + 1, 16) && strcmp(rest + 17, ".log") == 0;
}

static bool in_tree(const walker *w, const char *tree) {
    return strcmp(w->names[0], tree) == 0;
}

static bool is_folder_name(const walker *w, const char *name) {
    if (w->depth == 1 && in_tree(w, "bin"))
        return strlen(name) == 2 && kiln__store_is_hex(name, 2);
    if (w->depth == 1)
        return kiln__store_is_device(name);
    return w->depth == 2 && in_tree(w, "rec") && strlen(name) == 32 && kiln__store_is_hex(name, 32);
}

/* ---- entries ---- */

static kiln_status show_binary(walker *w, int folder, const char *name, const struct stat *st,
                               kiln_cache_entry *entry) {
    char key[KILN_STORE_KEY_LENGTH + 1];
    kiln_binary_info info;
    snprintf(key, sizeof key, "%.32s", name);
    kiln_status status = kiln__binary_read(w->store, w->layer, folder, key, !w->reads_all, &info, NULL, NULL);
    if (status == KILN_E_MEMORY)
        return status;
    if (status == KILN_E_NOT_FOUND)
        return KILN_OK; /* gone since it was listed */
    entry->kind = KILN_CACHE_BINARY;
    if (status == KILN_OK) {
        entry->what = info.what;
        entry->device = info.device;
        entry->fault = w->unsafe[0] ? w->unsafe : NULL;
    } else if (w->reads_all) {
        entry->fault = kiln_last_error();
    }
    return w->found(w, folder, name, true, st, entry);
}

static kiln_status keep_problem(void *user, const kiln_record *record) {
    snprintf(user, KILN_MAX_KEY, "%s", record->problem);
    return KILN_OK;
}

static kiln_status show_records(walker *w, int folder, const char *name, const struct stat *st,
                                kiln_cache_entry *entry) {
    char problem[KILN_MAX_KEY] = "", fault[64];
    kiln_record_scan scan = {.device = w->names[1], .hash = w->names[2]};
    const int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    kiln_status status = KILN_E_IO;
    if (fd < 0 && errno == ENOENT)
        return KILN_OK;
    if (fd >= 0 && S_ISREG(st->st_mode))
        status = kiln__record_scan_fd(fd, &scan, keep_problem, problem);
    if (fd >= 0)
        close(fd);
    entry->kind = KILN_CACHE_RECORDS;
    entry->what = problem;
    entry->device = w->names[1];
    entry->n_lines = scan.n_good + scan.n_bad;
    entry->n_bad_lines = scan.n_bad;
    if (w->reads_all && status != KILN_OK) {
        entry->fault = "cannot be read";
    } else if (w->reads_all && scan.n_bad > 0) {
        snprintf(fault, sizeof fault, "%llu damaged lines", (unsigned long long)scan.n_bad);
        entry->fault = fault;
    }
    return w->found(w, folder, name, true, st, entry);
}

static kiln_status show(walker *w, int folder, const char *name, const struct stat *st) {
    kiln_cache_entry entry = {.kind = KILN_CACHE_STRAY,
                              .path = w->path.data,
                              .what = "",
                              .device = "",
                              .bytes = (uint64_t)st->st_size,
                              .modified = st->st_mtim.tv_sec};
    const bool is_file = S_ISREG(st->st_mode) || S_ISLNK(st->st_mode);
    if (is_file && in_tree(w, "bin") && w->depth == 2) {
        if (is_binary_name(w, name))
            return show_binary(w, folder, name, st, &entry);
        if (is_leftover_name(name)) {
            entry.what = "leftover of an interrupted write";
            return w->found(w, folder, name, true, st, &entry);
        }
    }
    if (is_file && in_tree(w, "rec") && w->depth == 3 && is_log_name(name))
        return show_records(w, folder, name, st, &entry);
    entry.what = "not part of the store";
    return w->found(w, folder, name, false, st, &entry);
}

/* ---- the walk ---- */

static void check_folder(walker *w, int folder, const char *name) {
    struct stat st;
    if (!w->reads_all || w->unsafe[0] || fstat(folder, &st) != 0)
        return;
    if (kiln__store_check_safe(w->layer, &st, name) != KILN_OK)
        snprintf(w->unsafe, sizeof w->unsafe, "%s", kiln_last_error());
}

static kiln_status walk_folder(walker *w, int parent, const char *name);

static kiln_status walk_entry(walker *w, int folder, const char *name) {
    struct stat st;
    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return KILN_OK; /* gone since it was listed */
    if (S_ISDIR(st.st_mode) && is_folder_name(w, name))
        return walk_folder(w, folder, name);
    const size_t length = w->path.length;
    kiln__strbuf_addf(&w->path, "/%s", name);
    kiln_status status = kiln__strbuf_status(&w->path);
    if (status == KILN_OK)
        status = show(w, folder, name, &st);
    if (!w->path.failed)
        w->path.data[w->path.length = length] = 0;
    return status;
}

/* Recursion is bounded by is_folder_name: three folders deep at most. */
static kiln_status walk_folder(walker *w, int parent, const char *name) {
    const int folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0)
        return KILN_OK; /* gone, a link, or not ours to read */
    const size_t length = w->path.length;
    kiln_store_names names;
    kiln__strbuf_addf(&w->path, "/%s", name);
    kiln_status status = kiln__store_list(w->store, folder, &names);
    w->names[w->depth++] = name;
    if (in_tree(w, "bin"))
        check_folder(w, folder, name);
    for (size_t i = 0; i < names.n && status == KILN_OK; i++)
        status = walk_entry(w, folder, names.v[i]);
    w->depth--;
    kiln__store_names_free(w->store, &names);
    close(folder);
    if (!w->path.failed)
        w->path.data[w->path.length = length] = 0;
    if (w->removes_folders && status == KILN_OK)
        unlinkat(parent, name, AT_REMOVEDIR); /* fails, rightly, unless it is empty */
    return status;
}

static kiln_status walk_layer(walker *w, const kiln_store_layer *layer) {
    static const char *const none[] = {NULL};
    int root;
    kiln_status status = kiln__store_folder(layer, none, 0, &root);
    if (status != KILN_OK)
        return status == KILN_E_NOT_FOUND ? KILN_OK : status;
    w->layer = layer;
    w->unsafe[0] = 0;
    check_folder(w, root, ".");
    kiln__strbuf_clear(&w->path);
    kiln__strbuf_add(&w->path, layer->path);
    status = kiln__strbuf_status(&w->path);
    if (status == KILN_OK)
        status = walk_folder(w, root, "bin");
    if (status == KILN_OK)
        status = walk_folder(w, root, "rec");
    close(root);
    return status;
}

static kiln_status walk_all(walker *w) {
    kiln_status status = KILN_OK;
    for (size_t i = 0; i < w->store->n_layers && status == KILN_OK; i++)
        status = walk_layer(w, &w->store->layers[i]);
    kiln__strbuf_free(&w->path);
    return status;
}

/* ---- list and verify ---- */

typedef struct listing {
    kiln_cache_visit visit;
    void *user;
    uint64_t n_faults;
} listing;

static kiln_status list_entry(walker *w, int folder, const char *name, bool shaped, const struct stat *st,
                              const kiln_cache_entry *entry) {
    listing *l = w->user;
    (void)folder, (void)name, (void)shaped, (void)st;
    l->n_faults += entry->fault != NULL;
    return l->visit ? l->visit(l->user, entry) : KILN_OK;
}

const char *kiln_cache_dir(const kiln_context *context) {
    const kiln_store_layer *layer = context && context->store ? kiln__store_user(context->store) : NULL;
    return layer ? layer->path : "";
}

kiln_status kiln_cache_list(kiln_context *context, kiln_cache_visit visit, void *user) {
    if (!context)
        return kiln_fail(KILN_E_INVALID, "kiln_cache_list: context is NULL");
    listing l = {.visit = visit, .user = user};
    walker w = {.store = context->store, .found = list_entry, .user = &l};
    return walk_all(&w);
}

kiln_status kiln_cache_verify(kiln_context *context, kiln_cache_visit visit, void *user) {
    if (!context)
        return kiln_fail(KILN_E_INVALID, "kiln_cache_verify: context is NULL");
    listing l = {.visit = visit, .user = user};
    walker w = {.store = context->store, .reads_all = true, .found = list_entry, .user = &l};
    KILN_TRY(walk_all(&w));
    if (l.n_faults > 0)
        return kiln_fail(KILN_E_CORRUPT, "%llu entries of the cache are damaged; kiln cache prune removes binaries",
                         (unsigned long long)l.n_faults);
    return KILN_OK;
}

/* ---- prune ---- */

/* When a binary was last used; the key breaks ties. */
typedef struct use {
    struct timespec time;
    char key[KILN_STORE_KEY_LENGTH + 1];
    uint64_t bytes;
} use;

typedef struct pruning {
    kiln_cache_prune_options options;
    kiln_cache_visit visit;
    void *user;
    time_t now;
    use *uses; /* of the sound binaries */
    size_t n_uses, capacity;
    use last_to_go; /* binaries used no later than this go */
    bool is_over;   /* last_to_go is set */
    int error;      /* of the last removal that failed */
} pruning;

static int compare_uses(const void *a, const void *b) {
    const use *x = a, *y = b;
    if (x->time.tv_sec != y->time.tv_sec)
        return x->time.tv_sec < y->time.tv_sec ? -1 : 1;
    if (x->time.tv_nsec != y->time.tv_nsec)
        return x->time.tv_nsec < y->time.tv_nsec ? -1 : 1;
    return strcmp(x->key, y->key);
}

static use make_use(const char *name, const struct stat *st) {
    use u = {.time = st->st_mtim, .bytes = (uint64_t)st->st_size};
    snprintf(u.key, sizeof u.key, "%.32s", name);
    return u;
}

static bool is_too_old(const pruning *p, const struct stat *st) {
    const int64_t limit = (int64_t)p->options.max_age_days * 86400;
    return limit > 0 && (int64_t)p->now - (int64_t)st->st_mtim.tv_sec > limit;
}

static kiln_status collect_use(walker *w, int folder, const char *name, bool shaped, const struct stat *st,
                               const kiln_cache_entry *entry) {
    pruning *p = w->user;
    (void)folder, (void)shaped;
    if (entry->kind != KILN_CACHE_BINARY || entry->fault || is_too_old(p, st))
        return KILN_OK;
    if (p->n_uses == p->capacity) {
        const size_t capacity = p->capacity ? 2 * p->capacity : 64;
        use *uses = kiln__realloc(w->store->context, p->uses, capacity * sizeof *uses);
        if (!uses)
            return KILN_E_MEMORY;
        p->uses = uses;
        p->capacity = capacity;
    }
    p->uses[p->n_uses++] = make_use(name, st);
    return KILN_OK;
}

/* The least recently used binaries that do not fit into max_bytes. */
static kiln_status choose_by_size(kiln_store *store, pruning *p) {
    walker w = {.store = store, .reads_all = true, .found = collect_use, .user = p};
    kiln_status status = walk_layer(&w, kiln__store_user(store));
    kiln__strbuf_free(&w.path);
    if (status != KILN_OK || p->n_uses == 0)
        return status;
    qsort(p->uses, p->n_uses, sizeof *p->uses, compare_uses);
    uint64_t kept = 0;
    for (size_t i = p->n_uses; i-- > 0;) {
        kept += p->uses[i].bytes;
        if (kept > p->options.max_bytes) {
            p->last_to_go = p->uses[i];
            p->is_over = true;
            break;
        }
    }
    return KILN_OK;
}

static bool must_go(const pruning *p, const char *name, const struct stat *st, const kiln_cache_entry *entry) {
    if (p->options.all)
        return true;
    if (entry->kind == KILN_CACHE_STRAY)
        return (int64_t)p->now - (int64_t)st->st_mtim.tv_sec > LEFTOVER_SECONDS;
    if (entry->kind != KILN_CACHE_BINARY)
        return false;
    if (entry->fault || is_too_old(p, st))
        return true;
    const use u = make_use(name, st);
    return p->is_over && compare_uses(&u, &p->last_to_go) <= 0;
}

static kiln_status prune_entry(walker *w, int folder, const char *name, bool shaped, const struct stat *st,
                               const kiln_cache_entry *entry) {
    pruning *p = w->user;
    if (!shaped || !must_go(p, name, st, entry))
        return KILN_OK;
    if (!p->options.dry_run && unlinkat(folder, name, 0) != 0) {
        if (errno != ENOENT)
            p->error = errno;
        return KILN_OK;
    }
    return p->visit ? p->visit(p->user, entry) : KILN_OK;
}

kiln_status kiln_cache_prune(kiln_context *context, const kiln_cache_prune_options *options, kiln_cache_visit visit,
                             void *user) {
    if (!context)
        return kiln_fail(KILN_E_INVALID, "kiln_cache_prune: context is NULL");
    KILN_CHECK_STRUCT(options, kiln_cache_prune_options);
    pruning p = {.visit = visit, .user = user, .now = time(NULL)};
    memcpy(&p.options, options, options->struct_size);
    kiln_store *store = context->store;
    if (!kiln__store_user(store))
        return KILN_OK;
    kiln_status status = p.options.max_bytes > 0 && !p.options.all ? choose_by_size(store, &p) : KILN_OK;
    walker w = {.store = store,
                .reads_all = true,
                .removes_folders = p.options.all && !p.options.dry_run,
                .found = prune_entry,
                .user = &p};
    if (status == KILN_OK)
        status = walk_layer(&w, kiln__store_user(store));
    kiln__strbuf_free(&w.path);
    kiln__free(context, p.uses);
    if (status == KILN_OK && p.error)
        status =
            kiln_fail(KILN_E_IO, "cannot remove everything from %s: %s", kiln_cache_dir(context), strerror(p.error));
    return status;
}
