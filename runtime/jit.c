#include "jit.h"
#include "store.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

/* What one call is about. */
typedef struct request {
    kiln_device *device;
    const char *name;
    const kiln_source *sources; /* one is compiled, several are linked */
    size_t n_sources;
    char key[33];
} request;

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* Every part ends with a NUL, so that no two sets of parts read the same. */
static void add_part(kiln_strbuf *s, const char *part) {
    kiln__strbuf_add_bytes(s, part ? part : "", (part ? strlen(part) : 0) + 1);
}

static kiln_status make_key(request *r) {
    const kiln_device *d = r->device;
    kiln_strbuf all = {0};
    add_part(&all, d->backend->name);
    add_part(&all, d->desc.compiler);
    /* Where the architecture decides alone, a store filled without the device, or on another of its kind, serves. */
    add_part(&all, d->desc.target ? "" : d->desc.driver);
    add_part(&all, d->desc.target ? d->desc.target : d->fingerprint);
    for (size_t i = 0; i < r->n_sources; i++) {
        add_part(&all, r->sources[i].options);
        kiln__strbuf_add_bytes(&all, r->sources[i].text, r->sources[i].bytes);
        if (i)
            kiln__strbuf_addf(&all, " %zu", r->sources[i].bytes);
    }
    kiln_status status = kiln__strbuf_status(&all);
    if (status == KILN_OK)
        kiln__hash_hex(all.data, all.length, r->key);
    kiln__strbuf_free(&all);
    return status;
}

/* ---- making a module ---- */

/* KILN_E_NOT_FOUND: compile it. */
static kiln_status load_stored(const request *r, void **handle) {
    kiln_device *d = r->device;
    kiln_context *context = d->context;
    const double start = now_ms();
    void *binary = NULL;
    size_t bytes = 0;
    kiln_status status = kiln__store_get_binary(context->store, r->key, &binary, &bytes);
    if (status == KILN_E_NOT_FOUND) {
        kiln__count(context, KILN_COUNT_BINARY_MISSES);
        return status;
    }
    if (status == KILN_E_CORRUPT) {
        kiln__count(context, KILN_COUNT_BINARY_REJECTED);
        kiln__log(context, KILN_LOG_INFO, "jit: %s on %s: %s", r->name, d->name, kiln_last_error());
        return KILN_E_NOT_FOUND;
    }
    if (status != KILN_OK)
        return status;
    status = d->backend->module_load(d, binary, bytes, handle);
    kiln__free(context, binary);
    if (status != KILN_OK) {
        kiln__count(context, KILN_COUNT_BINARY_REJECTED);
        kiln__log(context, KILN_LOG_WARN, "jit: %s on %s: stored binary %s refused, compiling it again: %s", r->name,
                  d->name, r->key, kiln_last_error());
        kiln__store_drop_binary(context->store, r->key);
        return KILN_E_NOT_FOUND;
    }
    kiln__count(context, KILN_COUNT_BINARY_HITS);
    kiln__log(context, KILN_LOG_DEBUG, "jit: %s on %s: loaded %s (%zu bytes) in %.2f ms", r->name, d->name, r->key,
              bytes, now_ms() - start);
    return KILN_OK;
}

static void keep(const request *r, const void *binary, size_t bytes) {
    char what[304];
    snprintf(what, sizeof what, "%s %s", r->name, r->sources[0].options);
    /* The store has counted and logged a refusal; the program runs without being kept. */
    if (kiln__store_put_binary(r->device->context->store, r->key, r->device->fingerprint, what, binary, bytes) !=
        KILN_OK)
        kiln__log(r->device->context, KILN_LOG_DEBUG, "jit: %s not kept: %s", r->name, kiln_last_error());
}

static kiln_status compile(const request *r, void **handle) {
    kiln_device *d = r->device;
    kiln_context *context = d->context;
    const double start = now_ms();
    void *binary = NULL;
    size_t bytes = 0;
    kiln__count(context, KILN_COUNT_COMPILES);
    const kiln_source *first = r->sources;
    kiln_status status =
        r->n_sources > 1 ? d->backend->link(d, r->sources, r->n_sources, r->name, &binary, &bytes)
                         : d->backend->compile(d, first->text, first->bytes, r->name, first->options, &binary, &bytes);
    if (status != KILN_OK) {
        kiln__count(context, KILN_COUNT_COMPILE_FAILURES);
        return kiln_fail_in(status, "%s %s on %s", r->name, first->options, d->name);
    }
    const double compiled = now_ms();
    status = d->backend->module_load(d, binary, bytes, handle);
    if (status == KILN_OK) {
        kiln__log(context, KILN_LOG_DEBUG, "jit: %s %s on %s: compiled %s (%zu bytes) in %.1f ms, loaded in %.2f ms",
                  r->name, first->options, d->name, r->key, bytes, compiled - start, now_ms() - compiled);
        keep(r, binary, bytes); /* only what the driver takes */
    } else {
        kiln_fail_in(status, "%s %s on %s: the driver refused what it compiled", r->name, first->options, d->name);
    }
    kiln__free(context, binary);
    return status;
}

static kiln_status make(const request *r, void **handle) {
    kiln_status status = load_stored(r, handle);
    return status == KILN_E_NOT_FOUND ? compile(r, handle) : status;
}

/* ---- the list of modules: all below with the device's lock held ---- */

static kiln_module *find(kiln_device *device, const char *key) {
    for (kiln_module *m = device->modules; m; m = m->next)
        if (strcmp(m->key, key) == 0)
            return m;
    return NULL;
}

static void unlist(kiln_device *device, const kiln_module *module) {
    for (kiln_module **at = &device->modules; *at; at = &(*at)->next)
        if (*at == module) {
            *at = module->next;
            return;
        }
}

static kiln_module *enlist(kiln_device *device, const char *key) {
    kiln_module *m = kiln__alloc(device->context, sizeof *m);
    if (!m)
        return NULL;
    memcpy(m->key, key, sizeof m->key);
    m->references = 1;
    m->state = KILN_MODULE_LOADING;
    pthread_cond_init(&m->changed, NULL);
    m->next = device->modules;
    device->modules = m;
    return m;
}

static void destroy(kiln_device *device, kiln_module *module) {
    pthread_cond_destroy(&module->changed);
    kiln__free(device->context, module->error);
    kiln__free(device->context, module);
}

/* Drops a reference to a module that failed, which is no longer listed. */
static kiln_status leave_failed(kiln_device *device, kiln_module *module) {
    const kiln_status status = kiln_fail(module->status, "%s", module->error ? module->error : "out of host memory");
    if (--module->references == 0)
        destroy(device, module);
    return status;
}

/* ---- */

static kiln_status wait_for(kiln_device *device, kiln_module *module, kiln_module **out) {
    module->references++;
    while (module->state == KILN_MODULE_LOADING)
        pthread_cond_wait(&module->changed, &device->lock);
    if (module->state == KILN_MODULE_FAILED)
        return leave_failed(device, module);
    kiln__count(device->context, KILN_COUNT_PROGRAM_REUSES);
    *out = module;
    return KILN_OK;
}

static kiln_status get(const request *r, kiln_module **out) {
    kiln_device *device = r->device;
    pthread_mutex_lock(&device->lock);
    kiln_module *module = find(device, r->key);
    if (module) {
        kiln_status status = wait_for(device, module, out);
        pthread_mutex_unlock(&device->lock);
        return status;
    }
    module = enlist(device, r->key);
    pthread_mutex_unlock(&device->lock);
    if (!module)
        return KILN_E_MEMORY;

    void *handle = NULL;
    kiln_status status = make(r, &handle);
    char *error = status == KILN_OK ? NULL : kiln__strdup(device->context, kiln_last_error());

    pthread_mutex_lock(&device->lock);
    module->handle = handle;
    module->status = status;
    module->error = error;
    module->state = status == KILN_OK ? KILN_MODULE_READY : KILN_MODULE_FAILED;
    pthread_cond_broadcast(&module->changed);
    if (status == KILN_OK) {
        *out = module;
    } else {
        unlist(device, module); /* who comes later tries again */
        status = leave_failed(device, module);
    }
    pthread_mutex_unlock(&device->lock);
    return status;
}

/* The text of a source, embedded or from KILN_KERNEL_DIR; what is not embedded is built in `own`. */
static kiln_status read_source(const kiln_device *device, const kiln_jit_part *part, kiln_strbuf *own,
                               kiln_source *out) {
    const char *folder = device->context->kernel_dir;
    *out = (kiln_source){part->source->name, (const char *)part->source->text, part->source->bytes,
                         part->defines ? part->defines : ""};
    if (!folder && !part->before)
        return KILN_OK;
    if (part->before)
        kiln__strbuf_add(own, part->before);
    if (folder) {
        const kiln_status status = kiln__embed_flatten(folder, part->source->name, own);
        if (status != KILN_OK)
            return kiln_fail_in(status, "KILN_KERNEL_DIR=%s", folder);
    } else {
        kiln__strbuf_add_bytes(own, out->text, out->bytes);
    }
    KILN_TRY(kiln__strbuf_status(own));
    out->text = kiln__strbuf_text(own);
    out->bytes = own->length;
    return KILN_OK;
}

static kiln_status get_sources(kiln_device *device, const char *name, const kiln_jit_part *parts, kiln_source *sources,
                               kiln_strbuf *own, size_t n, kiln_module **out) {
    for (size_t i = 0; i < n; i++)
        KILN_TRY(read_source(device, &parts[i], &own[i], &sources[i]));
    request r = {.device = device, .name = name, .sources = sources, .n_sources = n};
    KILN_TRY(make_key(&r));
    return get(&r, out);
}

kiln_status kiln__jit_get(kiln_device *device, const kiln_embed *source, const char *defines, kiln_module **out) {
    const kiln_jit_part part = {source, NULL, defines};
    kiln_source text;
    kiln_strbuf own = {0};
    KILN_TRY(kiln__device_open(device));
    const kiln_status status = get_sources(device, source->name, &part, &text, &own, 1, out);
    kiln__strbuf_free(&own);
    return status;
}

kiln_status kiln__jit_link(kiln_device *device, const char *name, const kiln_jit_part *parts, size_t n_parts,
                           kiln_module **out) {
    KILN_TRY(kiln__device_open(device));
    if (!device->backend->link)
        return kiln_fail(KILN_E_UNSUPPORTED, "%s: its backend links no programs", device->name);
    kiln_source *sources = kiln__alloc(device->context, n_parts * sizeof *sources);
    kiln_strbuf *own = kiln__alloc(device->context, n_parts * sizeof *own);
    kiln_status status = sources && own ? get_sources(device, name, parts, sources, own, n_parts, out) : KILN_E_MEMORY;
    for (size_t i = 0; own && i < n_parts; i++)
        kiln__strbuf_free(&own[i]);
    kiln__free(device->context, own);
    kiln__free(device->context, sources);
    return status;
}

void kiln__jit_source_hash(kiln_context *context, const kiln_embed *source, char out[33]) {
    kiln_strbuf text = {0};
    out[0] = 0;
    if (source && !context->kernel_dir)
        memcpy(out, source->hash, 33);
    else if (source && kiln__embed_flatten(context->kernel_dir, source->name, &text) == KILN_OK)
        kiln__hash_hex(text.data, text.length, out);
    kiln__strbuf_free(&text);
}

void kiln__jit_release(kiln_device *device, kiln_module *module) {
    if (!module)
        return;
    pthread_mutex_lock(&device->lock);
    const bool is_last = --module->references == 0;
    if (is_last)
        unlist(device, module);
    pthread_mutex_unlock(&device->lock);
    if (is_last) {
        device->backend->module_unload(device, module->handle);
        destroy(device, module);
    }
}
