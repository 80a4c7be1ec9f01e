/* pool: the mean of a range of tokens, one token among them, and the gradient. */
#include "ops/op.h"

/* in: x [B, N, D]; out: y [B, D] */
VT_BODY(pool)
{
    const vt_pool_attrs *a = r->node->attrs;
    const vt_tensor *xt = r->node->in[0];
    int64_t n = xt->shape[1], d = xt->shape[2];
    for (int64_t b = 0; b < xt->shape[0]; b++) {
        const vt_real *x = (const vt_real *)r->in[0] + (b * n + a->first) * d;
        vt_real *y = (vt_real *)r->out[0] + b * d;
        memcpy(y, x, (size_t)d * sizeof *y);
        for (int64_t i = 1; i < a->count; i++)
            for (int64_t k = 0; k < d; k++) y[k] += x[i * d + k];
        for (int64_t k = 0; a->count > 1 && k < d; k++) y[k] /= (vt_real)a->count;
    }
}

typedef struct pool_grad_attrs {
    vt_pool_attrs pool;
    int tokens;     /* of x */
    vt_dtype dtype; /* of x */
} pool_grad_attrs;

/* in: dy [B, D]; out: dx [B, N, D] */
VT_BODY(pool_grad)
{
    const pool_grad_attrs *a = r->node->attrs;
    const vt_real *dy = r->in[0];
    vt_real *dx = r->out[0];
    int64_t n = a->tokens, d = vt_cols(r->node->in[0]), batch = r->node->in[0]->shape[0];
    memset(dx, 0, (size_t)(batch * n * d) * sizeof *dx);
    for (int64_t b = 0; b < batch; b++)
        for (int64_t i = a->pool.first; i < a->pool.first + a->pool.count; i++)
            for (int64_t k = 0; k < d; k++) dx[(b * n + i) * d + k] = dy[b * d + k] / (vt_real)a->pool.count;
}

#if VT_REAL == 32
VT_DECLARE_REFERENCE(pool);
VT_DECLARE_REFERENCE(pool_grad);

static vt_status pool_infer(vt_graph *g, vt_node *n)
{
    const vt_pool_attrs *a = n->attrs;
    const vt_tensor *x = n->in[0];
    VT_EXPECT(vt_is_stream(g, x) && x->ndim == 3, "wants x [B, N, D]");
    VT_EXPECT(a->first >= 0 && a->count > 0 && (int64_t)a->first + a->count <= x->shape[1],
              "tokens %d to %d are not in x %s", a->first, a->first + a->count - 1, VT_SHAPE(x));
    return vt_node_output(g, n, 0, g->precision.act, 2, (int64_t[]){x->shape[0], x->shape[2]});
}

static vt_status pool_grad_infer(vt_graph *g, vt_node *n)
{
    const pool_grad_attrs *a = n->attrs;
    const vt_tensor *dy = n->in[0];
    return vt_node_output(g, n, 0, a->dtype, 3, (int64_t[]){dy->shape[0], a->tokens, dy->shape[1]});
}

static void pool_backward(vt_graph *g, const vt_node *n, vt_tensor *const *dout, vt_tensor **din)
{
    pool_grad_attrs a = {*(const vt_pool_attrs *)n->attrs, (int)n->in[0]->shape[1], n->in[0]->dtype};
    din[0] = vt_out(vt_node_add(g, &vt_op_pool_grad, vt_graph_name(g, "%s.dx", n->name), &a, dout, 1), 0);
}

vt_tensor *vt_pool_tokens(vt_graph *g, const char *name, vt_tensor *x, int first, int count)
{
    vt_pool_attrs a = {first, count};
    return vt_out(vt_node_add(g, &vt_op_pool, name, &a, &x, 1), 0);
}

const vt_op vt_op_pool = {.name = "pool", .attr_bytes = sizeof(vt_pool_attrs), .n_out = 1, .infer = pool_infer,
                          .grad = pool_backward, .reference = VT_REFERENCE(pool)};
const vt_op vt_op_pool_grad = {.name = "pool_grad", .attr_bytes = sizeof(pool_grad_attrs), .n_out = 1,
                               .infer = pool_grad_infer, .reference = VT_REFERENCE(pool_grad)};
#endif
