/* attention_hopper_stream_grad.cu - attention's gradient for sm_90a, bf16, head width 64, any number of tokens.
 *
 *   p_ij = exp(scale q_i . k_j - lse_i),  dp_ij = dout_i . v_j,  ds_ij = p_ij (dp_ij - delta_i)
 *   dv_j = sum_i p_ij dout_i,  dk_j = scale sum_i ds_ij q_i,  dq_i = scale sum_j ds_ij k_j
 *
 * Two passes, each output in one block and in one order. A block's three warpgroups have 64 rows of a head each, past
 * which tiles of 64 other rows stream through four stages:
 *   queries: delta_i = rowsum(dO_i * O_i), kept; S = Q_i K_j^T, dP = dO_i V_j^T; dS in registers; dQ_i += dS K_j.
 *   keys:    S^T = K_j Q_i^T, dP^T = V_j dO_i^T; P^T, dS^T in registers; dV_j += P^T dO_i, dK_j += dS^T Q_i.
 * A tile's scores follow the last one's products into the tensor cores without a pause; while one warpgroup makes
 * exponentials, others multiply. One block an SM goes from rows to rows: what the next ones need is copied in time.
 *
 * Bytes: 16 * B * N * H * 64 at least (qkv, dout, out, dqkv); 8 more where the second pass finds no qkv and dout in L2.
 * FLOPs: 14 * B * H * N^2 * 64, scores and dP made twice. Bound by the tensor cores: a pair of tiles takes 512 clocks
 * of them for keys and 384 for queries, and 256 of the units that make exponentials. */
#include "attention_hopper.cuh"

enum { GROUPS = 3, THREADS = GROUPS * WARPGROUP, OWN_ROWS = GROUPS * M_TILE };
enum { TILE = M_TILE * TILE_WIDTH, OWN = GROUPS * TILE, STAGE = 2 * TILE, STAGES = 4 };
enum { FEW = K_STEP }; /* rows of a short last tile, which takes shorter products: a class token makes N = 64 k + 1 */
enum { FIRST_GROUP = 1 /* barrier */ };

/* ---- the work ---------------------------------------------------------------------------------------------------- */

typedef struct stream_problem {
    const bf16 *dout, *qkv;    /* [B, N, H, 64], [B, N, 3, H, 64] */
    const bf16 *out;           /* [B, N, H, 64] */
    const float *lse;          /* [B, H, N] */
    float *delta;              /* [B, H, N], of dQ's kernel for the other */
    bf16 *dqkv;                /* [B, N, 3, H, 64] */
    int tokens, heads;
    int tiles, whole;          /* of a head, two at least; without one of few rows */
    int blocks, items;         /* of 192 rows: of a head, of all */
    float scale;
} stream_problem;

/* What a block does after the other: tiles past the rows of its items. */
typedef struct step {
    int item, turn, tile;      /* turn: items before it; tile: 0 to tiles - 1 */
    int64_t from, lse;         /* where this warpgroup's copy begins; the head's lse and delta */
} step;

/* Blocks go over the items side by side, since those of a head share its lines in L2. Each turn begins a block further
 * on: the last item of a head is shorter, and no block shall have those of all heads. */
VT_DEVICE int item_after(int item)
{
    const int grid = (int)gridDim.x;
    return item + (item % grid + 1 < grid ? grid + 1 : 1);
}

/* The first of an item's own rows. */
VT_DEVICE int first_row(const stream_problem &p, int item) { return item % p.blocks * OWN_ROWS; }

/* ---- copies ------------------------------------------------------------------------------------------------------ */

/* Shared memory. KEYS: own are K and V, Q and dO stream; else own are Q, dO and O, K and V stream. Statistics,
 * lse * -log2 e and -delta: KEYS: [STAGES][2][64], of the queries that stream; else [2][2][192], of the own. */
typedef struct room {
    bf16 *own, *ring;          /* [2][2 or 3][192, 64], [STAGES][2][64, 64] */
    float *stats;
} room;

template <bool KEYS> constexpr int OWNS = (KEYS ? 2 : 3) * OWN;
template <bool KEYS> constexpr int STATS = KEYS ? (int)M_TILE : (int)OWN_ROWS;
template <bool KEYS> constexpr int ALL_STATS = 2 * STATS<KEYS> * (KEYS ? STAGES : 2);
template <bool KEYS> constexpr size_t STREAM_SMEM =
    smem_bytes<bf16>(2 * OWNS<KEYS> + STAGES * STAGE) + smem_bytes<float>(ALL_STATS<KEYS>);

template <bool KEYS> VT_DEVICE room take_room()
{
    smem_cursor at = smem_open();
    room m;
    m.own = smem_take<bf16>(at, 2 * OWNS<KEYS> + STAGES * STAGE, TILE_ALIGN);
    m.ring = m.own + 2 * OWNS<KEYS>;
    m.stats = smem_take<float>(at, ALL_STATS<KEYS>);
    return m;
}

template <bool KEYS> VT_DEVICE bf16 *own_of(const room &m, int turn) { return m.own + (turn & 1) * OWNS<KEYS>; }
VT_DEVICE bf16 *stage_of(const room &m, unsigned n) { return m.ring + n % STAGES * STAGE; }

/* This thread's, of a warpgroup or of all, of the statistics of queries `first` and on; delta for KEYS alone. From N on
 * they are 0: there P is 1, but dO, dP and dS are 0. */
template <bool KEYS> VT_DEVICE float stat_of(const stream_problem &p, int64_t lse, int first)
{
    const int thread = thread_again() % (2 * STATS<KEYS>), i = first + thread % STATS<KEYS>;
    if (i >= p.tokens) return 0;
    if (thread < STATS<KEYS>) return p.lse[lse + i] * -LOG2E;
    return KEYS ? -p.delta[lse + i] : 0;
}

/* Of step n, or of the own rows of turn n. */
template <bool KEYS> VT_DEVICE float *stats_of(const room &m, unsigned n)
{
    return m.stats + n % (KEYS ? STAGES : 2) * 2 * STATS<KEYS>;
}

template <bool KEYS> VT_DEVICE void put_stat(const room &m, unsigned n, int group, float stat)
{
    if (!KEYS || group == 2) stats_of<KEYS>(m, n)[thread_again() % (2 * STATS<KEYS>)] = stat;
}

/* Begins to copy the rows of an item. */
template <bool KEYS> VT_DEVICE void load_own(const stream_problem &p, bf16 *to, const head_place &at, int first)
{
    const bf16 *q = p.qkv + at.qkv + (int64_t)first * at.stride;
    const int64_t o = at.out + (int64_t)first * at.width;
    const int left = p.tokens - first;
    load_tile<OWN_ROWS, THREADS>(to, KEYS ? q + at.width : q, left, at.stride);
    if (KEYS) {
        load_tile<OWN_ROWS, THREADS>(to + OWN, q + 2 * at.width, left, at.stride);
    } else {
        load_tile<OWN_ROWS, THREADS>(to + OWN, p.dout + o, left, at.width);
        load_tile<OWN_ROWS, THREADS>(to + 2 * OWN, p.out + o, left, at.width);
    }
}

/* Begins to copy what step n wants, as one group: a tile of two matrices, by a warpgroup each; before the first also
 * the own rows. Returns this thread's statistic. s, the step, becomes the next one. */
template <bool KEYS> VT_DEVICE float load_step(const stream_problem &p, const room &m, step &s, unsigned n, int group)
{
    float stat = 0;
    if (s.item < p.items) {
        const int width = p.heads * DIM, first = s.tile * M_TILE;
        if (s.tile == 0) {
            const head_place at = place_of(s.item / p.blocks, p.tokens, p.heads);
            load_own<KEYS>(p, own_of<KEYS>(m, s.turn), at, first_row(p, s.item));
            s.from = KEYS ? (group == 1 ? at.out : at.qkv) : at.qkv + (1 + group) * width;
            s.lse = at.lse;
            if (!KEYS) stat = stat_of<KEYS>(p, s.lse, first_row(p, s.item));
        }
        if (group < 2) {
            const int stride = KEYS && group == 1 ? width : 3 * width;
            load_tile<M_TILE>(stage_of(m, n) + group * TILE, (KEYS && group == 1 ? p.dout : p.qkv) + s.from,
                              p.tokens - first, stride);
            s.from += M_TILE * stride;
        } else if (KEYS) {
            stat = stat_of<KEYS>(p, s.lse, first);
        }
        if (++s.tile == p.tiles) {
            s.tile = 0;
            s.item = item_after(s.item);
            s.turn++;
        }
    }
    copy_commit();
    return stat;
}

/* What step n wants is there for all. The last step but one has no products in flight: the next step but one's copies
 * begin. stat: of the next step, then of that one. */
template <bool KEYS>
VT_DEVICE void arrive(const stream_problem &p, const room &m, step &next, int turn, int tile, unsigned n, int group,
                      float &stat)
{
    if (KEYS) put_stat<KEYS>(m, n + 1, group, stat);
    else if (tile + 1 == p.tiles) put_stat<KEYS>(m, turn + 1, group, stat);
    tiles_arrive<1>();
    stat = load_step<KEYS>(p, m, next, n + 2, group);
}

/* ---- queries ----------------------------------------------------------------------------------------------------- */

/* delta of this warpgroup's rows, negated also to less [64]; each warp makes what it reads. d_o: dO, O lies behind. */
VT_DEVICE void make_delta(const stream_problem &p, float *less, const bf16 *d_o, int item, int first)
{
    const int thread = thread_again() % WARPGROUP, row = thread / 2, half = thread % 2 * (TILE_CHUNKS / 2);
    float sum = 0;
#pragma unroll
    for (int i = 0; i < TILE_CHUNKS / 2; i++) {
        const bf16 *at = d_o + tile_at(row, half + i);
        const floats<8> a = unpack<bf16, 8>(*reinterpret_cast<const word4 *>(at));
        const floats<8> b = unpack<bf16, 8>(*reinterpret_cast<const word4 *>(at + OWN));
#pragma unroll
        for (int e = 0; e < 8; e++) sum = fmaf(a.v[e], b.v[e], sum);
    }
    sum += shfl_xor(FULL_WARP, sum, 1);
    if (half == 0) less[row] = -sum;
    if (half == 0 && first + row < p.tokens) p.delta[(int64_t)(item / p.blocks) * p.tokens + first + row] = sum;
    warp_sync();
}

/* 2 * R keys of a tile past 64 queries, of which there may be but `keys`: dQ += dS K begins, as one group. st, dp: S
 * and dP, begun. */
template <int R>
VT_DEVICE void past_queries(float (&dq)[32], float (&st)[R], float (&dp)[R], uint32_t (&pairs)[R / 2], uint64_t mk,
                            const float (&less)[2], const float (&less_delta)[2], float c, int keys)
{
    wgmma_wait<1>(st, dq); /* dq: of the tile before, its pairs are free */
#pragma unroll
    for (int i = 0; i < R; i++) st[i] = fast_exp2(fmaf(st[i], c, less[i / 2 % 2]));
    wgmma_wait<0>(dp);
#pragma unroll
    for (int i = 0; i < R; i++) dp[i] = st[i] * (dp[i] + less_delta[i / 2 % 2]);
    if (keys < 2 * R) { /* exp(-lse) may be infinite */
        const int columns = keys - fragment_col();
#pragma unroll
        for (int i = 0; i < R; i++)
            if (i / 4 * 8 + i % 2 >= columns) dp[i] = 0;
    }
    pack_pairs(pairs, dp);
    wgmma_fence(pairs, dq);
    begin_product<true>(dq, pairs, mk);
}

/* dQ. Rows of queries from N on hold what nobody stores. */
__global__ void __launch_bounds__(THREADS, 1) attention_hopper_queries_kernel(stream_problem p)
{
    const room m = take_room<false>();
    const int group = this_group();
    const float c = p.scale * LOG2E;
    step next = {(int)blockIdx.x, 0, 0, 0, 0};
    put_stat<false>(m, 0, group, load_step<false>(p, m, next, 0, group));
    float stat = load_step<false>(p, m, next, 1, group);
    unsigned n = 0; /* steps done */
#pragma unroll 1
    for (int item = (int)blockIdx.x, turn = 0; item < p.items; item = item_after(item), turn++) {
        const int first = first_row(p, item) + group * M_TILE;
        if (first >= p.tokens) { /* copies for the others */
            for (int tile = 0; tile < p.tiles; tile++, n++) arrive<false>(p, m, next, turn, tile, n, group, stat);
            continue;
        }
        bf16 *own = own_of<false>(m, turn) + group * TILE;
        float dq[32] = {}, st[32], dp[32], st_few[FEW / 2], dp_few[FEW / 2], less[2], less_delta[2];
        uint32_t q[DIM / 4], d_o[DIM / 4], pairs[16], few[FEW / 4];
        int tile = 0;
#pragma unroll 1
        for (; tile < p.whole; tile++, n++) {
            arrive<false>(p, m, next, turn, tile, n, group, stat);
            if (tile == 0) {
                float *stats = stats_of<false>(m, (unsigned)turn) + group * M_TILE;
                make_delta(p, stats + OWN_ROWS, own + OWN, item, first);
                stats += fragment_row();
                load_rows(q, own);
                load_rows(d_o, own + OWN);
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    less[i] = stats[i * 8];
                    less_delta[i] = stats[OWN_ROWS + i * 8];
                }
            }
            const uint64_t mk = tile_matrix(stage_of(m, n)), mv = tile_matrix_at(mk, TILE * 2);
            wgmma_fence(q, d_o, st, dp);
            begin_scores(st, q, mk);
            begin_scores(dp, d_o, mv);
            past_queries(dq, st, dp, pairs, mk, less, less_delta, c, p.tokens - tile * M_TILE);
        }
        if (tile < p.tiles) {
            arrive<false>(p, m, next, turn, tile, n, group, stat);
            const uint64_t mk = tile_matrix(stage_of(m, n)), mv = tile_matrix_at(mk, TILE * 2);
            wgmma_fence(st_few, dp_few);
            begin_scores(st_few, tile_matrix(own), mk); /* not q and d_o, for want of registers */
            begin_scores(dp_few, tile_matrix(own + OWN), mv);
            past_queries(dq, st_few, dp_few, few, mk, less, less_delta, c, p.tokens - tile * M_TILE);
            n++;
        }
        wgmma_wait<0>(dq);
        group_sync(FIRST_GROUP + group, WARPGROUP); /* Q_i is dead: results leave through it */
        const head_place at = place_of(item / p.blocks, p.tokens, p.heads);
        store_rows(p.dqkv + at.qkv + (int64_t)first * at.stride, 0, p.tokens - first, at.stride, dq, p.scale, p.scale,
                   own);
    }
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

/* 2 * R queries of a tile past 64 keys: dV += P^T dO and dK += dS^T Q begin, as two groups. mk, mv: K_j, V_j. */
template <int R>
VT_DEVICE void past_keys(float (&dv)[32], float (&dk)[32], float (&st)[R], float (&dp)[R], uint32_t (&p_pairs)[R / 2],
                         uint32_t (&ds_pairs)[R / 2], uint64_t mk, uint64_t mv, const bf16 *stage, const float *stats,
                         float c)
{
    const uint64_t mq = tile_matrix(stage), mdo = tile_matrix_at(mq, TILE * 2);
    stats += fragment_col();
    wgmma_fence(st);
    begin_scores(st, mk, mq);
    wgmma_wait<1>(dv, dk); /* of the tile before: its pairs are free */
    wgmma_fence(dp);
    begin_scores(dp, mv, mdo);
    wgmma_wait<1>(st);
#pragma unroll
    for (int i = 0; i < R; i++) st[i] = fast_exp2(fmaf(st[i], c, stats[i / 4 * 8 + i % 2]));
    wgmma_wait<0>(dp);
#pragma unroll
    for (int i = 0; i < R; i++) dp[i] = st[i] * (dp[i] + stats[M_TILE + i / 4 * 8 + i % 2]);
    pack_pairs(p_pairs, st);
    pack_pairs(ds_pairs, dp);
    wgmma_fence(p_pairs, ds_pairs, dv, dk);
    begin_product<true>(dv, p_pairs, mdo);
    begin_product<true>(dk, ds_pairs, mq);
}

/* dK and dV. Rows of keys from N on hold what nobody stores. */
__global__ void __launch_bounds__(THREADS, 1) attention_hopper_keys_kernel(stream_problem p)
{
    const room m = take_room<true>();
    const int group = this_group();
    const float c = p.scale * LOG2E;
    step next = {(int)blockIdx.x, 0, 0, 0, 0};
    put_stat<true>(m, 0, group, load_step<true>(p, m, next, 0, group));
    float stat = load_step<true>(p, m, next, 1, group);
    unsigned n = 0; /* steps done */
#pragma unroll 1
    for (int item = (int)blockIdx.x, turn = 0; item < p.items; item = item_after(item), turn++) {
        const int first = first_row(p, item) + group * M_TILE;
        if (first >= p.tokens) { /* copies for the others */
            for (int tile = 0; tile < p.tiles; tile++, n++) arrive<true>(p, m, next, turn, tile, n, group, stat);
            continue;
        }
        bf16 *k = own_of<true>(m, turn) + group * TILE, *v = k + OWN;
        const uint64_t mk = tile_matrix(k), mv = tile_matrix(v);
        float dv[32] = {}, dk[32] = {}, st[32], dp[32], st_few[FEW / 2], dp_few[FEW / 2];
        uint32_t p_pairs[16], ds_pairs[16], p_few[FEW / 4], ds_few[FEW / 4];
        int tile = 0;
#pragma unroll 1
        for (; tile < p.whole; tile++, n++) {
            arrive<true>(p, m, next, turn, tile, n, group, stat);
            past_keys(dv, dk, st, dp, p_pairs, ds_pairs, mk, mv, stage_of(m, n), stats_of<true>(m, n), c);
        }
        if (tile < p.tiles) {
            arrive<true>(p, m, next, turn, tile, n, group, stat);
            past_keys(dv, dk, st_few, dp_few, p_few, ds_few, mk, mv, stage_of(m, n), stats_of<true>(m, n), c);
            n++;
        }
        wgmma_wait<0>(dv, dk);
        group_sync(FIRST_GROUP + group, WARPGROUP); /* K_j and V_j are dead: results leave through them */
        const head_place at = place_of(item / p.blocks, p.tokens, p.heads);
        bf16 *to = p.dqkv + at.qkv + at.width + (int64_t)first * at.stride;
        store_rows(to, 0, p.tokens - first, at.stride, dk, p.scale, p.scale, k);
        store_rows(to + at.width, 0, p.tokens - first, at.stride, dv, 1, 1, v);
    }
}

/* ---- launcher ---------------------------------------------------------------------------------------------------- */

void attention_hopper_backward_stream(const vt_run *r, const attention_problem *p, const bf16 *dout, const bf16 *qkv,
                                      const bf16 *out, const float *lse, float *delta, bf16 *dqkv)
{
    const int blocks = (int)ceil_div(p->tokens, OWN_ROWS), items = blocks * p->heads * p->batch;
    const int tiles = p->tokens > M_TILE ? (int)ceil_div(p->tokens, M_TILE) : 2, sms = vt_cuda_of(r)->sms;
    const int whole = p->tokens - (tiles - 1) * M_TILE > FEW ? tiles : tiles - 1;
    const stream_problem s = {dout, qkv, out, lse, delta, dqkv, p->tokens, p->heads, tiles, whole, blocks, items,
                              p->scale};
    const dim3 grid((unsigned)(items < sms ? items : sms));
    launch(r, attention_hopper_queries_kernel, grid, dim3(THREADS), STREAM_SMEM<false>, s);
    launch(r, attention_hopper_keys_kernel, grid, dim3(THREADS), STREAM_SMEM<true>, s);
}
