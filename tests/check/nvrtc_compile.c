/* Every device source that is for GPUs compiles as CUDA C: with its defaults, and with what the guess of a few problems
 * defines. Kernels written for CUDA are assembled too, and spill no registers. Needs NVRTC, no GPU; without NVRTC the
 * test is skipped. */
#include "embedded.h"
#include "family.h"
#include "testing.h"
#include <dlfcn.h>
#include <glob.h>

/* ---- NVRTC, as far as it is needed ---- */

typedef struct nvrtc_program nvrtc_program;
typedef struct {
    const char *(*error)(int);
    int (*version)(int *, int *);
    int (*create)(nvrtc_program **, const char *, const char *, int, const char *const *, const char *const *);
    int (*compile)(nvrtc_program *, int, const char *const *);
    int (*log_size)(nvrtc_program *, size_t *);
    int (*log)(nvrtc_program *, char *);
    int (*ptx_size)(nvrtc_program *, size_t *);
    int (*ptx)(nvrtc_program *, char *);
    int (*destroy)(nvrtc_program **);
} nvrtc;

static void *open_below(const char *pattern) {
    glob_t g = {0};
    void *library = NULL;
    if (glob(pattern, 0, NULL, &g) == 0)
        for (size_t i = 0; i < g.gl_pathc && !library; i++)
            library = dlopen(g.gl_pathv[i], RTLD_NOW | RTLD_LOCAL);
    globfree(&g);
    return library;
}

/* KILN_NVRTC_LIBRARY, the loader's path, the toolkit's usual place, a wheel unpacked below build/. */
static void *open_nvrtc(void) {
    const char *asked = getenv("KILN_NVRTC_LIBRARY"), *root = getenv("KILN_SOURCE_DIR");
    if (asked && asked[0])
        return dlopen(asked, RTLD_NOW | RTLD_LOCAL);
    void *library = dlopen("libnvrtc.so.13", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        library = dlopen("libnvrtc.so.12", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        library = open_below("/usr/local/cuda*/lib64/libnvrtc.so.1[23]");
    static const char *const depths[] = {"*", "*/*", "*/*/*", "*/*/*/*", "*/*/*/*/*"};
    for (size_t i = 0; i < sizeof depths / sizeof *depths && !library; i++) {
        char pattern[1024];
        snprintf(pattern, sizeof pattern, "%s/build/%s/nvidia/*/lib/libnvrtc.so.1[23]", root ? root : ".", depths[i]);
        library = open_below(pattern);
    }
    return library;
}

static void load_nvrtc(nvrtc *n) {
    void *library = open_nvrtc();
    if (!library)
        SKIP("no NVRTC: libnvrtc.so.13 or .12 is neither installed nor below build/; set KILN_NVRTC_LIBRARY");
    const struct {
        const char *name;
        void *slot;
    } symbols[] = {{"nvrtcGetErrorString", &n->error},       {"nvrtcVersion", &n->version},
                   {"nvrtcCreateProgram", &n->create},       {"nvrtcCompileProgram", &n->compile},
                   {"nvrtcGetProgramLogSize", &n->log_size}, {"nvrtcGetProgramLog", &n->log},
                   {"nvrtcGetPTXSize", &n->ptx_size},        {"nvrtcGetPTX", &n->ptx},
                   {"nvrtcDestroyProgram", &n->destroy}};
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        void *symbol = dlsym(library, symbols[i].name);
        REQUIRE(symbol != NULL);
        memcpy(symbols[i].slot, &symbol, sizeof symbol);
    }
    int major = 0, minor = 0;
    n->version(&major, &minor);
    printf("NVRTC %d.%d\n", major, minor);
}

/* ---- one compilation ---- */

static unsigned compiled;

/* The caller frees it. */
static char *log_of(const nvrtc *n, nvrtc_program *program) {
    size_t bytes = 0;
    n->log_size(program, &bytes);
    char *log = calloc(1, bytes + 1);
    REQUIRE(log != NULL);
    n->log(program, log);
    return log;
}

/* The PTX has a visible entry of that name. */
static void check_entry(const nvrtc *n, nvrtc_program *program, const char *entry) {
    size_t bytes = 0;
    n->ptx_size(program, &bytes);
    char *ptx = calloc(1, bytes + 1), wanted[128];
    REQUIRE(ptx != NULL);
    n->ptx(program, ptx);
    snprintf(wanted, sizeof wanted, ".entry %s(", entry);
    CHECK_HAS(ptx, wanted);
    free(ptx);
}

static bool ends(const kiln_embed *source, const char *extension) {
    const size_t n = strlen(source->name), m = strlen(extension);
    return n >= m && strcmp(source->name + n - m, extension) == 0;
}

/* To machine code: what the assembler says of each kernel is in the log. */
static void check_spills(const nvrtc *n, nvrtc_program *program, const char *what) {
    char *log = log_of(n, program);
    size_t kernels = 0;
    for (const char *line = strstr(log, " bytes spill stores"); line; line = strstr(line + 1, " bytes spill stores")) {
        kernels++;
        if (strncmp(line - 2, " 0", 2) != 0)
            fprintf(stderr, "%s spills registers:\n%s\n", what, log);
        CHECK(strncmp(line - 2, " 0", 2) == 0);
    }
    CHECK(kernels > 0);
    free(log);
}

/* `defines` is "-DA=1 -DB=2", as in a unit. */
static void compile(const nvrtc *n, const kiln_embed *source, const char *defines, const char *entry) {
    static const char *const ptx[] = {"--gpu-architecture=compute_80", "--gpu-architecture=compute_90", NULL};
    static const char *const machine_code[] = {"--gpu-architecture=sm_80", "--gpu-architecture=sm_90a", NULL};
    const bool assembles = ends(source, ".cu");
    char text[KILN_MAX_DEFINES], what[KILN_MAX_DEFINES + 256];
    snprintf(text, sizeof text, "%s", defines);
    const char *arguments[64] = {NULL, "--ptxas-options=-v"};
    int n_arguments = assembles ? 2 : 1;
    for (char *word = strtok(text, " "); word && n_arguments < 64; word = strtok(NULL, " "))
        arguments[n_arguments++] = word;
    for (const char *const *architecture = assembles ? machine_code : ptx; *architecture; architecture++) {
        arguments[0] = *architecture;
        snprintf(what, sizeof what, "%s %s %s", source->name, *architecture, defines);
        nvrtc_program *program = NULL;
        REQUIRE(n->create(&program, (const char *)source->text, source->name, 0, NULL, NULL) == 0);
        const int result = n->compile(program, n_arguments, arguments);
        if (result != 0) {
            char *log = log_of(n, program);
            fprintf(stderr, "%s: %s\n%s\n", what, n->error(result), log);
            free(log);
        }
        CHECK(result == 0);
        if (result == 0)
            check_entry(n, program, entry);
        if (result == 0 && assembles)
            check_spills(n, program, what);
        n->destroy(&program);
        compiled++;
    }
}

/* ---- what to compile ---- */

static const struct {
    const kiln_embed *source;
    const char *entry;
} sources[] = {
    {&kiln__embed_affine_ref_cl, "affine_ref"},
    {&kiln__embed_conv_mma_cu, "conv_mma"},
    {&kiln__embed_conv_ref_cl, "conv_ref"},
    {&kiln__embed_conv_tile_cl, "conv_tile"},
    {&kiln__embed_conv_winograd_cl, "winograd_products"},
    {&kiln__embed_gemm_mma_cu, "gemm_mma"},
    {&kiln__embed_gemm_ref_cl, "gemm_ref"},
    {&kiln__embed_gemm_tile_cl, "gemm_tile"},
    {&kiln__embed_global_pool_ref_cl, "global_pool_ref"},
    {&kiln__embed_pack_columns_cu, "pack_columns"},
    {&kiln__embed_pack_panels_cl, "pack_panels"},
    {&kiln__embed_pack_winograd_cl, "pack_winograd"},
    {&kiln__embed_se_block_fused_group_cl, "se_block_fused_group"},
};

static const char *const problems[] = {
    "conv:n=1,h=19,w=19,ic=22,oc=96,kh=5,kw=5,ihalo=2,ohalo=1,ep=nbias+sum+bn+relu+mask",
    "conv:n=8,h=9,w=9,ic=96,oc=96,kh=3,kw=3,ihalo=1,ep=scale+bias+nbias+res+sum+bn+mish+mask",
    "conv:n=2,h=7,w=5,ic=3,oc=3,kh=1,kw=3,ep=silu",
    "conv:n=2,h=19,w=19,ic=33,oc=47,kh=3,kw=3,ohalo=1,ep=bias+res+relu",
    "conv:n=1,h=2,w=2,ic=16,oc=16,kh=3,kw=3",
    "conv:n=8,h=9,w=9,ic=96,oc=96,kh=3,kw=3,ihalo=1,type=f16,ep=scale+bias+nbias+res+sum+bn+mish+mask",
    "conv:n=8,h=9,w=9,ic=96,oc=96,kh=3,kw=3,ihalo=1,type=bf16,ep=scale+bias+nbias+res+sum+bn+mish+mask",
    "gemm:m=64,n=256,k=256,ep=bias+gelu",
    "gemm:m=3,n=5,k=7,ep=scale+bias+res+sum+bn+sigmoid+mask",
    "gemm:m=300,n=33,k=64,ep=tanh",
    "gemm:m=3,n=5,k=7,type=f16,ep=scale+bias+res+sum+bn+sigmoid+mask",
    "gemm:m=3,n=5,k=7,type=bf16,ep=scale+bias+res+sum+bn+sigmoid+mask",
    "gemm:m=3,n=5,k=7,compute=tf32",
    /* matrix cores: copies of 16, 8 and 4 bytes, stores of 8 results down to one, large products and split ones */
    "conv:n=64,h=19,w=19,ic=256,oc=256,kh=3,kw=3,type=f16,ep=bias+res+relu",
    "conv:n=2,h=9,w=9,ic=256,oc=256,kh=3,kw=3,ihalo=1,type=bf16,ep=bias+nbias+res+sum+bn+mish+mask",
    "conv:n=2,h=19,w=19,ic=22,oc=97,kh=5,kw=5,type=f16,ep=bias+silu",
    "conv:n=2,h=9,w=9,ic=7,oc=66,kh=3,kw=3,compute=tf32,ep=scale+gelu",
    "gemm:m=4096,n=4096,k=4096,type=f16",
    "gemm:m=4096,n=1024,k=1024,compute=tf32,ep=bias+tanh",
    "gemm:m=64,n=1024,k=4100,type=bf16,ep=bias+sigmoid",
    "affine:n=2,h=9,w=9,c=32,form=scale_shift,gate=sigmoid,ep=res+relu+mask",
    "affine:n=2,h=9,w=9,c=32,ihalo=1,form=shift",
    "global_pool:n=2,h=9,w=9,c=32,form=katago,mask=1",
    "global_pool:n=2,h=9,w=9,c=32,form=katago_value",
    "global_pool:n=2,h=9,w=9,c=32,form=mean_max_std,mask=1,ihalo=1",
    "se_block:n=2,h=9,w=9,c=256,r=64,form=scale,ep=res+relu",
    "se_block:n=2,h=9,w=9,c=33,r=5,ihalo=1,form=scale_shift,mask=1,ep=res+sum+bn+mish+mask",
    "affine:n=2,h=9,w=9,c=32,form=scale_shift,gate=sigmoid,type=f16,ep=res+relu+mask",
    "affine:n=2,h=9,w=9,c=32,form=scale_shift,gate=sigmoid,type=bf16,ep=res+relu+mask",
    "global_pool:n=2,h=9,w=9,c=32,form=mean_max_std,mask=1,type=f16",
    "global_pool:n=2,h=9,w=9,c=32,form=katago,mask=1,type=bf16",
    "se_block:n=2,h=9,w=9,c=33,r=5,ihalo=1,form=scale_shift,mask=1,type=f16,ep=res+sum+bn+mish+mask",
    "se_block:n=2,h=9,w=9,c=33,r=5,ihalo=1,form=scale_shift,mask=1,type=bf16,ep=res+sum+bn+mish+mask",
};

/* A GPU of today, so that guesses are those a CUDA device gets. */
static const kiln_caps gpu = {.kind = KILN_DEVICE_GPU,
                              .language = KILN_LANGUAGE_CUDA,
                              .units = 132,
                              .max_group_size = 1024,
                              .max_group = {1024, 1024, 64},
                              .address_align_bytes = 256,
                              .compute_capability = 80,
                              .local_bytes = 227 << 10,
                              .memory_bytes = UINT64_C(80) << 30,
                              .max_alloc_bytes = UINT64_C(80) << 30,
                              .f16 = true};

static void compile_steps(const nvrtc *n, const kiln_lowering *l, const kiln_step *steps, size_t n_steps) {
    for (size_t i = 0; i < n_steps; i++) {
        const kiln_unit *unit = &l->units[steps[i].kernel.unit];
        CHECK(!ends(unit->source, ".cpu.cl")); /* else the variant applies where it cannot compile */
        compile(n, unit->source, unit->defines, steps[i].kernel.launch.entry);
    }
}

static void compile_problem(const nvrtc *n, kiln_context *context, const char *text) {
    kiln_problem p;
    REQUIRE_OK(kiln_problem_parse(context, text, &p));
    for (const kiln_variant *v = kiln__problem_family(&p)->variants; v->name; v++) {
        if (v->reject && v->reject(&p, &gpu))
            continue;
        kiln_config config;
        static kiln_lowering l;
        kiln__variant_guess(v, &p, &gpu, &config);
        CHECK(kiln__config_reject(v, &p, &gpu, &config) == NULL);
        REQUIRE_OK(kiln__variant_lower(v, &p, &config, &gpu, &l));
        compile_steps(n, &l, l.prepare, l.n_prepare);
        compile_steps(n, &l, l.run, l.n_run);
    }
}

/* The table above has every source for GPUs there is. */
static void check_sources(void) {
    const char *root = getenv("KILN_SOURCE_DIR");
    char pattern[1024];
    snprintf(pattern, sizeof pattern, "%s/kernels/*/*.c[lu]", root ? root : ".");
    glob_t g = {0};
    REQUIRE(glob(pattern, 0, NULL, &g) == 0);
    size_t for_gpus = 0;
    for (size_t i = 0; i < g.gl_pathc; i++)
        for_gpus += !strstr(g.gl_pathv[i], ".cpu.cl");
    globfree(&g);
    CHECK(for_gpus == sizeof sources / sizeof *sources);
}

int main(void) {
    nvrtc n;
    load_nvrtc(&n);
    check_sources();
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        compile(&n, sources[i].source, "", sources[i].entry);
    kiln_context *context;
    const kiln_context_options options = {.struct_size = sizeof options, .cache_dir = "", .backends = "null"};
    REQUIRE_OK(kiln_context_create(&options, &context));
    for (size_t i = 0; i < sizeof problems / sizeof *problems; i++)
        compile_problem(&n, context, problems[i]);
    kiln_context_destroy(context);
    printf("%u compilations\n", compiled);
    return test_end();
}
