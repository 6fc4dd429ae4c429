/* Instructions across the lanes of a warp. */
#include "matrix.h"
#include "parse.h"
#include "steps.h"
#include <string.h>

/* shfl.sync.<mode>.b32 d|p, a, b, c, lanes: `more` lists b, c, lanes and p. */
static bool decode_shfl(sim_parse *p, sim_instr *in, sim_args *args) {
    const char *modes[] = {"up", "down", "bfly", "idx"};
    sim_list *list = sim__parse_own(p, sizeof *list);
    if (!list || args->n != 5 || !sim__has_modifier(p, "sync"))
        return sim__parse_fail(p, "operands of shfl.sync");
    in->step = sim__step_shuffle;
    in->kind = SIM_COUNT_control;
    in->more = list;
    in->width = 4;
    for (uint8_t i = 0; i < 4; i++)
        if (sim__has_modifier(p, modes[i]))
            in->sub = i;
    list->operand[3] = args->arg[0].second;
    for (int i = 0; i < 3; i++)
        if (!sim__arg_operand(p, &args->arg[2 + i], 'w', &list->operand[i]))
            return false;
    return sim__arg_operand(p, &args->arg[0], 'w', &in->d) && sim__arg_operand(p, &args->arg[1], 'w', &in->a);
}

/* vote.sync.<mode> d, {!}p, lanes: a the predicate, b the lanes. */
static bool decode_vote(sim_parse *p, sim_instr *in, sim_args *args) {
    if (args->n != 3 || !sim__has_modifier(p, "sync"))
        return sim__parse_fail(p, "operands of vote.sync");
    in->step = sim__step_vote;
    in->kind = SIM_COUNT_control;
    in->sub = sim__has_modifier(p, "ballot") ? SIM_VOTE_BALLOT
              : sim__has_modifier(p, "all")  ? SIM_VOTE_ALL
              : sim__has_modifier(p, "any")  ? SIM_VOTE_ANY
                                             : SIM_VOTE_UNI;
    in->width = in->sub == SIM_VOTE_BALLOT ? 4 : 0;
    in->negated |= args->arg[1].negated ? 2 : 0;
    return sim__arg_operand(p, &args->arg[0], in->width ? 'w' : 'p', &in->d) &&
           sim__arg_operand(p, &args->arg[1], 'p', &in->a) && sim__arg_operand(p, &args->arg[2], 'w', &in->b);
}

/* match.<any|all>.sync.<type> d{|p}, a, lanes: target is p. */
static bool decode_match(sim_parse *p, sim_instr *in, sim_args *args) {
    if (args->n != 3)
        return sim__parse_fail(p, "operands of match");
    in->step = sim__step_match;
    in->kind = SIM_COUNT_control;
    in->sub = sim__has_modifier(p, "all");
    in->target = args->arg[0].second;
    in->width = strcmp(sim__last_part(p), "b64") == 0 ? 8 : 4; /* of the source */
    return sim__arg_operand(p, &args->arg[0], 'w', &in->d) &&
           sim__arg_operand(p, &args->arg[1], in->width == 8 ? 'l' : 'w', &in->a) &&
           sim__arg_operand(p, &args->arg[2], 'w', &in->b);
}

/* redux.sync.<op>.<type> d, a, lanes */
static bool decode_redux(sim_parse *p, sim_instr *in, sim_args *args) {
    static const char *const names[] = {"add", "min", "max", "and", "or", "xor"};
    in->step = sim__step_reduce;
    in->kind = SIM_COUNT_control;
    in->flags = sim__last_part(p)[0] == 's';
    for (uint8_t i = 0; i < 6; i++)
        if (sim__has_modifier(p, names[i]))
            in->sub = i;
    return sim__fill_operands(p, in, "www", args);
}

static bool decode_activemask(sim_parse *p, sim_instr *in, sim_args *args) {
    in->step = sim__step_activemask;
    in->kind = SIM_COUNT_control;
    return sim__fill_operands(p, in, "w", args);
}

/* ---- matrices ---- */

static bool matrix_type(const char *name, sim_matrix_type *type) {
    static const char *const names[] = {
        [SIM_MATRIX_F16] = "f16", [SIM_MATRIX_BF16] = "bf16", [SIM_MATRIX_TF32] = "tf32", [SIM_MATRIX_F32] = "f32",
        [SIM_MATRIX_S8] = "s8",   [SIM_MATRIX_U8] = "u8",     [SIM_MATRIX_S32] = "s32"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0) {
            *type = (sim_matrix_type)i;
            return true;
        }
    return false;
}

/* "m16n8k8" */
static bool matrix_shape(const sim_parse *p, sim_mma *mma) {
    for (uint32_t i = 1; i < p->n_parts; i++) {
        const char *s = p->part[i];
        unsigned value[3] = {0, 0, 0};
        int at = -1;
        for (; *s; s++) {
            if (*s == "mnk"[at + 1 > 2 ? 2 : at + 1] && at < 2)
                at++;
            else if (at >= 0 && *s >= '0' && *s <= '9')
                value[at] = value[at] * 10 + (unsigned)(*s - '0');
            else
                break;
        }
        if (*s == 0 && at == 2) {
            mma->m = (uint8_t)value[0];
            mma->n = (uint8_t)value[1];
            mma->k = (uint8_t)value[2];
            return true;
        }
    }
    return false;
}

/* d, a, b, c: each a list of registers, or one. `more`: sim_mma_operands. */
static bool decode_mma(sim_parse *p, sim_instr *in, sim_args *args) {
    sim_mma_operands *more = sim__parse_own(p, sizeof *more);
    if (!more || args->n != 4 || p->n_parts < 6)
        return sim__parse_fail(p, "operands of mma");
    sim_mma *mma = &more->mma;
    sim_matrix_type *const types[] = {&mma->d, &mma->a, &mma->b, &mma->c};
    for (int i = 0; i < 4; i++)
        if (!matrix_type(p->part[p->n_parts - 4 + (uint32_t)i], types[i]))
            return sim__parse_fail(p, "mma of type %s", p->part[p->n_parts - 4 + (uint32_t)i]);
    mma->satfinite = sim__has_modifier(p, "satfinite");
    if (!matrix_shape(p, mma) || !sim_mma_describe(mma, &more->count) || !sim__has_modifier(p, "row") ||
        !sim__has_modifier(p, "col"))
        return sim__parse_fail(p, "sm_80 has no mma of this shape, layout and these types");
    const uint8_t counts[] = {more->count.d, more->count.a, more->count.b, more->count.c};
    sim_operand *const places[] = {more->d, more->a, more->b, more->c};
    for (int i = 0; i < 4; i++) {
        const sim_arg *arg = &args->arg[i], *items = arg->kind == SIM_ARG_VECTOR ? arg->items : arg;
        if ((arg->kind == SIM_ARG_VECTOR ? arg->n_items : 1) != counts[i])
            return sim__parse_fail(p, "mma with %u registers where it has %u", arg->n_items, counts[i]);
        for (unsigned r = 0; r < counts[i]; r++)
            if (!sim__arg_operand(p, &items[r], 'w', &places[i][r]))
                return false;
    }
    in->step = sim__step_mma;
    in->more = more;
    return true;
}

/* ldmatrix.sync.aligned.m8n8.x<n>{.trans}.shared.b16 {d...}, [address]: sub is whether transposed. */
static bool decode_ldmatrix(sim_parse *p, sim_instr *in, sim_args *args) {
    sim_access *a = sim__parse_own(p, sizeof *a);
    if (!a || args->n != 2 || args->arg[1].kind != SIM_ARG_ADDRESS || !sim__has_modifier(p, "m8n8"))
        return sim__parse_fail(p, "operands of ldmatrix");
    const sim_arg *arg = &args->arg[0], *items = arg->kind == SIM_ARG_VECTOR ? arg->items : arg;
    *a = (sim_access){.address = args->arg[1].reg,
                      .offset = args->arg[1].offset,
                      .address_bytes = args->arg[1].width,
                      .space = SIM_SPACE_SHARED,
                      .size = 16};
    a->vector = sim__has_modifier(p, "x4") ? 4 : sim__has_modifier(p, "x2") ? 2 : 1;
    if ((arg->kind == SIM_ARG_VECTOR ? arg->n_items : 1) != a->vector)
        return sim__parse_fail(p, "ldmatrix.x%d with another number of registers", a->vector);
    for (unsigned i = 0; i < a->vector; i++)
        if (!sim__arg_operand(p, &items[i], 'w', &a->reg[i]))
            return false;
    if (!sim__has_modifier(p, "shared") && !sim__has_modifier(p, "shared::cta"))
        a->space = SIM_SPACE_GENERIC;
    in->step = sim__step_ldmatrix;
    in->sub = sim__has_modifier(p, "trans");
    in->more = a;
    return true;
}

static bool decode_movmatrix(sim_parse *p, sim_instr *in, sim_args *args) {
    in->step = sim__step_movmatrix;
    in->kind = SIM_COUNT_control;
    return sim__fill_operands(p, in, "ww", args);
}

const sim_mnemonic sim__mnemonics_warp[] = {
    {"shfl", decode_shfl},
    {"vote", decode_vote},
    {"match", decode_match},
    {"redux", decode_redux},
    {"mma", decode_mma},
    {"activemask", decode_activemask},
    {"ldmatrix", decode_ldmatrix},
    {"movmatrix", decode_movmatrix},
    {NULL, NULL},
};
