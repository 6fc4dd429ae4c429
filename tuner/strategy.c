#include "strategy.h"
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

const kiln_strategy *kiln__strategy(const char *name) {
    static const kiln_strategy *const all[] = {
#define KILN_STRATEGY(name) &kiln__strategy_##name,
#include "strategies.def"
#undef KILN_STRATEGY
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!name || strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}

static bool insert(uint64_t *slots, size_t capacity, uint64_t hash) {
    size_t i = hash & (capacity - 1);
    while (slots[i] && slots[i] != hash)
        i = (i + 1) & (capacity - 1);
    const bool fresh = !slots[i];
    slots[i] = hash;
    return fresh;
}

static void grow(kiln_seen *s) {
    const size_t capacity = s->capacity ? 2 * s->capacity : 256;
    uint64_t *slots = calloc(capacity, sizeof *slots);
    if (!slots)
        return;
    for (size_t i = 0; i < s->capacity; i++)
        if (s->slots[i])
            insert(slots, capacity, s->slots[i]);
    free(s->slots);
    s->slots = slots;
    s->capacity = capacity;
}

bool kiln__seen_add(kiln_seen *seen, const kiln_space *space, const kiln_config *config) {
    if (2 * (seen->n + 1) > seen->capacity)
        grow(seen);
    if (2 * (seen->n + 1) > seen->capacity)
        return true;
    const uint64_t hash = XXH3_64bits(config->v, space->n_params * sizeof config->v[0]);
    const bool fresh = insert(seen->slots, seen->capacity, hash ? hash : 1);
    seen->n += fresh;
    return fresh;
}

void kiln__seen_free(kiln_seen *seen) {
    free(seen->slots);
    *seen = (kiln_seen){0};
}
