/* Nets that describe themselves: any bytes are a net or a failure with a text. A net that is accepted is consistent: it
 * can be laid out on its board, and its problems parse. The length of the header is made right first. */
#include "fuzz.h"
#include "layout.h"

static kiln_status visit(void *user, const kiln_problem *problem, size_t count) {
    char key[KILN_MAX_KEY];
    FUZZ_CHECK(kiln_problem_key(problem, key, sizeof key) < sizeof key && count > 0);
    *(size_t *)user += count;
    return KILN_OK;
}

static void check_net(kiln_net *net) {
    kiln_net_info info = KILN_NET_INFO_INIT;
    size_t n = 0;
    FUZZ_CHECK(kiln_net_get_info(net, &info) == KILN_OK);
    FUZZ_CHECK(info.n_inputs > 0 && info.n_outputs > 0 && info.default_board > 0);
    for (size_t i = 0; i < info.n_outputs; i++)
        FUZZ_CHECK(kiln_net_output(net, i)->name[0] != 0);
    kiln_layout layout;
    if (kiln__layout_open(net, 2, net->default_board, net->default_board, &layout) == KILN_OK) {
        FUZZ_CHECK(kiln__layout_place(&layout, 256) != KILN_OK || layout.arena.bytes <= layout.arena.unshared_bytes);
        kiln__layout_free(&layout);
    }
    const kiln_status status = kiln_net_problems(net, 2, 0, 0, KILN_TYPE_F32, visit, &n);
    FUZZ_CHECK((status == KILN_OK) == (n > 0) && n <= net->n_ops);
}

/* The end of the header: its text has as many brackets opened as closed, outside of strings. */
static size_t header_end(const uint8_t *data, size_t size) {
    int depth = 0;
    bool quoted = false;
    for (size_t i = 8; i < size; i++) {
        if (quoted && data[i] == '\\')
            i++;
        else if (data[i] == '"')
            quoted = !quoted;
        else if (!quoted && data[i] == '{')
            depth++;
        else if (!quoted && data[i] == '}' && --depth == 0)
            return i + 1;
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 8)
        return 0;
    uint8_t *copy = malloc(size); /* exactly so large: a sanitizer sees one byte too many */
    FUZZ_CHECK(copy != NULL);
    memcpy(copy, data, size);
    const size_t end = header_end(copy, size);
    for (int i = 0; i < 8 && end > 0; i++)
        copy[i] = (uint8_t)((uint64_t)(end - 8) >> 8 * i);
    kiln_net *net = NULL;
    const kiln_status status = kiln__description_read(fuzz_context(), copy, size, &net);
    if (status == KILN_OK) {
        check_net(net);
    } else {
        FUZZ_CHECK(net == NULL && kiln_last_error()[0] != 0);
        FUZZ_CHECK(status == KILN_E_PARSE || status == KILN_E_INVALID || status == KILN_E_UNSUPPORTED);
    }
    kiln_net_destroy(net);
    free(copy);
    return 0;
}
