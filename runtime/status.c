#include "status.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char last_error[KILN_MAX_ERROR_TEXT];

const char *kiln_status_text(kiln_status status) {
    switch (status) {
#define CASE(name, value, text)                                                                                        \
    case name:                                                                                                         \
        return text;
        KILN_STATUS_MAP(CASE)
#undef CASE
    }
    return "unknown status";
}

const char *kiln_status_name(kiln_status status) {
    switch (status) {
#define CASE(name, value, text)                                                                                        \
    case name:                                                                                                         \
        return #name;
        KILN_STATUS_MAP(CASE)
#undef CASE
    }
    return "KILN_E_UNKNOWN";
}

const char *kiln_last_error(void) {
    return last_error;
}

kiln_status kiln_fail(kiln_status status, const char *format, ...) {
    char text[KILN_MAX_ERROR_TEXT]; /* the arguments may point into last_error */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(last_error, text, sizeof last_error);
    return status;
}

kiln_status kiln_fail_in(kiln_status status, const char *format, ...) {
    char text[KILN_MAX_ERROR_TEXT];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof text - 2)
        snprintf(text + n, sizeof text - (size_t)n, ": %s", last_error);
    memcpy(last_error, text, sizeof last_error);
    return status;
}
