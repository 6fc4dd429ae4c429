/* Safetensors: any bytes are a file or a failure with a text; the tensors of a file lie inside of it, apart, and are as
 * large as their shapes say. Bit 0 of the first byte says whether the length of the header is made right first. */
#include "fuzz.h"
#include "safetensors.h"

static void check_file(const kiln_safetensors *file, size_t bytes) {
    for (size_t i = 0; i < file->n_tensors; i++) {
        const kiln_safetensor *t = &file->tensors[i];
        FUZZ_CHECK(t->begin >= 10 && t->begin <= bytes && t->bytes <= bytes - t->begin);
        FUZZ_CHECK(i == 0 || file->tensors[i - 1].begin + file->tensors[i - 1].bytes <= t->begin);
        int64_t elements = 1;
        for (size_t k = 0; k < t->rank; k++) {
            FUZZ_CHECK(t->shape[k] >= 0);
            elements *= t->shape[k];
        }
        FUZZ_CHECK(elements == t->elements && (uint64_t)elements <= (t->bytes ? t->bytes : 0));
        FUZZ_CHECK(kiln__safetensors_find(file, t->name) != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 9)
        return 0;
    const bool fix = data[0] & 1;
    uint8_t *copy = malloc(size - 1); /* exactly so large: a sanitizer sees one byte too many */
    FUZZ_CHECK(copy != NULL);
    memcpy(copy, data + 1, size - 1);
    if (fix) { /* up to the last bracket */
        size_t end = size - 1;
        while (end > 8 && copy[end - 1] != '}')
            end--;
        for (int i = 0; i < 8; i++)
            copy[i] = (uint8_t)((uint64_t)(end - 8) >> 8 * i);
    }
    kiln_safetensors file;
    const kiln_status status = kiln__safetensors_parse(fuzz_context(), copy, size - 1, &file);
    if (status == KILN_OK) {
        check_file(&file, size - 1);
        kiln__safetensors_close(&file);
    } else {
        FUZZ_CHECK(kiln_last_error()[0] != 0);
        FUZZ_CHECK(status == KILN_E_PARSE || status == KILN_E_INVALID || status == KILN_E_UNSUPPORTED);
    }
    free(copy);
    return 0;
}
