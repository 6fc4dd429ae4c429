/* Matrix cores of NVIDIA's sm_80 and up: the one place with inline PTX, for .cu files. NVRTC has no include path, so
 * the few instructions a kernel needs are wrapped here, each under the name of what it does.
 *
 * A warp multiplies 16 x 32 bytes of a by 32 bytes x 8 of b: 16 products deep for f16 and bf16, 8 for tf32. Operands
 * are rows of contiguous depth: rows of a, and of b, which is packed so, its columns. The registers of a lane follow
 * from bytes alone, whatever the type. With g = lane / 4 and t = lane % 4:
 *
 *     a[j]  bytes 16 (j / 2) + 4 t ... + 3 of row g + 8 (j % 2)         j < 4
 *     b[j]  bytes 16 j + 4 t ... + 3 of column g                        j < 2
 *     c[i]  row g + 8 (i / 2), column 2 t + i % 2                       i < 4, float
 *
 * mma_load fetches four 8 x 16-byte matrices, a row an address: lane 8 j + r brings the address of row r of matrix j
 * and register j of a lane is bytes 4 t ... of row g. The eight rows of a matrix are one pass through the banks if
 * their addresses differ in bits 4 to 6: that is what mma_swizzle (mma_tile.h) is for. */
#ifndef KILN_MMA_H
#define KILN_MMA_H

#include "dialect.h"

/* Addresses of shared memory are 32 bits wide in PTX. */
KILN_INLINE unsigned mma_address(const void *local) {
    return (unsigned)__cvta_generic_to_shared(local);
}

/* ---- products: of KC_TYPE, f32 as tf32 ---- */

/* a is rounded when it has been loaded, to nearest: the cores would cut off, which takes from all products alike. b is
 * rounded when it is packed. */
KILN_INLINE unsigned mma_round_tf32(unsigned x) {
    asm("cvt.rna.tf32.f32 %0, %0;" : "+r"(x));
    return x;
}

#if KC_TYPE == 0
#    define MMA_PRODUCT "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32"
#elif KC_TYPE == 1
#    define MMA_PRODUCT "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"
#else
#    define MMA_PRODUCT "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"
#endif

/* c += a b. Not volatile: the compiler may move it between loads. */
KILN_INLINE void mma_product(float *c, const unsigned *a, const unsigned *b) {
    asm(MMA_PRODUCT " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* ---- shared memory to registers ---- */

KILN_INLINE void mma_load(unsigned *x, unsigned address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(address)
                 : "memory");
}

/* ---- global to shared memory, asynchronous ---- */

/* Copies BYTES (4, 8 or 16; both addresses aligned to it), or makes as many zeros and reads nothing. 16 pass by the
 * first cache, where they would only displace what is read again. */
template <int BYTES> KILN_INLINE void mma_copy(unsigned to, const void *from, bool copies) {
    const int bytes = copies ? BYTES : 0; /* that are read; the others become zero */
    if (BYTES == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(from), "n"(BYTES), "r"(bytes)
                     : "memory");
}

/* Ends a group of copies; an empty one is complete at once, which keeps the count of groups that of the loop. */
KILN_INLINE void mma_commit() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* All groups of this thread but the last PENDING have landed; a barrier makes them seen by the others. */
template <int PENDING> KILN_INLINE void mma_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

#endif
