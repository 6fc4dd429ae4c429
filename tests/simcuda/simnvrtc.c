/* NVRTC's functions over a record of PTX (simnvrtc.h). */
#include "simnvrtc.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* CUDA's headers would declare what we define: these are our prototypes. */
#define KILN_FN(result, name, params) __attribute__((visibility("default"))) result name params;
#include "backends/nvrtc.fn"
#undef KILN_FN

struct _nvrtcProgram {
    char *source, *name, *ptx;
    size_t ptx_bytes; /* with the zero at its end */
    char *log;
};

/* ---- the real one ---- */

static struct {
    void *so;
#define KILN_FN(result, name, params) result(*name) params;
#include "backends/nvrtc.fn"
#undef KILN_FN
} real;

static void *open_usual(void) {
    static const char *const names[] = {"libnvrtc.so.13", "libnvrtc.so.12"};
    void *so = NULL;
    for (size_t i = 0; i < 2 && !so; i++)
        so = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    glob_t found = {0};
    if (!so && glob("/usr/local/cuda*/lib64/libnvrtc.so.1[23]", 0, NULL, &found) == 0)
        for (size_t i = found.gl_pathc; i-- > 0 && !so;)
            so = dlopen(found.gl_pathv[i], RTLD_NOW | RTLD_LOCAL);
    globfree(&found);
    return so;
}

static void open_real(void) {
    const char *named = getenv("SIMNVRTC_REAL");
    real.so = !named ? open_usual() : *named ? dlopen(named, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!real.so)
        return;
    bool whole = true;
    void *symbol;
#define KILN_FN(result, name, params)                                                                                  \
    symbol = dlsym(real.so, #name);                                                                                    \
    memcpy(&real.name, &symbol, sizeof symbol);                                                                        \
    whole = whole && symbol;
#include "backends/nvrtc.fn"
#undef KILN_FN
    if (!whole) {
        dlclose(real.so);
        real.so = NULL;
    }
}

/* ---- the record ---- */

static ptx_record recorded;
static int version[2]; /* what we say we are: the record's, else the real one's */
static char trouble[512];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void start(void) {
    const char *path = getenv("SIMNVRTC_PTX");
    if (!path || !*path)
        snprintf(trouble, sizeof trouble, "SIMNVRTC_PTX names no record of PTX");
    else if (!ptx_record_read(&recorded, path, trouble, sizeof trouble))
        fprintf(stderr, "simnvrtc: %s\n", trouble);
    open_real();
    int found[2] = {0};
    if (real.so)
        real.nvrtcVersion(&found[0], &found[1]);
    if (recorded.n_entries) {
        version[0] = recorded.major;
        version[1] = recorded.minor;
    } else {
        memcpy(version, found, sizeof version);
    }
    /* A new record is of one NVRTC. */
    if (real.so && getenv("SIMNVRTC_RECORD") && memcmp(version, found, sizeof version) != 0) {
        ptx_record_free(&recorded);
        memcpy(version, found, sizeof version);
    }
}

__attribute__((destructor)) static void finish(void) {
    ptx_record_free(&recorded);
}

/* One write a line, so that those of several processes do not mix. */
static void note_missing(const char *name, ptx_key key) {
    const char *path = getenv("SIMNVRTC_MISSING");
    if (!path || !*path)
        return;
    char line[512];
    const int n = snprintf(line, sizeof line, "%016" PRIx64 " %016" PRIx64 " %s\n", key.source, key.options, name);
    const int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (file < 0 || n < 0 || write(file, line, (size_t)n) != n)
        fprintf(stderr, "simnvrtc: SIMNVRTC_MISSING=%s cannot be written\n", path);
    if (file >= 0)
        close(file);
}

/* NVRTC puts the working directory before the names of sources; a record must be the same wherever it is made. */
static void strip_directory(nvrtcProgram p) {
    char directory[1024] = "\"";
    if (!getcwd(directory + 1, sizeof directory - 2))
        return;
    const size_t n = strlen(strcat(directory, "/")) - 1; /* the quotation mark stays */
    for (char *at = p->ptx; (at = strstr(at, directory)); at++) {
        memmove(at + 1, at + 1 + n, (size_t)(p->ptx + p->ptx_bytes - (at + 1 + n)));
        p->ptx_bytes -= n;
    }
}

/* Under another name first: several processes may write the same. */
static void keep(nvrtcProgram p, ptx_key key) {
    const char *folder = getenv("SIMNVRTC_RECORD");
    if (!folder || !*folder)
        return;
    strip_directory(p);
    char path[1024], temporary[1100];
    int n = snprintf(path, sizeof path, "%s/", folder);
    snprintf(path + n, sizeof path - (size_t)n, "%s-%016" PRIx64 "-%016" PRIx64, p->name, key.source, key.options);
    for (char *c = path + n; *c; c++)
        *c = *c == '/' ? '_' : *c;
    snprintf(temporary, sizeof temporary, "%s.%ld", path, (long)getpid());
    FILE *f = fopen(temporary, "wb");
    const bool kept =
        f &&
        fprintf(f, "%016" PRIx64 " %016" PRIx64 " %zu %s\n", key.source, key.options, p->ptx_bytes - 1, p->name) > 0 &&
        fwrite(p->ptx, 1, p->ptx_bytes - 1, f) == p->ptx_bytes - 1;
    if (!f || fclose(f) != 0 || !kept || rename(temporary, path) != 0) {
        fprintf(stderr, "simnvrtc: SIMNVRTC_RECORD=%s cannot be written\n", folder);
        exit(2); /* a record that lacks a program must not look whole */
    }
}

/* ---- a compilation ---- */

static nvrtcResult take_recorded(nvrtcProgram p, const ptx_entry *e) {
    p->ptx_bytes = e->ptx_bytes + 1;
    p->ptx = malloc(p->ptx_bytes);
    if (!p->ptx)
        return NVRTC_ERROR_OUT_OF_MEMORY;
    memcpy(p->ptx, e->ptx, e->ptx_bytes);
    p->ptx[e->ptx_bytes] = 0;
    return NVRTC_SUCCESS;
}

static nvrtcResult take_real(nvrtcProgram p, nvrtcProgram program) {
    size_t bytes = 0;
    nvrtcResult result = real.nvrtcGetProgramLogSize(program, &bytes);
    if (result == NVRTC_SUCCESS && (p->log = calloc(1, bytes + 1)))
        result = real.nvrtcGetProgramLog(program, p->log);
    return result;
}

static nvrtcResult compile_real(nvrtcProgram p, int n, const char *const *options) {
    nvrtcProgram program;
    nvrtcResult result = real.nvrtcCreateProgram(&program, p->source, p->name, 0, NULL, NULL);
    if (result != NVRTC_SUCCESS)
        return result;
    result = real.nvrtcCompileProgram(program, n, options);
    const nvrtcResult log = take_real(p, program);
    if (result == NVRTC_SUCCESS)
        result = log;
    if (result == NVRTC_SUCCESS)
        result = real.nvrtcGetPTXSize(program, &p->ptx_bytes);
    if (result == NVRTC_SUCCESS && !(p->ptx = malloc(p->ptx_bytes)))
        result = NVRTC_ERROR_OUT_OF_MEMORY;
    if (result == NVRTC_SUCCESS)
        result = real.nvrtcGetPTX(program, p->ptx);
    real.nvrtcDestroyProgram(&program);
    return result;
}

static nvrtcResult not_recorded(nvrtcProgram p, ptx_key key) {
    enum { LOG_BYTES = 1024 };
    p->log = malloc(LOG_BYTES);
    if (!p->log)
        return NVRTC_ERROR_OUT_OF_MEMORY;
    const char *what = *trouble                                       ? trouble
                       : ptx_record_is_stale(&recorded, p->name, key) ? "its source changed since PTX was recorded"
                                                                      : "it was not recorded with these options";
    snprintf(p->log, LOG_BYTES,
             "simnvrtc: no PTX for %s (%016" PRIx64 " %016" PRIx64 "): %s, and there is no NVRTC to compile it; "
             "where there is one, tests/simcuda/record_ptx makes the record again",
             p->name, key.source, key.options, what);
    return NVRTC_ERROR_COMPILATION;
}

nvrtcResult nvrtcCompileProgram(nvrtcProgram p, int n, const char *const *options) {
    const ptx_key key = ptx_key_of(p->source, n, options);
    const ptx_entry *entry = ptx_record_find(&recorded, key);
    if (!entry)
        note_missing(p->name, key);
    const nvrtcResult result = entry     ? take_recorded(p, entry)
                               : real.so ? compile_real(p, n, options)
                                         : not_recorded(p, key);
    if (result == NVRTC_SUCCESS)
        keep(p, key);
    return result;
}

/* ---- the rest ---- */

const char *nvrtcGetErrorString(nvrtcResult result) {
    switch (result) {
#define NAME(name, value)                                                                                              \
    case name:                                                                                                         \
        return #name;
        CUDA_ABI_NVRTC_RESULTS(NAME)
#undef NAME
    }
    return "NVRTC_ERROR unknown";
}

nvrtcResult nvrtcVersion(int *major, int *minor) {
    pthread_once(&once, start);
    *major = version[0];
    *minor = version[1];
    return version[0] ? NVRTC_SUCCESS : NVRTC_ERROR_BUILTIN_OPERATION_FAILURE;
}

nvrtcResult nvrtcGetNumSupportedArchs(int *n) {
    *n = 1;
    return NVRTC_SUCCESS;
}

nvrtcResult nvrtcGetSupportedArchs(int *architectures) {
    architectures[0] = 80; /* the simulated GPU's */
    return NVRTC_SUCCESS;
}

nvrtcResult nvrtcCreateProgram(nvrtcProgram *program, const char *source, const char *name, int n,
                               const char *const *headers, const char *const *names) {
    pthread_once(&once, start);
    (void)headers;
    (void)names;
    if (n > 0) /* Kiln's sources come in one piece, and a key hashes no header */
        return NVRTC_ERROR_PROGRAM_CREATION_FAILURE;
    nvrtcProgram p = calloc(1, sizeof *p);
    if (p) {
        p->source = strdup(source);
        p->name = strdup(name ? name : "default_program");
    }
    if (!p || !p->source || !p->name) {
        nvrtcDestroyProgram(&p);
        return NVRTC_ERROR_OUT_OF_MEMORY;
    }
    *program = p;
    return NVRTC_SUCCESS;
}

nvrtcResult nvrtcDestroyProgram(nvrtcProgram *program) {
    nvrtcProgram p = *program;
    if (p) {
        free(p->source);
        free(p->name);
        free(p->ptx);
        free(p->log);
        free(p);
    }
    *program = NULL;
    return NVRTC_SUCCESS;
}

nvrtcResult nvrtcGetProgramLogSize(nvrtcProgram p, size_t *bytes) {
    *bytes = p->log ? strlen(p->log) + 1 : 1;
    return NVRTC_SUCCESS;
}

nvrtcResult nvrtcGetProgramLog(nvrtcProgram p, char *log) {
    strcpy(log, p->log ? p->log : "");
    return NVRTC_SUCCESS;
}

nvrtcResult nvrtcGetPTXSize(nvrtcProgram p, size_t *bytes) {
    *bytes = p->ptx_bytes;
    return p->ptx ? NVRTC_SUCCESS : NVRTC_ERROR_INVALID_PROGRAM;
}

nvrtcResult nvrtcGetPTX(nvrtcProgram p, char *ptx) {
    if (!p->ptx)
        return NVRTC_ERROR_INVALID_PROGRAM;
    memcpy(ptx, p->ptx, p->ptx_bytes);
    return NVRTC_SUCCESS;
}

/* There is no machine code; the simulated GPU wants none. */
nvrtcResult nvrtcGetCUBINSize(nvrtcProgram p, size_t *bytes) {
    *bytes = 0;
    return p->ptx ? NVRTC_SUCCESS : NVRTC_ERROR_INVALID_PROGRAM;
}

nvrtcResult nvrtcGetCUBIN(nvrtcProgram p, char *cubin) {
    (void)cubin;
    return p->ptx ? NVRTC_SUCCESS : NVRTC_ERROR_INVALID_PROGRAM;
}
