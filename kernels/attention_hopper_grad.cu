/* attention_hopper_grad.cu - attention's gradient A: a whole head in one block of one warpgroup, up to 200 tokens.
 *
 * Bytes a head: (4 + 3) N * 64 * 2, 177 KB at N = 197. FLOPs: 14 N^2 * 64 (scores are computed again, once by rows and
 * once by columns). Bound by memory: the two blocks of an SM overlap each other, as in forward.
 *
 * Tiles are [KEYS, 64], KEYS the least of 56, 72, 136, 200 that holds N; shared memory [Q][dO][K][V][64 rows to store
 * through]:
 *     by query tile: S, dP = dO_i V^T; P from lse; delta = rowsum(P * dP); dS = P * (dP - delta); dQ = dS K.
 *     by key tile: S^T = K_j Q^T, dP^T = V_j dO^T; P^T; dS^T; dV = P^T dO, dK = dS^T Q.
 * Each output has one writer; no transposes, no atomics. out is not read. */
#include "attention_hopper.cuh"

template <int KEYS> constexpr int WHOLE_TILES = (KEYS + M_TILE - 1) / M_TILE * M_TILE; /* rows of them */
template <int KEYS> constexpr size_t BACKWARD_SMEM =
    smem_bytes<bf16>((4 * KEYS + M_TILE) * TILE_WIDTH) + 2 * smem_bytes<float>(WHOLE_TILES<KEYS>);

/* LOW < N <= KEYS tokens; one block a head. */
template <int KEYS, int LOW, int BLOCKS>
__global__ void __launch_bounds__(WARPGROUP, BLOCKS)
attention_hopper_backward_kernel(const bf16 *dout,    // [B, N, H, 64]
                                 const bf16 *qkv,     // [B, N, 3, H, 64]
                                 const float *lse,    // [B, H, N]
                                 bf16 *dqkv,          // [B, N, 3, H, 64]
                                 int tokens, int heads, float scale)
{
    constexpr int ROWS = WHOLE_TILES<KEYS>;
    smem_cursor at = smem_open();
    bf16 *q = smem_take<bf16>(at, (4 * KEYS + M_TILE) * TILE_WIDTH, TILE_ALIGN), *d_o = q + KEYS * TILE_WIDTH;
    bf16 *k = d_o + KEYS * TILE_WIDTH, *v = k + KEYS * TILE_WIDTH, *stage = v + KEYS * TILE_WIDTH;
    float *lse2 = smem_take<float>(at, ROWS), *delta = smem_take<float>(at, ROWS); /* lse in powers of 2 */
    const head_place p = place_of((int)blockIdx.x, tokens, heads);
    load_tile<KEYS>(q, qkv + p.qkv, tokens, p.stride);
    load_tile<KEYS>(k, qkv + p.qkv + p.width, tokens, p.stride);
    load_tile<KEYS>(d_o, dout + p.out, tokens, p.width);
    load_tile<KEYS>(v, qkv + p.qkv + 2 * p.width, tokens, p.stride);
    copy_commit();
    for (int i = (int)threadIdx.x; i < ROWS; i += WARPGROUP) {
        lse2[i] = i < tokens ? lse[p.lse + i] * LOG2E : 0;
        delta[i] = 0; /* and so from row N on: there P = 1, dP = 0, dS = 0 */
    }
    tiles_arrive<0>();

    const uint64_t mq = tile_matrix(q), mdo = tile_matrix(d_o), mk = tile_matrix(k), mv = tile_matrix(v);
    const float c = scale * LOG2E;
#pragma unroll 1
    for (int first = 0; first < tokens; first += M_TILE) {
        float s[KEYS / 2], dp[KEYS / 2];
        wgmma_fence(s, dp);
        begin_scores(s, tile_matrix_at(mq, first * ROW_BYTES), mk);
        begin_scores(dp, tile_matrix_at(mdo, first * ROW_BYTES), mv);
        wgmma_wait<1>(s);
        const int row = first + fragment_row(), columns = tokens - fragment_col();
        const float less[2] = {-lse2[row], -lse2[row + 8]};
#pragma unroll
        for (int i = 0; i < KEYS / 2; i++) {
            s[i] = fast_exp2(fmaf(s[i], c, less[i / 2 % 2]));
            if (i / 4 * 8 + 8 > LOW && i / 4 * 8 + i % 2 >= columns) s[i] = 0;
        }
        wgmma_wait<0>(dp);
        float sum[2] = {0, 0};
#pragma unroll
        for (int i = 0; i < KEYS / 2; i++) sum[i / 2 % 2] = fmaf(s[i], dp[i], sum[i / 2 % 2]);
        sum[0] = quad_sum(sum[0]);
        sum[1] = quad_sum(sum[1]);
        if (fragment_col() == 0) {
            delta[row] = sum[0];
            delta[row + 8] = sum[1];
        }
#pragma unroll
        for (int i = 0; i < KEYS / 2; i++) s[i] *= dp[i] - sum[i / 2 % 2];
        uint32_t pairs[PAIRS<KEYS>];
        pack_pairs(pairs, s);
        float dq[32];
        wgmma_fence(pairs, dq);
        begin_product(dq, pairs, mk);
        wgmma_wait<0>(dq);
        store_rows(dqkv + p.qkv, first, tokens, p.stride, dq, scale, scale, stage);
    }
    block_sync(); /* delta is whole */

#pragma unroll 1
    for (int first = 0; first < tokens; first += M_TILE) {
        float s[KEYS / 2], dp[KEYS / 2];
        wgmma_fence(s, dp);
        begin_scores(s, tile_matrix_at(mk, first * ROW_BYTES), mq);
        begin_scores(dp, tile_matrix_at(mv, first * ROW_BYTES), mdo);
        wgmma_wait<1>(s);
#pragma unroll
        for (int i = 0; i < KEYS / 2; i++) s[i] = fast_exp2(fmaf(s[i], c, -lse2[i / 4 * 8 + fragment_col() + i % 2]));
        wgmma_wait<0>(dp);
#pragma unroll
        for (int i = 0; i < KEYS / 2; i++) dp[i] = s[i] * (dp[i] - delta[i / 4 * 8 + fragment_col() + i % 2]);
        uint32_t p_pairs[PAIRS<KEYS>], ds_pairs[PAIRS<KEYS>];
        pack_pairs(p_pairs, s);
        pack_pairs(ds_pairs, dp);
        float dv[32], dk[32];
        wgmma_fence(p_pairs, ds_pairs, dv, dk);
        begin_product(dv, p_pairs, mdo);
        begin_product(dk, ds_pairs, mq);
        wgmma_wait<1>(dv);
        store_rows(dqkv + p.qkv + 2 * p.width, first, tokens, p.stride, dv, 1, 1, stage);
        wgmma_wait<0>(dk);
        store_rows(dqkv + p.qkv + p.width, first, tokens, p.stride, dk, scale, scale, stage);
    }
}

/* ---- launcher ---------------------------------------------------------------------------------------------------- */

void attention_hopper_backward_single(const vt_run *r, const attention_problem *p, const bf16 *dout, const bf16 *qkv,
                                      const float *lse, bf16 *dqkv)
{
    const dim3 heads((unsigned)(p->batch * p->heads));
#define BACKWARD(KEYS, LOW, BLOCKS)                                                                          \
    launch(r, attention_hopper_backward_kernel<KEYS, LOW, BLOCKS>, heads, dim3(WARPGROUP), BACKWARD_SMEM<KEYS>, \
           dout, qkv, lse, dqkv, p->tokens, p->heads, p->scale)
    if (p->tokens <= 56) BACKWARD(56, 0, 4);
    else if (p->tokens <= 72) BACKWARD(72, 56, 3);
    else if (p->tokens <= 136) BACKWARD(136, 72, 2);
    else BACKWARD(200, 136, 2);
#undef BACKWARD
}
