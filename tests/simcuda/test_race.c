/* The detector of races in shared memory: every kind of race, planted, beside its clean twin. */
#include "race.h"
#include "testing.h"
#include <time.h>

enum { SHARED = 48 << 10, FULL = -1 };

static sim_race *race;
static sim_race_conflict conflict;

static void begin(uint32_t threads) {
    sim_race_begin(race, SHARED, threads);
}

/* Lane l of the warp touches base + stride * l. */
static bool lanes(sim_race_kind kind, uint32_t warp, uint32_t mask, uint32_t base, uint32_t stride, uint32_t bytes,
                  uint32_t pc) {
    uint32_t address[SIM_WARP];
    for (uint32_t lane = 0; lane < SIM_WARP; lane++)
        address[lane] = base + stride * lane;
    const sim_race_access access = {kind, warp, mask, address, bytes, pc};
    memset(&conflict, 0xff, sizeof conflict);
    return sim_race_note(race, &access, &conflict);
}

/* One thread touches one place. */
static bool one(sim_race_kind kind, uint32_t thread, uint32_t address, uint32_t bytes, uint32_t pc) {
    return lanes(kind, thread / SIM_WARP, 1u << thread % SIM_WARP, address, 0, bytes, pc);
}

#define READ   SIM_RACE_READ
#define WRITE  SIM_RACE_WRITE
#define ATOMIC SIM_RACE_ATOMIC
#define ASYNC  SIM_RACE_ASYNC

static void barrier(void) {
    sim_race_barrier(race, UINT32_MAX);
}

/* ---- between warps ---- */

static void test_read_after_write(void) {
    begin(64);
    CHECK(!lanes(WRITE, 0, FULL, 0, 4, 4, 10));
    CHECK(!lanes(READ, 0, FULL, 0, 4, 4, 11)); /* each lane its own */
    CHECK(lanes(READ, 1, FULL, 64, 4, 4, 12));
    CHECK(conflict.address == 64 && conflict.lane == 0 && conflict.other_thread == 16 && conflict.other_pc == 10);
    CHECK(conflict.kind == READ && conflict.other_kind == WRITE);
    begin(64);
    CHECK(!lanes(WRITE, 0, FULL, 0, 4, 4, 10));
    barrier();
    CHECK(!lanes(READ, 1, FULL, 64, 4, 4, 12));
}

static void test_write_after_read(void) {
    begin(96);
    CHECK(!one(READ, 5, 400, 4, 10));
    CHECK(!one(READ, 40, 400, 4, 11)); /* reads do not race */
    CHECK(one(WRITE, 70, 400, 4, 12));
    CHECK(conflict.address == 400 && conflict.lane == 6 && conflict.other_thread == 40 && conflict.other_pc == 11);
    CHECK(conflict.other_kind == READ);
    begin(96);
    CHECK(!one(READ, 5, 400, 4, 10) && !one(READ, 40, 400, 4, 11));
    barrier();
    CHECK(!one(WRITE, 70, 400, 4, 12));
    CHECK(!one(READ, 70, 400, 4, 13));
    CHECK(one(READ, 5, 400, 4, 10)); /* the loop's next turn, with its barrier forgotten */
}

static void test_write_after_write(void) {
    begin(64);
    CHECK(!one(WRITE, 3, 8, 4, 10));
    CHECK(!one(WRITE, 3, 8, 4, 11)); /* the same thread again */
    CHECK(one(WRITE, 33, 8, 4, 12));
    CHECK(conflict.other_thread == 3 && conflict.other_pc == 11 && conflict.other_kind == WRITE);
    begin(64);
    CHECK(!one(WRITE, 3, 8, 4, 10));
    barrier();
    CHECK(!one(WRITE, 33, 8, 4, 12));
}

/* A block's end is a barrier: the next block has shared memory of its own. */
static void test_blocks(void) {
    begin(64);
    CHECK(!one(WRITE, 0, 8, 4, 10));
    begin(64);
    CHECK(!one(WRITE, 33, 8, 4, 10));
}

/* ---- inside a warp ---- */

static void test_one_store_one_place(void) {
    begin(32);
    CHECK(lanes(WRITE, 0, FULL, 16, 0, 4, 10));
    CHECK(conflict.address == 16 && conflict.other_thread != conflict.lane && conflict.other_pc == 10);
    begin(32);
    CHECK(!lanes(WRITE, 0, 1u << 7, 16, 0, 4, 10)); /* one lane alone */
    begin(32);                                      /* not next to each other: lanes 0 and 2 */
    uint32_t address[SIM_WARP];
    for (uint32_t lane = 0; lane < SIM_WARP; lane++)
        address[lane] = lane == 2 ? 0 : 4 * lane;
    const sim_race_access access = {WRITE, 0, UINT32_MAX, address, 4, 10};
    CHECK(sim_race_note(race, &access, &conflict));
    CHECK(conflict.address == 0 && conflict.lane == 2 && conflict.other_thread == 0);
}

static void test_warp_sync(void) {
    begin(64);
    CHECK(!one(WRITE, 1, 0, 4, 10));
    CHECK(one(READ, 2, 0, 4, 11));
    begin(64);
    CHECK(!one(READ, 1, 0, 4, 10));
    CHECK(one(WRITE, 2, 0, 4, 11));
    begin(64);
    CHECK(!one(WRITE, 1, 0, 4, 10));
    sim_race_warp_sync(race, 0, UINT32_MAX);
    CHECK(!one(READ, 2, 0, 4, 11));
    sim_race_warp_sync(race, 0, UINT32_MAX);
    CHECK(!one(WRITE, 3, 0, 4, 12));
    sim_race_warp_sync(race, 0, UINT32_MAX);
    CHECK(one(READ, 35, 0, 4, 13)); /* which is nothing to another warp */
}

/* All lanes read one word, one of which wrote it. */
static void test_broadcast(void) {
    begin(32);
    CHECK(!one(WRITE, 4, 0, 4, 10));
    CHECK(lanes(READ, 0, FULL, 0, 0, 4, 11));
    CHECK(conflict.lane != 4 && conflict.other_thread == 4);
    begin(32);
    CHECK(!one(WRITE, 4, 0, 4, 10));
    sim_race_warp_sync(race, 0, UINT32_MAX);
    CHECK(!lanes(READ, 0, FULL, 0, 0, 4, 11));
    CHECK(one(WRITE, 4, 0, 4, 12)); /* others read it */
    begin(32);
    CHECK(!lanes(READ, 0, 1u << 4, 0, 0, 4, 11));
    CHECK(!one(WRITE, 4, 0, 4, 12)); /* nobody else did */
}

/* ---- atomics ---- */

static void test_atomics(void) {
    begin(96);
    CHECK(!lanes(ATOMIC, 0, FULL, 0, 0, 4, 10));
    CHECK(!lanes(ATOMIC, 1, FULL, 0, 0, 4, 10));
    CHECK(one(READ, 70, 0, 4, 11));
    CHECK(conflict.other_kind == ATOMIC);
    begin(96);
    CHECK(!one(WRITE, 0, 0, 4, 9)); /* to zero, with no barrier after it */
    CHECK(lanes(ATOMIC, 1, FULL, 0, 0, 4, 10));
    begin(96);
    CHECK(!one(READ, 0, 0, 4, 9));
    CHECK(!one(ATOMIC, 0, 0, 4, 10));
    CHECK(one(ATOMIC, 40, 0, 4, 10)); /* with the read, not with the atomic */
    CHECK(conflict.other_kind == READ && conflict.other_pc == 9);
    begin(96);
    CHECK(!one(WRITE, 0, 0, 4, 9));
    barrier();
    CHECK(!lanes(ATOMIC, 0, FULL, 0, 0, 4, 10) && !lanes(ATOMIC, 1, FULL, 0, 0, 4, 10));
    barrier();
    CHECK(!one(READ, 70, 0, 4, 11));
}

/* ---- sizes ---- */

static void test_bytes(void) {
    begin(64);
    CHECK(!lanes(WRITE, 0, FULL, 0, 2, 2, 10)); /* halves of words */
    CHECK(!one(WRITE, 33, 64, 1, 11));
    CHECK(!one(WRITE, 34, 65, 1, 11)); /* another byte of a word */
    CHECK(!one(READ, 0, 0, 2, 12));
    CHECK(one(READ, 0, 0, 4, 12)); /* its other half is lane 1's */
    CHECK(conflict.address == 2 && conflict.other_thread == 1);
    CHECK(one(READ, 0, 65, 1, 12));
    CHECK(conflict.address == 65 && conflict.other_thread == 34);
    barrier();
    CHECK(!lanes(READ, 1, FULL, 0, 4, 4, 13)); /* words again */
    CHECK(one(WRITE, 0, 2, 2, 14));
    CHECK(conflict.address == 2);
}

static void test_wide(void) {
    begin(64);
    CHECK(!lanes(WRITE, 0, FULL, 0, 16, 16, 10));
    CHECK(!lanes(READ, 0, FULL, 0, 16, 16, 11));
    CHECK(one(READ, 32, 508, 4, 12));
    CHECK(conflict.other_thread == 31);
    CHECK(one(WRITE, 33, 240, 16, 12));
    CHECK(conflict.address == 240 && conflict.other_thread == 15);
}

/* Half a word is written, then the whole by the same thread: one write, of all of it. */
static void test_whole_again(void) {
    begin(64);
    CHECK(!one(WRITE, 0, 0, 2, 10));
    CHECK(!one(WRITE, 0, 0, 4, 11));
    CHECK(one(READ, 32, 2, 2, 12));
    CHECK(conflict.address == 2 && conflict.other_pc == 11);
}

/* ---- barriers of some warps ---- */

static void test_some_warps(void) {
    begin(96);
    CHECK(!one(WRITE, 0, 0, 4, 10));
    CHECK(!one(READ, 64, 8, 4, 10));
    sim_race_barrier(race, 3); /* warps 0 and 1 */
    CHECK(!one(READ, 32, 0, 4, 11));
    CHECK(one(READ, 64, 0, 4, 11)); /* warp 2 was not there */
    CHECK(one(WRITE, 32, 8, 4, 11));
    CHECK(conflict.other_thread == 64 && conflict.other_kind == READ);
    sim_race_barrier(race, 6); /* 1 and 2: what 1 is behind, 2 is too */
    CHECK(!one(READ, 64, 0, 4, 12));
    CHECK(one(WRITE, 0, 0, 4, 13)); /* 0 does not know of their reads */
    CHECK(conflict.other_kind == READ);
    barrier();
    CHECK(!one(WRITE, 0, 0, 4, 14));
    /* A pair hands a place to and fro by barriers of its own, again and again. */
    for (unsigned turn = 0; turn < 3; turn++) {
        sim_race_barrier(race, 3);
        CHECK(!one(READ, 33, 0, 4, 15));
        sim_race_barrier(race, 3);
        CHECK(!one(WRITE, 1, 0, 4, 16));
    }
    CHECK(one(READ, 33, 0, 4, 17));
}

/* ---- async copies ---- */

static void test_async(void) {
    begin(64);
    CHECK(!lanes(ASYNC, 0, FULL, 0, 16, 16, 10));
    CHECK(one(READ, 0, 0, 4, 11)); /* its own thread did not wait */
    CHECK(conflict.other_kind == ASYNC && conflict.other_pc == 10 && conflict.other_thread == 0);
    barrier();
    CHECK(one(READ, 40, 20, 4, 12)); /* a barrier is no wait */
    CHECK(conflict.other_kind == ASYNC && conflict.other_thread == 1);
    CHECK(one(WRITE, 2, 32, 4, 13));
    CHECK(one(ASYNC, 2, 32, 16, 13)); /* nor may a second copy go there */
    for (uint32_t lane = 0; lane < SIM_WARP; lane++)
        sim_race_landed(race, lane, 16 * lane, 16, 10);
    CHECK(!one(READ, 0, 0, 4, 14));
    CHECK(one(READ, 40, 20, 4, 15)); /* the wait is one of the thread that copied */
    CHECK(conflict.other_kind == ASYNC);
    barrier();
    CHECK(!one(READ, 40, 20, 4, 16));
    CHECK(one(ASYNC, 1, 16, 16, 17)); /* into what is still being read */
    CHECK(conflict.other_thread == 40 && conflict.other_kind == READ);
    begin(64);
    CHECK(!one(READ, 40, 20, 4, 16));
    barrier();
    CHECK(!one(ASYNC, 1, 16, 16, 17));
}

/* Copies that a block left on their way are nothing to the next. */
static void test_async_left(void) {
    begin(64);
    CHECK(!lanes(ASYNC, 0, FULL, 0, 4, 4, 10));
    begin(64);
    CHECK(!lanes(READ, 1, FULL, 0, 4, 4, 11));
}

/* Into words that were written in halves. */
static void test_async_over_halves(void) {
    begin(64);
    CHECK(!one(WRITE, 3, 2, 2, 10));
    CHECK(!one(ASYNC, 3, 0, 4, 11));
    sim_race_landed(race, 3, 0, 4, 11);
    CHECK(!one(READ, 3, 2, 2, 12));
    begin(64);
    CHECK(!one(READ, 40, 2, 2, 13));
}

/* ---- `test_race --bench` ---- */

static void measure(const char *what, sim_race_kind kind, uint32_t stride, uint32_t bytes) {
    enum { TIMES = 20000, WARPS = 8 };
    begin(WARPS * SIM_WARP);
    const clock_t start = clock();
    bool any = false;
    for (unsigned t = 0; t < TIMES; t++) {
        for (uint32_t w = 0; w < WARPS; w++)
            any |=
                lanes(kind, w, UINT32_MAX, ((kind == READ ? 0 : w) * 8 + t % 8) * SIM_WARP * bytes, stride, bytes, 1);
        if (t % 8 == 7)
            barrier();
    }
    CHECK(!any);
    printf("%s: %.1f ns a warp\n", what, (double)(clock() - start) / CLOCKS_PER_SEC / TIMES / WARPS * 1e9);
}

int main(int argc, char **argv) {
    race = sim_race_create(SHARED);
    REQUIRE(race != NULL);
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
        measure("read 4 bytes side by side", READ, 4, 4);
        measure("read 4 bytes, all the same", READ, 0, 4);
        measure("read 16 bytes side by side", READ, 16, 16);
        measure("read 16 bytes, all the same", READ, 0, 16);
        measure("write 4 bytes side by side", WRITE, 4, 4);
        measure("write 2 bytes side by side", WRITE, 2, 2);
        return test_end();
    }
    test_read_after_write();
    test_write_after_read();
    test_write_after_write();
    test_blocks();
    test_one_store_one_place();
    test_warp_sync();
    test_broadcast();
    test_atomics();
    test_bytes();
    test_wide();
    test_whole_again();
    test_some_warps();
    test_async();
    test_async_left();
    test_async_over_halves();
    sim_race_destroy(race);
    return test_end();
}
