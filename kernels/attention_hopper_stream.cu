/* attention_hopper_stream.cu - attention's forward for sm_90a, bf16, head width 64 and any number of tokens: keys and
 * values pass by in tiles of 64 under an online softmax (Milakov and Gimelshein, 2018; Dao, 2023).
 *
 * A block of two warpgroups has 128 queries of a head, an SM two blocks. By tile t, in each warpgroup:
 *     S_{t+1} = Q K_{t+1}^T, in the registers of S_t, and behind it O += P_t V_t; only S is waited for;
 *     softmax of S_{t+1} in registers, while the products with V_t are under way; P_{t+1} packed to bf16.
 * Q stays in registers as operand A: a product of 64 columns with both operands in shared memory would read all of
 * the 128 bytes a clock that come from there. A stage of the ring holds K_{t+1} and V_t: what is read between two
 * barriers. Where one warpgroup waits for S or for the barrier the three others have work.
 *
 * Sums are relative to a row's maximum, which is only replaced when it falls 2^8 behind (as in FlashAttention-4): O is
 * rarely rescaled, and nothing is lost, as fp32 and bf16 are as exact at 2^8 as at 1. Of a last tile with up to 16 keys
 * only as many columns are computed: a class token makes N = 64 k + 1.
 *
 * Bytes a head: (3 + 1) N * 64 * 2 from memory; K and V from L2 once for each 128 queries. FLOPs: 4 N^2 * 64. */
#include "attention_hopper.cuh"

enum { GROUPS = 2, THREADS = GROUPS * WARPGROUP, QUERIES = GROUPS * M_TILE };
enum { KEYS = 64, STAGES = 4, TILE = KEYS * TILE_WIDTH, FEW = 16 }; /* FEW: keys that a short last tile may have */
static constexpr float BEHIND = 8; /* powers of 2 by which a row's maximum may be too low */

static constexpr size_t STREAM_SMEM = smem_bytes<bf16>(QUERIES * TILE_WIDTH) + smem_bytes<bf16>(STAGES * 2 * TILE);

/* ---- keys and values --------------------------------------------------------------------------------------------- */

/* A pair is K_{pair+1} and V_pair; of each a thread copies its chunk of every THREADS / 8-th row. */
typedef struct key_stream {
    const bf16 *v;       /* the first row's chunk, of the pair to copy next */
    int left;            /* rows from there to the last token's */
    bf16 *ring;          /* [STAGES]: K, V */
    int pair, at;        /* the pair to copy next; this thread's chunk in a tile */
    int stride, width;
} key_stream;

VT_DEVICE bf16 *stage_of(const key_stream &s, int pair) { return s.ring + pair % STAGES * (2 * TILE); }

VT_DEVICE key_stream open_stream(const bf16 *qkv, const head_place &p, bf16 *ring, int tokens)
{
    const int row = (int)threadIdx.x / TILE_CHUNKS, chunk = (int)threadIdx.x % TILE_CHUNKS;
    const bf16 *v = qkv + p.qkv + 2 * p.width + row * p.stride + chunk * VECTOR<bf16>;
    return {v, tokens - row, ring, 0, tile_at(row, chunk), p.stride, p.width};
}

/* Begins to copy the next pair, as one group; zeros behind the last token. */
VT_DEVICE void load_pair(key_stream &s)
{
    constexpr int STEP = THREADS / TILE_CHUNKS; /* rows a turn */
    bf16 *to = stage_of(s, s.pair) + s.at;
    const int64_t tile = (int64_t)KEYS * s.stride;
    const bf16 *k = s.v + tile - s.width;
#pragma unroll
    for (int row = 0; row < KEYS; row += STEP)
        copy_async(to + row * TILE_WIDTH, k + (int64_t)row * s.stride, s.left > KEYS + row);
#pragma unroll
    for (int row = 0; row < KEYS; row += STEP)
        copy_async(to + TILE + row * TILE_WIDTH, s.v + (int64_t)row * s.stride, s.left > row);
    copy_commit();
    s.v += tile;
    s.left -= KEYS;
    s.pair++;
}

/* ---- softmax ----------------------------------------------------------------------------------------------------- */

/* Of this thread's two rows. Sums are relative to a row's maximum, not far behind: 2^-less. */
typedef struct row_state {
    float less[2], limit[2]; /* -c * that maximum; up to where scores may rise without a new one */
    float sum[2];            /* of this thread's columns */
} row_state;

/* s becomes exp2(c * s + less) in its first 2 * R columns, 0 in those from `live` on. True if o is to be multiplied by
 * `shrink`: the same for all threads of a row. */
template <int R, bool MASKED>
VT_DEVICE bool softmax_tile(float (&s)[32], float c, int live, row_state &rows, float (&shrink)[2])
{
    float most[2] = {-INFINITY, -INFINITY};
    const int columns = live - fragment_col();
#pragma unroll
    for (int i = 0; i < R; i++) {
        if (MASKED && i / 4 * 8 + i % 2 >= columns) s[i] = -INFINITY;
        most[i / 2 % 2] = fmaxf(most[i / 2 % 2], s[i]);
    }
    most[0] = quad_max(most[0]);
    most[1] = quad_max(most[1]);
    const bool behind = most[0] > rows.limit[0] || most[1] > rows.limit[1];
    if (behind) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const float less = fminf(rows.less[half], -c * most[half]);
            shrink[half] = fast_exp2(less - rows.less[half]);
            rows.sum[half] *= shrink[half];
            rows.less[half] = less;
            rows.limit[half] = (BEHIND - less) * fast_rcp(c);
        }
    }
#pragma unroll
    for (int i = 0; i < R; i++) {
        s[i] = fast_exp2(fmaf(s[i], c, rows.less[i / 2 % 2]));
        rows.sum[i / 2 % 2] += s[i];
    }
    return behind;
}

VT_DEVICE void rescale(float (&o)[32], const float (&shrink)[2])
{
#pragma unroll
    for (int i = 0; i < 32; i++) o[i] *= shrink[i / 2 % 2];
}

/* ---- one warpgroup ----------------------------------------------------------------------------------------------- */

/* s, exponentials of tile t, becomes p, then the scores of the next, which are waited for; begins o += p V_t. */
VT_DEVICE void next_tile(key_stream &from, int t, uint32_t (&q)[16], float (&s)[32], uint32_t (&p)[16],
                         float (&o)[32])
{
    pack_pairs(p, s);
    tiles_arrive<STAGES - 2>(); /* pair t is here; all are done with pair t - 1 */
    wgmma_fence(q, p, s, o);
    const uint64_t k = tile_matrix(stage_of(from, t));
    begin_scores(s, q, k);
    begin_product<true>(o, p, tile_matrix_at(k, TILE * sizeof(bf16)));
    load_pair(from);
    wgmma_wait<1>(s);
}

/* o [64, 64] = sums, to be divided by those of `rows`, for this warpgroup's queries. */
VT_DEVICE void attend(key_stream &from, const bf16 *q_tile, int tokens, float (&o)[32], float c, row_state &rows)
{
    float s[32], shrink[2];
    uint32_t q[16], p[16], few[4];
    tiles_arrive<STAGES - 1>();
    load_rows(q, q_tile);
    wgmma_fence(q, s);
    begin_scores(s, q, tile_matrix(stage_of(from, STAGES - 1)));
    wgmma_wait<0>(s);
    const int last = (tokens - 1) / KEYS, live = tokens - last * KEYS;
    /* A pass begins with the end of its softmax: else the compiler moves exponentials behind the wait for o. */
    bool behind = last > 0 && softmax_tile<32, false>(s, c, KEYS, rows, shrink);
#pragma unroll 1
    for (int t = 0; t < last; t++) {
        wgmma_wait<0>(o);
        if (behind) rescale(o, shrink);
        next_tile(from, t, q, s, p, o);
        if (t + 1 < last) behind = softmax_tile<32, false>(s, c, KEYS, rows, shrink);
    }
    if (live <= FEW) behind = softmax_tile<FEW / 2, true>(s, c, live, rows, shrink);
    else behind = softmax_tile<KEYS / 2, true>(s, c, live, rows, shrink);
    wgmma_wait<0>(o);
    if (behind) rescale(o, shrink);
    tiles_arrive<0>();
    const uint64_t v = tile_matrix(stage_of(from, last) + TILE);
    if (live <= FEW) {
        pack_pairs(few, s);
        wgmma_fence(few, o);
        begin_product<true>(o, few, v);
    } else {
        pack_pairs(p, s);
        wgmma_fence(p, o);
        begin_product<true>(o, p, v);
    }
    wgmma_wait<0>(o);
}

/* As attend, of a warpgroup without queries: it copies its part of the tiles, and meets the other one. */
VT_DEVICE void attend_nothing(key_stream &from, int tokens)
{
    tiles_arrive<STAGES - 1>();
#pragma unroll 1
    for (int t = 0; t < (tokens - 1) / KEYS; t++) {
        tiles_arrive<STAGES - 2>();
        load_pair(from);
    }
    tiles_arrive<0>();
}

__global__ void __launch_bounds__(THREADS, 4 / GROUPS)
attention_hopper_stream_kernel(const bf16 *qkv,      // [B, N, 3, H, 64]
                               bf16 *out,            // [B, N, H, 64]
                               float *lse,           // [B, H, N]
                               int tokens, int heads, float scale)
{
    smem_cursor at = smem_open();
    bf16 *q = smem_take<bf16>(at, QUERIES * TILE_WIDTH, TILE_ALIGN);
    bf16 *ring = smem_take<bf16>(at, STAGES * 2 * TILE, TILE_ALIGN);
    const int blocks = (tokens + QUERIES - 1) / QUERIES, block = (int)blockIdx.x % blocks * QUERIES;
    const head_place p = place_of((int)blockIdx.x / blocks, tokens, heads);
    const int group = this_group(), first = block + group * M_TILE;
    key_stream from = open_stream(qkv, p, ring, tokens);
    load_tile<QUERIES, THREADS>(q, qkv + p.qkv + (int64_t)block * p.stride, tokens - block, p.stride);
    load_tile<KEYS, THREADS>(stage_of(from, STAGES - 1), qkv + p.qkv + p.width, tokens, p.stride); /* K_0 */
    copy_commit();
    for (int pair = 0; pair < STAGES - 1; pair++) load_pair(from);
    q += group * M_TILE * TILE_WIDTH;
    if (first >= tokens) {
        attend_nothing(from, tokens);
        return;
    }

    float o[32] = {};
    row_state rows = {{INFINITY, INFINITY}, {-INFINITY, -INFINITY}, {0, 0}};
    attend(from, q, tokens, o, scale * LOG2E, rows);
    const float sum[2] = {quad_sum(rows.sum[0]), quad_sum(rows.sum[1])};
    const int half = fragment_col() / 2, row = first + fragment_row() + half * 8;
    if (half < 2 && row < tokens)
        lse[p.lse + row] = logf(half ? sum[1] : sum[0]) - (half ? rows.less[1] : rows.less[0]) * (1 / LOG2E);
    store_rows(out + p.out + (int64_t)first * p.width, 0, tokens - first, p.width, o, fast_rcp(sum[0]),
               fast_rcp(sum[1]), q);
}

/* ---- launcher ---------------------------------------------------------------------------------------------------- */

void attention_hopper_forward_stream(const vt_run *r, const attention_problem *p, const bf16 *qkv, bf16 *out,
                                     float *lse)
{
    const int64_t blocks = ceil_div(p->tokens, QUERIES) * p->heads * p->batch;
    launch(r, attention_hopper_stream_kernel, dim3((unsigned)blocks), dim3(THREADS), STREAM_SMEM, qkv, out, lse,
           p->tokens, p->heads, p->scale);
}
