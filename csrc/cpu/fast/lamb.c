#include "cpu/fast/update.h"

enum { MOMENTS = 2, WIDE = 16 };

typedef struct sums {
    double param, update; /* of squares */
} sums;

typedef struct lamb_job {
    vt_job j;
    sums *parts;          /* [j.count] */
    sums *params;         /* [count of parameters] */
    float unbias, inv_root, eps;
} lamb_job;

static int param_count(const vt_node *n)
{
    return (n->n_in - VT_UPDATE_GROUPS) / vt_job_inputs(MOMENTS);
}

static inline float update_of(const lamb_job *l, float p, float m, float v, float decay)
{
    return m * l->unbias / (sqrtf(v) * l->inv_root + l->eps) + decay * p;
}

static void moments_part(void *arg, int task, int worker)
{
    const lamb_job l = *(const lamb_job *)arg;
    const vt_update_attrs *a = l.j.a;
    vt_piece e = vt_job_piece(&l.j, task);
    float *restrict m = e.moment[0], *restrict v = e.moment[1];
    const float *restrict p = e.p, *restrict grad = e.grad;
    float clip = (float)l.j.u.clip, decay = (float)e.decay;
    float beta1 = (float)a->beta1, new1 = (float)(1 - a->beta1), beta2 = (float)a->beta2, new2 = (float)(1 - a->beta2);
    double param[WIDE] = {0}, update[WIDE] = {0};
    for (int at = 0; at < e.count; at += WIDE) {
        int n = e.count - at < WIDE ? e.count - at : WIDE;
        for (int k = 0; k < n; k++) {
            int i = at + k;
            float g = grad[i] * clip;
            m[i] = beta1 * m[i] + new1 * g;
            v[i] = beta2 * v[i] + new2 * (g * g);
            float u = update_of(&l, p[i], m[i], v[i], decay);
            param[k] += (double)p[i] * p[i];
            update[k] += (double)u * u;
        }
    }
    sums *to = &l.parts[task];
    *to = (sums){0, 0};
    for (int k = 0; k < WIDE; k++) {
        to->param += param[k];
        to->update += update[k];
    }
}

static void apply_part(void *arg, int task, int worker)
{
    const lamb_job l = *(const lamb_job *)arg;
    vt_piece e = vt_job_piece(&l.j, task);
    float *restrict p = e.p, decay = (float)e.decay;
    const float *restrict m = e.moment[0], *restrict v = e.moment[1];
    const sums *s = &l.params[e.param];
    float step = (float)(e.lr * vt_lamb_ratio(s->param, s->update, e.decay));
    for (int i = 0; i < e.count; i++) p[i] -= step * update_of(&l, p[i], m[i], v[i], decay);
    vt_piece_average(&l.j, &e);
}

VT_FAST_BODY(lamb)
{
    lamb_job l = {.j = vt_job_open(r, MOMENTS, VT_LAMB_NORM)};
    if (!l.j.u.apply) return;
    l.parts = (sums *)(l.j.parts + l.j.count);
    l.params = l.parts + l.j.count;
    l.unbias = (float)(1 / l.j.u.correction1);
    l.inv_root = (float)l.j.u.inv_root2;
    l.eps = (float)l.j.a->eps;
    vt_pool_run(r->pool, l.j.count, moments_part, &l);
    memset(l.params, 0, (size_t)param_count(r->node) * sizeof *l.params);
    for (int i = 0; i < l.j.count; i++) {
        sums *to = &l.params[(l.j.parts[i].input - VT_UPDATE_GROUPS) / l.j.inputs];
        to->param += l.parts[i].param;
        to->update += l.parts[i].update;
    }
    vt_pool_run(r->pool, l.j.count, apply_part, &l);
}

VT_FAST_SCRATCH(lamb)
{
    return vt_job_scratch(n, MOMENTS) + (size_t)(vt_job_count(n, MOMENTS) + param_count(n)) * sizeof(sums);
}
