/* Status codes and the text of the last failure.
 *
 * Every Kiln function that can fail returns a kiln_status. The values below are pinned: they never change
 * meaning and are never reused, so they may be stored or sent to another process. */
#ifndef KILN_STATUS_H
#define KILN_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(KILN_BUILD) && defined(__GNUC__)
#    define KILN_API __attribute__((visibility("default")))
#else
#    define KILN_API
#endif

/* X(name, value, text) */
#define KILN_STATUS_MAP(X)                                                                                             \
    X(KILN_OK, 0, "success")                                                                                           \
    X(KILN_E_INVALID, 1, "invalid argument")                                                                           \
    X(KILN_E_PARSE, 2, "malformed text or file")                                                                       \
    X(KILN_E_NOT_FOUND, 3, "not found")                                                                                \
    X(KILN_E_UNSUPPORTED, 4, "not supported")                                                                          \
    X(KILN_E_MEMORY, 5, "out of host memory")                                                                          \
    X(KILN_E_DEVICE_MEMORY, 6, "out of device memory")                                                                 \
    X(KILN_E_DEVICE, 7, "device or driver failure")                                                                    \
    X(KILN_E_DEVICE_LOST, 8, "device lost")                                                                            \
    X(KILN_E_COMPILE, 9, "kernel compilation failed")                                                                  \
    X(KILN_E_IO, 10, "input/output failure")                                                                           \
    X(KILN_E_CORRUPT, 11, "corrupt data")                                                                              \
    X(KILN_E_MISMATCH, 12, "result or data does not match")                                                            \
    X(KILN_E_CANCELLED, 13, "cancelled")                                                                               \
    X(KILN_E_TIMEOUT, 14, "timed out")                                                                                 \
    X(KILN_E_INTERNAL, 15, "internal error, please report")

typedef enum kiln_status {
#define KILN_STATUS_ENUM(name, value, text) name = value,
    KILN_STATUS_MAP(KILN_STATUS_ENUM)
#undef KILN_STATUS_ENUM
} kiln_status;

/* The general text of a status, e.g. "out of device memory". Never NULL; static storage. */
KILN_API const char *kiln_status_text(kiln_status status);

/* The name of a status, e.g. "KILN_E_PARSE". Never NULL; static storage. */
KILN_API const char *kiln_status_name(kiln_status status);

/* What exactly failed in the last Kiln call of this thread that did not return KILN_OK: the input, the reason
 * and the remedy. Never NULL. Valid until the next Kiln call of the same thread. Means nothing after a call that
 * succeeded. */
KILN_API const char *kiln_last_error(void);

#ifdef __cplusplus
}
#endif
#endif
