/* layer_scale: the weight and bias of a linear layer whose outputs are scaled, and the gradient. */
#include "ops/op.h"

/* in: w [N, K], b [N]?, gamma [N]; out: ws [N, K], bs [N]? */
VT_BODY(layer_scale)
{
    const vt_real *w = r->in[0], *b = r->in[1], *gamma = r->in[2];
    vt_real *ws = r->out[0], *bs = r->out[1];
    int64_t n = r->node->in[2]->shape[0], k = vt_tensor_count(r->node->in[0]) / n;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t l = 0; l < k; l++) ws[i * k + l] = gamma[i] * w[i * k + l];
        if (b) bs[i] = gamma[i] * b[i];
    }
}

/* in: dws [N, K], dbs [N]?, w [N, K], b [N]?, gamma [N]; out: dw [N, K]?, db [N]?, dgamma [N]? */
VT_BODY(layer_scale_grad)
{
    const vt_real *dws = r->in[0], *dbs = r->in[1], *w = r->in[2], *b = r->in[3], *gamma = r->in[4];
    vt_real *dw = r->out[0], *db = r->out[1], *dgamma = r->out[2];
    int64_t n = r->node->in[4]->shape[0], k = vt_tensor_count(r->node->in[2]) / n;
    for (int64_t i = 0; i < n; i++) {
        vt_real sum = b ? dbs[i] * b[i] : 0;
        for (int64_t l = 0; l < k; l++) {
            sum += dws[i * k + l] * w[i * k + l];
            if (dw) dw[i * k + l] = gamma[i] * dws[i * k + l];
        }
        if (db) db[i] = gamma[i] * dbs[i];
        if (dgamma) dgamma[i] = sum;
    }
}

#if VT_REAL == 32
VT_DECLARE_REFERENCE(layer_scale);
VT_DECLARE_REFERENCE(layer_scale_grad);

static vt_status layer_scale_infer(vt_graph *g, vt_node *n)
{
    const vt_tensor *w = n->in[0], *b = n->in[1], *gamma = n->in[2];
    VT_EXPECT(vt_is_real(g, w) && vt_is_real(g, gamma) && (!b || vt_is_real(g, b)), "weight, bias or gamma is not %s",
              vt_dtype_name(g->real));
    VT_EXPECT(w->ndim >= 2 && gamma->ndim == 1 && gamma->shape[0] == w->shape[0], "gamma does not have w's %lld rows",
              (long long)w->shape[0]);
    VT_EXPECT(!b || vt_same_shape(b, gamma), "the bias does not have w's %lld rows", (long long)w->shape[0]);
    vt_status st = vt_node_output(g, n, 0, g->precision.act, w->ndim, w->shape);
    return st || !b ? st : vt_node_output(g, n, 1, g->precision.act, 1, b->shape);
}

static vt_status layer_scale_grad_infer(vt_graph *g, vt_node *n)
{
    const vt_tensor *w = n->in[2], *b = n->in[3], *gamma = n->in[4];
    vt_status st = vt_node_output(g, n, 0, g->real, w->ndim, w->shape);
    if (st == VT_OK && b) st = vt_node_output(g, n, 1, g->real, 1, b->shape);
    return st ? st : vt_node_output(g, n, 2, g->real, 1, gamma->shape);
}

static void layer_scale_backward(vt_graph *g, const vt_node *n, vt_tensor *const *dout, vt_tensor **din)
{
    vt_tensor *in[] = {dout[0], dout[1], n->in[0], n->in[1], n->in[2]};
    for (int i = 0; i < 2; i++) in[i] = vt_cast(g, vt_graph_name(g, "%s.d:%d", n->name, i), in[i], g->real);
    vt_node *grad = vt_node_add(g, &vt_op_layer_scale_grad, vt_graph_name(g, "%s.grad", n->name), NULL, in, 5);
    for (int i = 0; i < 3; i++) din[i] = vt_out(grad, i);
}

vt_scaled vt_layer_scale(vt_graph *g, const char *name, vt_tensor *w, vt_tensor *b, vt_tensor *gamma)
{
    if (!w || !gamma) return (vt_scaled){NULL, NULL};
    vt_node *n = vt_node_add(g, &vt_op_layer_scale, name, NULL, (vt_tensor *[]){w, b, gamma}, 3);
    return (vt_scaled){vt_out(n, 0), vt_out(n, 1)};
}

const vt_op vt_op_layer_scale = {.name = "layer_scale", .n_out = 2, .infer = layer_scale_infer,
                                 .grad = layer_scale_backward, .reference = VT_REFERENCE(layer_scale)};
const vt_op vt_op_layer_scale_grad = {.name = "layer_scale_grad", .n_out = 3, .out_optional = 7,
                                      .infer = layer_scale_grad_infer, .reference = VT_REFERENCE(layer_scale_grad)};
#endif
