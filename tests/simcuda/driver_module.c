/* Modules of PTX, and what can be asked of their kernels. */
#include "driver.h"
#include <stdlib.h>
#include <string.h>

enum { LOG_BYTES = 8192, NEWEST_TARGET = 80 };

static const unsigned char elf[4] = {0x7f, 'E', 'L', 'F'}, fat[4] = {0x50, 0xed, 0x55, 0xba};

/* Where the caller wants the compiler's words. Sizes come back as what was used. */
typedef struct jit_log {
    char *text;
    size_t bytes;
    void **size_value;
} jit_log;

static void jit_log_write(jit_log *log, const char *text) {
    const size_t length = strlen(text);
    if (log->text && log->bytes > 0)
        snprintf(log->text, log->bytes, "%s", text);
    if (log->size_value)
        *log->size_value = (void *)(log->text && log->bytes ? (length < log->bytes ? length : log->bytes - 1) : 0);
}

static CUresult jit_options(unsigned n, const CUjit_option *options, void **values, jit_log *info, jit_log *error) {
    if (n > 0 && (!options || !values))
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < n; i++) {
        if (options[i] == CU_JIT_INFO_LOG_BUFFER || options[i] == CU_JIT_ERROR_LOG_BUFFER) {
            (options[i] == CU_JIT_INFO_LOG_BUFFER ? info : error)->text = values[i];
        } else if (options[i] == CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES ||
                   options[i] == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES) {
            jit_log *log = options[i] == CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES ? info : error;
            log->bytes = (uint32_t)(uintptr_t)values[i];
            log->size_value = &values[i];
        } else if ((int)options[i] < 0 || (int)options[i] > 32) {
            return CUDA_ERROR_INVALID_VALUE;
        }
    }
    return CUDA_SUCCESS;
}

/* PTX for newer hardware is refused, like by the real compiler. */
static CUresult check_target(const char *ptx, char *log, size_t log_bytes) {
    const char *line = strstr(ptx, ".target");
    const char *target = line ? strstr(line, "sm_") : NULL;
    if (!target) {
        snprintf(log, log_bytes, "no .target in the PTX");
        return CUDA_ERROR_INVALID_PTX;
    }
    char *end;
    const long number = strtol(target + strlen("sm_"), &end, 10);
    if (number > NEWEST_TARGET || *end == 'a' || *end == 'f') {
        snprintf(log, log_bytes, "PTX for sm_%ld%.1s does not run on sm_%d", number, *end == 'a' ? "a" : "",
                 NEWEST_TARGET);
        return CUDA_ERROR_INVALID_PTX;
    }
    return CUDA_SUCCESS;
}

static CUresult module_load(const char *ptx, char *log, driver_module **out) {
    driver_module *module = calloc(1, sizeof *module);
    if (!module)
        return CUDA_ERROR_OUT_OF_MEMORY;
    module->sim = sim_module_load(driver_current()->device->sim, ptx, log, LOG_BYTES);
    if (!module->sim) {
        free(module);
        return CUDA_ERROR_INVALID_PTX;
    }
    if (!driver_object_add(&module->object, DRIVER_MODULE, driver_current())) {
        sim_module_unload(module->sim);
        free(module);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *out = module;
    return CUDA_SUCCESS;
}

CUresult sim_cuModuleLoadDataEx(CUmodule *handle, const void *image, unsigned n, CUjit_option *options, void **values) {
    jit_log info = {0}, error = {0};
    if (!handle || !image)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult result = jit_options(n, options, values, &info, &error);
    if (result != CUDA_SUCCESS)
        return result;
    char log[LOG_BYTES] = "";
    driver_module *module = NULL;
    if (memcmp(image, elf, sizeof elf) == 0 || memcmp(image, fat, sizeof fat) == 0) {
        snprintf(log, sizeof log, "machine code cannot be interpreted, only PTX");
        result = CUDA_ERROR_NO_BINARY_FOR_GPU;
    } else {
        result = check_target(image, log, sizeof log);
    }
    if (result == CUDA_SUCCESS)
        result = module_load(image, log, &module);
    jit_log_write(&info, "");
    jit_log_write(&error, result == CUDA_SUCCESS ? "" : log);
    if (result == CUDA_SUCCESS)
        *handle = driver_object_handle(&module->object);
    else if (result == CUDA_ERROR_INVALID_PTX)
        fprintf(stderr, "simcuda: module: %s\n", log);
    return result;
}

CUresult sim_cuModuleLoadData(CUmodule *module, const void *image) {
    return sim_cuModuleLoadDataEx(module, image, 0, NULL, NULL);
}

void driver_module_release(driver_module *module) {
    for (driver_function *next, *f = module->functions; f; f = next) {
        next = f->next;
        driver_object_remove(&f->object);
        free(f);
    }
    sim_module_unload(module->sim);
    driver_object_remove(&module->object);
    free(module);
}

static CUresult module_of(CUmodule handle, driver_module **out) {
    *out = driver_object_find(handle, DRIVER_MODULE);
    return *out ? (*out)->object.context->dead : CUDA_ERROR_INVALID_HANDLE;
}

CUresult sim_cuModuleUnload(CUmodule handle) {
    driver_module *module = driver_object_find(handle, DRIVER_MODULE);
    if (!module)
        return CUDA_ERROR_INVALID_HANDLE;
    driver_context *context = module->object.context;
    driver_context_drain(context);
    driver_module_release(module);
    return context->dead;
}

CUresult sim_cuModuleGetFunction(CUfunction *handle, CUmodule module_handle, const char *name) {
    driver_module *module;
    const CUresult result = module_of(module_handle, &module);
    if (result != CUDA_SUCCESS)
        return result;
    if (!handle || !name)
        return CUDA_ERROR_INVALID_VALUE;
    const sim_kernel *kernel = sim_module_kernel(module->sim, name);
    if (!kernel)
        return CUDA_ERROR_NOT_FOUND;
    /* The same name gives the same function, so that attributes set once stay. */
    driver_function *function = module->functions;
    while (function && function->kernel != kernel)
        function = function->next;
    if (!function) {
        function = calloc(1, sizeof *function);
        if (!function || !driver_object_add(&function->object, DRIVER_FUNCTION, module->object.context)) {
            free(function);
            return CUDA_ERROR_OUT_OF_MEMORY;
        }
        function->module = module;
        function->next = module->functions;
        module->functions = function;
        function->kernel = kernel;
        function->carveout = -1;
        sim_kernel_describe(kernel, &function->info);
        /* Static and dynamic memory together have 48 KiB until the caller asks for more. */
        const int left = DRIVER_SHARED_BLOCK - (int)function->info.static_shared_bytes;
        function->max_dynamic_shared = left > 0 ? left : 0;
    }
    *handle = driver_object_handle(&function->object);
    return CUDA_SUCCESS;
}

CUresult sim_cuModuleGetGlobal_v2(CUdeviceptr *address, size_t *bytes, CUmodule handle, const char *name) {
    driver_module *module;
    const CUresult result = module_of(handle, &module);
    if (result != CUDA_SUCCESS)
        return result;
    uint64_t at;
    size_t size;
    if (!name)
        return CUDA_ERROR_INVALID_VALUE;
    if (!sim_module_global(module->sim, name, &at, &size))
        return CUDA_ERROR_NOT_FOUND;
    if (address)
        *address = at;
    if (bytes)
        *bytes = size;
    return CUDA_SUCCESS;
}

/* ---- functions ---- */

CUresult driver_function_of(CUfunction handle, driver_function **out) {
    *out = driver_object_find(handle, DRIVER_FUNCTION);
    return *out ? (*out)->object.context->dead : CUDA_ERROR_INVALID_HANDLE;
}

CUresult sim_cuFuncGetModule(CUmodule *module, CUfunction handle) {
    driver_function *function;
    const CUresult result = driver_function_of(handle, &function);
    if (result != CUDA_SUCCESS)
        return result;
    if (!module)
        return CUDA_ERROR_INVALID_VALUE;
    *module = driver_object_handle(&function->module->object);
    return CUDA_SUCCESS;
}

CUresult sim_cuFuncGetAttribute(int *value, CUfunction_attribute attribute, CUfunction handle) {
    driver_function *function;
    const CUresult result = driver_function_of(handle, &function);
    if (result != CUDA_SUCCESS)
        return result;
    if (!value)
        return CUDA_ERROR_INVALID_VALUE;
    const int values[] = {
        [CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK] = (int)function->info.max_threads,
        [CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES] = (int)function->info.static_shared_bytes,
        [CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES] = (int)function->info.local_bytes,
        [CU_FUNC_ATTRIBUTE_NUM_REGS] = (int)function->info.registers,
        [CU_FUNC_ATTRIBUTE_PTX_VERSION] = NEWEST_TARGET,
        [CU_FUNC_ATTRIBUTE_BINARY_VERSION] = NEWEST_TARGET,
        [CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES] = function->max_dynamic_shared,
        [CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT] = function->carveout,
        [CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED + 1] = 0,
    };
    if ((int)attribute < 0 || (size_t)attribute >= sizeof values / sizeof *values)
        return CUDA_ERROR_INVALID_VALUE;
    *value = values[attribute];
    return CUDA_SUCCESS;
}

CUresult sim_cuFuncSetAttribute(CUfunction handle, CUfunction_attribute attribute, int value) {
    driver_function *function;
    const CUresult result = driver_function_of(handle, &function);
    if (result != CUDA_SUCCESS)
        return result;
    switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
        if (value < 0 || value > DRIVER_SHARED_OPTIN - (int)function->info.static_shared_bytes)
            return CUDA_ERROR_INVALID_VALUE;
        function->max_dynamic_shared = value;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
        if (value < -1 || value > 100)
            return CUDA_ERROR_INVALID_VALUE;
        function->carveout = value;
        return CUDA_SUCCESS;
    default: /* others are read only, or of hardware with clusters */
        return CUDA_ERROR_INVALID_VALUE;
    }
}
