/* Validation of candidates whose operands are stored in each type, on a scripted device. An output of 15 elements ends
 * in the middle of a word where an element is two bytes. */
#include "measure.h"
#include "null_script.h"
#include "number.h"
#include "operand_data.h"

static const kiln_type types[] = {KILN_TYPE_F32, KILN_TYPE_F16, KILN_TYPE_BF16};
enum { N_TYPES = sizeof types / sizeof types[0] };

/* What becomes of `tile`, which gives that result where ref gives zeros. */
static kiln_trial trial_of(kiln_type type, const char *result) {
    kiln_context *context;
    kiln_device *device;
    kiln_problem problem;
    kiln_measurer *measurer;
    kiln_trial trial = {0};
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    options.cache_dir = "";
    options.backends = "null";
    null_script("device kind=gpu graphs=1\ncompute result=zeros\ncompute kernel=gemm_tile result=%s\n", result);
    REQUIRE_OK(kiln_context_create(&options, &context));
    REQUIRE_OK(kiln_device_find(context, "null:0", &device));
    char text[64];
    snprintf(text, sizeof text, "gemm:m=3,n=5,k=7,type=%s,ep=relu", kiln_type_name(type));
    REQUIRE_OK(kiln_problem_parse(context, text, &problem));
    const kiln_measure_options how = {.seed = 1, .min_seconds = 1e-6, .serving = {true, true}};
    REQUIRE_OK(kiln__measurer_create(device, &problem, &how, &measurer));
    kiln_candidate candidate = {.variant = kiln__family_variant(kiln__problem_family(&problem), "tile")};
    kiln__variant_guess(candidate.variant, &problem, kiln__device_caps(device), &candidate.config);
    CHECK_OK(kiln__measure(measurer, &candidate, &trial));
    kiln__measurer_destroy(measurer);
    kiln_context_destroy(context);
    return trial;
}

static void test_results(kiln_type type) {
    static const struct {
        const char *result, *part; /* of the reason; NULL: valid */
    } cases[] = {{"zeros", NULL},
                 {"ones", "computes wrongly: c["},
                 {"nan", "computes wrongly: c["},
                 {"nothing", "does not write c"},
                 {"outside", "writes outside"},
                 {"past", "writes outside"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const kiln_trial t = trial_of(type, cases[i].result);
        CHECK(t.state == (cases[i].part ? KILN_TRIAL_WRONG : KILN_TRIAL_OK));
        if (cases[i].part)
            CHECK_HAS(t.reason, cases[i].part);
    }
}

/* The same numbers in each type, but for its rounding. */
static void test_data(kiln_type type) {
    float data[2 * 4 * 5 * 3];
    uint16_t stored[sizeof data / sizeof data[0]];
    kiln_operand o = {
        .name = "input", .rank = 4, .shape = {2, 4, 5, 3}, .halo = 1, .type = KILN_TYPE_F32, .bytes = sizeof data};
    for (int integers = 0; integers < 2; integers++) {
        kiln__operand_fill(&o, integers, 0.3f, 7, data);
        kiln_operand coarse = o;
        coarse.type = type;
        coarse.bytes = sizeof stored;
        kiln__operand_fill(&coarse, integers, 0.3f, 7, stored);
        for (size_t i = 0; i < sizeof data / sizeof data[0]; i++) {
            CHECK(kiln__operand_value(&coarse, stored, i) == kiln__stored_value(type, data[i]));
            CHECK(!kiln__operand_in_halo(&o, i) || data[i] == 0);
        }
    }
}

int main(void) {
    for (size_t i = 0; i < N_TYPES; i++)
        test_results(types[i]);
    test_data(KILN_TYPE_F16);
    test_data(KILN_TYPE_BF16);
    null_script_end();
    return test_end();
}
