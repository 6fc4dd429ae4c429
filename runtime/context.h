/* The inside of a context. */
#ifndef KILN_RUNTIME_CONTEXT_H
#define KILN_RUNTIME_CONTEXT_H

#include "status.h"
#include "strbuf.h"
#include <kiln/context.h>
#include <kiln/problem.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { KILN_MAX_FAMILIES = 32, KILN_MAX_DEVICES = 32, KILN_MAX_BACKENDS = 8 };

/* One atomic for each member of kiln_counters, in its order. */
typedef enum kiln_counter {
    KILN_COUNT_COMPILES,
    KILN_COUNT_COMPILE_FAILURES,
    KILN_COUNT_BINARY_HITS,
    KILN_COUNT_BINARY_MISSES,
    KILN_COUNT_BINARY_REJECTED,
    KILN_COUNT_PROGRAM_REUSES,
    KILN_COUNT_PLAN_HITS,
    KILN_COUNT_PLAN_MISSES,
    KILN_COUNT_PLAN_FALLBACKS,
    KILN_COUNT_PLAN_REVALIDATIONS,
    KILN_COUNT_RECORDS_READ,
    KILN_COUNT_RECORDS_BAD,
    KILN_COUNT_RECORDS_WRITTEN,
    KILN_COUNT_STORE_FAILURES,
    KILN_N_COUNTERS
} kiln_counter;

struct kiln_backend;
struct kiln_store;

struct kiln_context {
    kiln_realloc_fn realloc;
    void *realloc_user;
    kiln_log_fn log;
    void *log_user;
    kiln_log_level log_level;
    pthread_mutex_t log_lock;
    kiln_mode mode;
    char *kernel_dir;     /* NULL: embedded sources */
    bool no_team;         /* KILN_TEAM=0 */
    char *default_device; /* of KILN_DEVICE, or NULL */
    _Atomic uint64_t counters[KILN_N_COUNTERS];
    _Atomic int64_t live_objects; /* queues, buffers, plans, bindings, graphs, nets, sessions */

    const kiln_schema *families[KILN_MAX_FAMILIES]; /* registered by the layer above */
    size_t n_families;

    struct kiln_store *store;

    struct {
        const struct kiln_backend *backend;
        void *library; /* what its load returned */
    } backends[KILN_MAX_BACKENDS];
    size_t n_backends;
    struct kiln_device *devices[KILN_MAX_DEVICES];
    size_t n_devices;
    struct kiln_device *absent[KILN_MAX_DEVICES]; /* opened by architecture, under absent_lock */
    size_t n_absent;
    pthread_mutex_t absent_lock;
    kiln_strbuf device_report;
};

/* Opens a context without families; kiln_context_create (kernels/family.c) registers them. */
kiln_status kiln__context_open(const kiln_context_options *options, kiln_context **out);
kiln_status kiln__context_register(kiln_context *context, const kiln_schema *schema);
const kiln_schema *kiln__context_family(const kiln_context *context, const char *name, size_t name_length);

static inline void kiln__count(kiln_context *context, kiln_counter counter) {
    atomic_fetch_add_explicit(&context->counters[counter], 1, memory_order_relaxed);
}

/* ---- host memory, from the context's allocator ---- */
void *kiln__alloc(kiln_context *context, size_t bytes);              /* zeroed; NULL and a failure text when out */
void *kiln__realloc(kiln_context *context, void *ptr, size_t bytes); /* not zeroed; bytes > 0 */
char *kiln__strdup(kiln_context *context, const char *text);
void kiln__free(kiln_context *context, void *ptr);

/* ---- log ---- */
void kiln__log(kiln_context *context, kiln_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
