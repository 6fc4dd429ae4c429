#include "matrix.h"
#include "embedded.h"
#include "types.h"
#include <float.h>
#include <math.h>

static const int32_t one_two_four[] = {1, 2, 4}, four_to_16[] = {4, 8, 16}, eight_to_32[] = {8, 16, 32};
static const int32_t vec_mr[] = {1, 2, 4, 6, 8, 12}, vec_nv[] = {1, 2, 3, 4};
static const int32_t tile_edge[] = {16, 32, 64, 128}, item_edge[] = {1, 2, 4, 8};

#define VALUES(list) list, sizeof list / sizeof *list

static int64_t divide_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

/* ---- vec ---- */

const kiln_param kiln__vec_params[] = {
    {"mr", VALUES(vec_mr)}, {"nv", VALUES(vec_nv)}, {"vw", VALUES(four_to_16)}, {"unroll", VALUES(one_two_four)}, {0}};

bool kiln__vec_registers(const kiln_config *c, const kiln_problem *p, const kiln_caps *caps) {
    (void)p;
    const int32_t mr = c->v[KILN_VEC_MR], nv = c->v[KILN_VEC_NV];
    return (uint32_t)(mr * nv + nv + 1) <= caps->vector_registers;
}
bool kiln__vec_width(const kiln_config *c, const kiln_problem *p, const kiln_caps *caps) {
    (void)p;
    return (uint32_t)c->v[KILN_VEC_VW] <= caps->vector_floats;
}

const kiln_rule kiln__vec_rules[] = {KILN_VEC_RULES, {0}};

const char *kiln__vec_reject(const kiln_problem *problem, const kiln_caps *caps) {
    if (kiln__problem_type(problem) != KILN_TYPE_F32)
        return "takes f32 only";
    if (caps->kind != KILN_DEVICE_CPU)
        return "needs a CPU device";
    if (caps->language != KILN_LANGUAGE_OPENCL)
        return "needs OpenCL's vector types";
    return caps->vector_floats < 4 || caps->vector_registers < 8 ? "needs vector registers" : NULL;
}

/* Cycles of a tile on a core that starts two multiply-adds and two loads a cycle, needs eight multiply-adds under way
 * to keep busy, and takes weights from the second cache, a vector a cycle. Around the loop: finding the points, the
 * epilogue, starting a work-item. */
static double vec_cycles(int32_t mr, int32_t nv, int64_t depth) {
    const double arithmetic = mr * nv / 2.0, loads = mr / 2.0 + nv, latency = 4.0;
    return (double)depth * fmax(fmax(arithmetic, loads), latency) + 150.0 + 10.0 * mr * nv;
}

void kiln__vec_guess(kiln_matrix m, const kiln_caps *caps, kiln_config *out) {
    const int32_t vw = caps->vector_floats >= 16 ? 16 : caps->vector_floats >= 8 ? 8 : 4;
    *out = (kiln_config){.v = {[KILN_VEC_MR] = 1, [KILN_VEC_NV] = 1, [KILN_VEC_VW] = vw, [KILN_VEC_UNROLL] = 4}};
    double best = INFINITY;
    for (size_t i = 0; i < sizeof vec_mr / sizeof *vec_mr; i++)
        for (size_t j = 0; j < sizeof vec_nv / sizeof *vec_nv; j++) {
            kiln_config c = *out;
            c.v[KILN_VEC_MR] = vec_mr[i];
            c.v[KILN_VEC_NV] = vec_nv[j];
            if (!kiln__vec_registers(&c, NULL, caps))
                continue;
            const int64_t tiles = divide_up(m.rows, vec_mr[i]) * divide_up(m.channels, vec_nv[j] * vw);
            const int64_t rounds = divide_up(tiles, caps->units ? caps->units : 1);
            const double cost = (double)rounds * vec_cycles(vec_mr[i], vec_nv[j], m.depth);
            if (cost < best) {
                best = cost;
                *out = c;
            }
        }
}

void kiln__vec_define(kiln_lowering *l, uint32_t unit, const kiln_config *config) {
    kiln__lower_define(l, unit, "KP_MR", config->v[KILN_VEC_MR]);
    kiln__lower_define(l, unit, "KP_NV", config->v[KILN_VEC_NV]);
    kiln__lower_define(l, unit, "KP_VW", config->v[KILN_VEC_VW]);
    kiln__lower_define(l, unit, "KP_UNROLL", config->v[KILN_VEC_UNROLL]);
}

uint32_t kiln__vec_pack(kiln_lowering *l, kiln_matrix m, const kiln_config *config, uint32_t weights) {
    const int64_t panel = config->v[KILN_VEC_NV] * config->v[KILN_VEC_VW], panels = divide_up(m.channels, panel);
    const uint32_t packed =
        kiln__lower_operand(l, "packed", KILN_ROLE_PACKED, KILN_TYPE_F32, "panel,k,channel", panels, m.depth, panel);
    const uint32_t unit = kiln__lower_unit(l, &kiln__embed_pack_panels_cl);
    kiln__lower_define(l, unit, "KC_NB", panel);
    kiln_step *s = kiln__lower_kernel(l, true, unit, "pack_panels");
    kiln__linear_launch(s, panels * m.depth * panel);
    kiln__step_operand(s, weights);
    kiln__step_operand(s, packed);
    kiln__step_i32(s, (int32_t)m.depth);
    kiln__step_i32(s, (int32_t)m.channels);
    return packed;
}

void kiln__vec_launch(kiln_step *step, kiln_matrix m, const kiln_config *config) {
    const int64_t panel = config->v[KILN_VEC_NV] * config->v[KILN_VEC_VW];
    kiln__step_group(step, 1, 1, 1);
    kiln__step_grid(step, (uint32_t)divide_up(m.rows, config->v[KILN_VEC_MR]), (uint32_t)divide_up(m.channels, panel),
                    1);
}

/* ---- tile ---- */

const kiln_param kiln__tile_params[] = {{"tm", VALUES(tile_edge)},   {"tn", VALUES(tile_edge)},
                                        {"tk", VALUES(eight_to_32)}, {"wm", VALUES(item_edge)},
                                        {"wn", VALUES(item_edge)},   {0}};

enum { TILE_LEAST_ITEMS = 32, REF_SIDE = 64 };

static uint32_t tile_items_m(const kiln_config *c) {
    return (uint32_t)(c->v[KILN_TILE_TM] / c->v[KILN_TILE_WM]);
}
static uint32_t tile_items_n(const kiln_config *c) {
    return (uint32_t)(c->v[KILN_TILE_TN] / c->v[KILN_TILE_WN]);
}
/* a, transposed with a column of padding, and b */
static size_t tile_local_bytes(const kiln_config *c) {
    return (size_t)c->v[KILN_TILE_TK] * (size_t)(c->v[KILN_TILE_TM] + 1 + c->v[KILN_TILE_TN]) * sizeof(float);
}

bool kiln__tile_group(const kiln_config *c, const kiln_problem *p, const kiln_caps *caps) {
    (void)p;
    return tile_items_m(c) * tile_items_n(c) <= caps->max_group_size && tile_items_n(c) <= caps->max_group[0] &&
           tile_items_m(c) <= caps->max_group[1];
}
bool kiln__tile_warp(const kiln_config *c, const kiln_problem *p, const kiln_caps *caps) {
    (void)p, (void)caps;
    return tile_items_m(c) * tile_items_n(c) >= TILE_LEAST_ITEMS;
}
bool kiln__tile_local(const kiln_config *c, const kiln_problem *p, const kiln_caps *caps) {
    (void)p;
    return tile_local_bytes(c) <= caps->local_bytes;
}

const kiln_rule kiln__tile_rules[] = {KILN_TILE_RULES, {0}};

/* From the best for much work down to the least that any device can do. */
static const kiln_config tile_guesses[] = {
    {.v = {128, 128, 16, 8, 8}}, {.v = {128, 64, 16, 8, 4}}, {.v = {64, 64, 16, 4, 4}}, {.v = {64, 32, 16, 4, 4}},
    {.v = {32, 32, 16, 2, 4}},   {.v = {32, 16, 8, 4, 2}},   {.v = {16, 16, 8, 4, 2}},
};
enum { N_TILE_GUESSES = sizeof tile_guesses / sizeof *tile_guesses };

const char *kiln__tile_reject(const kiln_problem *problem, const kiln_caps *caps) {
    const kiln_config *least = &tile_guesses[N_TILE_GUESSES - 1];
    if (!kiln__tile_group(least, problem, caps))
        return "the device's work-groups are too small";
    return kiln__tile_local(least, problem, caps) ? NULL : "the device has too little local memory";
}

void kiln__tile_guess(kiln_matrix m, const kiln_caps *caps, kiln_config *out) {
    *out = tile_guesses[N_TILE_GUESSES - 1];
    if (caps->kind == KILN_DEVICE_CPU) /* has no use for local memory, but a small tile is compiled sooner */
        return;
    for (int i = N_TILE_GUESSES - 2; i >= 0; i--) {
        const kiln_config *c = &tile_guesses[i];
        const int64_t groups = divide_up(m.rows, c->v[KILN_TILE_TM]) * divide_up(m.channels, c->v[KILN_TILE_TN]);
        /* larger as long as every unit still has work and the tile is not mostly past the last channel */
        if (!kiln__tile_group(c, NULL, caps) || !kiln__tile_local(c, NULL, caps) || groups < caps->units ||
            c->v[KILN_TILE_TN] >= 2 * m.channels)
            return;
        *out = *c;
    }
}

void kiln__tile_define(kiln_lowering *l, uint32_t unit, const kiln_config *config) {
    kiln__lower_define(l, unit, "KP_TM", config->v[KILN_TILE_TM]);
    kiln__lower_define(l, unit, "KP_TN", config->v[KILN_TILE_TN]);
    kiln__lower_define(l, unit, "KP_TK", config->v[KILN_TILE_TK]);
    kiln__lower_define(l, unit, "KP_WM", config->v[KILN_TILE_WM]);
    kiln__lower_define(l, unit, "KP_WN", config->v[KILN_TILE_WN]);
}

void kiln__tile_launch(kiln_step *step, kiln_matrix m, const kiln_config *config) {
    kiln__step_group(step, tile_items_n(config), tile_items_m(config), 1);
    kiln__step_grid(step, (uint32_t)divide_up(m.rows, config->v[KILN_TILE_TM]),
                    (uint32_t)divide_up(m.channels, config->v[KILN_TILE_TN]), 1);
    kiln__step_local(step, tile_local_bytes(config));
}

/* ---- both ---- */

void kiln__linear_launch(kiln_step *step, int64_t items) {
    kiln__step_group(step, 64, 1, 1);
    kiln__step_grid(step, (uint32_t)divide_up(items, 64), 1, 1);
}

void kiln__ref_launch(kiln_lowering *l, kiln_step *step, kiln_matrix m, const kiln_caps *caps) {
    int64_t side = caps->kind == KILN_DEVICE_CPU ? REF_SIDE : 1;
    while (m.channels % side)
        side /= 2;
    kiln__lower_define(l, step->kernel.unit, "KC_SIDE", side);
    kiln__linear_launch(step, m.rows * m.channels / side);
}

/* Partial sums of K random products of magnitude up to 1 grow like sqrt(K) / 3, and so does the rounding of each; K of
 * them, random in turn, add up to about eps K / 8. Sixteen times that leaves room for any order of summation and is
 * far below one missing product. */
kiln_tolerance kiln__sum_tolerance(int64_t depth) {
    return (kiln_tolerance){.abs = FLT_EPSILON * (2.0 * (double)depth + 32.0), .rel = 16.0 * FLT_EPSILON};
}
