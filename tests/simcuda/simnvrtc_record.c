/* Reading a record of PTX. */
#include "simnvrtc.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

enum { MAX_FILE_BYTES = 64 << 20, MAX_TEXT_BYTES = 1 << 30 };

ptx_key ptx_key_of(const char *source, int n_options, const char *const *options) {
    XXH64_state_t *state = XXH64_createState();
    if (!state)
        abort();
    XXH64_reset(state, 0);
    for (int i = 0; i < n_options; i++)
        XXH64_update(state, options[i], strlen(options[i]) + 1);
    const ptx_key key = {XXH64(source, strlen(source), 0), XXH64_digest(state)};
    XXH64_freeState(state);
    return key;
}

static void *read_file(const char *path, size_t *bytes) {
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    char *data = NULL;
    if (fseek(f, 0, SEEK_END) == 0) {
        const long size = ftell(f);
        rewind(f);
        if (size >= 0 && size <= MAX_FILE_BYTES && (data = malloc((size_t)size + 1)) &&
            fread(data, 1, (size_t)size, f) == (size_t)size) {
            *bytes = (size_t)size;
        } else {
            free(data);
            data = NULL;
            errno = EFBIG;
        }
    }
    fclose(f);
    return data;
}

static bool complain(char *why, size_t why_bytes, const char *path, const char *what) {
    snprintf(why, why_bytes, "%s: %s; make it again with tests/simcuda/record_ptx", path, what);
    return false;
}

/* NULL-terminated text; NULL: not whole. */
static char *decompress(const void *data, size_t bytes, size_t *text_bytes) {
    const unsigned long long size = ZSTD_getFrameContentSize(data, bytes);
    if (size > MAX_TEXT_BYTES) /* errors are larger still */
        return NULL;
    char *text = malloc((size_t)size + 1);
    if (text && ZSTD_decompress(text, (size_t)size, data, bytes) != size) {
        free(text);
        return NULL;
    }
    if (text)
        text[size] = 0;
    *text_bytes = (size_t)size;
    return text;
}

/* One line of the record and the PTX after it. NULL: not as it should be. */
static const char *read_entry(const char *at, const char *end, ptx_entry *e) {
    const char *line = memchr(at, '\n', (size_t)(end - at));
    int used = 0;
    if (!line ||
        sscanf(at, "%16" SCNx64 " %16" SCNx64 " %zu %n", &e->key.source, &e->key.options, &e->ptx_bytes, &used) != 3 ||
        at + used > line || (size_t)(end - line - 1) < e->ptx_bytes)
        return NULL;
    e->name = at + used;
    e->name_bytes = (size_t)(line - e->name);
    e->ptx = line + 1;
    return e->ptx + e->ptx_bytes;
}

static bool read_entries(ptx_record *r, size_t text_bytes) {
    const char *end = r->text + text_bytes, *at = memchr(r->text, '\n', text_bytes);
    if (!at || sscanf(r->text, "kiln-ptx 1 NVRTC %d.%d", &r->major, &r->minor) != 2)
        return false;
    size_t capacity = 0;
    for (at++; at && at < end;) {
        if (r->n_entries == capacity) {
            capacity = capacity ? 2 * capacity : 64;
            ptx_entry *grown = realloc(r->entries, capacity * sizeof *grown);
            if (!grown)
                return false;
            r->entries = grown;
        }
        at = read_entry(at, end, &r->entries[r->n_entries]);
        r->n_entries += at != NULL;
    }
    return at == end;
}

bool ptx_record_read(ptx_record *r, const char *path, char *why, size_t why_bytes) {
    *r = (ptx_record){0};
    size_t bytes = 0, text_bytes = 0;
    void *data = read_file(path, &bytes);
    if (!data)
        return complain(why, why_bytes, path, strerror(errno));
    r->text = decompress(data, bytes, &text_bytes);
    free(data);
    if (r->text && read_entries(r, text_bytes))
        return true;
    ptx_record_free(r);
    return complain(why, why_bytes, path, "not a whole record of PTX");
}

void ptx_record_free(ptx_record *r) {
    free(r->entries);
    free(r->text);
    *r = (ptx_record){0};
}

const ptx_entry *ptx_record_find(const ptx_record *r, ptx_key key) {
    for (size_t i = 0; i < r->n_entries; i++)
        if (r->entries[i].key.source == key.source && r->entries[i].key.options == key.options)
            return &r->entries[i];
    return NULL;
}

bool ptx_record_is_stale(const ptx_record *r, const char *name, ptx_key key) {
    for (size_t i = 0; i < r->n_entries; i++) {
        const ptx_entry *e = &r->entries[i];
        if (e->name_bytes == strlen(name) && memcmp(e->name, name, e->name_bytes) == 0 && e->key.source != key.source)
            return true;
    }
    return false;
}
