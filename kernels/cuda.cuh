/* cuda.cuh - the CUDA backend's own state, and what the file of a kernel family is written with.
 *
 * kernels/NAME.cu holds the kernels of csrc/ops/NAME.c, then their launchers, then for each op of the family
 *     VT_CUDA_OP(NAME) = {body, scratch};
 * ops.def names every op, so a missing one fails at link time. A launcher cannot fail: the first error of a run is kept
 * with the op's name and told by the backend's `finish`. */
#ifndef VT_CUDA_CUH
#define VT_CUDA_CUH

#include <cublasLt.h>

#include "launch.cuh"
#include "types.cuh"

extern "C" {
#include "graph/backend.h"
#include "ops/ops.h"
}

typedef struct vt_cuda_op {
    vt_body body;
    size_t (*scratch)(const vt_device *device, const vt_node *n); /* bytes of r->scratch; NULL: none */
    /* Before the first run; NULL: none. */
    vt_status (*prepare)(vt_device *device, const vt_node *n, const vt_room *room);
    size_t (*room)(const vt_device *device, const vt_node *n);    /* bytes of room->memory that prepare wants */
} vt_cuda_op;

#define VT_CUDA_OP(op) extern "C" const vt_cuda_op vt_cuda_op_##op

enum { VT_GEMM_KEY = 200 };
typedef struct gemm_list gemm_list;

typedef struct vt_cuda {
    int ordinal, arch;               /* arch: 90 for compute capability 9.0 */
    int sms;                         /* multiprocessors: persistent kernels start a block for each */
    size_t smem_block;               /* most shared memory a block can have, bytes */
    char attention;                  /* attention's kernels that a user asked for (attention.cu); 0: any that fit */
    char attention_backward;         /* 'a' or 'b': attention_hopper's gradient that a user asked for; 0: either */
    char gemm_activation;            /* 'f' or 'a', fused or apart: what a user asked for; 0: the faster one */
    cudaStream_t stream, copies;     /* kernels; uploads of step inputs */
    cudaEvent_t copied, used[VT_RING]; /* the last uploads are there; the last run of a slot is done */
    cublasLtHandle_t blas;
    bool tf32;                       /* of fp32 GEMMs */
    gemm_list *gemms;                /* gemm.cu: the algorithm of each shape known so far */
    int gemms_refused;               /* of those that were kept, by cuBLASLt, and not told yet */
    char gemm_key[VT_GEMM_KEY];      /* the device and library that they are good for */
    vt_status status;                /* of the first failure since `finish` */
    char failure[256];
} vt_cuda;

static inline vt_cuda *vt_cuda_of(const vt_run *r)
{
    return (vt_cuda *)r->state;
}

static inline vt_cuda *vt_cuda_of(const vt_device *d)
{
    return (vt_cuda *)d->state;
}

/* Keeps the run's first failure: `call` is the function that failed, the op comes from the run. */
extern "C" void vt_cuda_fail(const vt_run *r, const char *call, const char *reason);

static inline void vt_cuda_check(const vt_run *r, cudaError_t err, const char *call)
{
    if (err != cudaSuccess) vt_cuda_fail(r, call, cudaGetErrorString(err));
}

/* Starts a kernel for this node on the backend's stream. */
template <typename... P, typename... A>
static inline void launch(const vt_run *r, void (*kernel)(P...), dim3 grid, dim3 block, size_t smem, A... args)
{
    vt_cuda_check(r, vt_launch(kernel, grid, block, smem, vt_cuda_of(r)->stream, args...), "kernel launch");
}

template <typename T> static inline const T *in(const vt_run *r, int i) { return (const T *)r->in[i]; }
template <typename T> static inline T *out(const vt_run *r, int i) { return (T *)r->out[i]; }

static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* f.operator()<T>() with T the element type of t: bf16 or float. */
#define VT_DISPATCH(t, call)                                                     \
    do {                                                                         \
        if ((t)->dtype == VT_BF16) { typedef bf16 T; call; }                     \
        else { typedef float T; call; }                                          \
    } while (0)

#endif
