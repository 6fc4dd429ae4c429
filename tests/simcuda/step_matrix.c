/* The instructions of matrix.h: operands to registers, addresses to rows. The whole warp has to be there. */
#include "run.h"
#include "steps.h"
#include <string.h>

sim_step sim__step_mma(sim_exec *x, const sim_instr *in, uint32_t mask) {
    const sim_mma_operands *m = in->more;
    const sim_step step = sim__whole_warp(x, in, mask);
    if (step != SIM_STEP_NEXT)
        return step;
    uint32_t *d[4];
    const uint32_t *a[4], *b[4], *c[4];
    for (int i = 0; i < m->count.d; i++)
        d[i] = sim__at(x, m->d[i]);
    for (int i = 0; i < m->count.a; i++)
        a[i] = sim__at(x, m->a[i]);
    for (int i = 0; i < m->count.b; i++)
        b[i] = sim__at(x, m->b[i]);
    for (int i = 0; i < m->count.c; i++)
        c[i] = sim__at(x, m->c[i]);
    sim_mma_run(&m->mma, d, a, b, c);
    x->counts[SIM_COUNT_matrix]++;
    return SIM_STEP_NEXT;
}

/* sub: transposed. Lanes that give no row's address are not looked at. */
sim_step sim__step_ldmatrix(sim_exec *x, const sim_instr *in, uint32_t mask) {
    const sim_access *a = in->more;
    sim_access rows = *a;
    sim_places at;
    uint32_t row[SIM_WARP][4] = {{0}}, *d[4];
    sim_step step = sim__whole_warp(x, in, mask);
    if (step != SIM_STEP_NEXT)
        return step;
    rows.vector = 1;
    const uint32_t giving = a->vector == 4 ? UINT32_MAX : (1u << 8 * a->vector) - 1;
    step = sim__places(x, in, &rows, SIM_USE_LOAD, giving, &at, &mask);
    if (step != SIM_STEP_NEXT)
        return step;
    if (mask || at.space != SIM_SPACE_SHARED)
        return sim__fault(x, in, SIM_FAULT_ILLEGAL, mask, "ldmatrix from other than shared memory");
    for (int i = 0; i < SIM_WARP; i++)
        if (giving >> i & 1)
            memcpy(row[i], at.host + at.address[i], sizeof row[i]);
    for (int i = 0; i < a->vector; i++)
        d[i] = sim__at(x, a->reg[i]);
    sim_ldmatrix(a->vector, in->sub, (const uint32_t(*)[4])row, d);
    return SIM_STEP_NEXT;
}

sim_step sim__step_movmatrix(sim_exec *x, const sim_instr *in, uint32_t mask) {
    const sim_step step = sim__whole_warp(x, in, mask);
    if (step != SIM_STEP_NEXT)
        return step;
    uint32_t source[SIM_WARP];
    memcpy(source, sim__at(x, in->a), sizeof source);
    sim_movmatrix(sim__at(x, in->d), source);
    return SIM_STEP_NEXT;
}
