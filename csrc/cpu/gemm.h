/* cpu/gemm.h - C = A B in fp32, with what is done to C while it is hot.
 *
 * Tiles, K-blocks and tasks follow from the shape alone, so the bits do not depend on the number of threads. Every
 * instruction set has its own copy; inside csrc/cpu/fast the names below mean the copy of the including file. */
#ifndef VT_CPU_GEMM_H
#define VT_CPU_GEMM_H

#include <stddef.h>

#include "base/alloc.h"
#include "base/pool.h"

/* Called for each finished tile of C, once, by the worker that made it: rows row0 .. row0+rows-1, columns col0 ..
 * col0+cols-1; c points to its first element. Tiles are cut anywhere; `cols` is a multiple of the vector length but at
 * the right edge of C. */
typedef void (*vt_gemm_hook)(void *arg, int row0, int col0, int rows, int cols, float *c, ptrdiff_t ldc);

typedef struct vt_gemm {
    int m, n, k;                /* C [m, n], A [m, k], B [k, n]; m or n 0: nothing is done; k 0: A B is 0 */
    const float *a, *b;         /* A[i, j] is a[i * a_row + j * a_col]; any strides, fast where one of the two is 1 */
    ptrdiff_t a_row, a_col, b_row, b_col;
    float *c;                   /* C[i, j] is c[i * ldc + j] */
    ptrdiff_t ldc;
    int accumulate;             /* 0: C = A B + bias; 1: C = C + (A B + bias); likewise a_sum */
    const float *bias;          /* [n] or NULL */
    float *a_sum;               /* [m] or NULL: sum over j of A[i, j], where a_row is 1; for A = dy^T db */
    vt_gemm_hook hook;          /* or NULL */
    void *hook_arg;
} vt_gemm;

/* One copy. */
typedef struct vt_gemm_path {
    size_t (*scratch)(const vt_gemm *g, int threads);
    void (*run)(const vt_gemm *g, vt_pool *pool, void *scratch);
} vt_gemm_path;
extern const vt_gemm_path vt_gemm_path_plain, vt_gemm_path_avx2, vt_gemm_path_avx512;

#ifdef VT_ISA
#include "cpu/cpu.h"
#define vt_gemm_scratch VT_ISA_NAME(vt_gemm_scratch)
#define vt_gemm_run VT_ISA_NAME(vt_gemm_run)

/* Bytes of scratch, VT_ALIGN-aligned, for vt_gemm_run on a pool of that many threads; m, n, k and the strides count. */
size_t vt_gemm_scratch(const vt_gemm *g, int threads);
void vt_gemm_run(const vt_gemm *g, vt_pool *pool, void *scratch);
#endif

#endif
