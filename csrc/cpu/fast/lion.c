#include "cpu/fast/update.h"

enum { MOMENTS = 1 };

static void update_part(void *arg, int task, int worker)
{
    const vt_job *j = arg;
    vt_piece e = vt_job_piece(j, task);
    float *restrict p = e.p, *restrict m = e.moment[0];
    const float *restrict grad = e.grad;
    float clip = (float)j->u.clip, lr = (float)e.lr, shrink = (float)(1 - e.lr * e.decay);
    float beta1 = (float)j->a->beta1, new1 = (float)(1 - j->a->beta1);
    float beta2 = (float)j->a->beta2, new2 = (float)(1 - j->a->beta2);
    for (int i = 0; i < e.count; i++) {
        float g = grad[i] * clip, c = beta1 * m[i] + new1 * g;
        p[i] = p[i] * shrink - (c > 0 ? lr : c < 0 ? -lr : 0);
        m[i] = beta2 * m[i] + new2 * g;
    }
    vt_piece_average(j, &e);
}

VT_FAST_BODY(lion)
{
    vt_job j = vt_job_open(r, MOMENTS, 0);
    if (j.u.apply) vt_pool_run(r->pool, j.count, update_part, &j);
}

VT_FAST_SCRATCH(lion)
{
    return vt_job_scratch(n, MOMENTS);
}
