/* Nets in safetensors files that describe themselves (docs/NETS.md): what the reader of the description and the reader
 * of the weights have in common. */
#ifndef KILN_NETS_DESCRIPTION_H
#define KILN_NETS_DESCRIPTION_H

#include "net.h"
#include "safetensors.h"
#include <cjson/cJSON.h>

enum { KILN_DESCRIPTION_MAX_NAME = 256 };

typedef struct kiln_described {
    kiln_net *net;
    const kiln_safetensors *file;
    int64_t values_left; /* layers may share a tensor, but not until memory is full */
} kiln_described;

/* Sorts the members of an object into values[i] for keys[i]; NULL for those that are missing. KILN_E_PARSE: not an
 * object, a key that is not among them, or one twice. */
kiln_status kiln__described_object(const cJSON *json, const char *what, const char *const *keys, size_t n_keys,
                                   const cJSON **values);
/* A text of 1 to KILN_DESCRIPTION_MAX_NAME - 1 bytes. */
kiln_status kiln__described_text(const cJSON *json, const char *what, const char **out);

/* The tensor of that name, which must be F32. */
kiln_status kiln__described_tensor(const kiln_described *d, const char *name, const kiln_safetensor **out);

/* A linear map from `ic` channels on each of `points` places to `oc`, in PyTorch's layout [oc][ic][points], which is
 * [oc][ic][kh][kw] of a convolution, [oc][ic] of a linear layer and [oc][c][h][w] of one on a flattened board. */
typedef struct kiln_described_map {
    const kiln_safetensor *weights;
    int64_t oc, ic, points; /* their product is the number of weights */
    const char *bias;       /* [oc]; NULL: none */
    const cJSON *norm;      /* of what the map and the bias give, folded into both; NULL: none */
    bool needs_bias;        /* zeros if there is none */
} kiln_described_map;

/* Adds the weights as [points][ic][oc] and the bias, which is KILN_NET_NONE if there is none. */
kiln_status kiln__described_map(kiln_described *d, const kiln_described_map *map, int32_t *weights, int32_t *bias);

/* Adds a batch norm as a scale and a bias for each channel. */
kiln_status kiln__described_norm(kiln_described *d, const cJSON *norm, int64_t channels, int32_t *scale, int32_t *bias);

#endif
