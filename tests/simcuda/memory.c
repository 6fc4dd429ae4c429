#include "device.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 256, GAP = 4096 };

sim_device *sim_device_create(int ordinal, uint64_t memory_bytes) {
    sim_device *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->memory_bytes = memory_bytes;
    d->next = ((uint64_t)ordinal + 1) << 40;
    return d;
}

void sim_device_destroy(sim_device *d) {
    if (!d)
        return;
    for (size_t i = 0; i < d->n; i++) {
        free(d->allocations[i].host);
        free(d->allocations[i].shadow);
    }
    free(d->allocations);
    free(d);
}

/* Index of the first allocation that begins after `address`. Addresses only grow, so the array is sorted. */
static size_t after(const sim_device *d, uint64_t address) {
    size_t low = 0, high = d->n;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (d->allocations[middle].begin <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const sim_allocation *sim__allocation_find(const sim_device *d, uint64_t address) {
    const size_t i = after(d, address);
    if (i == 0)
        return NULL;
    const sim_allocation *a = &d->allocations[i - 1];
    return address - a->begin < a->bytes ? a : NULL;
}

bool sim_memory_alloc(sim_device *d, size_t bytes, uint64_t *address) {
    if (bytes == 0 || bytes > d->memory_bytes - d->used)
        return false;
    if (d->n == d->max) {
        const size_t max = d->max ? 2 * d->max : 64;
        sim_allocation *more = realloc(d->allocations, max * sizeof *more);
        if (!more)
            return false;
        d->allocations = more;
        d->max = max;
    }
    /* Zeros, so that what a host copies from memory nobody wrote is the same each time. */
    const sim_allocation a = {.begin = d->next, .bytes = bytes, .host = calloc(1, bytes), .shadow = calloc(1, bytes)};
    if (!a.host || !a.shadow) {
        free(a.host);
        free(a.shadow);
        return false;
    }
    /* Never given out again, so that a pointer to freed memory points nowhere. */
    d->next += (bytes + ALIGN - 1) / ALIGN * ALIGN + GAP;
    d->used += bytes;
    d->allocations[d->n++] = a;
    *address = a.begin;
    return true;
}

bool sim_memory_free(sim_device *d, uint64_t address) {
    const size_t i = after(d, address);
    if (i == 0 || d->allocations[i - 1].begin != address)
        return false;
    sim_allocation *a = &d->allocations[i - 1];
    free(a->host);
    free(a->shadow);
    d->used -= a->bytes;
    memmove(a, a + 1, (d->n - i) * sizeof *a);
    d->n--;
    return true;
}

static const sim_allocation *holding(const sim_device *d, uint64_t address, size_t bytes) {
    const sim_allocation *a = sim__allocation_find(d, address);
    return a && bytes <= a->bytes - (address - a->begin) ? a : NULL;
}

void *sim_memory_host(sim_device *d, uint64_t address, size_t bytes) {
    const sim_allocation *a = holding(d, address, bytes);
    return a ? a->host + (address - a->begin) : NULL;
}

bool sim_memory_range(sim_device *d, uint64_t address, uint64_t *begin, size_t *bytes) {
    const sim_allocation *a = sim__allocation_find(d, address);
    if (!a)
        return false;
    *begin = a->begin;
    *bytes = a->bytes;
    return true;
}

void sim_memory_mark(sim_device *d, uint64_t address, size_t bytes, bool initialised) {
    const sim_allocation *a = holding(d, address, bytes);
    if (a)
        memset(a->shadow + (address - a->begin), initialised ? SIM_SHADOW_WRITTEN : SIM_SHADOW_NONE, bytes);
}

bool sim_memory_copy_marks(sim_device *to_device, uint64_t to, sim_device *from_device, uint64_t from, size_t bytes) {
    const sim_allocation *t = holding(to_device, to, bytes), *f = holding(from_device, from, bytes);
    if (!t || !f)
        return false;
    memmove(t->shadow + (to - t->begin), f->shadow + (from - f->begin), bytes);
    return true;
}

uint64_t sim_memory_used(const sim_device *d) {
    return d->used;
}

size_t sim_memory_count(const sim_device *d) {
    return d->n;
}

void sim__allocation_describe(const sim_device *d, uint64_t address, char *text, size_t bytes) {
    const size_t i = after(d, address);
    if (i == 0) {
        snprintf(text, bytes, "no allocation is near");
        return;
    }
    const sim_allocation *a = &d->allocations[i - 1], *next = i < d->n ? a + 1 : NULL;
    const uint64_t end = a->begin + a->bytes;
    if (address < end)
        snprintf(text, bytes, "byte %llu of the %zu bytes at 0x%llx", (unsigned long long)(address - a->begin),
                 a->bytes, (unsigned long long)a->begin);
    else if (next && next->begin - address < address - end)
        snprintf(text, bytes, "%llu bytes before the %zu bytes at 0x%llx", (unsigned long long)(next->begin - address),
                 next->bytes, (unsigned long long)next->begin);
    else
        snprintf(text, bytes, "%llu bytes behind the %zu bytes at 0x%llx", (unsigned long long)(address - end),
                 a->bytes, (unsigned long long)a->begin);
}
