/* cpu/fast/simd_math.h - exp, log, tanh and GELU of vectors. NaN comes out as NaN. Errors are those tests/cpu/simd.c
 * holds them to. Coefficients, highest power first: Chebyshev interpolation (exp, log, tanh), Remez (GELU). */
#ifndef VT_CPU_FAST_SIMD_MATH_H
#define VT_CPU_FAST_SIMD_MATH_H

#include "cpu/fast/simd.h"

/* The first n lanes, 0 <= n <= VT_LANES, of v; the others of `rest`. */
VT_INLINE vf vf_first(vf v, int n, vf rest)
{
    static const int32_t lanes[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    vi lane;
    memcpy(&lane, lanes, sizeof lane);
    return vf_select(lane < n, v, rest);
}

/* Of `many` vectors side by side, which hide each other's latency. Both counts are constant where it is called. */
VT_INLINE void vf_polynomials(vf *p, const vf *x, int many, const float *c, int n)
{
    VT_UNROLL
    for (int j = 0; j < many; j++) p[j] = vf_set(c[0]);
    VT_UNROLL
    for (int i = 1; i < n; i++) {
        VT_UNROLL
        for (int j = 0; j < many; j++) p[j] = p[j] * x[j] + c[i];
    }
}

VT_INLINE vf vf_polynomial(vf x, const float *c, int n)
{
    vf p;
    vf_polynomials(&p, &x, 1, c, n);
    return p;
}

/* e^x: 2 ulp; denormal results are rounded gradually, -inf gives 0. */
VT_INLINE vf vf_exp(vf x)
{
    static const float c[] = {1.39269266e-3f, 8.36377387e-3f, 4.16665501e-2f, 0.166665734f, 0.5f};
    const float round = 12582912.0f; /* 1.5 * 2^23: adding it leaves the nearest integer in the low bits */
    x = vf_max(vf_set(-104.0f), vf_min(vf_set(89.0f), x));
    vf shifted = x * 1.44269504f + round, whole = shifted - round;
    vf r = x - whole * 0.693359375f + whole * 2.12194440e-4f; /* ln 2 in two parts, the first exact in few bits */
    vf e = vf_polynomial(r, c, 5) * (r * r) + r + 1.0f;
    vi n = (vi)shifted - (vi)vf_set(round), half = n >> 1;  /* two factors, as 2^n may be no fp32 number */
    return e * (vf)((half + 127) << 23) * (vf)((n - half + 127) << 23);
}

/* 3 ulp. */
VT_INLINE vf vf_tanh(vf x)
{
    static const float c[] = {-6.09671417e-3f, 2.0997179e-2f, -5.38509096e-2f, 0.133327697f, -0.333333289f};
    vf a = vf_abs(x), s = x * x, e = vf_exp(-2.0f * a);
    vf large = (vf)((vi)((1.0f - e) / (1.0f + e)) | ((vi)x & INT32_MIN));
    return vf_select(a < 0.625f, x + x * s * vf_polynomial(s, c, 5), large);
}

/* GELU(x) = x Phi(x) = max(x, 0) - a (1 - Phi(a)), a = |x|; 1 - Phi is smooth enough for a polynomial: no exp, no
 * division. Beyond 5.6 a (1 - Phi(a)) is taken as there, 6e-8. Absolute error 2.5e-7 and the rounding of the result. */
VT_INLINE void vf_gelus(vf *x, int many) /* in place; `many` constant where it is called, at most 8 */
{
    static const float c[] = {0.00274159269f, -0.00910153108f, -0.00423487698f, 0.0453379882f, -0.0328547832f,
                              -0.0778383956f, 0.138471035f, -0.00896041047f, -0.189724477f, 0.218923785f,
                              -0.028557609f, -0.198131348f, 0.274724465f, -0.198066614f, 0.0868796699f,
                              -0.022163626f, 0.00255513444f};
    vf t[8], p[8];
    VT_UNROLL
    for (int j = 0; j < many; j++) t[j] = vf_min(vf_set(5.6f), vf_abs(x[j])) * (2.0f / 5.6f) - 1.0f;
    vf_polynomials(p, t, many, c, 17);
    VT_UNROLL
    for (int j = 0; j < many; j++)
        x[j] = vf_max(vf_set(0.0f), x[j]) - vf_min(vf_set(5.6f), vf_abs(x[j])) * p[j];
}

VT_INLINE vf vf_gelu(vf x)
{
    vf_gelus(&x, 1);
    return x;
}

/* GELU'(x) = Phi(x) + x phi(x) = 1/2 + x h(x^2), likewise. Absolute error 4e-7. */
VT_INLINE void vf_gelu_grads(vf *x, int many) /* in place, as vf_gelus */
{
    static const float c[] = {6.31347639e-3f, -1.48939138e-2f, 4.22103678e-3f, 2.20529413e-3f, 2.90794217e-2f,
                              -5.43903074e-2f, 4.83918276e-2f, -5.13059289e-2f, 6.77319981e-2f, -7.22451038e-2f,
                              6.55647136e-2f, -5.73284356e-2f, 5.01058912e-2f, -4.62231407e-2f, 4.86383112e-2f,
                              -6.16569597e-2f, 0.121998758f};
    vf t[8], p[8];
    VT_UNROLL
    for (int j = 0; j < many; j++) {
        x[j] = vf_max(vf_set(-5.8f), vf_min(vf_set(5.8f), x[j]));
        t[j] = x[j] * x[j] * (2.0f / (5.8f * 5.8f)) - 1.0f;
    }
    vf_polynomials(p, t, many, c, 17);
    VT_UNROLL
    for (int j = 0; j < many; j++) x[j] = x[j] * p[j] + 0.5f;
}

VT_INLINE vf vf_gelu_grad(vf x)
{
    vf_gelu_grads(&x, 1);
    return x;
}

#endif
