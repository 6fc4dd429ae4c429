#include "embedded.h"
#include "family.h"
#include "status.h"
#include "types.h"
#include <float.h>
#include <math.h>

/* ---- fields ---- */

enum { N, H, W, C, FORM, MASK, IHALO, TYPE, N_FIELDS };

/* The values are an ABI of device code (KC_FORM). Parts are stored in the order of the name; std is the population's.
 * katago: mean; mean (sqrt(points) - 14) / 10; max. katago_value: mean; mean (sqrt(points) - 14) / 10;
 * mean ((sqrt(points) - 14)^2 / 100 - 1/10). */
enum { MEAN = 1, MAX, MEAN_MAX, MEAN_MAX_STD, KATAGO, KATAGO_VALUE };

static const kiln_token forms[] = {{"mean", -1, MEAN, "mean"},
                                   {"max", -1, MAX, "max"},
                                   {"mean_max", -1, MEAN_MAX, "mean, max"},
                                   {"mean_max_std", -1, MEAN_MAX_STD, "mean, max, standard deviation"},
                                   {"katago", -1, KATAGO, "mean, mean scaled by board size, max"},
                                   {"katago_value", -1, KATAGO_VALUE, "mean, mean scaled by board size, by its square"},
                                   {0}};

static const kiln_field fields[N_FIELDS] = {
    [N] = {"n", KILN_FIELD_INT, KILN_FIELD_REQUIRED, 0, 1, 32768, .help = "items of the batch"},
    [H] = {"h", KILN_FIELD_INT, KILN_FIELD_REQUIRED, 0, 1, 4096, .help = "rows of the board"},
    [W] = {"w", KILN_FIELD_INT, KILN_FIELD_REQUIRED, 0, 1, 4096, .help = "columns of the board"},
    [C] = {"c", KILN_FIELD_INT, KILN_FIELD_REQUIRED, 0, 1, 65536, .help = "channels"},
    [FORM] = {"form", KILN_FIELD_ENUM, KILN_FIELD_REQUIRED, MEAN, .tokens = forms, .help = "what is kept of a channel"},
    [MASK] = {"mask", KILN_FIELD_INT, 0, 0, 0, 1, .help = "1: points whose mask is 0 do not count"},
    [IHALO] = {"ihalo", KILN_FIELD_INT, 0, 0, 0, 8, .help = "rows and columns around the input's board, not read"},
    [TYPE] = {"type", KILN_FIELD_ENUM, 0, KILN_TYPE_F32, .tokens = kiln__type_tokens, .help = "of every operand"},
};

enum { MAX_ELEMS = INT32_MAX - 65536 };

static int64_t parts(const kiln_problem *p) {
    return p->v[FORM] <= MAX ? 1 : p->v[FORM] == MEAN_MAX ? 2 : 3;
}

static kiln_status check(const kiln_problem *p) {
    const int64_t *v = p->v;
    if (kiln__product(MAX_ELEMS, v[N], v[H] + 2 * v[IHALO], v[W] + 2 * v[IHALO], v[C], INT64_C(-1)) < 0)
        return kiln_fail(KILN_E_INVALID,
                         "global_pool: the input with its halo has 2^31 elements or more; split the batch");
    if (kiln__product(MAX_ELEMS, v[N], parts(p), v[C], INT64_C(-1)) < 0)
        return kiln_fail(KILN_E_INVALID, "global_pool: the output has 2^31 elements or more; split the batch");
    return KILN_OK;
}

/* ---- operands ---- */

static void operands(const kiln_problem *p, kiln_lowering *l) {
    const int64_t *v = p->v;
    const kiln_type type = (kiln_type)v[TYPE];
    const uint32_t input = kiln__lower_operand(l, "input", KILN_ROLE_INPUT, type, "n,h,w,c", v[N], v[H] + 2 * v[IHALO],
                                               v[W] + 2 * v[IHALO], v[C]);
    l->operands[input].halo = v[IHALO];
    if (v[MASK])
        kiln__lower_operand(l, "mask", KILN_ROLE_INPUT, type, "n,h,w", v[N], v[H], v[W]);
    kiln__lower_operand(l, "output", KILN_ROLE_OUTPUT, type, "n,c", v[N], parts(p) * v[C]);
}

/* The batch is no constant of the program: one binary serves every batch size. */
static uint32_t unit(const kiln_problem *p, const kiln_embed *source, kiln_lowering *l) {
    const uint32_t u = kiln__lower_unit(l, source);
    kiln__lower_define(l, u, "KC_H", p->v[H]);
    kiln__lower_define(l, u, "KC_W", p->v[W]);
    kiln__lower_define(l, u, "KC_C", p->v[C]);
    kiln__lower_define(l, u, "KC_FORM", p->v[FORM]);
    kiln__lower_define(l, u, "KC_MASK", p->v[MASK]);
    kiln__lower_define(l, u, "KC_IHALO", p->v[IHALO]);
    kiln__type_define(l, u, p->v[TYPE]);
    return u;
}

static void args(const kiln_problem *p, const kiln_lowering *l, kiln_step *s) {
    kiln__step_operand(s, (uint32_t)kiln__lower_find(l, "input"));
    if (p->v[MASK])
        kiln__step_operand(s, (uint32_t)kiln__lower_find(l, "mask"));
    kiln__step_operand(s, (uint32_t)kiln__lower_find(l, "output"));
}

/* ---- vec ---- */

enum { VW };
static const int32_t vec_vw[] = {4, 8, 16};
static const kiln_param vec_params[] = {{"vw", vec_vw, sizeof vec_vw / sizeof *vec_vw}, {0}};

static bool vec_width(const kiln_config *c, const kiln_problem *p, const kiln_caps *caps) {
    (void)p;
    return (uint32_t)c->v[VW] <= caps->vector_floats;
}
static const kiln_rule vec_rules[] = {{"vw is wider than the device's vectors", 1u << VW, vec_width}, {0}};

static const char *vec_reject(const kiln_problem *p, const kiln_caps *caps) {
    if (p->v[TYPE] != KILN_TYPE_F32)
        return "takes f32 only";
    if (caps->kind != KILN_DEVICE_CPU)
        return "needs a CPU device";
    if (caps->language != KILN_LANGUAGE_OPENCL)
        return "needs OpenCL's vector types";
    return caps->vector_floats < 4 ? "needs vector registers" : NULL;
}

/* The widest vector that is not mostly past the last channel. */
static void vec_guess(const kiln_problem *p, const kiln_caps *caps, kiln_config *out) {
    *out = (kiln_config){.v = {[VW] = 4}};
    for (size_t i = 1; i < sizeof vec_vw / sizeof *vec_vw; i++)
        if ((uint32_t)vec_vw[i] <= caps->vector_floats && vec_vw[i] < 2 * p->v[C])
            out->v[VW] = vec_vw[i];
}

static kiln_status vec_lower(const kiln_problem *p, const kiln_config *config, const kiln_caps *caps,
                             kiln_lowering *l) {
    (void)caps;
    const uint32_t u = unit(p, &kiln__embed_global_pool_vec_cpu_cl, l);
    kiln__lower_define(l, u, "KP_VW", config->v[VW]);
    kiln_step *s = kiln__lower_kernel(l, false, u, "global_pool_vec");
    kiln__step_grid(s, (uint32_t)((p->v[C] + config->v[VW] - 1) / config->v[VW]), (uint32_t)p->v[N], 1);
    args(p, l, s);
    return KILN_OK;
}

/* ---- ref ---- */

static void ref_guess(const kiln_problem *p, const kiln_caps *caps, kiln_config *out) {
    (void)p, (void)caps;
    *out = (kiln_config){0};
}

static kiln_status ref_lower(const kiln_problem *p, const kiln_config *config, const kiln_caps *caps,
                             kiln_lowering *l) {
    (void)config, (void)caps;
    kiln_step *s = kiln__lower_kernel(l, false, unit(p, &kiln__embed_global_pool_ref_cl, l), "global_pool_ref");
    kiln__step_group(s, 64, 1, 1);
    kiln__step_grid(s, (uint32_t)((p->v[N] * p->v[C] + 63) / 64), 1, 1);
    args(p, l, s);
    kiln__step_i32(s, (int32_t)p->v[N]);
    return KILN_OK;
}

/* ---- family ---- */

static const kiln_variant variants[] = {
    {.name = "vec",
     .home = 1u << KILN_DEVICE_CPU,
     .source = &kiln__embed_global_pool_vec_cpu_cl,
     .params = vec_params,
     .rules = vec_rules,
     .reject = vec_reject,
     .guess = vec_guess,
     .lower = vec_lower},
    {.name = "ref", .source = &kiln__embed_global_pool_ref_cl, .guess = ref_guess, .lower = ref_lower},
    {0}};

/* An addition and a comparison for each point and channel; the standard deviation reads everything again. */
static double flops(const kiln_problem *p) {
    return (p->v[FORM] == MEAN_MAX_STD ? 5.0 : 2.0) * (double)(p->v[N] * p->v[H] * p->v[W] * p->v[C]);
}

/* A row's sum of w values up to 1 is off by at most eps w^2 / 4, all h rows together by about eps h w (w + h) / 4, so
 * the mean by eps (w + h) / 4; the parts that depend on the board's size scale that. */
static kiln_tolerance tolerance(const kiln_problem *p) {
    const double size = fabs(sqrt((double)(p->v[H] * p->v[W])) - 14.0) / 10.0;
    const double scale = fmax(fmax(1.0, size), size * size);
    const kiln_tolerance sums = {.abs = scale * FLT_EPSILON * ((double)(p->v[H] + p->v[W]) / 2.0 + 16.0),
                                 .rel = 16.0 * FLT_EPSILON};
    return kiln__type_tolerance(sums, p->v[TYPE]);
}

static bool is_exact(const kiln_problem *p) {
    return p->v[FORM] == MAX;
}

const kiln_family kiln__family_global_pool = {
    .schema = {"global_pool", "reduction of each channel over a board, NHWC", fields, N_FIELDS, check},
    .variants = variants,
    .operands = operands,
    .flops = flops,
    .tolerance = tolerance,
    .is_exact = is_exact,
};
