/* cross_entropy: softmax and cross-entropy with soft targets in one op, and the gradient. */
#include "ops/loss.h"

static double target(const vt_real *t, const vt_real *weights, int64_t i)
{
    return weights ? (double)weights[i] * t[i] : t[i];
}

/* in: logits [B, K], targets [B, K], optionally weights [K]; out: loss [1] */
VT_BODY(cross_entropy)
{
    const vt_real *x = r->in[0], *t = r->in[1], *w = vt_loss_weights(r, 2);
    int64_t batch = r->node->in[0]->shape[0], k = r->node->in[0]->shape[1];
    double loss = 0;
    for (int64_t b = 0; b < batch; b++, x += k, t += k) {
        double lse = vt_log_sum_exp(x, k, 1);
        for (int64_t i = 0; i < k; i++) loss += target(t, w, i) * (lse - x[i]);
    }
    *(vt_real *)r->out[0] = (vt_real)(loss / (double)batch);
}

/* in: dloss [1], logits, targets, weights; out: dlogits = dloss / B * (softmax * sum of w t - w t) */
VT_BODY(cross_entropy_grad)
{
    const vt_real *x = r->in[1], *t = r->in[2], *w = vt_loss_weights(r, 3);
    vt_real *dx = r->out[0];
    int64_t batch = r->node->in[1]->shape[0], k = r->node->in[1]->shape[1];
    double scale = *(const vt_real *)r->in[0] / (double)batch;
    for (int64_t b = 0; b < batch; b++, x += k, t += k, dx += k) {
        double lse = vt_log_sum_exp(x, k, 1), total = 0;
        for (int64_t i = 0; i < k; i++) total += target(t, w, i);
        for (int64_t i = 0; i < k; i++) dx[i] = (vt_real)(scale * (exp(x[i] - lse) * total - target(t, w, i)));
    }
}

#if VT_REAL == 32
VT_DECLARE_REFERENCE(cross_entropy);
VT_DECLARE_REFERENCE(cross_entropy_grad);

static void cross_entropy_backward(vt_graph *g, const vt_node *n, vt_tensor *const *dout, vt_tensor **din)
{
    din[0] = vt_loss_backward(g, &vt_op_cross_entropy_grad, n, dout[0]);
}

vt_tensor *vt_cross_entropy(vt_graph *g, const char *name, vt_tensor *logits, vt_tensor *targets, vt_tensor *weights)
{
    vt_tensor *in[] = {logits, targets, weights};
    return vt_out(vt_node_add(g, &vt_op_cross_entropy, name, NULL, in, weights ? 3 : 2), 0);
}

const vt_op vt_op_cross_entropy = {.name = "cross_entropy", .n_out = 1, .infer = vt_loss_infer,
                                   .grad = cross_entropy_backward, .reference = VT_REFERENCE(cross_entropy)};
const vt_op vt_op_cross_entropy_grad = {.name = "cross_entropy_grad", .n_out = 1, .in_place = {2},
                                        .infer = vt_loss_grad_infer, .reference = VT_REFERENCE(cross_entropy_grad)};
#endif
