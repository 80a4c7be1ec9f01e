/* attention_plain.cu - attention and its gradient in fp32 arithmetic, for any shape: --precision fp32 and tf32, and
 * heads that the tensor-core kernels do not take. Formulas: attention_mma.cu, attention_mma_grad.cu.
 *
 * A warp owns one row of a head, kept in shared memory as fp32; the other rows stream past the block in tiles of 32,
 * one a lane for products with the own row, then one column a lane for sums over the tile's rows. Global memory is
 * always accessed at neighbouring elements of a row, and a tile's rows serve all warps of the block.
 *
 * Bytes and FLOPs are the other kernels'; reads of shared memory bind, about one for each multiply-add. */
#include "attention.cuh"

enum { TILE = WARP, TILE_STRIDE = TILE + 4, MOST_WARPS = 8 }; /* + 4: a quarter warp's quads lie in different banks */

typedef struct __align__(16) quad {
    float v[4];
} quad;

/* q, k, v, dout of one head: row i begins at data + i * stride. */
template <typename T> struct matrix {
    const T *data; // [N, D]
    int64_t stride;
};

VT_DEVICE int own_warp() { return (int)threadIdx.x / WARP; }
VT_DEVICE int own_warps() { return (int)blockDim.x / WARP; }
static __host__ __device__ int padded(const attention_problem &p) { return (p.dim + TILE - 1) / TILE * TILE; }

/* ---- a warp's row and the tiles that pass it --------------------------------------------------------------------- */

/* Row `row`, zeros where there is none and behind its end. */
template <typename T>
VT_DEVICE void take_row(const attention_problem &p, float *own, // [padded]
                        matrix<T> from, int row)
{
    warp_sync(); /* its readers are done */
    for (int d = lane_id(); d < padded(p); d += WARP)
        own[d] = row < p.tokens && d < p.dim ? to_float(from.data[row * from.stride + d]) : 0;
    warp_sync();
}

VT_DEVICE void clear_row(const attention_problem &p, float *own) // [padded]
{
    for (int d = lane_id(); d < padded(p); d += WARP) own[d] = 0;
}

/* The product of the warp's row and row first + lane. All warps of the block call. */
template <typename T>
VT_DEVICE float dot_tile(const attention_problem &p, const float *own, // [padded]
                         matrix<T> from, int first, float *tile)       // [TILE, TILE_STRIDE]
{
    quad sum = {};
    int lane = lane_id();
    for (int d = 0; d < p.dim; d += TILE) {
        block_sync();
        for (int r = own_warp(); r < TILE; r += own_warps()) {
            bool inside = first + r < p.tokens && d + lane < p.dim;
            tile[r * TILE_STRIDE + lane] = inside ? to_float(from.data[(first + r) * from.stride + d + lane]) : 0;
        }
        block_sync();
#pragma unroll 4
        for (int x = 0; x < TILE; x += 4) {
            quad a = *(const quad *)(own + d + x), b = *(const quad *)(tile + lane * TILE_STRIDE + x);
#pragma unroll
            for (int i = 0; i < 4; i++) sum.v[i] += a.v[i] * b.v[i];
        }
    }
    return (sum.v[0] + sum.v[1]) + (sum.v[2] + sum.v[3]);
}

/* acc = shrink * acc + sum over lanes of weight * row first + lane. */
template <typename T>
VT_DEVICE void add_tile(const attention_problem &p, float *acc, // [padded]
                        float shrink, float weight, matrix<T> from, int first, float *weights) // [WARP], the warp's
{
    int rows = first + TILE < p.tokens ? (int)TILE : p.tokens - first;
    warp_sync();
    weights[lane_id()] = weight;
    warp_sync();
    for (int d = lane_id(); d < p.dim; d += WARP) {
        const T *column = from.data + first * from.stride + d;
        float sum = acc[d] * shrink;
#pragma unroll 8
        for (int r = 0; r < rows; r++) sum += weights[r] * to_float(column[r * from.stride]);
        acc[d] = sum;
    }
}

template <typename T>
VT_DEVICE void store_row(const attention_problem &p, const float *own, // [padded]
                         float factor, T *to)                          // [D]
{
    for (int d = lane_id(); d < p.dim; d += WARP) to[d] = from_float<T>(own[d] * factor);
}

/* ---- places and scores ------------------------------------------------------------------------------------------- */

typedef struct row_place {
    int b, h, row; /* of this warp; the last block's may be N or more */
} row_place;

VT_DEVICE row_place place_of(const attention_problem &p)
{
    int blocks = (p.tokens + own_warps() - 1) / own_warps(), bh = (int)blockIdx.x / blocks;
    row_place at = {bh / p.heads, bh % p.heads, (int)blockIdx.x % blocks * own_warps() + own_warp()};
    return at;
}

VT_DEVICE int64_t row_index(const attention_problem &p, int b, int h, int i) /* in lse and delta */
{
    return ((int64_t)b * p.heads + h) * p.tokens + i;
}

template <typename T>
VT_DEVICE matrix<T> part_of(const attention_problem &p, const T *qkv, int b, int h, int part) // [B, N, 3, H, D]
{
    int64_t width = (int64_t)p.heads * p.dim;
    matrix<T> m = {qkv + head_offset(p, b, h, 3) + part * width, 3 * width};
    return m;
}

template <typename T>
VT_DEVICE matrix<T> output_of(const attention_problem &p, const T *out, int b, int h) // [B, N, H, D]
{
    matrix<T> m = {out + head_offset(p, b, h, 1), (int64_t)p.heads * p.dim};
    return m;
}

/* From q . k; -inf where there is no such key or query. */
VT_DEVICE float score(const attention_problem &p, const attention_head &head, float product, int i, int j)
{
    if (i >= p.tokens || j >= p.tokens) return -INFINITY;
    float s = p.scale * product;
    return head.bias ? s + head.bias[(int64_t)i * p.tokens + j] : s;
}

VT_DEVICE float keep_factor(const attention_problem &p, const attention_head &head, int i, int j)
{
    if (p.dropout == 0) return 1;
    return is_kept(p, head, i, j) ? 1 / (1 - p.dropout) : 0;
}

typedef struct gradient {
    float weight, ds; /* p f, and p (f dp - delta) */
} gradient;

/* From q . k and dout . v. */
VT_DEVICE gradient gradient_of(const attention_problem &p, const attention_head &head, float product, float dp, int i,
                               int j, const float *lse, const float *delta) // [B, H, N] both, from this head on
{
    gradient g = {0, 0};
    if (i >= p.tokens || j >= p.tokens) return g;
    float probability = expf(score(p, head, product, i, j) - lse[i]), factor = keep_factor(p, head, i, j);
    g.weight = probability * factor;
    g.ds = probability * (factor * dp - delta[i]);
    return g;
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

template <typename T>
__global__ void __launch_bounds__(MOST_WARPS * WARP, 2) attention_plain_kernel(attention_problem p,
                                                                            const T *qkv, // [B, N, 3, H, D]
                                                                            T *out,       // [B, N, H, D]
                                                                            float *lse)   // [B, H, N]
{
    smem_cursor smem = smem_open();
    float *tile = smem_take<float>(smem, TILE * TILE_STRIDE);
    float *own = smem_take<float>(smem, own_warps() * (2 * padded(p) + WARP)) + own_warp() * (2 * padded(p) + WARP);
    float *q = own, *o = own + padded(p), *weights = o + padded(p);
    row_place at = place_of(p);
    attention_head head = head_of(p, at.b, at.h);
    take_row(p, q, part_of(p, qkv, at.b, at.h, 0), at.row);
    clear_row(p, o);
    float most = -INFINITY, sum = 0; /* sum: of this lane's keys */
    for (int first = 0; first < p.tokens; first += TILE) {
        int j = first + lane_id();
        float product = dot_tile(p, q, part_of(p, qkv, at.b, at.h, 1), first, tile);
        float s = score(p, head, product, at.row, j), m = fmaxf(most, warp_max(s));
        if (m == -INFINITY) continue; /* nothing but masked keys so far, or no such query */
        float shrink = expf(most - m), probability = expf(s - m);
        sum = sum * shrink + probability;
        most = m;
        float weight = s == -INFINITY ? 0 : probability * keep_factor(p, head, at.row, j);
        add_tile(p, o, shrink, weight, part_of(p, qkv, at.b, at.h, 2), first, weights);
    }
    sum = warp_sum(sum);
    if (at.row >= p.tokens) return;
    store_row(p, o, 1 / sum, out + head_offset(p, at.b, at.h, 1) + (int64_t)at.row * p.heads * p.dim);
    if (lane_id() == 0) lse[row_index(p, at.b, at.h, at.row)] = most + logf(sum);
}

/* ---- backward: dq, then dk and dv -------------------------------------------------------------------------------- */

template <typename T>
__global__ void __launch_bounds__(MOST_WARPS * WARP, 2) attention_plain_queries_kernel(attention_problem p,
                                                                                    const T *dout, // [B, N, H, D]
                                                                                    const T *qkv,  // [B, N, 3, H, D]
                                                                                    const float *lse,   // [B, H, N]
                                                                                    const float *delta, // [B, H, N]
                                                                                    T *dqkv) // [B, N, 3, H, D]
{
    smem_cursor smem = smem_open();
    float *tile = smem_take<float>(smem, TILE * TILE_STRIDE);
    float *own = smem_take<float>(smem, own_warps() * (3 * padded(p) + WARP)) + own_warp() * (3 * padded(p) + WARP);
    float *q = own, *g = q + padded(p), *dq = g + padded(p), *weights = dq + padded(p);
    row_place at = place_of(p);
    attention_head head = head_of(p, at.b, at.h);
    matrix<T> k = part_of(p, qkv, at.b, at.h, 1), v = part_of(p, qkv, at.b, at.h, 2);
    lse += row_index(p, at.b, at.h, 0);
    delta += row_index(p, at.b, at.h, 0);
    take_row(p, q, part_of(p, qkv, at.b, at.h, 0), at.row);
    take_row(p, g, output_of(p, dout, at.b, at.h), at.row);
    clear_row(p, dq);
    for (int first = 0; first < p.tokens; first += TILE) {
        float product = dot_tile(p, q, k, first, tile), dp = dot_tile(p, g, v, first, tile);
        gradient of = gradient_of(p, head, product, dp, at.row, first + lane_id(), lse, delta);
        add_tile(p, dq, 1, of.ds, k, first, weights);
    }
    if (at.row >= p.tokens) return;
    store_row(p, dq, p.scale, dqkv + head_offset(p, at.b, at.h, 3) + (int64_t)at.row * 3 * p.heads * p.dim);
}

template <typename T>
__global__ void __launch_bounds__(MOST_WARPS * WARP, 2) attention_plain_keys_kernel(attention_problem p,
                                                                                 const T *dout, // [B, N, H, D]
                                                                                 const T *qkv,  // [B, N, 3, H, D]
                                                                                 const float *lse,   // [B, H, N]
                                                                                 const float *delta, // [B, H, N]
                                                                                 T *dqkv) // [B, N, 3, H, D]
{
    smem_cursor smem = smem_open();
    float *tile = smem_take<float>(smem, TILE * TILE_STRIDE);
    float *own = smem_take<float>(smem, own_warps() * (4 * padded(p) + WARP)) + own_warp() * (4 * padded(p) + WARP);
    float *k = own, *v = k + padded(p), *dk = v + padded(p), *dv = dk + padded(p), *weights = dv + padded(p);
    row_place at = place_of(p);
    attention_head head = head_of(p, at.b, at.h);
    matrix<T> q = part_of(p, qkv, at.b, at.h, 0), g = output_of(p, dout, at.b, at.h);
    lse += row_index(p, at.b, at.h, 0);
    delta += row_index(p, at.b, at.h, 0);
    take_row(p, k, part_of(p, qkv, at.b, at.h, 1), at.row);
    take_row(p, v, part_of(p, qkv, at.b, at.h, 2), at.row);
    clear_row(p, dk);
    clear_row(p, dv);
    for (int first = 0; first < p.tokens; first += TILE) {
        float product = dot_tile(p, k, q, first, tile), dp = dot_tile(p, v, g, first, tile);
        gradient of = gradient_of(p, head, product, dp, first + lane_id(), at.row, lse, delta);
        add_tile(p, dv, 1, of.weight, g, first, weights);
        add_tile(p, dk, 1, of.ds, q, first, weights);
    }
    if (at.row >= p.tokens) return;
    int64_t width = (int64_t)p.heads * p.dim;
    T *to = dqkv + head_offset(p, at.b, at.h, 3) + at.row * 3 * width + width;
    store_row(p, dk, p.scale, to);
    store_row(p, dv, 1, to + width);
}

/* ---- backward: the bias ------------------------------------------------------------------------------------------ */

/* dbias_ij = sum of ds_ij over samples, and over heads where they share the bias, in that order. A warp owns query i, a
 * lane key j; a block's keys are one tile. */
template <typename T>
__global__ void __launch_bounds__(MOST_WARPS * WARP, 2) attention_dbias_kernel(attention_problem p,
                                                                            const T *dout, // [B, N, H, D]
                                                                            const T *qkv,  // [B, N, 3, H, D]
                                                                            const float *lse,   // [B, H, N]
                                                                            const float *delta, // [B, H, N]
                                                                            float *dbias) // [bias_heads, N, N]
{
    smem_cursor smem = smem_open();
    float *tile = smem_take<float>(smem, TILE * TILE_STRIDE);
    float *own = smem_take<float>(smem, own_warps() * 2 * padded(p)) + own_warp() * 2 * padded(p);
    float *q = own, *g = own + padded(p), sum = 0;
    int tiles = (p.tokens + TILE - 1) / TILE, blocks = (p.tokens + own_warps() - 1) / own_warps();
    int at = (int)blockIdx.x, j = at % tiles * TILE + lane_id(), i = at / tiles % blocks * own_warps() + own_warp();
    int first_head = at / tiles / blocks, heads = p.bias_heads > 1 ? 1 : p.heads;
    for (int b = 0; b < p.batch; b++) {
        for (int h = first_head; h < first_head + heads; h++) {
            attention_head head = head_of(p, b, h);
            take_row(p, q, part_of(p, qkv, b, h, 0), i);
            take_row(p, g, output_of(p, dout, b, h), i);
            float product = dot_tile(p, q, part_of(p, qkv, b, h, 1), j - lane_id(), tile);
            float dp = dot_tile(p, g, part_of(p, qkv, b, h, 2), j - lane_id(), tile);
            int64_t row = row_index(p, b, h, 0);
            sum += gradient_of(p, head, product, dp, i, j, lse + row, delta + row).ds;
        }
    }
    if (i < p.tokens && j < p.tokens) dbias[((int64_t)first_head * p.tokens + i) * p.tokens + j] = sum;
}

/* ---- launchers --------------------------------------------------------------------------------------------------- */

/* Shared memory of a block whose warps have so many rows each. */
static size_t smem_of(const attention_problem *p, int warps, int rows)
{
    size_t of_warp = (size_t)(rows * padded(*p) + WARP);
    return smem_bytes<float>(TILE * TILE_STRIDE) + smem_bytes<float>((size_t)warps * of_warp);
}

static int warps_for(const vt_run *r, const attention_problem *p, int rows)
{
    int warps = MOST_WARPS;
    while (warps > 1 && smem_of(p, warps, rows) > vt_cuda_of(r)->smem_block) warps /= 2;
    return warps;
}

template <typename T>
void attention_plain_forward(const vt_run *r, const attention_problem *p, const T *qkv, T *out, float *lse)
{
    int warps = warps_for(r, p, 2);
    launch(r, attention_plain_kernel<T>, dim3((unsigned)(ceil_div(p->tokens, warps) * p->heads * p->batch)),
           dim3((unsigned)warps * WARP), smem_of(p, warps, 2), *p, qkv, out, lse);
}

template <typename T>
void attention_plain_backward(const vt_run *r, const attention_problem *p, const T *dout, const T *qkv,
                              const float *lse, const float *delta, T *dqkv)
{
    int warps = warps_for(r, p, 4);
    dim3 grid((unsigned)(ceil_div(p->tokens, warps) * p->heads * p->batch)), block((unsigned)warps * WARP);
    launch(r, attention_plain_queries_kernel<T>, grid, block, smem_of(p, warps, 3), *p, dout, qkv, lse, delta, dqkv);
    launch(r, attention_plain_keys_kernel<T>, grid, block, smem_of(p, warps, 4), *p, dout, qkv, lse, delta, dqkv);
}

template <typename T>
void attention_plain_dbias(const vt_run *r, const attention_problem *p, const T *dout, const T *qkv, const float *lse,
                           const float *delta, float *dbias)
{
    int warps = warps_for(r, p, 2);
    int64_t blocks = ceil_div(p->tokens, TILE) * ceil_div(p->tokens, warps) * p->bias_heads;
    launch(r, attention_dbias_kernel<T>, dim3((unsigned)blocks), dim3((unsigned)warps * WARP), smem_of(p, warps, 2), *p,
           dout, qkv, lse, delta, dbias);
}

#define INSTANCES(T)                                                                                                \
    template void attention_plain_forward(const vt_run *, const attention_problem *, const T *, T *, float *);      \
    template void attention_plain_backward(const vt_run *, const attention_problem *, const T *, const T *,         \
                                           const float *, const float *, T *);                                      \
    template void attention_plain_dbias(const vt_run *, const attention_problem *, const T *, const T *,            \
                                        const float *, const float *, float *);
INSTANCES(float)
INSTANCES(bf16)
