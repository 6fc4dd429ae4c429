/* Safetensors files: a length, a JSON header, tensors. The file is hostile: the header is bounded and every tensor
 * checked against the file and the others before anything is read. */
#ifndef KILN_NETS_SAFETENSORS_H
#define KILN_NETS_SAFETENSORS_H

#include "context.h"
#include <kiln/plan.h>

typedef enum kiln_safetensors_type {
    KILN_SAFETENSORS_U8,
    KILN_SAFETENSORS_I8,
    KILN_SAFETENSORS_F32,
    KILN_SAFETENSORS_OTHER /* a type that exists, but is not read here */
} kiln_safetensors_type;

enum { KILN_SAFETENSORS_MAX_RANK = 8, KILN_SAFETENSORS_MAX_TENSORS = 65536 };

typedef struct kiln_safetensor {
    char *name;
    char type_name[8];
    kiln_safetensors_type type;
    size_t rank;
    int64_t shape[KILN_SAFETENSORS_MAX_RANK];
    uint64_t begin, bytes; /* in the file */
    int64_t elements;
} kiln_safetensor;

typedef struct kiln_safetensors {
    kiln_context *context;
    int fd;                      /* -1: in memory */
    const unsigned char *memory; /* NULL: in a file */
    char *description;           /* the entry "kiln" of __metadata__; NULL: none */
    kiln_safetensor *tensors;
    size_t n_tensors;
} kiln_safetensors;

/* Whether a file begins as safetensors do. false also if it cannot be read. */
bool kiln__safetensors_recognise(const char *path);

/* KILN_E_IO, KILN_E_PARSE: not such a file, or cut short. KILN_E_INVALID: tensors that contradict the file or each
 * other. */
kiln_status kiln__safetensors_open(kiln_context *context, const char *path, kiln_safetensors *out);
/* The same of a file in memory, which must outlive reading from it. */
kiln_status kiln__safetensors_parse(kiln_context *context, const void *data, size_t bytes, kiln_safetensors *out);
void kiln__safetensors_close(kiln_safetensors *file);

/* NULL: none of that name. */
const kiln_safetensor *kiln__safetensors_find(const kiln_safetensors *file, const char *name);

/* Reads `count` elements from `first` on as float32. KILN_E_UNSUPPORTED: of a type other than U8, I8 and F32. */
kiln_status kiln__safetensors_read(const kiln_safetensors *file, const kiln_safetensor *tensor, int64_t first,
                                   int64_t count, float *out);

#endif
