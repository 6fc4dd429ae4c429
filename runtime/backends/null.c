#include "embed.h"
#include "null_internal.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SCRIPT_BYTES = 64 * 1024 };

/* ---- rules ---- */

static bool rule_fits(const null_rule *r, null_about about) {
    return (!r->kernel[0] || (about.kernel && strcmp(r->kernel, about.kernel) == 0)) &&
           (!r->source[0] || (about.source && strstr(about.source, r->source))) &&
           (!r->defines[0] || (about.defines && kiln__null_has_define(about.defines, r->defines)));
}

kiln_status kiln__null_call_locked(kiln_device *device, kiln_null_call call, null_about about) {
    null_device *d = null_of(device);
    kiln_status status = KILN_OK;
    d->calls[call]++;
    for (size_t i = 0; i < d->n_rules; i++) {
        null_rule *r = &d->rules[i];
        if (r->kind != NULL_RULE_FAIL || r->call != (uint32_t)call || !rule_fits(r, about))
            continue;
        r->seen++;
        if (status == KILN_OK && (r->nth == 0 || r->nth == r->seen))
            status = kiln_fail(r->status, "%s: scripted failure of call %llu", device->name,
                               (unsigned long long)d->calls[call]);
    }
    return status;
}

kiln_status kiln__null_call(kiln_device *device, kiln_null_call call, null_about about) {
    null_device *d = null_of(device);
    pthread_mutex_lock(&d->lock);
    const kiln_status status = kiln__null_call_locked(device, call, about);
    pthread_mutex_unlock(&d->lock);
    return status;
}

double kiln__null_work_us(const null_device *d, null_work work) {
    static const double usual[] = {
#define NULL_US(name, us) us,
        NULL_WORK(NULL_US)
#undef NULL_US
    };
    double us = usual[work];
    for (size_t i = 0; i < d->n_rules; i++)
        if (d->rules[i].kind == NULL_RULE_TIME && d->rules[i].call == (uint32_t)work && !d->rules[i].kernel[0])
            us = d->rules[i].us;
    return us;
}

static double kernel_us(const null_device *d, const char *entry, const char *defines) {
    double us = kiln__null_work_us(d, NULL_WORK_kernel);
    for (size_t i = 0; i < d->n_rules; i++) {
        const null_rule *r = &d->rules[i];
        if (r->kind == NULL_RULE_TIME && r->kernel[0] && rule_fits(r, (null_about){entry, NULL, defines}))
            us = r->us;
    }
    return us;
}

static null_result kernel_result(const null_device *d, const char *entry, const char *defines) {
    null_result result = NULL_RESULT_nothing;
    for (size_t i = 0; i < d->n_rules; i++)
        if (d->rules[i].kind == NULL_RULE_COMPUTE && rule_fits(&d->rules[i], (null_about){entry, NULL, defines}))
            result = (null_result)d->rules[i].result;
    return result;
}

/* ---- devices ---- */

/* The text of the script, or NULL. `*why` says why not. */
static char *read_script(kiln_context *context, const char *path, const char **why) {
    *why = NULL;
    FILE *f = fopen(path, "rb");
    if (!f) {
        *why = "cannot be opened";
        return NULL;
    }
    char *text = kiln__alloc(context, MAX_SCRIPT_BYTES + 2);
    const size_t n = text ? fread(text, 1, MAX_SCRIPT_BYTES + 1, f) : 0;
    if (!text)
        *why = "does not fit in memory";
    else if (ferror(f))
        *why = "cannot be read";
    else if (n > MAX_SCRIPT_BYTES)
        *why = "is larger than 64 KiB";
    fclose(f);
    if (*why) {
        kiln__free(context, text);
        return NULL;
    }
    return text;
}

static kiln_status add_device(kiln_context *context, const null_script *script, size_t index) {
    null_device *d = kiln__alloc(context, sizeof *d);
    if (!d)
        return KILN_E_MEMORY;
    if (pthread_mutex_init(&d->lock, NULL) != 0) {
        kiln__free(context, d);
        return kiln_fail(KILN_E_MEMORY, "out of system resources for a test device");
    }
    d->spec = script->devices[index];
    for (size_t i = 0; i < script->n_rules; i++)
        if (script->rules[i].device < 0 || script->rules[i].device == (int)index)
            d->rules[d->n_rules++] = script->rules[i];
    kiln_device_desc desc = {.model = kiln__strdup(context, d->spec.name),
                             .vendor = kiln__strdup(context, "Kiln tests"),
                             .driver = kiln__strdup(context, d->spec.driver),
                             .compiler = kiln__strdup(context, d->spec.compiler),
                             .pci = d->spec.pci[0] ? kiln__strdup(context, d->spec.pci) : NULL,
                             .caps = d->spec.caps,
                             .native = d};
    return kiln__device_add(context, &kiln__backend_null, NULL, &desc);
}

static kiln_status load(kiln_context *context, kiln_strbuf *report, void **library) {
    *library = NULL; /* all we need is in the devices */
    const char *path = getenv("KILN_NULL_SCRIPT"), *why;
    if (!path || !*path) {
        kiln__strbuf_add(report, "null: no test device (KILN_NULL_SCRIPT is not set)\n");
        return KILN_OK;
    }
    char *text = read_script(context, path, &why);
    if (!text) {
        kiln__strbuf_addf(report, "null: no test device (KILN_NULL_SCRIPT=%s %s)\n", path, why);
        return KILN_OK;
    }
    null_script *script = kiln__alloc(context, sizeof *script);
    kiln_status status = script ? kiln__null_script_parse(path, text, script) : KILN_E_MEMORY;
    for (size_t i = 0; status == KILN_OK && i < script->n_devices; i++)
        status = add_device(context, script, i);
    if (status == KILN_OK)
        kiln__strbuf_addf(report, "null: %zu test devices of %s\n", script->n_devices, path);
    kiln__free(context, script);
    kiln__free(context, text);
    return status;
}

static void unload(kiln_context *context, void *library) {
    (void)context, (void)library;
}

static void forget(kiln_device *device) {
    null_device *d = null_of(device);
    pthread_mutex_destroy(&d->lock);
    kiln__free(device->context, d);
}

static kiln_status open_device(kiln_device *device, void *native_context) {
    (void)native_context; /* any pointer will do as an engine's context */
    KILN_TRY(kiln__null_call(device, KILN_NULL_CALL_open, (null_about){0}));
    device->handle = device->desc.native;
    return KILN_OK;
}

static void close_device(kiln_device *device) {
    static const char *const names[] = {"memory", "modules", "kernels", "queues", "events", "graphs"};
    const null_device *d = null_of(device);
    for (size_t i = 0; i < KILN_NULL_N_OBJECTS; i++)
        if (d->live[i])
            kiln__log(device->context, KILN_LOG_ERROR, "%s: %zu %s not freed", device->name, d->live[i], names[i]);
    if (d->misuses)
        kiln__log(device->context, KILN_LOG_ERROR, "%s: %llu things destroyed that pending work used", device->name,
                  (unsigned long long)d->misuses);
    device->handle = NULL;
}

static void count_live(kiln_device *device, kiln_null_object kind, int change) {
    null_device *d = null_of(device);
    pthread_mutex_lock(&d->lock);
    d->live[kind] += (size_t)change;
    pthread_mutex_unlock(&d->lock);
}

/* ---- programs ----
 * A binary is text, so that a damaged one is told from a sound one:
 *     kiln-null-binary 1 · name conv/ref.cl · defines -DA=1 · entry conv_ref (for each) · end HASH
 * a line each, the hash over all before its line. */

static const char magic[] = "kiln-null-binary 1\n";

static bool is_word(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

/* Each KILN_KERNEL(entry that is not the definition of the macro itself. */
static void add_entries(kiln_strbuf *s, const char *source, size_t bytes) {
    static const char word[] = "KILN_KERNEL(";
    const size_t n = sizeof word - 1;
    const char *end = source + bytes, *line = source;
    for (const char *at = source; (size_t)(end - at) > n; at++) {
        if (*at == '\n')
            line = at + 1;
        if (*at != 'K' || memcmp(at, word, n) != 0 || (at > source && is_word(at[-1])))
            continue;
        const char *first = line;
        while (first < at && (*first == ' ' || *first == '\t'))
            first++;
        const char *name = at + n, *stop = name;
        while (stop < end && is_word(*stop))
            stop++;
        if (*first != '#' && *first != '*' && *first != '/' && stop > name)
            kiln__strbuf_addf(s, "entry %.*s\n", (int)(stop - name), name);
    }
}

static kiln_status compile(kiln_device *device, const char *source, size_t source_bytes, const char *name,
                           const char *options, void **binary, size_t *binary_bytes) {
    options = options ? options : "";
    KILN_TRY(kiln__null_call(device, KILN_NULL_CALL_compile, (null_about){.source = name, .defines = options}));
    kiln_strbuf s = {0};
    char hash[33];
    kiln__strbuf_addf(&s, "%sname %s\ndefines %s\n", magic, name, options);
    add_entries(&s, source, source_bytes);
    kiln_status status = kiln__strbuf_status(&s);
    if (status == KILN_OK) {
        kiln__hash_hex(s.data, s.length, hash);
        kiln__strbuf_addf(&s, "end %s\n", hash);
        status = kiln__strbuf_status(&s);
    }
    void *copy = status == KILN_OK ? kiln__realloc(device->context, NULL, s.length) : NULL;
    if (copy) {
        memcpy(copy, s.data, s.length);
        *binary = copy;
        *binary_bytes = s.length;
    } else if (status == KILN_OK) {
        status = KILN_E_MEMORY;
    }
    kiln__strbuf_free(&s);
    return status;
}

/* The rest of the line after `key`, in `out`; "" if there is none. */
static void line_of(const char *text, const char *key, char *out, size_t capacity) {
    const size_t n = strlen(key);
    const char *at = strstr(text, key);
    out[0] = 0;
    if (at)
        snprintf(out, capacity, "%.*s", (int)strcspn(at + n, "\n"), at + n);
}

static bool is_sound(const char *text, size_t bytes) {
    static const char last[] = "\nend ";
    const size_t tail = 4 + 32 + 1; /* "end ", the hash, a newline */
    char hash[33];
    if (bytes < sizeof magic + tail || memcmp(text, magic, sizeof magic - 1) != 0 || memchr(text, 0, bytes))
        return false;
    const size_t body = bytes - tail;
    kiln__hash_hex(text, body, hash);
    return memcmp(text + body - 1, last, 5) == 0 && memcmp(text + body + 4, hash, 32) == 0 && text[bytes - 1] == '\n';
}

static kiln_status module_load(kiln_device *device, const void *binary, size_t bytes, void **module) {
    if (!is_sound(binary, bytes))
        return kiln_fail(KILN_E_CORRUPT, "%s: not a program binary of this device (%zu bytes)", device->name, bytes);
    null_module *m = kiln__alloc(device->context, sizeof *m);
    if (!m)
        return KILN_E_MEMORY;
    m->text = kiln__alloc(device->context, bytes + 1);
    char name[256], defines[2048];
    kiln_status status = KILN_E_MEMORY;
    if (m->text) {
        memcpy(m->text, binary, bytes);
        line_of(m->text, "\nname ", name, sizeof name);
        line_of(m->text, "\ndefines ", defines, sizeof defines);
        status = kiln__null_call(device, KILN_NULL_CALL_module_load, (null_about){.source = name, .defines = defines});
    }
    if (status != KILN_OK) {
        kiln__free(device->context, m->text);
        kiln__free(device->context, m);
        return status;
    }
    count_live(device, KILN_NULL_MODULE, 1);
    *module = m;
    return KILN_OK;
}

static void module_unload(kiln_device *device, void *module) {
    null_module *m = module;
    count_live(device, KILN_NULL_MODULE, -1);
    kiln__free(device->context, m->text);
    kiln__free(device->context, m);
}

static kiln_status check_entry(const kiln_device *device, const null_module *m, const char *entry) {
    char line[NULL_MAX_TEXT + 16];
    const int n = snprintf(line, sizeof line, "\nentry %s\n", entry);
    if (n < 0 || (size_t)n >= sizeof line || !strstr(m->text, line))
        return kiln_fail(KILN_E_NOT_FOUND, "%s: the program has no kernel %s", device->name, entry);
    return KILN_OK;
}

static kiln_status module_resources(kiln_device *device, void *module, const char *entry, kiln_resources *out) {
    const null_device *d = null_of(device);
    *out = (kiln_resources){.max_group_size = d->spec.caps.max_group_size};
    KILN_TRY(check_entry(device, module, entry));
    KILN_TRY(kiln__null_call(device, KILN_NULL_CALL_module_resources, (null_about){.kernel = entry}));
    for (size_t i = 0; i < d->n_rules; i++)
        if (d->rules[i].kind == NULL_RULE_RESOURCES && strcmp(d->rules[i].kernel, entry) == 0) {
            *out = d->rules[i].resources;
            if (!out->max_group_size)
                out->max_group_size = d->spec.caps.max_group_size;
        }
    return KILN_OK;
}

/* ---- kernels ---- */

static kiln_status check_arg(const kiln_device *device, size_t index, const kiln_arg_value *a) {
    const kiln_caps *caps = &device->desc.caps;
    if (a->kind == KILN_ARG_I32 || a->kind == KILN_ARG_F32 || a->kind == KILN_ARG_LOCAL)
        return KILN_OK;
    if (a->kind == KILN_ARG_TENSOR_MAP && !caps->tensor_maps)
        return kiln_fail(KILN_E_UNSUPPORTED, "%s: argument %zu is a tensor map, which the device does not have",
                         device->name, index);
    const null_memory *m = a->place.memory;
    if (!m)
        return KILN_OK; /* an operand that is left out */
    if (a->place.offset_bytes > m->bytes || a->bytes > m->bytes - a->place.offset_bytes)
        return kiln_fail(KILN_E_INVALID, "%s: argument %zu: %zu bytes from byte %zu leave memory of %zu bytes",
                         device->name, index, a->bytes, a->place.offset_bytes, m->bytes);
    if (a->place.offset_bytes % caps->address_align_bytes)
        return kiln_fail(KILN_E_INVALID, "%s: argument %zu starts at byte %zu; use a multiple of %u", device->name,
                         index, a->place.offset_bytes, (unsigned)caps->address_align_bytes);
    return KILN_OK;
}

static kiln_status check_launch(const kiln_device *device, const kiln_launch *l, const kiln_arg_value *args,
                                size_t n_args) {
    const kiln_caps *caps = &device->desc.caps;
    uint64_t items = 1, groups = 1, local = 0;
    for (int i = 0; i < 3; i++) {
        if (l->group[i] == 0 || l->group[i] > caps->max_group[i] || l->grid[i] == 0)
            return kiln_fail(KILN_E_INVALID, "%s: %s: dimension %d has %u groups of %u work-items, allowed 1 to %u",
                             device->name, l->entry, i, (unsigned)l->grid[i], (unsigned)l->group[i],
                             (unsigned)caps->max_group[i]);
        if (items <= UINT32_MAX)
            items *= l->group[i];
        if (groups <= UINT32_MAX)
            groups *= l->grid[i];
        if (l->cluster[0] && (l->cluster[i] == 0 || l->grid[i] % l->cluster[i]))
            return kiln_fail(KILN_E_INVALID, "%s: %s: %u groups are not whole clusters of %u", device->name, l->entry,
                             (unsigned)l->grid[i], (unsigned)l->cluster[i]);
    }
    if (items > caps->max_group_size)
        return kiln_fail(KILN_E_UNSUPPORTED, "%s: %s: a group of %llu work-items; the device allows %u", device->name,
                         l->entry, (unsigned long long)items, (unsigned)caps->max_group_size);
    if (l->cluster[0] && !caps->clusters)
        return kiln_fail(KILN_E_UNSUPPORTED, "%s: %s: the device has no clusters of work-groups", device->name,
                         l->entry);
    if (l->cooperative && !caps->cooperative)
        return kiln_fail(KILN_E_UNSUPPORTED, "%s: %s: the device has no cooperative launch", device->name, l->entry);
    if (l->cooperative && groups > caps->units)
        return kiln_fail(KILN_E_UNSUPPORTED, "%s: %s: %llu groups of a cooperative launch; %u fit at once",
                         device->name, l->entry, (unsigned long long)groups, (unsigned)caps->units);
    for (size_t i = 0; i < n_args; i++)
        if (args[i].kind == KILN_ARG_LOCAL && __builtin_add_overflow(local, args[i].bytes, &local))
            local = UINT64_MAX;
    if (local > caps->local_bytes)
        return kiln_fail(KILN_E_UNSUPPORTED, "%s: %s needs %llu bytes of local memory; the device has %llu",
                         device->name, l->entry, (unsigned long long)local, (unsigned long long)caps->local_bytes);
    return KILN_OK;
}

static kiln_status kernel_create(kiln_device *device, void *module, const kiln_launch *launch,
                                 const kiln_arg_value *args, size_t n_args, void **kernel) {
    const null_module *m = module;
    char defines[2048];
    KILN_TRY(check_entry(device, m, launch->entry));
    line_of(m->text, "\ndefines ", defines, sizeof defines);
    const null_about about = {.kernel = launch->entry, .defines = defines};
    KILN_TRY(kiln__null_call(device, KILN_NULL_CALL_kernel_create, about));
    kiln_launch l = *launch;
    if (l.grid[0] == KILN_GRID_RESIDENT)
        l.grid[0] = device->desc.caps.units;
    KILN_TRY(check_launch(device, &l, args, n_args));
    if (n_args > NULL_MAX_ARGS)
        return kiln_fail(KILN_E_INVALID, "%s: %s: %zu arguments", device->name, l.entry, n_args);
    for (size_t i = 0; i < n_args; i++)
        KILN_TRY(check_arg(device, i, &args[i]));
    null_kernel *k = kiln__alloc(device->context, sizeof *k + n_args * sizeof *k->args);
    if (!k)
        return KILN_E_MEMORY;
    snprintf(k->entry, sizeof k->entry, "%s", launch->entry);
    k->launch = l;
    k->launch.entry = k->entry;
    k->us = kernel_us(null_of(device), k->entry, defines);
    k->result = kernel_result(null_of(device), k->entry, defines);
    k->n_args = n_args;
    if (n_args)
        memcpy(k->args, args, n_args * sizeof *args);
    count_live(device, KILN_NULL_KERNEL, 1);
    *kernel = k;
    return KILN_OK;
}

null_kernel *kiln__null_kernel_copy(kiln_context *context, const null_kernel *kernel) {
    const size_t bytes = sizeof *kernel + kernel->n_args * sizeof *kernel->args;
    null_kernel *k = kiln__alloc(context, bytes);
    if (k) {
        memcpy(k, kernel, bytes);
        k->launch.entry = k->entry;
        k->pending = 0;
    }
    return k;
}

static kiln_status kernel_patch(kiln_device *device, void *kernel, size_t arg, const kiln_arg_value *value) {
    null_device *d = null_of(device);
    null_kernel *k = kernel;
    KILN_TRY(kiln__null_call(device, KILN_NULL_CALL_kernel_patch, (null_about){.kernel = k->entry}));
    if (arg >= k->n_args || value->kind != k->args[arg].kind)
        return kiln_fail(KILN_E_INVALID, "%s: %s: argument %zu of %zu, or one of another kind", device->name, k->entry,
                         arg, k->n_args);
    KILN_TRY(check_arg(device, arg, value));
    pthread_mutex_lock(&d->lock);
    if (k->pending) /* launches under way keep their arguments */
        kiln__null_settle(d);
    k->args[arg] = *value;
    pthread_mutex_unlock(&d->lock);
    return KILN_OK;
}

static void kernel_destroy(kiln_device *device, void *kernel) {
    null_device *d = null_of(device);
    null_kernel *k = kernel;
    pthread_mutex_lock(&d->lock);
    if (k->pending) {
        d->misuses++;
        kiln__null_settle(d);
    }
    d->live[KILN_NULL_KERNEL]--;
    pthread_mutex_unlock(&d->lock);
    kiln__free(device->context, k);
}

/* ---- memory ---- */

static kiln_status new_memory(kiln_device *device, void *host, size_t bytes, void **memory) {
    null_device *d = null_of(device);
    null_memory *m = kiln__alloc(device->context, sizeof *m);
    if (!m)
        return KILN_E_MEMORY;
    m->bytes = bytes;
    m->is_adopted = host != NULL;
    m->data = host ? host : kiln__realloc(device->context, NULL, bytes);
    if (!m->data) {
        kiln__free(device->context, m);
        return KILN_E_MEMORY;
    }
    if (!host)
        memset(m->data, 0xcd, bytes);
    pthread_mutex_lock(&d->lock);
    m->number = ++d->last_memory;
    d->live[KILN_NULL_MEMORY]++;
    pthread_mutex_unlock(&d->lock);
    *memory = m;
    return KILN_OK;
}

static kiln_status reserve(kiln_device *device, size_t bytes) {
    null_device *d = null_of(device);
    const kiln_caps *caps = &device->desc.caps;
    pthread_mutex_lock(&d->lock);
    kiln_status status = kiln__null_call_locked(device, KILN_NULL_CALL_alloc, (null_about){0});
    if (status == KILN_OK && (bytes > caps->max_alloc_bytes || bytes > caps->memory_bytes - d->memory_used))
        status = kiln_fail(KILN_E_DEVICE_MEMORY, "%s: %zu bytes do not fit; %llu of %llu are used", device->name, bytes,
                           (unsigned long long)d->memory_used, (unsigned long long)caps->memory_bytes);
    if (status == KILN_OK)
        d->memory_used += bytes;
    pthread_mutex_unlock(&d->lock);
    return status;
}

static void release(null_device *d, size_t bytes) {
    pthread_mutex_lock(&d->lock);
    d->memory_used -= bytes;
    pthread_mutex_unlock(&d->lock);
}

static kiln_status alloc(kiln_device *device, size_t bytes, void **memory) {
    KILN_TRY(reserve(device, bytes));
    const kiln_status status = new_memory(device, NULL, bytes, memory);
    if (status != KILN_OK)
        release(null_of(device), bytes);
    return status;
}

static kiln_status memory_adopt(kiln_device *device, void *native_memory, size_t bytes, void **memory) {
    KILN_TRY(kiln__null_call(device, KILN_NULL_CALL_memory_adopt, (null_about){0}));
    return new_memory(device, native_memory, bytes, memory);
}

static void free_memory(kiln_device *device, void *memory) {
    null_device *d = null_of(device);
    null_memory *m = memory;
    pthread_mutex_lock(&d->lock);
    kiln__null_settle(d); /* work under way keeps memory */
    d->live[KILN_NULL_MEMORY]--;
    pthread_mutex_unlock(&d->lock);
    if (!m->is_adopted) {
        release(d, m->bytes);
        kiln__free(device->context, m->data);
    }
    kiln__free(device->context, m);
}

/* ---- for tests ---- */

const char *kiln__null_trace(kiln_device *device) {
    return null_of(device)->trace;
}

void kiln__null_trace_clear(kiln_device *device) {
    null_device *d = null_of(device);
    pthread_mutex_lock(&d->lock);
    d->trace_length = 0;
    d->trace[0] = 0;
    pthread_mutex_unlock(&d->lock);
}

double kiln__null_clock_us(kiln_device *device) {
    null_device *d = null_of(device);
    pthread_mutex_lock(&d->lock);
    const double us = d->clock_us;
    pthread_mutex_unlock(&d->lock);
    return us;
}

size_t kiln__null_live(kiln_device *device, kiln_null_object kind) {
    null_device *d = null_of(device);
    pthread_mutex_lock(&d->lock);
    const size_t n = d->live[kind];
    pthread_mutex_unlock(&d->lock);
    return n;
}

uint64_t kiln__null_calls(kiln_device *device, kiln_null_call call) {
    null_device *d = null_of(device);
    pthread_mutex_lock(&d->lock);
    const uint64_t n = d->calls[call];
    pthread_mutex_unlock(&d->lock);
    return n;
}

uint64_t kiln__null_misuses(kiln_device *device) {
    null_device *d = null_of(device);
    pthread_mutex_lock(&d->lock);
    const uint64_t n = d->misuses;
    pthread_mutex_unlock(&d->lock);
    return n;
}

const kiln_backend kiln__backend_null = {
    .name = "null",
    .language = KILN_LANGUAGE_OPENCL,
    .rank = KILN_RANK_TEST,
    .load = load,
    .unload = unload,
    .forget = forget,
    .open = open_device,
    .close = close_device,
    .compile = compile,
    .module_load = module_load,
    .module_unload = module_unload,
    .module_resources = module_resources,
    .kernel_create = kernel_create,
    .kernel_patch = kernel_patch,
    .kernel_destroy = kernel_destroy,
    .alloc = alloc,
    .free = free_memory,
    .memory_adopt = memory_adopt,
    .memory_release = free_memory,
    .queue_create = kiln__null_queue_create,
    .queue_destroy = kiln__null_queue_destroy,
    .queue_adopt = kiln__null_queue_adopt,
    .queue_finish = kiln__null_queue_finish,
    .queue_flush = kiln__null_queue_flush,
    .write = kiln__null_write,
    .read = kiln__null_read,
    .enqueue = kiln__null_enqueue,
    .event_create = kiln__null_event_create,
    .event_destroy = kiln__null_event_destroy,
    .event_record = kiln__null_event_record,
    .event_elapsed_us = kiln__null_event_elapsed_us,
    .graph_build = kiln__null_graph_build,
    .graph_patch = kiln__null_graph_patch,
    .graph_launch = kiln__null_graph_launch,
    .graph_destroy = kiln__null_graph_destroy,
};
