/* bce.cu - binary cross-entropy with logits, and the gradient.
 *
 *     loss = mean over b and k of max(x, 0) - x t + log(1 + exp(-|x|));  dx = dloss / (B K) * (sigmoid(x) - t)
 *
 * Moves 8 bytes an element forward, 8 and the gradient's 2 or 4 backward. Forward: a block a row, see loss.cuh;
 * backward: elementwise. */
#include "loss.cuh"

template <int W>
__global__ void __launch_bounds__(LOSS_THREADS)
bce_kernel(const float *logits,  // [B, K]
           const float *targets, // [B, K]
           int k,
           float *rows)          // [B]
{
    smem_cursor at = smem_open();
    float *shared = smem_take<float>(at, LOSS_THREADS / WARP), sum = 0;
    const float *x = logits + (int64_t)blockIdx.x * k, *t = targets + (int64_t)blockIdx.x * k;
    for (int i = W * (int)threadIdx.x; i < k; i += W * (int)blockDim.x) {
        floats<W> fx = load<W>(x + i), ft = load<W>(t + i);
#pragma unroll
        for (int j = 0; j < W; j++) {
            float v = fx.v[j];
            sum += (v < 0 ? 0 : v) - v * ft.v[j] + log1pf(expf(-fabsf(v)));
        }
    }
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) rows[blockIdx.x] = sum;
}

template <typename T, int W>
__global__ void __launch_bounds__(LOSS_THREADS)
bce_grad_kernel(const float *dloss,   // [1]
                const float *logits,  // [n], n = B K
                const float *targets, // [n]
                int64_t n, float share, // 1 / n
                T *dlogits)           // [n]; may be logits
{
    int64_t i = W * ((int64_t)blockIdx.x * LOSS_THREADS + threadIdx.x);
    if (i >= n) return;
    float scale = *dloss * share;
    floats<W> fx = load<W>(logits + i), ft = load<W>(targets + i), d;
#pragma unroll
    for (int j = 0; j < W; j++) d.v[j] = scale * (1 / (1 + expf(-fx.v[j])) - ft.v[j]);
    store<W>(dlogits + i, d);
}

static void bce(const vt_run *r)
{
    const vt_tensor *x = r->node->in[0];
    int batch = (int)x->shape[0], k = (int)x->shape[1], w = k % 4 == 0 ? 4 : 1;
    launch(r, w == 4 ? bce_kernel<4> : bce_kernel<1>, batch, loss_threads(k, w), LOSS_SMEM, in<float>(r, 0),
           in<float>(r, 1), k, (float *)r->scratch);
    loss_mean(r, 1.0 / ((double)batch * k));
}

template <typename T> static void gradient(const vt_run *r)
{
    int64_t n = vt_tensor_count(r->node->in[1]), w = n % VECTOR<T> == 0 ? VECTOR<T> : 1;
    launch(r, w > 1 ? bce_grad_kernel<T, VECTOR<T>> : bce_grad_kernel<T, 1>, (unsigned)ceil_div(n, w * LOSS_THREADS),
           LOSS_THREADS, 0, in<float>(r, 0), in<float>(r, 1), in<float>(r, 2), n, (float)(1.0 / (double)n),
           out<T>(r, 0));
}

static void bce_grad(const vt_run *r)
{
    VT_DISPATCH(r->node->out[0], gradient<T>(r));
}

VT_CUDA_OP(bce) = {bce, loss_scratch};
VT_CUDA_OP(bce_grad) = {bce_grad, nullptr};
