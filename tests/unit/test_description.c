/* Nets that describe themselves: each kind of layer against plain loops in double precision over PyTorch's layouts. */
#include "scratch.h"
#include "tensor_file.h"

enum { ITEMS = 3 };

static kiln_context *context;

/* ---- layers in double precision, channels first ---- */

enum { MAX_VALUES = 1024 };

typedef struct grid {
    size_t c, h, w; /* h = w = 1: a vector */
    double v[MAX_VALUES];
} grid;

static grid convolve(file *f, const grid *x, const char *name) {
    const tensor *t = get(f, name);
    const size_t edge = t->shape[2];
    grid y = {.c = t->shape[0], .h = x->h, .w = x->w};
    REQUIRE(t->shape[1] == x->c && y.c * y.h * y.w <= MAX_VALUES);
    for (size_t o = 0; o < y.c; o++)
        for (size_t p = 0; p < y.h * y.w; p++)
            for (size_t k = 0; k < x->c * edge * edge; k++) {
                const size_t i = k / edge / edge, ky = p / y.w + k / edge % edge, kx = p % y.w + k % edge, r = edge / 2;
                if (ky >= r && ky < y.h + r && kx >= r && kx < y.w + r)
                    y.v[o * y.h * y.w + p] +=
                        (double)t->data[o * x->c * edge * edge + k] * x->v[(i * y.h + ky - r) * y.w + kx - r];
            }
    return y;
}

static grid multiply(file *f, const grid *x, const char *prefix) {
    char name[64];
    snprintf(name, sizeof name, "%s.weight", prefix);
    const tensor *t = get(f, name);
    snprintf(name, sizeof name, "%s.bias", prefix);
    const tensor *bias = get(f, name);
    const size_t depth = x->c * x->h * x->w;
    grid y = {.c = t->shape[0], .h = 1, .w = 1};
    REQUIRE(t->count == y.c * depth);
    for (size_t o = 0; o < y.c; o++) {
        y.v[o] = (double)bias->data[o];
        for (size_t i = 0; i < depth; i++)
            y.v[o] += (double)t->data[o * depth + i] * x->v[i];
    }
    return y;
}

static void add_bias(file *f, grid *x, const char *name) {
    for (size_t i = 0; i < x->c * x->h * x->w; i++)
        x->v[i] += (double)get(f, name)->data[i / (x->h * x->w)];
}

static void norm(file *f, grid *x, const char *prefix, double epsilon) {
    static const char *const endings[] = {"weight", "bias", "running_mean", "running_var"};
    const tensor *t[4];
    for (int i = 0; i < 4; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s.%s", prefix, endings[i]);
        t[i] = get(f, name);
    }
    for (size_t i = 0; i < x->c * x->h * x->w; i++) {
        const size_t c = i / (x->h * x->w);
        x->v[i] = (x->v[i] - (double)t[2]->data[c]) / sqrt((double)t[3]->data[c] + epsilon) * (double)t[0]->data[c] +
                  (double)t[1]->data[c];
    }
}

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

static void relu(grid *x) {
    for (size_t i = 0; i < MAX_VALUES; i++)
        x->v[i] = x->v[i] < 0 ? 0 : x->v[i];
}

static void plus(grid *x, const grid *y) {
    for (size_t i = 0; i < x->c * x->h * x->w; i++)
        x->v[i] += y->v[y->h == 1 ? i / (x->h * x->w) : i];
}

/* Each channel's mean, maximum and standard deviation, all of the first first. */
static grid pool(const grid *x, size_t parts) {
    const size_t points = x->h * x->w;
    grid y = {.c = parts * x->c, .h = 1, .w = 1};
    for (size_t c = 0; c < x->c; c++) {
        const double *v = x->v + c * points;
        double sum = 0, square = 0, max = v[0];
        for (size_t i = 0; i < points; i++) {
            sum += v[i] / (double)points;
            max = fmax(max, v[i]);
        }
        for (size_t i = 0; i < points; i++)
            square += (v[i] - sum) * (v[i] - sum) / (double)points;
        const double all[3] = {sum, max, sqrt(square)};
        for (size_t k = 0; k < parts; k++)
            y.v[k * x->c + c] = all[k];
    }
    return y;
}

/* x * sigmoid(the first gates) + the rest of them, if there are any. */
static void gate(grid *x, const grid *gates) {
    for (size_t i = 0; i < x->c * x->h * x->w; i++) {
        const size_t c = i / (x->h * x->w);
        x->v[i] = x->v[i] * sigmoid(gates->v[c]) + (gates->c > x->c ? gates->v[x->c + c] : 0);
    }
}

static void excite(file *f, grid *x, const char *fc1, const char *fc2) {
    grid s = pool(x, 1);
    s = multiply(f, &s, fc1);
    relu(&s);
    s = multiply(f, &s, fc2);
    gate(x, &s);
}

/* ---- nets ---- */

typedef struct net_case {
    const char *name;
    size_t board, channels, globals; /* of the inputs; no globals: no second input */
    void (*tensors)(file *f);
    const char *description;
    /* Fills outputs[0], [1] … in the net's order. */
    void (*forward)(file *f, const grid *board, const grid *global, grid *outputs);
} net_case;

/* A tower with plain squeeze-excitation and heads that flatten the board. */
static void tensors_flat(file *f) {
    add_conv(f, "stem", 8, 3, 3), add_norm(f, "stem_bn", 8), add(f, "stem_bias", 0, 0.5, SHAPE(8));
    add_conv(f, "c1", 8, 8, 3), add_norm(f, "bn1", 8);
    add_conv(f, "c2", 8, 8, 3), add_norm(f, "bn2", 8);
    add(f, "fc1.weight", 0, 0.6, SHAPE(2, 8, 1, 1)), add(f, "fc1.bias", 0, 0.5, SHAPE(2));
    add(f, "fc2.weight", 0, 1.2, SHAPE(8, 2, 1, 1)), add(f, "fc2.bias", 0, 0.5, SHAPE(8));
    add_conv(f, "p", 2, 8, 1), add_norm(f, "p_bn", 2);
    add_linear(f, "policy", 7, 2 * 25), add_linear(f, "value", 1, 2 * 25);
}

static void forward_flat(file *f, const grid *board, const grid *global, grid *outputs) {
    (void)global;
    grid x = convolve(f, board, "stem");
    add_bias(f, &x, "stem_bias"), norm(f, &x, "stem_bn", 1e-5), relu(&x);
    grid y = convolve(f, &x, "c1");
    norm(f, &y, "bn1", 1e-5), relu(&y);
    y = convolve(f, &y, "c2");
    norm(f, &y, "bn2", 1e-5), excite(f, &y, "fc1", "fc2"), plus(&y, &x), relu(&y);
    grid p = convolve(f, &y, "p");
    norm(f, &p, "p_bn", 1e-5), relu(&p);
    outputs[0] = multiply(f, &p, "policy");
    outputs[1] = multiply(f, &p, "value");
}

/* A block with a pooled bias after an activation, and shifting squeeze-excitation; heads on pooled vectors. */
static void tensors_pooled(file *f) {
    add_conv(f, "stem", 8, 5, 3), add_norm(f, "stem_bn", 8);
    add_conv(f, "c1", 8, 8, 3), add_norm(f, "bn1", 8);
    add_linear(f, "g1", 6, 24), add_linear(f, "g2", 8, 6);
    add_conv(f, "c2", 8, 8, 3), add_norm(f, "bn2", 8);
    add_linear(f, "s1", 2, 8), add_linear(f, "s2", 16, 2);
    add_conv(f, "p1", 4, 8, 1), add_norm(f, "p1_bn", 4);
    add_conv(f, "p2", 9, 4, 1), add(f, "p2_bias", 0, 0.5, SHAPE(9));
    add_linear(f, "v1", 6, 24), add_linear(f, "v2", 3, 6);
}

static void forward_pooled(file *f, const grid *board, const grid *global, grid *outputs) {
    (void)global;
    grid x = convolve(f, board, "stem");
    norm(f, &x, "stem_bn", 1e-5), relu(&x);
    grid y = convolve(f, &x, "c1");
    norm(f, &y, "bn1", 1e-5), relu(&y);
    grid g = pool(&x, 3);
    g = multiply(f, &g, "g1"), relu(&g), g = multiply(f, &g, "g2");
    plus(&y, &g);
    y = convolve(f, &y, "c2");
    norm(f, &y, "bn2", 1e-5), excite(f, &y, "s1", "s2"), plus(&y, &x), relu(&y);
    grid p = convolve(f, &y, "p1");
    norm(f, &p, "p1_bn", 1e-5), relu(&p);
    outputs[0] = convolve(f, &p, "p2");
    add_bias(f, &outputs[0], "p2_bias");
    grid v = pool(&y, 3);
    v = multiply(f, &v, "v1"), relu(&v);
    outputs[1] = multiply(f, &v, "v2");
}

/* Norms before convolutions, a second input, a norm by its tensors with an epsilon, gates computed outside of `se`. */
static void tensors_before(file *f) {
    add_conv(f, "stem", 6, 2, 5), add_norm(f, "n1", 6), add_linear(f, "glob", 6, 4);
    add_conv(f, "c1", 6, 6, 3), add(f, "c1_bias", 0, 0.5, SHAPE(6)), add_norm(f, "n2", 6);
    add_conv(f, "c2", 6, 6, 1), add_norm(f, "n3", 6);
    add_linear(f, "to_gates", 12, 6), add_linear(f, "head", 3, 12);
}

static void forward_before(file *f, const grid *board, const grid *global, grid *outputs) {
    grid x = convolve(f, board, "stem"), g = multiply(f, global, "glob");
    plus(&x, &g);
    grid y = x;
    norm(f, &y, "n1", 1e-5), relu(&y);
    y = convolve(f, &y, "c1");
    add_bias(f, &y, "c1_bias"), norm(f, &y, "n2", 0.01);
    for (size_t i = 0; i < y.c * y.h * y.w; i++)
        y.v[i] *= sigmoid(y.v[i]);
    y = convolve(f, &y, "c2");
    plus(&y, &x);
    grid s = pool(&y, 1), gates = multiply(f, &s, "to_gates");
    gate(&y, &gates);
    outputs[1] = y;
    norm(f, &y, "n3", 1e-5), relu(&y);
    outputs[2] = y;
    grid both = pool(&y, 2);
    outputs[0] = multiply(f, &both, "head");
    for (size_t i = 0; i < outputs[0].c; i++)
        outputs[0].v[i] = tanh(outputs[0].v[i]);
}

static const net_case cases[] = {
    {"flat", 5, 3, 0, tensors_flat,
     "{'name':'flat','board':5,'inputs':[{'name':'planes','shape':'board','channels':3}],'layers':["
     "{'op':'conv','in':'planes','out':'x','weights':'stem','bias':'stem_bias','bn':'stem_bn','act':'relu'},"
     "{'op':'conv','in':'x','out':'a','weights':'c1','bn':'bn1','act':'relu'},"
     "{'op':'conv','in':'a','out':'b','weights':'c2','bn':'bn2'},"
     "{'op':'se','in':'b','out':'y','fc1':'fc1','fc2':'fc2','residual':'x','act':'relu'},"
     "{'op':'conv','in':'y','out':'p','weights':'p','bn':'p_bn','act':'relu'},"
     "{'op':'linear','in':'p','out':'policy','weights':'policy.weight','bias':'policy.bias'},"
     "{'op':'linear','in':'p','out':'value','weights':'value.weight','bias':'value.bias'}],"
     "'outputs':[{'name':'moves','from':'policy'},{'name':'value','from':'value'}]}",
     forward_flat},
    {"pooled", 5, 5, 0, tensors_pooled,
     "{'name':'pooled','board':5,'inputs':[{'name':'planes','shape':'board','channels':5}],'layers':["
     "{'op':'conv','in':'planes','out':'x','weights':'stem','bn':'stem_bn','act':'relu'},"
     "{'op':'conv','in':'x','out':'a','weights':'c1','bn':'bn1','act':'relu'},"
     "{'op':'pool','in':'x','out':'g0','form':'mean_max_std'},"
     "{'op':'linear','in':'g0','out':'g1','weights':'g1.weight','bias':'g1.bias','act':'relu'},"
     "{'op':'linear','in':'g1','out':'g2','weights':'g2.weight','bias':'g2.bias'},"
     "{'op':'affine','in':'a','out':'b','form':'shift','gates':'g2'},"
     "{'op':'conv','in':'b','out':'c','weights':'c2','bn':'bn2'},"
     "{'op':'se','in':'c','out':'y','form':'scale_shift','fc1':'s1','fc2':'s2','residual':'x','act':'relu'},"
     "{'op':'conv','in':'y','out':'p1','weights':'p1','bn':'p1_bn','act':'relu'},"
     "{'op':'conv','in':'p1','out':'p2','weights':'p2','bias':'p2_bias'},"
     "{'op':'pool','in':'y','out':'v0','form':'mean_max_std'},"
     "{'op':'linear','in':'v0','out':'v1','weights':'v1.weight','bias':'v1.bias','act':'relu'},"
     "{'op':'linear','in':'v1','out':'v2','weights':'v2.weight','bias':'v2.bias'}],"
     "'outputs':[{'name':'policy','from':'p2'},{'name':'value','from':'v2'}]}",
     forward_pooled},
    {"before", 6, 2, 4, tensors_before,
     "{'name':'before','board':6,'inputs':[{'name':'planes','shape':'board','channels':2},"
     "{'name':'global','shape':'vector','channels':4}],'layers':["
     "{'op':'linear','in':'global','out':'glob','weights':'glob.weight','bias':'glob.bias'},"
     "{'op':'conv','in':'planes','out':'a','weights':'stem','item_bias':'glob','sum':'x','sum_bn':'n1','act':'relu'},"
     "{'op':'conv','in':'a','out':'b','weights':'c1','bias':'c1_bias','act':'silu',"
     "'bn':{'weight':'n2.weight','bias':'n2.bias','mean':'n2.running_mean','var':'n2.running_var','eps':0.01}},"
     "{'op':'conv','in':'b','out':'y','weights':'c2','residual':'x'},"
     "{'op':'pool','in':'y','out':'s','form':'mean'},"
     "{'op':'linear','in':'s','out':'gates','weights':'to_gates.weight','bias':'to_gates.bias'},"
     "{'op':'affine','in':'y','out':'tip','form':'scale_shift','gate':'sigmoid','gates':'gates','sum':'stream',"
     "'sum_bn':{'prefix':'n3'},'act':'relu'},"
     "{'op':'pool','in':'tip','out':'both','form':'mean_max'},"
     "{'op':'linear','in':'both','out':'head','weights':'head.weight','bias':'head.bias','act':'tanh'}],"
     "'outputs':[{'name':'head','from':'head'},{'name':'stream','from':'stream'},{'name':'tip','from':'tip'}]}",
     forward_before}};
enum { N_CASES = sizeof cases / sizeof cases[0] };

/* ---- nets against the loops ---- */

typedef struct io {
    grid boards[ITEMS], globals[ITEMS], expected[ITEMS][KILN_NET_MAX_IO];
    float board[ITEMS * MAX_VALUES], global[ITEMS * MAX_VALUES], outputs[KILN_NET_MAX_IO][ITEMS * MAX_VALUES];
} io;

static void fill(file *f, const net_case *c, io *d) {
    const size_t points = c->board * c->board;
    for (size_t n = 0; n < ITEMS; n++) {
        d->boards[n] = (grid){.c = c->channels, .h = c->board, .w = c->board};
        d->globals[n] = (grid){.c = c->globals, .h = 1, .w = 1};
        for (size_t i = 0; i < c->channels * points; i++) { /* channels first here, last in Kiln */
            const float value = (float)uniform(f);
            d->boards[n].v[i] = (double)value;
            d->board[(n * points + i % points) * c->channels + i / points] = value;
        }
        for (size_t i = 0; i < c->globals; i++)
            d->globals[n].v[i] = (double)(d->global[n * c->globals + i] = (float)uniform(f));
        c->forward(f, &d->boards[n], &d->globals[n], d->expected[n]);
    }
}

static double worst_of(const io *d, size_t output) {
    double worst = 0;
    for (size_t n = 0; n < ITEMS; n++) {
        const grid *e = &d->expected[n][output];
        const size_t points = e->h * e->w;
        for (size_t i = 0; i < e->c * points; i++) {
            const double got = (double)d->outputs[output][(n * points + i % points) * e->c + i / points];
            const double off = fabs(got - e->v[i]) / (1 + fabs(e->v[i]));
            worst = off > worst || isnan(off) ? off : worst;
        }
    }
    return worst;
}

static void run(kiln_net *net, kiln_queue *queue, const net_case *c, io *d, const char *variant) {
    kiln_session_options o = KILN_SESSION_OPTIONS_INIT;
    kiln_session *s;
    float *outputs[KILN_NET_MAX_IO];
    o.variant = variant;
    REQUIRE_OK(kiln_session_create(net, queue, &o, &s));
    for (size_t i = 0; i < KILN_NET_MAX_IO; i++) {
        outputs[i] = d->outputs[i];
        for (size_t k = 0; k < ITEMS * MAX_VALUES; k++)
            outputs[i][k] = NAN;
    }
    CHECK_OK(kiln_session_run(s, ITEMS, (const float *[2]){d->board, d->global}, outputs));
    for (size_t i = 0; kiln_net_output(net, i); i++) {
        const double worst = worst_of(d, i);
        printf("%s, %s: %s is off by %.2g\n", c->name, variant ? variant : "planned", kiln_net_output(net, i)->name,
               worst);
        CHECK(worst <= 2e-5);
    }
    kiln_session_destroy(s);
}

static void test_case(const net_case *c, kiln_queue *queue) {
    static io d;
    file f = {.state = 7};
    kiln_net *net;
    d = (io){0};
    c->tensors(&f);
    fill(&f, c, &d);
    REQUIRE_OK(read_net(context, &f, c->description, &net));
    run(net, queue, c, &d, NULL);
    run(net, queue, c, &d, "ref");
    kiln_net_destroy(net);
    file_free(&f);
}

/* ---- what a net says of itself ---- */

static kiln_status count(void *user, const kiln_problem *problem, size_t n) {
    (void)problem;
    *(size_t *)user += n;
    return KILN_OK;
}

static void test_info(void) {
    static const size_t n_ops[N_CASES] = {7, 13, 9}, n_blocks[N_CASES] = {1, 1, 1}, widths[N_CASES] = {8, 8, 6};
    for (size_t i = 0; i < N_CASES; i++) {
        file f = {.state = 1};
        kiln_net *net;
        kiln_net_info info = KILN_NET_INFO_INIT;
        size_t n = 0;
        cases[i].tensors(&f);
        REQUIRE_OK(read_net(context, &f, cases[i].description, &net));
        CHECK_OK(kiln_net_get_info(net, &info));
        CHECK_STR(info.name, cases[i].name);
        CHECK_STR(info.format, "safetensors");
        CHECK(info.default_board == (int64_t)cases[i].board && info.n_parameters > 0);
        CHECK(info.n_blocks == n_blocks[i] && info.channels == (int64_t)widths[i]);
        CHECK_OK(kiln_net_problems(net, 2, 0, 0, KILN_TYPE_F32, count, &n));
        CHECK(n == n_ops[i]);
        /* Only flattening fixes the board. */
        CHECK_STATUS(kiln_net_problems(net, 2, 7, 7, KILN_TYPE_F32, count, &n), i == 0 ? KILN_E_INVALID : KILN_OK);
        if (i == 0)
            CHECK_HAS(kiln_last_error(), "only 5 by 5");
        kiln_net_destroy(net);
        file_free(&f);
    }
}

/* A net is told by what the file holds. */
static void test_open(void) {
    char folder[256], path[512];
    file f = {.state = 1};
    kiln_net *net;
    size_t n;
    scratch_make(folder);
    snprintf(path, sizeof path, "%s/net.bin.gz", folder);
    cases[0].tensors(&f);
    char *data = write_file(&f, cases[0].description, "F32", &n);
    scratch_write(path, data, n);
    CHECK_OK(kiln_net_open(context, path, &net));
    CHECK_STR(kiln_net_input(net, 0)->name, "planes");
    CHECK_STR(kiln_net_output(net, 0)->name, "moves");
    kiln_net_destroy(net);
    scratch_write(path, data, n - 1);
    CHECK_STATUS(kiln_net_open(context, path, &net), KILN_E_INVALID);
    CHECK_HAS(kiln_last_error(), "net.bin.gz");
    scratch_write(path, data, 20);
    CHECK_STATUS(kiln_net_open(context, path, &net), KILN_E_PARSE);
    CHECK_HAS(kiln_last_error(), "safetensors");
    CHECK(net == NULL);
    free(data);
    file_free(&f);
    scratch_remove(folder);
}

/* ---- seeded towers ---- */

static kiln_status count_se(void *user, const kiln_problem *problem, size_t n) {
    char key[KILN_MAX_KEY];
    kiln_problem_key(problem, key, sizeof key);
    *(size_t *)user += strstr(key, "se_block:") && strstr(key, ",r=5,") && strstr(key, "ep=res+relu") ? n : 0;
    return KILN_OK;
}

static int64_t n_parameters(const char *text, size_t *n_se) {
    kiln_net *net;
    kiln_net_info info = KILN_NET_INFO_INIT;
    *n_se = 0;
    REQUIRE_OK(kiln_net_open(context, text, &net));
    CHECK_OK(kiln_net_get_info(net, &info));
    CHECK_OK(kiln_net_problems(net, 4, 0, 0, KILN_TYPE_F32, count_se, n_se));
    kiln_net_destroy(net);
    return info.n_parameters;
}

static void test_seeded(void) {
    const char *plain = "tower:blocks=3,channels=16,inputs=5,board=5",
               *excited[2] = {"tower:blocks=3,channels=16,inputs=5,board=5,ratio=3,se=scale",
                              "tower:blocks=3,channels=16,inputs=5,board=5,se=scale_shift,ratio=3"};
    kiln_net *net;
    size_t n;
    const int64_t base = n_parameters(plain, &n);
    CHECK(n == 0 && base == n_parameters("tower:blocks=3,channels=16,inputs=5,board=5,se=none,ratio=99", &n));
    for (int64_t i = 0; i < 2; i++) {
        const int64_t wide = (i + 1) * 16;
        CHECK(n_parameters(excited[i], &n) == base + 3 * (16 * 5 + 5 + 5 * wide + wide));
        CHECK(n == 3);
    }
    CHECK_STATUS(kiln_net_open(context, "tower:se=half", &net), KILN_E_PARSE);
    CHECK_HAS(kiln_last_error(), "half");
    CHECK_STATUS(kiln_net_open(context, "tower:channels=16,se=scale,ratio=17", &net), KILN_E_PARSE);
    CHECK_HAS(kiln_last_error(), "ratio");
}

/* Neither dies out nor explodes over the blocks, and items differ. */
static void test_seeded_run(kiln_queue *queue) {
    kiln_net *net;
    kiln_session *s;
    static float in[2 * 5 * 5 * 5], policy[2 * 5 * 5 * 139], value[2 * 3];
    REQUIRE_OK(kiln_net_open(context, "tower:blocks=12,channels=16,inputs=5,board=5,se=scale_shift", &net));
    REQUIRE_OK(kiln_session_create(net, queue, NULL, &s));
    for (size_t i = 0; i < sizeof in / sizeof in[0]; i++)
        in[i] = (float)(i * 7 % 3 == 0);
    CHECK_OK(kiln_session_run(s, 2, (const float *[1]){in}, (float *[2]){policy, value}));
    double square = 0;
    for (size_t i = 0; i < sizeof policy / sizeof policy[0]; i++)
        square += (double)policy[i] * (double)policy[i];
    const double size = sqrt(square / (double)(sizeof policy / sizeof policy[0]));
    CHECK(size > 0.05 && size < 20);
    CHECK(isfinite(value[0]) && memcmp(value, value + 3, sizeof(float[3])) != 0);
    kiln_session_destroy(s);
    kiln_net_destroy(net);
}

int main(void) {
    kiln_device *device;
    kiln_queue *queue;
    REQUIRE_OK(kiln_context_create(NULL, &context));
    test_open();
    test_info();
    test_seeded();
    if (kiln_device_find(context, NULL, &device) != KILN_OK) {
        if (test_failures)
            return test_end();
        SKIP("what runs: %s", kiln_last_error());
    }
    REQUIRE_OK(kiln_queue_create(device, &queue));
    for (size_t i = 0; i < N_CASES; i++)
        test_case(&cases[i], queue);
    test_seeded_run(queue);
    kiln_queue_destroy(queue);
    kiln_context_destroy(context);
    return test_end();
}
