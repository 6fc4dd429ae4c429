/* Records in the store: nothing lost to concurrency, a damaged line costs that line only. */
#include "scratch.h"
#include "store_internal.h"
#include <math.h>
#include <sys/wait.h>
#include <xxhash.h>

static const char problem[] = "gemm:m=8,n=8,k=8";
static const char device[] = "null-sim_1.0";

static kiln_context *open_context(const char *dir, const char *layers) {
    kiln_context_options o = KILN_CONTEXT_OPTIONS_INIT;
    o.cache_dir = dir;
    o.cache_path = layers;
    o.backends = "";
    kiln_context *context;
    REQUIRE_OK(kiln__context_open(&o, &context));
    return context;
}

static kiln_record make_record(uint32_t n) {
    return (kiln_record){.problem = problem,
                         .device = device,
                         .driver = "driver 1",
                         .compiler = "compiler \"2\"\n",
                         .content = "00ff",
                         .variant = "vec",
                         .config = "mr=6,nv=2",
                         .serving = KILN_SERVING_GRAPH,
                         .state = KILN_TRIAL_OK,
                         .reason = "",
                         .median_us = 1.0 / 3.0 * (n + 1),
                         .min_us = 0.1,
                         .spread_us = 5e-324,
                         .base = n >= 8 ? "vec mr=1,nv=2 00ff" : "", /* lines of older releases, below, have none */
                         .base_us = n >= 8 ? 2.0 / 3.0 : 0,
                         .n_repetitions = n,
                         .time = 1700000000};
}

static void append(kiln_context *c, uint32_t n) {
    const kiln_record r = make_record(n);
    CHECK_OK(kiln__store_append(c->store, &r));
}

enum { MAX_SEEN = 4096 };
typedef struct {
    unsigned n;
    unsigned char seen[MAX_SEEN];
} seen;

/* Whatever is visited must be exactly what was once written. */
static kiln_status see(void *user, const kiln_record *r) {
    seen *s = user;
    const uint32_t n = r->n_repetitions;
    const kiln_record e = make_record(n);
    s->n++;
    CHECK(n < MAX_SEEN);
    if (n < MAX_SEEN)
        s->seen[n]++;
    CHECK_STR(r->problem, e.problem);
    CHECK_STR(r->device, e.device);
    CHECK_STR(r->driver, e.driver);
    CHECK_STR(r->compiler, e.compiler);
    CHECK_STR(r->content, e.content);
    CHECK_STR(r->variant, e.variant);
    CHECK_STR(r->config, e.config);
    CHECK_STR(r->reason, e.reason);
    CHECK_STR(r->base, e.base);
    CHECK(r->base_us == e.base_us);
    CHECK(r->serving == e.serving && r->state == e.state && r->time == e.time);
    CHECK(r->median_us == e.median_us && r->min_us == e.min_us && r->spread_us == e.spread_us);
    return KILN_OK;
}

static seen look(kiln_context *c) {
    seen s = {0};
    CHECK_OK(kiln__store_records(c->store, device, problem, see, &s));
    return s;
}

static uint64_t n_bad(kiln_context *c) {
    return atomic_load(&c->counters[KILN_COUNT_RECORDS_BAD]);
}

static kiln_status cancel(void *user, const kiln_record *r) {
    (void)r;
    ++*(unsigned *)user;
    return KILN_E_CANCELLED;
}

static void round_trip(void) {
    char dir[256];
    scratch_make(dir);
    kiln_context *c = open_context(dir, NULL);
    CHECK(look(c).n == 0);
    for (uint32_t i = 0; i < 20; i++)
        append(c, i);
    seen s = look(c);
    CHECK(s.n == 20);
    for (uint32_t i = 0; i < 20; i++)
        CHECK(s.seen[i] == 1);
    kiln_counters counters = KILN_COUNTERS_INIT;
    CHECK_OK(kiln_context_counters(c, &counters));
    CHECK(counters.records_written == 20 && counters.records_read == 20 && counters.records_bad == 0);
    unsigned n = 0;
    CHECK_STATUS(kiln__store_records(c->store, device, problem, cancel, &n), KILN_E_CANCELLED);
    CHECK(n == 1);
    n = 0;
    CHECK_OK(kiln__store_records(c->store, device, "gemm:m=9,n=8,k=8", cancel, &n));
    CHECK_OK(kiln__store_records(c->store, "another", problem, cancel, &n));
    CHECK(n == 0);
    kiln_context_destroy(c);
    scratch_remove(dir);
}

static void refused(void) {
    char dir[256];
    scratch_make(dir);
    kiln_context *c = open_context(dir, NULL);
    kiln_record r = make_record(1);
    r.median_us = NAN;
    CHECK_STATUS(kiln__store_append(c->store, &r), KILN_E_INVALID);
    r.median_us = -1;
    CHECK_STATUS(kiln__store_append(c->store, &r), KILN_E_INVALID);
    r.median_us = HUGE_VAL;
    CHECK_STATUS(kiln__store_append(c->store, &r), KILN_E_INVALID);
    static const char *const devices[] = {"", ".", "..", "../x", "a/b", ".hidden", "a b"};
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
        r = make_record(1);
        r.device = devices[i];
        CHECK_STATUS(kiln__store_append(c->store, &r), KILN_E_INVALID);
        CHECK_STATUS(kiln__store_records(c->store, devices[i], problem, NULL, NULL), KILN_E_INVALID);
    }
    r = make_record(1);
    r.state = (kiln_trial_state)99;
    CHECK_STATUS(kiln__store_append(c->store, &r), KILN_E_INVALID);
    char *text = calloc(1, 40000);
    memset(text, 'x', 39999);
    r = make_record(1);
    r.compiler = text;
    CHECK_STATUS(kiln__store_append(c->store, &r), KILN_E_INVALID);
    CHECK(scratch_count(dir, NULL) == 0);
    r = make_record(1);
    r.state = KILN_TRIAL_FAILED;
    r.reason = text; /* a compiler's log is cut, not refused */
    CHECK_OK(kiln__store_append(c->store, &r));
    free(text);
    kiln_context_destroy(c);
    scratch_remove(dir);
}

static void every_byte_flipped(void) {
    char dir[256], path[1024];
    enum { N = 4 };
    scratch_make(dir);
    kiln_context *c = open_context(dir, NULL);
    for (uint32_t i = 0; i < N; i++)
        append(c, i);
    CHECK(scratch_count(dir, path) == 1);
    size_t bytes;
    char *file = scratch_read(path, &bytes);
    uint32_t line = 0;
    for (size_t i = 0; i < bytes; i++) {
        const bool is_newline = file[i] == '\n';
        static const char masks[] = {1, 0x20, (char)0x80, 0x7f};
        for (size_t m = 0; m <= sizeof masks; m++) {
            const char flipped = m < sizeof masks ? (char)(file[i] ^ masks[m]) : '\n';
            if (flipped != file[i]) {
                scratch_patch(path, i, flipped);
                const uint64_t bad = n_bad(c);
                const seen s = look(c);
                for (uint32_t l = 0; l < N; l++) /* the line itself, and its neighbour if the newline went */
                    CHECK(s.seen[l] == !(l == line || (is_newline && l == line + 1)));
                CHECK(n_bad(c) > bad);
            }
            scratch_patch(path, i, file[i]);
        }
        line += is_newline;
    }
    CHECK(line == N);
    free(file);
    kiln_context_destroy(c);
    scratch_remove(dir);
}

/* A write that was cut costs its own line: the next one begins a new line. */
static void cut_write(void) {
    char dir[256], path[1024];
    scratch_make(dir);
    kiln_context *c = open_context(dir, NULL);
    append(c, 0);
    append(c, 1);
    scratch_count(dir, path);
    size_t bytes;
    char *file = scratch_read(path, &bytes);
    for (size_t n = bytes / 2 + 1; n < bytes; n += 5) {
        scratch_write(path, file, n);
        seen s = look(c);
        CHECK(s.seen[0] == 1 && s.seen[1] == 0);
        const uint64_t bad = n_bad(c);
        append(c, 2);
        s = look(c);
        CHECK(s.seen[0] == 1 && s.seen[2] == 1);
        /* only the newline missing: the appended newline made that line whole again */
        CHECK(s.seen[1] == (n == bytes - 1) && n_bad(c) == bad + (n != bytes - 1));
    }
    free(file);
    kiln_context_destroy(c);
    scratch_remove(dir);
}

static void add_line(FILE *f, const char *json) {
    fprintf(f, "%016llx %s\n", (unsigned long long)XXH3_64bits(json, strlen(json)), json);
}

#define LINE(problem_, device_, serving_, state_, us_, n_, time_)                                                      \
    "{\"problem\":\"" problem_ "\",\"device\":\"" device_                                                              \
    "\",\"driver\":\"driver 1\",\"compiler\":\"compiler \\\"2\\\"\\n\",\"content\":\"00ff\",\"variant\":\"vec\","      \
    "\"config\":\"mr=6,nv=2\",\"reason\":\"\",\"serving\":" serving_ ",\"state\":" state_ ",\"median_us\":" us_        \
    ",\"min_us\":0.1,\"spread_us\":5e-324,\"n\":" n_ ",\"time\":" time_ "}"
#define PROBLEM "gemm:m=8,n=8,k=8"
#define DEVICE  "null-sim_1.0"

/* Lines with a right checksum and wrong contents. */
static const char *const hostile[] = {LINE("gemm:m=9,n=8,k=8", DEVICE, "\"graph\"", "\"ok\"", "1", "1", "1700000000"),
                                      LINE(PROBLEM, "another", "\"graph\"", "\"ok\"", "1", "1", "1700000000"),
                                      LINE(PROBLEM, DEVICE, "\"graphs\"", "\"ok\"", "1", "1", "1700000000"),
                                      LINE(PROBLEM, DEVICE, "1", "\"ok\"", "1", "1", "1700000000"),
                                      LINE(PROBLEM, DEVICE, "\"graph\"", "\"fine\"", "1", "1", "1700000000"),
                                      LINE(PROBLEM, DEVICE, "\"graph\"", "\"ok\"", "-1", "1", "1700000000"),
                                      LINE(PROBLEM, DEVICE, "\"graph\"", "\"ok\"", "1e999", "1", "1700000000"),
                                      LINE(PROBLEM, DEVICE, "\"graph\"", "\"ok\"", "NaN", "1", "1700000000"),
                                      LINE(PROBLEM, DEVICE, "\"graph\"", "\"ok\"", "null", "1", "1700000000"),
                                      LINE(PROBLEM, DEVICE, "\"graph\"", "\"ok\"", "1", "-1", "1700000000"),
                                      LINE(PROBLEM, DEVICE, "\"graph\"", "\"ok\"", "1", "4294967296", "1700000000"),
                                      LINE(PROBLEM, DEVICE, "\"graph\"", "\"ok\"", "1", "1", "1e30"),
                                      LINE(PROBLEM, DEVICE, "\"graph\"", "\"ok\"", "1", "1", "-5"),
                                      LINE(PROBLEM, DEVICE, "\"graph\"", "\"ok\"", "1", "1", "1700000000") "x",
                                      LINE(PROBLEM, DEVICE, "\"graph\"", "\"ok\"", "1", "1", "1700000000") "{}",
                                      "{}",
                                      "[]",
                                      "null",
                                      "1",
                                      "\"\"",
                                      "{\"problem\":\"" PROBLEM "\"}",
                                      "",
                                      " "};

static void hostile_lines(void) {
    char dir[256], path[1024];
    scratch_make(dir);
    kiln_context *c = open_context(dir, NULL);
    append(c, 0);
    scratch_count(dir, path);
    FILE *f = fopen(path, "ab");
    REQUIRE(f != NULL);
    const size_t n_hostile = sizeof hostile / sizeof *hostile;
    for (size_t i = 0; i < n_hostile; i++)
        add_line(f, hostile[i]);
    static char deep[16001], too_long[40000];
    memset(deep, '[', sizeof deep - 1);
    memset(too_long, 'a', sizeof too_long - 1);
    add_line(f, deep);
    add_line(f, too_long);
    fputs("\n\n", f); /* empty lines are nothing */
    fputs("no hash at all\n", f);
    fwrite("\0\0\0\n", 1, 4, f);
    /* What was to be a record but for its timing is one with a sound timing: the table above is not dead. */
    add_line(f, LINE(PROBLEM, DEVICE, "\"graph\"", "\"ok\"", "0.66666666666666663", "1", "1700000000"));
    fclose(f);
    append(c, 2);
    const seen s = look(c);
    CHECK(s.n == 3 && s.seen[0] == 1 && s.seen[1] == 1 && s.seen[2] == 1);
    CHECK(n_bad(c) == n_hostile + 4);

    char folder[1024], strange[1100]; /* things with the name of a record file */
    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = 0;
    snprintf(strange, sizeof strange, "%s/fifo.log", folder);
    REQUIRE(mkfifo(strange, 0600) == 0);
    snprintf(strange, sizeof strange, "%s/link.log", folder);
    REQUIRE(symlink(path, strange) == 0);
    snprintf(strange, sizeof strange, "%s/folder.log", folder);
    REQUIRE(mkdir(strange, 0700) == 0);
    CHECK(look(c).n == 3);
    kiln_context_destroy(c);
    scratch_remove(dir);
}

/* ---- several writers ---- */

enum { N_THREADS = 4, N_CHILDREN = 4, N_LINES = 50 };

typedef struct {
    kiln_context *context;
    uint32_t first;
} job;

static void *write_lines(void *user) {
    const job *j = user;
    for (uint32_t i = 0; i < N_LINES; i++)
        append(j->context, j->first + i);
    return NULL;
}

static void run_threads(kiln_context *a, kiln_context *b, uint32_t first) {
    pthread_t threads[N_THREADS];
    job jobs[N_THREADS];
    for (uint32_t i = 0; i < N_THREADS; i++) {
        jobs[i] = (job){i % 2 ? a : b, first + i * N_LINES};
        REQUIRE(pthread_create(&threads[i], NULL, write_lines, &jobs[i]) == 0);
    }
    for (uint32_t i = 0; i < N_THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void many_writers(void) {
    char dir[256];
    scratch_make(dir);
    kiln_context *a = open_context(dir, NULL), *b = open_context(dir, NULL);
    append(a, 0); /* children must not write under the parent's name */
    pid_t children[N_CHILDREN];
    for (uint32_t i = 0; i < N_CHILDREN; i++) {
        children[i] = fork();
        REQUIRE(children[i] >= 0);
        if (children[i] == 0) {
            for (uint32_t l = 0; l < N_LINES; l++)
                append(l % 2 ? a : b, 1 + i * N_LINES + l);
            _exit(test_failures != 0);
        }
    }
    run_threads(a, b, 1 + N_CHILDREN * N_LINES);
    for (uint32_t i = 0; i < N_CHILDREN; i++) {
        int result;
        CHECK(waitpid(children[i], &result, 0) == children[i] && WIFEXITED(result) && WEXITSTATUS(result) == 0);
    }
    const uint32_t n = 1 + (N_CHILDREN + N_THREADS) * N_LINES;
    const seen s = look(a);
    CHECK(s.n == n && n_bad(a) == 0);
    for (uint32_t i = 0; i < n; i++)
        CHECK(s.seen[i] == 1);
    CHECK(scratch_count(dir, NULL) == 2 + 2 * N_CHILDREN); /* one writer a file */
    kiln_context_destroy(a);
    kiln_context_destroy(b);
    scratch_remove(dir);
}

static void layers(void) {
    char dir[256], lower[256], deeper[256], list[600];
    scratch_make(dir);
    scratch_make(lower);
    scratch_make(deeper);
    kiln_context *c = open_context(lower, NULL);
    append(c, 1);
    kiln_context_destroy(c);
    c = open_context(deeper, NULL);
    append(c, 2);
    kiln_context_destroy(c);
    snprintf(list, sizeof list, "%s:%s", lower, deeper);
    c = open_context(dir, list);
    append(c, 0);
    seen s = look(c);
    CHECK(s.n == 3 && s.seen[0] == 1 && s.seen[1] == 1 && s.seen[2] == 1);
    CHECK(scratch_count(lower, NULL) == 1 && scratch_count(deeper, NULL) == 1);
    kiln_context_destroy(c);
    c = open_context("", list); /* no folder of its own */
    append(c, 0);
    s = look(c);
    CHECK(s.n == 2 && s.seen[0] == 0);
    kiln_context_destroy(c);
    scratch_remove(dir);
    scratch_remove(lower);
    scratch_remove(deeper);
}

int main(void) {
    round_trip();
    refused();
    every_byte_flipped();
    cut_write();
    hostile_lines();
    many_writers();
    layers();
    return test_end();
}
