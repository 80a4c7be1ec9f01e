/* sgd: one step of SGD with momentum, Nesterov's or plain, over all parameters. */
#include "ops/optimizer.h"

enum { MOMENTS = 1 };

VT_BODY(sgd)
{
    const vt_update_attrs *a = r->node->attrs;
    vt_update u = vt_update_of(r, 0);
    vt_real clip = (vt_real)u.clip, momentum = (vt_real)a->momentum;
    vt_real of_grad = a->nesterov, of_buffer = a->nesterov ? momentum : 1;
    for (int i = 0; u.apply && i < vt_group_count(r->node, MOMENTS); i++) {
        vt_group e = vt_group_at(r, i, MOMENTS, &u);
        vt_real *buffer = e.moment[0], lr = (vt_real)e.lr, decay = (vt_real)e.decay;
        for (int64_t k = 0; k < e.n; k++) {
            vt_real g = e.grad[k] * clip + decay * e.p[k];
            buffer[k] = momentum * buffer[k] + g;
            e.p[k] -= lr * (of_grad * g + of_buffer * buffer[k]);
        }
        vt_group_average(&e, &u);
    }
}

#if VT_REAL == 32
VT_DECLARE_REFERENCE(sgd);

static vt_status sgd_infer(vt_graph *g, vt_node *n)
{
    return vt_optimizer_infer(g, n, MOMENTS);
}

const vt_op vt_op_sgd = {.name = "sgd", .attr_bytes = sizeof(vt_update_attrs), .side_effect = true,
                         .infer = sgd_infer, .cost = vt_optimizer_cost, .reference = VT_REFERENCE(sgd)};
#endif
