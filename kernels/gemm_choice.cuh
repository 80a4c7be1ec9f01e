/* gemm_choice.cuh - what the gemm*.cu files share: the choices, and a call of cuBLASLt. */
#ifndef VT_GEMM_CHOICE_CUH
#define VT_GEMM_CHOICE_CUH

#include "gemm.cuh"

typedef struct gemm_choice {
    gemm_shape shape;
    int tf32;                  /* fp32 operands are rounded to it */
    bool found;                /* there is an algorithm */
    bool fused;                /* a kernel that activates as well is faster than the algorithm and the activation's */
    bool used;                 /* by a graph of this process: it was searched, or looked at by cuBLASLt */
    bool fresh;                /* not in the cache file yet */
    cublasLtMatmulAlgo_t algo;
} gemm_choice;

struct gemm_list {
    gemm_choice *items;
    int count, capacity;
};

gemm_choice *gemm_find(const gemm_list *list, const gemm_shape *shape, int tf32); /* NULL: none */
/* The choice for this shape, a new empty one where there is none; NULL: out of memory. */
gemm_choice *gemm_add(gemm_list *list, const gemm_shape *shape, int tf32);
void gemm_list_free(gemm_list *list);

static inline int gemm_tf32(const vt_cuda *c, const gemm_shape *s)
{
    return s->in == VT_F32 && c->tf32;
}

/* What cuBLASLt wants made and destroyed around each call. */
typedef struct gemm_call {
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a, b, d;
} gemm_call;

void gemm_call_open(gemm_call *call, const vt_cuda *c, const gemm_shape *s, void *bias);
void gemm_call_close(gemm_call *call);
cublasStatus_t gemm_queue(const vt_cuda *c, const gemm_call *call, const gemm_shape *s,
                          const cublasLtMatmulAlgo_t *algo, const gemm_operands *o, void *workspace);

/* gemm_hopper.cu: products with GELU or its gradient, whole. `fits` says for which shapes. */
bool gemm_hopper_fits(const vt_cuda *c, const gemm_shape *s);
cudaError_t gemm_hopper_queue(const vt_cuda *c, const gemm_shape *s, const gemm_operands *o);

/* gemm_search.cu: the fastest algorithm whose bits do not vary; whether this cuBLASLt on this device runs one that a
 * file or a checkpoint named, found out by running it: a capture must not be where its kernel is loaded. */
void gemm_search(vt_cuda *c, const gemm_shape *s, const vt_room *room, gemm_choice *choice);
bool gemm_accepts(vt_cuda *c, const gemm_choice *choice, const vt_room *room);

#endif
