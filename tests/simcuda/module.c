/* Modules: what stands outside of functions, and sim.h's questions about it. */
#include "parse.h"
#include "steps.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- global and constant variables ---- */

typedef struct initialiser {
    uint8_t *bytes;
    size_t size, at;
    unsigned element;
} initialiser;

static bool put(sim_parse *p, initialiser *out, uint64_t bits) {
    if (out->at + out->element > out->size)
        return sim__parse_fail(p, "more values than the variable holds");
    memcpy(out->bytes + out->at, &bits, out->element);
    out->at += out->element;
    return true;
}

/* A number, or a variable's address: name, generic(name), name+4. */
static bool initialiser_value(sim_parse *p, initialiser *out) {
    bool negative = false;
    if (sim__token_is(&p->token, '-')) {
        negative = true;
        if (!sim__lex_next(p))
            return false;
    }
    uint64_t bits = p->token.bits;
    if (sim__token_word(&p->token, "generic"))
        if (!sim__lex_next(p) || !sim__lex_next(p))
            return false;
    if (p->token.kind == SIM_TOKEN_WORD) {
        uint32_t number;
        const sim_symbol *s = sim__symbol_find(p, p->token.text, p->token.length, &number);
        if (!s)
            return sim__parse_fail(p, "no variable %.*s", (int)p->token.length, p->token.text);
        bits = s->address;
    } else if (p->token.kind == SIM_TOKEN_FLOAT && out->element == 4) {
        double wide;
        memcpy(&wide, &bits, sizeof wide);
        const float narrow = (float)(negative ? -wide : wide);
        bits = 0;
        memcpy(&bits, &narrow, sizeof narrow);
        negative = false;
    }
    return put(p, out, negative ? 0 - bits : bits) && sim__lex_next(p);
}

static bool initialiser_list(sim_parse *p, initialiser *out) {
    if (!sim__token_is(&p->token, '{'))
        return initialiser_value(p, out);
    do {
        if (!sim__lex_next(p) || !initialiser_list(p, out))
            return false;
        while (sim__token_is(&p->token, ')') || sim__token_is(&p->token, '+') || p->token.kind == SIM_TOKEN_INTEGER) {
            if (p->token.kind == SIM_TOKEN_INTEGER) { /* name+4 */
                uint64_t bits = 0;
                memcpy(&bits, out->bytes + out->at - out->element, out->element);
                bits += p->token.bits;
                memcpy(out->bytes + out->at - out->element, &bits, out->element);
            }
            if (!sim__lex_next(p))
                return false;
        }
    } while (sim__token_is(&p->token, ','));
    if (!sim__token_is(&p->token, '}'))
        return sim__parse_fail(p, "a list of values has no end");
    return sim__lex_next(p);
}

static bool add_global(sim_parse *p, const sim_symbol *s) {
    sim_module *m = p->module;
    sim_global *more = realloc(m->globals, (m->n_globals + 1) * sizeof *more);
    if (!more)
        return sim__parse_fail(p, "no host memory");
    m->globals = more;
    sim_global *g = &more[m->n_globals++];
    *g = (sim_global){.address = s->address, .bytes = s->bytes};
    snprintf(g->name, sizeof g->name, "%.*s", (int)s->length, s->name);
    return true;
}

/* .global and .const: memory of the device, zero unless initialised. */
static bool parse_global(sim_parse *p) {
    unsigned element_bytes;
    sim_symbol *s = sim__parse_declared(p, &element_bytes);
    if (!s)
        return false;
    if (s->bytes == 0 || !sim_memory_alloc(p->device, s->bytes, &s->address))
        return sim__parse_fail(p, "no device memory for %.*s", (int)s->length, s->name);
    s->space = SIM_SPACE_GLOBAL;
    sim_memory_mark(p->device, s->address, s->bytes, true);
    initialiser out = {sim_memory_host(p->device, s->address, s->bytes), s->bytes, 0, element_bytes};
    memset(out.bytes, 0, out.size);
    if (!add_global(p, s))
        return false;
    if (sim__token_is(&p->token, '=') && (!sim__lex_next(p) || !initialiser_list(p, &out)))
        return false;
    if (!sim__token_is(&p->token, ';'))
        return sim__parse_fail(p, "';' expected at \"%.*s\"", (int)p->token.length, p->token.text);
    return sim__lex_next(p);
}

/* ---- functions and kernels ---- */

sim_function *sim__function_find(const sim_module *m, const char *name, uint32_t length, uint32_t *index) {
    for (*index = 0; *index < m->n_functions; ++*index) {
        sim_function *f = m->functions[*index];
        if (strlen(f->name) == length && memcmp(f->name, name, length) == 0)
            return f;
    }
    return NULL;
}

static sim_function *function_of(sim_parse *p, const sim_token *name) {
    sim_module *m = p->module;
    uint32_t index;
    sim_function *f = sim__function_find(m, name->text, name->length, &index);
    if (f)
        return f;
    sim_function **more = realloc(m->functions, (m->n_functions + 1) * sizeof *more);
    if (!more) {
        sim__parse_fail(p, "no host memory");
        return NULL;
    }
    m->functions = more;
    f = more[m->n_functions] = sim__parse_own(p, sizeof *f);
    if (!f)
        return NULL;
    m->n_functions++;
    snprintf(f->name, sizeof f->name, "%.*s", (int)name->length, name->text);
    return f;
}

static bool end_body(sim_parse *p) {
    sim_module *m = p->module;
    if (!sim__grow(p, &m->code, &m->max_code, m->n_code + 1, sizeof *m->code))
        return false;
    m->code[m->n_code++] = (sim_instr){.step = sim__step_return, .guard = SIM_NO_OPERAND, .ptx_line = p->line};
    return true;
}

/* .noreturn and the like stand between the parameters and the body. */
static bool skip_attributes(sim_parse *p) {
    while (p->token.kind == SIM_TOKEN_WORD && p->token.text[0] == '.')
        if (!sim__lex_next(p))
            return false;
    return true;
}

/* .func (results) name (parameters) ; or { ... }. Known are the newest declaration's places for parameters. */
static bool parse_function(sim_parse *p) {
    sim_formal results[SIM_FORMALS], params[SIM_FORMALS];
    uint32_t n_results = 0, n_params = 0;
    const uint32_t outer = p->n_symbols;
    p->local_bytes = SIM_LOCAL_FUNCTIONS + p->module->function_local_bytes;
    if (!sim__lex_next(p) || !skip_attributes(p))
        return false;
    if (sim__token_is(&p->token, '(') && !sim__parse_formals(p, results, &n_results))
        return false;
    sim_function *f = function_of(p, &p->token);
    if (!f || !sim__lex_next(p))
        return false;
    if (sim__token_is(&p->token, '(') && !sim__parse_formals(p, params, &n_params))
        return false;
    if (n_results > sizeof f->results / sizeof *f->results)
        return sim__parse_fail(p, "%s has too many results", f->name);
    f->n_params = n_params;
    f->n_results = n_results;
    memcpy(f->params, params, n_params * sizeof *params);
    memcpy(f->results, results, n_results * sizeof *results);
    bool ok = skip_attributes(p);
    if (ok && sim__token_is(&p->token, ';')) {
        ok = sim__lex_next(p);
    } else if (ok) {
        f->defined = true;
        f->pc = p->module->n_code;
        ok = sim__parse_body(p) && end_body(p);
    }
    p->n_symbols = outer;
    return ok;
}

/* .maxntid 128, 1, 1 */
static bool parse_numbers(sim_parse *p, uint32_t out[3]) {
    out[0] = out[1] = out[2] = 1;
    for (int i = 0; i < 3; i++) {
        if (!sim__lex_next(p) || p->token.kind != SIM_TOKEN_INTEGER)
            return sim__parse_fail(p, "a number expected");
        out[i] = (uint32_t)p->token.bits;
        if (!sim__lex_next(p))
            return false;
        if (!sim__token_is(&p->token, ','))
            break;
    }
    return true;
}

static bool parse_tuning(sim_parse *p, sim_kernel *k) {
    while (p->token.kind == SIM_TOKEN_WORD && p->token.text[0] == '.') {
        uint32_t ignored[3];
        const bool max = sim__token_word(&p->token, ".maxntid"), required = sim__token_word(&p->token, ".reqntid");
        if (!parse_numbers(p, max ? k->maxntid : required ? k->reqntid : ignored))
            return false;
    }
    return true;
}

static bool parse_kernel(sim_parse *p) {
    sim_module *m = p->module;
    sim_formal params[SIM_FORMALS];
    sim_kernel **more = realloc(m->kernels, (m->n_kernels + 1) * sizeof *more);
    if (!more)
        return sim__parse_fail(p, "no host memory");
    m->kernels = more;
    sim_kernel *k = more[m->n_kernels] = calloc(1, sizeof *k);
    if (!k)
        return sim__parse_fail(p, "no host memory");
    m->n_kernels++;
    p->kernel = k;
    p->local_bytes = 0;
    k->module = m;
    if (!sim__lex_next(p))
        return false;
    snprintf(k->name, sizeof k->name, "%.*s", (int)p->token.length, p->token.text);
    const uint32_t outer = p->n_symbols;
    if (!sim__lex_next(p) || (sim__token_is(&p->token, '(') && !sim__parse_formals(p, params, &k->n_params)) ||
        !parse_tuning(p, k))
        return false;
    k->params = sim__parse_own(p, (k->n_params + 1) * sizeof *params);
    if (!k->params)
        return false;
    memcpy(k->params, params, k->n_params * sizeof *params);
    k->pc = m->n_code;
    const bool ok = sim__parse_inherit_shared(p) && sim__parse_body(p) && end_body(p);
    p->kernel = NULL;
    p->n_symbols = outer;
    return ok;
}

/* ---- directives ---- */

/* .file 1 "path" , time, size */
static bool parse_file(sim_parse *p) {
    sim_module *m = p->module;
    if (!sim__lex_next(p) || p->token.kind != SIM_TOKEN_INTEGER || p->token.bits > 65535)
        return sim__parse_fail(p, ".file without a number");
    const uint32_t number = (uint32_t)p->token.bits;
    if (!sim__lex_next(p) || p->token.kind != SIM_TOKEN_STRING)
        return sim__parse_fail(p, ".file without a name");
    if (number >= m->n_files) {
        char **more = realloc(m->files, (number + 1) * sizeof *more);
        if (!more)
            return sim__parse_fail(p, "no host memory");
        memset(more + m->n_files, 0, (number + 1 - m->n_files) * sizeof *more);
        m->files = more;
        m->n_files = number + 1;
    }
    char *name = sim__parse_own(p, p->token.length + 1);
    if (!name)
        return false;
    memcpy(name, p->token.text, p->token.length);
    m->files[number] = name;
    do {
        if (!sim__lex_next(p))
            return false;
    } while (sim__token_is(&p->token, ',') || p->token.kind == SIM_TOKEN_INTEGER);
    return true;
}

/* .section .debug_str { ... } */
static bool skip_section(sim_parse *p) {
    while (!sim__token_is(&p->token, '}')) {
        if (p->token.kind == SIM_TOKEN_END)
            return sim__parse_fail(p, "a section has no end");
        if (!sim__lex_next(p))
            return false;
    }
    return sim__lex_next(p);
}

static bool skip_words(sim_parse *p) {
    const uint32_t line = p->line;
    while (p->token.kind != SIM_TOKEN_END && p->token.line == line)
        if (!sim__lex_next(p))
            return false;
    return true;
}

static bool parse_top(sim_parse *p) {
    bool is_extern = false;
    while (sim__token_word(&p->token, ".visible") || sim__token_word(&p->token, ".extern") ||
           sim__token_word(&p->token, ".weak") || sim__token_word(&p->token, ".common")) {
        is_extern |= sim__token_word(&p->token, ".extern");
        if (!sim__lex_next(p))
            return false;
    }
    const sim_token *t = &p->token;
    if (sim__token_word(t, ".entry"))
        return parse_kernel(p);
    if (sim__token_word(t, ".func"))
        return parse_function(p);
    if (sim__token_word(t, ".global") || sim__token_word(t, ".const"))
        return parse_global(p);
    if (sim__token_word(t, ".shared"))
        return sim__parse_shared(p, is_extern);
    if (sim__token_word(t, ".file"))
        return parse_file(p);
    if (sim__token_word(t, ".section"))
        return skip_section(p);
    if (sim__token_word(t, ".version") || sim__token_word(t, ".target") || sim__token_word(t, ".address_size"))
        return skip_words(p);
    return sim__parse_fail(p, "\"%.*s\" is not known here", (int)t->length, t->text);
}

static bool check_calls(sim_parse *p) {
    const sim_module *m = p->module;
    for (uint32_t i = 0; i < m->n_code; i++)
        if (m->code[i].step == sim__step_call) {
            const sim_call *call = m->code[i].more;
            const sim_function *f = m->functions[call->function];
            p->line = m->code[i].ptx_line;
            if (call->n_params != f->n_params || call->n_results != f->n_results)
                return sim__parse_fail(p, "%s has other parameters or results", f->name);
        }
    return true;
}

/* ---- sim.h ---- */

sim_module *sim_module_load(sim_device *device, const char *ptx, char *log, size_t log_bytes) {
    sim_module *m = calloc(1, sizeof *m);
    sim_parse *p = calloc(1, sizeof *p);
    bool ok = m && p;
    if (log && log_bytes)
        log[0] = 0;
    if (ok) {
        m->device = device;
        *p = (sim_parse){.module = m, .device = device, .cursor = ptx, .line = 1, .log = log, .log_bytes = log_bytes};
        ok = sim__lex_next(p);
        while (ok && p->token.kind != SIM_TOKEN_END)
            ok = parse_top(p);
        ok = ok && check_calls(p);
        free(p->symbols);
        free(p->scope_parent);
        free(p->labels);
        free(p->jumps);
        free(p->tables);
        free(p->module_shared.shared);
        free(p->mentions);
    } else if (log && log_bytes) {
        snprintf(log, log_bytes, "no host memory");
    }
    free(p);
    if (!ok) {
        sim_module_unload(m);
        return NULL;
    }
    return m;
}

void sim_module_unload(sim_module *m) {
    if (!m)
        return;
    for (uint32_t i = 0; i < m->n_globals; i++)
        sim_memory_free(m->device, m->globals[i].address);
    for (uint32_t i = 0; i < m->n_kernels; i++) {
        free(m->kernels[i]->shared);
        free(m->kernels[i]);
    }
    for (size_t i = 0; i < m->n_owned; i++)
        free(m->owned[i]);
    free(m->owned);
    free(m->kernels);
    free(m->functions);
    free(m->globals);
    free(m->files);
    free(m->constants);
    free(m->code);
    free(m);
}

const sim_kernel *sim_module_kernel(const sim_module *m, const char *name) {
    for (uint32_t i = 0; i < m->n_kernels; i++)
        if (strcmp(m->kernels[i]->name, name) == 0)
            return m->kernels[i];
    return NULL;
}

bool sim_module_global(const sim_module *m, const char *name, uint64_t *address, size_t *bytes) {
    for (uint32_t i = 0; i < m->n_globals; i++)
        if (strcmp(m->globals[i].name, name) == 0) {
            *address = m->globals[i].address;
            *bytes = m->globals[i].bytes;
            return true;
        }
    return false;
}

static uint32_t product(const uint32_t n[3]) {
    return n[0] * n[1] * n[2];
}

void sim_kernel_describe(const sim_kernel *k, sim_kernel_info *out) {
    const uint32_t limit = k->reqntid[0] ? product(k->reqntid) : product(k->maxntid);
    *out = (sim_kernel_info){
        .name = k->name,
        .n_params = k->n_params,
        .param_bytes = k->param_bytes,
        .registers = k->registers32 < 255 ? k->registers32 : 255,
        .static_shared_bytes = k->shared_bytes,
        .local_bytes = k->local_bytes + k->module->function_local_bytes,
        .max_threads = limit ? limit : 1024,
    };
    memcpy(out->required, k->reqntid, sizeof out->required);
}

bool sim_kernel_param(const sim_kernel *k, uint32_t index, uint32_t *offset, uint32_t *bytes) {
    if (index >= k->n_params)
        return false;
    *offset = k->params[index].offset;
    *bytes = k->params[index].bytes;
    return true;
}
