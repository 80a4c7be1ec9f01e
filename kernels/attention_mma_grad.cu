/* attention_mma_grad.cu - attention's gradient through mma.sync: bf16, any number of tokens, D up to 128.
 *
 *   p_ij = exp(scale q_i . k_j + bias_ij - lse_i),  dp_ij = f_ij dout_i . v_j,  ds_ij = p_ij (dp_ij - delta_i)
 *   dv_j = sum_i p_ij f_ij dout_i,  dk_j = scale sum_i ds_ij q_i,  dq_i = scale sum_j ds_ij k_j
 *
 * with f dropout's factors and delta_i = dout_i . out_i. Two passes, each sum in one block and in one order: blocks of
 * 64 keys past which queries stream make dk and dv from transposed scores, blocks of 64 queries past which keys stream
 * make dq. Either way the scores' fragments are the next product's A operand. Streamed tiles are double-buffered, with
 * one barrier a tile.
 *
 * Moves at least 14 * B * N * H * D bytes (qkv, dout, dqkv; the second pass reads qkv and dout again, 8 more where they
 * have left L2) and 8 * B * H * N a pass; 14 * B * H * N * N * D FLOPs, of which 8 are scores and dp, made twice. */
#include "attention_mma.cuh"

enum { STREAMED = 32 }; /* rows of a streamed tile: 64 would cost a block an SM, in registers and shared memory */

typedef struct __align__(8) row_stats {
    float lse, delta; /* of a query; lse * log2 e */
} row_stats;

/* Zeros behind the last query: its scores are 0 and its probabilities 1, but its dout is 0, and so is all it adds. */
VT_DEVICE row_stats stats_of(const attention_problem &p, const float *lse, const float *delta, int i) // [N] both
{
    row_stats row = {0, 0};
    if (i < p.tokens) {
        row.lse = lse[i] * LOG2_E;
        row.delta = delta[i];
    }
    return row;
}

/* From scores s and products dp, fragments as finish_scores has them: p f into s, ds into dp. stats: of the query of
 * element (0, 0) and those behind it. */
template <int N, bool TRANSPOSED>
VT_DEVICE void grad_of_scores(float (&s)[N / 8][4], float (&dp)[N / 8][4], const attention_problem &p,
                              const attention_head &head, const row_stats *stats, int row, int column)
{
    float c = p.scale * LOG2_E, factor = 1 / (1 - p.dropout);
    bool drops = p.dropout > 0;
    uint32_t kept = drops ? kept_elements<N, TRANSPOSED>(p, head, row, column) : 0;
#pragma unroll
    for (int n = 0; n < N / 8; n++) {
        if (drops) {
#pragma unroll
            for (int e = 0; e < 4; e++) dp[n][e] *= kept >> (n * 4 + e) & 1 ? factor : 0;
        }
#pragma unroll
        for (int e = 0; e < 4; e++) {
            row_stats of = stats[TRANSPOSED ? n * 8 + e % 2 : e / 2 * 8];
            s[n][e] = fast_exp2(fmaf(s[n][e], c, -of.lse));
            dp[n][e] = s[n][e] * (dp[n][e] - of.delta);
        }
        if (drops) {
#pragma unroll
            for (int e = 0; e < 4; e++) s[n][e] *= kept >> (n * 4 + e) & 1 ? factor : 0;
        }
    }
}

template <int N> VT_DEVICE void clear(float (&acc)[N][4])
{
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) acc[n][e] = 0;
}

/* ---- dk and dv --------------------------------------------------------------------------------------------------- */

template <int D>
__global__ void __launch_bounds__(OWN_THREADS, D <= 64 ? 3 : 2)
attention_mma_keys_kernel(attention_problem p,
                          const bf16 *dout,   // [B, N, H, D]
                          const bf16 *qkv,    // [B, N, 3, H, D]
                          const float *lse,   // [B, H, N]
                          const float *delta, // [B, H, N]
                          bf16 *dqkv)         // [B, N, 3, H, D]
{
    constexpr int TILE = STREAMED * TILE_STRIDE<D>;
    smem_cursor smem = smem_open();
    bf16 *k = smem_take<bf16>(smem, OWN_ROWS * TILE_STRIDE<D>), *v = smem_take<bf16>(smem, OWN_ROWS * TILE_STRIDE<D>);
    bf16 *qs = smem_take<bf16>(smem, 2 * TILE), *douts = smem_take<bf16>(smem, 2 * TILE);
    row_stats *stats = smem_take<row_stats>(smem, 2 * STREAMED);
    block_place at = place_of(p);
    attention_head head = head_of(p, at.b, at.h);
    int64_t width = (int64_t)p.heads * p.dim, stride = 3 * width, begin = head_offset(p, at.b, at.h, 3);
    const bf16 *from = qkv + begin;
    int row = at.first + own_warp() * 16, mine = (int)threadIdx.x;
    dout += head_offset(p, at.b, at.h, 1);
    lse += ((int64_t)at.b * p.heads + at.h) * p.tokens;
    delta += ((int64_t)at.b * p.heads + at.h) * p.tokens;

    copy_tile<D, OWN_ROWS>(p, k, from + width, stride, at.first);
    copy_tile<D, OWN_ROWS>(p, v, from + 2 * width, stride, at.first);
    copy_tile<D, STREAMED>(p, qs, from, stride, 0);
    copy_tile<D, STREAMED>(p, douts, dout, width, 0);
    copy_commit();
    if (mine < STREAMED) stats[mine] = stats_of(p, lse, delta, mine);
    k += own_warp() * 16 * TILE_STRIDE<D>;
    v += own_warp() * 16 * TILE_STRIDE<D>;

    float dk[D / 8][4], dv[D / 8][4];
    clear(dk);
    clear(dv);
    for (int first = 0, turn = 0; first < p.tokens; first += STREAMED, turn ^= 1) {
        copy_wait<0>();
        block_sync(); /* this turn's tiles are here, and the other's readers are done */
        row_stats next = {0, 0};
        if (first + STREAMED < p.tokens) {
            copy_tile<D, STREAMED>(p, qs + (turn ^ 1) * TILE, from, stride, first + STREAMED);
            copy_tile<D, STREAMED>(p, douts + (turn ^ 1) * TILE, dout, width, first + STREAMED);
            if (mine < STREAMED) next = stats_of(p, lse, delta, first + STREAMED + mine);
        }
        copy_commit();
        if (row < p.tokens) {
            const bf16 *q = qs + turn * TILE, *g = douts + turn * TILE;
            float s[STREAMED / 8][4], dp[STREAMED / 8][4];
            clear(s);
            clear(dp);
            multiply_tiles<D, STREAMED>(s, k, q, p.tokens - first);
            multiply_tiles<D, STREAMED>(dp, v, g, p.tokens - first);
            int j = row + fragment_row(), i = first + fragment_column();
            if (head.bias) finish_scores<STREAMED, true>(s, p, head, j, i);
            grad_of_scores<STREAMED, true>(s, dp, p, head, stats + turn * STREAMED + fragment_column(), j, i);
            multiply_fragment<D, STREAMED>(dv, s, g, p.tokens - first);
            multiply_fragment<D, STREAMED>(dk, dp, q, p.tokens - first);
        }
        if (mine < STREAMED) stats[(turn ^ 1) * STREAMED + mine] = next;
    }
    if (row >= p.tokens) return;
    const float scaled[2] = {p.scale, p.scale}, plain[2] = {1, 1};
    store_rows<D>(p, k, dk, scaled, dqkv + begin + width, stride, row);
    store_rows<D>(p, v, dv, plain, dqkv + begin + 2 * width, stride, row);
}

/* ---- dq ---------------------------------------------------------------------------------------------------------- */

template <int D>
__global__ void __launch_bounds__(OWN_THREADS, D <= 64 ? 3 : 2)
attention_mma_queries_kernel(attention_problem p,
                             const bf16 *dout,   // [B, N, H, D]
                             const bf16 *qkv,    // [B, N, 3, H, D]
                             const float *lse,   // [B, H, N]
                             const float *delta, // [B, H, N]
                             bf16 *dqkv)         // [B, N, 3, H, D]
{
    constexpr int TILE = STREAMED * TILE_STRIDE<D>;
    smem_cursor smem = smem_open();
    bf16 *q = smem_take<bf16>(smem, OWN_ROWS * TILE_STRIDE<D>), *g = smem_take<bf16>(smem, OWN_ROWS * TILE_STRIDE<D>);
    bf16 *ks = smem_take<bf16>(smem, 2 * TILE), *vs = smem_take<bf16>(smem, 2 * TILE);
    row_stats *stats = smem_take<row_stats>(smem, OWN_ROWS);
    block_place at = place_of(p);
    attention_head head = head_of(p, at.b, at.h);
    int64_t width = (int64_t)p.heads * p.dim, stride = 3 * width, begin = head_offset(p, at.b, at.h, 3);
    const bf16 *from = qkv + begin;
    int row = at.first + own_warp() * 16, mine = (int)threadIdx.x;

    copy_tile<D, OWN_ROWS>(p, q, from, stride, at.first);
    copy_tile<D, OWN_ROWS>(p, g, dout + head_offset(p, at.b, at.h, 1), width, at.first);
    copy_tile<D, STREAMED>(p, ks, from + width, stride, 0);
    copy_tile<D, STREAMED>(p, vs, from + 2 * width, stride, 0);
    copy_commit();
    lse += ((int64_t)at.b * p.heads + at.h) * p.tokens;
    delta += ((int64_t)at.b * p.heads + at.h) * p.tokens;
    if (mine < OWN_ROWS) stats[mine] = stats_of(p, lse, delta, at.first + mine);
    q += own_warp() * 16 * TILE_STRIDE<D>;
    g += own_warp() * 16 * TILE_STRIDE<D>;

    float dq[D / 8][4];
    clear(dq);
    for (int first = 0, turn = 0; first < p.tokens; first += STREAMED, turn ^= 1) {
        copy_wait<0>();
        block_sync(); /* this turn's tiles are here, and the other's readers are done */
        if (first + STREAMED < p.tokens) {
            copy_tile<D, STREAMED>(p, ks + (turn ^ 1) * TILE, from + width, stride, first + STREAMED);
            copy_tile<D, STREAMED>(p, vs + (turn ^ 1) * TILE, from + 2 * width, stride, first + STREAMED);
        }
        copy_commit();
        if (row >= p.tokens) continue;
        const bf16 *k = ks + turn * TILE, *v = vs + turn * TILE;
        float s[STREAMED / 8][4], dp[STREAMED / 8][4];
        clear(s);
        clear(dp);
        multiply_tiles<D, STREAMED>(s, q, k, p.tokens - first);
        multiply_tiles<D, STREAMED>(dp, g, v, p.tokens - first);
        int i = row + fragment_row(), j = first + fragment_column();
        if (head.bias || first + STREAMED > p.tokens) finish_scores<STREAMED, false>(s, p, head, i, j);
        grad_of_scores<STREAMED, false>(s, dp, p, head, stats + own_warp() * 16 + fragment_row(), i, j);
        multiply_fragment<D, STREAMED>(dq, dp, k, p.tokens - first);
    }
    if (row >= p.tokens) return;
    const float scaled[2] = {p.scale, p.scale};
    store_rows<D>(p, q, dq, scaled, dqkv + begin, stride, row);
}

/* ---- launchers --------------------------------------------------------------------------------------------------- */

template <int D>
static void backward(const vt_run *r, const attention_problem *p, const bf16 *dout, const bf16 *qkv, const float *lse,
                     const float *delta, bf16 *dqkv)
{
    size_t tiles = smem_bytes<bf16>((2 * OWN_ROWS + 4 * STREAMED) * TILE_STRIDE<D>);
    launch(r, attention_mma_keys_kernel<D>, own_grid(p), dim3(OWN_THREADS),
           tiles + smem_bytes<row_stats>(2 * STREAMED), *p, dout, qkv, lse, delta, dqkv);
    launch(r, attention_mma_queries_kernel<D>, own_grid(p), dim3(OWN_THREADS),
           tiles + smem_bytes<row_stats>(OWN_ROWS), *p, dout, qkv, lse, delta, dqkv);
}

void attention_mma_backward(const vt_run *r, const attention_problem *p, const bf16 *dout, const bf16 *qkv,
                            const float *lse, const float *delta, bf16 *dqkv)
{
    VT_DISPATCH_WIDTH(p, backward<D>(r, p, dout, qkv, lse, delta, dqkv));
}
