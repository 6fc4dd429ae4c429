/* Opening the CUDA driver and NVRTC. */
#include "cuda.h"
#include <dlfcn.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

/* Opens `path` unless something is open; notes in `tried` why not. */
static void open_one(void **so, const char *path, kiln_strbuf *tried) {
    if (*so)
        return;
    /* Both leave threads and handlers behind, so they must stay mapped after dlclose. */
    *so = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    const char *why = *so ? NULL : dlerror();
    if (why)
        kiln__strbuf_addf(tried, "%s%s", tried->length ? "; " : "", why);
}

/* ---- the driver ---- */

typedef CUresult (*get_proc_address)(const char *, void **, int, cuuint64_t, CUdriverProcAddressQueryResult *);

/* By cuGetProcAddress, so that newer drivers with other defaults give the version we know, else by the symbol. */
static void *find_function(void *so, get_proc_address get, const char *name, const char *symbol) {
    void *found = NULL;
    CUdriverProcAddressQueryResult how = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    if (get && get(name, &found, CUDA_ABI_VERSION, CU_GET_PROC_ADDRESS_DEFAULT, &how) == CUDA_SUCCESS &&
        how == CU_GET_PROC_ADDRESS_SUCCESS && found)
        return found;
    return dlsym(so, symbol);
}

/* Returns the first required function that is missing, or NULL. */
static const char *take_functions(cuda_library *cuda) {
    const char *missing = NULL;
    void *symbol = dlsym(cuda->so, "cuGetProcAddress_v2");
    get_proc_address get;
    memcpy(&get, &symbol, sizeof get);
#define KILN_FN_OPTIONAL(name, suffix, params)                                                                         \
    symbol = find_function(cuda->so, get, #name, #name #suffix);                                                       \
    memcpy(&cuda->name, &symbol, sizeof symbol);
#define KILN_FN(name, suffix, params)                                                                                  \
    KILN_FN_OPTIONAL(name, suffix, params)                                                                             \
    if (!symbol && !missing)                                                                                           \
        missing = #name #suffix;
#include "cuda.fn"
#undef KILN_FN
#undef KILN_FN_OPTIONAL
    return missing;
}

/* False: `why` says it. */
static bool start_driver(cuda_library *cuda, kiln_strbuf *why) {
    const char *missing = take_functions(cuda);
    if (missing) {
        kiln__strbuf_addf(why, "the driver lacks %s: it is older than CUDA 12.0", missing);
        return false;
    }
    CUresult error = cuda->cuInit(0);
    if (error != CUDA_SUCCESS) {
        kiln__strbuf_addf(why, "cuInit: %s (%d)", kiln__cuda_error_name(error), (int)error);
        return false;
    }
    error = cuda->cuDriverGetVersion(&cuda->version);
    if (error != CUDA_SUCCESS) {
        kiln__strbuf_addf(why, "cuDriverGetVersion: %s (%d)", kiln__cuda_error_name(error), (int)error);
        return false;
    }
    if (cuda->version < CUDA_ABI_VERSION) {
        kiln__strbuf_addf(why, "the driver is of CUDA %d.%d; 12.0 or newer is needed", cuda->version / 1000,
                          cuda->version % 1000 / 10);
        return false;
    }
    return true;
}

bool kiln__cuda_open_driver(cuda_library *cuda, kiln_strbuf *report) {
    const char *named = getenv("KILN_CUDA_LIBRARY");
    const bool is_named = named && *named;
    kiln_strbuf tried = {0}, why = {0};
    open_one(&cuda->so, is_named ? named : "libcuda.so.1", &tried);
    if (!is_named)
        open_one(&cuda->so, "/usr/lib/wsl/lib/libcuda.so.1", &tried); /* not on the loader's path by itself */
    if (!cuda->so) {
        kiln__strbuf_addf(report, "cuda: no driver%s (%s); for an NVIDIA GPU install its driver\n",
                          is_named ? " where KILN_CUDA_LIBRARY says" : "", kiln__strbuf_text(&tried));
    } else if (!start_driver(cuda, &why)) {
        kiln__strbuf_addf(report, "cuda: no device: %s\n", kiln__strbuf_text(&why));
        dlclose(cuda->so);
        cuda->so = NULL;
    }
    kiln__strbuf_free(&tried);
    kiln__strbuf_free(&why);
    return cuda->so != NULL;
}

/* ---- NVRTC ---- */

/* What to open, in turn. A driver runs programs of its own generation of CUDA and of older ones, so NVRTC 12 goes first
 * where the driver is of 12. */
typedef struct {
    void **so;
    bool newest_first;
    kiln_strbuf *tried;
} search;

static void open_matching(const search *s, const char *folder) {
    kiln_strbuf pattern = {0};
    glob_t found = {0};
    kiln__strbuf_addf(&pattern, "%s/libnvrtc.so.1[23]", folder);
    if (!*s->so && glob(kiln__strbuf_text(&pattern), 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)
            open_one(s->so, found.gl_pathv[s->newest_first ? found.gl_pathc - 1 - i : i], s->tried);
    globfree(&found);
    kiln__strbuf_free(&pattern);
}

/* The loader's path, a toolkit or an environment of Python that the environment names, the usual places of both. */
static void open_anywhere(const search *s) {
    static const char *const variables[][2] = {{"CUDA_PATH", "lib64"},
                                               {"CUDA_HOME", "lib64"},
                                               {"VIRTUAL_ENV", "lib/python3*/site-packages/nvidia/*/lib"},
                                               {"CONDA_PREFIX", "lib"},
                                               {"CONDA_PREFIX", "lib/python3*/site-packages/nvidia/*/lib"}};
    static const char *const usual[] = {"/usr/local/cuda/lib64", "/usr/local/cuda-1[23]*/lib64",
                                        "/usr/local/lib/python3*/dist-packages/nvidia/*/lib",
                                        "/usr/lib/python3/dist-packages/nvidia/*/lib"};
    open_one(s->so, s->newest_first ? "libnvrtc.so.13" : "libnvrtc.so.12", s->tried);
    open_one(s->so, s->newest_first ? "libnvrtc.so.12" : "libnvrtc.so.13", s->tried);
    for (size_t i = 0; i < sizeof variables / sizeof *variables && !*s->so; i++) {
        const char *root = getenv(variables[i][0]);
        kiln_strbuf folder = {0};
        kiln__strbuf_addf(&folder, "%s/%s", root ? root : "", variables[i][1]);
        if (root && *root)
            open_matching(s, kiln__strbuf_text(&folder));
        kiln__strbuf_free(&folder);
    }
    for (size_t i = 0; i < sizeof usual / sizeof *usual && !*s->so; i++)
        open_matching(s, usual[i]);
}

static const char *take_nvrtc_functions(cuda_nvrtc *n) {
    const char *missing = NULL;
    void *symbol;
#define KILN_FN(result, name, params)                                                                                  \
    symbol = dlsym(n->so, #name);                                                                                      \
    memcpy(&n->name, &symbol, sizeof symbol);                                                                          \
    if (!symbol && !missing)                                                                                           \
        missing = #name;
#include "nvrtc.fn"
#undef KILN_FN
    return missing;
}

static bool start_nvrtc(cuda_nvrtc *n, kiln_strbuf *why) {
    const char *missing = take_nvrtc_functions(n);
    if (missing) {
        kiln__strbuf_addf(why, "NVRTC lacks %s: it is older than CUDA 12.0", missing);
        return false;
    }
    if (n->nvrtcVersion(&n->major, &n->minor) != NVRTC_SUCCESS || n->major < CUDA_ABI_VERSION / 1000) {
        kiln__strbuf_addf(why, "NVRTC is of CUDA %d.%d; 12.0 or newer is needed", n->major, n->minor);
        return false;
    }
    if (n->nvrtcGetNumSupportedArchs(&n->n_archs) != NVRTC_SUCCESS || n->n_archs < 1 || n->n_archs > CUDA_MAX_ARCHS ||
        n->nvrtcGetSupportedArchs(n->archs) != NVRTC_SUCCESS) {
        kiln__strbuf_addf(why, "NVRTC %d.%d does not say what it compiles for", n->major, n->minor);
        return false;
    }
    return true;
}

bool kiln__cuda_open_nvrtc(cuda_library *cuda, kiln_strbuf *why) {
    cuda_nvrtc *n = &cuda->nvrtc;
    pthread_mutex_lock(&cuda->lock);
    if (!n->so) {
        const char *named = getenv("KILN_NVRTC_LIBRARY");
        kiln_strbuf tried = {0};
        if (named && *named)
            open_one(&n->so, named, &tried);
        else
            open_anywhere(&(search){&n->so, cuda->version / 1000 != 12, &tried});
        if (!n->so)
            kiln__strbuf_addf(why,
                              "no NVRTC%s (%s); install CUDA's NVRTC, or Python's package nvidia-cuda-nvrtc and let "
                              "KILN_NVRTC_LIBRARY name its libnvrtc.so.13",
                              named && *named ? " where KILN_NVRTC_LIBRARY says" : "", kiln__strbuf_text(&tried));
        kiln__strbuf_free(&tried);
        if (n->so && !start_nvrtc(n, why)) {
            dlclose(n->so);
            *n = (cuda_nvrtc){0};
        }
    }
    pthread_mutex_unlock(&cuda->lock);
    return n->so != NULL;
}
