/* The KataGo reader: what it refuses, and that what it accepts computes what plain loops in double precision do. */
#include "katago_writer.h"
#include "net.h"
#include "scratch.h"
#include <math.h>

static kiln_context *context;

/* ---- refusing ---- */

static toy_net *small(int version) {
    const toy_spec spec = {.version = version,
                           .blocks = "ogn",
                           .act = "ACTIVATION_MISH",
                           .channels = 8,
                           .policies = 2,
                           .scores = 6,
                           .seed = 1};
    return toy_create(&spec);
}

static kiln_status read_bytes(const unsigned char *data, size_t n) {
    kiln_net *net;
    const kiln_status status = kiln__katago_read(context, data, n, &net);
    CHECK((status == KILN_OK) == (net != NULL));
    kiln_net_destroy(net);
    return status;
}

static kiln_status read_toy(const toy_net *toy, bool text) {
    size_t n;
    unsigned char *data = toy_write(toy, text, &n);
    const kiln_status status = read_bytes(data, n);
    free(data);
    return status;
}

/* A net with one thing wrong is refused, and the text says where and what. */
static void refused(toy_net *toy, kiln_status status, const char *where, const char *what) {
    for (int text = 0; text < 2; text++) {
        CHECK_STATUS(read_toy(toy, text), status);
        CHECK_HAS(kiln_last_error(), where);
        CHECK_HAS(kiln_last_error(), what);
    }
    toy_destroy(toy);
}

static void test_accepts(void) {
    for (int version = 3; version <= 17; version++)
        for (int text = 0; text < 2; text++) {
            toy_net *toy = small(version);
            CHECK_OK(read_toy(toy, text));
            toy_destroy(toy);
        }
}

static void test_shapes(void) {
    toy_net *toy = small(14);
    toy->blocks[0].c1.ic = 7;
    refused(toy, KILN_E_INVALID, "block0/w1", "7 channels, but 8 flow in");
    toy = small(14);
    toy->blocks[0].c2.oc = 7;
    refused(toy, KILN_E_INVALID, "block0/w2", "7 channels where 8");
    toy = small(14);
    toy->blocks[1].n2.c = 3;
    refused(toy, KILN_E_INVALID, "block1/norm2", "3 channels, but 5 flow in");
    toy = small(14);
    toy->blocks[1].m.ic = 3;
    refused(toy, KILN_E_INVALID, "matmul/block1", "3 by 5 where 12 by 5");
    toy = small(14);
    toy->blocks[2].inner[0].c2.oc = 3;
    refused(toy, KILN_E_INVALID, "inner0/w2", "3 channels where 5");
    toy = small(14);
    toy->stem.oc = 7;
    refused(toy, KILN_E_INVALID, "stem/conv", "7 channels for a trunk of 8");
    toy = small(14);
    toy->global.ic = 3;
    refused(toy, KILN_E_INVALID, "matmul/global", "3 by 8 where 5 by 8");
    toy = small(14);
    toy->v3.oc = 2;
    refused(toy, KILN_E_INVALID, "matmul/v3", "where 4 by 3");
    toy = small(16);
    toy->pass2.oc = 1;
    refused(toy, KILN_E_INVALID, "matmul/pass2", "where 4 by 2");
}

static void test_huge(void) {
    toy_net *toy = small(14);
    toy->channels = 1000000000;
    refused(toy, KILN_E_INVALID, "trunk", "1000000000");
    static const struct {
        const char *from, *to;
        kiln_status status;
        const char *what;
    } edits[] = {
        {"stem/conv\n5 5 6 8", "stem/conv\n5 5 6 65536", KILN_E_PARSE, "more than the file can hold"},
        {"stem/conv\n5 5 6 8", "stem/conv\n5 5 6 999999999999", KILN_E_INVALID, "output channels"},
        {"stem/conv\n5 5 6 8", "stem/conv\n31 31 6 65536", KILN_E_PARSE, "more than the file can hold"},
        {"stem/conv\n5 5 6 8", "stem/conv\n99999999999999999999 5 6 8", KILN_E_INVALID, "height"},
        {"stem/conv\n5 5 6 8", "stem/conv\n4 5 6 8", KILN_E_UNSUPPORTED, "even size"},
        {"stem/conv\n5 5 6 8", "stem/conv\n5 x 6 8", KILN_E_PARSE, "whole number"},
        {"\n6 5\n", "\n6 -5\n", KILN_E_INVALID, "global input channels"},
        {"trunk\n3 8", "trunk\n1000000000 8", KILN_E_INVALID, "number of blocks"},
        {"trunk\n3 8", "trunk\n4 8", KILN_E_PARSE, "where the kind of a block belongs"},
        {"toy14\n14", "toy14\n99", KILN_E_UNSUPPORTED, "format version 99"},
        {"block2\n2\n", "block2\n1000000000\n", KILN_E_INVALID, "number of inner blocks"},
        {"ACTIVATION_MISH", "ACTIVATION_SELU", KILN_E_UNSUPPORTED, "ACTIVATION_SELU"},
        {"ACTIVATION_MISH", "activation_mish", KILN_E_PARSE, "where an activation belongs"},
    };
    toy = small(14);
    size_t n;
    char *data = (char *)toy_write(toy, true, &n);
    toy_destroy(toy);
    for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++) {
        char *at = strstr(data, edits[i].from);
        REQUIRE(at != NULL);
        char *edited = malloc(n + 64);
        REQUIRE(edited != NULL);
        const int length = sprintf(edited, "%.*s%s%s", (int)(at - data), data, edits[i].to, at + strlen(edits[i].from));
        CHECK_STATUS(read_bytes((unsigned char *)edited, (size_t)length), edits[i].status);
        CHECK_HAS(kiln_last_error(), edits[i].what);
        free(edited);
    }
    free(data);
}

static void test_weights(void) {
    toy_net *toy = small(14);
    toy->blocks[0].c1.w[17] = NAN;
    refused(toy, KILN_E_INVALID, "block0/w1", "NaN");
    toy = small(14);
    toy->sv3.bias[0] = -INFINITY;
    refused(toy, KILN_E_INVALID, "bias/sv3", "NaN or infinite");
    toy = small(14);
    toy->tip.variance[3] = -0.5f;
    refused(toy, KILN_E_INVALID, "trunk/tip", "variance of channel 3");
    toy = small(14);
    toy->tip.variance[3] = 0;
    toy->tip.epsilon = 0;
    refused(toy, KILN_E_INVALID, "trunk/tip", "must be positive");
    toy = small(14); /* finite each, but not their quotient in single precision */
    toy->tip.has_scale = 1;
    toy->tip.scale[0] = 1e30f;
    toy->tip.variance[0] = 1e-30f;
    toy->tip.epsilon = 1e-30;
    refused(toy, KILN_E_INVALID, "trunk/tip", "NaN or infinite");
}

static void test_unsupported(void) {
    static const char *const kinds[] = {"transformer_attention_block", "transformer_ffn_block", "dilated_block",
                                        "rather_new_block"};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        toy_net *toy = small(15);
        toy->blocks[1].kind = kinds[i];
        refused(toy, KILN_E_UNSUPPORTED, "block1", kinds[i]);
    }
    toy_net *toy = small(15);
    toy->blocks[2].inner[1].kind = "nested_bottleneck_block";
    refused(toy, KILN_E_UNSUPPORTED, "inner1", "nested_bottleneck_block inside another block");
    toy = small(15);
    toy->blocks[0].c1.dilation_x = 2;
    refused(toy, KILN_E_UNSUPPORTED, "block0/w1", "dilated");
    toy = small(15);
    toy->meta_encoder = 1;
    refused(toy, KILN_E_UNSUPPORTED, "toy15", "meta encoder");
    toy = small(15);
    toy->trunk_norm = 1;
    refused(toy, KILN_E_UNSUPPORTED, "", "RMSNorm");
}

/* Cut anywhere, a net is refused as such: never accepted, never a crash. */
static void test_cut(void) {
    toy_net *toy = small(16);
    for (int form = 0; form < 4; form++) { /* binary, text, and both as gzip */
        size_t n, packed;
        unsigned char *data = toy_write(toy, form & 1, &n);
        if (form & 2) {
            unsigned char *gz = toy_gzip(data, n, &packed);
            free(data);
            data = gz;
            n = packed;
        }
        CHECK_OK(read_bytes(data, n));
        const size_t end = form == 1 ? n - 12 : n; /* the last digits of a text may go unnoticed */
        for (size_t cut = 0; cut + 1 < end; cut += cut < 300 ? 1 : 97) {
            unsigned char *part = malloc(cut ? cut : 1); /* exactly so large: a sanitizer sees one byte too many */
            REQUIRE(part != NULL);
            memcpy(part, data, cut);
            const kiln_status status = read_bytes(part, cut);
            CHECK(status == KILN_E_PARSE || status == KILN_E_INVALID);
            CHECK(kiln_last_error()[0] != '\0');
            free(part);
        }
        free(data);
    }
    toy_destroy(toy);
}

static int warnings;

static void count_warnings(void *user, kiln_log_level level, const char *message) {
    (void)user;
    warnings += level == KILN_LOG_WARN && strstr(message, "not part of it") != NULL;
}

static void test_damage(void) {
    toy_net *toy = small(8);
    size_t n, packed;
    unsigned char *data = toy_write(toy, false, &n), *gz = toy_gzip(data, n, &packed);
    gz[packed / 2] ^= 0x55;
    const kiln_status status = read_bytes(gz, packed); /* what comes out may be refused before its checksum */
    CHECK(status == KILN_E_PARSE || status == KILN_E_INVALID);
    gz[packed / 2] ^= 0x55;
    gz[packed - 6] ^= 1; /* the checksum at the end */
    CHECK_STATUS(read_bytes(gz, packed), KILN_E_PARSE);
    CHECK_HAS(kiln_last_error(), "gzip");
    unsigned char *longer = malloc(n + 5);
    REQUIRE(longer != NULL);
    memcpy(longer, data, n);
    memcpy(longer + n, "extra", 5);
    CHECK(warnings == 0);
    CHECK_OK(read_bytes(longer, n + 5));
    CHECK(warnings == 1);
    free(longer), free(data), free(gz);
    toy_destroy(toy);
    CHECK_STATUS(read_bytes((const unsigned char *)"\x89PNG\r\n\x1a\n", 8), KILN_E_PARSE);
    CHECK_STATUS(read_bytes((const unsigned char *)"", 0), KILN_E_PARSE);
}

/* Through a file: the text names it. */
static void test_file(const char *folder) {
    char path[300];
    kiln_net *net;
    CHECK_STATUS(kiln_net_open(context, folder, &net), KILN_E_IO);
    CHECK_HAS(kiln_last_error(), folder);
    snprintf(path, sizeof path, "%s/none.bin.gz", folder);
    CHECK_STATUS(kiln_net_open(context, path, &net), KILN_E_IO);
    CHECK_HAS(kiln_last_error(), path);
    snprintf(path, sizeof path, "%s/toy.bin.gz", folder);
    toy_net *toy = small(14);
    size_t n, packed;
    unsigned char *data = toy_write(toy, false, &n), *gz = toy_gzip(data, n, &packed);
    scratch_write(path, gz, packed - 100);
    CHECK_STATUS(kiln_net_open(context, path, &net), KILN_E_PARSE);
    CHECK_HAS(kiln_last_error(), path);
    scratch_write(path, gz, packed);
    REQUIRE_OK(kiln_net_open(context, path, &net));
    kiln_net_info info = KILN_NET_INFO_INIT;
    CHECK_OK(kiln_net_get_info(net, &info));
    CHECK_STR(info.name, "toy14");
    CHECK_STR(info.format, "katago");
    CHECK(info.n_blocks == 3 && info.channels == 8 && info.n_inputs == 2 && info.n_outputs == 5);
    CHECK_STR(kiln_net_input(net, 0)->name, "spatial");
    CHECK(kiln_net_input(net, 0)->rank == 3 && kiln_net_input(net, 0)->shape[2] == 6);
    CHECK_STR(kiln_net_output(net, 4)->name, "ownership_pretanh");
    CHECK(kiln_net_output(net, 4)->rank == 2 && kiln_net_output(net, 5) == NULL);
    kiln_net_destroy(net);
    free(data), free(gz);
    toy_destroy(toy);
}

int main(void) {
    char folder[256];
    kiln_context_options options = KILN_CONTEXT_OPTIONS_INIT;
    options.backends = "";
    options.cache_dir = "";
    options.log = count_warnings;
    REQUIRE_OK(kiln_context_create(&options, &context));
    scratch_make(folder);
    test_accepts();
    test_shapes();
    test_huge();
    test_weights();
    test_unsupported();
    test_cut();
    test_damage();
    test_file(folder);
    scratch_remove(folder);
    kiln_context_destroy(context);
    return test_end();
}
