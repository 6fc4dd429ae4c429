/* The inside of a net: tensors, weights, and operations in running order. Readers make it through the builder below,
 * which checks shapes; layout.h gives it memory, session.h runs it. */
#ifndef KILN_NETS_NET_H
#define KILN_NETS_NET_H

#include "context.h"
#include <kiln/net.h>

enum {
    KILN_NET_NONE = -1,
    KILN_NET_MAX_OPERANDS = 12,
    KILN_NET_MAX_CHANNELS = 65536,
    KILN_NET_MAX_DEPTH = 1 << 20,
    KILN_NET_MAX_IO = 16
};

typedef enum kiln_net_shape {
    KILN_NET_BOARD,  /* [n][h][w][c] */
    KILN_NET_POINTS, /* [n][h][w] */
    KILN_NET_VECTOR  /* [n][c] */
} kiln_net_shape;

typedef struct kiln_net_tensor {
    char *name;
    kiln_net_shape shape;
    int64_t c; /* 1 for POINTS */
} kiln_net_tensor;

typedef struct kiln_net_weight {
    char *name;
    float *data; /* finite */
    size_t count;
    bool is_matrix; /* stored in a session's type; else a value for each channel, f32 */
} kiln_net_weight;

typedef enum kiln_net_kind {
    KILN_NET_CONV,
    KILN_NET_GEMM,
    KILN_NET_POOL,
    KILN_NET_SE,
    KILN_NET_AFFINE,
    KILN_NET_CHANNEL /* copies one channel of a board into points */
} kiln_net_kind;

/* An operand of an op by the name that its family gives it. */
typedef struct kiln_net_operand {
    const char *name; /* static */
    bool is_weight, is_output;
    int32_t index; /* of a weight or a tensor */
} kiln_net_operand;

typedef struct kiln_net_op {
    kiln_net_kind kind;
    char *name;
    int64_t ic, oc;
    int32_t kh, kw;
    int64_t reduced;  /* of SE: channels between its two layers */
    const char *form; /* of POOL, SE and AFFINE; static */
    const char *gate; /* of AFFINE; static */
    int64_t channel;  /* of CHANNEL */
    int64_t ep;       /* KILN_EP_* */
    kiln_net_operand operands[KILN_NET_MAX_OPERANDS];
    size_t n_operands;
} kiln_net_op;

typedef struct kiln_net_io {
    int32_t tensor;
    char *name; /* what info.name points to */
    kiln_tensor_info info;
} kiln_net_io;

struct kiln_net_share; /* share.h: what the sessions of one type and device share */

struct kiln_net {
    kiln_context *context;
    char *name;
    const char *format;
    int64_t channels, default_board;
    bool board_is_fixed; /* a layer's weights depend on the size of the board: default_board and no other */
    size_t n_blocks;
    kiln_net_tensor *tensors;
    size_t n_tensors, cap_tensors;
    kiln_net_weight *weights;
    size_t n_weights, cap_weights;
    kiln_net_op *ops;
    size_t n_ops, cap_ops;
    kiln_net_io inputs[KILN_NET_MAX_IO], outputs[KILN_NET_MAX_IO];
    size_t n_inputs, n_outputs;
    pthread_mutex_t lock; /* guards shares and what they hold */
    struct kiln_net_share *shares;
};

/* ---- making a net ---- */

kiln_status kiln__net_create(kiln_context *context, const char *name, const char *format, kiln_net **out);

/* The readers. */
kiln_status kiln__katago_open(kiln_context *context, const char *path, kiln_net **out);
kiln_status kiln__katago_read(kiln_context *context, const void *data, size_t bytes, kiln_net **out);
kiln_status kiln__seeded_open(kiln_context *context, const char *text, kiln_net **out);
kiln_status kiln__description_open(kiln_context *context, const char *path, kiln_net **out);
kiln_status kiln__description_read(kiln_context *context, const void *data, size_t bytes, kiln_net **out);

/* Adds a weight and takes over `data` (from kiln__alloc or kiln__realloc), also when it fails. KILN_E_INVALID: NaN or
 * infinite. */
kiln_status kiln__net_weight(kiln_net *net, const char *name, float *data, size_t count, int32_t *out);

kiln_status kiln__net_input(kiln_net *net, const char *name, kiln_net_shape shape, int64_t channels, int32_t *out);
/* `as_points` drops the channel dimension of a board of one channel. */
kiln_status kiln__net_output(kiln_net *net, int32_t tensor, const char *name, bool as_points);

/* The parts of an epilogue, in the order they are applied; KILN_NET_NONE leaves one out. */
typedef struct kiln_net_epilogue {
    int32_t bias;     /* weight [oc] */
    int32_t nbias;    /* vector tensor of oc channels */
    int32_t residual; /* board tensor of oc channels */
    bool sum;         /* a second output: what there is after the residual */
    int32_t bn_scale, bn_bias;
    int64_t activation; /* KILN_ACT_* */
    int32_t mask;       /* points tensor */
} kiln_net_epilogue;

#define KILN_NET_EPILOGUE_NONE                                                                                         \
    {                                                                                                                  \
        .bias = KILN_NET_NONE, .nbias = KILN_NET_NONE, .residual = KILN_NET_NONE, .bn_scale = KILN_NET_NONE,           \
        .bn_bias = KILN_NET_NONE, .mask = KILN_NET_NONE                                                                \
    }

typedef struct kiln_net_conv {
    const char *name;
    int32_t input;   /* board */
    int32_t weights; /* [kh][kw][ic][oc] */
    int32_t kh, kw;
    int64_t ic, oc;
} kiln_net_conv;

/* Each adds one op and its output. `sum` may be NULL without that output. KILN_E_INVALID: shapes that contradict each
 * other; the text names the op. */
kiln_status kiln__net_conv(kiln_net *net, const kiln_net_conv *conv, const kiln_net_epilogue *ep, int32_t *output,
                           int32_t *sum);
/* output[n][oc] = input[n][ic] * weights[ic][oc], then the epilogue. A board as input is flattened in its own order,
 * [h][w][c]: ic is h * w * c of the default board, which becomes the only one possible. */
kiln_status kiln__net_gemm(kiln_net *net, const char *name, int32_t input, int32_t weights, int64_t ic, int64_t oc,
                           const kiln_net_epilogue *ep, int32_t *output);
/* `form` is a static word of the global_pool family, which says how many times the channels the output has. */
kiln_status kiln__net_pool(kiln_net *net, const char *name, const char *form, int32_t input, int32_t mask,
                           int32_t *output);

typedef struct kiln_net_se {
    const char *name;
    int32_t input;    /* board */
    const char *form; /* static: "scale" or "scale_shift" */
    int64_t reduced;  /* channels between the two layers */
    int32_t w1, b1;   /* [c][reduced], [reduced] */
    int32_t w2, b2;   /* [reduced][c], [c]; twice as wide with scale_shift, scales first */
} kiln_net_se;

/* g = relu(mean of x over the board, or its mask, * w1 + b1) * w2 + b2; x * sigmoid(g), + the second half of g with
 * scale_shift; then the epilogue without bias and nbias. */
kiln_status kiln__net_se(kiln_net *net, const kiln_net_se *se, const kiln_net_epilogue *ep, int32_t *output,
                         int32_t *sum);

typedef struct kiln_net_affine {
    const char *name;
    int32_t input;    /* board */
    int32_t gates;    /* vector of as many channels, or twice as many with scale_shift, scales first */
    const char *form; /* static: "scale", "shift" or "scale_shift" */
    const char *gate; /* static: "none" or "sigmoid", which the scales go through */
} kiln_net_affine;

/* x * gate(scale) + shift, one of each for each item and channel; then the epilogue without bias and nbias. */
kiln_status kiln__net_affine(kiln_net *net, const kiln_net_affine *affine, const kiln_net_epilogue *ep, int32_t *output,
                             int32_t *sum);
kiln_status kiln__net_channel(kiln_net *net, const char *name, int32_t input, int64_t channel, int32_t *output);

/* ---- asking a net ---- */

/* Floats of one item of a tensor on a board without halo. */
int64_t kiln__net_tensor_floats(const kiln_net_tensor *tensor, int64_t h, int64_t w);
/* The operand of that name, or NULL. */
const kiln_net_operand *kiln__net_operand(const kiln_net_op *op, const char *name);

#endif
