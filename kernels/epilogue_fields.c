#include "epilogue_fields.h"
#include <assert.h>
#include <math.h>
#include <stdio.h>

/* The order is that of the canonical text. */
const kiln_token kiln__epilogue_tokens[] = {
    {"scale", KILN_EP_SCALE, KILN_EP_SCALE, "times a scale for each channel"},
    {"bias", KILN_EP_BIAS, KILN_EP_BIAS, "plus a bias for each channel"},
    {"nbias", KILN_EP_NBIAS, KILN_EP_NBIAS, "plus a bias for each item of the batch and channel"},
    {"res", KILN_EP_RES, KILN_EP_RES, "plus a residual of the output's shape"},
    {"sum", KILN_EP_SUM, KILN_EP_SUM, "what is there so far is stored as a second output"},
    {"bn", KILN_EP_BN, KILN_EP_BN, "times a scale plus a bias for each channel"},
#define TOKEN(name, value) {#name, KILN_EP_ACT_MASK, (int64_t)(value) << KILN_EP_ACT_SHIFT, "activation"},
    KILN_ACTIVATION_MAP(TOKEN)
#undef TOKEN
        {"mask", KILN_EP_MASK, KILN_EP_MASK, "times a mask for each row"},
    {0}};

/* A weight for each channel: f32 whatever the type is (types.h). */
static void add_weight(kiln_lowering *l, bool there, const char *name, int64_t channels) {
    if (there)
        kiln__lower_operand(l, name, KILN_ROLE_WEIGHT, KILN_TYPE_F32, "c", channels);
}

static void add_rows(kiln_lowering *l, bool there, const char *name, kiln_role role, kiln_type type, bool board,
                     int64_t n, int64_t h, int64_t w, int64_t channels) {
    if (there && board)
        kiln__lower_operand(l, name, role, type, "n,h,w,c", n, h, w, channels);
    else if (there)
        kiln__lower_operand(l, name, role, type, "m,n", n, channels);
}

void kiln__epilogue_operands(kiln_lowering *l, int64_t type, int64_t ep, bool board, int64_t n, int64_t h, int64_t w,
                             int64_t channels) {
    const kiln_type stored = (kiln_type)type;
    add_weight(l, ep & KILN_EP_SCALE, "scale", channels);
    add_weight(l, ep & KILN_EP_BIAS, "bias", channels);
    if (ep & KILN_EP_NBIAS)
        kiln__lower_operand(l, "nbias", KILN_ROLE_INPUT, stored, "n,c", n, channels);
    add_rows(l, ep & KILN_EP_RES, "residual", KILN_ROLE_INPUT, stored, board, n, h, w, channels);
    add_rows(l, ep & KILN_EP_SUM, "sum", KILN_ROLE_OUTPUT, stored, board, n, h, w, channels);
    add_weight(l, ep & KILN_EP_BN, "bn_scale", channels);
    add_weight(l, ep & KILN_EP_BN, "bn_bias", channels);
    if ((ep & KILN_EP_MASK) && board)
        kiln__lower_operand(l, "mask", KILN_ROLE_INPUT, stored, "n,h,w", n, h, w);
    else if (ep & KILN_EP_MASK)
        kiln__lower_operand(l, "mask", KILN_ROLE_INPUT, stored, "m", n);
}

void kiln__epilogue_define(kiln_lowering *l, uint32_t unit, int64_t ep) {
    static const struct {
        int64_t bit;
        const char *name;
    } parts[] = {{KILN_EP_SCALE, "KC_EP_SCALE"}, {KILN_EP_BIAS, "KC_EP_BIAS"}, {KILN_EP_NBIAS, "KC_EP_NBIAS"},
                 {KILN_EP_RES, "KC_EP_RES"},     {KILN_EP_SUM, "KC_EP_SUM"},   {KILN_EP_BN, "KC_EP_BN"},
                 {KILN_EP_MASK, "KC_EP_MASK"}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (ep & parts[i].bit)
            kiln__lower_define(l, unit, parts[i].name, 1);
    if (ep & KILN_EP_ACT_MASK)
        kiln__lower_define(l, unit, "KC_EP_ACT", (ep & KILN_EP_ACT_MASK) >> KILN_EP_ACT_SHIFT);
}

void kiln__epilogue_args(const kiln_lowering *l, kiln_step *step, int64_t ep) {
    static const struct {
        int64_t bit;
        const char *name;
    } operands[] = {{KILN_EP_SCALE, "scale"},  {KILN_EP_BIAS, "bias"}, {KILN_EP_NBIAS, "nbias"},
                    {KILN_EP_RES, "residual"}, {KILN_EP_SUM, "sum"},   {KILN_EP_BN, "bn_scale"},
                    {KILN_EP_BN, "bn_bias"},   {KILN_EP_MASK, "mask"}};
    for (size_t i = 0; i < sizeof operands / sizeof *operands; i++)
        if (ep & operands[i].bit)
            kiln__step_operand(step, (uint32_t)kiln__lower_find(l, operands[i].name));
}

void kiln__epilogue_print(int64_t ep, char out[KILN_MAX_EP_TEXT]) {
    size_t length = 0;
    out[0] = 0;
    for (const kiln_token *t = kiln__epilogue_tokens; t->name; t++)
        if ((ep & t->mask) == t->value) {
            length += (size_t)snprintf(out + length, KILN_MAX_EP_TEXT - length, "%s%s", length ? "+" : ",ep=", t->name);
            assert(length < KILN_MAX_EP_TEXT);
        }
}

bool kiln__epilogue_is_exact(int64_t ep) {
    const int64_t activation = (ep & KILN_EP_ACT_MASK) >> KILN_EP_ACT_SHIFT;
    return activation == KILN_ACT_identity || activation == KILN_ACT_relu;
}

double kiln__activation(int64_t activation, double x) {
    switch (activation) {
    case KILN_ACT_relu:
        return x < 0 ? 0 : x;
    case KILN_ACT_mish: /* log1p(e^x) is x once e^-x vanishes */
        return x * tanh(x > 40 ? x : log1p(exp(x)));
    case KILN_ACT_silu:
        return x / (1 + exp(-x));
    case KILN_ACT_gelu:
        return x * 0.5 * erfc(-x * sqrt(0.5));
    case KILN_ACT_sigmoid:
        return 1 / (1 + exp(-x));
    case KILN_ACT_tanh:
        return tanh(x);
    default:
        return x;
    }
}
