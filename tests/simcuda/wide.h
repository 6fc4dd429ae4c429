/* The upper 64 bits of products of 64-bit integers. */
#ifndef SIMCUDA_WIDE_H
#define SIMCUDA_WIDE_H

#include <stdint.h>

static inline uint64_t sim__high_u64(uint64_t x, uint64_t y) {
    const uint64_t xl = (uint32_t)x, xh = x >> 32, yl = (uint32_t)y, yh = y >> 32;
    const uint64_t middle = xh * yl + (xl * yl >> 32), other = xl * yh + (uint32_t)middle;
    return xh * yh + (middle >> 32) + (other >> 32);
}
static inline uint64_t sim__high_s64(uint64_t x, uint64_t y) {
    return sim__high_u64(x, y) - (x >> 63 ? y : 0) - (y >> 63 ? x : 0);
}

#endif
