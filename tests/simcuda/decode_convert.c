/* cvt. The usual ones are lane operations; all others are taken apart: `more` says from what, how and to what. */
#include "parse.h"
#include "steps.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool number_type(const char *name, sim_number *type) {
    static const struct {
        const char *name;
        char kind;
    } kinds[] = {{"bf", 'b'}, {"f", 'f'}, {"s", 's'}, {"u", 'u'}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const size_t n = strlen(kinds[i].name);
        if (strncmp(name, kinds[i].name, n) == 0 && name[n] >= '1' && name[n] <= '8' && !strchr(name, 'x')) {
            *type = (sim_number){kinds[i].kind, (uint8_t)(atoi(name + n) / 8)};
            return true;
        }
    }
    return false;
}

/* The whole mnemonic as the tables have it, without what is flags. */
static bool usual(sim_parse *p, sim_instr *in, const sim_args *args) {
    char name[96];
    size_t n = (size_t)snprintf(name, sizeof name, "cvt");
    for (uint32_t i = 1; i < p->n_parts && n < sizeof name; i++)
        if (!(strcmp(p->part[i], "sat") == 0 && strcmp(p->part[1], "pack") == 0))
            n += (size_t)snprintf(name + n, sizeof name - n, ".%s", p->part[i]);
    const sim_lane_op *op = sim__lane_find(name);
    if (!op)
        return false;
    for (uint32_t i = 0; i < args->n && op->signature[i]; i++) {
        const unsigned width = op->signature[i] == 'h' ? 2 : op->signature[i] == 'w' ? 4 : 8;
        if (args->arg[i].kind == SIM_ARG_REGISTER && args->arg[i].width != width)
            return false; /* wider registers than types */
    }
    in->lanes = op->run;
    return sim__fill_operands(p, in, op->signature, args);
}

static sim_round integer_rounding(const sim_parse *p) {
    static const struct {
        const char *name;
        sim_round round;
    } all[] = {{"rni", SIM_ROUND_RN}, {"rzi", SIM_ROUND_RZ}, {"rmi", SIM_ROUND_RM}, {"rpi", SIM_ROUND_RP}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (sim__has_modifier(p, all[i].name))
            return all[i].round;
    return SIM_ROUND_DEFAULT;
}

static sim_round result_rounding(const sim_parse *p) {
    return sim__has_modifier(p, "rz")   ? SIM_ROUND_RZ
           : sim__has_modifier(p, "rm") ? SIM_ROUND_RM
           : sim__has_modifier(p, "rp") ? SIM_ROUND_RP
                                        : SIM_ROUND_RN;
}

static bool decode_cvt(sim_parse *p, sim_instr *in, sim_args *args) {
    in->kind = SIM_COUNT_integer;
    if (usual(p, in, args))
        return true;
    sim_conversion *c = sim__parse_own(p, sizeof *c);
    if (p->failed || !c || p->n_parts < 3)
        return sim__parse_fail(p, "operands of cvt");
    const char *to = p->part[p->n_parts - 2], *from = p->part[p->n_parts - 1];
    if (args->n != 2 || !number_type(to, &c->to) || !number_type(from, &c->from))
        return sim__parse_fail(p, "cvt from %s to %s", from, to);
    *c = (sim_conversion){.to = c->to,
                          .from = c->from,
                          .integral = integer_rounding(p),
                          .round = result_rounding(p),
                          .ftz = sim__has_modifier(p, "ftz"),
                          .sat = sim__has_modifier(p, "sat"),
                          .satfinite = sim__has_modifier(p, "satfinite"),
                          .relu = sim__has_modifier(p, "relu")};
    const sim_arg *d = &args->arg[0], *a = &args->arg[1];
    c->d_width = d->width;
    c->a_width = a->kind == SIM_ARG_REGISTER ? a->width : sim__register_width(c->from.bytes);
    static const char letters[] = {[2] = 'h', [4] = 'w', [8] = 'l'};
    if (d->kind != SIM_ARG_REGISTER || c->d_width < c->to.bytes || c->a_width < c->from.bytes || !c->d_width)
        return sim__parse_fail(p, "cvt from %s to %s with registers too narrow", from, to);
    in->step = sim__step_convert;
    in->more = c;
    in->width = c->d_width;
    return sim__arg_operand(p, d, letters[c->d_width], &in->d) && sim__arg_operand(p, a, letters[c->a_width], &in->a);
}

const sim_mnemonic sim__mnemonics_convert[] = {{"cvt", decode_cvt}, {NULL, NULL}};
