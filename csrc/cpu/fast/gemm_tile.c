#include "cpu/fast/gemm_tile.h"

enum { AHEAD = 16 };

/* Every shape of tile is its own function: with rows and vecs constant, `acc` lives in registers. */
VT_INLINE void multiply(const vt_tile *t, const int rows, const int vecs)
{
    vf acc[VT_TILE_ROWS][VT_TILE_VECS] = {{{0}}}, row[VT_TILE_VECS];
    const float *a[VT_TILE_ROWS];
    VT_UNROLL
    for (int i = 0; i < rows; i++) a[i] = t->a + i * t->a_row;
    const float *b = t->b;
    const ptrdiff_t a_col = t->a_col, b_row = t->b_row, end = t->k * a_col;
    for (ptrdiff_t at = 0; at != end; at += a_col, b += b_row) {
        __builtin_prefetch(a[rows - 1] + at + AHEAD * a_col); /* where A's columns are contiguous nobody else does */
        VT_UNROLL
        for (int j = 0; j < vecs; j++) row[j] = vf_load(b + j * VT_LANES);
        VT_UNROLL
        for (int i = 0; i < rows; i++) {
            vf x = vf_set(a[i][at]);
            VT_UNROLL
            for (int j = 0; j < vecs; j++) acc[i][j] += x * row[j];
        }
    }
    if (t->part) {
        VT_UNROLL
        for (int i = 0; i < rows; i++)
            VT_UNROLL
            for (int j = 0; j < vecs; j++) acc[i][j] += vf_load(t->part + i * t->part_row + j * VT_LANES);
    }
    if (t->bias) {
        VT_UNROLL
        for (int j = 0; j < vecs - 1; j++) row[j] = vf_load(t->bias + j * VT_LANES);
        row[vecs - 1] = vf_load_n(t->bias + (vecs - 1) * VT_LANES, t->last);
        VT_UNROLL
        for (int i = 0; i < rows; i++)
            VT_UNROLL
            for (int j = 0; j < vecs; j++) acc[i][j] += row[j];
    }
    float *edge = t->c + (vecs - 1) * VT_LANES;
    if (t->accumulate) {
        VT_UNROLL
        for (int i = 0; i < rows; i++) {
            VT_UNROLL
            for (int j = 0; j < vecs - 1; j++) acc[i][j] += vf_load(t->c + i * t->ldc + j * VT_LANES);
            acc[i][vecs - 1] += vf_load_n(edge + i * t->ldc, t->last);
        }
    }
    VT_UNROLL
    for (int i = 0; i < rows; i++) {
        VT_UNROLL
        for (int j = 0; j < vecs - 1; j++) vf_store(t->c + i * t->ldc + j * VT_LANES, acc[i][j]);
        if (t->last == VT_LANES) vf_store(edge + i * t->ldc, acc[i][vecs - 1]);
        else vf_store_n(edge + i * t->ldc, acc[i][vecs - 1], t->last);
    }
}

#define TILE(rows, vecs)                                     \
    static void tile_##rows##_##vecs(const vt_tile *t)       \
    {                                                        \
        multiply(t, rows, vecs);                             \
    }

#if defined(VT_ISA_AVX512)
#define TILES(rows) TILE(rows, 1) TILE(rows, 2) TILE(rows, 3)
#define NAMES(rows) {tile_##rows##_1, tile_##rows##_2, tile_##rows##_3}
TILES(7)
TILES(8)
#else
#define TILES(rows) TILE(rows, 1) TILE(rows, 2)
#define NAMES(rows) {tile_##rows##_1, tile_##rows##_2}
#endif
TILES(1)
TILES(2)
TILES(3)
TILES(4)
TILES(5)
TILES(6)

void (*const vt_gemm_tiles[VT_TILE_ROWS][VT_TILE_VECS])(const vt_tile *t) = {
    NAMES(1), NAMES(2), NAMES(3), NAMES(4), NAMES(5), NAMES(6),
#if defined(VT_ISA_AVX512)
    NAMES(7), NAMES(8),
#endif
};
