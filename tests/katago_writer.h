/* Small KataGo nets with random weights: described here, written as a file, and computed in double precision by plain
 * loops that share nothing with the library. */
#ifndef KILN_TESTS_KATAGO_WRITER_H
#define KILN_TESTS_KATAGO_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TOY_NAME = 64, TOY_MAX_BLOCKS = 8, TOY_MAX_MEMORY = 512 };

typedef struct toy_conv {
    char name[TOY_NAME];
    int kh, kw, ic, oc, dilation_y, dilation_x;
    float *w; /* [kh][kw][ic][oc] */
} toy_conv;

typedef struct toy_norm { /* and the activation after it */
    char name[TOY_NAME], act_name[TOY_NAME];
    const char *act;
    int c, has_scale, has_bias;
    double epsilon;
    float *mean, *variance, *scale, *bias;
} toy_norm;

typedef struct toy_matmul { /* and, where it has one, the bias after it */
    char name[TOY_NAME], bias_name[TOY_NAME];
    int ic, oc;
    float *w, *bias;
} toy_matmul;

typedef struct toy_block {
    const char *kind;
    char name[TOY_NAME];
    toy_norm n1, n2, ng;
    toy_conv c1, c2, cg; /* c1: the regular one of a gpool block, the first of a nested one */
    toy_matmul m;
    struct toy_block *inner;
    int n_inner;
} toy_block;

typedef struct toy_net {
    int version, n_spatial, n_global, n_blocks, channels;
    int meta_encoder, trunk_norm;
    toy_conv stem;
    toy_matmul global;
    toy_block blocks[TOY_MAX_BLOCKS];
    toy_norm tip;
    toy_conv p1, g1, p2, v1, ownership;
    toy_norm g1_norm, p1_norm, v1_norm;
    toy_matmul gpool, pass, pass2, v2, v3, sv3;
    const char *pass_act, *v2_act;
    void *memory[TOY_MAX_MEMORY];
    int n_memory;
    uint64_t seed;
} toy_net;

typedef struct toy_spec {
    int version;
    const char *blocks; /* o: ordinary, g: gpool, n: nested with an ordinary and a gpool block inside */
    const char *act;    /* ACTIVATION_…; before version 11 always ReLU */
    int channels, policies, scores;
    uint64_t seed;
} toy_spec;

/* Never fails: ends the process instead. */
toy_net *toy_create(const toy_spec *spec);
void toy_destroy(toy_net *net);

/* The file: floats in binary, or as text. Free with free(). */
unsigned char *toy_write(const toy_net *net, bool text, size_t *bytes);
/* The same bytes as gzip. */
unsigned char *toy_gzip(const unsigned char *data, size_t n, size_t *bytes);

/* Outputs of one position. */
typedef struct toy_outputs {
    double *policy, *pass, value[3], *score, *ownership;
} toy_outputs;

/* spatial[h][w][n_spatial], channel 0 being the mask; global[n_global]. */
void toy_forward(const toy_net *net, int h, int w, const float *spatial, const float *global, toy_outputs *out);
void toy_outputs_free(toy_outputs *out);

/* A random position whose board has b rows and columns in the corner of a frame of h by w. */
void toy_position(const toy_net *net, uint64_t seed, int h, int w, int b, float *spatial, float *global);

#endif
