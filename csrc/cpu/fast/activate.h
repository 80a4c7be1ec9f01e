/* cpu/fast/activate.h - activations over rows: of the op itself, and in the epilogues of linear. */
#ifndef VT_CPU_FAST_ACTIVATE_H
#define VT_CPU_FAST_ACTIVATE_H

#include "cpu/fast/simd_math.h"
#include "ops/ops.h"

enum { VT_ABREAST = 8 }; /* vectors worked on side by side, at most */

/* f of `many` vectors, in place. */
VT_INLINE void vf_activate(vt_activation_kind kind, vf *x, int many)
{
    if (kind == VT_GELU) vf_gelus(x, many);
    VT_UNROLL
    for (int j = 0; j < many; j++) {
        if (kind == VT_RELU) x[j] = vf_select(x[j] < 0.0f, vf_set(0), x[j]); /* NaN stays */
        if (kind == VT_TANH) x[j] = vf_tanh(x[j]);
    }
}

/* f' likewise. */
VT_INLINE void vf_activate_grad(vt_activation_kind kind, vf *x, int many)
{
    if (kind == VT_GELU) vf_gelu_grads(x, many);
    VT_UNROLL
    for (int j = 0; j < many; j++) {
        if (kind == VT_IDENTITY) x[j] = vf_set(1);
        if (kind == VT_RELU) x[j] = vf_select(x[j] > 0.0f, vf_set(1), vf_set(0));
        if (kind == VT_TANH) {
            vf y = vf_tanh(x[j]);
            x[j] = 1.0f - y * y;
        }
    }
}

/* y = f(x) over `rows` times `vecs` vectors, both constant; y may be x, of the same distance `ld` between rows. x is
 * copied to `copy` where that is not NULL. */
VT_INLINE void vt_activate_block(vt_activation_kind kind, int rows, int vecs, float *y, const float *x, ptrdiff_t ld,
                                 float *copy, ptrdiff_t copy_ld)
{
    vf v[VT_ABREAST];
    VT_UNROLL
    for (int j = 0; j < rows * vecs; j++) v[j] = vf_load(x + j / vecs * ld + j % vecs * VT_LANES);
    if (copy) {
        VT_UNROLL
        for (int j = 0; j < rows * vecs; j++) vf_store(copy + j / vecs * copy_ld + j % vecs * VT_LANES, v[j]);
    }
    vf_activate(kind, v, rows * vecs);
    VT_UNROLL
    for (int j = 0; j < rows * vecs; j++) vf_store(y + j / vecs * ld + j % vecs * VT_LANES, v[j]);
}

/* dx = dy * f'(x) likewise; dx may be dy. */
VT_INLINE void vt_activate_grad_block(vt_activation_kind kind, int rows, int vecs, float *dx, const float *dy,
                                      ptrdiff_t ld, const float *x, ptrdiff_t x_ld)
{
    vf v[VT_ABREAST];
    VT_UNROLL
    for (int j = 0; j < rows * vecs; j++) v[j] = vf_load(x + j / vecs * x_ld + j % vecs * VT_LANES);
    vf_activate_grad(kind, v, rows * vecs);
    VT_UNROLL
    for (int j = 0; j < rows * vecs; j++) {
        ptrdiff_t at = j / vecs * ld + j % vecs * VT_LANES;
        vf_store(dx + at, vf_load(dy + at) * v[j]);
    }
}

/* The same over n elements. */
VT_INLINE void vt_activate_as(vt_activation_kind kind, float *y, const float *x, float *copy, int64_t n)
{
    int64_t i = 0;
    for (; i + 4 * VT_LANES <= n; i += 4 * VT_LANES)
        vt_activate_block(kind, 1, 4, y + i, x + i, 0, copy ? copy + i : NULL, 0);
    for (; i + VT_LANES <= n; i += VT_LANES)
        vt_activate_block(kind, 1, 1, y + i, x + i, 0, copy ? copy + i : NULL, 0);
    if (i == n) return;
    int left = (int)(n - i);
    vf v = vf_load_n(x + i, left);
    if (copy) vf_store_n(copy + i, v, left);
    vf_activate(kind, &v, 1);
    vf_store_n(y + i, v, left);
}

VT_INLINE void vt_activate_grad_as(vt_activation_kind kind, float *dx, const float *dy, const float *x, int64_t n)
{
    int64_t i = 0;
    for (; i + 4 * VT_LANES <= n; i += 4 * VT_LANES) vt_activate_grad_block(kind, 1, 4, dx + i, dy + i, 0, x + i, 0);
    for (; i + VT_LANES <= n; i += VT_LANES) vt_activate_grad_block(kind, 1, 1, dx + i, dy + i, 0, x + i, 0);
    if (i == n) return;
    int left = (int)(n - i);
    vf v = vf_load_n(x + i, left);
    vf_activate_grad(kind, &v, 1);
    vf_store_n(dx + i, vf_load_n(dy + i, left) * v, left);
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
