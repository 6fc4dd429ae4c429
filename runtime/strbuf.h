/* A growing text. A failed allocation is remembered and reported once, by kiln__strbuf_status, so that building
 * text needs no check on every line. Zero-initialised is empty and valid (allocates from the C library). */
#ifndef KILN_RUNTIME_STRBUF_H
#define KILN_RUNTIME_STRBUF_H

#include <kiln/status.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct kiln_strbuf {
    char *data; /* NUL-terminated once anything was added; NULL before */
    size_t length, capacity;
    bool failed;
} kiln_strbuf;

void kiln__strbuf_add(kiln_strbuf *s, const char *text);
void kiln__strbuf_add_bytes(kiln_strbuf *s, const void *bytes, size_t n);
void kiln__strbuf_addf(kiln_strbuf *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void kiln__strbuf_vaddf(kiln_strbuf *s, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
void kiln__strbuf_clear(kiln_strbuf *s); /* keeps the memory */
void kiln__strbuf_free(kiln_strbuf *s);

/* The text so far, never NULL. */
const char *kiln__strbuf_text(const kiln_strbuf *s);

/* KILN_OK, or KILN_E_MEMORY if something could not be added. */
kiln_status kiln__strbuf_status(const kiln_strbuf *s);

#endif
