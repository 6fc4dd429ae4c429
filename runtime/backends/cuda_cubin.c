#include "cuda_cubin.h"
#include <string.h>

/* ---- reading bytes that may be anything ---- */

typedef struct {
    const unsigned char *bytes;
    size_t n;
} span;

static bool part_of(span s, uint64_t offset, uint64_t n, span *out) {
    if (offset > s.n || n > s.n - offset)
        return false;
    *out = (span){s.bytes + offset, (size_t)n};
    return true;
}

/* `offset` must be inside. */
static uint16_t get16(span s, size_t offset) {
    return (uint16_t)(s.bytes[offset] | s.bytes[offset + 1] << 8);
}

static uint32_t get32(span s, size_t offset) {
    return (uint32_t)get16(s, offset) | (uint32_t)get16(s, offset + 2) << 16;
}

static uint64_t get64(span s, size_t offset) {
    return (uint64_t)get32(s, offset) | (uint64_t)get32(s, offset + 4) << 32;
}

/* The text at an offset, which ends inside; NULL if not. */
static const char *text_at(span s, uint64_t offset) {
    return offset < s.n && memchr(s.bytes + offset, 0, s.n - (size_t)offset) ? (const char *)s.bytes + offset : NULL;
}

/* ---- ELF: offsets and sizes of its 64-bit, little-endian form ---- */

enum {
    ELF_HEADER = 64,
    ELF_SECTION = 64,
    ELF_SYMBOL = 24,
    MACHINE_CUDA = 190,
    SECTION_SYMBOLS = 2,
    SECTION_NO_BITS = 8,
    RESERVED_SHARED = 1024,
    FIRST_RESERVING = 90
};

typedef struct {
    span all, names;
    uint64_t sections; /* offset */
    unsigned n_sections;
    span symbols, symbol_names;
} elf;

typedef struct {
    const char *name;
    uint32_t type, link;
    uint64_t size;
    span body; /* empty for SECTION_NO_BITS */
} section;

static bool read_section(const elf *e, unsigned index, section *out) {
    span header;
    if (index >= e->n_sections || !part_of(e->all, e->sections + (uint64_t)index * ELF_SECTION, ELF_SECTION, &header))
        return false;
    out->type = get32(header, 4);
    out->link = get32(header, 40);
    out->size = get64(header, 32);
    out->body = (span){e->all.bytes, 0};
    out->name = text_at(e->names, get32(header, 0));
    return out->type == SECTION_NO_BITS || part_of(e->all, get64(header, 24), out->size, &out->body);
}

static bool open_elf(span all, elf *out) {
    static const unsigned char magic[6] = {0x7f, 'E', 'L', 'F', 2, 1}; /* 64-bit, little-endian */
    section s;
    *out = (elf){.all = all};
    if (all.n < ELF_HEADER || memcmp(all.bytes, magic, sizeof magic) != 0 || get16(all, 18) != MACHINE_CUDA ||
        get16(all, 58) != ELF_SECTION)
        return false;
    out->sections = get64(all, 40);
    out->n_sections = get16(all, 60);
    if (out->sections > all.n || !read_section(out, get16(all, 62), &s))
        return false;
    out->names = s.body;
    for (unsigned i = 0; i < out->n_sections; i++) {
        section names;
        if (!read_section(out, i, &s))
            return false;
        if (s.type != SECTION_SYMBOLS)
            continue;
        if (!read_section(out, s.link, &names))
            return false;
        out->symbols = s.body;
        out->symbol_names = names.body;
    }
    return true;
}

static const char *symbol_name(const elf *e, uint32_t index) {
    span symbol;
    if (!part_of(e->symbols, (uint64_t)index * ELF_SYMBOL, ELF_SYMBOL, &symbol))
        return NULL;
    return text_at(e->symbol_names, get32(symbol, 0));
}

/* ---- attributes: format, number, 16 bits; after those of format 4 as many bytes as the 16 bits say ---- */

enum {
    ATTRIBUTE_FORMAT_SIZED = 4,
    ATTRIBUTE_MAX_THREADS = 0x05,
    ATTRIBUTE_REQUIRED_THREADS = 0x10,
    ATTRIBUTE_FRAME = 0x11,
    ATTRIBUTE_PARAM = 0x17,
    ATTRIBUTE_REGISTERS = 0x2f,
    ATTRIBUTE_SPILLS = 0x55, /* 8 bytes for each instruction */
    SPILL_BYTES = 8
};

typedef struct {
    unsigned number;
    span payload;
} attribute;

/* The attribute at *at, which moves on. False: the end, or damage, which sets *at past the end. */
static bool next_attribute(span body, size_t *at, attribute *out) {
    span head;
    if (!part_of(body, *at, 4, &head)) {
        if (*at != body.n)
            *at = body.n + 1;
        return false;
    }
    const size_t n = head.bytes[0] == ATTRIBUTE_FORMAT_SIZED ? get16(head, 2) : 0;
    out->number = head.bytes[1];
    if (!part_of(body, *at + 4, n, &out->payload)) {
        *at = body.n + 1;
        return false;
    }
    *at += 4 + n;
    return true;
}

typedef struct {
    const elf *elf;
    cubin_kernel *out;
    int n, capacity;
} reader;

static cubin_kernel *find(reader *r, const char *name) {
    const int n = r->n < r->capacity ? r->n : r->capacity;
    for (int i = 0; name && i < n; i++)
        if (strcmp(r->out[i].name, name) == 0)
            return &r->out[i];
    return NULL;
}

/* .nv.info.KERNEL: what belongs to one kernel. */
static bool read_kernel(reader *r, const char *name, span body) {
    if (strlen(name) >= CUBIN_MAX_NAME)
        return false;
    if (r->n++ >= r->capacity)
        return true; /* counted all the same */
    cubin_kernel *k = &r->out[r->n - 1];
    *k = (cubin_kernel){0};
    strcpy(k->name, name);
    size_t at = 0;
    attribute a;
    while (next_attribute(body, &at, &a)) {
        if (a.number == ATTRIBUTE_PARAM)
            k->n_params++;
        else if (a.number == ATTRIBUTE_SPILLS)
            k->spills += (uint32_t)(a.payload.n / SPILL_BYTES);
        else if ((a.number == ATTRIBUTE_MAX_THREADS || a.number == ATTRIBUTE_REQUIRED_THREADS) && a.payload.n >= 12)
            k->max_items = get32(a.payload, 0) * get32(a.payload, 4) * get32(a.payload, 8);
    }
    return at == body.n;
}

/* .nv.info: attributes of all, each with the kernel's symbol. */
static bool read_common(reader *r, span body) {
    size_t at = 0;
    attribute a;
    while (next_attribute(body, &at, &a)) {
        if ((a.number != ATTRIBUTE_REGISTERS && a.number != ATTRIBUTE_FRAME) || a.payload.n < 8)
            continue;
        cubin_kernel *k = find(r, symbol_name(r->elf, get32(a.payload, 0)));
        if (!k)
            continue; /* a device function that was not inlined */
        if (a.number == ATTRIBUTE_REGISTERS)
            k->registers = get32(a.payload, 4);
        else
            k->frame_bytes = get32(a.payload, 4);
    }
    return at == body.n;
}

/* The architecture of the code: bits 8 to 15 of the flags, in the layout of ABI 8, and the low byte before it. */
static bool reserves_shared(span image) {
    enum { ABI_VERSION = 8, FLAGS = 48, NEW_LAYOUT = 8 };
    const uint32_t flags = get32(image, FLAGS);
    return (image.bytes[ABI_VERSION] >= NEW_LAYOUT ? flags >> 8 & 0xff : flags & 0xff) >= FIRST_RESERVING;
}

static const char *after(const char *name, const char *prefix) {
    const size_t n = strlen(prefix);
    return name && strncmp(name, prefix, n) == 0 ? name + n : NULL;
}

int kiln__cubin_read(const void *image, size_t bytes, cubin_kernel *out, int capacity) {
    elf e;
    section s;
    if (!open_elf((span){image, bytes}, &e))
        return -1;
    reader r = {.elf = &e, .out = out, .capacity = capacity};
    for (unsigned i = 0; i < e.n_sections; i++) {
        const char *name = read_section(&e, i, &s) ? after(s.name, ".nv.info.") : NULL;
        if (name && !read_kernel(&r, name, s.body))
            return -1;
    }
    for (unsigned i = 0; i < e.n_sections; i++) {
        if (!read_section(&e, i, &s))
            return -1;
        if (s.name && strcmp(s.name, ".nv.info") == 0 && !read_common(&r, s.body))
            return -1;
        cubin_kernel *k = find(&r, after(s.name, ".nv.shared."));
        if (!k)
            continue;
        k->shared_bytes = s.size < UINT32_MAX ? (uint32_t)s.size : UINT32_MAX;
        if (reserves_shared(e.all) && k->shared_bytes >= RESERVED_SHARED)
            k->shared_bytes -= RESERVED_SHARED;
    }
    return r.n;
}

/* ---- the container ---- */

static const char container_magic[16] = "kiln cuda 1\n";

static void put64(unsigned char *to, uint64_t value) {
    for (int i = 0; i < 8; i++)
        to[i] = (unsigned char)(value >> 8 * i);
}

size_t kiln__cuda_binary_bytes(const cuda_binary *binary) {
    return CUDA_BINARY_HEADER_BYTES + binary->cubin_bytes + binary->ptx_bytes;
}

void kiln__cuda_binary_write(const cuda_binary *binary, void *out) {
    unsigned char *to = out;
    memset(to, 0, CUDA_BINARY_HEADER_BYTES);
    memcpy(to, container_magic, sizeof container_magic);
    put64(to + 16, binary->cubin_bytes);
    put64(to + 24, binary->ptx_bytes);
    to += CUDA_BINARY_HEADER_BYTES;
    if (binary->cubin_bytes)
        memcpy(to, binary->cubin, binary->cubin_bytes);
    if (binary->ptx_bytes)
        memcpy(to + binary->cubin_bytes, binary->ptx, binary->ptx_bytes);
}

bool kiln__cuda_binary_read(const void *bytes, size_t n_bytes, cuda_binary *out) {
    const span all = {bytes, n_bytes};
    span cubin, ptx;
    *out = (cuda_binary){0};
    if (n_bytes < CUDA_BINARY_HEADER_BYTES || memcmp(all.bytes, container_magic, sizeof container_magic) != 0)
        return false;
    if (!part_of(all, CUDA_BINARY_HEADER_BYTES, get64(all, 16), &cubin) ||
        !part_of(all, CUDA_BINARY_HEADER_BYTES + (uint64_t)cubin.n, get64(all, 24), &ptx) ||
        CUDA_BINARY_HEADER_BYTES + cubin.n + ptx.n != n_bytes || cubin.n + ptx.n == 0)
        return false;
    if (ptx.n && (ptx.bytes[ptx.n - 1] != 0 || memchr(ptx.bytes, 0, ptx.n) != ptx.bytes + ptx.n - 1))
        return false;
    if (cubin.n) {
        out->cubin = cubin.bytes;
        out->cubin_bytes = cubin.n;
    }
    if (ptx.n) {
        out->ptx = (const char *)ptx.bytes;
        out->ptx_bytes = ptx.n;
    }
    return true;
}
