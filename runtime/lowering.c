/* Building a lowering. What goes wrong here is a mistake of a family's author, so it is asserted. */
#include "plan.h"
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { OPERAND_ALIGN_BYTES = 64, SCRATCH_ALIGN_BYTES = 1024 };

uint32_t kiln__lower_unit(kiln_lowering *l, const kiln_embed *source) {
    assert(l->n_units < KILN_MAX_UNITS);
    l->units[l->n_units].source = source;
    return (uint32_t)l->n_units++;
}

void kiln__lower_define(kiln_lowering *l, uint32_t unit, const char *name, int64_t value) {
    assert(unit < l->n_units);
    char *defines = l->units[unit].defines;
    const size_t length = strlen(defines);
    const int n =
        snprintf(defines + length, KILN_MAX_DEFINES - length, "%s-D%s=%" PRId64, length ? " " : "", name, value);
    assert(n > 0 && (size_t)n < KILN_MAX_DEFINES - length);
    (void)n;
}

uint32_t kiln__lower_operand(kiln_lowering *l, const char *name, kiln_role role, kiln_type type, const char *axes,
                             ...) {
    assert(l->n_operands < KILN_MAX_OPERANDS);
    kiln_operand *o = &l->operands[l->n_operands];
    *o = (kiln_operand){.name = name, .role = role, .type = type, .axes = axes, .rank = 1};
    for (const char *c = axes; *c; c++)
        o->rank += *c == ',';
    assert(o->rank <= KILN_MAX_RANK);
    o->bytes = kiln_type_bytes(type);
    va_list shape;
    va_start(shape, axes);
    for (uint32_t i = 0; i < o->rank; i++) {
        o->shape[i] = va_arg(shape, int64_t);
        assert(o->shape[i] > 0);
        o->bytes *= (size_t)o->shape[i];
    }
    va_end(shape);
    o->align_bytes = OPERAND_ALIGN_BYTES;
    return (uint32_t)l->n_operands++;
}

int kiln__lower_find(const kiln_lowering *l, const char *name) {
    for (size_t i = 0; i < l->n_operands; i++)
        if (strcmp(l->operands[i].name, name) == 0)
            return (int)i;
    return -1;
}

kiln_step *kiln__lower_kernel(kiln_lowering *l, bool prepare, uint32_t unit, const char *entry) {
    size_t *n = prepare ? &l->n_prepare : &l->n_run;
    assert(*n < KILN_MAX_STEPS && unit < l->n_units);
    kiln_step *s = prepare ? &l->prepare[(*n)++] : &l->run[(*n)++];
    *s = (kiln_step){.kind = KILN_STEP_KERNEL};
    s->kernel.unit = unit;
    s->kernel.launch = (kiln_launch){.entry = entry, .grid = {1, 1, 1}, .group = {1, 1, 1}};
    return s;
}

static void set3(uint32_t out[3], uint32_t x, uint32_t y, uint32_t z) {
    out[0] = x;
    out[1] = y;
    out[2] = z;
}

void kiln__step_group(kiln_step *s, uint32_t x, uint32_t y, uint32_t z) {
    set3(s->kernel.launch.group, x, y, z);
}
void kiln__step_grid(kiln_step *s, uint32_t x, uint32_t y, uint32_t z) {
    set3(s->kernel.launch.grid, x, y, z);
}

static void add_arg(kiln_step *s, kiln_arg arg) {
    assert(s->kernel.n_args < KILN_MAX_ARGS);
    s->kernel.args[s->kernel.n_args++] = arg;
}

void kiln__step_operand(kiln_step *s, uint32_t operand) {
    add_arg(s, (kiln_arg){.kind = KILN_ARG_OPERAND, .operand = operand});
}
void kiln__step_workspace(kiln_step *s, size_t offset_bytes) {
    add_arg(s, (kiln_arg){.kind = KILN_ARG_WORKSPACE, .offset_bytes = offset_bytes});
}
void kiln__step_i32(kiln_step *s, int32_t value) {
    add_arg(s, (kiln_arg){.kind = KILN_ARG_I32, .i32 = value});
}
void kiln__step_f32(kiln_step *s, float value) {
    add_arg(s, (kiln_arg){.kind = KILN_ARG_F32, .f32 = value});
}
void kiln__step_local(kiln_step *s, size_t bytes) {
    add_arg(s, (kiln_arg){.kind = KILN_ARG_LOCAL, .bytes = bytes});
}

/* ---- parts ---- */

kiln_part *kiln__lower_part(kiln_lowering *l, const char *variant, const char *format, ...) {
    assert(l->n_parts < KILN_MAX_PARTS);
    kiln_part *part = &l->parts[l->n_parts++];
    *part = (kiln_part){.variant = variant};
    va_list arguments;
    va_start(arguments, format);
    const int n = vsnprintf(part->problem, sizeof part->problem, format, arguments);
    va_end(arguments);
    assert(n > 0 && (size_t)n < sizeof part->problem);
    (void)n;
    return part;
}

static void add_place(kiln_part *part, const char *name, kiln_arg place) {
    assert(part->n_places < KILN_MAX_PART_PLACES);
    part->places[part->n_places].name = name;
    part->places[part->n_places++].place = place;
}

void kiln__part_operand(kiln_part *part, const char *name, uint32_t operand) {
    add_place(part, name, (kiln_arg){.kind = KILN_ARG_OPERAND, .operand = operand});
}

void kiln__part_workspace(kiln_part *part, const char *name, size_t offset_bytes) {
    add_place(part, name, (kiln_arg){.kind = KILN_ARG_WORKSPACE, .offset_bytes = offset_bytes});
}

/* Every device allows an argument to start at these offsets. */
size_t kiln__lower_scratch(kiln_lowering *l, size_t bytes) {
    const size_t offset_bytes =
        (l->workspace_bytes + SCRATCH_ALIGN_BYTES - 1) / SCRATCH_ALIGN_BYTES * SCRATCH_ALIGN_BYTES;
    l->workspace_bytes = offset_bytes + bytes;
    return offset_bytes;
}
