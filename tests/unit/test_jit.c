/* Programs are made once, kept, found again, and made anew when what was kept is no good. On the null backend. */
#include "backends/null.h"
#include "embedded.h"
#include "jit.h"
#include "scratch.h"
#include "store_internal.h"
#include <time.h>

static char script_path[300];

/* What the null backend of the next context is like (backends/null.h). */
static void use_script(const char *text) {
    scratch_write(script_path, text, strlen(text));
    setenv("KILN_NULL_SCRIPT", script_path, 1);
}

static kiln_embed make_source(const char *name, const char *text) {
    return (kiln_embed){.name = name, .text = (const unsigned char *)text, .bytes = strlen(text)};
}

typedef struct {
    kiln_context *context;
    kiln_device *device;
} world;

static char last_log[4096];

static void keep_log(void *user, kiln_log_level level, const char *message) {
    (void)user;
    if (level == KILN_LOG_WARN)
        snprintf(last_log, sizeof last_log, "%s", message);
}

static world open_world(const char *dir, const char *kernel_dir) {
    kiln_context_options o = KILN_CONTEXT_OPTIONS_INIT;
    o.cache_dir = dir;
    o.kernel_dir = kernel_dir;
    o.backends = "null";
    o.log_level = KILN_LOG_DEBUG;
    o.log = keep_log;
    world w;
    REQUIRE_OK(kiln__context_open(&o, &w.context));
    REQUIRE_OK(kiln_device_find(w.context, "null:0", &w.device));
    return w;
}

static void close_world(world *w) {
    CHECK(w->device->modules == NULL && kiln__null_live(w->device, KILN_NULL_MODULE) == 0);
    kiln_context_destroy(w->context);
}

static kiln_counters counters(const world *w) {
    kiln_counters c = KILN_COUNTERS_INIT;
    CHECK_OK(kiln_context_counters(w->context, &c));
    return c;
}

static void get_and_release(const world *w, const char *name, const char *text, const char *defines) {
    const kiln_embed source = make_source(name, text);
    kiln_module *module = NULL;
    CHECK_OK(kiln__jit_get(w->device, &source, defines, &module));
    CHECK(module && module->handle);
    kiln__jit_release(w->device, module);
}

static const char text_a[] = "kernel void a() {}\n";

static void life(const char *dir) {
    use_script("device name=a\n");
    world w = open_world(dir, NULL);
    const kiln_embed source = make_source("test/a.cl", text_a);
    kiln_module *first = NULL, *second = NULL;
    REQUIRE_OK(kiln__jit_get(w.device, &source, "-DA=1", &first));
    REQUIRE_OK(kiln__jit_get(w.device, &source, "-DA=1", &second));
    CHECK(first == second && first->references == 2);
    kiln_counters c = counters(&w);
    CHECK(c.compiles == 1 && c.program_reuses == 1 && c.binary_misses == 1 && c.binary_hits == 0);
    kiln__jit_release(w.device, first);
    CHECK(kiln__null_live(w.device, KILN_NULL_MODULE) == 1);
    kiln__jit_release(w.device, second);
    CHECK(kiln__null_live(w.device, KILN_NULL_MODULE) == 0);
    kiln__jit_release(w.device, NULL);
    get_and_release(&w, "test/a.cl", text_a, "-DA=1"); /* from the store now */
    c = counters(&w);
    CHECK(c.compiles == 1 && c.binary_hits == 1 && c.binary_misses == 1);
    close_world(&w);
}

static void across_contexts(const char *dir) {
    world w = open_world(dir, NULL);
    get_and_release(&w, "test/a.cl", text_a, "-DA=1");
    kiln_counters c = counters(&w);
    CHECK(c.compiles == 0 && c.binary_hits == 1 && c.binary_misses == 0 && c.binary_rejected == 0);
    /* Everything that shapes a binary is in its key. */
    get_and_release(&w, "test/a.cl", text_a, "-DA=2");
    get_and_release(&w, "test/a.cl", "kernel void a() {;}\n", "-DA=1");
    CHECK(counters(&w).compiles == 2);
    close_world(&w);
    static const char *const others[] = {"device name=b\n", "device name=a driver=d2\n", "device name=a compiler=c2\n",
                                         "device name=a units=8\n"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        use_script(others[i]);
        w = open_world(dir, NULL);
        get_and_release(&w, "test/a.cl", text_a, "-DA=1");
        CHECK(counters(&w).compiles == 1 && counters(&w).binary_hits == 0);
        close_world(&w);
    }
}

static void refused_binary(const char *dir) {
    use_script("device name=a\nfail call=module_load nth=1 status=KILN_E_DEVICE\n");
    world w = open_world(dir, NULL);
    get_and_release(&w, "test/a.cl", text_a, "-DA=1");
    kiln_counters c = counters(&w);
    CHECK(c.compiles == 1 && c.binary_rejected == 1 && c.binary_hits == 0 && c.binary_misses == 0);
    CHECK_HAS(last_log, "refused");
    close_world(&w);
    use_script("device name=a\n");
    w = open_world(dir, NULL);
    get_and_release(&w, "test/a.cl", text_a, "-DA=1"); /* written anew */
    CHECK(counters(&w).compiles == 0 && counters(&w).binary_hits == 1);
    close_world(&w);
}

static kiln_status damage(void *user, const kiln_cache_entry *entry) {
    (void)user;
    size_t bytes;
    char *file = scratch_read(entry->path, &bytes);
    file[bytes - 1] ^= 1;
    scratch_write(entry->path, file, bytes);
    free(file);
    return KILN_OK;
}

static void damaged_binary(const char *dir) {
    world w = open_world(dir, NULL);
    REQUIRE_OK(kiln_cache_list(w.context, damage, NULL));
    get_and_release(&w, "test/a.cl", text_a, "-DA=1");
    kiln_counters c = counters(&w);
    CHECK(c.compiles == 1 && c.binary_rejected == 1 && c.binary_hits == 0);
    get_and_release(&w, "test/a.cl", text_a, "-DA=1");
    c = counters(&w);
    CHECK(c.compiles == 1 && c.binary_hits == 1);
    close_world(&w);
}

static void failing_compile(void) {
    char dir[256];
    scratch_make(dir);
    use_script("device name=a\nfail call=compile source=broken nth=1 status=KILN_E_COMPILE\n"
               "fail call=module_load source=unloadable status=KILN_E_DEVICE\n");
    world w = open_world(dir, NULL);
    const kiln_embed broken = make_source("test/broken.cl", text_a), bad = make_source("test/unloadable.cl", text_a);
    kiln_module *module = NULL;
    CHECK_STATUS(kiln__jit_get(w.device, &broken, "-DA=1", &module), KILN_E_COMPILE);
    CHECK_HAS(kiln_last_error(), "test/broken.cl -DA=1");
    CHECK(module == NULL && w.device->modules == NULL);
    kiln_counters c = counters(&w);
    CHECK(c.compiles == 1 && c.compile_failures == 1);
    CHECK(scratch_count(dir, NULL) == 0);
    CHECK_OK(kiln__jit_get(w.device, &broken, "-DA=1", &module)); /* tried again: the reason may be gone */
    kiln__jit_release(w.device, module);
    CHECK(scratch_count(dir, NULL) == 1);
    CHECK_STATUS(kiln__jit_get(w.device, &bad, "-DA=3", &module), KILN_E_DEVICE);
    CHECK(scratch_count(dir, NULL) == 1); /* what the driver refuses is not kept */
    close_world(&w);
    scratch_remove(dir);
}

/* The disk may refuse; the program runs all the same. */
static void no_disk(void) {
    char dir[256], path[300];
    scratch_make(dir);
    snprintf(path, sizeof path, "%s/file", dir);
    scratch_write(path, "x", 1);
    use_script("device name=a\n");
    world w = open_world(path, NULL);
    get_and_release(&w, "test/a.cl", text_a, "-DA=1");
    get_and_release(&w, "test/a.cl", text_a, "-DA=1");
    const kiln_counters c = counters(&w);
    CHECK(c.compiles == 2 && c.binary_misses == 2 && c.store_failures == 2);
    close_world(&w);
    scratch_remove(dir);
}

static void kernel_dir(void) {
    char dir[256], path[300];
    scratch_make(dir);
    use_script("device name=a\n");
    world w = open_world("", dir);
    const kiln_embed source = make_source("a.cl", "the embedded text is not looked at");
    kiln_module *module = NULL, *changed = NULL;
    CHECK_STATUS(kiln__jit_get(w.device, &source, "", &module), KILN_E_IO);
    CHECK_HAS(kiln_last_error(), "KILN_KERNEL_DIR");
    CHECK_HAS(kiln_last_error(), "a.cl");
    snprintf(path, sizeof path, "%s/a.cl", dir);
    scratch_write(path, "#include \"b.h\"\n", 15);
    CHECK_STATUS(kiln__jit_get(w.device, &source, "", &module), KILN_E_IO);
    CHECK_HAS(kiln_last_error(), "b.h");
    snprintf(path, sizeof path, "%s/b.h", dir);
    scratch_write(path, "int x;\n", 7);
    REQUIRE_OK(kiln__jit_get(w.device, &source, "", &module));
    scratch_write(path, "int y;\n", 7); /* edited while the process runs */
    REQUIRE_OK(kiln__jit_get(w.device, &source, "", &changed));
    CHECK(module != changed && strcmp(module->key, changed->key) != 0 && counters(&w).compiles == 2);
    kiln__jit_release(w.device, module);
    kiln__jit_release(w.device, changed);
    close_world(&w);
    scratch_remove(dir);
}

/* The library's own sources, written to a folder, compile from there; what is changed has another hash. */
static void written_kernels(void) {
    const kiln_embed *source = &kiln__embed_gemm_ref_cl;
    char dir[256], path[300], whole[33], changed[33], embedded[33];
    kiln_module *module = NULL;
    scratch_make(dir);
    snprintf(path, sizeof path, "%s/none", dir);
    CHECK_STATUS(kiln_kernels_write(path), KILN_E_IO);
    REQUIRE_OK(kiln_kernels_write(dir));
    use_script("device name=a\n");
    world w = open_world("", dir);
    REQUIRE_OK(kiln__jit_get(w.device, source, "", &module));
    kiln__jit_release(w.device, module);
    kiln__jit_source_hash(w.context, source, whole);
    snprintf(path, sizeof path, "%s/gemm/ref.cl", dir);
    scratch_write(path, "int x;\n", 7);
    kiln__jit_source_hash(w.context, source, changed);
    CHECK(strlen(whole) == 32 && strlen(changed) == 32 && strcmp(whole, changed) != 0);
    unlink(path);
    kiln__jit_source_hash(w.context, source, changed);
    CHECK_STR(changed, "");
    close_world(&w);
    w = open_world("", NULL);
    kiln__jit_source_hash(w.context, source, embedded);
    CHECK_STR(embedded, source->hash);
    close_world(&w);
    scratch_remove(dir);
}

/* ---- threads: a compiler that waits until the test lets it go ---- */

static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_changed = PTHREAD_COND_INITIALIZER;
static unsigned n_compiling, n_wanted; /* each compile waits until so many are inside */
static bool gate_timed_out;

static kiln_status gated_compile(kiln_device *device, const char *source, size_t source_bytes, const char *name,
                                 const char *options, void **binary, size_t *binary_bytes) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60; /* only to fail instead of hanging */
    pthread_mutex_lock(&gate_lock);
    n_compiling++;
    pthread_cond_broadcast(&gate_changed);
    while (n_compiling < n_wanted && !gate_timed_out)
        gate_timed_out = pthread_cond_timedwait(&gate_changed, &gate_lock, &until) != 0;
    pthread_mutex_unlock(&gate_lock);
    return kiln__backend_null.compile(device, source, source_bytes, name, options, binary, binary_bytes);
}

/* Goes on once the only listed module has a reference for each of the threads. */
static kiln_status crowded_compile(kiln_device *device, const char *source, size_t source_bytes, const char *name,
                                   const char *options, void **binary, size_t *binary_bytes) {
    const struct timespec pause = {.tv_nsec = 1000000};
    for (int i = 0; i < 60000; i++) {
        pthread_mutex_lock(&device->lock);
        const unsigned references = device->modules->references;
        pthread_mutex_unlock(&device->lock);
        if (references == n_wanted)
            return kiln__backend_null.compile(device, source, source_bytes, name, options, binary, binary_bytes);
        nanosleep(&pause, NULL);
    }
    return kiln_fail(KILN_E_TIMEOUT, "nobody waits for the program being compiled");
}

typedef struct {
    kiln_device *device;
    char defines[16];
    kiln_status status;
    kiln_module *module;
    bool has_text;
} job;

enum { N_THREADS = 4 };
static const kiln_embed shared_source = {.name = "test/shared.cl",
                                         .text = (const unsigned char *)"kernel void s() {}\n",
                                         .bytes = sizeof "kernel void s() {}\n" - 1};

static void *get_job(void *user) {
    job *j = user;
    j->status = kiln__jit_get(j->device, &shared_source, j->defines, &j->module);
    j->has_text = strstr(kiln_last_error(), "test/shared.cl") != NULL;
    return NULL;
}

static void run_jobs(world *w, job jobs[N_THREADS], bool same) {
    pthread_t threads[N_THREADS];
    for (int i = 0; i < N_THREADS; i++) {
        jobs[i] = (job){.device = w->device};
        snprintf(jobs[i].defines, sizeof jobs[i].defines, "-DA=%d", same ? 0 : i);
        REQUIRE(pthread_create(&threads[i], NULL, get_job, &jobs[i]) == 0);
    }
    for (int i = 0; i < N_THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void threads_same(void) {
    use_script("device name=a\nfail call=compile nth=2 status=KILN_E_COMPILE\n");
    world w = open_world("", NULL);
    kiln_backend crowded = kiln__backend_null;
    crowded.compile = crowded_compile;
    const kiln_backend *null = w.device->backend;
    w.device->backend = &crowded;
    n_wanted = N_THREADS;
    job jobs[N_THREADS];
    run_jobs(&w, jobs, true);
    for (int i = 0; i < N_THREADS; i++)
        CHECK(jobs[i].status == KILN_OK && jobs[i].module == jobs[0].module);
    CHECK(counters(&w).compiles == 1 && counters(&w).program_reuses == N_THREADS - 1);
    for (int i = 0; i < N_THREADS; i++)
        kiln__jit_release(w.device, jobs[i].module);
    run_jobs(&w, jobs, true); /* the second compilation fails: for all of them, with its text */
    for (int i = 0; i < N_THREADS; i++)
        CHECK(jobs[i].status == KILN_E_COMPILE && jobs[i].module == NULL && jobs[i].has_text);
    CHECK(counters(&w).compiles == 2 && counters(&w).compile_failures == 1);
    w.device->backend = null;
    close_world(&w);
}

static void threads_different(void) {
    use_script("device name=a\n");
    world w = open_world("", NULL);
    kiln_backend gated = kiln__backend_null;
    gated.compile = gated_compile;
    const kiln_backend *null = w.device->backend;
    w.device->backend = &gated;
    n_wanted = N_THREADS;
    job jobs[N_THREADS];
    run_jobs(&w, jobs, false);
    CHECK(!gate_timed_out); /* all were compiling at once */
    CHECK(counters(&w).compiles == N_THREADS && counters(&w).program_reuses == 0);
    for (int i = 0; i < N_THREADS; i++) {
        CHECK(jobs[i].status == KILN_OK);
        kiln__jit_release(w.device, jobs[i].module);
    }
    w.device->backend = null;
    close_world(&w);
}

int main(void) {
    char scripts[256], dir[256];
    scratch_make(scripts);
    snprintf(script_path, sizeof script_path, "%s/script", scripts);
    scratch_make(dir);
    life(dir);
    across_contexts(dir);
    refused_binary(dir);
    damaged_binary(dir);
    scratch_remove(dir);
    failing_compile();
    no_disk();
    kernel_dir();
    written_kernels();
    threads_same();
    threads_different();
    scratch_remove(scripts);
    return test_end();
}
