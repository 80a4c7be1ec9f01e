/* cpu/fast/activate.h - activations over rows: of the op itself, and in the epilogues of linear. */
#ifndef VT_CPU_FAST_ACTIVATE_H
#define VT_CPU_FAST_ACTIVATE_H

#include "cpu/fast/simd_math.h"
#include "ops/ops.h"

VT_INLINE vf vf_activate(vt_activation_kind kind, vf x)
{
    switch (kind) {
    case VT_GELU: return vf_gelu(x);
    case VT_RELU: return vf_select(x < 0.0f, vf_set(0), x); /* NaN stays */
    case VT_TANH: return vf_tanh(x);
    default: return x;
    }
}

VT_INLINE vf vf_activate_grad(vt_activation_kind kind, vf x)
{
    switch (kind) {
    case VT_GELU: return vf_gelu_grad(x);
    case VT_RELU: return vf_select(x > 0.0f, vf_set(1), vf_set(0));
    case VT_TANH: {
        vf y = vf_tanh(x);
        return 1.0f - y * y;
    }
    default: return vf_set(1);
    }
}

/* y = f(x) over n elements; y may be x. x is copied to `copy` where that is not NULL. */
VT_INLINE void vt_activate_as(vt_activation_kind kind, float *y, const float *x, float *copy, int64_t n)
{
    int64_t i = 0;
    for (; i + VT_LANES <= n; i += VT_LANES) {
        vf v = vf_load(x + i);
        if (copy) vf_store(copy + i, v);
        vf_store(y + i, vf_activate(kind, v));
    }
    if (i == n) return;
    int left = (int)(n - i);
    vf v = vf_load_n(x + i, left);
    if (copy) vf_store_n(copy + i, v, left);
    vf_store_n(y + i, vf_activate(kind, v), left);
}

/* dx = dy * f'(x); dx may be dy. */
VT_INLINE void vt_activate_grad_as(vt_activation_kind kind, float *dx, const float *dy, const float *x, int64_t n)
{
    int64_t i = 0;
    for (; i + VT_LANES <= n; i += VT_LANES) vf_store(dx + i, vf_load(dy + i) * vf_activate_grad(kind, vf_load(x + i)));
    if (i == n) return;
    int left = (int)(n - i);
    vf_store_n(dx + i, vf_load_n(dy + i, left) * vf_activate_grad(kind, vf_load_n(x + i, left)), left);
}

/* One loop a kind. */
#define VT_FOR_KIND(kind, call)                         \
    switch (kind) {                                     \
    case VT_GELU: call(VT_GELU); break;                 \
    case VT_RELU: call(VT_RELU); break;                 \
    case VT_TANH: call(VT_TANH); break;                 \
    default: call(VT_IDENTITY); break;                  \
    }

#endif
