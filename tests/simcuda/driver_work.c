/* Pieces of work, and running them. */
#include "driver.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Virtual nanoseconds beside what a kernel's own meter says: the order of magnitude of an A100 on PCIe. */
enum { KERNEL_NS = 2000, COPY_NS = 1500, LINK_BYTES_NS = 16, DEVICE_BYTES_NS = 512 };

driver_work *driver_work_new(driver_work_kind kind, driver_context *context) {
    driver_work *work = calloc(1, sizeof *work);
    if (work) {
        work->references = 1;
        work->kind = kind;
        work->context = context;
    }
    return work;
}

driver_work *driver_work_ref(driver_work *work) {
    work->references++;
    return work;
}

void driver_work_unref(driver_work *work) {
    if (!work || --work->references > 0)
        return;
    free(work->staged);
    free(work->params);
    free(work->bytes);
    free(work);
}

static void report(driver_context *context, CUresult code, const char *text) {
    char whole[SIM_TEXT + 128];
    snprintf(whole, sizeof whole, "simcuda: device %d: %s\n", context->device->ordinal, text);
    fputs(whole, stderr);
    driver_settings_write("SIMCUDA_REPORT", whole);
    driver_context_kill(context, code);
}

/* What hardware would say. What it would not notice ends the kernel all the same: a checker is no use otherwise. */
static CUresult code_of(sim_fault_kind kind) {
    switch (kind) {
    case SIM_FAULT_OUT_OF_BOUNDS:
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    case SIM_FAULT_MISALIGNED:
        return CUDA_ERROR_MISALIGNED_ADDRESS;
    case SIM_FAULT_TIMEOUT:
        return CUDA_ERROR_LAUNCH_TIMEOUT;
    case SIM_FAULT_ILLEGAL:
        return CUDA_ERROR_ILLEGAL_INSTRUCTION;
    case SIM_FAULT_LAUNCH:
        return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
    default:
        return CUDA_ERROR_LAUNCH_FAILED;
    }
}

static void write_meter(const driver_context *context, const driver_launch *launch, const char *name,
                        const sim_meter *meter) {
    char line[1024];
    int used = snprintf(line, sizeof line, "{\"device\":%d,\"kernel\":\"%s\",\"grid\":[%u,%u,%u],\"block\":[%u,%u,%u]",
                        context->device->ordinal, name, launch->grid[0], launch->grid[1], launch->grid[2],
                        launch->block[0], launch->block[1], launch->block[2]);
#define METER_FIELD(field, text)                                                                                       \
    used += snprintf(line + used, sizeof line - (size_t)used, ",\"" #field "\":%llu", (unsigned long long)meter->field);
    SIM_METER_MAP(METER_FIELD)
#undef METER_FIELD
    snprintf(line + used, sizeof line - (size_t)used, ",\"cycles\":%llu}\n", (unsigned long long)meter->cycles);
    driver_settings_write("SIMCUDA_METER", line);
}

static uint64_t run_kernel(const driver_work *work, driver_context *context) {
    const driver_launch *launch = &work->launch;
    const driver_function *function = driver_object_find(launch->function, DRIVER_FUNCTION);
    if (!function) {
        report(context, CUDA_ERROR_LAUNCH_FAILED, "kernel of a module that was unloaded");
        return 0;
    }
    if (driver_set.hang[0] && strcmp(driver_set.hang, function->info.name) == 0) {
        char text[256];
        snprintf(text, sizeof text, "%s: kernel never ends (SIMCUDA_HANG)", function->info.name);
        while (driver_set.hang_for_ever)
            pause();
        report(context, CUDA_ERROR_LAUNCH_TIMEOUT, text);
        return 0;
    }
    const sim_launch engine_launch = {
        .kernel = function->kernel,
        .grid = {launch->grid[0], launch->grid[1], launch->grid[2]},
        .block = {launch->block[0], launch->block[1], launch->block[2]},
        .dynamic_shared_bytes = launch->shared_bytes,
        .cooperative = launch->cooperative,
        .params = work->bytes,
        .max_instructions = driver_set.max_instructions,
    };
    sim_meter meter = {0};
    sim_fault fault = {0};
    const bool ran = sim_run(context->device->sim, &engine_launch, &meter, &fault);
    sim_meter_add(&context->device->meter, &meter);
    write_meter(context, launch, function->info.name, &meter);
    if (!ran)
        report(context, code_of(fault.kind), fault.text);
    return KERNEL_NS + meter.cycles;
}

static char *reach(const driver_side *side, uint64_t address, size_t bytes) {
    return side->device ? sim_memory_host(side->device, address, bytes) : (char *)(uintptr_t)address;
}

static bool copy_row(const driver_copy *copy, uint64_t to, uint64_t from) {
    char *const target = reach(&copy->to, to, copy->width), *const source = reach(&copy->from, from, copy->width);
    if (!target || !source)
        return false;
    memmove(target, source, copy->width);
    if (copy->to.device && copy->from.device)
        sim_memory_copy_marks(copy->to.device, to, copy->from.device, from, copy->width);
    else if (copy->to.device)
        sim_memory_mark(copy->to.device, to, copy->width, true);
    return true;
}

static uint64_t run_copy(const driver_copy *copy, driver_context *context) {
    for (size_t z = 0; z < copy->depth; z++)
        for (size_t y = 0; y < copy->height; y++)
            if (!copy_row(copy, copy->to.address + z * copy->to.plane_pitch + y * copy->to.row_pitch,
                          copy->from.address + z * copy->from.plane_pitch + y * copy->from.row_pitch)) {
                report(context, CUDA_ERROR_ILLEGAL_ADDRESS, "copy of device memory that was freed");
                return 0;
            }
    const bool on_device = copy->to.device && copy->from.device;
    return COPY_NS + copy->width * copy->height * copy->depth / (on_device ? DEVICE_BYTES_NS : LINK_BYTES_NS);
}

static uint64_t run_fill(const driver_fill *fill, driver_context *context) {
    const size_t row_bytes = fill->width * fill->element_bytes;
    for (size_t y = 0; y < fill->height; y++) {
        const uint64_t address = fill->address + y * fill->pitch;
        char *row = sim_memory_host(fill->device, address, row_bytes);
        if (!row) {
            report(context, CUDA_ERROR_ILLEGAL_ADDRESS, "fill of device memory that was freed");
            return 0;
        }
        for (size_t i = 0; i < fill->width; i++) /* little end first, like the device */
            memcpy(row + i * fill->element_bytes, &fill->value, fill->element_bytes);
        sim_memory_mark(fill->device, address, row_bytes, true);
    }
    return COPY_NS + row_bytes * fill->height / DEVICE_BYTES_NS;
}

uint64_t driver_work_run(driver_work *work) {
    driver_context *context = work->context;
    switch (work->kind) {
    case DRIVER_WORK_KERNEL:
        return run_kernel(work, context);
    case DRIVER_WORK_COPY:
        return run_copy(&work->copy, context);
    case DRIVER_WORK_FILL:
        return run_fill(&work->fill, context);
    case DRIVER_WORK_HOST:
        work->host.function(work->host.user);
        return 0;
    case DRIVER_WORK_NONE:
        break;
    }
    return 0;
}
