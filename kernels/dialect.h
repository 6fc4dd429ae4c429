/* The one header that says what language a kernel is compiled as: OpenCL C, CUDA C (NVRTC, no include path) or HIP C.
 * Kernels are written in the common subset, C99 without a language's own keywords, and these words:
 *
 *     KILN_KERNEL(entry, gx, gy, gz)(parameters) { ... }   a kernel whose work-group is gx x gy x gz work-items
 *     KILN_GLOBAL, KILN_LOCAL                            address spaces of what a pointer points to
 *     KILN_LOCAL_ARRAY                                   before an array of local memory in a kernel's body
 *     KILN_GROUP_X() KILN_ITEM_X() KILN_GLOBAL_X()       work-group, work-item inside it (int), work-item of all
 * (size_t) KILN_BARRIER()                                     every work-item of the group; local memory is seen by all
 *     KILN_DYNAMIC_LOCAL_ARG(type, name)                 local memory sized at launch: the last parameter's suffix ...
 *     KILN_DYNAMIC_LOCAL(type, name)                     ... and, first in the body, its declaration
 *     KILN_UNROLL(n), KILN_UNROLL_ALL, KILN_UNROLL_NONE  before a loop
 *     KILN_STORED                                        an element in memory: of type KC_TYPE, kernels/types.h
 *     KILN_LOAD_STORED(from) KILN_STORE_STORED(value, to)    one element in global memory, as a float; a store rounds
 *
 * Tuning parameters are KP_X, constants of the problem KC_X; each has an #ifndef default, so that a file compiles
 * alone. */
#ifndef KILN_DIALECT_H
#define KILN_DIALECT_H

#define KILN_PRAGMA(text) _Pragma(#text)
#define KILN_GLUE_(a, b)  a##b
#define KILN_GLUE(a, b)   KILN_GLUE_(a, b)

#define KILN_UNROLL(n)   KILN_PRAGMA(unroll n)
#define KILN_UNROLL_ALL  KILN_PRAGMA(unroll)
#define KILN_UNROLL_NONE KILN_PRAGMA(unroll 1)

#ifndef KC_TYPE /* of stored elements, a kiln_type: 0 f32, 1 f16, 2 bf16 */
#    define KC_TYPE 0
#endif

/* For macros that take a way to load and one to store (see epilogue.h). */
#define KILN_SCALAR_LOAD(from)       (*(from))
#define KILN_SCALAR_STORE(value, to) (*(to) = (value))

#ifdef __OPENCL_VERSION__ /* ---- OpenCL C ---- */

#    define KILN_INLINE      static inline __attribute__((always_inline))
#    define KILN_GLOBAL      __global
#    define KILN_LOCAL       __local
#    define KILN_LOCAL_ARRAY __local
#    define KILN_RESTRICT    restrict

#    ifdef KILN_TEAM /* a part of graphs/team.h: a function that is told its work-group, of one work-item */
#        define KILN_KERNEL(entry, gx, gy, gz) void KILN_GLUE(KILN_GLUE(entry, _), KILN_TEAM) KILN_TEAM_PARAMS
#        define KILN_TEAM_PARAMS(...)          (int kiln_group_x, int kiln_group_y, int kiln_group_z, __VA_ARGS__)
#        define KILN_GROUP_X()                 kiln_group_x
#        define KILN_GROUP_Y()                 kiln_group_y
#        define KILN_GROUP_Z()                 kiln_group_z
#    else
#        define KILN_KERNEL(entry, gx, gy, gz) __kernel __attribute__((reqd_work_group_size(gx, gy, gz))) void entry
#        define KILN_GROUP_X()                 ((int)get_group_id(0))
#        define KILN_GROUP_Y()                 ((int)get_group_id(1))
#        define KILN_GROUP_Z()                 ((int)get_group_id(2))
#    endif
#    define KILN_ITEM_X()   ((int)get_local_id(0))
#    define KILN_ITEM_Y()   ((int)get_local_id(1))
#    define KILN_ITEM_Z()   ((int)get_local_id(2))
#    define KILN_GLOBAL_X() get_global_id(0)
#    define KILN_GLOBAL_Y() get_global_id(1)
#    define KILN_GLOBAL_Z() get_global_id(2)
#    define KILN_BARRIER()  barrier(CLK_LOCAL_MEM_FENCE)

#    define KILN_DYNAMIC_LOCAL_ARG(type, name) , __local type *name
#    define KILN_DYNAMIC_LOCAL(type, name)

#    define KILN_FLOAT_BITS(x) as_uint(x)
#    define KILN_BITS_FLOAT(u) as_float(u)

/* Core OpenCL can convert what is behind a pointer to half; more needs an extension that few CPUs have. */
#    define KILN_LOAD_F16(from)       vload_half(0, (KILN_GLOBAL const half *)(from))
#    define KILN_STORE_F16(value, to) vstore_half_rte(value, 0, (KILN_GLOBAL half *)(to))

/* On scalars and vectors alike. */
#    define KILN_FMA(a, b, c) fma(a, b, c)
#    define KILN_MAX(a, b)    fmax(a, b)
#    define KILN_MIN(a, b)    fmin(a, b)
#    define KILN_EXP(x)       exp(x)
#    define KILN_LOG1P(x)     log1p(x)
#    define KILN_TANH(x)      tanh(x)
#    define KILN_ERFC(x)      erfc(x)
#    define KILN_SQRT(x)      sqrt(x)
#    define KILN_RELU(T, x)   ((x) < 0.0f ? (T)(0.0f) : (x)) /* false for a NaN, which stays */
#    define KILN_INFINITY     INFINITY

/* Vectors of n floats (2, 4, 8, 16) at addresses aligned to a float: OpenCL only, for .cpu.cl files. */
#    define KILN_VECTOR(n)                  KILN_GLUE(float, n)
#    define KILN_VECTOR_LOAD(n, from)       KILN_GLUE(vload, n)(0, from)
#    define KILN_VECTOR_STORE(n, value, to) KILN_GLUE(vstore, n)(value, 0, to)

/* Defines load_tail(from) and store_tail(value, to): a vector of n of which only the first `count` are in memory. */
#    define KILN_VECTOR_TAIL(n, count)                                                                                 \
        KILN_INLINE KILN_VECTOR(n) load_tail(KILN_GLOBAL const float *from) {                                          \
            float lane[n];                                                                                             \
            for (int i = 0; i < (n); i++)                                                                              \
                lane[i] = i < (count) ? from[i] : 0.0f;                                                                \
            return KILN_VECTOR_LOAD(n, lane);                                                                          \
        }                                                                                                              \
        KILN_INLINE void store_tail(KILN_VECTOR(n) value, KILN_GLOBAL float *to) {                                     \
            float lane[n];                                                                                             \
            KILN_VECTOR_STORE(n, value, lane);                                                                         \
            for (int i = 0; i < (count); i++)                                                                          \
                to[i] = lane[i];                                                                                       \
        }

#else /* ---- CUDA C and HIP C ---- */

#    define KILN_KERNEL(entry, gx, gy, gz) extern "C" __global__ void __launch_bounds__((gx) * (gy) * (gz)) entry
#    define KILN_INLINE                    static __device__ __forceinline__
#    define KILN_GLOBAL
#    define KILN_LOCAL
#    define KILN_LOCAL_ARRAY __shared__
#    define KILN_RESTRICT    __restrict__

#    define KILN_GROUP_X()  ((int)blockIdx.x)
#    define KILN_GROUP_Y()  ((int)blockIdx.y)
#    define KILN_GROUP_Z()  ((int)blockIdx.z)
#    define KILN_ITEM_X()   ((int)threadIdx.x)
#    define KILN_ITEM_Y()   ((int)threadIdx.y)
#    define KILN_ITEM_Z()   ((int)threadIdx.z)
#    define KILN_GLOBAL_X() ((size_t)blockIdx.x * blockDim.x + threadIdx.x)
#    define KILN_GLOBAL_Y() ((size_t)blockIdx.y * blockDim.y + threadIdx.y)
#    define KILN_GLOBAL_Z() ((size_t)blockIdx.z * blockDim.z + threadIdx.z)
#    define KILN_BARRIER()  __syncthreads()

#    define KILN_DYNAMIC_LOCAL_ARG(type, name)
#    define KILN_DYNAMIC_LOCAL(type, name) extern __shared__ __align__(16) type name[]

#    define KILN_FLOAT_BITS(x)        __float_as_uint(x)
#    define KILN_BITS_FLOAT(u)        __uint_as_float(u)

KILN_INLINE float kiln_f16_value(unsigned short bits) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
}
KILN_INLINE unsigned short kiln_f16_of(float x) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}
#    define KILN_LOAD_F16(from)       kiln_f16_value(*(from))
#    define KILN_STORE_F16(value, to) (*(to) = kiln_f16_of(value))

#    define KILN_FMA(a, b, c) fmaf(a, b, c)
#    define KILN_MAX(a, b)    fmaxf(a, b)
#    define KILN_MIN(a, b)    fminf(a, b)
#    define KILN_EXP(x)       expf(x)
#    define KILN_LOG1P(x)     log1pf(x)
#    define KILN_TANH(x)      tanhf(x)
#    define KILN_ERFC(x)      erfcf(x)
#    define KILN_SQRT(x)      sqrtf(x)
#    define KILN_RELU(T, x)   kiln_relu(x)
#    define KILN_INFINITY     __int_as_float(0x7f800000)

KILN_INLINE float kiln_relu(float x) {
    return x < 0.0f ? 0.0f : x;
}

#endif

/* ---- stored elements ---- */

#if KC_TYPE == 0
#    define KILN_STORED                  float
#    define KILN_LOAD_STORED(from)       KILN_SCALAR_LOAD(from)
#    define KILN_STORE_STORED(value, to) KILN_SCALAR_STORE(value, to)
#elif KC_TYPE == 1
#    define KILN_STORED                  unsigned short
#    define KILN_LOAD_STORED(from)       KILN_LOAD_F16(from)
#    define KILN_STORE_STORED(value, to) KILN_STORE_F16(value, to)
#elif KC_TYPE == 2
#    define KILN_STORED                  unsigned short
#    define KILN_LOAD_STORED(from)       KILN_BITS_FLOAT((unsigned)*(from) << 16)
#    define KILN_STORE_STORED(value, to) (*(to) = kiln_bf16_of(value))

/* The upper half, rounded to nearest even. A NaN is cut off instead: rounding could carry it to infinity. */
KILN_INLINE unsigned short kiln_bf16_of(float x) {
    const unsigned bits = KILN_FLOAT_BITS(x);
    return (unsigned short)(x != x ? bits >> 16 | 0x40 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
#else
#    error "KC_TYPE is not a type"
#endif

#endif
