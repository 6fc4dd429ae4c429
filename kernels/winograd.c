#include "winograd.h"
#include "embedded.h"
#include "matrix.h"
#include "types.h"
#include <math.h>

#define VALUES(list) list, sizeof list / sizeof *list

enum { LEAST_CHANNELS = 16, MAX_ELEMS = INT32_MAX - 65536, WIDEST_PANEL = 64 };

static const int32_t edges[] = {2, 3, 4};
enum { N_EDGES = sizeof edges / sizeof *edges };

static int64_t divide_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

static int64_t points_of(int32_t m) {
    return (m + 2) * (m + 2);
}

static int64_t tiles_of(const kiln_conv_shape *s, int32_t m) {
    return s->n * divide_up(s->h, m) * divide_up(s->w, m);
}

/* The edge with the fewest products. */
static int32_t least_work(const kiln_conv_shape *s) {
    int32_t best = edges[0];
    for (size_t i = 1; i < N_EDGES; i++)
        if (tiles_of(s, edges[i]) * points_of(edges[i]) < tiles_of(s, best) * points_of(best))
            best = edges[i];
    return best;
}

/* ---- where neither applies ---- */

static const char *reject_shape(const kiln_conv_shape *s) {
    if (s->kh != 3 || s->kw != 3)
        return "the kernel is not 3x3";
    if (s->ic < LEAST_CHANNELS || s->oc < LEAST_CHANNELS)
        return "with fewer than 16 channels the transforms cost more than they save";
    const int32_t m = least_work(s);
    if (tiles_of(s, m) * points_of(m) * 5 > s->n * s->h * s->w * 9 * 4)
        return "the board is so small that its tiles save less than a fifth of the products";
    if (kiln__product(MAX_ELEMS, points_of(4), s->ic, s->oc + WIDEST_PANEL, INT64_C(-1)) < 0)
        return "the transformed weights may have 2^31 elements or more";
    return NULL;
}

/* Adds the PACKED operand [panels][points][ic][width] and the step that makes it from the weights. */
static uint32_t pack(const kiln_conv_shape *s, int32_t m, int64_t width, kiln_lowering *l) {
    const int64_t panels = divide_up(s->oc, width);
    const uint32_t weights = (uint32_t)kiln__lower_find(l, "weights");
    const uint32_t packed = kiln__lower_operand(l, "packed", KILN_ROLE_PACKED, KILN_TYPE_F32, "panel,point,ic,channel",
                                                panels, points_of(m), s->ic, width);
    const uint32_t unit = kiln__lower_unit(l, &kiln__embed_pack_winograd_cl);
    kiln__lower_define(l, unit, "KP_M", m);
    kiln__type_define(l, unit, l->operands[weights].type);
    kiln__lower_define(l, unit, "KC_NB", width);
    kiln_step *step = kiln__lower_kernel(l, true, unit, "pack_winograd");
    kiln__linear_launch(step, s->ic * panels * width);
    kiln__step_operand(step, weights);
    kiln__step_operand(step, packed);
    kiln__step_i32(step, (int32_t)s->ic);
    kiln__step_i32(step, (int32_t)s->oc);
    return packed;
}

/* ---- winograd ---- */

/* The first four are those of vec. */
enum { MR = KILN_VEC_MR, NV = KILN_VEC_NV, VW = KILN_VEC_VW, UNROLL = KILN_VEC_UNROLL, M, ROUNDS, SPLIT };

static const int32_t mr_values[] = {2, 3, 4, 5, 6, 8, 12}, nv_values[] = {1, 2, 3, 4}, vw_values[] = {4, 8, 16},
                     one_two_four[] = {1, 2, 4}, rounds_values[] = {1, 2, 3, 4}, split_values[] = {1, 2, 4, 8};
enum { N_MR = sizeof mr_values / sizeof *mr_values, N_NV = sizeof nv_values / sizeof *nv_values };

const kiln_param kiln__winograd_params[] = {{"mr", VALUES(mr_values)},
                                            {"nv", VALUES(nv_values)},
                                            {"vw", VALUES(vw_values)},
                                            {"unroll", VALUES(one_two_four)},
                                            {"m", VALUES(edges)},
                                            {"rounds", VALUES(rounds_values)},
                                            {"split", VALUES(split_values)},
                                            {0}};

/* Transformed tiles, and their products with one panel: scratch of conv/winograd.cpu.cl. */
static size_t local_bytes(const kiln_conv_shape *s, const kiln_config *c) {
    const int64_t tiles = c->v[MR] * c->v[ROUNDS], row = divide_up(s->ic, c->v[VW]) * c->v[VW];
    const int64_t products = tiles * c->v[NV] * c->v[VW];
    return (size_t)(points_of(c->v[M]) * (tiles * row + 16 + products)) * sizeof(float);
}

static int64_t panels_of(const kiln_conv_shape *s, const kiln_config *c) {
    return divide_up(s->oc, c->v[NV] * c->v[VW]);
}

static bool fits_local(const kiln_config *c, const kiln_problem *p, const kiln_caps *caps) {
    const kiln_conv_shape s = kiln__conv_shape(p);
    return local_bytes(&s, c) <= caps->local_bytes;
}
static bool has_parts(const kiln_config *c, const kiln_problem *p, const kiln_caps *caps) {
    (void)caps;
    const kiln_conv_shape s = kiln__conv_shape(p);
    return c->v[SPLIT] <= panels_of(&s, c);
}
static bool has_rounds(const kiln_config *c, const kiln_problem *p, const kiln_caps *caps) {
    (void)caps;
    const kiln_conv_shape s = kiln__conv_shape(p);
    return c->v[ROUNDS] <= divide_up(tiles_of(&s, c->v[M]), c->v[MR]);
}

const kiln_rule kiln__winograd_rules[] = {
    KILN_VEC_RULES,
    {"the transformed tiles do not fit the device's local memory",
     1u << MR | 1u << NV | 1u << VW | 1u << M | 1u << ROUNDS, fits_local},
    {"more parts than panels of output channels", 1u << NV | 1u << VW | 1u << SPLIT, has_parts},
    {"fewer tiles than rounds", 1u << MR | 1u << M | 1u << ROUNDS, has_rounds},
    {0}};

static kiln_config least_config(const kiln_caps *caps) {
    const int32_t vw = caps->vector_floats >= 16 ? 16 : caps->vector_floats >= 8 ? 8 : 4;
    return (kiln_config){.v = {[MR] = 2, [NV] = 1, [VW] = vw, [UNROLL] = 4, [M] = edges[0], [ROUNDS] = 1, [SPLIT] = 1}};
}

const char *kiln__winograd_reject(const kiln_problem *p, const kiln_caps *caps) {
    const char *reason = kiln__vec_reject(p, caps);
    if (reason)
        return reason;
    const kiln_conv_shape s = kiln__conv_shape(p);
    const kiln_config least = least_config(caps);
    reason = reject_shape(&s);
    return reason || local_bytes(&s, &least) <= caps->local_bytes ? reason
                                                                  : "two tiles do not fit the device's local memory";
}

/* Cycles of a work-item. The inner loop is as in matrix.c; the packed weights come from the last cache at 16 bytes a
 * cycle; a transform takes about three cycles for a vector and point, the epilogue about ten for a vector of results.
 */
static double item_cycles(const kiln_conv_shape *s, const kiln_config *c) {
    const int32_t mr = c->v[MR], nv = c->v[NV], m = c->v[M];
    const double points = (double)points_of(m), ic = (double)s->ic;
    const double tiles = fmin((double)(mr * c->v[ROUNDS]), (double)tiles_of(s, m));
    const double panels = (double)divide_up(panels_of(s, c), c->v[SPLIT]);
    const double step = fmax(fmax(mr * nv / 2.0, mr / 2.0 + nv), 4.0);
    const double product = ceil(tiles / mr) * (ic * step + 10.0 * nv + 2.0 * mr * nv);
    const double weights = ic * nv * c->v[VW] * (double)sizeof(float) / 16.0;
    const double transform = 3.0 * tiles * points * ceil(ic / c->v[VW]);
    const double end = tiles * nv * (3.0 * points + 10.0 * m * m);
    return transform + panels * (points * fmax(product, weights) + end) + 1000.0;
}

static double cost(const kiln_conv_shape *s, const kiln_config *c, const kiln_caps *caps) {
    const int64_t blocks = divide_up(tiles_of(s, c->v[M]), c->v[MR] * c->v[ROUNDS]);
    return (double)divide_up(blocks * c->v[SPLIT], caps->units ? caps->units : 1) * item_cycles(s, c);
}

/* The best of register tile and edge for one way to divide the work. */
static void guess_tile(const kiln_problem *p, const kiln_caps *caps, int32_t rounds, int32_t split, double *best,
                       kiln_config *out) {
    const kiln_conv_shape s = kiln__conv_shape(p);
    for (size_t i = 0; i < N_MR * N_NV * N_EDGES; i++) {
        kiln_config c = least_config(caps);
        c.v[MR] = mr_values[i % N_MR];
        c.v[NV] = nv_values[i / N_MR % N_NV];
        c.v[M] = edges[i / N_MR / N_NV];
        c.v[ROUNDS] = rounds;
        c.v[SPLIT] = split;
        if (!kiln__vec_registers(&c, p, caps) || !has_parts(&c, p, caps) || !has_rounds(&c, p, caps) ||
            local_bytes(&s, &c) > caps->local_bytes)
            continue;
        const double cycles = cost(&s, &c, caps);
        if (cycles < *best) {
            *best = cycles;
            *out = c;
        }
    }
}

void kiln__winograd_guess(const kiln_problem *p, const kiln_caps *caps, kiln_config *out) {
    double best = INFINITY;
    *out = least_config(caps);
    for (size_t i = 0; i < sizeof rounds_values / sizeof *rounds_values; i++)
        for (size_t j = 0; j < sizeof split_values / sizeof *split_values; j++)
            guess_tile(p, caps, rounds_values[i], split_values[j], &best, out);
}

kiln_status kiln__winograd_lower(const kiln_problem *p, const kiln_config *c, const kiln_caps *caps, kiln_lowering *l) {
    (void)caps;
    const kiln_conv_shape s = kiln__conv_shape(p);
    const int64_t panels = panels_of(&s, c), panels_a_part = divide_up(panels, c->v[SPLIT]);
    const uint32_t packed = pack(&s, c->v[M], c->v[NV] * c->v[VW], l);
    const uint32_t u = kiln__conv_unit(p, &kiln__embed_conv_winograd_cpu_cl, l);
    kiln__vec_define(l, u, c);
    kiln__lower_define(l, u, "KP_M", c->v[M]);
    kiln__lower_define(l, u, "KP_ROUNDS", c->v[ROUNDS]);
    kiln__lower_define(l, u, "KP_SPLIT", c->v[SPLIT]);
    kiln_step *step = kiln__lower_kernel(l, false, u, "conv_winograd");
    kiln__step_grid(step, (uint32_t)divide_up(tiles_of(&s, c->v[M]), c->v[MR] * c->v[ROUNDS]),
                    (uint32_t)divide_up(panels, panels_a_part), 1);
    kiln__step_operand(step, (uint32_t)kiln__lower_find(l, "input"));
    kiln__step_operand(step, packed);
    kiln__conv_end_args(p, l, step, s.n);
    kiln__step_local(step, local_bytes(&s, c));
    return KILN_OK;
}

/* ---- winograd_nonfused ---- */

/* The first five are those of tile. */
enum { NONFUSED_M = KILN_TILE_WN + 1 };

static const int32_t tile_edges[] = {16, 32, 64, 128}, depths[] = {8, 16, 32}, item_edges[] = {1, 2, 4, 8};

const kiln_param kiln__winograd_nonfused_params[] = {{"tm", VALUES(tile_edges)},
                                                     {"tn", VALUES(tile_edges)},
                                                     {"tk", VALUES(depths)},
                                                     {"wm", VALUES(item_edges)},
                                                     {"wn", VALUES(item_edges)},
                                                     {"m", VALUES(edges)},
                                                     {0}};

/* An argument in the workspace begins where every device allows one to: in floats. */
enum { ARGUMENT_ALIGN = 256 };

/* Elements of the transformed input and, behind it, of the products; -1: too many to count in int. */
static int64_t workspace_elems(const kiln_conv_shape *s, int32_t m, int64_t *input) {
    const int64_t rows = points_of(m) * tiles_of(s, m);
    *input = divide_up(kiln__product(INT64_MAX / 64, rows, s->ic, INT64_C(-1)), ARGUMENT_ALIGN) * ARGUMENT_ALIGN;
    const int64_t products = kiln__product(MAX_ELEMS, rows, s->oc, INT64_C(-1));
    return *input > MAX_ELEMS || products < 0 ? -1 : *input + products;
}

static bool fits_workspace(const kiln_config *c, const kiln_problem *p, const kiln_caps *caps) {
    const kiln_conv_shape s = kiln__conv_shape(p);
    int64_t input;
    const int64_t elems = workspace_elems(&s, c->v[NONFUSED_M], &input);
    return elems > 0 && (!caps->max_alloc_bytes || (uint64_t)elems * sizeof(float) <= caps->max_alloc_bytes);
}

const kiln_rule kiln__winograd_nonfused_rules[] = {
    KILN_TILE_RULES, {"the workspace is larger than the device allows", 1u << NONFUSED_M, fits_workspace}, {0}};

void kiln__winograd_nonfused_guess(const kiln_problem *p, const kiln_caps *caps, kiln_config *out) {
    const kiln_conv_shape s = kiln__conv_shape(p);
    const int32_t m = least_work(&s);
    /* the products of all points run side by side */
    kiln__tile_guess((kiln_matrix){.rows = tiles_of(&s, m) * points_of(m), .channels = s.oc, .depth = s.ic}, caps, out);
    out->v[NONFUSED_M] = m;
}

const char *kiln__winograd_nonfused_reject(const kiln_problem *p, const kiln_caps *caps) {
    const kiln_conv_shape s = kiln__conv_shape(p);
    const char *reason = reject_shape(&s);
    if (!reason)
        reason = kiln__tile_reject(p, caps);
    if (reason)
        return reason;
    const kiln_config least = {.v = {[NONFUSED_M] = least_work(&s)}};
    return fits_workspace(&least, p, caps) ? NULL : "the transformed tiles do not fit the device's memory";
}

kiln_status kiln__winograd_nonfused_lower(const kiln_problem *p, const kiln_config *c, const kiln_caps *caps,
                                          kiln_lowering *l) {
    (void)caps;
    const kiln_conv_shape s = kiln__conv_shape(p);
    const int32_t m = c->v[NONFUSED_M];
    const int64_t tiles = tiles_of(&s, m);
    int64_t input;
    l->workspace_bytes = (size_t)workspace_elems(&s, m, &input) * sizeof(float);
    const size_t products_bytes = (size_t)input * sizeof(float); /* from the start of the workspace */
    const uint32_t packed = pack(&s, m, s.oc, l);
    const uint32_t u = kiln__conv_unit(p, &kiln__embed_conv_winograd_cl, l);
    kiln__tile_define(l, u, c);
    kiln__lower_define(l, u, "KP_M", m);

    kiln_step *step = kiln__lower_kernel(l, false, u, "winograd_input");
    kiln__linear_launch(step, tiles * s.ic);
    kiln__step_operand(step, (uint32_t)kiln__lower_find(l, "input"));
    kiln__step_workspace(step, 0);
    kiln__step_i32(step, (int32_t)tiles);

    step = kiln__lower_kernel(l, false, u, "winograd_products");
    kiln__step_workspace(step, 0);
    kiln__step_operand(step, packed);
    kiln__step_workspace(step, products_bytes);
    kiln__step_i32(step, (int32_t)tiles);
    kiln__tile_launch(step, (kiln_matrix){.rows = tiles, .channels = s.oc, .depth = s.ic}, c);
    step->kernel.launch.grid[2] = (uint32_t)points_of(m);

    step = kiln__lower_kernel(l, false, u, "winograd_output");
    kiln__linear_launch(step, tiles * s.oc);
    kiln__step_workspace(step, products_bytes);
    kiln__conv_end_args(p, l, step, tiles);
    return KILN_OK;
}
