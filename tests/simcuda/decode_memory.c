/* Loads, stores, atomics, async copies and addresses. */
#include "parse.h"
#include "steps.h"
#include <string.h>

static bool space_of(const sim_parse *p, sim_space *space) {
    static const struct {
        const char *name;
        sim_space space;
    } all[] = {{"global", SIM_SPACE_GLOBAL},      {"const", SIM_SPACE_GLOBAL},     {"shared", SIM_SPACE_SHARED},
               {"shared::cta", SIM_SPACE_SHARED}, {"local", SIM_SPACE_LOCAL},      {"param", SIM_SPACE_PARAM},
               {"param::entry", SIM_SPACE_PARAM}, {"param::func", SIM_SPACE_PARAM}};
    for (uint32_t i = 1; i < p->n_parts; i++)
        for (size_t j = 0; j < sizeof all / sizeof *all; j++)
            if (strcmp(p->part[i], all[j].name) == 0) {
                *space = all[j].space;
                return true;
            }
    *space = SIM_SPACE_GENERIC;
    return false;
}

/* Everything but the registers. */
static sim_access *access_of(sim_parse *p, const sim_arg *at) {
    const char *type = sim__last_part(p);
    uint32_t bytes;
    sim_space space;
    sim_access *a = sim__parse_own(p, sizeof *a);
    if (!a || at->kind != SIM_ARG_ADDRESS || !sim__type_bytes(type, strlen(type), &bytes) || bytes == 0) {
        sim__parse_fail(p, "%s of type %s, or without an address", p->part[0], type);
        return NULL;
    }
    space_of(p, &space);
    if (space == SIM_SPACE_PARAM && !(at->symbol && at->symbol->space == SIM_SPACE_PARAM) && !p->kernel)
        space = SIM_SPACE_LOCAL; /* of functions and their arguments */
    if (at->symbol && at->symbol->space == SIM_SPACE_LOCAL)
        space = SIM_SPACE_LOCAL;
    *a = (sim_access){.address = at->reg,
                      .offset = at->offset,
                      .address_bytes = at->width,
                      .space = (uint8_t)space,
                      .size = (uint8_t)bytes,
                      .vector = 1,
                      .is_signed = type[0] == 's'};
    for (size_t i = 0; i < sizeof a->type - 1 && type[i]; i++)
        a->type[i] = type[i];
    if (sim__has_modifier(p, "v2"))
        a->vector = 2;
    else if (sim__has_modifier(p, "v4"))
        a->vector = 4;
    return a;
}

/* The registers of a load or store; wider ones than the type are allowed. An immediate is one as wide as its type. */
static bool access_registers(sim_parse *p, sim_access *a, const sim_arg *data) {
    const sim_arg *items = data->kind == SIM_ARG_VECTOR ? data->items : data;
    if ((data->kind == SIM_ARG_VECTOR ? data->n_items : 1) != a->vector)
        return sim__parse_fail(p, "%s.v%d with another number of registers", p->part[0], a->vector);
    a->register_bytes = sim__register_width(a->size);
    for (unsigned i = 0; i < a->vector; i++)
        if (items[i].kind == SIM_ARG_REGISTER && items[i].width > a->register_bytes)
            a->register_bytes = items[i].width;
    const char letter = a->register_bytes == 2 ? 'h' : a->register_bytes == 4 ? 'w' : 'l';
    for (unsigned i = 0; i < a->vector; i++) {
        a->reg[i] = SIM_NO_OPERAND;
        if (items[i].kind != SIM_ARG_NONE && !sim__arg_operand(p, &items[i], letter, &a->reg[i]))
            return false;
    }
    return true;
}

static bool decode_load(sim_parse *p, sim_instr *in, sim_args *args) {
    sim_access *a = args->n == 2 ? access_of(p, &args->arg[1]) : NULL;
    if (!a)
        return sim__parse_fail(p, "operands of ld");
    in->step = sim__step_load;
    in->more = in->access = a;
    return access_registers(p, a, &args->arg[0]);
}

static bool decode_store(sim_parse *p, sim_instr *in, sim_args *args) {
    sim_access *a = args->n == 2 ? access_of(p, &args->arg[0]) : NULL;
    if (!a)
        return sim__parse_fail(p, "operands of st");
    if (a->space == SIM_SPACE_PARAM)
        return sim__parse_fail(p, "a store to a kernel's parameters");
    in->step = sim__step_store;
    in->more = a;
    return access_registers(p, a, &args->arg[1]);
}

/* ---- atomics: reg[0] the old value, reg[1] and reg[2] the operands ---- */

static bool atomic_operation(sim_parse *p, sim_atomic *operation) {
    static const char *const names[] = {
#define NAME(name) #name,
        SIM_ATOMIC_MAP(NAME)
#undef NAME
    };
    for (uint32_t i = 1; i < p->n_parts; i++)
        for (int o = 0; o < SIM_ATOMICS; o++)
            if (strcmp(p->part[i], names[o]) == 0) {
                *operation = (sim_atomic)o;
                return true;
            }
    return sim__parse_fail(p, "%s of an operation that is not known", p->part[0]);
}

static bool decode_atomic(sim_parse *p, sim_instr *in, sim_args *args) {
    sim_atomic operation;
    const bool returns = strcmp(p->part[0], "atom") == 0;
    const uint32_t first = returns ? 1 : 0; /* the address */
    if (!atomic_operation(p, &operation))
        return false;
    sim_access *a = args->n > first ? access_of(p, &args->arg[first]) : NULL;
    if (!a || args->n != first + (operation == SIM_ATOMIC_cas ? 3 : 2))
        return sim__parse_fail(p, "operands of %s", p->part[0]);
    a->register_bytes = a->size;
    const char letter = a->size == 2 ? 'h' : a->size == 4 ? 'w' : 'l';
    a->reg[0] = a->reg[2] = SIM_NO_OPERAND;
    for (uint32_t i = first + 1; i < args->n; i++)
        if (!sim__arg_operand(p, &args->arg[i], letter, &a->reg[i - first]))
            return false;
    if (returns && args->arg[0].kind != SIM_ARG_NONE && !sim__arg_operand(p, &args->arg[0], letter, &a->reg[0]))
        return false;
    in->step = sim__step_atomic;
    in->more = a;
    in->sub = (uint8_t)operation;
    in->kind = SIM_COUNT_atomics;
    return true;
}

/* ---- async copies: a is the destination, b the source, c how many bytes of it or whether none; sub what c is ---- */

static bool copy_address(sim_parse *p, const sim_arg *at, sim_access *a) {
    if (at->kind != SIM_ARG_ADDRESS)
        return sim__parse_fail(p, "cp.async without an address");
    a->address = at->reg;
    a->offset = at->offset;
    a->address_bytes = at->width;
    return true;
}

static bool decode_copy_data(sim_parse *p, sim_instr *in, sim_args *args) {
    sim_access *both = sim__parse_own(p, 2 * sizeof *both);
    if (!both || args->n < 3 || args->n > 4 || args->arg[2].kind != SIM_ARG_INTEGER)
        return sim__parse_fail(p, "operands of cp.async");
    const uint64_t bytes = args->arg[2].bits;
    const bool cg = sim__has_modifier(p, "cg");
    if (bytes != 16 && (cg || (bytes != 4 && bytes != 8)))
        return sim__parse_fail(p, "cp.async.%s of %llu bytes", cg ? "cg" : "ca", (unsigned long long)bytes);
    both[0].space = SIM_SPACE_SHARED;
    both[1].space = SIM_SPACE_GLOBAL;
    both[0].size = both[1].size = (uint8_t)bytes;
    both[0].vector = both[1].vector = 1;
    in->step = sim__step_copy;
    in->more = both;
    in->sub = SIM_COPY_ALL;
    if (args->n == 4) {
        const bool ignore = args->arg[3].kind == SIM_ARG_REGISTER && args->arg[3].width == 0;
        in->sub = ignore ? SIM_COPY_IGNORE : SIM_COPY_BYTES;
        in->negated |= ignore && args->arg[3].negated ? 2 : 0;
        if (!sim__arg_operand(p, &args->arg[3], ignore ? 'p' : 'w', &in->c))
            return false;
    }
    return copy_address(p, &args->arg[0], &both[0]) && copy_address(p, &args->arg[1], &both[1]);
}

static bool decode_copy(sim_parse *p, sim_instr *in, sim_args *args) {
    if (p->n_parts < 3 || strcmp(p->part[1], "async") != 0)
        return sim__parse_fail(p, "only cp.async is known");
    if (strcmp(p->part[2], "commit_group") == 0) {
        in->step = sim__step_commit;
        return true;
    }
    if (strcmp(p->part[2], "wait_all") == 0) {
        in->step = sim__step_wait;
        in->sub = SIM_WAIT_ALL;
        return true;
    }
    if (strcmp(p->part[2], "wait_group") == 0) {
        if (args->n != 1 || args->arg[0].kind != SIM_ARG_INTEGER)
            return sim__parse_fail(p, "cp.async.wait_group without a number");
        in->step = sim__step_wait;
        in->target = (uint32_t)args->arg[0].bits;
        return true;
    }
    return decode_copy_data(p, in, args);
}

/* ---- addresses ---- */

/* cvta{.to}.<space>.u64 d, a: target is the window's index, sub whether to the space. */
static bool decode_cvta(sim_parse *p, sim_instr *in, sim_args *args) {
    sim_space space;
    if (!space_of(p, &space))
        return sim__parse_fail(p, "cvta without a state space");
    const char letter = strcmp(sim__last_part(p), "u32") == 0 ? 'w' : 'l';
    in->step = sim__step_cvta;
    in->sub = sim__has_modifier(p, "to");
    in->target = space;
    in->kind = SIM_COUNT_integer;
    return sim__fill_operands(p, in, letter == 'l' ? "ll" : "ww", args);
}

static bool decode_isspacep(sim_parse *p, sim_instr *in, sim_args *args) {
    sim_space space;
    if (!space_of(p, &space))
        return sim__parse_fail(p, "isspacep without a state space");
    in->step = sim__step_isspacep;
    in->target = space;
    in->kind = SIM_COUNT_integer;
    return sim__fill_operands(p, in, "pl", args);
}

static bool decode_prefetch(sim_parse *p, sim_instr *in, sim_args *args) {
    (void)p;
    (void)args;
    in->step = sim__step_nothing;
    return true;
}

const sim_mnemonic sim__mnemonics_memory[] = {
    {"ld", decode_load},           {"ldu", decode_load},
    {"st", decode_store},          {"atom", decode_atomic},
    {"red", decode_atomic},        {"cp", decode_copy},
    {"cvta", decode_cvta},         {"isspacep", decode_isspacep},
    {"prefetch", decode_prefetch}, {"prefetchu", decode_prefetch},
    {"discard", decode_prefetch},  {NULL, NULL},
};
