/* What every fuzz target has: the entry that libFuzzer and standalone.c call, and a check that ends the process. */
#ifndef KILN_TESTS_FUZZ_H
#define KILN_TESTS_FUZZ_H

#include <kiln/kiln.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                                    \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* A context without devices and without a store, made once and kept for the life of the process. */
static inline kiln_context *fuzz_context(void) {
    static kiln_context *context;
    if (!context) {
        kiln_context_options o = KILN_CONTEXT_OPTIONS_INIT;
        o.backends = "";
        o.cache_dir = "";
        o.log_level = KILN_LOG_OFF;
        FUZZ_CHECK(kiln_context_create(&o, &context) == KILN_OK);
    }
    return context;
}

#endif
