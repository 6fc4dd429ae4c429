#include "embed.h"
#include "status.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { MAX_DEPTH = 8, MAX_FILES = 32, MAX_SOURCE_BYTES = 1 << 20 };

typedef struct {
    const char *root;
    kiln_strbuf *out;
    char seen[MAX_FILES][128]; /* each file is included once */
    size_t n_seen;
} flattener;

static kiln_status read_source(const char *path, kiln_strbuf *text) {
    FILE *f = fopen(path, "rb");
    if (!f)
        return kiln_fail(KILN_E_IO, "cannot open kernel source %s", path);
    char block[4096];
    size_t n;
    while ((n = fread(block, 1, sizeof block, f)) > 0 && text->length <= MAX_SOURCE_BYTES)
        kiln__strbuf_add_bytes(text, block, n);
    const bool failed = ferror(f) || text->length > MAX_SOURCE_BYTES;
    fclose(f);
    if (failed)
        return kiln_fail(KILN_E_IO, "cannot read kernel source %s, or it is larger than 1 MiB", path);
    return kiln__strbuf_status(text);
}

static bool name_is_safe(const char *name) {
    return name[0] != '/' && strlen(name) < sizeof((flattener *)0)->seen[0] && !strstr(name, "..");
}

/* The name inside `#include "name"`, or false for any other line. */
static bool include_name(const char *line, size_t length, char *name, size_t capacity) {
    size_t i = 0;
    while (i < length && (line[i] == ' ' || line[i] == '\t'))
        i++;
    static const char directive[] = "#include \"";
    if (length - i < sizeof directive || strncmp(line + i, directive, sizeof directive - 1) != 0)
        return false;
    i += sizeof directive - 1;
    size_t n = 0;
    while (i < length && line[i] != '"' && n + 1 < capacity)
        name[n++] = line[i++];
    name[n] = 0;
    return i < length && line[i] == '"';
}

static kiln_status flatten(flattener *f, const char *name, int depth) {
    if (depth > MAX_DEPTH || f->n_seen == MAX_FILES || !name_is_safe(name))
        return kiln_fail(KILN_E_INVALID, "kernel source %s: nested too deep, or outside of its folder", name);
    for (size_t i = 0; i < f->n_seen; i++)
        if (strcmp(f->seen[i], name) == 0)
            return KILN_OK;
    snprintf(f->seen[f->n_seen++], sizeof f->seen[0], "%s", name);

    kiln_strbuf path = {0}, text = {0};
    kiln__strbuf_addf(&path, "%s/%s", f->root, name);
    kiln_status status = kiln__strbuf_status(&path);
    if (status == KILN_OK)
        status = read_source(path.data, &text);
    kiln__strbuf_addf(f->out, "#line 1 \"%s\"\n", name);
    const char *line = kiln__strbuf_text(&text);
    for (int number = 1; status == KILN_OK && *line; number++) {
        const char *end = strchr(line, '\n');
        const size_t length = end ? (size_t)(end - line) : strlen(line);
        char included[128];
        if (include_name(line, length, included, sizeof included)) {
            status = flatten(f, included, depth + 1);
            kiln__strbuf_addf(f->out, "#line %d \"%s\"\n", number + 1, name);
        } else {
            kiln__strbuf_add_bytes(f->out, line, length);
            kiln__strbuf_add(f->out, "\n");
        }
        line += length + (end ? 1 : 0);
    }
    kiln__strbuf_free(&path);
    kiln__strbuf_free(&text);
    return status;
}

kiln_status kiln__embed_flatten(const char *root, const char *name, kiln_strbuf *out) {
    flattener *f = calloc(1, sizeof *f);
    if (!f)
        return kiln_fail(KILN_E_MEMORY, "out of host memory flattening %s", name);
    f->root = root;
    f->out = out;
    kiln_status status = flatten(f, name, 0);
    free(f);
    return status == KILN_OK ? kiln__strbuf_status(out) : status;
}

void kiln__hash_hex(const void *data, size_t bytes, char out[33]) {
    const XXH128_hash_t h = XXH3_128bits(data, bytes);
    snprintf(out, 33, "%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
}
