/* Floating operations with another rounding than to nearest, flushing of subnormals or saturation: the plain operation
 * between passes over its sources and result. */
#include "half.h"
#include "run.h"
#include "steps.h"
#include <fenv.h>
#include <float.h>

void sim__flush(float *to, const float *from) {
    for (int i = 0; i < SIM_WARP; i++)
        to[i] = fabsf(from[i]) < FLT_MIN ? copysignf(0, from[i]) : from[i];
}

int sim__host_rounding(sim_round round) {
    return round == SIM_ROUND_RZ   ? FE_TOWARDZERO
           : round == SIM_ROUND_RM ? FE_DOWNWARD
           : round == SIM_ROUND_RP ? FE_UPWARD
                                   : FE_TONEAREST;
}

/* To [0, 1]; NaN becomes 0. */
static double saturate(double x) {
    return x > 0 ? x < 1 ? x : 1 : 0;
}

static void saturate_all(void *result, uint8_t type, unsigned width) {
    float *f = result;
    double *d = result;
    uint16_t *h = result;
    for (unsigned i = 0; type == 'f' && i < SIM_WARP; i++)
        f[i] = (float)saturate(f[i]);
    for (unsigned i = 0; type == 'd' && i < SIM_WARP; i++)
        d[i] = saturate(d[i]);
    for (unsigned i = 0; type == 'h' && i < SIM_WARP * width / 2; i++)
        h[i] = sim__float_to_half((float)saturate(sim__half_to_float(h[i])));
    for (unsigned i = 0; type == 'b' && i < SIM_WARP * width / 2; i++)
        h[i] = sim__float_to_bfloat((float)saturate(sim__bfloat_to_float(h[i])));
}

static void flush_halves(uint16_t *h, unsigned n) {
    for (unsigned i = 0; i < n; i++)
        if ((h[i] & 0x7c00) == 0)
            h[i] &= 0x8000;
}

/* sub: the type's letter: f f32, d f64, h f16 and b bf16 or pairs of them. */
sim_step sim__step_modified(sim_exec *x, const sim_instr *in, uint32_t mask) {
    const void *source[3] = {sim__at(x, in->a), sim__at(x, in->b), sim__at(x, in->c)};
    const bool flush = in->flags & SIM_FLAG_FTZ;
    float flushed[3][SIM_WARP];
    uint64_t result[SIM_WARP];
    for (int i = 0; flush && in->sub == 'f' && i < 3; i++) {
        sim__flush(flushed[i], source[i]);
        source[i] = flushed[i];
    }
    for (int i = 0; flush && in->sub == 'h' && i < 3; i++) {
        memcpy(flushed[i], source[i], (size_t)SIM_WARP * in->width);
        flush_halves((uint16_t *)(void *)flushed[i], SIM_WARP * in->width / 2);
        source[i] = flushed[i];
    }
    if (in->round > SIM_ROUND_RN)
        fesetround(sim__host_rounding((sim_round)in->round));
    in->lanes(result, source[0], source[1], source[2]);
    if (in->round > SIM_ROUND_RN)
        fesetround(FE_TONEAREST);
    if (flush && in->sub == 'f')
        sim__flush((float *)(void *)result, (const float *)(const void *)result);
    if (flush && in->sub == 'h')
        flush_halves((uint16_t *)(void *)result, SIM_WARP * in->width / 2);
    if (in->flags & SIM_FLAG_SAT)
        saturate_all(result, in->sub, in->width);
    sim__blend(sim__at(x, in->d), result, mask, in->width);
    return SIM_STEP_NEXT;
}
