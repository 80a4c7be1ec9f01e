/* attention_hopper: a whole head in one block of one warpgroup, for sm_90a, bf16, head width 64, up to 200 tokens.
 *
 * Bytes a head: forward (3 + 1) N * 64 * 2, 101 KB at N = 197; backward (4 + 3) N * 64 * 2, 177 KB. FLOPs: 4 N^2 * 64
 * and 14 N^2 * 64 (scores are computed again, once by rows and once by columns). Both are bound by memory: the blocks
 * of an SM (three, two) overlap each other's loads, products and stores, so none loops over heads.
 *
 * Tiles are [KEYS, 64], KEYS the least of 56, 72, 136, 200 that holds N; rows from N on are zeros. Products take M in
 * steps of 64 rows and K in steps of 16, so they run over a tile's end into what lies behind it: there M only makes
 * rows that nobody stores, and K meets zeros in the other operand.
 *
 *   forward, shared memory [Q][V][K], by query tile: S = Q_i K^T; softmax in registers (a row is four threads'); P
 *     packed to bf16 as operand A; O = P V; O / sum through Q_i's own rows to 16-byte stores.
 *   backward, [Q][dO][K][V][64 rows to store through]:
 *     by query tile: S, dP = dO_i V^T; P from lse; delta = rowsum(P * dP); dS = P * (dP - delta); dQ = dS K.
 *     by key tile: S^T = K_j Q^T, dP^T = V_j dO^T; P^T; dS^T; dV = P^T dO, dK = dS^T Q.
 *     Each output has one writer; no transposes, no atomics. out is not read.
 *
 * Copies are cp.async of 16 bytes rather than TMA: see ptx_hopper.cuh. Not run on hardware yet: the simulator's twins
 * follow the PTX ISA's text, and see neither proxies nor time. */
#include "attention.cuh"
#include "ptx_hopper.cuh"

enum { DIM = 64, M_TILE = 64, K_STEP = 16 };
enum { ROW_BYTES = TILE_WIDTH * 2, COLS_STEP = K_STEP * 2, ROWS_STEP = K_STEP * ROW_BYTES }; /* in bytes */

static constexpr float LOG2E = 1.4426950408889634f;

/* Where a block's head is: q, k and v begin at qkv, qkv + width, qkv + 2 * width, their rows `stride` apart; out's rows
 * are `width` apart. */
typedef struct head_place {
    int64_t qkv, out, lse; /* offsets, in elements */
    int stride, width;     /* 3*H*D, H*D */
} head_place;

VT_DEVICE head_place place_of(int tokens, int heads)
{
    const int b = (int)blockIdx.x / heads, h = (int)blockIdx.x % heads, width = heads * DIM;
    const int64_t token = (int64_t)b * tokens;
    head_place p = {token * 3 * width + h * DIM, token * width + h * DIM, (int64_t)blockIdx.x * tokens, 3 * width,
                    width};
    return p;
}

/* Rows of this thread's fragments in a tile of 64: this one and this + 8. Columns: 8n + fragment_col() and the next. */
VT_DEVICE int fragment_row() { return (int)(threadIdx.x / WARP * 16 + threadIdx.x % WARP / 4); }
VT_DEVICE int fragment_col() { return (int)(threadIdx.x % 4 * 2); }

/* Begins to copy from [tokens, 64], rows `stride` apart, into a tile of ROWS; those from `tokens` on become zeros. */
template <int ROWS> VT_DEVICE void load_tile(bf16 *tile, const bf16 *from, int tokens, int stride)
{
    constexpr int STEP = WARPGROUP / TILE_CHUNKS; /* rows a turn: a multiple of 8, the swizzle stays the same */
    const int chunk = (int)(threadIdx.x % TILE_CHUNKS), first = (int)(threadIdx.x / TILE_CHUNKS);
    bf16 *to = tile + tile_at(first, chunk);
    from += first * stride + chunk * VECTOR<bf16>;
#pragma unroll
    for (int i = 0; i < (ROWS + STEP - 1) / STEP; i++, from += STEP * stride)
        if ((i + 1) * STEP <= ROWS || first + i * STEP < ROWS)
            copy_async(to + i * STEP * TILE_WIDTH, from, first + i * STEP < tokens);
}

/* All threads' copies but the PENDING last groups are in shared memory, for wgmma and for everyone. */
template <int PENDING> VT_DEVICE void tiles_arrive()
{
    copy_wait<PENDING>();
    fence_proxy_async();
    block_sync();
}

/* d [64, 2 * R] = a b^T with a [64, 64] and b [2 * R, 64] in tiles; begins, as one group. */
template <int R> VT_DEVICE void begin_scores(float (&d)[R], uint64_t a, uint64_t b)
{
    wgmma<false, K_MAJOR, K_MAJOR>(d, a, b);
#pragma unroll
    for (int step = 1; step < DIM / K_STEP; step++)
        wgmma<true, K_MAJOR, K_MAJOR>(d, tile_matrix_at(a, step * COLS_STEP),
                                      tile_matrix_at(b, step * COLS_STEP));
    wgmma_commit();
}

/* d [64, 64] = a b with a [64, 4 * R] in registers, b a tile of 4 * R rows; begins, as one group. */
template <int R> VT_DEVICE void begin_product(float (&d)[32], const uint32_t (&a)[R], uint64_t b)
{
    wgmma<false, MN_MAJOR>(d, a, b);
#pragma unroll
    for (int step = 1; step < R / 4; step++)
        wgmma<true, MN_MAJOR>(d, a + step * 4, tile_matrix_at(b, step * ROWS_STEP));
    wgmma_commit();
}

/* Registers of operand A made of accumulators [64, KEYS]: two a column group, the last step filled up with zeros. */
template <int KEYS> constexpr int PAIRS = (KEYS + K_STEP - 1) / K_STEP * 4;

template <int R, int A> VT_DEVICE void pack_pairs(uint32_t (&a)[A], const float (&d)[R])
{
#pragma unroll
    for (int i = 0; i < A; i++) a[i] = 2 * i + 1 < R ? pack_bf16(d[2 * i], d[2 * i + 1]) : 0;
}

VT_DEVICE float quad_sum(float v) /* over the four threads that share a row */
{
    v += shfl_xor(FULL_WARP, v, 1);
    return v + shfl_xor(FULL_WARP, v, 2);
}

VT_DEVICE float quad_max(float v)
{
    v = fmaxf(v, shfl_xor(FULL_WARP, v, 1));
    return fmaxf(v, shfl_xor(FULL_WARP, v, 2));
}

/* Stores d [64, 64], its rows times f0 (row) and f1 (row + 8), to rows `first` and on of `to` [tokens, 64], `stride`
 * apart, through `stage`: 64 rows of a tile, of which each warp uses its own 16. */
VT_DEVICE void store_rows(bf16 *to, int first, int tokens, int stride, const float (&d)[32], float f0, float f1,
                          bf16 *stage)
{
    const unsigned lane = threadIdx.x % WARP, mine = threadIdx.x / WARP * 16;
#pragma unroll
    for (int n = 0; n < 4; n++) { /* 16 columns: matrices (rows 0-7, 8-15) x (columns 0-7, 8-15) */
        const float *v = d + 8 * n;
        const uint32_t r[4] = {pack_bf16(v[0] * f0, v[1] * f0), pack_bf16(v[2] * f1, v[3] * f1),
                               pack_bf16(v[4] * f0, v[5] * f0), pack_bf16(v[6] * f1, v[7] * f1)};
        store_matrix4(stage + tile_at(mine + lane % 16, 2 * n + lane / 16), r);
    }
    warp_sync();
    const int chunk = (int)(lane % TILE_CHUNKS);
    word4 words[4];
#pragma unroll
    for (int i = 0; i < 4; i++)
        words[i] = *reinterpret_cast<const word4 *>(stage + tile_at((int)(mine + i * 4 + lane / TILE_CHUNKS), chunk));
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int row = first + (int)(mine + i * 4 + lane / TILE_CHUNKS);
        if (row < tokens) store_words(to + row * stride + chunk * VECTOR<bf16>, words[i]);
    }
    warp_sync(); /* the stage is free again */
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

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
    const head_place p = place_of(tokens, heads);
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

/* ---- backward ---------------------------------------------------------------------------------------------------- */

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
    const head_place p = place_of(tokens, heads);
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

/* ---- launchers --------------------------------------------------------------------------------------------------- */

bool attention_hopper_fits(const vt_cuda *cuda, const attention_problem *p)
{
    return cuda->arch == 90 && p->dim == DIM && p->tokens <= 200 && p->scale > 0 && !p->bias && p->dropout == 0;
}

/* The instances, f(KEYS, LOW, blocks an SM of forward, of backward), for LOW < N <= KEYS. */
#define DISPATCH_TOKENS(tokens, f)                \
    do {                                          \
        if ((tokens) <= 56) f(56, 0, 6, 4);       \
        else if ((tokens) <= 72) f(72, 56, 5, 3); \
        else if ((tokens) <= 136) f(136, 72, 4, 2);\
        else f(200, 136, 3, 2);                   \
    } while (0)

void attention_hopper_forward(const vt_run *r, const attention_problem *p, const bf16 *qkv, bf16 *out, float *lse)
{
    const dim3 heads((unsigned)(p->batch * p->heads));
#define FORWARD(KEYS, LOW, BLOCKS, _)                                                                      \
    launch(r, attention_hopper_forward_kernel<KEYS, LOW, BLOCKS>, heads, dim3(WARPGROUP), FORWARD_SMEM<KEYS>, \
           qkv, out, lse, p->tokens, p->heads, p->scale)
    DISPATCH_TOKENS(p->tokens, FORWARD);
#undef FORWARD
}

void attention_hopper_backward(const vt_run *r, const attention_problem *p, const bf16 *dout, const bf16 *qkv,
                               const bf16 *out, const float *lse, bf16 *dqkv)
{
    (void)out; /* delta comes from the probabilities */
    const dim3 heads((unsigned)(p->batch * p->heads));
#define BACKWARD(KEYS, LOW, _, BLOCKS)                                                                       \
    launch(r, attention_hopper_backward_kernel<KEYS, LOW, BLOCKS>, heads, dim3(WARPGROUP), BACKWARD_SMEM<KEYS>, \
           dout, qkv, lse, dqkv, p->tokens, p->heads, p->scale)
    DISPATCH_TOKENS(p->tokens, BACKWARD);
#undef BACKWARD
}
