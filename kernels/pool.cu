/* pool: y = mean of tokens first .. first + count - 1 of each sample, and the gradient: dx = dy / count there, else 0.
 *
 * Forward: a block takes POOL_SPAN columns of one sample, a lane PIECE of them, warp w tokens w, w + warps, ...; the
 * warps' sums meet in order. As many warps as tokens, at most 8: one token is a copied row.
 * Floor: the tokens read; dx written. */
#include "cuda.cuh"
#include "piece.cuh"

enum { POOL_WARPS = 8, POOL_SPAN = PIECE * WARP };

typedef struct pool_shape {
    int64_t tokens;     /* N */
    int d, first, count;
    float factor;       /* 1 / count */
} pool_shape;

template <typename X, typename Y>
__global__ void __launch_bounds__(POOL_WARPS * WARP)
pool_kernel(pool_shape s,
            const X *x, // [B, N, D]
            Y *y)       // [B, D]
{
    unsigned spans = (unsigned)(s.d + POOL_SPAN - 1) / POOL_SPAN;
    int warp = (int)threadIdx.x / WARP, warps = (int)blockDim.x / WARP, lane = lane_id();
    int64_t sample = blockIdx.x / spans;
    int k = (int)(blockIdx.x % spans) * POOL_SPAN + lane * PIECE, n = s.d - k < PIECE ? s.d - k : PIECE;
    bool whole = s.d % PIECE == 0 && n == PIECE;
    smem_cursor at = smem_open();
    float *sums = smem_take<float>(at, POOL_WARPS * POOL_SPAN); // [warps, PIECE, 32]
    floats<PIECE> sum = {};
    if (n > 0) {
        const X *from = x + (sample * s.tokens + s.first) * s.d + k;
        for (int i = warp; i < s.count; i += warps) {
            floats<PIECE> f = load_some<PIECE>(from + (int64_t)i * s.d, n, whole);
#pragma unroll
            for (int j = 0; j < PIECE; j++) sum.v[j] += f.v[j];
        }
    }
#pragma unroll
    for (int j = 0; j < PIECE; j++) sums[warp * POOL_SPAN + j * WARP + lane] = sum.v[j];
    block_sync();
    if (warp > 0 || n <= 0) return;
    for (int w = 1; w < warps; w++)
#pragma unroll
        for (int j = 0; j < PIECE; j++) sum.v[j] += sums[w * POOL_SPAN + j * WARP + lane];
#pragma unroll
    for (int j = 0; j < PIECE; j++) sum.v[j] *= s.factor;
    store_some(y + sample * s.d + k, sum, n, whole);
}

template <typename Y, typename X>
__global__ void __launch_bounds__(PIECE_THREADS)
pool_grad_kernel(pool_shape s,
                 const Y *dy, // [B, D]
                 X *dx)       // [B, N, D]
{
    piece p = piece_of(s.tokens * s.d);
    if (p.n <= 0) return;
    const Y *from = dy + p.sample * s.d;
    int token = (int)((uint32_t)p.in_sample / (uint32_t)s.d), k = (int)((uint32_t)p.in_sample % (uint32_t)s.d);
    floats<PIECE> f = {};
    if (s.d % PIECE == 0) { /* one token's, and aligned */
        if (token >= s.first && token < s.first + s.count) f = load<PIECE>(from + k);
    } else {
#pragma unroll
        for (int i = 0; i < PIECE; i++) {
            if (i < p.n && token >= s.first && token < s.first + s.count) f.v[i] = to_float(from[k]);
            if (++k == s.d) {
                k = 0;
                token++;
            }
        }
    }
#pragma unroll
    for (int i = 0; i < PIECE; i++) f.v[i] *= s.factor;
    store_piece(dx, f, p);
}

/* ---- launchers --------------------------------------------------------------------------------------------------- */

static pool_shape shape_of(const vt_run *r, const vt_tensor *x) /* [B, N, D] */
{
    const vt_pool_attrs *a = (const vt_pool_attrs *)r->node->attrs; /* the gradient's attributes begin with these */
    pool_shape s = {x->shape[1], (int)x->shape[2], a->first, a->count, 1 / (float)a->count};
    return s;
}

static void pool(const vt_run *r)
{
    const vt_tensor *x = r->node->in[0];
    pool_shape s = shape_of(r, x);
    int warps = s.count < POOL_WARPS ? s.count : POOL_WARPS;
    dim3 grid((unsigned)(x->shape[0] * ceil_div(s.d, POOL_SPAN)));
    VT_DISPATCH(x, typedef T X; VT_DISPATCH(r->node->out[0], launch(r, pool_kernel<X, T>, grid, warps * WARP,
                                                                    smem_bytes<float>(POOL_WARPS * POOL_SPAN), s,
                                                                    in<X>(r, 0), out<T>(r, 0))));
}

static void pool_grad(const vt_run *r)
{
    const vt_tensor *dx = r->node->out[0];
    pool_shape s = shape_of(r, dx);
    VT_DISPATCH(dx, typedef T X; VT_DISPATCH(r->node->in[0], launch(r, pool_grad_kernel<T, X>,
                                                                    piece_grid(dx->shape[0], s.tokens * s.d),
                                                                    PIECE_THREADS, 0, s, in<T>(r, 0), out<X>(r, 0))));
}

VT_CUDA_OP(pool) = {pool, NULL};
VT_CUDA_OP(pool_grad) = {pool_grad, NULL};
