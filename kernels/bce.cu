/* bce.cu - binary cross-entropy with logits, and the gradient.
 *
 *     loss = mean over b and k of w (max(x, 0) - x t + log(1 + exp(-|x|)));  dx = dloss / (B K) * w (sigmoid(x) - t)
 *
 * with w the class's weight, 1 where there are none, and t the target or, with a threshold, whether it is above that.
 *
 * Moves 8 bytes an element forward, 8 and the gradient's 2 or 4 backward. Forward: a block a row, see loss.cuh;
 * backward: elementwise. */
#include "loss.cuh"

typedef struct bce_problem {
    const float *logits;  // [B, K]
    const float *targets; // [B, K]
    const float *weights; // [K] or NULL
    int k;
    float threshold;      /* below 0: targets as they are */
} bce_problem;

VT_DEVICE float target_of(const bce_problem &p, float t)
{
    return p.threshold < 0 ? t : t > p.threshold;
}

template <int W>
__global__ void __launch_bounds__(LOSS_THREADS)
bce_kernel(const bce_problem p,
           float *rows) // [B]
{
    smem_cursor at = smem_open();
    float *shared = smem_take<float>(at, LOSS_THREADS / WARP), sum = 0;
    const float *x = p.logits + (int64_t)blockIdx.x * p.k, *t = p.targets + (int64_t)blockIdx.x * p.k;
    for (int i = W * (int)threadIdx.x; i < p.k; i += W * (int)blockDim.x) {
        floats<W> fx = load<W>(x + i), ft = load<W>(t + i), fw;
        if (p.weights) fw = load<W>(p.weights + i);
#pragma unroll
        for (int j = 0; j < W; j++) {
            float v = fx.v[j], one = (v < 0 ? 0 : v) - v * target_of(p, ft.v[j]) + log1pf(expf(-fabsf(v)));
            sum += p.weights ? fw.v[j] * one : one;
        }
    }
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) rows[blockIdx.x] = sum;
}

template <typename T, int W>
__global__ void __launch_bounds__(LOSS_THREADS)
bce_grad_kernel(const bce_problem p,
                const float *dloss,     // [1]
                int64_t n, float share, // n = B K; 1 / n
                T *dlogits)             // [n]; may be logits
{
    int64_t i = W * ((int64_t)blockIdx.x * LOSS_THREADS + threadIdx.x);
    if (i >= n) return;
    float scale = *dloss * share;
    floats<W> fx = load<W>(p.logits + i), ft = load<W>(p.targets + i), fw, d;
    if (p.weights) fw = load<W>(p.weights + i % p.k); /* W divides K then */
#pragma unroll
    for (int j = 0; j < W; j++) {
        float one = 1 / (1 + expf(-fx.v[j])) - target_of(p, ft.v[j]);
        d.v[j] = scale * (p.weights ? fw.v[j] * one : one);
    }
    store<W>(dlogits + i, d);
}

static bce_problem problem_of(const vt_run *r, int logits)
{
    const vt_bce_attrs *a = (const vt_bce_attrs *)r->node->attrs;
    return {in<float>(r, logits), in<float>(r, logits + 1), loss_weights(r, logits + 2),
            (int)r->node->in[logits]->shape[1], a->threshold};
}

static void bce(const vt_run *r)
{
    bce_problem p = problem_of(r, 0);
    int batch = (int)r->node->in[0]->shape[0], w = p.k % 4 == 0 ? 4 : 1;
    launch(r, w == 4 ? bce_kernel<4> : bce_kernel<1>, batch, loss_threads(p.k, w), LOSS_SMEM, p, (float *)r->scratch);
    loss_mean(r, 1.0 / ((double)batch * p.k));
}

template <typename T> static void gradient(const vt_run *r)
{
    bce_problem p = problem_of(r, 1);
    int64_t n = vt_tensor_count(r->node->in[1]), w = (p.weights ? p.k : n) % VECTOR<T> == 0 ? VECTOR<T> : 1;
    launch(r, w > 1 ? bce_grad_kernel<T, VECTOR<T>> : bce_grad_kernel<T, 1>, (unsigned)ceil_div(n, w * LOSS_THREADS),
           LOSS_THREADS, 0, p, in<float>(r, 0), n, (float)(1.0 / (double)n), out<T>(r, 0));
}

static void bce_grad(const vt_run *r)
{
    VT_DISPATCH(r->node->out[0], gradient<T>(r));
}

VT_CUDA_OP(bce) = {bce, loss_scratch};
VT_CUDA_OP(bce_grad) = {bce_grad, nullptr};
