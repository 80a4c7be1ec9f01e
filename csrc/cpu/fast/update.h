/* cpu/fast/update.h - what the fast bodies of the optimizers share: one task takes one piece of one parameter. */
#ifndef VT_CPU_FAST_UPDATE_H
#define VT_CPU_FAST_UPDATE_H

#include "cpu/fast/cut.h"
#include "ops/update.h"

typedef struct vt_job {
    const vt_run *r;
    const vt_update_attrs *a;
    vt_part *parts;       /* [count]; and behind them what an optimizer's scratch has beside */
    int count, inputs;    /* inputs: of a parameter */
    vt_update u;
} vt_job;

static inline int vt_job_inputs(int moments)
{
    return VT_UPDATE_MOMENT + moments;
}

static inline int vt_job_count(const vt_node *n, int moments)
{
    return vt_part_count(n, VT_UPDATE_GROUPS, vt_job_inputs(moments));
}

static inline size_t vt_job_scratch(const vt_node *n, int moments)
{
    return (size_t)vt_job_count(n, moments) * sizeof(vt_part);
}

static inline vt_job vt_job_open(const vt_run *r, int moments, double own_norm)
{
    vt_job j = {.r = r, .a = r->node->attrs, .parts = r->scratch, .count = vt_job_count(r->node, moments),
                .inputs = vt_job_inputs(moments)};
    j.u = vt_update_numbers(*(const float *)r->in[VT_UPDATE_FLAG], r->in[VT_UPDATE_CONTROL],
                            *(const int32_t *)r->in[VT_UPDATE_STEP], *(const float *)r->in[VT_UPDATE_NORM], j.a->beta1,
                            j.a->beta2, own_norm);
    vt_part_list(r->node, VT_UPDATE_GROUPS, j.inputs, j.parts);
    return j;
}

/* What a task works on. */
typedef struct vt_piece {
    float *p, *ema, *moment[VT_MOMENTS];
    const float *grad;
    int count, param;
    double lr, decay; /* the parameter's own */
} vt_piece;

static inline vt_piece vt_job_piece(const vt_job *j, int task)
{
    const vt_part *part = &j->parts[task];
    void *const *in = j->r->in + part->input;
    int i = (part->input - VT_UPDATE_GROUPS) / j->inputs;
    vt_piece e = {.p = (float *)in[VT_UPDATE_PARAM] + part->at, .grad = (const float *)in[VT_UPDATE_GRAD] + part->at,
                  .count = part->count, .param = i, .lr = j->u.lr * (double)j->a->rate[i],
                  .decay = j->a->decay[i] ? j->u.decay : 0};
    if (in[VT_UPDATE_EMA]) e.ema = (float *)in[VT_UPDATE_EMA] + part->at;
    for (int k = 0; k < j->inputs - VT_UPDATE_MOMENT; k++)
        e.moment[k] = (float *)in[VT_UPDATE_MOMENT + k] + part->at;
    return e;
}

/* At a task's end, while its piece is in the cache. */
static inline void vt_piece_average(const vt_job *j, const vt_piece *e)
{
    float *restrict ema = e->ema, old = (float)j->u.ema_old, new = (float)j->u.ema_new;
    const float *restrict p = e->p;
    int count = ema ? e->count : 0;
    for (int i = 0; i < count; i++) ema[i] = old * ema[i] + new * p[i];
}

#endif
