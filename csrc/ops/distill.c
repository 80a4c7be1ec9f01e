/* distill: the terms of a student's loss that come from a teacher, soft or hard, and the gradient. */
#include "ops/loss.h"

static int64_t argmax(const vt_real *x, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

/* in: student [B, K], teacher [B, K]; out: loss [1] */
VT_BODY(distill)
{
    const vt_distill_attrs *a = r->node->attrs;
    const vt_real *s = r->in[0], *t = r->in[1];
    int64_t batch = r->node->in[0]->shape[0], k = r->node->in[0]->shape[1];
    bool soft = a->kind == VT_DISTILL_SOFT;
    double heat = soft ? 1.0 / a->tau : 1, loss = 0;
    for (int64_t b = 0; b < batch; b++, s += k, t += k) {
        double lse_s = vt_log_sum_exp(s, k, heat), lse_t = soft ? vt_log_sum_exp(t, k, heat) : 0;
        for (int64_t i = 0; soft && i < k; i++) {
            double log_t = heat * t[i] - lse_t;
            loss += exp(log_t) * (log_t - (heat * s[i] - lse_s));
        }
        if (!soft) loss += lse_s - s[argmax(t, k)];
    }
    loss *= soft ? (double)a->tau * a->tau / (double)(batch * k) : 1.0 / (double)batch;
    *(vt_real *)r->out[0] = (vt_real)loss;
}

/* in: dloss [1], student, teacher; out: dstudent = dloss * (p_s - p_t) * tau / (B*K), or (p_s - one-hot) / B */
VT_BODY(distill_grad)
{
    const vt_distill_attrs *a = r->node->attrs;
    const vt_real *s = r->in[1], *t = r->in[2];
    vt_real *ds = r->out[0];
    int64_t batch = r->node->in[1]->shape[0], k = r->node->in[1]->shape[1];
    bool soft = a->kind == VT_DISTILL_SOFT;
    double heat = soft ? 1.0 / a->tau : 1, scale = *(const vt_real *)r->in[0] / (double)batch;
    if (soft) scale *= a->tau / (double)k;
    for (int64_t b = 0; b < batch; b++, s += k, t += k, ds += k) {
        double lse_s = vt_log_sum_exp(s, k, heat), lse_t = soft ? vt_log_sum_exp(t, k, heat) : 0;
        int64_t best = argmax(t, k);
        for (int64_t i = 0; i < k; i++) {
            double p_t = soft ? exp(heat * t[i] - lse_t) : i == best;
            ds[i] = (vt_real)(scale * (exp(heat * s[i] - lse_s) - p_t));
        }
    }
}

#if VT_REAL == 32
VT_DECLARE_REFERENCE(distill);
VT_DECLARE_REFERENCE(distill_grad);

static vt_status distill_infer(vt_graph *g, vt_node *n)
{
    const vt_distill_attrs *a = n->attrs;
    VT_EXPECT(a->tau > 0, "the temperature is %g; it must be above 0", (double)a->tau);
    return vt_loss_infer(g, n);
}

static void distill_backward(vt_graph *g, const vt_node *n, vt_tensor *const *dout, vt_tensor **din)
{
    din[0] = vt_loss_backward(g, &vt_op_distill_grad, n, dout[0]);
}

vt_tensor *vt_distill(vt_graph *g, const char *name, vt_tensor *student, vt_tensor *teacher, vt_distill_kind kind,
                      float tau)
{
    vt_distill_attrs a = {kind, tau};
    return vt_out(vt_node_add(g, &vt_op_distill, name, &a, (vt_tensor *[]){student, teacher}, 2), 0);
}

const vt_op vt_op_distill = {.name = "distill", .attr_bytes = sizeof(vt_distill_attrs), .n_out = 1,
                             .infer = distill_infer, .grad = distill_backward, .reference = VT_REFERENCE(distill)};
const vt_op vt_op_distill_grad = {.name = "distill_grad", .attr_bytes = sizeof(vt_distill_attrs), .n_out = 1,
                                  .in_place = {2}, .infer = vt_loss_grad_infer,
                                  .reference = VT_REFERENCE(distill_grad)};
#endif
