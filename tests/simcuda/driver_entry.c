/* Exported functions, and what all calls have in common. */
#include "driver.h"
#include "simcuda.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum { ANY = 0, INIT = 1, CONTEXT = 3, RELEASES = 4, UNSAFE = 8 };

#define DRIVER_ENTRY(name, suffix, since, demands, params, args) CALL_##name##suffix,
typedef enum call_id {
#include "driver.def"
    CALL_COUNT
} call_id;
#undef DRIVER_ENTRY

#define DRIVER_ENTRY(name, suffix, since, demands, params, args) EXPORT CUresult name##suffix params;
#include "driver.def"
#undef DRIVER_ENTRY

/* The prototypes Kiln calls by are the same: this does not compile otherwise. */
#define KILN_FN(name, suffix, params)          CUresult name##suffix params;
#define KILN_FN_OPTIONAL(name, suffix, params) CUresult name##suffix params;
#include "backends/cuda.fn"
#undef KILN_FN
#undef KILN_FN_OPTIONAL

typedef void (*any_function)(void);

static const struct entry {
    const char *name, *suffix;
    int since, demands;
    any_function function;
} entries[CALL_COUNT] = {
#define DRIVER_ENTRY(name, suffix, since, demands, params, args)                                                       \
    {#name, #suffix, since, demands, (any_function)name##suffix},
#include "driver.def"
#undef DRIVER_ENTRY
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool settings_known, initialised;
static uint64_t counts[CALL_COUNT], total;
/* The thread that holds the lock. A host function runs on it, and may call nothing. */
static _Thread_local bool inside;

/* Errors after which hardware has to make the context anew. */
static bool sticky(CUresult code) {
    switch (code) {
    case CUDA_ERROR_ECC_UNCORRECTABLE:
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_ASSERT:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_LAUNCH_FAILED:
        return true;
    default:
        return false;
    }
}

static CUresult demanded(const struct entry *entry) {
    if ((entry->demands & INIT) && !initialised)
        return CUDA_ERROR_NOT_INITIALIZED;
    if ((entry->demands & CONTEXT) == CONTEXT && !driver_current())
        return CUDA_ERROR_INVALID_CONTEXT;
    return CUDA_SUCCESS;
}

static CUresult injected(const struct entry *entry, call_id id) {
    CUresult code = driver_settings_fail(entry->name, entry->suffix, counts[id]);
    if (entry->demands != ANY && ++total >= driver_set.lose_at && code == CUDA_SUCCESS)
        code = driver_set.lose_with;
    if (sticky(code) && driver_current())
        driver_context_kill(driver_current(), code);
    return code;
}

/* true: the function is to be run. `result` is what the call returns whatever that says, unless it is CUDA_SUCCESS. */
static bool enter(call_id id, CUresult *result) {
    const struct entry *entry = &entries[id];
    if (inside) {
        *result = CUDA_ERROR_NOT_PERMITTED;
        return false;
    }
    pthread_mutex_lock(&lock);
    inside = true;
    if (!settings_known) {
        driver_settings_read();
        settings_known = true;
    }
    counts[id]++;
    *result = demanded(entry);
    if (*result != CUDA_SUCCESS)
        return false;
    *result = injected(entry, id);
    if (*result != CUDA_SUCCESS)
        return entry->demands & RELEASES;
    if ((entry->demands & CONTEXT) == CONTEXT && !(entry->demands & RELEASES))
        *result = driver_check_context(driver_current());
    if (*result == CUDA_SUCCESS && (entry->demands & UNSAFE) && driver_capture_refuses())
        *result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    return *result == CUDA_SUCCESS;
}

static void leave(void) {
    inside = false;
    pthread_mutex_unlock(&lock);
}

/* A call from inside a host function was never entered. */
#define DRIVER_ENTRY(name, suffix, since, demands, params, args)                                                       \
    CUresult name##suffix params {                                                                                     \
        CUresult call_forced;                                                                                          \
        const bool call_nested = inside, call_run = enter(CALL_##name##suffix, &call_forced);                          \
        const CUresult call_result = call_run ? sim_##name##suffix args : CUDA_SUCCESS;                                \
        if (!call_nested)                                                                                              \
            leave();                                                                                                   \
        return call_forced != CUDA_SUCCESS ? call_forced : call_result;                                                \
    }
#include "driver.def"
#undef DRIVER_ENTRY

/* ---- calls about the library itself ---- */

CUresult sim_cuInit(unsigned flags) {
    if (flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (initialised)
        return CUDA_SUCCESS;
    if (driver_set.n_devices == 0)
        return CUDA_ERROR_NO_DEVICE;
    if (!driver_devices_create())
        return CUDA_ERROR_OUT_OF_MEMORY;
    initialised = true;
    return CUDA_SUCCESS;
}

CUresult sim_cuDriverGetVersion(int *version) {
    if (!version)
        return CUDA_ERROR_INVALID_VALUE;
    *version = DRIVER_VERSION;
    return CUDA_SUCCESS;
}

CUresult sim_cuGetProcAddress_v2(const char *symbol, void **function, int version, cuuint64_t flags,
                                 CUdriverProcAddressQueryResult *status) {
    if (!symbol || !function || version > DRIVER_VERSION || flags > 2)
        return CUDA_ERROR_INVALID_VALUE;
    const struct entry *best = NULL;
    bool known = false;
    for (const struct entry *entry = entries; entry < entries + CALL_COUNT; entry++) {
        if (strcmp(entry->name, symbol) != 0)
            continue;
        known = true;
        if (entry->since <= version && (!best || entry->since > best->since))
            best = entry;
    }
    *function = NULL;
    if (best)
        memcpy(function, &best->function, sizeof *function);
    if (status)
        *status = best    ? CU_GET_PROC_ADDRESS_SUCCESS
                  : known ? CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT
                          : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    return CUDA_SUCCESS;
}

/* ---- errors ---- */

static const struct {
    const char *name;
    CUresult code;
} errors[] = {
#define ERROR_ROW(name, value) {#name, (CUresult)(value)},
    CUDA_ABI_ERRORS(ERROR_ROW) DRIVER_MORE_ERRORS(ERROR_ROW)
#undef ERROR_ROW
};
enum { ERROR_COUNT = sizeof errors / sizeof *errors };

const char *driver_error_name(CUresult error) {
    for (size_t i = 0; i < ERROR_COUNT; i++)
        if (errors[i].code == error)
            return errors[i].name;
    return NULL;
}

CUresult driver_error_by_name(const char *name) {
    char *end;
    const long number = strtol(name, &end, 10);
    if (*name && !*end)
        return (CUresult)number;
    for (size_t i = 0; i < ERROR_COUNT; i++)
        if (strcmp(errors[i].name, name) == 0)
            return errors[i].code;
    return CUDA_SUCCESS;
}

CUresult sim_cuGetErrorName(CUresult error, const char **name) {
    if (!name)
        return CUDA_ERROR_INVALID_VALUE;
    *name = driver_error_name(error);
    return *name ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* The name in small letters: "illegal address". */
CUresult sim_cuGetErrorString(CUresult error, const char **text) {
    static char texts[ERROR_COUNT][64];
    if (!text)
        return CUDA_ERROR_INVALID_VALUE;
    *text = NULL;
    for (size_t i = 0; i < ERROR_COUNT; i++) {
        if (errors[i].code != error)
            continue;
        const char *from = errors[i].name + (error == CUDA_SUCCESS ? strlen("CUDA_") : strlen("CUDA_ERROR_"));
        for (size_t c = 0; from[c]; c++)
            texts[i][c] = (char)(from[c] == '_' ? ' ' : from[c] >= 'A' && from[c] <= 'Z' ? from[c] + 32 : from[c]);
        *text = texts[i];
    }
    return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* ---- for tests ---- */

static void write_calls(void) {
    char line[128];
    for (int i = 0; i < CALL_COUNT; i++) {
        if (counts[i] == 0)
            continue;
        snprintf(line, sizeof line, "%s%s %llu\n", entries[i].name, entries[i].suffix, (unsigned long long)counts[i]);
        driver_settings_write("SIMCUDA_CALLS", line);
    }
}

static void write_ledger(void) {
    char text[8192];
    const size_t left = driver_ledger(text, sizeof text);
    driver_settings_write("SIMCUDA_LEDGER", text);
    if (left > 0)
        fprintf(stderr, "simcuda: not released:\n%s", text);
}

static void forget(void) {
    if (settings_known) {
        write_calls();
        write_ledger();
    }
    driver_devices_destroy();
    driver_captures_clear();
    driver_table_clear();
    memset(counts, 0, sizeof counts);
    total = 0;
    settings_known = initialised = false;
}

EXPORT void simcuda_reset(void) {
    pthread_mutex_lock(&lock);
    forget();
    pthread_mutex_unlock(&lock);
}

EXPORT size_t simcuda_ledger(char *text, size_t bytes) {
    pthread_mutex_lock(&lock);
    const size_t n = driver_ledger(text, bytes);
    pthread_mutex_unlock(&lock);
    return n;
}

EXPORT void simcuda_meter(int device, sim_meter *out) {
    pthread_mutex_lock(&lock);
    memset(out, 0, sizeof *out);
    if (device >= 0 && device < driver_set.n_devices)
        *out = driver_devices[device].meter;
    pthread_mutex_unlock(&lock);
}

__attribute__((destructor)) static void at_exit(void) {
    forget();
}
