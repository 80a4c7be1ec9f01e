/* attention_hopper.cu - a whole head in one block of one warpgroup, for sm_90a, bf16, head width 64, up to 208 tokens;
 * and which kernel makes the gradient.
 *
 * Bytes a head: (3 + 1) N * 64 * 2, 101 KB at N = 197; FLOPs: 4 N^2 * 64. Bound by memory: the blocks of an SM (three)
 * overlap each other's loads, products and stores, so none loops over heads.
 *
 * Tiles are [KEYS, 64], KEYS the least of 56, 72, 136, 200, 208 that holds N. Shared memory [Q][V][K], by query tile:
 * S = Q_i K^T; softmax in registers (a row is four threads'); P packed to bf16 as operand A; O = P V; O / sum through
 * Q_i's own rows to 16-byte stores. */
#include "attention_hopper.cuh"

template <int KEYS> constexpr size_t FORWARD_SMEM = smem_bytes<bf16>(3 * KEYS * TILE_WIDTH);

/* s becomes exp2(c * (s - its row's most)), 0 in columns from `tokens` on (past LOW); most, sum: of the two rows. */
template <int LOW, int R>
VT_DEVICE void softmax_rows(float (&s)[R], float c, int tokens, float (&most)[2], float (&sum)[2])
{
    const int columns = tokens - fragment_col();
    most[0] = most[1] = -INFINITY;
#pragma unroll
    for (int i = 0; i < R; i++) {
        if (i / 4 * 8 + 8 > LOW && i / 4 * 8 + i % 2 >= columns) s[i] = -INFINITY;
        most[i / 2 % 2] = fmaxf(most[i / 2 % 2], s[i]);
    }
    most[0] = quad_max(most[0]);
    most[1] = quad_max(most[1]);
    const float less[2] = {-c * most[0], -c * most[1]};
    sum[0] = sum[1] = 0;
#pragma unroll
    for (int i = 0; i < R; i++) {
        s[i] = fast_exp2(fmaf(s[i], c, less[i / 2 % 2]));
        sum[i / 2 % 2] += s[i];
    }
    sum[0] = quad_sum(sum[0]);
    sum[1] = quad_sum(sum[1]);
}

/* LOW < N <= KEYS tokens; one block a head. */
template <int KEYS, int LOW, int BLOCKS>
__global__ void __launch_bounds__(WARPGROUP, BLOCKS)
attention_hopper_forward_kernel(const bf16 *qkv,      // [B, N, 3, H, 64]
                                bf16 *out,            // [B, N, H, 64]
                                float *lse,           // [B, H, N]
                                int tokens, int heads, float scale)
{
    smem_cursor at = smem_open();
    bf16 *q = smem_take<bf16>(at, 3 * KEYS * TILE_WIDTH, TILE_ALIGN);
    bf16 *v = q + KEYS * TILE_WIDTH, *k = v + KEYS * TILE_WIDTH;
    const head_place p = place_of((int)blockIdx.x, tokens, heads);
    load_tile<KEYS>(q, qkv + p.qkv, tokens, p.stride);
    load_tile<KEYS>(k, qkv + p.qkv + p.width, tokens, p.stride);
    copy_commit();
    load_tile<KEYS>(v, qkv + p.qkv + 2 * p.width, tokens, p.stride);
    copy_commit();
    constexpr bool LATE_V = KEYS >= M_TILE; /* else the first query tile runs into it */
    tiles_arrive<LATE_V ? 1 : 0>();

    const uint64_t mq = tile_matrix(q), mk = tile_matrix(k), mv = tile_matrix(v);
#pragma unroll 1
    for (int first = 0; first < tokens; first += M_TILE) {
        float s[KEYS / 2], most[2], sum[2];
        wgmma_fence(s);
        begin_scores(s, tile_matrix_at(mq, first * ROW_BYTES), mk);
        wgmma_wait<0>(s);
        softmax_rows<LOW>(s, scale * LOG2E, tokens, most, sum);
        uint32_t pairs[PAIRS<KEYS>];
        pack_pairs(pairs, s);
        const int half = fragment_col() / 2, row = first + fragment_row() + half * 8;
        if (half < 2 && row < tokens)
            lse[p.lse + row] = (half ? most[1] : most[0]) * scale + logf(half ? sum[1] : sum[0]);
        if (LATE_V && first == 0) tiles_arrive<0>();
        float o[32];
        wgmma_fence(pairs, o);
        begin_product(o, pairs, mv);
        wgmma_wait<0>(o);
        block_sync(); /* all warps are done with Q_i, and with V where Q_i's last rows overlap it */
        store_rows(out + p.out, first, tokens, p.width, o, fast_rcp(sum[0]), fast_rcp(sum[1]), q + first * TILE_WIDTH);
    }
}

/* ---- launchers --------------------------------------------------------------------------------------------------- */

bool attention_hopper_stream_fits(const vt_cuda *cuda, const attention_problem *p)
{
    return cuda->arch == 90 && p->dim == DIM && p->scale > 0 && !p->bias && p->dropout == 0;
}

bool attention_hopper_fits(const vt_cuda *cuda, const attention_problem *p)
{
    return attention_hopper_stream_fits(cuda, p) && p->tokens <= PAIR_TOKENS;
}

void attention_hopper_forward(const vt_run *r, const attention_problem *p, const bf16 *qkv, bf16 *out, float *lse)
{
    const dim3 heads((unsigned)(p->batch * p->heads));
#define FORWARD(KEYS, LOW, BLOCKS)                                                                         \
    launch(r, attention_hopper_forward_kernel<KEYS, LOW, BLOCKS>, heads, dim3(WARPGROUP), FORWARD_SMEM<KEYS>, \
           qkv, out, lse, p->tokens, p->heads, p->scale)
    if (p->tokens <= 56) FORWARD(56, 0, 6);
    else if (p->tokens <= 72) FORWARD(72, 56, 5);
    else if (p->tokens <= 136) FORWARD(136, 72, 4);
    else if (p->tokens <= 200) FORWARD(200, 136, 3);
    else FORWARD(208, 200, 2);
#undef FORWARD
}

/* From how many tokens on B makes the gradient. No GPU has timed the two yet: B only takes what A cannot. */
enum { PAIR_FROM = SINGLE_TOKENS + 1 };

void attention_hopper_backward(const vt_run *r, const attention_problem *p, const bf16 *dout, const bf16 *qkv,
                               const bf16 *out, const float *lse, bf16 *dqkv)
{
    const char asked = vt_cuda_of(r)->attention_backward;
    const bool pair = p->tokens > SINGLE_TOKENS || (asked ? asked == 'b' : p->tokens >= PAIR_FROM);
    if (pair) attention_hopper_backward_pair(r, p, dout, qkv, out, lse, dqkv);
    else attention_hopper_backward_single(r, p, dout, qkv, lse, dqkv);
}
