/* Halos chosen by time: the cheapest choice of all, on nets with residual sums and tensors of several readers, against
 * trying every choice; then by records, as sessions do it. */
#include "family.h"
#include "halos.h"
#include "null_script.h"
#include "planner.h"
#include "store.h"
#include "testing.h"
#include <math.h>

static kiln_context *context;
static kiln_device *device;
static char dir[64];

/* ---- a net ---- */

static int32_t weight(kiln_net *net, size_t n) {
    int32_t index;
    REQUIRE_OK(kiln__net_weight(net, "w", kiln__alloc(context, n * sizeof(float)), n, &index));
    return index;
}

typedef struct {
    int32_t output, sum;
} made;

/* A 3x3 (or `edge`) convolution; every one has channels of its own, so that no two are the same problem. */
static made conv(kiln_net *net, const char *name, int32_t input, int64_t oc, int32_t edge, int32_t residual, bool sum) {
    made m = {KILN_NET_NONE, KILN_NET_NONE};
    const int64_t ic = net->tensors[input].c;
    const kiln_net_conv c = {name, input, weight(net, (size_t)(ic * oc * edge * edge)), edge, edge, ic, oc};
    kiln_net_epilogue ep = KILN_NET_EPILOGUE_NONE;
    ep.residual = residual;
    ep.sum = sum;
    REQUIRE_OK(kiln__net_conv(net, &c, &ep, &m.output, sum ? &m.sum : NULL));
    return m;
}

/* Two blocks over a stream, a tensor that three read, a 5x5 convolution, heads. 6 tensors have a usual halo. */
static kiln_net *make_net(void) {
    kiln_net *net;
    int32_t spatial, pooled;
    REQUIRE_OK(kiln__net_create(context, "two blocks", "test", &net));
    net->default_board = 5;
    REQUIRE_OK(kiln__net_input(net, "spatial", KILN_NET_BOARD, 3, &spatial));
    const made stem = conv(net, "stem", spatial, 8, 3, KILN_NET_NONE, true);
    const int32_t a = conv(net, "block0.conv1", stem.output, 5, 3, KILN_NET_NONE, false).output;
    const made block0 = conv(net, "block0.conv2", a, 8, 3, stem.sum, true);
    const int32_t b = conv(net, "block1.conv1", block0.output, 6, 5, KILN_NET_NONE, false).output;
    const made block1 = conv(net, "block1.conv2", b, 8, 3, block0.sum, false);
    const made head = conv(net, "head1", block0.output, 4, 1, KILN_NET_NONE, false);
    const int32_t policy = conv(net, "head2", head.output, 2, 3, KILN_NET_NONE, false).output;
    const int32_t end = conv(net, "end", block1.output, 1, 3, KILN_NET_NONE, false).output;
    REQUIRE_OK(kiln__net_pool(net, "pool", "mean", block0.output, KILN_NET_NONE, &pooled));
    REQUIRE_OK(kiln__net_output(net, policy, "policy", false));
    REQUIRE_OK(kiln__net_output(net, end, "end", false));
    REQUIRE_OK(kiln__net_output(net, pooled, "pooled", false));
    return net;
}

enum { BATCH = 2, BOARD = 5 };

static kiln_layout open_layout(const kiln_net *net) {
    kiln_layout l;
    REQUIRE_OK(kiln__layout_open(net, BATCH, BOARD, BOARD, &l));
    return l;
}

/* ---- scripted times ---- */

typedef struct {
    uint64_t seed;
    double unknown; /* part of the problems that no time is known of */
    double compact; /* times of problems without any halo are this often what they would be */
    size_t n_asked;
} script;

static double scripted_us(const script *s, const kiln_problem *problem) {
    char key[KILN_MAX_KEY];
    uint64_t h = 14695981039346656037u ^ s->seed * 0x9e3779b97f4a7c15u;
    kiln_problem_key(problem, key, sizeof key);
    for (const char *c = key; *c; c++)
        h = (h ^ (unsigned char)*c) * 1099511628211u;
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9u;
    h ^= h >> 32;
    if ((double)(h % 1000) < 1000 * s->unknown)
        return 0;
    const double us = 100 + (double)(h / 1000 % 100);
    return strstr(key, "halo=") ? us : us * s->compact;
}

static kiln_status cost(void *user, const kiln_problem *problem, const kiln_problem *usual, double *us) {
    (void)usual;
    script *s = user;
    s->n_asked++;
    *us = scripted_us(s, problem);
    return KILN_OK;
}

/* What a choice weighs by the rules of the header; INFINITY: not allowed. */
static double weigh(const script *s, const kiln_layout *usual, const kiln_layout *l) {
    double total = 0;
    for (size_t i = 0; i < l->net->n_ops; i++) {
        kiln_problem now, before;
        CHECK_OK(kiln__layout_problem(l, i, &now));
        CHECK_OK(kiln__layout_problem(usual, i, &before));
        const double us = scripted_us(s, &now), usual_us = scripted_us(s, &before);
        if (kiln__problem_equal(&now, &before))
            total += us;
        else if (us > 0 && usual_us > 0)
            total += us * KILN_HALO_MARGIN;
        else
            return INFINITY;
    }
    return total;
}

static double best_of_all(const script *s, const kiln_layout *usual) {
    kiln_layout l = open_layout(usual->net);
    const size_t n = usual->net->n_tensors;
    double best = INFINITY;
    size_t free_tensors[16], n_free = 0;
    for (size_t i = 0; i < n; i++)
        if (usual->halo[i] > 0)
            free_tensors[n_free++] = i;
    CHECK(n_free == 6);
    for (unsigned bits = 0; bits < 1u << n_free; bits++) {
        for (size_t k = 0; k < n_free; k++)
            l.halo[free_tensors[k]] = bits >> k & 1 ? 0 : usual->halo[free_tensors[k]];
        best = fmin(best, weigh(s, usual, &l));
    }
    kiln__layout_free(&l);
    return best;
}

static size_t count_halos(const kiln_layout *l) {
    size_t n = 0;
    for (size_t i = 0; i < l->net->n_tensors; i++)
        n += l->halo[i] > 0;
    return n;
}

static kiln_halo_choice choose(const kiln_net *net, script *s, kiln_layout *l, kiln_strbuf *why) {
    kiln_halo_choice choice;
    *l = open_layout(net);
    CHECK_OK(kiln__halos_choose(l, cost, s, &choice, why));
    return choice;
}

/* ---- choosing ---- */

static void test_cheapest(const kiln_net *net) {
    size_t n_changed = 0;
    kiln_layout usual = open_layout(net);
    for (uint64_t seed = 1; seed <= 60; seed++) {
        script s = {.seed = seed, .unknown = 0.005 * (double)(seed % 20), .compact = 0.9};
        kiln_strbuf why = {0};
        kiln_layout l;
        const kiln_halo_choice c = choose(net, &s, &l, &why);
        CHECK(s.n_asked <= 4 * net->n_ops); /* each problem once */
        CHECK(fabs(weigh(&s, &usual, &l) - best_of_all(&s, &usual)) < 1e-9);
        CHECK(c.n_tensors == 6 && c.n_tensors - c.n_changed == count_halos(&l));
        CHECK(c.n_changed == 0 ? c.chosen_us == c.usual_us : c.chosen_us < c.usual_us);
        n_changed += c.n_changed;
        kiln__layout_free(&l);
        kiln__strbuf_free(&why);
    }
    CHECK(n_changed > 60 && n_changed < 5 * 60); /* neither all nor none: there was something to choose */
    kiln__layout_free(&usual);
}

/* Each with what it says of itself. */
static void test_said(const kiln_net *net) {
    const struct {
        script script;
        size_t n_changed;
        const char *why;
    } cases[] = {
        {{.unknown = 1, .compact = 1}, 0, "nothing is on record of another choice"},
        {{.compact = 0.1}, 6, "tensor \"block0.conv1\": halo 0\n"},
        {{.compact = 0.1}, 6, "layer \"block1.conv1\": "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        script s = cases[i].script;
        kiln_strbuf why = {0}, again = {0};
        kiln_layout l, m;
        CHECK(choose(net, &s, &l, &why).n_changed == cases[i].n_changed);
        CHECK_HAS(kiln__strbuf_text(&why), cases[i].why);
        choose(net, &s, &m, &again);
        CHECK_STR(kiln__strbuf_text(&why), kiln__strbuf_text(&again));
        CHECK(memcmp(l.halo, m.halo, net->n_tensors * sizeof *l.halo) == 0);
        kiln__layout_free(&l), kiln__layout_free(&m);
        kiln__strbuf_free(&why), kiln__strbuf_free(&again);
    }
}

/* A gain that noise may have made is none. */
static kiln_status nearly_equal(void *user, const kiln_problem *problem, const kiln_problem *usual, double *us) {
    (void)usual;
    char key[KILN_MAX_KEY];
    kiln_problem_key(problem, key, sizeof key);
    *us = strstr(key, "halo=") ? 100 : *(const double *)user;
    return KILN_OK;
}

static void test_margin(const kiln_net *net) {
    for (int faster = 0; faster < 2; faster++) {
        double us = faster ? 96 : 98; /* and 100 at the edge of a region without halos */
        kiln_strbuf why = {0};
        kiln_halo_choice c;
        kiln_layout l = open_layout(net);
        CHECK_OK(kiln__halos_choose(&l, nearly_equal, &us, &c, &why));
        CHECK(c.n_changed == (faster ? 6u : 0u));
        CHECK_HAS(kiln__strbuf_text(&why), faster ? "6 of 6 tensors without" : "no other choice is faster");
        kiln__layout_free(&l);
        kiln__strbuf_free(&why);
    }
}

static kiln_status broken(void *user, const kiln_problem *problem, const kiln_problem *usual, double *us) {
    (void)user, (void)problem, (void)usual, (void)us;
    return KILN_E_IO;
}

static void test_broken(const kiln_net *net) {
    kiln_strbuf why = {0};
    kiln_halo_choice c;
    kiln_layout l = open_layout(net);
    CHECK_STATUS(kiln__halos_choose(&l, broken, NULL, &c, &why), KILN_E_IO);
    kiln__layout_free(&l);
    kiln__strbuf_free(&why);
}

/* ---- alternatives ---- */

typedef struct {
    size_t n, n_likely;
    const kiln_layout *none, *usual;
} seen;

static bool is_problem_of(const kiln_layout *l, const kiln_problem *p) {
    kiln_problem other;
    for (size_t i = 0; i < l->net->n_ops; i++)
        if (kiln__layout_problem(l, i, &other) == KILN_OK && kiln__problem_equal(p, &other))
            return true;
    return false;
}

static kiln_status see(void *user, const kiln_problem *problem, const kiln_problem *usual, bool likely) {
    seen *s = user;
    s->n++;
    s->n_likely += likely;
    CHECK(is_problem_of(s->usual, usual) && !is_problem_of(s->usual, problem));
    CHECK(is_problem_of(s->none, problem) == likely);
    return KILN_OK;
}

static void test_alternatives(const kiln_net *net) {
    kiln_layout l = open_layout(net), usual = open_layout(net), none = open_layout(net);
    kiln__halos_drop(&none);
    seen s = {.usual = &usual, .none = &none};
    CHECK_OK(kiln__halos_alternatives(&l, see, &s));
    /* of 9 ops five couple two tensors; stem, head2, end and pool have one */
    CHECK(s.n == 5 * 3 + 4 && s.n_likely == 9);
    CHECK(memcmp(l.halo, usual.halo, net->n_tensors * sizeof *l.halo) == 0);
    kiln__layout_free(&l), kiln__layout_free(&usual), kiln__layout_free(&none);
}

/* ---- sessions ---- */

/* A record of every problem of a layout: as if tuned, or as if compared with what was usual, on a machine that was half
 * as fast then. */
static void record_layout(const kiln_layout *l, const kiln_layout *usual, double us, kiln_serving serving) {
    kiln_device_info info = KILN_DEVICE_INFO_INIT;
    REQUIRE_OK(kiln_device_get_info(device, &info));
    for (size_t i = 0; i < l->net->n_ops; i++) {
        kiln_problem problem, rival;
        char key[KILN_MAX_KEY], base[KILN_MAX_BASE] = "base";
        REQUIRE_OK(kiln__layout_problem(l, i, &problem));
        if (usual) {
            REQUIRE_OK(kiln__layout_problem(usual, i, &rival));
            kiln__base_of_rival(&rival, "base", base);
        }
        kiln_problem_key(&problem, key, sizeof key);
        const kiln_variant *ref = kiln__family_variant(kiln__problem_family(&problem), "ref");
        const kiln_record r = {.problem = key,
                               .device = device->fingerprint,
                               .driver = device->desc.driver,
                               .compiler = device->desc.compiler,
                               .content = ref->source->hash,
                               .variant = "ref",
                               .config = "",
                               .serving = serving,
                               .state = KILN_TRIAL_OK,
                               .reason = "",
                               .median_us = usual ? 2 * us : us,
                               .base = base,
                               .base_us = usual ? 200 : 100,
                               .n_repetitions = 10,
                               .time = 1};
        REQUIRE_OK(kiln__store_append(context->store, &r));
    }
}

static kiln_session *open_session(kiln_net *net, kiln_queue *queue, const kiln_session_options *base) {
    const int32_t buckets[1] = {BATCH};
    kiln_session_options o = base ? *base : (kiln_session_options)KILN_SESSION_OPTIONS_INIT;
    kiln_session *s;
    o.buckets = buckets;
    o.n_buckets = 1;
    REQUIRE_OK(kiln_session_create(net, queue, &o, &s));
    return s;
}

/* How many of a session's plans are of a problem with halos. */
static size_t plans_with_halo(kiln_session *s) {
    size_t n = 0;
    for (size_t i = 0; kiln_session_plan(s, BATCH, i); i++) {
        kiln_plan_info info = KILN_PLAN_INFO_INIT;
        CHECK_OK(kiln_plan_get_info(kiln_session_plan(s, BATCH, i), &info));
        n += strstr(info.problem, "halo=") != NULL;
    }
    return n;
}

static void check_session(kiln_net *net, kiln_queue *queue, const kiln_session_options *o, bool halos,
                          const char *why) {
    kiln_session *s = open_session(net, queue, o);
    CHECK((plans_with_halo(s) > 0) == halos);
    CHECK_HAS(kiln_session_why(s, BATCH), why);
    kiln_session_destroy(s);
}

static void test_sessions(kiln_net *net) {
    kiln_queue *queue;
    kiln_session_options o = KILN_SESSION_OPTIONS_INIT;
    kiln_layout usual = open_layout(net), none = open_layout(net);
    REQUIRE_OK(kiln_queue_create(device, &queue));
    kiln__halos_drop(&none);
    check_session(net, queue, NULL, true, "nothing is on record");
    record_layout(&usual, NULL, 50, KILN_SERVING_GRAPH);
    record_layout(&none, &usual, 20, KILN_SERVING_EAGER);
    check_session(net, queue, NULL, true, "nothing is on record"); /* a session replays: eager times say little of it */

    kiln_session *before = open_session(net, queue, NULL);
    CHECK(plans_with_halo(before) == 9);
    record_layout(&none, &usual, 40, KILN_SERVING_GRAPH);
    check_session(net, queue, NULL, false, "6 of 6 tensors without");
    CHECK(plans_with_halo(before) == 9); /* what was made stays as it was made */
    CHECK_OK(kiln_session_enqueue(before, BATCH));
    CHECK_OK(kiln_queue_finish(queue));
    kiln_session_destroy(before);

    o.halos = KILN_HALOS_USUAL;
    check_session(net, queue, &o, true, "as asked for");
    o.halos = KILN_HALOS_FASTEST;
    o.variant = "ref";
    check_session(net, queue, &o, true, "not to be used");
    o.variant = NULL;
    o.effort = KILN_PLAN_UNTUNED;
    check_session(net, queue, &o, true, "not to be used");
    o.halos = KILN_HALOS_NONE;
    check_session(net, queue, &o, false, "as asked for");
    o.halos = (kiln_session_halos)7;
    kiln_session *s;
    CHECK_STATUS(kiln_session_create(net, queue, &o, &s), KILN_E_INVALID);
    kiln_queue_destroy(queue);
    kiln__layout_free(&usual), kiln__layout_free(&none);
}

int main(void) {
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    strcpy(dir, "/tmp/kiln-test-halos-XXXXXX");
    REQUIRE(mkdtemp(dir) != NULL);
    options.cache_dir = dir;
    options.log_level = KILN_LOG_ERROR;
    options.backends = "null";
    null_script("device name=a kind=gpu units=4 graphs=1 patch=1\ncompute result=zeros\n");
    REQUIRE_OK(kiln_context_create(&options, &context));
    REQUIRE_OK(kiln_device_find(context, "null:0", &device));
    kiln_net *net = make_net();
    test_cheapest(net);
    test_said(net);
    test_margin(net);
    test_broken(net);
    test_alternatives(net);
    test_sessions(net);
    kiln_net_destroy(net);
    kiln_context_destroy(context);
    null_remove(dir);
    null_script_end();
    return test_end();
}
