/* The families' tables, without a device: guesses that always satisfy the rules, launches that fit, problems refused.
 */
#include "epilogue_fields.h"
#include "family.h"
#include "testing.h"
#include "types.h"

static kiln_context *context;
static uint64_t state = 1;

static uint64_t below(uint64_t n) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % n;
}

static kiln_caps any_caps(void) {
    static const uint32_t group_sizes[] = {1, 16, 64, 256, 1024, 4096}, floats[] = {0, 1, 4, 8, 16};
    static const uint32_t registers[] = {0, 8, 16, 32};
    kiln_caps c = {.kind = below(2) ? KILN_DEVICE_CPU : KILN_DEVICE_GPU,
                   .language = below(2) ? KILN_LANGUAGE_OPENCL : KILN_LANGUAGE_CUDA,
                   .units = (uint32_t)below(140),
                   .max_group_size = group_sizes[below(6)],
                   .vector_floats = floats[below(5)],
                   .vector_registers = registers[below(4)],
                   .address_align_bytes = 128,
                   .compute_capability = below(2) ? 80 : 0,
                   .local_bytes = UINT64_C(1) << (8 + below(11))};
    for (int i = 0; i < 3; i++)
        c.max_group[i] = c.max_group_size;
    return c;
}

/* Small, large, or just past a power of two. */
static unsigned extent(unsigned most) {
    const unsigned n = 1 + (unsigned)below(3) + (1u << below(9)) * (unsigned)below(2);
    return n < most ? n : most;
}

static void any_problem(char *text, size_t capacity) {
    static const char *const eps[] = {"",           ",ep=bias+relu", ",ep=scale+bias+res+sum+bn+mish+mask",
                                      ",ep=bn+sum", ",ep=mask",      ",ep=gelu"};
    static const char *const affine_eps[] = {"", ",ep=res+relu", ",ep=res+sum+bn+mish+mask"};
    static const char *const blocks[] = {"", ",se=scale,r=7", ",se=scale_shift,r=16,act=mish"};
    static const char *const gates[] = {"form=shift", "form=scale,gate=sigmoid", "form=scale_shift"};
    static const char *const forms[] = {"mean", "max", "mean_max", "mean_max_std", "katago", "katago_value"};
    switch (below(7)) {
    case 0:
        snprintf(text, capacity, "conv:n=%u,h=%u,w=%u,ic=%u,oc=%u,kh=%u,kw=%u,ihalo=%u,ohalo=%u%s", extent(32),
                 extent(40), extent(40), extent(600), extent(600), 1 + 2 * (unsigned)below(4),
                 1 + 2 * (unsigned)below(4), (unsigned)below(9), (unsigned)below(9), eps[below(6)]);
        break;
    case 1: /* where Winograd may apply */
        snprintf(text, capacity, "conv:n=%u,h=%u,w=%u,ic=%u,oc=%u,kh=3,kw=3,ihalo=%u%s", extent(300), extent(40),
                 extent(40), 16 + extent(600), 16 + extent(600), (unsigned)below(2), eps[below(6)]);
        break;
    case 2:
        snprintf(text, capacity, "gemm:m=%u,n=%u,k=%u%s", extent(600), extent(600), extent(600), eps[below(6)]);
        break;
    case 3:
        snprintf(text, capacity, "affine:n=%u,h=%u,w=%u,c=%u,ihalo=%u,ohalo=%u,%s%s", extent(32), extent(40),
                 extent(40), extent(600), (unsigned)below(9), (unsigned)below(9), gates[below(3)],
                 affine_eps[below(3)]);
        break;
    case 4:
        snprintf(text, capacity, "se_block:n=%u,h=%u,w=%u,c=%u,r=%u,ihalo=%u,ohalo=%u,mask=%u,form=scale%s%s",
                 extent(32), extent(40), extent(40), extent(600), extent(600), (unsigned)below(9), (unsigned)below(9),
                 (unsigned)below(2), below(2) ? "_shift" : "", affine_eps[below(3)]);
        break;
    case 5:
        snprintf(text, capacity, "block:n=%u,h=%u,w=%u,c=%u,mask=%u%s", extent(32), extent(40), extent(40), extent(600),
                 (unsigned)below(2), blocks[below(3)]);
        break;
    default:
        snprintf(text, capacity, "global_pool:n=%u,h=%u,w=%u,c=%u,form=%s,mask=%u,ihalo=%u", extent(32), extent(40),
                 extent(40), extent(600), forms[below(6)], (unsigned)below(2), (unsigned)below(9));
    }
    static const char *const types[] = {"", ",type=f16", ",type=bf16", ",compute=tf32"};
    const bool multiplies = strncmp(text, "conv", 4) == 0 || strncmp(text, "gemm", 4) == 0;
    const size_t length = strlen(text);
    snprintf(text + length, capacity - length, "%s", types[below(multiplies ? 4 : 3)]);
}

static void check_step(const kiln_step *s, const kiln_lowering *l, const kiln_caps *caps) {
    CHECK(s->kind == KILN_STEP_KERNEL && s->kernel.unit < l->n_units);
    const kiln_launch *launch = &s->kernel.launch;
    uint64_t items = 1;
    for (int i = 0; i < 3; i++) {
        CHECK(launch->grid[i] >= 1 && launch->group[i] >= 1);
        items *= launch->group[i];
    }
    CHECK(launch->grid[1] <= 65535 && launch->grid[2] <= 65535); /* CUDA's limit */
    CHECK(items <= 64 || items <= caps->max_group_size);
    for (size_t i = 0; i < s->kernel.n_args; i++) {
        const kiln_arg *a = &s->kernel.args[i];
        CHECK(a->kind != KILN_ARG_OPERAND || a->operand < l->n_operands);
        CHECK(a->kind != KILN_ARG_WORKSPACE || a->offset_bytes < l->workspace_bytes);
        CHECK(a->kind != KILN_ARG_LOCAL || (a->bytes > 0 && a->bytes <= caps->local_bytes));
    }
}

/* A part's problem is one, and each of its operands has a place that is large enough. */
static void check_part(const kiln_part *part, const kiln_lowering *l) {
    static kiln_lowering operands;
    memset(&operands, 0, sizeof operands);
    kiln_problem p;
    CHECK_OK(kiln_problem_parse(context, part->problem, &p));
    kiln__problem_family(&p)->operands(&p, &operands);
    CHECK(!part->variant || kiln__family_variant(kiln__problem_family(&p), part->variant));
    for (size_t i = 0; i < operands.n_operands; i++) {
        const kiln_operand *o = &operands.operands[i];
        const int same = kiln__lower_find(l, o->name);
        kiln_arg place = {.kind = KILN_ARG_OPERAND, .operand = (uint32_t)same};
        for (size_t k = 0; k < part->n_places; k++)
            if (strcmp(part->places[k].name, o->name) == 0)
                place = part->places[k].place;
        const bool scratch = place.kind == KILN_ARG_WORKSPACE;
        CHECK(scratch || place.operand < l->n_operands);
        if (scratch)
            CHECK(place.offset_bytes + o->bytes <= l->workspace_bytes && o->halo == 0);
        else if (place.operand < l->n_operands)
            CHECK(l->operands[place.operand].bytes == o->bytes && l->operands[place.operand].halo == o->halo);
    }
}

static void check_variant(const kiln_variant *v, const kiln_problem *p, const kiln_caps *caps) {
    static kiln_lowering l;
    kiln_config config, parsed;
    kiln__variant_guess(v, p, caps, &config);
    CHECK(kiln__config_reject(v, p, caps, &config) == NULL);
    char text[KILN_MAX_CONFIG_TEXT];
    kiln__config_print(v, &config, text, sizeof text);
    memset(&parsed, 0, sizeof parsed);
    CHECK_OK(kiln__config_parse(v, text, &parsed));
    CHECK(memcmp(&parsed, &config, sizeof config) == 0); /* every value of the guess is in its list */
    CHECK_OK(kiln__variant_lower(v, p, &config, caps, &l));
    CHECK((l.n_run >= 1) != (l.n_parts >= 1));
    for (size_t i = 0; i < l.n_parts; i++)
        check_part(&l.parts[i], &l);
    for (size_t i = 0; i < l.n_prepare; i++)
        check_step(&l.prepare[i], &l, caps);
    for (size_t i = 0; i < l.n_run; i++)
        check_step(&l.run[i], &l, caps);
    for (size_t i = 0; i < l.n_operands; i++) { /* vectors of weights are f32, the rest is of the problem's type */
        const kiln_operand *o = &l.operands[i];
        const bool is_vector = o->role == KILN_ROLE_WEIGHT && o->rank == 1;
        CHECK(o->role == KILN_ROLE_PACKED || o->type == (is_vector ? KILN_TYPE_F32 : kiln__problem_type(p)));
    }
    const kiln_family *f = kiln__problem_family(p);
    CHECK(f->flops(p) > 0 && f->tolerance(p).abs > 0 && kiln__lowering_bytes(&l) > 0);
}

static void test_guesses(void) {
    for (int i = 0; i < 3000 && !test_failures; i++) {
        char text[KILN_MAX_KEY];
        kiln_problem p;
        any_problem(text, sizeof text);
        const kiln_caps caps = any_caps();
        REQUIRE_OK(kiln_problem_parse(context, text, &p));
        const kiln_variant *v = kiln__problem_family(&p)->variants;
        for (; v->name; v++)
            if (!v->reject || !v->reject(&p, &caps))
                check_variant(v, &p, &caps);
        CHECK_STR(v[-1].name, "ref");
        CHECK(!v[-1].reject);
        if (test_failures)
            fprintf(stderr, "problem %s\n", text);
    }
}

/* A program must not depend on the batch, nor packed weights on anything but the panel's width. */
static void test_batch_is_free(void) {
    const kiln_caps caps = {.kind = KILN_DEVICE_CPU,
                            .language = KILN_LANGUAGE_OPENCL,
                            .units = 2,
                            .max_group_size = 4096,
                            .max_group = {4096, 4096, 4096},
                            .vector_floats = 8,
                            .vector_registers = 16,
                            .local_bytes = 1 << 18};
    static const char *const pairs[][2] = {
        {"conv:n=1,h=9,w=9,ic=8,oc=8,kh=3,kw=3,ep=bias", "conv:n=64,h=9,w=9,ic=8,oc=8,kh=3,kw=3,ep=bias"},
        {"conv:n=1,h=9,w=9,ic=64,oc=64,kh=3,kw=3", "conv:n=64,h=9,w=9,ic=64,oc=64,kh=3,kw=3"},
        {"affine:n=1,h=9,w=9,c=8,form=scale", "affine:n=64,h=9,w=9,c=8,form=scale"},
        {"gemm:m=1,n=8,k=8", "gemm:m=64,n=8,k=8"},
        {"global_pool:n=1,h=9,w=9,c=8,form=mean", "global_pool:n=64,h=9,w=9,c=8,form=mean"},
        {"se_block:n=1,h=9,w=9,c=8,r=2,form=scale", "se_block:n=64,h=9,w=9,c=8,r=2,form=scale"}};
    static kiln_lowering l[2];
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        kiln_problem p[2];
        REQUIRE_OK(kiln_problem_parse(context, pairs[i][0], &p[0]));
        REQUIRE_OK(kiln_problem_parse(context, pairs[i][1], &p[1]));
        for (const kiln_variant *v = kiln__problem_family(&p[0])->variants; v->name; v++) {
            kiln_config config;
            kiln__variant_guess(v, &p[0], &caps, &config);
            for (int k = 0; k < 2; k++)
                REQUIRE_OK(kiln__variant_lower(v, &p[k], &config, &caps, &l[k]));
            CHECK(l[0].n_units == l[1].n_units);
            for (size_t u = 0; u < l[0].n_units; u++)
                CHECK_STR(l[1].units[u].defines, l[0].units[u].defines);
        }
    }
}

/* Where Winograd's transforms cannot pay it says why, and leaves the problem to the next variant. */
static void test_winograd_rejects(void) {
    const kiln_caps caps = {.kind = KILN_DEVICE_CPU,
                            .language = KILN_LANGUAGE_OPENCL,
                            .units = 2,
                            .max_group_size = 4096,
                            .max_group = {4096, 4096, 4096},
                            .vector_floats = 8,
                            .vector_registers = 16,
                            .local_bytes = 1 << 18};
    static const struct {
        const char *text, *part; /* part NULL: applies */
    } cases[] = {
        {"conv:n=1,h=9,w=9,ic=32,oc=32,kh=3,kw=3", NULL},
        {"conv:n=1,h=9,w=9,ic=32,oc=32,kh=5,kw=5", "3x3"},
        {"conv:n=1,h=9,w=9,ic=32,oc=32,kh=3,kw=1", "3x3"},
        {"conv:n=1,h=9,w=9,ic=15,oc=32,kh=3,kw=3", "channels"},
        {"conv:n=1,h=9,w=9,ic=32,oc=15,kh=3,kw=3", "channels"},
        {"conv:n=9,h=1,w=1,ic=32,oc=32,kh=3,kw=3", "board"},
        {"conv:n=1,h=9,w=9,ic=3000,oc=20000,kh=3,kw=3", "2^31"},
        {"conv:n=1,h=9,w=9,ic=5000,oc=32,kh=3,kw=3", "local memory"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kiln_problem p;
        REQUIRE_OK(kiln_problem_parse(context, cases[i].text, &p));
        const kiln_variant *v = kiln__family_variant(kiln__problem_family(&p), "winograd");
        REQUIRE(v != NULL);
        const char *reason = v->reject(&p, &caps);
        if (cases[i].part)
            CHECK_HAS(reason ? reason : "applies", cases[i].part);
        else
            CHECK(reason == NULL);
    }
}

static void test_refused(void) {
    static const struct {
        const char *text;
        kiln_status status;
        const char *part;
    } cases[] = {
        {"conv:n=1,h=9,w=9,ic=8,oc=8,kh=2,kw=3", KILN_E_INVALID, "odd"},
        {"conv:n=1,h=9,w=9,ic=8,oc=8,kh=9,kw=3", KILN_E_PARSE, "kh"},
        {"conv:n=1,h=9,w=9,ic=8,oc=8,kh=3", KILN_E_PARSE, "kw"},
        {"conv:n=32768,h=400,w=400,ic=8,oc=1,kh=1,kw=1", KILN_E_INVALID, "input"},
        {"conv:n=32768,h=100,w=100,ic=1,oc=8,kh=1,kw=1", KILN_E_INVALID, "output"},
        /* fits, but not with the halo that a 7x7 kernel needs */
        {"conv:n=10000,h=1,w=1,ic=60000,oc=1,kh=7,kw=7", KILN_E_INVALID, "input"},
        {"conv:n=1,h=1,w=1,ic=65536,oc=65536,kh=1,kw=1", KILN_E_INVALID, "weights"},
        {"conv:n=1,h=9,w=9,ic=8,oc=8,kh=3,kw=3,ep=relu+mish", KILN_E_PARSE, "ep"},
        {"conv:n=1,h=9,w=9,ic=8,oc=8,kh=3,kw=3,type=f64", KILN_E_PARSE, "f16"},
        {"conv:n=1,h=9,w=9,ic=8,oc=8,kh=3,kw=3,type=f16,compute=tf32", KILN_E_INVALID, "compute"},
        {"gemm:m=1,n=1,k=1,type=bf16,compute=tf32", KILN_E_INVALID, "compute"},
        {"affine:n=1,h=1,w=1,c=1,form=shift,gate=sigmoid", KILN_E_INVALID, "gate"},
        {"affine:n=1,h=1,w=1,c=1", KILN_E_PARSE, "form"},
        {"affine:n=1,h=1,w=1,c=1,form=scale,ep=bias", KILN_E_PARSE, "bias"},
        {"affine:n=32768,h=400,w=400,c=8,form=scale", KILN_E_INVALID, "input"},
        {"affine:n=32768,h=240,w=240,c=1,ohalo=8,form=scale", KILN_E_INVALID, "output"},
        {"affine:n=32768,h=1,w=1,c=40000,form=scale", KILN_E_INVALID, "gates"},
        {"block:n=1,h=1,w=1,c=1,r=1", KILN_E_INVALID, "r without se"},
        {"block:n=1,h=1,w=1,c=1,se=scale", KILN_E_INVALID, "se needs r"},
        {"block:n=1,h=1,w=1,c=65536", KILN_E_INVALID, "weights"},
        {"block:n=32768,h=256,w=256,c=1", KILN_E_INVALID, "input"},
        {"gemm:m=1,n=1,k=1,ep=nbias", KILN_E_PARSE, "nbias"},
        {"gemm:m=16777216,n=1,k=1048576", KILN_E_INVALID, "a has"},
        {"gemm:m=1,n=524288,k=1048576", KILN_E_INVALID, "b has"},
        {"gemm:m=16777216,n=524288,k=1", KILN_E_INVALID, "c has"},
        {"global_pool:n=32768,h=4096,w=4096,c=65536,form=mean", KILN_E_INVALID, "input"},
        {"global_pool:n=1,h=1,w=1,c=1", KILN_E_PARSE, "form"},
        {"se_block:n=1,h=1,w=1,c=1,form=scale", KILN_E_PARSE, "r is missing"},
        {"se_block:n=1,h=1,w=1,c=1,r=1,form=shift", KILN_E_PARSE, "shift"},
        {"se_block:n=32768,h=400,w=400,c=1,r=1,form=scale", KILN_E_INVALID, "input"},
        {"se_block:n=32768,h=240,w=240,c=1,r=1,ohalo=8,form=scale", KILN_E_INVALID, "output"},
        {"se_block:n=1,h=1,w=1,c=65536,r=65536,form=scale", KILN_E_INVALID, "weights"},
        {"se_block:n=32768,h=1,w=1,c=40000,r=1,form=scale_shift", KILN_E_INVALID, "gates"},
        {"global_pool:n=1,h=1,w=1,c=1,form=median", KILN_E_PARSE, "median"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kiln_problem p;
        CHECK_STATUS(kiln_problem_parse(context, cases[i].text, &p), cases[i].status);
        CHECK_HAS(kiln_last_error(), cases[i].part);
    }
}

int main(void) {
    const kiln_context_options options = {.struct_size = sizeof options, .cache_dir = "", .backends = "null"};
    REQUIRE_OK(kiln_context_create(&options, &context));
    test_guesses();
    test_batch_is_free();
    test_winograd_rejects();
    test_refused();
    kiln_context_destroy(context);
    return test_end();
}
