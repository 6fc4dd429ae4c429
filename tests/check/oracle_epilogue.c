#include "check.h"

static double of_channel(const check_data *data, const char *name, int64_t index) {
    return check_find(data, name)->data[index];
}

double check_epilogue(const check_data *data, int64_t ep, double x, int64_t item, int64_t row, int64_t channel,
                      int64_t channels) {
    if (ep & KILN_EP_SCALE)
        x *= of_channel(data, "scale", channel);
    if (ep & KILN_EP_BIAS)
        x += of_channel(data, "bias", channel);
    if (ep & KILN_EP_NBIAS)
        x += of_channel(data, "nbias", item * channels + channel);
    if (ep & KILN_EP_RES)
        x += of_channel(data, "residual", row * channels + channel);
    if (ep & KILN_EP_SUM)
        check_find(data, "sum")->expected[row * channels + channel] = x;
    if (ep & KILN_EP_BN)
        x = x * of_channel(data, "bn_scale", channel) + of_channel(data, "bn_bias", channel);
    x = kiln__activation((ep & KILN_EP_ACT_MASK) >> KILN_EP_ACT_SHIFT, x);
    if (ep & KILN_EP_MASK)
        x *= of_channel(data, "mask", row);
    return x;
}
