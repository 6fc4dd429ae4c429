/* Handles, and the ledger of what was not released. */
#include "driver.h"
#include <stdlib.h>
#include <string.h>

/* A handle is HANDLE + kind and index: no address, so that following it faults at once. */
#define HANDLE      ((uintptr_t)0x51C0 << 48)
#define HANDLE_KIND 40
#define HANDLE_STEP 4

/* Of objects that went only because their context did. */
enum { ORPHAN_TEXT = 4096 };
static char orphans[ORPHAN_TEXT];
static size_t n_orphans;

static driver_object **table;
static uint32_t n_table, max_table, first; /* table[0] is object `first`: indices go on after the table is cleared */

static const char *const kind_texts[] = {
#define KIND_TEXT(name, text) text,
    DRIVER_KIND_MAP(KIND_TEXT)
#undef KIND_TEXT
};

bool driver_object_add(driver_object *object, driver_kind kind, driver_context *context) {
    if (n_table == max_table) {
        const uint32_t max = max_table ? 2 * max_table : 256;
        driver_object **more = realloc(table, max * sizeof(driver_object *));
        if (!more)
            return false;
        table = more;
        max_table = max;
    }
    object->kind = kind;
    object->context = context;
    object->index = first + n_table;
    table[n_table++] = object;
    return true;
}

void driver_object_remove(driver_object *object) {
    table[object->index - first] = NULL;
}

void *driver_object_handle(const driver_object *object) {
    return (void *)(HANDLE | (uintptr_t)object->kind << HANDLE_KIND | (uintptr_t)(object->index + 1) << HANDLE_STEP);
}

void *driver_object_find(const void *handle, driver_kind kind) {
    const uintptr_t value = (uintptr_t)handle ^ (HANDLE | (uintptr_t)kind << HANDLE_KIND);
    const uintptr_t index = (value >> HANDLE_STEP) - 1 - first;
    if (value >> HANDLE_KIND || (value & ((1u << HANDLE_STEP) - 1)) || index >= n_table)
        return NULL;
    driver_object *object = table[index];
    return object && object->kind == kind ? object : NULL;
}

driver_object *driver_object_walk(uint32_t *at) {
    while (*at < n_table) {
        driver_object *object = table[(*at)++];
        if (object)
            return object;
    }
    return NULL;
}

static int describe(const driver_object *object, const char *remark, char *text, size_t bytes) {
    const driver_memory *memory = (const void *)object;
    const driver_context *context = object->kind == DRIVER_CONTEXT ? (const void *)object : object->context;
    char where[64] = "", size[64] = "";
    if (context)
        snprintf(where, sizeof where, " on device %d", context->device->ordinal);
    if (object->kind == DRIVER_MEMORY || object->kind == DRIVER_HOST)
        snprintf(size, sizeof size, " of %zu bytes at 0x%llx", memory->bytes, (unsigned long long)memory->address);
    return snprintf(text, bytes, "%s%s%s%s (number %u)\n", kind_texts[object->kind], size, where, remark,
                    object->index - first);
}

static bool listed(const driver_object *object) {
    return !object->hidden && object->kind != DRIVER_FUNCTION && object->kind != DRIVER_NODE;
}

size_t driver_ledger(char *text, size_t bytes) {
    size_t n = n_orphans, used = 0;
    if (text && bytes) {
        used = (size_t)snprintf(text, bytes, "%s", orphans);
        used = used < bytes ? used : bytes - 1;
    }
    uint32_t at = 0;
    for (const driver_object *o; (o = driver_object_walk(&at));) {
        if (!listed(o))
            continue;
        n++;
        if (text && used < bytes) {
            used += (size_t)describe(o, "", text + used, bytes - used);
            used = used < bytes ? used : bytes - 1;
        }
    }
    return n;
}

void driver_ledger_orphan(const driver_object *object) {
    if (!listed(object))
        return;
    const size_t used = strlen(orphans);
    describe(object, ", left to its context", orphans + used, ORPHAN_TEXT - used);
    n_orphans++;
}

void driver_table_clear(void) {
    free(table);
    first += n_table;
    table = NULL;
    n_table = max_table = 0;
    n_orphans = 0;
    orphans[0] = '\0';
}
