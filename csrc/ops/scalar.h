/* ops/scalar.h - the small functions that several reference bodies share, over vt_real. */
#ifndef VT_OPS_SCALAR_H
#define VT_OPS_SCALAR_H

#include "ops/op.h"

/* Phi(v), of the standard normal distribution. */
static inline double vt_normal_cdf(double v)
{
    return 0.5 * (1.0 + erf(v * 0.70710678118654752440));
}

static inline vt_real vt_activate(vt_activation_kind kind, vt_real v)
{
    switch (kind) {
    case VT_GELU: return (vt_real)(v * vt_normal_cdf(v));
    case VT_RELU: return v < 0 ? 0 : v; /* NaN stays */
    case VT_TANH: return (vt_real)tanh(v);
    default: return v;
    }
}

static inline vt_real vt_activate_grad(vt_activation_kind kind, vt_real v)
{
    switch (kind) {
    case VT_GELU: return (vt_real)(vt_normal_cdf(v) + v * 0.39894228040143267794 * exp(-0.5 * v * v));
    case VT_RELU: return v > 0;
    case VT_TANH: return (vt_real)(1.0 - tanh(v) * tanh(v));
    default: return 1;
    }
}

/* log sum_k exp(scale * x[k]) */
static inline double vt_log_sum_exp(const vt_real *x, int64_t n, double scale)
{
    double most = scale * x[0], sum = 0;
    for (int64_t k = 1; k < n; k++)
        if (scale * x[k] > most) most = scale * x[k];
    for (int64_t k = 0; k < n; k++) sum += exp(scale * x[k] - most);
    return most + log(sum);
}

#endif
