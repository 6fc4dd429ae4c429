#include "peers.h"
#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>
#include <stdlib.h>

#define DNNL_TRY(call)                                                                                                 \
    do {                                                                                                               \
        const dnnl_status_t status_ = (call);                                                                          \
        if (status_ != dnnl_success)                                                                                   \
            return status_;                                                                                            \
    } while (0)

typedef struct onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
} onednn;

enum { SRC, WEIGHTS, BIAS, DST, N_TENSORS };

typedef struct state {
    const onednn *library;
    dnnl_primitive_t primitive;
    dnnl_memory_desc_t plain[N_TENSORS]; /* as Kiln has them: rows of channels, weights [k][n] */
    dnnl_memory_t memory[N_TENSORS];     /* as the primitive wants them */
    dnnl_exec_arg_t args[N_TENSORS];
    int n_args;
} state;

/* ---- techniques ---- */

typedef enum operation { MATMUL, INNER_PRODUCT, CONVOLUTION } operation;
enum { FREE_WEIGHTS = 1, FREE_DATA = 2 }; /* what the primitive may lay out as it likes */

typedef struct technique {
    const char *peer, *how;
    operation operation;
    dnnl_alg_kind_t algorithm;
    unsigned layouts;
} technique;

static const technique gemm_techniques[] = {
    {"onednn", "matmul", MATMUL, dnnl_alg_kind_undef, FREE_WEIGHTS},
    {"onednn", "inner product", INNER_PRODUCT, dnnl_alg_kind_undef, FREE_WEIGHTS},
    {"onednn", "1x1 convolution", CONVOLUTION, dnnl_convolution_direct, FREE_WEIGHTS},
    {"onednn-plain", "matmul", MATMUL, dnnl_alg_kind_undef, 0},
    {0}};

static const technique conv_techniques[] = {
    {"onednn", "direct", CONVOLUTION, dnnl_convolution_direct, FREE_WEIGHTS | FREE_DATA},
    {"onednn", "winograd", CONVOLUTION, dnnl_convolution_winograd, FREE_WEIGHTS | FREE_DATA},
    {"onednn", "auto", CONVOLUTION, dnnl_convolution_auto, FREE_WEIGHTS | FREE_DATA},
    {"onednn", "direct, data nhwc", CONVOLUTION, dnnl_convolution_direct, FREE_WEIGHTS},
    {0}};

/* ---- descriptions ---- */

static dnnl_status_t describe(dnnl_memory_desc_t *out, const dnnl_dims_t dims, int rank, dnnl_format_tag_t tag) {
    return dnnl_memory_desc_init_by_tag(out, rank, dims, dnnl_f32, tag);
}

static dnnl_status_t plain_layouts(const peers_case *c, operation op, dnnl_memory_desc_t plain[N_TENSORS]) {
    const int64_t m = c->m, n = c->n, k = c->k, kernel = c->kernel;
    if (op == MATMUL) {
        DNNL_TRY(describe(&plain[SRC], (dnnl_dims_t){m, k}, 2, dnnl_ab));
        DNNL_TRY(describe(&plain[WEIGHTS], (dnnl_dims_t){k, n}, 2, dnnl_ab));
        DNNL_TRY(describe(&plain[BIAS], (dnnl_dims_t){1, n}, 2, dnnl_ab));
        return describe(&plain[DST], (dnnl_dims_t){m, n}, 2, dnnl_ab);
    }
    DNNL_TRY(describe(&plain[BIAS], (dnnl_dims_t){n}, 1, dnnl_x));
    if (op == INNER_PRODUCT) {
        DNNL_TRY(describe(&plain[SRC], (dnnl_dims_t){m, k}, 2, dnnl_nc));
        DNNL_TRY(describe(&plain[WEIGHTS], (dnnl_dims_t){n, k}, 2, dnnl_io));
        return describe(&plain[DST], (dnnl_dims_t){m, n}, 2, dnnl_nc);
    }
    DNNL_TRY(describe(&plain[SRC], (dnnl_dims_t){c->batch, c->ic, c->h, c->w}, 4, dnnl_nhwc));
    DNNL_TRY(describe(&plain[WEIGHTS], (dnnl_dims_t){c->oc, c->ic, kernel, kernel}, 4, dnnl_hwio));
    return describe(&plain[DST], (dnnl_dims_t){c->batch, c->oc, c->h, c->w}, 4, dnnl_nhwc);
}

static dnnl_status_t free_layout(dnnl_memory_desc_t *d) {
    const dnnl_memory_desc_t old = *d;
    return describe(d, old.dims, old.ndims, dnnl_format_tag_any);
}

static dnnl_status_t describe_operation(const onednn *lib, const peers_case *c, const technique *t,
                                        const dnnl_memory_desc_t d[N_TENSORS], dnnl_primitive_attr_t attr,
                                        dnnl_primitive_desc_t *out) {
    const dnnl_memory_desc_t *bias = c->has_bias_relu ? &d[BIAS] : NULL;
    union {
        dnnl_matmul_desc_t matmul;
        dnnl_inner_product_desc_t inner;
        dnnl_convolution_desc_t conv;
    } op;
    if (t->operation == MATMUL)
        DNNL_TRY(dnnl_matmul_desc_init(&op.matmul, &d[SRC], &d[WEIGHTS], bias, &d[DST]));
    else if (t->operation == INNER_PRODUCT)
        DNNL_TRY(dnnl_inner_product_forward_desc_init(&op.inner, dnnl_forward_inference, &d[SRC], &d[WEIGHTS], bias,
                                                      &d[DST]));
    else {
        const int64_t halo = c->kernel / 2;
        DNNL_TRY(dnnl_convolution_forward_desc_init(&op.conv, dnnl_forward_inference, t->algorithm, &d[SRC],
                                                    &d[WEIGHTS], bias, &d[DST], (dnnl_dims_t){1, 1},
                                                    (dnnl_dims_t){halo, halo}, (dnnl_dims_t){halo, halo}));
    }
    return dnnl_primitive_desc_create(out, &op, attr, lib->engine, NULL);
}

/* ---- memory ---- */

static dnnl_status_t reorder(const onednn *lib, dnnl_memory_t from, dnnl_memory_t to) {
    const dnnl_memory_desc_t *from_desc, *to_desc;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t primitive = NULL;
    DNNL_TRY(dnnl_memory_get_memory_desc(from, &from_desc));
    DNNL_TRY(dnnl_memory_get_memory_desc(to, &to_desc));
    DNNL_TRY(dnnl_reorder_primitive_desc_create(&desc, from_desc, lib->engine, to_desc, lib->engine, NULL));
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    dnnl_status_t status = dnnl_primitive_create(&primitive, desc);
    if (status == dnnl_success)
        status = dnnl_primitive_execute(primitive, lib->stream, 2, args);
    if (status == dnnl_success)
        status = dnnl_stream_wait(lib->stream);
    dnnl_primitive_destroy(primitive);
    dnnl_primitive_desc_destroy(desc);
    return status;
}

/* Gives the primitive one tensor in the layout it asked for; `data` NULL: an output. */
static dnnl_status_t place(state *s, const_dnnl_primitive_desc_t desc, int tensor, dnnl_query_t query, int argument,
                           float *data) {
    const dnnl_memory_desc_t *wanted =
        dnnl_primitive_desc_query_md(desc, query, query == dnnl_query_weights_md && tensor == BIAS);
    if (!wanted)
        return dnnl_invalid_arguments;
    DNNL_TRY(dnnl_memory_create(&s->memory[tensor], wanted, s->library->engine, DNNL_MEMORY_ALLOCATE));
    s->args[s->n_args++] = (dnnl_exec_arg_t){argument, s->memory[tensor]};
    if (!data)
        return dnnl_success;
    dnnl_memory_t plain = NULL;
    DNNL_TRY(dnnl_memory_create(&plain, &s->plain[tensor], s->library->engine, data));
    const dnnl_status_t status = reorder(s->library, plain, s->memory[tensor]);
    dnnl_memory_destroy(plain);
    return status;
}

/* ---- a runner ---- */

static bool run(void *user, size_t times) {
    const state *s = user;
    dnnl_status_t status = dnnl_success;
    for (size_t i = 0; i < times && status == dnnl_success; i++)
        status = dnnl_primitive_execute(s->primitive, s->library->stream, s->n_args, s->args);
    if (status == dnnl_success)
        status = dnnl_stream_wait(s->library->stream);
    if (status != dnnl_success)
        peers_say("onednn: %s", dnnl_status2str(status));
    return status == dnnl_success;
}

static bool read_output(void *user, float *output) {
    const state *s = user;
    dnnl_memory_t plain = NULL;
    dnnl_status_t status = dnnl_memory_create(&plain, &s->plain[DST], s->library->engine, output);
    if (status == dnnl_success)
        status = reorder(s->library, s->memory[DST], plain);
    dnnl_memory_destroy(plain);
    return status == dnnl_success;
}

static void close_state(void *user) {
    state *s = user;
    dnnl_primitive_destroy(s->primitive);
    for (int i = 0; i < N_TENSORS; i++)
        dnnl_memory_destroy(s->memory[i]);
    free(s);
}

static dnnl_status_t make_attributes(const peers_case *c, dnnl_primitive_attr_t *out) {
    DNNL_TRY(dnnl_primitive_attr_create(out));
    if (!c->has_bias_relu)
        return dnnl_success;
    dnnl_post_ops_t ops = NULL;
    DNNL_TRY(dnnl_post_ops_create(&ops));
    dnnl_status_t status = dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, 0, 0);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(*out, ops);
    dnnl_post_ops_destroy(ops);
    return status;
}

static dnnl_status_t make_primitive(state *s, const peers_case *c, const_dnnl_primitive_desc_t desc) {
    DNNL_TRY(dnnl_primitive_create(&s->primitive, desc));
    DNNL_TRY(place(s, desc, SRC, dnnl_query_src_md, DNNL_ARG_SRC, c->input));
    DNNL_TRY(place(s, desc, WEIGHTS, dnnl_query_weights_md, DNNL_ARG_WEIGHTS, c->weights));
    if (c->has_bias_relu)
        DNNL_TRY(place(s, desc, BIAS, dnnl_query_weights_md, DNNL_ARG_BIAS, c->bias));
    return place(s, desc, DST, dnnl_query_dst_md, DNNL_ARG_DST, NULL);
}

static dnnl_status_t open_state(state *s, const peers_case *c, const technique *t, peers_runner *r) {
    dnnl_memory_desc_t wanted[N_TENSORS];
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t desc = NULL;
    const char *implementation = "";
    DNNL_TRY(plain_layouts(c, t->operation, s->plain));
    memcpy(wanted, s->plain, sizeof wanted);
    if (t->layouts & FREE_WEIGHTS)
        DNNL_TRY(free_layout(&wanted[WEIGHTS]));
    if (t->layouts & FREE_DATA) {
        DNNL_TRY(free_layout(&wanted[SRC]));
        DNNL_TRY(free_layout(&wanted[DST]));
    }
    DNNL_TRY(make_attributes(c, &attr));
    dnnl_status_t status = describe_operation(s->library, c, t, wanted, attr, &desc);
    dnnl_primitive_attr_destroy(attr);
    if (status != dnnl_success)
        return status;
    if (dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, &implementation) == dnnl_success)
        snprintf(r->how, sizeof r->how, "%s (%s)", t->how, implementation);
    status = make_primitive(s, c, desc);
    dnnl_primitive_desc_destroy(desc);
    return status;
}

static size_t open_runners(void *library, const peers_case *c, peers_runner *runners, size_t capacity) {
    size_t n = 0;
    for (const technique *t = c->is_conv ? conv_techniques : gemm_techniques; t->peer && n < capacity; t++) {
        peers_runner *r = &runners[n++];
        *r = (peers_runner){.peer = t->peer};
        snprintf(r->how, sizeof r->how, "%s", t->how);
        state *s = calloc(1, sizeof *s);
        dnnl_status_t status = dnnl_out_of_memory;
        if (s) {
            s->library = library;
            status = open_state(s, c, t, r);
        }
        if (status == dnnl_success) {
            r->state = s, r->run = run, r->read = read_output, r->close = close_state;
            continue;
        }
        snprintf(r->absent, sizeof r->absent, "%s", dnnl_status2str(status));
        if (s)
            close_state(s);
    }
    return n;
}

/* ---- the library ---- */

static void stop(void *library) {
    onednn *lib = library;
    dnnl_stream_destroy(lib->stream);
    dnnl_engine_destroy(lib->engine);
    free(lib);
}

static void *start(unsigned threads, char version[PEERS_MAX_TEXT]) {
    /* Its OpenMP threads are one a core already; the run-time library reads a wish for fewer before main. */
    const char *wish = getenv("OMP_NUM_THREADS");
    if (wish && (unsigned)atoi(wish) != threads) {
        peers_say("OMP_NUM_THREADS is %s where Kiln has %u cores: unset it", wish, threads);
        return NULL;
    }
    onednn *lib = calloc(1, sizeof *lib);
    if (!lib)
        return NULL;
    const dnnl_version_t *v = dnnl_version();
    snprintf(version, PEERS_MAX_TEXT, "oneDNN %d.%d.%d, %s, %u threads", v->major, v->minor, v->patch,
             v->cpu_runtime == DNNL_RUNTIME_OMP ? "OpenMP" : "its own threading", threads);
    if (dnnl_engine_create(&lib->engine, dnnl_cpu, 0) == dnnl_success &&
        dnnl_stream_create(&lib->stream, lib->engine, dnnl_stream_default_flags) == dnnl_success)
        return lib;
    peers_say("onednn: no engine for the CPU");
    stop(lib);
    return NULL;
}

extern const peers_library peers_onednn;
const peers_library peers_onednn = {"oneDNN", start, open_runners, stop};
