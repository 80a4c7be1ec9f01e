/* lamb: one step of LAMB over all parameters. A first pass writes the moments and takes the two norms of a parameter's
 * trust ratio, a second one makes the update again and applies it. */
#include "ops/optimizer.h"

enum { MOMENTS = 2 };

VT_BODY(lamb)
{
    const vt_update_attrs *a = r->node->attrs;
    vt_update u = vt_update_of(r, VT_LAMB_NORM);
    vt_real clip = (vt_real)u.clip, unbias = (vt_real)(1 / u.correction1), inv_root = (vt_real)u.inv_root2;
    vt_real beta1 = (vt_real)a->beta1, new1 = (vt_real)(1 - a->beta1), eps = (vt_real)a->eps;
    vt_real beta2 = (vt_real)a->beta2, new2 = (vt_real)(1 - a->beta2);
    for (int i = 0; u.apply && i < vt_group_count(r->node, MOMENTS); i++) {
        vt_group e = vt_group_at(r, i, MOMENTS, &u);
        vt_real *m = e.moment[0], *v = e.moment[1], decay = (vt_real)e.decay;
        double of_param = 0, of_update = 0;
        for (int64_t k = 0; k < e.n; k++) {
            vt_real g = e.grad[k] * clip;
            m[k] = beta1 * m[k] + new1 * g;
            v[k] = beta2 * v[k] + new2 * g * g;
            vt_real update = m[k] * unbias / ((vt_real)sqrt(v[k]) * inv_root + eps) + decay * e.p[k];
            of_param += (double)e.p[k] * e.p[k];
            of_update += (double)update * update;
        }
        vt_real step = (vt_real)(e.lr * vt_lamb_ratio(of_param, of_update, e.decay));
        for (int64_t k = 0; k < e.n; k++)
            e.p[k] -= step * (m[k] * unbias / ((vt_real)sqrt(v[k]) * inv_root + eps) + decay * e.p[k]);
        vt_group_average(&e, &u);
    }
}

#if VT_REAL == 32
VT_DECLARE_REFERENCE(lamb);

static vt_status lamb_infer(vt_graph *g, vt_node *n)
{
    return vt_optimizer_infer(g, n, MOMENTS);
}

const vt_op vt_op_lamb = {.name = "lamb", .attr_bytes = sizeof(vt_update_attrs), .side_effect = true,
                          .infer = lamb_infer, .cost = vt_optimizer_cost, .reference = VT_REFERENCE(lamb)};
#endif
