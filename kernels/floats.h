/* N floats at once in CUDA C, so that T of epilogue.h may be a vector there as it may in OpenCL: what is done to one is
 * done to each. Vectors of f16 and bf16 are floats once loaded. Pointers are aligned to the whole vector.
 *
 *     KILN_EPILOGUE(floats<N>, floats_load<N>, floats_store, x, item, row, channel, channels) */
#ifndef KILN_FLOATS_H
#define KILN_FLOATS_H

#include "epilogue.h"

/* LOAD and STORE take pointers to stored elements as well. */
#undef KILN_EP_LOAD
#undef KILN_EP_STORE
#define KILN_EP_LOAD(LOAD, from)        LOAD(from)
#define KILN_EP_STORE(STORE, value, to) STORE(value, to)

/* a function in a class */
#define FLOATS_INLINE __device__ __forceinline__

template <int N> struct floats {
    float v[N];
    floats() = default;
    FLOATS_INLINE floats(float x) {
        KILN_UNROLL_ALL
        for (int i = 0; i < N; i++)
            v[i] = x;
    }
    template <class F> static FLOATS_INLINE floats each(F f) {
        floats x;
        KILN_UNROLL_ALL
        for (int i = 0; i < N; i++)
            x.v[i] = f(i);
        return x;
    }
#define FLOATS_OPERATOR(op)                                                                                            \
    friend FLOATS_INLINE floats operator op(floats a, floats b) {                                                      \
        return each([&](int i) { return a.v[i] op b.v[i]; });                                                          \
    }
    FLOATS_OPERATOR(+)
    FLOATS_OPERATOR(-)
    FLOATS_OPERATOR(*)
    FLOATS_OPERATOR(/)
#undef FLOATS_OPERATOR
    friend FLOATS_INLINE floats operator-(floats a) {
        return each([&](int i) { return -a.v[i]; });
    }
};

/* ---- the functions of dialect.h ---- */

#define FLOATS_FUNCTION(name)                                                                                          \
    template <int N> KILN_INLINE floats<N> name(floats<N> a) {                                                         \
        return floats<N>::each([&](int i) { return name(a.v[i]); });                                                   \
    }
FLOATS_FUNCTION(kiln_relu)
FLOATS_FUNCTION(expf)
FLOATS_FUNCTION(erfcf)
FLOATS_FUNCTION(tanhf)
#undef FLOATS_FUNCTION

template <int N> KILN_INLINE floats<N> fminf(floats<N> a, floats<N> b) {
    return floats<N>::each([&](int i) { return fminf(a.v[i], b.v[i]); });
}
template <int N> KILN_INLINE floats<N> fmaf(floats<N> a, floats<N> b, floats<N> c) {
    return floats<N>::each([&](int i) { return fmaf(a.v[i], b.v[i], c.v[i]); });
}

/* ---- global memory ---- */

/* WORDS of 32 bits, in accesses of 16 bytes at most. In PTX, because the compiler takes vectors apart and, where
 * addresses are less than plain, does not put them together again. */
template <int WORDS> KILN_INLINE void floats_get(unsigned *to, const void *from) {
    const size_t address = __cvta_generic_to_global(from);
    if constexpr (WORDS == 1)
        asm volatile("ld.global.u32 %0, [%1];" : "=r"(to[0]) : "l"(address) : "memory");
    else if constexpr (WORDS == 2)
        asm volatile("ld.global.v2.u32 {%0, %1}, [%2];" : "=r"(to[0]), "=r"(to[1]) : "l"(address) : "memory");
    else {
        KILN_UNROLL_ALL
        for (int i = 0; i < WORDS; i += 4)
            asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                         : "=r"(to[i]), "=r"(to[i + 1]), "=r"(to[i + 2]), "=r"(to[i + 3])
                         : "l"(address + 4 * i)
                         : "memory");
    }
}
template <int WORDS> KILN_INLINE void floats_put(void *to, const unsigned *from) {
    const size_t address = __cvta_generic_to_global(to);
    if constexpr (WORDS == 1)
        asm volatile("st.global.u32 [%0], %1;" ::"l"(address), "r"(from[0]) : "memory");
    else if constexpr (WORDS == 2)
        asm volatile("st.global.v2.u32 [%0], {%1, %2};" ::"l"(address), "r"(from[0]), "r"(from[1]) : "memory");
    else {
        KILN_UNROLL_ALL
        for (int i = 0; i < WORDS; i += 4)
            asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(address + 4 * i), "r"(from[i]),
                         "r"(from[i + 1]), "r"(from[i + 2]), "r"(from[i + 3])
                         : "memory");
    }
}

template <int N> KILN_INLINE floats<N> floats_load(const float *from) {
    unsigned words[N];
    floats_get<N>(words, from);
    return floats<N>::each([&](int i) { return __uint_as_float(words[i]); });
}
template <int N> KILN_INLINE void floats_store(floats<N> x, float *to) {
    unsigned words[N];
    KILN_UNROLL_ALL
    for (int i = 0; i < N; i++)
        words[i] = __float_as_uint(x.v[i]);
    floats_put<N>(to, words);
}

#if KC_TYPE != 0
KILN_INLINE void floats_unpack(unsigned pair, float *low, float *high) {
#    if KC_TYPE == 1
    asm("{ .reg .f16 a, b; mov.b32 {a, b}, %2; cvt.f32.f16 %0, a; cvt.f32.f16 %1, b; }"
        : "=f"(*low), "=f"(*high)
        : "r"(pair));
#    else
    *low = __uint_as_float(pair << 16);
    *high = __uint_as_float(pair & 0xffff0000);
#    endif
}
KILN_INLINE unsigned floats_pack(float low, float high) {
    unsigned pair;
#    if KC_TYPE == 1
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
#    else
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
#    endif
    return pair;
}

template <int N> KILN_INLINE floats<N> floats_load(const KILN_STORED *from) {
    if constexpr (N == 1) {
        return KILN_LOAD_STORED(from);
    } else {
        floats<N> x;
        unsigned pairs[N / 2];
        floats_get<N / 2>(pairs, from);
        KILN_UNROLL_ALL
        for (int i = 0; i < N / 2; i++)
            floats_unpack(pairs[i], x.v + 2 * i, x.v + 2 * i + 1);
        return x;
    }
}
template <int N> KILN_INLINE void floats_store(floats<N> x, KILN_STORED *to) {
    if constexpr (N == 1) {
        KILN_STORE_STORED(x.v[0], to);
    } else {
        unsigned pairs[N / 2];
        KILN_UNROLL_ALL
        for (int i = 0; i < N / 2; i++)
            pairs[i] = floats_pack(x.v[2 * i], x.v[2 * i + 1]);
        floats_put<N / 2>(to, pairs);
    }
}
#endif

#endif
