/* dropout: its own gradient, with the same key. */
#include "ops/draw.h"

/* in: x [B, ...], step, slots [B]; out: y */
VT_BODY(dropout)
{
    const vt_dropout_attrs *a = r->node->attrs;
    const vt_tensor *xt = r->node->in[0];
    const vt_real *x = r->in[0], scale = 1 / (1 - (vt_real)a->rate);
    const int32_t *step = r->in[1], *slots = r->in[2];
    vt_real *y = r->out[0];
    int64_t each = vt_tensor_count(xt) / xt->shape[0];
    for (int64_t b = 0; b < xt->shape[0]; b++)
        for (int64_t e = 0; e < each; e++)
            y[b * each + e] = vt_is_kept(a->key, step, slots[b], e, a->rate) ? x[b * each + e] * scale : 0;
}

#if VT_REAL == 32
VT_DECLARE_REFERENCE(dropout);

static vt_status dropout_infer(vt_graph *g, vt_node *n)
{
    const vt_dropout_attrs *a = n->attrs;
    const vt_tensor *x = n->in[0];
    VT_EXPECT(vt_is_stream(g, x) && x->ndim >= 1, "wants x [B, ...]");
    vt_status st = vt_expect_draws(g, n, a->rate, n->in[1], n->in[2], x->shape[0], vt_tensor_count(x) / x->shape[0]);
    return st ? st : vt_node_output(g, n, 0, x->dtype, x->ndim, x->shape);
}

static void dropout_backward(vt_graph *g, const vt_node *n, vt_tensor *const *dout, vt_tensor **din)
{
    din[0] = vt_out(vt_node_add(g, &vt_op_dropout, vt_graph_name(g, "%s.dx", n->name), n->attrs,
                                (vt_tensor *[]){dout[0], n->in[1], n->in[2]}, 3), 0);
}

vt_tensor *vt_dropout(vt_graph *g, const char *name, vt_tensor *x, float rate, const vt_random *random)
{
    if (rate == 0) return x;
    vt_dropout_attrs a = {rate, vt_draw_key(random, name)};
    vt_tensor *in[] = {x, random ? random->step : NULL, random ? random->slots : NULL};
    return vt_out(vt_node_add(g, &vt_op_dropout, name, &a, in, 3), 0);
}

const vt_op vt_op_dropout = {.name = "dropout", .attr_bytes = sizeof(vt_dropout_attrs), .n_out = 1, .in_place = {1},
                             .infer = dropout_infer, .grad = dropout_backward, .reference = VT_REFERENCE(dropout)};
#endif
