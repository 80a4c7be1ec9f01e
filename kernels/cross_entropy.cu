/* cross_entropy.cu - softmax and cross-entropy with soft targets, and the gradient.
 *
 *     loss = mean over b of sum_k t (lse - x);  dx = dloss / B * (softmax(x) * sum of t - t)
 *
 * with t the target times its class's weight, where there are weights.
 *
 * Moves 8 bytes an element forward, 8 and the gradient's 2 or 4 backward. A block a row; see loss.cuh. */
#include "loss.cuh"

template <int W>
__global__ void __launch_bounds__(LOSS_THREADS)
cross_entropy_kernel(const float *logits,  // [B, K]
                     const float *targets, // [B, K]
                     const float *weights, // [K] or NULL
                     int k,
                     float *rows)          // [B]
{
    smem_cursor at = smem_open();
    float *shared = smem_take<float>(at, LOSS_THREADS / WARP);
    const float *x = logits + (int64_t)blockIdx.x * k, *t = targets + (int64_t)blockIdx.x * k;
    float most = row_max<W>(x, k, shared), sum = 0, total = 0, below = 0;
    for (int i = W * (int)threadIdx.x; i < k; i += W * (int)blockDim.x) {
        floats<W> fx = load<W>(x + i), ft = load_targets<W>(t, weights, i);
#pragma unroll
        for (int j = 0; j < W; j++) {
            float under = most - fx.v[j];
            sum += expf(-under);
            total += ft.v[j];
            below += ft.v[j] * under;
        }
    }
    sum = block_sum(sum, shared);
    total = block_sum(total, shared);
    below = block_sum(below, shared);
    if (threadIdx.x == 0) rows[blockIdx.x] = below + total * logf(sum);
}

template <typename T, int W>
__global__ void __launch_bounds__(LOSS_THREADS)
cross_entropy_grad_kernel(const float *dloss,   // [1]
                          const float *logits,  // [B, K]
                          const float *targets, // [B, K]
                          const float *weights, // [K] or NULL
                          int k,
                          T *dlogits)           // [B, K]; may be logits
{
    smem_cursor at = smem_open();
    float *shared = smem_take<float>(at, LOSS_THREADS / WARP);
    int64_t row = (int64_t)blockIdx.x * k;
    const float *x = logits + row, *t = targets + row;
    float scale = *dloss / (float)gridDim.x, most = row_max<W>(x, k, shared), sum = 0, total = 0;
    for (int i = W * (int)threadIdx.x; i < k; i += W * (int)blockDim.x) {
        floats<W> fx = load<W>(x + i), ft = load_targets<W>(t, weights, i);
#pragma unroll
        for (int j = 0; j < W; j++) {
            sum += expf(fx.v[j] - most);
            total += ft.v[j];
        }
    }
    sum = block_sum(sum, shared);
    total = block_sum(total, shared);
    float share = total / sum;
    for (int i = W * (int)threadIdx.x; i < k; i += W * (int)blockDim.x) {
        floats<W> fx = load<W>(x + i), ft = load_targets<W>(t, weights, i), d;
#pragma unroll
        for (int j = 0; j < W; j++) d.v[j] = scale * (expf(fx.v[j] - most) * share - ft.v[j]);
        store<W>(dlogits + row + i, d);
    }
}

static void cross_entropy(const vt_run *r)
{
    const vt_tensor *x = r->node->in[0];
    int batch = (int)x->shape[0], k = (int)x->shape[1], w = k % 4 == 0 ? 4 : 1;
    launch(r, w == 4 ? cross_entropy_kernel<4> : cross_entropy_kernel<1>, batch, loss_threads(k, w), LOSS_SMEM,
           in<float>(r, 0), in<float>(r, 1), loss_weights(r, 2), k, (float *)r->scratch);
    loss_mean(r, 1.0 / batch);
}

template <typename T> static void gradient(const vt_run *r)
{
    const vt_tensor *x = r->node->in[1];
    int batch = (int)x->shape[0], k = (int)x->shape[1], w = k % VECTOR<T> == 0 ? VECTOR<T> : 1;
    launch(r, w > 1 ? cross_entropy_grad_kernel<T, VECTOR<T>> : cross_entropy_grad_kernel<T, 1>, batch,
           loss_threads(k, w), LOSS_SMEM, in<float>(r, 0), in<float>(r, 1), in<float>(r, 2), loss_weights(r, 3), k,
           out<T>(r, 0));
}

static void cross_entropy_grad(const vt_run *r)
{
    VT_DISPATCH(r->node->out[0], gradient<T>(r));
}

VT_CUDA_OP(cross_entropy) = {cross_entropy, loss_scratch};
VT_CUDA_OP(cross_entropy_grad) = {cross_entropy_grad, nullptr};
