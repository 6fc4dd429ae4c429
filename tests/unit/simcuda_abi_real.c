/* The simulated driver's entry points have the prototypes of the vendor's header, those of older versions included. */
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#define DRIVER_ENTRY(name, suffix, since, demands, params, args)                                                       \
    _Static_assert(__builtin_types_compatible_p(__typeof__(name##suffix), CUresult params),                            \
                   #name #suffix " is declared otherwise");
#include "simcuda/driver.def"
