/* Numbers of the CUDA interface as one set of headers has them: the lists of cuda_abi.h, expanded. Two files compile
 * this, one with our declarations, one with the vendor's. */
#ifndef KILN_TESTS_CUDA_ABI_NUMBERS_H
#define KILN_TESTS_CUDA_ABI_NUMBERS_H

#include <stddef.h>

typedef struct cuda_abi_number {
    const char *name;
    long long value;
} cuda_abi_number;

#define NUMBER_VALUE(name, value)   {#name, (long long)(name)},
#define NUMBER_ENUM(type, map)      {"sizeof " #type, (long long)sizeof(type)}, map(NUMBER_VALUE)
#define NUMBER_SIZE(type)           {"sizeof " #type, (long long)sizeof(type)},
#define NUMBER_ALIGN(type)          {"_Alignof " #type, (long long)_Alignof(type)},
#define NUMBER_OFFSET(type, member) {"offset " #type "." #member, (long long)offsetof(type, member)},
#define NUMBER_MEMBER(type, member) {"sizeof " #type "." #member, (long long)sizeof(((type *)0)->member)},

/* Ends with a NULL name. clang-format finds no end with these. */
/* clang-format off */
#define CUDA_ABI_NUMBERS                                                                                               \
    {                                                                                                                  \
        CUDA_ABI_ENUMS(NUMBER_ENUM)                                                                                    \
        CUDA_ABI_FLAGS(NUMBER_VALUE)                                                                                   \
        CUDA_ABI_TYPES(NUMBER_SIZE)                                                                                    \
        CUDA_ABI_TYPES(NUMBER_ALIGN)                                                                                   \
        CUDA_ABI_FIELDS(NUMBER_OFFSET)                                                                                 \
        CUDA_ABI_FIELDS(NUMBER_MEMBER)                                                                                 \
        {NULL, 0}                                                                                                      \
    }
/* clang-format on */

extern const cuda_abi_number cuda_abi_real[];

#endif
