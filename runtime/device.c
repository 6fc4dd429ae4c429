#include "device.h"
#include "embed.h"
#include "jit.h"
#include "topology.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* ---- what a device is called ---- */

/* Appends `text` with every run of other characters than letters, digits, '_' and '.' as one dash. */
static void add_sanitized(kiln_strbuf *s, const char *text) {
    bool dash = true; /* swallows a leading run: the caller has put the dash */
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c < 128 && (isalnum(c) || c == '_' || c == '.')) {
            kiln__strbuf_add_bytes(s, text, 1);
            dash = false;
        } else if (!dash) {
            kiln__strbuf_add(s, "-");
            dash = true;
        }
    }
    if (dash && s->length && s->data[s->length - 1] == '-')
        s->data[--s->length] = 0;
}

/* The fingerprint names a folder of the store, so it is bounded: what does not fit is replaced by a hash of the whole.
 */
static kiln_status make_fingerprint(kiln_device *d) {
    const kiln_caps *caps = &d->desc.caps;
    kiln_strbuf s = {0};
    kiln__strbuf_addf(&s, "%s-", d->backend->name);
    add_sanitized(&s, d->desc.model);
    kiln__strbuf_addf(&s, "-%uu", (unsigned)caps->units);
    if (caps->vector_floats)
        kiln__strbuf_addf(&s, "-v%u", (unsigned)caps->vector_floats);
    if (d->features[0]) {
        kiln__strbuf_add(&s, "-");
        add_sanitized(&s, d->features);
    }
    const kiln_status status = kiln__strbuf_status(&s);
    if (status == KILN_OK) {
        const int fits = snprintf(d->fingerprint, sizeof d->fingerprint, "%s", s.data);
        if (fits < 0 || (size_t)fits >= sizeof d->fingerprint) {
            char hash[33];
            kiln__hash_hex(s.data, s.length, hash);
            snprintf(d->fingerprint + sizeof d->fingerprint - 18, 18, "-%.16s", hash);
        }
    }
    kiln__strbuf_free(&s);
    return status;
}

static void print_features(kiln_device *d) {
    size_t n = 0;
#define ADD(name, bit)                                                                                                 \
    if (d->desc.caps.features & KILN_FEATURE_##name)                                                                   \
        n += (size_t)snprintf(d->features + n, sizeof d->features - n, "%s%s", n ? " " : "", #name);
    KILN_FEATURE_MAP(ADD)
#undef ADD
}

/* ---- the list ---- */

static void free_desc(kiln_device *d) {
    if (d->desc.native && d->backend->forget)
        d->backend->forget(d);
    char *const texts[] = {d->desc.model,    d->desc.vendor, d->desc.driver,
                           d->desc.compiler, d->desc.pci,    d->desc.target};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        kiln__free(d->context, texts[i]);
    memset(&d->desc, 0, sizeof d->desc);
}

static kiln_status fill_device(kiln_device *d) {
    if (!d->desc.model || !d->desc.vendor || !d->desc.driver || !d->desc.compiler)
        return KILN_E_MEMORY; /* kiln__strdup has left the text */
    print_features(d);
    d->numa_node = -1;
    KILN_TRY(make_fingerprint(d));
    if (pthread_mutex_init(&d->lock, NULL) != 0)
        return kiln_fail(KILN_E_MEMORY, "out of system resources listing %s", d->desc.model);
    if (pthread_mutex_init(&d->place_lock, NULL) != 0) {
        pthread_mutex_destroy(&d->lock);
        return kiln_fail(KILN_E_MEMORY, "out of system resources listing %s", d->desc.model);
    }
    return KILN_OK;
}

static void remove_device(kiln_device *d) {
    for (kiln_module *m = d->modules, *next; m; m = next) { /* left behind by plans that were not destroyed */
        next = m->next;
        d->backend->module_unload(d, m->handle);
        kiln__free(d->context, m);
    }
    if (atomic_load(&d->is_open))
        d->backend->close(d);
    free_desc(d);
    pthread_mutex_destroy(&d->lock);
    pthread_mutex_destroy(&d->place_lock);
    kiln__free(d->context, d);
}

/* Takes over `desc` even when it fails. */
static kiln_status new_device(kiln_context *context, const kiln_backend *backend, void *library, kiln_device_desc *desc,
                              kiln_device **out) {
    kiln_device on_stack = {.context = context, .backend = backend, .library = library, .desc = *desc};
    *desc = (kiln_device_desc){0};
    kiln_device *d = kiln__alloc(context, sizeof *d);
    if (!d) {
        free_desc(&on_stack);
        return KILN_E_MEMORY;
    }
    d->context = context;
    d->backend = backend;
    d->library = library;
    d->desc = on_stack.desc;
    const kiln_status status = fill_device(d);
    if (status != KILN_OK) {
        free_desc(d);
        kiln__free(context, d);
        return status;
    }
    *out = d;
    return KILN_OK;
}

kiln_status kiln__device_add(kiln_context *context, const kiln_backend *backend, void *library,
                             kiln_device_desc *desc) {
    kiln_device *d;
    KILN_TRY(new_device(context, backend, library, desc, &d));
    if (context->n_devices == KILN_MAX_DEVICES) {
        kiln__log(context, KILN_LOG_WARN, "%s: left out, more than %d devices", d->desc.model, KILN_MAX_DEVICES);
        remove_device(d);
        return KILN_OK;
    }
    context->devices[context->n_devices++] = d;
    return KILN_OK;
}

static int kind_order(kiln_device_kind kind) {
    return kind == KILN_DEVICE_GPU ? 0 : kind == KILN_DEVICE_OTHER ? 1 : 2;
}

/* Test devices last; then GPUs, others, CPUs; then by backend. */
static bool comes_before(const kiln_device *a, const kiln_device *b) {
    const int a_test = a->backend->rank >= KILN_RANK_TEST, b_test = b->backend->rank >= KILN_RANK_TEST;
    if (a_test != b_test)
        return a_test < b_test;
    const int a_kind = kind_order(a->desc.caps.kind), b_kind = kind_order(b->desc.caps.kind);
    if (!a_test && a_kind != b_kind)
        return a_kind < b_kind;
    return a->backend->rank < b->backend->rank;
}

static void sort_and_name(kiln_context *c) {
    for (size_t i = 1; i < c->n_devices; i++) { /* by insertion: equal devices keep the driver's order */
        kiln_device *d = c->devices[i];
        size_t k = i;
        for (; k > 0 && comes_before(d, c->devices[k - 1]); k--)
            c->devices[k] = c->devices[k - 1];
        c->devices[k] = d;
    }
    for (size_t i = 0; i < c->n_devices; i++) {
        unsigned index = 0;
        for (size_t k = 0; k < i; k++)
            index += c->devices[k]->backend == c->devices[i]->backend;
        snprintf(c->devices[i]->name, sizeof c->devices[i]->name, "%s:%u", c->devices[i]->backend->name, index);
    }
}

/* ---- loading ---- */

static const kiln_backend *const backends[] = {
#define KILN_BACKEND(name) &kiln__backend_##name,
#include "backends.def"
#undef KILN_BACKEND
};
enum { N_BACKENDS = sizeof backends / sizeof *backends };
_Static_assert((int)N_BACKENDS <= (int)KILN_MAX_BACKENDS, "raise KILN_MAX_BACKENDS");

/* Whether a comma-separated list has a word. */
static bool list_has(const char *list, const char *word, size_t length) {
    for (; *list; list += *list == ',') {
        const size_t n = strcspn(list, ",");
        if (n == length && memcmp(list, word, n) == 0)
            return true;
        list += n;
    }
    return false;
}

static kiln_status check_name(const char *filter, const char *name, size_t length) {
    for (size_t i = 0; i < N_BACKENDS; i++)
        if (strlen(backends[i]->name) == length && memcmp(backends[i]->name, name, length) == 0)
            return KILN_OK;
    kiln_strbuf names = {0};
    for (size_t i = 0; i < N_BACKENDS; i++)
        kiln__strbuf_addf(&names, "%s%s", i ? ", " : "", backends[i]->name);
    kiln_fail(KILN_E_INVALID, "backends=%.80s: \"%.*s\" is unknown; use some of %s", filter,
              (int)(length < 40 ? length : 40), name, kiln__strbuf_text(&names));
    kiln__strbuf_free(&names);
    return KILN_E_INVALID;
}

/* "" asks for none. */
static kiln_status check_filter(const char *filter) {
    for (const char *at = filter; *filter; at++) {
        const size_t n = strcspn(at, ",");
        KILN_TRY(check_name(filter, at, n));
        at += n;
        if (!*at)
            break;
    }
    return KILN_OK;
}

kiln_status kiln__devices_load(kiln_context *context, const char *filter) {
    if (filter)
        KILN_TRY(check_filter(filter));
    for (size_t i = 0; i < N_BACKENDS; i++) {
        if (filter && !list_has(filter, backends[i]->name, strlen(backends[i]->name))) {
            kiln__strbuf_addf(&context->device_report, "%s: not asked for\n", backends[i]->name);
            continue;
        }
        void *library = NULL;
        const kiln_status status = backends[i]->load(context, &context->device_report, &library);
        if (library) { /* kept even when loading failed half-way: devices already listed are freed through it */
            context->backends[context->n_backends].backend = backends[i];
            context->backends[context->n_backends++].library = library;
        }
        KILN_TRY(status);
    }
    sort_and_name(context);
    return kiln__strbuf_status(&context->device_report);
}

void kiln__devices_unload(kiln_context *context) {
    for (size_t i = 0; i < context->n_devices; i++)
        remove_device(context->devices[i]);
    context->n_devices = 0;
    for (size_t i = 0; i < context->n_absent; i++)
        remove_device(context->absent[i]);
    context->n_absent = 0;
    for (size_t i = 0; i < context->n_backends; i++)
        context->backends[i].backend->unload(context, context->backends[i].library);
    context->n_backends = 0;
}

/* ---- opening ---- */

kiln_status kiln__device_open(kiln_device *device) {
    if (atomic_load_explicit(&device->is_open, memory_order_acquire))
        return KILN_OK;
    pthread_mutex_lock(&device->lock);
    kiln_status status = KILN_OK;
    if (!atomic_load(&device->is_open)) {
        status = device->backend->open(device, NULL);
        if (status == KILN_OK)
            atomic_store_explicit(&device->is_open, true, memory_order_release);
    }
    pthread_mutex_unlock(&device->lock);
    return status;
}

kiln_status kiln_device_adopt(kiln_device *device, void *native_context) {
    if (!device || !native_context)
        return kiln_fail(KILN_E_INVALID, "kiln_device_adopt: NULL argument");
    KILN_TRY(kiln__device_check_present(device, "context to share"));
    pthread_mutex_lock(&device->lock);
    kiln_status status;
    if (atomic_load(&device->is_open)) {
        status = kiln_fail(KILN_E_INVALID,
                           "kiln_device_adopt: %s is open already; adopt before the first queue, buffer or plan",
                           device->name);
    } else {
        status = device->backend->open(device, native_context);
        if (status == KILN_OK)
            atomic_store_explicit(&device->is_open, true, memory_order_release);
    }
    pthread_mutex_unlock(&device->lock);
    return status;
}

/* ---- devices that are not here ---- */

kiln_status kiln__device_check_present(const kiln_device *device, const char *what) {
    return !device->is_absent
               ? KILN_OK
               : kiln_fail(KILN_E_UNSUPPORTED, "%s is known by its architecture alone, to compile for: it has no %s",
                           device->name, what);
}

/* With the lock held. */
static kiln_status open_arch(kiln_context *c, size_t backend, const char *arch, uint32_t units, kiln_device **out) {
    const kiln_backend *b = c->backends[backend].backend;
    kiln_device_desc desc = {0};
    char name[sizeof(*out)->name];
    snprintf(name, sizeof name, "%s:%s", b->name, arch);
    for (size_t i = 0; i < c->n_absent; i++)
        if (strcmp(c->absent[i]->name, name) == 0 && (!units || c->absent[i]->desc.caps.units == units)) {
            *out = c->absent[i];
            return KILN_OK;
        }
    if (c->n_absent == KILN_MAX_DEVICES)
        return kiln_fail(KILN_E_UNSUPPORTED, "%s: a context opens no more than %d architectures", name,
                         KILN_MAX_DEVICES);
    KILN_TRY(b->describe_arch(c, c->backends[backend].library, arch, units, &desc));
    kiln_device *d;
    KILN_TRY(new_device(c, b, c->backends[backend].library, &desc, &d));
    d->is_absent = true;
    memcpy(d->name, name, sizeof name);
    c->absent[c->n_absent++] = *out = d;
    return KILN_OK;
}

kiln_status kiln_device_open_arch(kiln_context *context, const char *backend, const char *arch, uint32_t units,
                                  kiln_device **out) {
    if (!context || !backend || !arch || !out)
        return kiln_fail(KILN_E_INVALID, "kiln_device_open_arch: NULL argument");
    *out = NULL;
    for (size_t i = 0; i < context->n_backends; i++) {
        if (strcmp(context->backends[i].backend->name, backend) != 0)
            continue;
        if (!context->backends[i].backend->describe_arch)
            return kiln_fail(KILN_E_UNSUPPORTED, "backend %s compiles only for devices that are here", backend);
        pthread_mutex_lock(&context->absent_lock);
        const kiln_status status = open_arch(context, i, arch, units, out);
        pthread_mutex_unlock(&context->absent_lock);
        return status;
    }
    return kiln_fail(KILN_E_NOT_FOUND, "no backend \"%.40s\" in this context. What was tried:\n%s", backend,
                     kiln_device_report(context));
}

/* ---- asking ---- */

size_t kiln_device_count(const kiln_context *context) {
    return context ? context->n_devices : 0;
}

kiln_device *kiln_device_at(const kiln_context *context, size_t index) {
    return context && index < context->n_devices ? context->devices[index] : NULL;
}

kiln_context *kiln_device_context(const kiln_device *device) {
    return device ? device->context : NULL;
}

const char *kiln_device_report(const kiln_context *context) {
    return context ? kiln__strbuf_text(&context->device_report) : "";
}

kiln_status kiln_device_find(kiln_context *context, const char *name, kiln_device **out) {
    if (!context || !out)
        return kiln_fail(KILN_E_INVALID, "kiln_device_find: NULL argument");
    *out = NULL;
    const bool by_environment = !name && context->default_device;
    if (!name)
        name = context->default_device;
    for (size_t i = 0; i < context->n_devices && !*out; i++)
        if (!name || strcmp(name, context->devices[i]->name) == 0 ||
            strcmp(name, context->devices[i]->backend->name) == 0)
            *out = context->devices[i];
    if (*out)
        return KILN_OK;
    const char *remedy = "for a device on the CPU install PoCL (Debian and Ubuntu: apt-get install pocl-opencl-icd), "
                         "for a GPU its vendor's OpenCL driver";
    if (context->n_devices == 0)
        return kiln_fail(KILN_E_NOT_FOUND, "no device found; %s. What was tried:\n%s", remedy,
                         kiln_device_report(context));
    kiln_strbuf names = {0};
    for (size_t i = 0; i < context->n_devices; i++)
        kiln__strbuf_addf(&names, "%s%s", i ? ", " : "", context->devices[i]->name);
    kiln_fail(KILN_E_NOT_FOUND, "%sdevice \"%.80s\" not found; there is %s. What was tried:\n%s",
              by_environment ? "KILN_DEVICE: " : "", name, kiln__strbuf_text(&names), kiln_device_report(context));
    kiln__strbuf_free(&names);
    return KILN_E_NOT_FOUND;
}

/* Loading the machine's topology takes 2 to 20 ms, so it waits until somebody asks. */
static void place_devices(kiln_context *context) {
    kiln_device *first = context->devices[0];
    if (atomic_load_explicit(&first->is_placed, memory_order_acquire))
        return;
    pthread_mutex_lock(&first->place_lock);
    if (!atomic_load(&first->is_placed)) {
        kiln__topology_fill(context);
        atomic_store_explicit(&first->is_placed, true, memory_order_release);
    }
    pthread_mutex_unlock(&first->place_lock);
}

kiln_status kiln_device_get_info(const kiln_device *device, kiln_device_info *out) {
    if (!device)
        return kiln_fail(KILN_E_INVALID, "kiln_device_get_info: device is NULL");
    KILN_CHECK_STRUCT(out, kiln_device_info);
    if (!device->is_absent)
        place_devices(device->context);
    const kiln_caps *caps = &device->desc.caps;
    const kiln_device_info all = {.struct_size = out->struct_size,
                                  .name = device->name,
                                  .backend = device->backend->name,
                                  .model = device->desc.model,
                                  .vendor = device->desc.vendor,
                                  .driver = device->desc.driver,
                                  .compiler = device->desc.compiler,
                                  .fingerprint = device->fingerprint,
                                  .kind = caps->kind,
                                  .units = caps->units,
                                  .vector_floats = caps->vector_floats,
                                  .max_group_size = caps->max_group_size,
                                  .memory_bytes = caps->memory_bytes,
                                  .max_alloc_bytes = caps->max_alloc_bytes,
                                  .local_bytes = caps->local_bytes,
                                  .has_native_graphs = caps->native_graphs,
                                  .has_clusters = caps->clusters,
                                  .has_f16 = caps->f16,
                                  .numa_node = device->numa_node,
                                  .near_cores = device->near_cores,
                                  .features = device->features,
                                  .arch = device->desc.target ? device->desc.target : "",
                                  .compute_capability = caps->compute_capability,
                                  .is_absent = device->is_absent};
    memcpy(out, &all, out->struct_size);
    return KILN_OK;
}
