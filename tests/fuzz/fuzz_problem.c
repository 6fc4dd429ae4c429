/* Problem strings: whatever parses prints a key that parses to the same problem. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    kiln_context *context = fuzz_context();
    char *text = malloc(size + 1);
    FUZZ_CHECK(text != NULL);
    if (size)
        memcpy(text, data, size);
    text[size] = 0;
    kiln_problem p;
    const kiln_status status = kiln_problem_parse(context, text, &p);
    free(text);
    if (status != KILN_OK) {
        FUZZ_CHECK(status == KILN_E_PARSE || status == KILN_E_NOT_FOUND || status == KILN_E_INVALID);
        FUZZ_CHECK(kiln_last_error()[0] != 0);
        return 0;
    }
    char key[KILN_MAX_KEY], again[KILN_MAX_KEY], small[9];
    const size_t length = kiln_problem_key(&p, key, sizeof key);
    FUZZ_CHECK(length < sizeof key && strlen(key) == length);
    kiln_problem q;
    FUZZ_CHECK(kiln_problem_parse(context, key, &q) == KILN_OK);
    FUZZ_CHECK(p.schema == q.schema && p.bounds == q.bounds && memcmp(p.v, q.v, sizeof p.v) == 0);
    FUZZ_CHECK(kiln_problem_key(&q, again, sizeof again) == length && strcmp(key, again) == 0);
    FUZZ_CHECK(kiln_problem_key(&p, small, sizeof small) == length && strncmp(small, key, sizeof small - 1) == 0);
    FUZZ_CHECK(strlen(small) == sizeof small - 1 || length < sizeof small);
    return 0;
}
