/* The vendor's side of test_cuda_abi.c. The functions are compared here: a prototype of cuda.fn or nvrtc.fn that
 * differs from the vendor's does not compile. */
#include "cuda_abi_numbers.h"
#include <cuda.h>
#include <nvrtc.h>
#define CUDA_ABI_LISTS_ONLY
#include "backends/cuda_abi.h"

const cuda_abi_number cuda_abi_real[] = CUDA_ABI_NUMBERS;

#define SAME(function, type)                                                                                           \
    _Static_assert(__builtin_types_compatible_p(__typeof__(function), type), #function " is declared otherwise");
#define KILN_FN(name, suffix, params)          SAME(name##suffix, CUresult params)
#define KILN_FN_OPTIONAL(name, suffix, params) SAME(name##suffix, CUresult params)
#include "backends/cuda.fn"
#undef KILN_FN
#undef KILN_FN_OPTIONAL
#define KILN_FN(result, name, params) SAME(name, result params)
#include "backends/nvrtc.fn"
#undef KILN_FN
