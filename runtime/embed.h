/* Device sources inside the library, made by the embed tool, and the flattener it shares with KILN_KERNEL_DIR. */
#ifndef KILN_RUNTIME_EMBED_H
#define KILN_RUNTIME_EMBED_H

#include "strbuf.h"
#include <stddef.h>

/* One flattened source: includes resolved, `#line` kept, so that compiler messages name the real file. */
typedef struct kiln_embed {
    const char *name; /* path below kernels/, e.g. "conv/ref.cl" */
    const unsigned char *text;
    size_t bytes;
    const char *hash; /* 32 hex digits of XXH3-128 over text */
} kiln_embed;

/* Appends `root`/`name` with its `#include "…"` lines (looked up in `root`, each file once) replaced by their text.
 * KILN_E_IO: a file cannot be read. KILN_E_INVALID: nested deeper than 8, or a name that leaves `root`. */
kiln_status kiln__embed_flatten(const char *root, const char *name, kiln_strbuf *out);

/* 32 hex digits and a NUL of XXH3-128. */
void kiln__hash_hex(const void *data, size_t bytes, char out[33]);

#endif
