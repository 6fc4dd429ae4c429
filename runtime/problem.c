#include "problem.h"
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT = 2048 };

/* ---- writing into a bounded buffer, counting what did not fit ---- */

typedef struct {
    char *buffer;
    size_t capacity, length;
} writer;

static void put(writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(writer *w, const char *format, ...) {
    const bool room = w->length < w->capacity;
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(room ? w->buffer + w->length : NULL, room ? w->capacity - w->length : 0, format, args);
    va_end(args);
    w->length += n > 0 ? (size_t)n : 0;
}

/* ---- tables ---- */

const kiln_schema *kiln__context_family(const kiln_context *context, const char *name, size_t name_length) {
    for (size_t i = 0; i < context->n_families; i++)
        if (strlen(context->families[i]->name) == name_length &&
            memcmp(context->families[i]->name, name, name_length) == 0)
            return context->families[i];
    return NULL;
}

size_t kiln_family_count(const kiln_context *context) {
    return context ? context->n_families : 0;
}

const char *kiln_family_name(const kiln_context *context, size_t index) {
    return context && index < context->n_families ? context->families[index]->name : NULL;
}

static int find_field(const kiln_schema *s, const char *name, size_t length) {
    for (size_t i = 0; i < s->n_fields; i++)
        if (strlen(s->fields[i].name) == length && memcmp(s->fields[i].name, name, length) == 0)
            return (int)i;
    return -1;
}

static const kiln_token *find_token(const kiln_field *f, const char *name, size_t length) {
    for (const kiln_token *t = f->tokens; t->name; t++)
        if (strlen(t->name) == length && memcmp(t->name, name, length) == 0)
            return f->allowed && (t->mask & ~f->allowed) ? NULL : t;
    return NULL;
}

static void put_tokens(writer *w, const kiln_field *f, const char *separator) {
    const char *between = "";
    for (const kiln_token *t = f->tokens; t->name; t++)
        if (!f->allowed || !(t->mask & ~f->allowed)) {
            put(w, "%s%s", between, t->name);
            between = separator;
        }
}

/* ---- printing ---- */

static void put_value(writer *w, const kiln_field *f, int64_t value) {
    if (f->kind == KILN_FIELD_INT) {
        put(w, "%" PRId64, value);
        return;
    }
    const char *between = "";
    for (const kiln_token *t = f->tokens; t->name; t++)
        if (f->kind == KILN_FIELD_ENUM ? t->value == value : (value & t->mask) == t->value) {
            put(w, "%s%s", between, t->name);
            between = "+";
        }
    if (!*between)
        put(w, "none"); /* the empty set */
}

size_t kiln_problem_key(const kiln_problem *problem, char *buffer, size_t capacity) {
    writer w = {buffer, capacity, 0};
    if (capacity)
        buffer[0] = 0;
    put(&w, "%s", problem->schema->name);
    const char *between = ":";
    for (size_t i = 0; i < problem->schema->n_fields; i++) {
        const kiln_field *f = &problem->schema->fields[i];
        const bool bound = problem->bounds >> i & 1;
        if (!(f->flags & KILN_FIELD_REQUIRED) && problem->v[i] == f->def && !bound)
            continue;
        put(&w, "%s%s%s", between, f->name, bound ? "<=" : "=");
        put_value(&w, f, problem->v[i]);
        between = ",";
    }
    return w.length;
}

/* ---- parsing ---- */

static kiln_status parse_int(const kiln_field *f, const char *text, size_t length, int64_t *out) {
    char digits[24];
    char *end = digits;
    if (length > 0 && length < sizeof digits) {
        memcpy(digits, text, length);
        digits[length] = 0;
        errno = 0;
        *out = strtoll(digits, &end, 10);
        /* only the text that printing gives back: no sign, blank or leading zero */
        if (*end == 0 && errno == 0 && isdigit((unsigned char)digits[0]) && (digits[0] != '0' || length == 1) &&
            *out >= f->min && *out <= f->max)
            return KILN_OK;
    }
    return kiln_fail(KILN_E_PARSE, "field %s: \"%.*s\" is not a whole number from %" PRId64 " to %" PRId64, f->name,
                     (int)(length < 40 ? length : 40), text, f->min, f->max);
}

static kiln_status unknown_token(const kiln_field *f, const char *text, size_t length) {
    char known[512] = "";
    writer w = {known, sizeof known, 0};
    put_tokens(&w, f, ", ");
    return kiln_fail(KILN_E_PARSE, "field %s: unknown word \"%.*s\"; known are %s", f->name,
                     (int)(length < 40 ? length : 40), text, known);
}

static kiln_status parse_set(const kiln_field *f, const char *text, size_t length, int64_t *out) {
    *out = 0;
    if (length == 4 && memcmp(text, "none", 4) == 0)
        return KILN_OK;
    const char *end = text + length;
    for (;;) {
        const char *plus = memchr(text, '+', (size_t)(end - text));
        const size_t n = (size_t)((plus ? plus : end) - text);
        const kiln_token *t = find_token(f, text, n);
        if (!t)
            return unknown_token(f, text, n);
        if (*out & t->mask)
            return kiln_fail(KILN_E_PARSE, "field %s: \"%s\" is given twice or excludes another word before it",
                             f->name, t->name);
        *out |= t->value;
        if (!plus)
            return KILN_OK;
        text = plus + 1;
    }
}

static kiln_status parse_value(const kiln_field *f, const char *text, size_t length, int64_t *out) {
    if (f->kind == KILN_FIELD_INT)
        return parse_int(f, text, length, out);
    if (f->kind == KILN_FIELD_SET)
        return parse_set(f, text, length, out);
    const kiln_token *t = find_token(f, text, length);
    if (!t)
        return unknown_token(f, text, length);
    *out = t->value;
    return KILN_OK;
}

/* One `name=value` or `name<=value`. */
static kiln_status parse_field(kiln_problem *p, uint64_t *given, const char *text, size_t length) {
    const char *equals = memchr(text, '=', length);
    if (!equals || equals == text)
        return kiln_fail(KILN_E_PARSE, "\"%.*s\" is not of the form field=value", (int)(length < 60 ? length : 60),
                         text);
    const bool bound = equals[-1] == '<';
    const size_t name_length = (size_t)(equals - text) - bound;
    const int i = find_field(p->schema, text, name_length);
    if (i < 0)
        return kiln_fail(KILN_E_PARSE, "family %s has no field \"%.*s\"; see kiln problems --family %s",
                         p->schema->name, (int)(name_length < 40 ? name_length : 40), text, p->schema->name);
    const kiln_field *f = &p->schema->fields[i];
    if (*given >> i & 1)
        return kiln_fail(KILN_E_PARSE, "field %s is given twice", f->name);
    if (bound && !(f->flags & KILN_FIELD_BOUNDABLE))
        return kiln_fail(KILN_E_PARSE, "field %s cannot be a bound; write %s=…", f->name, f->name);
    *given |= UINT64_C(1) << i;
    p->bounds |= (uint32_t)bound << i;
    return parse_value(f, equals + 1, length - (size_t)(equals + 1 - text), &p->v[i]);
}

static kiln_status parse_fields(kiln_problem *p, const char *text) {
    uint64_t given = 0;
    for (const char *end = text; *text; text = *end ? end + 1 : end) {
        end = strchr(text, ',');
        if (!end)
            end = text + strlen(text);
        KILN_TRY(parse_field(p, &given, text, (size_t)(end - text)));
        if (*end && !end[1])
            return kiln_fail(KILN_E_PARSE, "a field is missing after the last comma");
    }
    for (size_t i = 0; i < p->schema->n_fields; i++)
        if ((p->schema->fields[i].flags & KILN_FIELD_REQUIRED) && !(given >> i & 1))
            return kiln_fail(KILN_E_PARSE, "field %s is missing: %s", p->schema->fields[i].name,
                             p->schema->fields[i].help);
    return KILN_OK;
}

static kiln_status unknown_family(const kiln_context *context, const char *text, size_t length) {
    char known[512] = "";
    writer w = {known, sizeof known, 0};
    for (size_t i = 0; i < context->n_families; i++)
        put(&w, "%s%s", i ? ", " : "", context->families[i]->name);
    return kiln_fail(KILN_E_NOT_FOUND, "problem \"%.60s\": unknown family \"%.*s\"; known are %s", text,
                     (int)(length < 40 ? length : 40), text, known);
}

kiln_status kiln_problem_parse(kiln_context *context, const char *text, kiln_problem *out) {
    if (!context || !text || !out)
        return kiln_fail(KILN_E_INVALID, "kiln_problem_parse: NULL argument");
    if (strnlen(text, MAX_TEXT + 1) > MAX_TEXT)
        return kiln_fail(KILN_E_PARSE, "problem \"%.60s…\": longer than %d bytes", text, MAX_TEXT);
    const char *colon = strchr(text, ':');
    const size_t name_length = colon ? (size_t)(colon - text) : strlen(text);
    const kiln_schema *schema = kiln__context_family(context, text, name_length);
    if (!schema)
        return unknown_family(context, text, name_length);
    kiln_problem p = {.schema = schema};
    for (size_t i = 0; i < schema->n_fields; i++)
        p.v[i] = schema->fields[i].def;
    kiln_status status = parse_fields(&p, colon ? colon + 1 : "");
    if (status == KILN_OK && schema->check)
        status = schema->check(&p);
    if (status != KILN_OK)
        return kiln_fail_in(status, "problem \"%.400s\"", text);
    *out = p;
    return KILN_OK;
}

kiln_status kiln_problem_get(const kiln_problem *problem, const char *field, int64_t *out) {
    if (!problem || !problem->schema || !field || !out)
        return kiln_fail(KILN_E_INVALID, "kiln_problem_get: NULL argument");
    const int i = find_field(problem->schema, field, strlen(field));
    if (i < 0)
        return kiln_fail(KILN_E_NOT_FOUND, "family %s has no field \"%.40s\"", problem->schema->name, field);
    *out = problem->v[i];
    return KILN_OK;
}

bool kiln__problem_equal(const kiln_problem *a, const kiln_problem *b) {
    return a->schema == b->schema && a->bounds == b->bounds &&
           memcmp(a->v, b->v, a->schema->n_fields * sizeof a->v[0]) == 0;
}

/* ---- manual ---- */

size_t kiln_family_help(const kiln_context *context, const char *family, char *buffer, size_t capacity) {
    writer w = {buffer, capacity, 0};
    if (capacity)
        buffer[0] = 0;
    const kiln_schema *s = context && family ? kiln__context_family(context, family, strlen(family)) : NULL;
    if (!s)
        return 0;
    put(&w, "%s: %s\n", s->name, s->help);
    for (size_t i = 0; i < s->n_fields; i++) {
        const kiln_field *f = &s->fields[i];
        put(&w, "  %-8s ", f->name);
        if (f->kind == KILN_FIELD_INT)
            put(&w, "%" PRId64 "..%" PRId64, f->min, f->max);
        else
            put_tokens(&w, f, f->kind == KILN_FIELD_SET ? "+" : "|");
        if (f->flags & KILN_FIELD_REQUIRED)
            put(&w, ", required");
        else {
            put(&w, ", default ");
            put_value(&w, f, f->def);
        }
        put(&w, "%s: %s\n", f->flags & KILN_FIELD_BOUNDABLE ? ", may be a bound (<=)" : "", f->help);
    }
    return w.length;
}

int64_t kiln__product(int64_t limit, int64_t first, ...) {
    int64_t product = 1;
    va_list args;
    va_start(args, first);
    for (int64_t factor = first; factor >= 0 && product >= 0; factor = va_arg(args, int64_t))
        if (__builtin_mul_overflow(product, factor, &product) || product > limit)
            product = -1;
    va_end(args);
    return product;
}
