/* Instructions to what runs them. Arithmetic is found by its name in the tables of lanes_*.c; the rest has functions
 * here and in the other decode_*.c. */
#include "parse.h"
#include "steps.h"
#include <stdio.h>
#include <string.h>

/* ---- mnemonics ---- */

bool sim__has_modifier(const sim_parse *p, const char *modifier) {
    for (uint32_t i = 1; i < p->n_parts; i++)
        if (strcmp(p->part[i], modifier) == 0)
            return true;
    return false;
}

const char *sim__last_part(const sim_parse *p) {
    return p->part[p->n_parts - 1];
}

const sim_lane_op *sim__lane_find_type(const char *name) {
    const sim_lane_op *op = sim__lane_find(name);
    const char *type = strrchr(name, '.');
    char plain[96];
    if (op || !type || !strchr("subf", type[1]) || strchr(type, 'x'))
        return op;
    snprintf(plain, sizeof plain, "%.*s.b%s", (int)(type - name), name, type + 2);
    return sim__lane_find(plain);
}

/* ---- roundings and the like ---- */

static sim_round rounding(const char *modifier) {
    static const struct {
        const char *name;
        sim_round round;
    } all[] = {{"rn", SIM_ROUND_RN}, {"rz", SIM_ROUND_RZ}, {"rm", SIM_ROUND_RM}, {"rp", SIM_ROUND_RP}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(modifier, all[i].name) == 0)
            return all[i].round;
    return SIM_ROUND_DEFAULT;
}

static bool is_integer_type(const char *type) {
    return (type[0] == 's' || type[0] == 'u') && type[1] >= '1' && type[1] <= '9';
}

/* The name of the lane operation: the mnemonic without what is done around it, which goes into `in`. */
static void lane_name(const sim_parse *p, sim_instr *in, char *name, size_t bytes) {
    const char *type = sim__last_part(p);
    size_t n = (size_t)snprintf(name, bytes, "%s", p->part[0]);
    for (uint32_t i = 1; i < p->n_parts && n < bytes; i++) {
        const char *m = p->part[i];
        const sim_round round = rounding(m);
        if (round)
            in->round = (uint8_t)round;
        else if (strcmp(m, "ftz") == 0)
            in->flags |= SIM_FLAG_FTZ;
        else if (strcmp(m, "sat") == 0 && !is_integer_type(type))
            in->flags |= SIM_FLAG_SAT;
        else if (strcmp(m, "full") != 0 && (strcmp(m, "approx") != 0 || strcmp(type, "f64") == 0))
            n += (size_t)snprintf(name + n, bytes - n, ".%s", m);
    }
}

static uint8_t letter_width(char letter) {
    return letter == 'p' ? 0 : letter == 'h' ? 2 : letter == 'w' ? 4 : 8;
}

bool sim__fill_operands(sim_parse *p, sim_instr *in, const char *signature, const sim_args *args) {
    sim_operand *const places[] = {&in->d, &in->a, &in->b, &in->c};
    const size_t n = strlen(signature);
    if (args->n != n)
        return sim__parse_fail(p, "%s with %u operands, not %zu", p->part[0], args->n, n);
    for (size_t i = 0; i < n; i++) {
        if (args->arg[i].negated)
            return sim__parse_fail(p, "%s does not take '!'", p->part[0]);
        if (!sim__arg_operand(p, &args->arg[i], signature[i], places[i]))
            return false;
    }
    if (args->arg[0].kind != SIM_ARG_REGISTER)
        return sim__parse_fail(p, "%s has no register to write to", p->part[0]);
    in->width = letter_width(signature[0]);
    return true;
}

/* ---- counting ---- */

static uint8_t arithmetic_kind(const sim_parse *p) {
    static const char *const special[] = {"rcp", "sqrt", "rsqrt", "ex2", "lg2", "sin", "cos", "tanh"};
    static const char *const moving[] = {"mov", "selp", "slct", "cvt"};
    const char *type = sim__last_part(p);
    const bool is_float = type[0] == 'f' || type[0] == 'b' ? strchr(type, 'f') != NULL : false;
    for (size_t i = 0; i < sizeof special / sizeof *special; i++)
        if (strcmp(p->part[0], special[i]) == 0)
            return SIM_COUNT_special;
    for (size_t i = 0; i < sizeof moving / sizeof *moving; i++)
        if (strcmp(p->part[0], moving[i]) == 0)
            return SIM_COUNT_integer;
    if (is_float && strcmp(p->part[0], "div") == 0)
        return SIM_COUNT_special;
    return is_float ? SIM_COUNT_floating : SIM_COUNT_integer;
}

/* ---- arithmetic ---- */

static bool decode_lanes(sim_parse *p, sim_instr *in, sim_args *args) {
    char name[160];
    lane_name(p, in, name, sizeof name);
    const sim_lane_op *op = sim__lane_find_type(name);
    if (!op)
        return sim__parse_fail(p, "instruction %s is not known", name);
    in->lanes = op->run;
    in->kind = arithmetic_kind(p);
    /* Only f32 flushes; single rounding changes nothing where nothing is rounded. */
    const char *type = sim__last_part(p);
    if (strcmp(type, "f32") != 0 && strchr(type, '6') == NULL)
        in->flags = 0;
    if (in->flags || in->round > SIM_ROUND_RN) {
        in->step = sim__step_modified;
        in->sub = (uint8_t)(strcmp(type, "f32") == 0   ? 'f'
                            : strcmp(type, "f64") == 0 ? 'd'
                            : type[0] == 'b'           ? 'b'
                                                       : 'h');
    }
    return sim__fill_operands(p, in, op->signature, args);
}

/* setp.<compare>{.<and|or|xor>}{.ftz}.<type> p{|q}, a, b{, {!}c}: in `more`, if there is more than p, a and b. */
static bool decode_setp(sim_parse *p, sim_instr *in, sim_args *args) {
    char name[96];
    const char *type = sim__last_part(p);
    const bool pair = strcmp(type, "f16x2") == 0 || strcmp(type, "bf16x2") == 0;
    snprintf(name, sizeof name, "setp.%s.%.*s", p->n_parts > 1 ? p->part[1] : "", pair ? (int)strlen(type) - 2 : 8,
             type);
    const sim_lane_op *op = sim__lane_find_type(name);
    if (!op || args->n < 3)
        return sim__parse_fail(p, "comparison %s is not known", name);
    in->lanes = op->run;
    in->kind = SIM_COUNT_integer;
    const char *combine = sim__has_modifier(p, "and")   ? "and"
                          : sim__has_modifier(p, "or")  ? "or"
                          : sim__has_modifier(p, "xor") ? "xor"
                                                        : "";
    in->flags = sim__has_modifier(p, "ftz") && strcmp(type, "f32") == 0 ? SIM_FLAG_FTZ : 0;
    if (args->n == 3 && args->arg[0].second == SIM_NO_OPERAND && !pair && !in->flags)
        return sim__fill_operands(p, in, op->signature, args);
    sim_setp *more = sim__parse_own(p, sizeof *more);
    if (!more || args->n > 4 || args->arg[0].kind != SIM_ARG_REGISTER || args->arg[0].width != 0)
        return sim__parse_fail(p, "operands of setp");
    *more = (sim_setp){.second = args->arg[0].second, .combine = combine[0], .pair = pair};
    in->step = sim__step_setp;
    in->more = more;
    in->d = args->arg[0].reg;
    if (args->n == 4) {
        more->negated = args->arg[3].negated;
        if (!sim__arg_operand(p, &args->arg[3], 'p', &in->c))
            return false;
    }
    const char letter = pair ? 'w' : op->signature[1];
    return sim__arg_operand(p, &args->arg[1], letter, &in->a) && sim__arg_operand(p, &args->arg[2], letter, &in->b);
}

/* set.<compare>{.ftz}.<result type>.<type> d, a, b: 1.0 or all ones. sub: the result's first letter. */
static bool decode_set(sim_parse *p, sim_instr *in, sim_args *args) {
    char name[96];
    const char *type = sim__last_part(p), *result = p->n_parts > 3 ? p->part[p->n_parts - 2] : "";
    const bool pair = strchr(type, 'x') != NULL;
    snprintf(name, sizeof name, "setp.%s.%.*s", p->part[1], pair ? (int)strlen(type) - 2 : 8, type);
    const sim_lane_op *op = sim__lane_find_type(name);
    uint32_t bytes;
    if (!op || args->n != 3 || !sim__type_bytes(result, strlen(result), &bytes))
        return sim__parse_fail(p, "comparison %s is not known", name);
    sim_setp *more = sim__parse_own(p, sizeof *more);
    if (!more)
        return false;
    more->pair = pair;
    in->lanes = op->run;
    in->step = sim__step_set;
    in->more = more;
    in->kind = SIM_COUNT_integer;
    in->flags = sim__has_modifier(p, "ftz") && strcmp(type, "f32") == 0 ? SIM_FLAG_FTZ : 0;
    in->sub = (uint8_t)result[0];
    const char source = pair ? 'w' : op->signature[1];
    const char signature[] = {bytes == 2 ? 'h' : 'w', source, source, 0};
    return sim__fill_operands(p, in, signature, args);
}

/* slct.<type>.<s32 or f32> */
static bool decode_slct(sim_parse *p, sim_instr *in, sim_args *args) {
    char name[96];
    uint32_t bytes;
    const char *chosen = p->n_parts > 2 ? p->part[p->n_parts - 2] : "";
    if (!sim__type_bytes(chosen, strlen(chosen), &bytes))
        return sim__parse_fail(p, "slct of %s", chosen);
    snprintf(name, sizeof name, "slct.b%u.%s", bytes * 8, sim__last_part(p));
    const sim_lane_op *op = sim__lane_find(name);
    if (!op)
        return sim__parse_fail(p, "instruction %s is not known", name);
    in->lanes = op->run;
    in->kind = SIM_COUNT_integer;
    return sim__fill_operands(p, in, op->signature, args);
}

/* ---- moves ---- */

static bool fill_list(sim_parse *p, const sim_arg *from, unsigned whole, sim_list *out) {
    out->n = from->n_items;
    const unsigned width = from->n_items ? whole / from->n_items : 0;
    const char letter = width == 2 ? 'h' : width == 4 ? 'w' : width == 8 ? 'l' : 0;
    for (uint32_t i = 0; i < from->n_items; i++) {
        out->width[i] = (uint8_t)width;
        out->operand[i] = SIM_NO_OPERAND;
        if (from->items[i].kind == SIM_ARG_NONE)
            continue;
        if (!letter)
            return sim__parse_fail(p, "mov of parts of %u bits", width * 8);
        if (!sim__arg_operand(p, &from->items[i], letter, &out->operand[i]))
            return false;
    }
    return true;
}

/* mov.b32 d, {a, b} and mov.b64 {d, e}, a: the parts in `more`. */
static bool decode_packing(sim_parse *p, sim_instr *in, sim_args *args, unsigned whole) {
    const bool pack = args->arg[1].kind == SIM_ARG_VECTOR;
    sim_list *list = sim__parse_own(p, sizeof *list);
    if (!list || !fill_list(p, &args->arg[pack ? 1 : 0], whole, list))
        return false;
    in->more = list;
    in->step = pack ? sim__step_pack : sim__step_unpack;
    in->width = (uint8_t)whole;
    return sim__arg_operand(p, &args->arg[pack ? 0 : 1], whole == 8 ? 'l' : 'w', pack ? &in->d : &in->a);
}

static bool decode_mov(sim_parse *p, sim_instr *in, sim_args *args) {
    uint32_t bytes;
    const char *type = sim__last_part(p);
    in->kind = SIM_COUNT_integer;
    if (args->n != 2 || !sim__type_bytes(type, strlen(type), &bytes))
        return sim__parse_fail(p, "mov of type %s", type);
    if (args->arg[0].kind == SIM_ARG_VECTOR || args->arg[1].kind == SIM_ARG_VECTOR)
        return decode_packing(p, in, args, bytes);
    if (args->arg[1].kind == SIM_ARG_SPECIAL) {
        in->step = sim__step_clock;
        in->width = (uint8_t)bytes;
        return sim__arg_operand(p, &args->arg[0], bytes == 8 ? 'l' : 'w', &in->d);
    }
    return decode_lanes(p, in, args);
}

/* ---- four sources ---- */

static bool decode_bfi(sim_parse *p, sim_instr *in, sim_args *args) {
    const char letter = strcmp(sim__last_part(p), "b64") == 0 ? 'l' : 'w';
    sim_list *list = sim__parse_own(p, sizeof *list);
    if (!list || args->n != 5 || !sim__arg_operand(p, &args->arg[4], 'w', &list->operand[0]))
        return sim__parse_fail(p, "operands of bfi");
    in->step = sim__step_bfi;
    in->more = list;
    in->kind = SIM_COUNT_integer;
    const char signature[] = {letter, letter, letter, 'w', 0};
    args->n = 4;
    return sim__fill_operands(p, in, signature, args);
}

/* lop3{.and|.or}.b32 d{|p}, a, b, c, table{, {!}q}: sub is the table. */
static bool decode_lop3(sim_parse *p, sim_instr *in, sim_args *args) {
    if (args->n < 5 || args->arg[4].kind != SIM_ARG_INTEGER)
        return sim__parse_fail(p, "lop3 without its table");
    in->step = sim__step_lop3;
    in->sub = (uint8_t)args->arg[4].bits;
    in->kind = SIM_COUNT_integer;
    if (p->n_parts > 2) {
        sim_setp *more = sim__parse_own(p, sizeof *more);
        if (!more || args->n != 6)
            return sim__parse_fail(p, "lop3.%s without a predicate", p->part[1]);
        *more = (sim_setp){.second = args->arg[0].second, .combine = p->part[1][0], .negated = args->arg[5].negated};
        if (!sim__arg_operand(p, &args->arg[5], 'p', &more->source))
            return false;
        in->more = more;
    }
    args->n = 4;
    if (args->arg[0].kind == SIM_ARG_NONE)
        return sim__parse_fail(p, "lop3 without a result");
    return sim__fill_operands(p, in, "wwww", args);
}

/* ---- carries ---- */

/* {add,sub}{c}{.cc}.<type> and mad{c}.<lo|hi>{.cc}.<type> with a carry in or out: sub says which. */
static bool decode_carry(sim_parse *p, sim_instr *in, sim_args *args) {
    const char *name = p->part[0], *type = sim__last_part(p);
    const bool product = name[0] == 'm', takes = strchr(name, 'c') != NULL, gives = sim__has_modifier(p, "cc");
    if (!takes && !gives)
        return decode_lanes(p, in, args);
    in->sub =
        (uint8_t)((takes ? SIM_CARRY_IN : 0) | (gives ? SIM_CARRY_OUT : 0) | (name[0] == 's' ? SIM_CARRY_SUB : 0) |
                  (product ? sim__has_modifier(p, "hi") ? SIM_CARRY_HIGH : SIM_CARRY_LOW : 0));
    in->flags = type[0] == 's';
    in->step = sim__step_carry;
    in->kind = SIM_COUNT_integer;
    return sim__fill_operands(p, in, strchr(type, '6') ? product ? "llll" : "lll" : product ? "wwww" : "www", args);
}

/* ---- all ---- */

static const sim_mnemonic here[] = {
    {"setp", decode_setp}, {"set", decode_set},    {"slct", decode_slct}, {"mov", decode_mov},
    {"add", decode_carry}, {"addc", decode_carry}, {"sub", decode_carry}, {"subc", decode_carry},
    {"mad", decode_carry}, {"madc", decode_carry}, {"bfi", decode_bfi},   {"lop3", decode_lop3},
    {NULL, NULL},
};

bool sim__decode(sim_parse *p, sim_instr *in, sim_args *args) {
    const sim_mnemonic *const tables[] = {here, sim__mnemonics_memory, sim__mnemonics_control, sim__mnemonics_warp,
                                          sim__mnemonics_convert};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const sim_mnemonic *m = tables[t]; m->name; m++)
            if (strcmp(m->name, p->part[0]) == 0)
                return m->decode(p, in, args);
    return decode_lanes(p, in, args);
}
