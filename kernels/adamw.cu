/* adamw.cu - one step of AdamW over all parameters, with the gradient clipped by its norm.
 *
 *     g = grad * min(1, max_norm / (norm + 1e-6));  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
 *     p = p (1 - lr decay) - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
 *
 * Moves 28 bytes an element (p, m, v read and written, grad read). One thread first makes the step's few numbers from
 * device memory: nothing comes from the host, so that a captured launch can be replayed. Then a block for each chunk of
 * a tensor, as many tensors a launch as its parameters can name. */
#include "tensor_list.cuh"

enum { FLAG, CONTROL, STEP, NORM, PARAMS }; /* the node's inputs; then param, grad, exp_avg, exp_avg_sq of each */
enum { CHUNK = 4096, THREADS = 256, W = 4 };

typedef struct adamw_step {
    float clip, step, inv_root, shrink;
    int apply;
} adamw_step;

typedef struct adamw_constants {
    float beta1, new1, beta2, new2, eps;
} adamw_constants;

__global__ void adamw_step_kernel(const float *flag,    // [1]
                                  const float *control, // [VT_CONTROL_COUNT]
                                  const int32_t *number, // [1]
                                  const float *norm,    // [1]
                                  double beta1, double beta2,
                                  adamw_step *to)       // [1]
{
    double t = *number + 1.0, lr = control[VT_CONTROL_LR], most = control[VT_CONTROL_MAX_NORM];
    double clip = most > 0 ? most / (*norm + 1e-6) : 1;
    to->clip = (float)(clip < 1 ? clip : 1);
    to->step = (float)(lr / (1 - pow(beta1, t)));
    to->inv_root = (float)(1 / sqrt(1 - pow(beta2, t)));
    to->shrink = (float)(1 - lr * control[VT_CONTROL_DECAY]);
    to->apply = *flag == 0;
}

VT_DEVICE void update(float &p, float g, float &m, float &v, const adamw_step &s, const adamw_constants &c)
{
    g *= s.clip;
    m = c.beta1 * m + c.new1 * g;
    v = c.beta2 * v + c.new2 * g * g;
    p = p * s.shrink - s.step * m / (sqrtf(v) * s.inv_root + c.eps);
}

__global__ void __launch_bounds__(THREADS)
adamw_kernel(const tensor_list<4> list,   /* flag: decayed */
             const adamw_step *of,        // [1]
             const adamw_constants c)
{
    adamw_step s = *of;
    if (!s.apply) return;
    list_chunk part = list_find(list, CHUNK);
    if (!list.flag[part.group]) s.shrink = 1;
    float *p = (float *)list.data[part.group][0] + part.begin, *m = (float *)list.data[part.group][2] + part.begin;
    float *v = (float *)list.data[part.group][3] + part.begin;
    const float *grad = (const float *)list.data[part.group][1] + part.begin;
    int n = (int)(part.end - part.begin), i = W * (int)threadIdx.x;
    for (; i + W <= n; i += W * THREADS) {
        floats<W> fp = load<W>(p + i), fm = load<W>(m + i), fv = load<W>(v + i);
        floats<W> fg = unpack<float, W>(load_words_once(grad + i));
#pragma unroll
        for (int k = 0; k < W; k++) update(fp.v[k], fg.v[k], fm.v[k], fv.v[k], s, c);
        store<W>(p + i, fp);
        store<W>(m + i, fm);
        store<W>(v + i, fv);
    }
    for (; i < n; i++) update(p[i], grad[i], m[i], v[i], s, c); /* fewer than W are left, one thread's */
}

static size_t adamw_scratch(const vt_device *device, const vt_node *n)
{
    (void)device, (void)n;
    return sizeof(adamw_step);
}

static void adamw(const vt_run *r)
{
    const vt_adamw_attrs *a = (const vt_adamw_attrs *)r->node->attrs;
    adamw_step *step = (adamw_step *)r->scratch;
    adamw_constants c = {(float)a->beta1, (float)(1 - a->beta1), (float)a->beta2, (float)(1 - a->beta2),
                         (float)a->eps};
    launch(r, adamw_step_kernel, 1, 1, 0, in<float>(r, FLAG), in<float>(r, CONTROL), in<int32_t>(r, STEP),
           in<float>(r, NORM), a->beta1, a->beta2, step);
    tensor_list<4> list;
    for (int at = PARAMS; at < r->node->n_in;) {
        const bool *decay = a->decay + (at - PARAMS) / 4;
        at = list_inputs(&list, r, at, CHUNK);
        for (int i = 0; i < list.n; i++) list.flag[i] = decay[i];
        if (list.first[list.n]) launch(r, adamw_kernel, list.first[list.n], THREADS, 0, list, step, c);
    }
}

VT_CUDA_OP(adamw) = {adamw, adamw_scratch};
