/* Which cores and which memory node sit next to a device (hwloc). */
#ifndef KILN_RUNTIME_TOPOLOGY_H
#define KILN_RUNTIME_TOPOLOGY_H

#include "device.h"

/* Fills numa_node and near_cores of every device of the context; leaves them unknown (-1, "") where the machine does
 * not tell. Never fails the context. */
void kiln__topology_fill(kiln_context *context);

/* Physical cores this process may run on; at least 1. */
unsigned kiln__topology_cores(void);

#endif
