#include "peers.h"
#include <stdlib.h>
#include <string.h>

static int64_t field(const kiln_problem *p, const char *name) {
    int64_t value = 0;
    return kiln_problem_get(p, name, &value) == KILN_OK ? value : 0;
}

/* Values from -1 to 1, the same on every machine. */
static float *random_values(size_t n, uint64_t *seed) {
    float *values = malloc(n * sizeof *values);
    for (size_t i = 0; values && i < n; i++) {
        *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        values[i] = (float)((double)(*seed >> 33) / (double)(UINT64_C(1) << 30) - 1.0);
    }
    return values;
}

/* The peers know two epilogues: none, and bias+relu. */
static bool read_epilogue(peers_case *c) {
    const char *ep = strstr(c->key, "ep=");
    c->has_bias_relu = ep != NULL;
    return !ep || (strncmp(ep, "ep=bias+relu", 12) == 0 && (ep[12] == 0 || ep[12] == ','));
}

static bool read_shape(peers_case *c) {
    const kiln_problem *p = &c->problem;
    c->is_conv = strncmp(c->key, "conv:", 5) == 0;
    if (c->is_conv) {
        c->batch = field(p, "n"), c->h = field(p, "h"), c->w = field(p, "w");
        c->ic = field(p, "ic"), c->oc = field(p, "oc"), c->kernel = field(p, "kh");
        if (c->kernel != field(p, "kw"))
            return false;
    } else if (strncmp(c->key, "gemm:", 5) == 0) {
        c->batch = 1, c->h = 1, c->w = field(p, "m");
        c->ic = field(p, "k"), c->oc = field(p, "n"), c->kernel = 1;
    } else {
        return false;
    }
    c->m = c->batch * c->h * c->w, c->n = c->oc, c->k = c->kernel * c->kernel * c->ic;
    return read_epilogue(c);
}

bool peers_case_open(const peers_kiln *kiln, const char *text, peers_case *c) {
    *c = (peers_case){0};
    if (kiln_problem_parse(kiln->context, text, &c->problem) != KILN_OK) {
        peers_say("%s", kiln_last_error());
        return false;
    }
    kiln_problem_key(&c->problem, c->key, sizeof c->key);
    if (!read_shape(c)) {
        peers_say("%s: the peers know gemm, and conv with a square kernel, with ep=bias+relu or none", c->key);
        return false;
    }
    uint64_t seed = 1;
    c->n_input = (size_t)(c->m * c->ic);
    c->n_weights = (size_t)(c->k * c->n);
    c->n_output = (size_t)(c->m * c->n);
    c->input = random_values(c->n_input, &seed);
    c->weights = random_values(c->n_weights, &seed);
    c->bias = random_values((size_t)c->n, &seed);
    if (c->input && c->weights && c->bias)
        return true;
    peers_say("%s: out of memory", c->key);
    peers_case_close(c);
    return false;
}

void peers_case_close(peers_case *c) {
    free(c->input);
    free(c->weights);
    free(c->bias);
    c->input = c->weights = c->bias = NULL;
}
