/* Branches, calls, barriers. */
#include "parse.h"
#include "steps.h"
#include <string.h>

static bool note_jump(sim_parse *p, const sim_arg *to) {
    if (to->kind != SIM_ARG_NAME)
        return sim__parse_fail(p, "%s without a label", p->part[0]);
    if (!sim__grow(p, &p->jumps, &p->max_jumps, p->n_jumps, sizeof *p->jumps))
        return false;
    p->jumps[p->n_jumps++] = (sim_label){to->text, to->length, p->scope, p->module->n_code};
    return true;
}

static bool decode_bra(sim_parse *p, sim_instr *in, sim_args *args) {
    in->step = sim__step_branch;
    in->kind = SIM_COUNT_control;
    return args->n == 1 ? note_jump(p, &args->arg[0]) : sim__parse_fail(p, "operands of bra");
}

static bool decode_brx(sim_parse *p, sim_instr *in, sim_args *args) {
    in->step = sim__step_branch_table;
    in->kind = SIM_COUNT_control;
    in->sub = SIM_BRANCH_TABLE;
    if (args->n != 2 || !sim__arg_operand(p, &args->arg[0], 'w', &in->a))
        return sim__parse_fail(p, "operands of brx.idx");
    return note_jump(p, &args->arg[1]);
}

static bool call_places(sim_parse *p, const sim_arg *from, uint32_t max, sim_formal *out, uint32_t *n) {
    for (*n = 0; *n < from->n_items; ++*n) {
        const sim_arg *one = &from->items[*n];
        if (*n == max || one->kind != SIM_ARG_VARIABLE || one->symbol->space != SIM_SPACE_LOCAL)
            return sim__parse_fail(p, "an argument of a call that is no .param variable");
        out[*n] = (sim_formal){(uint32_t)one->symbol->address, one->symbol->bytes};
    }
    return true;
}

/* call (results), name, (parameters); each list may be missing. */
static bool decode_call(sim_parse *p, sim_instr *in, sim_args *args) {
    sim_call *call = sim__parse_own(p, sizeof *call);
    if (!call)
        return false;
    uint32_t at = 0;
    if (at < args->n && args->arg[at].kind == SIM_ARG_VECTOR)
        if (!call_places(p, &args->arg[at++], 4, call->results, &call->n_results))
            return false;
    if (at == args->n || args->arg[at].kind != SIM_ARG_NAME)
        return sim__parse_fail(p, "a call through a pointer");
    const sim_arg *name = &args->arg[at++];
    if (!sim__function_find(p->module, name->text, name->length, &call->function))
        return sim__parse_fail(p, "no function %.*s", (int)name->length, name->text);
    if (at < args->n && args->arg[at].kind == SIM_ARG_VECTOR)
        if (!call_places(p, &args->arg[at], SIM_FORMALS, call->params, &call->n_params))
            return false;
    in->step = sim__step_call;
    in->kind = SIM_COUNT_control;
    in->more = call;
    return true;
}

static bool decode_plain(sim_parse *p, sim_instr *in, sim_args *args) {
    static const struct {
        const char *name;
        sim_step_fn *step;
    } all[] = {{"ret", sim__step_return},        {"exit", sim__step_exit},      {"trap", sim__step_trap},
               {"brkpt", sim__step_trap},        {"membar", sim__step_nothing}, {"fence", sim__step_nothing},
               {"nanosleep", sim__step_nothing}, {"pmevent", sim__step_nothing}};
    (void)args;
    in->kind = SIM_COUNT_control;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(p->part[0], all[i].name) == 0)
            in->step = all[i].step;
    return true;
}

/* bar{.cta}.{sync|arrive|red.<op>}, barrier...: sub the form, a the number, b the threads (target: whether given), d
 * and c of red. bar.warp.sync: a the lanes. */
static bool decode_bar(sim_parse *p, sim_instr *in, sim_args *args) {
    in->kind = SIM_COUNT_control;
    if (sim__has_modifier(p, "warp")) {
        in->step = sim__step_warp_barrier;
        return args->n == 1 ? sim__arg_operand(p, &args->arg[0], 'w', &in->a) : sim__parse_fail(p, "operands of bar");
    }
    in->step = sim__step_barrier;
    const bool reduce = sim__has_modifier(p, "red");
    in->sub = !reduce                        ? sim__has_modifier(p, "arrive") ? SIM_BAR_ARRIVE : SIM_BAR_SYNC
              : sim__has_modifier(p, "popc") ? SIM_BAR_POPC
              : sim__has_modifier(p, "and")  ? SIM_BAR_AND
                                             : SIM_BAR_OR;
    uint32_t at = 0, last = args->n;
    if (reduce) {
        if (args->n < 3)
            return sim__parse_fail(p, "operands of %s.red", p->part[0]);
        in->width = in->sub == SIM_BAR_POPC ? 4 : 0;
        const sim_arg *source = &args->arg[--last];
        if (!sim__arg_operand(p, &args->arg[at++], in->width ? 'w' : 'p', &in->d) ||
            !sim__arg_operand(p, source, 'p', &in->c))
            return false;
        in->negated |= source->negated ? 2 : 0;
    }
    if (at < last && !sim__arg_operand(p, &args->arg[at++], 'w', &in->a))
        return false;
    if (at < last) {
        in->target = 1;
        return sim__arg_operand(p, &args->arg[at], 'w', &in->b);
    }
    return in->sub != SIM_BAR_ARRIVE || sim__parse_fail(p, "%s.arrive without threads", p->part[0]);
}

const sim_mnemonic sim__mnemonics_control[] = {
    {"bra", decode_bra},       {"brx", decode_brx},    {"call", decode_call},   {"ret", decode_plain},
    {"exit", decode_plain},    {"trap", decode_plain}, {"brkpt", decode_plain}, {"membar", decode_plain},
    {"fence", decode_plain},   {"bar", decode_bar},    {"barrier", decode_bar}, {"nanosleep", decode_plain},
    {"pmevent", decode_plain}, {NULL, NULL},
};
