/* cpu/fast/simd.h - one vector type for every instruction set: the fast bodies are written once in its terms.
 *
 * VT_LANES floats: 16 with AVX-512, 8 with AVX2, 4 otherwise (GCC and clang vector extensions, any architecture).
 * a * b + c becomes an FMA where the machine has one. Intrinsics stand here alone, for what extensions cannot say. */
#ifndef VT_CPU_FAST_SIMD_H
#define VT_CPU_FAST_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(VT_ISA_AVX512)
#include <immintrin.h>
#define VT_LANES 16
#elif defined(VT_ISA_AVX2)
#include <immintrin.h>
#define VT_LANES 8
#else
#define VT_LANES 4
#endif

typedef float vf __attribute__((vector_size(4 * VT_LANES)));
typedef int32_t vi __attribute__((vector_size(4 * VT_LANES)));
typedef uint32_t vu __attribute__((vector_size(4 * VT_LANES)));
typedef float vf4 __attribute__((vector_size(16)));

#define VT_INLINE static inline __attribute__((always_inline, unused))
#if defined(__clang__) /* before a short loop with constant bounds, so that arrays of vectors become registers */
#define VT_UNROLL _Pragma("unroll")
#else
#define VT_UNROLL _Pragma("GCC unroll 16")
#endif

/* ---- memory: no alignment is asked for --------------------------------------------------------------------------- */

VT_INLINE vf vf_load(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

VT_INLINE void vf_store(float *p, vf v)
{
    memcpy(p, &v, sizeof v);
}

VT_INLINE vf vf_set(float x)
{
    return x - (vf){0}; /* a broadcast; x - 0 is x, also for -0 */
}

/* The first n lanes, 0 <= n <= VT_LANES; the others read as 0, and no memory of theirs is touched. */
#if defined(VT_ISA_AVX512)
VT_INLINE vf vf_load_n(const float *p, int n)
{
    return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}

VT_INLINE void vf_store_n(float *p, vf v, int n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
}
#elif defined(VT_ISA_AVX2)
VT_INLINE __m256i vi_first(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

VT_INLINE vf vf_load_n(const float *p, int n)
{
    return (vf)_mm256_maskload_ps(p, vi_first(n));
}

VT_INLINE void vf_store_n(float *p, vf v, int n)
{
    _mm256_maskstore_ps(p, vi_first(n), (__m256)v);
}
#else
VT_INLINE vf vf_load_n(const float *p, int n)
{
    vf v = {0};
    for (int i = 0; i < VT_LANES; i++)
        if (i < n) v[i] = p[i];
    return v;
}

VT_INLINE void vf_store_n(float *p, vf v, int n)
{
    for (int i = 0; i < VT_LANES; i++)
        if (i < n) p[i] = v[i];
}
#endif

/* ---- choosing ---------------------------------------------------------------------------------------------------- */

VT_INLINE vf vf_select(vi mask, vf a, vf b) /* lanes of mask are all ones (a) or zero (b) */
{
    return (vf)((mask & (vi)a) | (~mask & (vi)b));
}

VT_INLINE vf vf_abs(vf a)
{
    return (vf)((vi)a & 0x7FFFFFFF);
}

/* a < b ? a : b and a > b ? a : b: the second where either is NaN. */
#if defined(VT_ISA_AVX512)
VT_INLINE vf vf_min(vf a, vf b)
{
    return (vf)_mm512_min_ps((__m512)a, (__m512)b);
}

VT_INLINE vf vf_max(vf a, vf b)
{
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
}
#elif defined(VT_ISA_AVX2)
VT_INLINE vf vf_min(vf a, vf b)
{
    return (vf)_mm256_min_ps((__m256)a, (__m256)b);
}

VT_INLINE vf vf_max(vf a, vf b)
{
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
}
#else
VT_INLINE vf vf_min(vf a, vf b)
{
    return vf_select(a < b, a, b);
}

VT_INLINE vf vf_max(vf a, vf b)
{
    return vf_select(a > b, a, b);
}
#endif

/* ---- across lanes, halves folded onto each other: the order is fixed --------------------------------------------- */

#if VT_LANES == 16
#define VT_HALVES(v, f) \
    v = f(v, __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7)); \
    v = f(v, __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11)); \
    v = f(v, __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13)); \
    v = f(v, __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14))
#elif VT_LANES == 8
#define VT_HALVES(v, f) \
    v = f(v, __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3)); \
    v = f(v, __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5)); \
    v = f(v, __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6))
#else
#define VT_HALVES(v, f) \
    v = f(v, __builtin_shufflevector(v, v, 2, 3, 0, 1)); \
    v = f(v, __builtin_shufflevector(v, v, 1, 0, 3, 2))
#endif

VT_INLINE vf vf_add(vf a, vf b)
{
    return a + b;
}

VT_INLINE float vf_sum(vf v)
{
    VT_HALVES(v, vf_add);
    return v[0];
}

VT_INLINE float vf_max_lane(vf v) /* not defined with NaN among the lanes */
{
    VT_HALVES(v, vf_max);
    return v[0];
}

/* ---- transposing ------------------------------------------------------------------------------------------------- */

#if VT_LANES == 16
#define VT_QUADS(a, b, i, j, k, l) /* four lanes out of each 128 bits of a (0..3) and b (4..7) */ \
    __builtin_shufflevector(a, b, VT_Q(i, 0), VT_Q(j, 0), VT_Q(k, 0), VT_Q(l, 0), VT_Q(i, 4), VT_Q(j, 4), VT_Q(k, 4), \
                            VT_Q(l, 4), VT_Q(i, 8), VT_Q(j, 8), VT_Q(k, 8), VT_Q(l, 8), VT_Q(i, 12), VT_Q(j, 12), \
                            VT_Q(k, 12), VT_Q(l, 12))
#elif VT_LANES == 8
#define VT_QUADS(a, b, i, j, k, l) \
    __builtin_shufflevector(a, b, VT_Q(i, 0), VT_Q(j, 0), VT_Q(k, 0), VT_Q(l, 0), VT_Q(i, 4), VT_Q(j, 4), VT_Q(k, 4), \
                            VT_Q(l, 4))
#else
#define VT_QUADS(a, b, i, j, k, l) __builtin_shufflevector(a, b, VT_Q(i, 0), VT_Q(j, 0), VT_Q(k, 0), VT_Q(l, 0))
#endif
#define VT_Q(i, quad) ((i) < 4 ? (i) + (quad) : (i) - 4 + (quad) + VT_LANES)

VT_INLINE vf4 vf4_load(const float *p)
{
    vf4 v;
    memcpy(&v, p, sizeof v);
    return v;
}

VT_INLINE vf vf_gather_quads(const float *const *rows, ptrdiff_t at, int j) /* rows j, j+4, j+8, ... at `at` .. at+3 */
{
    vf4 a = vf4_load(rows[j] + at);
#if VT_LANES == 4
    return a;
#else
    vf4 b = vf4_load(rows[j + 4] + at);
#if VT_LANES == 8
    return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7);
#else
    vf4 c = vf4_load(rows[j + 8] + at), d = vf4_load(rows[j + 12] + at);
    __m512 v = _mm512_insertf32x4(_mm512_castps128_ps512((__m128)a), (__m128)b, 1);
    return (vf)_mm512_insertf32x4(_mm512_insertf32x4(v, (__m128)c, 2), (__m128)d, 3);
#endif
#endif
}

/* out[c] lane r = rows[r][at + c], c = 0 .. 3, r = 0 .. VT_LANES-1. */
VT_INLINE void vf_transpose(const float *const *rows, ptrdiff_t at, vf out[4])
{
    vf a = vf_gather_quads(rows, at, 0), b = vf_gather_quads(rows, at, 1);
    vf c = vf_gather_quads(rows, at, 2), d = vf_gather_quads(rows, at, 3);
    vf ab = VT_QUADS(a, b, 0, 4, 1, 5), cd = VT_QUADS(c, d, 0, 4, 1, 5);
    out[0] = VT_QUADS(ab, cd, 0, 1, 4, 5);
    out[1] = VT_QUADS(ab, cd, 2, 3, 6, 7);
    ab = VT_QUADS(a, b, 2, 6, 3, 7);
    cd = VT_QUADS(c, d, 2, 6, 3, 7);
    out[2] = VT_QUADS(ab, cd, 0, 1, 4, 5);
    out[3] = VT_QUADS(ab, cd, 2, 3, 6, 7);
}

#endif
