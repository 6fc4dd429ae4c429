/* Source + defines -> binary -> module, through the store. */
#ifndef KILN_RUNTIME_JIT_H
#define KILN_RUNTIME_JIT_H

#include "device.h"
#include "embed.h"

typedef enum kiln_module_state { KILN_MODULE_LOADING, KILN_MODULE_READY, KILN_MODULE_FAILED } kiln_module_state;

/* A loaded program, shared by every plan of the device that needs the same one. In the device's list from the moment
 * somebody starts to make it, so that others wait for that one and different ones are made side by side. All but
 * `handle` is guarded by the device's lock. */
typedef struct kiln_module {
    struct kiln_module *next;
    char key[33];
    unsigned references;
    kiln_module_state state;
    pthread_cond_t changed;
    void *handle;
    kiln_status status; /* of FAILED, with its text */
    char *error;
} kiln_module;

/* The module of `source` compiled with `defines` ("-DA=1 -DB=2"): one already loaded, or a stored binary, or compiled
 * and stored. The key is made of the flattened source, the defines, the backend, the compiler's version, and the
 * device's architecture, or the driver's version and the device's fingerprint where a binary depends on more.
 * Thread-safe: two threads asking for the same one compile it once. KILN_E_COMPILE: with the compiler's log. */
kiln_status kiln__jit_get(kiln_device *device, const kiln_embed *source, const char *defines, kiln_module **out);

/* One of the sources of a linked module. */
typedef struct kiln_jit_part {
    const kiln_embed *source;
    const char *before;  /* text to put before the source, or NULL */
    const char *defines; /* "-DA=1 -DB=2" */
} kiln_jit_part;

/* The same for several sources that call each other's functions, through the backend's `link`. `name` is for messages.
 * KILN_E_UNSUPPORTED: the backend cannot. */
kiln_status kiln__jit_link(kiln_device *device, const char *name, const kiln_jit_part *parts, size_t n_parts,
                           kiln_module **out);
void kiln__jit_release(kiln_device *device, kiln_module *module);

/* The hash of the text that kiln__jit_get would compile: the embedded one's, or of the file in the context's kernel
 * folder. "" for NULL, or if there is no such file. */
void kiln__jit_source_hash(kiln_context *context, const kiln_embed *source, char out[33]);

#endif
