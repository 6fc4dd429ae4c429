/* Safetensors: what is read, and what a hostile header may say. */
#include "safetensors.h"
#include "scratch.h"

static kiln_context *context;

/* Header length, header, data. Free it. */
static unsigned char *image(const char *header, uint64_t claimed, size_t data_bytes, size_t *bytes) {
    const size_t length = strlen(header);
    *bytes = 8 + length + data_bytes;
    unsigned char *p = calloc(1, *bytes);
    REQUIRE(p != NULL);
    for (int i = 0; i < 8; i++)
        p[i] = (unsigned char)(claimed >> 8 * i);
    memcpy(p + 8, header, length);
    for (size_t i = 0; i < data_bytes; i++)
        p[8 + length + i] = (unsigned char)(i * 37);
    return p;
}

static kiln_status parse(const char *header, size_t data_bytes) {
    size_t n;
    kiln_safetensors file;
    unsigned char *p = image(header, strlen(header), data_bytes, &n);
    const kiln_status status = kiln__safetensors_parse(context, p, n, &file);
    free(p);
    if (status == KILN_OK)
        kiln__safetensors_close(&file);
    return status;
}

static void test_hostile(void) {
    static const struct {
        const char *header;
        size_t data_bytes;
        kiln_status status;
        const char *what;
    } cases[] = {
        {"{}", 0, KILN_OK, ""},
        {"{\"__metadata__\":{\"a\":\"b\"}}  ", 0, KILN_OK, ""},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, KILN_OK, ""},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2,0],\"data_offsets\":[0,0]}}", 4, KILN_OK, ""},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 3, KILN_E_INVALID, "cut short"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 8, KILN_E_INVALID, "\"a\""},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 8, KILN_E_INVALID, "4 bytes for 2"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 8, KILN_E_INVALID,
         "overflows"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1e300],\"data_offsets\":[0,0]}}", 8, KILN_E_PARSE, "whole number"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 8, KILN_E_PARSE, "whole number"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", 8, KILN_E_PARSE, "whole number"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 8, KILN_E_INVALID,
         "dimensions"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,18446744073709551615]}}", 8, KILN_E_PARSE,
         "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", 8, KILN_E_PARSE, "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":\"x\",\"data_offsets\":[0,4]}}", 8, KILN_E_PARSE, "shape"},
        {"{\"a\":{\"dtype\":\"F99\",\"shape\":[1],\"data_offsets\":[0,4]}}", 8, KILN_E_UNSUPPORTED, "F99"},
        {"{\"a\":7}", 8, KILN_E_PARSE, "\"a\""},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[3,7]}}",
         8, KILN_E_INVALID, "overlap"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}",
         8, KILN_E_INVALID, "overlap"},
        {"[1,2]", 0, KILN_E_PARSE, "not a JSON object"},
        {"{\"a\":", 0, KILN_E_PARSE, "not JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_STATUS(parse(cases[i].header, cases[i].data_bytes), cases[i].status);
        if (cases[i].status != KILN_OK)
            CHECK_HAS(kiln_last_error(), cases[i].what);
    }
    /* A thousand brackets in brackets. */
    char deep[4003];
    memset(deep, '[', 4000);
    strcpy(deep + 4000, "]]");
    CHECK_STATUS(parse(deep, 0), KILN_E_PARSE);
}

static void test_length(void) {
    static const uint64_t claims[] = {0, 1, 3, 100, UINT64_MAX, UINT64_C(1) << 63, 100000001};
    for (size_t i = 0; i < sizeof claims / sizeof claims[0]; i++) {
        size_t n;
        kiln_safetensors file;
        unsigned char *p = image("{}", claims[i], 0, &n);
        CHECK_STATUS(kiln__safetensors_parse(context, p, n, &file), KILN_E_PARSE);
        for (size_t cut = 0; cut < 8; cut++)
            CHECK_STATUS(kiln__safetensors_parse(context, p, cut, &file), KILN_E_PARSE);
        free(p);
    }
}

static void test_read(const char *folder) {
    static const char header[] = "{\"u\":{\"dtype\":\"U8\",\"shape\":[2,3],\"data_offsets\":[8,14]},"
                                 "\"f\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                                 "\"i\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[14,22]}}";
    char path[300];
    size_t n;
    kiln_safetensors file;
    unsigned char *p = image(header, sizeof header - 1, 22, &n);
    const float floats[2] = {1.5f, -2.25f};
    memcpy(p + 8 + sizeof header - 1, floats, sizeof floats);
    snprintf(path, sizeof path, "%s/a.safetensors", folder);
    scratch_write(path, p, n);
    free(p);
    REQUIRE_OK(kiln__safetensors_open(context, path, &file));
    float got[6] = {0};
    CHECK_OK(kiln__safetensors_read(&file, kiln__safetensors_find(&file, "f"), 1, 1, got));
    CHECK(got[0] == -2.25f && got[1] == 0);
    CHECK_OK(kiln__safetensors_read(&file, kiln__safetensors_find(&file, "u"), 0, 6, got));
    for (int i = 0; i < 6; i++)
        CHECK(got[i] == (float)((8 + i) * 37 % 256));
    CHECK_STATUS(kiln__safetensors_read(&file, kiln__safetensors_find(&file, "u"), 3, 4, got), KILN_E_INVALID);
    CHECK_STATUS(kiln__safetensors_read(&file, kiln__safetensors_find(&file, "u"), -1, 1, got), KILN_E_INVALID);
    CHECK_STATUS(kiln__safetensors_read(&file, kiln__safetensors_find(&file, "i"), 0, 1, got), KILN_E_UNSUPPORTED);
    CHECK(kiln__safetensors_find(&file, "none") == NULL);
    REQUIRE(truncate(path, 60) == 0);
    CHECK_STATUS(kiln__safetensors_read(&file, kiln__safetensors_find(&file, "u"), 0, 6, got), KILN_E_IO);
    kiln__safetensors_close(&file);
    CHECK_STATUS(kiln__safetensors_open(context, path, &file), KILN_E_PARSE);
    CHECK_HAS(kiln_last_error(), path);
    CHECK_STATUS(kiln__safetensors_open(context, folder, &file), KILN_E_IO);
    snprintf(path, sizeof path, "%s/none", folder);
    CHECK_STATUS(kiln__safetensors_open(context, path, &file), KILN_E_IO);
}

int main(void) {
    char folder[256];
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    options.backends = "";
    options.cache_dir = "";
    REQUIRE_OK(kiln_context_create(&options, &context));
    scratch_make(folder);
    test_hostile();
    test_length();
    test_read(folder);
    scratch_remove(folder);
    kiln_context_destroy(context);
    return test_end();
}
