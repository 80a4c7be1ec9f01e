/* base/normal.h - normally distributed numbers from Philox blocks, on the host and in kernels (common subset of C and
 * C++).
 *
 * Box and Muller (1958): two words of a block give u = (word0 / 256 + 1) / 2^24 in (0, 1] and a turn v = word1 / 256 /
 * 2^24 in [0, 1), these sqrt(-2 ln u) times cos(2 pi v) and sin(2 pi v): N(0, 1) within +-5.77. ln, cos and sin are
 * polynomials (Chebyshev interpolation; 1e-7 of the result, and the rounding) without branches, so that a loop over
 * blocks becomes vector code and every backend draws the same but for the last bits, which contraction may change. */
#ifndef VT_BASE_NORMAL_H
#define VT_BASE_NORMAL_H

#include <math.h>

#include "base/philox.h"

/* ln u, u a positive normal number: u = m 2^k with m in [sqrt(1/2), sqrt(2)), f = m - 1. */
VT_HD float vt_normal_log(float u)
{
    union { float f; int32_t bits; } m;
    m.f = u;
    int32_t k = (m.bits - 0x3F3504F3) >> 23;
    m.bits -= k * (1 << 23);
    float f = m.f - 1, p = -0.0790274367f;
    p = p * f + 0.126223192f;
    p = p * f - 0.129981831f;
    p = p * f + 0.142144963f;
    p = p * f - 0.166412815f;
    p = p * f + 0.200010449f;
    p = p * f - 0.25000307f;
    p = p * f + 0.333333313f;
    return f * f * (f * p - 0.5f) + f + (float)k * 0.693147182f;
}

/* Two numbers from two words. */
VT_HD void vt_normal_pair(uint32_t word0, uint32_t word1, float *a, float *b)
{
    float radius = sqrtf(-2 * vt_normal_log(((float)(word0 >> 8) + 1) * (1.0f / 16777216.0f)));
    float quarters = (float)(word1 >> 8) * (4.0f / 16777216.0f);
    int32_t q = (int32_t)(quarters + 0.5f); /* the nearest; 0 .. 4 */
    float x = quarters - (float)q, z = x * x;
    float s = x * (((-0.00460214913f * z + 0.0796802193f) * z - 0.64596349f) * z + 1.57079637f);
    float c = (((0.000903628068f * z - 0.0208600704f) * z + 0.253669202f) * z - 1.23370051f) * z + 1;
    float cosine = q & 1 ? s : c, sine = q & 1 ? c : s;
    *a = radius * ((q + 1) & 2 ? -cosine : cosine);
    *b = radius * (q & 2 ? -sine : sine);
}

/* Four numbers from a block. */
VT_HD void vt_normals(vt_philox block, float out[4])
{
    vt_normal_pair(block.v[0], block.v[1], &out[0], &out[1]);
    vt_normal_pair(block.v[2], block.v[3], &out[2], &out[3]);
}

/* The graph's draw for element `e` alone, as vt_graph_uniform. */
VT_HD float vt_graph_normal(uint64_t key, uint32_t step, uint32_t slot, uint32_t e)
{
    vt_philox block = vt_graph_draw(key, step, slot, e / 4);
    float a, b;
    vt_normal_pair(e & 2 ? block.v[2] : block.v[0], e & 2 ? block.v[3] : block.v[1], &a, &b);
    return e & 1 ? b : a;
}

#endif
