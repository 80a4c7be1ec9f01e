/* cpu/fast/panels.h - small products within a task whose second factor is packed once and used several times. */
#ifndef VT_CPU_FAST_PANELS_H
#define VT_CPU_FAST_PANELS_H

#include "cpu/fast/gemm_tile.h"

/* B [k, n] as the tiles read it: panels of whole vectors, each with its k rows one after another. */
typedef struct vt_panels {
    float *data;
    int k, n;
} vt_panels;

static inline size_t vt_panels_floats(int k, int n)
{
    return (size_t)k * (size_t)vt_ceil_div(n, VT_LANES) * VT_LANES;
}

/* b[i, j] is b[i * row + j * col]; one of row and col is 1. Lanes beyond the last column are copies of numbers in b,
 * or 0. */
#define vt_panels_pack VT_ISA_NAME(vt_panels_pack)
void vt_panels_pack(const vt_panels *p, const float *b, ptrdiff_t row, ptrdiff_t col);

/* C [m, b->n] = or += A [m, k] times rows k0 .. k0+k-1 of B. */
typedef struct vt_product {
    int m, k, k0;
    const float *a;           /* a[i * a_row + j * a_col] */
    ptrdiff_t a_row, a_col;
    const vt_panels *b;
    float *c;
    ptrdiff_t ldc;
    int accumulate;
    int padded;               /* C's rows have room for whole vectors, and these are written */
} vt_product;
#define vt_product_run VT_ISA_NAME(vt_product_run)
void vt_product_run(const vt_product *p);

#endif
