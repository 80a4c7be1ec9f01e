/* adamw: one step of AdamW over all parameters, with the gradient clipped by its norm. */
#include "ops/op.h"

enum { FLAG, CONTROL, STEP, NORM, PARAMS }; /* then param, grad, exp_avg, exp_avg_sq of each parameter */

/* in: flag [1], control f32, step i32 [1], norm [1], then each parameter's four; params and moments are written */
VT_BODY(adamw)
{
    const vt_adamw_attrs *a = r->node->attrs;
    const float *control = r->in[CONTROL];
    if (*(const vt_real *)r->in[FLAG] != 0) return;
    double t = *(const int32_t *)r->in[STEP] + 1.0, lr = control[VT_CONTROL_LR], norm = *(const vt_real *)r->in[NORM];
    double most = control[VT_CONTROL_MAX_NORM], clip = most > 0 ? most / (norm + 1e-6) : 1;
    vt_real clipped = (vt_real)(clip < 1 ? clip : 1), step = (vt_real)(lr / (1 - pow(a->beta1, t)));
    vt_real inv_root = (vt_real)(1 / sqrt(1 - pow(a->beta2, t))), eps = (vt_real)a->eps;
    vt_real beta1 = (vt_real)a->beta1, new1 = (vt_real)(1 - a->beta1);
    vt_real beta2 = (vt_real)a->beta2, new2 = (vt_real)(1 - a->beta2);
    for (int i = PARAMS; i < r->node->n_in; i += 4) {
        vt_real *p = r->in[i], *m = r->in[i + 2], *v = r->in[i + 3];
        const vt_real *grad = r->in[i + 1];
        vt_real shrink = a->decay[(i - PARAMS) / 4] ? (vt_real)(1 - lr * control[VT_CONTROL_DECAY]) : 1;
        int64_t n = vt_tensor_count(r->node->in[i]);
        for (int64_t k = 0; k < n; k++) {
            vt_real g = grad[k] * clipped;
            m[k] = beta1 * m[k] + new1 * g;
            v[k] = beta2 * v[k] + new2 * g * g;
            p[k] = p[k] * shrink - step * m[k] / ((vt_real)sqrt(v[k]) * inv_root + eps);
        }
    }
}

#if VT_REAL == 32
VT_DECLARE_REFERENCE(adamw);

static vt_status adamw_infer(vt_graph *g, vt_node *n)
{
    const vt_tensor *flag = n->in[FLAG], *control = n->in[CONTROL], *step = n->in[STEP], *norm = n->in[NORM];
    VT_EXPECT(vt_is_real(g, flag) && vt_tensor_count(flag) == 1, "the flag is not %s [1]", vt_dtype_name(g->real));
    VT_EXPECT(control && control->dtype == VT_F32 && vt_tensor_count(control) == VT_CONTROL_COUNT,
              "the step block is not F32 [%d]", VT_CONTROL_COUNT);
    VT_EXPECT(step && step->dtype == VT_I32 && vt_tensor_count(step) == 1, "the step's number is not I32 [1]");
    VT_EXPECT(vt_is_real(g, norm) && vt_tensor_count(norm) == 1, "the norm is not %s [1]", vt_dtype_name(g->real));
    for (int i = PARAMS; i < n->n_in; i += 4)
        for (int k = 0; k < 4; k++) {
            VT_EXPECT(vt_is_real(g, n->in[i + k]), "input %d of parameter %d is missing or not %s", k, (i - PARAMS) / 4,
                      vt_dtype_name(g->real));
            VT_EXPECT(k == 1 || n->in[i + k]->memory == VT_STORED, "%s is not in a store", n->in[i + k]->name);
            VT_EXPECT(vt_tensor_count(n->in[i]) == vt_tensor_count(n->in[i + k]), "%s is %s, %s is %s",
                      n->in[i]->name, VT_SHAPE(n->in[i]), n->in[i + k]->name, VT_SHAPE(n->in[i + k]));
        }
    return VT_OK;
}

void vt_adamw(vt_graph *g, const char *name, const vt_adamw_attrs *attrs, vt_tensor *flag, vt_tensor *control,
              vt_tensor *step, vt_tensor *norm, const vt_adamw_param *params, int n)
{
    vt_tensor **in = vt_op_take(g, (size_t)(PARAMS + 4 * n) * sizeof *in);
    bool *decay = in ? vt_op_take(g, (size_t)(n + 1) * sizeof *decay) : NULL;
    if (!decay) return;
    in[FLAG] = flag;
    in[CONTROL] = control;
    in[STEP] = step;
    in[NORM] = norm;
    for (int i = 0; i < n; i++) {
        vt_tensor **four = in + PARAMS + 4 * i;
        four[0] = params[i].param;
        four[1] = params[i].grad;
        four[2] = params[i].exp_avg;
        four[3] = params[i].exp_avg_sq;
        decay[i] = params[i].decay;
    }
    vt_adamw_attrs a = *attrs;
    a.decay = decay;
    vt_node_add(g, &vt_op_adamw, name, &a, in, PARAMS + 4 * n);
}

const vt_op vt_op_adamw = {.name = "adamw", .attr_bytes = sizeof(vt_adamw_attrs), .side_effect = true,
                           .infer = adamw_infer, .reference = VT_REFERENCE(adamw)};
#endif
