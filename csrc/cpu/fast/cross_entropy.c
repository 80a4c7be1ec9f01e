#include "cpu/fast/cut.h"
#include "cpu/fast/simd_math.h"

/* One row's softmax, not yet divided: e[k] = exp(x[k] - most). e may be x, or NULL. Returns the sum. */
static float exp_row(const float *x, int64_t n, float *e, float *most)
{
    vf m = vf_set(x[0]), sum = {0};
    int64_t i = 0;
    int rest = (int)(n % VT_LANES);
    for (; i + VT_LANES <= n; i += VT_LANES) m = vf_max(vf_load(x + i), m);
    float tail = vf_max_lane(m);
    for (; i < n; i++) tail = x[i] > tail ? x[i] : tail;
    *most = tail;
    for (i = 0; i + VT_LANES <= n; i += VT_LANES) {
        vf v = vf_exp(vf_load(x + i) - tail);
        if (e) vf_store(e + i, v);
        sum += v;
    }
    if (rest) {
        vf v = vf_exp(vf_load_n(x + i, rest) - tail);
        if (e) vf_store_n(e + i, v, rest);
        sum += vf_first(v, rest, vf_set(0));
    }
    return vf_sum(sum);
}

typedef struct job {
    const vt_run *r;
    int64_t batch, classes, rows;   /* rows: of a task */
    double *losses;                 /* [B] */
} job;

/* The two below are compiled with weights NULL and not, so that rows without are as fast as if there were none. */
static inline __attribute__((always_inline)) double row_loss(const float *x, const float *t, const float *w, int64_t k,
                                                             float most, float log_sum)
{
    double loss = 0;
    for (int64_t i = 0; i < k; i++) loss += (double)((w ? w[i] * t[i] : t[i]) * (most - x[i] + log_sum));
    return loss;
}

/* dx: the row's exp on entry */
static inline __attribute__((always_inline)) void row_grad(float *dx, const float *t, const float *w, int64_t k,
                                                           float scale, float sum)
{
    float total = 0;
    for (int64_t i = 0; i < k; i++) total += w ? w[i] * t[i] : t[i];
    float share = total / sum;
    for (int64_t i = 0; i < k; i++) dx[i] = scale * (dx[i] * share - (w ? w[i] * t[i] : t[i]));
}

static const float *weights_of(const vt_run *r, int i)
{
    return r->node->n_in > i ? r->in[i] : NULL;
}

static void row_losses(void *arg, int task, int worker)
{
    const job *j = arg;
    int64_t k = j->classes;
    const float *w = weights_of(j->r, 2);
    for (int64_t b = task * j->rows; b < j->batch && b < (task + 1) * j->rows; b++) {
        const float *x = (const float *)j->r->in[0] + b * k, *t = (const float *)j->r->in[1] + b * k;
        float most, log_sum = logf(exp_row(x, k, NULL, &most));
        j->losses[b] = w ? row_loss(x, t, w, k, most, log_sum) : row_loss(x, t, NULL, k, most, log_sum);
    }
}

static void row_grads(void *arg, int task, int worker)
{
    const job *j = arg;
    int64_t k = j->classes;
    const float *w = weights_of(j->r, 3);
    float scale = *(const float *)j->r->in[0] / (float)j->batch;
    for (int64_t b = task * j->rows; b < j->batch && b < (task + 1) * j->rows; b++) {
        const float *x = (const float *)j->r->in[1] + b * k, *t = (const float *)j->r->in[2] + b * k;
        float *dx = (float *)j->r->out[0] + b * k, most, sum = exp_row(x, k, dx, &most);
        if (w) row_grad(dx, t, w, k, scale, sum);
        else row_grad(dx, t, NULL, k, scale, sum);
    }
}

static job job_of(const vt_run *r, const vt_tensor *x)
{
    return (job){r, x->shape[0], x->shape[1], vt_piece_rows(8 * x->shape[1]), r->scratch};
}

static int tasks_of(const job *j)
{
    return (int)((j->batch + j->rows - 1) / j->rows);
}

VT_FAST_BODY(cross_entropy)
{
    job j = job_of(r, r->node->in[0]);
    vt_pool_run(r->pool, tasks_of(&j), row_losses, &j);
    double loss = 0;
    for (int64_t b = 0; b < j.batch; b++) loss += j.losses[b];
    *(float *)r->out[0] = (float)(loss / (double)j.batch);
}

VT_FAST_BODY(cross_entropy_grad)
{
    job j = job_of(r, r->node->in[1]);
    vt_pool_run(r->pool, tasks_of(&j), row_grads, &j);
}

VT_FAST_SCRATCH(cross_entropy)
{
    return (size_t)n->in[0]->shape[0] * sizeof(double);
}

VT_FAST_SCRATCH(cross_entropy_grad)
{
    return 0;
}
