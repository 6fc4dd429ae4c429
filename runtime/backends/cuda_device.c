/* Finding CUDA's devices, and describing those that are not here. */
#include "cuda.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- architectures ---- */

/* What differs between architectures as far as kernels ask; the fixed part is in arch_caps. */
typedef struct {
    int capability;
    uint32_t units; /* of a common model, named beside it */
    uint32_t unit_items;
    uint32_t local_kib, unit_local_kib;
} architecture;

static const architecture architectures[] = {
    {75, 40, 1024, 64, 64},     /* T4 */
    {80, 108, 2048, 163, 164},  /* A100 */
    {86, 84, 1536, 99, 100},    /* A40 */
    {87, 16, 1536, 163, 164},   /* Orin */
    {89, 142, 1536, 99, 100},   /* L40 */
    {90, 132, 2048, 227, 228},  /* H100, H200 */
    {100, 148, 2048, 227, 228}, /* B200 */
    {103, 148, 2048, 227, 228}, /* B300 */
    {110, 20, 1536, 227, 228},  /* Thor */
    {120, 188, 1536, 99, 100},  /* RTX PRO 6000 */
    {121, 48, 1536, 99, 100},   /* GB10 */
};

/* The largest architecture in the list that is not above `capability`; NULL: none. */
static const architecture *find_architecture(int capability) {
    const architecture *found = NULL;
    for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++)
        if (architectures[i].capability <= capability)
            found = &architectures[i];
    return found;
}

/* Whether code for 'a', the features that no other architecture will have, is what we compile: matrix instructions of
 * these are worth it. */
static bool has_own_features(int capability) {
    return capability >= 90 && capability < 120;
}

bool kiln__cuda_choose_target(const cuda_nvrtc *nvrtc, int capability, cuda_target *out) {
    int best = 0;
    for (int i = 0; i < nvrtc->n_archs; i++)
        if (nvrtc->archs[i] <= capability && nvrtc->archs[i] > best)
            best = nvrtc->archs[i];
    *out = (cuda_target){.has_cubin = best / 10 == capability / 10}; /* machine code runs on later minor versions */
    snprintf(out->arch, sizeof out->arch, "%s_%d%s", out->has_cubin ? "sm" : "compute", best,
             best == capability && has_own_features(best) ? "a" : "");
    return best != 0;
}

/* Fills what is not in desc->caps. After a failure there is nothing to free. */
static kiln_status fill_desc(kiln_context *context, const cuda_nvrtc *n, const cuda_native *native, const char *model,
                             const char *driver, kiln_device_desc *desc) {
    char compiler[32];
    snprintf(compiler, sizeof compiler, "NVRTC %d.%d", n->major, n->minor);
    cuda_native *kept = kiln__alloc(context, sizeof *kept);
    desc->native = kept;
    desc->model = kiln__strdup(context, model);
    desc->vendor = kiln__strdup(context, "NVIDIA");
    desc->driver = kiln__strdup(context, driver);
    desc->compiler = kiln__strdup(context, compiler);
    desc->target = kiln__strdup(context, native->target.arch);
    if (kept && desc->model && desc->vendor && desc->driver && desc->compiler && desc->target) {
        *kept = *native;
        return KILN_OK;
    }
    char *const texts[] = {desc->model, desc->vendor, desc->driver, desc->compiler, desc->target};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        kiln__free(context, texts[i]);
    kiln__free(context, kept);
    *desc = (kiln_device_desc){0};
    return KILN_E_MEMORY;
}

static void arch_caps(int capability, kiln_caps *caps) {
    *caps = (kiln_caps){.kind = KILN_DEVICE_GPU,
                        .language = KILN_LANGUAGE_CUDA,
                        .compute_capability = (uint32_t)capability,
                        .address_align_bytes = 16, /* of the widest load */
                        .f16 = true,
                        .native_graphs = true};
}

/* ---- devices that are here ---- */

/* One device being read. `failed` is the first call that did not work. */
typedef struct {
    const cuda_library *cuda;
    CUdevice device;
    const char *failed;
    CUresult error;
} reader;

static void note_failure(reader *r, const char *what, CUresult error) {
    if (error != CUDA_SUCCESS && !r->failed) {
        r->failed = what;
        r->error = error;
    }
}

static uint32_t read_attribute(reader *r, CUdevice_attribute attribute, const char *name) {
    int value = 0;
    note_failure(r, name, r->cuda->cuDeviceGetAttribute(&value, attribute, r->device));
    return value > 0 ? (uint32_t)value : 0;
}
#define READ(r, name) read_attribute(r, CU_DEVICE_ATTRIBUTE_##name, "CU_DEVICE_ATTRIBUTE_" #name)

static void read_caps(reader *r, kiln_caps *caps) {
    size_t memory = 0;
    arch_caps((int)(10 * READ(r, COMPUTE_CAPABILITY_MAJOR) + READ(r, COMPUTE_CAPABILITY_MINOR)), caps);
    note_failure(r, "cuDeviceTotalMem", r->cuda->cuDeviceTotalMem(&memory, r->device));
    caps->units = READ(r, MULTIPROCESSOR_COUNT);
    caps->max_group_size = READ(r, MAX_THREADS_PER_BLOCK);
    caps->max_group[0] = READ(r, MAX_BLOCK_DIM_X);
    caps->max_group[1] = READ(r, MAX_BLOCK_DIM_Y);
    caps->max_group[2] = READ(r, MAX_BLOCK_DIM_Z);
    caps->local_bytes = READ(r, MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
    caps->memory_bytes = caps->max_alloc_bytes = memory;
    caps->warp_items = READ(r, WARP_SIZE);
    caps->unit_items = READ(r, MAX_THREADS_PER_MULTIPROCESSOR);
    caps->unit_registers = READ(r, MAX_REGISTERS_PER_MULTIPROCESSOR);
    caps->unit_local_bytes = READ(r, MAX_SHARED_MEMORY_PER_MULTIPROCESSOR);
    caps->cache_bytes = READ(r, L2_CACHE_SIZE);
    caps->cooperative = READ(r, COOPERATIVE_LAUNCH) != 0;
    caps->clusters = READ(r, CLUSTER_LAUNCH) != 0;
    caps->tensor_maps = r->cuda->cuTensorMapEncodeTiled && READ(r, TENSOR_MAP_ACCESS_SUPPORTED) != 0;
}

static char *read_pci(reader *r, kiln_context *context) {
    char text[32];
    const uint32_t domain = READ(r, PCI_DOMAIN_ID), bus = READ(r, PCI_BUS_ID), device = READ(r, PCI_DEVICE_ID);
    snprintf(text, sizeof text, "%04x:%02x:%02x.0", (unsigned)domain, (unsigned)bus & 0xff, (unsigned)device & 0xff);
    return kiln__strdup(context, text);
}

/* Why a device is of no use to us, or NULL. */
static const char *unusable(reader *r, const cuda_nvrtc *nvrtc, const kiln_caps *caps, cuda_target *target,
                            char *buffer, size_t capacity) {
    if (READ(r, COMPUTE_MODE) == CU_COMPUTEMODE_PROHIBITED)
        return "its compute mode is \"prohibited\"";
    if (!kiln__cuda_choose_target(nvrtc, (int)caps->compute_capability, target)) {
        snprintf(buffer, capacity, "it is sm_%u, and NVRTC %d.%d compiles for sm_%d and newer; use NVRTC 12",
                 (unsigned)caps->compute_capability, nvrtc->major, nvrtc->minor, nvrtc->archs[0]);
        return buffer;
    }
    return NULL;
}

static kiln_status add_device(kiln_context *context, cuda_library *cuda, int index, kiln_strbuf *report) {
    reader r = {.cuda = cuda};
    kiln_device_desc desc = {0};
    cuda_native native = {0};
    char model[256] = "", buffer[128], driver[32];
    note_failure(&r, "cuDeviceGet", cuda->cuDeviceGet(&r.device, index));
    note_failure(&r, "cuDeviceGetName", cuda->cuDeviceGetName(model, (int)sizeof model - 1, r.device));
    read_caps(&r, &desc.caps);
    const char *why = r.failed ? NULL : unusable(&r, &cuda->nvrtc, &desc.caps, &native.target, buffer, sizeof buffer);
    if (r.failed || why) {
        if (why)
            kiln__strbuf_addf(report, "cuda: device %d (%s) left out: %s\n", index, model, why);
        else
            kiln__strbuf_addf(report, "cuda: device %d left out: %s: %s\n", index, r.failed,
                              kiln__cuda_error_name(r.error));
        return KILN_OK;
    }
    native.device = r.device;
    snprintf(driver, sizeof driver, "CUDA %d.%d", cuda->version / 1000, cuda->version % 1000 / 10);
    KILN_TRY(fill_desc(context, &cuda->nvrtc, &native, model, driver, &desc));
    desc.pci = read_pci(&r, context);
    kiln__strbuf_addf(report, "cuda: %s, %s, driver of %s, %s\n", model, desc.target, driver, desc.compiler);
    return kiln__device_add(context, &kiln__backend_cuda, cuda, &desc);
}

kiln_status kiln__cuda_load(kiln_context *context, kiln_strbuf *report, void **library) {
    cuda_library *cuda = kiln__alloc(context, sizeof *cuda);
    if (!cuda)
        return KILN_E_MEMORY;
    if (pthread_mutex_init(&cuda->lock, NULL) != 0) {
        kiln__free(context, cuda);
        return kiln_fail(KILN_E_MEMORY, "out of system resources loading CUDA");
    }
    *library = cuda;
    if (!kiln__cuda_open_driver(cuda, report))
        return KILN_OK;
    int n = 0;
    const CUresult error = cuda->cuDeviceGetCount(&n);
    if (error != CUDA_SUCCESS || n == 0) {
        kiln__strbuf_addf(report, "cuda: no device (cuDeviceGetCount: %s)\n", kiln__cuda_error_name(error));
        return KILN_OK;
    }
    kiln_strbuf why = {0};
    kiln_status status = KILN_OK;
    if (kiln__cuda_open_nvrtc(cuda, &why))
        for (int i = 0; i < n && status == KILN_OK; i++)
            status = add_device(context, cuda, i, report);
    else
        kiln__strbuf_addf(report, "cuda: %d devices left out: %s\n", n, kiln__strbuf_text(&why));
    kiln__strbuf_free(&why);
    return status;
}

void kiln__cuda_unload(kiln_context *context, void *library) {
    cuda_library *cuda = library;
    if (cuda->nvrtc.so)
        dlclose(cuda->nvrtc.so);
    if (cuda->so)
        dlclose(cuda->so);
    pthread_mutex_destroy(&cuda->lock);
    kiln__free(context, cuda);
}

void kiln__cuda_forget(kiln_device *device) {
    kiln__free(device->context, device->desc.native);
    device->desc.native = NULL;
}

/* ---- devices that are not here ---- */

/* "sm_90a" -> 90; 0: not an architecture. The letter must be the one we compile for. */
static int parse_arch(const char *arch) {
    if (strncmp(arch, "sm_", 3) != 0)
        return 0;
    char *end;
    const long capability = strtol(arch + 3, &end, 10);
    if (end == arch + 3 || capability < 50 || capability > 999)
        return 0;
    return *end == 0 || (end[0] == 'a' && end[1] == 0 && has_own_features((int)capability)) ? (int)capability : 0;
}

static kiln_status unknown_arch(const cuda_nvrtc *n, const char *arch) {
    kiln_strbuf known = {0};
    for (int i = 0; i < n->n_archs; i++)
        kiln__strbuf_addf(&known, "%ssm_%d%s", i ? ", " : "", n->archs[i], has_own_features(n->archs[i]) ? "a" : "");
    kiln_fail(KILN_E_UNSUPPORTED, "architecture \"%.40s\": NVRTC %d.%d compiles for %s", arch, n->major, n->minor,
              kiln__strbuf_text(&known));
    kiln__strbuf_free(&known);
    return KILN_E_UNSUPPORTED;
}

static void describe_caps(int capability, uint32_t units, kiln_caps *caps) {
    const architecture *a = find_architecture(capability);
    arch_caps(capability, caps);
    caps->units = units ? units : a->units;
    caps->max_group_size = 1024;
    caps->max_group[0] = caps->max_group[1] = 1024;
    caps->max_group[2] = 64;
    caps->local_bytes = (uint64_t)a->local_kib << 10;
    caps->warp_items = 32;
    caps->unit_items = a->unit_items;
    caps->unit_registers = 65536;
    caps->unit_local_bytes = (uint64_t)a->unit_local_kib << 10;
    caps->cooperative = true;
    caps->clusters = caps->tensor_maps = capability >= 90;
}

kiln_status kiln__cuda_describe_arch(kiln_context *context, void *library, const char *arch, uint32_t units,
                                     kiln_device_desc *out) {
    cuda_library *cuda = library;
    kiln_strbuf why = {0};
    if (!kiln__cuda_open_nvrtc(cuda, &why))
        kiln_fail(KILN_E_NOT_FOUND, "cuda: %s", kiln__strbuf_text(&why));
    kiln__strbuf_free(&why);
    if (!cuda->nvrtc.so)
        return KILN_E_NOT_FOUND;
    const int capability = parse_arch(arch);
    cuda_target target;
    if (!find_architecture(capability) || !kiln__cuda_choose_target(&cuda->nvrtc, capability, &target) ||
        strtol(target.arch + 3, NULL, 10) != capability)
        return unknown_arch(&cuda->nvrtc, arch);
    const cuda_native native = {.is_absent = true, .target = target};
    char model[32];
    snprintf(model, sizeof model, "any %s", target.arch);
    describe_caps(capability, units, &out->caps);
    return fill_desc(context, &cuda->nvrtc, &native, model, "none", out);
}
