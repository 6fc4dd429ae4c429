/* A simulated GPU: what the driver's front end (driver_*.c: the cu... entry points) and the engine (memory, PTX,
 * execution, checkers, meter) know of each other.
 *
 * libsimcuda.so stands in for the CUDA driver: Kiln loads it by KILN_CUDA_LIBRARY. Its devices look like sm_80 and run
 * PTX on the CPU, slowly and strictly: every access is checked, every cost counted, and the same launch gives the same
 * result, the same reports and the same counts each time.
 *
 * Threads: a sim_device is used by one thread at a time; the front end sees to that. Different devices are independent.
 */
#ifndef SIMCUDA_SIM_H
#define SIMCUDA_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SIM_WARP = 32, SIM_TEXT = 1024 };

typedef struct sim_device sim_device;
typedef struct sim_module sim_module;
typedef struct sim_kernel sim_kernel;

/* ---- what went wrong ---- */

#define SIM_FAULT_MAP(X)                                                                                               \
    X(NONE, "no fault")                                                                                                \
    X(OUT_OF_BOUNDS, "out-of-bounds access")                                                                           \
    X(MISALIGNED, "misaligned access")                                                                                 \
    X(UNINITIALISED, "read of memory nobody wrote")                                                                    \
    X(RACE, "race in shared memory")                                                                                   \
    X(BARRIER, "divergent barrier")                                                                                    \
    X(TIMEOUT, "kernel never ends")                                                                                    \
    X(ILLEGAL, "instruction or operand the device has not")                                                            \
    X(LAUNCH, "launch beyond the device's limits")
typedef enum sim_fault_kind {
#define SIM_FAULT_ENUM(name, text) SIM_FAULT_##name,
    SIM_FAULT_MAP(SIM_FAULT_ENUM)
#undef SIM_FAULT_ENUM
} sim_fault_kind;

/* The first fault of a launch. `text` is a whole report: kind, kernel, source file and line (from .loc, else the PTX
 * line), block and thread, address and what lies there; for a race also the other access. */
typedef struct sim_fault {
    sim_fault_kind kind;
    uint32_t block[3], thread[3];
    uint32_t line; /* 0: not known */
    char file[256], kernel[128], text[SIM_TEXT];
} sim_fault;

/* ---- what it cost ---- */

/* Counted in thread instructions, except where a name says otherwise. */
#define SIM_METER_MAP(X)                                                                                               \
    X(instructions, "all")                                                                                             \
    X(integer, "integer, logic, predicates, moves and conversions")                                                    \
    X(floating, "floating point, fused multiply-adds once")                                                            \
    X(special, "reciprocal, root, exponential, logarithm")                                                             \
    X(matrix, "warp-wide matrix products (a warp counts once)")                                                        \
    X(control, "branches, barriers, votes, shuffles")                                                                  \
    X(global_requests, "loads, stores and async copies of global memory, one a warp")                                  \
    X(global_sectors, "32-byte pieces they touched: sectors / requests is the cost of a request")                      \
    X(shared_requests, "loads and stores of shared memory, one a warp")                                                \
    X(shared_passes,                                                                                                   \
      "passes they took through the 32 banks; at best 1, of a full warp 2 for 8 bytes a lane, 4 for 16")               \
    X(local_requests, "loads and stores of a thread's own memory, one a warp: spills and indexed arrays")              \
    X(atomics, "atomic operations")                                                                                    \
    X(barriers, "barriers a block passed")
typedef struct sim_meter {
#define SIM_METER_FIELD(name, text) uint64_t name;
    SIM_METER_MAP(SIM_METER_FIELD)
#undef SIM_METER_FIELD
    uint64_t cycles; /* virtual: a fixed model over the counts above; what events measure, at 1 GHz */
} sim_meter;

void sim_meter_add(sim_meter *sum, const sim_meter *more);

/* ---- memory: one address space a device; addresses are not host addresses a caller may use ---- */

sim_device *sim_device_create(int ordinal, uint64_t memory_bytes); /* NULL: no host memory */
void sim_device_destroy(sim_device *device);

/* 256-byte aligned, never address 0, with unmapped gaps before and after, marked uninitialised. false: device memory is
 * full. */
bool sim_memory_alloc(sim_device *device, size_t bytes, uint64_t *address);
bool sim_memory_free(sim_device *device, uint64_t address); /* false: no allocation begins there */
/* Host pointer to [address, address + bytes), NULL unless all of it is inside one allocation. */
void *sim_memory_host(sim_device *device, uint64_t address, size_t bytes);
/* The allocation that holds `address`: its begin and size. false: none. */
bool sim_memory_range(sim_device *device, uint64_t address, uint64_t *begin, size_t *bytes);
void sim_memory_mark(sim_device *device, uint64_t address, size_t bytes, bool initialised);
bool sim_memory_copy_marks(sim_device *to_device, uint64_t to, sim_device *from_device, uint64_t from, size_t bytes);
uint64_t sim_memory_used(const sim_device *device);
size_t sim_memory_count(const sim_device *device); /* allocations alive: the ledger of leaks */

/* ---- modules ---- */

/* Parses PTX text (zero-terminated). NULL on failure, with a reason that names the PTX line in `log`. `device` gets the
 * module's global variables. */
sim_module *sim_module_load(sim_device *device, const char *ptx, char *log, size_t log_bytes);
void sim_module_unload(sim_module *module);
const sim_kernel *sim_module_kernel(const sim_module *module, const char *name); /* NULL: no such entry */
bool sim_module_global(const sim_module *module, const char *name, uint64_t *address, size_t *bytes);

typedef struct sim_kernel_info {
    const char *name;
    uint32_t n_params, param_bytes;
    uint32_t registers; /* 32-bit registers, as declared in PTX: an upper bound, capped at 255 */
    uint32_t static_shared_bytes, local_bytes;
    uint32_t max_threads; /* of a block: .maxntid or 1024 */
    uint32_t required[3]; /* .reqntid, or zeros */
} sim_kernel_info;
void sim_kernel_describe(const sim_kernel *kernel, sim_kernel_info *out);
bool sim_kernel_param(const sim_kernel *kernel, uint32_t index, uint32_t *offset, uint32_t *bytes);

/* ---- execution ---- */

typedef struct sim_launch {
    const sim_kernel *kernel;
    uint32_t grid[3], block[3];
    uint32_t dynamic_shared_bytes;
    bool cooperative;          /* all blocks run in turns, so that a grid-wide barrier ends */
    const void *params;        /* param_bytes of the kernel, laid out as PTX says */
    uint64_t max_instructions; /* warp instructions until TIMEOUT; 0: 2^40 */
} sim_launch;

/* Runs to the end or to the first fault. Warps in lockstep, the lowest program counter first, warps of a block in fair
 * turns. false: `fault` says what happened; memory keeps what was written until then. `meter` gets this launch's counts
 * alone. */
bool sim_run(sim_device *device, const sim_launch *launch, sim_meter *meter, sim_fault *fault);

#endif
