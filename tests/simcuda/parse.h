/* PTX text to instructions: lex.c makes tokens, parse.c knows directives and functions, operand.c what stands behind a
 * mnemonic, decode*.c the instructions. The first failure is kept with its line; every function returns false then.
 */
#ifndef SIMCUDA_PARSE_H
#define SIMCUDA_PARSE_H

#include "engine.h"

typedef enum sim_token_kind {
    SIM_TOKEN_END,
    SIM_TOKEN_WORD, /* mnemonics, directives and names: all with their dots */
    SIM_TOKEN_INTEGER,
    SIM_TOKEN_FLOAT, /* `bits` of a double; 0f...: of a float */
    SIM_TOKEN_FLOAT32,
    SIM_TOKEN_STRING,
    SIM_TOKEN_MARK, /* one character, in `mark` */
} sim_token_kind;

typedef struct sim_token {
    sim_token_kind kind;
    const char *text;
    uint32_t length, line;
    char mark;
    uint64_t bits;
} sim_token;

typedef enum sim_symbol_kind { SIM_SYMBOL_REGISTER, SIM_SYMBOL_VARIABLE, SIM_SYMBOL_FUNCTION } sim_symbol_kind;

typedef struct sim_symbol {
    sim_symbol_kind kind;
    const char *name; /* not zero-terminated */
    uint32_t length;
    uint32_t count; /* registers: of %r<100>; 0: one, of exactly this name */
    uint8_t width;  /* registers: bytes, 0 a predicate */
    uint8_t space;  /* variables: sim_space */
    sim_operand first;
    uint64_t address; /* variables; functions: index */
    uint32_t bytes;
} sim_symbol;

typedef struct sim_label {
    const char *name;
    uint32_t length, scope, pc;
} sim_label;

enum { SIM_MODIFIERS = 16, SIM_STATEMENT = 512 };

/* What a .branchtargets names, by the label before it. */
typedef struct sim_targets {
    sim_label at;
    sim_label target[SIM_FORMALS];
    uint32_t n;
} sim_targets;

/* Of brx.idx: `sub` and `more`. */
enum { SIM_BRANCH_TABLE = 1 };
typedef struct sim_jump_table {
    uint32_t n, pc[SIM_FORMALS];
} sim_jump_table;

typedef struct sim_parse {
    sim_module *module;
    sim_device *device;
    const char *cursor;
    uint32_t line;
    sim_token token; /* the next one */
    char *log;
    size_t log_bytes;
    bool failed;

    sim_symbol *symbols; /* the last declared first found */
    uint32_t n_symbols, max_symbols;
    uint32_t scope, n_scopes, *scope_parent, max_scopes; /* numbers, for labels */
    sim_label *labels, *jumps;                           /* jumps: pc is the branch */
    uint32_t n_labels, max_labels, n_jumps, max_jumps;
    sim_targets *tables;
    uint32_t n_tables;

    sim_kernel *kernel;       /* inside an entry */
    sim_kernel module_shared; /* the shared variables outside of functions: every kernel begins with them */
    uint16_t *mentions;       /* how often the function at hand names a register: at its place / 64 */
    uint32_t n_mentions;
    uint32_t local_bytes; /* where the next local variable begins */
    uint16_t loc_file;
    uint32_t loc_line;

    /* the instruction at hand */
    sim_token tokens[SIM_STATEMENT];
    uint32_t n_tokens, at;
    char mnemonic[160];
    const char *part[SIM_MODIFIERS]; /* the mnemonic between its dots; part[0]: "ld" */
    uint32_t n_parts;
} sim_parse;

/* ---- lex.c ---- */
bool sim__parse_fail(sim_parse *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool sim__lex_next(sim_parse *p); /* fills p->token */
static inline bool sim__token_is(const sim_token *t, char mark) {
    return t->kind == SIM_TOKEN_MARK && t->mark == mark;
}
bool sim__token_word(const sim_token *t, const char *word);

/* ---- parse.c ---- */
const sim_symbol *sim__symbol_find(const sim_parse *p, const char *name, uint32_t length, uint32_t *number);
void *sim__parse_own(sim_parse *p, size_t bytes); /* zeroed, lives as long as the module; NULL: failed */
bool sim__grow(sim_parse *p, void *array, uint32_t *max, uint32_t n, size_t element_bytes);
/* "f32" -> 4, false: no type. A predicate has 0. */
bool sim__type_bytes(const char *type, size_t length, uint32_t *bytes);
bool sim__parse_shared(sim_parse *p, bool is_extern); /* from .shared to ';', for the kernel or the whole module */
void sim__parse_mention(sim_parse *p, sim_operand reg);
bool sim__parse_inherit_shared(sim_parse *p);
/* A variable from its state space to behind its size, its place still to be chosen. NULL: failed. */
sim_symbol *sim__parse_declared(sim_parse *p, unsigned *element_bytes);
bool sim__parse_formals(sim_parse *p, sim_formal *out, uint32_t *n);
bool sim__parse_body(sim_parse *p); /* { ... } */
uint8_t sim__register_width(uint32_t type_bytes);
sim_function *sim__function_find(const sim_module *m, const char *name, uint32_t length, uint32_t *index);

/* ---- operand.c ---- */

typedef enum sim_arg_kind {
    SIM_ARG_REGISTER,
    SIM_ARG_SPECIAL, /* clock and the like: those with a place in the bank are registers */
    SIM_ARG_INTEGER,
    SIM_ARG_FLOAT,
    SIM_ARG_FLOAT32,
    SIM_ARG_VARIABLE,
    SIM_ARG_ADDRESS, /* [reg or variable + offset] */
    SIM_ARG_VECTOR,  /* {a, b}: elements in `items` */
    SIM_ARG_NAME,    /* label or function */
    SIM_ARG_NONE,    /* "_" */
} sim_arg_kind;

typedef struct sim_arg {
    sim_arg_kind kind;
    bool negated; /* !p */
    uint8_t width;
    sim_operand reg;
    sim_operand second; /* d|p: p, else SIM_NO_OPERAND */
    uint64_t bits;
    int64_t offset;
    const sim_symbol *symbol;
    const char *text;
    uint32_t length;
    uint32_t n_items;
    struct sim_arg *items;
} sim_arg;

enum { SIM_ARGS = 12, SIM_ITEMS = 64 };
typedef struct sim_args {
    uint32_t n, n_items;
    sim_arg arg[SIM_ARGS], item[SIM_ITEMS];
} sim_args;

bool sim__args_parse(sim_parse *p, sim_args *args); /* the rest of the statement */
/* The operand for a letter of a signature; immediates become constants. */
bool sim__arg_operand(sim_parse *p, const sim_arg *arg, char letter, sim_operand *out);
bool sim__constant(sim_parse *p, unsigned width, uint64_t bits, sim_operand *out);

/* ---- decode.c and its parts ---- */

/* Decodes the mnemonic and `args` into `in`. */
typedef bool sim_decode_fn(sim_parse *p, sim_instr *in, sim_args *args);
typedef struct sim_mnemonic {
    const char *name; /* part[0] */
    sim_decode_fn *decode;
} sim_mnemonic;
extern const sim_mnemonic sim__mnemonics_memory[], sim__mnemonics_control[], sim__mnemonics_warp[],
    sim__mnemonics_convert[];

bool sim__decode(sim_parse *p, sim_instr *in, sim_args *args);
bool sim__has_modifier(const sim_parse *p, const char *modifier);
const char *sim__last_part(const sim_parse *p);
/* Fills a, b, c, d by signature. */
bool sim__fill_operands(sim_parse *p, sim_instr *in, const char *signature, const sim_args *args);
/* The lane operation of that name, or of the same with its last type as plain bits ("add.s32": "add.b32"). */
const sim_lane_op *sim__lane_find_type(const char *name);

#endif
