/* A KataGo network file as a stream of tokens and float arrays, plain or gzip, text or binary. Knows nothing of
 * layers. The file is hostile: nothing is allocated that the bytes left could not fill. */
#ifndef KILN_NETS_KATAGO_FILE_H
#define KILN_NETS_KATAGO_FILE_H

#include "context.h"
#include <locale.h>
#include <zlib.h>

enum { KILN_KATAGO_MAX_NAME = 256 };

typedef struct kiln_katago_file {
    kiln_context *context;
    const unsigned char *data; /* the file, or what of it is not inflated yet */
    size_t left_bytes;
    unsigned char *window; /* inflated bytes; NULL: a plain file, read in place */
    const unsigned char *at, *end;
    uint64_t end_position;            /* in the inflated stream, of `end` */
    char layer[KILN_KATAGO_MAX_NAME]; /* being read, for error texts */
    bool gzip, gzip_done;
    z_stream z;
    locale_t c_locale; /* numbers have points, whatever the engine's locale */
} kiln_katago_file;

/* `data` must outlive the file. */
kiln_status kiln__katago_file_open(kiln_context *context, const void *data, size_t bytes, kiln_katago_file *out);
void kiln__katago_file_close(kiln_katago_file *file);

/* Fails naming the layer and the byte position. */
kiln_status kiln__katago_fail(const kiln_katago_file *file, kiln_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The next token, at most KILN_KATAGO_MAX_NAME - 1 printable characters. `what` says what is looked for. */
kiln_status kiln__katago_token(kiln_katago_file *file, const char *what, char out[KILN_KATAGO_MAX_NAME]);
/* The name of a layer: a token that error texts show from now on. */
kiln_status kiln__katago_name(kiln_katago_file *file);
kiln_status kiln__katago_int(kiln_katago_file *file, const char *what, int64_t min, int64_t max, int64_t *out);
kiln_status kiln__katago_float(kiln_katago_file *file, const char *what, double *out);

/* An array of `count` floats, from kiln__realloc. KILN_E_PARSE: cut short. KILN_E_INVALID: NaN or infinite. */
kiln_status kiln__katago_floats(kiln_katago_file *file, const char *what, int64_t count, float **out);

/* Nothing but white space may follow; checks the checksum of a gzip file. What does follow is logged. */
kiln_status kiln__katago_end(kiln_katago_file *file);

#endif
