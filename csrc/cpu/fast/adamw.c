#include "cpu/fast/update.h"

enum { MOMENTS = 2 };

static void update_part(void *arg, int task, int worker)
{
    const vt_job *j = arg;
    vt_piece e = vt_job_piece(j, task);
    float *restrict p = e.p, *restrict m = e.moment[0], *restrict v = e.moment[1];
    const float *restrict grad = e.grad;
    float clip = (float)j->u.clip, inv_root = (float)j->u.inv_root2, eps = (float)j->a->eps;
    float beta1 = (float)j->a->beta1, new1 = (float)(1 - j->a->beta1);
    float beta2 = (float)j->a->beta2, new2 = (float)(1 - j->a->beta2);
    float shrink = (float)(1 - e.lr * e.decay), step = (float)(e.lr / j->u.correction1);
    for (int i = 0; i < e.count; i++) {
        float g = grad[i] * clip;
        m[i] = beta1 * m[i] + new1 * g;
        v[i] = beta2 * v[i] + new2 * (g * g);
        p[i] = p[i] * shrink - step * m[i] / (sqrtf(v[i]) * inv_root + eps);
    }
    vt_piece_average(j, &e);
}

VT_FAST_BODY(adamw)
{
    vt_job j = vt_job_open(r, MOMENTS, 0);
    if (j.u.apply) vt_pool_run(r->pool, j.count, update_part, &j);
}

VT_FAST_SCRATCH(adamw)
{
    return vt_job_scratch(n, MOMENTS);
}
