/* add: alpha * a + beta * b, elementwise; also plain scaling, and the sum of gradients. */
#include "ops/op.h"

/* in: a [B, ...]?, b [B, ...]?, scale [B]? of b */
VT_BODY(add)
{
    const vt_add_attrs *at = r->node->attrs;
    const vt_real *a = r->in[0], *b = r->in[1], *scale = r->in[2];
    vt_real *out = r->out[0];
    int64_t samples = r->node->out[0]->shape[0], each = vt_tensor_count(r->node->out[0]) / samples;
    for (int64_t s = 0; s < samples; s++) {
        vt_real alpha = (vt_real)at->alpha, beta = (vt_real)at->beta * (scale ? scale[s] : 1);
        for (int64_t i = s * each; i < (s + 1) * each; i++) out[i] = (a ? alpha * a[i] : 0) + (b ? beta * b[i] : 0);
    }
}

#if VT_REAL == 32
VT_DECLARE_REFERENCE(add);

static vt_status add_infer(vt_graph *g, vt_node *n)
{
    const vt_tensor *any = n->in[0] ? n->in[0] : n->in[1], *scale = n->in[2];
    VT_EXPECT(any, "wants an addend");
    VT_EXPECT(!n->in[0] || !n->in[1] || vt_same_shape(n->in[0], n->in[1]), "the addends differ in shape");
    VT_EXPECT(!scale || (n->in[1] && scale->ndim == 1 && scale->shape[0] == any->shape[0]),
              "the scale wants one value a sample");
    return vt_node_output(g, n, 0, any->dtype, any->ndim, any->shape);
}

static void add_grad(vt_graph *g, const vt_node *n, vt_tensor *const *dout, vt_tensor **din)
{
    const vt_add_attrs *at = n->attrs;
    if (n->in[0] && n->in[0]->wants_grad)
        din[0] = at->alpha == 1
                     ? dout[0]
                     : vt_add_scaled(g, vt_graph_name(g, "%s.da", n->name), at->alpha, dout[0], 0, NULL, NULL);
    if (n->in[1] && n->in[1]->wants_grad)
        din[1] = at->beta == 1 && !n->in[2]
                     ? dout[0]
                     : vt_add_scaled(g, vt_graph_name(g, "%s.db", n->name), 0, NULL, at->beta, dout[0], n->in[2]);
    if (din[1]) din[1] = vt_cast(g, vt_graph_name(g, "%s.db.cast", n->name), din[1], n->in[1]->dtype);
}

vt_tensor *vt_add_scaled(vt_graph *g, const char *name, double alpha, vt_tensor *a, double beta, vt_tensor *b,
                         vt_tensor *scale)
{
    if (!a && !b) return NULL;
    vt_add_attrs at = {alpha, beta};
    return vt_out(vt_node_add(g, &vt_op_add, name, &at, (vt_tensor *[]){a, b, scale}, 3), 0);
}

vt_tensor *vt_add(vt_graph *g, const char *name, vt_tensor *a, vt_tensor *b)
{
    return a && b ? vt_add_scaled(g, name, 1, a, 1, b, NULL) : NULL;
}

const vt_op vt_op_add = {.name = "add", .attr_bytes = sizeof(vt_add_attrs), .n_out = 1, .in_place = {1},
                         .infer = add_infer, .grad = add_grad, .reference = VT_REFERENCE(add)};
#endif
