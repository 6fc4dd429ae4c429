/* Reading a regular file whole. */
#ifndef KILN_NETS_FILE_H
#define KILN_NETS_FILE_H

#include "context.h"

/* `*data` is from kiln__realloc, never NULL. KILN_E_IO: not there, not a regular file, over `max_bytes`, or a read
 * failed. The text does not repeat the path. */
kiln_status kiln__file_read(kiln_context *context, const char *path, size_t max_bytes, void **data, size_t *bytes);

#endif
