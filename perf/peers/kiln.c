#include "peers.h"
#include <stdlib.h>
#include <string.h>

/* Graphs are what an engine replays, and hold many steps. On a CPU a graph is one kernel (graphs/team.h): a step in it
 * costs no launch, as a call of a peer costs none. */
enum { RUNS = 32 };

typedef struct state {
    const peers_kiln *kiln;
    const peers_case *c;
    kiln_plan *plan;
    kiln_binding *binding;
    kiln_graph *one, *many; /* of one run, and of RUNS */
    kiln_view views[KILN_MAX_OPERANDS];
    size_t n_views;
} state;

static bool complain(kiln_status status, const char *what) {
    if (status != KILN_OK)
        peers_say("kiln: %s: %s", what, kiln_last_error());
    return status == KILN_OK;
}

/* ---- the device ---- */

static kiln_status find_cpu(peers_kiln *k, const char *name) {
    if (name)
        return kiln_device_find(k->context, name, &k->device);
    for (size_t i = 0; i < kiln_device_count(k->context); i++) {
        kiln_device_info info = KILN_DEVICE_INFO_INIT;
        kiln_device *device = kiln_device_at(k->context, i);
        if (kiln_device_get_info(device, &info) == KILN_OK && info.kind == KILN_DEVICE_CPU && !k->device)
            k->device = device;
    }
    return k->device ? KILN_OK : kiln_device_find(k->context, NULL, &k->device);
}

bool peers_kiln_start(peers_kiln *k, const char *device) {
    *k = (peers_kiln){.info = KILN_DEVICE_INFO_INIT};
    if (complain(kiln_context_create(NULL, &k->context), "starting") && complain(find_cpu(k, device), "devices") &&
        complain(kiln_device_get_info(k->device, &k->info), "device") &&
        complain(kiln_queue_create(k->device, &k->queue), "queue")) {
        if (k->info.kind == KILN_DEVICE_CPU)
            return true;
        peers_say("%s is no CPU; oneDNN and OpenBLAS run on one", k->info.name);
    }
    peers_kiln_stop(k);
    return false;
}

void peers_kiln_stop(peers_kiln *k) {
    kiln_queue_destroy(k->queue);
    kiln_context_destroy(k->context);
    *k = (peers_kiln){0};
}

bool peers_kiln_tune(const peers_kiln *k, const peers_case *c, double seconds) {
    kiln_tune_options options = KILN_TUNE_OPTIONS_INIT;
    options.effort = KILN_PLAN_MEASURE;
    options.budget_seconds = seconds;
    return complain(kiln_tune_problem(k->device, &c->problem, &options, NULL), "tuning");
}

/* ---- a runner ---- */

/* Rows of the board between a dense tensor and an operand, which may have a halo. */
static void copy_board(const kiln_operand *o, const peers_case *c, int64_t channels, float *dense, float *padded,
                       bool pad) {
    const int64_t halo = o->halo, h = c->h + 2 * halo, w = c->w + 2 * halo;
    for (int64_t n = 0; n < c->batch; n++)
        for (int64_t y = 0; y < c->h; y++) {
            float *d = dense + (n * c->h + y) * c->w * channels;
            float *p = padded + ((n * h + y + halo) * w + halo) * channels;
            memcpy(pad ? p : d, pad ? d : p, (size_t)(c->w * channels) * sizeof(float));
        }
}

static kiln_status write_operand(const state *s, const kiln_operand *o, kiln_buffer *buffer) {
    kiln_queue *queue = s->kiln->queue;
    const peers_case *c = s->c;
    kiln_status status = kiln_buffer_fill(queue, buffer, 0, kiln_buffer_bytes(buffer), 0);
    if (status != KILN_OK || o->role == KILN_ROLE_OUTPUT)
        return status;
    if (strcmp(o->name, "weights") == 0 || strcmp(o->name, "b") == 0)
        status = kiln_buffer_write(queue, buffer, 0, c->weights, o->bytes);
    else if (strcmp(o->name, "bias") == 0)
        status = kiln_buffer_write(queue, buffer, 0, c->bias, o->bytes);
    else {
        float *padded = calloc(1, o->bytes);
        if (!padded)
            return KILN_E_MEMORY;
        copy_board(o, c, c->ic, c->input, padded, true);
        status = kiln_buffer_write(queue, buffer, 0, padded, o->bytes);
        if (status == KILN_OK)
            status = kiln_queue_finish(queue);
        free(padded);
        return status;
    }
    return status == KILN_OK ? kiln_queue_finish(queue) : status;
}

static kiln_status make_operands(state *s) {
    for (const kiln_operand *o; (o = kiln_plan_operand(s->plan, s->n_views)); s->n_views++) {
        if (o->role == KILN_ROLE_PACKED)
            continue; /* the binding makes it */
        kiln_view *view = &s->views[s->n_views];
        kiln_status status = kiln_buffer_create(s->kiln->device, (o->bytes + 3) / 4 * 4, &view->buffer);
        if (status == KILN_OK)
            status = write_operand(s, o, view->buffer);
        if (status != KILN_OK) {
            s->n_views++;
            return status;
        }
    }
    return KILN_OK;
}

static kiln_status make_graph(const state *s, size_t runs, kiln_graph **out) {
    kiln_status status = kiln_graph_create(s->kiln->queue, out);
    for (size_t i = 0; i < runs && status == KILN_OK; i++)
        status = kiln_graph_add(*out, s->binding);
    return status == KILN_OK ? kiln_graph_end(*out) : status;
}

static bool run(void *user, size_t times) {
    const state *s = user;
    for (size_t i = 0; i < times / RUNS; i++)
        if (!complain(kiln_graph_launch(s->many), s->c->key))
            return false;
    for (size_t i = 0; i < times % RUNS; i++)
        if (!complain(kiln_graph_launch(s->one), s->c->key))
            return false;
    return complain(kiln_queue_finish(s->kiln->queue), s->c->key);
}

static bool read_output(void *user, float *output) {
    const state *s = user;
    int index = kiln_plan_operand_index(s->plan, s->c->is_conv ? "output" : "c");
    const kiln_operand *o = index < 0 ? NULL : kiln_plan_operand(s->plan, (size_t)index);
    float *padded = o ? malloc(o->bytes) : NULL;
    if (!padded)
        return false;
    const bool is_read =
        complain(kiln_buffer_read(s->kiln->queue, s->views[index].buffer, 0, padded, o->bytes), "reading") &&
        complain(kiln_queue_finish(s->kiln->queue), "reading");
    if (is_read)
        copy_board(o, s->c, s->c->oc, output, padded, false);
    free(padded);
    return is_read;
}

static void close_state(void *user) {
    state *s = user;
    kiln_graph_destroy(s->many);
    kiln_graph_destroy(s->one);
    kiln_binding_destroy(s->binding);
    for (size_t i = 0; i < s->n_views; i++)
        kiln_buffer_destroy(s->views[i].buffer);
    kiln_plan_destroy(s->plan);
    free(s);
}

bool peers_kiln_open(const peers_kiln *kiln, const peers_case *c, peers_runner *runner, kiln_plan_info *info) {
    state *s = calloc(1, sizeof *s);
    if (!s)
        return false;
    *s = (state){.kiln = kiln, .c = c};
    *runner = (peers_runner){.peer = "kiln", .state = s, .run = run, .read = read_output, .close = close_state};
    *info = (kiln_plan_info)KILN_PLAN_INFO_INIT;
    if (complain(kiln_plan_create(kiln->device, &c->problem, NULL, &s->plan), c->key) &&
        complain(kiln_plan_get_info(s->plan, info), c->key) && complain(make_operands(s), c->key) &&
        complain(kiln_binding_create(s->plan, kiln->queue, s->views, s->n_views, (kiln_view){0}, &s->binding),
                 c->key) &&
        complain(make_graph(s, 1, &s->one), c->key) && complain(make_graph(s, RUNS, &s->many), c->key)) {
        snprintf(runner->how, sizeof runner->how, "%s %s", info->variant, info->config);
        return true;
    }
    close_state(s);
    return false;
}
