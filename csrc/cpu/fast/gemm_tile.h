/* cpu/fast/gemm_tile.h - between gemm.c, which cuts, gemm_pack.c, which copies, and gemm_tile.c, which multiplies. */
#ifndef VT_CPU_FAST_GEMM_TILE_H
#define VT_CPU_FAST_GEMM_TILE_H

#include "cpu/fast/simd.h"
#include "cpu/gemm.h"

/* The largest tile: rows x vectors of accumulators, with room in the registers for a row of B and an element of A. */
#if defined(VT_ISA_AVX512)
enum { VT_TILE_ROWS = 8, VT_TILE_VECS = 3 };
#else
enum { VT_TILE_ROWS = 6, VT_TILE_VECS = 2 };
#endif
enum { VT_TILE_COLS = VT_TILE_VECS * VT_LANES, VT_TASK_TILES = 12 /* tile rows of a task, at most */ };

typedef struct vt_tile {
    const float *a;             /* any strides */
    ptrdiff_t a_row, a_col;
    const float *b;             /* whole vectors a row, b_row from one row to the next */
    ptrdiff_t b_row;
    int k;
    const float *part;          /* the sum over earlier K-blocks, whole vectors a row, or NULL */
    ptrdiff_t part_row;
    const float *bias;          /* or NULL */
    int accumulate;
    int last;                   /* lanes of the last vector that C has */
    float *c;
    ptrdiff_t ldc;
} vt_tile;

/* [rows - 1][vectors - 1] */
#define vt_gemm_tiles VT_ISA_NAME(vt_gemm_tiles)
extern void (*const vt_gemm_tiles[VT_TILE_ROWS][VT_TILE_VECS])(const vt_tile *t);

/* Rows k0 .. k0+k-1 and columns col .. of B into whole vectors, `vecs` a row; lanes beyond the last one are junk. */
#define vt_gemm_pack_b VT_ISA_NAME(vt_gemm_pack_b)
void vt_gemm_pack_b(const vt_gemm *g, int k0, int k, int col, int vecs, float *to);

/* For A with contiguous columns (a_row 1).
 * pack: columns k0 .. k0+k-1 of tile rows tile0 .. tile1-1 of `tiles`; element (i, j) of a tile goes to
 * to[j * VT_TILE_ROWS + i], tiles VT_TILE_ROWS * k apart.
 * sum: sums[i] += the sum over these columns of row row0 + i; sums has room for whole vectors. */
#define vt_gemm_pack_a VT_ISA_NAME(vt_gemm_pack_a)
void vt_gemm_pack_a(const vt_gemm *g, int k0, int k, int tile0, int tile1, int tiles, float *to);
#define vt_gemm_sum_a VT_ISA_NAME(vt_gemm_sum_a)
void vt_gemm_sum_a(const vt_gemm *g, int k0, int k, int row0, int rows, float *sums);

/* Part `i` of `parts` even parts of n begins here. */
static inline int vt_cut(int n, int parts, int i)
{
    return (int)((int64_t)n * i / parts);
}

static inline int vt_ceil_div(int a, int b)
{
    return a / b + (a % b != 0);
}

#endif
