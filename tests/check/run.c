#include "chain.h"
#include "check.h"
#include "context.h"
#include "number.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bit patterns of NaNs that no computation gives, in f32, f16 and bf16. */
#define GUARD_PATTERN  UINT32_C(0x7fe57fe5)
#define POISON_PATTERN UINT32_C(0x7fdb7fdb)

enum { LEAST_GUARD_BYTES = 256 };

/* Device memory between two guard bands, and its image on the host. */
typedef struct {
    kiln_buffer *buffer;
    uint32_t *image;
    size_t bytes;
    size_t n, guard; /* words; what is past `bytes` in the last one stays poison */
} fenced;

typedef struct {
    kiln_queue *queue;
    const check_candidate *candidate;
    const check_data *data;
    char what[KILN_MAX_KEY + KILN_MAX_CONFIG_TEXT + 64];
    kiln_plan *plan;
    kiln_binding *binding;
    fenced operands[KILN_MAX_OPERANDS];
    fenced workspace;
} run;

static bool complain(const run *r, const char *text) {
    fprintf(stderr, "FAILED %s: %s\n", r->what, text);
    return false;
}

#define MUST(r, call)                                                                                                  \
    do {                                                                                                               \
        if ((call) != KILN_OK)                                                                                         \
            return complain(r, kiln_last_error());                                                                     \
    } while (0)

/* ---- fenced memory ---- */

static bool fence(run *r, fenced *f, size_t bytes) {
    const size_t align = kiln__device_caps(r->queue->device)->address_align_bytes;
    f->guard = (align > LEAST_GUARD_BYTES ? align : LEAST_GUARD_BYTES) / sizeof(uint32_t);
    f->bytes = bytes;
    f->n = (bytes + sizeof(uint32_t) - 1) / sizeof(uint32_t);
    f->image = malloc((f->n + 2 * f->guard) * sizeof(uint32_t));
    if (!f->image)
        return complain(r, "out of memory");
    MUST(r, kiln_buffer_create(r->queue->device, (f->n + 2 * f->guard) * sizeof(uint32_t), &f->buffer));
    return true;
}

/* data NULL: poison. */
static bool put(run *r, fenced *f, kiln_type type, const float *data) {
    const size_t all = f->n + 2 * f->guard;
    for (size_t i = 0; i < all; i++)
        f->image[i] = i < f->guard || i >= f->guard + f->n ? GUARD_PATTERN : POISON_PATTERN;
    if (data)
        kiln__encode(type, data, f->bytes / kiln_type_bytes(type), f->image + f->guard);
    MUST(r, kiln_buffer_write(r->queue, f->buffer, 0, f->image, all * sizeof(uint32_t)));
    return true;
}

static bool get(run *r, fenced *f) {
    const size_t all = f->n + 2 * f->guard;
    MUST(r, kiln_buffer_read(r->queue, f->buffer, 0, f->image, all * sizeof(uint32_t)));
    MUST(r, kiln_queue_finish(r->queue));
    return true;
}

static bool guards_hold(run *r, const fenced *f, const char *name) {
    const unsigned char *end = (const unsigned char *)(f->image + f->guard) + f->bytes;
    const uint32_t poison = POISON_PATTERN;
    if (f->bytes % sizeof poison && memcmp(end, &poison, sizeof poison - f->bytes % sizeof poison) != 0) {
        fprintf(stderr, "FAILED %s: %s: written just after its memory\n", r->what, name);
        return false;
    }
    for (size_t i = 0; i < f->guard; i++)
        if (f->image[i] != GUARD_PATTERN || f->image[f->guard + f->n + i] != GUARD_PATTERN) {
            fprintf(stderr, "FAILED %s: %s: written %s its memory\n", r->what, name,
                    f->image[i] != GUARD_PATTERN ? "before" : "after");
            return false;
        }
    return true;
}

/* ---- inputs ---- */

/* What the variant promises not to read becomes NaN: the halo for all but vec and mma of conv, masked points for a
 * family that skips them. */
static void poison_unread(const run *r, const check_tensor *t, float *data) {
    const check_tensor *mask = check_find(r->data, "mask");
    const bool skips = r->candidate->oracle->skips_unread;
    const char *variant = r->candidate->variant->name;
    const bool reads_halo = strcmp(r->candidate->oracle->family, "conv") == 0 &&
                            (strcmp(variant, "vec") == 0 || strcmp(variant, "mma") == 0);
    if (strcmp(t->operand.name, "input") != 0 || reads_halo)
        return;
    const int64_t *shape = t->operand.shape, halo = t->operand.halo;
    const int64_t h = shape[1] - 2 * halo, w = shape[2] - 2 * halo, c = shape[3];
    for (size_t i = 0; i < t->n; i++) {
        const int64_t point = (int64_t)i / c, x = point % shape[2] - halo, y = point / shape[2] % shape[1] - halo;
        const int64_t item = point / shape[2] / shape[1];
        if (check_in_halo(&t->operand, i) || (skips && mask && mask->data[(item * h + y) * w + x] == 0))
            data[i] = NAN;
    }
}

static bool put_operand(run *r, size_t index) {
    fenced *f = &r->operands[index];
    if (index >= r->data->n_tensors) /* packed */
        return put(r, f, KILN_TYPE_F32, NULL);
    const check_tensor *t = &r->data->tensors[index];
    if (t->operand.role != KILN_ROLE_INPUT)
        return put(r, f, t->operand.type, t->data);
    float *copy = malloc(t->n * sizeof *copy);
    if (!copy)
        return complain(r, "out of memory");
    memcpy(copy, t->data, t->n * sizeof *copy);
    poison_unread(r, t, copy);
    const bool ok = put(r, f, t->operand.type, copy);
    free(copy);
    return ok;
}

/* ---- outputs ---- */

/* Whether whole numbers must come out exactly. The second output comes before the activation. */
static bool is_exact(const kiln_problem *problem, const char *operand) {
    const kiln_family *family = kiln__problem_family(problem);
    kiln_problem p = *problem;
    for (size_t i = 0; i < p.schema->n_fields && strcmp(operand, "sum") == 0; i++)
        if (strcmp(p.schema->fields[i].name, "ep") == 0)
            p.v[i] &= ~(int64_t)KILN_EP_ACT_MASK;
    return family->is_exact && family->is_exact(&p);
}

static float element(const kiln_operand *o, const void *stored, size_t index) {
    float x;
    kiln__decode(o->type, (const char *)stored + index * kiln_type_bytes(o->type), 1, &x);
    return x;
}

static bool output_is_right(const run *r, const check_tensor *t, const void *stored) {
    const check_candidate *c = r->candidate;
    const kiln_family *family = kiln__problem_family(c->problem);
    const kiln_tolerance tolerance = family->tolerance(c->problem);
    const double factor = c->variant->error_factor > 1 ? c->variant->error_factor : 1;
    const bool exact = r->data->integers && c->variant->error_factor == 0 && is_exact(c->problem, t->operand.name);
    size_t n_wrong = 0, first = 0;
    for (size_t i = 0; i < t->n; i++) {
        const double whole = (double)kiln__stored_value(t->operand.type, (float)t->expected[i]);
        const double expected = exact ? whole : t->expected[i],
                     error = fabs(element(&t->operand, stored, i) - expected);
        /* integers reach 2 in magnitude, the tolerance is for 1 */
        const double allowed = factor * ((r->data->integers ? 4 : 1) * tolerance.abs + tolerance.rel * fabs(expected));
        const bool right = exact || check_in_halo(&t->operand, i) ? error == 0 : error <= allowed;
        if (!right && n_wrong++ == 0)
            first = i;
    }
    if (n_wrong)
        fprintf(stderr, "FAILED %s: %s: %zu of %zu elements are wrong, the first at %zu: %.9g instead of %.9g%s\n",
                r->what, t->operand.name, n_wrong, t->n, first, element(&t->operand, stored, first), t->expected[first],
                check_in_halo(&t->operand, first) ? " (halo)"
                : exact                           ? " (must be exact)"
                                                  : "");
    return n_wrong == 0;
}

/* Reads operand `index` back and checks it; keeps outputs of the first run in `before` and compares the second's. */
static bool check_operand(run *r, size_t index, uint32_t **before) {
    fenced *f = &r->operands[index];
    const bool packed = index >= r->data->n_tensors;
    const char *name = packed ? "packed" : r->data->tensors[index].operand.name;
    uint32_t *sent = packed ? NULL : malloc(f->n * sizeof *sent);
    if (sent)
        memcpy(sent, f->image + f->guard, f->n * sizeof *sent);
    bool ok = get(r, f) && guards_hold(r, f, name);
    if (ok && !packed && r->data->tensors[index].operand.role != KILN_ROLE_OUTPUT) {
        if (memcmp(sent, f->image + f->guard, f->n * sizeof *sent) != 0)
            ok = complain(r, "an input was written to");
    } else if (ok && !packed) {
        ok = output_is_right(r, &r->data->tensors[index], f->image + f->guard);
        if (ok && !*before) {
            *before = malloc(f->n * sizeof **before);
            if (*before)
                memcpy(*before, f->image + f->guard, f->n * sizeof **before);
        } else if (ok && memcmp(*before, f->image + f->guard, f->n * sizeof **before) != 0) {
            ok = complain(r, "two runs give different bits");
        }
    }
    free(sent);
    return ok;
}

/* ---- one candidate ---- */

static bool set_up(run *r, const kiln_lowering *l) {
    kiln_view views[KILN_MAX_OPERANDS] = {{0}};
    for (size_t i = 0; i < l->n_operands; i++) {
        if (!fence(r, &r->operands[i], l->operands[i].bytes))
            return false;
        views[i] = (kiln_view){r->operands[i].buffer, r->operands[i].guard * sizeof(uint32_t)};
    }
    kiln_view workspace = {0};
    if (l->workspace_bytes) {
        if (!fence(r, &r->workspace, l->workspace_bytes))
            return false;
        workspace = (kiln_view){r->workspace.buffer, r->workspace.guard * sizeof(uint32_t)};
    }
    MUST(r, kiln_binding_create(r->plan, r->queue, views, l->n_operands, workspace, &r->binding));
    return true;
}

static bool run_once(run *r, const kiln_lowering *l, bool prepare, uint32_t *before[]) {
    for (size_t i = 0; i < l->n_operands; i++)
        if ((prepare || l->operands[i].role != KILN_ROLE_PACKED) && !put_operand(r, i))
            return false;
    if (r->workspace.buffer && !put(r, &r->workspace, KILN_TYPE_F32, NULL))
        return false;
    if (prepare)
        MUST(r, kiln_binding_prepare(r->binding));
    MUST(r, kiln_binding_run(r->binding));
    MUST(r, kiln_queue_finish(r->queue));
    for (size_t i = 0; i < l->n_operands; i++)
        if (!check_operand(r, i, &before[i]))
            return false;
    return !r->workspace.buffer || (get(r, &r->workspace) && guards_hold(r, &r->workspace, "workspace"));
}

static bool run_set(run *r, const kiln_lowering *l) {
    uint32_t *before[KILN_MAX_OPERANDS] = {0};
    const bool ok = run_once(r, l, true, before) && run_once(r, l, false, before);
    for (size_t i = 0; i < KILN_MAX_OPERANDS; i++)
        free(before[i]);
    return ok;
}

static void tear_down(run *r) {
    kiln_binding_destroy(r->binding);
    kiln_plan_destroy(r->plan);
    for (size_t i = 0; i < KILN_MAX_OPERANDS; i++) {
        kiln_buffer_destroy(r->operands[i].buffer);
        free(r->operands[i].image);
    }
    kiln_buffer_destroy(r->workspace.buffer);
    free(r->workspace.image);
}

static bool build(run *r, kiln_lowering *l, const char *config, kiln_chain *chain) {
    const check_candidate *c = r->candidate;
    const kiln_family *family = kiln__problem_family(c->problem);
    MUST(r, kiln__variant_lower(c->variant, c->problem, &c->config, kiln__device_caps(r->queue->device), l));
    MUST(r, kiln__chain_expand(r->queue->device, KILN_PLAN_GUESS, l, chain));
    const kiln_plan_spec spec = {.problem = c->problem,
                                 .variant = c->variant->name,
                                 .config = config,
                                 .source = "request",
                                 .flops = family->flops(c->problem),
                                 .bytes = kiln__lowering_bytes(l)};
    MUST(r, kiln__plan_build(r->queue->device, &spec, l, &r->plan));
    return true;
}

bool check_run(kiln_queue *queue, const check_candidate *candidate, const check_data *sets, size_t n_sets) {
    run *r = calloc(1, sizeof *r);
    kiln_lowering *l = calloc(1, sizeof *l);
    if (!r || !l) {
        fprintf(stderr, "check: out of memory\n");
        exit(1);
    }
    r->queue = queue;
    r->candidate = candidate;
    char key[KILN_MAX_KEY], config[KILN_MAX_CONFIG_TEXT];
    kiln_problem_key(candidate->problem, key, sizeof key);
    kiln__config_print(candidate->variant, &candidate->config, config, sizeof config);
    snprintf(r->what, sizeof r->what, "%s %s %s", key, candidate->variant->name, config);
    kiln_chain chain = {0};
    bool ok = build(r, l, config, &chain) && set_up(r, l);
    kiln__chain_close(&chain);
    for (size_t i = 0; ok && i < n_sets; i++) {
        r->data = &sets[i];
        snprintf(r->what, sizeof r->what, "%s %s %s (%s)", key, candidate->variant->name, config,
                 sets[i].integers ? "integers" : "floats");
        ok = run_set(r, l);
    }
    tear_down(r);
    free(l);
    free(r);
    return ok;
}
