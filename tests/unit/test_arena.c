/* The activation arena: thousands of random sets of lifetimes, none of which may overlap; and what sharing must reach.
 */
#include "arena.h"
#include "testing.h"

enum { MAX_ITEMS = 60, N_SETS = 4000, ALIGN = 256 };

static kiln_context *context;
static uint64_t state = 1;

static uint32_t random_below(uint32_t n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % n;
}

static bool at_once(const kiln_arena_item *a, const kiln_arena_item *b) {
    return a->first <= b->last && b->first <= a->last;
}

static bool overlap(const kiln_arena_item *a, const kiln_arena_item *b) {
    return a->offset_bytes < b->offset_bytes + b->bytes && b->offset_bytes < a->offset_bytes + a->bytes;
}

/* The most bytes alive at one op: no arena can be smaller. */
static size_t floor_of(const kiln_arena_item *items, size_t n, int32_t n_ops) {
    size_t most = 0;
    for (int32_t op = 0; op < n_ops; op++) {
        size_t bytes = 0;
        for (size_t i = 0; i < n; i++)
            if (items[i].first <= op && op <= items[i].last)
                bytes += items[i].bytes;
        most = bytes > most ? bytes : most;
    }
    return most;
}

static void check_set(const kiln_arena_item *items, size_t n, int32_t n_ops, const kiln_arena *arena) {
    size_t all = 0;
    for (size_t i = 0; i < n; i++) {
        all += (items[i].bytes + ALIGN - 1) / ALIGN * ALIGN;
        CHECK(items[i].offset_bytes % ALIGN == 0 && items[i].offset_bytes + items[i].bytes <= arena->bytes);
        for (size_t k = 0; k < i; k++) {
            CHECK(!at_once(&items[i], &items[k]) || !overlap(&items[i], &items[k]));
            /* The zeros of a halo survive only where nothing else is ever written. */
            if (items[i].halo_class >= 0 || items[k].halo_class >= 0)
                CHECK(!overlap(&items[i], &items[k]) ||
                      (items[i].halo_class == items[k].halo_class && items[i].offset_bytes == items[k].offset_bytes));
        }
    }
    CHECK(arena->unshared_bytes == all && arena->bytes <= all);
    CHECK(arena->bytes >= floor_of(items, n, n_ops));
}

static void test_random(void) {
    for (int set = 0; set < N_SETS && test_failures == 0; set++) {
        kiln_arena_item items[MAX_ITEMS] = {{0}};
        kiln_arena arena;
        const size_t n = random_below(MAX_ITEMS + 1);
        const int32_t n_ops = 1 + (int32_t)random_below(40);
        const uint32_t n_classes = random_below(4);
        for (size_t i = 0; i < n; i++) {
            items[i].first = (int32_t)random_below((uint32_t)n_ops);
            items[i].last = items[i].first + (int32_t)random_below((uint32_t)(n_ops - items[i].first));
            items[i].halo_class = (int32_t)random_below(n_classes + 1) - 1;
            items[i].bytes =
                items[i].halo_class >= 0 ? 1000u * (uint32_t)(items[i].halo_class + 1) : 1 + random_below(5000);
        }
        REQUIRE_OK(kiln__arena_place(context, items, n, ALIGN, &arena));
        check_set(items, n, n_ops, &arena);
        if (test_failures)
            fprintf(stderr, "in set %d\n", set);
    }
}

/* A chain, each op reading what the one before wrote: two places are enough. */
static void test_chain(void) {
    kiln_arena_item items[20] = {{0}};
    kiln_arena arena;
    for (int32_t i = 0; i < 20; i++)
        items[i] = (kiln_arena_item){.bytes = 1024, .first = i, .last = i + 1, .halo_class = -1};
    CHECK_OK(kiln__arena_place(context, items, 20, ALIGN, &arena));
    CHECK(arena.bytes == 2 * 1024 && arena.unshared_bytes == 20 * 1024);
    for (int32_t i = 0; i < 20; i++)
        items[i].halo_class = 0;
    CHECK_OK(kiln__arena_place(context, items, 20, ALIGN, &arena));
    CHECK(arena.bytes == 2 * 1024);
}

static void test_overflow(void) {
    kiln_arena_item items[2] = {{.bytes = SIZE_MAX, .halo_class = -1}, {.bytes = 1, .halo_class = -1}};
    kiln_arena arena;
    CHECK_STATUS(kiln__arena_place(context, items, 2, ALIGN, &arena), KILN_E_INVALID);
    for (int i = 0; i < 2; i++)
        items[i].bytes = SIZE_MAX / 4;
    CHECK_OK(kiln__arena_place(context, items, 0, ALIGN, &arena));
    CHECK(arena.bytes == 0);
}

int main(void) {
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    options.backends = "";
    options.cache_dir = "";
    REQUIRE_OK(kiln_context_create(&options, &context));
    test_random();
    test_chain();
    test_overflow();
    kiln_context_destroy(context);
    return test_end();
}
