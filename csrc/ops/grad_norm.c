/* grad_norm: the L2 norm over all gradients, summed in double in the order of the inputs. */
#include "ops/op.h"

/* in: any number of gradients; out: norm [1] */
VT_BODY(grad_norm)
{
    double sum = 0;
    for (int i = 0; i < r->node->n_in; i++) {
        const vt_real *g = r->in[i];
        int64_t n = vt_tensor_count(r->node->in[i]);
        for (int64_t k = 0; k < n; k++) sum += (double)g[k] * g[k];
    }
    *(vt_real *)r->out[0] = (vt_real)sqrt(sum);
}

#if VT_REAL == 32
VT_DECLARE_REFERENCE(grad_norm);

static vt_status grad_norm_infer(vt_graph *g, vt_node *n)
{
    VT_EXPECT(n->n_in > 0, "there are no gradients");
    for (int i = 0; i < n->n_in; i++)
        VT_EXPECT(vt_is_real(g, n->in[i]), "gradient %d is missing or not %s", i, vt_dtype_name(g->real));
    return vt_node_output(g, n, 0, g->real, 1, (int64_t[]){1});
}

vt_tensor *vt_grad_norm(vt_graph *g, const char *name, vt_tensor *const *grads, int n)
{
    return vt_out(vt_node_add(g, &vt_op_grad_norm, name, NULL, grads, n), 0);
}

const vt_op vt_op_grad_norm = {.name = "grad_norm", .n_out = 1, .infer = grad_norm_infer,
                               .reference = VT_REFERENCE(grad_norm)};
#endif
