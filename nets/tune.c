/* kiln_tune_net: the distinct problems of a net for some batch sizes, tuned together. */
#include "tune.h"
#include "context.h"
#include "device.h"
#include "net.h"
#include "status.h"
#include <string.h>

typedef struct {
    kiln_context *context;
    kiln_tune_item *items;
    size_t n, capacity;
} collector;

static kiln_status collect(void *user, const kiln_problem *problem, size_t count) {
    collector *c = user;
    if (c->n == c->capacity) {
        const size_t capacity = c->capacity ? 2 * c->capacity : 64;
        kiln_tune_item *grown = kiln__realloc(c->context, c->items, capacity * sizeof *grown);
        if (!grown)
            return KILN_E_MEMORY;
        c->items = grown;
        c->capacity = capacity;
    }
    c->items[c->n++] = (kiln_tune_item){*problem, (double)count};
    return KILN_OK;
}

kiln_status kiln_tune_net(kiln_net *net, kiln_device *device, const int32_t *batches, size_t n_batches, int32_t board_h,
                          int32_t board_w, const kiln_tune_options *options, kiln_tune_result *out) {
    if (!net || !device || !batches || n_batches == 0)
        return kiln_fail(KILN_E_INVALID, "kiln_tune_net: a NULL argument or no batch size");
    if (device->context != net->context)
        return kiln_fail(KILN_E_INVALID, "kiln_tune_net: the net and the device are of different contexts");
    kiln_tune_options o = KILN_TUNE_OPTIONS_INIT;
    if (options) {
        KILN_CHECK_STRUCT(options, kiln_tune_options);
        memcpy(&o, options, options->struct_size);
    }
    collector c = {.context = net->context};
    kiln_status status = KILN_OK;
    for (size_t i = 0; i < n_batches && status == KILN_OK; i++) /* problems of two batch sizes are never the same */
        status = kiln_net_problems(net, batches[i], board_h, board_w, o.type, collect, &c);
    if (status == KILN_OK)
        status = kiln__tune_many(device, c.items, c.n, options, out);
    kiln__free(net->context, c.items);
    return status;
}
