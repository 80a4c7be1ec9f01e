/* bce: binary cross-entropy with logits, and the gradient. */
#include "ops/loss.h"

/* in: logits [B, K], targets [B, K]; out: loss [1] */
VT_BODY(bce)
{
    const vt_real *x = r->in[0], *t = r->in[1];
    int64_t n = vt_tensor_count(r->node->in[0]);
    double loss = 0;
    for (int64_t i = 0; i < n; i++) loss += (x[i] < 0 ? 0 : x[i]) - x[i] * t[i] + log1p(exp(-fabs(x[i])));
    *(vt_real *)r->out[0] = (vt_real)(loss / (double)n);
}

/* in: dloss [1], logits, targets; out: dlogits = dloss / (B*K) * (sigmoid - targets) */
VT_BODY(bce_grad)
{
    const vt_real *x = r->in[1], *t = r->in[2];
    vt_real *dx = r->out[0];
    int64_t n = vt_tensor_count(r->node->in[1]);
    double scale = *(const vt_real *)r->in[0] / (double)n;
    for (int64_t i = 0; i < n; i++) dx[i] = (vt_real)(scale * (1 / (1 + exp(-x[i])) - t[i]));
}

#if VT_REAL == 32
VT_DECLARE_REFERENCE(bce);
VT_DECLARE_REFERENCE(bce_grad);

static void bce_backward(vt_graph *g, const vt_node *n, vt_tensor *const *dout, vt_tensor **din)
{
    din[0] = vt_loss_backward(g, &vt_op_bce_grad, n, dout[0]);
}

vt_tensor *vt_bce(vt_graph *g, const char *name, vt_tensor *logits, vt_tensor *targets)
{
    return vt_out(vt_node_add(g, &vt_op_bce, name, NULL, (vt_tensor *[]){logits, targets}, 2), 0);
}

const vt_op vt_op_bce = {.name = "bce", .n_out = 1, .infer = vt_loss_infer, .grad = bce_backward,
                         .reference = VT_REFERENCE(bce)};
const vt_op vt_op_bce_grad = {.name = "bce_grad", .n_out = 1, .in_place = {2}, .infer = vt_loss_grad_infer,
                              .reference = VT_REFERENCE(bce_grad)};
#endif
