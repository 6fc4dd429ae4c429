#include "output.h"
#include <cJSON.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CELL_BYTES = 64, FACT_WIDTH = 12 };

void output_begin(output *o, bool json) {
    *o = (output){.json = json};
    o->root = cJSON_CreateObject();
    o->failed = o->root == NULL;
}

void output_line(output *o, const char *format, ...) {
    if (o->json)
        return;
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

static void add(output *o, cJSON *to, const char *key, cJSON *item) {
    if (item && to && cJSON_AddItemToObject(to, key, item))
        return;
    cJSON_Delete(item);
    o->failed = true;
}

void output_text(output *o, const char *key, const char *title, const char *value) {
    if (o->json)
        add(o, o->root, key, value ? cJSON_CreateString(value) : cJSON_CreateNull());
    else if (title)
        printf("%-*s %s\n", FACT_WIDTH, title, value && *value ? value : "-");
}

void output_number(output *o, const char *key, const char *title, const char *format, double value) {
    if (o->json) {
        add(o, o->root, key, cJSON_CreateNumber(value));
    } else if (title) {
        printf("%-*s ", FACT_WIDTH, title);
        printf(format ? format : "%.0f", value);
        putchar('\n');
    }
}

void output_table(output *o, const char *key, const output_column *columns, int n_columns) {
    o->table = cJSON_CreateArray();
    o->columns = columns;
    o->n_columns = n_columns;
    add(o, o->root, key, o->table);
    if (o->failed)
        o->table = NULL;
}

void output_row(output *o) {
    o->row = cJSON_CreateObject();
    if (!o->row || !o->table || !cJSON_AddItemToArray(o->table, o->row)) {
        cJSON_Delete(o->row);
        o->row = NULL;
        o->failed = true;
    }
}

void output_cell_text(output *o, const char *key, const char *value) {
    add(o, o->row, key, value ? cJSON_CreateString(value) : cJSON_CreateNull());
}

void output_cell_number(output *o, const char *key, double value) {
    add(o, o->row, key, cJSON_CreateNumber(value));
}

void output_cell_bool(output *o, const char *key, bool value) {
    add(o, o->row, key, cJSON_CreateBool(value));
}

/* The text of a cell: `buffer` holds numbers. */
static const char *cell(const cJSON *row, const output_column *column, char buffer[CELL_BYTES], bool *is_number) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(row, column->key);
    *is_number = cJSON_IsNumber(item);
    if (cJSON_IsString(item))
        return item->valuestring[0] ? item->valuestring : "-";
    if (cJSON_IsBool(item))
        return cJSON_IsTrue(item) ? "yes" : "no";
    if (!*is_number)
        return "-";
    snprintf(buffer, CELL_BYTES, column->format ? column->format : "%.0f", item->valuedouble);
    return buffer;
}

/* Columns on a terminal: UTF-8 continuation bytes take none. */
static int text_width(const char *text) {
    int width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void print_cell(const char *text, int width, bool right, bool last) {
    const int pad = width - text_width(text);
    if (right)
        printf("%*s%s", pad, "", text);
    else
        printf("%s%*s", text, last ? 0 : pad, "");
    fputs(last ? "\n" : "  ", stdout);
}

static void print_table(const output *o) {
    int widths[OUTPUT_MAX_COLUMNS];
    bool right[OUTPUT_MAX_COLUMNS] = {false};
    char buffer[CELL_BYTES];
    const int n = o->n_columns < OUTPUT_MAX_COLUMNS ? o->n_columns : OUTPUT_MAX_COLUMNS;
    const cJSON *row;
    for (int c = 0; c < n; c++) {
        widths[c] = text_width(o->columns[c].title);
        cJSON_ArrayForEach(row, o->table) {
            bool is_number;
            const int width = text_width(cell(row, &o->columns[c], buffer, &is_number));
            widths[c] = width > widths[c] ? width : widths[c];
            right[c] |= is_number;
        }
    }
    for (int c = 0; c < n; c++)
        print_cell(o->columns[c].title, widths[c], right[c], c == n - 1);
    cJSON_ArrayForEach(row, o->table) {
        for (int c = 0; c < n; c++) {
            bool is_number;
            print_cell(cell(row, &o->columns[c], buffer, &is_number), widths[c], right[c], c == n - 1);
        }
    }
}

void output_table_end(output *o) {
    if (!o->json && o->table && cJSON_GetArraySize(o->table) > 0)
        print_table(o);
    o->table = o->row = NULL;
    fflush(stdout);
}

void output_group(output *o, const char *key) {
    o->row = cJSON_CreateObject();
    add(o, o->root, key, o->row);
    if (o->failed)
        o->row = NULL;
}

void output_group_end(output *o) {
    o->row = NULL;
}

int output_end(output *o) {
    if (o->json && !o->failed) {
        char *text = cJSON_Print(o->root);
        if (text)
            puts(text);
        else
            o->failed = true;
        cJSON_free(text);
    }
    cJSON_Delete(o->root);
    o->root = NULL;
    if (o->failed) {
        fprintf(stderr, "kiln: out of memory while printing\n");
        return 1;
    }
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "kiln: cannot write the output: %s\n", strerror(errno));
        return 1;
    }
    return 0;
}
