/* Problem strings: parse, print, errors, and every way a text can be wrong. */
#include "problem.h"
#include "testing.h"

enum { T_M, T_KV, T_TYPE, T_EP, N_FIELDS };

static const kiln_token types[] = {{"f32", 0, 0, ""}, {"f16", 0, 1, ""}, {NULL, 0, 0, NULL}};
static const kiln_token parts[] = {{"bias", 1, 1, ""},       {"res", 2, 2, ""},          {"relu", 0xf0, 0x10, ""},
                                   {"mish", 0xf0, 0x20, ""}, {"mask", 0x100, 0x100, ""}, {NULL, 0, 0, NULL}};
static const kiln_field fields[N_FIELDS] = {
    {.name = "m", .kind = KILN_FIELD_INT, .flags = KILN_FIELD_REQUIRED, .min = 1, .max = 1 << 20, .help = "rows"},
    {.name = "kv",
     .kind = KILN_FIELD_INT,
     .flags = KILN_FIELD_BOUNDABLE,
     .def = 7,
     .min = 1,
     .max = 4096,
     .help = "keys"},
    {.name = "type", .kind = KILN_FIELD_ENUM, .tokens = types, .help = "element type"},
    {.name = "ep", .kind = KILN_FIELD_SET, .tokens = parts, .allowed = 0xff, .help = "epilogue"},
};
static kiln_status check(const kiln_problem *p) {
    return p->v[T_M] == 13 ? kiln_fail(KILN_E_INVALID, "m=13 is unlucky; use 12") : KILN_OK;
}
static const kiln_schema schema = {"test", "a family for tests", fields, N_FIELDS, check};

static kiln_context *context;

static void good(const char *text, const char *canonical) {
    kiln_problem p, again;
    char key[KILN_MAX_KEY], key2[KILN_MAX_KEY];
    REQUIRE_OK(kiln_problem_parse(context, text, &p));
    CHECK(kiln_problem_key(&p, key, sizeof key) == strlen(key));
    CHECK_STR(key, canonical);
    REQUIRE_OK(kiln_problem_parse(context, key, &again));
    kiln_problem_key(&again, key2, sizeof key2);
    CHECK_STR(key2, key);
    CHECK(p.bounds == again.bounds && memcmp(p.v, again.v, sizeof p.v) == 0);
}

static void bad(const char *text, kiln_status status, const char *part) {
    kiln_problem p = {0};
    CHECK_STATUS(kiln_problem_parse(context, text, &p), status);
    CHECK_HAS(kiln_last_error(), part);
    CHECK(p.schema == NULL); /* untouched */
}

static void test_good(void) {
    good("test:m=1", "test:m=1");
    good("test:kv=7,m=5", "test:m=5");
    good("test:ep=relu+bias,m=5", "test:m=5,ep=bias+relu");
    good("test:m=5,kv<=4096,type=f16", "test:m=5,kv<=4096,type=f16");
    good("test:m=5,kv<=7", "test:m=5,kv<=7"); /* a bound at the default is not the default */
    good("test:m=5,ep=none", "test:m=5");
}

static void test_bad(void) {
    bad("", KILN_E_NOT_FOUND, "known are test");
    bad("nosuch:m=1", KILN_E_NOT_FOUND, "unknown family \"nosuch\"");
    bad("tes:m=1", KILN_E_NOT_FOUND, "tes");
    bad("test", KILN_E_PARSE, "field m is missing");
    bad("test:", KILN_E_PARSE, "field m is missing");
    bad("test:m", KILN_E_PARSE, "field=value");
    bad("test:=3", KILN_E_PARSE, "field=value");
    bad("test:<=3", KILN_E_PARSE, "no field");
    bad("test:m=", KILN_E_PARSE, "whole number from 1 to 1048576");
    bad("test:m=0", KILN_E_PARSE, "from 1");
    bad("test:m=-1", KILN_E_PARSE, "from 1");
    bad("test:m=+1", KILN_E_PARSE, "from 1");
    bad("test:m=01", KILN_E_PARSE, "from 1");
    bad("test:m= 1", KILN_E_PARSE, "from 1");
    bad("test:m=1x", KILN_E_PARSE, "1x");
    bad("test:m=1e3", KILN_E_PARSE, "1e3");
    bad("test:m=1048577", KILN_E_PARSE, "to 1048576");
    bad("test:m=99999999999999999999999999", KILN_E_PARSE, "to 1048576");
    bad("test:m=9223372036854775808", KILN_E_PARSE, "to 1048576");
    bad("test:m=1,m=2", KILN_E_PARSE, "m is given twice");
    bad("test:m=1,", KILN_E_PARSE, "after the last comma");
    bad("test:m=1,,kv=2", KILN_E_PARSE, "field=value");
    bad("test:m=1,q=2", KILN_E_PARSE, "no field \"q\"");
    bad("test:m<=4", KILN_E_PARSE, "cannot be a bound");
    bad("test:m=1,type=f64", KILN_E_PARSE, "known are f32, f16");
    bad("test:m=1,ep=bias+bias", KILN_E_PARSE, "\"bias\" is given twice");
    bad("test:m=1,ep=relu+mish", KILN_E_PARSE, "\"mish\"");
    bad("test:m=1,ep=mask", KILN_E_PARSE, "unknown word \"mask\""); /* not allowed in this family */
    bad("test:m=1,ep=bias+", KILN_E_PARSE, "unknown word \"\"");
    bad("test:m=13", KILN_E_INVALID, "unlucky");
    char *longest = malloc(100001);
    REQUIRE(longest != NULL);
    memset(longest, 'a', 100000);
    longest[100000] = 0;
    bad(longest, KILN_E_PARSE, "longer than");
    memcpy(longest, "test:m=", 7);
    longest[2000] = 0;
    bad(longest, KILN_E_PARSE, "whole number");
    free(longest);
    CHECK_STATUS(kiln_problem_parse(context, NULL, NULL), KILN_E_INVALID);
}

static void test_looking(void) {
    kiln_problem p;
    int64_t value = 0;
    char small[8], help[1024];
    REQUIRE_OK(kiln_problem_parse(context, "test:m=12345,ep=bias", &p));
    CHECK(kiln_problem_key(&p, small, sizeof small) == strlen("test:m=12345,ep=bias"));
    CHECK_STR(small, "test:m=");
    CHECK_OK(kiln_problem_get(&p, "m", &value));
    CHECK(value == 12345);
    CHECK_STATUS(kiln_problem_get(&p, "zz", &value), KILN_E_NOT_FOUND);
    CHECK(kiln_family_help(context, "test", help, sizeof help) > 0);
    CHECK_HAS(help, "m        1..1048576, required: rows");
    CHECK_HAS(help, "bias+res+relu+mish, default none: epilogue");
    CHECK(kiln_family_help(context, "nosuch", help, sizeof help) == 0);
    CHECK_STR(kiln_family_name(context, 0), "test");
    CHECK(kiln_family_name(context, 1) == NULL && kiln_family_count(context) == 1);
}

static void test_product(void) {
    CHECK(kiln__product(INT64_MAX, (int64_t)3, (int64_t)4, (int64_t)-1) == 12);
    CHECK(kiln__product(11, (int64_t)3, (int64_t)4, (int64_t)-1) == -1);
    CHECK(kiln__product(INT64_MAX, INT64_MAX, (int64_t)2, (int64_t)-1) == -1);
    CHECK(kiln__product(INT64_MAX, INT64_MAX, INT64_MAX, (int64_t)0, (int64_t)-1) == -1);
}

int main(void) {
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    options.backends = "";
    options.cache_dir = "";
    REQUIRE_OK(kiln__context_open(&options, &context));
    REQUIRE_OK(kiln__context_register(context, &schema));
    test_good();
    test_bad();
    test_looking();
    test_product();
    kiln_context_destroy(context);
    return test_end();
}
