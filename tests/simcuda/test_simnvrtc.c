/* The look-alike of NVRTC: PTX from a record, and what it says when there is none. */
#include "nvrtc_open.h"
#include "scratch.h"
#include "simnvrtc.h"
#include <zstd.h>

/* The library reads its environment once: each case opens it anew. */
static void open_library(const char *ptx, const char *missing, const char *record) {
    setenv("SIMNVRTC_PTX", ptx, 1);
    setenv("SIMNVRTC_REAL", "", 1);
    setenv("SIMNVRTC_MISSING", missing, 1);
    setenv("SIMNVRTC_RECORD", record, 1);
    nvrtc_open();
}

static const char source[] = "kernel a", changed[] = "kernel a, changed";
static const char *const options[] = {"--gpu-architecture=sm_80", "-DA=1"};
static const char *const others[] = {"--gpu-architecture=sm_80", "-DA=2"};
static const char ptx[] = ".version 9.0\n.entry a() {}\n";

/* `cut`: bytes that are missing at the end of the text. */
static void write_record(const char *path, size_t cut) {
    const ptx_key key = ptx_key_of(source, 2, options);
    char text[1024], packed[2048];
    const int bytes = snprintf(text, sizeof text, "kiln-ptx 1 NVRTC 13.0\n%016llx %016llx %zu a/b.cl\n%s",
                               (unsigned long long)key.source, (unsigned long long)key.options, strlen(ptx), ptx);
    const size_t packed_bytes = ZSTD_compress(packed, sizeof packed, text, (size_t)bytes - cut, 1);
    REQUIRE(!ZSTD_isError(packed_bytes));
    FILE *f = fopen(path, "wb");
    REQUIRE(f && fwrite(packed, 1, packed_bytes, f) == packed_bytes && fclose(f) == 0);
}

static nvrtcResult compile(const char *text, const char *const *with, char *got, char *log) {
    nvrtcProgram p;
    REQUIRE(nvrtc.nvrtcCreateProgram(&p, text, "a/b.cl", 0, NULL, NULL) == NVRTC_SUCCESS);
    const nvrtcResult result = nvrtc.nvrtcCompileProgram(p, 2, with);
    size_t bytes;
    CHECK(nvrtc.nvrtcGetProgramLogSize(p, &bytes) == NVRTC_SUCCESS && bytes <= 1024);
    CHECK(nvrtc.nvrtcGetProgramLog(p, log) == NVRTC_SUCCESS);
    if (result == NVRTC_SUCCESS) {
        CHECK(nvrtc.nvrtcGetPTXSize(p, &bytes) == NVRTC_SUCCESS && bytes == sizeof ptx);
        CHECK(nvrtc.nvrtcGetPTX(p, got) == NVRTC_SUCCESS);
        CHECK(nvrtc.nvrtcGetCUBINSize(p, &bytes) == NVRTC_SUCCESS && bytes == 0);
    } else {
        CHECK(nvrtc.nvrtcGetPTX(p, got) != NVRTC_SUCCESS);
    }
    nvrtc.nvrtcDestroyProgram(&p);
    CHECK(p == NULL);
    return result;
}

static char folder[256], path[512], missing[512];

static void test_recorded(void) {
    char got[1024], log[1024];
    int major, minor, archs;
    write_record(path, 0);
    open_library(path, missing, "");
    CHECK(nvrtc.nvrtcVersion(&major, &minor) == NVRTC_SUCCESS && major == 13 && minor == 0);
    CHECK(nvrtc.nvrtcGetNumSupportedArchs(&archs) == NVRTC_SUCCESS && archs == 1);
    CHECK(nvrtc.nvrtcGetSupportedArchs(&archs) == NVRTC_SUCCESS && archs == 80);
    CHECK(compile(source, options, got, log) == NVRTC_SUCCESS);
    CHECK_STR(got, ptx);
    CHECK(access(missing, F_OK) != 0);
    dlclose(nvrtc.so);
}

static void test_not_recorded(void) {
    char got[1024], log[1024];
    open_library(path, missing, "");
    CHECK(compile(source, others, got, log) == NVRTC_ERROR_COMPILATION);
    CHECK_HAS(log, "not recorded with these options");
    CHECK(compile(changed, options, got, log) == NVRTC_ERROR_COMPILATION);
    CHECK_HAS(log, "a/b.cl");
    CHECK_HAS(log, "its source changed since");
    CHECK_HAS(log, "record_ptx");
    size_t bytes;
    unsigned lines = 0;
    char *text = scratch_read(missing, &bytes);
    for (char *c = text; *c; c++)
        lines += *c == '\n';
    free(text);
    CHECK(lines == 2);
    dlclose(nvrtc.so);
}

/* What was asked for is kept as the record will have it. */
static void test_record(void) {
    char got[1024], log[1024], expected[1024], file[1400];
    const ptx_key key = ptx_key_of(source, 2, options);
    open_library(path, "", folder);
    CHECK(compile(source, options, got, log) == NVRTC_SUCCESS);
    dlclose(nvrtc.so);
    snprintf(file, sizeof file, "%s/a_b.cl-%016llx-%016llx", folder, (unsigned long long)key.source,
             (unsigned long long)key.options);
    snprintf(expected, sizeof expected, "%016llx %016llx %zu a/b.cl\n%s", (unsigned long long)key.source,
             (unsigned long long)key.options, strlen(ptx), ptx);
    size_t bytes;
    char *text = scratch_read(file, &bytes);
    CHECK_STR(text, expected);
    free(text);
}

static void test_damaged(void) {
    char got[1024], log[1024];
    int major, minor;
    write_record(path, 3);
    open_library(path, "", "");
    CHECK(nvrtc.nvrtcVersion(&major, &minor) != NVRTC_SUCCESS);
    CHECK(compile(source, options, got, log) == NVRTC_ERROR_COMPILATION);
    CHECK_HAS(log, "not a whole record");
    dlclose(nvrtc.so);
    open_library("/nowhere/ptx.zst", "", "");
    CHECK(compile(source, options, got, log) == NVRTC_ERROR_COMPILATION);
    CHECK_HAS(log, "/nowhere/ptx.zst");
    dlclose(nvrtc.so);
}

int main(void) {
    scratch_make(folder);
    snprintf(path, sizeof path, "%s/ptx.zst", folder);
    snprintf(missing, sizeof missing, "%s/missing", folder);
    test_recorded();
    test_not_recorded();
    test_record();
    test_damaged();
    scratch_remove(folder);
    return test_end();
}
