#include "embedded.h"
#include "epilogue_fields.h"
#include "matrix.h"
#include "status.h"
#include "types.h"
#include <float.h>
#include <inttypes.h>
#include <math.h>

/* ---- fields ---- */

enum { N, H, W, C, R, IHALO, OHALO, FORM, MASK, TYPE, EP, N_FIELDS };

/* The values are an ABI of device code (KC_FORM): how many gates a channel has. */
enum { SCALE = 1, SCALE_SHIFT };

static const kiln_token forms[] = {
    {"scale", -1, SCALE, "a scale"}, {"scale_shift", -1, SCALE_SHIFT, "scales, then shifts"}, {0}};

static const kiln_field fields[N_FIELDS] = {
    [N] = {"n", KILN_FIELD_INT, KILN_FIELD_REQUIRED, 0, 1, 32768, .help = "items of the batch"},
    [H] = {"h", KILN_FIELD_INT, KILN_FIELD_REQUIRED, 0, 1, 4096, .help = "rows of the board"},
    [W] = {"w", KILN_FIELD_INT, KILN_FIELD_REQUIRED, 0, 1, 4096, .help = "columns of the board"},
    [C] = {"c", KILN_FIELD_INT, KILN_FIELD_REQUIRED, 0, 1, 65536, .help = "channels"},
    [R] = {"r", KILN_FIELD_INT, KILN_FIELD_REQUIRED, 0, 1, 65536, .help = "channels between the two layers"},
    [IHALO] = {"ihalo", KILN_FIELD_INT, 0, 0, 0, 8, .help = "rows and columns around the input's board, not read"},
    [OHALO] = {"ohalo", KILN_FIELD_INT, 0, 0, 0, 8,
               .help = "rows and columns around the output's board: not written, the caller keeps them zero"},
    [FORM] = {"form", KILN_FIELD_ENUM, KILN_FIELD_REQUIRED, SCALE, .tokens = forms, .help = "what the gates are"},
    [MASK] = {"mask", KILN_FIELD_INT, 0, 0, 0, 1, .help = "1: points whose mask is 0 do not count in the mean"},
    [TYPE] = {"type", KILN_FIELD_ENUM, 0, KILN_TYPE_F32, .tokens = kiln__type_tokens,
              .help = "of every operand but b1, b2 and the weights for each channel, which are f32"},
    [EP] = {"ep", KILN_FIELD_SET, 0, 0, .tokens = kiln__epilogue_tokens,
            .allowed = KILN_EP_RES | KILN_EP_SUM | KILN_EP_BN | KILN_EP_ACT_MASK | KILN_EP_MASK,
            .help = "epilogue, in this order; its mask is the same operand"},
};

enum { MAX_ELEMS = INT32_MAX - 65536, WIDEST_PANEL = 64 };

static int64_t board_elems(const kiln_problem *p, int64_t halo) {
    return kiln__product(MAX_ELEMS, p->v[N], p->v[H] + 2 * halo, p->v[W] + 2 * halo, p->v[C], INT64_C(-1));
}

static int64_t gates_of(const kiln_problem *p) {
    return p->v[FORM] * p->v[C];
}

static kiln_status check(const kiln_problem *p) {
    const int64_t *v = p->v;
    if (board_elems(p, v[IHALO]) < 0)
        return kiln_fail(KILN_E_INVALID,
                         "se_block: the input with its halo has 2^31 elements or more; split the batch");
    if (board_elems(p, v[OHALO]) < 0)
        return kiln_fail(KILN_E_INVALID,
                         "se_block: the output with its halo has 2^31 elements or more; split the batch");
    if (kiln__product(MAX_ELEMS, v[C], v[R] + WIDEST_PANEL, INT64_C(-1)) < 0 ||
        kiln__product(MAX_ELEMS, v[R], gates_of(p) + WIDEST_PANEL, INT64_C(-1)) < 0)
        return kiln_fail(KILN_E_INVALID, "se_block: the weights have 2^31 elements or more");
    if (kiln__product(MAX_ELEMS, v[N], gates_of(p), INT64_C(-1)) < 0 ||
        kiln__product(MAX_ELEMS, v[N], v[R], INT64_C(-1)) < 0)
        return kiln_fail(KILN_E_INVALID, "se_block: the gates have 2^31 elements or more; split the batch");
    return KILN_OK;
}

/* ---- operands ---- */

static void operands(const kiln_problem *p, kiln_lowering *l) {
    const int64_t *v = p->v;
    const kiln_type type = (kiln_type)v[TYPE];
    const uint32_t input = kiln__lower_operand(l, "input", KILN_ROLE_INPUT, type, "n,h,w,c", v[N], v[H] + 2 * v[IHALO],
                                               v[W] + 2 * v[IHALO], v[C]);
    l->operands[input].halo = v[IHALO];
    if (v[MASK] || (v[EP] & KILN_EP_MASK))
        kiln__lower_operand(l, "mask", KILN_ROLE_INPUT, type, "n,h,w", v[N], v[H], v[W]);
    kiln__lower_operand(l, "w1", KILN_ROLE_WEIGHT, type, "c,r", v[C], v[R]);
    kiln__lower_operand(l, "b1", KILN_ROLE_WEIGHT, KILN_TYPE_F32, "r", v[R]);
    kiln__lower_operand(l, "w2", KILN_ROLE_WEIGHT, type, "r,gate", v[R], gates_of(p));
    kiln__lower_operand(l, "b2", KILN_ROLE_WEIGHT, KILN_TYPE_F32, "gate", gates_of(p));
    kiln__epilogue_operands(l, type, v[EP] & ~(int64_t)KILN_EP_MASK, true, v[N], v[H], v[W], v[C]);
    const uint32_t output = kiln__lower_operand(l, "output", KILN_ROLE_OUTPUT, type, "n,h,w,c", v[N],
                                                v[H] + 2 * v[OHALO], v[W] + 2 * v[OHALO], v[C]);
    l->operands[output].halo = v[OHALO];
}

static uint32_t operand(const kiln_lowering *l, const char *name) {
    return (uint32_t)kiln__lower_find(l, name);
}

/* The batch is no constant of the program: one binary serves every batch size. */
static uint32_t unit(const kiln_problem *p, const kiln_embed *source, kiln_lowering *l) {
    static const struct {
        int field;
        const char *name;
    } constants[] = {{H, "KC_H"},       {W, "KC_W"},       {C, "KC_C"},         {R, "KC_R"},
                     {FORM, "KC_FORM"}, {MASK, "KC_MASK"}, {IHALO, "KC_IHALO"}, {OHALO, "KC_OHALO"}};
    const uint32_t u = kiln__lower_unit(l, source);
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        kiln__lower_define(l, u, constants[i].name, p->v[constants[i].field]);
    kiln__type_define(l, u, p->v[TYPE]);
    kiln__epilogue_define(l, u, p->v[EP]);
    return u;
}

static void args(const kiln_problem *p, const kiln_lowering *l, kiln_step *s) {
    static const char *const weights[] = {"w1", "b1", "w2", "b2"};
    kiln__step_operand(s, operand(l, "input"));
    if (p->v[MASK])
        kiln__step_operand(s, operand(l, "mask"));
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
        kiln__step_operand(s, operand(l, weights[i]));
    kiln__epilogue_args(l, s, p->v[EP]);
    kiln__step_operand(s, operand(l, "output"));
}

/* ---- fused: on CPU vectors ---- */

enum { VW };
static const int32_t vw_values[] = {4, 8, 16};
static const kiln_param fused_params[] = {{"vw", vw_values, sizeof vw_values / sizeof *vw_values}, {0}};

static size_t fused_local_bytes(const kiln_problem *p, int64_t vw) {
    const int64_t mean = (p->v[C] + vw - 1) / vw * vw, z = (p->v[R] + vw - 1) / vw * vw;
    return (size_t)(mean + z + gates_of(p) + vw) * sizeof(float);
}

static bool fused_width(const kiln_config *c, const kiln_problem *p, const kiln_caps *caps) {
    (void)p;
    return (uint32_t)c->v[VW] <= caps->vector_floats;
}
static bool fused_local(const kiln_config *c, const kiln_problem *p, const kiln_caps *caps) {
    return fused_local_bytes(p, c->v[VW]) <= caps->local_bytes;
}
static const kiln_rule fused_rules[] = {{"vw is wider than the device's vectors", 1u << VW, fused_width},
                                        {"mean and gates do not fit the device's local memory", 1u << VW, fused_local},
                                        {0}};

static const char *fused_reject(const kiln_problem *p, const kiln_caps *caps) {
    const char *reason = kiln__vec_reject(p, caps);
    if (!reason && fused_local_bytes(p, 16) > caps->local_bytes)
        reason = "mean and gates do not fit the device's local memory";
    return reason;
}

/* The widest vector that is not mostly past the last channel. */
static void fused_guess(const kiln_problem *p, const kiln_caps *caps, kiln_config *out) {
    *out = (kiln_config){.v = {[VW] = 4}};
    for (size_t i = 1; i < sizeof vw_values / sizeof *vw_values; i++)
        if ((uint32_t)vw_values[i] <= caps->vector_floats && vw_values[i] < 2 * p->v[C])
            out->v[VW] = vw_values[i];
}

static kiln_status fused_lower(const kiln_problem *p, const kiln_config *config, const kiln_caps *caps,
                               kiln_lowering *l) {
    (void)caps;
    const uint32_t u = unit(p, &kiln__embed_se_block_fused_cpu_cl, l);
    kiln__lower_define(l, u, "KP_VW", config->v[VW]);
    kiln_step *s = kiln__lower_kernel(l, false, u, "se_block_fused");
    kiln__step_grid(s, (uint32_t)p->v[N], 1, 1);
    args(p, l, s);
    kiln__step_local(s, fused_local_bytes(p, config->v[VW]));
    return KILN_OK;
}

/* ---- fused_group: a work-group an item ---- */

enum { GROUP };
static const int32_t group_values[] = {32, 64, 128, 256, 512, 1024};
static const kiln_param group_params[] = {{"group", group_values, sizeof group_values / sizeof *group_values}, {0}};

/* Mean, z, gates, partial sums and counts: scratch of se_block/fused_group.cl. */
static size_t group_local_bytes(const kiln_problem *p, int64_t group) {
    const int64_t stages = p->v[R] > gates_of(p) ? p->v[R] : gates_of(p), partial = group > stages ? group : stages;
    return (size_t)(p->v[C] + p->v[R] + gates_of(p) + 2 * partial) * sizeof(float);
}

static bool group_size(const kiln_config *c, const kiln_problem *p, const kiln_caps *caps) {
    (void)p;
    return (uint32_t)c->v[GROUP] <= caps->max_group_size && (uint32_t)c->v[GROUP] <= caps->max_group[0];
}
static bool group_local(const kiln_config *c, const kiln_problem *p, const kiln_caps *caps) {
    return group_local_bytes(p, c->v[GROUP]) <= caps->local_bytes;
}
static const kiln_rule group_rules[] = {
    {"the work-group is larger than the device's", 1u << GROUP, group_size},
    {"mean, gates and partial sums do not fit the device's local memory", 1u << GROUP, group_local},
    {0}};

static const char *group_reject(const kiln_problem *p, const kiln_caps *caps) {
    const kiln_config least = {.v = {[GROUP] = group_values[0]}};
    if (!group_size(&least, p, caps))
        return "the device's work-groups are too small";
    return group_local(&least, p, caps) ? NULL : group_rules[1].why;
}

/* A work-item for each channel; on a GPU four, since each waits for memory most of the time. */
static void group_guess(const kiln_problem *p, const kiln_caps *caps, kiln_config *out) {
    *out = (kiln_config){.v = {[GROUP] = group_values[0]}};
    for (size_t i = 1; i < sizeof group_values / sizeof *group_values; i++) {
        const kiln_config larger = {.v = {[GROUP] = group_values[i]}};
        const int64_t most = caps->kind == KILN_DEVICE_GPU ? 8 * p->v[C] : 2 * p->v[C];
        if (group_values[i] < most && group_size(&larger, p, caps) && group_local(&larger, p, caps))
            *out = larger;
    }
}

static kiln_status group_lower(const kiln_problem *p, const kiln_config *config, const kiln_caps *caps,
                               kiln_lowering *l) {
    (void)caps;
    const uint32_t u = unit(p, &kiln__embed_se_block_fused_group_cl, l);
    kiln__lower_define(l, u, "KP_GROUP", config->v[GROUP]);
    kiln_step *s = kiln__lower_kernel(l, false, u, "se_block_fused_group");
    kiln__step_group(s, (uint32_t)config->v[GROUP], 1, 1);
    kiln__step_grid(s, (uint32_t)p->v[N], 1, 1);
    args(p, l, s);
    kiln__step_local(s, group_local_bytes(p, config->v[GROUP]));
    return KILN_OK;
}

/* ---- chain, ref: pooling, two matrix products, scaling ---- */

static kiln_status lower_parts(const kiln_problem *p, const char *variant, kiln_lowering *l) {
    const int64_t *v = p->v;
    char ep[KILN_MAX_EP_TEXT];
    kiln__epilogue_print(v[EP], ep);
    const char *type = kiln_type_name((kiln_type)v[TYPE]);
    const size_t elem_bytes = kiln_type_bytes((kiln_type)v[TYPE]);
    const size_t mean = kiln__lower_scratch(l, (size_t)(v[N] * v[C]) * elem_bytes);
    const size_t z = kiln__lower_scratch(l, (size_t)(v[N] * v[R]) * elem_bytes);
    const size_t gates = kiln__lower_scratch(l, (size_t)(v[N] * gates_of(p)) * elem_bytes);

    kiln_part *part = kiln__lower_part(l, variant,
                                       "global_pool:n=%" PRId64 ",h=%" PRId64 ",w=%" PRId64 ",c=%" PRId64
                                       ",form=mean,mask=%" PRId64 ",ihalo=%" PRId64 ",type=%s",
                                       v[N], v[H], v[W], v[C], v[MASK], v[IHALO], type);
    kiln__part_workspace(part, "output", mean);

    part = kiln__lower_part(l, variant, "gemm:m=%" PRId64 ",n=%" PRId64 ",k=%" PRId64 ",type=%s,ep=bias+relu", v[N],
                            v[R], v[C], type);
    kiln__part_workspace(part, "a", mean);
    kiln__part_operand(part, "b", operand(l, "w1"));
    kiln__part_operand(part, "bias", operand(l, "b1"));
    kiln__part_workspace(part, "c", z);

    part = kiln__lower_part(l, variant, "gemm:m=%" PRId64 ",n=%" PRId64 ",k=%" PRId64 ",type=%s,ep=bias", v[N],
                            gates_of(p), v[R], type);
    kiln__part_workspace(part, "a", z);
    kiln__part_operand(part, "b", operand(l, "w2"));
    kiln__part_operand(part, "bias", operand(l, "b2"));
    kiln__part_workspace(part, "c", gates);

    part = kiln__lower_part(l, variant,
                            "affine:n=%" PRId64 ",h=%" PRId64 ",w=%" PRId64 ",c=%" PRId64 ",ihalo=%" PRId64
                            ",ohalo=%" PRId64 ",form=%s,gate=sigmoid,type=%s%s",
                            v[N], v[H], v[W], v[C], v[IHALO], v[OHALO], forms[v[FORM] - SCALE].name, type, ep);
    kiln__part_workspace(part, "gates", gates);
    return KILN_OK;
}

static kiln_status chain_lower(const kiln_problem *p, const kiln_config *config, const kiln_caps *caps,
                               kiln_lowering *l) {
    (void)config, (void)caps;
    return lower_parts(p, NULL, l);
}

static kiln_status ref_lower(const kiln_problem *p, const kiln_config *config, const kiln_caps *caps,
                             kiln_lowering *l) {
    (void)config, (void)caps;
    return lower_parts(p, "ref", l);
}

/* ---- family ---- */

static const kiln_variant variants[] = {{.name = "fused",
                                         .home = 1u << KILN_DEVICE_CPU,
                                         .source = &kiln__embed_se_block_fused_cpu_cl,
                                         .params = fused_params,
                                         .rules = fused_rules,
                                         .reject = fused_reject,
                                         .guess = fused_guess,
                                         .lower = fused_lower},
                                        {.name = "fused_group",
                                         .home = 1u << KILN_DEVICE_GPU | 1u << KILN_DEVICE_OTHER,
                                         .source = &kiln__embed_se_block_fused_group_cl,
                                         .params = group_params,
                                         .rules = group_rules,
                                         .reject = group_reject,
                                         .guess = group_guess,
                                         .lower = group_lower},
                                        {.name = "chain", .lower = chain_lower},
                                        {.name = "ref", .lower = ref_lower},
                                        {0}};

static double flops(const kiln_problem *p) {
    const int64_t *v = p->v;
    return (double)v[N] * (2.0 * (double)(v[H] * v[W] * v[C]) + 2.0 * (double)v[R] * (double)(v[C] + gates_of(p)));
}

/* Weights are of the size 1 / sqrt(depth) (has_layers), so a sum is off by its tolerance over that, and hands on what
 * its inputs are off by at its size. Those are the roundings of the mean (global_pool.c) and, where the parts of a
 * chain store them, of mean, z and gates, which reach about 1, 1 and 2. */
static kiln_tolerance tolerance(const kiln_problem *p) {
    const kiln_tolerance squeeze = kiln__sum_tolerance(p->v[C]), excite = kiln__sum_tolerance(p->v[R]);
    const double sums = squeeze.abs / sqrt((double)p->v[C]) + excite.abs / sqrt((double)p->v[R]);
    const double abs = sums + FLT_EPSILON * (double)(p->v[H] + p->v[W]) + 4 * kiln__type_rounding(p->v[TYPE]);
    return kiln__type_tolerance((kiln_tolerance){.abs = abs, .rel = squeeze.rel}, p->v[TYPE]);
}

const kiln_family kiln__family_se_block = {
    .schema = {"se_block", "squeeze and excite: channels scaled by what the whole board says, NHWC", fields, N_FIELDS,
               check},
    .variants = variants,
    .operands = operands,
    .flops = flops,
    .tolerance = tolerance,
    .has_layers = true,
};
