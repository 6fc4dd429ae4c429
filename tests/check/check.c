#include "check.h"
#include "context.h"
#include "number.h"
#include "testing.h"

typedef struct {
    const char *device, *family, *variant, *problem, *inputs;
    uint64_t seed;
    unsigned long samples;
} options;

typedef struct {
    const char *family, *variant;
    unsigned problems, candidates, rejected, failures;
    unsigned seen; /* problems so far, whether it applies or not */
} tally;

typedef struct {
    options options;
    kiln_context *context;
    kiln_queue *queue;
    tally tallies[32];
    size_t n_tallies;
    unsigned n_problems; /* of the family at hand */
} harness;

/* ---- options ---- */

static _Noreturn void usage(void) {
    fprintf(stderr, "usage: check [--device NAME] [--family NAME] [--variant NAME] [--problem TEXT] [--seed N] "
                    "[--samples N] [--inputs DIR]\n");
    exit(2);
}

static options parse_options(int argc, char **argv) {
    options o = {.seed = 1, .samples = 4};
    const char *source = getenv("KILN_SOURCE_DIR");
    static char inputs[1024];
    snprintf(inputs, sizeof inputs, "%s/tests/inputs", source ? source : ".");
    o.inputs = inputs;
    const struct {
        const char *name, **value;
    } texts[] = {{"--device", &o.device},
                 {"--family", &o.family},
                 {"--variant", &o.variant},
                 {"--problem", &o.problem},
                 {"--inputs", &o.inputs}};
    for (int i = 1; i + 1 < argc; i += 2) {
        bool known = false;
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
            if (strcmp(argv[i], texts[k].name) == 0) {
                *texts[k].value = argv[i + 1];
                known = true;
            }
        if (strcmp(argv[i], "--seed") == 0)
            o.seed = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--samples") == 0)
            o.samples = strtoul(argv[i + 1], NULL, 10);
        else if (!known)
            usage();
    }
    if (argc % 2 == 0)
        usage();
    return o;
}

/* ---- configs ---- */

enum { MAX_CONFIGS = 8192 };

/* Every config of the variant that its rules allow, by a mixed-radix count. */
static size_t valid_configs(const kiln_variant *v, const kiln_problem *p, const kiln_caps *caps, kiln_config *out) {
    const size_t n_params = kiln__variant_n_params(v);
    size_t digits[KILN_MAX_PARAMS] = {0}, n = 0;
    for (;;) {
        kiln_config c = {0};
        for (size_t i = 0; i < n_params; i++)
            c.v[i] = v->params[i].values[digits[i]];
        if (!kiln__config_reject(v, p, caps, &c) && n < MAX_CONFIGS)
            out[n++] = c;
        size_t i = 0;
        while (i < n_params && ++digits[i] == v->params[i].n_values)
            digits[i++] = 0;
        if (i == n_params)
            return n;
    }
}

/* ---- the walk: families, problems, variants, configs ---- */

static tally *tally_of(harness *h, const char *family, const char *variant) {
    for (size_t i = 0; i < h->n_tallies; i++)
        if (h->tallies[i].family == family && h->tallies[i].variant == variant)
            return &h->tallies[i];
    REQUIRE(h->n_tallies < sizeof h->tallies / sizeof *h->tallies);
    h->tallies[h->n_tallies] = (tally){.family = family, .variant = variant};
    return &h->tallies[h->n_tallies++];
}

static void run_candidate(harness *h, tally *t, const check_candidate *c, const check_data *sets) {
    t->candidates++;
    if (!check_run(h->queue, c, sets, 2)) {
        t->failures++;
        fprintf(stderr, "       seed %llu\n", (unsigned long long)h->options.seed);
    }
}

/* The samples of a variant are spread evenly over the family's problems. */
static unsigned long samples_of(const harness *h, unsigned problem) {
    const unsigned long n = h->n_problems;
    return (problem + 1) * h->options.samples / n - problem * h->options.samples / n;
}

static void run_variant(harness *h, const kiln_variant *v, const kiln_problem *p, const check_data *sets,
                        uint64_t *random) {
    const kiln_caps *caps = kiln__device_caps(h->queue->device);
    tally *t = tally_of(h, p->schema->name, v->name);
    const unsigned long samples = samples_of(h, t->seen++);
    if (kiln__variant_reject(v, p, caps)) {
        t->rejected++;
        return;
    }
    t->problems++;
    check_candidate c = {.problem = p, .variant = v, .oracle = check_oracle_of(p->schema->name)};
    kiln__variant_guess(v, p, caps, &c.config);
    const char *reason = kiln__config_reject(v, p, caps, &c.config);
    if (reason) {
        fprintf(stderr, "FAILED %s %s: the guess breaks a rule: %s\n", p->schema->name, v->name, reason);
        t->failures++;
        return;
    }
    run_candidate(h, t, &c, sets);
    static kiln_config configs[MAX_CONFIGS];
    const kiln_config guess = c.config;
    size_t n = valid_configs(v, p, caps, configs);
    for (unsigned long i = 0; i < samples && n > 0; i++) {
        const size_t pick = check_random(random) % n;
        c.config = configs[pick];
        configs[pick] = configs[--n];
        if (memcmp(&c.config, &guess, sizeof guess) != 0)
            run_candidate(h, t, &c, sets);
    }
}

static void run_problem(harness *h, const char *text) {
    kiln_problem p;
    REQUIRE_OK(kiln_problem_parse(h->context, text, &p));
    const check_oracle *oracle = check_oracle_of(p.schema->name);
    REQUIRE(oracle);
    static kiln_lowering operands;
    memset(&operands, 0, sizeof operands);
    kiln__problem_family(&p)->operands(&p, &operands);
    check_data sets[2];
    for (int i = 0; i < 2; i++) {
        check_data_make(&sets[i], &operands, i == 0, h->options.seed);
        for (size_t t = 0; t < sets[i].n_tensors; t++) {
            check_tensor *tensor = &sets[i].tensors[t];
            const float scale = kiln__operand_scale(kiln__problem_family(&p), &tensor->operand);
            for (size_t k = 0; k < tensor->n; k++)
                tensor->data[k] = kiln__stored_value(tensor->operand.type, tensor->data[k] * scale);
        }
        oracle->compute(&p, &sets[i]);
    }
    uint64_t random = h->options.seed * UINT64_C(0x9e3779b97f4a7c15) | 1; /* sampled configs differ from problem … */
    for (const char *c = text; *c; c++)
        random = (random ^ (unsigned char)*c) * UINT64_C(0x100000001b3); /* … to problem, but not from run to run */
    random |= 1;
    for (const kiln_variant *v = kiln__problem_family(&p)->variants; v->name; v++)
        if (!h->options.variant || strcmp(h->options.variant, v->name) == 0)
            run_variant(h, v, &p, sets, &random);
    for (int i = 0; i < 2; i++)
        check_data_free(&sets[i]);
}

enum { MAX_PROBLEMS = 512 };

/* One problem a line; blank lines and what follows a '#' are skipped. */
static void run_family(harness *h, const char *family) {
    static char lines[MAX_PROBLEMS][KILN_MAX_KEY];
    char path[1200];
    snprintf(path, sizeof path, "%s/%s.txt", h->options.inputs, family);
    FILE *f = fopen(path, "r");
    if (!f) {
        fprintf(stderr, "check: cannot open %s; give --inputs or set KILN_SOURCE_DIR\n", path);
        exit(1);
    }
    h->n_problems = 0;
    for (char *line = lines[0]; fgets(line, KILN_MAX_KEY, f);) {
        line[strcspn(line, "#\r\n")] = 0;
        for (size_t n = strlen(line); n > 0 && line[n - 1] == ' ';)
            line[--n] = 0;
        if (line[0]) {
            REQUIRE(h->n_problems + 1 < MAX_PROBLEMS);
            line = lines[++h->n_problems];
        }
    }
    fclose(f);
    for (unsigned i = 0; i < h->n_problems; i++)
        run_problem(h, lines[i]);
}

static int report(const harness *h) {
    unsigned failures = 0, candidates = 0;
    for (size_t i = 0; i < h->n_tallies; i++) {
        const tally *t = &h->tallies[i];
        printf("%-12s %-5s %3u problems, %3u candidates, %u rejected, %u failed\n", t->family, t->variant, t->problems,
               t->candidates, t->rejected, t->failures);
        failures += t->failures;
        candidates += t->candidates;
    }
    if (candidates == 0)
        fprintf(stderr, "check: nothing ran; see --family, --variant, --problem\n");
    return failures || candidates == 0 ? 1 : 0;
}

int main(int argc, char **argv) {
    harness h = {.options = parse_options(argc, argv)};
    setvbuf(stdout, NULL, _IOLBF, 0);
    REQUIRE_OK(kiln_context_create(NULL, &h.context));
    kiln_device *device;
    if (kiln_device_find(h.context, h.options.device, &device) != KILN_OK)
        SKIP("%s", kiln_last_error());
    REQUIRE_OK(kiln_queue_create(device, &h.queue));
    printf("device %s, seed %llu, %lu sampled configs of each variant\n", device->name,
           (unsigned long long)h.options.seed, h.options.samples);
    for (size_t i = 0; i < kiln_family_count(h.context); i++) {
        const char *family = kiln_family_name(h.context, i);
        if (!h.options.problem && (!h.options.family || strcmp(h.options.family, family) == 0))
            run_family(&h, family);
    }
    h.n_problems = 1;
    if (h.options.problem)
        run_problem(&h, h.options.problem);
    kiln_queue_destroy(h.queue);
    kiln_context_destroy(h.context);
    return report(&h);
}
