/* The kernel harness: every variant of every family against an oracle in double precision.
 *
 *     check [--device NAME] [--family NAME] [--variant NAME] [--problem TEXT] [--seed N] [--samples N] [--inputs DIR]
 *
 * For each problem two sets of data are made: small integers, where a family that only adds and multiplies must be
 * exact up to the one rounding of the store, and floats up to 1 in magnitude, where the family's tolerance holds. What
 * is stored in f16 or bf16 is rounded to that type before the oracle sees it. Each candidate (the guess, and N seeded
 * samples of the other configs spread over the problems) runs twice on each set, into outputs poisoned with NaN,
 * between guard bands. */
#ifndef KILN_TESTS_CHECK_H
#define KILN_TESTS_CHECK_H

#include "binding.h"
#include "epilogue_fields.h"
#include "family.h"

/* ---- data: one set for one problem ---- */

typedef struct check_tensor {
    kiln_operand operand;
    float *data;      /* what the device gets, once stored in the operand's type; of outputs: a zero halo */
    double *expected; /* of outputs: by the oracle; the halo is zero */
    size_t n;         /* elements */
} check_tensor;

typedef struct check_data {
    check_tensor tensors[KILN_MAX_OPERANDS];
    size_t n_tensors;
    bool integers;
} check_data;

/* NULL: the problem has no such operand. */
const check_tensor *check_find(const check_data *data, const char *name);

void check_data_make(check_data *data, const kiln_lowering *operands, bool integers, uint64_t seed);
void check_data_free(check_data *data);

/* True for an element of the halo of a tensor [n,h,w,c]. */
bool check_in_halo(const kiln_operand *operand, size_t element);

/* xorshift; the state must not be 0. */
uint64_t check_random(uint64_t *state);

/* ---- oracles ---- */

typedef struct check_oracle {
    const char *family;
    void (*compute)(const kiln_problem *problem, const check_data *data); /* fills `expected` of every output */
    bool skips_unread; /* reads no halo and no point that the mask excludes: those may hold anything */
} check_oracle;

#define CHECK_ORACLE(family) extern const check_oracle check_oracle_##family;
#include "oracles.def"
#undef CHECK_ORACLE

const check_oracle *check_oracle_of(const char *family);

/* The epilogue pipeline in double; writes `sum` if there is one. item: of the batch, row: of points or matrix rows. */
double check_epilogue(const check_data *data, int64_t ep, double x, int64_t item, int64_t row, int64_t channel,
                      int64_t channels);

/* ---- running a candidate ---- */

typedef struct check_candidate {
    const kiln_problem *problem;
    const kiln_variant *variant;
    kiln_config config;
    const check_oracle *oracle;
} check_candidate;

/* Builds the candidate and runs it on each set. Returns false after having printed what is wrong. */
bool check_run(kiln_queue *queue, const check_candidate *candidate, const check_data *sets, size_t n_sets);

#endif
