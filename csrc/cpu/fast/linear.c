#include "cpu/fast/activate.h"
#include "cpu/fast/gemm_tile.h"
#include "ops/op.h"

/* ---- the shapes -------------------------------------------------------------------------------------------------- */

/* y [M, N] = x [M, K] w^T */
static vt_gemm linear_gemm(const vt_node *node)
{
    int m = (int)vt_rows(node->in[0]), k = (int)vt_cols(node->in[0]), n = (int)node->in[1]->shape[0];
    return (vt_gemm){.m = m, .n = n, .k = k, .a_row = k, .a_col = 1, .b_row = 1, .b_col = k, .ldc = n};
}

/* dx [M, K] = dy [M, N] w */
static vt_gemm dx_gemm(const vt_node *node)
{
    int m = (int)vt_rows(node->in[0]), n = (int)vt_cols(node->in[0]), k = (int)vt_cols(node->out[0]);
    return (vt_gemm){.m = m, .n = k, .k = n, .a_row = n, .a_col = 1, .b_row = k, .b_col = 1, .ldc = k};
}

/* dw [N, K] = dy^T x [M, K] */
static vt_gemm dw_gemm(const vt_node *node)
{
    int m = (int)vt_rows(node->in[0]), n = (int)vt_cols(node->in[0]), k = (int)vt_cols(node->in[1]);
    return (vt_gemm){.m = n, .n = k, .k = m, .a_row = 1, .a_col = n, .b_row = k, .b_col = 1, .ldc = k};
}

VT_FAST_SCRATCH(linear)
{
    vt_gemm g = linear_gemm(n);
    return vt_gemm_scratch(&g, threads);
}

VT_FAST_SCRATCH(linear_dx)
{
    vt_gemm g = dx_gemm(n);
    return vt_gemm_scratch(&g, threads);
}

VT_FAST_SCRATCH(linear_dw)
{
    vt_gemm g = dw_gemm(n);
    return vt_gemm_scratch(&g, threads);
}

/* ---- epilogues --------------------------------------------------------------------------------------------------- */

typedef struct epilogue {
    vt_activation_kind kind;
    float *pre;          /* linear: written, or NULL; linear_dx: read */
    ptrdiff_t row;       /* of pre */
    int rows;
} epilogue;

/* The next tile is most often the one below. Its rows lie apart, which the hardware does not foresee. */
VT_INLINE void prefetch_below(const epilogue *e, int row0, int col0, int rows, int cols)
{
    int end = row0 + 2 * rows < e->rows ? row0 + 2 * rows : e->rows;
    for (int i = row0 + rows; i < end; i++)
        for (int k = 0; k < cols; k += 16) __builtin_prefetch(e->pre + i * e->row + col0 + k);
}

/* A row of a tile is too short to hide the latency of the polynomials: two rows at a time, where they are whole. */
VT_INLINE void activate_rows(vt_activation_kind kind, int rows, int cols, float *c, ptrdiff_t ldc, float *pre,
                             ptrdiff_t pre_ld)
{
    int i = 0;
    for (; cols == VT_TILE_COLS && i + 2 <= rows; i += 2, c += 2 * ldc) {
        vt_activate_block(kind, 2, VT_TILE_VECS, c, c, ldc, pre, pre_ld);
        if (pre) pre += 2 * pre_ld;
    }
    for (; i < rows; i++, c += ldc) {
        vt_activate_as(kind, c, c, pre, cols);
        if (pre) pre += pre_ld;
    }
}

VT_INLINE void grad_rows(vt_activation_kind kind, int rows, int cols, float *c, ptrdiff_t ldc, const float *pre,
                         ptrdiff_t pre_ld)
{
    int i = 0;
    for (; cols == VT_TILE_COLS && i + 2 <= rows; i += 2, c += 2 * ldc, pre += 2 * pre_ld)
        vt_activate_grad_block(kind, 2, VT_TILE_VECS, c, c, ldc, pre, pre_ld);
    for (; i < rows; i++, c += ldc, pre += pre_ld) vt_activate_grad_as(kind, c, c, pre, cols);
}

static void activate_tile(void *arg, int row0, int col0, int rows, int cols, float *c, ptrdiff_t ldc)
{
    const epilogue *e = arg;
    if (e->pre) prefetch_below(e, row0, col0, rows, cols);
    float *pre = e->pre ? e->pre + row0 * e->row + col0 : NULL;
#define CALL(k) activate_rows(k, rows, cols, c, ldc, pre, e->row)
    VT_FOR_KIND(e->kind, CALL)
#undef CALL
}

static void grad_tile(void *arg, int row0, int col0, int rows, int cols, float *c, ptrdiff_t ldc)
{
    const epilogue *e = arg;
    prefetch_below(e, row0, col0, rows, cols);
    const float *pre = e->pre + row0 * e->row + col0;
#define CALL(k) grad_rows(k, rows, cols, c, ldc, pre, e->row)
    VT_FOR_KIND(e->kind, CALL)
#undef CALL
}

/* ---- the bodies -------------------------------------------------------------------------------------------------- */

VT_FAST_BODY(linear)
{
    vt_gemm g = linear_gemm(r->node);
    epilogue e = {((const vt_linear_attrs *)r->node->attrs)->activation, r->out[1], g.ldc, g.m};
    g.a = r->in[0];
    g.b = r->in[1];
    g.bias = r->in[2];
    g.c = r->out[0];
    if (e.kind != VT_IDENTITY || e.pre) {
        g.hook = activate_tile;
        g.hook_arg = &e;
    }
    vt_gemm_run(&g, r->pool, r->scratch);
}

VT_FAST_BODY(linear_dx)
{
    vt_gemm g = dx_gemm(r->node);
    epilogue e = {((const vt_linear_attrs *)r->node->attrs)->activation, r->in[2], g.ldc, g.m};
    g.a = r->in[0];
    g.b = r->in[1];
    g.c = r->out[0];
    if (e.pre) {
        g.hook = grad_tile;
        g.hook_arg = &e;
    }
    vt_gemm_run(&g, r->pool, r->scratch);
}

/* What the product is added to, in place of `to`. */
static void begin_sum(float *to, const float *from, const vt_tensor *t)
{
    if (!to) return;
    if (!from) memset(to, 0, vt_tensor_bytes(t));
    else if (from != to) memcpy(to, from, vt_tensor_bytes(t));
}

VT_FAST_BODY(linear_dw)
{
    vt_gemm g = dw_gemm(r->node);
    g.a = r->in[0];
    g.b = r->in[1];
    g.c = r->out[0];
    g.a_sum = r->out[1];
    g.accumulate = r->in[2] || r->in[3];
    for (int i = 0; g.accumulate && i < 2; i++) begin_sum(r->out[i], r->in[2 + i], r->node->out[i]);
    vt_gemm_run(&g, r->pool, r->scratch);
}
