/* The epilogue of a problem: one fixed pipeline, each part optional, shared by every family that has one.
 *
 *     x = acc
 *     scale   x = x * scale[channel]
 *     bias    x = x + bias[channel]
 *     nbias   x = x + nbias[item][channel]          (a bias for each item of the batch)
 *     res     x = x + residual
 *     sum     sum = x                               (a second output)
 *     bn      x = x * bn_scale[channel] + bn_bias[channel]   (a folded batch norm)
 *     relu …  x = activation(x)
 *     mask    x = x * mask[row]
 *     output = x
 *
 * The device side is kernels/epilogue.h. */
#ifndef KILN_KERNELS_EPILOGUE_FIELDS_H
#define KILN_KERNELS_EPILOGUE_FIELDS_H

#include "family.h"

enum {
    KILN_EP_SCALE = 1 << 0,
    KILN_EP_BIAS = 1 << 1,
    KILN_EP_NBIAS = 1 << 2,
    KILN_EP_RES = 1 << 3,
    KILN_EP_SUM = 1 << 4,
    KILN_EP_BN = 1 << 5,
    KILN_EP_ACT_SHIFT = 8,
    KILN_EP_ACT_MASK = 15 << KILN_EP_ACT_SHIFT,
    KILN_EP_MASK = 1 << 16
};

/* X(name, value): the value is an ABI of device code (KC_EP_ACT). */
#define KILN_ACTIVATION_MAP(X)                                                                                         \
    X(relu, 1)                                                                                                         \
    X(mish, 2)                                                                                                         \
    X(silu, 3)                                                                                                         \
    X(gelu, 4)                                                                                                         \
    X(sigmoid, 5)                                                                                                      \
    X(tanh, 6)
enum {
#define KILN_ACTIVATION_ENUM(name, value) KILN_ACT_##name = value,
    KILN_ACTIVATION_MAP(KILN_ACTIVATION_ENUM)
#undef KILN_ACTIVATION_ENUM
        KILN_ACT_identity = 0
};

extern const kiln_token kiln__epilogue_tokens[];

/* Adds the epilogue's operands: scale, bias, nbias, residual, sum, bn_scale, bn_bias, mask, in this order, those that
 * `ep` has. Those for each channel alone are f32, the others of `type`. `board`: residual, sum and mask have the axes
 * "n,h,w", else "m". */
void kiln__epilogue_operands(kiln_lowering *l, int64_t type, int64_t ep, bool board, int64_t n, int64_t h, int64_t w,
                             int64_t channels);

/* Defines KC_EP_* for a unit and appends the epilogue's arguments to a step, in the order of the device side. */
void kiln__epilogue_define(kiln_lowering *l, uint32_t unit, int64_t ep);
void kiln__epilogue_args(const kiln_lowering *l, kiln_step *step, int64_t ep);

/* ",ep=res+relu", or "" for none: for a part's problem. */
enum { KILN_MAX_EP_TEXT = 96 };
void kiln__epilogue_print(int64_t ep, char out[KILN_MAX_EP_TEXT]);

/* Whether the parts up to the activation and the activation itself keep small whole numbers whole. */
bool kiln__epilogue_is_exact(int64_t ep);

/* The activation on a double: what the oracles use. */
double kiln__activation(int64_t activation, double x);

#endif
