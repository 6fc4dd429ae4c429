#include "peers.h"
#include <cblas.h>
#include <stdlib.h>

typedef struct state {
    const peers_case *c;
    float *output;
} state;

static void *start(unsigned threads, char version[PEERS_MAX_TEXT]) {
    openblas_set_num_threads((int)threads);
    snprintf(version, PEERS_MAX_TEXT, "%s, kernels for %s, %d threads", openblas_get_config(), openblas_get_corename(),
             openblas_get_num_threads());
    return version;
}

static void stop(void *library) {
    (void)library;
}

static bool run(void *user, size_t times) {
    const state *s = user;
    const blasint m = (blasint)s->c->m, n = (blasint)s->c->n, k = (blasint)s->c->k;
    for (size_t i = 0; i < times; i++)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, n, k, 1, s->c->input, k, s->c->weights, n, 0,
                    s->output, n);
    return true;
}

static bool read_output(void *user, float *output) {
    const state *s = user;
    memcpy(output, s->output, s->c->n_output * sizeof(float));
    return true;
}

static void close_state(void *user) {
    state *s = user;
    free(s->output);
    free(s);
}

static size_t open_runner(void *library, const peers_case *c, peers_runner *runners, size_t capacity) {
    (void)library;
    if (c->is_conv || capacity < 1)
        return 0;
    runners[0] = (peers_runner){.peer = "openblas", .how = "sgemm"};
    state *s = calloc(1, sizeof *s);
    float *output = aligned_alloc(64, (c->n_output * sizeof(float) + 63) / 64 * 64);
    if (c->has_bias_relu)
        snprintf(runners[0].absent, sizeof runners[0].absent, "BLAS has no epilogue");
    else if (!s || !output)
        snprintf(runners[0].absent, sizeof runners[0].absent, "out of memory");
    if (runners[0].absent[0]) {
        free(output);
        free(s);
        return 1;
    }
    *s = (state){c, output};
    runners[0].state = s, runners[0].run = run, runners[0].read = read_output, runners[0].close = close_state;
    return 1;
}

extern const peers_library peers_openblas;
const peers_library peers_openblas = {"OpenBLAS", start, open_runner, stop};
