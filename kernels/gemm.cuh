/* gemm.cuh - matrix products through cuBLASLt, column-major as it has them: D = op(A) op(B) + beta D, then an epilogue.
 *
 * The algorithm of a shape is chosen once, by `prepare`, before anything is recorded: of cuBLASLt's candidates those
 * whose bits vary over repeated runs are out, the fastest of the others is taken. */
#ifndef VT_GEMM_CUH
#define VT_GEMM_CUH

#include "cuda.cuh"

enum { GEMM_WORKSPACE = 32 << 20 }; /* bytes; what cuBLAS advises for sm_90 */

typedef struct gemm_shape {
    int64_t m, n, k, lda, ldb, ldd;
    int ta, tb;            /* 1: the operand is transposed */
    int in, out;           /* vt_dtype of A and B, of D */
    int accumulate;        /* beta 1 */
    int epilogue;          /* cublasLtEpilogue_t: DEFAULT, BIAS (of D's rows, D's dtype), BGRADB (fp32, of D's columns) */
} gemm_shape;

/* Makes the choice for this shape; *found false where cuBLASLt has no algorithm for it. */
vt_status vt_gemm_prepare(vt_device *device, const gemm_shape *shape, bool *found);
/* bias: read (BIAS) or written (BGRADB); r->scratch is the workspace. False: no algorithm, nothing was queued. */
bool vt_gemm_run(const vt_run *r, const gemm_shape *shape, const void *a, const void *b, void *d, void *bias);
void vt_gemm_forget(vt_cuda *cuda);

#endif
