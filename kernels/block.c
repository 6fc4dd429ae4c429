#include "epilogue_fields.h"
#include "matrix.h"
#include "status.h"
#include "types.h"
#include "winograd.h"
#include <float.h>
#include <inttypes.h>
#include <math.h>

/* ---- fields ---- */

enum { N, H, W, C, SE, R, ACT, MASK, TYPE, N_FIELDS };

/* How many gates a channel has. */
enum { NONE, SCALE, SCALE_SHIFT };

static const kiln_token se_forms[] = {{"none", -1, NONE, "no squeeze and excite"},
                                      {"scale", -1, SCALE, "a scale for each channel"},
                                      {"scale_shift", -1, SCALE_SHIFT, "a scale and a shift for each channel"},
                                      {0}};

static const kiln_token activations[] = {{"none", -1, KILN_ACT_identity, "none"},
#define TOKEN(name, value) {#name, -1, value, "activation"},
                                         KILN_ACTIVATION_MAP(TOKEN)
#undef TOKEN
                                             {0}};

static const kiln_field fields[N_FIELDS] = {
    [N] = {"n", KILN_FIELD_INT, KILN_FIELD_REQUIRED, 0, 1, 32768, .help = "items of the batch"},
    [H] = {"h", KILN_FIELD_INT, KILN_FIELD_REQUIRED, 0, 1, 4096, .help = "rows of the board"},
    [W] = {"w", KILN_FIELD_INT, KILN_FIELD_REQUIRED, 0, 1, 4096, .help = "columns of the board"},
    [C] = {"c", KILN_FIELD_INT, KILN_FIELD_REQUIRED, 0, 1, 65536, .help = "channels"},
    [SE] = {"se", KILN_FIELD_ENUM, 0, NONE, .tokens = se_forms, .help = "between the second convolution and the sum"},
    [R] = {"r", KILN_FIELD_INT, 0, 0, 0, 65536, .help = "channels between the two layers of se"},
    [ACT] = {"act", KILN_FIELD_ENUM, 0, KILN_ACT_relu, .tokens = activations, .help = "both activations"},
    [MASK] = {"mask", KILN_FIELD_INT, 0, 0, 0, 1,
              .help = "1: points whose mask is 0 become 0 and count in no mean; the input's must be 0"},
    [TYPE] = {"type", KILN_FIELD_ENUM, 0, KILN_TYPE_F32, .tokens = kiln__type_tokens,
              .help = "of every operand but the biases, which are f32"},
};

enum { MAX_ELEMS = INT32_MAX - 65536, WIDEST_PANEL = 64, TAPS = 9 };

static int64_t gates_of(const kiln_problem *p) {
    return p->v[SE] * p->v[C];
}

static kiln_status check(const kiln_problem *p) {
    const int64_t *v = p->v;
    if ((v[SE] == NONE) != (v[R] == 0))
        return kiln_fail(KILN_E_INVALID, v[R] ? "block: r without se; leave r out or say which se"
                                              : "block: se needs r, the channels between its layers");
    if (kiln__product(MAX_ELEMS, v[N], v[H] + 2, v[W] + 2, v[C], INT64_C(-1)) < 0)
        return kiln_fail(KILN_E_INVALID, "block: the input with a halo has 2^31 elements or more; split the batch");
    if (kiln__product(MAX_ELEMS, (int64_t)TAPS, v[C], v[C] + WIDEST_PANEL, INT64_C(-1)) < 0 ||
        kiln__product(MAX_ELEMS, v[R], gates_of(p) + WIDEST_PANEL, INT64_C(-1)) < 0 ||
        kiln__product(MAX_ELEMS, v[C], v[R] + WIDEST_PANEL, INT64_C(-1)) < 0)
        return kiln_fail(KILN_E_INVALID, "block: the weights have 2^31 elements or more");
    if (kiln__product(MAX_ELEMS, v[N], gates_of(p), INT64_C(-1)) < 0 ||
        kiln__product(MAX_ELEMS, v[N], v[R], INT64_C(-1)) < 0)
        return kiln_fail(KILN_E_INVALID, "block: the gates have 2^31 elements or more; split the batch");
    return KILN_OK;
}

/* ---- operands: those of se_block under the same names ---- */

static void operands(const kiln_problem *p, kiln_lowering *l) {
    static const char *const weights[] = {"weights1", "weights2"}, *const biases[] = {"bias1", "bias2"};
    const int64_t *v = p->v;
    const kiln_type type = (kiln_type)v[TYPE];
    kiln__lower_operand(l, "input", KILN_ROLE_INPUT, type, "n,h,w,c", v[N], v[H], v[W], v[C]);
    for (int i = 0; i < 2; i++) {
        kiln__lower_operand(l, weights[i], KILN_ROLE_WEIGHT, type, "kh,kw,ic,oc", INT64_C(3), INT64_C(3), v[C], v[C]);
        kiln__lower_operand(l, biases[i], KILN_ROLE_WEIGHT, KILN_TYPE_F32, "c", v[C]);
    }
    if (v[SE] != NONE) {
        kiln__lower_operand(l, "w1", KILN_ROLE_WEIGHT, type, "c,r", v[C], v[R]);
        kiln__lower_operand(l, "b1", KILN_ROLE_WEIGHT, KILN_TYPE_F32, "r", v[R]);
        kiln__lower_operand(l, "w2", KILN_ROLE_WEIGHT, type, "r,gate", v[R], gates_of(p));
        kiln__lower_operand(l, "b2", KILN_ROLE_WEIGHT, KILN_TYPE_F32, "gate", gates_of(p));
    }
    if (v[MASK])
        kiln__lower_operand(l, "mask", KILN_ROLE_INPUT, type, "n,h,w", v[N], v[H], v[W]);
    kiln__lower_operand(l, "output", KILN_ROLE_OUTPUT, type, "n,h,w,c", v[N], v[H], v[W], v[C]);
}

static uint32_t operand(const kiln_lowering *l, const char *name) {
    return (uint32_t)kiln__lower_find(l, name);
}

/* ---- chain, ref ---- */

static kiln_part *lower_conv(const kiln_problem *p, const char *variant, int64_t ep, const char *weights,
                             const char *bias, kiln_lowering *l) {
    const int64_t *v = p->v;
    char ep_text[KILN_MAX_EP_TEXT];
    kiln__epilogue_print(ep, ep_text);
    kiln_part *part = kiln__lower_part(
        l, variant, "conv:n=%" PRId64 ",h=%" PRId64 ",w=%" PRId64 ",ic=%" PRId64 ",oc=%" PRId64 ",kh=3,kw=3,type=%s%s",
        v[N], v[H], v[W], v[C], v[C], kiln_type_name((kiln_type)v[TYPE]), ep_text);
    kiln__part_operand(part, "weights", operand(l, weights));
    kiln__part_operand(part, "bias", operand(l, bias));
    if (ep & KILN_EP_MASK)
        kiln__part_operand(part, "mask", operand(l, "mask"));
    return part;
}

static void lower_se(const kiln_problem *p, const char *variant, int64_t ep, size_t input, kiln_lowering *l) {
    const int64_t *v = p->v;
    char ep_text[KILN_MAX_EP_TEXT];
    kiln__epilogue_print(ep, ep_text);
    kiln_part *part = kiln__lower_part(l, variant,
                                       "se_block:n=%" PRId64 ",h=%" PRId64 ",w=%" PRId64 ",c=%" PRId64 ",r=%" PRId64
                                       ",form=%s,mask=%" PRId64 ",type=%s%s",
                                       v[N], v[H], v[W], v[C], v[R], se_forms[v[SE]].name, v[MASK],
                                       kiln_type_name((kiln_type)v[TYPE]), ep_text);
    kiln__part_workspace(part, "input", input);
    kiln__part_operand(part, "residual", operand(l, "input"));
    if (v[MASK])
        kiln__part_operand(part, "mask", operand(l, "mask"));
}

static kiln_status lower_parts(const kiln_problem *p, const char *variant, kiln_lowering *l) {
    const int64_t *v = p->v, act = v[ACT] << KILN_EP_ACT_SHIFT | (v[MASK] ? KILN_EP_MASK : 0);
    const size_t board_bytes = (size_t)(v[N] * v[H] * v[W] * v[C]) * kiln_type_bytes((kiln_type)v[TYPE]);
    const size_t middle = kiln__lower_scratch(l, board_bytes);
    kiln_part *part = lower_conv(p, variant, KILN_EP_BIAS | act, "weights1", "bias1", l);
    kiln__part_workspace(part, "output", middle);

    const bool ends = v[SE] == NONE;
    part = lower_conv(p, variant, ends ? KILN_EP_BIAS | KILN_EP_RES | act : KILN_EP_BIAS, "weights2", "bias2", l);
    kiln__part_workspace(part, "input", middle);
    if (ends) {
        kiln__part_operand(part, "residual", operand(l, "input"));
        return KILN_OK;
    }
    const size_t squeezed = kiln__lower_scratch(l, board_bytes);
    kiln__part_workspace(part, "output", squeezed);
    lower_se(p, variant, KILN_EP_RES | act, squeezed, l);
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

static const kiln_variant variants[] = {
    {.name = "chain", .lower = chain_lower, .error_factor = KILN_WINOGRAD_ERROR_FACTOR}, /* its parts may be */
    {.name = "ref", .lower = ref_lower},
    {0}};

static double flops(const kiln_problem *p) {
    const int64_t *v = p->v;
    const double board = (double)(v[N] * v[H] * v[W]) * (double)v[C];
    const double se = v[SE] ? 2.0 * board + 2.0 * (double)(v[N] * v[R]) * (double)(v[C] + gates_of(p)) : 0;
    return 2 * 2.0 * board * TAPS * (double)v[C] + se;
}

/* Weights are of the size 1 / sqrt(depth) (has_layers), so a sum is off by its tolerance over that. Both convolutions
 * are, and hand it on at its size; the gates are off as much as what they are made of, and by the mean's roundings.
 * What is stored in between reaches about 2. */
static kiln_tolerance tolerance(const kiln_problem *p) {
    const int64_t depth = TAPS * p->v[C];
    const kiln_tolerance sum = kiln__sum_tolerance(depth);
    const double convs = 2 * sum.abs / sqrt((double)depth);
    const double gates = p->v[SE] ? 2 * convs + FLT_EPSILON * (double)(p->v[H] + p->v[W]) : 0;
    const double stored = (p->v[SE] ? 8 : 2) * kiln__type_rounding(p->v[TYPE]);
    return kiln__type_tolerance((kiln_tolerance){.abs = convs + gates + stored, .rel = sum.rel}, p->v[TYPE]);
}

const kiln_family kiln__family_block = {
    .schema = {"block", "residual block: conv, activation, conv, maybe se, plus the input, activation; 3x3, NHWC",
               fields, N_FIELDS, check},
    .variants = variants,
    .operands = operands,
    .flops = flops,
    .tolerance = tolerance,
    .has_layers = true,
};
