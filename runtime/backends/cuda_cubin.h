/* What a CUBIN says of its kernels. A CUBIN is an ELF file (machine 190) whose sections .nv.info and .nv.info.KERNEL
 * hold attributes. The bytes come from a store, so nothing in them is trusted.
 *
 * Also the container in which CUBIN and PTX of one program are stored together. */
#ifndef KILN_RUNTIME_BACKENDS_CUDA_CUBIN_H
#define KILN_RUNTIME_BACKENDS_CUDA_CUBIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CUBIN_MAX_NAME = 128, CUBIN_MAX_KERNELS = 64 };

typedef struct cubin_kernel {
    char name[CUBIN_MAX_NAME];
    uint32_t registers;
    uint32_t frame_bytes;  /* of a work-item's own memory: arrays that are indexed, and spills */
    uint32_t spills;       /* instructions that store a register to that memory or load it back */
    uint32_t shared_bytes; /* static; what the hardware reserves (1 KiB from sm_90 on) is not in it */
    uint32_t n_params;
    uint32_t max_items; /* of a group, by the kernel's launch bounds; 0: not said */
} cubin_kernel;

/* Reads up to `capacity` kernels. Returns how many there are, or -1 for what is no sound CUBIN. */
int kiln__cubin_read(const void *image, size_t bytes, cubin_kernel *out, int capacity);

/* ---- the container: a header, the CUBIN, the PTX with its final zero byte ---- */

typedef struct cuda_binary {
    const unsigned char *cubin; /* NULL: none */
    size_t cubin_bytes;
    const char *ptx;  /* ends with a zero byte; NULL: none */
    size_t ptx_bytes; /* with it */
} cuda_binary;

enum { CUDA_BINARY_HEADER_BYTES = 64 };

/* What kiln__cuda_binary_write fills. */
size_t kiln__cuda_binary_bytes(const cuda_binary *binary);
void kiln__cuda_binary_write(const cuda_binary *binary, void *out);

/* Points into `bytes`. False: not a container, or a damaged one. */
bool kiln__cuda_binary_read(const void *bytes, size_t n_bytes, cuda_binary *out);

#endif
