/* attention.cuh - what the attention kernels share: the problem, and which kernel takes it.
 *
 * qkv is packed [B, N, 3, H, D] and read in place; out and its gradient are [B, N, H, D]; lse [B, H, N] fp32. */
#ifndef VT_ATTENTION_CUH
#define VT_ATTENTION_CUH

#include "cuda.cuh"

typedef struct attention_problem {
    int batch, tokens, heads, dim;   /* B, N, H, D */
    float scale;                     /* of q k^T */
    const float *bias;               /* [bias_heads, N, N] or NULL; bias_heads 1 or H */
    int bias_heads;
    float dropout;                   /* of the probabilities; element (h * N + i) * N + j of a sample's slot is drawn */
    uint64_t key;
    const int32_t *step, *slots;     /* [1], [B] */
} attention_problem;

/* attention_hopper.cu: sm_90a, bf16, a whole head in one block. `fits` says for which problems; scratch in bytes. */
bool attention_hopper_fits(const vt_cuda *cuda, const attention_problem *p);
void attention_hopper_forward(const vt_run *r, const attention_problem *p, const bf16 *qkv, bf16 *out, float *lse);
void attention_hopper_backward(const vt_run *r, const attention_problem *p, const bf16 *dout, const bf16 *qkv,
                               const bf16 *out, const float *lse, bf16 *dqkv);

#endif
