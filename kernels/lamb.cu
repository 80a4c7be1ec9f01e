/* lamb.cu - one step of LAMB over all parameters, and of their average and copies.
 *
 * The trust ratio wants two norms of every parameter before any element of it changes, hence two passes: the first
 * writes the moments and leaves a chunk's sums of squares in scratch, a small kernel adds up each parameter's in their
 * order, the second makes the update again and applies it. Moves 40 bytes an element (24 and 16), 8 for the average, 2
 * for the copy. */
#include "optimizer.cuh"
#include "reduce.cuh"

enum { MOMENTS = 2, W = UPDATE_W, RATIO_THREADS = 128 };

struct lamb_sums {
    double param, update; /* of squares */
};

struct lamb_factors {
    float unbias, inv_root, eps, decay;
};

VT_DEVICE lamb_factors factors_of(const vt_update &u, const update_chunk<MOMENTS> &c, float eps)
{
    return {(float)(1 / u.correction1), (float)u.inv_root2, eps, (float)c.decay};
}

VT_DEVICE float update_of(float p, float m, float v, const lamb_factors &f)
{
    return m * f.unbias / (sqrtf(v) * f.inv_root + f.eps) + f.decay * p;
}

struct lamb_moments {
    float beta1, new1, beta2, new2, eps, clip;

    VT_METHOD void operator()(float p, float g, float &m, float &v, const lamb_factors &f, lamb_sums &sums) const
    {
        g *= clip;
        m = beta1 * m + new1 * g;
        v = beta2 * v + new2 * g * g;
        float update = update_of(p, m, v, f);
        sums.param += (double)p * p;
        sums.update += (double)update * update;
    }
};

__global__ void __launch_bounds__(UPDATE_THREADS)
lamb_moments_kernel(const update_list<MOMENTS> list,
                    const vt_update *of, // [1]
                    lamb_moments rule,
                    lamb_sums *sums)     // [chunks]
{
    smem_cursor at = smem_open();
    double *shared = smem_take<double>(at, UPDATE_THREADS / WARP);
    vt_update u = *of;
    if (!u.apply) return;
    update_chunk<MOMENTS> c = update_find<MOMENTS>(list, u);
    lamb_factors f = factors_of(u, c, rule.eps);
    rule.clip = (float)u.clip;
    lamb_sums sum = {0, 0};
    int i = W * (int)threadIdx.x;
    for (; i + W <= c.n; i += W * UPDATE_THREADS) {
        floats<W> p = load<W>(c.p + i), m = load<W>(c.moment[0] + i), v = load<W>(c.moment[1] + i);
        floats<W> g = unpack<float, W>(load_words_once(c.grad + i));
#pragma unroll
        for (int k = 0; k < W; k++) rule(p.v[k], g.v[k], m.v[k], v.v[k], f, sum);
        store<W>(c.moment[0] + i, m);
        store<W>(c.moment[1] + i, v);
    }
    for (; i < c.n; i++) rule(c.p[i], c.grad[i], c.moment[0][i], c.moment[1][i], f, sum); /* one thread's */
    sum.param = block_sum(sum.param, shared);
    sum.update = block_sum(sum.update, shared);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

/* A block for each parameter of the list. */
__global__ void __launch_bounds__(RATIO_THREADS)
lamb_ratio_kernel(const update_list<MOMENTS> list,
                  const vt_update *of,   // [1]
                  const lamb_sums *sums, // [chunks]
                  double *ratio)         // [list.n]
{
    smem_cursor at = smem_open();
    double *shared = smem_take<double>(at, RATIO_THREADS / WARP);
    if (!of->apply) return;
    int group = (int)blockIdx.x;
    lamb_sums sum = {0, 0};
    for (int i = list.first[group] + (int)threadIdx.x; i < list.first[group + 1]; i += RATIO_THREADS) {
        sum.param += sums[i].param;
        sum.update += sums[i].update;
    }
    sum.param = block_sum(sum.param, shared);
    sum.update = block_sum(sum.update, shared);
    if (threadIdx.x == 0) ratio[group] = vt_lamb_ratio(sum.param, sum.update, list.flag[group] ? of->decay : 0);
}

struct lamb_rule { /* the second pass */
    enum { MOMENTS = 2, READS_GRAD = 0 };
    const double *ratio; // of the list's parameters
    float eps, step;
    lamb_factors f;

    VT_METHOD void begin(const vt_update &u, const update_chunk<MOMENTS> &c)
    {
        f = factors_of(u, c, eps);
        step = (float)(c.lr * ratio[c.group]);
    }

    VT_METHOD void operator()(float &p, float, float *m) const { p -= step * update_of(p, m[0], m[1], f); }
};

static int param_count(const vt_node *n)
{
    return (n->n_in - VT_UPDATE_GROUPS) / (VT_UPDATE_MOMENT + MOMENTS);
}

/* The step's numbers, each parameter's ratio, and the sums of each chunk of a list, for which all chunks are enough:
 * the lists follow each other. */
static size_t lamb_scratch(const vt_device *device, const vt_node *n)
{
    (void)device;
    size_t chunks = 0;
    for (int i = VT_UPDATE_GROUPS; i < n->n_in; i += VT_UPDATE_MOMENT + MOMENTS)
        chunks += (size_t)ceil_div(vt_tensor_count(n->in[i]), UPDATE_CHUNK);
    return sizeof(vt_update) + (size_t)param_count(n) * sizeof(double) + chunks * sizeof(lamb_sums);
}

static void lamb(const vt_run *r)
{
    const vt_update_attrs *a = update_attrs(r);
    vt_update *u = (vt_update *)r->scratch;
    double *ratio = (double *)(u + 1);
    lamb_sums *sums = (lamb_sums *)(ratio + param_count(r->node));
    lamb_moments moments = {(float)a->beta1, (float)(1 - a->beta1), (float)a->beta2, (float)(1 - a->beta2),
                            (float)a->eps, 1};
    update_numbers(r, VT_LAMB_NORM, u);
    update_lists<MOMENTS>(r, [&](const update_list<MOMENTS> &list, int first) {
        unsigned chunks = (unsigned)list.first[list.n];
        lamb_rule rule = {ratio + first, (float)a->eps};
        launch(r, lamb_moments_kernel, chunks, UPDATE_THREADS, smem_bytes<double>(UPDATE_THREADS / WARP), list,
               (const vt_update *)u, moments, sums);
        launch(r, lamb_ratio_kernel, (unsigned)list.n, RATIO_THREADS, smem_bytes<double>(RATIO_THREADS / WARP), list,
               (const vt_update *)u, (const lamb_sums *)sums, ratio + first);
        launch(r, update_kernel<lamb_rule>, chunks, UPDATE_THREADS, 0, list, (const vt_update *)u, rule);
    });
}

VT_CUDA_OP(lamb) = {lamb, lamb_scratch};
