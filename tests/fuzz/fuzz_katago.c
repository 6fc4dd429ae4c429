/* KataGo files: any bytes are a net or a failure with a text. A net that is accepted is consistent: it can be laid out,
 * and its problems parse. Bit 0 of the first byte says whether the rest is packed as gzip first. */
#include "fuzz.h"
#include "layout.h"
#include <zlib.h>

static uint8_t *pack(const uint8_t *data, size_t size, size_t *packed) {
    z_stream z = {0};
    FUZZ_CHECK(deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    const size_t capacity = deflateBound(&z, size) + 64;
    uint8_t *out = malloc(capacity);
    FUZZ_CHECK(out != NULL);
    z.next_in = (uint8_t *)(uintptr_t)data;
    z.avail_in = (uInt)size;
    z.next_out = out;
    z.avail_out = (uInt)capacity;
    FUZZ_CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
    *packed = capacity - z.avail_out;
    deflateEnd(&z);
    return out;
}

static kiln_status visit(void *user, const kiln_problem *problem, size_t count) {
    char key[KILN_MAX_KEY];
    FUZZ_CHECK(kiln_problem_key(problem, key, sizeof key) < sizeof key && count > 0);
    *(size_t *)user += count;
    return KILN_OK;
}

static void check_net(kiln_net *net) {
    kiln_net_info info = KILN_NET_INFO_INIT;
    FUZZ_CHECK(kiln_net_get_info(net, &info) == KILN_OK);
    FUZZ_CHECK(info.n_inputs == 2 && info.n_outputs == 5 && info.n_parameters > 0);
    kiln_layout layout;
    if (kiln__layout_open(net, 3, 7, 5, &layout) == KILN_OK) {
        FUZZ_CHECK(kiln__layout_place(&layout, 256) != KILN_OK || layout.arena.bytes <= layout.arena.unshared_bytes);
        kiln__layout_free(&layout);
    }
    size_t n = 0;
    const kiln_status status = kiln_net_problems(net, 3, 7, 5, KILN_TYPE_F32, visit, &n);
    FUZZ_CHECK((status == KILN_OK) == (n > 0) && n <= net->n_ops);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    size_t bytes = size - 1;
    uint8_t *packed = NULL;
    if (data[0] & 1)
        packed = pack(data + 1, size - 1, &bytes);
    kiln_net *net = NULL;
    const kiln_status status = kiln__katago_read(fuzz_context(), packed ? packed : data + 1, bytes, &net);
    if (status == KILN_OK) {
        check_net(net);
    } else {
        FUZZ_CHECK(net == NULL && kiln_last_error()[0] != 0);
        FUZZ_CHECK(status == KILN_E_PARSE || status == KILN_E_INVALID || status == KILN_E_UNSUPPORTED);
    }
    kiln_net_destroy(net);
    free(packed);
    return 0;
}
