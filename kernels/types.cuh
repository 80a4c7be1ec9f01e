/* types.cuh - bf16, and 16 bytes of elements at once. Kernels are templates over the activations' type T: bf16, or
 * float for --precision fp32 and tf32. */
#ifndef VT_TYPES_CUH
#define VT_TYPES_CUH

#include "ptx.cuh"

struct bf16 {
    uint16_t bits;
};

VT_DEVICE float to_float(float v) { return v; }
VT_DEVICE float to_float(bf16 v)
{
    union { uint32_t u; float f; } both = {(uint32_t)v.bits << 16};
    return both.f;
}

template <typename T> VT_DEVICE T from_float(float v) /* nearest even */
{
    if constexpr (sizeof(T) == sizeof(float)) {
        return v;
    } else {
        bf16 b = {(uint16_t)pack_bf16(v, 0)};
        return b;
    }
}

/* W consecutive elements as fp32. Where W is a multiple of VECTOR<T>, which are 16 bytes, the address is aligned to 16
 * and accesses are of 16; otherwise elements go one by one and any address will do. */
template <typename T> constexpr int VECTOR = 16 / (int)sizeof(T);

template <int W> struct floats {
    float v[W];
};

/* W elements as they are in memory, W a multiple of VECTOR<T>: half the registers for those that wait. */
template <typename T, int W> struct packed {
    static_assert(W % VECTOR<T> == 0, "whole accesses of 16 bytes");
    word4 words[W / VECTOR<T>];
};

template <typename T, int W> VT_DEVICE floats<W> unpack(word4 words)
{
    union { uint32_t word; float f; } both;
    floats<W> out;
#pragma unroll
    for (int i = 0; i < W; i++) {
        both.word = words.w[i * (int)sizeof(T) / 4];
        if (sizeof(T) == 2) both.word = i % 2 ? both.word & 0xFFFF0000u : both.word << 16;
        out.v[i] = both.f;
    }
    return out;
}

template <typename T, int W> VT_DEVICE floats<W> unpack(const packed<T, W> &p)
{
    floats<W> out;
#pragma unroll
    for (int i = 0; i < W; i += VECTOR<T>) {
        floats<VECTOR<T>> part = unpack<T, VECTOR<T>>(p.words[i / VECTOR<T>]);
#pragma unroll
        for (int k = 0; k < VECTOR<T>; k++) out.v[i + k] = part.v[k];
    }
    return out;
}

template <typename T, int W> VT_DEVICE packed<T, W> pack(const floats<W> &f) /* nearest even */
{
    packed<T, W> p;
#pragma unroll
    for (int i = 0; i < W; i += VECTOR<T>) {
        if constexpr (sizeof(T) == sizeof(float)) {
            union { float each[4]; word4 words; } both = {{f.v[i], f.v[i + 1], f.v[i + 2], f.v[i + 3]}};
            p.words[i / 4] = both.words;
        } else {
#pragma unroll
            for (int k = 0; k < 4; k++) p.words[i / 8].w[k] = pack_bf16(f.v[i + 2 * k], f.v[i + 2 * k + 1]);
        }
    }
    return p;
}

template <int W, typename T> VT_DEVICE packed<T, W> fetch(const T *p)
{
    packed<T, W> v;
#pragma unroll
    for (int i = 0; i < W; i += VECTOR<T>) v.words[i / VECTOR<T>] = load_words(p + i);
    return v;
}

template <int W, typename T> VT_DEVICE void put(T *p, const packed<T, W> &v)
{
#pragma unroll
    for (int i = 0; i < W; i += VECTOR<T>) store_words(p + i, v.words[i / VECTOR<T>]);
}

template <int W, typename T> VT_DEVICE floats<W> load(const T *p)
{
    if constexpr (W % VECTOR<T> == 0) {
        return unpack(fetch<W>(p));
    } else {
        floats<W> out;
        for (int i = 0; i < W; i++) out.v[i] = to_float(p[i]);
        return out;
    }
}

template <int W, typename T> VT_DEVICE void store(T *p, const floats<W> &f)
{
    if constexpr (W % VECTOR<T> == 0) {
        put(p, pack<T>(f));
    } else {
        for (int i = 0; i < W; i++) p[i] = from_float<T>(f.v[i]);
    }
}

#endif
