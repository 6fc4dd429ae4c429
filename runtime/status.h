/* Failing with a text: `return kiln_fail(KILN_E_COMPILE, "nvrtc: %s", log)`. The text is kept for this thread. */
#ifndef KILN_RUNTIME_STATUS_H
#define KILN_RUNTIME_STATUS_H

#include <kiln/status.h>

enum { KILN_MAX_ERROR_TEXT = 4096 };

kiln_status kiln_fail(kiln_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts text before the text of the last failure and returns its status: adds what the caller was doing. */
kiln_status kiln_fail_in(kiln_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Forwards a failure. */
#define KILN_TRY(expr)                                                                                                 \
    do {                                                                                                               \
        kiln_status try_status_ = (expr);                                                                              \
        if (try_status_ != KILN_OK)                                                                                    \
            return try_status_;                                                                                        \
    } while (0)

/* Forwards a failure through the function's clean-up: needs `kiln_status status` and a label `done`. */
#define KILN_TRY_DONE(expr)                                                                                            \
    do {                                                                                                               \
        status = (expr);                                                                                               \
        if (status != KILN_OK)                                                                                         \
            goto done;                                                                                                 \
    } while (0)

/* Checks the first member of an option or info struct; a caller built against an older header passes a smaller one. */
#define KILN_CHECK_STRUCT(p, type)                                                                                     \
    do {                                                                                                               \
        if ((p) == NULL || (p)->struct_size < sizeof(uint32_t) || (p)->struct_size > sizeof(type))                     \
            return kiln_fail(KILN_E_INVALID,                                                                           \
                             "%s: " #type " is NULL or its struct_size is not set; start from its INIT", __func__);    \
    } while (0)

#endif
