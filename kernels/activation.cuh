/* activation.cuh - activations of W values at once, fp32: of the op, and of linear's epilogues. The kind is the same
 * for the whole grid: one branch for W values. tanhf is within 2 ulp.
 *
 * GELU is the one by erf, in instructions few enough for memory to be what bounds it (12 and 15 a value, of which 1 and
 * 2 for MUFU): the weights are minimax fits, tests/simt/activation_test.cpp holds the errors. Infinities become NaN. */
#ifndef VT_ACTIVATION_CUH
#define VT_ACTIVATION_CUH

#include <math.h>

#include "cuda.cuh"

/* x Phi(x) = max(x, 0) - t Phi(-t), t = |x|; log2 Phi(-t) is nearly a parabola, here a polynomial that falls to -inf.
 * Absolute error 2.4e-7 and the rounding of the result; for x in -5 .. 0 a relative one of 8e-6. */
VT_DEVICE float gelu(float x)
{
    float t = fabsf(x), p = -4.99458904e-7f;
    p = fmaf(p, t, 8.29434339e-6f);
    p = fmaf(p, t, -2.11891675e-5f);
    p = fmaf(p, t, -5.81973174e-4f);
    p = fmaf(p, t, 7.70676136e-3f);
    p = fmaf(p, t, -5.29796705e-2f);
    p = fmaf(p, t, -0.459038913f);
    p = fmaf(p, t, -1.1511265f);
    p = fmaf(p, t, -0.999999583f);
    return fmaf(-t, fast_exp2(p), fmaxf(x, 0.0f));
}

/* Phi(x) + x phi(x) = 1 - h(x) for x > 0, else h(-x), with h(t) = Phi(-t) - t phi(t) = exp(-t^2 / 2) (u P(u) - w),
 * u = 1 / (1 + 0.331 t), w = t / sqrt(2 pi). After Abramowitz and Stegun 7.1.26. Absolute error 2e-7. */
VT_DEVICE float gelu_grad(float x)
{
    float s = fabsf(x) * 0.849321783f; /* exp(-t^2 / 2) = 2^(-s^2) */
    float u = fast_rcp(fmaf(s, 0.389722705f, 1.0f)), p = -0.110234588f;
    p = fmaf(p, u, 0.374119937f);
    p = fmaf(p, u, -0.0900152698f);
    p = fmaf(p, u, 0.203860864f);
    p = fmaf(p, u, 0.122268997f);
    float h = fast_exp2(-s * s) * fmaf(p, u, s * -0.469718635f);
    return x > 0 ? 1 - h : h;
}

VT_DEVICE float tanh_grad(float v)
{
    float y = tanhf(v);
    return 1 - y * y;
}

/* f(x) */
template <int W> VT_DEVICE floats<W> activate(vt_activation_kind kind, floats<W> x)
{
    switch (kind) {
    case VT_GELU:
#pragma unroll
        for (int i = 0; i < W; i++) x.v[i] = gelu(x.v[i]);
        break;
    case VT_RELU:
#pragma unroll
        for (int i = 0; i < W; i++) x.v[i] = x.v[i] < 0 ? 0 : x.v[i]; /* NaN stays */
        break;
    case VT_TANH:
#pragma unroll
        for (int i = 0; i < W; i++) x.v[i] = tanhf(x.v[i]);
        break;
    default: break;
    }
    return x;
}

/* dy * f'(x) */
template <int W> VT_DEVICE floats<W> activate_grad(vt_activation_kind kind, floats<W> dy, const floats<W> &x)
{
    switch (kind) {
    case VT_GELU:
#pragma unroll
        for (int i = 0; i < W; i++) dy.v[i] *= gelu_grad(x.v[i]);
        break;
    case VT_RELU:
#pragma unroll
        for (int i = 0; i < W; i++) dy.v[i] *= x.v[i] > 0 ? 1.0f : 0.0f;
        break;
    case VT_TANH:
#pragma unroll
        for (int i = 0; i < W; i++) dy.v[i] *= tanh_grad(x.v[i]);
        break;
    default: break;
    }
    return dy;
}

/* Queues y = f(x) and dx = dy * f'(x) over `count` elements. */
cudaError_t activation_launch(const vt_cuda *c, vt_activation_kind kind, vt_dtype dtype, int64_t count, const void *x,
                              void *y);
cudaError_t activation_grad_launch(const vt_cuda *c, vt_activation_kind kind, vt_dtype dtype, int64_t count,
                                   const void *dy, const void *x, void *dx);
/* The same over tensors like `like`, for an op whose epilogue they are. */
void activation_queue(const vt_run *r, vt_activation_kind kind, const vt_tensor *like, const void *x, void *y);
void activation_grad_queue(const vt_run *r, vt_activation_kind kind, const vt_tensor *like, const void *dy,
                           const void *x, void *dx);

#endif
