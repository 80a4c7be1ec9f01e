#include "cpu/fast/gemm_tile.h"

/* B's rows lie contiguous: copies. */
static void pack_rows(const float *b, ptrdiff_t b_row, int k, int cols, int vecs, float *to)
{
    int whole = cols < vecs * VT_LANES ? vecs - 1 : vecs;
    for (int i = 0; i < k; i++, b += b_row, to += vecs * VT_LANES) {
        for (int j = 0; j < whole; j++) vf_store(to + j * VT_LANES, vf_load(b + j * VT_LANES));
        if (whole < vecs) vf_store(to + whole * VT_LANES, vf_load_n(b + whole * VT_LANES, cols - whole * VT_LANES));
    }
}

/* B's columns lie contiguous: VT_LANES of them, `row` floats apart in `to`, are transposed. */
static void pack_columns(const float *const *cols, int k, ptrdiff_t row, float *to)
{
    int i = 0;
    for (; i + 4 <= k; i += 4, to += 4 * row) {
        vf v[4];
        vf_transpose(cols, i, v);
        for (int c = 0; c < 4; c++) vf_store(to + c * row, v[c]);
    }
    for (; i < k; i++, to += row)
        for (int c = 0; c < VT_LANES; c++) to[c] = cols[c][i];
}

void vt_gemm_pack_b(const vt_gemm *g, int k0, int k, int col, int vecs, float *to)
{
    const float *b = g->b + k0 * g->b_row + col * g->b_col;
    if (g->b_col == 1) {
        pack_rows(b, g->b_row, k, g->n - col, vecs, to);
        return;
    }
    for (int v = 0; v < vecs; v++, to += VT_LANES) {
        const float *cols[VT_LANES];
        int left = g->n - col - v * VT_LANES; /* beyond it the last column again: read, not used */
        for (int c = 0; c < VT_LANES; c++) cols[c] = b + (v * VT_LANES + (c < left ? c : left - 1)) * g->b_col;
        if (g->b_row == 1) {
            pack_columns(cols, k, vecs * VT_LANES, to);
            continue;
        }
        for (int i = 0; i < k; i++)
            for (int c = 0; c < VT_LANES; c++) to[i * vecs * VT_LANES + c] = cols[c][i * g->b_row];
    }
}

enum { AHEAD = 16 }; /* columns of A fetched ahead: they lie pages apart, which no hardware foresees */

void vt_gemm_pack_a(const vt_gemm *g, int k0, int k, int tile0, int tile1, int tiles, float *to)
{
    int rows[VT_TASK_TILES + 1], n = tile1 - tile0;
    for (int i = 0; i <= n; i++) rows[i] = vt_cut(g->m, tiles, tile0 + i);
    int whole = rows[n - 1] + VT_TILE_ROWS <= g->m ? n : n - 1;
    const float *a = g->a + k0 * g->a_col;
    for (int j = 0; j < k; j++, a += g->a_col, to += VT_TILE_ROWS) {
        float *at = to;
        for (int i = rows[0]; j + AHEAD < k && i < rows[n]; i += 16) __builtin_prefetch(a + AHEAD * g->a_col + i);
        for (int i = 0; i < whole; i++, at += (size_t)VT_TILE_ROWS * k) /* reading into the next tile is harmless */
            memcpy(at, a + rows[i], VT_TILE_ROWS * sizeof *at);
        if (whole < n) memcpy(at, a + rows[whole], (size_t)(g->m - rows[whole]) * sizeof *at);
    }
}

void vt_gemm_sum_a(const vt_gemm *g, int k0, int k, int row0, int rows, float *sums)
{
    const float *a = g->a + row0 + k0 * g->a_col;
    for (int i = 0; i < rows; i += VT_LANES, a += VT_LANES) {
        int n = rows - i < VT_LANES ? rows - i : VT_LANES, j = 0;
        vf s[8] = {{0}};
        for (; j + 8 <= k; j += 8) {
            VT_UNROLL
            for (int c = 0; c < 8; c++) s[c] += vf_load_n(a + (j + c) * g->a_col, n);
        }
        for (; j < k; j++) s[0] += vf_load_n(a + j * g->a_col, n);
        s[0] = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
        vf_store(sums + i, vf_load(sums + i) + s[0]);
    }
}
