/* fill: a constant [1], such as the seed of differentiation. */
#include "ops/op.h"

VT_BODY(fill)
{
    *(vt_real *)r->out[0] = (vt_real) * (const double *)r->node->attrs;
}

#if VT_REAL == 32
VT_DECLARE_REFERENCE(fill);

static vt_status fill_infer(vt_graph *g, vt_node *n)
{
    return vt_node_output(g, n, 0, g->real, 1, (int64_t[]){1});
}

vt_tensor *vt_fill(vt_graph *g, const char *name, double value)
{
    return vt_out(vt_node_add(g, &vt_op_fill, name, &value, NULL, 0), 0);
}

const vt_op vt_op_fill = {.name = "fill", .attr_bytes = sizeof(double), .n_out = 1, .infer = fill_infer,
                          .reference = VT_REFERENCE(fill)};
#endif
