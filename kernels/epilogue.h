/* The device side of the pipeline in epilogue_fields.h, for scalars (float) and, in OpenCL, vectors of channels.
 *
 * KILN_EPILOGUE_PARAMS stands in a kernel's parameter list between its inputs and its output and brings the pointers
 * of those parts the problem has. KILN_EPILOGUE transforms x, a variable of type T that holds the accumulators of the
 * channels from `channel` on:
 *
 *     KILN_EPILOGUE(T, LOAD, STORE, x, item, row, channel, channels)
 *
 * item: of the batch; row: of all board points or matrix rows; channels: of a row. LOAD(pointer to floats) gives a T
 * and STORE(value, pointer) puts one, so that a kernel with a vector that reaches past the last channel can pass its
 * own. Where KC_TYPE is not f32, T is float: what is stored in that type is taken element by element; floats.h has
 * vectors for CUDA whatever the type. Neither residual nor sum is restrict: both may be the output itself, since one
 * work-item reads an element before it writes it. */
#ifndef KILN_EPILOGUE_H
#define KILN_EPILOGUE_H

#include "dialect.h"

#ifndef KC_EP_SCALE
#    define KC_EP_SCALE 0
#endif
#ifndef KC_EP_BIAS
#    define KC_EP_BIAS 0
#endif
#ifndef KC_EP_NBIAS
#    define KC_EP_NBIAS 0
#endif
#ifndef KC_EP_RES
#    define KC_EP_RES 0
#endif
#ifndef KC_EP_SUM
#    define KC_EP_SUM 0
#endif
#ifndef KC_EP_BN
#    define KC_EP_BN 0
#endif
#ifndef KC_EP_ACT
#    define KC_EP_ACT 0
#endif
#ifndef KC_EP_MASK
#    define KC_EP_MASK 0
#endif

#if KC_TYPE == 0
#    define KILN_EP_LOAD(LOAD, from)        LOAD(from)
#    define KILN_EP_STORE(STORE, value, to) STORE(value, to)
#else
#    define KILN_EP_LOAD(LOAD, from)        KILN_LOAD_STORED(from)
#    define KILN_EP_STORE(STORE, value, to) KILN_STORE_STORED(value, to)
#endif

/* ---- one part after the other: its parameter and its step ---- */

#if KC_EP_SCALE
#    define KILN_EP_SCALE_PARAM                     KILN_GLOBAL const float *KILN_RESTRICT ep_scale,
#    define KILN_EP_SCALE_STEP(T, LOAD, x, channel) x = x * LOAD(ep_scale + (channel));
#else
#    define KILN_EP_SCALE_PARAM
#    define KILN_EP_SCALE_STEP(T, LOAD, x, channel)
#endif

#if KC_EP_BIAS
#    define KILN_EP_BIAS_PARAM                     KILN_GLOBAL const float *KILN_RESTRICT ep_bias,
#    define KILN_EP_BIAS_STEP(T, LOAD, x, channel) x = x + LOAD(ep_bias + (channel));
#else
#    define KILN_EP_BIAS_PARAM
#    define KILN_EP_BIAS_STEP(T, LOAD, x, channel)
#endif

#if KC_EP_NBIAS
#    define KILN_EP_NBIAS_PARAM KILN_GLOBAL const KILN_STORED *KILN_RESTRICT ep_nbias,
#    define KILN_EP_NBIAS_STEP(T, LOAD, x, item, channel, channels)                                                    \
        x = x + KILN_EP_LOAD(LOAD, ep_nbias + (size_t)(item) * (channels) + (channel));
#else
#    define KILN_EP_NBIAS_PARAM
#    define KILN_EP_NBIAS_STEP(T, LOAD, x, item, channel, channels)
#endif

#if KC_EP_RES
#    define KILN_EP_RES_PARAM KILN_GLOBAL const KILN_STORED *ep_residual,
#    define KILN_EP_RES_STEP(T, LOAD, x, row, channel, channels)                                                       \
        x = x + KILN_EP_LOAD(LOAD, ep_residual + (size_t)(row) * (channels) + (channel));
#else
#    define KILN_EP_RES_PARAM
#    define KILN_EP_RES_STEP(T, LOAD, x, row, channel, channels)
#endif

#if KC_EP_SUM
#    define KILN_EP_SUM_PARAM KILN_GLOBAL KILN_STORED *ep_sum,
#    define KILN_EP_SUM_STEP(T, STORE, x, row, channel, channels)                                                      \
        KILN_EP_STORE(STORE, x, ep_sum + (size_t)(row) * (channels) + (channel));
#else
#    define KILN_EP_SUM_PARAM
#    define KILN_EP_SUM_STEP(T, STORE, x, row, channel, channels)
#endif

#if KC_EP_BN
#    define KILN_EP_BN_PARAM                                                                                           \
        KILN_GLOBAL const float *KILN_RESTRICT ep_bn_scale, KILN_GLOBAL const float *KILN_RESTRICT ep_bn_bias,
#    define KILN_EP_BN_STEP(T, LOAD, x, channel)                                                                       \
        x = KILN_FMA(x, LOAD(ep_bn_scale + (channel)), LOAD(ep_bn_bias + (channel)));
#else
#    define KILN_EP_BN_PARAM
#    define KILN_EP_BN_STEP(T, LOAD, x, channel)
#endif

#if KC_EP_MASK
#    define KILN_EP_MASK_PARAM           KILN_GLOBAL const KILN_STORED *KILN_RESTRICT ep_mask,
#    define KILN_EP_MASK_STEP(T, x, row) x = x * KILN_LOAD_STORED(ep_mask + (row));
#else
#    define KILN_EP_MASK_PARAM
#    define KILN_EP_MASK_STEP(T, x, row)
#endif

/* e^-x is limited to where it is finite; 1 / (1 + e^80) is below the smallest difference that shows. */
#define KILN_SIGMOID(T, x) (1.0f / (1.0f + KILN_EXP(KILN_MIN(-(x), (T)(80.0f)))))

/* ---- activations: values of KILN_ACTIVATION_MAP. None makes a NaN of a finite x, none hides one ---- */

#if KC_EP_ACT == 0
#    define KILN_EP_ACT_STEP(T, x)
#elif KC_EP_ACT == 1 /* relu */
#    define KILN_EP_ACT_STEP(T, x) x = KILN_RELU(T, x);
#elif KC_EP_ACT == 2
/* mish: x tanh(log(1 + e^x)) = x n / (n + 2) with n = e^x (e^x + 2): no cancellation for x < 0, and from 20 on
 * n / (n + 2) is 1 in float, so that e^x need not grow until it overflows. */
#    define KILN_EP_ACT_STEP(T, x)                                                                                     \
        {                                                                                                              \
            const T ep_e = KILN_EXP(KILN_MIN(x, (T)(20.0f)));                                                          \
            const T ep_n = ep_e * (ep_e + 2.0f);                                                                       \
            x = x * (ep_n / (ep_n + 2.0f));                                                                            \
        }
#elif KC_EP_ACT == 3 /* silu; limited like KILN_SIGMOID */
#    define KILN_EP_ACT_STEP(T, x) x = x / (1.0f + KILN_EXP(KILN_MIN(-(x), (T)(80.0f))));
#elif KC_EP_ACT == 4 /* gelu: erfc keeps its accuracy for x < 0, where 1 + erf would cancel */
#    define KILN_EP_ACT_STEP(T, x) x = 0.5f * x * KILN_ERFC(-0.70710678118654752f * x);
#elif KC_EP_ACT == 5
#    define KILN_EP_ACT_STEP(T, x) x = KILN_SIGMOID(T, x);
#elif KC_EP_ACT == 6
#    define KILN_EP_ACT_STEP(T, x) x = KILN_TANH(x);
#else
#    error "KC_EP_ACT is not an activation"
#endif

/* ---- the pipeline: the order is that of kiln__epilogue_args ---- */

#define KILN_EPILOGUE_PARAMS                                                                                           \
    KILN_EP_SCALE_PARAM KILN_EP_BIAS_PARAM KILN_EP_NBIAS_PARAM KILN_EP_RES_PARAM KILN_EP_SUM_PARAM KILN_EP_BN_PARAM    \
        KILN_EP_MASK_PARAM

#define KILN_EPILOGUE(T, LOAD, STORE, x, item, row, channel, channels)                                                 \
    do {                                                                                                               \
        KILN_EP_SCALE_STEP(T, LOAD, x, channel)                                                                        \
        KILN_EP_BIAS_STEP(T, LOAD, x, channel)                                                                         \
        KILN_EP_NBIAS_STEP(T, LOAD, x, item, channel, channels)                                                        \
        KILN_EP_RES_STEP(T, LOAD, x, row, channel, channels)                                                           \
        KILN_EP_SUM_STEP(T, STORE, x, row, channel, channels)                                                          \
        KILN_EP_BN_STEP(T, LOAD, x, channel)                                                                           \
        KILN_EP_ACT_STEP(T, x)                                                                                         \
        KILN_EP_MASK_STEP(T, x, row)                                                                                   \
    } while (0)

#endif
