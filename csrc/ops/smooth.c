/* smooth: labels to smoothed one-hot targets, mixed where samples are. */
#include <assert.h>

#include "ops/draw.h"

static vt_real target(const vt_smooth_attrs *a, int label, int k)
{
    vt_real off = (vt_real)a->smoothing / (vt_real)a->classes;
    return k == label ? 1 - (vt_real)a->smoothing + off : off;
}

/* in: labels i32 [B], where? [B, 5], weights? [B, 3]; out: targets [B, K] */
VT_BODY(smooth)
{
    const vt_smooth_attrs *a = r->node->attrs;
    const int32_t *labels = r->in[0], *where = r->in[1];
    const vt_real *weights = r->in[2];
    vt_real *targets = r->out[0];
    int64_t batch = r->node->in[0]->shape[0];
    for (int64_t b = 0; b < batch; b++) {
        assert(labels[b] >= 0 && labels[b] < a->classes); /* the data layer's promise; without it all are `off` */
        int other = where ? labels[where[5 * b]] : labels[b];
        vt_real t = where ? weights[3 * b + 2] : 1;
        for (int k = 0; k < a->classes; k++) *targets++ = t * target(a, labels[b], k) + (1 - t) * target(a, other, k);
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
    vt_status st = vt_expect_mixing(g, n, n->in[1], n->in[2], labels->shape[0]);
    return st ? st : vt_node_output(g, n, 0, g->real, 2, (int64_t[]){labels->shape[0], a->classes});
}

vt_tensor *vt_smooth_with(vt_graph *g, const char *name, vt_tensor *labels, int classes, float smoothing,
                          const vt_effects *effects)
{
    vt_smooth_attrs a = {classes, smoothing};
    vt_tensor *in[] = {labels, effects ? effects->where : NULL, effects ? effects->weights : NULL};
    return vt_out(vt_node_add(g, &vt_op_smooth, name, &a, in, 3), 0);
}

vt_tensor *vt_smooth(vt_graph *g, const char *name, vt_tensor *labels, int classes, float smoothing)
{
    return vt_smooth_with(g, name, labels, classes, smoothing, NULL);
}

const vt_op vt_op_smooth = {.name = "smooth", .attr_bytes = sizeof(vt_smooth_attrs), .n_out = 1, .infer = smooth_infer,
                            .reference = VT_REFERENCE(smooth)};
#endif
