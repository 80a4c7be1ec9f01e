#include "cpu/fast/cut.h"

enum { FLAG, CONTROL, STEP, NORM, PARAMS };

typedef struct job {
    const vt_run *r;
    const vt_part *parts;
    float clip, step, inv_root, shrink, eps, beta1, new1, beta2, new2;
} job;

static void update_part(void *arg, int task, int worker)
{
    const job j = *(const job *)arg;
    const vt_part *part = &j.parts[task];
    const bool *decay = ((const vt_adamw_attrs *)j.r->node->attrs)->decay;
    void *const *four = j.r->in + part->input;
    float *restrict p = (float *)four[0] + part->at, *restrict m = (float *)four[2] + part->at;
    float *restrict v = (float *)four[3] + part->at, shrink = decay[(part->input - PARAMS) / 4] ? j.shrink : 1;
    const float *restrict grad = (const float *)four[1] + part->at;
    for (int i = 0; i < part->count; i++) {
        float g = grad[i] * j.clip;
        m[i] = j.beta1 * m[i] + j.new1 * g;
        v[i] = j.beta2 * v[i] + j.new2 * (g * g);
        p[i] = p[i] * shrink - j.step * m[i] / (sqrtf(v[i]) * j.inv_root + j.eps);
    }
}

VT_FAST_BODY(adamw)
{
    const vt_adamw_attrs *a = r->node->attrs;
    const float *control = r->in[CONTROL];
    if (*(const float *)r->in[FLAG] != 0) return;
    double t = *(const int32_t *)r->in[STEP] + 1.0, lr = control[VT_CONTROL_LR], norm = *(const float *)r->in[NORM];
    double most = control[VT_CONTROL_MAX_NORM], clip = most > 0 ? most / (norm + 1e-6) : 1;
    vt_part_list(r->node, PARAMS, 4, r->scratch);
    job j = {.r = r, .parts = r->scratch, .clip = (float)(clip < 1 ? clip : 1),
             .step = (float)(lr / (1 - pow(a->beta1, t))), .inv_root = (float)(1 / sqrt(1 - pow(a->beta2, t))),
             .shrink = (float)(1 - lr * control[VT_CONTROL_DECAY]), .eps = (float)a->eps, .beta1 = (float)a->beta1,
             .new1 = (float)(1 - a->beta1), .beta2 = (float)a->beta2, .new2 = (float)(1 - a->beta2)};
    vt_pool_run(r->pool, vt_part_count(r->node, PARAMS, 4), update_part, &j);
}

VT_FAST_SCRATCH(adamw)
{
    return (size_t)vt_part_count(n, PARAMS, 4) * sizeof(vt_part);
}
