/* The memory of a device; memory.c and who looks inside. */
#ifndef SIMCUDA_DEVICE_H
#define SIMCUDA_DEVICE_H

#include "engine.h"

struct sim_device {
    uint64_t memory_bytes, used, next;
    sim_allocation *allocations; /* by address */
    size_t n, max;
};

#endif
