#include "strbuf.h"
#include "status.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool reserve(kiln_strbuf *s, size_t more) {
    if (s->failed)
        return false;
    if (s->length + more + 1 <= s->capacity)
        return true;
    size_t capacity = s->capacity ? s->capacity : 256;
    while (capacity < s->length + more + 1)
        capacity *= 2;
    char *data = realloc(s->data, capacity);
    if (!data) {
        s->failed = true;
        return false;
    }
    s->data = data;
    s->capacity = capacity;
    return true;
}

void kiln__strbuf_add_bytes(kiln_strbuf *s, const void *bytes, size_t n) {
    if (!reserve(s, n))
        return;
    memcpy(s->data + s->length, bytes, n);
    s->length += n;
    s->data[s->length] = 0;
}

void kiln__strbuf_add(kiln_strbuf *s, const char *text) {
    kiln__strbuf_add_bytes(s, text, strlen(text));
}

void kiln__strbuf_vaddf(kiln_strbuf *s, const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, format, args);
    if (n >= 0 && reserve(s, (size_t)n)) {
        vsnprintf(s->data + s->length, (size_t)n + 1, format, again);
        s->length += (size_t)n;
    }
    va_end(again);
}

void kiln__strbuf_addf(kiln_strbuf *s, const char *format, ...) {
    va_list args;
    va_start(args, format);
    kiln__strbuf_vaddf(s, format, args);
    va_end(args);
}

void kiln__strbuf_clear(kiln_strbuf *s) {
    s->length = 0;
    s->failed = false;
    if (s->data)
        s->data[0] = 0;
}

void kiln__strbuf_free(kiln_strbuf *s) {
    free(s->data);
    *s = (kiln_strbuf){0};
}

const char *kiln__strbuf_text(const kiln_strbuf *s) {
    return s->data ? s->data : "";
}

kiln_status kiln__strbuf_status(const kiln_strbuf *s) {
    return s->failed ? kiln_fail(KILN_E_MEMORY, "out of host memory building a text of %zu bytes", s->length) : KILN_OK;
}
