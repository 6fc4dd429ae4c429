/* Problems: one operation with its shapes, types, layouts and epilogue.
 *
 * A problem has one canonical text, its key, that is cache key, log line, command-line argument, test case and
 * bug report alike:
 *
 *     family:field=value,field=value,...          conv:n=8,h=19,w=19,ic=96,oc=96,kh=3,kw=3,ihalo=1,ep=bias+relu
 *
 * Fields may be given in any order; the canonical text has them in the family's order and omits those at their
 * default. parse(key(p)) == p for every problem. A field is exact or, where the family allows it, a bound
 * (`kv<=4096`). `kiln problems --family NAME` lists the fields of a family. */
#ifndef KILN_PROBLEM_H
#define KILN_PROBLEM_H

#include <kiln/context.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { KILN_MAX_FIELDS = 32, KILN_MAX_KEY = 512 };

typedef struct kiln_schema kiln_schema; /* a family's fields; owned by the library, static */

/* Plain data: may be copied, compared through its key, and kept as long as the library is loaded. */
typedef struct kiln_problem {
    const kiln_schema *schema;
    uint32_t bounds; /* bit i: field i is an upper bound */
    int64_t v[KILN_MAX_FIELDS];
} kiln_problem;

/* Reads a problem. The error text names the field, what is wrong with it and what is allowed.
 * KILN_E_PARSE: malformed text, an unknown or repeated field, a value out of its range.
 * KILN_E_NOT_FOUND: an unknown family. KILN_E_INVALID: fields that contradict each other or sizes that overflow. */
KILN_API kiln_status kiln_problem_parse(kiln_context *context, const char *text, kiln_problem *out);

/* Writes the canonical text, NUL-terminated, cut to `capacity` bytes. Returns its length without the NUL; a
 * result >= capacity means it was cut. KILN_MAX_KEY bytes are always enough. */
KILN_API size_t kiln_problem_key(const kiln_problem *problem, char *buffer, size_t capacity);

/* The value of a field by name. KILN_E_NOT_FOUND: the family has no such field. */
KILN_API kiln_status kiln_problem_get(const kiln_problem *problem, const char *field, int64_t *out);

/* The number of families and the name of each; NULL past the end. */
KILN_API size_t kiln_family_count(const kiln_context *context);
KILN_API const char *kiln_family_name(const kiln_context *context, size_t index);

/* A manual page of a family's fields, one line each with range, default and meaning. Writes like
 * kiln_problem_key. Returns 0 for an unknown family. */
KILN_API size_t kiln_family_help(const kiln_context *context, const char *family, char *buffer, size_t capacity);

#ifdef __cplusplus
}
#endif
#endif
