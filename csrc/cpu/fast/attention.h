/* cpu/fast/attention.h - what attention and its gradient share: one head of one sample. */
#ifndef VT_CPU_FAST_ATTENTION_H
#define VT_CPU_FAST_ATTENTION_H

#include "cpu/cpu.h"
#include "cpu/fast/keep.h"
#include "cpu/fast/panels.h"
#include "cpu/fast/simd_math.h"
#include "ops/op.h"

typedef struct vt_head {
    const vt_attention_attrs *attrs;
    const float *q, *k, *v;      /* row i at i * stride */
    const float *bias;           /* [n, n] or NULL */
    ptrdiff_t stride;            /* 3*H*D */
    int n, d;
    int vecs, ld;                /* vectors of a row of scores, floats from one row to the next */
    int64_t b, h;                /* sample and head */
    uint32_t draw;               /* element of (0, 0), for dropout */
    vt_keep keep;
} vt_head;

/* Rows of scores lie an odd number of vectors apart: neighbours in a column then fall into different sets of the
 * cache. */
static inline int vt_scores_ld(int64_t n)
{
    return (vt_ceil_div((int)n, VT_LANES) | 1) * VT_LANES;
}

/* Head `bh` of B * H. qkv, bias, random: which inputs of the node these are (random: step, then slots). */
static inline vt_head vt_head_of(const vt_run *r, int qkv, int bias, int random, int64_t bh)
{
    const vt_attention_attrs *a = r->node->attrs;
    const vt_tensor *t = r->node->in[qkv], *bt = r->node->in[bias];
    int64_t n = t->shape[1], stride = t->shape[2], width = stride / 3, d = width / a->heads;
    int64_t b = bh / a->heads, h = bh % a->heads;
    const float *q = (const float *)r->in[qkv] + b * n * stride + h * d, *bias_data = r->in[bias];
    if (bt && bt->shape[0] > 1) bias_data += h * n * n;
    vt_head head = {.attrs = a, .q = q, .k = q + width, .v = q + 2 * width, .bias = bias_data, .stride = stride,
                    .n = (int)n, .d = (int)d, .vecs = vt_ceil_div((int)n, VT_LANES), .ld = vt_scores_ld(n),
                    .b = b, .h = h, .draw = (uint32_t)(h * n * n)};
    if (a->dropout > 0) {
        const int32_t *step = r->in[random], *slots = r->in[random + 1];
        head.keep = (vt_keep){a->key, (uint32_t)*step, (uint32_t)slots[b], a->dropout};
    }
    return head;
}

/* Rows of a head lie pages apart in memory, which the hardware does not foresee. */
static inline void vt_prefetch_rows(const float *p, ptrdiff_t stride, int rows, int cols)
{
    for (int i = 0; i < rows; i++, p += stride)
        for (int k = 0; k < cols; k += 16) __builtin_prefetch(p + k, 0, 2);
}

static inline void vt_prefetch_head(const vt_head *h)
{
    vt_prefetch_rows(h->k, h->stride, h->n, h->d);
    vt_prefetch_rows(h->v, h->stride, h->n, h->d);
    vt_prefetch_rows(h->q, h->stride, h->n, h->d);
}

/* Heads of a task: small ones go together, so that each can be fetched while the one before is worked on. */
static inline int vt_heads_together(int64_t heads, int n, int d)
{
    enum { TASKS = 64, PRODUCTS = 1 << 16 };
    int64_t each = (int64_t)n * n * d, most = each < PRODUCTS ? PRODUCTS / each : 1, even = heads / TASKS;
    return (int)(even < 1 ? 1 : even < most ? even : most);
}

/* q k^T of rows first .. first+rows-1, then scaled and biased where there is a bias: *scale is what is left to
 * multiply by. */
static inline void vt_head_scores(const vt_head *h, const vt_panels *keys, int first, int rows, float *scores,
                                  float *scale)
{
    vt_product p = {.m = rows, .k = h->d, .a = h->q + first * h->stride, .a_row = h->stride, .a_col = 1, .b = keys,
                    .c = scores, .ldc = h->ld, .padded = 1};
    vt_product_run(&p);
    *scale = h->bias ? 1 : h->attrs->scale;
    for (int i = 0; h->bias && i < rows; i++) {
        const float *bias = h->bias + (int64_t)(first + i) * h->n;
        float *s = scores + (ptrdiff_t)i * h->ld;
        for (int j = 0; j < h->n; j++) s[j] = s[j] * h->attrs->scale + bias[j];
    }
}

#endif
