/* Finding OpenCL and its devices. */
#include "opencl.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PLATFORMS = 16, MAX_TEXT_BYTES = 64 * 1024 };

static const char *const no_driver_remedy =
    "install pocl-opencl-icd for a device on the CPU, or the GPU vendor's OpenCL driver";

/* ---- the library ---- */

static bool take_functions(opencl_library *cl, const char **missing) {
    *missing = NULL;
#define KILN_FN(name)                                                                                                  \
    if (!(*(void **)&cl->name = dlsym(cl->so, #name)) && !*missing)                                                    \
        *missing = #name;
#include "opencl.fn"
#undef KILN_FN
    return !*missing;
}

/* Opens the library that KILN_OPENCL_LIBRARY names, else the usual ones in turn. False: the report says why. */
static bool open_library(opencl_library *cl, kiln_strbuf *report) {
    const char *named = getenv("KILN_OPENCL_LIBRARY");
    const char *const usual[] = {"libOpenCL.so.1", "libOpenCL.so"};
    const bool is_named = named && *named;
    const char *name = named;
    kiln_strbuf tried = {0};
    for (size_t i = 0; i < (is_named ? 1 : sizeof usual / sizeof *usual) && !cl->so; i++) {
        name = is_named ? named : usual[i];
        /* Drivers leave threads behind, so the library must stay mapped after dlclose. */
        cl->so = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        const char *why = cl->so ? NULL : dlerror();
        if (why)
            kiln__strbuf_addf(&tried, "%s%s", tried.length ? "; " : "", why);
    }
    if (!cl->so)
        kiln__strbuf_addf(report, "opencl: no library%s (%s); %s\n", is_named ? " where KILN_OPENCL_LIBRARY says" : "",
                          kiln__strbuf_text(&tried), no_driver_remedy);
    kiln__strbuf_free(&tried);
    if (!cl->so)
        return false;
    const char *missing;
    if (take_functions(cl, &missing))
        return true;
    kiln__strbuf_addf(report, "opencl: %s lacks %s, so it is no OpenCL 1.2 library; %s\n", name, missing,
                      no_driver_remedy);
    return false;
}

/* ---- reading about devices ---- */

/* One device being read. `failed` is the first query that did not work. */
typedef struct {
    const opencl_library *cl;
    kiln_context *context;
    cl_platform_id platform;
    cl_device_id device;
    const char *failed;
    cl_int error;
} reader;

static void note_failure(reader *r, const char *what, cl_int error) {
    if (!r->failed) {
        r->failed = what;
        r->error = error;
    }
}

static cl_int query(const reader *r, bool of_platform, cl_uint what, size_t bytes, void *out, size_t *needed) {
    return of_platform ? r->cl->clGetPlatformInfo(r->platform, what, bytes, out, needed)
                       : r->cl->clGetDeviceInfo(r->device, what, bytes, out, needed);
}

/* A text of the driver, free of control characters and of blanks at its ends; NULL and a note if there is none. */
static char *read_text(reader *r, bool of_platform, cl_uint what, const char *what_name) {
    size_t bytes = 0;
    cl_int error = query(r, of_platform, what, 0, NULL, &bytes);
    if (error != CL_SUCCESS || bytes == 0 || bytes > MAX_TEXT_BYTES) {
        note_failure(r, what_name, error ? error : CL_INVALID_VALUE);
        return NULL;
    }
    char *text = kiln__alloc(r->context, bytes + 1);
    if (!text) {
        note_failure(r, what_name, CL_OUT_OF_HOST_MEMORY);
        return NULL;
    }
    error = query(r, of_platform, what, bytes, text, NULL);
    if (error != CL_SUCCESS) {
        note_failure(r, what_name, error);
        kiln__free(r->context, text);
        return NULL;
    }
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 127)
            text[i] = ' ';
    while (n && text[n - 1] == ' ')
        text[--n] = 0;
    const size_t blanks = strspn(text, " ");
    memmove(text, text + blanks, n - blanks + 1);
    return text;
}

static void read_value(reader *r, cl_uint what, const char *what_name, void *out, size_t bytes) {
    memset(out, 0, bytes);
    size_t got = 0;
    cl_int error = query(r, false, what, 0, NULL, &got);
    if (error == CL_SUCCESS)
        error = got == bytes ? query(r, false, what, bytes, out, NULL) : CL_INVALID_VALUE;
    if (error != CL_SUCCESS)
        note_failure(r, what_name, error);
}
#define READ_TEXT(r, what)       read_text(r, false, what, #what)
#define READ_VALUE(r, what, out) read_value(r, what, #what, out, sizeof *(out))

/* "A (B)"; frees both. */
static char *join(reader *r, char *a, char *b) {
    char *text = NULL;
    kiln_strbuf s = {0};
    if (a && b) {
        kiln__strbuf_addf(&s, "%s (%s)", a, b);
        text = s.failed ? NULL : kiln__strdup(r->context, kiln__strbuf_text(&s));
        if (!text)
            note_failure(r, "its name", CL_OUT_OF_HOST_MEMORY);
    }
    kiln__strbuf_free(&s);
    kiln__free(r->context, a);
    kiln__free(r->context, b);
    return text;
}

/* ---- where the device is plugged in: extensions, so nothing is wrong without them ---- */

typedef struct {
    cl_uint domain, bus, device, function;
} pci_place;

static bool read_pci(const reader *r, const char *extensions, pci_place *out) {
    enum { PCI_BUS_INFO_KHR = 0x410F, PCI_BUS_ID_NV = 0x4008, PCI_SLOT_ID_NV = 0x4009, PCI_DOMAIN_ID_NV = 0x400A };
    *out = (pci_place){0};
    if (strstr(extensions, "cl_khr_pci_bus_info"))
        return query(r, false, PCI_BUS_INFO_KHR, sizeof *out, out, NULL) == CL_SUCCESS;
    if (!strstr(extensions, "cl_nv_device_attribute_query"))
        return false;
    cl_uint slot = 0;
    if (query(r, false, PCI_BUS_ID_NV, sizeof out->bus, &out->bus, NULL) != CL_SUCCESS ||
        query(r, false, PCI_SLOT_ID_NV, sizeof slot, &slot, NULL) != CL_SUCCESS)
        return false;
    (void)query(r, false, PCI_DOMAIN_ID_NV, sizeof out->domain, &out->domain, NULL); /* newer drivers only */
    out->device = slot >> 3;
    out->function = slot & 7;
    return true;
}

/* ---- capabilities ---- */

static bool has_word(const char *list, const char *word) {
    const size_t n = strlen(word);
    for (const char *at = strstr(list, word); at; at = strstr(at + 1, word))
        if ((at == list || at[-1] == ' ') && (at[n] == ' ' || at[n] == 0))
            return true;
    return false;
}

static uint64_t at_most(uint64_t value, uint64_t limit) {
    return value < limit ? value : limit;
}

static void read_caps(reader *r, const char *model, const char *extensions, kiln_caps *caps) {
    cl_device_type type;
    cl_uint units, dimensions, base_bits, native_floats;
    cl_ulong memory, max_alloc, local;
    size_t max_group, max_items[3] = {0};
    READ_VALUE(r, CL_DEVICE_TYPE, &type);
    READ_VALUE(r, CL_DEVICE_MAX_COMPUTE_UNITS, &units);
    READ_VALUE(r, CL_DEVICE_MAX_WORK_GROUP_SIZE, &max_group);
    READ_VALUE(r, CL_DEVICE_MAX_WORK_ITEM_DIMENSIONS, &dimensions);
    if (dimensions == 3)
        READ_VALUE(r, CL_DEVICE_MAX_WORK_ITEM_SIZES, &max_items);
    else
        note_failure(r, "CL_DEVICE_MAX_WORK_ITEM_DIMENSIONS, which should be 3", CL_INVALID_VALUE);
    READ_VALUE(r, CL_DEVICE_MEM_BASE_ADDR_ALIGN, &base_bits);
    READ_VALUE(r, CL_DEVICE_GLOBAL_MEM_SIZE, &memory);
    READ_VALUE(r, CL_DEVICE_MAX_MEM_ALLOC_SIZE, &max_alloc);
    READ_VALUE(r, CL_DEVICE_LOCAL_MEM_SIZE, &local);
    READ_VALUE(r, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, &native_floats);
    caps->language = KILN_LANGUAGE_OPENCL;
    caps->kind = type & CL_DEVICE_TYPE_GPU   ? KILN_DEVICE_GPU
                 : type & CL_DEVICE_TYPE_CPU ? KILN_DEVICE_CPU
                                             : KILN_DEVICE_OTHER;
    caps->units = units;
    caps->max_group_size = (uint32_t)at_most(max_group, UINT32_MAX);
    for (int i = 0; i < 3; i++)
        caps->max_group[i] = (uint32_t)at_most(max_items[i], UINT32_MAX);
    caps->address_align_bytes = base_bits / 8 > 64 ? base_bits / 8 : 64;
    caps->local_bytes = local;
    caps->memory_bytes = memory;
    caps->max_alloc_bytes = max_alloc;
    caps->f16 = has_word(extensions, "cl_khr_fp16");
    if (caps->kind == KILN_DEVICE_CPU) {
        kiln__cpu_describe(caps);
        kiln__cpu_narrow(caps, native_floats, model);
    }
    if (!r->failed && (units == 0 || max_group == 0 || max_alloc == 0))
        note_failure(r, "CL_DEVICE_MAX_COMPUTE_UNITS and its like, one of which is 0", CL_INVALID_VALUE);
}

/* Why a device that answers is of no use to us, or NULL. */
static const char *unusable(reader *r) {
    cl_bool available, compiler, little_endian;
    cl_device_type type;
    READ_VALUE(r, CL_DEVICE_AVAILABLE, &available);
    READ_VALUE(r, CL_DEVICE_COMPILER_AVAILABLE, &compiler);
    READ_VALUE(r, CL_DEVICE_ENDIAN_LITTLE, &little_endian);
    READ_VALUE(r, CL_DEVICE_TYPE, &type);
    char *version = READ_TEXT(r, CL_DEVICE_VERSION);
    unsigned major = 0, minor = 0;
    const bool told = version && sscanf(version, "OpenCL %u.%u", &major, &minor) == 2;
    kiln__free(r->context, version);
    if (r->failed)
        return NULL;
    if (!available)
        return "it is not available";
    if (!compiler)
        return "it has no compiler";
    if (!little_endian)
        return "it is big-endian";
    if (type & CL_DEVICE_TYPE_CUSTOM)
        return "it runs built-in kernels only";
    if (!told || major < 1 || (major == 1 && minor < 2))
        return "it is older than OpenCL 1.2";
    return NULL;
}

static void free_texts(reader *r, kiln_device_desc *desc) {
    char *const texts[] = {desc->model, desc->vendor, desc->driver, desc->compiler, desc->pci};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        kiln__free(r->context, texts[i]);
    kiln__free(r->context, desc->native);
}

static void read_desc(reader *r, kiln_device_desc *desc) {
    desc->model = READ_TEXT(r, CL_DEVICE_NAME);
    desc->vendor = read_text(r, true, CL_PLATFORM_NAME, "CL_PLATFORM_NAME");
    /* The platform's version names the compiler's too (PoCL: its LLVM); the device's names the code it makes. */
    desc->driver =
        join(r, READ_TEXT(r, CL_DRIVER_VERSION), read_text(r, true, CL_PLATFORM_VERSION, "CL_PLATFORM_VERSION"));
    desc->compiler = join(r, READ_TEXT(r, CL_DEVICE_OPENCL_C_VERSION), READ_TEXT(r, CL_DEVICE_VERSION));
    char *extensions = READ_TEXT(r, CL_DEVICE_EXTENSIONS);
    if (!r->failed)
        read_caps(r, desc->model, extensions, &desc->caps);
    pci_place at;
    if (!r->failed && read_pci(r, extensions, &at)) {
        char text[64];
        snprintf(text, sizeof text, "%04x:%02x:%02x.%x", (unsigned)at.domain, (unsigned)at.bus, (unsigned)at.device,
                 (unsigned)at.function);
        desc->pci = kiln__strdup(r->context, text);
    }
    kiln__free(r->context, extensions);
    opencl_native *native = kiln__alloc(r->context, sizeof *native);
    if (native)
        *native = (opencl_native){r->platform, r->device};
    else
        note_failure(r, "its handle", CL_OUT_OF_HOST_MEMORY);
    desc->native = native;
}

/* Adds one device, or a line to the report that says why not. */
static kiln_status add_device(reader *r, unsigned platform, unsigned index, kiln_strbuf *report) {
    kiln_device_desc desc = {0};
    const char *why = unusable(r);
    if (!why && !r->failed)
        read_desc(r, &desc);
    if (!why && !r->failed) {
        kiln__strbuf_addf(report, "opencl: %s on %s, driver %s\n", desc.model, desc.vendor, desc.driver);
        return kiln__device_add(r->context, &kiln__backend_opencl, (void *)(uintptr_t)r->cl, &desc);
    }
    free_texts(r, &desc);
    if (why)
        kiln__strbuf_addf(report, "opencl: platform %u device %u skipped: %s\n", platform, index, why);
    else
        kiln__strbuf_addf(report, "opencl: platform %u device %u skipped: asked for %s, got %s\n", platform, index,
                          r->failed, kiln__opencl_error_name(r->error));
    return KILN_OK;
}

static kiln_status add_platform(kiln_context *context, const opencl_library *cl, cl_platform_id platform,
                                unsigned index, kiln_strbuf *report) {
    cl_device_id devices[KILN_MAX_DEVICES];
    cl_uint n = 0;
    const cl_int error = cl->clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, KILN_MAX_DEVICES, devices, &n);
    if (error != CL_SUCCESS || n == 0) {
        kiln__strbuf_addf(report, "opencl: platform %u has no device (clGetDeviceIDs: %s)\n", index,
                          kiln__opencl_error_name(error));
        return KILN_OK;
    }
    for (cl_uint i = 0; i < n && i < KILN_MAX_DEVICES; i++) {
        reader r = {.cl = cl, .context = context, .platform = platform, .device = devices[i]};
        KILN_TRY(add_device(&r, index, i, report));
    }
    return KILN_OK;
}

/* ---- slots ---- */

kiln_status kiln__opencl_load(kiln_context *context, kiln_strbuf *report, void **library) {
    opencl_library *cl = kiln__alloc(context, sizeof *cl);
    if (!cl)
        return KILN_E_MEMORY;
    *library = cl;
    if (!open_library(cl, report))
        return KILN_OK;
    cl_platform_id platforms[MAX_PLATFORMS];
    cl_uint n = 0;
    const cl_int error = cl->clGetPlatformIDs(MAX_PLATFORMS, platforms, &n);
    if (error != CL_SUCCESS || n == 0) {
        kiln__strbuf_addf(report, "opencl: the library is there, but no driver (clGetPlatformIDs: %s); %s\n",
                          kiln__opencl_error_name(error), no_driver_remedy);
        return KILN_OK;
    }
    for (cl_uint i = 0; i < n && i < MAX_PLATFORMS; i++)
        KILN_TRY(add_platform(context, cl, platforms[i], i, report));
    return KILN_OK;
}

void kiln__opencl_unload(kiln_context *context, void *library) {
    opencl_library *cl = library;
    if (cl->so)
        dlclose(cl->so);
    kiln__free(context, cl);
}

void kiln__opencl_forget(kiln_device *device) {
    kiln__free(device->context, device->desc.native);
    device->desc.native = NULL;
}
