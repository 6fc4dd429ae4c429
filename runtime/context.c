#include "context.h"
#include "device.h"
#include "store.h"
#include <stdlib.h>
#include <string.h>

/* ---- host memory ---- */

static void *default_realloc(void *user, void *ptr, size_t bytes) {
    (void)user;
    if (bytes)
        return realloc(ptr, bytes);
    free(ptr);
    return NULL;
}

void *kiln__realloc(kiln_context *context, void *ptr, size_t bytes) {
    void *p = context->realloc(context->realloc_user, ptr, bytes);
    if (!p)
        kiln_fail(KILN_E_MEMORY, "out of host memory: %zu bytes", bytes);
    return p;
}

void *kiln__alloc(kiln_context *context, size_t bytes) {
    void *p = kiln__realloc(context, NULL, bytes ? bytes : 1);
    if (p)
        memset(p, 0, bytes);
    return p;
}

char *kiln__strdup(kiln_context *context, const char *text) {
    const size_t bytes = strlen(text) + 1;
    char *p = kiln__realloc(context, NULL, bytes);
    return p ? memcpy(p, text, bytes) : NULL;
}

void kiln__free(kiln_context *context, void *ptr) {
    if (ptr)
        context->realloc(context->realloc_user, ptr, 0);
}

/* ---- options and environment ---- */

typedef struct {
    const char *text;
    int value;
} choice;

/* The value of an environment variable among choices ended by NULL; `fallback` if it is unset or empty. */
static kiln_status environment_choice(const char *variable, const choice *choices, int fallback, int *out) {
    const char *text = getenv(variable);
    *out = fallback;
    if (!text || !*text)
        return KILN_OK;
    kiln_strbuf allowed = {0};
    for (const choice *c = choices; c->text; c++) {
        if (strcmp(c->text, text) == 0) {
            *out = c->value;
            kiln__strbuf_free(&allowed);
            return KILN_OK;
        }
        kiln__strbuf_addf(&allowed, "%s%s", c == choices ? "" : ", ", c->text);
    }
    kiln_fail(KILN_E_INVALID, "%s=%s: unknown value; use one of %s", variable, text, kiln__strbuf_text(&allowed));
    kiln__strbuf_free(&allowed);
    return KILN_E_INVALID;
}

static kiln_status read_mode(kiln_context *c, const kiln_context_options *o) {
    static const choice modes[] = {
        {"default", KILN_MODE_DEFAULT}, {"reference", KILN_MODE_REFERENCE}, {"strict", KILN_MODE_STRICT}, {NULL, 0}};
    static const choice levels[] = {{"off", KILN_LOG_OFF},   {"error", KILN_LOG_ERROR}, {"warn", KILN_LOG_WARN},
                                    {"info", KILN_LOG_INFO}, {"debug", KILN_LOG_DEBUG}, {NULL, 0}};
    if (o->mode < KILN_MODE_ENVIRONMENT || o->mode > KILN_MODE_STRICT)
        return kiln_fail(KILN_E_INVALID, "kiln_context_options.mode: unknown value %d", (int)o->mode);
    if (o->log_level < KILN_LOG_ENVIRONMENT || o->log_level > KILN_LOG_DEBUG)
        return kiln_fail(KILN_E_INVALID, "kiln_context_options.log_level: unknown value %d", (int)o->log_level);
    int mode, level;
    KILN_TRY(environment_choice("KILN_MODE", modes, KILN_MODE_DEFAULT, &mode));
    KILN_TRY(environment_choice("KILN_LOG", levels, KILN_LOG_WARN, &level));
    c->mode = o->mode ? o->mode : (kiln_mode)mode;
    c->log_level = o->log_level ? o->log_level : (kiln_log_level)level;
    return KILN_OK;
}

/* Where the store is: the option, KILN_CACHE_DIR, or the user's cache folder; "" keeps nothing. */
static void find_cache_dir(const kiln_context_options *o, kiln_strbuf *out) {
    const char *named = o->cache_dir ? o->cache_dir : getenv("KILN_CACHE_DIR");
    if (named) {
        kiln__strbuf_add(out, named);
        return;
    }
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (xdg && xdg[0] == '/')
        kiln__strbuf_addf(out, "%s/kiln", xdg);
    else if (home && home[0] == '/')
        kiln__strbuf_addf(out, "%s/.cache/kiln", home);
    else
        kiln__strbuf_add(out, "");
}

static kiln_status copy_text(kiln_context *c, const char *option, const char *variable, char **out) {
    const char *text = option ? option : getenv(variable);
    *out = NULL;
    if (!text || !*text)
        return KILN_OK;
    *out = kiln__strdup(c, text);
    return *out ? KILN_OK : KILN_E_MEMORY;
}

/* ---- life ---- */

static kiln_status open_parts(kiln_context *c, const kiln_context_options *o) {
    KILN_TRY(read_mode(c, o));
    KILN_TRY(copy_text(c, o->kernel_dir, "KILN_KERNEL_DIR", &c->kernel_dir));
    KILN_TRY(copy_text(c, NULL, "KILN_DEVICE", &c->default_device));
    const char *team = getenv("KILN_TEAM");
    c->no_team = team && strcmp(team, "0") == 0;
    kiln_strbuf dir = {0};
    find_cache_dir(o, &dir);
    kiln_status status = kiln__strbuf_status(&dir);
    if (status == KILN_OK)
        status = kiln__store_open(c, kiln__strbuf_text(&dir), o->cache_path ? o->cache_path : getenv("KILN_CACHE_PATH"),
                                  &c->store);
    kiln__strbuf_free(&dir);
    KILN_TRY(status);
    return kiln__devices_load(c, o->backends);
}

kiln_status kiln__context_open(const kiln_context_options *options, kiln_context **out) {
    if (!out)
        return kiln_fail(KILN_E_INVALID, "kiln_context_create: out is NULL");
    *out = NULL;
    kiln_context_options o = KILN_CONTEXT_OPTIONS_INIT;
    if (options) {
        KILN_CHECK_STRUCT(options, kiln_context_options);
        memcpy(&o, options, options->struct_size);
    }
    const kiln_realloc_fn reallocate = o.realloc ? o.realloc : default_realloc;
    kiln_context *c = reallocate(o.realloc_user, NULL, sizeof *c);
    if (!c)
        return kiln_fail(KILN_E_MEMORY, "out of host memory creating a context");
    memset(c, 0, sizeof *c);
    c->realloc = reallocate;
    c->realloc_user = o.realloc_user;
    c->log = o.log;
    c->log_user = o.log_user;
    c->log_level = KILN_LOG_WARN;
    if (pthread_mutex_init(&c->absent_lock, NULL) != 0) {
        kiln__free(c, c);
        return kiln_fail(KILN_E_MEMORY, "out of system resources creating a context");
    }
    if (pthread_mutex_init(&c->log_lock, NULL) != 0) {
        pthread_mutex_destroy(&c->absent_lock);
        kiln__free(c, c);
        return kiln_fail(KILN_E_MEMORY, "out of system resources creating a context");
    }
    const kiln_status status = open_parts(c, &o);
    if (status != KILN_OK) {
        kiln_context_destroy(c);
        return status;
    }
    *out = c;
    return KILN_OK;
}

void kiln_context_destroy(kiln_context *context) {
    if (!context)
        return;
    const int64_t live = atomic_load(&context->live_objects);
    if (live)
        kiln__log(context, KILN_LOG_ERROR, "%lld objects of a context were not destroyed before it", (long long)live);
    kiln__devices_unload(context);
    kiln__store_close(context->store);
    kiln__strbuf_free(&context->device_report);
    kiln__free(context, context->kernel_dir);
    kiln__free(context, context->default_device);
    pthread_mutex_destroy(&context->log_lock);
    pthread_mutex_destroy(&context->absent_lock);
    kiln__free(context, context);
}

kiln_status kiln_context_counters(const kiln_context *context, kiln_counters *out) {
    if (!context)
        return kiln_fail(KILN_E_INVALID, "kiln_context_counters: context is NULL");
    KILN_CHECK_STRUCT(out, kiln_counters);
    _Static_assert(sizeof(kiln_counters) == sizeof(uint64_t) * (KILN_N_COUNTERS + 1),
                   "kiln_counter has one entry for each member of kiln_counters");
    kiln_counters all = KILN_COUNTERS_INIT;
    uint64_t *members = &all.compiles;
    for (int i = 0; i < KILN_N_COUNTERS; i++)
        members[i] = atomic_load_explicit(&context->counters[i], memory_order_relaxed);
    const uint32_t size = out->struct_size;
    memcpy(out, &all, size);
    out->struct_size = size;
    return KILN_OK;
}

const char *kiln_version(void) {
    return KILN_VERSION;
}

/* ---- registry ---- */

kiln_status kiln__context_register(kiln_context *context, const kiln_schema *schema) {
    if (context->n_families == KILN_MAX_FAMILIES)
        return kiln_fail(KILN_E_INTERNAL, "too many families; raise KILN_MAX_FAMILIES");
    context->families[context->n_families++] = schema;
    return KILN_OK;
}
