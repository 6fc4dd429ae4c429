#include "safetensors.h"
#include "problem.h"
#include "status.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_HEADER_BYTES = 100 * 1000 * 1000, MAX_NAME = 1024 };
static const double MAX_EXACT = 9007199254740992.0; /* 2^53: JSON numbers are doubles here */

/* ---- one tensor ---- */

static const struct {
    char name[8];
    uint64_t bytes;
    kiln_safetensors_type type;
} types[] = {{"U8", 1, KILN_SAFETENSORS_U8},        {"I8", 1, KILN_SAFETENSORS_I8},
             {"F32", 4, KILN_SAFETENSORS_F32},      {"BOOL", 1, KILN_SAFETENSORS_OTHER},
             {"F16", 2, KILN_SAFETENSORS_OTHER},    {"BF16", 2, KILN_SAFETENSORS_OTHER},
             {"I16", 2, KILN_SAFETENSORS_OTHER},    {"U16", 2, KILN_SAFETENSORS_OTHER},
             {"I32", 4, KILN_SAFETENSORS_OTHER},    {"U32", 4, KILN_SAFETENSORS_OTHER},
             {"I64", 8, KILN_SAFETENSORS_OTHER},    {"U64", 8, KILN_SAFETENSORS_OTHER},
             {"F64", 8, KILN_SAFETENSORS_OTHER},    {"F8_E5M2", 1, KILN_SAFETENSORS_OTHER},
             {"F8_E4M3", 1, KILN_SAFETENSORS_OTHER}};
enum { N_TYPES = sizeof types / sizeof types[0] };

static bool whole_number(const cJSON *item, int64_t *out) {
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0) || item->valuedouble >= MAX_EXACT)
        return false;
    *out = (int64_t)item->valuedouble;
    return (double)*out == item->valuedouble;
}

static kiln_status parse_shape(const cJSON *json, kiln_safetensor *t) {
    const cJSON *dimension;
    t->elements = 1;
    if (!cJSON_IsArray(json))
        return kiln_fail(KILN_E_PARSE, "tensor \"%.80s\" has no shape", t->name);
    cJSON_ArrayForEach(dimension, json) {
        if (t->rank == KILN_SAFETENSORS_MAX_RANK)
            return kiln_fail(KILN_E_INVALID, "tensor \"%.80s\" has over %d dimensions", t->name,
                             KILN_SAFETENSORS_MAX_RANK);
        if (!whole_number(dimension, &t->shape[t->rank]))
            return kiln_fail(KILN_E_PARSE, "tensor \"%.80s\": dimension %zu is not a whole number", t->name, t->rank);
        t->elements = kiln__product((int64_t)MAX_EXACT, t->elements, t->shape[t->rank++], INT64_C(-1));
        if (t->elements < 0)
            return kiln_fail(KILN_E_INVALID, "tensor \"%.80s\": its shape overflows", t->name);
    }
    return KILN_OK;
}

/* `data_bytes` follow the header, which ends at `data_begin`. */
static kiln_status parse_tensor(const cJSON *json, uint64_t data_begin, uint64_t data_bytes, kiln_safetensor *t) {
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(json, "dtype");
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(json, "data_offsets");
    int64_t begin, end;
    size_t i = 0;
    if (!cJSON_IsString(type) || !cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2)
        return kiln_fail(KILN_E_PARSE, "tensor \"%.80s\" lacks dtype or data_offsets", t->name);
    while (i < N_TYPES && strcmp(types[i].name, type->valuestring) != 0)
        i++;
    if (i == N_TYPES)
        return kiln_fail(KILN_E_UNSUPPORTED, "tensor \"%.80s\" has an unknown dtype \"%.20s\"", t->name,
                         type->valuestring);
    t->type = types[i].type;
    memcpy(t->type_name, types[i].name, sizeof t->type_name);
    KILN_TRY(parse_shape(cJSON_GetObjectItemCaseSensitive(json, "shape"), t));
    if (!whole_number(cJSON_GetArrayItem(offsets, 0), &begin) || !whole_number(cJSON_GetArrayItem(offsets, 1), &end))
        return kiln_fail(KILN_E_PARSE, "tensor \"%.80s\": its data_offsets are not whole numbers", t->name);
    if (begin > end || (uint64_t)end > data_bytes)
        return kiln_fail(KILN_E_INVALID,
                         "tensor \"%.80s\": bytes %lld to %lld of %llu; the file is cut short or damaged", t->name,
                         (long long)begin, (long long)end, (unsigned long long)data_bytes);
    t->begin = data_begin + (uint64_t)begin;
    t->bytes = (uint64_t)(end - begin);
    if (t->bytes != (uint64_t)t->elements * types[i].bytes)
        return kiln_fail(KILN_E_INVALID, "tensor \"%.80s\": %llu bytes for %lld elements of %s", t->name,
                         (unsigned long long)t->bytes, (long long)t->elements, t->type_name);
    return KILN_OK;
}

/* ---- all of them ---- */

static int by_begin(const void *a, const void *b) {
    const kiln_safetensor *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

static kiln_status check_overlaps(kiln_safetensors *f) {
    qsort(f->tensors, f->n_tensors, sizeof *f->tensors, by_begin);
    for (size_t i = 1; i < f->n_tensors; i++) {
        const kiln_safetensor *a = &f->tensors[i - 1], *b = &f->tensors[i];
        if (a->begin + a->bytes > b->begin)
            return kiln_fail(KILN_E_INVALID, "tensors \"%.80s\" and \"%.80s\" overlap", a->name, b->name);
    }
    return KILN_OK;
}

static kiln_status parse_metadata(kiln_safetensors *f, const cJSON *json) {
    const cJSON *description = cJSON_GetObjectItemCaseSensitive(json, "kiln");
    if (!cJSON_IsString(description))
        return KILN_OK;
    if (f->description)
        return kiln_fail(KILN_E_INVALID, "__metadata__ is there twice");
    f->description = kiln__strdup(f->context, description->valuestring);
    return f->description ? KILN_OK : KILN_E_MEMORY;
}

static kiln_status parse_all(kiln_safetensors *f, const cJSON *json, uint64_t data_begin, uint64_t data_bytes) {
    const cJSON *item;
    if (!cJSON_IsObject(json))
        return kiln_fail(KILN_E_PARSE, "not a safetensors file: its header is not a JSON object");
    const int n = cJSON_GetArraySize(json);
    if (n > KILN_SAFETENSORS_MAX_TENSORS)
        return kiln_fail(KILN_E_UNSUPPORTED, "%d tensors; at most %d are read", n, KILN_SAFETENSORS_MAX_TENSORS);
    f->tensors = kiln__alloc(f->context, (size_t)n * sizeof *f->tensors);
    if (!f->tensors)
        return KILN_E_MEMORY;
    cJSON_ArrayForEach(item, json) {
        kiln_safetensor *t = &f->tensors[f->n_tensors];
        if (strcmp(item->string, "__metadata__") == 0) {
            KILN_TRY(parse_metadata(f, item));
            continue;
        }
        if (strlen(item->string) > MAX_NAME)
            return kiln_fail(KILN_E_INVALID, "a tensor's name is longer than %d bytes", MAX_NAME);
        t->name = kiln__strdup(f->context, item->string);
        if (!t->name)
            return KILN_E_MEMORY;
        f->n_tensors++;
        KILN_TRY(parse_tensor(item, data_begin, data_bytes, t));
    }
    return check_overlaps(f);
}

static uint64_t little_endian(const unsigned char *p) {
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | p[i];
    return value;
}

static kiln_status check_length(const unsigned char *length, uint64_t file_bytes, uint64_t *header_bytes) {
    *header_bytes = little_endian(length);
    if (*header_bytes < 2 || *header_bytes > file_bytes - 8)
        return kiln_fail(KILN_E_PARSE, "not a safetensors file, or cut short: a header of %llu bytes in a file of %llu",
                         (unsigned long long)*header_bytes, (unsigned long long)file_bytes);
    if (*header_bytes > MAX_HEADER_BYTES)
        return kiln_fail(KILN_E_UNSUPPORTED, "a header of %llu bytes; at most %d are read",
                         (unsigned long long)*header_bytes, MAX_HEADER_BYTES);
    return KILN_OK;
}

static kiln_status parse_header(kiln_safetensors *f, const char *header, uint64_t header_bytes, uint64_t file_bytes) {
    cJSON *json = cJSON_ParseWithLength(header, (size_t)header_bytes);
    if (!json)
        return kiln_fail(KILN_E_PARSE, "not a safetensors file: its header is not JSON");
    const kiln_status status = parse_all(f, json, 8 + header_bytes, file_bytes - 8 - header_bytes);
    cJSON_Delete(json);
    return status;
}

kiln_status kiln__safetensors_parse(kiln_context *context, const void *data, size_t bytes, kiln_safetensors *out) {
    uint64_t header_bytes = 0;
    *out = (kiln_safetensors){.context = context, .fd = -1, .memory = data};
    if (bytes < 8)
        return kiln_fail(KILN_E_PARSE, "not a safetensors file: %zu bytes", bytes);
    KILN_TRY(check_length(data, bytes, &header_bytes));
    const kiln_status status = parse_header(out, (const char *)data + 8, header_bytes, bytes);
    if (status != KILN_OK)
        kiln__safetensors_close(out);
    return status;
}

/* ---- files ---- */

static kiln_status read_at(int fd, void *to, size_t bytes, uint64_t offset) {
    for (char *p = to; bytes > 0;) {
        const ssize_t n = pread(fd, p, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return kiln_fail(KILN_E_IO, "reading failed: %s", strerror(errno));
        if (n == 0)
            return kiln_fail(KILN_E_IO, "the file became shorter while it was read");
        p += n;
        offset += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return KILN_OK;
}

static kiln_status open_file(kiln_safetensors *f) {
    struct stat st;
    unsigned char length[8];
    uint64_t header_bytes = 0;
    if (fstat(f->fd, &st) != 0)
        return kiln_fail(KILN_E_IO, "%s", strerror(errno));
    if (!S_ISREG(st.st_mode))
        return kiln_fail(KILN_E_IO, "not a regular file");
    if (st.st_size < 8)
        return kiln_fail(KILN_E_PARSE, "not a safetensors file: %lld bytes", (long long)st.st_size);
    KILN_TRY(read_at(f->fd, length, sizeof length, 0));
    KILN_TRY(check_length(length, (uint64_t)st.st_size, &header_bytes));
    char *header = kiln__realloc(f->context, NULL, (size_t)header_bytes);
    if (!header)
        return kiln_fail(KILN_E_MEMORY, "out of host memory");
    kiln_status status = read_at(f->fd, header, (size_t)header_bytes, 8);
    if (status == KILN_OK)
        status = parse_header(f, header, header_bytes, (uint64_t)st.st_size);
    kiln__free(f->context, header);
    return status;
}

kiln_status kiln__safetensors_open(kiln_context *context, const char *path, kiln_safetensors *out) {
    *out = (kiln_safetensors){.context = context, .fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (out->fd < 0)
        return kiln_fail(KILN_E_IO, "%s: cannot be opened: %s", path, strerror(errno));
    const kiln_status status = open_file(out);
    if (status != KILN_OK) {
        kiln__safetensors_close(out);
        return kiln_fail_in(status, "%s", path);
    }
    return KILN_OK;
}

/* Eight bytes of length, of which the upper half is zero since headers are bounded, and a bracket. Texts have no zero
 * bytes, and a gzip header has no bracket there. */
bool kiln__safetensors_recognise(const char *path) {
    unsigned char start[9];
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    const bool read = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && pread(fd, start, sizeof start, 0) == sizeof start;
    close(fd);
    return read && little_endian(start) >> 32 == 0 && start[8] == '{';
}

void kiln__safetensors_close(kiln_safetensors *file) {
    if (!file->context)
        return;
    for (size_t i = 0; i < file->n_tensors; i++)
        kiln__free(file->context, file->tensors[i].name);
    kiln__free(file->context, file->tensors);
    kiln__free(file->context, file->description);
    if (file->fd >= 0)
        close(file->fd);
    *file = (kiln_safetensors){.fd = -1};
}

const kiln_safetensor *kiln__safetensors_find(const kiln_safetensors *file, const char *name) {
    for (size_t i = 0; i < file->n_tensors; i++)
        if (strcmp(file->tensors[i].name, name) == 0)
            return &file->tensors[i];
    return NULL;
}

static kiln_status read_data(const kiln_safetensors *file, void *to, size_t bytes, uint64_t offset) {
    if (!file->memory)
        return read_at(file->fd, to, bytes, offset);
    memcpy(to, file->memory + offset, bytes); /* tensors lie inside of the file */
    return KILN_OK;
}

kiln_status kiln__safetensors_read(const kiln_safetensors *file, const kiln_safetensor *tensor, int64_t first,
                                   int64_t count, float *out) {
    if (first < 0 || count < 0 || first > tensor->elements || count > tensor->elements - first)
        return kiln_fail(KILN_E_INVALID, "tensor \"%.80s\": elements %lld to %lld of %lld", tensor->name,
                         (long long)first, (long long)first + (long long)count, (long long)tensor->elements);
    if (tensor->type == KILN_SAFETENSORS_OTHER)
        return kiln_fail(KILN_E_UNSUPPORTED, "tensor \"%.80s\" is of %s; U8, I8 and F32 are read", tensor->name,
                         tensor->type_name);
    if (tensor->type == KILN_SAFETENSORS_F32) {
        return read_data(file, out, (size_t)count * sizeof *out, tensor->begin + (uint64_t)first * sizeof *out);
    }
    /* Bytes are read into the end of the floats and widened from the front. */
    unsigned char *bytes = (unsigned char *)out + (size_t)count * (sizeof *out - 1);
    KILN_TRY(read_data(file, bytes, (size_t)count, tensor->begin + (uint64_t)first));
    for (int64_t i = 0; i < count; i++) {
        const unsigned char value = bytes[i];
        const float widened = tensor->type == KILN_SAFETENSORS_I8 ? (float)(signed char)value : (float)value;
        memcpy(&out[i], &widened, sizeof widened);
    }
    return KILN_OK;
}
