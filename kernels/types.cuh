/* types.cuh - bf16, and 16 bytes of elements at once. Kernels are templates over the activations' type T: bf16, or float
 * for --precision fp32 and tf32. */
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

/* W consecutive elements as fp32. VECTOR<T> of them are 16 bytes: one access, the address aligned; W = 1 works anywhere. */
template <typename T> constexpr int VECTOR = 16 / (int)sizeof(T);

template <int W> struct floats {
    float v[W];
};

template <typename T, int W> VT_DEVICE floats<W> unpack(word4 words)
{
    union { word4 words; T each[VECTOR<T>]; } both = {words};
    floats<W> out;
#pragma unroll
    for (int i = 0; i < W; i++) out.v[i] = to_float(both.each[i]);
    return out;
}

template <int W, typename T> VT_DEVICE floats<W> load(const T *p)
{
    if constexpr (W == VECTOR<T>) {
        return unpack<T, W>(load_words(p));
    } else {
        floats<W> out;
        for (int i = 0; i < W; i++) out.v[i] = to_float(p[i]);
        return out;
    }
}

template <int W, typename T> VT_DEVICE void store(T *p, const floats<W> &f)
{
    if constexpr (W == VECTOR<T>) {
        union { word4 words; T each[VECTOR<T>]; } both;
#pragma unroll
        for (int i = 0; i < W; i++) both.each[i] = from_float<T>(f.v[i]);
        store_words(p, both.words);
    } else {
        for (int i = 0; i < W; i++) p[i] = from_float<T>(f.v[i]);
    }
}

#endif
