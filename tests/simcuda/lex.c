#include "parse.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool sim__parse_fail(sim_parse *p, const char *format, ...) {
    if (!p->failed && p->log && p->log_bytes) {
        va_list values;
        va_start(values, format);
        const int n = snprintf(p->log, p->log_bytes, "ptx line %u: ", p->line);
        if (n >= 0 && (size_t)n < p->log_bytes)
            vsnprintf(p->log + n, p->log_bytes - (size_t)n, format, values);
        va_end(values);
    }
    p->failed = true;
    return false;
}

bool sim__token_word(const sim_token *t, const char *word) {
    return t->kind == SIM_TOKEN_WORD && t->length == strlen(word) && memcmp(t->text, word, t->length) == 0;
}

static bool skip_space(sim_parse *p) {
    for (;; p->cursor++) {
        if (*p->cursor == '\n') {
            p->line++;
        } else if (p->cursor[0] == '/' && p->cursor[1] == '/') {
            while (p->cursor[1] && p->cursor[1] != '\n')
                p->cursor++;
        } else if (p->cursor[0] == '/' && p->cursor[1] == '*') {
            for (p->cursor += 2; p->cursor[0] && !(p->cursor[0] == '*' && p->cursor[1] == '/'); p->cursor++)
                p->line += *p->cursor == '\n';
            if (!*p->cursor)
                return sim__parse_fail(p, "a comment has no end");
            p->cursor++;
        } else if (!isspace((unsigned char)*p->cursor)) {
            return true;
        }
    }
}

static bool is_word_start(char c) {
    return isalpha((unsigned char)c) || c == '_' || c == '$' || c == '%' || c == '.';
}

static void lex_word(sim_parse *p, sim_token *t) {
    const char *c = p->cursor + 1;
    for (;; c++) {
        if (c[0] == ':' && c[1] == ':' && isalnum((unsigned char)c[2]))
            c++; /* shared::cta */
        else if (!isalnum((unsigned char)*c) && *c != '_' && *c != '$' && *c != '.')
            break;
    }
    t->kind = SIM_TOKEN_WORD;
    t->length = (uint32_t)(c - p->cursor);
    p->cursor = c;
}

static bool lex_number(sim_parse *p, sim_token *t) {
    const char *c = p->cursor;
    char *end;
    if (c[0] == '0' && (c[1] == 'f' || c[1] == 'F' || c[1] == 'd' || c[1] == 'D')) {
        t->kind = c[1] == 'f' || c[1] == 'F' ? SIM_TOKEN_FLOAT32 : SIM_TOKEN_FLOAT;
        t->bits = strtoull(c + 2, &end, 16);
        if (end != c + (t->kind == SIM_TOKEN_FLOAT32 ? 10 : 18))
            return sim__parse_fail(p, "a number in bits has too few or too many digits");
    } else {
        t->kind = SIM_TOKEN_INTEGER;
        t->bits = c[0] == '0' && (c[1] == 'b' || c[1] == 'B') ? strtoull(c + 2, &end, 2) : strtoull(c, &end, 0);
        const bool hexadecimal = c[0] == '0' && (c[1] == 'x' || c[1] == 'X');
        if (!hexadecimal && (*end == '.' || *end == 'e' || *end == 'E')) {
            const double value = strtod(c, &end);
            t->kind = SIM_TOKEN_FLOAT;
            memcpy(&t->bits, &value, sizeof value);
        } else if (*end == 'U' || *end == 'u') {
            end++;
        }
    }
    p->cursor = end;
    t->length = (uint32_t)(end - t->text);
    return true;
}

bool sim__lex_next(sim_parse *p) {
    if (!skip_space(p))
        return false;
    sim_token *t = &p->token;
    *t = (sim_token){.text = p->cursor, .line = p->line};
    if (!*p->cursor)
        return true;
    if (isdigit((unsigned char)*p->cursor))
        return lex_number(p, t);
    if (is_word_start(*p->cursor)) {
        lex_word(p, t);
        return true;
    }
    if (*p->cursor == '"') {
        const char *end = strchr(p->cursor + 1, '"');
        if (!end)
            return sim__parse_fail(p, "a string has no end");
        *t = (sim_token){.kind = SIM_TOKEN_STRING, .text = p->cursor + 1, .line = p->line};
        t->length = (uint32_t)(end - t->text);
        p->cursor = end + 1;
        return true;
    }
    t->kind = SIM_TOKEN_MARK;
    t->mark = *p->cursor++;
    t->length = 1;
    return true;
}
