/* attention as a chain of products on the CPU, for `vitc bench attention`: S = Q K^T, softmax, P V for one head after
 * the other, each on all threads, P kept for the backward pass. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "cpu/gemm.h"
#include "ops/ops.h"
#include "ops/rivals.h"

typedef struct chain {
    const vt_gemm_path *gemm;
    int n, d, heads;
    int64_t batch;
    float scale;
    size_t gemm_bytes, p_bytes; /* scratch: of the products, then P [B, H, N, N], then dS [N, N] */
} chain;

static const vt_gemm_path *path_of(const char *name)
{
    static const struct { const char *name; const vt_gemm_path *gemm; } paths[] = {
#ifdef VT_HAS_AVX512
        {"avx512", &vt_gemm_path_avx512},
#endif
#ifdef VT_HAS_AVX2
        {"avx2", &vt_gemm_path_avx2},
#endif
#ifdef VT_HAS_PLAIN
        {"plain", &vt_gemm_path_plain},
#endif
        {NULL, NULL}};
    int i = 0;
    while (paths[i].name && strcmp(paths[i].name, name) != 0) i++;
    return paths[i].gemm;
}

/* Rows of [.., parts, H, D] lie parts * H * D apart. */
static ptrdiff_t stride(const chain *c, int parts)
{
    return (ptrdiff_t)parts * c->heads * c->d;
}

/* The chain's kinds of products: [N, N] from two [N, D], and [N, D] from [N, N], as it is or transposed. */
static vt_gemm scores(const chain *c, const float *a, ptrdiff_t a_row, const float *b, ptrdiff_t b_row, float *s)
{
    return (vt_gemm){.m = c->n, .n = c->n, .k = c->d, .a = a, .a_row = a_row, .a_col = 1, .b = b, .b_row = 1,
                     .b_col = b_row, .c = s, .ldc = c->n};
}

static vt_gemm mix(const chain *c, const float *s, bool transposed, const float *x, ptrdiff_t x_row, float *y,
                   ptrdiff_t y_row)
{
    return (vt_gemm){.m = c->n, .n = c->d, .k = c->n, .a = s, .a_row = transposed ? 1 : c->n,
                     .a_col = transposed ? c->n : 1, .b = x, .b_row = x_row, .b_col = 1, .c = y, .ldc = y_row};
}

static vt_status chain_open(vt_device *d, const vt_node *const nodes[VT_ATTENTION_PASSES], void **state)
{
    const vt_attention_attrs *a = nodes[VT_ATTENTION_FORWARD]->attrs;
    const vt_tensor *qkv = nodes[VT_ATTENTION_FORWARD]->in[0];
    const vt_gemm_path *gemm = path_of(d->path);
    if (!gemm) return vt_fail(VT_INVALID, "--cpu %s has no matrix product of its own; use auto", d->path);
    chain *c = vt_alloc(sizeof *c);
    if (!c) return vt_fail_memory("attention");
    *c = (chain){.gemm = gemm, .n = (int)qkv->shape[1], .d = (int)(qkv->shape[2] / (3 * a->heads)), .heads = a->heads,
                 .batch = qkv->shape[0], .scale = a->scale};
    vt_gemm kinds[] = {scores(c, NULL, stride(c, 3), NULL, stride(c, 3), NULL),
                       scores(c, NULL, stride(c, 1), NULL, stride(c, 3), NULL),
                       mix(c, NULL, false, NULL, stride(c, 3), NULL, stride(c, 1)),
                       mix(c, NULL, true, NULL, stride(c, 3), NULL, stride(c, 3))};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t bytes = (gemm->scratch(&kinds[i], d->threads) + VT_ALIGN - 1) / VT_ALIGN * VT_ALIGN;
        if (bytes > c->gemm_bytes) c->gemm_bytes = bytes;
    }
    c->p_bytes = (size_t)c->batch * (size_t)c->heads * (size_t)c->n * (size_t)c->n * sizeof(float);
    *state = c;
    return VT_OK;
}

static size_t chain_scratch(const void *state)
{
    const chain *c = state;
    return c->gemm_bytes + c->p_bytes + (size_t)c->n * (size_t)c->n * sizeof(float);
}

static void chain_close(vt_device *d, void *state)
{
    vt_free(state);
}

static void multiply(const chain *c, const vt_run *r, vt_gemm g)
{
    c->gemm->run(&g, r->pool, r->scratch);
}

typedef struct rows {
    const chain *c;
    float *s;       /* [N, N]: scores to probabilities; or dP to dS */
    const float *p; /* [N, N] */
} rows;

static void softmax_row(void *arg, int i, int worker)
{
    const rows *t = arg;
    int n = t->c->n;
    float *s = t->s + (ptrdiff_t)i * n, most = s[0], sum = 0;
    for (int j = 1; j < n; j++) most = s[j] > most ? s[j] : most;
    for (int j = 0; j < n; j++) sum += s[j] = expf((s[j] - most) * t->c->scale);
    for (int j = 0; j < n; j++) s[j] /= sum;
}

static void softmax_row_grad(void *arg, int i, int worker)
{
    const rows *t = arg;
    int n = t->c->n;
    const float *p = t->p + (ptrdiff_t)i * n;
    float *s = t->s + (ptrdiff_t)i * n, delta = 0;
    for (int j = 0; j < n; j++) delta += p[j] * s[j];
    for (int j = 0; j < n; j++) s[j] = t->c->scale * p[j] * (s[j] - delta);
}

/* Head bh of a tensor [B, N, parts, H, D]. */
static float *head(const chain *c, void *data, int parts, int64_t bh)
{
    return (float *)data + bh / c->heads * c->n * stride(c, parts) + bh % c->heads * c->d;
}

static float *probabilities(const chain *c, const vt_run *r, int64_t bh)
{
    return (float *)((char *)r->scratch + c->gemm_bytes) + bh * c->n * c->n;
}

static void chain_forward(const void *state, const vt_run *r)
{
    const chain *c = state;
    ptrdiff_t packed = stride(c, 3), width = stride(c, 1);
    for (int64_t bh = 0; bh < c->batch * c->heads; bh++) {
        const float *q = head(c, r->in[0], 3, bh), *k = q + width, *v = k + width;
        float *p = probabilities(c, r, bh);
        rows t = {c, p, NULL};
        multiply(c, r, scores(c, q, packed, k, packed, p));
        vt_pool_run(r->pool, c->n, softmax_row, &t);
        multiply(c, r, mix(c, p, false, v, packed, head(c, r->out[0], 1, bh), width));
    }
}

static void chain_backward(const void *state, const vt_run *r)
{
    const chain *c = state;
    ptrdiff_t packed = stride(c, 3), width = stride(c, 1);
    float *ds = probabilities(c, r, c->batch * c->heads);
    for (int64_t bh = 0; bh < c->batch * c->heads; bh++) {
        const float *q = head(c, r->in[1], 3, bh), *k = q + width, *v = k + width, *dout = head(c, r->in[0], 1, bh);
        float *dq = head(c, r->out[0], 3, bh), *p = probabilities(c, r, bh);
        rows t = {c, ds, p};
        multiply(c, r, mix(c, p, true, dout, width, dq + 2 * width, packed));
        multiply(c, r, scores(c, dout, width, v, packed, ds));
        vt_pool_run(r->pool, c->n, softmax_row_grad, &t);
        multiply(c, r, mix(c, ds, false, k, packed, dq, packed));
        multiply(c, r, mix(c, ds, true, q, packed, dq + width, packed));
    }
}

const vt_attention_rival vt_attention_unfused_cpu = {
    "unfused", "cpu", chain_open, chain_scratch, {chain_forward, chain_backward}, chain_close};
