/* adamw: one step of AdamW over all parameters. */
#include "ops/optimizer.h"

enum { MOMENTS = 2 };

VT_BODY(adamw)
{
    const vt_update_attrs *a = r->node->attrs;
    vt_update u = vt_update_of(r, 0);
    vt_real clip = (vt_real)u.clip, inv_root = (vt_real)u.inv_root2, eps = (vt_real)a->eps;
    vt_real beta1 = (vt_real)a->beta1, new1 = (vt_real)(1 - a->beta1);
    vt_real beta2 = (vt_real)a->beta2, new2 = (vt_real)(1 - a->beta2);
    for (int i = 0; u.apply && i < vt_group_count(r->node, MOMENTS); i++) {
        vt_group e = vt_group_at(r, i, MOMENTS, &u);
        vt_real *m = e.moment[0], *v = e.moment[1];
        vt_real shrink = (vt_real)(1 - e.lr * e.decay), step = (vt_real)(e.lr / u.correction1);
        for (int64_t k = 0; k < e.n; k++) {
            vt_real g = e.grad[k] * clip;
            m[k] = beta1 * m[k] + new1 * g;
            v[k] = beta2 * v[k] + new2 * g * g;
            e.p[k] = e.p[k] * shrink - step * m[k] / ((vt_real)sqrt(v[k]) * inv_root + eps);
        }
        vt_group_average(&e, &u);
    }
}

#if VT_REAL == 32
VT_DECLARE_REFERENCE(adamw);

static vt_status adamw_infer(vt_graph *g, vt_node *n)
{
    return vt_optimizer_infer(g, n, MOMENTS);
}

const vt_op vt_op_adamw = {.name = "adamw", .attr_bytes = sizeof(vt_update_attrs), .side_effect = true,
                           .infer = adamw_infer, .cost = vt_optimizer_cost, .reference = VT_REFERENCE(adamw)};
#endif
