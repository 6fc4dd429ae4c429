#include "lanes.h"

#define PLAIN(part) sim__lanes_##part##_plain,
#define AVX2(part)  sim__lanes_##part##_avx2,
static const sim_lane_op *const plain[] = {LANES_PARTS(PLAIN)};
#ifdef SIM_LANES_HAVE_AVX2
static const sim_lane_op *const avx2[] = {LANES_PARTS(AVX2)};

static const sim_lane_op *const *tables(void) {
    const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); /* F16C is older */
    return has ? avx2 : plain;
}
#else
static const sim_lane_op *const *tables(void) {
    return plain;
}
#endif

const sim_lane_op *sim__lane_find(const char *name) {
    const sim_lane_op *const *all = tables();
    for (size_t t = 0; t < sizeof plain / sizeof *plain; t++)
        for (const sim_lane_op *op = all[t]; op->name; op++)
            if (strcmp(op->name, name) == 0)
                return op;
    return NULL;
}
