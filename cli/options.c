#include "cli.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool parse_int(const char *text, double min, double max, int64_t *out) {
    char *end;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (end == text || *end || errno || (double)value < min || (double)value > max)
        return false;
    *out = value;
    return true;
}

static bool parse_real(const char *text, double min, double max, double *out) {
    char *end;
    const double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value) || value < min || value > max)
        return false;
    *out = value;
    return true;
}

static bool parse_batches(const char *text, batch_list *out) {
    out->n = 0;
    for (const char *p = text;;) {
        char *end;
        errno = 0;
        const long value = strtol(p, &end, 10);
        if (end == p || errno || value < 1 || value > 65536 || out->n == MAX_BATCHES)
            return false;
        out->v[out->n++] = (int32_t)value;
        if (!*end)
            return true;
        if (*end != ',')
            return false;
        p = end + 1;
    }
}

static bool parse_type(const char *text, kiln_type *out) {
    static const kiln_type types[] = {KILN_TYPE_F32, KILN_TYPE_F16, KILN_TYPE_BF16};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(text, kiln_type_name(types[i])) == 0) {
            *out = types[i];
            return true;
        }
    return false;
}

int cli_halos(const cli_state *cli, const char *text, kiln_session_halos *out) {
    static const char *const words[] = {"fastest", "usual", "none"};
    for (int i = 0; i < 3; i++)
        if (strcmp(text ? text : words[0], words[i]) == 0) {
            *out = (kiln_session_halos)i;
            return 0;
        }
    return cli_usage(cli, "--halos takes fastest, usual or none, not '%s'", text);
}

bool batches_ascend(const batch_list *b) {
    for (size_t i = 1; i < b->n; i++)
        if (b->v[i] <= b->v[i - 1])
            return false;
    return true;
}

static int set(const cli_state *cli, const option *o, const char *value) {
    switch (o->kind) {
    case OPTION_FLAG:
        *(bool *)o->to = true;
        return 0;
    case OPTION_TEXT:
        *(const char **)o->to = value;
        return 0;
    case OPTION_INT:
        if (parse_int(value, o->min, o->max, o->to))
            return 0;
        return cli_usage(cli, "%s takes a whole number from %.0f to %.0f, not '%s'", o->name, o->min, o->max, value);
    case OPTION_REAL:
        if (parse_real(value, o->min, o->max, o->to))
            return 0;
        return cli_usage(cli, "%s takes a number from %g to %g, not '%s'", o->name, o->min, o->max, value);
    case OPTION_BATCHES:
        if (parse_batches(value, o->to))
            return 0;
        return cli_usage(cli, "%s takes up to %d batch sizes from 1 to 65536, e.g. 1,8,16, not '%s'", o->name,
                         MAX_BATCHES, value);
    case OPTION_TYPE:
        if (parse_type(value, o->to))
            return 0;
        return cli_usage(cli, "%s takes f32, f16 or bf16, not '%s'", o->name, value);
    }
    return EXIT_USAGE;
}

/* The option that `text` names: "--name" or "--name=value". */
static const option *find(const option *options, const char *text, size_t length) {
    for (const option *o = options; o->name; o++)
        if (strlen(o->name) == length && strncmp(o->name, text, length) == 0)
            return o;
    return NULL;
}

int cli_options(const cli_state *cli, int argc, char **argv, const option *options, const char **arguments,
                int min_arguments, int max_arguments) {
    int n = 0;
    bool only_arguments = false;
    for (int i = 0; i < argc; i++) {
        const char *text = argv[i];
        if (only_arguments || text[0] != '-' || !text[1]) {
            if (n == max_arguments)
                return cli_usage(cli, "unexpected argument '%s'", text);
            arguments[n++] = text;
            continue;
        }
        if (strcmp(text, "--") == 0) {
            only_arguments = true;
            continue;
        }
        const char *equals = strchr(text, '=');
        const size_t length = equals ? (size_t)(equals - text) : strlen(text);
        const option *o = find(options, text, length);
        if (!o)
            return cli_usage(cli, "unknown option '%.*s'", (int)length, text);
        const char *value = equals ? equals + 1 : NULL;
        if (o->kind == OPTION_FLAG && value)
            return cli_usage(cli, "%s takes no value", o->name);
        if (o->kind != OPTION_FLAG && !value) {
            if (i + 1 == argc)
                return cli_usage(cli, "%s needs a value", o->name);
            value = argv[++i];
        }
        const int status = set(cli, o, value);
        if (status)
            return status;
    }
    if (n < min_arguments)
        return cli_usage(cli, "an argument is missing");
    return 0;
}
