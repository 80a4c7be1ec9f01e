/* linear: y = f(x w^T + b), its input gradient with f' folded in, and its weight and bias gradients. */
#include "ops/scalar.h"

/* in: x [M, K], w [N, K], b [N]?; out: y [M, N], pre [M, N]? */
VT_BODY(linear)
{
    const vt_linear_attrs *a = r->node->attrs;
    const vt_real *x = r->in[0], *w = r->in[1], *b = r->in[2];
    vt_real *y = r->out[0], *pre = r->out[1];
    int64_t m = vt_rows(r->node->in[0]), k = vt_cols(r->node->in[0]), n = r->node->in[1]->shape[0];
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            vt_real sum = 0;
            for (int64_t l = 0; l < k; l++) sum += x[i * k + l] * w[j * k + l];
            if (b) sum += b[j];
            if (pre) pre[i * n + j] = sum;
            y[i * n + j] = vt_activate(a->activation, sum);
        }
}

/* in: dy [M, N], w [N, K], pre [M, K]?; out: dx [M, K] */
VT_BODY(linear_dx)
{
    const vt_linear_attrs *a = r->node->attrs;
    const vt_real *dy = r->in[0], *w = r->in[1], *pre = r->in[2];
    vt_real *dx = r->out[0];
    int64_t m = vt_rows(r->node->in[0]), n = vt_cols(r->node->in[0]), k = vt_cols(r->node->out[0]);
    for (int64_t i = 0; i < m; i++) {
        for (int64_t l = 0; l < k; l++) dx[i * k + l] = 0;
        for (int64_t j = 0; j < n; j++)
            for (int64_t l = 0; l < k; l++) dx[i * k + l] += dy[i * n + j] * w[j * k + l];
        for (int64_t l = 0; pre && l < k; l++) dx[i * k + l] *= vt_activate_grad(a->activation, pre[i * k + l]);
    }
}

/* in: dy [M, N], x [M, K], dw to add to [N, K]?, db to add to [N]?; out: dw [N, K], db [N]? */
VT_BODY(linear_dw)
{
    const vt_real *dy = r->in[0], *x = r->in[1], *dw0 = r->in[2], *db0 = r->in[3];
    vt_real *dw = r->out[0], *db = r->out[1];
    int64_t m = vt_rows(r->node->in[0]), n = vt_cols(r->node->in[0]), k = vt_cols(r->node->in[1]);
    for (int64_t j = 0; j < n; j++) {
        for (int64_t l = 0; l < k; l++) {
            vt_real sum = 0;
            for (int64_t i = 0; i < m; i++) sum += dy[i * n + j] * x[i * k + l];
            dw[j * k + l] = dw0 ? dw0[j * k + l] + sum : sum;
        }
        vt_real sum = 0;
        for (int64_t i = 0; db && i < m; i++) sum += dy[i * n + j];
        if (db) db[j] = db0 ? db0[j] + sum : sum;
    }
}

#if VT_REAL == 32
VT_DECLARE_REFERENCE(linear);
VT_DECLARE_REFERENCE(linear_dx);
VT_DECLARE_REFERENCE(linear_dw);

/* w may have more axes behind the first, as a patch embedding's [N, ph, pw, C] has. */
static int64_t fan_in(const vt_tensor *w)
{
    return vt_tensor_count(w) / w->shape[0];
}

static vt_status linear_infer(vt_graph *g, vt_node *n)
{
    const vt_tensor *x = n->in[0], *w = n->in[1], *b = n->in[2];
    VT_EXPECT(x->ndim >= 2 && w->ndim >= 2, "wants x [..., K] and w [N, K]");
    VT_EXPECT(vt_cols(x) == fan_in(w), "x has %lld columns, w %lld inputs", (long long)vt_cols(x),
              (long long)fan_in(w));
    VT_EXPECT(!b || (b->ndim == 1 && b->shape[0] == w->shape[0]), "the bias does not have w's %lld rows",
              (long long)w->shape[0]);
    int64_t shape[VT_MAX_DIMS];
    for (int i = 0; i < x->ndim; i++) shape[i] = x->shape[i];
    shape[x->ndim - 1] = w->shape[0];
    const vt_linear_attrs *a = n->attrs;
    vt_dtype y = a->wide ? g->real : g->precision.act;
    VT_EXPECT(vt_is_act(g, x) && vt_is_act(g, w), "x and w are not %s", vt_dtype_name(g->precision.act));
    VT_EXPECT(!b || b->dtype == y, "the bias is not %s, as the output", vt_dtype_name(y));
    vt_status st = vt_node_output(g, n, 0, y, x->ndim, shape);
    if (st == VT_OK && a->activation) st = vt_node_output(g, n, 1, y, x->ndim, shape);
    return st;
}

static vt_status linear_dx_infer(vt_graph *g, vt_node *n)
{
    const vt_tensor *dy = n->in[0], *w = n->in[1];
    VT_EXPECT(vt_cols(dy) == w->shape[0], "dy has %lld columns, w %lld rows", (long long)vt_cols(dy),
              (long long)w->shape[0]);
    int64_t shape[VT_MAX_DIMS];
    for (int i = 0; i < dy->ndim; i++) shape[i] = dy->shape[i];
    shape[dy->ndim - 1] = fan_in(w);
    return vt_node_output(g, n, 0, g->precision.act, dy->ndim, shape);
}

static vt_status linear_dw_infer(vt_graph *g, vt_node *n)
{
    const vt_tensor *dy = n->in[0], *x = n->in[1];
    VT_EXPECT(vt_rows(dy) == vt_rows(x), "dy has %lld rows, x %lld", (long long)vt_rows(dy), (long long)vt_rows(x));
    int64_t dw[] = {vt_cols(dy), vt_cols(x)};
    vt_status st = vt_node_output(g, n, 0, g->real, 2, dw);
    return st ? st : vt_node_output(g, n, 1, g->real, 1, dw);
}

static void linear_grad(vt_graph *g, const vt_node *n, vt_tensor *const *dout, vt_tensor **din)
{
    vt_tensor *x = n->in[0], *w = n->in[1], *b = n->in[2];
    vt_linear_attrs none = {VT_IDENTITY, false}; /* activations are folded after differentiation */
    if (x->wants_grad)
        din[0] = vt_out(vt_node_add(g, &vt_op_linear_dx, vt_graph_name(g, "%s.dx", n->name), &none,
                                    (vt_tensor *[]){dout[0], w, NULL}, 3), 0);
    if (w->wants_grad || (b && b->wants_grad)) {
        vt_node *dw = vt_node_add(g, &vt_op_linear_dw, vt_graph_name(g, "%s.dw", n->name), NULL,
                                  (vt_tensor *[]){dout[0], x, NULL, NULL}, 4);
        din[1] = vt_out(dw, 0);
        if (b) din[2] = vt_out(dw, 1);
    }
}

/* The same for all three: M rows, N outputs, K inputs. in[0] and in[1] share one of these as rows or columns. */
static void linear_cost(const vt_node *n, vt_cost *cost)
{
    double weight = n->op == &vt_op_linear_dw ? (double)vt_tensor_count(n->out[0]) : (double)vt_tensor_count(n->in[1]);
    cost->flops = 2.0 * (double)vt_rows(n->in[0]) * weight;
}

static vt_tensor *add_linear(vt_graph *g, const char *name, vt_tensor *x, vt_tensor *w, vt_tensor *b, bool wide)
{
    if (!x || !w) return NULL;
    vt_linear_attrs a = {VT_IDENTITY, wide};
    return vt_out(vt_node_add(g, &vt_op_linear, name, &a, (vt_tensor *[]){x, w, b}, 3), 0);
}

vt_tensor *vt_linear(vt_graph *g, const char *name, vt_tensor *x, vt_tensor *w, vt_tensor *b)
{
    return add_linear(g, name, x, w, b, false);
}

vt_tensor *vt_linear_wide(vt_graph *g, const char *name, vt_tensor *x, vt_tensor *w, vt_tensor *b)
{
    return add_linear(g, name, x, w, b, true);
}

const vt_op vt_op_linear = {.name = "linear", .attr_bytes = sizeof(vt_linear_attrs), .n_out = 2, .out_optional = 2,
                            .infer = linear_infer, .grad = linear_grad, .cost = linear_cost,
                            .reference = VT_REFERENCE(linear)};
const vt_op vt_op_linear_dx = {.name = "linear_dx", .attr_bytes = sizeof(vt_linear_attrs), .n_out = 1,
                               .infer = linear_dx_infer, .cost = linear_cost, .reference = VT_REFERENCE(linear_dx)};
const vt_op vt_op_linear_dw = {.name = "linear_dw", .n_out = 2, .out_optional = 2, .in_place = {3, 4},
                               .infer = linear_dw_infer, .cost = linear_cost, .reference = VT_REFERENCE(linear_dw)};
#endif
