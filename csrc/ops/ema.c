/* ema: the exponential moving average of the parameters. */
#include "ops/op.h"

enum { FLAG, CONTROL, PAIRS }; /* then ema, param of each pair */

/* in: flag [1], control f32, then the pairs; each ema is written */
VT_BODY(ema)
{
    const float *control = r->in[CONTROL];
    if (*(const vt_real *)r->in[FLAG] != 0) return;
    vt_real old = (vt_real)control[VT_CONTROL_EMA_DECAY], new = (vt_real)(1 - (double)control[VT_CONTROL_EMA_DECAY]);
    for (int i = PAIRS; i < r->node->n_in; i += 2) {
        vt_real *ema = r->in[i];
        const vt_real *param = r->in[i + 1];
        int64_t n = vt_tensor_count(r->node->in[i]);
        for (int64_t k = 0; k < n; k++) ema[k] = old * ema[k] + new * param[k];
    }
}

#if VT_REAL == 32
VT_DECLARE_REFERENCE(ema);

static vt_status ema_infer(vt_graph *g, vt_node *n)
{
    const vt_tensor *flag = n->in[FLAG], *control = n->in[CONTROL];
    VT_EXPECT(vt_is_real(g, flag) && vt_tensor_count(flag) == 1, "the flag is not %s [1]", vt_dtype_name(g->real));
    VT_EXPECT(control && control->dtype == VT_F32 && vt_tensor_count(control) == VT_CONTROL_COUNT,
              "the step block is not F32 [%d]", VT_CONTROL_COUNT);
    for (int i = PAIRS; i < n->n_in; i += 2) {
        const vt_tensor *ema = n->in[i], *param = n->in[i + 1];
        VT_EXPECT(vt_is_real(g, ema) && vt_is_real(g, param), "pair %d is missing or not %s", (i - PAIRS) / 2,
                  vt_dtype_name(g->real));
        VT_EXPECT(ema->memory == VT_STORED, "%s is not in a store", ema->name);
        VT_EXPECT(vt_same_shape(ema, param), "%s is %s, %s is %s", ema->name, VT_SHAPE(ema), param->name,
                  VT_SHAPE(param));
    }
    return VT_OK;
}

void vt_ema(vt_graph *g, const char *name, vt_tensor *flag, vt_tensor *control, vt_tensor *const *ema,
            vt_tensor *const *param, int n)
{
    vt_tensor **in = vt_op_take(g, (size_t)(PAIRS + 2 * n) * sizeof *in);
    if (!in) return;
    in[FLAG] = flag;
    in[CONTROL] = control;
    for (int i = 0; i < n; i++) {
        in[PAIRS + 2 * i] = ema[i];
        in[PAIRS + 2 * i + 1] = param[i];
    }
    vt_node_add(g, &vt_op_ema, name, NULL, in, PAIRS + 2 * n);
}

const vt_op vt_op_ema = {.name = "ema", .side_effect = true, .infer = ema_infer, .reference = VT_REFERENCE(ema)};
#endif
