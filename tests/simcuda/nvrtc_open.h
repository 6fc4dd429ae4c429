/* For tests: NVRTC's functions, from the library that KILN_NVRTC_LIBRARY names. */
#ifndef SIMCUDA_NVRTC_OPEN_H
#define SIMCUDA_NVRTC_OPEN_H

#include "backends/cuda_abi.h"
#include "testing.h"
#include <dlfcn.h>

static struct {
    void *so;
#define KILN_FN(result, name, params) result(*name) params;
#include "backends/nvrtc.fn"
#undef KILN_FN
} nvrtc;

static inline void nvrtc_open(void) {
    const char *path = getenv("KILN_NVRTC_LIBRARY");
    REQUIRE(path != NULL);
    nvrtc.so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!nvrtc.so)
        fprintf(stderr, "%s\n", dlerror());
    REQUIRE(nvrtc.so != NULL);
    void *symbol;
#define KILN_FN(result, name, params)                                                                                  \
    symbol = dlsym(nvrtc.so, #name);                                                                                   \
    REQUIRE(symbol != NULL);                                                                                           \
    memcpy(&nvrtc.name, &symbol, sizeof symbol);
#include "backends/nvrtc.fn"
#undef KILN_FN
}

#endif
