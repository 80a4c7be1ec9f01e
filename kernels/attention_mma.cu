/* attention_mma.cu - attention's forward through mma.sync: bf16, any number of tokens, D up to 128.
 *
 *   p_ij = exp(scale q_i . k_j + bias_ij - max_i),  sum_i = sum over j of p_ij
 *   o_i = sum over j of p_ij f_ij v_j / sum_i,  lse_i = max_i + log sum_i
 *
 * with f dropout's factors. A block owns 64 queries of a head; keys and values pass by in tiles of 64 under an online
 * softmax (Milakov and Gimelshein, 2018; Dao, 2023). Neither scores nor probabilities reach memory.
 *
 * Moves 8 * B * N * H * D bytes (qkv once, out once; a head's keys come from L2 for all its blocks but the first) and
 * 4 * B * H * N; 4 * B * H * N * N * D FLOPs. */
#include "attention_mma.cuh"

enum { KEYS = 64 };

/* One tile's scores into probabilities relative to the new maximum; `shrink`: what earlier sums are multiplied by.
 * most is in units of q . k, c = scale * log2 e; sum is of this lane's columns alone. */
VT_DEVICE void softmax_tile(float (&s)[KEYS / 8][4], float (&most)[2], float (&sum)[2], float (&shrink)[2], float c)
{
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float m = most[half], row = 0;
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++) m = fmaxf(m, fmaxf(s[n][half * 2], s[n][half * 2 + 1]));
        m = fmaxf(m, shfl_xor(FULL_WARP, m, 1));
        m = fmaxf(m, shfl_xor(FULL_WARP, m, 2));
        float shift = m == -INFINITY ? 0 : m * c; /* a tile may be masked whole: its exponentials are 0, not NaN */
        shrink[half] = fast_exp2(fmaf(most[half], c, -shift));
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
            for (int e = half * 2; e < half * 2 + 2; e++) {
                s[n][e] = fast_exp2(fmaf(s[n][e], c, -shift));
                row += s[n][e];
            }
        }
        most[half] = m;
        sum[half] = sum[half] * shrink[half] + row;
    }
}

/* A warp's scores of one tile of keys, in units of q . k. */
template <int D>
VT_DEVICE void scores_of_tile(const attention_problem &p, const attention_head &head, float (&s)[KEYS / 8][4],
                              const bf16 *q, // [16, D + 8]
                              const bf16 *k, // [KEYS, D + 8]
                              int row, int first)
{
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) s[n][e] = 0;
    multiply_tiles<D, KEYS>(s, q, k, p.tokens - first);
    if (head.bias || first + KEYS > p.tokens)
        finish_scores<KEYS, false>(s, p, head, row + fragment_row(), first + fragment_column());
}

template <int D>
__global__ void __launch_bounds__(OWN_THREADS, D <= 64 ? 3 : 2)
attention_mma_kernel(attention_problem p,
                     const bf16 *qkv, // [B, N, 3, H, D]
                     bf16 *out,       // [B, N, H, D]
                     float *lse)      // [B, H, N]
{
    smem_cursor smem = smem_open();
    bf16 *q = smem_take<bf16>(smem, OWN_ROWS * TILE_STRIDE<D>), *k = smem_take<bf16>(smem, KEYS * TILE_STRIDE<D>);
    bf16 *v = smem_take<bf16>(smem, KEYS * TILE_STRIDE<D>);
    block_place at = place_of(p);
    attention_head head = head_of(p, at.b, at.h);
    int64_t width = (int64_t)p.heads * p.dim, stride = 3 * width;
    const bf16 *from = qkv + head_offset(p, at.b, at.h, 3);
    int row = at.first + own_warp() * 16; /* the warp's first */
    copy_tile<D, OWN_ROWS>(p, q, from, stride, at.first);
    copy_tile<D, KEYS>(p, k, from + width, stride, 0);
    copy_commit();
    q += own_warp() * 16 * TILE_STRIDE<D>;

    float o[D / 8][4] = {}, most[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0}, c = p.scale * LOG2_E;
    for (int first = 0; first < p.tokens; first += KEYS) {
        copy_wait<0>();
        block_sync(); /* k is here, and v's last readers are done */
        copy_tile<D, KEYS>(p, v, from + 2 * width, stride, first);
        copy_commit();
        float s[KEYS / 8][4], shrink[2];
        if (row < p.tokens) scores_of_tile<D>(p, head, s, q, k, row, first);
        copy_wait<0>();
        block_sync(); /* v is here, and k's readers are done */
        if (first + KEYS < p.tokens) copy_tile<D, KEYS>(p, k, from + width, stride, first + KEYS);
        copy_commit();
        if (row >= p.tokens) continue;
        softmax_tile(s, most, sum, shrink, c);
#pragma unroll
        for (int n = 0; n < D / 8; n++)
#pragma unroll
            for (int e = 0; e < 4; e++) o[n][e] *= shrink[e / 2];
        if (p.dropout > 0) {
            uint32_t kept = kept_elements<KEYS, false>(p, head, row + fragment_row(), first + fragment_column());
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
                for (int e = 0; e < 4; e++) s[n][e] = kept >> (n * 4 + e) & 1 ? s[n][e] : 0;
        }
        multiply_fragment<D, KEYS>(o, s, v, p.tokens - first);
    }
    if (row >= p.tokens) return;

    float factor[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        sum[half] += shfl_xor(FULL_WARP, sum[half], 1);
        sum[half] += shfl_xor(FULL_WARP, sum[half], 2);
        factor[half] = 1 / (sum[half] * (1 - p.dropout));
        int i = row + fragment_row() + half * 8;
        if (fragment_column() == 0 && i < p.tokens)
            lse[((int64_t)at.b * p.heads + at.h) * p.tokens + i] = most[half] * p.scale + logf(sum[half]);
    }
    store_rows<D>(p, q, o, factor, out + head_offset(p, at.b, at.h, 1), width, row);
}

/* ---- launchers --------------------------------------------------------------------------------------------------- */

bool attention_mma_fits(const attention_problem *p)
{
    return p->dim % 8 == 0 && p->dim <= 128 && p->scale > 0; /* the greatest q . k is the greatest score's */
}

void attention_mma_forward(const vt_run *r, const attention_problem *p, const bf16 *qkv, bf16 *out, float *lse)
{
    VT_DISPATCH_WIDTH(p, launch(r, attention_mma_kernel<D>, own_grid(p), dim3(OWN_THREADS),
                                smem_bytes<bf16>((OWN_ROWS + 2 * KEYS) * TILE_STRIDE<D>), *p, qkv, out, lse));
}
