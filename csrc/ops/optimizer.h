/* ops/optimizer.h - what the reference bodies of the optimizers are written with. */
#ifndef VT_OPS_OPTIMIZER_H
#define VT_OPS_OPTIMIZER_H

#include "ops/op.h"
#include "ops/update.h"

static inline vt_update vt_update_of(const vt_run *r, double own_norm)
{
    const vt_update_attrs *a = r->node->attrs;
    return vt_update_numbers(*(const vt_real *)r->in[VT_UPDATE_FLAG], r->in[VT_UPDATE_CONTROL],
                             *(const int32_t *)r->in[VT_UPDATE_STEP], *(const vt_real *)r->in[VT_UPDATE_NORM], a->beta1,
                             a->beta2, own_norm);
}

/* One parameter. */
typedef struct vt_group {
    vt_real *p, *ema, *moment[VT_MOMENTS];
    const vt_real *grad;
    int64_t n;
    double lr, decay; /* its own: scaled, 0 where it is not decayed */
} vt_group;

static inline int vt_group_count(const vt_node *n, int moments)
{
    return (n->n_in - VT_UPDATE_GROUPS) / (VT_UPDATE_MOMENT + moments);
}

static inline vt_group vt_group_at(const vt_run *r, int i, int moments, const vt_update *u)
{
    const vt_update_attrs *a = r->node->attrs;
    int at = VT_UPDATE_GROUPS + i * (VT_UPDATE_MOMENT + moments);
    vt_group g = {.p = r->in[at + VT_UPDATE_PARAM], .grad = r->in[at + VT_UPDATE_GRAD],
                  .ema = r->in[at + VT_UPDATE_EMA], .n = vt_tensor_count(r->node->in[at]),
                  .lr = u->lr * (double)a->rate[i],
                  .decay = a->decay[i] ? u->decay : 0};
    for (int k = 0; k < moments; k++) g.moment[k] = r->in[at + VT_UPDATE_MOMENT + k];
    return g;
}

static inline void vt_group_average(const vt_group *g, const vt_update *u)
{
    vt_real old = (vt_real)u->ema_old, new = (vt_real)u->ema_new;
    for (int64_t k = 0; g->ema && k < g->n; k++) g->ema[k] = old * g->ema[k] + new * g->p[k];
}

/* The shape rule of an optimizer with so many moments a parameter. */
vt_status vt_optimizer_infer(vt_graph *g, vt_node *n, int moments);
void vt_optimizer_cost(const vt_node *n, vt_cost *cost); /* gradients are read, copies written, all else is both */

#endif
