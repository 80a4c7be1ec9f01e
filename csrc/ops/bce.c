/* bce: binary cross-entropy with logits, and the gradient. */
#include "ops/loss.h"

static vt_real target(const vt_run *r, vt_real t)
{
    float threshold = ((const vt_bce_attrs *)r->node->attrs)->threshold;
    return threshold < 0 ? t : t > threshold;
}

/* in: logits [B, K], targets [B, K], optionally weights [K]; out: loss [1] */
VT_BODY(bce)
{
    const vt_real *x = r->in[0], *t = r->in[1], *w = vt_loss_weights(r, 2);
    int64_t n = vt_tensor_count(r->node->in[0]), k = r->node->in[0]->shape[1];
    double loss = 0;
    for (int64_t i = 0; i < n; i++) {
        double one = (x[i] < 0 ? 0 : x[i]) - x[i] * target(r, t[i]) + log1p(exp(-fabs(x[i])));
        loss += w ? w[i % k] * one : one;
    }
    *(vt_real *)r->out[0] = (vt_real)(loss / (double)n);
}

/* in: dloss [1], logits, targets, weights; out: dlogits = dloss / (B*K) * w * (sigmoid - targets) */
VT_BODY(bce_grad)
{
    const vt_real *x = r->in[1], *t = r->in[2], *w = vt_loss_weights(r, 3);
    vt_real *dx = r->out[0];
    int64_t n = vt_tensor_count(r->node->in[1]), k = r->node->in[1]->shape[1];
    double scale = *(const vt_real *)r->in[0] / (double)n;
    for (int64_t i = 0; i < n; i++) {
        double one = 1 / (1 + exp(-x[i])) - target(r, t[i]);
        dx[i] = (vt_real)(scale * (w ? w[i % k] * one : one));
    }
}

#if VT_REAL == 32
VT_DECLARE_REFERENCE(bce);
VT_DECLARE_REFERENCE(bce_grad);

static void bce_backward(vt_graph *g, const vt_node *n, vt_tensor *const *dout, vt_tensor **din)
{
    din[0] = vt_loss_backward(g, &vt_op_bce_grad, n, dout[0]);
}

vt_tensor *vt_bce(vt_graph *g, const char *name, vt_tensor *logits, vt_tensor *targets, vt_tensor *weights,
                  float threshold)
{
    vt_bce_attrs a = {threshold};
    vt_tensor *in[] = {logits, targets, weights};
    return vt_out(vt_node_add(g, &vt_op_bce, name, &a, in, weights ? 3 : 2), 0);
}

const vt_op vt_op_bce = {.name = "bce", .attr_bytes = sizeof(vt_bce_attrs), .n_out = 1, .infer = vt_loss_infer,
                         .grad = bce_backward, .reference = VT_REFERENCE(bce)};
const vt_op vt_op_bce_grad = {.name = "bce_grad", .attr_bytes = sizeof(vt_bce_attrs), .n_out = 1, .in_place = {2},
                              .infer = vt_loss_grad_infer, .reference = VT_REFERENCE(bce_grad)};
#endif
