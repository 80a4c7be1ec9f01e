/* ops/loss.h - what the losses share: two inputs [B, K], the second without gradient, of some a third, weights [K]; a
 * mean [1] over the batch; and a gradient node that reads the loss's own gradient, then those, and may overwrite the
 * first. */
#ifndef VT_OPS_LOSS_H
#define VT_OPS_LOSS_H

#include "ops/scalar.h"

static inline vt_status vt_loss_infer(vt_graph *g, vt_node *n)
{
    const vt_tensor *x = n->in[0], *y = n->in[1];
    VT_EXPECT(vt_is_real(g, x) && vt_is_real(g, y), "wants two inputs of %s", vt_dtype_name(g->real));
    VT_EXPECT(x->ndim == 2 && vt_same_shape(x, y), "wants two inputs [B, K], not %s and %s", VT_SHAPE(x), VT_SHAPE(y));
    VT_EXPECT(!y->wants_grad, "%s depends on a trainable parameter, but a loss has no gradient for it", y->name);
    const vt_tensor *w = n->n_in > 2 ? n->in[2] : NULL;
    VT_EXPECT(!w || (vt_is_real(g, w) && w->ndim == 1 && w->shape[0] == x->shape[1] && !w->wants_grad),
              "wants constant weights [K] of %s, not %s", vt_dtype_name(g->real), VT_SHAPE(w));
    return vt_node_output(g, n, 0, g->real, 1, (int64_t[]){1});
}

static inline vt_status vt_loss_grad_infer(vt_graph *g, vt_node *n)
{
    return vt_node_output(g, n, 0, g->precision.act, 2, n->in[1]->shape);
}

static inline vt_tensor *vt_loss_backward(vt_graph *g, const vt_op *op, const vt_node *n, vt_tensor *dloss)
{
    vt_tensor *in[] = {dloss, n->in[0], n->in[1], n->n_in > 2 ? n->in[2] : NULL};
    return vt_out(vt_node_add(g, op, vt_graph_name(g, "%s.grad", n->name), n->attrs, in, n->n_in + 1), 0);
}

/* The weights [K] of a run, NULL without: input i of the node. */
static inline const vt_real *vt_loss_weights(const vt_run *r, int i)
{
    return r->node->n_in > i ? r->in[i] : NULL;
}

#endif
