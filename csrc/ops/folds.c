/* The one table of epilogues: what a GEMM's node takes over from the node behind it. Nothing else matches patterns. */
#include "ops/op.h"

#if VT_REAL == 32
static bool takes_over(vt_node *producer, int output, const vt_node *consumer)
{
    producer->out[output] = consumer->out[0];
    consumer->out[0]->producer = producer;
    return true;
}

/* linear, activation -> linear with that activation; what it was applied to becomes output 1 where the gradient reads
 * it. */
static bool fold_activation(vt_graph *g, vt_node *linear, const vt_node *activation, int input, bool sole)
{
    vt_linear_attrs *a = (vt_linear_attrs *)linear->attrs;
    if (a->activation != VT_IDENTITY) return false;
    a->activation = ((const vt_activation_attrs *)activation->attrs)->kind;
    linear->out[1] = sole ? NULL : linear->out[0];
    return takes_over(linear, 0, activation);
}

/* linear_dx, activation_grad -> linear_dx times f'(pre). activation_grad reads (dy, pre). */
static bool fold_activation_grad(vt_graph *g, vt_node *dx, const vt_node *grad, int input, bool sole)
{
    vt_linear_attrs *a = (vt_linear_attrs *)dx->attrs;
    if (a->activation != VT_IDENTITY || input != 0 || !sole) return false;
    a->activation = ((const vt_activation_attrs *)grad->attrs)->kind;
    dx->in[2] = grad->in[1];
    return takes_over(dx, 0, grad);
}

/* linear_dw, add to a running sum -> linear_dw that adds to it in place: gradient accumulation without a second
 * buffer. */
static bool fold_accumulate(vt_graph *g, vt_node *dw, const vt_node *add, int input, bool sole)
{
    const vt_add_attrs *a = add->attrs;
    if (input != 1 || !sole || !add->in[0] || add->in[2] || a->alpha != 1 || a->beta != 1) return false;
    int output = add->in[1] == dw->out[0] ? 0 : 1;
    if (dw->in[2 + output]) return false;
    dw->in[2 + output] = add->in[0];
    return takes_over(dw, output, add);
}

/* layernorm_grad of the first LayerNorm, add of the residual's gradient -> layernorm_grad with that as the sum's: there
 * what is normalised is the residual itself. */
static bool fold_residual(vt_graph *g, vt_node *grad, const vt_node *add, int input, bool sole)
{
    const vt_add_attrs *a = add->attrs;
    vt_tensor *dx = grad->out[0], *residual = add->in[input == 0];
    if (!sole || add->in[input] != dx || !residual || add->in[2] || a->alpha != 1 || a->beta != 1) return false;
    if (grad->in[1] || grad->out[3] || residual->dtype != dx->dtype) return false;
    grad->in[1] = residual;
    return takes_over(grad, 0, add);
}

const vt_fold vt_folds[] = {
    {&vt_op_linear, &vt_op_activation, fold_activation},
    {&vt_op_linear_dx, &vt_op_activation_grad, fold_activation_grad},
    {&vt_op_linear_dw, &vt_op_add, fold_accumulate},
    {&vt_op_layernorm_grad, &vt_op_add, fold_residual},
    {NULL, NULL, NULL},
};
#endif
