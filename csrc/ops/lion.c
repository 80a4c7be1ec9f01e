/* lion: one step of Lion over all parameters. */
#include "ops/optimizer.h"

enum { MOMENTS = 1 };

VT_BODY(lion)
{
    const vt_update_attrs *a = r->node->attrs;
    vt_update u = vt_update_of(r, 0);
    vt_real clip = (vt_real)u.clip;
    vt_real beta1 = (vt_real)a->beta1, new1 = (vt_real)(1 - a->beta1);
    vt_real beta2 = (vt_real)a->beta2, new2 = (vt_real)(1 - a->beta2);
    for (int i = 0; u.apply && i < vt_group_count(r->node, MOMENTS); i++) {
        vt_group e = vt_group_at(r, i, MOMENTS, &u);
        vt_real *m = e.moment[0], lr = (vt_real)e.lr, shrink = (vt_real)(1 - e.lr * e.decay);
        for (int64_t k = 0; k < e.n; k++) {
            vt_real g = e.grad[k] * clip, c = beta1 * m[k] + new1 * g;
            e.p[k] = e.p[k] * shrink - (c > 0 ? lr : c < 0 ? -lr : 0);
            m[k] = beta2 * m[k] + new2 * g;
        }
        vt_group_average(&e, &u);
    }
}

#if VT_REAL == 32
VT_DECLARE_REFERENCE(lion);

static vt_status lion_infer(vt_graph *g, vt_node *n)
{
    return vt_optimizer_infer(g, n, MOMENTS);
}

const vt_op vt_op_lion = {.name = "lion", .attr_bytes = sizeof(vt_update_attrs), .side_effect = true,
                          .infer = lion_infer, .cost = vt_optimizer_cost, .reference = VT_REFERENCE(lion)};
#endif
