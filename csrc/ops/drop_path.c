/* drop_path: each sample's factor of a residual branch; layernorm applies it. */
#include "ops/draw.h"

/* in: step?, slots [B]?, mask [B]?; out: scale [B] */
VT_BODY(drop_path)
{
    const vt_dropout_attrs *a = r->node->attrs;
    const int32_t *step = r->in[0], *slots = r->in[1];
    const vt_real *mask = r->in[2], scale = 1 / (1 - (vt_real)a->rate);
    vt_real *out = r->out[0];
    int64_t batch = r->node->out[0]->shape[0];
    for (int64_t b = 0; b < batch; b++) {
        bool kept = mask ? mask[b] != 0 : vt_is_kept(a->key, step, slots[b], 0, a->rate);
        out[b] = kept ? scale : 0;
    }
}

#if VT_REAL == 32
VT_DECLARE_REFERENCE(drop_path);

static vt_status drop_path_infer(vt_graph *g, vt_node *n)
{
    const vt_dropout_attrs *a = n->attrs;
    const vt_tensor *step = n->in[0], *slots = n->in[1], *mask = n->in[2];
    VT_EXPECT(mask || (step && slots), "wants a mask, or the step's number and the samples' slots");
    VT_EXPECT(!mask || (vt_is_real(g, mask) && mask->ndim == 1), "the mask is %s, not [B]", VT_SHAPE(mask));
    int64_t batch = (mask ? mask : slots)->shape[0];
    VT_EXPECT(a->rate >= 0 && a->rate < 1, "the rate is %g; it must be at least 0 and below 1", (double)a->rate);
    vt_status st = mask ? VT_OK : vt_expect_draws(g, n, a->rate, step, slots, batch, 1);
    return st ? st : vt_node_output(g, n, 0, g->real, 1, &batch);
}

vt_tensor *vt_drop_path(vt_graph *g, const char *name, float rate, const vt_random *random, vt_tensor *mask)
{
    vt_dropout_attrs a = {rate, vt_draw_key(random, name)};
    bool drawn = random && !mask;
    vt_tensor *in[] = {drawn ? random->step : NULL, drawn ? random->slots : NULL, mask};
    return vt_out(vt_node_add(g, &vt_op_drop_path, name, &a, in, 3), 0);
}

const vt_op vt_op_drop_path = {.name = "drop_path", .attr_bytes = sizeof(vt_dropout_attrs), .n_out = 1,
                               .infer = drop_path_infer, .reference = VT_REFERENCE(drop_path)};
#endif
