/* layer_scale: ws = gamma w, bs = gamma b by rows, and the gradient: dw = gamma dws, db = gamma dbs,
 * dgamma = sum over columns of dws w, plus dbs b.
 *
 * A warp takes a row, a lane PIECE consecutive columns of it at a time.
 * Floor: w and ws, or dws, w and dw, once each; nothing that grows with the batch. */
#include "cuda.cuh"
#include "piece.cuh"

enum { SCALE_WARPS = 4, SCALE_SPAN = PIECE * WARP };

typedef struct scale_shape {
    int rows, columns; /* N, K */
} scale_shape;

VT_DEVICE int scale_row() { return (int)blockIdx.x * SCALE_WARPS + (int)threadIdx.x / WARP; }

template <typename T>
__global__ void __launch_bounds__(SCALE_WARPS * WARP)
layer_scale_kernel(scale_shape s,
                   const float *w,     // [N, K]
                   const float *b,     // [N] or NULL
                   const float *gamma, // [N]
                   T *ws,              // [N, K]
                   T *bs)              // [N], where there is a bias
{
    int row = scale_row();
    if (row >= s.rows) return;
    float by = gamma[row];
    for (int k = lane_id() * PIECE; k < s.columns; k += SCALE_SPAN) {
        int64_t at = (int64_t)row * s.columns + k;
        int n = s.columns - k < PIECE ? s.columns - k : PIECE;
        bool whole = s.columns % PIECE == 0;
        floats<PIECE> f = load_some<PIECE>(w + at, n, whole);
#pragma unroll
        for (int i = 0; i < PIECE; i++) f.v[i] *= by;
        store_some(ws + at, f, n, whole);
    }
    if (b && lane_id() == 0) bs[row] = from_float<T>(by * b[row]);
}

static __global__ void __launch_bounds__(SCALE_WARPS * WARP)
layer_scale_grad_kernel(scale_shape s,
                        const float *dws,   // [N, K]
                        const float *dbs,   // [N], where there is a bias
                        const float *w,     // [N, K]
                        const float *b,     // [N] or NULL
                        const float *gamma, // [N]
                        float *dw,          // [N, K] or NULL
                        float *db,          // [N] or NULL
                        float *dgamma)      // [N] or NULL
{
    int row = scale_row();
    if (row >= s.rows) return;
    float by = gamma[row], sum = 0;
    for (int k = lane_id() * PIECE; k < s.columns; k += SCALE_SPAN) {
        int64_t at = (int64_t)row * s.columns + k;
        int n = s.columns - k < PIECE ? s.columns - k : PIECE;
        bool whole = s.columns % PIECE == 0;
        floats<PIECE> d = load_some<PIECE>(dws + at, n, whole), f = load_some<PIECE>(w + at, n, whole);
#pragma unroll
        for (int i = 0; i < PIECE; i++) {
            sum += d.v[i] * f.v[i];
            d.v[i] *= by;
        }
        if (dw) store_some(dw + at, d, n, whole);
    }
    sum = warp_sum(sum);
    if (lane_id() > 0) return;
    if (b) sum += dbs[row] * b[row];
    if (db) db[row] = by * dbs[row];
    if (dgamma) dgamma[row] = sum;
}

/* ---- launchers --------------------------------------------------------------------------------------------------- */

static scale_shape shape_of(const vt_tensor *w, const vt_tensor *gamma)
{
    scale_shape s = {(int)gamma->shape[0], (int)(vt_tensor_count(w) / gamma->shape[0])};
    return s;
}

static unsigned scale_blocks(const scale_shape &s) { return (unsigned)ceil_div(s.rows, SCALE_WARPS); }

static void layer_scale(const vt_run *r)
{
    scale_shape s = shape_of(r->node->in[0], r->node->in[2]);
    VT_DISPATCH(r->node->out[0], launch(r, layer_scale_kernel<T>, scale_blocks(s), SCALE_WARPS * WARP, 0, s,
                                        in<float>(r, 0), in<float>(r, 1), in<float>(r, 2), out<T>(r, 0), out<T>(r, 1)));
}

static void layer_scale_grad(const vt_run *r)
{
    scale_shape s = shape_of(r->node->in[2], r->node->in[4]);
    launch(r, layer_scale_grad_kernel, scale_blocks(s), SCALE_WARPS * WARP, 0, s, in<float>(r, 0), in<float>(r, 1),
           in<float>(r, 2), in<float>(r, 3), in<float>(r, 4), out<float>(r, 0), out<float>(r, 1), out<float>(r, 2));
}

VT_CUDA_OP(layer_scale) = {layer_scale, NULL};
VT_CUDA_OP(layer_scale_grad) = {layer_scale_grad, NULL};
