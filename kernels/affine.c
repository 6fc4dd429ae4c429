#include "embedded.h"
#include "epilogue_fields.h"
#include "matrix.h"
#include "status.h"
#include "types.h"

/* ---- fields ---- */

enum { N, H, W, C, IHALO, OHALO, FORM, GATE, TYPE, EP, N_FIELDS };

/* The values are an ABI of device code (KC_FORM, KC_GATE). */
enum { SCALE = 1, SHIFT, SCALE_SHIFT };

static const kiln_token forms[] = {{"scale", -1, SCALE, "a scale"},
                                   {"shift", -1, SHIFT, "a shift"},
                                   {"scale_shift", -1, SCALE_SHIFT, "scales, then shifts"},
                                   {0}};

static const kiln_token gates[] = {
    {"none", -1, 0, "the scale as it is"}, {"sigmoid", -1, 1, "1 / (1 + e^-scale)"}, {0}};

static const kiln_field fields[N_FIELDS] = {
    [N] = {"n", KILN_FIELD_INT, KILN_FIELD_REQUIRED, 0, 1, 32768, .help = "items of the batch"},
    [H] = {"h", KILN_FIELD_INT, KILN_FIELD_REQUIRED, 0, 1, 4096, .help = "rows of the board"},
    [W] = {"w", KILN_FIELD_INT, KILN_FIELD_REQUIRED, 0, 1, 4096, .help = "columns of the board"},
    [C] = {"c", KILN_FIELD_INT, KILN_FIELD_REQUIRED, 0, 1, 65536, .help = "channels"},
    [IHALO] = {"ihalo", KILN_FIELD_INT, 0, 0, 0, 8, .help = "rows and columns around the input's board, not read"},
    [OHALO] = {"ohalo", KILN_FIELD_INT, 0, 0, 0, 8,
               .help = "rows and columns around the output's board: not written, the caller keeps them zero"},
    [FORM] = {"form", KILN_FIELD_ENUM, KILN_FIELD_REQUIRED, SCALE, .tokens = forms, .help = "what the gates hold"},
    [GATE] = {"gate", KILN_FIELD_ENUM, 0, 0, .tokens = gates, .help = "what a scale goes through"},
    [TYPE] = {"type", KILN_FIELD_ENUM, 0, KILN_TYPE_F32, .tokens = kiln__type_tokens,
              .help = "of every operand but the weights for each channel, which are f32"},
    [EP] = {"ep", KILN_FIELD_SET, 0, 0, .tokens = kiln__epilogue_tokens,
            .allowed = KILN_EP_RES | KILN_EP_SUM | KILN_EP_BN | KILN_EP_ACT_MASK | KILN_EP_MASK,
            .help = "epilogue, in this order"},
};

enum { MAX_ELEMS = INT32_MAX - 65536 };

static int64_t board_elems(const kiln_problem *p, int64_t halo) {
    return kiln__product(MAX_ELEMS, p->v[N], p->v[H] + 2 * halo, p->v[W] + 2 * halo, p->v[C], INT64_C(-1));
}

static kiln_status check(const kiln_problem *p) {
    if (board_elems(p, p->v[IHALO]) < 0)
        return kiln_fail(KILN_E_INVALID, "affine: the input with its halo has 2^31 elements or more; split the batch");
    if (board_elems(p, p->v[OHALO]) < 0)
        return kiln_fail(KILN_E_INVALID, "affine: the output with its halo has 2^31 elements or more; split the batch");
    if (kiln__product(MAX_ELEMS, p->v[N], p->v[C], INT64_C(2), INT64_C(-1)) < 0)
        return kiln_fail(KILN_E_INVALID, "affine: the gates have 2^31 elements or more; split the batch");
    if (p->v[FORM] == SHIFT && p->v[GATE])
        return kiln_fail(KILN_E_INVALID, "affine: a shift alone has no scale for the gate; leave gate out");
    return KILN_OK;
}

/* ---- operands ---- */

static void operands(const kiln_problem *p, kiln_lowering *l) {
    const int64_t *v = p->v;
    const kiln_type type = (kiln_type)v[TYPE];
    const uint32_t input = kiln__lower_operand(l, "input", KILN_ROLE_INPUT, type, "n,h,w,c", v[N], v[H] + 2 * v[IHALO],
                                               v[W] + 2 * v[IHALO], v[C]);
    l->operands[input].halo = v[IHALO];
    kiln__lower_operand(l, "gates", KILN_ROLE_INPUT, type, "n,c", v[N], v[FORM] == SCALE_SHIFT ? 2 * v[C] : v[C]);
    kiln__epilogue_operands(l, type, v[EP], true, v[N], v[H], v[W], v[C]);
    const uint32_t output = kiln__lower_operand(l, "output", KILN_ROLE_OUTPUT, type, "n,h,w,c", v[N],
                                                v[H] + 2 * v[OHALO], v[W] + 2 * v[OHALO], v[C]);
    l->operands[output].halo = v[OHALO];
}

/* The batch is no constant of the program: one binary serves every batch size. */
static uint32_t unit(const kiln_problem *p, const kiln_embed *source, kiln_lowering *l) {
    static const struct {
        int field;
        const char *name;
    } constants[] = {{H, "KC_H"},       {W, "KC_W"},         {C, "KC_C"},        {FORM, "KC_FORM"},
                     {GATE, "KC_GATE"}, {IHALO, "KC_IHALO"}, {OHALO, "KC_OHALO"}};
    const uint32_t u = kiln__lower_unit(l, source);
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        kiln__lower_define(l, u, constants[i].name, p->v[constants[i].field]);
    kiln__type_define(l, u, p->v[TYPE]);
    kiln__epilogue_define(l, u, p->v[EP]);
    return u;
}

static void args(const kiln_problem *p, const kiln_lowering *l, kiln_step *s) {
    kiln__step_operand(s, (uint32_t)kiln__lower_find(l, "input"));
    kiln__step_operand(s, (uint32_t)kiln__lower_find(l, "gates"));
    kiln__epilogue_args(l, s, p->v[EP]);
    kiln__step_operand(s, (uint32_t)kiln__lower_find(l, "output"));
}

/* ---- vec ---- */

enum { VW, ROWS };
static const int32_t vw_values[] = {4, 8, 16}, rows_values[] = {1, 2, 4, 8, 16, 32};
static const kiln_param vec_params[] = {{"vw", vw_values, sizeof vw_values / sizeof *vw_values},
                                        {"rows", rows_values, sizeof rows_values / sizeof *rows_values},
                                        {0}};

static bool vec_width(const kiln_config *c, const kiln_problem *p, const kiln_caps *caps) {
    (void)p;
    return (uint32_t)c->v[VW] <= caps->vector_floats;
}
static bool vec_rows(const kiln_config *c, const kiln_problem *p, const kiln_caps *caps) {
    (void)caps;
    return c->v[ROWS] < 2 * p->v[H];
}
static const kiln_rule vec_rules[] = {{"vw is wider than the device's vectors", 1u << VW, vec_width},
                                      {"a block of rows is mostly past the board's last", 1u << ROWS, vec_rows},
                                      {0}};

/* The widest vector that is not mostly past the last channel; rows so that every unit has a few blocks. */
static void vec_guess(const kiln_problem *p, const kiln_caps *caps, kiln_config *out) {
    *out = (kiln_config){.v = {[VW] = 4, [ROWS] = 1}};
    for (size_t i = 1; i < sizeof vw_values / sizeof *vw_values; i++)
        if ((uint32_t)vw_values[i] <= caps->vector_floats && vw_values[i] < 2 * p->v[C])
            out->v[VW] = vw_values[i];
    for (size_t i = 1; i < sizeof rows_values / sizeof *rows_values; i++) {
        const int64_t blocks = p->v[N] * ((p->v[H] + rows_values[i] - 1) / rows_values[i]);
        if (rows_values[i] < 2 * p->v[H] && blocks >= 4 * (int64_t)caps->units)
            out->v[ROWS] = rows_values[i];
    }
}

static kiln_status vec_lower(const kiln_problem *p, const kiln_config *config, const kiln_caps *caps,
                             kiln_lowering *l) {
    (void)caps;
    const uint32_t u = unit(p, &kiln__embed_affine_vec_cpu_cl, l);
    kiln__lower_define(l, u, "KP_VW", config->v[VW]);
    kiln__lower_define(l, u, "KP_ROWS", config->v[ROWS]);
    kiln_step *s = kiln__lower_kernel(l, false, u, "affine_vec");
    kiln__step_grid(s, (uint32_t)((p->v[H] + config->v[ROWS] - 1) / config->v[ROWS]), (uint32_t)p->v[N], 1);
    args(p, l, s);
    return KILN_OK;
}

/* ---- ref ---- */

static kiln_status ref_lower(const kiln_problem *p, const kiln_config *config, const kiln_caps *caps,
                             kiln_lowering *l) {
    (void)config, (void)caps;
    const int64_t points = p->v[N] * p->v[H] * p->v[W];
    kiln_step *s = kiln__lower_kernel(l, false, unit(p, &kiln__embed_affine_ref_cl, l), "affine_ref");
    kiln__linear_launch(s, points * p->v[C]);
    args(p, l, s);
    kiln__step_i32(s, (int32_t)points);
    return KILN_OK;
}

static void ref_guess(const kiln_problem *p, const kiln_caps *caps, kiln_config *out) {
    (void)p, (void)caps;
    *out = (kiln_config){0};
}

/* ---- family ---- */

static const kiln_variant variants[] = {
    {.name = "vec",
     .home = 1u << KILN_DEVICE_CPU,
     .source = &kiln__embed_affine_vec_cpu_cl,
     .params = vec_params,
     .rules = vec_rules,
     .reject = kiln__vec_reject,
     .guess = vec_guess,
     .lower = vec_lower},
    {.name = "ref", .source = &kiln__embed_affine_ref_cl, .guess = ref_guess, .lower = ref_lower},
    {0}};

static double flops(const kiln_problem *p) {
    return (p->v[FORM] == SCALE_SHIFT ? 2.0 : 1.0) * (double)(p->v[N] * p->v[H] * p->v[W] * p->v[C]);
}

static kiln_tolerance tolerance(const kiln_problem *p) {
    return kiln__type_tolerance(kiln__sum_tolerance(2), p->v[TYPE]);
}

static bool is_exact(const kiln_problem *p) {
    return !p->v[GATE] && kiln__epilogue_is_exact(p->v[EP]);
}

const kiln_family kiln__family_affine = {
    .schema = {"affine", "a scale and a shift for each item and channel of a board, NHWC", fields, N_FIELDS, check},
    .variants = variants,
    .operands = operands,
    .flops = flops,
    .tolerance = tolerance,
    .is_exact = is_exact,
};
