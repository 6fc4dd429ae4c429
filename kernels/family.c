#include "family.h"
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the registry ---- */

kiln_status kiln_context_create(const kiln_context_options *options, kiln_context **out) {
    static const kiln_family *const families[] = {
#define KILN_FAMILY(name) &kiln__family_##name,
#include "families.def"
#undef KILN_FAMILY
    };
    KILN_TRY(kiln__context_open(options, out));
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        const kiln_status status = kiln__context_register(*out, &families[i]->schema);
        if (status != KILN_OK) {
            kiln_context_destroy(*out);
            *out = NULL;
            return status;
        }
    }
    return KILN_OK;
}

const kiln_variant *kiln__family_variant(const kiln_family *family, const char *name) {
    for (const kiln_variant *v = family->variants; v->name; v++)
        if (strcmp(v->name, name) == 0)
            return v;
    return NULL;
}

size_t kiln__variant_n_params(const kiln_variant *variant) {
    size_t n = 0;
    while (variant->params && variant->params[n].name)
        n++;
    return n;
}

const char *kiln__variant_reject(const kiln_variant *variant, const kiln_problem *problem, const kiln_caps *caps) {
    return variant->reject ? variant->reject(problem, caps) : NULL;
}

void kiln__variant_guess(const kiln_variant *variant, const kiln_problem *problem, const kiln_caps *caps,
                         kiln_config *out) {
    memset(out, 0, sizeof *out);
    if (variant->guess)
        variant->guess(problem, caps, out);
}

/* ---- configs ---- */

void kiln__config_print(const kiln_variant *variant, const kiln_config *config, char *buffer, size_t capacity) {
    size_t length = 0;
    buffer[0] = 0;
    for (size_t i = 0; i < kiln__variant_n_params(variant) && length < capacity; i++)
        length += (size_t)snprintf(buffer + length, capacity - length, "%s%s=%d", i ? "," : "", variant->params[i].name,
                                   config->v[i]);
}

static bool value_allowed(const kiln_param *p, int32_t value) {
    for (size_t i = 0; i < p->n_values; i++)
        if (p->values[i] == value)
            return true;
    return false;
}

static kiln_status parse_param(const kiln_variant *variant, const char *text, size_t length, kiln_config *config) {
    const char *equals = memchr(text, '=', length);
    const size_t name_length = equals ? (size_t)(equals - text) : length;
    for (size_t i = 0; i < kiln__variant_n_params(variant); i++) {
        const kiln_param *p = &variant->params[i];
        if (!equals || strlen(p->name) != name_length || memcmp(p->name, text, name_length) != 0)
            continue;
        char *end;
        const long value = isdigit((unsigned char)equals[1]) ? strtol(equals + 1, &end, 10) : -1;
        if (value < 0 || value > INT32_MAX || end != text + length || !value_allowed(p, (int32_t)value)) {
            kiln_strbuf allowed = {0};
            for (size_t k = 0; k < p->n_values; k++)
                kiln__strbuf_addf(&allowed, "%s%d", k ? ", " : "", p->values[k]);
            kiln_fail(KILN_E_PARSE, "config parameter %s: \"%.*s\" is not one of %s", p->name,
                      (int)(length - name_length - 1), equals + 1, kiln__strbuf_text(&allowed));
            kiln__strbuf_free(&allowed);
            return KILN_E_PARSE;
        }
        config->v[i] = (int32_t)value;
        return KILN_OK;
    }
    return kiln_fail(KILN_E_PARSE, "variant %s has no config parameter \"%.*s\"", variant->name, (int)name_length,
                     text);
}

kiln_status kiln__config_parse(const kiln_variant *variant, const char *text, kiln_config *config) {
    if (strnlen(text, KILN_MAX_CONFIG_TEXT) == KILN_MAX_CONFIG_TEXT)
        return kiln_fail(KILN_E_PARSE, "config \"%.40s…\": longer than %d bytes", text, KILN_MAX_CONFIG_TEXT - 1);
    kiln_config parsed = *config;
    for (const char *end = text; *text; text = *end ? end + 1 : end) {
        end = strchr(text, ',');
        if (!end)
            end = text + strlen(text);
        KILN_TRY(parse_param(variant, text, (size_t)(end - text), &parsed));
    }
    *config = parsed;
    return KILN_OK;
}

const char *kiln__config_reject(const kiln_variant *variant, const kiln_problem *problem, const kiln_caps *caps,
                                const kiln_config *config) {
    for (const kiln_rule *r = variant->rules; r && r->why; r++)
        if (!r->ok(config, problem, caps))
            return r->why;
    return NULL;
}

/* ---- lowering ---- */

kiln_status kiln__variant_lower(const kiln_variant *variant, const kiln_problem *problem, const kiln_config *config,
                                const kiln_caps *caps, kiln_lowering *out) {
    memset(out, 0, sizeof *out);
    kiln__problem_family(problem)->operands(problem, out);
    return variant->lower(problem, config, caps, out);
}

float kiln__operand_scale(const kiln_family *family, const kiln_operand *operand) {
    if (!family->has_layers || operand->role != KILN_ROLE_WEIGHT || operand->rank < 2)
        return 1;
    double depth = 1;
    for (uint32_t i = 0; i + 1 < operand->rank; i++)
        depth *= (double)operand->shape[i];
    return (float)(1 / sqrt(depth));
}

double kiln__lowering_bytes(const kiln_lowering *lowering) {
    double bytes = 0;
    for (size_t i = 0; i < lowering->n_operands; i++)
        if (lowering->operands[i].role != KILN_ROLE_PACKED)
            bytes += (double)lowering->operands[i].bytes;
    return bytes;
}
