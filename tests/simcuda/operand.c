/* What stands behind a mnemonic. */
#include "parse.h"
#include <string.h>

static sim_token *peek(sim_parse *p) {
    return &p->tokens[p->at];
}

static bool accept(sim_parse *p, char mark) {
    if (!sim__token_is(peek(p), mark))
        return false;
    p->at++;
    return true;
}

static bool require(sim_parse *p, char mark) {
    const sim_token *t = peek(p);
    return accept(p, mark) || sim__parse_fail(p, "'%c' expected at \"%.*s\"", mark, (int)t->length, t->text);
}

/* ---- special registers ---- */

static bool special(const sim_token *t, sim_arg *arg) {
    static const char *const names[] = {
#define NAME(name) #name,
        SIM_SPECIAL_MAP(NAME)
#undef NAME
    };
    char name[32];
    if (t->length < 2 || t->length > sizeof name || t->text[0] != '%')
        return false;
    memcpy(name, t->text + 1, t->length - 1);
    name[t->length - 1] = 0;
    for (char *c = name; *c; c++)
        if (*c == '.')
            *c = '_';
    for (uint32_t i = 0; i < SIM_SPECIALS; i++)
        if (strcmp(name, names[i]) == 0) {
            *arg = (sim_arg){.kind = SIM_ARG_REGISTER, .width = 4, .second = SIM_NO_OPERAND};
            arg->reg = sim__operand(SIM_BANK_SPECIALS, i * SIM_WARP * 4);
            return true;
        }
    if (strncmp(name, "clock", 5) != 0 && strncmp(name, "globaltimer", 11) != 0)
        return false;
    *arg = (sim_arg){.kind = SIM_ARG_SPECIAL, .text = t->text, .length = t->length, .second = SIM_NO_OPERAND};
    return true;
}

/* ---- one operand ---- */

static bool number(sim_parse *p, sim_arg *arg) {
    const bool negative = accept(p, '-');
    const sim_token *t = peek(p);
    arg->bits = t->bits;
    if (t->kind == SIM_TOKEN_INTEGER) {
        arg->kind = SIM_ARG_INTEGER;
        arg->bits = negative ? 0 - t->bits : t->bits;
    } else if (t->kind == SIM_TOKEN_FLOAT) {
        arg->kind = SIM_ARG_FLOAT;
        arg->bits ^= (uint64_t)negative << 63;
    } else if (t->kind == SIM_TOKEN_FLOAT32) {
        arg->kind = SIM_ARG_FLOAT32;
        arg->bits ^= (uint64_t)negative << 31;
    } else {
        return sim__parse_fail(p, "an operand expected at \"%.*s\"", (int)t->length, t->text);
    }
    p->at++;
    return true;
}

/* +4, -4, +-4 behind a variable or a base register. */
static bool offset(sim_parse *p, sim_arg *arg) {
    while (sim__token_is(peek(p), '+') || sim__token_is(peek(p), '-')) {
        bool negative = false;
        while (sim__token_is(peek(p), '+') || sim__token_is(peek(p), '-'))
            negative ^= p->tokens[p->at++].mark == '-';
        if (peek(p)->kind != SIM_TOKEN_INTEGER)
            return sim__parse_fail(p, "an offset that is no number");
        const int64_t value = (int64_t)p->tokens[p->at++].bits;
        arg->offset += negative ? -value : value;
    }
    return true;
}

static bool word(sim_parse *p, sim_arg *arg) {
    const sim_token *t = &p->tokens[p->at++];
    uint32_t index;
    if (t->length == 1 && t->text[0] == '_') {
        arg->kind = SIM_ARG_NONE;
        return true;
    }
    if (sim__token_word(t, "WARP_SZ")) {
        arg->kind = SIM_ARG_INTEGER;
        arg->bits = SIM_WARP;
        return true;
    }
    if (special(t, arg))
        return true;
    const sim_symbol *s = sim__symbol_find(p, t->text, t->length, &index);
    if (!s) {
        arg->kind = SIM_ARG_NAME;
        arg->text = t->text;
        arg->length = t->length;
        return t->text[0] != '%' || sim__parse_fail(p, "no register %.*s", (int)t->length, t->text);
    }
    if (s->kind == SIM_SYMBOL_VARIABLE) {
        arg->kind = SIM_ARG_VARIABLE;
        arg->symbol = s;
        return offset(p, arg);
    }
    arg->kind = SIM_ARG_REGISTER;
    arg->width = s->width;
    arg->reg = s->first + index * (s->width ? SIM_WARP * s->width / 4u : 1u);
    sim__parse_mention(p, arg->reg);
    return true;
}

static bool one(sim_parse *p, sim_arg *arg);

/* [reg+4], [variable], [4096]; what follows a comma inside (brackets of tensor copies) is not sm_80's. */
static bool address(sim_parse *p, sim_arg *arg) {
    if (!one(p, arg) || !offset(p, arg))
        return false;
    if (arg->kind == SIM_ARG_INTEGER)
        arg->offset = (int64_t)arg->bits;
    else if (arg->kind == SIM_ARG_VARIABLE)
        arg->offset += (int64_t)arg->symbol->address;
    else if (arg->kind != SIM_ARG_REGISTER || arg->width < 4)
        return sim__parse_fail(p, "that is no address");
    if (arg->kind != SIM_ARG_REGISTER)
        arg->reg = SIM_NO_OPERAND;
    arg->kind = SIM_ARG_ADDRESS;
    return require(p, ']');
}

static bool list(sim_parse *p, sim_args *args, sim_arg *arg, char end) {
    arg->kind = SIM_ARG_VECTOR;
    arg->items = &args->item[args->n_items];
    if (accept(p, end))
        return true;
    do {
        if (args->n_items == SIM_ITEMS)
            return sim__parse_fail(p, "more than %d operands", SIM_ITEMS);
        if (!one(p, &args->item[args->n_items++]))
            return false;
        arg->n_items++;
    } while (accept(p, ','));
    return require(p, end);
}

static bool one(sim_parse *p, sim_arg *arg) {
    *arg = (sim_arg){.second = SIM_NO_OPERAND};
    if (accept(p, '!'))
        arg->negated = true;
    return peek(p)->kind == SIM_TOKEN_WORD ? word(p, arg) : number(p, arg);
}

bool sim__args_parse(sim_parse *p, sim_args *args) {
    args->n = args->n_items = 0;
    if (peek(p)->kind == SIM_TOKEN_END)
        return true;
    do {
        if (args->n == SIM_ARGS)
            return sim__parse_fail(p, "more than %d operands", SIM_ARGS);
        sim_arg *arg = &args->arg[args->n++];
        *arg = (sim_arg){.second = SIM_NO_OPERAND};
        const bool ok = accept(p, '[')   ? address(p, arg)
                        : accept(p, '{') ? list(p, args, arg, '}')
                        : accept(p, '(') ? list(p, args, arg, ')')
                                         : one(p, arg);
        if (!ok)
            return false;
        if (accept(p, '|')) {
            sim_arg second;
            if (!one(p, &second) || (second.kind == SIM_ARG_REGISTER && second.width != 0))
                return sim__parse_fail(p, "the second result is no predicate");
            if (second.kind == SIM_ARG_REGISTER)
                arg->second = second.reg;
        }
    } while (accept(p, ','));
    const sim_token *t = peek(p);
    return t->kind == SIM_TOKEN_END || sim__parse_fail(p, "\"%.*s\" is too much", (int)t->length, t->text);
}

/* ---- constants ---- */

bool sim__constant(sim_parse *p, unsigned width, uint64_t bits, sim_operand *out) {
    sim_module *m = p->module;
    const unsigned bytes = width ? width * SIM_WARP : 64; /* places stay multiples of 64 */
    uint8_t spread[SIM_WARP * 8] = {0};
    if (width == 0)
        memset(spread, bits ? 0xff : 0, 4);
    for (unsigned i = 0; width && i < SIM_WARP; i++)
        memcpy(spread + i * width, &bits, width);
    for (size_t at = 0; at + bytes <= m->constant_bytes; at += 64)
        if (memcmp(m->constants + at, spread, bytes) == 0) {
            *out = sim__operand(SIM_BANK_CONSTANTS, (uint32_t)at);
            return true;
        }
    uint32_t max = (uint32_t)m->max_constants;
    while (m->constant_bytes + bytes > max)
        if (!sim__grow(p, &m->constants, &max, max, 1))
            return false;
    m->max_constants = max;
    memcpy(m->constants + m->constant_bytes, spread, bytes);
    *out = sim__operand(SIM_BANK_CONSTANTS, (uint32_t)m->constant_bytes);
    m->constant_bytes += bytes;
    return true;
}

/* The bits of a number as a value of a width; `is_double`: a floating one for a place of 4 bytes is converted. */
static uint64_t number_bits(const sim_arg *arg, unsigned width) {
    if (arg->kind == SIM_ARG_FLOAT && width == 4) {
        double wide;
        uint32_t bits;
        memcpy(&wide, &arg->bits, sizeof wide);
        const float narrow = (float)wide;
        memcpy(&bits, &narrow, sizeof bits);
        return bits;
    }
    if (arg->kind == SIM_ARG_FLOAT32 && width == 8) {
        const uint32_t bits = (uint32_t)arg->bits;
        float narrow;
        uint64_t out;
        memcpy(&narrow, &bits, sizeof narrow);
        const double wide = narrow;
        memcpy(&out, &wide, sizeof out);
        return out;
    }
    return arg->bits;
}

/* Where a variable is, as an address of its own space. */
static uint64_t variable_address(const sim_arg *arg) {
    return arg->symbol->address + (uint64_t)arg->offset;
}

bool sim__arg_operand(sim_parse *p, const sim_arg *arg, char letter, sim_operand *out) {
    const unsigned width = letter == 'p' ? 0 : letter == 'h' ? 2 : letter == 'w' ? 4 : 8;
    switch (arg->kind) {
    case SIM_ARG_REGISTER:
        *out = arg->reg;
        if (arg->width != width)
            return sim__parse_fail(p, "%s: a register of %u bits where %u are wanted", p->part[0], arg->width * 8u,
                                   width * 8u);
        return true;
    case SIM_ARG_INTEGER:
    case SIM_ARG_FLOAT:
    case SIM_ARG_FLOAT32:
        return sim__constant(p, width, number_bits(arg, width), out);
    case SIM_ARG_VARIABLE:
        return sim__constant(p, width, variable_address(arg), out);
    case SIM_ARG_NONE:
        return sim__parse_fail(p, "%s: '_' is no operand here", p->part[0]);
    default:
        return sim__parse_fail(p, "%s: an operand of a kind it has not", p->part[0]);
    }
}
