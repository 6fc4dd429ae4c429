/* Instructions that are more than arithmetic over lanes. What each finds in its instruction is said where it is
 * decoded. */
#ifndef SIMCUDA_STEPS_H
#define SIMCUDA_STEPS_H

#include "engine.h"

/* step_float.c: lanes under another rounding, with flushing and saturation */
sim_step_fn sim__step_modified;

/* step_convert.c */
sim_step_fn sim__step_convert;

/* step_misc.c */
sim_step_fn sim__step_setp, sim__step_set, sim__step_bfi, sim__step_carry, sim__step_lop3, sim__step_pack,
    sim__step_unpack, sim__step_clock, sim__step_nothing, sim__step_isspacep, sim__step_cvta;

/* step_control.c */
sim_step_fn sim__step_branch, sim__step_branch_table, sim__step_call, sim__step_return, sim__step_exit, sim__step_trap;

/* step_barrier.c */
sim_step_fn sim__step_barrier, sim__step_warp_barrier;

/* step_memory.c, step_atomic.c */
sim_step_fn sim__step_load, sim__step_store, sim__step_atomic;

/* step_async.c */
sim_step_fn sim__step_copy, sim__step_commit, sim__step_wait;

/* step_warp.c */
sim_step_fn sim__step_shuffle, sim__step_vote, sim__step_match, sim__step_reduce, sim__step_activemask;

/* step_matrix.c */
sim_step_fn sim__step_mma, sim__step_ldmatrix, sim__step_movmatrix;

#endif
