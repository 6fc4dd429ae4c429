/* CUDA programs: source -> CUBIN and PTX by NVRTC -> module. */
#include "cuda.h"
#include <string.h>

enum { MAX_OPTIONS = 128, MAX_LOG_BYTES = 1 << 20, JIT_LOG_BYTES = 4096 };

/* ---- compiling ---- */

/* A compilation: `words` holds the options that `list` points into. */
typedef struct {
    const kiln_device *device;
    const cuda_nvrtc *nvrtc;
    nvrtcProgram program;
    char *words;
    const char *list[MAX_OPTIONS];
    int n;
} compilation;

static kiln_status nvrtc_failed(const compilation *c, const char *call, nvrtcResult result) {
    return kiln_fail(result == NVRTC_ERROR_OUT_OF_MEMORY ? KILN_E_MEMORY : KILN_E_COMPILE, "%s: %s: %s",
                     c->device->name, call, c->nvrtc->nvrtcGetErrorString(result));
}

/* Nothing here changes results: relaxed arithmetic is a kernel's own choice. */
static kiln_status make_options(compilation *c, const char *defines) {
    kiln_strbuf all = {0};
    kiln__strbuf_addf(&all,
                      "--gpu-architecture=%s -default-device -std=c++17 -lineinfo -DKILN_LANGUAGE_CUDA=1 "
                      "-DKILN_CUDA_ARCH=%u %s",
                      cuda_native_of(c->device)->target.arch, (unsigned)c->device->desc.caps.compute_capability,
                      defines ? defines : "");
    kiln_status status = kiln__strbuf_status(&all);
    c->words = status == KILN_OK ? kiln__strdup(c->device->context, all.data) : NULL;
    kiln__strbuf_free(&all);
    if (!c->words)
        return KILN_E_MEMORY;
    char *rest = NULL;
    for (char *word = strtok_r(c->words, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        if (c->n == MAX_OPTIONS)
            return kiln_fail(KILN_E_INTERNAL, "%s: more than %d options for NVRTC", c->device->name, MAX_OPTIONS);
        c->list[c->n++] = word;
    }
    return KILN_OK;
}

static kiln_status compile_failed(const compilation *c, const char *name, nvrtcResult result) {
    const cuda_nvrtc *n = c->nvrtc;
    size_t bytes = 0;
    char *log = NULL;
    if (n->nvrtcGetProgramLogSize(c->program, &bytes) == NVRTC_SUCCESS && bytes && bytes <= MAX_LOG_BYTES)
        log = kiln__alloc(c->device->context, bytes + 1);
    if (log && n->nvrtcGetProgramLog(c->program, log) != NVRTC_SUCCESS)
        log[0] = 0;
    const kiln_status status = kiln_fail(KILN_E_COMPILE, "%s: %s does not compile for %s (%s)\n%s", c->device->name,
                                         name, cuda_native_of(c->device)->target.arch, n->nvrtcGetErrorString(result),
                                         log && log[0] ? log : "the compiler left no log");
    kiln__free(c->device->context, log);
    return status;
}

/* CUBIN and PTX of the program, written into one container. */
static kiln_status take_binary(const compilation *c, void **binary, size_t *binary_bytes) {
    const cuda_nvrtc *n = c->nvrtc;
    cuda_binary b = {0};
    nvrtcResult result = n->nvrtcGetPTXSize(c->program, &b.ptx_bytes);
    if (result == NVRTC_SUCCESS && cuda_native_of(c->device)->target.has_cubin)
        result = n->nvrtcGetCUBINSize(c->program, &b.cubin_bytes);
    if (result != NVRTC_SUCCESS)
        return nvrtc_failed(c, "nvrtcGetPTXSize", result);
    char *parts = kiln__alloc(c->device->context, b.cubin_bytes + b.ptx_bytes);
    void *out = kiln__realloc(c->device->context, NULL, kiln__cuda_binary_bytes(&b));
    kiln_status status = parts && out ? KILN_OK : KILN_E_MEMORY;
    if (status == KILN_OK && b.cubin_bytes)
        result = n->nvrtcGetCUBIN(c->program, parts);
    if (status == KILN_OK && result == NVRTC_SUCCESS)
        result = n->nvrtcGetPTX(c->program, parts + b.cubin_bytes);
    if (status == KILN_OK && result != NVRTC_SUCCESS)
        status = nvrtc_failed(c, "nvrtcGetPTX", result);
    if (status == KILN_OK) {
        b.cubin = (const unsigned char *)parts;
        b.ptx = parts + b.cubin_bytes;
        kiln__cuda_binary_write(&b, out);
        *binary_bytes = kiln__cuda_binary_bytes(&b);
        *binary = out;
    } else {
        kiln__free(c->device->context, out);
    }
    kiln__free(c->device->context, parts);
    return status;
}

static kiln_status compile(compilation *c, const char *source, const char *name, const char *defines, void **binary,
                           size_t *binary_bytes) {
    KILN_TRY(make_options(c, defines));
    nvrtcResult result = c->nvrtc->nvrtcCreateProgram(&c->program, source, name, 0, NULL, NULL);
    if (result != NVRTC_SUCCESS) {
        c->program = NULL;
        return nvrtc_failed(c, "nvrtcCreateProgram", result);
    }
    result = c->nvrtc->nvrtcCompileProgram(c->program, c->n, c->list);
    if (result != NVRTC_SUCCESS)
        return compile_failed(c, name, result);
    return take_binary(c, binary, binary_bytes);
}

kiln_status kiln__cuda_compile(kiln_device *device, const char *source, size_t source_bytes, const char *name,
                               const char *options, void **binary, size_t *binary_bytes) {
    compilation *c = kiln__alloc(device->context, sizeof *c);
    char *text = kiln__alloc(device->context, source_bytes + 1); /* NVRTC wants a zero at its end */
    kiln_status status = KILN_E_MEMORY;
    if (c && text) {
        memcpy(text, source, source_bytes);
        c->device = device;
        c->nvrtc = &cuda_of(device)->nvrtc;
        status = compile(c, text, name, options, binary, binary_bytes);
        if (c->program)
            c->nvrtc->nvrtcDestroyProgram(&c->program);
        kiln__free(device->context, c->words);
    }
    kiln__free(device->context, text);
    kiln__free(device->context, c);
    return status;
}

/* ---- loading ---- */

/* With the compiler's words, should the driver have to compile. */
static CUresult load_image(const cuda_library *cuda, const void *image, char *log, CUmodule *out) {
    enum { N_OPTIONS = 3 };
    CUjit_option options[N_OPTIONS] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
                                       CU_JIT_GENERATE_LINE_INFO};
    void *values[N_OPTIONS] = {log, (void *)(uintptr_t)JIT_LOG_BYTES, (void *)(uintptr_t)1};
    log[0] = 0;
    return cuda->cuModuleLoadDataEx(out, image, N_OPTIONS, options, values);
}

/* Machine code of another architecture, or of a newer CUDA than the driver's: the PTX may still do. */
static bool may_try_ptx(CUresult error) {
    return error == CUDA_ERROR_NO_BINARY_FOR_GPU || error == CUDA_ERROR_INVALID_IMAGE ||
           error == CUDA_ERROR_INVALID_SOURCE;
}

static kiln_status load_binary(const kiln_device *device, const cuda_binary *b, CUmodule *out) {
    const cuda_library *cuda = cuda_of(device);
    char *log = kiln__alloc(device->context, JIT_LOG_BYTES + 1);
    if (!log)
        return KILN_E_MEMORY;
    CUresult error = CUDA_ERROR_NO_BINARY_FOR_GPU, cubin_error = CUDA_SUCCESS;
    if (b->cubin)
        cubin_error = error = load_image(cuda, b->cubin, log, out);
    const bool tries_ptx = b->ptx && may_try_ptx(error);
    if (tries_ptx)
        error = load_image(cuda, b->ptx, log, out);
    kiln_status status = KILN_OK;
    if (error != CUDA_SUCCESS) {
        status = kiln__cuda_fail(device, "cuModuleLoadDataEx", error);
        if (status == KILN_E_DEVICE) /* nothing is wrong with the device */
            status = kiln_fail(KILN_E_CORRUPT, "%s: cuModuleLoadDataEx refuses a program for %s: CUBIN %s, PTX %s %s",
                               device->name, cuda_native_of(device)->target.arch,
                               b->cubin ? kiln__cuda_error_name(cubin_error) : "none",
                               tries_ptx ? kiln__cuda_error_name(error)
                               : b->ptx  ? "not tried"
                                         : "none",
                               log);
    }
    kiln__free(device->context, log);
    return status;
}

/* What the CUBIN says of the kernels. One that cannot be read tells nothing; the driver judges it. */
static kiln_status read_kernels(kiln_context *context, const cuda_binary *b, cuda_module *m) {
    cubin_kernel *kernels = kiln__alloc(context, CUBIN_MAX_KERNELS * sizeof *kernels);
    if (!kernels)
        return KILN_E_MEMORY;
    const int n = b->cubin ? kiln__cubin_read(b->cubin, b->cubin_bytes, kernels, CUBIN_MAX_KERNELS) : 0;
    m->n_kernels = n < 0 ? 0 : n > CUBIN_MAX_KERNELS ? CUBIN_MAX_KERNELS : (size_t)n;
    if (m->n_kernels)
        m->kernels = kiln__realloc(context, NULL, m->n_kernels * sizeof *kernels);
    if (m->kernels)
        memcpy(m->kernels, kernels, m->n_kernels * sizeof *kernels);
    kiln__free(context, kernels);
    return m->n_kernels && !m->kernels ? KILN_E_MEMORY : KILN_OK;
}

static kiln_status load_inside(const kiln_device *device, const cuda_binary *b, CUmodule *out) {
    CUDA_RETURN_INSIDE(device, load_binary(device, b, out));
}

kiln_status kiln__cuda_module_load(kiln_device *device, const void *binary, size_t bytes, void **module) {
    cuda_binary b;
    if (!kiln__cuda_binary_read(binary, bytes, &b))
        return kiln_fail(KILN_E_CORRUPT, "%s: not a program of this backend (%zu bytes)", device->name, bytes);
    cuda_module *m = kiln__alloc(device->context, sizeof *m);
    if (!m)
        return KILN_E_MEMORY;
    kiln_status status = read_kernels(device->context, &b, m);
    if (status == KILN_OK && !cuda_native_of(device)->is_absent)
        status = load_inside(device, &b, &m->module);
    else if (status == KILN_OK && m->n_kernels == 0)
        status = kiln_fail(KILN_E_CORRUPT, "%s: a program without a kernel (%zu bytes)", device->name, bytes);
    if (status != KILN_OK) {
        kiln__free(device->context, m->kernels);
        kiln__free(device->context, m);
        return status;
    }
    *module = m;
    return KILN_OK;
}

void kiln__cuda_module_unload(kiln_device *device, void *module) {
    cuda_module *m = module;
    if (m->module) {
        const bool pushed = kiln__cuda_enter_to_release(device);
        (void)cuda_of(device)->cuModuleUnload(m->module);
        kiln__cuda_leave(device, pushed);
    }
    kiln__free(device->context, m->kernels);
    kiln__free(device->context, m);
}

/* ---- resources ---- */

const cubin_kernel *kiln__cuda_find_kernel(const cuda_module *m, const char *entry) {
    for (size_t i = 0; i < m->n_kernels; i++)
        if (strcmp(m->kernels[i].name, entry) == 0)
            return &m->kernels[i];
    return NULL;
}

/* What fits: registers are given to whole warps in pieces of 256. */
static uint32_t most_items(const kiln_caps *caps, uint32_t registers) {
    const uint32_t a_warp = (registers * 32 + 255) / 256 * 256;
    const uint32_t warps = a_warp ? caps->unit_registers / a_warp : UINT32_MAX / 32;
    return warps * 32 < caps->max_group_size ? warps * 32 : caps->max_group_size;
}

static kiln_status ask_driver(const kiln_device *device, CUmodule module, const char *entry, kiln_resources *out) {
    CUfunction function;
    const CUresult error = cuda_of(device)->cuModuleGetFunction(&function, module, entry);
    if (error == CUDA_ERROR_NOT_FOUND)
        return kiln_fail(KILN_E_NOT_FOUND, "%s: the program has no kernel %s", device->name, entry);
    if (error != CUDA_SUCCESS)
        return kiln__cuda_fail(device, "cuModuleGetFunction", error);
    int registers, items, shared, frame;
    CUDA_TRY(device, cuFuncGetAttribute, &registers, CU_FUNC_ATTRIBUTE_NUM_REGS, function);
    CUDA_TRY(device, cuFuncGetAttribute, &items, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, function);
    CUDA_TRY(device, cuFuncGetAttribute, &shared, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, function);
    CUDA_TRY(device, cuFuncGetAttribute, &frame, CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES, function);
    *out = (kiln_resources){.registers = (uint32_t)registers,
                            .max_group_size = (uint32_t)items,
                            .local_bytes = (uint64_t)shared,
                            .private_bytes = (uint64_t)frame};
    return KILN_OK;
}

static kiln_status ask_inside(const kiln_device *device, CUmodule module, const char *entry, kiln_resources *out) {
    CUDA_RETURN_INSIDE(device, ask_driver(device, module, entry, out));
}

/* The driver knows what it loaded, and only the CUBIN knows of spills. */
kiln_status kiln__cuda_module_resources(kiln_device *device, void *module, const char *entry, kiln_resources *out) {
    const cuda_module *m = module;
    const cubin_kernel *k = kiln__cuda_find_kernel(m, entry);
    *out = (kiln_resources){0};
    if (m->module) {
        KILN_TRY(ask_inside(device, m->module, entry, out));
        out->spills = k ? k->spills : 0;
        return KILN_OK;
    }
    if (!k)
        return kiln_fail(KILN_E_NOT_FOUND, "%s: the program has no kernel %s", device->name, entry);
    *out = (kiln_resources){.registers = k->registers,
                            .max_group_size = most_items(&device->desc.caps, k->registers),
                            .spills = k->spills,
                            .local_bytes = k->shared_bytes,
                            .private_bytes = k->frame_bytes};
    if (k->max_items && k->max_items < out->max_group_size)
        out->max_group_size = k->max_items;
    return KILN_OK;
}
