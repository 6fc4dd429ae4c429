/* Threads: two bindings of one plan at once, plans of one problem made at once, and graphs replayed at once. */
#include "testing.h"
#include <math.h>
#include <pthread.h>

enum { M = 37, N = 45, K = 29, N_THREADS = 4, N_RUNS = 25 };

static kiln_context *context;
static kiln_device *device;
static kiln_plan *shared_plan;
static kiln_problem problem;
static float expected[2][M * N]; /* for two scales of the input */

typedef struct {
    pthread_t thread;
    int index;
    int failures;
} worker;

static float value(size_t i, unsigned salt) {
    return (float)((int)((i * 2654435761u + salt * 40503u) % 17) - 8);
}

static void fill(float *data, size_t n, unsigned salt, float scale) {
    for (size_t i = 0; i < n; i++)
        data[i] = scale * value(i, salt);
}

static void compute_expected(void) {
    static float a[M * K], b[K * N];
    fill(b, K * N, 2, 1);
    for (int s = 0; s < 2; s++) {
        fill(a, M * K, 1, (float)(s + 1));
        for (int m = 0; m < M; m++)
            for (int n = 0; n < N; n++) {
                float sum = 0; /* small integers: exact in any order */
                for (int k = 0; k < K; k++)
                    sum += a[m * K + k] * b[k * N + n];
                expected[s][m * N + n] = fmaxf(sum, 0);
            }
    }
}

#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        if ((call) != KILN_OK) {                                                                                       \
            fprintf(stderr, "thread %d: %s: %s\n", w->index, #call, kiln_last_error());                                \
            w->failures++;                                                                                             \
            return NULL;                                                                                               \
        }                                                                                                              \
    } while (0)

static void *work(void *user) {
    worker *w = user;
    float a[M * K], b[K * N], got[M * N];
    kiln_queue *queue;
    kiln_buffer *buffers[3];
    kiln_binding *binding;
    kiln_graph *graph;
    kiln_plan *plan = shared_plan;
    if (w->index >= 2) /* half of them make the plan, too */
        TRY(kiln_plan_create(device, &problem, NULL, &plan));
    TRY(kiln_queue_create(device, &queue));
    TRY(kiln_buffer_create(device, sizeof a, &buffers[0]));
    TRY(kiln_buffer_create(device, sizeof b, &buffers[1]));
    TRY(kiln_buffer_create(device, sizeof got, &buffers[2]));
    fill(b, K * N, 2, 1);
    TRY(kiln_buffer_write(queue, buffers[1], 0, b, sizeof b));
    kiln_view views[KILN_MAX_OPERANDS] = {{NULL, 0}};
    size_t n = 0;
    for (; kiln_plan_operand(plan, n); n++) {
        const kiln_role role = kiln_plan_operand(plan, n)->role;
        views[n].buffer = role == KILN_ROLE_INPUT    ? buffers[0]
                          : role == KILN_ROLE_WEIGHT ? buffers[1]
                          : role == KILN_ROLE_OUTPUT ? buffers[2]
                                                     : NULL;
    }
    TRY(kiln_binding_create(plan, queue, views, n, (kiln_view){NULL, 0}, &binding));
    TRY(kiln_graph_create(queue, &graph));
    TRY(kiln_graph_add(graph, binding));
    TRY(kiln_graph_end(graph));
    for (int run = 0; run < N_RUNS; run++) {
        fill(a, M * K, 1, (float)(run % 2 + 1));
        TRY(kiln_buffer_write(queue, buffers[0], 0, a, sizeof a));
        TRY(kiln_buffer_fill(queue, buffers[2], 0, sizeof got, 0x7fc00000));
        TRY(run % 3 ? kiln_graph_launch(graph) : kiln_binding_run(binding));
        TRY(kiln_buffer_read(queue, buffers[2], 0, got, sizeof got));
        TRY(kiln_queue_finish(queue));
        w->failures += memcmp(got, expected[run % 2], sizeof got) != 0;
    }
    kiln_graph_destroy(graph);
    kiln_binding_destroy(binding);
    for (int i = 0; i < 3; i++)
        kiln_buffer_destroy(buffers[i]);
    kiln_queue_destroy(queue);
    if (w->index >= 2)
        kiln_plan_destroy(plan);
    return NULL;
}

int main(void) {
    REQUIRE_OK(kiln_context_create(NULL, &context));
    if (kiln_device_find(context, "opencl", &device) != KILN_OK)
        SKIP("no OpenCL device: %s", kiln_last_error());
    char text[64];
    snprintf(text, sizeof text, "gemm:m=%d,n=%d,k=%d,ep=relu", M, N, K);
    REQUIRE_OK(kiln_problem_parse(context, text, &problem));
    REQUIRE_OK(kiln_plan_create(device, &problem, NULL, &shared_plan));
    compute_expected();
    worker workers[N_THREADS];
    for (int i = 0; i < N_THREADS; i++) {
        workers[i] = (worker){.index = i};
        REQUIRE(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    for (int i = 0; i < N_THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        CHECK(workers[i].failures == 0);
    }
    kiln_plan_destroy(shared_plan);
    kiln_context_destroy(context);
    return test_end();
}
