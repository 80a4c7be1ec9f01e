/* cpu/fast/simd_math.h - exp, the normal distribution and tanh on vectors; errors are relative unless said otherwise.
 *
 * The polynomials are least squares refitted towards equal errors, in double; what they leave is below fp32's rounding. */
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

/* exp(x) within 1e-7, for x up to 88 (above it exp(88)); 0 below -87.7, where fp32 has no normal numbers left. NaN stays. */
VT_INLINE vf vf_exp(vf x)
{
    x = vf_min(vf_set(88.0f), vf_max(vf_set(-88.0f), x));
    vf n = x * 1.44269504f + 12582912.0f; /* its low bits are the exponent */
    vf power = (vf)(((vu)n + 127u) << 23);
    n -= 12582912.0f;
    vf r = x - n * 0.693359375f + n * 2.12194440e-4f;
    vf p = 0.00138144671f * r + 0.00836878046f;
    p = p * r + 0.0416683942f;
    p = p * r + 0.166665201f;
    p = p * r + 0.499999934f;
    return (p * (r * r) + r + 1.0f) * power;
}

/* Phi(-|x|), the smaller tail of the normal distribution, within 1e-6; *e is exp(-x^2 / 2). */
VT_INLINE vf vf_normal_tail(vf x, vf *e)
{
    vf t = 1.0f / (vf_abs(x) * 0.23f + 1.0f);
    *e = vf_exp(x * x * -0.5f);
    vf p = t * -0.0784212498f + 0.290179288f;
    p = p * t - 0.277616658f;
    p = p * t + 0.300854594f;
    p = p * t - 0.0324643136f;
    p = p * t + 0.119304847f;
    p = p * t + 0.0858211743f;
    p = p * t + 0.0923694694f;
    p = p * t - 2.71749731e-05f;
    return p * *e;
}

VT_INLINE vf vf_gelu(vf x)
{
    vf e, tail = vf_normal_tail(x, &e);
    return x * vf_select(x < 0.0f, tail, 1.0f - tail);
}

VT_INLINE vf vf_gelu_grad(vf x)
{
    vf e, tail = vf_normal_tail(x, &e);
    return vf_select(x < 0.0f, tail, 1.0f - tail) + x * e * 0.398942280f;
}

VT_INLINE vf vf_tanh(vf x)
{
    vf square = x * x, e = vf_exp(vf_abs(x) * -2.0f), large = (1.0f - e) / (1.0f + e);
    vf p = square * -0.00570498664f + 0.0206390868f;
    p = p * square - 0.0537397149f;
    p = p * square + 0.133314422f;
    p = p * square - 0.333332819f;
    vf signed_large = (vf)((vi)large | ((vi)x & INT32_MIN));
    return vf_select(vf_abs(x) < 0.625f, p * square * x + x, signed_large);
}

#endif
