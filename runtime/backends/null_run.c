/* The test backend at work: queues that put things off, the virtual clock, the trace, graphs. */
#include "null_internal.h"
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- trace ---- */

__attribute__((format(printf, 2, 3))) static void trace(null_device *d, const char *format, ...) {
    static const char more[] = "…\n";
    const size_t room = sizeof d->trace - d->trace_length;
    if (room <= sizeof more)
        return;
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(d->trace + d->trace_length, room, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n < room - sizeof more) {
        d->trace_length += (size_t)n;
    } else { /* closes the trace for good: less than this is never left otherwise */
        memcpy(d->trace + d->trace_length, more, sizeof more);
        d->trace_length = sizeof d->trace;
    }
}

static unsigned number_of(kiln_place p) {
    return p.memory ? (unsigned)((const null_memory *)p.memory)->number : 0;
}

static void trace_kernel(null_device *d, const null_kernel *k) {
    const kiln_launch *l = &k->launch;
    char args[1024];
    size_t n = 0;
    args[0] = 0;
    for (size_t i = 0; i < k->n_args && n < sizeof args; i++) {
        const kiln_arg_value *a = &k->args[i];
        const char *comma = i ? "," : "";
        char *to = args + n;
        const size_t room = sizeof args - n;
        if (a->kind == KILN_ARG_I32)
            n += (size_t)snprintf(to, room, "%s%d", comma, (int)a->i32);
        else if (a->kind == KILN_ARG_F32)
            n += (size_t)snprintf(to, room, "%s%g", comma, (double)a->f32);
        else if (a->kind == KILN_ARG_LOCAL)
            n += (size_t)snprintf(to, room, "%slocal:%zu", comma, a->bytes);
        else
            n += (size_t)snprintf(to, room, "%s%sm%u+%zu", comma, a->kind == KILN_ARG_TENSOR_MAP ? "map:" : "",
                                  number_of(a->place), a->place.offset_bytes);
    }
    char cluster[64] = "";
    if (l->cluster[0])
        snprintf(cluster, sizeof cluster, " cluster=%ux%ux%u", (unsigned)l->cluster[0], (unsigned)l->cluster[1],
                 (unsigned)l->cluster[2]);
    trace(d, "kernel %s grid=%ux%ux%u group=%ux%ux%u%s%s args=%s\n", k->entry, (unsigned)l->grid[0],
          (unsigned)l->grid[1], (unsigned)l->grid[2], (unsigned)l->group[0], (unsigned)l->group[1],
          (unsigned)l->group[2], cluster, l->cooperative ? " cooperative" : "", args);
}

/* ---- doing ---- */

static unsigned char *data_at(kiln_place p) {
    return ((const null_memory *)p.memory)->data + p.offset_bytes;
}

static void run_copy(null_device *d, const kiln_node *n) {
    for (size_t i = 0; i < n->copy.rows; i++)
        memmove(data_at(n->copy.destination) + i * n->copy.destination_pitch_bytes,
                data_at(n->copy.source) + i * n->copy.source_pitch_bytes, n->copy.row_bytes);
    trace(d, "copy m%u+%zu <- m%u+%zu row=%zu rows=%zu\n", number_of(n->copy.destination),
          n->copy.destination.offset_bytes, number_of(n->copy.source), n->copy.source.offset_bytes, n->copy.row_bytes,
          n->copy.rows);
    d->clock_us += kiln__null_work_us(d, NULL_WORK_copy);
}

static void run_fill(null_device *d, const kiln_node *n) {
    for (size_t i = 0; i + sizeof n->fill.pattern <= n->fill.bytes; i += sizeof n->fill.pattern)
        memcpy(data_at(n->fill.destination) + i, &n->fill.pattern, sizeof n->fill.pattern);
    trace(d, "fill m%u+%zu bytes=%zu pattern=0x%08x\n", number_of(n->fill.destination),
          n->fill.destination.offset_bytes, n->fill.bytes, (unsigned)n->fill.pattern);
    d->clock_us += kiln__null_work_us(d, NULL_WORK_fill);
}

static void fill_floats(kiln_place p, size_t bytes, float value) {
    for (size_t i = 0; i < bytes; i += sizeof value)
        memcpy(data_at(p) + i, &value, bytes - i < sizeof value ? bytes - i : sizeof value);
}

/* What the script says a launch does to its last memory argument. */
static void compute(null_device *d, const null_kernel *k) {
    const kiln_arg_value *last = NULL;
    for (size_t i = 0; i < k->n_args; i++)
        if ((k->args[i].kind == KILN_ARG_OPERAND || k->args[i].kind == KILN_ARG_WORKSPACE) && k->args[i].place.memory)
            last = &k->args[i];
    if (k->result == NULL_RESULT_crash)
        raise(SIGSEGV);
    while (k->result == NULL_RESULT_hang)
        pause();
    if (!last || k->result == NULL_RESULT_nothing)
        return;
    const bool one = k->result == NULL_RESULT_ones || (k->result == NULL_RESULT_flaky && d->n_launches % 2);
    fill_floats(last->place, last->bytes, k->result == NULL_RESULT_nan ? NAN : one ? 1.0f : 0.0f);
    if (k->result == NULL_RESULT_outside && last->place.offset_bytes >= sizeof(float))
        memset(data_at(last->place) - sizeof(float), 0, sizeof(float));
    const null_memory *memory = last->place.memory;
    if (k->result == NULL_RESULT_past && memory->bytes - last->place.offset_bytes >= last->bytes + 2)
        memset(data_at(last->place) + last->bytes, 0, 2);
}

/* `saved_us`: what a kernel costs less than eagerly. */
static void run_node(null_device *d, const kiln_node *n, double saved_us) {
    if (n->kind == KILN_STEP_COPY)
        run_copy(d, n);
    else if (n->kind == KILN_STEP_FILL)
        run_fill(d, n);
    if (n->kind != KILN_STEP_KERNEL)
        return; /* calls have been made when they were enqueued */
    const null_kernel *k = n->kernel;
    trace_kernel(d, k);
    compute(d, k);
    d->n_launches++;
    d->clock_us += k->us > saved_us ? k->us - saved_us : 0;
}

static void run_graph(null_device *d, const null_graph *g) {
    trace(d, "graph nodes=%zu\n", g->n_nodes);
    d->clock_us += d->spec.launch_us;
    for (size_t i = 0; i < g->n_nodes; i++)
        run_node(d, &g->nodes[i], d->spec.launch_us);
}

static void run_op(null_device *d, const null_op *op) {
    switch (op->kind) {
    case NULL_OP_NODE:
        run_node(d, &op->node, 0);
        return;
    case NULL_OP_WRITE:
        memcpy(data_at(op->place), op->from, op->bytes);
        trace(d, "write m%u+%zu bytes=%zu\n", number_of(op->place), op->place.offset_bytes, op->bytes);
        d->clock_us += kiln__null_work_us(d, NULL_WORK_write);
        return;
    case NULL_OP_READ:
        memcpy(op->to, data_at(op->place), op->bytes);
        trace(d, "read m%u+%zu bytes=%zu\n", number_of(op->place), op->place.offset_bytes, op->bytes);
        d->clock_us += kiln__null_work_us(d, NULL_WORK_read);
        return;
    case NULL_OP_EVENT:
        op->event->time_us = d->clock_us;
        op->event->is_recorded = true;
        return;
    case NULL_OP_GRAPH:
        run_graph(d, op->graph);
        return;
    }
}

/* Adds to the count of pending uses of what an operation works with. */
static void use(const null_op *op, int change) {
    unsigned *pending = op->kind == NULL_OP_EVENT   ? &op->event->pending
                        : op->kind == NULL_OP_GRAPH ? &op->graph->pending
                        : op->kind == NULL_OP_NODE && op->node.kind == KILN_STEP_KERNEL
                            ? &((null_kernel *)op->node.kernel)->pending
                            : NULL;
    if (pending)
        *pending += (unsigned)change;
}

static void run_pending(null_queue *q, bool really) {
    for (size_t i = 0; i < q->n_pending; i++) {
        if (really)
            run_op(q->owner, &q->pending[i]);
        use(&q->pending[i], -1);
    }
    q->n_pending = 0;
}

void kiln__null_settle(null_device *d) {
    for (null_queue *q = d->queues; q; q = q->next)
        run_pending(q, true);
}

static void put_off(null_queue *q, const null_op *op) {
    if (q->n_pending == NULL_MAX_PENDING)
        run_pending(q, true);
    q->pending[q->n_pending++] = *op;
    use(op, 1);
}

/* ---- queues ---- */

kiln_status kiln__null_queue_create(kiln_device *device, void **queue) {
    KILN_TRY(kiln__null_call(device, KILN_NULL_CALL_queue_create, (null_about){0}));
    null_device *d = null_of(device);
    null_queue *q = kiln__alloc(device->context, sizeof *q);
    if (!q)
        return KILN_E_MEMORY;
    q->owner = d;
    pthread_mutex_lock(&d->lock);
    q->next = d->queues;
    d->queues = q;
    d->live[KILN_NULL_QUEUE]++;
    pthread_mutex_unlock(&d->lock);
    *queue = q;
    return KILN_OK;
}

/* Any pointer will do as the engine's queue. */
kiln_status kiln__null_queue_adopt(kiln_device *device, void *native_queue, void **queue) {
    (void)native_queue;
    KILN_TRY(kiln__null_call(device, KILN_NULL_CALL_queue_adopt, (null_about){0}));
    return kiln__null_queue_create(device, queue);
}

void kiln__null_queue_destroy(kiln_device *device, void *queue) {
    null_device *d = null_of(device);
    null_queue *q = queue;
    pthread_mutex_lock(&d->lock);
    d->misuses += q->n_pending > 0;
    run_pending(q, true);
    for (null_queue **at = &d->queues; *at; at = &(*at)->next)
        if (*at == q) {
            *at = q->next;
            break;
        }
    d->live[KILN_NULL_QUEUE]--;
    pthread_mutex_unlock(&d->lock);
    kiln__free(device->context, q);
}

kiln_status kiln__null_queue_finish(kiln_device *device, void *queue) {
    null_device *d = null_of(device);
    pthread_mutex_lock(&d->lock);
    const kiln_status status = kiln__null_call_locked(device, KILN_NULL_CALL_queue_finish, (null_about){0});
    run_pending(queue, status == KILN_OK);
    pthread_mutex_unlock(&d->lock);
    return status;
}

kiln_status kiln__null_queue_flush(kiln_device *device, void *queue) {
    (void)queue; /* started is not finished */
    return kiln__null_call(device, KILN_NULL_CALL_queue_flush, (null_about){0});
}

/* ---- work ---- */

static bool in_range(kiln_place p, size_t bytes) {
    const null_memory *m = p.memory;
    return m && p.offset_bytes <= m->bytes && bytes <= m->bytes - p.offset_bytes;
}

static kiln_status out_of_range(const kiln_device *device, const char *what) {
    return kiln_fail(KILN_E_INTERNAL, "%s: %s leaves its memory; the caller has to check", device->name, what);
}

/* With the lock held: counts, fails if scripted, else puts the operation off. */
static kiln_status submit(kiln_device *device, null_queue *q, kiln_null_call call, null_about about,
                          const null_op *op) {
    null_device *d = null_of(device);
    pthread_mutex_lock(&d->lock);
    const kiln_status status = kiln__null_call_locked(device, call, about);
    if (status == KILN_OK)
        put_off(q, op);
    pthread_mutex_unlock(&d->lock);
    return status;
}

kiln_status kiln__null_write(kiln_device *device, void *queue, kiln_place to, const void *from, size_t bytes) {
    if (!in_range(to, bytes))
        return out_of_range(device, "a write");
    const null_op op = {.kind = NULL_OP_WRITE, .place = to, .from = from, .bytes = bytes};
    return submit(device, queue, KILN_NULL_CALL_write, (null_about){0}, &op);
}

kiln_status kiln__null_read(kiln_device *device, void *queue, void *to, kiln_place from, size_t bytes) {
    if (!in_range(from, bytes))
        return out_of_range(device, "a read");
    const null_op op = {.kind = NULL_OP_READ, .place = from, .to = to, .bytes = bytes};
    return submit(device, queue, KILN_NULL_CALL_read, (null_about){0}, &op);
}

/* Whether rows at a pitch stay inside memory. */
static bool rows_in_range(kiln_place p, size_t pitch, size_t row, size_t rows) {
    size_t bytes;
    return rows == 0 || (!__builtin_mul_overflow(pitch, rows - 1, &bytes) &&
                         !__builtin_add_overflow(bytes, row, &bytes) && in_range(p, bytes));
}

static kiln_status check_node(const kiln_device *device, const kiln_node *n) {
    if (n->kind == KILN_STEP_COPY &&
        (!rows_in_range(n->copy.destination, n->copy.destination_pitch_bytes, n->copy.row_bytes, n->copy.rows) ||
         !rows_in_range(n->copy.source, n->copy.source_pitch_bytes, n->copy.row_bytes, n->copy.rows)))
        return out_of_range(device, "a copy");
    if (n->kind == KILN_STEP_FILL && !in_range(n->fill.destination, n->fill.bytes))
        return out_of_range(device, "a fill");
    return KILN_OK;
}

/* A vendor library enqueues on the queue, so it is called now and without the lock. */
static kiln_status make_call(kiln_device *device, void *queue, const kiln_node *n) {
    null_device *d = null_of(device);
    pthread_mutex_lock(&d->lock);
    run_pending(queue, true);
    trace(d, "call\n");
    d->clock_us += kiln__null_work_us(d, NULL_WORK_call);
    pthread_mutex_unlock(&d->lock);
    return n->call.call(n->call.user, queue, n->call.operands);
}

kiln_status kiln__null_enqueue(kiln_device *device, void *queue, const kiln_node *node) {
    KILN_TRY(check_node(device, node));
    const char *entry = node->kind == KILN_STEP_KERNEL ? ((const null_kernel *)node->kernel)->entry : NULL;
    if (node->kind == KILN_STEP_CALL) {
        KILN_TRY(kiln__null_call(device, KILN_NULL_CALL_enqueue, (null_about){0}));
        return make_call(device, queue, node);
    }
    const null_op op = {.kind = NULL_OP_NODE, .node = *node};
    return submit(device, queue, KILN_NULL_CALL_enqueue, (null_about){.kernel = entry}, &op);
}

/* ---- events ---- */

kiln_status kiln__null_event_create(kiln_device *device, void **event) {
    KILN_TRY(kiln__null_call(device, KILN_NULL_CALL_event_create, (null_about){0}));
    *event = kiln__alloc(device->context, sizeof(null_event));
    if (!*event)
        return KILN_E_MEMORY;
    null_device *d = null_of(device);
    pthread_mutex_lock(&d->lock);
    d->live[KILN_NULL_EVENT]++;
    pthread_mutex_unlock(&d->lock);
    return KILN_OK;
}

/* For what is destroyed or changed: work under way sees it as it was. */
static void settle_if(null_device *d, unsigned pending, bool is_misuse) {
    if (pending) {
        d->misuses += is_misuse;
        kiln__null_settle(d);
    }
}

void kiln__null_event_destroy(kiln_device *device, void *event) {
    null_device *d = null_of(device);
    pthread_mutex_lock(&d->lock);
    settle_if(d, ((null_event *)event)->pending, true);
    d->live[KILN_NULL_EVENT]--;
    pthread_mutex_unlock(&d->lock);
    kiln__free(device->context, event);
}

kiln_status kiln__null_event_record(kiln_device *device, void *queue, void *event) {
    const null_op op = {.kind = NULL_OP_EVENT, .event = event};
    return submit(device, queue, KILN_NULL_CALL_event_record, (null_about){0}, &op);
}

kiln_status kiln__null_event_elapsed_us(kiln_device *device, void *from, void *to, double *out) {
    null_device *d = null_of(device);
    const null_event *a = from, *b = to;
    pthread_mutex_lock(&d->lock);
    kiln_status status = kiln__null_call_locked(device, KILN_NULL_CALL_event_elapsed_us, (null_about){0});
    if (status == KILN_OK && (!a->is_recorded || !b->is_recorded || a->pending || b->pending))
        status = kiln_fail(KILN_E_INVALID, "%s: an event that has not finished", device->name);
    if (status == KILN_OK)
        *out = b->time_us - a->time_us;
    pthread_mutex_unlock(&d->lock);
    return status;
}

/* ---- graphs ---- */

static void free_graph(kiln_context *context, null_graph *g) {
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].kind == KILN_STEP_KERNEL)
            kiln__free(context, g->nodes[i].kernel);
    kiln__free(context, g);
}

/* A node as a graph keeps it. */
static kiln_status keep_node(kiln_device *device, const kiln_node *node, kiln_node *out) {
    KILN_TRY(check_node(device, node));
    if (node->kind == KILN_STEP_CALL)
        return kiln_fail(KILN_E_UNSUPPORTED, "%s: native graphs take no calls of vendor libraries", device->name);
    kiln_node kept = *node;
    if (node->kind == KILN_STEP_KERNEL) {
        kept.kernel = kiln__null_kernel_copy(device->context, node->kernel);
        if (!kept.kernel)
            return KILN_E_MEMORY;
    }
    *out = kept;
    return KILN_OK;
}

kiln_status kiln__null_graph_build(kiln_device *device, void *queue, const kiln_node *const *nodes, size_t n_nodes,
                                   void **graph) {
    (void)queue;
    null_device *d = null_of(device);
    if (!d->spec.caps.native_graphs)
        return kiln_fail(KILN_E_UNSUPPORTED, "%s has no native graphs", device->name);
    KILN_TRY(kiln__null_call(device, KILN_NULL_CALL_graph_build, (null_about){0}));
    null_graph *g = kiln__alloc(device->context, sizeof *g + n_nodes * sizeof *g->nodes);
    if (!g)
        return KILN_E_MEMORY;
    for (; g->n_nodes < n_nodes; g->n_nodes++) {
        const kiln_status status = keep_node(device, nodes[g->n_nodes], &g->nodes[g->n_nodes]);
        if (status != KILN_OK) {
            free_graph(device->context, g);
            return status;
        }
    }
    pthread_mutex_lock(&d->lock);
    d->live[KILN_NULL_GRAPH]++;
    pthread_mutex_unlock(&d->lock);
    *graph = g;
    return KILN_OK;
}

kiln_status kiln__null_graph_patch(kiln_device *device, void *graph, size_t index, const kiln_node *node) {
    null_device *d = null_of(device);
    null_graph *g = graph;
    if (!d->spec.patch)
        return kiln_fail(KILN_E_UNSUPPORTED, "%s: native graphs cannot be patched", device->name);
    KILN_TRY(kiln__null_call(device, KILN_NULL_CALL_graph_patch, (null_about){0}));
    if (index >= g->n_nodes || node->kind != g->nodes[index].kind)
        return kiln_fail(KILN_E_INTERNAL, "%s: patching node %zu of %zu, or to another kind", device->name, index,
                         g->n_nodes);
    kiln_node kept;
    KILN_TRY(keep_node(device, node, &kept));
    pthread_mutex_lock(&d->lock);
    settle_if(d, g->pending, false);
    if (kept.kind == KILN_STEP_KERNEL)
        kiln__free(device->context, g->nodes[index].kernel);
    g->nodes[index] = kept;
    pthread_mutex_unlock(&d->lock);
    return KILN_OK;
}

kiln_status kiln__null_graph_launch(kiln_device *device, void *queue, void *graph) {
    const null_op op = {.kind = NULL_OP_GRAPH, .graph = graph};
    return submit(device, queue, KILN_NULL_CALL_graph_launch, (null_about){0}, &op);
}

void kiln__null_graph_destroy(kiln_device *device, void *graph) {
    null_device *d = null_of(device);
    null_graph *g = graph;
    pthread_mutex_lock(&d->lock);
    settle_if(d, g->pending, true);
    d->live[KILN_NULL_GRAPH]--;
    pthread_mutex_unlock(&d->lock);
    free_graph(device->context, g);
}
