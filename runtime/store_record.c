/* DIR/rec/<device>/<hash of problem>/<writer>.log: a line is 16 hex digits of XXH3-64 over the JSON text, a space, one
 * JSON object and a newline. Names of members and states are never changed or reused: old files stay readable. */
#include "store_internal.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

enum { HASH_DIGITS = 16, MAX_REASON = 2048 };

static const double max_time = 9007199254740992.0; /* 2^53: whole in a double */

static const char *const state_names[] = {
    [KILN_TRIAL_OK] = "ok",           [KILN_TRIAL_FAILED] = "failed", [KILN_TRIAL_WRONG] = "wrong",
    [KILN_TRIAL_CRASHED] = "crashed", [KILN_TRIAL_HUNG] = "hung",     [KILN_TRIAL_MISS] = "miss",
    [KILN_TRIAL_DONE] = "done",
};
static const char *const serving_names[] = {[KILN_SERVING_EAGER] = "eager", [KILN_SERVING_GRAPH] = "graph"};
enum { N_STATES = sizeof state_names / sizeof *state_names, N_SERVINGS = sizeof serving_names / sizeof *serving_names };

static bool timing_is_valid(double us) {
    return isfinite(us) && us >= 0;
}

static void hash_digits(const char *text, size_t length, char out[HASH_DIGITS + 1]) {
    snprintf(out, HASH_DIGITS + 1, "%016llx", (unsigned long long)XXH3_64bits(text, length));
}

/* ---- reading ---- */

static bool get_text(const cJSON *object, const char *name, const char **out) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    *out = cJSON_IsString(item) ? item->valuestring : NULL;
    return *out != NULL;
}

static bool get_number(const cJSON *object, const char *name, double max, double *out) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!cJSON_IsNumber(item) || !timing_is_valid(item->valuedouble) || item->valuedouble > max)
        return false;
    *out = item->valuedouble;
    return true;
}

static bool get_name(const cJSON *object, const char *name, const char *const *names, int n, int *out) {
    const char *text;
    if (!get_text(object, name, &text))
        return false;
    for (int i = 0; i < n; i++)
        if (strcmp(text, names[i]) == 0) {
            *out = i;
            return true;
        }
    return false;
}

static bool is_of_problem(const kiln_record_scan *scan, const char *problem) {
    if (scan->problem)
        return strcmp(problem, scan->problem) == 0;
    char hash[33];
    kiln__hash_hex(problem, strlen(problem), hash);
    return strlen(problem) < KILN_MAX_KEY && strcmp(hash, scan->hash) == 0;
}

/* The strings of `r` point into `json`. */
static bool read_object(const kiln_record_scan *scan, const cJSON *json, kiln_record *r) {
    int state, serving;
    double n, time;
    if (!cJSON_IsObject(json) || !get_text(json, "problem", &r->problem) || !get_text(json, "device", &r->device) ||
        !get_text(json, "driver", &r->driver) || !get_text(json, "compiler", &r->compiler) ||
        !get_text(json, "content", &r->content) || !get_text(json, "variant", &r->variant) ||
        !get_text(json, "config", &r->config) || !get_text(json, "reason", &r->reason))
        return false;
    if (!get_name(json, "serving", serving_names, N_SERVINGS, &serving) ||
        !get_name(json, "state", state_names, N_STATES, &state) ||
        !get_number(json, "median_us", HUGE_VAL, &r->median_us) || !get_number(json, "min_us", HUGE_VAL, &r->min_us) ||
        !get_number(json, "spread_us", HUGE_VAL, &r->spread_us) || !get_number(json, "n", UINT32_MAX, &n) ||
        !get_number(json, "time", max_time, &time))
        return false;
    if (!get_text(json, "base", &r->base) || !get_number(json, "base_us", HUGE_VAL, &r->base_us)) {
        r->base = "";
        r->base_us = 0;
    }
    r->serving = (kiln_serving)serving;
    r->state = (kiln_trial_state)state;
    r->n_repetitions = (uint32_t)n;
    r->time = (int64_t)time;
    return strcmp(r->device, scan->device) == 0 && is_of_problem(scan, r->problem);
}

static kiln_status read_line(kiln_record_scan *scan, const char *line, size_t length, kiln_record_visit visit,
                             void *user) {
    char digits[HASH_DIGITS + 1];
    kiln_record record;
    kiln_status status = KILN_OK;
    if (length == 0) /* what an interrupted write and its successor may leave */
        return KILN_OK;
    scan->n_bad++;
    if (length < HASH_DIGITS + 3 || line[HASH_DIGITS] != ' ')
        return KILN_OK;
    const char *text = line + HASH_DIGITS + 1;
    length -= HASH_DIGITS + 1;
    hash_digits(text, length, digits);
    if (memcmp(digits, line, HASH_DIGITS) != 0)
        return KILN_OK;
    const char *end = NULL;
    cJSON *json = cJSON_ParseWithLengthOpts(text, length, &end, 0);
    if (json && end == text + length && read_object(scan, json, &record)) {
        scan->n_bad--;
        scan->n_good++;
        if (visit)
            status = visit(user, &record);
    }
    cJSON_Delete(json);
    return status;
}

/* The lines of a buffer that are whole; what is left over moves to its front. */
typedef struct {
    char data[KILN_STORE_MAX_LINE_BYTES];
    size_t length;
    bool skipping; /* inside of a line that is too long */
} line_buffer;

static kiln_status take_lines(line_buffer *b, kiln_record_scan *scan, kiln_record_visit visit, void *user) {
    size_t start = 0;
    for (;;) {
        const char *end = memchr(b->data + start, '\n', b->length - start);
        if (!end)
            break;
        const size_t length = (size_t)(end - (b->data + start));
        if (!b->skipping)
            KILN_TRY(read_line(scan, b->data + start, length, visit, user));
        b->skipping = false;
        start += length + 1;
    }
    b->length -= start;
    memmove(b->data, b->data + start, b->length);
    if (b->length == sizeof b->data) {
        scan->n_bad += !b->skipping;
        b->skipping = true;
    }
    if (b->skipping)
        b->length = 0;
    return KILN_OK;
}

kiln_status kiln__record_scan_fd(int fd, kiln_record_scan *scan, kiln_record_visit visit, void *user) {
    line_buffer b;
    b.length = 0;
    b.skipping = false;
    for (uint64_t total = 0; total < KILN_STORE_MAX_LOG_BYTES;) {
        const ssize_t n = read(fd, b.data + b.length, sizeof b.data - b.length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return kiln_fail(KILN_E_IO, "cannot read a record file: %s", strerror(errno));
        if (n == 0)
            break;
        total += (uint64_t)n;
        b.length += (size_t)n;
        KILN_TRY(take_lines(&b, scan, visit, user));
    }
    scan->n_bad += b.length > 0; /* a line without its end, or past the largest file */
    return KILN_OK;
}

static kiln_status scan_folder(kiln_store *store, int folder, kiln_record_scan *scan, kiln_record_visit visit,
                               void *user) {
    kiln_store_names names;
    KILN_TRY(kiln__store_list(store, folder, &names));
    kiln_status status = KILN_OK;
    for (size_t i = 0; i < names.n && status == KILN_OK; i++) {
        const size_t length = strlen(names.v[i]);
        if (length < 5 || strcmp(names.v[i] + length - 4, ".log") != 0)
            continue;
        struct stat st;
        const int fd = openat(folder, names.v[i], O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
            status = kiln__record_scan_fd(fd, scan, visit, user);
        else
            scan->n_bad++;
        if (fd >= 0)
            close(fd);
    }
    kiln__store_names_free(store, &names);
    return status;
}

kiln_status kiln__store_records(kiln_store *store, const char *device, const char *problem, kiln_record_visit visit,
                                void *user) {
    char hash[33];
    if (!kiln__store_is_device(device) || strlen(problem) >= KILN_MAX_KEY)
        return kiln_fail(KILN_E_INVALID, "store: \"%s\" is not a device fingerprint, or the problem is too long",
                         device);
    kiln__hash_hex(problem, strlen(problem), hash);
    const char *const names[] = {"rec", device, hash, NULL};
    kiln_record_scan scan = {.device = device, .hash = hash, .problem = problem};
    kiln_status status = KILN_OK;
    for (size_t i = 0; i < store->n_layers && status == KILN_OK; i++) {
        int folder;
        if (kiln__store_folder(&store->layers[i], names, 0, &folder) != KILN_OK)
            continue; /* nothing there, or nothing that may be read: other layers may know more */
        status = scan_folder(store, folder, &scan, visit, user);
        close(folder);
    }
    if (scan.n_bad > 0) /* no warning: a process that was killed leaves one behind for good */
        kiln__log(store->context, KILN_LOG_INFO, "store: %llu damaged records of %s skipped",
                  (unsigned long long)scan.n_bad, problem);
    atomic_fetch_add(&store->context->counters[KILN_COUNT_RECORDS_READ], scan.n_good);
    atomic_fetch_add(&store->context->counters[KILN_COUNT_RECORDS_BAD], scan.n_bad);
    return status;
}

/* ---- writing ---- */

static void add_text(cJSON *object, const char *name, const char *text, bool *ok) {
    *ok = cJSON_AddStringToObject(object, name, text ? text : "") && *ok;
}

/* cJSON's own printing rounds doubles to what it thinks is close enough. */
static void add_number(cJSON *object, const char *name, double value, bool *ok) {
    char text[40];
    snprintf(text, sizeof text, "%.17g", value);
    for (char *c = text; *c; c++)
        if (!strchr("0123456789+-e", *c))
            *c = '.'; /* whatever the locale has there */
    *ok = cJSON_AddRawToObject(object, name, text) && *ok;
}

static char *print_record(const kiln_record *r) {
    char reason[MAX_REASON];
    snprintf(reason, sizeof reason, "%s", r->reason ? r->reason : "");
    cJSON *o = cJSON_CreateObject();
    bool ok = o != NULL;
    if (!ok)
        return NULL;
    add_text(o, "problem", r->problem, &ok);
    add_text(o, "device", r->device, &ok);
    add_text(o, "driver", r->driver, &ok);
    add_text(o, "compiler", r->compiler, &ok);
    add_text(o, "content", r->content, &ok);
    add_text(o, "variant", r->variant, &ok);
    add_text(o, "config", r->config, &ok);
    add_text(o, "serving", serving_names[r->serving], &ok);
    add_text(o, "state", state_names[r->state], &ok);
    add_text(o, "reason", reason, &ok);
    add_number(o, "median_us", r->median_us, &ok);
    add_number(o, "min_us", r->min_us, &ok);
    add_number(o, "spread_us", r->spread_us, &ok);
    if (r->base && *r->base) {
        add_text(o, "base", r->base, &ok);
        add_number(o, "base_us", r->base_us, &ok);
    }
    add_number(o, "n", r->n_repetitions, &ok);
    add_number(o, "time", (double)r->time, &ok);
    char *text = ok ? cJSON_PrintUnformatted(o) : NULL;
    cJSON_Delete(o);
    return text;
}

static kiln_status check_record(const kiln_record *r) {
    if (!r->problem || strlen(r->problem) >= KILN_MAX_KEY || !r->device || !kiln__store_is_device(r->device) ||
        (unsigned)r->serving >= N_SERVINGS || (unsigned)r->state >= N_STATES)
        return kiln_fail(KILN_E_INVALID, "record: no valid problem, device, serving mode or state");
    if (!timing_is_valid(r->median_us) || !timing_is_valid(r->min_us) || !timing_is_valid(r->spread_us) ||
        !timing_is_valid(r->base_us) || r->time < 0 || (double)r->time > max_time)
        return kiln_fail(KILN_E_INVALID, "record of %s: a timing that is negative or not a number", r->problem);
    return KILN_OK;
}

/* "\n" when the last write was cut, so that only that line is lost, else "". NULL: the file is full or unusable. */
static const char *line_prefix(int fd, off_t size) {
    char last = '\n';
    if (size > KILN_STORE_MAX_LOG_BYTES - 2 * KILN_STORE_MAX_LINE_BYTES) {
        errno = EFBIG;
        return NULL;
    }
    if (size > 0 && pread(fd, &last, 1, size - 1) != 1)
        return NULL;
    return last == '\n' ? "" : "\n";
}

/* One write(2): with O_APPEND whole lines of several writers never mix. */
static bool append_line(int fd, const char *json) {
    struct stat st;
    if (fstat(fd, &st) != 0)
        return false;
    if (!S_ISREG(st.st_mode)) {
        errno = EINVAL;
        return false;
    }
    const char *prefix = line_prefix(fd, st.st_size);
    if (!prefix)
        return false;
    const size_t length = strlen(json);
    char digits[HASH_DIGITS + 1], line[KILN_STORE_MAX_LINE_BYTES + 2];
    hash_digits(json, length, digits);
    const int n = snprintf(line, sizeof line, "%s%s %s\n", prefix, digits, json);
    if (n < 0 || (size_t)n > KILN_STORE_MAX_LINE_BYTES) {
        errno = EMSGSIZE;
        return false;
    }
    ssize_t written;
    do
        written = write(fd, line, (size_t)n);
    while (written < 0 && errno == EINTR);
    if (written == n)
        return true;
    if (written >= 0) {
        errno = ENOSPC;
        if (ftruncate(fd, st.st_size) != 0) /* else the next line begins with a newline */
            errno = ENOSPC;
    }
    return false;
}

static kiln_status append_file(kiln_store *store, const kiln_store_layer *layer, const char *device, const char *hash,
                               const char *json) {
    const char *const names[] = {"rec", device, hash, NULL};
    char name[80];
    int fd = -1;
    kiln__store_name_writer(store);
    snprintf(name, sizeof name, "%s.log", store->writer);
    for (int attempt = 0; attempt < 2 && fd < 0; attempt++) { /* again if a prune removed the folder just made */
        int folder;
        KILN_TRY(kiln__store_folder(layer, names, KILN_STORE_CREATE, &folder));
        fd = openat(folder, name, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
        const int error = errno;
        close(folder);
        errno = error;
        if (fd < 0 && error != ENOENT)
            break;
    }
    bool ok = fd >= 0 && append_line(fd, json);
    int error = errno;
    if (fd >= 0 && close(fd) != 0 && ok) {
        ok = false;
        error = errno;
    }
    return ok ? KILN_OK
              : kiln_fail(KILN_E_IO, "cannot append a record to %s: %s; it is not kept", layer->path, strerror(error));
}

kiln_status kiln__store_append(kiln_store *store, const kiln_record *record) {
    char hash[33];
    KILN_TRY(check_record(record));
    const kiln_store_layer *layer = kiln__store_user(store);
    if (!layer)
        return KILN_OK;
    char *json = print_record(record);
    if (!json)
        return kiln_fail(KILN_E_MEMORY, "out of host memory writing a record of %s", record->problem);
    if (strlen(json) + HASH_DIGITS + 3 > KILN_STORE_MAX_LINE_BYTES) {
        cJSON_free(json);
        return kiln_fail(KILN_E_INVALID, "record of %s: longer than 16 KiB", record->problem);
    }
    kiln__hash_hex(record->problem, strlen(record->problem), hash);
    pthread_mutex_lock(&store->lock);
    kiln_status status = append_file(store, layer, record->device, hash, json);
    pthread_mutex_unlock(&store->lock);
    cJSON_free(json);
    if (status != KILN_OK)
        return kiln__store_failed(store, status);
    kiln__count(store->context, KILN_COUNT_RECORDS_WRITTEN);
    return KILN_OK;
}
