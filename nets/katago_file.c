#include "katago_file.h"
#include "status.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW_BYTES = 1 << 18, FIRST_FLOATS = 1 << 16 };
/* One byte of deflate makes at most 1,032 bytes. */
static const uint64_t MAX_INFLATION = 1032;
static const uint64_t MAX_STREAM_BYTES = (uint64_t)4 << 30;

static uint64_t position(const kiln_katago_file *f) {
    return f->end_position - (uint64_t)(f->end - f->at);
}

kiln_status kiln__katago_fail(const kiln_katago_file *file, kiln_status status, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (file->layer[0] == '\0')
        return kiln_fail(status, "byte %llu: %s", (unsigned long long)position(file), text);
    return kiln_fail(status, "layer \"%s\", byte %llu: %s", file->layer, (unsigned long long)position(file), text);
}

kiln_status kiln__katago_file_open(kiln_context *context, const void *data, size_t bytes, kiln_katago_file *out) {
    *out = (kiln_katago_file){.context = context, .data = data, .left_bytes = bytes};
    const unsigned char *p = data;
    out->c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!out->c_locale)
        return kiln_fail(KILN_E_MEMORY, "reading a net: no C locale");
    if (bytes < 2 || p[0] != 0x1f || p[1] != 0x8b) {
        out->at = p;
        out->end = p + bytes;
        out->end_position = bytes;
        out->left_bytes = 0;
        return KILN_OK;
    }
    out->window = kiln__realloc(context, NULL, WINDOW_BYTES);
    out->at = out->end = out->window;
    if (!out->window || inflateInit2(&out->z, 15 + 16) != Z_OK) {
        kiln__katago_file_close(out);
        return kiln_fail(KILN_E_MEMORY, "reading a net: out of host memory");
    }
    out->gzip = true;
    return KILN_OK;
}

void kiln__katago_file_close(kiln_katago_file *file) {
    if (file->gzip)
        inflateEnd(&file->z);
    if (file->window)
        kiln__free(file->context, file->window);
    if (file->c_locale)
        freelocale(file->c_locale);
    *file = (kiln_katago_file){0};
}

/* ---- bytes ---- */

static kiln_status inflate_failed(const kiln_katago_file *f, int code) {
    if (code == Z_MEM_ERROR)
        return kiln__katago_fail(f, KILN_E_MEMORY, "out of host memory for inflating");
    if (code == Z_BUF_ERROR)
        return kiln__katago_fail(f, KILN_E_PARSE, "the gzip file ends here, in the middle; it is cut short");
    return kiln__katago_fail(f, KILN_E_PARSE, "the gzip file is damaged (%s)", f->z.msg ? f->z.msg : "bad data");
}

/* Inflates some bytes up to `end` of `out`. `*n` is 0 at the end of the stream only. */
static kiln_status inflate_some(kiln_katago_file *f, unsigned char *out, size_t capacity, size_t *n) {
    *n = 0;
    while (*n == 0 && !f->gzip_done) {
        const uInt given = f->left_bytes < (1u << 30) ? (uInt)f->left_bytes : 1u << 30;
        const uInt room = capacity < (1u << 30) ? (uInt)capacity : 1u << 30;
        f->z.next_in = (unsigned char *)(uintptr_t)f->data; /* zlib only reads it */
        f->z.avail_in = given;
        f->z.next_out = out;
        f->z.avail_out = room;
        const int code = inflate(&f->z, Z_NO_FLUSH);
        *n = room - f->z.avail_out;
        f->data += given - f->z.avail_in;
        f->left_bytes -= given - f->z.avail_in;
        if (code == Z_STREAM_END)
            f->gzip_done = true;
        else if (code != Z_OK && *n == 0)
            return inflate_failed(f, code);
    }
    return KILN_OK;
}

/* Makes `at < end`, or leaves them equal at the end of the stream. */
static kiln_status fill(kiln_katago_file *f) {
    if (f->at != f->end || !f->gzip)
        return KILN_OK;
    size_t n;
    KILN_TRY(inflate_some(f, f->window, WINDOW_BYTES, &n));
    f->at = f->window;
    f->end = f->window + n;
    f->end_position += n;
    if (f->end_position > MAX_STREAM_BYTES)
        return kiln__katago_fail(f, KILN_E_UNSUPPORTED, "nets over 4 GiB are not supported");
    return KILN_OK;
}

/* No more than this can still come. */
static uint64_t bytes_left_at_most(const kiln_katago_file *f) {
    return (uint64_t)(f->end - f->at) + (f->gzip ? (f->left_bytes + 64) * MAX_INFLATION + WINDOW_BYTES : 0);
}

/* Copies exactly n bytes, large runs without the window. */
static kiln_status take(kiln_katago_file *f, unsigned char *out, size_t n) {
    while (n > 0) {
        if (f->at == f->end && f->gzip && n >= WINDOW_BYTES) {
            size_t got;
            KILN_TRY(inflate_some(f, out, n, &got));
            f->end_position += got;
            if (got == 0)
                break;
            out += got;
            n -= got;
            continue;
        }
        KILN_TRY(fill(f));
        size_t some = (size_t)(f->end - f->at);
        if (some == 0)
            break;
        some = some < n ? some : n;
        memcpy(out, f->at, some);
        f->at += some;
        out += some;
        n -= some;
    }
    if (n > 0)
        return kiln__katago_fail(f, KILN_E_PARSE, "the file ends %zu bytes before the end of an array", n);
    return KILN_OK;
}

static bool is_space(unsigned char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static kiln_status skip_space(kiln_katago_file *f) {
    for (;;) {
        KILN_TRY(fill(f));
        if (f->at == f->end)
            return KILN_OK;
        while (f->at != f->end && is_space(*f->at))
            f->at++;
        if (f->at != f->end)
            return KILN_OK;
    }
}

/* ---- tokens ---- */

static kiln_status read_token(kiln_katago_file *file, const char *what, char out[KILN_KATAGO_MAX_NAME]) {
    size_t n = 0;
    KILN_TRY(skip_space(file));
    for (;;) {
        KILN_TRY(fill(file));
        if (file->at == file->end || is_space(*file->at))
            break;
        const unsigned char c = *file->at;
        if (c < 0x20 || c >= 0x7f)
            return kiln__katago_fail(file, KILN_E_PARSE, "byte 0x%02x where %s belongs; not a KataGo net, or damaged",
                                     c, what);
        if (n == KILN_KATAGO_MAX_NAME - 1)
            return kiln__katago_fail(file, KILN_E_PARSE, "%s is longer than %d characters", what,
                                     KILN_KATAGO_MAX_NAME - 1);
        out[n++] = (char)c;
        file->at++;
    }
    out[n] = '\0';
    if (n == 0)
        return kiln__katago_fail(file, KILN_E_PARSE, "the file ends where %s belongs; it is cut short", what);
    return KILN_OK;
}

/* Only a number can be the last token of a file; another one that ends with the file may have gone on. */
kiln_status kiln__katago_token(kiln_katago_file *file, const char *what, char out[KILN_KATAGO_MAX_NAME]) {
    KILN_TRY(read_token(file, what, out));
    if (file->at == file->end)
        return kiln__katago_fail(file, KILN_E_PARSE, "the file ends at %s; it is cut short", what);
    return KILN_OK;
}

kiln_status kiln__katago_name(kiln_katago_file *file) {
    char name[KILN_KATAGO_MAX_NAME];
    KILN_TRY(kiln__katago_token(file, "the name of a layer", name));
    memcpy(file->layer, name, sizeof file->layer);
    return KILN_OK;
}

kiln_status kiln__katago_int(kiln_katago_file *file, const char *what, int64_t min, int64_t max, int64_t *out) {
    char text[KILN_KATAGO_MAX_NAME], *end;
    KILN_TRY(kiln__katago_token(file, what, text));
    const size_t length = strlen(text);
    const long long value = strtoll(text, &end, 10);
    if (*end != '\0' || length > 20)
        return kiln__katago_fail(file, KILN_E_PARSE, "\"%.40s\" is not a whole number; %s belongs here", text, what);
    if (value < min || value > max)
        return kiln__katago_fail(file, KILN_E_INVALID, "%s is %lld; %lld to %lld are possible", what, value,
                                 (long long)min, (long long)max);
    *out = value;
    return KILN_OK;
}

kiln_status kiln__katago_float(kiln_katago_file *file, const char *what, double *out) {
    char text[KILN_KATAGO_MAX_NAME], *end;
    KILN_TRY(read_token(file, what, text));
    *out = strtod_l(text, &end, file->c_locale);
    if (*end != '\0')
        return kiln__katago_fail(file, KILN_E_PARSE, "\"%.40s\" is not a number; %s belongs here", text, what);
    if (!isfinite(*out))
        return kiln__katago_fail(file, KILN_E_INVALID, "%s is NaN or infinite", what);
    return KILN_OK;
}

/* ---- arrays ---- */

static kiln_status read_binary(kiln_katago_file *f, float *out, size_t n) {
    KILN_TRY(take(f, (unsigned char *)out, n * sizeof *out));
    for (size_t i = 0; i < n; i++) { /* little-endian in the file; nothing is left of this on such a machine */
        unsigned char b[4];
        memcpy(b, &out[i], sizeof b);
        const uint32_t bits = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
        memcpy(&out[i], &bits, sizeof bits);
    }
    return KILN_OK;
}

static kiln_status read_text(kiln_katago_file *f, const char *what, float *out, size_t n) {
    for (size_t i = 0; i < n; i++) {
        double value;
        KILN_TRY(kiln__katago_float(f, what, &value));
        out[i] = (float)value;
    }
    return KILN_OK;
}

static kiln_status check_finite(const kiln_katago_file *f, const char *what, const float *data, size_t from, size_t n) {
    bool bad = false;
    for (size_t i = from; i < from + n; i++)
        bad |= !isfinite(data[i]);
    for (size_t i = from; bad && i < from + n; i++)
        if (!isfinite(data[i]))
            return kiln__katago_fail(f, KILN_E_INVALID, "%s: value %zu is NaN or infinite; the net is damaged", what,
                                     i);
    return KILN_OK;
}

/* Grows with what was read, so that a header alone cannot make it allocate. */
static kiln_status read_growing(kiln_katago_file *f, const char *what, bool binary, size_t count, float **data) {
    for (size_t have = 0, capacity = 0; have < count; have = capacity) {
        capacity = capacity ? capacity * 2 : FIRST_FLOATS;
        capacity = capacity < count ? capacity : count;
        float *bigger = kiln__realloc(f->context, *data, capacity * sizeof **data);
        if (!bigger)
            return kiln__katago_fail(f, KILN_E_MEMORY, "%s: out of host memory", what);
        *data = bigger;
        if (binary)
            KILN_TRY(read_binary(f, *data + have, capacity - have));
        else
            KILN_TRY(read_text(f, what, *data + have, capacity - have));
        KILN_TRY(check_finite(f, what, *data, have, capacity - have));
    }
    return KILN_OK;
}

static kiln_status array_end(kiln_katago_file *f, const char *what) {
    KILN_TRY(fill(f));
    if (f->at != f->end && !is_space(*f->at))
        return kiln__katago_fail(f, KILN_E_PARSE,
                                 "%s: no newline after the array; its length is not what the header says", what);
    return KILN_OK;
}

kiln_status kiln__katago_floats(kiln_katago_file *file, const char *what, int64_t count, float **out) {
    *out = NULL;
    KILN_TRY(skip_space(file));
    const bool binary = file->at != file->end && *file->at == '@';
    if (binary) {
        unsigned char marker[5];
        KILN_TRY(take(file, marker, sizeof marker));
        if (memcmp(marker, "@BIN@", sizeof marker) != 0)
            return kiln__katago_fail(file, KILN_E_PARSE, "%s: no @BIN@ before the array", what);
    }
    /* As text a value is at least a digit and a space. */
    if (count < 1 || (uint64_t)count > bytes_left_at_most(file) / (binary ? sizeof(float) : 2) + 1)
        return kiln__katago_fail(file, KILN_E_PARSE, "%s: the header asks for %lld values, more than the file can hold",
                                 what, (long long)count);
    float *data = NULL;
    kiln_status status = read_growing(file, what, binary, (size_t)count, &data);
    if (status == KILN_OK)
        status = array_end(file, what);
    if (status != KILN_OK) {
        if (data)
            kiln__free(file->context, data);
        return status;
    }
    *out = data;
    return KILN_OK;
}

kiln_status kiln__katago_end(kiln_katago_file *file) {
    file->layer[0] = '\0';
    KILN_TRY(skip_space(file));
    const uint64_t from = position(file);
    if (file->at != file->end) {
        while (file->at != file->end) { /* on to the checksum */
            file->at = file->end;
            KILN_TRY(fill(file));
        }
        kiln__log(file->context, KILN_LOG_WARN, "reading a net: %llu bytes from byte %llu on are not part of it",
                  (unsigned long long)(position(file) - from), (unsigned long long)from);
    }
    if (file->gzip && file->left_bytes > 0)
        kiln__log(file->context, KILN_LOG_WARN, "reading a net: %zu bytes after the gzip stream are ignored",
                  file->left_bytes);
    return KILN_OK;
}
