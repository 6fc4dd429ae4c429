/* Spaces and strategies: on a made-up space with a known optimum, and on recorded spaces of real GPUs where they are.
 */
#include "strategy.h"
#include "testing.h"
#include <math.h>
#include <zlib.h>

/* ---- a made-up space: three parameters, a rule, a bowl ---- */

static const int32_t powers[] = {1, 2, 4, 8, 16, 32, 64}, few[] = {0, 1, 2};
static const kiln_param bowl_params[] = {{"a", powers, 7}, {"b", powers, 7}, {"c", few, 3}, {NULL, NULL, 0}};
static size_t n_checked;

static bool bowl_valid(const void *user, const kiln_config *c, uint32_t known) {
    (void)user;
    n_checked++;
    return (known & 3) != 3 || c->v[0] * c->v[1] <= 256; /* a * b <= 256 */
}
static const kiln_space bowl = {bowl_params, 3, bowl_valid, NULL};

static double bowl_time(const kiln_config *c) {
    const double x = log2(c->v[0]) - 4, y = log2(c->v[1]) - 2;
    return 10 + x * x + 2 * y * y + 3 * abs(c->v[2] - 1);
}

static void test_enumeration(void) {
    kiln_space_cursor cursor = {0};
    kiln_config c, last = {{0}};
    size_t n = 0, expected = 0;
    for (int a = 0; a < 7; a++)
        for (int b = 0; b < 7; b++)
            expected += powers[a] * powers[b] <= 256 ? 3 : 0;
    while (kiln__space_next(&bowl, &cursor, &c)) {
        CHECK(c.v[0] * c.v[1] <= 256);
        CHECK(n == 0 || c.v[0] > last.v[0] || (c.v[0] == last.v[0] && c.v[1] > last.v[1]) ||
              (c.v[0] == last.v[0] && c.v[1] == last.v[1] && c.v[2] > last.v[2])); /* in order, none twice */
        last = c;
        n++;
    }
    CHECK(n == expected && kiln__space_count(&bowl, SIZE_MAX) == expected && kiln__space_count(&bowl, 5) == 5);
    CHECK(!kiln__space_next(&bowl, &cursor, &c)); /* stays ended */

    static const kiln_param none[] = {{NULL, NULL, 0}};
    const kiln_space single = {none, 0, bowl_valid, NULL};
    CHECK(kiln__space_count(&single, SIZE_MAX) == 1); /* no parameters: one config */
}

static bool never_valid(const void *user, const kiln_config *c, uint32_t known) {
    (void)user, (void)c;
    return !(known & 1);
}

static bool one_valid(const void *user, const kiln_config *c, uint32_t known) {
    (void)user;
    return !(known & 1) || c->v[0] == 31;
}

static void test_pruning(void) {
    kiln_config c;
    uint64_t random = 7;
    const kiln_space empty = {bowl_params, 3, never_valid, NULL};
    CHECK(kiln__space_count(&empty, SIZE_MAX) == 0 && !kiln__space_random(&empty, &random, &c));
    n_checked = 0;
    kiln__space_count(&bowl, SIZE_MAX);
    CHECK(n_checked < 7 + 49 + 3 * 49 + 2); /* a dead (a, b) is not tried with every c */

    /* A valid corner of one in 2^40: enumeration by pruning finds it, drawing must not search for ever. */
    static int32_t values[32];
    for (int i = 0; i < 32; i++)
        values[i] = i;
    kiln_param rare[9] = {{NULL, NULL, 0}};
    for (int i = 0; i < 8; i++)
        rare[i] = (kiln_param){"p", values, 32};
    const kiln_space corner = {rare, 8, one_valid, NULL};
    CHECK(kiln__space_random(&corner, &random, &c) && c.v[0] == 31);
    CHECK(kiln__space_count(&corner, 1000) == 1000);
}

typedef struct {
    double best;
    size_t n, n_repeated;
} result;

/* Lets a strategy search with a budget of trials. `time` gives NAN for a config that fails. */
static result search(const char *name, const kiln_space *space, double (*time)(const kiln_config *), size_t budget,
                     uint64_t seed, const kiln_config *start) {
    const kiln_strategy *strategy = kiln__strategy(name);
    REQUIRE(strategy != NULL);
    void *state = calloc(1, strategy->state_bytes);
    REQUIRE(state != NULL);
    result r = {.best = INFINITY};
    kiln_seen seen = {0};
    kiln_outcome outcome = {0};
    if (start) {
        outcome = (kiln_outcome){!isnan(time(start)), time(start)};
        r.best = outcome.valid ? outcome.time_us : INFINITY;
    }
    REQUIRE_OK(strategy->init(state, space, start, start ? &outcome : NULL, seed));
    kiln_config configs[4];
    size_t n;
    while (r.n < budget && (n = strategy->ask(state, configs, 4)) > 0) {
        CHECK(n <= 4);
        for (size_t i = 0; i < n; i++) {
            CHECK(kiln__space_valid(space, &configs[i]));
            r.n_repeated += !kiln__seen_add(&seen, space, &configs[i]);
            outcome = (kiln_outcome){!isnan(time(&configs[i])), time(&configs[i])};
            if (outcome.valid && outcome.time_us < r.best)
                r.best = outcome.time_us;
            strategy->tell(state, &configs[i], &outcome);
            r.n++;
        }
    }
    strategy->fini(state);
    free(state);
    kiln__seen_free(&seen);
    return r;
}

static void test_bowl(void) {
    const size_t all = kiln__space_count(&bowl, SIZE_MAX);
    const kiln_config start = {{1, 64, 0}};
    result r = search("exhaust", &bowl, bowl_time, SIZE_MAX, 1, NULL);
    CHECK(r.n == all && r.best == 10 && r.n_repeated == 0);
    r = search("exhaust", &bowl, bowl_time, SIZE_MAX, 1, &start);
    CHECK(r.n == all - 1 && r.n_repeated == 0);
    r = search("random", &bowl, bowl_time, SIZE_MAX, 1, &start);
    CHECK(r.n > all * 9 / 10 && r.n < all && r.n_repeated == 0);
    r = search("descent", &bowl, bowl_time, SIZE_MAX, 1, &start); /* ends when nothing is new */
    CHECK(r.n > all * 9 / 10 && r.n < all && r.best == 10 && r.n_repeated == 0);
    for (uint64_t seed = 0; seed < 20; seed++) { /* a bowl is found to the bottom well before the space is used up */
        r = search("descent", &bowl, bowl_time, 60, seed, &start);
        CHECK(r.best == 10);
    }
    const result a = search("descent", &bowl, bowl_time, 17, 5, NULL),
                 b = search("descent", &bowl, bowl_time, 17, 5, NULL);
    CHECK(a.best == b.best && a.n == b.n); /* a seed repeats a search */
    CHECK(kiln__strategy("nosuch") == NULL && kiln__strategy(NULL) == kiln__strategy("descent"));
}

/* ---- recorded spaces ---- */

enum { MAX_ROWS = 12000 };
static kiln_param recorded_params[KILN_MAX_PARAMS + 1];
static int32_t recorded_values[KILN_MAX_PARAMS][64];
static char names[KILN_MAX_PARAMS][32];
static size_t n_params, n_rows;
static struct {
    kiln_config config;
    double ms;
} rows[MAX_ROWS];
static kiln_space recorded;

static int compare_rows(const void *a, const void *b) {
    return memcmp(a, b, sizeof(kiln_config));
}

static size_t find_row(const kiln_config *c) {
    size_t low = 0, high = n_rows;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (compare_rows(&rows[middle].config, c) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n_rows && compare_rows(&rows[low].config, c) == 0 ? low : MAX_ROWS;
}

static bool recorded_valid(const void *user, const kiln_config *c, uint32_t known) {
    (void)user;
    return known != kiln__space_all(&recorded) || find_row(c) != MAX_ROWS;
}

static double recorded_time(const kiln_config *c) {
    return rows[find_row(c)].ms;
}

static void add_value(size_t p, int32_t value) {
    int32_t *v = recorded_values[p];
    size_t n = recorded_params[p].n_values, i = 0;
    while (i < n && v[i] < value)
        i++;
    if (i < n && v[i] == value)
        return;
    REQUIRE(n < 64);
    memmove(v + i + 1, v + i, (n - i) * sizeof *v);
    v[i] = value;
    recorded_params[p].n_values++;
}

static bool load(const char *path) {
    gzFile f = gzopen(path, "rb");
    char line[1024];
    if (!f)
        return false;
    n_rows = n_params = 0;
    memset(recorded_params, 0, sizeof recorded_params);
    while (gzgets(f, line, sizeof line)) {
        if (line[0] == '#')
            continue;
        char *save, *cell = strtok_r(line, ",\n", &save);
        if (n_params == 0) { /* the header: parameters up to time_ms */
            for (; cell && strcmp(cell, "time_ms") != 0; cell = strtok_r(NULL, ",\n", &save)) {
                snprintf(names[n_params], sizeof names[0], "%.31s", cell);
                recorded_params[n_params] = (kiln_param){names[n_params], recorded_values[n_params], 0};
                n_params++;
                REQUIRE(n_params <= KILN_MAX_PARAMS);
            }
            continue;
        }
        REQUIRE(n_rows < MAX_ROWS);
        memset(&rows[n_rows], 0, sizeof rows[0]);
        for (size_t p = 0; p < n_params; p++, cell = strtok_r(NULL, ",\n", &save)) {
            rows[n_rows].config.v[p] = atoi(cell);
            add_value(p, rows[n_rows].config.v[p]);
        }
        rows[n_rows].ms = strstr(save, "ok") || (cell && atof(cell) > 0) ? atof(cell) : NAN;
        n_rows++;
    }
    gzclose(f);
    qsort(rows, n_rows, sizeof rows[0], compare_rows);
    recorded = (kiln_space){recorded_params, n_params, recorded_valid, NULL};
    return true;
}

static double mean_part_of_optimum(const char *strategy, size_t budget) {
    double best = INFINITY, sum = 0;
    enum { SEEDS = 20 };
    for (size_t i = 0; i < n_rows; i++)
        best = fmin(best, isnan(rows[i].ms) ? INFINITY : rows[i].ms);
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        sum += best / search(strategy, &recorded, recorded_time, budget, seed, NULL).best;
    return sum / SEEDS;
}

static void test_recorded(void) {
    static const char *const files[] = {"convolution_A4000", "convolution_W6600", "dedispersion_A4000",
                                        "dedispersion_W6600", "gemm_RTX_3060_laptop"};
    const char *shared = getenv("KILN_SHARED");
    char path[1024];
    snprintf(path, sizeof path, "%s/data/tuning_spaces/%s.csv.gz", shared ? shared : ".", files[0]);
    if (!load(path)) {
        printf("recorded spaces skipped: no %s\n", path);
        return;
    }
    double descent = 0, random = 0;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/data/tuning_spaces/%s.csv.gz", shared, files[i]);
        REQUIRE(load(path));
        const double d = mean_part_of_optimum("descent", 100), r = mean_part_of_optimum("random", 100);
        printf("%-22s %5zu configs, after 100 trials: descent %.3f random %.3f of the optimum\n", files[i], n_rows, d,
               r);
        descent += d / 5;
        random += r / 5;
    }
    printf("mean: descent %.3f random %.3f\n", descent, random);
    CHECK(descent > 0.85 && descent > random);
}

int main(void) {
    test_enumeration();
    test_pruning();
    test_bowl();
    test_recorded();
    return test_end();
}
