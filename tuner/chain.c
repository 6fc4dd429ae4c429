#include "chain.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { PART_ALIGN_BYTES = 1024 };

/* One part on its way into the composite. */
typedef struct {
    const kiln_part *part;
    const kiln_lowering *from;
    kiln_lowering *to;
    size_t workspace_base;                /* of the part's own workspace */
    uint32_t units[KILN_MAX_UNITS];       /* part's -> composite's */
    kiln_arg operands[KILN_MAX_OPERANDS]; /* part's -> operand or workspace of the composite */
} splice;

static kiln_status too_large(const splice *s, const char *what) {
    return kiln_fail(KILN_E_UNSUPPORTED, "part %s: with it the chain has too many %s", s->part->problem, what);
}

/* ---- units: those that are alike are shared ---- */

static kiln_status splice_units(splice *s) {
    for (size_t i = 0; i < s->from->n_units; i++) {
        const kiln_unit *unit = &s->from->units[i];
        size_t k = 0;
        while (k < s->to->n_units &&
               (s->to->units[k].source != unit->source || strcmp(s->to->units[k].defines, unit->defines) != 0))
            k++;
        if (k == KILN_MAX_UNITS)
            return too_large(s, "programs");
        if (k == s->to->n_units) {
            s->to->units[k] = *unit;
            s->to->units[k].module = NULL;
            s->to->n_units++;
        }
        s->units[i] = (uint32_t)k;
    }
    return KILN_OK;
}

/* ---- operands ---- */

static size_t n_packed(const kiln_lowering *l) {
    size_t n = 0;
    for (size_t i = 0; i < l->n_operands; i++)
        n += l->operands[i].role == KILN_ROLE_PACKED;
    return n;
}

static kiln_status splice_packed(splice *s, const kiln_operand *operand, kiln_arg *out) {
    static const char *const names[] = {"packed.0", "packed.1", "packed.2", "packed.3",
                                        "packed.4", "packed.5", "packed.6", "packed.7"};
    const size_t n = n_packed(s->to);
    if (s->to->n_operands == KILN_MAX_OPERANDS || n == sizeof names / sizeof *names)
        return too_large(s, "operands");
    *out = (kiln_arg){.kind = KILN_ARG_OPERAND, .operand = (uint32_t)s->to->n_operands};
    s->to->operands[s->to->n_operands] = *operand;
    s->to->operands[s->to->n_operands++].name = names[n];
    return KILN_OK;
}

/* Where an operand of the part is: the composite's author says so, so what does not fit is our mistake. */
static kiln_status find_place(const splice *s, const kiln_operand *operand, kiln_arg *out) {
    for (size_t i = 0; i < s->part->n_places; i++)
        if (strcmp(s->part->places[i].name, operand->name) == 0) {
            *out = s->part->places[i].place;
            break;
        }
    if (out->kind == KILN_ARG_OPERAND && out->operand == UINT32_MAX) {
        const int same = kiln__lower_find(s->to, operand->name);
        if (same < 0)
            return kiln_fail(KILN_E_INTERNAL, "part %s: nothing is said of its operand %s", s->part->problem,
                             operand->name);
        out->operand = (uint32_t)same;
    }
    const size_t bytes = out->kind == KILN_ARG_OPERAND ? s->to->operands[out->operand].bytes : s->workspace_base;
    if (out->offset_bytes > bytes || bytes - out->offset_bytes < operand->bytes)
        return kiln_fail(KILN_E_INTERNAL, "part %s: operand %s has %zu bytes and its place fewer", s->part->problem,
                         operand->name, operand->bytes);
    return KILN_OK;
}

static kiln_status splice_operands(splice *s) {
    for (size_t i = 0; i < s->from->n_operands; i++) {
        const kiln_operand *operand = &s->from->operands[i];
        s->operands[i] = (kiln_arg){.kind = KILN_ARG_OPERAND, .operand = UINT32_MAX};
        KILN_TRY(operand->role == KILN_ROLE_PACKED ? splice_packed(s, operand, &s->operands[i])
                                                   : find_place(s, operand, &s->operands[i]));
    }
    return KILN_OK;
}

/* ---- steps ---- */

static kiln_status splice_arg(const splice *s, kiln_arg *arg) {
    const size_t offset_bytes = arg->offset_bytes;
    switch (arg->kind) {
    case KILN_ARG_OPERAND:
        *arg = s->operands[arg->operand];
        arg->offset_bytes += offset_bytes;
        return KILN_OK;
    case KILN_ARG_WORKSPACE:
        arg->offset_bytes += s->workspace_base;
        return KILN_OK;
    case KILN_ARG_TENSOR_MAP:
        if (s->operands[arg->operand].kind != KILN_ARG_OPERAND)
            return kiln_fail(KILN_E_UNSUPPORTED, "part %s: a tensor map of the workspace", s->part->problem);
        arg->operand = s->operands[arg->operand].operand;
        return KILN_OK;
    case KILN_ARG_I32:
    case KILN_ARG_F32:
    case KILN_ARG_LOCAL:
        return KILN_OK;
    }
    return kiln_fail(KILN_E_INTERNAL, "part %s: unknown kind of argument", s->part->problem);
}

static kiln_status splice_step(const splice *s, kiln_step *step) {
    switch (step->kind) {
    case KILN_STEP_KERNEL:
        step->kernel.unit = s->units[step->kernel.unit];
        for (size_t i = 0; i < step->kernel.n_args; i++)
            KILN_TRY(splice_arg(s, &step->kernel.args[i]));
        return KILN_OK;
    case KILN_STEP_COPY:
        KILN_TRY(splice_arg(s, &step->copy.destination));
        return splice_arg(s, &step->copy.source);
    case KILN_STEP_FILL:
        return splice_arg(s, &step->fill.destination);
    case KILN_STEP_CALL:
        break;
    }
    return kiln_fail(KILN_E_UNSUPPORTED, "part %s: its opaque call takes operands by their number", s->part->problem);
}

static kiln_status splice_steps(const splice *s, const kiln_step *from, size_t n_from, kiln_step *to, size_t *n_to) {
    for (size_t i = 0; i < n_from; i++) {
        if (*n_to == KILN_MAX_STEPS)
            return too_large(s, "steps");
        to[*n_to] = from[i];
        KILN_TRY(splice_step(s, &to[(*n_to)++]));
    }
    return KILN_OK;
}

/* ---- parts ---- */

kiln_status kiln__chain_parts(kiln_device *device, const kiln_problem *problem, const kiln_candidate *c,
                              kiln_lowering **out) {
    const kiln_caps *caps = kiln__device_caps(device);
    *out = NULL;
    if (c->variant->source || kiln__variant_reject(c->variant, problem, caps))
        return KILN_OK;
    kiln_lowering *l = kiln__alloc(device->context, sizeof *l);
    if (!l)
        return KILN_E_MEMORY;
    const kiln_status status = kiln__variant_lower(c->variant, problem, &c->config, caps, l);
    if (status == KILN_OK && l->n_parts > 0) {
        *out = l;
        return KILN_OK;
    }
    kiln__free(device->context, l);
    return status;
}

static kiln_status plan_part(kiln_device *device, kiln_effort effort, const kiln_part *part, kiln_chain *chain) {
    kiln_problem problem;
    kiln_plan_options options = KILN_PLAN_OPTIONS_INIT;
    options.variant = part->variant;
    options.effort = effort;
    KILN_TRY(kiln_problem_parse(device->context, part->problem, &problem));
    kiln_plan *plan;
    KILN_TRY(kiln_plan_create(device, &problem, &options, &plan));
    chain->plans[chain->n_plans++] = plan;
    kiln__strbuf_addf(&chain->why, "  part %s\n", plan->key);
    for (const char *line = kiln_plan_why(plan); *line;) {
        const size_t length = strcspn(line, "\n");
        kiln__strbuf_addf(&chain->why, "    %.*s\n", (int)length, line);
        line += length + (line[length] == '\n');
    }
    return KILN_OK;
}

/* Parts run one after another, so the workspace of one is that of all: behind what they hand to each other. */
static kiln_status add_part(const kiln_plan *plan, const kiln_part *part, size_t base, kiln_lowering *l) {
    splice s = {.part = part, .from = &plan->lowering, .to = l, .workspace_base = base};
    KILN_TRY(splice_units(&s));
    KILN_TRY(splice_operands(&s));
    KILN_TRY(splice_steps(&s, s.from->prepare, s.from->n_prepare, l->prepare, &l->n_prepare));
    return splice_steps(&s, s.from->run, s.from->n_run, l->run, &l->n_run);
}

kiln_status kiln__chain_expand(kiln_device *device, kiln_effort effort, kiln_lowering *l, kiln_chain *chain) {
    const size_t base = (l->workspace_bytes + PART_ALIGN_BYTES - 1) / PART_ALIGN_BYTES * PART_ALIGN_BYTES;
    for (size_t i = 0; i < l->n_parts; i++) {
        KILN_TRY(plan_part(device, effort, &l->parts[i], chain));
        const kiln_plan *plan = chain->plans[i];
        KILN_TRY(add_part(plan, &l->parts[i], base, l));
        const size_t own = plan->lowering.workspace_bytes;
        if (own && base + own > l->workspace_bytes)
            l->workspace_bytes = base + own;
    }
    return KILN_OK;
}

void kiln__chain_close(kiln_chain *chain) {
    for (size_t i = 0; i < chain->n_plans; i++)
        kiln_plan_destroy(chain->plans[i]);
    kiln__strbuf_free(&chain->why);
    *chain = (kiln_chain){0};
}
