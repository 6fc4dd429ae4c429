/* Reading the script of the null backend; null.h has the format. */
#include "null_internal.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LINE = 1024 };

/* Where we are, for failures. */
typedef struct {
    const char *path;
    unsigned line;
    null_script *script;
} parser;

/* One `key=value`, inside a copy of the line. */
typedef struct {
    char *key, *value;
} word;

__attribute__((format(printf, 2, 3))) static kiln_status script_fail(const parser *p, const char *format, ...) {
    kiln_strbuf s = {0};
    va_list args;
    va_start(args, format);
    kiln__strbuf_vaddf(&s, format, args);
    va_end(args);
    kiln_fail(KILN_E_PARSE, "KILN_NULL_SCRIPT=%s, line %u: %s", p->path, p->line, kiln__strbuf_text(&s));
    kiln__strbuf_free(&s);
    return KILN_E_PARSE;
}

/* ---- values ---- */

static kiln_status read_u64(const parser *p, const word *w, uint64_t max, uint64_t *out) {
    char *end;
    errno = 0;
    const unsigned long long value = isdigit((unsigned char)*w->value) ? strtoull(w->value, &end, 10) : 0;
    if (!isdigit((unsigned char)*w->value) || *end || errno || value > max)
        return script_fail(p, "%s=%s: not a number from 0 to %llu", w->key, w->value, (unsigned long long)max);
    *out = value;
    return KILN_OK;
}

static kiln_status read_u32(const parser *p, const word *w, uint32_t *out) {
    uint64_t value = 0;
    KILN_TRY(read_u64(p, w, UINT32_MAX, &value));
    *out = (uint32_t)value;
    return KILN_OK;
}

static kiln_status read_bool(const parser *p, const word *w, bool *out) {
    uint64_t value = 0;
    KILN_TRY(read_u64(p, w, 1, &value));
    *out = value != 0;
    return KILN_OK;
}

static kiln_status read_us(const parser *p, const word *w, double *out) {
    char *end;
    const double value = strtod(w->value, &end);
    if (end == w->value || *end || !isfinite(value) || value < 0 || value > 1e12)
        return script_fail(p, "%s=%s: not a time in microseconds", w->key, w->value);
    *out = value;
    return KILN_OK;
}

static kiln_status read_text(const parser *p, const word *w, char out[NULL_MAX_TEXT]) {
    if (strlen(w->value) >= NULL_MAX_TEXT)
        return script_fail(p, "%s: longer than %d bytes", w->key, NULL_MAX_TEXT - 1);
    strcpy(out, w->value);
    return KILN_OK;
}

static kiln_status read_name(const parser *p, const word *w, const char *const *names, size_t n, uint32_t *out) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], w->value) == 0) {
            *out = (uint32_t)i;
            return KILN_OK;
        }
    return script_fail(p, "%s=%s: unknown", w->key, w->value);
}

static kiln_status read_status(const parser *p, const word *w, kiln_status *out) {
#define CHECK_NAME(name, number, text)                                                                                 \
    if (strcmp(w->value, #name) == 0) {                                                                                \
        *out = name;                                                                                                   \
        return KILN_OK;                                                                                                \
    }
    KILN_STATUS_MAP(CHECK_NAME)
#undef CHECK_NAME
    return script_fail(p, "%s=%s: not the name of a status", w->key, w->value);
}

static kiln_status read_features(const parser *p, const word *w, uint32_t *out) {
    *out = 0;
    char *rest = NULL;
    for (char *at = strtok_r(w->value, ",", &rest); at; at = strtok_r(NULL, ",", &rest)) {
        uint32_t feature = 0;
#define CHECK_NAME(name, bit)                                                                                          \
    if (strcmp(at, #name) == 0)                                                                                        \
        feature = KILN_FEATURE_##name;
        KILN_FEATURE_MAP(CHECK_NAME)
#undef CHECK_NAME
        if (!feature)
            return script_fail(p, "features: \"%s\" is unknown", at);
        *out |= feature;
    }
    return KILN_OK;
}

/* ---- statements ---- */

static const char *const call_names[] = {
#define NAME(name) #name,
    KILN_NULL_CALLS(NAME)
#undef NAME
};
static const char *const work_names[] = {
#define NAME(name, us) #name,
    NULL_WORK(NAME)
#undef NAME
};

static const char *const result_names[] = {
#define NAME(name) #name,
    NULL_RESULTS(NAME)
#undef NAME
};

static void default_device(null_spec *d, size_t index) {
    *d = (null_spec){.driver = "null-driver-1", .compiler = "null-compiler-1", .launch_us = 2};
    memcpy(d->name, "null0", 6);
    d->name[4] = (char)('0' + index);
    d->caps = (kiln_caps){.kind = KILN_DEVICE_GPU,
                          .language = KILN_LANGUAGE_OPENCL,
                          .units = 4,
                          .max_group_size = 1024,
                          .address_align_bytes = 64,
                          .local_bytes = 65536,
                          .memory_bytes = (uint64_t)1 << 30};
}

static kiln_status device_word(const parser *p, const word *w, null_spec *d) {
    static const char *const kinds[] = {"", "cpu", "gpu", "other"}; /* by kiln_device_kind */
    kiln_caps *c = &d->caps;
    uint32_t kind = 0;
#define TAKE(name, read, out)                                                                                          \
    if (strcmp(w->key, name) == 0)                                                                                     \
        return read(p, w, out);
    TAKE("name", read_text, d->name)
    TAKE("driver", read_text, d->driver)
    TAKE("compiler", read_text, d->compiler)
    TAKE("pci", read_text, d->pci)
    TAKE("units", read_u32, &c->units)
    TAKE("vector", read_u32, &c->vector_floats)
    TAKE("features", read_features, &c->features)
    TAKE("max_group", read_u32, &c->max_group_size)
    TAKE("align", read_u32, &c->address_align_bytes)
    TAKE("clusters", read_bool, &c->clusters)
    TAKE("cooperative", read_bool, &c->cooperative)
    TAKE("tensor_maps", read_bool, &c->tensor_maps)
    TAKE("f16", read_bool, &c->f16)
    TAKE("graphs", read_bool, &c->native_graphs)
    TAKE("patch", read_bool, &d->patch)
    TAKE("launch_us", read_us, &d->launch_us)
#undef TAKE
    if (strcmp(w->key, "local") == 0)
        return read_u64(p, w, UINT64_MAX, &c->local_bytes);
    if (strcmp(w->key, "memory") == 0)
        return read_u64(p, w, UINT64_MAX, &c->memory_bytes);
    if (strcmp(w->key, "max_alloc") == 0)
        return read_u64(p, w, UINT64_MAX, &c->max_alloc_bytes);
    if (strcmp(w->key, "kind") != 0)
        return script_fail(p, "device: unknown word \"%s\"", w->key);
    KILN_TRY(read_name(p, w, kinds, sizeof kinds / sizeof *kinds, &kind));
    if (kind == 0)
        return script_fail(p, "kind=: use gpu, cpu or other");
    c->kind = (kiln_device_kind)kind;
    return KILN_OK;
}

static kiln_status end_device(const parser *p, null_spec *d) {
    kiln_caps *c = &d->caps;
    if (!d->name[0] || !c->units || !c->max_group_size || !c->address_align_bytes || !c->memory_bytes)
        return script_fail(p, "device: name, units, max_group, align and memory must not be empty or 0");
    if (!c->max_alloc_bytes)
        c->max_alloc_bytes = c->memory_bytes;
    for (int i = 0; i < 3; i++)
        c->max_group[i] = c->max_group_size;
    if (c->kind == KILN_DEVICE_CPU && !c->vector_floats)
        c->vector_floats = 8;
    if (c->vector_floats)
        c->vector_registers = c->vector_floats >= 16 ? 32 : 16;
    return KILN_OK;
}

static kiln_status rule_word(const parser *p, const word *w, null_rule *r) {
    uint32_t device = 0;
    if (strcmp(w->key, "device") == 0) {
        KILN_TRY(read_u32(p, w, &device));
        if (device >= NULL_MAX_DEVICES)
            return script_fail(p, "device=%s: there are at most %d", w->value, NULL_MAX_DEVICES);
        r->device = (int)device;
        return KILN_OK;
    }
#define TAKE(name, kinds, read, out)                                                                                   \
    if (strcmp(w->key, name) == 0 && ((kinds) >> r->kind & 1))                                                         \
        return read(p, w, out);
    enum {
        FAILS = 1 << NULL_RULE_FAIL,
        TIMES = 1 << NULL_RULE_TIME,
        NEEDS = 1 << NULL_RULE_RESOURCES,
        COMPUTES = 1 << NULL_RULE_COMPUTE
    };
    TAKE("kernel", FAILS | TIMES | NEEDS | COMPUTES, read_text, r->kernel)
    TAKE("defines", FAILS | TIMES | COMPUTES, read_text, r->defines)
    TAKE("source", FAILS, read_text, r->source)
    TAKE("status", FAILS, read_status, &r->status)
    TAKE("us", TIMES, read_us, &r->us)
    TAKE("registers", NEEDS, read_u32, &r->resources.registers)
    TAKE("spill", NEEDS, read_u32, &r->resources.spills)
    TAKE("max_group", NEEDS, read_u32, &r->resources.max_group_size)
#undef TAKE
    if (strcmp(w->key, "local") == 0 && r->kind == NULL_RULE_RESOURCES)
        return read_u64(p, w, UINT64_MAX, &r->resources.local_bytes);
    if (strcmp(w->key, "nth") == 0 && r->kind == NULL_RULE_FAIL)
        return read_u64(p, w, UINT64_MAX, &r->nth);
    if (strcmp(w->key, "call") == 0 && r->kind == NULL_RULE_FAIL)
        return read_name(p, w, call_names, KILN_NULL_N_CALLS, &r->call);
    if (strcmp(w->key, "call") == 0 && r->kind == NULL_RULE_TIME)
        return read_name(p, w, work_names, NULL_N_WORK, &r->call);
    if (strcmp(w->key, "result") == 0 && r->kind == NULL_RULE_COMPUTE)
        return read_name(p, w, result_names, NULL_N_RESULTS, &r->result);
    return script_fail(p, "unknown word \"%s\"", w->key);
}

static kiln_status end_rule(const parser *p, const null_rule *r) {
    if (r->kind == NULL_RULE_FAIL && (r->call == UINT32_MAX || r->status == KILN_OK))
        return script_fail(p, "fail: needs call= and a status= other than KILN_OK");
    if (r->kind == NULL_RULE_TIME && (r->us < 0 || (r->call == UINT32_MAX && !r->kernel[0])))
        return script_fail(p, "time: needs us= and kernel= or call=");
    if (r->kind == NULL_RULE_RESOURCES && !r->kernel[0])
        return script_fail(p, "resources: needs kernel=");
    return KILN_OK;
}

/* Cuts the next `key=value` out of a line. False at its end. */
static bool next_word(char **rest, word *out) {
    char *text = strtok_r(NULL, " \t\r", rest);
    if (!text)
        return false;
    out->key = text;
    out->value = strchr(text, '=');
    if (out->value)
        *out->value++ = 0;
    return true;
}

static kiln_status read_words(const parser *p, char **rest, null_spec *device, null_rule *rule) {
    word w;
    while (next_word(rest, &w)) {
        if (!w.value)
            return script_fail(p, "\"%s\" is not of the form name=value", w.key);
        KILN_TRY(device ? device_word(p, &w, device) : rule_word(p, &w, rule));
    }
    return device ? end_device(p, device) : end_rule(p, rule);
}

static kiln_status read_line(const parser *p, char *line) {
    static const char *const rules[] = {"fail", "time", "resources", "compute"}; /* by null_rule_kind */
    null_script *s = p->script;
    char *rest = NULL;
    line[strcspn(line, "#")] = 0;
    const char *verb = strtok_r(line, " \t\r", &rest);
    if (!verb)
        return KILN_OK;
    if (strcmp(verb, "device") == 0) {
        if (s->n_devices == NULL_MAX_DEVICES)
            return script_fail(p, "more than %d devices", NULL_MAX_DEVICES);
        default_device(&s->devices[s->n_devices], s->n_devices);
        s->n_devices++;
        return read_words(p, &rest, &s->devices[s->n_devices - 1], NULL);
    }
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (strcmp(verb, rules[i]) != 0)
            continue;
        if (s->n_rules == NULL_MAX_RULES)
            return script_fail(p, "more than %d statements", NULL_MAX_RULES);
        null_rule *r = &s->rules[s->n_rules++];
        *r = (null_rule){.kind = (null_rule_kind)i, .device = -1, .call = UINT32_MAX, .us = -1};
        return read_words(p, &rest, NULL, r);
    }
    return script_fail(p, "unknown statement \"%s\"; use device, fail, time, resources or compute", verb);
}

kiln_status kiln__null_script_parse(const char *path, const char *text, null_script *out) {
    parser p = {.path = path, .script = out};
    memset(out, 0, sizeof *out);
    while (*text) {
        char line[MAX_LINE];
        const size_t n = strcspn(text, "\n");
        p.line++;
        if (n >= sizeof line)
            return script_fail(&p, "longer than %d bytes", MAX_LINE - 1);
        memcpy(line, text, n);
        line[n] = 0;
        KILN_TRY(read_line(&p, line));
        text += n + (text[n] == '\n');
    }
    for (size_t i = 0; i < out->n_rules; i++)
        if (out->rules[i].device >= (int)out->n_devices)
            return script_fail(&p, "a statement names device %d of %zu", out->rules[i].device, out->n_devices);
    return KILN_OK;
}

bool kiln__null_has_define(const char *options, const char *define) {
    const size_t n = strlen(define);
    for (const char *at = strstr(options, "-D"); at; at = strstr(at + 2, "-D"))
        if ((at == options || at[-1] == ' ') && strncmp(at + 2, define, n) == 0 && (at[2 + n] == ' ' || !at[2 + n]))
            return true;
    return false;
}
