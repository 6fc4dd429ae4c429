/* What every test program is made of: checks that print where and what, and an exit status ctest understands. */
#ifndef KILN_TESTS_TESTING_H
#define KILN_TESTS_TESTING_H

#include <kiln/kiln.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEST_SKIPPED = 77 };

static int test_failures;

/* Reports and goes on. */
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                                    \
            test_failures++;                                                                                           \
        }                                                                                                              \
    } while (0)

#define CHECK_STR(got, expected)                                                                                       \
    do {                                                                                                               \
        const char *got_ = (got), *expected_ = (expected);                                                             \
        if (!got_ || strcmp(got_, expected_) != 0) {                                                                   \
            fprintf(stderr, "%s:%d: failed: %s is \"%s\", not \"%s\"\n", __FILE__, __LINE__, #got,                     \
                    got_ ? got_ : "(null)", expected_);                                                                \
            test_failures++;                                                                                           \
        }                                                                                                              \
    } while (0)

/* The text contains a part. */
#define CHECK_HAS(text, part)                                                                                          \
    do {                                                                                                               \
        const char *text_ = (text), *part_ = (part);                                                                   \
        if (!text_ || !strstr(text_, part_)) {                                                                         \
            fprintf(stderr, "%s:%d: failed: no \"%s\" in \"%s\"\n", __FILE__, __LINE__, part_,                         \
                    text_ ? text_ : "(null)");                                                                         \
            test_failures++;                                                                                           \
        }                                                                                                              \
    } while (0)

/* A call returns exactly this status. */
#define CHECK_STATUS(call, expected)                                                                                   \
    do {                                                                                                               \
        const kiln_status got_ = (call);                                                                               \
        if (got_ != (expected)) {                                                                                      \
            fprintf(stderr, "%s:%d: failed: %s returned %s, not %s: %s\n", __FILE__, __LINE__, #call,                  \
                    kiln_status_name(got_), #expected, kiln_last_error());                                             \
            test_failures++;                                                                                           \
        }                                                                                                              \
    } while (0)
#define CHECK_OK(call) CHECK_STATUS(call, KILN_OK)

/* A call without which the test cannot go on. */
#define REQUIRE_OK(call)                                                                                               \
    do {                                                                                                               \
        const kiln_status got_ = (call);                                                                               \
        if (got_ != KILN_OK) {                                                                                         \
            fprintf(stderr, "%s:%d: %s returned %s: %s\n", __FILE__, __LINE__, #call, kiln_status_name(got_),          \
                    kiln_last_error());                                                                                \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)
#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: required: %s\n", __FILE__, __LINE__, #condition);                                  \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

#define SKIP(...)                                                                                                      \
    do {                                                                                                               \
        printf("skipped: " __VA_ARGS__);                                                                               \
        printf("\n");                                                                                                  \
        exit(TEST_SKIPPED);                                                                                            \
    } while (0)

/* The last line of main. */
static inline int test_end(void) {
    if (test_failures)
        fprintf(stderr, "%d checks failed\n", test_failures);
    return test_failures ? 1 : 0;
}

#endif
