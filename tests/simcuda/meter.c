#include "run.h"
#include <string.h>

void sim_meter_add(sim_meter *sum, const sim_meter *more) {
#define ADD(name, text) sum->name += more->name;
    SIM_METER_MAP(ADD)
#undef ADD
    sum->cycles += more->cycles;
}

/* Of each multiprocessor: 128 lanes, 16 of them for special functions, 1024 multiply-adds of matrices and one
 * pass through shared memory a cycle; for all, 48 sectors of global memory. A block keeps one busy. Only meant to grow
 * when a kernel does more. */
static uint64_t cycles(const sim_meter *m, uint64_t blocks) {
    const uint64_t busy = blocks < SIM_MULTIPROCESSORS ? blocks : SIM_MULTIPROCESSORS;
    const uint64_t lanes = m->instructions / 128 + m->special / 16 + m->matrix * 2 + m->shared_passes;
    return 1000 + lanes / (busy ? busy : 1) + m->global_sectors / 48 + m->atomics / 32;
}

void sim__meter_fill(const sim_exec *x, uint64_t blocks, sim_meter *meter) {
    const uint64_t *count = x->counts;
#define FILL(name, text) meter->name = count[SIM_COUNT_##name];
    SIM_METER_MAP(FILL)
#undef FILL
    meter->cycles = cycles(meter, blocks);
}
