#include "cpu/fast/panels.h"

void vt_panels_pack(const vt_panels *p, const float *b, ptrdiff_t row, ptrdiff_t col)
{
    vt_gemm g = {.n = p->n, .k = p->k, .b = b, .b_row = row, .b_col = col};
    int all = vt_ceil_div(p->n, VT_LANES), panels = vt_ceil_div(all, VT_TILE_VECS);
    for (int i = 0; i < panels; i++) {
        int vec = vt_cut(all, panels, i), vecs = vt_cut(all, panels, i + 1) - vec;
        vt_gemm_pack_b(&g, 0, p->k, vec * VT_LANES, vecs, p->data + (size_t)p->k * vec * VT_LANES);
    }
}

void vt_product_run(const vt_product *p)
{
    int tiles = vt_ceil_div(p->m, VT_TILE_ROWS), n = p->b->n, all = vt_ceil_div(n, VT_LANES);
    int panels = vt_ceil_div(all, VT_TILE_VECS);
    vt_tile t = {.a_row = p->a_row, .a_col = p->a_col, .k = p->k, .accumulate = p->accumulate, .ldc = p->ldc};
    for (int i = 0; i < panels; i++) {
        int vec = vt_cut(all, panels, i), vecs = vt_cut(all, panels, i + 1) - vec, left = n - vec * VT_LANES;
        t.b = p->b->data + ((size_t)p->b->k * vec + (size_t)p->k0 * vecs) * VT_LANES;
        t.b_row = vecs * VT_LANES;
        t.last = p->padded || left >= vecs * VT_LANES ? VT_LANES : left - (vecs - 1) * VT_LANES;
        for (int tile = 0; tile < tiles; tile++) {
            int row = vt_cut(p->m, tiles, tile), rows = vt_cut(p->m, tiles, tile + 1) - row;
            t.a = p->a + row * p->a_row;
            t.c = p->c + row * p->ldc + vec * VT_LANES;
            vt_gemm_tiles[rows - 1][vecs - 1](&t);
        }
    }
}
