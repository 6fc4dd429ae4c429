/* Instruction sets of the machine we run on: what the processor has and the operating system saves. */
#include "device.h"
#include <ctype.h>
#include <string.h>

static void set_vectors(kiln_caps *caps, uint32_t floats, uint32_t registers) {
    caps->vector_floats = floats;
    caps->vector_registers = registers;
}

#if defined(__x86_64__) || defined(__i386__)
#    include <cpuid.h>

enum {
    STATE_AVX = 0x6,        /* XCR0: SSE and AVX registers */
    STATE_AVX512 = 0xe0,    /* opmask, upper halves, registers 16 to 31 */
    STATE_AMX = 0x3 << 17,  /* tile configuration and data */
    BIT_FMA = 1 << 12,      /* leaf 1 ecx */
    BIT_OSXSAVE = 1 << 27,  /* leaf 1 ecx */
    BIT_AVX = 1 << 28,      /* leaf 1 ecx */
    BIT_AVX2 = 1 << 5,      /* leaf 7 ebx */
    BIT_AVX512F = 1 << 16,  /* leaf 7 ebx */
    BIT_AVX512BW = 1 << 30, /* leaf 7 ebx */
    BIT_VNNI = 1 << 11,     /* leaf 7 ecx */
    BIT_AMX_BF16 = 1 << 22, /* leaf 7 edx */
    BIT_AMX_INT8 = 1 << 25, /* leaf 7 edx */
};

static uint64_t enabled_states(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

void kiln__cpu_describe(kiln_caps *caps) {
    caps->features = 0;
    set_vectors(caps, 4, sizeof(void *) == 8 ? 16 : 8);
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & BIT_OSXSAVE) || !(c & BIT_AVX))
        return;
    const uint64_t states = enabled_states();
    if ((states & STATE_AVX) != STATE_AVX)
        return;
    caps->vector_floats = 8;
    caps->features |= c & BIT_FMA ? KILN_FEATURE_fma : 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return;
    caps->features |= b & BIT_AVX2 ? KILN_FEATURE_avx2 : 0;
    if ((b & BIT_AVX512F) && (states & STATE_AVX512) == STATE_AVX512) {
        set_vectors(caps, 16, sizeof(void *) == 8 ? 32 : 8);
        caps->features |= KILN_FEATURE_avx512f;
        caps->features |= b & BIT_AVX512BW ? KILN_FEATURE_avx512bw : 0;
        caps->features |= c & BIT_VNNI ? KILN_FEATURE_avx512vnni : 0;
    }
    if ((states & STATE_AMX) == STATE_AMX) {
        caps->features |= d & BIT_AMX_INT8 ? KILN_FEATURE_amx_int8 : 0;
        caps->features |= d & BIT_AMX_BF16 ? KILN_FEATURE_amx_bf16 : 0;
    }
}

#elif defined(__aarch64__)

void kiln__cpu_describe(kiln_caps *caps) {
    caps->features = KILN_FEATURE_neon | KILN_FEATURE_fma;
    set_vectors(caps, 4, 32);
}

#else

void kiln__cpu_describe(kiln_caps *caps) {
    caps->features = 0;
    set_vectors(caps, 1, 16);
}

#endif

/* LLVM's names of CPUs without AVX2, as far as a run-time compiler is likely to be told to target one of them. Names
 * that are not here do not narrow anything: compilers name the CPU they run on. */
static const char *const targets_without_avx2[] = {
    "x86-64", "x86-64-v2", "generic", "nehalem", "westmere", "sandybridge", "ivybridge", "bdver1", "bdver2",
    "bdver3", "btver1",    "btver2",  "core2",   "penryn",   "silvermont",  "goldmont",  "tremont"};

/* Whether `text` has `word` between dashes (or an end). */
static bool has_target(const char *text, const char *word) {
    const size_t n = strlen(word);
    for (const char *at = strstr(text, word); at; at = strstr(at + 1, word))
        if (at > text && at[-1] == '-' && (at[n] == '-' || at[n] == 0) &&
            !(at[n] == '-' && at[n + 1] == 'v' && isdigit((unsigned char)at[n + 2]))) /* x86-64 is not x86-64-v3 */
            return true;
    return false;
}

void kiln__cpu_narrow(kiln_caps *caps, uint32_t compiler_vector_floats, const char *target) {
    const uint32_t avx512 = KILN_FEATURE_avx512f | KILN_FEATURE_avx512bw | KILN_FEATURE_avx512vnni |
                            KILN_FEATURE_amx_int8 | KILN_FEATURE_amx_bf16;
    if (compiler_vector_floats && compiler_vector_floats < caps->vector_floats)
        caps->vector_floats = compiler_vector_floats;
    if (caps->vector_floats < 16 && (caps->features & avx512)) {
        caps->features &= ~avx512; /* the upper registers come with the wide ones */
        caps->vector_registers = 16;
    }
    for (size_t i = 0; target && i < sizeof targets_without_avx2 / sizeof *targets_without_avx2; i++)
        if (has_target(target, targets_without_avx2[i]))
            caps->features &= ~(avx512 | (uint32_t)KILN_FEATURE_avx2 | (uint32_t)KILN_FEATURE_fma);
    if (caps->vector_floats < 8)
        caps->features &= ~(avx512 | (uint32_t)KILN_FEATURE_avx2 | (uint32_t)KILN_FEATURE_fma);
}
