/* The environment: which devices there are, what is to go wrong, what is written down. */
#include "driver.h"
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

driver_settings driver_set;

enum { MAX_FAILURES = 64 };
static struct failure {
    char name[96];
    uint64_t nth; /* 0: every call */
    CUresult code;
} failures[MAX_FAILURES];
static size_t n_failures;

/* A setting that is not understood must not pass for a test that found nothing. */
static void refuse(const char *variable, const char *value) {
    fprintf(stderr, "simcuda: %s=%s is not understood; see tests/simcuda/README.md\n", variable, value);
    _exit(2);
}

static uint64_t number(const char *variable, uint64_t otherwise) {
    const char *text = getenv(variable);
    if (!text || !*text)
        return otherwise;
    char *end;
    const unsigned long long value = strtoull(text, &end, 0);
    if (*end || *text == '-')
        refuse(variable, text);
    return value;
}

/* One NAME:N:CODE; N may be *, every call. */
static bool failure_parse(char *text, struct failure *out) {
    char *nth = strchr(text, ':');
    char *code = nth ? strchr(nth + 1, ':') : NULL;
    if (!code)
        return false;
    *nth++ = *code++ = '\0';
    snprintf(out->name, sizeof out->name, "%s", text);
    out->nth = strcmp(nth, "*") == 0 ? 0 : strtoull(nth, NULL, 10);
    out->code = driver_error_by_name(code);
    return (out->nth > 0 || *nth == '*') && out->code != CUDA_SUCCESS;
}

static void failures_read(void) {
    n_failures = 0;
    const char *text = getenv("SIMCUDA_FAIL");
    if (!text || !*text)
        return;
    char *copy = strdup(text), *rest = NULL;
    for (char *one = copy ? strtok_r(copy, ",", &rest) : NULL; one; one = strtok_r(NULL, ",", &rest))
        if (n_failures == MAX_FAILURES || !failure_parse(one, &failures[n_failures++]))
            refuse("SIMCUDA_FAIL", text);
    free(copy);
}

/* N, or N:CODE. */
static void loss_read(void) {
    driver_set.lose_at = UINT64_MAX;
    driver_set.lose_with = CUDA_ERROR_DEVICE_UNAVAILABLE;
    const char *text = getenv("SIMCUDA_LOSE");
    if (!text || !*text)
        return;
    char *end;
    driver_set.lose_at = strtoull(text, &end, 10);
    if (*end == ':')
        driver_set.lose_with = driver_error_by_name(end + 1);
    if ((*end && *end != ':') || driver_set.lose_at == 0 || driver_set.lose_with == CUDA_SUCCESS)
        refuse("SIMCUDA_LOSE", text);
}

void driver_settings_read(void) {
    const uint64_t devices = number("SIMCUDA_DEVICES", 2);
    if (devices > DRIVER_MAX_DEVICES)
        refuse("SIMCUDA_DEVICES", getenv("SIMCUDA_DEVICES"));
    driver_set.n_devices = (int)devices;
    driver_set.memory_bytes = number("SIMCUDA_MEMORY", (uint64_t)4 << 30);
    driver_set.max_instructions = number("SIMCUDA_TIMEOUT", 0);
    driver_set.clock = number("SIMCUDA_CLOCK", 1);
    const char *hang = getenv("SIMCUDA_HANG"), *timeout = getenv("SIMCUDA_TIMEOUT");
    snprintf(driver_set.hang, sizeof driver_set.hang, "%s", hang ? hang : "");
    driver_set.hang_for_ever = timeout && *timeout && driver_set.max_instructions == 0;
    failures_read();
    loss_read();
}

CUresult driver_settings_fail(const char *name, const char *suffix, uint64_t nth) {
    char whole[128];
    snprintf(whole, sizeof whole, "%s%s", name, suffix);
    for (const struct failure *f = failures; f < failures + n_failures; f++)
        if ((f->nth == 0 || f->nth == nth) && (strcmp(f->name, name) == 0 || strcmp(f->name, whole) == 0))
            return f->code;
    return CUDA_SUCCESS;
}

void driver_settings_write(const char *variable, const char *text) {
    const char *path = getenv(variable);
    if (!path || !*path)
        return;
    const int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    const size_t bytes = strlen(text);
    /* One write a text, so that those of several processes do not mix. */
    if (file < 0 || write(file, text, bytes) != (ssize_t)bytes)
        fprintf(stderr, "simcuda: %s=%s cannot be written\n", variable, path);
    if (file >= 0)
        close(file);
}
