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

/* ---- memory ---- */

template <int BYTES> struct floats_word;
template <> struct floats_word<4> { typedef unsigned type; };
template <> struct floats_word<8> { typedef uint2 type; };
template <> struct floats_word<16> { typedef uint4 type; };

/* BYTES between memory and an array of as many, 16 at once at most. */
template <int BYTES> KILN_INLINE void floats_move(void *to, const void *from) {
    const int step = BYTES < 16 ? BYTES : 16;
    typedef typename floats_word<step>::type word;
    KILN_UNROLL_ALL
    for (int i = 0; i < BYTES / step; i++)
        ((word *)to)[i] = ((const word *)from)[i];
}

template <int N> KILN_INLINE floats<N> floats_load(const float *from) {
    floats<N> x;
    floats_move<4 * N>(x.v, from);
    return x;
}
template <int N> KILN_INLINE void floats_store(floats<N> x, float *to) {
    floats_move<4 * N>(to, x.v);
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
        floats_move<2 * N>(pairs, from);
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
        floats_move<2 * N>(to, pairs);
    }
}
#endif

#endif
