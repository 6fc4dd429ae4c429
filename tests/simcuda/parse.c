/* Functions: registers, variables, scopes, labels and statements. */
#include "parse.h"
#include "steps.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- storage ---- */

bool sim__grow(sim_parse *p, void *array, uint32_t *max, uint32_t n, size_t element_bytes) {
    if (n < *max)
        return true;
    void *old, *more;
    memcpy(&old, array, sizeof old);
    const uint32_t wanted = *max ? 2 * *max : 64;
    more = realloc(old, wanted * element_bytes);
    if (!more)
        return sim__parse_fail(p, "no host memory");
    memcpy(array, &more, sizeof more);
    *max = wanted;
    return true;
}

void *sim__parse_own(sim_parse *p, size_t bytes) {
    sim_module *m = p->module;
    void **owned = realloc(m->owned, (m->n_owned + 1) * sizeof *owned);
    void *one = calloc(1, bytes);
    if (owned)
        m->owned = owned;
    if (!owned || !one) {
        free(one);
        sim__parse_fail(p, "no host memory");
        return NULL;
    }
    m->owned[m->n_owned++] = one;
    return one;
}

/* ---- types ---- */

bool sim__type_bytes(const char *type, size_t length, uint32_t *bytes) {
    static const struct {
        const char *name;
        uint32_t bytes;
    } types[] = {{"pred", 0}, {"b8", 1},   {"u8", 1},  {"s8", 1},    {"b16", 2},    {"u16", 2}, {"s16", 2},
                 {"f16", 2},  {"bf16", 2}, {"b32", 4}, {"u32", 4},   {"s32", 4},    {"f32", 4}, {"b64", 8},
                 {"u64", 8},  {"s64", 8},  {"f64", 8}, {"f16x2", 4}, {"bf16x2", 4}, {"tf32", 4}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strlen(types[i].name) == length && memcmp(types[i].name, type, length) == 0) {
            *bytes = types[i].bytes;
            return true;
        }
    return false;
}

uint8_t sim__register_width(uint32_t type_bytes) {
    return (uint8_t)(type_bytes == 1 ? 2 : type_bytes);
}

/* ---- symbols ---- */

static sim_symbol *declare(sim_parse *p, sim_symbol_kind kind, const sim_token *name) {
    if (!sim__grow(p, &p->symbols, &p->max_symbols, p->n_symbols, sizeof *p->symbols))
        return NULL;
    sim_symbol *s = &p->symbols[p->n_symbols++];
    *s = (sim_symbol){.kind = kind, .name = name->text, .length = name->length};
    return s;
}

/* %r17 is number 17 of the register %r<100>. */
static bool is_numbered(const sim_symbol *s, const char *name, uint32_t length, uint32_t *number) {
    if (s->count == 0 || length <= s->length || length > s->length + 9 || memcmp(s->name, name, s->length) != 0)
        return false;
    *number = 0;
    for (uint32_t i = s->length; i < length; i++) {
        if (name[i] < '0' || name[i] > '9')
            return false;
        *number = *number * 10 + (uint32_t)(name[i] - '0');
    }
    return *number < s->count;
}

const sim_symbol *sim__symbol_find(const sim_parse *p, const char *name, uint32_t length, uint32_t *number) {
    *number = 0;
    for (uint32_t i = p->n_symbols; i-- > 0;) {
        const sim_symbol *s = &p->symbols[i];
        if (s->count == 0 ? s->length == length && memcmp(s->name, name, length) == 0
                          : is_numbered(s, name, length, number))
            return s;
    }
    return NULL;
}

/* ---- declarations inside functions ---- */

static bool expect(sim_parse *p, char mark) {
    if (!sim__token_is(&p->token, mark))
        return sim__parse_fail(p, "'%c' expected at \"%.*s\"", mark, (int)p->token.length, p->token.text);
    return sim__lex_next(p);
}

/* .reg .b32 %r<100>, %x; */
static bool parse_registers(sim_parse *p) {
    uint32_t bytes;
    if (!sim__lex_next(p))
        return false;
    if (p->token.length < 2 || !sim__type_bytes(p->token.text + 1, p->token.length - 1, &bytes))
        return sim__parse_fail(p, "registers of type %.*s", (int)p->token.length, p->token.text);
    const uint8_t width = sim__register_width(bytes);
    uint32_t *end = p->kernel ? &p->kernel->register_bytes : &p->module->function_register_bytes;
    do {
        if (!sim__lex_next(p))
            return false;
        sim_symbol *s = declare(p, SIM_SYMBOL_REGISTER, &p->token);
        if (!s || !sim__lex_next(p))
            return false;
        s->width = width;
        if (sim__token_is(&p->token, '<')) {
            if (!sim__lex_next(p))
                return false;
            s->count = (uint32_t)p->token.bits;
            if (s->count == 0 || s->count > 1u << 20 || !sim__lex_next(p) || !expect(p, '>'))
                return sim__parse_fail(p, "how many registers?");
        }
        const uint32_t n = s->count ? s->count : 1, stride = width ? SIM_WARP * width : 4;
        s->first = sim__operand(p->kernel ? SIM_BANK_KERNEL : SIM_BANK_FUNCTIONS, *end);
        *end += (n * stride + 63) / 64 * 64;
        if (p->kernel)
            p->kernel->registers32 += width == 8 ? 2 * n : width ? n : 0;
    } while (sim__token_is(&p->token, ','));
    return expect(p, ';');
}

/* A variable's alignment, type, name and size, from behind its state space to behind its last ']'. */
typedef struct variable {
    uint32_t align, element_bytes, count; /* count 0: extern array without a size */
    sim_token name;
} variable;

static bool parse_variable(sim_parse *p, variable *v) {
    *v = (variable){.count = 1};
    uint32_t vector = 1, bytes;
    for (; p->token.kind == SIM_TOKEN_WORD && p->token.text[0] == '.'; sim__lex_next(p)) {
        if (sim__token_word(&p->token, ".align")) {
            if (!sim__lex_next(p))
                return false;
            v->align = (uint32_t)p->token.bits;
        } else if (sim__token_word(&p->token, ".v2") || sim__token_word(&p->token, ".v4")) {
            vector = (uint32_t)(p->token.text[2] - '0');
        } else if (sim__type_bytes(p->token.text + 1, p->token.length - 1, &bytes)) {
            v->element_bytes = bytes;
        } /* .ptr .global: notes about what a parameter points to */
    }
    if (p->token.kind != SIM_TOKEN_WORD || v->element_bytes == 0)
        return sim__parse_fail(p, "a declaration without type or name at \"%.*s\"", (int)p->token.length,
                               p->token.text);
    v->element_bytes *= vector;
    v->name = p->token;
    if (!sim__lex_next(p))
        return false;
    while (sim__token_is(&p->token, '[')) {
        if (!sim__lex_next(p))
            return false;
        uint64_t n = 0;
        if (p->token.kind == SIM_TOKEN_INTEGER) {
            n = p->token.bits;
            if (!sim__lex_next(p))
                return false;
        }
        if (n * v->count * v->element_bytes > UINT32_MAX / 2 || !expect(p, ']'))
            return sim__parse_fail(p, "size of %.*s", (int)v->name.length, v->name.text);
        v->count *= (uint32_t)n;
    }
    if (v->align == 0)
        v->align = v->element_bytes;
    return true;
}

static uint32_t align_up(uint32_t offset, uint32_t align) {
    return (offset + align - 1) / align * align;
}

/* A variable's place in the kernel's shared memory. The one whose size the launch says lies behind all others. */
static bool place_shared(sim_parse *p, const variable *v, sim_symbol *s, bool is_extern) {
    sim_kernel *k = p->kernel ? p->kernel : &p->module_shared;
    s->space = SIM_SPACE_SHARED;
    if (is_extern) {
        k->has_dynamic = true;
        s->address = SIM_SHARED_DYNAMIC;
        return true;
    }
    sim_shared_variable *more = realloc(k->shared, (k->n_shared + 1) * sizeof *more);
    if (!more)
        return sim__parse_fail(p, "no host memory");
    k->shared = more;
    sim_shared_variable *one = &more[k->n_shared];
    const uint32_t begin = align_up(k->shared_bytes, v->align);
    *one = (sim_shared_variable){.offset = begin + k->n_shared * SIM_SHARED_GAP, .bytes = v->count * v->element_bytes};
    snprintf(one->name, sizeof one->name, "%.*s", (int)v->name.length, v->name.text);
    s->address = one->offset;
    s->bytes = one->bytes;
    k->shared_bytes = begin + one->bytes;
    k->n_shared++;
    if (one->offset + one->bytes > SIM_SHARED_DYNAMIC)
        return sim__parse_fail(p, "%s and what is before it are more than a block's shared memory", one->name);
    return true;
}

bool sim__parse_inherit_shared(sim_parse *p) {
    const sim_kernel *from = &p->module_shared;
    sim_kernel *k = p->kernel;
    k->shared_bytes = from->shared_bytes;
    k->has_dynamic = from->has_dynamic;
    k->n_shared = from->n_shared;
    k->shared = calloc(from->n_shared + 1, sizeof *k->shared);
    if (!k->shared)
        return sim__parse_fail(p, "no host memory");
    if (from->n_shared)
        memcpy(k->shared, from->shared, from->n_shared * sizeof *k->shared);
    return true;
}

sim_symbol *sim__parse_declared(sim_parse *p, unsigned *element_bytes) {
    variable v;
    if (!sim__lex_next(p) || !parse_variable(p, &v))
        return NULL;
    sim_symbol *s = declare(p, SIM_SYMBOL_VARIABLE, &v.name);
    if (s) {
        *element_bytes = v.element_bytes;
        s->bytes = v.count * v.element_bytes;
    }
    return s;
}

static bool place_local(sim_parse *p, const variable *v, sim_symbol *s) {
    const uint32_t begin = align_up(p->local_bytes, v->align);
    s->space = SIM_SPACE_LOCAL;
    s->address = begin;
    s->bytes = v->count * v->element_bytes;
    p->local_bytes = begin + s->bytes;
    uint32_t *total = p->kernel ? &p->kernel->local_bytes : &p->module->function_local_bytes;
    const uint32_t end = p->local_bytes - (p->kernel ? 0 : SIM_LOCAL_FUNCTIONS);
    if (*total < end)
        *total = end;
    return true;
}

/* .shared, .local and .param inside a function. */
static bool parse_local_variable(sim_parse *p, bool shared, bool is_extern) {
    variable v;
    if (!sim__lex_next(p) || !parse_variable(p, &v))
        return false;
    sim_symbol *s = declare(p, SIM_SYMBOL_VARIABLE, &v.name);
    if (!s || !(shared ? place_shared(p, &v, s, is_extern) : place_local(p, &v, s)))
        return false;
    return expect(p, ';');
}

bool sim__parse_shared(sim_parse *p, bool is_extern) {
    return parse_local_variable(p, true, is_extern);
}

/* ---- parameters ---- */

/* ( .param .b64 name, ... ): declares each; a kernel's lie in the parameter space, a function's in local memory. */
bool sim__parse_formals(sim_parse *p, sim_formal *out, uint32_t *n) {
    uint32_t end = 0;
    *n = 0;
    if (!expect(p, '('))
        return false;
    while (!sim__token_is(&p->token, ')')) {
        variable v;
        if (!sim__token_word(&p->token, ".param"))
            return sim__parse_fail(p, "a parameter that is no .param");
        if (*n == SIM_FORMALS || !sim__lex_next(p) || !parse_variable(p, &v))
            return sim__parse_fail(p, "more than %d parameters", SIM_FORMALS);
        sim_symbol *s = declare(p, SIM_SYMBOL_VARIABLE, &v.name);
        if (!s)
            return false;
        if (p->kernel) {
            s->space = SIM_SPACE_PARAM;
            s->address = align_up(end, v.align);
            s->bytes = v.count * v.element_bytes;
            end = (uint32_t)s->address + s->bytes;
        } else if (!place_local(p, &v, s)) {
            return false;
        }
        out[(*n)++] = (sim_formal){(uint32_t)s->address, s->bytes};
        if (sim__token_is(&p->token, ',') && !sim__lex_next(p))
            return false;
    }
    if (p->kernel)
        p->kernel->param_bytes = end;
    return sim__lex_next(p);
}

/* ---- statements ---- */

/* .loc file line column, function_name ..., inlined_at ... */
static bool parse_loc(sim_parse *p) {
    uint64_t number[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        if (!sim__lex_next(p) || p->token.kind != SIM_TOKEN_INTEGER)
            return sim__parse_fail(p, ".loc without numbers");
        number[i] = p->token.bits;
    }
    if (number[1]) { /* line 0: the compiler's own */
        p->loc_file = (uint16_t)number[0];
        p->loc_line = (uint32_t)number[1];
    }
    const uint32_t line = p->line;
    do {
        if (!sim__lex_next(p))
            return false;
    } while (p->token.line == line && p->token.kind != SIM_TOKEN_END);
    return true;
}

static bool skip_statement(sim_parse *p) {
    while (!sim__token_is(&p->token, ';')) {
        if (p->token.kind == SIM_TOKEN_END)
            return sim__parse_fail(p, "a statement has no end");
        if (!sim__lex_next(p))
            return false;
    }
    return sim__lex_next(p);
}

static bool note_label(sim_parse *p, const sim_token *name) {
    if (!sim__grow(p, &p->labels, &p->max_labels, p->n_labels, sizeof *p->labels))
        return false;
    p->labels[p->n_labels++] = (sim_label){name->text, name->length, p->scope, p->module->n_code};
    return true;
}

/* .branchtargets L1, L2; belongs to the label just before it. */
static bool parse_targets(sim_parse *p) {
    sim_targets *more = realloc(p->tables, (p->n_tables + 1) * sizeof *more);
    if (!more || p->n_labels == 0)
        return sim__parse_fail(p, ".branchtargets without a label");
    p->tables = more;
    sim_targets *t = &more[p->n_tables++];
    *t = (sim_targets){.at = p->labels[p->n_labels - 1]};
    do {
        if (!sim__lex_next(p))
            return false;
        if (t->n == SIM_FORMALS)
            return sim__parse_fail(p, "more than %d branch targets", SIM_FORMALS);
        t->target[t->n++] = (sim_label){p->token.text, p->token.length, p->scope, 0};
        if (!sim__lex_next(p))
            return false;
    } while (sim__token_is(&p->token, ','));
    return expect(p, ';');
}

static bool parse_directive(sim_parse *p) {
    if (sim__token_word(&p->token, ".reg"))
        return parse_registers(p);
    if (sim__token_word(&p->token, ".loc"))
        return parse_loc(p);
    if (sim__token_word(&p->token, ".shared"))
        return parse_local_variable(p, true, false);
    if (sim__token_word(&p->token, ".local") || sim__token_word(&p->token, ".param"))
        return parse_local_variable(p, false, false);
    if (sim__token_word(&p->token, ".extern")) /* .extern .shared */
        return sim__lex_next(p) && parse_local_variable(p, true, true);
    if (sim__token_word(&p->token, ".branchtargets"))
        return parse_targets(p);
    if (sim__token_word(&p->token, ".pragma") || sim__token_word(&p->token, ".callprototype"))
        return skip_statement(p);
    return sim__parse_fail(p, "directive %.*s is not known here", (int)p->token.length, p->token.text);
}

/* @!%p: */
static bool parse_guard(sim_parse *p, sim_instr *in) {
    uint32_t number;
    if (!sim__lex_next(p))
        return false;
    if (sim__token_is(&p->token, '!')) {
        in->negated = 1;
        if (!sim__lex_next(p))
            return false;
    }
    const sim_symbol *s = sim__symbol_find(p, p->token.text, p->token.length, &number);
    if (!s || s->kind != SIM_SYMBOL_REGISTER || s->width != 0)
        return sim__parse_fail(p, "the guard %.*s is no predicate", (int)p->token.length, p->token.text);
    in->guard = s->first + number;
    return sim__lex_next(p);
}

static bool split_mnemonic(sim_parse *p, const sim_token *t) {
    if (t->kind != SIM_TOKEN_WORD || t->length >= sizeof p->mnemonic)
        return sim__parse_fail(p, "an instruction expected at \"%.*s\"", (int)t->length, t->text);
    memcpy(p->mnemonic, t->text, t->length);
    p->mnemonic[t->length] = 0;
    p->n_parts = 0;
    for (char *c = p->mnemonic; c; c = strchr(c, '.')) {
        if (c != p->mnemonic)
            *c++ = 0;
        if (p->n_parts == SIM_MODIFIERS)
            return sim__parse_fail(p, "a mnemonic of more than %d parts", SIM_MODIFIERS);
        p->part[p->n_parts++] = c;
    }
    return true;
}

static bool parse_instruction(sim_parse *p, const sim_token *mnemonic, sim_instr *in) {
    sim_module *m = p->module;
    static const sim_instr nothing;
    sim_args args;
    in->ptx_line = mnemonic->line;
    in->line = p->loc_line;
    in->file = p->loc_file;
    if (!split_mnemonic(p, mnemonic))
        return false;
    for (p->n_tokens = 0; !sim__token_is(&p->token, ';'); p->n_tokens++) {
        if (p->n_tokens == SIM_STATEMENT - 1 || p->token.kind == SIM_TOKEN_END)
            return sim__parse_fail(p, "the instruction has no end");
        p->tokens[p->n_tokens] = p->token;
        if (!sim__lex_next(p))
            return false;
    }
    p->tokens[p->n_tokens] = (sim_token){.kind = SIM_TOKEN_END};
    p->at = 0;
    if (!sim__args_parse(p, &args) || !sim__decode(p, in, &args))
        return false;
    if (!sim__grow(p, &m->code, &m->max_code, m->n_code + 1, sizeof *m->code))
        return false;
    m->code[m->n_code++] = *in;
    m->code[m->n_code] = nothing;
    return sim__lex_next(p);
}

/* A label, or an instruction with or without a guard. */
static bool parse_statement(sim_parse *p) {
    sim_operand zero;
    if (!sim__constant(p, 8, 0, &zero)) /* what an operation without a second or third source reads */
        return false;
    sim_instr in = {.guard = SIM_NO_OPERAND, .d = zero, .a = zero, .b = zero, .c = zero};
    if (sim__token_is(&p->token, '@') && !parse_guard(p, &in))
        return false;
    const sim_token first = p->token;
    if (first.kind != SIM_TOKEN_WORD)
        return sim__parse_fail(p, "statement expected at \"%.*s\"", (int)first.length, first.text);
    if (!sim__lex_next(p))
        return false;
    if (sim__token_is(&p->token, ':'))
        return note_label(p, &first) && sim__lex_next(p);
    return parse_instruction(p, &first, &in);
}

/* ---- labels ---- */

static bool resolve(sim_parse *p, const sim_label *name, uint32_t *pc) {
    for (uint32_t scope = name->scope;; scope = p->scope_parent[scope]) {
        for (uint32_t i = 0; i < p->n_labels; i++) {
            const sim_label *l = &p->labels[i];
            if (l->scope == scope && l->length == name->length && memcmp(l->name, name->name, l->length) == 0) {
                *pc = l->pc;
                return true;
            }
        }
        if (scope == 0)
            return sim__parse_fail(p, "no label %.*s", (int)name->length, name->name);
    }
}

static bool resolve_table(sim_parse *p, const sim_label *jump, sim_instr *in) {
    for (uint32_t t = 0; t < p->n_tables; t++) {
        const sim_targets *from = &p->tables[t];
        if (from->at.length != jump->length || memcmp(from->at.name, jump->name, jump->length) != 0)
            continue;
        sim_jump_table *table = sim__parse_own(p, sizeof *table);
        if (!table)
            return false;
        table->n = from->n;
        for (uint32_t i = 0; i < from->n; i++)
            if (!resolve(p, &from->target[i], &table->pc[i]))
                return false;
        in->more = table;
        return true;
    }
    return sim__parse_fail(p, "no .branchtargets %.*s", (int)jump->length, jump->name);
}

static bool resolve_jumps(sim_parse *p) {
    for (uint32_t i = 0; i < p->n_jumps; i++) {
        sim_instr *in = &p->module->code[p->jumps[i].pc];
        p->line = in->ptx_line;
        const bool is_table = in->sub == SIM_BRANCH_TABLE;
        if (!(is_table ? resolve_table(p, &p->jumps[i], in) : resolve(p, &p->jumps[i], &in->target)))
            return false;
    }
    return true;
}

/* ---- what nobody reads ---- */

/* The compiler loads four values at once where three are wanted. The fourth may be anything: whether it was written, or
 * is being written, is not to be looked at. Such a register is named only once, where it is loaded. */

void sim__parse_mention(sim_parse *p, sim_operand reg) {
    const uint32_t at = (reg & 0x3fffffff) / 16;
    if (at >= p->n_mentions) {
        const uint32_t n = 2 * at + 1024;
        uint16_t *more = realloc(p->mentions, n * sizeof *more);
        if (!more)
            return; /* only less is known */
        memset(more + p->n_mentions, 0, (n - p->n_mentions) * sizeof *more);
        p->mentions = more;
        p->n_mentions = n;
    }
    if (p->mentions[at] < UINT16_MAX)
        p->mentions[at]++;
}

static bool is_read(const sim_parse *p, sim_operand reg) {
    return reg != SIM_NO_OPERAND && p->mentions && p->mentions[(reg & 0x3fffffff) / 16] > 1;
}

static void drop_unread(sim_parse *p, uint32_t first) {
    for (uint32_t i = first; i < p->module->n_code; i++) {
        const sim_instr *in = &p->module->code[i];
        sim_access *a = in->step == sim__step_load ? in->access : NULL;
        unsigned wanted = 0;
        for (unsigned e = 0; a && e < a->vector; e++)
            wanted += is_read(p, a->reg[e]);
        if (wanted == 0 || wanted == a->vector)
            continue; /* a load for nothing is left as it is */
        for (unsigned e = 0; e < a->vector; e++)
            if (!is_read(p, a->reg[e]))
                a->reg[e] = SIM_NO_OPERAND;
        a->has_holes = true;
    }
}

/* ---- bodies ---- */

static bool open_scope(sim_parse *p) {
    if (!sim__grow(p, &p->scope_parent, &p->max_scopes, p->n_scopes, sizeof *p->scope_parent))
        return false;
    p->scope_parent[p->n_scopes] = p->scope;
    p->scope = p->n_scopes++;
    return true;
}

/* From behind '{' to behind its '}'; nested ones by themselves, so that their names are theirs alone. */
static bool parse_scope(sim_parse *p) {
    const uint32_t symbols = p->n_symbols, outer = p->scope, local_bytes = p->local_bytes;
    if (!open_scope(p))
        return false;
    while (!sim__token_is(&p->token, '}')) {
        if (p->token.kind == SIM_TOKEN_END)
            return sim__parse_fail(p, "a '{' has no '}'");
        if (sim__token_is(&p->token, '{')) {
            if (!sim__lex_next(p) || !parse_scope(p))
                return false;
        } else if (sim__token_is(&p->token, ';')) {
            if (!sim__lex_next(p))
                return false;
        } else if (p->token.kind == SIM_TOKEN_WORD && p->token.text[0] == '.') {
            if (!parse_directive(p))
                return false;
        } else if (!parse_statement(p)) {
            return false;
        }
    }
    p->n_symbols = symbols;
    p->scope = outer;
    p->local_bytes = local_bytes;
    return sim__lex_next(p);
}

bool sim__parse_body(sim_parse *p) {
    p->scope = 0;
    p->n_scopes = p->n_labels = p->n_jumps = p->n_tables = 0;
    p->loc_file = 0;
    p->loc_line = 0;
    if (p->mentions)
        memset(p->mentions, 0, p->n_mentions * sizeof *p->mentions);
    const uint32_t first = p->module->n_code;
    if (!expect(p, '{') || !parse_scope(p) || !resolve_jumps(p))
        return false;
    drop_unread(p, first);
    if (p->module->n_code == 0)
        return sim__parse_fail(p, "a function without instructions");
    return true;
}
