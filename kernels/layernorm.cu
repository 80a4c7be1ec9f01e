/* layernorm: residual add, drop-path and LayerNorm in one pass, and its gradient.
 *
 *     sum = x + scale[sample] * branch;  y = (sum - mean) * rstd * w + b,  rstd = 1 / sqrt(var + eps)
 *     xhat = (sum - mean) * rstd;  g = dy * w;  dx = (g - mean(g) - xhat * mean(g * xhat)) * rstd + dsum
 *     dbranch = dx * scale[sample];  dw = sum over rows of dy * xhat;  db = sum over rows of dy
 *
 * A warp takes a row, a lane NORM_W consecutive columns of it at a time. Rows of at most 1024, a multiple of 8, stay in
 * registers, ITEMS pieces a lane, every access 16 bytes; the _any kernels take other widths and read a row again where
 * they need it again, from L1 or L2. Statistics are fp32 and of the sum as it is stored, which is what the gradient
 * reads; the variance is that of distances from the mean.
 *
 * In the gradient a block takes consecutive rows, as many for each, and each warp keeps sums for dw and db of its own;
 * the block adds up its warps' in order, partials.cuh the blocks'. How many blocks follows from the shape alone.
 *
 * Floor: each of x, branch, y, sum once, 8 bytes an element in bf16; of dy, sum, dsum, dx, dbranch 10. w and b come
 * from L1; partial sums are a hundredth. dx may be dsum. */
#include "partials.cuh"
#include "piece.cuh"

enum {
    NORM_W = 8,
    NORM_ITEMS = 4,     /* most pieces a lane keeps in registers */
    NORM_WARPS = 4,     /* rows at work in a block */
    NORM_SPAN = NORM_W * WARP
};

typedef struct norm_shape {
    int64_t rows, per_sample; /* R; rows of one sample */
    int d;                    /* D */
} norm_shape;

/* What an _any kernel's lane has at column k: n columns, none where n <= 0; `whole`: NORM_W, aligned in every row. */
typedef struct norm_piece {
    int n;
    bool whole;
} norm_piece;

VT_DEVICE norm_piece norm_piece_at(const norm_shape &p, int k)
{
    norm_piece c = {p.d - k < NORM_W ? p.d - k : NORM_W, p.d % NORM_W == 0 && k < p.d};
    return c;
}

VT_DEVICE int norm_column(int item) { return item * NORM_SPAN + lane_id() * NORM_W; }

/* A lane's pieces of a row; those beyond its end are left as they are. */
template <typename T, int ITEMS> VT_DEVICE void norm_fetch(packed<T, NORM_W> (&to)[ITEMS], const T *row, int d)
{
#pragma unroll
    for (int i = 0; i < ITEMS; i++)
        if (norm_column(i) < d) to[i] = fetch<NORM_W>(row + norm_column(i));
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

template <typename T, typename S, int ITEMS>
__global__ void __launch_bounds__(NORM_WARPS * WARP)
layernorm_kernel(norm_shape p, float eps,
                 const S *x,         // [R, D]
                 const T *branch,    // [R, D] or NULL
                 const float *scale, // [B] of the branch, or NULL
                 const float *w,     // [D]
                 const float *b,     // [D]
                 T *y,               // [R, D]
                 float *mean,        // [R]
                 float *rstd,        // [R]
                 S *sum)             // [R, D], where there is a branch
{
    int64_t row = (int64_t)blockIdx.x * NORM_WARPS + threadIdx.x / WARP, at = row * p.d;
    if (row >= p.rows) return;
    float s = scale ? scale[row / p.per_sample] : 1;
    packed<S, NORM_W> xs[ITEMS];
    packed<T, NORM_W> branches[ITEMS];
    norm_fetch(xs, x + at, p.d);
    if (branch) norm_fetch(branches, branch + at, p.d);
    floats<NORM_W> v[ITEMS];
    float total = 0, squares = 0;
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
        int k = norm_column(i);
        v[i] = k < p.d ? unpack(xs[i]) : floats<NORM_W>{};
        if (branch && k < p.d) {
            floats<NORM_W> f = unpack(branches[i]);
#pragma unroll
            for (int j = 0; j < NORM_W; j++) f.v[j] = v[i].v[j] + s * f.v[j];
            packed<S, NORM_W> stored = pack<S>(f);
            put(sum + at + k, stored);
            v[i] = unpack(stored);
        }
#pragma unroll
        for (int j = 0; j < NORM_W; j++) total += v[i].v[j];
    }
    float m = warp_sum(total) / (float)p.d;
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
        if (norm_column(i) >= p.d) break;
#pragma unroll
        for (int j = 0; j < NORM_W; j++) squares += (v[i].v[j] - m) * (v[i].v[j] - m);
    }
    float q = 1 / sqrtf(warp_sum(squares) / (float)p.d + eps);
#pragma unroll
    for (int i = 0; i < ITEMS; i++) {
        int k = norm_column(i);
        if (k >= p.d) break;
        floats<NORM_W> weight = load<NORM_W>(w + k), bias = load<NORM_W>(b + k);
#pragma unroll
        for (int j = 0; j < NORM_W; j++) v[i].v[j] = (v[i].v[j] - m) * q * weight.v[j] + bias.v[j];
        store(y + at + k, v[i]);
    }
    if (lane_id() == 0) {
        mean[row] = m;
        rstd[row] = q;
    }
}

/* Any width: arguments as above. */
template <typename T, typename S>
__global__ void __launch_bounds__(NORM_WARPS * WARP)
layernorm_any_kernel(norm_shape p, float eps, const S *x, const T *branch, const float *scale, const float *w,
                     const float *b, T *y, float *mean, float *rstd, S *sum)
{
    int64_t row = (int64_t)blockIdx.x * NORM_WARPS + threadIdx.x / WARP, at = row * p.d;
    if (row >= p.rows) return;
    float s = scale ? scale[row / p.per_sample] : 1, total = 0, squares = 0;
    for (int k = norm_column(0); k < p.d; k += NORM_SPAN) {
        norm_piece c = norm_piece_at(p, k);
        floats<NORM_W> v = load_some<NORM_W>(x + at + k, c.n, c.whole);
        if (branch) {
            floats<NORM_W> f = load_some<NORM_W>(branch + at + k, c.n, c.whole);
#pragma unroll
            for (int j = 0; j < NORM_W; j++) v.v[j] = to_float(from_float<S>(v.v[j] + s * f.v[j]));
            store_some(sum + at + k, v, c.n, c.whole);
        }
#pragma unroll
        for (int j = 0; j < NORM_W; j++) total += v.v[j];
    }
    const S *from = (branch ? sum : x) + at; /* a lane reads back what it wrote itself */
    float m = warp_sum(total) / (float)p.d;
    for (int k = norm_column(0); k < p.d; k += NORM_SPAN) {
        norm_piece c = norm_piece_at(p, k);
        floats<NORM_W> v = load_some<NORM_W>(from + k, c.n, c.whole);
#pragma unroll
        for (int j = 0; j < NORM_W; j++) squares += j < c.n ? (v.v[j] - m) * (v.v[j] - m) : 0;
    }
    float q = 1 / sqrtf(warp_sum(squares) / (float)p.d + eps);
    for (int k = norm_column(0); k < p.d; k += NORM_SPAN) {
        norm_piece c = norm_piece_at(p, k);
        floats<NORM_W> v = load_some<NORM_W>(from + k, c.n, c.whole);
        floats<NORM_W> weight = load_some<NORM_W>(w + k, c.n, c.whole), bias = load_some<NORM_W>(b + k, c.n, c.whole);
#pragma unroll
        for (int j = 0; j < NORM_W; j++) v.v[j] = (v.v[j] - m) * q * weight.v[j] + bias.v[j];
        store_some(y + at + k, v, c.n, c.whole);
    }
    if (lane_id() == 0) {
        mean[row] = m;
        rstd[row] = q;
    }
}

/* ---- gradient ---------------------------------------------------------------------------------------------------- */

/* Blocks by items (0: the _any kernel): what 132 multiprocessors hold at once or a little less, as many resident on
 * each as registers allow for fp32 streams too. Each leaves a partial row. */
static const int grad_blocks[] = {256, 896, 512, 384, 256};
template <int ITEMS> constexpr int GRAD_RESIDENT = ITEMS == 1 ? 7 : ITEMS == 2 ? 4 : ITEMS == 3 ? 3 : 2;

/* Where a warp's sums have a lane's j-th column of piece `item`: without bank conflicts, the lane's own. */
VT_DEVICE int grad_slot(int item, int j) { return item * NORM_SPAN + j * WARP + lane_id(); }

/* Adds up the warps' sums [warps, 2, width] in order: partial [2, D] of this block. */
VT_DEVICE void grad_finish(const float *sums, int width, int d, float *partial)
{
    int warps = (int)blockDim.x / WARP;
    block_sync();
    for (int i = (int)threadIdx.x; i < 2 * width; i += (int)blockDim.x) {
        int slot = i % width, k = slot / NORM_SPAN * NORM_SPAN + slot % WARP * NORM_W + slot % NORM_SPAN / WARP;
        float sum = sums[i];
        for (int w = 1; w < warps; w++) sum += sums[w * 2 * width + i];
        if (k < d) partial[i / width * d + k] = sum;
    }
}

template <typename T, typename S, int ITEMS>
__global__ void __launch_bounds__(NORM_WARPS * WARP, GRAD_RESIDENT<ITEMS>)
layernorm_grad_kernel(norm_shape p, int rows_per_block,
                      const T *dy,        // [R, D]
                      const S *dsum,      // [R, D] or NULL
                      const S *sum,       // [R, D]
                      const float *w,     // [D]
                      const float *mean,  // [R]
                      const float *rstd,  // [R]
                      const float *scale, // [B] or NULL
                      S *dx,              // [R, D]
                      T *dbranch,         // [R, D] or NULL
                      float *partial)     // [blocks, 2, D] of dw, db
{
    floats<NORM_W> dw[ITEMS] = {}, db[ITEMS] = {};
    int warp = (int)threadIdx.x / WARP;
    int64_t first = (int64_t)blockIdx.x * rows_per_block, last = first + rows_per_block;
    if (last > p.rows) last = p.rows;
    for (int64_t row = first + warp; row < last; row += NORM_WARPS) {
        packed<T, NORM_W> dys[ITEMS];
        packed<S, NORM_W> xs[ITEMS], dsums[ITEMS] = {};
        norm_fetch(dys, dy + row * p.d, p.d);
        norm_fetch(xs, sum + row * p.d, p.d);
        if (dsum) norm_fetch(dsums, dsum + row * p.d, p.d);
        float m = mean[row], q = rstd[row], s = scale ? scale[row / p.per_sample] : 1, g_sum = 0, gx_sum = 0;
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            if (norm_column(i) >= p.d) break;
            floats<NORM_W> g = unpack(dys[i]), x = unpack(xs[i]), weight = load<NORM_W>(w + norm_column(i));
#pragma unroll
            for (int j = 0; j < NORM_W; j++) {
                float xhat = (x.v[j] - m) * q;
                dw[i].v[j] += g.v[j] * xhat;
                db[i].v[j] += g.v[j];
                g.v[j] *= weight.v[j];
                g_sum += g.v[j];
                gx_sum += g.v[j] * xhat;
            }
        }
        float g_mean = warp_sum(g_sum) / (float)p.d, gx_mean = warp_sum(gx_sum) / (float)p.d;
#pragma unroll
        for (int i = 0; i < ITEMS; i++) { /* from the packed values again: registers are what limits this kernel */
            if (norm_column(i) >= p.d) break;
            floats<NORM_W> d = unpack(dys[i]), x = unpack(xs[i]), weight = load<NORM_W>(w + norm_column(i));
            floats<NORM_W> add = unpack(dsums[i]);
#pragma unroll
            for (int j = 0; j < NORM_W; j++)
                d.v[j] = (d.v[j] * weight.v[j] - g_mean - (x.v[j] - m) * q * gx_mean) * q + add.v[j];
            store(dx + row * p.d + norm_column(i), d);
            if (!dbranch) continue;
#pragma unroll
            for (int j = 0; j < NORM_W; j++) d.v[j] *= s;
            store(dbranch + row * p.d + norm_column(i), d);
        }
    }
    smem_cursor open = smem_open();
    const int width = ITEMS * NORM_SPAN;
    float *sums = smem_take<float>(open, NORM_WARPS * 2 * width), *mine = sums + warp * 2 * width;
#pragma unroll
    for (int i = 0; i < ITEMS; i++)
#pragma unroll
        for (int j = 0; j < NORM_W; j++) {
            mine[grad_slot(i, j)] = dw[i].v[j];
            mine[width + grad_slot(i, j)] = db[i].v[j];
        }
    grad_finish(sums, width, p.d, partial + (int64_t)blockIdx.x * 2 * p.d);
}

/* Any width: arguments as above. The warps' sums are in shared memory from the start. */
template <typename T, typename S>
__global__ void __launch_bounds__(NORM_WARPS * WARP, 4)
layernorm_grad_any_kernel(norm_shape p, int rows_per_block, const T *dy, const S *dsum, const S *sum, const float *w,
                          const float *mean, const float *rstd, const float *scale, S *dx, T *dbranch, float *partial)
{
    int warp = (int)threadIdx.x / WARP, warps = (int)blockDim.x / WARP;
    int items = (p.d + NORM_SPAN - 1) / NORM_SPAN, width = items * NORM_SPAN;
    smem_cursor open = smem_open();
    float *sums = smem_take<float>(open, (size_t)warps * 2 * width), *dw = sums + warp * 2 * width, *db = dw + width;
    for (int i = lane_id(); i < 2 * width; i += WARP) dw[i] = 0; /* a lane touches only its own slots */
    int64_t first = (int64_t)blockIdx.x * rows_per_block, last = first + rows_per_block;
    if (last > p.rows) last = p.rows;
    for (int64_t row = first + warp; row < last; row += warps) {
        float m = mean[row], q = rstd[row], s = scale ? scale[row / p.per_sample] : 1, g_sum = 0, gx_sum = 0;
        for (int i = 0; i < items; i++) {
            int k = norm_column(i);
            norm_piece c = norm_piece_at(p, k);
            floats<NORM_W> d = load_some<NORM_W>(dy + row * p.d + k, c.n, c.whole);
            floats<NORM_W> v = load_some<NORM_W>(sum + row * p.d + k, c.n, c.whole);
            floats<NORM_W> weight = load_some<NORM_W>(w + k, c.n, c.whole);
#pragma unroll
            for (int j = 0; j < NORM_W; j++) {
                float xhat = (v.v[j] - m) * q;
                dw[grad_slot(i, j)] += d.v[j] * xhat;
                db[grad_slot(i, j)] += d.v[j];
                g_sum += d.v[j] * weight.v[j];
                gx_sum += d.v[j] * weight.v[j] * xhat;
            }
        }
        float g_mean = warp_sum(g_sum) / (float)p.d, gx_mean = warp_sum(gx_sum) / (float)p.d;
        for (int k = norm_column(0); k < p.d; k += NORM_SPAN) {
            int64_t at = row * p.d + k;
            norm_piece c = norm_piece_at(p, k);
            floats<NORM_W> d = load_some<NORM_W>(dy + at, c.n, c.whole), v = load_some<NORM_W>(sum + at, c.n, c.whole);
            floats<NORM_W> weight = load_some<NORM_W>(w + k, c.n, c.whole), add = {};
            if (dsum) add = load_some<NORM_W>(dsum + at, c.n, c.whole);
#pragma unroll
            for (int j = 0; j < NORM_W; j++)
                d.v[j] = (d.v[j] * weight.v[j] - g_mean - (v.v[j] - m) * q * gx_mean) * q + add.v[j];
            store_some(dx + at, d, c.n, c.whole);
            if (!dbranch) continue;
#pragma unroll
            for (int j = 0; j < NORM_W; j++) d.v[j] *= s;
            store_some(dbranch + at, d, c.n, c.whole);
        }
    }
    grad_finish(sums, width, p.d, partial + (int64_t)blockIdx.x * 2 * p.d);
}

/* ---- launchers --------------------------------------------------------------------------------------------------- */

static norm_shape norm_shape_of(const vt_tensor *x) /* [B, ..., D] */
{
    norm_shape p;
    p.d = (int)x->shape[x->ndim - 1];
    p.rows = vt_tensor_count(x) / p.d;
    p.per_sample = p.rows / x->shape[0];
    return p;
}

/* Pieces a lane has of a row that fits into registers; 0: it does not, or its pieces are not aligned. */
static int norm_items(int d)
{
    int64_t items = ceil_div(d, NORM_SPAN);
    return d % NORM_W == 0 && items <= NORM_ITEMS ? (int)items : 0;
}

template <typename T, typename S> static void forward(const vt_run *r)
{
    static void (*const kernels[])(norm_shape, float, const S *, const T *, const float *, const float *, const float *,
                                   T *, float *, float *, S *) = {
        layernorm_any_kernel<T, S>, layernorm_kernel<T, S, 1>, layernorm_kernel<T, S, 2>,
        layernorm_kernel<T, S, 3>,  layernorm_kernel<T, S, 4>,
    };
    norm_shape p = norm_shape_of(r->node->in[0]);
    float eps = ((const vt_layernorm_attrs *)r->node->attrs)->eps;
    launch(r, kernels[norm_items(p.d)], (unsigned)ceil_div(p.rows, NORM_WARPS), NORM_WARPS * WARP, 0, p, eps,
           in<S>(r, 0), in<T>(r, 1), in<float>(r, 2), in<float>(r, 3), in<float>(r, 4), out<T>(r, 0),
           out<float>(r, 1), out<float>(r, 2), out<S>(r, 3));
}

static void layernorm(const vt_run *r)
{
    VT_DISPATCH(r->node->in[0], typedef T S; VT_DISPATCH(r->node->out[0], (forward<T, S>(r))));
}

/* Rows of a block of the gradient: at least 16. */
static int grad_rows(const norm_shape *p)
{
    int64_t rows = ceil_div(p->rows, grad_blocks[norm_items(p->d)]);
    return rows < 16 ? 16 : (int)rows;
}

static size_t grad_scratch(const vt_device *device, const vt_node *n)
{
    norm_shape p = norm_shape_of(n->in[0]);
    return (size_t)ceil_div(p.rows, grad_rows(&p)) * 2 * (size_t)p.d * sizeof(float);
}

template <typename T, typename S> static void backward(const vt_run *r)
{
    static void (*const kernels[])(norm_shape, int, const T *, const S *, const S *, const float *, const float *,
                                   const float *, const float *, S *, T *, float *) = {
        layernorm_grad_any_kernel<T, S>, layernorm_grad_kernel<T, S, 1>, layernorm_grad_kernel<T, S, 2>,
        layernorm_grad_kernel<T, S, 3>,  layernorm_grad_kernel<T, S, 4>,
    };
    norm_shape p = norm_shape_of(r->node->in[0]);
    int rows = grad_rows(&p), blocks = (int)ceil_div(p.rows, rows), width = (int)ceil_div(p.d, NORM_SPAN) * NORM_SPAN;
    int warps = NORM_WARPS; /* whose sums fit into the 99 KB that a block has on sm_86, sm_89, sm_120 */
    while (warps > 1 && smem_bytes<float>((size_t)warps * 2 * width) > 99 * 1024) warps /= 2;
    float *partial = (float *)r->scratch;
    launch(r, kernels[norm_items(p.d)], (unsigned)blocks, warps * WARP, smem_bytes<float>((size_t)warps * 2 * width), p,
           rows, in<T>(r, 0), in<S>(r, 1), in<S>(r, 2), in<float>(r, 3), in<float>(r, 4), in<float>(r, 5),
           in<float>(r, 6), out<S>(r, 0), out<T>(r, 3), partial);
    partials_results sums = {{{out<float>(r, 1), NULL, 0, p.d}, {out<float>(r, 2), NULL, p.d, p.d}}};
    partials_sum(r, blocks, 2 * p.d, partial, sums);
}

static void layernorm_grad(const vt_run *r)
{
    VT_DISPATCH(r->node->in[2], typedef T S; VT_DISPATCH(r->node->in[0], (backward<T, S>(r))));
}

VT_CUDA_OP(layernorm) = {layernorm, NULL};
VT_CUDA_OP(layernorm_grad) = {layernorm_grad, grad_scratch};
