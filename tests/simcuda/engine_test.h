/* Running small PTX programs in tests of the engine. */
#ifndef SIMCUDA_ENGINE_TEST_H
#define SIMCUDA_ENGINE_TEST_H

#include "sim.h"
#include "testing.h"

#define PTX_HEAD ".version 9.0\n.target sm_80\n.address_size 64\n"

typedef struct engine {
    sim_device *device;
    sim_module *module;
    sim_meter meter; /* of the last run */
    sim_fault fault;
} engine;

static inline void engine_open(engine *e) {
    *e = (engine){.device = sim_device_create(0, UINT64_C(1) << 30)};
    REQUIRE(e->device != NULL);
}

static inline void engine_load(engine *e, const char *ptx) {
    char log[SIM_TEXT];
    sim_module_unload(e->module);
    e->module = sim_module_load(e->device, ptx, log, sizeof log);
    if (!e->module)
        fprintf(stderr, "%s\n%s\n", log, ptx);
    REQUIRE(e->module != NULL);
}

static inline void engine_close(engine *e) {
    sim_module_unload(e->module);
    sim_device_destroy(e->device);
}

/* Memory that holds `from`; NULL: that nobody has written. */
static inline uint64_t engine_memory(engine *e, const void *from, size_t bytes) {
    uint64_t address = 0;
    REQUIRE(sim_memory_alloc(e->device, bytes, &address));
    if (from) {
        memcpy(sim_memory_host(e->device, address, bytes), from, bytes);
        sim_memory_mark(e->device, address, bytes, true);
    }
    return address;
}

static inline void *engine_host(engine *e, uint64_t address) {
    uint64_t begin;
    size_t bytes;
    REQUIRE(sim_memory_range(e->device, address, &begin, &bytes));
    return sim_memory_host(e->device, address, bytes);
}

typedef struct engine_shape {
    unsigned blocks, threads, dynamic_shared_bytes;
    bool cooperative;
    uint64_t max_instructions;
} engine_shape;

static inline bool engine_try(engine *e, const char *kernel, engine_shape shape, const void *params) {
    const sim_launch launch = {.kernel = sim_module_kernel(e->module, kernel),
                               .grid = {shape.blocks, 1, 1},
                               .block = {shape.threads, 1, 1},
                               .dynamic_shared_bytes = shape.dynamic_shared_bytes,
                               .cooperative = shape.cooperative,
                               .params = params,
                               .max_instructions = shape.max_instructions};
    REQUIRE(launch.kernel != NULL);
    return sim_run(e->device, &launch, &e->meter, &e->fault);
}

static inline void engine_run(engine *e, const char *kernel, engine_shape shape, const void *params) {
    if (!engine_try(e, kernel, shape, params))
        fprintf(stderr, "%s\n", e->fault.text);
    REQUIRE(e->fault.kind == SIM_FAULT_NONE);
}

/* The run stops with this fault, whose text has all that is asked for. */
static inline void engine_fails(engine *e, const char *kernel, engine_shape shape, const void *params,
                                sim_fault_kind kind, const char *where) {
    CHECK(!engine_try(e, kernel, shape, params));
    if (e->fault.kind != kind)
        fprintf(stderr, "%s: fault %d: %s\n", kernel, e->fault.kind, e->fault.text);
    CHECK(e->fault.kind == kind);
    CHECK_HAS(e->fault.text, where);
    CHECK_HAS(e->fault.text, kernel);
}

#endif
