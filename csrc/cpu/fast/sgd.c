#include "cpu/fast/update.h"

enum { MOMENTS = 1 };

static void update_part(void *arg, int task, int worker)
{
    const vt_job *j = arg;
    vt_piece e = vt_job_piece(j, task);
    float *restrict p = e.p, *restrict buffer = e.moment[0];
    const float *restrict grad = e.grad;
    float clip = (float)j->u.clip, momentum = (float)j->a->momentum, lr = (float)e.lr, decay = (float)e.decay;
    float of_grad = j->a->nesterov ? 1 : 0, of_buffer = j->a->nesterov ? momentum : 1;
    for (int i = 0; i < e.count; i++) {
        float g = grad[i] * clip + decay * p[i];
        buffer[i] = momentum * buffer[i] + g;
        p[i] -= lr * (of_grad * g + of_buffer * buffer[i]);
    }
    vt_piece_average(j, &e);
}

VT_FAST_BODY(sgd)
{
    vt_job j = vt_job_open(r, MOMENTS, 0);
    if (j.u.apply) vt_pool_run(r->pool, j.count, update_part, &j);
}

VT_FAST_SCRATCH(sgd)
{
    return vt_job_scratch(n, MOMENTS);
}
