#include "operand_data.h"
#include "number.h"
#include "space.h"
#include <string.h>

bool kiln__operand_in_halo(const kiln_operand *o, size_t index) {
    if (o->halo == 0)
        return false;
    const int64_t c = o->rank == 4 ? o->shape[3] : 1, w = o->shape[2], h = o->shape[1];
    const int64_t x = (int64_t)index / c % w, y = (int64_t)index / c / w % h;
    return x < o->halo || x >= w - o->halo || y < o->halo || y >= h - o->halo;
}

void kiln__operand_fill(const kiln_operand *o, bool integers, float scale, uint64_t seed, void *data) {
    const size_t elem_bytes = kiln_type_bytes(o->type), n = o->bytes / elem_bytes, item = n / (size_t)o->shape[0];
    const bool is_mask = strcmp(o->name, "mask") == 0;
    uint64_t state = seed;
    for (size_t i = 0; i < n; i++) {
        const uint64_t r = kiln__random(&state);
        float x = scale * (integers ? (float)(int)(r % 3) - 1.0f : (float)(r >> 39) * 0x1p-24f - 1.0f);
        if (is_mask)
            x = r % 8 || i % item == 0 ? 1.0f : 0.0f;
        else if (kiln__operand_in_halo(o, i))
            x = 0;
        kiln__encode(o->type, &x, 1, (char *)data + i * elem_bytes);
    }
}

float kiln__operand_value(const kiln_operand *o, const void *data, size_t index) {
    float x;
    kiln__decode(o->type, (const char *)data + index * kiln_type_bytes(o->type), 1, &x);
    return x;
}
