/* smooth: labels to smoothed one-hot targets. */
#include <assert.h>

#include "ops/op.h"

/* in: labels i32 [B]; out: targets [B, K] */
VT_BODY(smooth)
{
    const vt_smooth_attrs *a = r->node->attrs;
    const int32_t *labels = r->in[0];
    vt_real *targets = r->out[0], off = (vt_real)a->smoothing / (vt_real)a->classes;
    int64_t batch = r->node->in[0]->shape[0];
    for (int64_t b = 0; b < batch; b++, targets += a->classes) {
        assert(labels[b] >= 0 && labels[b] < a->classes); /* the data layer's promise; without it nothing is written */
        for (int k = 0; k < a->classes; k++) targets[k] = off;
        if (labels[b] >= 0 && labels[b] < a->classes) targets[labels[b]] = 1 - (vt_real)a->smoothing + off;
    }
}

#if VT_REAL == 32
VT_DECLARE_REFERENCE(smooth);

static vt_status smooth_infer(vt_graph *g, vt_node *n)
{
    const vt_smooth_attrs *a = n->attrs;
    const vt_tensor *labels = n->in[0];
    VT_EXPECT(labels && labels->dtype == VT_I32 && labels->ndim == 1, "wants labels I32 [B]");
    VT_EXPECT(a->classes > 0, "wants at least one class, not %d", a->classes);
    VT_EXPECT(a->smoothing >= 0 && a->smoothing <= 1, "the smoothing is %g; it must be between 0 and 1",
              (double)a->smoothing);
    return vt_node_output(g, n, 0, g->real, 2, (int64_t[]){labels->shape[0], a->classes});
}

vt_tensor *vt_smooth(vt_graph *g, const char *name, vt_tensor *labels, int classes, float smoothing)
{
    vt_smooth_attrs a = {classes, smoothing};
    return vt_out(vt_node_add(g, &vt_op_smooth, name, &a, &labels, 1), 0);
}

const vt_op vt_op_smooth = {.name = "smooth", .attr_bytes = sizeof(vt_smooth_attrs), .n_out = 1, .infer = smooth_infer,
                            .reference = VT_REFERENCE(smooth)};
#endif
