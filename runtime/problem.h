/* Schemas: what fields a family's problems have. Tables, registered with the context by kernels/. */
#ifndef KILN_RUNTIME_PROBLEM_H
#define KILN_RUNTIME_PROBLEM_H

#include "context.h"
#include <kiln/problem.h>

typedef enum kiln_field_kind {
    KILN_FIELD_INT,  /* a whole number from min to max */
    KILN_FIELD_ENUM, /* one token's name; v is its `value` */
    KILN_FIELD_SET   /* tokens joined by '+'; v is the union of their `value`s, each inside its `mask` */
} kiln_field_kind;

/* A word of an ENUM or SET field. Two tokens of a SET with overlapping masks exclude each other; the canonical text has
 * tokens in table order. */
typedef struct kiln_token {
    const char *name;
    int64_t mask, value;
    const char *help;
} kiln_token;

typedef enum kiln_field_flags {
    KILN_FIELD_REQUIRED = 1, /* has no default */
    KILN_FIELD_BOUNDABLE = 2 /* `name<=value` is allowed */
} kiln_field_flags;

typedef struct kiln_field {
    const char *name;
    kiln_field_kind kind;
    unsigned flags;
    int64_t def, min, max;    /* of INT; def of ENUM and SET is a value */
    const kiln_token *tokens; /* of ENUM and SET, ended by a NULL name */
    int64_t allowed;          /* of SET: union of the masks this family takes; 0: all */
    const char *help;
} kiln_field;

struct kiln_schema {
    const char *name;
    const char *help;         /* one line */
    const kiln_field *fields; /* order of the canonical text; never reordered or renamed: names are in caches */
    size_t n_fields;
    kiln_status (*check)(const kiln_problem *problem); /* contradictions and overflows; optional */
};

/* Whether two parsed problems are the same: they are when their keys are. */
bool kiln__problem_equal(const kiln_problem *a, const kiln_problem *b);

/* a * b * c … as int64, or -1 if it overflows `limit`. The list of factors, each >= 0, ends with -1. */
int64_t kiln__product(int64_t limit, int64_t first, ...);

#endif
