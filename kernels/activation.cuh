/* activation.cuh - activations of W values at once, fp32: of the op, and of linear's epilogues. The kind is the same
 * for the whole grid: one branch for W values. GELU is the one by erf; erff and tanhf are within 2 ulp. */
#ifndef VT_ACTIVATION_CUH
#define VT_ACTIVATION_CUH

#include <math.h>

#include "cuda.cuh"

VT_DEVICE float normal_cdf(float v)
{
    return 0.5f + 0.5f * erff(v * 0.70710678f);
}

VT_DEVICE float gelu_grad(float v)
{
    const float log2_e = 1.44269504f;
    return normal_cdf(v) + v * 0.39894228f * fast_exp2(v * v * (-0.5f * log2_e));
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
        for (int i = 0; i < W; i++) x.v[i] *= normal_cdf(x.v[i]);
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
