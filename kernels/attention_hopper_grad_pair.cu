/* attention_hopper_grad_pair.cu - attention's gradient B: persistent blocks of two warpgroups, up to 208 tokens.
 *
 * Bytes a head: (5 + 3) N * 64 * 2, 202 KB at N = 197: out is read, for delta = rowsum(dO * O). FLOPs: 10 N^2 * 64, as
 * scores are computed once, by columns; dS^T goes through shared memory. One block an SM loops over heads.
 *
 *   by key tile, two a warpgroup: S^T = K_j Q^T, dP^T = V_j dO^T; P^T from lse; dS^T = P^T * (dP^T - delta), kept;
 *     dV = P^T dO, dK = dS^T Q. Meanwhile the next head's K is copied, and L2 is asked for the rest of it.
 *   by query tile, two a warpgroup: dQ_i = dS K, operand A as it lies, [key][query]. Meanwhile the next head's Q, dO
 *     and V are copied, and delta is made.
 * Each output has one writer; no transposes, no atomics. delta has out's rounding, which A's has not.
 *
 * Tiles are [208, 64]: K, Q, the other K, dO, dS^T by 64 queries: the last 64 keys run over K's end, never into a tile
 * that copies are on their way to. The fourth of dS^T's lies over V: a tile V_j is dead when its dP^T is made. It has
 * 16 queries; what V left beside them makes rows of dQ that nobody stores. */
#include "attention_hopper.cuh"

enum { THREADS = 2 * WARPGROUP, ROWS = PAIR_TOKENS, TILE = ROWS * TILE_WIDTH, STAGE = M_TILE * TILE_WIDTH };
enum { K_STEPS = ROWS / K_STEP, ROWS_A_TURN = THREADS / TILE_CHUNKS, TURNS = (ROWS + ROWS_A_TURN - 1) / ROWS_A_TURN };

static constexpr size_t PAIR_SMEM = smem_bytes<bf16>(8 * TILE + 2 * STAGE) + 2 * smem_bytes<float>(ROWS);

/* What a block is given, and where it has it. */
typedef struct pair_tiles {
    bf16 *k;             /* of the first head, the third, ...; other_k is of those between */
    bf16 *q, *d_o, *ds;  /* ds: four, the last is v's */
    bf16 *v, *stage;     /* stage: 64 rows for each warpgroup to store through */
    float *lse2, *delta; /* [208], lse in powers of 2; 0 from N on, and so are delta and dS */
} pair_tiles;

typedef struct pair_problem {
    const bf16 *dout, *qkv, *out;
    const float *lse;
    bf16 *dqkv;
    int tokens, heads, count; /* count: of heads, B * H */
    float scale;
} pair_problem;

VT_DEVICE pair_tiles take_tiles()
{
    smem_cursor at = smem_open();
    pair_tiles t;
    t.k = smem_take<bf16>(at, 8 * TILE + 2 * STAGE, TILE_ALIGN);
    t.q = t.k + TILE;
    t.d_o = t.k + 3 * TILE;
    t.ds = t.d_o + TILE;
    t.v = t.ds + 3 * TILE;
    t.stage = t.v + TILE;
    t.lse2 = smem_take<float>(at, ROWS);
    t.delta = smem_take<float>(at, ROWS);
    return t;
}

VT_DEVICE bf16 *stage_of(const pair_tiles &t) { return t.stage + thread_again() / WARPGROUP * STAGE; }

/* ---- the next head ----------------------------------------------------------------------------------------------- */

VT_DEVICE bf16 *other_k(const pair_tiles &t, const bf16 *k) { return k == t.k ? t.k + 2 * TILE : t.k; }

VT_DEVICE void load_k(const pair_problem &p, const head_place &at, bf16 *k)
{
    load_tile<ROWS, THREADS>(k, p.qkv + at.qkv + at.width, p.tokens, at.stride);
    copy_commit();
}

/* Copies K of head `next` to the other tile, and asks for Q, V, dO and out. */
VT_DEVICE void prefetch_next(const pair_problem &p, const pair_tiles &t, const bf16 *k, int next)
{
    if (next >= p.count) return;
    const head_place at = place_of(next, p.tokens, p.heads);
    load_k(p, at, other_k(t, k));
    const int row = thread_again();
    if (row >= p.tokens) return;
    const bf16 *q = p.qkv + at.qkv + row * at.stride;
    const int64_t o = at.out + row * at.width;
    prefetch_l2(q);
    prefetch_l2(p.dout + o);
    prefetch_l2(p.out + o);
    prefetch_l2(q + 2 * at.width);
}

VT_DEVICE void load_q_and_dout(const pair_problem &p, const head_place &at, const pair_tiles &t)
{
    load_tile<ROWS, THREADS>(t.q, p.qkv + at.qkv, p.tokens, at.stride);
    load_tile<ROWS, THREADS>(t.d_o, p.dout + at.out, p.tokens, at.width);
    copy_commit();
}

VT_DEVICE void load_v(const pair_problem &p, const head_place &at, const pair_tiles &t)
{
    load_tile<ROWS, THREADS>(t.v, p.qkv + at.qkv + 2 * at.width, p.tokens, at.stride);
    copy_commit();
}

/* What delta and lse2 are made of: the chunks of out whose partners in dO this thread copies; one lse. */
typedef struct row_values {
    word4 out[TURNS];
    float lse;
} row_values;

VT_DEVICE void load_row_values(row_values &r, const pair_problem &p, const head_place &at)
{
    const int thread = thread_again(), chunk = thread % TILE_CHUNKS, row = thread / TILE_CHUNKS;
    const bf16 *from = p.out + at.out + row * at.width + chunk * VECTOR<bf16>;
    const word4 zeros = {{0, 0, 0, 0}};
#pragma unroll
    for (int i = 0; i < TURNS; i++, from += ROWS_A_TURN * at.width)
        r.out[i] = row + i * ROWS_A_TURN < p.tokens ? load_words_once(from) : zeros;
    r.lse = thread < p.tokens ? p.lse[at.lse + thread] : 0;
}

/* After the copies of dO, all but the last group. */
VT_DEVICE void make_delta(const row_values &r, const pair_tiles &t)
{
    copy_wait<1>();
    const int thread = thread_again(), chunk = thread % TILE_CHUNKS, first = thread / TILE_CHUNKS;
    const bf16 *mine = t.d_o + tile_at(first, chunk);
#pragma unroll
    for (int i = 0; i < TURNS; i++) {
        const int row = first + i * ROWS_A_TURN;
        if ((i + 1) * ROWS_A_TURN > ROWS && row >= ROWS) break; /* whole warps */
        const floats<8> a = unpack<bf16, 8>(r.out[i]);
        const floats<8> b = unpack<bf16, 8>(*reinterpret_cast<const word4 *>(mine + i * ROWS_A_TURN * TILE_WIDTH));
        float sum = 0;
#pragma unroll
        for (int e = 0; e < 8; e++) sum = fmaf(a.v[e], b.v[e], sum);
#pragma unroll
        for (int lanes = 1; lanes < TILE_CHUNKS; lanes *= 2) sum += shfl_xor(FULL_WARP, sum, lanes);
        if (chunk == 0) t.delta[row] = sum;
    }
    if (thread < ROWS) t.lse2[thread] = r.lse * LOG2E;
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

/* dS^T of keys in tiles from N on, which nobody makes, is zero for all heads; the rest is overwritten. */
VT_DEVICE void clear_ds(const pair_tiles &t)
{
    const word4 zeros = {{0, 0, 0, 0}};
    for (int i = (int)threadIdx.x; i < 3 * TILE / VECTOR<bf16>; i += THREADS)
        reinterpret_cast<word4 *>(t.ds)[i] = zeros;
}

/* Queries are worked on in two parts: S^T and dP^T are [64, 112], then [64, 96], beside dV and dK. Whole, [64, 208],
 * they leave no registers for addresses: nvcc 13.0 spilled 108 bytes. */
enum { PART_0 = 112, PART_1 = ROWS - PART_0 };

/* Packs P^T and dS^T of the queries from FIRST on, from S^T in s and dP^T in dp, which waits until here. live: masks of
 * this thread's two keys. */
template <int FIRST, int R, int A>
VT_DEVICE void make_pairs(uint32_t (&p_pairs)[A], uint32_t (&ds_pairs)[A], float (&s)[R], float (&dp)[R],
                          const pair_tiles &t, float c, const uint32_t (&live)[2])
{
    const float *lse2 = t.lse2 + FIRST + fragment_col(), *delta = t.delta + FIRST + fragment_col();
#pragma unroll
    for (int i = 0; i < R; i++) s[i] = fast_exp2(fmaf(s[i], c, -lse2[i / 4 * 8 + i % 2]));
    wgmma_wait<0>(dp);
#pragma unroll
    for (int i = 0; i < R; i++) dp[i] = s[i] * (dp[i] - delta[i / 4 * 8 + i % 2]);
    pack_pairs(p_pairs, s);
    pack_pairs(ds_pairs, dp);
#pragma unroll
    for (int i = 0; i < A; i++) ds_pairs[i] &= live[i % 2]; /* exp(-lse) may be infinite there */
}

/* dS^T of 64 keys and the queries from FIRST on to its tiles, which have no rows for keys from 208 on. */
template <int FIRST, int A> VT_DEVICE void keep_ds(const uint32_t (&pairs)[A], int key, const pair_tiles &t)
{
    const int thread = thread_again(), lane = thread % WARP, mine = key + thread % WARPGROUP / WARP * 16;
    if (mine >= ROWS) return;
#pragma unroll
    for (int n = 0; n < A / 4; n++) { /* 16 queries */
        const uint32_t r[4] = {pairs[4 * n], pairs[4 * n + 1], pairs[4 * n + 2], pairs[4 * n + 3]};
        const int at = FIRST / 16 + n;
        store_matrix4(t.ds + at / 4 * TILE + tile_at(mine + lane % 16, at % 4 * 2 + lane / 16), r);
    }
}

/* dV_j, dK_j and the rows of dS^T of 64 keys. */
VT_DEVICE void key_tile(const pair_problem &p, const pair_tiles &t, const bf16 *k, int head, int first, int group)
{
    const uint64_t mk = tile_matrix_at(tile_matrix(k), first * ROW_BYTES);
    const uint64_t mv = tile_matrix_at(tile_matrix(t.v), first * ROW_BYTES);
    const uint64_t mq = tile_matrix(t.q), mdo = tile_matrix(t.d_o);
    const uint64_t mq_1 = tile_matrix_at(mq, PART_0 * ROW_BYTES), mdo_1 = tile_matrix_at(mdo, PART_0 * ROW_BYTES);
    const int row = first + fragment_row();
    const uint32_t live[2] = {row < p.tokens ? ~0u : 0u, row + 8 < p.tokens ? ~0u : 0u};
    const float c = p.scale * LOG2E;

    float dv[32], dk[32], s[PART_0 / 2], dp[PART_0 / 2];
    uint32_t p_pairs[PAIRS<PART_0>], ds_pairs[PAIRS<PART_0>];
    wgmma_fence(s, dp);
    begin_scores(s, mk, mq);
    begin_scores(dp, mv, mdo);
    wgmma_wait<1>(s);
    make_pairs<0>(p_pairs, ds_pairs, s, dp, t, c, live);

    float s_1[PART_1 / 2], dp_1[PART_1 / 2];
    uint32_t p_pairs_1[PAIRS<PART_1>], ds_pairs_1[PAIRS<PART_1>];
    wgmma_fence(p_pairs, ds_pairs, dv, dk, s_1);
    begin_product(dv, p_pairs, mdo);
    begin_product(dk, ds_pairs, mq);
    begin_scores(s_1, mk, mq_1);
    wgmma_wait<1>(dv, dk); /* so their operands are free before dP^T wants registers */
    keep_ds<0>(ds_pairs, first, t); /* in flight they may not even be read */
    wgmma_fence(dp_1);
    begin_scores(dp_1, mv, mdo_1);
    wgmma_wait<1>(s_1);
    make_pairs<PART_0>(p_pairs_1, ds_pairs_1, s_1, dp_1, t, c, live);

    wgmma_fence(p_pairs_1, dv);
    begin_product<true>(dv, p_pairs_1, mdo_1);
    group_sync(1 + group, WARPGROUP); /* V_j is dead */
    keep_ds<PART_0>(ds_pairs_1, first, t);
    wgmma_fence(ds_pairs_1, dk);
    begin_product<true>(dk, ds_pairs_1, mq_1);
    const head_place at = place_of(head, p.tokens, p.heads);
    bf16 *to = p.dqkv + at.qkv + at.width;
    wgmma_wait<1>(dv);
    store_rows(to + at.width, first, p.tokens, at.stride, dv, 1, 1, stage_of(t));
    wgmma_wait<0>(dk);
    store_rows(to, first, p.tokens, at.stride, dk, p.scale, p.scale, stage_of(t));
}

VT_DEVICE void key_tiles(const pair_problem &p, const pair_tiles &t, const bf16 *k, int head, int group)
{
#pragma unroll 1
    for (int first = group * M_TILE; first < p.tokens; first += 2 * M_TILE) key_tile(p, t, k, head, first, group);
}

VT_DEVICE void query_tile(const pair_problem &p, const head_place &at, const pair_tiles &t, const bf16 *k, int first)
{
    float dq[32];
    const uint64_t mds = tile_matrix_at(tile_matrix(t.ds), first * ROWS * 2), mk = tile_matrix(k);
    wgmma_fence(dq);
    wgmma<false, MN_MAJOR, MN_MAJOR>(dq, mds, mk);
#pragma unroll
    for (int step = 1; step < K_STEPS; step++)
        wgmma<true, MN_MAJOR, MN_MAJOR>(dq, tile_matrix_at(mds, step * ROWS_STEP),
                                        tile_matrix_at(mk, step * ROWS_STEP));
    wgmma_commit();
    wgmma_wait<0>(dq);
    store_rows(p.dqkv + at.qkv, first, p.tokens, at.stride, dq, p.scale, p.scale, stage_of(t));
}

/* dQ of this head; what the next one needs. */
VT_DEVICE void query_tiles(const pair_problem &p, const pair_tiles &t, const bf16 *k, int head, int group)
{
    const int next_head = head + (int)gridDim.x;
    const bool more = next_head < p.count;
    const head_place at = place_of(head, p.tokens, p.heads), next = place_of(next_head, p.tokens, p.heads);
    row_values values;
    if (more) {
        load_q_and_dout(p, next, t);
        load_row_values(values, p, next);
    }
    /* The fourth tile first, since the next V waits for it. */
    const int early = group ? 3 * M_TILE : 0, late = group ? M_TILE : 2 * M_TILE;
    if (early < p.tokens) query_tile(p, at, t, k, early);
    block_sync();
    if (more) {
        load_v(p, next, t);
        make_delta(values, t);
    }
    if (late < p.tokens) query_tile(p, at, t, k, late);
}

/* ---- kernel ------------------------------------------------------------------------------------------------------ */

/* `count` heads: block b takes b, b + gridDim.x, ... */
__global__ void __launch_bounds__(THREADS, 1)
attention_hopper_pair_kernel(const bf16 *dout,  // [B, N, H, 64]
                             const bf16 *qkv,   // [B, N, 3, H, 64]
                             const bf16 *out,   // [B, N, H, 64]
                             const float *lse,  // [B, H, N]
                             bf16 *dqkv,        // [B, N, 3, H, 64]
                             int tokens, int heads, int count, float scale)
{
    const pair_problem p = {dout, qkv, out, lse, dqkv, tokens, heads, count, scale};
    const pair_tiles t = take_tiles();
    const int group = this_group();
    {
        const head_place at = place_of((int)blockIdx.x, tokens, heads);
        row_values values;
        load_k(p, at, t.k);
        load_q_and_dout(p, at, t);
        load_v(p, at, t);
        load_row_values(values, p, at);
        make_delta(values, t);
    }
    clear_ds(t);
    bf16 *k = t.k;
#pragma unroll 1
    for (int head = (int)blockIdx.x; head < count; head += (int)gridDim.x) {
        tiles_arrive<0>();
        prefetch_next(p, t, k, head + (int)gridDim.x);
        key_tiles(p, t, k, head, group);
        fence_proxy_async(); /* of dS^T */
        block_sync();
        query_tiles(p, t, k, head, group);
        k = other_k(t, k);
    }
}

/* ---- launcher ---------------------------------------------------------------------------------------------------- */

void attention_hopper_backward_pair(const vt_run *r, const attention_problem *p, const bf16 *dout, const bf16 *qkv,
                                    const bf16 *out, const float *lse, bf16 *dqkv)
{
    const int count = p->batch * p->heads, sms = vt_cuda_of(r)->sms;
    const dim3 blocks((unsigned)(count < sms ? count : sms));
    launch(r, attention_hopper_pair_kernel, blocks, dim3(THREADS), PAIR_SMEM, dout, qkv, out, lse, dqkv, p->tokens,
           p->heads, count, p->scale);
}
