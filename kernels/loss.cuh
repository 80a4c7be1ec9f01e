/* loss.cuh - what the losses share: a block a row of [B, K] fp32, a row's loss to scratch, then their mean.
 *
 * A row is read from memory once; the passes after the first find it in L1. A block has a thread for each W elements,
 * up to LOSS_THREADS: by K alone, so that the order of every sum is. */
#ifndef VT_LOSS_CUH
#define VT_LOSS_CUH

#include "cuda.cuh"
#include "reduce.cuh"

enum { LOSS_THREADS = 256 };

static inline int loss_threads(int64_t k, int w)
{
    int64_t threads = ceil_div(ceil_div(k, w), WARP) * WARP;
    return threads < LOSS_THREADS ? (int)threads : LOSS_THREADS;
}

static const size_t LOSS_SMEM = smem_bytes<float>(LOSS_THREADS / WARP); /* for block_sum and block_max */

template <int W> VT_DEVICE float row_max(const float *x, int k, float *shared)
{
    float most = -INFINITY;
    for (int i = W * (int)threadIdx.x; i < k; i += W * (int)blockDim.x) {
        floats<W> f = load<W>(x + i);
#pragma unroll
        for (int j = 0; j < W; j++) most = fmaxf(most, f.v[j]);
    }
    return block_max(most, shared);
}

/* The sum of exp(heat * (x - most)). */
template <int W> VT_DEVICE float row_sum_exp(const float *x, int k, float heat, float most, float *shared)
{
    float sum = 0;
    for (int i = W * (int)threadIdx.x; i < k; i += W * (int)blockDim.x) {
        floats<W> f = load<W>(x + i);
#pragma unroll
        for (int j = 0; j < W; j++) sum += expf(heat * (f.v[j] - most));
    }
    return block_sum(sum, shared);
}

/* Targets at t, each times its class's weight at weights, the same alignment; NULL: 1. */
template <int W> VT_DEVICE floats<W> load_targets(const float *t, const float *weights, int i)
{
    floats<W> f = load<W>(t + i);
    if (!weights) return f;
    floats<W> fw = load<W>(weights + i);
#pragma unroll
    for (int j = 0; j < W; j++) f.v[j] *= fw.v[j];
    return f;
}

/* Weights [K]: input i of the node, NULL where it has none. */
static inline const float *loss_weights(const vt_run *r, int i)
{
    return r->node->n_in > i ? in<float>(r, i) : nullptr;
}

static __global__ void __launch_bounds__(LOSS_THREADS)
loss_mean_kernel(const float *rows, // [B]
                 int64_t batch, double scale,
                 float *loss)       // [1]: scale * the sum of rows
{
    smem_cursor at = smem_open();
    double *shared = smem_take<double>(at, LOSS_THREADS / WARP), sum = 0;
    for (int64_t i = threadIdx.x; i < batch; i += LOSS_THREADS) sum += rows[i];
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) *loss = (float)(scale * sum);
}

static inline void loss_mean(const vt_run *r, double scale)
{
    launch(r, loss_mean_kernel, 1, LOSS_THREADS, smem_bytes<double>(LOSS_THREADS / WARP), (const float *)r->scratch,
           r->node->in[0]->shape[0], scale, out<float>(r, 0));
}

static inline size_t loss_scratch(const vt_device *device, const vt_node *n)
{
    (void)device;
    return (size_t)n->in[0]->shape[0] * sizeof(float);
}

#endif
