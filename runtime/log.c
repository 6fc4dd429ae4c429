#include "context.h"
#include <stdio.h>

static void write_stderr(kiln_log_level level, const char *message) {
    static const char *const names[] = {"", "", "error", "warning", "info", "debug"};
    fprintf(stderr, "kiln: %s: %s\n", names[level], message);
}

void kiln__log(kiln_context *context, kiln_log_level level, const char *format, ...) {
    if (level > context->log_level)
        return;
    char message[KILN_MAX_ERROR_TEXT];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    pthread_mutex_lock(&context->log_lock);
    if (context->log)
        context->log(context->log_user, level, message);
    else
        write_stderr(level, message);
    pthread_mutex_unlock(&context->log_lock);
}
