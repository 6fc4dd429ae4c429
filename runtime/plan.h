/* Lowerings and plans. A variant lowers a problem to steps over operands (kernels/); kiln__plan_build compiles them. */
#ifndef KILN_RUNTIME_PLAN_H
#define KILN_RUNTIME_PLAN_H

#include "jit.h"
#include "problem.h"

enum {
    KILN_MAX_ARGS = 24,
    KILN_MAX_STEPS = 16,
    KILN_MAX_UNITS = 16,
    KILN_MAX_DEFINES = 1024,
    KILN_MAX_PARTS = 6,
    KILN_MAX_PART_PLACES = 8
};

/* One argument of a kernel step. */
typedef struct kiln_arg {
    kiln_arg_kind kind;
    uint32_t operand;    /* OPERAND, TENSOR_MAP */
    size_t offset_bytes; /* OPERAND, WORKSPACE */
    size_t bytes;        /* LOCAL */
    const void *tensor_map;
    union {
        int32_t i32;
        float f32;
    };
} kiln_arg;

typedef struct kiln_step {
    kiln_step_kind kind;
    union {
        struct {
            uint32_t unit; /* which unit holds the entry */
            kiln_launch launch;
            kiln_arg args[KILN_MAX_ARGS];
            size_t n_args;
        } kernel;
        struct {
            kiln_arg destination, source; /* OPERAND or WORKSPACE */
            size_t destination_pitch_bytes, source_pitch_bytes, row_bytes, rows;
        } copy;
        struct {
            kiln_arg destination;
            size_t bytes;
            uint32_t pattern;
        } fill;
        struct {
            kiln_status (*call)(void *user, void *native_queue, const kiln_place *operands);
            void *user;
        } call;
    };
} kiln_step;

/* A source with one set of defines. */
typedef struct kiln_unit {
    const kiln_embed *source;
    char defines[KILN_MAX_DEFINES];
    kiln_module *module; /* once built */
} kiln_unit;

/* A sub-problem of a composite: planned by itself, its steps run in place of the part (tuner/chain.h). Its operands are
 * the composite's of the same name but for those in `places`. */
typedef struct kiln_part {
    char problem[KILN_MAX_KEY];
    const char *variant; /* static; NULL: what the planner chooses */
    struct {
        const char *name; /* static; of the part's operand */
        kiln_arg place;   /* OPERAND or WORKSPACE of the composite */
    } places[KILN_MAX_PART_PLACES];
    size_t n_places;
} kiln_part;

typedef struct kiln_lowering {
    kiln_operand operands[KILN_MAX_OPERANDS];
    size_t n_operands;
    kiln_unit units[KILN_MAX_UNITS];
    size_t n_units;
    kiln_step prepare[KILN_MAX_STEPS]; /* weights -> packed, once a weight set; must not touch INPUT or OUTPUT */
    size_t n_prepare;
    kiln_step run[KILN_MAX_STEPS];
    size_t n_run;
    size_t workspace_bytes;
    kiln_part parts[KILN_MAX_PARTS]; /* of a chain, which has no steps of its own */
    size_t n_parts;
} kiln_lowering;

struct kiln_plan {
    _Atomic unsigned references;
    kiln_device *device;
    kiln_problem problem;
    char key[KILN_MAX_KEY];
    const char *variant; /* static */
    char config[192];
    const char *source; /* rung of the ladder, static */
    kiln_strbuf why;
    double flops, bytes;
    kiln_lowering lowering;
};

typedef struct kiln_plan_spec {
    const kiln_problem *problem;
    const char *variant, *config, *source;
    double flops, bytes;
} kiln_plan_spec;

/* Compiles the units of `lowering` and makes a plan of it, with one reference. The caller writes `why`. */
kiln_status kiln__plan_build(kiln_device *device, const kiln_plan_spec *spec, const kiln_lowering *lowering,
                             kiln_plan **out);
void kiln__plan_retain(kiln_plan *plan);

/* A key for a PACKED operand: equal for two plans of the device whose prepare steps write the same bytes from the same
 * weights, so that the packed weights can be shared. 32 hex digits. */
void kiln__plan_pack_key(const kiln_plan *plan, char out[33]);

/* ---- building a lowering: asserts on our own mistakes (too many steps, arguments, defines, parts) ---- */
uint32_t kiln__lower_unit(kiln_lowering *l, const kiln_embed *source);
void kiln__lower_define(kiln_lowering *l, uint32_t unit, const char *name, int64_t value);
uint32_t kiln__lower_operand(kiln_lowering *l, const char *name, kiln_role role, kiln_type type, const char *axes, ...);
/* … shape: one int64_t for each axis */
int kiln__lower_find(const kiln_lowering *l, const char *name); /* -1: none */
kiln_step *kiln__lower_kernel(kiln_lowering *l, bool prepare, uint32_t unit, const char *entry);
void kiln__step_group(kiln_step *s, uint32_t x, uint32_t y, uint32_t z);
void kiln__step_grid(kiln_step *s, uint32_t x, uint32_t y, uint32_t z);
void kiln__step_operand(kiln_step *s, uint32_t operand);
void kiln__step_workspace(kiln_step *s, size_t offset_bytes);
void kiln__step_i32(kiln_step *s, int32_t value);
void kiln__step_f32(kiln_step *s, float value);
void kiln__step_local(kiln_step *s, size_t bytes);

/* Adds a part; the format gives its problem. */
kiln_part *kiln__lower_part(kiln_lowering *l, const char *variant, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void kiln__part_operand(kiln_part *part, const char *name, uint32_t operand);
void kiln__part_workspace(kiln_part *part, const char *name, size_t offset_bytes);
/* Reserves workspace for what one part hands to another. Returns the offset. */
size_t kiln__lower_scratch(kiln_lowering *l, size_t bytes);

#endif
