/* gemm.cuh - matrix products through cuBLASLt, column-major as it has them: D = op(A) op(B) + beta D, then an epilogue.
 * An activation behind the product, or its derivative, which cuBLASLt has not, is the product's own epilogue where a
 * kernel of ours for both (gemm_hopper.cu) was the faster one, else the caller's.
 *
 * The algorithm of a shape is chosen once, by `prepare`, before anything is recorded. It is the one that the checkpoint
 * names from which a run goes on, else the one that a file in the cache folder names (gemm_cache.cu), else searched
 * (gemm_search.cu): of cuBLASLt's candidates those whose bits vary over repeated runs are out, the fastest of the
 * others is taken. */
#ifndef VT_GEMM_CUH
#define VT_GEMM_CUH

#include "cuda.cuh"

extern "C" {
#include "base/text.h"
}

enum { GEMM_WORKSPACE = 32 << 20 }; /* bytes; what cuBLAS advises for sm_90 */

typedef struct gemm_shape {
    int64_t m, n, k, lda, ldb, ldd;
    int ta, tb;            /* 1: the operand is transposed */
    int in, out;           /* vt_dtype of A and B, of D */
    int accumulate;        /* beta 1 */
    int epilogue;          /* cublasLtEpilogue_t: DEFAULT; BIAS, of D's rows, D's dtype; BGRADB, of D's columns, fp32 */
    int activation;        /* vt_activation_kind of f: D = f(product); VT_IDENTITY: none */
    int gradient;          /* 1: D = product f'(pre) */
    int64_t batch, step_a, step_b, step_d; /* 0, or so many products, each that many elements behind the last */
} gemm_shape;

typedef struct gemm_operands {
    const void *a, *b;
    void *d, *bias;        /* bias: read (BIAS) or written (BGRADB) */
    void *pre;             /* like D; of an activation: written, or NULL; of its gradient: read */
} gemm_operands;

/* Bytes of the room that a search of this shape wants; its scratch is GEMM_WORKSPACE. */
size_t vt_gemm_room(const gemm_shape *shape);
/* Makes the choice for this shape; *found false where cuBLASLt has no algorithm for it. */
vt_status vt_gemm_prepare(vt_device *device, const gemm_shape *shape, const vt_room *room, bool *found);
/* The product with its epilogue, without its activation; r->scratch is the workspace. False: no algorithm, nothing was
 * queued. */
bool vt_gemm_run(const vt_run *r, const gemm_shape *shape, const gemm_operands *operands);
/* All of it, in a kernel of ours. False: there is none, or it was slower; nothing was queued. */
bool vt_gemm_run_fused(const vt_run *r, const gemm_shape *shape, const gemm_operands *operands);

/* The choices as text, as vt_backend.choices and adopt have them. */
vt_status vt_gemm_choices(vt_device *device, vt_text *text);
vt_status vt_gemm_adopt(vt_device *device, const char *text);

void vt_gemm_open(vt_cuda *cuda, const char *device_name); /* reads the cache file */
void vt_gemm_save(vt_cuda *cuda);                          /* writes it, where there is anything new */
void vt_gemm_close(vt_cuda *cuda);

#endif
