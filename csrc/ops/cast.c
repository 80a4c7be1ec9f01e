/* cast: tensors in another float dtype. The CPU has one, so its body copies. */
#include "ops/op.h"

/* in: any number of tensors; out: the same in attrs' dtype */
VT_BODY(cast)
{
    for (int i = 0; i < r->node->n_in; i++)
        if (r->out[i]) memcpy(r->out[i], r->in[i], vt_tensor_bytes(r->node->in[i]));
}

#if VT_REAL == 32
VT_DECLARE_REFERENCE(cast);

static vt_status cast_infer(vt_graph *g, vt_node *n)
{
    const vt_cast_attrs *a = n->attrs;
    vt_status st = VT_OK;
    for (int i = 0; i < n->n_in && st == VT_OK; i++) {
        VT_EXPECT(n->in[i], "input %d is missing", i);
        st = vt_node_output(g, n, i, a->dtype, n->in[i]->ndim, n->in[i]->shape);
    }
    return st;
}

/* A parameter's gradient is real already, whatever dtype the GEMM read it in. */
static void cast_backward(vt_graph *g, const vt_node *n, vt_tensor *const *dout, vt_tensor **din)
{
    for (int i = 0; i < n->n_in; i++)
        if (dout[i] && n->in[i]->wants_grad)
            din[i] = vt_cast(g, vt_graph_name(g, "%s.dx:%d", n->name, i), dout[i], n->in[i]->dtype);
}

void vt_cast_all(vt_graph *g, const char *name, vt_tensor *const *x, int n, vt_dtype dtype, vt_tensor **y)
{
    vt_cast_attrs a = {dtype};
    vt_node *cast = vt_node_add(g, &vt_op_cast, name, &a, x, n);
    for (int i = 0; i < n; i++) y[i] = vt_out(cast, i);
}

vt_tensor *vt_cast(vt_graph *g, const char *name, vt_tensor *x, vt_dtype dtype)
{
    if (x && x->dtype != dtype) vt_cast_all(g, name, &x, 1, dtype, &x);
    return x;
}

const vt_op vt_op_cast = {.name = "cast", .attr_bytes = sizeof(vt_cast_attrs), .n_out = VT_OUT_EACH,
                          .infer = cast_infer, .grad = cast_backward, .reference = VT_REFERENCE(cast)};
#endif
