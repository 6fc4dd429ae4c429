/* Stored CUDA programs: any bytes, read without harm, as a container and as a CUBIN; what is read lies inside them. */
#include "backends/cuda_cubin.h"
#include "fuzz.h"
#include <string.h>

static void read_cubin(const unsigned char *bytes, size_t size) {
    enum { CAPACITY = 3 };
    cubin_kernel kernels[CAPACITY];
    const int n = kiln__cubin_read(bytes, size, kernels, CAPACITY);
    FUZZ_CHECK(n >= -1);
    for (int i = 0; i < n && i < CAPACITY; i++)
        FUZZ_CHECK(memchr(kernels[i].name, 0, sizeof kernels[i].name) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cuda_binary b;
    read_cubin(data, size);
    if (!kiln__cuda_binary_read(data, size, &b))
        return 0;
    FUZZ_CHECK(kiln__cuda_binary_bytes(&b) == size && (b.cubin || b.ptx));
    FUZZ_CHECK(!b.ptx || strlen(b.ptx) + 1 == b.ptx_bytes);
    if (b.cubin)
        read_cubin(b.cubin, b.cubin_bytes);
    return 0;
}
