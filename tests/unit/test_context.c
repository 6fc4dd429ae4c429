/* Contexts: options, environment, allocator, counters, status texts. */
#include "context.h"
#include "testing.h"

static void test_status(void) {
    CHECK_STR(kiln_status_name(KILN_E_PARSE), "KILN_E_PARSE");
    CHECK_STR(kiln_status_text(KILN_OK), "success");
    CHECK_STR(kiln_status_text((kiln_status)999), "unknown status");
    CHECK(KILN_E_INTERNAL == 15); /* pinned */
    CHECK_STATUS(kiln_fail(KILN_E_IO, "inner %d", 1), KILN_E_IO);
    CHECK_STATUS(kiln_fail_in(KILN_E_IO, "outer"), KILN_E_IO);
    CHECK_STR(kiln_last_error(), "outer: inner 1");
    CHECK_STATUS(kiln_fail(KILN_E_IO, "again %s", kiln_last_error()), KILN_E_IO); /* may quote itself */
    CHECK_STR(kiln_last_error(), "again outer: inner 1");
    char huge[2 * KILN_MAX_ERROR_TEXT];
    memset(huge, 'x', sizeof huge - 1);
    huge[sizeof huge - 1] = 0;
    kiln_fail(KILN_E_IO, "%s", huge);
    kiln_fail_in(KILN_E_IO, "%s", huge);
    CHECK(strlen(kiln_last_error()) == KILN_MAX_ERROR_TEXT - 1);
}

static kiln_status create(kiln_context_options *options) {
    kiln_context *context = NULL;
    options->backends = "";
    options->cache_dir = "";
    const kiln_status status = kiln_context_create(options, &context);
    CHECK((status == KILN_OK) == (context != NULL));
    kiln_context_destroy(context);
    return status;
}

static void test_options(void) {
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    CHECK_OK(create(&options));
    setenv("KILN_MODE", "wild", 1);
    CHECK_STATUS(create(&options), KILN_E_INVALID);
    CHECK_HAS(kiln_last_error(), "KILN_MODE=wild");
    CHECK_HAS(kiln_last_error(), "default, reference, strict");
    setenv("KILN_MODE", "strict", 1);
    CHECK_OK(create(&options));
    unsetenv("KILN_MODE");
    setenv("KILN_LOG", "9", 1);
    CHECK_STATUS(create(&options), KILN_E_INVALID);
    unsetenv("KILN_LOG");
    options.mode = (kiln_mode)77;
    CHECK_STATUS(create(&options), KILN_E_INVALID);
    options.mode = KILN_MODE_ENVIRONMENT;
    options.struct_size = 0;
    CHECK_STATUS(create(&options), KILN_E_INVALID);
    options.struct_size = 100000;
    CHECK_STATUS(create(&options), KILN_E_INVALID);
    CHECK_STATUS(kiln_context_create(NULL, NULL), KILN_E_INVALID);
}

/* An allocator that fails from the n-th allocation on, and knows what is still held. */
typedef struct {
    long n, fail_at, held;
} ledger;

static void *ledger_realloc(void *user, void *ptr, size_t bytes) {
    ledger *l = user;
    if (bytes == 0) {
        l->held -= ptr != NULL;
        free(ptr);
        return NULL;
    }
    if (l->fail_at && ++l->n >= l->fail_at)
        return NULL;
    void *p = realloc(ptr, bytes);
    l->held += !ptr && p;
    return p;
}

static void test_allocator(void) {
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    ledger l = {0};
    options.realloc = ledger_realloc;
    options.realloc_user = &l;
    CHECK_OK(create(&options));
    CHECK(l.held == 0);
    kiln_status status = KILN_E_MEMORY;
    for (l.fail_at = 1; l.fail_at < 100 && status != KILN_OK; l.fail_at++) {
        l.n = 0;
        status = create(&options);
        CHECK(status == KILN_OK || status == KILN_E_MEMORY);
        CHECK(l.held == 0);
    }
    CHECK(status == KILN_OK && l.fail_at > 2); /* some allocation failed, and in the end none did */
}

static void test_counters(void) {
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    options.backends = "";
    options.cache_dir = "";
    kiln_context *context;
    REQUIRE_OK(kiln_context_create(&options, &context));
    kiln__count(context, KILN_COUNT_COMPILES);
    kiln__count(context, KILN_COUNT_STORE_FAILURES);
    kiln__count(context, KILN_COUNT_STORE_FAILURES);
    kiln_counters counters = KILN_COUNTERS_INIT;
    CHECK_OK(kiln_context_counters(context, &counters));
    CHECK(counters.compiles == 1 && counters.store_failures == 2 && counters.plan_hits == 0);
    counters.struct_size = 0;
    CHECK_STATUS(kiln_context_counters(context, &counters), KILN_E_INVALID);
    CHECK(kiln_device_count(context) == 0);
    kiln_device *device;
    CHECK_STATUS(kiln_device_find(context, NULL, &device), KILN_E_NOT_FOUND);
    CHECK(kiln_version()[0] != 0);
    kiln_context_destroy(context);
    kiln_context_destroy(NULL);
}

int main(void) {
    test_status();
    test_options();
    test_allocator();
    test_counters();
    return test_end();
}
