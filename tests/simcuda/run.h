/* What execution's own files know of each other. */
#ifndef SIMCUDA_RUN_H
#define SIMCUDA_RUN_H

#include "engine.h"

/* ---- report.c ---- */
bool sim__fault_launch(sim_exec *x, const char *format, ...) __attribute__((format(printf, 2, 3))); /* always false */
/* Some lanes of a warp are at a barrier, or something else for all, and others never come. */
sim_step sim__fault_missing(sim_exec *x, const sim_instr *in, uint32_t mask);
/* No warp of the block can go on: says who waits where, always false. */
bool sim__barrier_stuck(sim_exec *x);

/* ---- step_barrier.c ---- */
/* The lanes of `mask` wait for those that their `members` name, or for the whole warp. NEXT: all are here. */
sim_step sim__warp_sync(sim_exec *x, const sim_instr *in, uint32_t mask, sim_operand members);
sim_step sim__whole_warp(sim_exec *x, const sim_instr *in, uint32_t mask);

/* ---- step_float.c ---- */
void sim__flush(float *to, const float *from); /* subnormals of 32 lanes to zero */
int sim__host_rounding(sim_round round);

/* ---- meter.c ---- */
void sim__meter_fill(const sim_exec *x, uint64_t blocks, sim_meter *meter);

/* ---- shape.c: how the places of an access lie to each other ---- */

typedef enum sim_pattern {
    SIM_PATTERN_ANY,
    SIM_PATTERN_ROW, /* all 32 lanes, each behind the one before */
    SIM_PATTERN_ONE, /* all active lanes at one place */
} sim_pattern;

/* In a loop an instruction's addresses move, but their distances from each other seldom change: each keeps the last
 * shape it had and what follows from it. */
typedef struct sim_shape {
    uint32_t mask, space;
    uint32_t phase;              /* of the first active lane's address: where it is in a sector */
    uint64_t distance[SIM_WARP]; /* from it; what inactive lanes have does not matter */
    uint64_t watch[SIM_WARP];    /* all ones for active lanes */
    uint64_t below;              /* the lowest address is that much below the first */
    uint64_t span;               /* and the highest that much above the lowest */
    sim_pattern pattern;
    uint32_t cost;   /* sectors of global memory, passes of shared */
    uint32_t n_runs; /* what is touched, in pieces without holes, from the lowest address on */
    struct {
        uint64_t begin, bytes;
    } run[SIM_WARP];
} sim_shape;

/* ---- access.c: where a warp's lanes go ---- */

/* Where the active lanes of one access go, in one space. */
typedef struct sim_places {
    sim_space space;
    uint32_t mask, bytes;       /* each lane touches `bytes` */
    uint64_t address[SIM_WARP]; /* in their space: local and shared ones are offsets */
    uint64_t low, high;         /* of active lanes */
    sim_pattern pattern;
    const sim_shape *shape;
    uint8_t *host, *shadow; /* of address 0: add the address. shadow NULL: not watched */
} sim_places;

/* Fills low, high, pattern and shape. false: some address is not a multiple of `bytes`, or no host memory. */
bool sim__shape(sim_exec *x, const sim_instr *in, sim_places *at);
void sim__shapes_free(sim_exec *x);

/* COPY: the source of an async copy, which takes marks along; FILL: its destination, written later */
typedef enum sim_use { SIM_USE_LOAD, SIM_USE_STORE, SIM_USE_ATOMIC, SIM_USE_COPY, SIM_USE_FILL } sim_use;

/* One part of an access: the lanes of `mask` that touch one space (and of global memory one allocation). They are
 * checked and counted; the rest of the mask is left in `rest`. */
sim_step sim__places(sim_exec *x, const sim_instr *in, const sim_access *a, sim_use use, uint32_t mask, sim_places *out,
                     uint32_t *rest);
bool sim__all_written(const uint8_t *shadow, size_t bytes);

#endif
