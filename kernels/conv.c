#include "embedded.h"
#include "epilogue_fields.h"
#include "matrix_mma.h"
#include "status.h"
#include "types.h"
#include "winograd.h"
#include <inttypes.h>

/* ---- fields ---- */

enum { N, H, W, IC, OC, KH, KW, IHALO, OHALO, TYPE, COMPUTE, EP, N_FIELDS };

static const kiln_field fields[N_FIELDS] = {
    [N] = {"n", KILN_FIELD_INT, KILN_FIELD_REQUIRED, 0, 1, 32768, .help = "items of the batch"},
    [H] = {"h", KILN_FIELD_INT, KILN_FIELD_REQUIRED, 0, 1, 4096, .help = "rows of the board"},
    [W] = {"w", KILN_FIELD_INT, KILN_FIELD_REQUIRED, 0, 1, 4096, .help = "columns of the board"},
    [IC] = {"ic", KILN_FIELD_INT, KILN_FIELD_REQUIRED, 0, 1, 65536, .help = "input channels"},
    [OC] = {"oc", KILN_FIELD_INT, KILN_FIELD_REQUIRED, 0, 1, 65536, .help = "output channels"},
    [KH] = {"kh", KILN_FIELD_INT, KILN_FIELD_REQUIRED, 0, 1, 7, .help = "rows of the kernel, odd"},
    [KW] = {"kw", KILN_FIELD_INT, KILN_FIELD_REQUIRED, 0, 1, 7, .help = "columns of the kernel, odd"},
    [IHALO] = {"ihalo", KILN_FIELD_INT, 0, 0, 0, 8, .help = "zero rows and columns around the input's board"},
    [OHALO] = {"ohalo", KILN_FIELD_INT, 0, 0, 0, 8,
               .help = "rows and columns around the output's board: not written, the caller keeps them zero"},
    [TYPE] = {"type", KILN_FIELD_ENUM, 0, KILN_TYPE_F32, .tokens = kiln__type_tokens,
              .help = "of every operand but the weights for each channel, which are f32"},
    [COMPUTE] = {"compute", KILN_FIELD_ENUM, 0, KILN_COMPUTE_F32, .tokens = kiln__compute_tokens,
                 .help = "what f32 products may be computed in"},
    [EP] = {"ep", KILN_FIELD_SET, 0, 0, .tokens = kiln__epilogue_tokens, .help = "epilogue, in this order"},
};

/* Kernels count elements in int; the margin is for indices past the end in a last tile. */
enum { MAX_ELEMS = INT32_MAX - 65536, WIDEST_PANEL = 64 };

/* The halo of the input that vec reads: the problem's, or what the kernel reaches over the edge. */
static int64_t needed_halo(const kiln_problem *p) {
    const int64_t kernel = (p->v[KH] > p->v[KW] ? p->v[KH] : p->v[KW]) / 2;
    return p->v[IHALO] > kernel ? p->v[IHALO] : kernel;
}

static int64_t halo_elems(const kiln_problem *p, int64_t halo, int64_t channels) {
    return kiln__product(MAX_ELEMS, p->v[N], p->v[H] + 2 * halo, p->v[W] + 2 * halo, channels, INT64_C(-1));
}

static kiln_status check(const kiln_problem *p) {
    if (p->v[COMPUTE] != KILN_COMPUTE_F32 && p->v[TYPE] != KILN_TYPE_F32)
        return kiln_fail(KILN_E_INVALID, "conv: compute=tf32 is for type=f32; leave compute out");
    if (p->v[KH] % 2 == 0 || p->v[KW] % 2 == 0)
        return kiln_fail(KILN_E_INVALID,
                         "conv: a kernel of %" PRId64 "x%" PRId64
                         " has no middle; kh and kw must be odd (1, 3, 5 or 7)",
                         p->v[KH], p->v[KW]);
    if (halo_elems(p, needed_halo(p), p->v[IC]) < 0)
        return kiln_fail(KILN_E_INVALID, "conv: the input with its halo has 2^31 elements or more; split the batch");
    if (halo_elems(p, p->v[OHALO], p->v[OC]) < 0)
        return kiln_fail(KILN_E_INVALID, "conv: the output with its halo has 2^31 elements or more; split the batch");
    if (kiln__product(MAX_ELEMS, p->v[KH], p->v[KW], p->v[IC], p->v[OC] + WIDEST_PANEL, INT64_C(-1)) < 0)
        return kiln_fail(KILN_E_INVALID, "conv: the weights have 2^31 elements or more");
    return KILN_OK;
}

/* ---- operands ---- */

static void operands(const kiln_problem *p, kiln_lowering *l) {
    const int64_t *v = p->v;
    const kiln_type type = (kiln_type)v[TYPE];
    const uint32_t input = kiln__lower_operand(l, "input", KILN_ROLE_INPUT, type, "n,h,w,c", v[N], v[H] + 2 * v[IHALO],
                                               v[W] + 2 * v[IHALO], v[IC]);
    l->operands[input].halo = v[IHALO];
    kiln__lower_operand(l, "weights", KILN_ROLE_WEIGHT, type, "kh,kw,ic,oc", v[KH], v[KW], v[IC], v[OC]);
    kiln__epilogue_operands(l, type, v[EP], true, v[N], v[H], v[W], v[OC]);
    const uint32_t output = kiln__lower_operand(l, "output", KILN_ROLE_OUTPUT, type, "n,h,w,c", v[N],
                                                v[H] + 2 * v[OHALO], v[W] + 2 * v[OHALO], v[OC]);
    l->operands[output].halo = v[OHALO];
}

static uint32_t operand(const kiln_lowering *l, const char *name) {
    return (uint32_t)kiln__lower_find(l, name);
}

static kiln_matrix matrix(const kiln_problem *p) {
    const int64_t *v = p->v;
    return (kiln_matrix){.rows = v[N] * v[H] * v[W], .channels = v[OC], .depth = v[KH] * v[KW] * v[IC]};
}

/* The batch is no constant of the program: one binary serves every batch size. */
uint32_t kiln__conv_unit(const kiln_problem *p, const kiln_embed *source, kiln_lowering *l) {
    static const struct {
        int field;
        const char *name;
    } constants[] = {{H, "KC_H"},   {W, "KC_W"},   {IC, "KC_IC"},       {OC, "KC_OC"},
                     {KH, "KC_KH"}, {KW, "KC_KW"}, {IHALO, "KC_IHALO"}, {OHALO, "KC_OHALO"}};
    const uint32_t u = kiln__lower_unit(l, source);
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        kiln__lower_define(l, u, constants[i].name, p->v[constants[i].field]);
    kiln__type_define(l, u, p->v[TYPE]);
    kiln__epilogue_define(l, u, p->v[EP]);
    return u;
}

void kiln__conv_end_args(const kiln_problem *p, const kiln_lowering *l, kiln_step *s, int64_t count) {
    kiln__epilogue_args(l, s, p->v[EP]);
    kiln__step_operand(s, operand(l, "output"));
    kiln__step_i32(s, (int32_t)count);
}

/* What follows the first two arguments: epilogue, output, number of points. */
static void end_args(const kiln_problem *p, const kiln_lowering *l, kiln_step *s) {
    kiln__conv_end_args(p, l, s, matrix(p).rows);
}

kiln_conv_shape kiln__conv_shape(const kiln_problem *p) {
    const int64_t *v = p->v;
    return (kiln_conv_shape){.n = v[N], .h = v[H], .w = v[W], .ic = v[IC], .oc = v[OC], .kh = v[KH], .kw = v[KW]};
}

/* ---- vec ---- */

static void vec_guess(const kiln_problem *p, const kiln_caps *caps, kiln_config *out) {
    kiln__vec_guess(matrix(p), caps, out);
}

static kiln_status vec_lower(const kiln_problem *p, const kiln_config *config, const kiln_caps *caps,
                             kiln_lowering *l) {
    (void)caps;
    const kiln_matrix m = matrix(p);
    const int64_t halo = needed_halo(p);
    const bool pads = halo > p->v[IHALO];
    const uint32_t packed = kiln__vec_pack(l, m, config, operand(l, "weights"));
    const uint32_t u = kiln__conv_unit(p, &kiln__embed_conv_vec_cpu_cl, l);
    kiln__vec_define(l, u, config);
    kiln__lower_define(l, u, "KC_PAD", halo);
    if (pads) {
        l->workspace_bytes = (size_t)halo_elems(p, halo, p->v[IC]) * sizeof(float);
        kiln_step *pad = kiln__lower_kernel(l, false, u, "conv_pad");
        kiln__step_grid(pad, (uint32_t)(p->v[N] * (p->v[H] + 2 * halo)), 1, 1);
        kiln__step_operand(pad, operand(l, "input"));
        kiln__step_workspace(pad, 0);
    }
    kiln_step *s = kiln__lower_kernel(l, false, u, "conv_vec");
    kiln__vec_launch(s, m, config);
    if (pads)
        kiln__step_workspace(s, 0);
    else
        kiln__step_operand(s, operand(l, "input"));
    kiln__step_operand(s, packed);
    end_args(p, l, s);
    return KILN_OK;
}

/* ---- mma ---- */

kiln_mma_work kiln__conv_mma_work(const kiln_problem *p) {
    return (kiln_mma_work){
        .matrix = matrix(p), .type = p->v[TYPE], .compute = p->v[COMPUTE], .row_elems = p->v[IC], .gathers = true};
}

static kiln_status mma_lower(const kiln_problem *p, const kiln_config *config, const kiln_caps *caps,
                             kiln_lowering *l) {
    (void)caps;
    const uint32_t u = kiln__conv_unit(p, &kiln__embed_conv_mma_cu, l);
    end_args(p, l,
             kiln__mma_lower(l, p, config, u, operand(l, "input"), operand(l, "weights"), "conv_mma", "conv_mma_sum"));
    return KILN_OK;
}

/* ---- tile ---- */

static void tile_guess(const kiln_problem *p, const kiln_caps *caps, kiln_config *out) {
    kiln__tile_guess(matrix(p), caps, out);
}

static kiln_status tile_lower(const kiln_problem *p, const kiln_config *config, const kiln_caps *caps,
                              kiln_lowering *l) {
    (void)caps;
    const uint32_t u = kiln__conv_unit(p, &kiln__embed_conv_tile_cl, l);
    kiln__tile_define(l, u, config);
    kiln_step *s = kiln__lower_kernel(l, false, u, "conv_tile");
    kiln__step_operand(s, operand(l, "input"));
    kiln__step_operand(s, operand(l, "weights"));
    end_args(p, l, s);
    kiln__tile_launch(s, matrix(p), config);
    return KILN_OK;
}

/* ---- ref ---- */

static void ref_guess(const kiln_problem *p, const kiln_caps *caps, kiln_config *out) {
    (void)p, (void)caps;
    *out = (kiln_config){0};
}

static kiln_status ref_lower(const kiln_problem *p, const kiln_config *config, const kiln_caps *caps,
                             kiln_lowering *l) {
    (void)config;
    kiln_step *s = kiln__lower_kernel(l, false, kiln__conv_unit(p, &kiln__embed_conv_ref_cl, l), "conv_ref");
    kiln__ref_launch(l, s, matrix(p), caps);
    kiln__step_operand(s, operand(l, "input"));
    kiln__step_operand(s, operand(l, "weights"));
    end_args(p, l, s);
    return KILN_OK;
}

/* ---- family ---- */

static const kiln_variant variants[] = {
    {.name = "winograd",
     .home = 1u << KILN_DEVICE_CPU,
     .source = &kiln__embed_conv_winograd_cpu_cl,
     .params = kiln__winograd_params,
     .rules = kiln__winograd_rules,
     .reject = kiln__winograd_reject,
     .guess = kiln__winograd_guess,
     .lower = kiln__winograd_lower,
     .error_factor = KILN_WINOGRAD_ERROR_FACTOR},
    {.name = "vec",
     .home = 1u << KILN_DEVICE_CPU,
     .source = &kiln__embed_conv_vec_cpu_cl,
     .params = kiln__vec_params,
     .rules = kiln__vec_rules,
     .reject = kiln__vec_reject,
     .guess = vec_guess,
     .lower = vec_lower},
    {.name = "mma",
     .home = 1u << KILN_DEVICE_GPU,
     .source = &kiln__embed_conv_mma_cu,
     .params = kiln__mma_params,
     .rules = kiln__mma_rules,
     .reject = kiln__mma_reject,
     .guess = kiln__mma_guess,
     .lower = mma_lower},
    {.name = "winograd_nonfused",
     .home = 1u << KILN_DEVICE_GPU | 1u << KILN_DEVICE_OTHER,
     .source = &kiln__embed_conv_winograd_cl,
     .params = kiln__winograd_nonfused_params,
     .rules = kiln__winograd_nonfused_rules,
     .reject = kiln__winograd_nonfused_reject,
     .guess = kiln__winograd_nonfused_guess,
     .lower = kiln__winograd_nonfused_lower,
     .error_factor = KILN_WINOGRAD_ERROR_FACTOR},
    {.name = "tile",
     .home = 1u << KILN_DEVICE_GPU | 1u << KILN_DEVICE_OTHER,
     .source = &kiln__embed_conv_tile_cl,
     .params = kiln__tile_params,
     .rules = kiln__tile_rules,
     .reject = kiln__tile_reject,
     .guess = tile_guess,
     .lower = tile_lower},
    {.name = "ref", .source = &kiln__embed_conv_ref_cl, .guess = ref_guess, .lower = ref_lower},
    {0}};

static double flops(const kiln_problem *p) {
    const kiln_matrix m = matrix(p);
    return 2.0 * (double)m.rows * (double)m.channels * (double)m.depth;
}

static kiln_tolerance tolerance(const kiln_problem *p) {
    const int64_t depth = matrix(p).depth;
    const kiln_tolerance sum = kiln__compute_tolerance(kiln__sum_tolerance(depth), p->v[COMPUTE], depth);
    return kiln__type_tolerance(sum, p->v[TYPE]);
}

static bool is_exact(const kiln_problem *p) {
    return kiln__epilogue_is_exact(p->v[EP]);
}

const kiln_family kiln__family_conv = {
    .schema = {"conv", "convolution over boards, stride 1, zero padding that keeps the size, NHWC", fields, N_FIELDS,
               check},
    .variants = variants,
    .operands = operands,
    .flops = flops,
    .tolerance = tolerance,
    .is_exact = is_exact,
};
