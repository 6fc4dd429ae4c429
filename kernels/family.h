/* Families: tables that say how an operation can be computed. One host .c a family, all of one shape:
 * fields -> operands -> variants (parameters, rules, reject, guess, lower) -> family. */
#ifndef KILN_KERNELS_FAMILY_H
#define KILN_KERNELS_FAMILY_H

#include "plan.h"
#include "problem.h"

enum { KILN_MAX_PARAMS = 12, KILN_MAX_CONFIG_TEXT = 192 };

typedef struct kiln_config {
    int32_t v[KILN_MAX_PARAMS]; /* indexed by the variant's enum; serialised by name */
} kiln_config;

/* A tuning parameter and every value it may take, ascending. Names are in caches: never renamed, never reused. */
typedef struct kiln_param {
    const char *name;
    const int32_t *values;
    uint8_t n_values;
} kiln_param;

/* A constraint with the reason a config breaks it. */
typedef struct kiln_rule {
    const char *why;
    uint32_t uses; /* bit i: parameter i is read, so a partial config can be pruned early */
    bool (*ok)(const kiln_config *, const kiln_problem *, const kiln_caps *);
} kiln_rule;

typedef struct kiln_variant {
    const char *name;
    const kiln_embed *source;                                              /* NULL: no device code of its own */
    const kiln_param *params;                                              /* ended by a NULL name; NULL: none */
    const kiln_rule *rules;                                                /* ended by a NULL why; NULL: none */
    const char *(*reject)(const kiln_problem *, const kiln_caps *);        /* NULL = applies, else the reason */
    void (*guess)(const kiln_problem *, const kiln_caps *, kiln_config *); /* constant time, always valid */
    kiln_status (*lower)(const kiln_problem *, const kiln_config *, const kiln_caps *, kiln_lowering *out);
    /* A technique that rounds more than a plain sum (Winograd): its results may be this many times the family's
     * tolerance off, and whole numbers do not come out exactly. 0: a plain sum. */
    double error_factor;
    /* Device kinds it is made for, 1 << kiln_device_kind each; 0: all. Others run it, but are not searched for it. */
    unsigned home;
} kiln_variant;

/* How far a result may be from the exact one: |got - exact| <= abs + rel * |exact|. */
typedef struct kiln_tolerance {
    double abs, rel;
} kiln_tolerance;

typedef struct kiln_family {
    kiln_schema schema;           /* first, so that a registered schema is its family */
    const kiln_variant *variants; /* preference order, ended by a NULL name; the last one is "ref" */
    /* Adds the operands every variant takes, in order. PACKED ones are added by lower. */
    void (*operands)(const kiln_problem *, kiln_lowering *);
    double (*flops)(const kiln_problem *);
    /* For inputs and weights of magnitude about 1 (see tests/check). */
    kiln_tolerance (*tolerance)(const kiln_problem *);
    /* Whether small whole numbers give the same result in any order of summation. Optional: never. */
    bool (*is_exact)(const kiln_problem *);
    /* Sums go into sums. Test data then has weights that keep values at their size from layer to layer, else the later
     * ones are so large that a rounding of the first changes everything; `tolerance` is for such weights. */
    bool has_layers;
} kiln_family;

static inline const kiln_family *kiln__problem_family(const kiln_problem *p) {
    return (const kiln_family *)p->schema;
}

size_t kiln__variant_n_params(const kiln_variant *variant);
const kiln_variant *kiln__family_variant(const kiln_family *family, const char *name); /* NULL: none */

/* NULL: the variant applies; else the reason. A variant without a reject slot always applies. */
const char *kiln__variant_reject(const kiln_variant *variant, const kiln_problem *problem, const kiln_caps *caps);
/* The config to start from; all zero for a variant without parameters. */
void kiln__variant_guess(const kiln_variant *variant, const kiln_problem *problem, const kiln_caps *caps,
                         kiln_config *out);

/* "mr=6,nv=2"; "" without parameters. */
void kiln__config_print(const kiln_variant *variant, const kiln_config *config, char *buffer, size_t capacity);
/* Overwrites the parameters named in `text`. KILN_E_PARSE: malformed, unknown name, or a value not in the list. */
kiln_status kiln__config_parse(const kiln_variant *variant, const char *text, kiln_config *config);

/* NULL: the config satisfies every rule of the variant; else the first broken rule's reason. */
const char *kiln__config_reject(const kiln_variant *variant, const kiln_problem *problem, const kiln_caps *caps,
                                const kiln_config *config);

/* operands + lower, with the problem's operands already added: what the planner and the tests call. */
kiln_status kiln__variant_lower(const kiln_variant *variant, const kiln_problem *problem, const kiln_config *config,
                                const kiln_caps *caps, kiln_lowering *out);

/* What test data of up to 1 in magnitude is multiplied by for an operand: 1, or for a weight matrix of a family with
 * layers 1 / sqrt(what a sum adds up). */
float kiln__operand_scale(const kiln_family *family, const kiln_operand *operand);

/* The bytes of every INPUT, WEIGHT and OUTPUT, each once. */
double kiln__lowering_bytes(const kiln_lowering *lowering);

#define KILN_FAMILY(name) extern const kiln_family kiln__family_##name;
#include "families.def"
#undef KILN_FAMILY

#endif
