/* What a command found, printed either as text for a terminal or as one JSON object, from the same calls.
 *
 * Facts and tables are kept until output_end. A table's rows may hold more than its columns show: JSON has it all. */
#ifndef KILN_CLI_OUTPUT_H
#define KILN_CLI_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

struct cJSON;

/* One column of a table on a terminal. Numbers are right-aligned and printed with `format` ("%.1f", NULL: "%.0f"). */
typedef struct output_column {
    const char *key; /* in JSON */
    const char *title;
    const char *format;
} output_column;

enum { OUTPUT_MAX_COLUMNS = 16 };

typedef struct output {
    bool json;
    bool failed; /* out of memory: output_end reports it */
    struct cJSON *root;
    struct cJSON *table; /* the open one */
    struct cJSON *row;   /* the open one */
    const output_column *columns;
    int n_columns;
} output;

void output_begin(output *o, bool json);

/* Prints what is still open, in JSON everything. Returns 0, or 1 if it could not be written. */
int output_end(output *o);

/* Terminal only: a line of text, or a heading before a table. */
void output_line(output *o, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A fact: "title  value" on a terminal (a NULL title: JSON only), a member of the object in JSON. */
void output_text(output *o, const char *key, const char *title, const char *value);
void output_number(output *o, const char *key, const char *title, const char *format, double value);

/* A table: rows of cells until output_table_end, an array of objects in JSON. */
void output_table(output *o, const char *key, const output_column *columns, int n_columns);
void output_row(output *o);
void output_cell_text(output *o, const char *key, const char *value); /* NULL: null, "-" on a terminal */
void output_cell_number(output *o, const char *key, double value);
void output_cell_bool(output *o, const char *key, bool value);
void output_table_end(output *o);

/* JSON only: the members of an object, e.g. counters, until output_group_end. Cells go into it. */
void output_group(output *o, const char *key);
void output_group_end(output *o);

#endif
