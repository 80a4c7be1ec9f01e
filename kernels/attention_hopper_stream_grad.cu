/* attention_hopper_stream_grad.cu - attention's gradient for sm_90a, bf16, head width 64, any number of tokens.
 *
 *   p_ij = exp(scale q_i . k_j - lse_i),  dp_ij = dout_i . v_j,  ds_ij = p_ij (dp_ij - delta_i)
 *   dv_j = sum_i p_ij dout_i,  dk_j = scale sum_i ds_ij q_i,  dq_i = scale sum_j ds_ij k_j
 *
 * Two passes, each output in one block and in one order. A block has three warpgroups of 64 rows each, past which tiles
 * of 64 other rows stream through four stages:
 *   keys:    S^T = K_j Q_i^T, dP^T = V_j dO_i^T; P^T, dS^T in registers; dV_j += P^T dO_i, dK_j += dS^T Q_i.
 *   queries: S = Q_i K_j^T, dP = dO_i V_j^T; dS in registers; dQ_i += dS K_j.
 * The next tile's scores follow a tile's last product into the tensor cores, without a pause; while one warpgroup makes
 * exponentials, others multiply.
 *
 * Bytes: 14 * B * N * H * 64 at least (qkv, dout, dqkv); 8 more where the second pass finds qkv and dout gone from L2.
 * FLOPs: 14 * B * H * N^2 * 64, scores and dP made twice. Bound by the tensor cores: a pair of tiles takes
 * 512 clocks of them for keys and 384 for queries, and 256 of the units that make exponentials. */
#include "attention_hopper.cuh"
#include "ptx_mma.cuh"

enum { GROUPS = 3, THREADS = GROUPS * WARPGROUP, OWN = GROUPS * M_TILE }; /* OWN: rows of a block */
enum { STAGES = 4, TILE = M_TILE * TILE_WIDTH, STAGE = 2 * TILE };
enum { STATS = 2 * M_TILE, FIRST_GROUP = 1 /* barrier */ };

static constexpr float NEVER = 1e30f; /* lse of no query: its probabilities are 0 */

/* ---- what streams ------------------------------------------------------------------------------------------------ */

/* Two matrices [tokens, 64] of a head, their rows so far apart: Q and dO, or K and V. */
typedef struct streamed {
    const bf16 *a, *b;
    int a_stride, b_stride, tokens;
} streamed;

VT_DEVICE bf16 *stage_of(bf16 *ring, int tile) { return ring + tile % STAGES * STAGE; }

/* Begins to copy a tile of both, where there is one; as one group in any case. */
VT_DEVICE void load_stage(bf16 *ring, const streamed &s, int tile)
{
    const int first = tile * M_TILE;
    if (first < s.tokens) {
        bf16 *to = stage_of(ring, tile);
        load_tile<M_TILE, THREADS>(to, s.a + (int64_t)first * s.a_stride, s.tokens - first, s.a_stride);
        load_tile<M_TILE, THREADS>(to + TILE, s.b + (int64_t)first * s.b_stride, s.tokens - first, s.b_stride);
    }
    copy_commit();
}

/* Tile `tile` is there for all. Its last but one has no products in flight: the copies of the next but one begin. */
VT_DEVICE void next_stage(bf16 *ring, const streamed &s, int tile)
{
    tiles_arrive<1>();
    load_stage(ring, s, tile + 2);
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

/* A tile's 64 rows as operand A. */
VT_DEVICE void load_operand(uint32_t (&a)[PAIRS<DIM>], const bf16 *tile)
{
    const int lane = lane_id(), row = (int)threadIdx.x % WARPGROUP / WARP * 16 + lane % 16;
#pragma unroll
    for (int step = 0; step < DIM / K_STEP; step++) {
        uint32_t r[4];
        load_matrix4(r, tile + tile_at(row, 2 * step + lane / 16));
#pragma unroll
        for (int i = 0; i < 4; i++) a[4 * step + i] = r[i];
    }
}

/* d [64, 64] = a b^T with a in registers and b a tile; begins, as one group. */
VT_DEVICE void begin_scores(float (&d)[32], const uint32_t (&a)[PAIRS<DIM>], uint64_t b)
{
    wgmma<false, K_MAJOR>(d, a, b);
#pragma unroll
    for (int step = 1; step < DIM / K_STEP; step++)
        wgmma<true, K_MAJOR>(d, a + step * 4, tile_matrix_at(b, step * COLS_STEP));
    wgmma_commit();
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

static constexpr size_t KEYS_SMEM = smem_bytes<bf16>(2 * OWN * TILE_WIDTH + STAGES * STAGE) +
                                    smem_bytes<float>(STAGES * STATS);

/* What this thread knows of a tile of queries: the first 64 threads lse * -log2 e, the next 64 -delta. */
VT_DEVICE float stat_of(const float *lse, const float *delta, int tokens, int tile)
{
    const int thread = thread_again(), i = tile * M_TILE + thread % M_TILE;
    if (thread < M_TILE) return i < tokens ? lse[i] * -LOG2E : -NEVER;
    return thread < STATS && i < tokens ? -delta[i] : 0;
}

VT_DEVICE void put_stat(float *stats, int tile, float v)
{
    const int thread = thread_again();
    if (thread < STATS) stats[tile % STAGES * STATS + thread] = v;
}

/* dK and dV. Rows of keys from N on hold what nobody stores. */
__global__ void __launch_bounds__(THREADS, 1)
attention_hopper_keys_kernel(const bf16 *dout,   // [B, N, H, 64]
                             const bf16 *qkv,    // [B, N, 3, H, 64]
                             const float *lse,   // [B, H, N]
                             const float *delta, // [B, H, N]
                             bf16 *dqkv,         // [B, N, 3, H, 64]
                             int tokens, int heads, float scale)
{
    smem_cursor at = smem_open();
    bf16 *own_k = smem_take<bf16>(at, 2 * OWN * TILE_WIDTH + STAGES * STAGE, TILE_ALIGN);
    bf16 *own_v = own_k + OWN * TILE_WIDTH, *ring = own_v + OWN * TILE_WIDTH;
    float *stats = smem_take<float>(at, STAGES * STATS);
    const int blocks = (tokens + OWN - 1) / OWN, tiles = (tokens + M_TILE - 1) / M_TILE, group = this_group();
    const int first = (int)blockIdx.x % blocks * OWN, left = tokens - first;
    const head_place p = place_of((int)blockIdx.x / blocks, tokens, heads);
    const streamed s = {qkv + p.qkv, dout + p.out, p.stride, p.width, tokens};
    const int64_t mine = p.qkv + (int64_t)first * p.stride + p.width; /* k; v and dv are width further on */
    lse += p.lse;
    delta += p.lse;

    load_tile<OWN, THREADS>(own_k, qkv + mine, left, p.stride);
    load_tile<OWN, THREADS>(own_v, qkv + mine + p.width, left, p.stride);
    copy_commit();
    load_stage(ring, s, 0);
    load_stage(ring, s, 1);
    float stat = stat_of(lse, delta, tokens, 0);
    tiles_arrive<2>(); /* the block's own rows */
    if (group * M_TILE >= left) { /* copies for the others */
        for (int tile = 0; tile < tiles; tile++) next_stage(ring, s, tile);
        copy_wait<0>();
        return;
    }

    const uint64_t mk = tile_matrix(own_k + group * TILE), mv = tile_matrix(own_v + group * TILE);
    const float c = scale * LOG2E;
    float dv[32] = {}, dk[32] = {}, st[32], dp[32];
    uint32_t p_pairs[PAIRS<M_TILE>], ds_pairs[PAIRS<M_TILE>];
#pragma unroll 1
    for (int tile = 0; tile < tiles; tile++) {
        const uint64_t mq = tile_matrix(stage_of(ring, tile)), mdo = tile_matrix_at(mq, TILE * 2);
        const float *of_query = stats + tile % STAGES * STATS + fragment_col();
        put_stat(stats, tile, stat);
        next_stage(ring, s, tile);
        stat = stat_of(lse, delta, tokens, tile + 1);
        wgmma_fence(st);
        begin_scores(st, mk, mq);
        wgmma_wait<1>(dv, dk); /* of the tile before: its pairs are free */
        wgmma_fence(dp);
        begin_scores(dp, mv, mdo);
        wgmma_wait<1>(st);
#pragma unroll
        for (int i = 0; i < 32; i++) st[i] = fast_exp2(fmaf(st[i], c, of_query[i / 4 * 8 + i % 2]));
        wgmma_wait<0>(dp);
#pragma unroll
        for (int i = 0; i < 32; i++) dp[i] = st[i] * (dp[i] + of_query[M_TILE + i / 4 * 8 + i % 2]);
        pack_pairs(p_pairs, st);
        pack_pairs(ds_pairs, dp);
        wgmma_fence(p_pairs, ds_pairs, dv, dk);
        begin_product<true>(dv, p_pairs, mdo);
        begin_product<true>(dk, ds_pairs, mq);
    }
    wgmma_wait<0>(dv, dk);
    copy_wait<0>();
    group_sync(FIRST_GROUP + group, WARPGROUP); /* K and V are dead: results leave through them */
    bf16 *to = dqkv + mine;
    store_rows(to, group * M_TILE, left, p.stride, dk, scale, scale, own_k + group * TILE);
    store_rows(to + p.width, group * M_TILE, left, p.stride, dv, 1, 1, own_v + group * TILE);
}

/* ---- queries ----------------------------------------------------------------------------------------------------- */

static constexpr size_t QUERIES_SMEM = smem_bytes<bf16>(2 * OWN * TILE_WIDTH + STAGES * STAGE);

/* dQ. Rows of queries from N on hold what nobody stores. */
__global__ void __launch_bounds__(THREADS, 1)
attention_hopper_queries_kernel(const bf16 *dout,   // [B, N, H, 64]
                                const bf16 *qkv,    // [B, N, 3, H, 64]
                                const float *lse,   // [B, H, N]
                                const float *delta, // [B, H, N]
                                bf16 *dqkv,         // [B, N, 3, H, 64]
                                int tokens, int heads, float scale)
{
    smem_cursor at = smem_open();
    bf16 *own_q = smem_take<bf16>(at, 2 * OWN * TILE_WIDTH + STAGES * STAGE, TILE_ALIGN);
    bf16 *own_do = own_q + OWN * TILE_WIDTH, *ring = own_do + OWN * TILE_WIDTH;
    const int blocks = (tokens + OWN - 1) / OWN, tiles = (tokens + M_TILE - 1) / M_TILE, group = this_group();
    const int first = (int)blockIdx.x % blocks * OWN, left = tokens - first;
    const head_place p = place_of((int)blockIdx.x / blocks, tokens, heads);
    const streamed s = {qkv + p.qkv + p.width, qkv + p.qkv + 2 * p.width, p.stride, p.stride, tokens};
    const int64_t mine = p.qkv + (int64_t)first * p.stride;

    load_tile<OWN, THREADS>(own_q, qkv + mine, left, p.stride);
    load_tile<OWN, THREADS>(own_do, dout + p.out + (int64_t)first * p.width, left, p.width);
    copy_commit();
    load_stage(ring, s, 0);
    load_stage(ring, s, 1);
    float less[2] = {0, 0}, less_delta[2] = {0, 0}; /* -lse, in powers of 2, and -delta of this thread's rows */
    const int row = group * M_TILE + fragment_row();
#pragma unroll
    for (int i = 0; i < 2; i++) {
        if (row + i * 8 >= left) continue;
        less[i] = lse[p.lse + first + row + i * 8] * -LOG2E;
        less_delta[i] = -delta[p.lse + first + row + i * 8];
    }
    tiles_arrive<2>(); /* the block's own rows */
    if (group * M_TILE >= left) { /* copies for the others */
        for (int tile = 0; tile < tiles; tile++) next_stage(ring, s, tile);
        copy_wait<0>();
        return;
    }

    const float c = scale * LOG2E;
    float dq[32] = {}, st[32], dp[32];
    uint32_t q[PAIRS<DIM>], d_o[PAIRS<DIM>], pairs[PAIRS<M_TILE>];
    load_operand(q, own_q + group * TILE);
    load_operand(d_o, own_do + group * TILE);
#pragma unroll 1
    for (int tile = 0; tile < tiles; tile++) {
        const uint64_t mk = tile_matrix(stage_of(ring, tile)), mv = tile_matrix_at(mk, TILE * 2);
        next_stage(ring, s, tile);
        wgmma_fence(q, d_o, st, dp);
        begin_scores(st, q, mk);
        begin_scores(dp, d_o, mv);
        wgmma_wait<1>(st, dq); /* dq: of the tile before, its pairs are free */
#pragma unroll
        for (int i = 0; i < 32; i++) st[i] = fast_exp2(fmaf(st[i], c, less[i / 2 % 2]));
        wgmma_wait<0>(dp);
#pragma unroll
        for (int i = 0; i < 32; i++) dp[i] = st[i] * (dp[i] + less_delta[i / 2 % 2]);
        const int columns = tokens - tile * M_TILE - fragment_col();
        if (tile + 1 == tiles) { /* of keys from N on, whose exp(-lse) may be infinite */
#pragma unroll
            for (int i = 0; i < 32; i++)
                if (i / 4 * 8 + i % 2 >= columns) dp[i] = 0;
        }
        pack_pairs(pairs, dp);
        wgmma_fence(pairs, dq);
        begin_product<true>(dq, pairs, mk);
    }
    wgmma_wait<0>(dq);
    copy_wait<0>();
    group_sync(FIRST_GROUP + group, WARPGROUP); /* Q is dead */
    store_rows(dqkv + mine, group * M_TILE, left, p.stride, dq, scale, scale, own_q + group * TILE);
}

/* ---- launcher ---------------------------------------------------------------------------------------------------- */

void attention_hopper_backward_stream(const vt_run *r, const attention_problem *p, const bf16 *dout, const bf16 *qkv,
                                      const float *lse, const float *delta, bf16 *dqkv)
{
    const dim3 blocks((unsigned)(ceil_div(p->tokens, OWN) * p->heads * p->batch));
    launch(r, attention_hopper_keys_kernel, blocks, dim3(THREADS), KEYS_SMEM, dout, qkv, lse, delta, dqkv, p->tokens,
           p->heads, p->scale);
    launch(r, attention_hopper_queries_kernel, blocks, dim3(THREADS), QUERIES_SMEM, dout, qkv, lse, delta, dqkv,
           p->tokens, p->heads, p->scale);
}
