/* Races in the shared memory of one block: two threads touch the same byte, at least one writes, and no barrier both
 * took part in lies between. Two atomics never race with each other. Threads of one warp are in order where they
 * synchronised (bar.warp.sync, shfl.sync, ...), not because they run in lockstep: the next device may not. Lanes that
 * write different places in one instruction do not race, lanes that write the same byte in one plain store do.
 *
 * Threads are numbered warp * 32 + lane; a block has at most 32 warps. Addresses are offsets in the block's shared
 * memory. Nothing here allocates after sim_race_create. Every shared access of a simulated kernel goes through
 * sim_race_note: its fast paths (32 lanes next to each other, all lanes at one address, no other access since the
 * barrier) decide the simulator's speed.
 */
#ifndef SIMCUDA_RACE_H
#define SIMCUDA_RACE_H

#include "sim.h"

typedef struct sim_race sim_race;

typedef enum sim_race_kind {
    SIM_RACE_READ,
    SIM_RACE_WRITE,
    SIM_RACE_ATOMIC,
    SIM_RACE_ASYNC, /* the write of a cp.async, from its issue until its wait */
} sim_race_kind;

/* One warp-wide access. */
typedef struct sim_race_access {
    sim_race_kind kind;      /* SIM_RACE_ASYNC: from now until sim_race_landed the bytes belong to the copy */
    uint32_t warp, mask;     /* which warp, which of its lanes */
    const uint32_t *address; /* [32], those of active lanes are valid and inside the memory */
    uint32_t bytes;          /* each lane touches [address, address + bytes): 1, 2, 4, 8 or 16, aligned to its size */
    uint32_t pc;             /* identifies the instruction in reports */
} sim_race_access;

/* What a race is between. An async copy that was touched before its wait, or by another thread without a barrier after
 * the wait, has other_kind SIM_RACE_ASYNC. Of several earlier accesses one is named. */
typedef struct sim_race_conflict {
    uint32_t address;      /* the first byte of it */
    uint32_t lane;         /* of the access being noted */
    uint32_t other_thread; /* warp * 32 + lane */
    uint32_t other_pc;
    sim_race_kind kind, other_kind;
} sim_race_conflict;

sim_race *sim_race_create(uint32_t max_shared_bytes); /* NULL: no memory */
void sim_race_destroy(sim_race *race);

/* A new block begins: nothing was touched. */
void sim_race_begin(sim_race *race, uint32_t shared_bytes, uint32_t threads);

/* Records an access. true: it races with an earlier one, the first found is in `conflict`. */
bool sim_race_note(sim_race *race, const sim_race_access *access, sim_race_conflict *conflict);

/* The async copy that `thread` began to [address, address + bytes) has landed at its wait: from now on an ordinary
 * write of that thread, in order with what the same thread did, not with others until a barrier. */
void sim_race_landed(sim_race *race, uint32_t thread, uint32_t address, uint32_t bytes, uint32_t pc);

/* A barrier completed in which these warps took part (bit w: warp w). All of them: __syncthreads. */
void sim_race_barrier(sim_race *race, uint32_t warps);

/* Lanes of a warp synchronised: bar.warp.sync, shfl.sync, vote.sync, match.sync, redux.sync, mma, ldmatrix. */
void sim_race_warp_sync(sim_race *race, uint32_t warp, uint32_t mask);

#endif
