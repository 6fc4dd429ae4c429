#include "katago_writer.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* ---- random nets ---- */

static void *need(void *p) {
    if (!p) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return p;
}

static double uniform(uint64_t *state) { /* in [-1, 1) */
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(int32_t)(uint32_t)(*state >> 32) / 2147483648.0;
}

static float *floats(toy_net *net, size_t n, double middle, double spread) {
    float *p = need(malloc(n * sizeof *p));
    if (net->n_memory == TOY_MAX_MEMORY)
        need(NULL);
    net->memory[net->n_memory++] = p;
    for (size_t i = 0; i < n; i++)
        p[i] = (float)(middle + spread * uniform(&net->seed));
    return p;
}

static void name(char out[TOY_NAME], const char *prefix, const char *suffix) {
    snprintf(out, TOY_NAME, "%.30s/%.30s", prefix, suffix);
}

static void make_conv(toy_net *net, toy_conv *c, const char *prefix, const char *suffix, int edge, int ic, int oc) {
    name(c->name, prefix, suffix);
    c->kh = c->kw = edge;
    c->ic = ic;
    c->oc = oc;
    c->dilation_y = c->dilation_x = 1;
    c->w = floats(net, (size_t)(edge * edge * ic * oc), 0, 1.5 / sqrt(edge * edge * ic));
}

static void make_norm(toy_net *net, toy_norm *n, const char *prefix, const char *suffix, int c, const char *act) {
    name(n->name, prefix, suffix);
    snprintf(n->act_name, TOY_NAME, "%.50s/act", n->name);
    n->act = act;
    n->c = c;
    n->has_scale = uniform(&net->seed) > 0;
    n->has_bias = uniform(&net->seed) > 0;
    n->epsilon = 1e-3;
    n->mean = floats(net, (size_t)c, 0, 0.3);
    n->variance = floats(net, (size_t)c, 1, 0.6);
    n->scale = floats(net, (size_t)c, 1, 0.5);
    n->bias = floats(net, (size_t)c, 0, 0.3);
}

static void make_matmul(toy_net *net, toy_matmul *m, const char *suffix, int ic, int oc) {
    name(m->name, "matmul", suffix);
    name(m->bias_name, "bias", suffix);
    m->ic = ic;
    m->oc = oc;
    m->w = floats(net, (size_t)(ic * oc), 0, 1.5 / sqrt(ic));
    m->bias = floats(net, (size_t)oc, 0, 0.3);
}

static void make_block(toy_net *net, toy_block *b, char kind, const char *prefix, int channels, const char *act) {
    const int middle = channels / 2 + 1, pooled = 4;
    snprintf(b->name, TOY_NAME, "%.40s", prefix);
    make_norm(net, &b->n1, prefix, "norm1", channels, act);
    make_norm(net, &b->n2, prefix, "norm2", kind == 'o' ? channels : middle, act);
    if (kind == 'n') {
        b->kind = "nested_bottleneck_block";
        b->n_inner = 2;
        b->inner = need(calloc(2, sizeof *b->inner));
        net->memory[net->n_memory++] = b->inner;
        make_conv(net, &b->c1, prefix, "pre", 1, channels, middle);
        make_block(net, &b->inner[0], 'o', "inner0", middle, act);
        make_block(net, &b->inner[1], 'g', "inner1", middle, act);
        make_conv(net, &b->c2, prefix, "post", 1, middle, channels);
        return;
    }
    b->kind = kind == 'g' ? "gpool_block" : "ordinary_block";
    make_conv(net, &b->c1, prefix, "w1", 3, channels, kind == 'o' ? channels : middle);
    make_conv(net, &b->cg, prefix, "wg", 3, channels, pooled);
    make_norm(net, &b->ng, prefix, "normg", pooled, act);
    make_matmul(net, &b->m, prefix, 3 * pooled, middle);
    make_conv(net, &b->c2, prefix, "w2", 3, kind == 'o' ? channels : middle, channels);
}

toy_net *toy_create(const toy_spec *spec) {
    toy_net *net = need(calloc(1, sizeof *net));
    const char *act = spec->version >= 11 ? spec->act : "ACTIVATION_RELU";
    const int c = spec->channels, p = 4, g = 4, v = 4, hidden = 4; /* few shapes: each is a program to compile */
    net->version = spec->version;
    net->seed = spec->seed;
    net->n_spatial = 6;
    net->n_global = 5;
    net->channels = c;
    make_conv(net, &net->stem, "stem", "conv", 5, net->n_spatial, c);
    make_matmul(net, &net->global, "global", net->n_global, c);
    for (const char *k = spec->blocks; *k; k++) {
        char prefix[TOY_NAME];
        snprintf(prefix, sizeof prefix, "block%d", net->n_blocks);
        make_block(net, &net->blocks[net->n_blocks++], *k, prefix, c, act);
    }
    make_norm(net, &net->tip, "trunk", "tip", c, act);
    make_conv(net, &net->p1, "policy", "p1", 1, c, p);
    make_conv(net, &net->g1, "policy", "g1", 1, c, g);
    make_norm(net, &net->g1_norm, "policy", "g1norm", g, act);
    make_matmul(net, &net->gpool, "gpool", 3 * g, p);
    make_norm(net, &net->p1_norm, "policy", "p1norm", p, act);
    make_conv(net, &net->p2, "policy", "p2", 1, p, spec->policies);
    make_matmul(net, &net->pass, "pass", 3 * g, spec->version >= 15 ? hidden : spec->policies);
    make_matmul(net, &net->pass2, "pass2", hidden, spec->policies);
    make_conv(net, &net->v1, "value", "v1", 1, c, v);
    make_norm(net, &net->v1_norm, "value", "v1norm", v, act);
    make_matmul(net, &net->v2, "v2", 3 * v, hidden);
    make_matmul(net, &net->v3, "v3", hidden, 3);
    make_matmul(net, &net->sv3, "sv3", hidden, spec->scores);
    make_conv(net, &net->ownership, "value", "ownership", 1, v, 1);
    net->pass_act = net->v2_act = act;
    return net;
}

void toy_destroy(toy_net *net) {
    for (int i = 0; net && i < net->n_memory; i++)
        free(net->memory[i]);
    free(net);
}

/* ---- files ---- */

typedef struct writer {
    FILE *f;
    bool text;
    int version;
} writer;

static void put_floats(writer *w, const float *data, size_t n) {
    if (!w->text) {
        fputs("@BIN@", w->f);
        for (size_t i = 0; i < n; i++) {
            uint32_t bits;
            memcpy(&bits, &data[i], sizeof bits);
            for (int b = 0; b < 4; b++)
                fputc((int)(bits >> 8 * b & 255), w->f);
        }
    }
    for (size_t i = 0; w->text && i < n; i++)
        fprintf(w->f, "%.9g%c", (double)data[i], i % 8 == 7 ? '\n' : ' ');
    fputc('\n', w->f);
}

static void put_conv(writer *w, const toy_conv *c) {
    fprintf(w->f, "%s\n%d %d %d %d %d %d\n", c->name, c->kh, c->kw, c->ic, c->oc, c->dilation_y, c->dilation_x);
    put_floats(w, c->w, (size_t)(c->kh * c->kw * c->ic * c->oc));
}

static void put_act(writer *w, const char *act_name, const char *act) {
    fprintf(w->f, "%s\n", act_name);
    if (w->version >= 11)
        fprintf(w->f, "%s\n", act);
}

static void put_norm(writer *w, const toy_norm *n) {
    fprintf(w->f, "%s\n%d %g %d %d\n", n->name, n->c, n->epsilon, n->has_scale, n->has_bias);
    put_floats(w, n->mean, (size_t)n->c);
    put_floats(w, n->variance, (size_t)n->c);
    if (n->has_scale)
        put_floats(w, n->scale, (size_t)n->c);
    if (n->has_bias)
        put_floats(w, n->bias, (size_t)n->c);
    put_act(w, n->act_name, n->act);
}

static void put_matmul(writer *w, const toy_matmul *m) {
    fprintf(w->f, "%s\n%d %d\n", m->name, m->ic, m->oc);
    put_floats(w, m->w, (size_t)(m->ic * m->oc));
}

static void put_bias(writer *w, const toy_matmul *m) {
    fprintf(w->f, "%s\n%d\n", m->bias_name, m->oc);
    put_floats(w, m->bias, (size_t)m->oc);
}

static void put_block(writer *w, const toy_block *b) {
    const bool gpool = strcmp(b->kind, "gpool_block") == 0;
    fprintf(w->f, "%s\n%s\n", b->kind, b->name);
    if (b->n_inner)
        fprintf(w->f, "%d\n", b->n_inner);
    put_norm(w, &b->n1);
    put_conv(w, &b->c1);
    for (int i = 0; i < b->n_inner; i++)
        put_block(w, &b->inner[i]);
    if (gpool) {
        put_conv(w, &b->cg);
        put_norm(w, &b->ng);
        put_matmul(w, &b->m);
    }
    put_norm(w, &b->n2);
    put_conv(w, &b->c2);
}

static void put_heads(writer *w, const toy_net *net) {
    fputs("policyhead\n", w->f);
    if (net->version >= 17)
        fprintf(w->f, "%d 0 0 0\n", net->p2.oc);
    put_conv(w, &net->p1);
    put_conv(w, &net->g1);
    put_norm(w, &net->g1_norm);
    put_matmul(w, &net->gpool);
    put_norm(w, &net->p1_norm);
    put_conv(w, &net->p2);
    put_matmul(w, &net->pass);
    if (net->version >= 15) {
        put_bias(w, &net->pass);
        put_act(w, "passact", net->pass_act);
        put_matmul(w, &net->pass2);
    }
    fputs("valuehead\n", w->f);
    if (net->version >= 17)
        fputs("0 0 0\n", w->f);
    put_conv(w, &net->v1);
    put_norm(w, &net->v1_norm);
    put_matmul(w, &net->v2);
    put_bias(w, &net->v2);
    put_act(w, "v2act", net->v2_act);
    put_matmul(w, &net->v3);
    put_bias(w, &net->v3);
    put_matmul(w, &net->sv3);
    put_bias(w, &net->sv3);
    put_conv(w, &net->ownership);
}

unsigned char *toy_write(const toy_net *net, bool text, size_t *bytes) {
    char *data = NULL;
    writer w = {.f = need(open_memstream(&data, bytes)), .text = text, .version = net->version};
    fprintf(w.f, "toy%d\n%d\n%d %d\n", net->version, net->version, net->n_spatial, net->n_global);
    if (net->version >= 13)
        fputs("20 20 20 20 40 0.25 150\n", w.f);
    if (net->version >= 15)
        fprintf(w.f, "%d 0 0 0 0 0 0 0\n", net->meta_encoder);
    fprintf(w.f, "trunk\n%d %d 1 1 1 1\n", net->n_blocks, net->channels);
    if (net->version >= 15)
        fprintf(w.f, "%d 0 0 0 0 0\n", net->trunk_norm);
    put_conv(&w, &net->stem);
    put_matmul(&w, &net->global);
    for (int i = 0; i < net->n_blocks; i++)
        put_block(&w, &net->blocks[i]);
    put_norm(&w, &net->tip);
    put_heads(&w, net);
    fclose(w.f);
    return need(data);
}

unsigned char *toy_gzip(const unsigned char *data, size_t n, size_t *bytes) {
    z_stream z = {0};
    if (deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        need(NULL);
    const size_t capacity = deflateBound(&z, n) + 64;
    unsigned char *out = need(malloc(capacity));
    z.next_in = (unsigned char *)(uintptr_t)data;
    z.avail_in = (uInt)n;
    z.next_out = out;
    z.avail_out = (uInt)capacity;
    if (deflate(&z, Z_FINISH) != Z_STREAM_END)
        need(NULL);
    *bytes = capacity - z.avail_out;
    deflateEnd(&z);
    return out;
}

/* ---- the forward pass ---- */

typedef struct board {
    int h, w;
    const float *mask; /* every n_spatial-th */
    int stride;
    double n; /* points on the board */
} board;

static double on_board(const board *b, int point) {
    return b->mask[point * b->stride];
}

static double *conv(const board *b, const toy_conv *c, const double *x) {
    double *y = need(calloc((size_t)(b->h * b->w * c->oc), sizeof *y));
    for (int py = 0; py < b->h; py++)
        for (int px = 0; px < b->w; px++)
            for (int ky = 0; ky < c->kh; ky++)
                for (int kx = 0; kx < c->kw; kx++) {
                    const int iy = py + ky - c->kh / 2, ix = px + kx - c->kw / 2;
                    if (iy < 0 || iy >= b->h || ix < 0 || ix >= b->w)
                        continue;
                    for (int i = 0; i < c->ic; i++)
                        for (int o = 0; o < c->oc; o++)
                            y[(py * b->w + px) * c->oc + o] +=
                                x[(iy * b->w + ix) * c->ic + i] *
                                (double)c->w[((ky * c->kw + kx) * c->ic + i) * c->oc + o];
                }
    return y;
}

static double activate(const char *act, double x) {
    if (strcmp(act, "ACTIVATION_RELU") == 0)
        return x > 0 ? x : 0;
    if (strcmp(act, "ACTIVATION_MISH") == 0)
        return x * tanh(log1p(exp(x)));
    if (strcmp(act, "ACTIVATION_SILU") == 0)
        return x / (1 + exp(-x));
    return x;
}

static double *normed(const board *b, const toy_norm *n, const double *x) {
    double *y = need(malloc((size_t)(b->h * b->w * n->c) * sizeof *y));
    for (int i = 0; i < b->h * b->w; i++)
        for (int c = 0; c < n->c; c++) {
            double v = (x[i * n->c + c] - (double)n->mean[c]) / sqrt((double)n->variance[c] + n->epsilon);
            v = v * (n->has_scale ? (double)n->scale[c] : 1) + (n->has_bias ? (double)n->bias[c] : 0);
            y[i * n->c + c] = activate(n->act, v) * on_board(b, i);
        }
    return y;
}

static double *matmul(const toy_matmul *m, const double *x, bool bias, const char *act) {
    double *y = need(malloc((size_t)m->oc * sizeof *y));
    for (int o = 0; o < m->oc; o++) {
        y[o] = bias ? (double)m->bias[o] : 0;
        for (int i = 0; i < m->ic; i++)
            y[o] += x[i] * (double)m->w[i * m->oc + o];
        y[o] = activate(act, y[o]);
    }
    return y;
}

static double *pooled(const board *b, const double *x, int c, bool value) {
    double *y = need(malloc((size_t)(3 * c) * sizeof *y));
    const double size = (sqrt(b->n) - 14) / 10;
    for (int k = 0; k < c; k++) {
        double sum = 0, most = -INFINITY;
        for (int i = 0; i < b->h * b->w; i++)
            if (on_board(b, i) != 0) {
                sum += x[i * c + k];
                most = fmax(most, x[i * c + k]);
            }
        y[k] = sum / b->n;
        y[c + k] = sum / b->n * size;
        y[2 * c + k] = value ? sum / b->n * (size * size - 0.1) : most;
    }
    return y;
}

static void add(double *x, const double *y, size_t n) {
    for (size_t i = 0; i < n; i++)
        x[i] += y[i];
}

static void add_to_points(const board *b, double *x, const double *vector, int c) {
    for (int i = 0; i < b->h * b->w; i++)
        add(x + i * c, vector, (size_t)c);
}

static void forward_block(const board *b, const toy_block *k, double *x) {
    double *y = normed(b, &k->n1, x);
    double *r = conv(b, &k->c1, y);
    for (int i = 0; i < k->n_inner; i++)
        forward_block(b, &k->inner[i], r);
    if (strcmp(k->kind, "gpool_block") == 0) {
        double *g = conv(b, &k->cg, y), *a = normed(b, &k->ng, g), *p = pooled(b, a, k->cg.oc, false);
        double *bias = matmul(&k->m, p, false, "");
        add_to_points(b, r, bias, k->c1.oc);
        free(g), free(a), free(p), free(bias);
    }
    double *z = normed(b, &k->n2, r), *out = conv(b, &k->c2, z);
    add(x, out, (size_t)(b->h * b->w * k->c2.oc));
    free(y), free(r), free(z), free(out);
}

static void forward_policy(const toy_net *net, const board *b, const double *tip, toy_outputs *out) {
    double *p = conv(b, &net->p1, tip), *g = conv(b, &net->g1, tip), *a = normed(b, &net->g1_norm, g);
    double *pool = pooled(b, a, net->g1.oc, false), *bias = matmul(&net->gpool, pool, false, "");
    add_to_points(b, p, bias, net->p1.oc);
    double *q = normed(b, &net->p1_norm, p);
    out->policy = conv(b, &net->p2, q);
    out->pass = matmul(&net->pass, pool, net->version >= 15, net->version >= 15 ? net->pass_act : "");
    if (net->version >= 15) {
        double *hidden = out->pass;
        out->pass = matmul(&net->pass2, hidden, false, "");
        free(hidden);
    }
    free(p), free(g), free(a), free(pool), free(bias), free(q);
}

static void forward_value(const toy_net *net, const board *b, const double *tip, toy_outputs *out) {
    double *v = conv(b, &net->v1, tip), *a = normed(b, &net->v1_norm, v), *pool = pooled(b, a, net->v1.oc, true);
    double *hidden = matmul(&net->v2, pool, true, net->v2_act), *value = matmul(&net->v3, hidden, true, "");
    memcpy(out->value, value, sizeof out->value);
    out->score = matmul(&net->sv3, hidden, true, "");
    out->ownership = conv(b, &net->ownership, a);
    free(v), free(a), free(pool), free(hidden), free(value);
}

void toy_forward(const toy_net *net, int h, int w, const float *spatial, const float *global, toy_outputs *out) {
    board b = {.h = h, .w = w, .mask = spatial, .stride = net->n_spatial};
    double g[64] = {0};
    double *in = need(malloc((size_t)(h * w * net->n_spatial) * sizeof *in));
    for (int i = 0; i < h * w * net->n_spatial; i++)
        in[i] = (double)spatial[i];
    for (int i = 0; i < h * w; i++)
        b.n += on_board(&b, i);
    for (int i = 0; i < net->n_global; i++)
        g[i] = (double)global[i];
    double *x = conv(&b, &net->stem, in), *bias = matmul(&net->global, g, false, "");
    add_to_points(&b, x, bias, net->channels);
    for (int i = 0; i < net->n_blocks; i++)
        forward_block(&b, &net->blocks[i], x);
    double *tip = normed(&b, &net->tip, x);
    forward_policy(net, &b, tip, out);
    forward_value(net, &b, tip, out);
    free(in), free(x), free(bias), free(tip);
}

void toy_outputs_free(toy_outputs *out) {
    free(out->policy), free(out->pass), free(out->score), free(out->ownership);
}

void toy_position(const toy_net *net, uint64_t seed, int h, int w, int b, float *spatial, float *global) {
    for (int i = 0; i < h * w; i++)
        for (int c = 0; c < net->n_spatial; c++) {
            const bool there = i / w < b && i % w < b;
            const double v = uniform(&seed);
            spatial[i * net->n_spatial + c] = there && (c == 0 || v > 0.3) ? 1.0f : 0.0f;
        }
    for (int i = 0; i < net->n_global; i++)
        global[i] = (float)uniform(&seed);
}
