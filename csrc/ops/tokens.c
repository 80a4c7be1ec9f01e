/* tokens: extra tokens before the patches' and the position embedding over all, and the gradient. */
#include "ops/op.h"

/* in: x [B, P, D], cls [1, 1, D]?, dist [1, 1, D]?, pos [1, N or P, D]; out: y [B, N, D] */
VT_BODY(tokens)
{
    const vt_real *x = r->in[0], *extra[2] = {r->in[1], r->in[2]}, *pos = r->in[3];
    const vt_tensor *xt = r->node->in[0];
    vt_real *y = r->out[0];
    int64_t patches = xt->shape[1] * xt->shape[2], d = xt->shape[2];
    bool all = r->node->in[3]->shape[1] == r->node->out[0]->shape[1];
    for (int64_t b = 0; b < xt->shape[0]; b++) {
        const vt_real *p = pos;
        for (int t = 0; t < 2; t++) {
            if (!extra[t]) continue;
            for (int64_t k = 0; k < d; k++) *y++ = extra[t][k] + (all ? *p++ : 0);
        }
        for (int64_t k = 0; k < patches; k++) y[k] = x[k] + p[k];
        x += patches;
        y += patches;
    }
}

/* sum over the batch of columns [first, first + count) of dy [B, each] */
static void sum_batch(vt_real *sum, const vt_real *dy, int64_t batch, int64_t each, int64_t first, int64_t count)
{
    if (!sum) return;
    memcpy(sum, dy + first, (size_t)count * sizeof *sum);
    for (int64_t b = 1; b < batch; b++)
        for (int64_t k = 0; k < count; k++) sum[k] += dy[b * each + first + k];
}

/* in: dy [B, N, D]; out: dx [B, P, D]?, dcls [1, 1, D]?, ddist [1, 1, D]?, dpos [1, N or P, D]? */
VT_BODY(tokens_grad)
{
    const vt_tokens_grad_attrs *a = r->node->attrs;
    const vt_tensor *dyt = r->node->in[0];
    const vt_real *dy = r->in[0];
    vt_real *dx = r->out[0];
    int64_t batch = dyt->shape[0], d = dyt->shape[2], each = dyt->shape[1] * d, patches = each - (a->cls + a->dist) * d;
    for (int64_t b = 0; dx && b < batch; b++)
        memcpy(dx + b * patches, dy + b * each + (each - patches), (size_t)patches * sizeof *dx);
    sum_batch(r->out[1], dy, batch, each, 0, d);
    sum_batch(r->out[2], dy, batch, each, a->cls * d, d);
    sum_batch(r->out[3], dy, batch, each, a->patches ? each - patches : 0, a->patches ? patches : each);
}

#if VT_REAL == 32
VT_DECLARE_REFERENCE(tokens);
VT_DECLARE_REFERENCE(tokens_grad);

static vt_status tokens_infer(vt_graph *g, vt_node *n)
{
    const vt_tensor *x = n->in[0], *pos = n->in[3];
    VT_EXPECT(vt_is_act(g, x) && x->ndim == 3, "wants x [B, P, D]");
    int64_t tokens = x->shape[1], d = x->shape[2];
    for (int t = 1; t <= 2; t++) {
        const vt_tensor *extra = n->in[t];
        if (!extra) continue;
        VT_EXPECT(vt_is_real(g, extra) && vt_tensor_count(extra) == d && vt_cols(extra) == d,
                  "the extra token is %s, not [1, 1, %lld]", VT_SHAPE(extra), (long long)d);
        tokens++;
    }
    int64_t shape[] = {x->shape[0], tokens, d};
    VT_EXPECT(vt_is_real(g, pos) && pos->ndim == 3 && pos->shape[0] == 1 && pos->shape[2] == d &&
                  (pos->shape[1] == tokens || pos->shape[1] == x->shape[1]),
              "the position embedding is not [1, %lld, %lld], nor [1, %lld, %lld] of the patches alone",
              (long long)tokens, (long long)d, (long long)x->shape[1], (long long)d);
    return vt_node_output(g, n, 0, g->precision.stream, 3, shape);
}

static vt_status tokens_grad_infer(vt_graph *g, vt_node *n)
{
    const vt_tokens_grad_attrs *a = n->attrs;
    const vt_tensor *dy = n->in[0];
    int64_t d = dy->shape[2], extra = a->cls + a->dist;
    int64_t dx[] = {dy->shape[0], dy->shape[1] - extra, d}, one[] = {1, 1, d};
    int64_t dpos[] = {1, dy->shape[1] - (a->patches ? extra : 0), d};
    vt_status st = vt_node_output(g, n, 0, g->precision.act, 3, dx);
    if (st == VT_OK && a->cls) st = vt_node_output(g, n, 1, g->real, 3, one);
    if (st == VT_OK && a->dist) st = vt_node_output(g, n, 2, g->real, 3, one);
    if (st == VT_OK) st = vt_node_output(g, n, 3, g->real, 3, dpos);
    return st;
}

static void tokens_backward(vt_graph *g, const vt_node *n, vt_tensor *const *dout, vt_tensor **din)
{
    vt_tokens_grad_attrs a = {n->in[1] != NULL, n->in[2] != NULL, n->in[3]->shape[1] != n->out[0]->shape[1]};
    vt_node *grad = vt_node_add(g, &vt_op_tokens_grad, vt_graph_name(g, "%s.grad", n->name), &a, dout, 1);
    for (int i = 0; i < 4; i++) din[i] = vt_out(grad, i);
}

vt_tensor *vt_tokens(vt_graph *g, const char *name, vt_tensor *x, vt_tensor *cls, vt_tensor *dist, vt_tensor *pos)
{
    return vt_out(vt_node_add(g, &vt_op_tokens, name, NULL, (vt_tensor *[]){x, cls, dist, pos}, 4), 0);
}

const vt_op vt_op_tokens = {.name = "tokens", .n_out = 1, .infer = tokens_infer, .grad = tokens_backward,
                            .reference = VT_REFERENCE(tokens)};
const vt_op vt_op_tokens_grad = {.name = "tokens_grad", .attr_bytes = sizeof(vt_tokens_grad_attrs), .n_out = 4,
                                 .out_optional = 15, .infer = tokens_grad_infer,
                                 .reference = VT_REFERENCE(tokens_grad)};
#endif
