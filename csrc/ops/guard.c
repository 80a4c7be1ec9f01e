/* guard: sets the sticky flag when a loss or a norm is not finite. */
#include "ops/op.h"

/* in: flag [1], a store's, written; values [1] */
VT_BODY(guard)
{
    vt_real *flag = r->in[0];
    for (int i = 1; i < r->node->n_in; i++)
        if (!isfinite(*(const vt_real *)r->in[i])) *flag = 1;
}

#if VT_REAL == 32
VT_DECLARE_REFERENCE(guard);

static vt_status guard_infer(vt_graph *g, vt_node *n)
{
    const vt_tensor *flag = n->in[0];
    VT_EXPECT(vt_is_real(g, flag) && flag->memory == VT_STORED && vt_tensor_count(flag) == 1,
              "the flag is not an entry [1] of a store");
    for (int i = 1; i < n->n_in; i++)
        VT_EXPECT(vt_is_real(g, n->in[i]) && vt_tensor_count(n->in[i]) == 1, "value %d is missing or not one number",
                  i - 1);
    return VT_OK;
}

void vt_guard(vt_graph *g, const char *name, vt_tensor *flag, vt_tensor *const *values, int n)
{
    vt_tensor **in = vt_op_take(g, (size_t)(n + 1) * sizeof *in);
    if (!in) return;
    in[0] = flag;
    for (int i = 0; i < n; i++) in[1 + i] = values[i];
    vt_node_add(g, &vt_op_guard, name, NULL, in, n + 1);
}

const vt_op vt_op_guard = {.name = "guard", .side_effect = true, .infer = guard_infer,
                           .reference = VT_REFERENCE(guard)};
#endif
