/* usage: PROGRAM CORPUS COUNT [FIRST]: feeds every file of the folder CORPUS to the fuzz target, then COUNT mutations
 * of them, starting with number FIRST. Mutation number i is always the same one, so that a failure can be run again
 * alone. For compilers without libFuzzer, and for every test run. */
#include "fuzz.h"
#include <dirent.h>
#include <signal.h>
#include <unistd.h>

enum { MAX_FILES = 256, MAX_BYTES = 1 << 20, MAX_EDITS = 6 };

typedef struct {
    uint8_t *data;
    size_t size;
} blob;

static blob corpus[MAX_FILES];
static size_t n_corpus;
static unsigned long current; /* number of the mutation, for the last words */

void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void say_number(void) {
    char text[64];
    const int n = snprintf(text, sizeof text, "mutation number %lu\n", current);
    if (n > 0 && write(2, text, (size_t)n) < 0)
        return;
}

static void on_signal(int number) {
    say_number();
    signal(number, SIG_DFL);
    raise(number);
}

/* ---- random numbers (splitmix64) ---- */

static uint64_t state;

static uint64_t next(void) {
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static size_t below(size_t n) {
    return n ? (size_t)(next() % n) : 0;
}

/* ---- mutations ---- */

/* Replaces `cut` bytes at `at` by `add` bytes. */
static void splice(blob *b, size_t at, size_t cut, const uint8_t *add, size_t n) {
    if (b->size - cut + n > MAX_BYTES)
        return;
    uint8_t *data = malloc(b->size - cut + n + 1);
    FUZZ_CHECK(data != NULL);
    if (at)
        memcpy(data, b->data, at);
    if (n)
        memcpy(data + at, add, n);
    if (b->size - at - cut)
        memcpy(data + at + n, b->data + at + cut, b->size - at - cut);
    free(b->data);
    b->data = data;
    b->size = b->size - cut + n;
}

static void edit(blob *b) {
    static const char *const words[] = {"0",
                                        "-1",
                                        "4294967296",
                                        "9223372036854775807",
                                        "-9223372036854775808",
                                        "1e999",
                                        "\n",
                                        "\0",
                                        ",",
                                        "=",
                                        "<=",
                                        "+",
                                        ":",
                                        "\"",
                                        "{",
                                        "99999999999999999999"};
    const size_t at = below(b->size + 1), rest = b->size - at;
    uint8_t byte = (uint8_t)next();
    switch (below(8)) {
    case 0:
        if (rest)
            b->data[at] ^= (uint8_t)(1u << below(8));
        break;
    case 1:
        if (rest)
            b->data[at] = byte;
        break;
    case 2:
        splice(b, at, 0, &byte, 1);
        break;
    case 3:
        splice(b, at, below(rest < 16 ? rest + 1 : 17), NULL, 0);
        break;
    case 4: { /* a word */
        const char *word = words[below(sizeof words / sizeof *words)];
        splice(b, at, below(rest < 4 ? rest + 1 : 5), (const uint8_t *)word, word[0] ? strlen(word) : 1);
        break;
    }
    case 5: { /* a piece of another file */
        const blob *other = &corpus[below(n_corpus)];
        const size_t from = below(other->size + 1), n = below(other->size - from + 1);
        splice(b, at, below(rest + 1), other->data + from, n);
        break;
    }
    case 6: { /* a piece of itself, again */
        const size_t n = below(rest < 64 ? rest + 1 : 65);
        uint8_t piece[64];
        memcpy(piece, b->data + at, n);
        splice(b, below(b->size + 1), 0, piece, n);
        break;
    }
    default: /* cut short */
        splice(b, at, rest, NULL, 0);
    }
}

static void run(const blob *b) {
    uint8_t *exact = malloc(b->size ? b->size : 1); /* so that a sanitizer sees a read past the end */
    FUZZ_CHECK(exact != NULL);
    if (b->size)
        memcpy(exact, b->data, b->size);
    LLVMFuzzerTestOneInput(exact, b->size);
    free(exact);
}

static void run_mutation(unsigned long number) {
    current = number;
    state = number * 0x2545f4914f6cdd1du + 1;
    const blob *from = &corpus[below(n_corpus)];
    blob b = {malloc(from->size + 1), from->size};
    FUZZ_CHECK(b.data != NULL);
    memcpy(b.data, from->data, from->size);
    for (size_t n = 1 + below(MAX_EDITS); n > 0; n--)
        edit(&b);
    run(&b);
    free(b.data);
}

/* ---- corpus ---- */

static void read_file(const char *path) {
    FILE *f = fopen(path, "rb");
    FUZZ_CHECK(f != NULL);
    blob b = {malloc(MAX_BYTES), 0};
    FUZZ_CHECK(b.data != NULL);
    b.size = fread(b.data, 1, MAX_BYTES, f);
    fclose(f);
    corpus[n_corpus++] = b;
}

static int not_hidden(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

static void read_corpus(const char *folder) {
    struct dirent **names;
    const int n = scandir(folder, &names, not_hidden, alphasort); /* sorted: the mutations depend on the order */
    for (int i = 0; i < n; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        if (n_corpus < MAX_FILES)
            read_file(path);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: %s CORPUS COUNT [FIRST]\n", argv[0]);
        return 2;
    }
    read_corpus(argv[1]);
    if (n_corpus == 0) {
        fprintf(stderr, "%s: no corpus there\n", argv[1]);
        return 1;
    }
    signal(SIGABRT, on_signal);
    signal(SIGFPE, on_signal);
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(say_number);
    else
        signal(SIGSEGV, on_signal);
    for (size_t i = 0; i < n_corpus; i++)
        run(&corpus[i]);
    const unsigned long first = argc > 3 ? strtoul(argv[3], NULL, 10) : 0, count = strtoul(argv[2], NULL, 10);
    for (unsigned long i = 0; i < count; i++)
        run_mutation(first + i);
    printf("%zu files and %lu mutations\n", n_corpus, count);
    for (size_t i = 0; i < n_corpus; i++)
        free(corpus[i].data);
    return 0;
}
