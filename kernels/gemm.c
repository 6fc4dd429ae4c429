#include "embedded.h"
#include "epilogue_fields.h"
#include "matrix_mma.h"
#include "status.h"
#include "types.h"

/* ---- fields ---- */

enum { M, N, K, TYPE, COMPUTE, EP, N_FIELDS };

static const kiln_field fields[N_FIELDS] = {
    [M] = {"m", KILN_FIELD_INT, KILN_FIELD_REQUIRED, 0, 1, 1 << 24, .help = "rows of a and c"},
    [N] = {"n", KILN_FIELD_INT, KILN_FIELD_REQUIRED, 0, 1, 1 << 19, .help = "columns of b and c"},
    [K] = {"k", KILN_FIELD_INT, KILN_FIELD_REQUIRED, 0, 1, 1 << 20, .help = "columns of a, rows of b"},
    [TYPE] = {"type", KILN_FIELD_ENUM, 0, KILN_TYPE_F32, .tokens = kiln__type_tokens,
              .help = "of every operand but the weights for each column, which are f32"},
    [COMPUTE] = {"compute", KILN_FIELD_ENUM, 0, KILN_COMPUTE_F32, .tokens = kiln__compute_tokens,
                 .help = "what f32 products may be computed in"},
    [EP] = {"ep", KILN_FIELD_SET, 0, 0, .tokens = kiln__epilogue_tokens,
            .allowed =
                KILN_EP_SCALE | KILN_EP_BIAS | KILN_EP_RES | KILN_EP_SUM | KILN_EP_BN | KILN_EP_ACT_MASK | KILN_EP_MASK,
            .help = "epilogue, in this order; a channel is a column"},
};

/* Kernels count elements in int; the margin is for indices past the end in a last tile. */
enum { MAX_ELEMS = INT32_MAX - 65536, WIDEST_PANEL = 64 };

static kiln_status check(const kiln_problem *p) {
    if (p->v[COMPUTE] != KILN_COMPUTE_F32 && p->v[TYPE] != KILN_TYPE_F32)
        return kiln_fail(KILN_E_INVALID, "gemm: compute=tf32 is for type=f32; leave compute out");
    if (kiln__product(MAX_ELEMS, p->v[M], p->v[K], INT64_C(-1)) < 0)
        return kiln_fail(KILN_E_INVALID, "gemm: a has 2^31 elements or more; split the rows");
    if (kiln__product(MAX_ELEMS, p->v[K], p->v[N] + WIDEST_PANEL, INT64_C(-1)) < 0)
        return kiln_fail(KILN_E_INVALID, "gemm: b has 2^31 elements or more");
    if (kiln__product(MAX_ELEMS, p->v[M], p->v[N], INT64_C(-1)) < 0)
        return kiln_fail(KILN_E_INVALID, "gemm: c has 2^31 elements or more; split the rows");
    return KILN_OK;
}

/* ---- operands ---- */

static void operands(const kiln_problem *p, kiln_lowering *l) {
    const int64_t *v = p->v;
    const kiln_type type = (kiln_type)v[TYPE];
    kiln__lower_operand(l, "a", KILN_ROLE_INPUT, type, "m,k", v[M], v[K]);
    kiln__lower_operand(l, "b", KILN_ROLE_WEIGHT, type, "k,n", v[K], v[N]);
    kiln__epilogue_operands(l, type, v[EP], false, v[M], 1, 1, v[N]);
    kiln__lower_operand(l, "c", KILN_ROLE_OUTPUT, type, "m,n", v[M], v[N]);
}

static uint32_t operand(const kiln_lowering *l, const char *name) {
    return (uint32_t)kiln__lower_find(l, name);
}

static kiln_matrix matrix(const kiln_problem *p) {
    return (kiln_matrix){.rows = p->v[M], .channels = p->v[N], .depth = p->v[K]};
}

/* The number of rows is no constant of the program: one binary serves every batch size. */
static uint32_t unit(const kiln_problem *p, const kiln_embed *source, kiln_lowering *l) {
    const uint32_t u = kiln__lower_unit(l, source);
    kiln__lower_define(l, u, "KC_N", p->v[N]);
    kiln__lower_define(l, u, "KC_K", p->v[K]);
    kiln__type_define(l, u, p->v[TYPE]);
    kiln__epilogue_define(l, u, p->v[EP]);
    return u;
}

/* What follows the first two arguments in every variant: epilogue, output, number of rows. */
static void end_args(const kiln_problem *p, const kiln_lowering *l, kiln_step *s) {
    kiln__epilogue_args(l, s, p->v[EP]);
    kiln__step_operand(s, operand(l, "c"));
    kiln__step_i32(s, (int32_t)p->v[M]);
}

/* ---- vec ---- */

static void vec_guess(const kiln_problem *p, const kiln_caps *caps, kiln_config *out) {
    kiln__vec_guess(matrix(p), caps, out);
}

static kiln_status vec_lower(const kiln_problem *p, const kiln_config *config, const kiln_caps *caps,
                             kiln_lowering *l) {
    (void)caps;
    const uint32_t packed = kiln__vec_pack(l, matrix(p), config, operand(l, "b"));
    const uint32_t u = unit(p, &kiln__embed_gemm_vec_cpu_cl, l);
    kiln__vec_define(l, u, config);
    kiln_step *s = kiln__lower_kernel(l, false, u, "gemm_vec");
    kiln__vec_launch(s, matrix(p), config);
    kiln__step_operand(s, operand(l, "a"));
    kiln__step_operand(s, packed);
    end_args(p, l, s);
    return KILN_OK;
}

/* ---- mma ---- */

kiln_mma_work kiln__gemm_mma_work(const kiln_problem *p) {
    return (kiln_mma_work){.matrix = matrix(p), .type = p->v[TYPE], .compute = p->v[COMPUTE], .row_elems = p->v[K]};
}

static kiln_status mma_lower(const kiln_problem *p, const kiln_config *config, const kiln_caps *caps,
                             kiln_lowering *l) {
    (void)caps;
    const uint32_t u = unit(p, &kiln__embed_gemm_mma_cu, l);
    end_args(p, l, kiln__mma_lower(l, p, config, u, operand(l, "a"), operand(l, "b"), "gemm_mma", "gemm_mma_sum"));
    return KILN_OK;
}

/* ---- tile ---- */

static void tile_guess(const kiln_problem *p, const kiln_caps *caps, kiln_config *out) {
    kiln__tile_guess(matrix(p), caps, out);
}

static kiln_status tile_lower(const kiln_problem *p, const kiln_config *config, const kiln_caps *caps,
                              kiln_lowering *l) {
    (void)caps;
    const uint32_t u = unit(p, &kiln__embed_gemm_tile_cl, l);
    kiln__tile_define(l, u, config);
    kiln_step *s = kiln__lower_kernel(l, false, u, "gemm_tile");
    kiln__step_operand(s, operand(l, "a"));
    kiln__step_operand(s, operand(l, "b"));
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
    kiln_step *s = kiln__lower_kernel(l, false, unit(p, &kiln__embed_gemm_ref_cl, l), "gemm_ref");
    kiln__ref_launch(l, s, matrix(p), caps);
    kiln__step_operand(s, operand(l, "a"));
    kiln__step_operand(s, operand(l, "b"));
    end_args(p, l, s);
    return KILN_OK;
}

/* ---- family ---- */

static const kiln_variant variants[] = {
    {.name = "vec",
     .home = 1u << KILN_DEVICE_CPU,
     .source = &kiln__embed_gemm_vec_cpu_cl,
     .params = kiln__vec_params,
     .rules = kiln__vec_rules,
     .reject = kiln__vec_reject,
     .guess = vec_guess,
     .lower = vec_lower},
    {.name = "mma",
     .home = 1u << KILN_DEVICE_GPU,
     .source = &kiln__embed_gemm_mma_cu,
     .params = kiln__mma_params,
     .rules = kiln__mma_rules,
     .reject = kiln__mma_reject,
     .guess = kiln__mma_guess,
     .lower = mma_lower},
    {.name = "tile",
     .home = 1u << KILN_DEVICE_GPU | 1u << KILN_DEVICE_OTHER,
     .source = &kiln__embed_gemm_tile_cl,
     .params = kiln__tile_params,
     .rules = kiln__tile_rules,
     .reject = kiln__tile_reject,
     .guess = tile_guess,
     .lower = tile_lower},
    {.name = "ref", .source = &kiln__embed_gemm_ref_cl, .guess = ref_guess, .lower = ref_lower},
    {0}};

static double flops(const kiln_problem *p) {
    return 2.0 * (double)p->v[M] * (double)p->v[N] * (double)p->v[K];
}

static kiln_tolerance tolerance(const kiln_problem *p) {
    const kiln_tolerance sum = kiln__compute_tolerance(kiln__sum_tolerance(p->v[K]), p->v[COMPUTE], p->v[K]);
    return kiln__type_tolerance(sum, p->v[TYPE]);
}

static bool is_exact(const kiln_problem *p) {
    return kiln__epilogue_is_exact(p->v[EP]);
}

const kiln_family kiln__family_gemm = {
    .schema = {"gemm", "matrix product c = a x b, row-major", fields, N_FIELDS, check},
    .variants = variants,
    .operands = operands,
    .flops = flops,
    .tolerance = tolerance,
    .is_exact = is_exact,
};
