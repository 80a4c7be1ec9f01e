/* layernorm: residual add, drop-path and LayerNorm in one pass, and its gradient. */
#include "ops/op.h"

/* in: x [R, D], branch [R, D]?, scale [B]?, w [D], b [D]; out: y [R, D], mean [R], rstd [R], sum [R, D]? */
VT_BODY(layernorm)
{
    const vt_layernorm_attrs *a = r->node->attrs;
    const vt_real *x = r->in[0], *branch = r->in[1], *scale = r->in[2], *w = r->in[3], *b = r->in[4];
    vt_real *y = r->out[0], *mean = r->out[1], *rstd = r->out[2], *sum = r->out[3];
    int64_t d = vt_cols(r->node->in[0]), rows = vt_rows(r->node->in[0]), per_sample = rows / r->node->in[0]->shape[0];
    for (int64_t i = 0; i < rows; i++) {
        vt_real s = scale ? scale[i / per_sample] : 1, m = 0, v = 0;
        const vt_real *row = branch ? sum + i * d : x + i * d;
        for (int64_t k = 0; branch && k < d; k++) sum[i * d + k] = x[i * d + k] + s * branch[i * d + k];
        for (int64_t k = 0; k < d; k++) m += row[k];
        m /= (vt_real)d;
        for (int64_t k = 0; k < d; k++) v += (row[k] - m) * (row[k] - m);
        vt_real q = (vt_real)(1.0 / sqrt((double)v / (double)d + a->eps));
        for (int64_t k = 0; k < d; k++) y[i * d + k] = (row[k] - m) * q * w[k] + b[k];
        mean[i] = m;
        rstd[i] = q;
    }
}

/* in: dy [R, D], dsum [R, D]?, sum [R, D], w [D], mean [R], rstd [R], scale [B]?;
 * out: dx [R, D], dw [D], db [D], dbranch [R, D]? (where it is not dx itself: with a scale, or of another dtype) */
VT_BODY(layernorm_grad)
{
    const vt_real *dy = r->in[0], *dsum = r->in[1], *x = r->in[2], *w = r->in[3], *mean = r->in[4], *rstd = r->in[5];
    const vt_real *scale = r->in[6];
    vt_real *dx = r->out[0], *dw = r->out[1], *db = r->out[2], *dbranch = r->out[3];
    int64_t d = vt_cols(r->node->in[0]), rows = vt_rows(r->node->in[0]), per_sample = rows / r->node->in[0]->shape[0];
    for (int64_t k = 0; k < d; k++) dw[k] = db[k] = 0;
    for (int64_t i = 0; i < rows; i++) {
        vt_real m = mean[i], q = rstd[i], g_mean = 0, gx_mean = 0;
        for (int64_t k = 0; k < d; k++) {
            vt_real xhat = (x[i * d + k] - m) * q, g = dy[i * d + k] * w[k];
            g_mean += g;
            gx_mean += g * xhat;
            dw[k] += dy[i * d + k] * xhat;
            db[k] += dy[i * d + k];
        }
        g_mean /= (vt_real)d;
        gx_mean /= (vt_real)d;
        for (int64_t k = 0; k < d; k++) {
            vt_real xhat = (x[i * d + k] - m) * q, g = dy[i * d + k] * w[k];
            vt_real out = (g - g_mean - xhat * gx_mean) * q + (dsum ? dsum[i * d + k] : 0);
            dx[i * d + k] = out;
            if (dbranch) dbranch[i * d + k] = scale ? out * scale[i / per_sample] : out;
        }
    }
}

#if VT_REAL == 32
VT_DECLARE_REFERENCE(layernorm);
VT_DECLARE_REFERENCE(layernorm_grad);

static vt_status layernorm_infer(vt_graph *g, vt_node *n)
{
    const vt_tensor *x = n->in[0], *branch = n->in[1], *scale = n->in[2], *w = n->in[3], *b = n->in[4];
    VT_EXPECT(x->ndim >= 2, "wants x [B, ..., D]");
    VT_EXPECT(!branch || vt_same_shape(x, branch), "the branch does not have x's shape");
    VT_EXPECT(!scale || (branch && scale->ndim == 1 && scale->shape[0] == x->shape[0]),
              "the scale wants a branch and one value a sample");
    VT_EXPECT(w->ndim == 1 && b->ndim == 1 && w->shape[0] == vt_cols(x) && b->shape[0] == vt_cols(x),
              "weight and bias do not have x's %lld columns", (long long)vt_cols(x));
    VT_EXPECT(vt_is_stream(g, x) && (!branch || vt_is_act(g, branch)), "x or branch has another dtype");
    int64_t rows = vt_rows(x);
    vt_status st = vt_node_output(g, n, 0, g->precision.act, x->ndim, x->shape);
    if (st == VT_OK) st = vt_node_output(g, n, 1, g->real, 1, &rows);
    if (st == VT_OK) st = vt_node_output(g, n, 2, g->real, 1, &rows);
    if (st == VT_OK && branch) st = vt_node_output(g, n, 3, x->dtype, x->ndim, x->shape);
    return st;
}

/* Whether the branch's gradient is a tensor of its own. */
static bool own_dbranch(const vt_graph *g, const vt_tensor *sum, const vt_tensor *scale)
{
    return scale || !vt_is_act(g, sum);
}

static vt_status layernorm_grad_infer(vt_graph *g, vt_node *n)
{
    const vt_tensor *dy = n->in[0], *sum = n->in[2], *w = n->in[3], *scale = n->in[6];
    vt_status st = vt_node_output(g, n, 0, sum->dtype, dy->ndim, dy->shape);
    if (st == VT_OK) st = vt_node_output(g, n, 1, g->real, 1, w->shape);
    if (st == VT_OK) st = vt_node_output(g, n, 2, g->real, 1, w->shape);
    if (st == VT_OK && own_dbranch(g, sum, scale)) st = vt_node_output(g, n, 3, g->precision.act, dy->ndim, dy->shape);
    return st;
}

static void layernorm_backward(vt_graph *g, const vt_node *n, vt_tensor *const *dout, vt_tensor **din)
{
    vt_tensor *branch = n->in[1], *scale = n->in[2], *sum = branch ? n->out[3] : n->in[0];
    if (!dout[0]) { /* only the sum is used: its gradient goes through both addends */
        din[0] = dout[3];
        const char *db = vt_graph_name(g, "%s.db", n->name);
        din[1] = scale ? vt_add_scaled(g, db, 0, NULL, 1, dout[3], scale) : dout[3];
        if (branch && din[1]) din[1] = vt_cast(g, vt_graph_name(g, "%s.cast", db), din[1], branch->dtype);
        return;
    }
    vt_tensor *in[] = {dout[0], dout[3], sum, n->in[3], n->out[1], n->out[2], scale};
    vt_node *grad = vt_node_add(g, &vt_op_layernorm_grad, vt_graph_name(g, "%s.grad", n->name), NULL, in, 7);
    din[0] = vt_out(grad, 0);
    if (branch) din[1] = vt_out(grad, own_dbranch(g, sum, scale) ? 3 : 0);
    din[3] = vt_out(grad, 1);
    din[4] = vt_out(grad, 2);
}

vt_normed vt_layernorm(vt_graph *g, const char *name, vt_tensor *x, vt_tensor *branch, vt_tensor *scale, vt_tensor *w,
                       vt_tensor *b, float eps)
{
    vt_normed none = {NULL, NULL};
    if (!x || !w || !b) return none;
    vt_layernorm_attrs a = {eps};
    vt_node *n = vt_node_add(g, &vt_op_layernorm, name, &a, (vt_tensor *[]){x, branch, scale, w, b}, 5);
    return n ? (vt_normed){n->out[0], branch ? n->out[3] : x} : none;
}

const vt_op vt_op_layernorm = {.name = "layernorm", .attr_bytes = sizeof(vt_layernorm_attrs), .n_out = 4,
                               .infer = layernorm_infer, .grad = layernorm_backward,
                               .reference = VT_REFERENCE(layernorm)};
const vt_op vt_op_layernorm_grad = {.name = "layernorm_grad", .n_out = 4, .out_optional = 8, .in_place = {2},
                                    .infer = layernorm_grad_infer, .reference = VT_REFERENCE(layernorm_grad)};
#endif
