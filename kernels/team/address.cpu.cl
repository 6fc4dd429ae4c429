/* Where a buffer lies, as kernels see it. On a CPU that stays true as long as the buffer lives.
 *
 * Grid: one work-item. */
#include "dialect.h"

KILN_KERNEL(kiln_address, 1, 1, 1)
(KILN_GLOBAL const uchar *buffer, KILN_GLOBAL long *address) {
    *address = (long)buffer;
}
