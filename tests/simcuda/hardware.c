/* simcuda_hardware: is the simulated GPU right? The same small kernels (hardware.h) on the machine's GPU and on the
 * simulated one, on the same inputs, a line a case.
 *
 *     simcuda_hardware [--exact] [--perturb CASE]    compare; KILN_CUDA_LIBRARY and SIMCUDA_LIBRARY name other drivers,
 *                                                    KILN_DEVICE (cuda:N) another GPU
 *     simcuda_hardware --ptx CASE                    print a case's program
 *
 * --exact forgives nothing; --perturb spoils one result of the machine's, to see that it is found.
 * Exit status: 0 all within their limits, 1 not, 2 wrong usage or no simulator, 77 no GPU of sm_80 or later here.
 */
#include "hardware.h"
#include "half.h"
#include "runtime/backends/cuda_abi.h"
#include "sim.h"
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENTRIES(X)                                                                                                     \
    X(init, "cuInit", (unsigned flags))                                                                                \
    X(count, "cuDeviceGetCount", (int *count))                                                                         \
    X(attribute, "cuDeviceGetAttribute", (int *value, int attribute, int device))                                      \
    X(name, "cuDeviceGetName", (char *name, int bytes, int device))                                                    \
    X(retain, "cuDevicePrimaryCtxRetain", (void **context, int device))                                                \
    X(current, "cuCtxSetCurrent", (void *context))                                                                     \
    X(release, "cuDevicePrimaryCtxRelease_v2", (int device))                                                           \
    X(load, "cuModuleLoadDataEx", (void **module, const void *image, unsigned n, int *options, void **values))         \
    X(unload, "cuModuleUnload", (void *module))                                                                        \
    X(function, "cuModuleGetFunction", (void **function, void *module, const char *name))                              \
    X(alloc, "cuMemAlloc_v2", (uint64_t * address, size_t bytes))                                                      \
    X(release_memory, "cuMemFree_v2", (uint64_t address))                                                              \
    X(upload, "cuMemcpyHtoD_v2", (uint64_t to, const void *from, size_t bytes))                                        \
    X(download, "cuMemcpyDtoH_v2", (void *to, uint64_t from, size_t bytes))                                            \
    X(launch, "cuLaunchKernel",                                                                                        \
      (void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,  \
       void *stream, void **params, void **extra))

typedef struct driver {
    void *context;
    int device;
#define FIELD(field, symbol, params) int(*field) params;
    ENTRIES(FIELD)
#undef FIELD
} driver;

/* false: `why` says what is missing. */
static bool driver_open(driver *d, const char *path, int device, char *why, size_t bytes) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(why, bytes, "%s", dlerror());
        return false;
    }
    static const struct {
        const char *symbol;
        size_t offset;
    } entries[] = {
#define ENTRY(field, symbol, params) {symbol, offsetof(driver, field)},
        ENTRIES(ENTRY)
#undef ENTRY
    };
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        void *symbol = dlsym(library, entries[i].symbol);
        if (!symbol) {
            snprintf(why, bytes, "%s has no %s", path, entries[i].symbol);
            return false;
        }
        memcpy((char *)d + entries[i].offset, &symbol, sizeof symbol);
    }
    int count = 0, major = 0, status = d->init(0);
    if (status == CUDA_SUCCESS)
        status = d->count(&count);
    if (status != CUDA_SUCCESS || device >= count) {
        snprintf(why, bytes, "%s: error %d, %d devices", path, status, count);
        return false;
    }
    char name[128] = "";
    d->device = device;
    d->attribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device);
    d->name(name, sizeof name, device);
    if (major < 8 || d->retain(&d->context, device) != CUDA_SUCCESS) {
        snprintf(why, bytes, "%s: %s is older than sm_80 or gives no context", path, name);
        return false;
    }
    printf("%s: %s\n", path, name);
    return true;
}

/* ---- one case on one driver ---- */

static void add(char *text, size_t bytes, const char *format, ...) {
    const size_t n = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + n, bytes - n, format, args);
    va_end(args);
}

static void program(const hardware_case *c, char *ptx, size_t bytes) {
    snprintf(ptx, bytes,
             ".version 7.0\n.target sm_80\n.address_size 64\n"
             ".visible .entry k(.param .u64 in, .param .u64 out)\n{\n"
             ".reg .b32 %%i<16>;\n.reg .b32 %%o<8>;\n.reg .b32 %%t<8>;\n.reg .b16 %%h<8>;\n.reg .b64 %%l<8>;\n"
             ".reg .pred %%p<4>;\n.reg .b64 %%in;\n.reg .b64 %%out;\n.reg .b32 %%lane;\n.reg .b32 %%id;\n"
             ".shared .align 16 .b8 sh[1024];\n"
             "ld.param.u64 %%in, [in];\nld.param.u64 %%out, [out];\ncvta.to.global.u64 %%in, %%in;\n"
             "cvta.to.global.u64 %%out, %%out;\nmov.u32 %%lane, %%tid.x;\nmov.u32 %%id, %%ctaid.x;\n"
             "mad.lo.u32 %%id, %%id, 32, %%lane;\nmad.wide.u32 %%in, %%id, %u, %%in;\n"
             "mad.wide.u32 %%out, %%id, %u, %%out;\n",
             c->n_in * 4, c->n_out * 4);
    for (unsigned i = 0; i < c->n_in; i++)
        add(ptx, bytes, "ld.global.b32 %%i%u, [%%in+%u];\n", i, 4 * i);
    add(ptx, bytes, "%s", c->body);
    for (unsigned i = 0; i < c->n_out; i++)
        add(ptx, bytes, "st.global.b32 [%%out+%u], %%o%u;\n", 4 * i, i);
    add(ptx, bytes, "ret;\n}\n");
}

/* 0, or what the driver said; `log` has its compiler's words. */
static int run(const driver *d, const hardware_case *c, const uint32_t *in, uint32_t *out, char *log,
               size_t log_bytes) {
    char ptx[8192];
    const size_t threads = (size_t)c->blocks * SIM_WARP, in_bytes = threads * c->n_in * 4,
                 out_bytes = threads * c->n_out * 4;
    uint64_t from = 0, to = 0;
    void *module = NULL, *function = NULL, *params[] = {&from, &to};
    int options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *values[] = {log, (void *)(uintptr_t)log_bytes}; /* the driver takes a size in a pointer's place */
    program(c, ptx, sizeof ptx);
    log[0] = '\0';
    int status = d->current(d->context);
    if (!status)
        status = d->load(&module, ptx, 2, options, values);
    if (!status)
        status = d->function(&function, module, "k");
    if (!status)
        status = d->alloc(&from, in_bytes);
    if (!status)
        status = d->alloc(&to, out_bytes);
    if (!status)
        status = d->upload(from, in, in_bytes);
    if (!status)
        status = d->launch(function, c->blocks, 1, 1, SIM_WARP, 1, 1, 0, NULL, params, NULL);
    if (!status)
        status = d->download(out, to, out_bytes);
    if (from)
        d->release_memory(from);
    if (to)
        d->release_memory(to);
    if (module)
        d->unload(module);
    return status;
}

/* ---- comparison ---- */

typedef struct comparison {
    size_t elems, equal, beyond;
    double largest; /* difference of finite numbers */
    uint32_t ulps;  /* between the same, as steps from number to number */
} comparison;

static float number(hardware_result result, uint32_t bits) {
    return result == HARDWARE_F32 ? sim__bits_float(bits) : sim__half_to_float((uint16_t)bits);
}

/* Place of a number among all of its type, by magnitude and sign. */
static int64_t place(uint32_t bits, unsigned width) {
    const uint32_t sign = 1u << (width - 1);
    return bits & sign ? -(int64_t)(bits & (sign - 1)) : (int64_t)bits;
}

static void compare_number(const hardware_case *c, uint32_t a, uint32_t b, comparison *sum) {
    const float x = number(c->result, a), y = number(c->result, b);
    const unsigned width = c->result == HARDWARE_F32 ? 32 : 16;
    sum->elems++;
    sum->equal += a == b;
    if (a == b || (x != x && y != y))
        return;
    if (!isfinite(x) || !isfinite(y)) {
        sum->beyond++;
        return;
    }
    const double difference = fabs((double)x - y), greater = fmax(fabs((double)x), fabs((double)y));
    const int64_t steps = llabs(place(a, width) - place(b, width));
    sum->largest = fmax(sum->largest, difference);
    sum->ulps = steps > sum->ulps ? (uint32_t)steps : sum->ulps;
    sum->beyond += difference > c->absolute + c->relative * greater;
}

static comparison compare(const hardware_case *c, const uint32_t *a, const uint32_t *b, size_t n) {
    comparison sum = {0};
    for (size_t i = 0; i < n; i++)
        if (c->result == HARDWARE_BITS) {
            sum.elems++;
            sum.equal += a[i] == b[i];
            sum.beyond += a[i] != b[i];
        } else if (c->result == HARDWARE_F32) {
            compare_number(c, a[i], b[i], &sum);
        } else {
            compare_number(c, a[i] & 0xffff, b[i] & 0xffff, &sum);
            compare_number(c, a[i] >> 16, b[i] >> 16, &sum);
        }
    return sum;
}

/* A result that is the same everywhere would prove nothing. */
static bool varies(const uint32_t *words, size_t n) {
    for (size_t i = 1; i < n; i++)
        if (words[i] != words[0])
            return true;
    return false;
}

typedef struct options {
    bool exact;
    const char *perturb, *ptx;
} options;

/* Whether the case is right; prints its line. */
static bool try_case(const driver drivers[2], size_t index, const options *o) {
    hardware_case c;
    hardware_describe(index, &c);
    const size_t threads = (size_t)c.blocks * SIM_WARP, n = threads * c.n_out;
    uint32_t *in = malloc(threads * c.n_in * 4), *out[2] = {malloc(n * 4), malloc(n * 4)};
    bool ok = in && out[0] && out[1];
    if (ok)
        hardware_inputs(index, &c, in);
    else
        fprintf(stderr, "simcuda_hardware: no memory\n");
    for (int i = 0; i < 2 && ok; i++) {
        char log[1024];
        const int status = run(&drivers[i], &c, in, out[i], log, sizeof log);
        if (status) {
            printf("%-40s error %d on the %s: %s\n", c.name, status, i ? "simulator" : "machine", log);
            ok = false;
        }
    }
    if (ok) {
        if (o->perturb && strcmp(o->perturb, c.name) == 0)
            out[0][n / 2] ^= c.absolute + c.relative > 0 ? 0x40004000 : 1;
        const comparison sum = compare(&c, out[0], out[1], n);
        ok = sum.beyond == 0 && (!o->exact || sum.equal == sum.elems) && varies(out[1], n);
        printf("%-40s %6zu elements, %6zu equal", c.name, sum.elems, sum.equal);
        if (c.result != HARDWARE_BITS)
            printf(", largest difference %.3g (%u ulp), limit %.3g + %.3g x", sum.largest, sum.ulps, c.absolute,
                   c.relative);
        printf(": %s\n", !varies(out[1], n) ? "DIFFERS: all results are the same" : ok ? "ok" : "DIFFERS");
    }
    free(in);
    free(out[0]);
    free(out[1]);
    return ok;
}

/* ---- main ---- */

/* Which case has this name; the number of cases if none. */
static size_t find(const char *name) {
    hardware_case c;
    size_t i = 0;
    for (; i < hardware_count(); i++) {
        hardware_describe(i, &c);
        if (strcmp(c.name, name) == 0)
            break;
    }
    if (i == hardware_count())
        fprintf(stderr, "simcuda_hardware: there is no case '%s'\n", name);
    return i;
}

static bool read_options(int argc, char **argv, options *o) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--exact") == 0)
            o->exact = true;
        else if (strcmp(argv[i], "--perturb") == 0 && i + 1 < argc)
            o->perturb = argv[++i];
        else if (strcmp(argv[i], "--ptx") == 0 && i + 1 < argc)
            o->ptx = argv[++i];
        else {
            fprintf(stderr, "usage: simcuda_hardware [--exact] [--perturb CASE] | --ptx CASE\n");
            return false;
        }
    return (!o->perturb || find(o->perturb) < hardware_count()) && (!o->ptx || find(o->ptx) < hardware_count());
}

/* SIMCUDA_LIBRARY, or libsimcuda.so beside this program. */
static const char *simulator_path(char *path, size_t bytes) {
    if (getenv("SIMCUDA_LIBRARY"))
        return getenv("SIMCUDA_LIBRARY");
    const ssize_t length = readlink("/proc/self/exe", path, bytes - sizeof "libsimcuda.so");
    path[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(path, '/');
    strcpy(slash ? slash + 1 : path, "libsimcuda.so");
    return path;
}

int main(int argc, char **argv) {
    options o = {0};
    driver drivers[2] = {{0}, {0}};
    char why[512], path[4096];
    int device = 0;
    if (!read_options(argc, argv, &o))
        return 2;
    if (o.ptx) {
        hardware_case c;
        char ptx[8192];
        hardware_describe(find(o.ptx), &c);
        program(&c, ptx, sizeof ptx);
        fputs(ptx, stdout);
        return 0;
    }
    const char *real = getenv("KILN_CUDA_LIBRARY"), *named = getenv("KILN_DEVICE");
    if (named && sscanf(named, "cuda:%d", &device) != 1)
        device = 0;
    if (!driver_open(&drivers[0], real ? real : "libcuda.so.1", device, why, sizeof why)) {
        fprintf(stderr, "simcuda_hardware: skipped: %s\n", why);
        return 77;
    }
    if (!driver_open(&drivers[1], simulator_path(path, sizeof path), 0, why, sizeof why)) {
        fprintf(stderr, "simcuda_hardware: %s\n", why);
        return 2;
    }
    size_t wrong = 0;
    for (size_t i = 0; i < hardware_count(); i++)
        wrong += !try_case(drivers, i, &o);
    for (int i = 0; i < 2; i++)
        drivers[i].release(drivers[i].device);
    printf("%zu of %zu cases differ\n", wrong, hardware_count());
    return wrong != 0;
}
