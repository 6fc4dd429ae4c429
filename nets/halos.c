#include "halos.h"
#include "planner.h"
#include <math.h>
#include <string.h>

enum { USUAL, COMPACT, N_LABELS };

/* A problem that was asked for. */
typedef struct {
    kiln_problem problem;
    double us;
} known;

typedef struct {
    kiln_layout *layout;
    int32_t *usual;              /* halo by tensor */
    double (*rest)[N_LABELS];    /* by tensor and its label: the least that all that follows from it takes */
    uint8_t (*follow)[N_LABELS]; /* by op and the label of its input: the best label of its output */
    uint8_t *label;              /* by tensor: the choice */
    kiln_halo_cost cost;
    void *user;
    known *known; /* N_LABELS * N_LABELS an op at most */
    size_t n_known;
    bool has_others; /* something is known of other halos than the usual ones */
} chooser;

/* ---- one op ---- */

/* The tensors whose halos may matter; a gemm calls them a and c. */
static int32_t input_of(const kiln_net_op *op) {
    return kiln__net_operand(op, op->kind == KILN_NET_GEMM ? "a" : "input")->index;
}

static int32_t output_of(const kiln_net_op *op) {
    return kiln__net_operand(op, op->kind == KILN_NET_GEMM ? "c" : "output")->index;
}

static int n_labels(const int32_t *usual, int32_t tensor) {
    return usual[tensor] > 0 ? N_LABELS : 1;
}

static void set_label(kiln_layout *l, const int32_t *usual, int32_t tensor, int label) {
    l->halo[tensor] = label == COMPACT ? 0 : usual[tensor];
}

/* The problem of an op for two labels; leaves the layout as it was. */
static kiln_status problem_of(kiln_layout *l, const int32_t *usual, size_t op, int in, int out, kiln_problem *problem) {
    const int32_t input = input_of(&l->net->ops[op]), output = output_of(&l->net->ops[op]);
    const int32_t before[2] = {l->halo[input], l->halo[output]};
    set_label(l, usual, input, in);
    set_label(l, usual, output, out);
    const kiln_status status = kiln__layout_problem(l, op, problem);
    l->halo[input] = before[0];
    l->halo[output] = before[1];
    return status;
}

/* Microseconds of an op, 0 where nothing is known. Layers of the same problem are looked up once. */
static kiln_status op_us(chooser *c, size_t op, int in, int out, double *us) {
    known *k = &c->known[c->n_known];
    kiln_problem usual;
    *us = 0;
    if (c->layout->net->ops[op].kind == KILN_NET_CHANNEL)
        return KILN_OK;
    KILN_TRY(problem_of(c->layout, c->usual, op, in, out, &k->problem));
    for (size_t i = 0; i < c->n_known; i++)
        if (kiln__problem_equal(&c->known[i].problem, &k->problem)) {
            *us = c->known[i].us;
            return KILN_OK;
        }
    KILN_TRY(problem_of(c->layout, c->usual, op, USUAL, USUAL, &usual));
    KILN_TRY(c->cost(c->user, &k->problem, &usual, &k->us));
    *us = k->us;
    c->n_known++;
    return KILN_OK;
}

/* What choosing counts for an op: INFINITY for what has no time, or none to compare it with. */
static kiln_status weigh(chooser *c, size_t op, int in, int out, double *us) {
    double usual_us;
    KILN_TRY(op_us(c, op, USUAL, USUAL, &usual_us));
    *us = usual_us;
    if (in == USUAL && out == USUAL)
        return KILN_OK;
    if (usual_us > 0)
        KILN_TRY(op_us(c, op, in, out, us));
    c->has_others |= *us > 0;
    *us = *us > 0 ? *us * KILN_HALO_MARGIN : INFINITY;
    return KILN_OK;
}

/* ---- the choice ---- */

/* Ops run after those that write their inputs, so all that follows from an output is known before its op is reached. */
static kiln_status walk_back(chooser *c) {
    const kiln_net *net = c->layout->net;
    for (size_t i = net->n_ops; i-- > 0;) {
        const int32_t input = input_of(&net->ops[i]), output = output_of(&net->ops[i]);
        for (int in = 0; in < n_labels(c->usual, input); in++) {
            double best = INFINITY;
            for (int out = 0; out < n_labels(c->usual, output); out++) { /* of equal ones the usual, which is first */
                double us;
                KILN_TRY(weigh(c, i, in, out, &us));
                us += c->rest[output][out];
                if (us < best) {
                    best = us;
                    c->follow[i][in] = (uint8_t)out;
                }
            }
            c->rest[input][in] += best;
        }
    }
    return KILN_OK;
}

/* Tensors that no op writes, and second outputs, have no choice: their label is the usual one. */
static kiln_status walk_on(chooser *c, kiln_halo_choice *out) {
    const kiln_net *net = c->layout->net;
    for (size_t i = 0; i < net->n_ops; i++) {
        const int32_t input = input_of(&net->ops[i]), output = output_of(&net->ops[i]);
        double usual_us, us;
        c->label[output] = c->follow[i][c->label[input]];
        KILN_TRY(op_us(c, i, USUAL, USUAL, &usual_us));
        KILN_TRY(op_us(c, i, c->label[input], c->label[output], &us));
        out->usual_us += usual_us;
        out->chosen_us += us;
    }
    for (size_t i = 0; i < net->n_tensors; i++) {
        out->n_tensors += c->usual[i] > 0;
        out->n_changed += c->label[i] == COMPACT;
        set_label(c->layout, c->usual, (int32_t)i, c->label[i]);
    }
    return KILN_OK;
}

/* ---- why ---- */

static kiln_status explain_ops(chooser *c, kiln_strbuf *why) {
    const kiln_net *net = c->layout->net;
    for (size_t i = 0; i < net->n_ops; i++) {
        const int in = c->label[input_of(&net->ops[i])], out = c->label[output_of(&net->ops[i])];
        double usual_us, us;
        if (in == USUAL && out == USUAL)
            continue;
        KILN_TRY(op_us(c, i, USUAL, USUAL, &usual_us));
        KILN_TRY(op_us(c, i, in, out, &us));
        kiln__strbuf_addf(why, "layer \"%s\": %.1f us instead of %.1f us\n", net->ops[i].name, us, usual_us);
    }
    return KILN_OK;
}

static kiln_status explain(chooser *c, const kiln_halo_choice *choice, kiln_strbuf *why) {
    const kiln_net *net = c->layout->net;
    if (choice->n_changed == 0) {
        kiln__strbuf_addf(why, "the usual halos (tensors: %zu): %s\n", choice->n_tensors,
                          c->has_others ? "no other choice is faster by what is on record"
                                        : "nothing is on record of another choice");
        return KILN_OK;
    }
    kiln__strbuf_addf(why,
                      "%zu of %zu tensors without their usual halo: %.1f us by what is on record instead of %.1f us\n",
                      choice->n_changed, choice->n_tensors, choice->chosen_us, choice->usual_us);
    for (size_t i = 0; i < net->n_tensors; i++)
        if (c->usual[i] > 0)
            kiln__strbuf_addf(why, "tensor \"%s\": halo %d%s\n", net->tensors[i].name, (int)c->layout->halo[i],
                              c->label[i] == COMPACT ? "" : ", as usual");
    return explain_ops(c, why);
}

kiln_status kiln__halos_choose(kiln_layout *layout, kiln_halo_cost cost, void *user, kiln_halo_choice *out,
                               kiln_strbuf *why) {
    const kiln_net *net = layout->net;
    kiln_context *context = net->context;
    chooser c = {.layout = layout, .cost = cost, .user = user};
    kiln_status status = KILN_E_MEMORY;
    *out = (kiln_halo_choice){0};
    c.usual = kiln__alloc(context, net->n_tensors * sizeof *c.usual);
    c.rest = kiln__alloc(context, net->n_tensors * sizeof *c.rest);
    c.label = kiln__alloc(context, net->n_tensors * sizeof *c.label);
    c.follow = kiln__alloc(context, net->n_ops * sizeof *c.follow);
    c.known = kiln__alloc(context, (N_LABELS * N_LABELS * net->n_ops + 1) * sizeof *c.known); /* one is scratch */
    if (c.usual && c.rest && c.label && c.follow && c.known) {
        memcpy(c.usual, layout->halo, net->n_tensors * sizeof *c.usual);
        status = walk_back(&c);
        if (status == KILN_OK)
            status = walk_on(&c, out);
        if (status == KILN_OK)
            status = explain(&c, out, why);
    }
    kiln__free(context, c.usual);
    kiln__free(context, c.rest);
    kiln__free(context, c.label);
    kiln__free(context, c.follow);
    kiln__free(context, c.known);
    return status == KILN_OK ? kiln__strbuf_status(why) : status;
}

void kiln__halos_drop(kiln_layout *layout) {
    memset(layout->halo, 0, layout->net->n_tensors * sizeof *layout->halo);
}

/* ---- records ---- */

/* The record that a session would go by; median_us is 0 if there is none. */
static kiln_status best_record(kiln_device *device, const kiln_problem *problem, kiln_ranked *out) {
    kiln_ranking ranking;
    *out = (kiln_ranked){0};
    KILN_TRY(kiln__rank_records(device, problem, &ranking));
    if (ranking.n_sound > 0 && ranking.rows[0].serving == KILN_SERVING_GRAPH) /* replayed ones come first */
        *out = ranking.rows[0];
    kiln__ranking_free(device->context, &ranking);
    return KILN_OK;
}

kiln_status kiln__halos_recorded_us(void *user, const kiln_problem *problem, const kiln_problem *usual, double *us) {
    kiln_ranked row, rival;
    char base[KILN_MAX_BASE];
    KILN_TRY(best_record(user, problem, &row));
    *us = row.median_us;
    if (*us == 0 || kiln__problem_equal(problem, usual))
        return KILN_OK;
    KILN_TRY(best_record(user, usual, &rival));
    kiln__base_of_rival(usual, rival.base, base);
    if (strcmp(base, row.base) == 0)
        *us *= rival.base_us / row.base_us;
    return KILN_OK;
}

/* ---- alternatives ---- */

static kiln_status visit_op(kiln_layout *l, size_t op, kiln_halo_visit visit, void *user) {
    const int32_t *usual = l->halo; /* problem_of takes a halo away and puts it back */
    const int32_t input = input_of(&l->net->ops[op]), output = output_of(&l->net->ops[op]);
    kiln_problem usual_problem, problem;
    if (l->net->ops[op].kind == KILN_NET_CHANNEL)
        return KILN_OK;
    const int n_in = n_labels(usual, input), n_out = n_labels(usual, output);
    KILN_TRY(kiln__layout_problem(l, op, &usual_problem));
    for (int in = 0; in < n_in; in++)
        for (int out = 0; out < n_out; out++) {
            if (in == USUAL && out == USUAL)
                continue;
            KILN_TRY(problem_of(l, usual, op, in, out, &problem));
            KILN_TRY(visit(user, &problem, &usual_problem, in == n_in - 1 && out == n_out - 1));
        }
    return KILN_OK;
}

kiln_status kiln__halos_alternatives(kiln_layout *layout, kiln_halo_visit visit, void *user) {
    for (size_t i = 0; i < layout->net->n_ops; i++)
        KILN_TRY(visit_op(layout, i, visit, user));
    return KILN_OK;
}
