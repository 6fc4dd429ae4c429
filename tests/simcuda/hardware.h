/* The cases of simcuda_hardware: small kernels that a real GPU and the simulated one run on the same inputs.
 *
 * A kernel is one warp a block. Each thread has n_in words in registers %i0... and leaves n_out words in %o0...; around
 * that `body` is written to what hardware.c adds. At its disposal: %lane, %in (the address of the thread's words),
 * %t<8> (.b32), %h<8> (.b16), %l<8> (.b64), %p<4> (.pred) and 1 KiB of shared memory, `sh`.
 */
#ifndef SIMCUDA_HARDWARE_H
#define SIMCUDA_HARDWARE_H

#include <stddef.h>
#include <stdint.h>

/* What results are and how they are compared: words bit for bit, or numbers within limits. */
typedef enum hardware_result {
    HARDWARE_BITS,
    HARDWARE_F32,
    HARDWARE_F16X2,
} hardware_result;

typedef struct hardware_case {
    char name[64];
    char body[1024];
    unsigned n_in, n_out, blocks;
    hardware_result result;
    double absolute, relative; /* a difference may be absolute + relative * the greater magnitude */
} hardware_case;

size_t hardware_count(void);
void hardware_describe(size_t index, hardware_case *out);
/* n_in words for each thread of each block, the same at every call. */
void hardware_inputs(size_t index, const hardware_case *c, uint32_t *words);

/* The part of them that is mma.sync: hardware_mma.c. */
size_t hardware_mma_count(void);
void hardware_mma_describe(size_t index, hardware_case *out);
void hardware_mma_inputs(size_t index, uint32_t *words);

/* xorshift64*: the next 32 bits. */
static inline uint32_t hardware_random(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (uint32_t)(*state * UINT64_C(2685821657736338717) >> 32);
}

#endif
