/* attention.cuh - what the attention kernels share: the problem, and which kernel takes it.
 *
 * qkv is packed [B, N, 3, H, D] and read in place; out and its gradient are [B, N, H, D]; lse [B, H, N] fp32. */
#ifndef VT_ATTENTION_CUH
#define VT_ATTENTION_CUH

#include "base/philox.h"
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

/* One head of one sample, as a kernel sees it. */
typedef struct attention_head {
    const float *bias;               /* [N, N] or NULL */
    uint32_t step, slot, first;      /* of the draws; first: element (0, 0) */
} attention_head;

VT_DEVICE attention_head head_of(const attention_problem &p, int b, int h)
{
    attention_head head = {p.bias, 0, 0, (uint32_t)h * (uint32_t)p.tokens * (uint32_t)p.tokens};
    if (p.bias && p.bias_heads > 1) head.bias += (int64_t)h * p.tokens * p.tokens;
    if (p.dropout > 0) {
        head.step = (uint32_t)p.step[0];
        head.slot = (uint32_t)p.slots[b];
    }
    return head;
}

/* Whether dropout keeps probability (i, j): vt_graph_uniform, without its indexed array, which would live in memory. */
VT_DEVICE bool is_kept(const attention_problem &p, const attention_head &head, int i, int j)
{
    uint32_t e = head.first + (uint32_t)i * (uint32_t)p.tokens + (uint32_t)j;
    vt_philox drawn = vt_philox_4x32(p.key, e / 4, head.slot, head.step, 0xFFFFFFFFu);
    uint32_t low = e & 1 ? drawn.v[1] : drawn.v[0], high = e & 1 ? drawn.v[3] : drawn.v[2];
    return vt_uniform(e & 2 ? high : low) >= p.dropout;
}

/* Where head h of sample b begins in a tensor with `parts` [H, D] a token: 3 for qkv (k is H * D further, then v). */
VT_DEVICE int64_t head_offset(const attention_problem &p, int b, int h, int parts)
{
    return ((int64_t)b * p.tokens * parts * p.heads + h) * p.dim;
}

/* attention_mma.cu, attention_mma_grad.cu: sm_80 and later, bf16, D up to 128 of which 8 is a divisor.
 * delta [B, H, N]: dout . out of each row. */
bool attention_mma_fits(const attention_problem *p);
void attention_mma_forward(const vt_run *r, const attention_problem *p, const bf16 *qkv, bf16 *out, float *lse);
void attention_mma_backward(const vt_run *r, const attention_problem *p, const bf16 *dout, const bf16 *qkv,
                            const float *lse, const float *delta, bf16 *dqkv);

/* attention_plain.cu: any shape, T bf16 or float. dbias [bias_heads, N, N] is every path's. */
template <typename T>
void attention_plain_forward(const vt_run *r, const attention_problem *p, const T *qkv, T *out, float *lse);
template <typename T>
void attention_plain_backward(const vt_run *r, const attention_problem *p, const T *dout, const T *qkv,
                              const float *lse, const float *delta, T *dqkv);
template <typename T>
void attention_plain_dbias(const vt_run *r, const attention_problem *p, const T *dout, const T *qkv, const float *lse,
                           const float *delta, float *dbias);

/* attention_hopper*.cu: sm_90a, bf16, a whole head in one block. `fits` says for which problems, here and below. */
bool attention_hopper_fits(const vt_cuda *cuda, const attention_problem *p);
void attention_hopper_forward(const vt_run *r, const attention_problem *p, const bf16 *qkv, bf16 *out, float *lse);
void attention_hopper_backward(const vt_run *r, const attention_problem *p, const bf16 *dout, const bf16 *qkv,
                               const bf16 *out, const float *lse, bf16 *dqkv);

/* attention_hopper_stream*.cu: the same with any number of tokens. */
bool attention_hopper_stream_fits(const vt_cuda *cuda, const attention_problem *p);
void attention_hopper_forward_stream(const vt_run *r, const attention_problem *p, const bf16 *qkv, bf16 *out,
                                     float *lse);
void attention_hopper_backward_stream(const vt_run *r, const attention_problem *p, const bf16 *dout, const bf16 *qkv,
                                      const bf16 *out, const float *lse, float *delta, bf16 *dqkv); /* makes delta */

#endif
