#include "matrix_mma.h"
#include "embedded.h"
#include "types.h"
#include <math.h>

static const int32_t tm[] = {16, 32, 64, 128, 256}, tn[] = {32, 64, 128, 256}, tk[] = {16, 32, 64};
static const int32_t wm[] = {16, 32, 64}, wn[] = {32, 64}, stages[] = {2, 3, 4, 5, 6}, split[] = {1, 2, 4, 8, 16};

#define VALUES(list) list, sizeof list / sizeof *list

const kiln_param kiln__mma_params[] = {
    {"tm", VALUES(tm)}, {"tn", VALUES(tn)},         {"tk", VALUES(tk)},       {"wm", VALUES(wm)},
    {"wn", VALUES(wn)}, {"stages", VALUES(stages)}, {"split", VALUES(split)}, {0}};

enum { PACK_ITEMS_X = 32, PACK_ITEMS_Y = 8 };
enum { SM_REGISTERS = 65536, MOST_REGISTERS = 255, MOST_ITEMS = 1024, RESERVED_BYTES = 1024, CHUNK_BYTES = 16 };

static int64_t divide_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

static kiln_mma_work work_of(const kiln_problem *p) {
    return p->schema == &kiln__family_conv.schema ? kiln__conv_mma_work(p) : kiln__gemm_mma_work(p);
}

static int64_t elem_bytes(const kiln_mma_work *w) {
    return w->type == KILN_TYPE_F32 ? 4 : 2;
}

/* ---- what a config needs ---- */

static int64_t items(const kiln_config *c) {
    return (int64_t)32 * (c->v[KILN_MMA_TM] / c->v[KILN_MMA_WM]) * (c->v[KILN_MMA_TN] / c->v[KILN_MMA_WN]);
}

/* The ring, or each warp's strip of 16 rows of results, which takes its place. */
static uint64_t local_bytes(const kiln_config *c, const kiln_mma_work *w) {
    const int64_t stage = (c->v[KILN_MMA_TM] + c->v[KILN_MMA_TN]) * c->v[KILN_MMA_TK] * elem_bytes(w);
    const int64_t strips = items(c) / 32 * 16 * (c->v[KILN_MMA_WN] + 8) * 4;
    return (uint64_t)(stage * c->v[KILN_MMA_STAGES] > strips ? stage * c->v[KILN_MMA_STAGES] : strips);
}

/* Bytes of one copy of a: the widest that all its rows are aligned to. */
static int64_t copy_bytes(const kiln_mma_work *w) {
    const int64_t row = w->row_elems * elem_bytes(w);
    return row % 16 == 0 ? 16 : row % 8 == 0 ? 8 : 4;
}

/* An estimate that is past the limit wherever the compiler was seen to spill; where there is room it takes more than it
 * needs. Accumulators, fragments, what each copy of a work-item remembers of its row, and the rest: more where copies
 * are narrow, because then each has a place of its own in a row, and for rows of 256 bytes, whose many steps the
 * compiler takes together. */
static int64_t registers(const kiln_config *c, const kiln_mma_work *w) {
    const int64_t rows = c->v[KILN_MMA_WM], columns = c->v[KILN_MMA_WN], row = c->v[KILN_MMA_TK] * elem_bytes(w);
    const int64_t a = divide_up(c->v[KILN_MMA_TM] * row / copy_bytes(w), items(c));
    const int64_t b = divide_up(c->v[KILN_MMA_TN] * row / CHUNK_BYTES, items(c));
    const int64_t narrow = copy_bytes(w) < CHUNK_BYTES;
    const int64_t of_a = w->gathers ? 3 : 2, of_b = 2, rest = 28 + 40 * narrow + (row > 128 ? 28 : 0);
    return rows * columns / 32 + rows / 4 + columns / 4 + a * (of_a + narrow) + b * (of_b + narrow) + rest;
}

static int64_t groups(const kiln_config *c, const kiln_mma_work *w) {
    return divide_up(w->matrix.rows, c->v[KILN_MMA_TM]) * divide_up(w->matrix.channels, c->v[KILN_MMA_TN]);
}

/* ---- rules ---- */

static bool warp_fits(const kiln_config *c, const kiln_problem *p, const kiln_caps *caps) {
    (void)p, (void)caps;
    return c->v[KILN_MMA_WM] <= c->v[KILN_MMA_TM] && c->v[KILN_MMA_WN] <= c->v[KILN_MMA_TN];
}
static bool group_fits(const kiln_config *c, const kiln_problem *p, const kiln_caps *caps) {
    (void)p;
    return items(c) <= MOST_ITEMS && items(c) <= caps->max_group_size;
}
static bool registers_fit(const kiln_config *c, const kiln_problem *p, const kiln_caps *caps) {
    (void)caps;
    const kiln_mma_work w = work_of(p);
    return registers(c, &w) <= MOST_REGISTERS && registers(c, &w) * items(c) <= SM_REGISTERS;
}
static bool local_fits(const kiln_config *c, const kiln_problem *p, const kiln_caps *caps) {
    const kiln_mma_work w = work_of(p);
    return local_bytes(c, &w) <= caps->local_bytes;
}
static bool columns_exist(const kiln_config *c, const kiln_problem *p, const kiln_caps *caps) {
    (void)caps;
    return c->v[KILN_MMA_TN] == tn[0] || c->v[KILN_MMA_TN] < 2 * work_of(p).matrix.channels;
}
static bool parts_have_tiles(const kiln_config *c, const kiln_problem *p, const kiln_caps *caps) {
    (void)caps;
    return c->v[KILN_MMA_SPLIT] <= divide_up(work_of(p).matrix.depth, c->v[KILN_MMA_TK]);
}
static bool split_helps(const kiln_config *c, const kiln_problem *p, const kiln_caps *caps) {
    const kiln_mma_work w = work_of(p);
    return c->v[KILN_MMA_SPLIT] == 1 || groups(c, &w) < 2 * (int64_t)caps->units;
}

#define TILE (1u << KILN_MMA_TM | 1u << KILN_MMA_TN)
#define WARP (1u << KILN_MMA_WM | 1u << KILN_MMA_WN)

const kiln_rule kiln__mma_rules[] = {
    {"a warp's part is larger than the tile", TILE | WARP, warp_fits},
    {"the work-group is larger than the device's", TILE | WARP, group_fits},
    {"accumulators and what copies remember do not fit the registers", TILE | WARP | 1u << KILN_MMA_TK, registers_fit},
    {"the stages do not fit the device's shared memory", TILE | WARP | 1u << KILN_MMA_TK | 1u << KILN_MMA_STAGES,
     local_fits},
    {"more than half of a tile is past the last column", 1u << KILN_MMA_TN, columns_exist},
    {"a part of the depth has no tile", 1u << KILN_MMA_TK | 1u << KILN_MMA_SPLIT, parts_have_tiles},
    {"without splitting the depth every unit has two work-groups", TILE | 1u << KILN_MMA_SPLIT, split_helps},
    {0}};

/* From the best for much work down to one that always fits. */
static const kiln_config guesses[] = {
    {.v = {128, 128, 32, 64, 64, 4, 1}}, {.v = {128, 128, 32, 64, 32, 4, 1}}, {.v = {128, 64, 32, 64, 32, 4, 1}},
    {.v = {64, 64, 64, 32, 32, 4, 1}},   {.v = {64, 64, 32, 32, 32, 3, 1}},   {.v = {64, 32, 64, 32, 32, 4, 1}},
    {.v = {32, 64, 64, 16, 32, 4, 1}},   {.v = {32, 32, 64, 16, 32, 4, 1}},   {.v = {16, 64, 64, 16, 32, 4, 1}},
    {.v = {16, 32, 16, 16, 32, 2, 1}},
};
enum { N_GUESSES = sizeof guesses / sizeof *guesses };

const char *kiln__mma_reject(const kiln_problem *problem, const kiln_caps *caps) {
    const kiln_mma_work w = work_of(problem);
    if (caps->language != KILN_LANGUAGE_CUDA)
        return "needs CUDA";
    if (caps->compute_capability < 80)
        return "needs the matrix cores of compute capability 8.0";
    if (w.type == KILN_TYPE_F32 && w.compute != KILN_COMPUTE_TF32)
        return "f32 products do not run on matrix cores; compute=tf32 lets them";
    if (w.row_elems * elem_bytes(&w) % 4 != 0)
        return "rows of an odd number of 16-bit elements are not aligned to the least copy, 4 bytes";
    if (caps->max_group_size < PACK_ITEMS_X * PACK_ITEMS_Y)
        return "the device's work-groups are too small";
    return local_fits(&guesses[N_GUESSES - 1], problem, caps) ? NULL : "the device has too little shared memory";
}

/* ---- guess ---- */

/* Cycles of a product, by the longest of what a unit does at once: 1024 products a cycle (512 of tf32), 128 bytes of
 * shared memory, 40 bytes from the second cache, and the latency of memory, hidden by stages. Around the loop: filling
 * the ring, the epilogue; a split adds the traffic of its parts and a launch. */
static double cycles(const kiln_config *c, const kiln_mma_work *w, const kiln_caps *caps) {
    const double rate = w->type == KILN_TYPE_F32 ? 512 : 1024, latency = 800, launch = 3000, ends = 2500;
    const double area = (double)c->v[KILN_MMA_TM] * c->v[KILN_MMA_TN], step = c->v[KILN_MMA_TK];
    const double row = step * (double)elem_bytes(w), filled = (c->v[KILN_MMA_TM] + c->v[KILN_MMA_TN]) * row;
    const double read = area * (1.0 / c->v[KILN_MMA_WM] + 1.0 / c->v[KILN_MMA_WN]) * row;
    const double work = fmax(area * step / rate, fmax((read + filled) / 128, filled / 40));
    const uint64_t of_unit = caps->unit_local_bytes ? caps->unit_local_bytes : caps->local_bytes;
    const int64_t by_local = (int64_t)(of_unit / (local_bytes(c, w) + RESERVED_BYTES));
    const int64_t by_registers = SM_REGISTERS / (registers(c, w) * items(c));
    const int64_t fits = by_local < by_registers ? by_local : by_registers, resident = fits ? fits : 1;
    const int64_t units = caps->units ? caps->units : 1, all = groups(c, w) * c->v[KILN_MMA_SPLIT];
    const int64_t rounds = divide_up(all, resident * units), together = divide_up(all, rounds * units);
    const double tiles = ceil((double)w->matrix.depth / step / c->v[KILN_MMA_SPLIT]);
    const double tile = fmax((double)together * work, latency / (c->v[KILN_MMA_STAGES] - 1));
    const double parts = (double)(w->matrix.rows * w->matrix.channels) * 4 * 2 * c->v[KILN_MMA_SPLIT];
    return (double)rounds * (tiles * tile + ends) +
           (c->v[KILN_MMA_SPLIT] > 1 ? launch + parts / (32.0 * (double)units) : 0);
}

void kiln__mma_guess(const kiln_problem *problem, const kiln_caps *caps, kiln_config *out) {
    const kiln_mma_work w = work_of(problem);
    *out = guesses[N_GUESSES - 1];
    double best = INFINITY;
    for (int i = 0; i < N_GUESSES; i++)
        for (size_t j = 0; j < sizeof split / sizeof *split; j++) {
            kiln_config c = guesses[i];
            c.v[KILN_MMA_SPLIT] = split[j];
            if (!group_fits(&c, problem, caps) || !registers_fit(&c, problem, caps) || !local_fits(&c, problem, caps) ||
                !columns_exist(&c, problem, caps) || !parts_have_tiles(&c, problem, caps) ||
                !split_helps(&c, problem, caps))
                continue;
            const double cost = cycles(&c, &w, caps);
            if (cost < best) {
                best = cost;
                *out = c;
            }
        }
}

/* ---- lower ---- */

static void define(kiln_lowering *l, uint32_t unit, const kiln_config *config) {
    static const char *const names[] = {"KP_TM", "KP_TN", "KP_TK", "KP_WM", "KP_WN", "KP_STAGES", "KP_SPLIT"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        kiln__lower_define(l, unit, names[i], config->v[i]);
}

/* Rows of the weights' columns, filled up to whole chunks. It depends on no parameter, so all configs share it. */
static uint32_t pack(kiln_lowering *l, const kiln_mma_work *w, uint32_t weights) {
    const int64_t chunk = CHUNK_BYTES / elem_bytes(w), pitch = divide_up(w->matrix.depth, chunk) * chunk;
    const uint32_t packed =
        kiln__lower_operand(l, "packed", KILN_ROLE_PACKED, (kiln_type)w->type, "channel,k", w->matrix.channels, pitch);
    const uint32_t unit = kiln__lower_unit(l, &kiln__embed_pack_columns_cu);
    kiln__type_define(l, unit, w->type);
    kiln_step *s = kiln__lower_kernel(l, true, unit, "pack_columns");
    kiln__step_group(s, PACK_ITEMS_X, PACK_ITEMS_Y, 1);
    kiln__step_grid(s, (uint32_t)divide_up(pitch, 32), (uint32_t)divide_up(w->matrix.channels, 32), 1);
    kiln__step_operand(s, weights);
    kiln__step_operand(s, packed);
    kiln__step_i32(s, (int32_t)w->matrix.depth);
    kiln__step_i32(s, (int32_t)w->matrix.channels);
    return packed;
}

kiln_step *kiln__mma_lower(kiln_lowering *l, const kiln_problem *problem, const kiln_config *config, uint32_t unit,
                           uint32_t input, uint32_t weights, const char *product, const char *sum) {
    const kiln_mma_work w = work_of(problem);
    const kiln_matrix *m = &w.matrix;
    const int32_t parts = config->v[KILN_MMA_SPLIT];
    const uint32_t packed = pack(l, &w, weights);
    define(l, unit, config);
    kiln_step *s = kiln__lower_kernel(l, false, unit, product);
    kiln__step_group(s, (uint32_t)items(config), 1, 1);
    kiln__step_grid(s, (uint32_t)divide_up(m->rows, config->v[KILN_MMA_TM]),
                    (uint32_t)divide_up(m->channels, config->v[KILN_MMA_TN]), (uint32_t)parts);
    kiln__step_local(s, local_bytes(config, &w));
    kiln__step_operand(s, input);
    kiln__step_operand(s, packed);
    if (parts == 1)
        return s;
    const size_t scratch = kiln__lower_scratch(l, (size_t)(parts * m->rows * m->channels) * sizeof(float));
    kiln__step_workspace(s, scratch);
    kiln__step_i32(s, (int32_t)m->rows);
    s = kiln__lower_kernel(l, false, unit, sum);
    const int64_t at_once = m->channels % 4 == 0 ? 4 : m->channels % 2 == 0 ? 2 : 1; /* MMA_VECTOR of mma_tile.h */
    kiln__linear_launch(s, m->rows * m->channels / at_once);
    kiln__step_workspace(s, scratch);
    return s;
}
