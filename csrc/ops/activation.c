/* activation: GELU, ReLU or tanh, and the gradient. Behind a linear both fold into its epilogue (folds.c). */
#include "ops/scalar.h"

/* in: x; out: y of its shape */
VT_BODY(activation)
{
    const vt_activation_attrs *a = r->node->attrs;
    const vt_real *x = r->in[0];
    vt_real *y = r->out[0];
    int64_t n = vt_tensor_count(r->node->in[0]);
    for (int64_t i = 0; i < n; i++) y[i] = vt_activate(a->kind, x[i]);
}

/* in: dy, x; out: dx */
VT_BODY(activation_grad)
{
    const vt_activation_attrs *a = r->node->attrs;
    const vt_real *dy = r->in[0], *x = r->in[1];
    vt_real *dx = r->out[0];
    int64_t n = vt_tensor_count(r->node->in[0]);
    for (int64_t i = 0; i < n; i++) dx[i] = dy[i] * vt_activate_grad(a->kind, x[i]);
}

#if VT_REAL == 32
VT_DECLARE_REFERENCE(activation);
VT_DECLARE_REFERENCE(activation_grad);

/* Both: output 0 is like input 0. */
static vt_status activation_infer(vt_graph *g, vt_node *n)
{
    VT_EXPECT(vt_is_act(g, n->in[0]), "wants an input of %s", vt_dtype_name(g->precision.act));
    return vt_node_output(g, n, 0, g->precision.act, n->in[0]->ndim, n->in[0]->shape);
}

static void activation_backward(vt_graph *g, const vt_node *n, vt_tensor *const *dout, vt_tensor **din)
{
    din[0] = vt_out(vt_node_add(g, &vt_op_activation_grad, vt_graph_name(g, "%s.dx", n->name), n->attrs,
                                (vt_tensor *[]){dout[0], n->in[0]}, 2), 0);
}

vt_tensor *vt_activation(vt_graph *g, const char *name, vt_tensor *x, vt_activation_kind kind)
{
    vt_activation_attrs a = {kind};
    return vt_out(vt_node_add(g, &vt_op_activation, name, &a, &x, 1), 0);
}

const vt_op vt_op_activation = {.name = "activation", .attr_bytes = sizeof(vt_activation_attrs), .n_out = 1,
                                .in_place = {1}, .infer = activation_infer, .grad = activation_backward,
                                .reference = VT_REFERENCE(activation)};
const vt_op vt_op_activation_grad = {.name = "activation_grad", .attr_bytes = sizeof(vt_activation_attrs), .n_out = 1,
                                     .in_place = {1}, .infer = activation_infer,
                                     .reference = VT_REFERENCE(activation_grad)};
#endif
