/* What we use of the CUDA driver's and NVRTC's binary interfaces, declared by us, so that building needs no toolkit.
 *
 * Names are those of the vendor's headers. Beside those, CUDA_ABI_LISTS_ONLY leaves the lists alone: a test compiles
 * them against both and compares every number. cuda.fn and nvrtc.fn have the functions. The interface is that of
 * CUDA 12.0: cuGetProcAddress is asked for CUDA_ABI_VERSION, and without it the suffixed names are taken. 64-bit only.
 */
#ifndef KILN_RUNTIME_BACKENDS_CUDA_ABI_H
#define KILN_RUNTIME_BACKENDS_CUDA_ABI_H

#include <stddef.h>
#include <stdint.h>

enum { CUDA_ABI_VERSION = 12000 };

/* ---- constants: X(name, value) ---- */

#define CUDA_ABI_ERRORS(X)                                                                                             \
    X(CUDA_SUCCESS, 0)                                                                                                 \
    X(CUDA_ERROR_INVALID_VALUE, 1)                                                                                     \
    X(CUDA_ERROR_OUT_OF_MEMORY, 2)                                                                                     \
    X(CUDA_ERROR_NOT_INITIALIZED, 3)                                                                                   \
    X(CUDA_ERROR_DEINITIALIZED, 4)                                                                                     \
    X(CUDA_ERROR_STUB_LIBRARY, 34)                                                                                     \
    X(CUDA_ERROR_DEVICE_UNAVAILABLE, 46)                                                                               \
    X(CUDA_ERROR_NO_DEVICE, 100)                                                                                       \
    X(CUDA_ERROR_INVALID_DEVICE, 101)                                                                                  \
    X(CUDA_ERROR_INVALID_IMAGE, 200)                                                                                   \
    X(CUDA_ERROR_INVALID_CONTEXT, 201)                                                                                 \
    X(CUDA_ERROR_NO_BINARY_FOR_GPU, 209)                                                                               \
    X(CUDA_ERROR_ECC_UNCORRECTABLE, 214)                                                                               \
    X(CUDA_ERROR_INVALID_PTX, 218)                                                                                     \
    X(CUDA_ERROR_NVLINK_UNCORRECTABLE, 220)                                                                            \
    X(CUDA_ERROR_JIT_COMPILER_NOT_FOUND, 221)                                                                          \
    X(CUDA_ERROR_UNSUPPORTED_PTX_VERSION, 222)                                                                         \
    X(CUDA_ERROR_JIT_COMPILATION_DISABLED, 223)                                                                        \
    X(CUDA_ERROR_INVALID_SOURCE, 300)                                                                                  \
    X(CUDA_ERROR_OPERATING_SYSTEM, 304)                                                                                \
    X(CUDA_ERROR_INVALID_HANDLE, 400)                                                                                  \
    X(CUDA_ERROR_ILLEGAL_STATE, 401)                                                                                   \
    X(CUDA_ERROR_NOT_FOUND, 500)                                                                                       \
    X(CUDA_ERROR_NOT_READY, 600)                                                                                       \
    X(CUDA_ERROR_ILLEGAL_ADDRESS, 700)                                                                                 \
    X(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, 701)                                                                         \
    X(CUDA_ERROR_LAUNCH_TIMEOUT, 702)                                                                                  \
    X(CUDA_ERROR_CONTEXT_IS_DESTROYED, 709)                                                                            \
    X(CUDA_ERROR_ASSERT, 710)                                                                                          \
    X(CUDA_ERROR_HARDWARE_STACK_ERROR, 714)                                                                            \
    X(CUDA_ERROR_ILLEGAL_INSTRUCTION, 715)                                                                             \
    X(CUDA_ERROR_MISALIGNED_ADDRESS, 716)                                                                              \
    X(CUDA_ERROR_INVALID_ADDRESS_SPACE, 717)                                                                           \
    X(CUDA_ERROR_INVALID_PC, 718)                                                                                      \
    X(CUDA_ERROR_LAUNCH_FAILED, 719)                                                                                   \
    X(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE, 720)                                                                    \
    X(CUDA_ERROR_NOT_PERMITTED, 800)                                                                                   \
    X(CUDA_ERROR_NOT_SUPPORTED, 801)                                                                                   \
    X(CUDA_ERROR_SYSTEM_NOT_READY, 802)                                                                                \
    X(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, 803)                                                                          \
    X(CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE, 804)                                                                  \
    X(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, 900)                                                                      \
    X(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, 901)                                                                      \
    X(CUDA_ERROR_STREAM_CAPTURE_MERGE, 902)                                                                            \
    X(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, 903)                                                                        \
    X(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, 904)                                                                         \
    X(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, 905)                                                                        \
    X(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, 906)                                                                         \
    X(CUDA_ERROR_CAPTURED_EVENT, 907)                                                                                  \
    X(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, 908)                                                                     \
    X(CUDA_ERROR_TIMEOUT, 909)                                                                                         \
    X(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, 910)                                                                       \
    X(CUDA_ERROR_EXTERNAL_DEVICE, 911)                                                                                 \
    X(CUDA_ERROR_INVALID_CLUSTER_SIZE, 912)                                                                            \
    X(CUDA_ERROR_UNKNOWN, 999)

#define CUDA_ABI_DEVICE_ATTRIBUTES(X)                                                                                  \
    X(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1)                                                                    \
    X(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X, 2)                                                                          \
    X(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y, 3)                                                                          \
    X(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z, 4)                                                                          \
    X(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, 5)                                                                           \
    X(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, 6)                                                                           \
    X(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z, 7)                                                                           \
    X(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, 8)                                                              \
    X(CU_DEVICE_ATTRIBUTE_WARP_SIZE, 10)                                                                               \
    X(CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK, 12)                                                                 \
    X(CU_DEVICE_ATTRIBUTE_CLOCK_RATE, 13)                                                                              \
    X(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 16)                                                                    \
    X(CU_DEVICE_ATTRIBUTE_INTEGRATED, 18)                                                                              \
    X(CU_DEVICE_ATTRIBUTE_COMPUTE_MODE, 20)                                                                            \
    X(CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS, 31)                                                                      \
    X(CU_DEVICE_ATTRIBUTE_PCI_BUS_ID, 33)                                                                              \
    X(CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID, 34)                                                                           \
    X(CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE, 36)                                                                       \
    X(CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH, 37)                                                                 \
    X(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, 38)                                                                           \
    X(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, 39)                                                          \
    X(CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING, 41)                                                                      \
    X(CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID, 50)                                                                           \
    X(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 75)                                                                \
    X(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 76)                                                                \
    X(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, 81)                                                    \
    X(CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR, 82)                                                        \
    X(CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH, 95)                                                                      \
    X(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 97)                                                       \
    X(CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR, 106)                                                          \
    X(CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK, 111)                                                       \
    X(CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH, 120)                                                                         \
    X(CU_DEVICE_ATTRIBUTE_TENSOR_MAP_ACCESS_SUPPORTED, 127)

#define CUDA_ABI_FUNCTION_ATTRIBUTES(X)                                                                                \
    X(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 0)                                                                      \
    X(CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, 1)                                                                          \
    X(CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES, 2)                                                                           \
    X(CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES, 3)                                                                           \
    X(CU_FUNC_ATTRIBUTE_NUM_REGS, 4)                                                                                   \
    X(CU_FUNC_ATTRIBUTE_PTX_VERSION, 5)                                                                                \
    X(CU_FUNC_ATTRIBUTE_BINARY_VERSION, 6)                                                                             \
    X(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 8)                                                              \
    X(CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT, 9)                                                           \
    X(CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 14)

#define CUDA_ABI_POINTER_ATTRIBUTES(X)                                                                                 \
    X(CU_POINTER_ATTRIBUTE_CONTEXT, 1)                                                                                 \
    X(CU_POINTER_ATTRIBUTE_MEMORY_TYPE, 2)                                                                             \
    X(CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, 9)

#define CUDA_ABI_MEMORY_TYPES(X)                                                                                       \
    X(CU_MEMORYTYPE_HOST, 1)                                                                                           \
    X(CU_MEMORYTYPE_DEVICE, 2)                                                                                         \
    X(CU_MEMORYTYPE_ARRAY, 3)                                                                                          \
    X(CU_MEMORYTYPE_UNIFIED, 4)

#define CUDA_ABI_JIT_OPTIONS(X)                                                                                        \
    X(CU_JIT_INFO_LOG_BUFFER, 3)                                                                                       \
    X(CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES, 4)                                                                            \
    X(CU_JIT_ERROR_LOG_BUFFER, 5)                                                                                      \
    X(CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, 6)                                                                           \
    X(CU_JIT_GENERATE_LINE_INFO, 13)

#define CUDA_ABI_CAPTURE_STATUSES(X)                                                                                   \
    X(CU_STREAM_CAPTURE_STATUS_NONE, 0)                                                                                \
    X(CU_STREAM_CAPTURE_STATUS_ACTIVE, 1)                                                                              \
    X(CU_STREAM_CAPTURE_STATUS_INVALIDATED, 2)

#define CUDA_ABI_CAPTURE_MODES(X)                                                                                      \
    X(CU_STREAM_CAPTURE_MODE_GLOBAL, 0)                                                                                \
    X(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL, 1)                                                                          \
    X(CU_STREAM_CAPTURE_MODE_RELAXED, 2)

#define CUDA_ABI_LAUNCH_ATTRIBUTES(X)                                                                                  \
    X(CU_LAUNCH_ATTRIBUTE_IGNORE, 0)                                                                                   \
    X(CU_LAUNCH_ATTRIBUTE_COOPERATIVE, 2)                                                                              \
    X(CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION, 4)                                                                        \
    X(CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION, 6)

#define CUDA_ABI_PROC_RESULTS(X)                                                                                       \
    X(CU_GET_PROC_ADDRESS_SUCCESS, 0)                                                                                  \
    X(CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND, 1)                                                                         \
    X(CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT, 2)

#define CUDA_ABI_TENSOR_MAP_TYPES(X)                                                                                   \
    X(CU_TENSOR_MAP_DATA_TYPE_UINT8, 0)                                                                                \
    X(CU_TENSOR_MAP_DATA_TYPE_UINT16, 1)                                                                               \
    X(CU_TENSOR_MAP_DATA_TYPE_UINT32, 2)                                                                               \
    X(CU_TENSOR_MAP_DATA_TYPE_INT32, 3)                                                                                \
    X(CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 6)                                                                              \
    X(CU_TENSOR_MAP_DATA_TYPE_FLOAT32, 7)                                                                              \
    X(CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 9)

#define CUDA_ABI_TENSOR_MAP_INTERLEAVES(X)                                                                             \
    X(CU_TENSOR_MAP_INTERLEAVE_NONE, 0)                                                                                \
    X(CU_TENSOR_MAP_INTERLEAVE_16B, 1)                                                                                 \
    X(CU_TENSOR_MAP_INTERLEAVE_32B, 2)

#define CUDA_ABI_TENSOR_MAP_SWIZZLES(X)                                                                                \
    X(CU_TENSOR_MAP_SWIZZLE_NONE, 0)                                                                                   \
    X(CU_TENSOR_MAP_SWIZZLE_32B, 1)                                                                                    \
    X(CU_TENSOR_MAP_SWIZZLE_64B, 2)                                                                                    \
    X(CU_TENSOR_MAP_SWIZZLE_128B, 3)

#define CUDA_ABI_TENSOR_MAP_PROMOTIONS(X)                                                                              \
    X(CU_TENSOR_MAP_L2_PROMOTION_NONE, 0)                                                                              \
    X(CU_TENSOR_MAP_L2_PROMOTION_L2_64B, 1)                                                                            \
    X(CU_TENSOR_MAP_L2_PROMOTION_L2_128B, 2)                                                                           \
    X(CU_TENSOR_MAP_L2_PROMOTION_L2_256B, 3)

#define CUDA_ABI_TENSOR_MAP_FILLS(X)                                                                                   \
    X(CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE, 0)                                                                            \
    X(CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA, 1)

/* Flags and sizes that functions take as plain integers. */
#define CUDA_ABI_FLAGS(X)                                                                                              \
    X(CU_EVENT_DEFAULT, 0)                                                                                             \
    X(CU_EVENT_BLOCKING_SYNC, 1)                                                                                       \
    X(CU_EVENT_DISABLE_TIMING, 2)                                                                                      \
    X(CU_STREAM_DEFAULT, 0)                                                                                            \
    X(CU_STREAM_NON_BLOCKING, 1)                                                                                       \
    X(CU_COMPUTEMODE_DEFAULT, 0)                                                                                       \
    X(CU_COMPUTEMODE_PROHIBITED, 2)                                                                                    \
    X(CU_COMPUTEMODE_EXCLUSIVE_PROCESS, 3)                                                                             \
    X(CU_GET_PROC_ADDRESS_DEFAULT, 0)                                                                                  \
    X(CU_TENSOR_MAP_NUM_QWORDS, 16)

#define CUDA_ABI_NVRTC_RESULTS(X)                                                                                      \
    X(NVRTC_SUCCESS, 0)                                                                                                \
    X(NVRTC_ERROR_OUT_OF_MEMORY, 1)                                                                                    \
    X(NVRTC_ERROR_PROGRAM_CREATION_FAILURE, 2)                                                                         \
    X(NVRTC_ERROR_INVALID_INPUT, 3)                                                                                    \
    X(NVRTC_ERROR_INVALID_PROGRAM, 4)                                                                                  \
    X(NVRTC_ERROR_INVALID_OPTION, 5)                                                                                   \
    X(NVRTC_ERROR_COMPILATION, 6)                                                                                      \
    X(NVRTC_ERROR_BUILTIN_OPERATION_FAILURE, 7)                                                                        \
    X(NVRTC_ERROR_INTERNAL_ERROR, 11)

/* Every enumeration: X(type, its list). */
#define CUDA_ABI_ENUMS(X)                                                                                              \
    X(CUresult, CUDA_ABI_ERRORS)                                                                                       \
    X(CUdevice_attribute, CUDA_ABI_DEVICE_ATTRIBUTES)                                                                  \
    X(CUfunction_attribute, CUDA_ABI_FUNCTION_ATTRIBUTES)                                                              \
    X(CUpointer_attribute, CUDA_ABI_POINTER_ATTRIBUTES)                                                                \
    X(CUmemorytype, CUDA_ABI_MEMORY_TYPES)                                                                             \
    X(CUjit_option, CUDA_ABI_JIT_OPTIONS)                                                                              \
    X(CUstreamCaptureStatus, CUDA_ABI_CAPTURE_STATUSES)                                                                \
    X(CUstreamCaptureMode, CUDA_ABI_CAPTURE_MODES)                                                                     \
    X(CUlaunchAttributeID, CUDA_ABI_LAUNCH_ATTRIBUTES)                                                                 \
    X(CUdriverProcAddressQueryResult, CUDA_ABI_PROC_RESULTS)                                                           \
    X(CUtensorMapDataType, CUDA_ABI_TENSOR_MAP_TYPES)                                                                  \
    X(CUtensorMapInterleave, CUDA_ABI_TENSOR_MAP_INTERLEAVES)                                                          \
    X(CUtensorMapSwizzle, CUDA_ABI_TENSOR_MAP_SWIZZLES)                                                                \
    X(CUtensorMapL2promotion, CUDA_ABI_TENSOR_MAP_PROMOTIONS)                                                          \
    X(CUtensorMapFloatOOBfill, CUDA_ABI_TENSOR_MAP_FILLS)                                                              \
    X(nvrtcResult, CUDA_ABI_NVRTC_RESULTS)

/* ---- members of structures: X(type, member) ---- */
#define CUDA_ABI_FIELDS(X)                                                                                             \
    X(CUlaunchAttributeValue, pad)                                                                                     \
    X(CUlaunchAttributeValue, cooperative)                                                                             \
    X(CUlaunchAttributeValue, clusterDim)                                                                              \
    X(CUlaunchAttributeValue, clusterDim.z)                                                                            \
    X(CUlaunchAttributeValue, programmaticStreamSerializationAllowed)                                                  \
    X(CUlaunchAttribute, id)                                                                                           \
    X(CUlaunchAttribute, value)                                                                                        \
    X(CUlaunchConfig, gridDimX)                                                                                        \
    X(CUlaunchConfig, gridDimY)                                                                                        \
    X(CUlaunchConfig, gridDimZ)                                                                                        \
    X(CUlaunchConfig, blockDimX)                                                                                       \
    X(CUlaunchConfig, blockDimY)                                                                                       \
    X(CUlaunchConfig, blockDimZ)                                                                                       \
    X(CUlaunchConfig, sharedMemBytes)                                                                                  \
    X(CUlaunchConfig, hStream)                                                                                         \
    X(CUlaunchConfig, attrs)                                                                                           \
    X(CUlaunchConfig, numAttrs)                                                                                        \
    X(CUDA_KERNEL_NODE_PARAMS, func)                                                                                   \
    X(CUDA_KERNEL_NODE_PARAMS, gridDimX)                                                                               \
    X(CUDA_KERNEL_NODE_PARAMS, gridDimY)                                                                               \
    X(CUDA_KERNEL_NODE_PARAMS, gridDimZ)                                                                               \
    X(CUDA_KERNEL_NODE_PARAMS, blockDimX)                                                                              \
    X(CUDA_KERNEL_NODE_PARAMS, blockDimY)                                                                              \
    X(CUDA_KERNEL_NODE_PARAMS, blockDimZ)                                                                              \
    X(CUDA_KERNEL_NODE_PARAMS, sharedMemBytes)                                                                         \
    X(CUDA_KERNEL_NODE_PARAMS, kernelParams)                                                                           \
    X(CUDA_KERNEL_NODE_PARAMS, extra)                                                                                  \
    X(CUDA_KERNEL_NODE_PARAMS, kern)                                                                                   \
    X(CUDA_KERNEL_NODE_PARAMS, ctx)                                                                                    \
    X(CUDA_MEMSET_NODE_PARAMS, dst)                                                                                    \
    X(CUDA_MEMSET_NODE_PARAMS, pitch)                                                                                  \
    X(CUDA_MEMSET_NODE_PARAMS, value)                                                                                  \
    X(CUDA_MEMSET_NODE_PARAMS, elementSize)                                                                            \
    X(CUDA_MEMSET_NODE_PARAMS, width)                                                                                  \
    X(CUDA_MEMSET_NODE_PARAMS, height)                                                                                 \
    X(CUDA_MEMCPY2D, srcXInBytes)                                                                                      \
    X(CUDA_MEMCPY2D, srcY)                                                                                             \
    X(CUDA_MEMCPY2D, srcMemoryType)                                                                                    \
    X(CUDA_MEMCPY2D, srcHost)                                                                                          \
    X(CUDA_MEMCPY2D, srcDevice)                                                                                        \
    X(CUDA_MEMCPY2D, srcArray)                                                                                         \
    X(CUDA_MEMCPY2D, srcPitch)                                                                                         \
    X(CUDA_MEMCPY2D, dstXInBytes)                                                                                      \
    X(CUDA_MEMCPY2D, dstY)                                                                                             \
    X(CUDA_MEMCPY2D, dstMemoryType)                                                                                    \
    X(CUDA_MEMCPY2D, dstHost)                                                                                          \
    X(CUDA_MEMCPY2D, dstDevice)                                                                                        \
    X(CUDA_MEMCPY2D, dstArray)                                                                                         \
    X(CUDA_MEMCPY2D, dstPitch)                                                                                         \
    X(CUDA_MEMCPY2D, WidthInBytes)                                                                                     \
    X(CUDA_MEMCPY2D, Height)                                                                                           \
    X(CUDA_MEMCPY3D, srcXInBytes)                                                                                      \
    X(CUDA_MEMCPY3D, srcY)                                                                                             \
    X(CUDA_MEMCPY3D, srcZ)                                                                                             \
    X(CUDA_MEMCPY3D, srcLOD)                                                                                           \
    X(CUDA_MEMCPY3D, srcMemoryType)                                                                                    \
    X(CUDA_MEMCPY3D, srcHost)                                                                                          \
    X(CUDA_MEMCPY3D, srcDevice)                                                                                        \
    X(CUDA_MEMCPY3D, srcArray)                                                                                         \
    X(CUDA_MEMCPY3D, reserved0)                                                                                        \
    X(CUDA_MEMCPY3D, srcPitch)                                                                                         \
    X(CUDA_MEMCPY3D, srcHeight)                                                                                        \
    X(CUDA_MEMCPY3D, dstXInBytes)                                                                                      \
    X(CUDA_MEMCPY3D, dstY)                                                                                             \
    X(CUDA_MEMCPY3D, dstZ)                                                                                             \
    X(CUDA_MEMCPY3D, dstLOD)                                                                                           \
    X(CUDA_MEMCPY3D, dstMemoryType)                                                                                    \
    X(CUDA_MEMCPY3D, dstHost)                                                                                          \
    X(CUDA_MEMCPY3D, dstDevice)                                                                                        \
    X(CUDA_MEMCPY3D, dstArray)                                                                                         \
    X(CUDA_MEMCPY3D, reserved1)                                                                                        \
    X(CUDA_MEMCPY3D, dstPitch)                                                                                         \
    X(CUDA_MEMCPY3D, dstHeight)                                                                                        \
    X(CUDA_MEMCPY3D, WidthInBytes)                                                                                     \
    X(CUDA_MEMCPY3D, Height)                                                                                           \
    X(CUDA_MEMCPY3D, Depth)                                                                                            \
    X(CUtensorMap, opaque)

/* ---- types whose size is ours to know: X(type) ---- */
#define CUDA_ABI_TYPES(X)                                                                                              \
    X(CUdevice)                                                                                                        \
    X(CUdeviceptr)                                                                                                     \
    X(cuuint32_t)                                                                                                      \
    X(cuuint64_t)                                                                                                      \
    X(CUcontext)                                                                                                       \
    X(CUresult)                                                                                                        \
    X(CUlaunchAttributeValue)                                                                                          \
    X(CUlaunchAttribute)                                                                                               \
    X(CUlaunchConfig)                                                                                                  \
    X(CUDA_KERNEL_NODE_PARAMS)                                                                                         \
    X(CUDA_MEMSET_NODE_PARAMS)                                                                                         \
    X(CUDA_MEMCPY2D)                                                                                                   \
    X(CUDA_MEMCPY3D)                                                                                                   \
    X(CUtensorMap)

#ifndef CUDA_ABI_LISTS_ONLY

/* ---- handles ---- */

typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef uint32_t cuuint32_t;
typedef uint64_t cuuint64_t;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUkern_st *CUkernel;
typedef struct CUarray_st *CUarray;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphNode_st *CUgraphNode;
typedef struct CUgraphExec_st *CUgraphExec;
typedef struct _nvrtcProgram *nvrtcProgram;

/* ---- enumerations ---- */

#    define CUDA_ABI_MEMBER(name, value)    name = value,
#    define CUDA_ABI_ENUMERATION(type, map) typedef enum type { map(CUDA_ABI_MEMBER) } type;
CUDA_ABI_ENUMS(CUDA_ABI_ENUMERATION)
enum { CUDA_ABI_FLAGS(CUDA_ABI_MEMBER) };
#    undef CUDA_ABI_ENUMERATION
#    undef CUDA_ABI_MEMBER

/* ---- structures ---- */

typedef union CUlaunchAttributeValue {
    _Alignas(8) char pad[64]; /* has members of 8 bytes that we do not use */
    int cooperative;
    struct {
        unsigned x, y, z;
    } clusterDim; /* in blocks */
    int programmaticStreamSerializationAllowed;
} CUlaunchAttributeValue;

typedef struct CUlaunchAttribute {
    CUlaunchAttributeID id;
    char pad[4];
    CUlaunchAttributeValue value;
} CUlaunchAttribute;

typedef struct CUlaunchConfig {
    unsigned gridDimX, gridDimY, gridDimZ;
    unsigned blockDimX, blockDimY, blockDimZ;
    unsigned sharedMemBytes;
    CUstream hStream;
    CUlaunchAttribute *attrs;
    unsigned numAttrs;
} CUlaunchConfig;

typedef struct CUDA_KERNEL_NODE_PARAMS {
    CUfunction func;
    unsigned gridDimX, gridDimY, gridDimZ;
    unsigned blockDimX, blockDimY, blockDimZ;
    unsigned sharedMemBytes;
    void **kernelParams; /* copied by the call that takes them */
    void **extra;
    CUkernel kern; /* looked at when func is NULL */
    CUcontext ctx;
} CUDA_KERNEL_NODE_PARAMS;

typedef struct CUDA_MEMSET_NODE_PARAMS {
    CUdeviceptr dst;
    size_t pitch; /* bytes; of no meaning when height is 1 */
    unsigned value;
    unsigned elementSize; /* 1, 2 or 4 bytes */
    size_t width;         /* elements */
    size_t height;
} CUDA_MEMSET_NODE_PARAMS;

typedef struct CUDA_MEMCPY2D {
    size_t srcXInBytes, srcY;
    CUmemorytype srcMemoryType;
    const void *srcHost;
    CUdeviceptr srcDevice;
    CUarray srcArray;
    size_t srcPitch;
    size_t dstXInBytes, dstY;
    CUmemorytype dstMemoryType;
    void *dstHost;
    CUdeviceptr dstDevice;
    CUarray dstArray;
    size_t dstPitch;
    size_t WidthInBytes, Height;
} CUDA_MEMCPY2D;

typedef struct CUDA_MEMCPY3D {
    size_t srcXInBytes, srcY, srcZ, srcLOD;
    CUmemorytype srcMemoryType;
    const void *srcHost;
    CUdeviceptr srcDevice;
    CUarray srcArray;
    void *reserved0;
    size_t srcPitch, srcHeight;
    size_t dstXInBytes, dstY, dstZ, dstLOD;
    CUmemorytype dstMemoryType;
    void *dstHost;
    CUdeviceptr dstDevice;
    CUarray dstArray;
    void *reserved1;
    size_t dstPitch, dstHeight;
    size_t WidthInBytes, Height, Depth;
} CUDA_MEMCPY3D;

typedef struct CUtensorMap {
    _Alignas(128) cuuint64_t opaque[CU_TENSOR_MAP_NUM_QWORDS];
} CUtensorMap;

#endif
#endif
