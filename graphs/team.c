#include "team.h"
#include "embedded.h"
#include <string.h>

/* The words of kernels/team/team.cpu.cl. */
enum { KIND, GRID_X, GRID_Y, TOTAL, CHUNK, FIRST_ARG = 8, STEP_WORDS = 32 };
enum { COPY_ROWS, FILL, FIRST_KERNEL };
enum { LINE_BYTES = 64 };

enum {
    CHUNKS_A_MEMBER = 8,  /* how finely a step's tiles are handed out */
    COPY_PIECE = 1 << 14, /* bytes of a tile of a plain copy or a fill */
    MAX_TILES = 1 << 30
};

/* A node of the graph with what it was made of. */
typedef struct step {
    const kiln_binding *binding; /* of a binding's step */
    const kiln_step *step;
    const kiln_node *node;
    uint32_t member; /* of a kernel that joins */
    bool joins;
} step;

/* A kernel of the team: a function of a module's source. Sorted, so that graphs of the same kernels share a program. */
typedef struct member {
    const kiln_unit *unit;
    const kiln_step *step; /* one that runs it: its arguments' kinds */
} member;

/* Consecutive nodes: a team, or one node by itself. */
typedef struct run {
    size_t first, n;
    kiln_node node; /* of a team */
} run;

struct kiln_team {
    kiln_queue *queue;
    step *steps; /* one for each node */
    size_t n_steps;
    run *runs;
    size_t n_runs;
    member *members;
    size_t n_members;
    kiln_module *program, *address_program;
    kiln_buffer *table, *sync, *address;
    int64_t *words; /* the host's copy of the table */
    size_t local_bytes;
};

/* ---- which nodes join ---- */

static bool kernel_joins(const kiln_step *s) {
    const kiln_launch *l = &s->kernel.launch;
    const uint64_t row = (uint64_t)l->grid[0] * l->grid[1];
    size_t n_local = 0;
    for (size_t i = 0; i < s->kernel.n_args; i++) {
        n_local += s->kernel.args[i].kind == KILN_ARG_LOCAL;
        if (s->kernel.args[i].kind == KILN_ARG_TENSOR_MAP)
            return false;
    }
    return l->group[0] == 1 && l->group[1] == 1 && l->group[2] == 1 && !l->cooperative && l->cluster[0] == 0 &&
           l->grid[0] != KILN_GRID_RESIDENT && row < MAX_TILES && row * l->grid[2] < MAX_TILES && n_local <= 1;
}

static bool joins(const step *s) {
    switch (s->node->kind) {
    case KILN_STEP_KERNEL:
        return kernel_joins(s->step);
    case KILN_STEP_COPY:
        return s->node->copy.rows < MAX_TILES;
    case KILN_STEP_FILL:
        return s->node->fill.bytes % sizeof(uint32_t) == 0;
    case KILN_STEP_CALL:
        break;
    }
    return false;
}

static kiln_status find_steps(const kiln_graph *g, kiln_team *t) {
    t->steps = kiln__alloc(t->queue->device->context, g->n_nodes * sizeof *t->steps);
    if (!t->steps)
        return KILN_E_MEMORY;
    for (size_t i = 0; i < g->n_captures; i++) {
        const kiln_capture *c = g->captures[i];
        const size_t n = c->binding ? c->binding->plan->lowering.n_run : 1;
        for (size_t k = 0; k < n; k++) {
            step *s = &t->steps[t->n_steps];
            s->binding = c->binding;
            s->step = c->binding ? &c->binding->plan->lowering.run[k] : NULL;
            s->node = g->nodes[t->n_steps++];
            s->joins = joins(s);
        }
    }
    return KILN_OK;
}

static kiln_status find_runs(kiln_team *t) {
    size_t longest = 0;
    t->runs = kiln__alloc(t->queue->device->context, t->n_steps * sizeof *t->runs);
    if (!t->runs)
        return KILN_E_MEMORY;
    for (size_t i = 0; i < t->n_steps; i += t->runs[t->n_runs++].n) {
        run *r = &t->runs[t->n_runs];
        r->first = i;
        r->n = 1;
        while (t->steps[i].joins && i + r->n < t->n_steps && t->steps[i + r->n].joins)
            r->n++;
        longest = r->n > longest ? r->n : longest;
    }
    return longest > 1 ? KILN_OK : kiln_fail(KILN_E_UNSUPPORTED, "no two steps in a row can run in one kernel");
}

static bool in_team(const kiln_team *t, const run *r) {
    return r->n > 1 && t->steps[r->first].joins;
}

/* ---- the program ---- */

static const kiln_unit *unit_of(const step *s) {
    return &s->binding->plan->lowering.units[s->step->kernel.unit];
}

static int compare(const member *a, const member *b) {
    const int by_module = strcmp(a->unit->module->key, b->unit->module->key);
    return by_module ? by_module : strcmp(a->step->kernel.launch.entry, b->step->kernel.launch.entry);
}

/* Keeps the list sorted and each kernel once. */
static void add_member(kiln_team *t, const step *s) {
    const member m = {unit_of(s), s->step};
    size_t at = 0;
    while (at < t->n_members && compare(&t->members[at], &m) < 0)
        at++;
    if (at < t->n_members && compare(&t->members[at], &m) == 0)
        return;
    memmove(&t->members[at + 1], &t->members[at], (t->n_members - at) * sizeof m);
    t->members[at] = m;
    t->n_members++;
}

static kiln_status find_members(kiln_team *t) {
    t->members = kiln__alloc(t->queue->device->context, (t->n_steps + 1) * sizeof *t->members);
    if (!t->members)
        return KILN_E_MEMORY;
    for (size_t i = 0; i < t->n_steps; i++)
        if (t->steps[i].joins && t->steps[i].node->kind == KILN_STEP_KERNEL)
            add_member(t, &t->steps[i]);
    for (size_t i = 0; i < t->n_steps; i++) {
        step *s = &t->steps[i];
        if (!s->joins || s->node->kind != KILN_STEP_KERNEL)
            continue;
        const member m = {unit_of(s), s->step};
        while (compare(&t->members[s->member], &m) != 0)
            s->member++;
        for (size_t a = 0; a < s->step->kernel.n_args; a++)
            if (s->step->kernel.args[a].kind == KILN_ARG_LOCAL && s->step->kernel.args[a].bytes > t->local_bytes)
                t->local_bytes = s->step->kernel.args[a].bytes;
    }
    return KILN_OK;
}

/* Functions of one module carry its number, since two modules of one source have the same names. */
static size_t module_number(const kiln_team *t, size_t m) {
    size_t number = 0;
    for (size_t i = 1; i <= m; i++)
        number += t->members[i].unit->module != t->members[i - 1].unit->module;
    return number;
}

static void write_declaration(const kiln_team *t, size_t m, kiln_strbuf *out) {
    static const char *const types[] = {[KILN_ARG_OPERAND] = "__global float *",
                                        [KILN_ARG_WORKSPACE] = "__global float *",
                                        [KILN_ARG_I32] = "int",
                                        [KILN_ARG_F32] = "float",
                                        [KILN_ARG_LOCAL] = "__local float *"};
    const kiln_step *s = t->members[m].step;
    kiln__strbuf_addf(out, "void %s_%zu(int, int, int", s->kernel.launch.entry, module_number(t, m));
    for (size_t i = 0; i < s->kernel.n_args; i++)
        kiln__strbuf_addf(out, ", %s", types[s->kernel.args[i].kind]);
    kiln__strbuf_add(out, ");\n");
}

static void write_case(const kiln_team *t, size_t m, kiln_strbuf *out) {
    static const char *const words[] = {[KILN_ARG_OPERAND] = "ARG_POINTER",
                                        [KILN_ARG_WORKSPACE] = "ARG_POINTER",
                                        [KILN_ARG_I32] = "ARG_I32",
                                        [KILN_ARG_F32] = "ARG_F32"};
    const kiln_step *s = t->members[m].step;
    kiln__strbuf_addf(out, " case FIRST_KERNEL + %zu: %s_%zu(x, y, z", m, s->kernel.launch.entry, module_number(t, m));
    for (size_t i = 0; i < s->kernel.n_args; i++)
        if (s->kernel.args[i].kind == KILN_ARG_LOCAL)
            kiln__strbuf_add(out, ", scratch");
        else
            kiln__strbuf_addf(out, ", %s(%zu)", words[s->kernel.args[i].kind], i);
    kiln__strbuf_add(out, "); break;");
}

static kiln_status write_cases(const kiln_team *t, kiln_strbuf *out) {
    for (size_t m = 0; m < t->n_members; m++)
        write_declaration(t, m, out);
    kiln__strbuf_add(out, "#define KILN_TEAM_CASES");
    for (size_t m = 0; m < t->n_members; m++)
        write_case(t, m, out);
    kiln__strbuf_add(out, "\n");
    return kiln__strbuf_status(out);
}

/* The team's own source first, then each module's once. */
static kiln_status link_parts(kiln_team *t, const char *cases, kiln_jit_part *parts, kiln_strbuf *defines) {
    size_t n = 0;
    parts[n++] = (kiln_jit_part){&kiln__embed_team_team_cpu_cl, cases, ""};
    for (size_t m = 0; m < t->n_members; m++) {
        const kiln_unit *u = t->members[m].unit;
        if (m && u->module == t->members[m - 1].unit->module)
            continue;
        kiln__strbuf_addf(&defines[n], "%s -DKILN_TEAM=%zu", u->defines, module_number(t, m));
        KILN_TRY(kiln__strbuf_status(&defines[n]));
        parts[n] = (kiln_jit_part){u->source, NULL, kiln__strbuf_text(&defines[n])};
        n++;
    }
    return kiln__jit_link(t->queue->device, "team/team.cpu.cl", parts, n, &t->program);
}

static kiln_status make_program(kiln_team *t) {
    kiln_context *context = t->queue->device->context;
    kiln_jit_part *parts = kiln__alloc(context, (t->n_members + 1) * sizeof *parts);
    kiln_strbuf *defines = kiln__alloc(context, (t->n_members + 1) * sizeof *defines), cases = {0};
    kiln_status status = parts && defines ? write_cases(t, &cases) : KILN_E_MEMORY;
    if (status == KILN_OK)
        status = link_parts(t, kiln__strbuf_text(&cases), parts, defines);
    for (size_t i = 0; defines && i <= t->n_members; i++)
        kiln__strbuf_free(&defines[i]);
    kiln__strbuf_free(&cases);
    kiln__free(context, defines);
    kiln__free(context, parts);
    if (status != KILN_OK)
        return status;
    return kiln__jit_get(t->queue->device, &kiln__embed_team_address_cpu_cl, "", &t->address_program);
}

/* ---- addresses ---- */

static kiln_status ask_address(kiln_team *t, void *memory, int64_t *out) {
    static const kiln_launch launch = {.entry = "kiln_address", .grid = {1, 1, 1}, .group = {1, 1, 1}};
    kiln_device *d = t->queue->device;
    const kiln_arg_value args[] = {{.kind = KILN_ARG_OPERAND, .place = {memory, 0}},
                                   {.kind = KILN_ARG_OPERAND, .place = {t->address->memory, 0}, .bytes = sizeof *out}};
    kiln_node node = {.kind = KILN_STEP_KERNEL, .label = launch.entry};
    KILN_TRY(d->backend->kernel_create(d, t->address_program->handle, &launch, args, 2, &node.kernel));
    kiln_status status = kiln__queue_enqueue(t->queue, &node);
    if (status == KILN_OK)
        status = kiln_buffer_read(t->queue, t->address, 0, out, sizeof *out);
    if (status == KILN_OK)
        status = kiln_queue_finish(t->queue);
    d->backend->kernel_destroy(d, node.kernel);
    return status;
}

/* Addresses asked for lately: most places of a graph are in a few buffers. One that was forgotten is asked for again.
 */
typedef struct known_addresses {
    void *memory[64];
    int64_t address[64];
} known_addresses;

static kiln_status address_of(kiln_team *t, known_addresses *known, kiln_place place, int64_t *out) {
    const size_t slot = ((uintptr_t)place.memory >> 6) % 64;
    if (known->memory[slot] != place.memory) {
        known->memory[slot] = NULL;
        KILN_TRY(ask_address(t, place.memory, &known->address[slot]));
        known->memory[slot] = place.memory;
    }
    *out = known->address[slot] + (int64_t)place.offset_bytes;
    return KILN_OK;
}

/* ---- the table ---- */

static int64_t divide_up(size_t a, size_t b) {
    return (int64_t)((a + b - 1) / b);
}

static kiln_status write_kernel(kiln_team *t, known_addresses *known, const step *s, int64_t *words) {
    const kiln_launch *l = &s->step->kernel.launch;
    words[KIND] = FIRST_KERNEL + s->member;
    words[GRID_X] = l->grid[0];
    words[GRID_Y] = l->grid[1];
    words[TOTAL] = (int64_t)l->grid[0] * l->grid[1] * l->grid[2];
    for (size_t i = 0; i < s->step->kernel.n_args; i++) {
        const kiln_arg_value value = kiln__binding_arg(s->binding, &s->step->kernel.args[i]);
        int32_t bits = value.i32;
        if (value.kind == KILN_ARG_F32)
            memcpy(&bits, &value.f32, sizeof bits);
        words[FIRST_ARG + i] = bits;
        if (value.kind == KILN_ARG_OPERAND || value.kind == KILN_ARG_WORKSPACE)
            KILN_TRY(address_of(t, known, value.place, &words[FIRST_ARG + i]));
    }
    return KILN_OK;
}

/* A copy without gaps is cut into pieces, any other goes row by row. */
static kiln_status write_copy(kiln_team *t, known_addresses *known, const kiln_node *node, int64_t *words) {
    size_t rows = node->copy.rows, row = node->copy.row_bytes, last = row;
    size_t to_pitch = node->copy.destination_pitch_bytes, from_pitch = node->copy.source_pitch_bytes;
    if (rows == 1 || (to_pitch == row && from_pitch == row)) {
        const size_t bytes = rows * row;
        to_pitch = from_pitch = row = COPY_PIECE;
        rows = (size_t)divide_up(bytes, COPY_PIECE);
        last = bytes - (rows - 1) * COPY_PIECE;
    }
    const int64_t args[] = {0, (int64_t)to_pitch, 0, (int64_t)from_pitch, (int64_t)row, (int64_t)last};
    memcpy(words + FIRST_ARG, args, sizeof args);
    words[KIND] = COPY_ROWS;
    words[GRID_X] = words[TOTAL] = (int64_t)rows;
    words[GRID_Y] = 1;
    KILN_TRY(address_of(t, known, node->copy.destination, &words[FIRST_ARG]));
    return address_of(t, known, node->copy.source, &words[FIRST_ARG + 2]);
}

static kiln_status write_fill(kiln_team *t, known_addresses *known, const kiln_node *node, int64_t *words) {
    const size_t n = node->fill.bytes / sizeof(uint32_t), piece = COPY_PIECE / sizeof(uint32_t);
    words[KIND] = FILL;
    words[GRID_X] = words[TOTAL] = divide_up(n, piece);
    words[GRID_Y] = 1;
    words[FIRST_ARG + 1] = (int64_t)n;
    words[FIRST_ARG + 2] = (int64_t)piece;
    words[FIRST_ARG + 3] = node->fill.pattern;
    return address_of(t, known, node->fill.destination, &words[FIRST_ARG]);
}

/* Writes the words of a step to the host's copy of the table. */
static kiln_status write_step(kiln_team *t, known_addresses *known, size_t index) {
    const step *s = &t->steps[index];
    int64_t *words = t->words + index * STEP_WORDS;
    memset(words, 0, STEP_WORDS * sizeof *words);
    if (!s->joins)
        return KILN_OK;
    if (s->node->kind == KILN_STEP_KERNEL)
        KILN_TRY(write_kernel(t, known, s, words));
    else if (s->node->kind == KILN_STEP_COPY)
        KILN_TRY(write_copy(t, known, s->node, words));
    else
        KILN_TRY(write_fill(t, known, s->node, words));
    const int64_t chunk = words[TOTAL] / (t->queue->device->desc.caps.units * CHUNKS_A_MEMBER);
    words[CHUNK] = chunk ? chunk : 1;
    return KILN_OK;
}

/* Brings steps [first, first + n) of the host's copy to the device. */
static kiln_status send_steps(kiln_team *t, size_t first, size_t n) {
    const size_t bytes = STEP_WORDS * sizeof *t->words;
    KILN_TRY(kiln_buffer_write(t->queue, t->table, first * bytes, t->words + first * STEP_WORDS, n * bytes));
    return kiln_queue_finish(t->queue);
}

static kiln_status make_table(kiln_team *t) {
    kiln_device *d = t->queue->device;
    const size_t words = t->n_steps * STEP_WORDS, sync_bytes = (2 * t->n_steps + t->n_runs) * LINE_BYTES;
    known_addresses known = {0};
    t->words = kiln__alloc(d->context, words * sizeof *t->words);
    if (!t->words)
        return KILN_E_MEMORY;
    KILN_TRY(kiln_buffer_create(d, words * sizeof *t->words, &t->table));
    KILN_TRY(kiln_buffer_create(d, sync_bytes, &t->sync));
    KILN_TRY(kiln_buffer_create(d, sizeof(int64_t), &t->address));
    KILN_TRY(kiln_buffer_fill(t->queue, t->sync, 0, sync_bytes, 0));
    for (size_t i = 0; i < t->n_steps; i++)
        KILN_TRY(write_step(t, &known, i));
    return send_steps(t, 0, t->n_steps);
}

/* ---- the kernels ---- */

static kiln_status make_kernel(kiln_team *t, size_t index) {
    kiln_device *d = t->queue->device;
    run *r = &t->runs[index];
    const kiln_launch launch = {.entry = "kiln_team", .grid = {d->desc.caps.units, 1, 1}, .group = {1, 1, 1}};
    const kiln_arg_value args[] = {
        {.kind = KILN_ARG_OPERAND, .place = {t->table->memory, 0}, .bytes = t->table->bytes},
        {.kind = KILN_ARG_OPERAND, .place = {t->sync->memory, 0}, .bytes = t->sync->bytes},
        {.kind = KILN_ARG_I32, .i32 = (int32_t)r->first},
        {.kind = KILN_ARG_I32, .i32 = (int32_t)r->n},
        {.kind = KILN_ARG_I32, .i32 = (int32_t)(2 * t->n_steps + index)},
        {.kind = KILN_ARG_LOCAL, .bytes = t->local_bytes},
    };
    r->node.kind = KILN_STEP_KERNEL;
    r->node.label = launch.entry;
    return d->backend->kernel_create(d, t->program->handle, &launch, args, sizeof args / sizeof *args, &r->node.kernel);
}

static kiln_status open_team(const kiln_graph *g, kiln_team *t) {
    KILN_TRY(find_steps(g, t));
    KILN_TRY(find_runs(t));
    KILN_TRY(find_members(t));
    KILN_TRY(make_program(t));
    KILN_TRY(make_table(t));
    for (size_t i = 0; i < t->n_runs; i++)
        if (in_team(t, &t->runs[i]))
            KILN_TRY(make_kernel(t, i));
    return KILN_OK;
}

/* ---- */

kiln_status kiln__team_build(const kiln_graph *graph, kiln_team **out) {
    kiln_device *d = graph->queue->device;
    if (d->desc.caps.kind != KILN_DEVICE_CPU || !d->backend->link)
        return kiln_fail(KILN_E_UNSUPPORTED, "%s runs no graph as one kernel", d->name);
    if (graph->n_nodes < 2)
        return kiln_fail(KILN_E_UNSUPPORTED, "one step is one kernel already");
    kiln_team *t = kiln__alloc(d->context, sizeof *t);
    if (!t)
        return KILN_E_MEMORY;
    t->queue = graph->queue;
    const kiln_status status = open_team(graph, t);
    if (status != KILN_OK) {
        kiln__team_destroy(t);
        return status;
    }
    *out = t;
    return KILN_OK;
}

void kiln__team_destroy(kiln_team *team) {
    if (!team)
        return;
    kiln_device *d = team->queue->device;
    for (size_t i = 0; i < team->n_runs; i++)
        if (team->runs[i].node.kernel)
            d->backend->kernel_destroy(d, team->runs[i].node.kernel);
    kiln_buffer_destroy(team->address);
    kiln_buffer_destroy(team->sync);
    kiln_buffer_destroy(team->table);
    kiln__jit_release(d, team->address_program);
    kiln__jit_release(d, team->program);
    kiln__free(d->context, team->words);
    kiln__free(d->context, team->members);
    kiln__free(d->context, team->runs);
    kiln__free(d->context, team->steps);
    kiln__free(d->context, team);
}

kiln_status kiln__team_patch(kiln_team *team, size_t index) {
    known_addresses known = {0};
    KILN_TRY(write_step(team, &known, index));
    return send_steps(team, index, 1);
}

kiln_status kiln__team_launch(const kiln_team *team) {
    kiln_device *d = team->queue->device;
    for (size_t i = 0; i < team->n_runs; i++) {
        const run *r = &team->runs[i];
        KILN_TRY(d->backend->enqueue(d, team->queue->handle, in_team(team, r) ? &r->node : team->steps[r->first].node));
    }
    return kiln__queue_flush(team->queue);
}

size_t kiln__team_commands(const kiln_team *team) {
    return team->n_runs;
}
