/* distill.cu - the terms of a student's loss that come from a teacher, and the gradient.
 *
 *   soft: tau^2 / (B K) * sum of p_t (log p_t - log p_s), p = softmax(logits / tau); ds = dloss tau / (B K) (p_s - p_t)
 *   hard: mean over b of lse(s) - s[best], best the teacher's argmax; ds = dloss / B (p_s - [i = best])
 *
 * Moves 8 bytes an element forward, 8 and the gradient's 2 or 4 backward. A block a row; see loss.cuh. */
#include "loss.cuh"

typedef struct distill_problem {
    const float *student; // [B, K]
    const float *teacher; // [B, K]
    int k;
    bool soft;
    float heat;           /* 1 / tau; 1 where hard */
} distill_problem;

/* The first index at which x is `most`, its maximum; 0 where all are NaN. Exact up to 2^24 classes. */
VT_DEVICE int row_first(const float *x, int k, float most, float *shared)
{
    float first = -INFINITY; /* the greatest of the negated indices */
    for (int i = (int)threadIdx.x; i < k; i += (int)blockDim.x)
        if (x[i] == most) first = fmaxf(first, -(float)i);
    first = block_max(first, shared);
    return first < 0 && -first < (float)k ? (int)-first : 0;
}

template <int W>
__global__ void __launch_bounds__(LOSS_THREADS)
distill_kernel(const distill_problem p,
               float *rows) // [B]
{
    smem_cursor at = smem_open();
    float *shared = smem_take<float>(at, LOSS_THREADS / WARP);
    const float *s = p.student + (int64_t)blockIdx.x * p.k, *t = p.teacher + (int64_t)blockIdx.x * p.k;
    float most_s = row_max<W>(s, p.k, shared), most_t = row_max<W>(t, p.k, shared);
    float lse_s = logf(row_sum_exp<W>(s, p.k, p.heat, most_s, shared)); /* less heat * most_s */
    if (!p.soft) {
        int best = row_first(t, p.k, most_t, shared);
        if (threadIdx.x == 0) rows[blockIdx.x] = (most_s - s[best]) + lse_s;
        return;
    }
    float sum_t = row_sum_exp<W>(t, p.k, p.heat, most_t, shared), lse_t = logf(sum_t), sum = 0;
    for (int i = W * (int)threadIdx.x; i < p.k; i += W * (int)blockDim.x) {
        floats<W> fs = load<W>(s + i), ft = load<W>(t + i);
#pragma unroll
        for (int j = 0; j < W; j++) {
            float log_t = p.heat * (ft.v[j] - most_t) - lse_t, log_s = p.heat * (fs.v[j] - most_s) - lse_s;
            sum += expf(log_t) * (log_t - log_s);
        }
    }
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) rows[blockIdx.x] = sum;
}

template <typename T, int W>
__global__ void __launch_bounds__(LOSS_THREADS)
distill_grad_kernel(const distill_problem p,
                    const float *dloss, // [1]
                    float share,        // of it a row's element has: tau / (B K) or 1 / B
                    T *dstudent)        // [B, K]; may be student
{
    smem_cursor at = smem_open();
    float *shared = smem_take<float>(at, LOSS_THREADS / WARP);
    int64_t row = (int64_t)blockIdx.x * p.k;
    const float *s = p.student + row, *t = p.teacher + row;
    float scale = *dloss * share, most_s = row_max<W>(s, p.k, shared), most_t = row_max<W>(t, p.k, shared);
    float part_s = 1 / row_sum_exp<W>(s, p.k, p.heat, most_s, shared);
    float part_t = p.soft ? 1 / row_sum_exp<W>(t, p.k, p.heat, most_t, shared) : 0;
    int best = p.soft ? 0 : row_first(t, p.k, most_t, shared);
    for (int i = W * (int)threadIdx.x; i < p.k; i += W * (int)blockDim.x) {
        floats<W> fs = load<W>(s + i), ft = load<W>(t + i), d;
#pragma unroll
        for (int j = 0; j < W; j++) {
            float p_t = p.soft ? expf(p.heat * (ft.v[j] - most_t)) * part_t : i + j == best;
            d.v[j] = scale * (expf(p.heat * (fs.v[j] - most_s)) * part_s - p_t);
        }
        store<W>(dstudent + row + i, d);
    }
}

static distill_problem problem_of(const vt_run *r, int student)
{
    const vt_distill_attrs *a = (const vt_distill_attrs *)r->node->attrs;
    bool soft = a->kind == VT_DISTILL_SOFT;
    return {in<float>(r, student), in<float>(r, student + 1), (int)r->node->in[student]->shape[1], soft,
            soft ? 1 / a->tau : 1};
}

static void distill(const vt_run *r)
{
    double tau = ((const vt_distill_attrs *)r->node->attrs)->tau;
    distill_problem p = problem_of(r, 0);
    int batch = (int)r->node->in[0]->shape[0], w = p.k % 4 == 0 ? 4 : 1;
    launch(r, w == 4 ? distill_kernel<4> : distill_kernel<1>, batch, loss_threads(p.k, w), LOSS_SMEM, p,
           (float *)r->scratch);
    loss_mean(r, p.soft ? tau * tau / ((double)batch * p.k) : 1.0 / batch);
}

template <typename T> static void gradient(const vt_run *r)
{
    double tau = ((const vt_distill_attrs *)r->node->attrs)->tau;
    distill_problem p = problem_of(r, 1);
    int batch = (int)r->node->in[1]->shape[0], w = p.k % VECTOR<T> == 0 ? VECTOR<T> : 1;
    launch(r, w > 1 ? distill_grad_kernel<T, VECTOR<T>> : distill_grad_kernel<T, 1>, batch, loss_threads(p.k, w),
           LOSS_SMEM, p, in<float>(r, 0), (float)(p.soft ? tau / ((double)batch * p.k) : 1.0 / batch), out<T>(r, 0));
}

static void distill_grad(const vt_run *r)
{
    VT_DISPATCH(r->node->out[0], gradient<T>(r));
}

VT_CUDA_OP(distill) = {distill, loss_scratch};
VT_CUDA_OP(distill_grad) = {distill_grad, nullptr};
