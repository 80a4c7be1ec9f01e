#include "models/eval.h"

vt_status vt_eval_build(vt_eval *eval, const vt_model_config *m, vt_store *weights, vt_dtype image_dtype, int batch,
                        vt_precision precision)
{
    *eval = (vt_eval){0};
    vt_status st = vt_graph_create(&eval->graph, weights->dtype);
    if (st) return st;
    eval->graph->precision = precision;
    vt_builder b = {.g = eval->graph, .params = weights, .suffix = "", .batch = batch};
    int64_t shape[] = {batch, m->img_height, m->img_width, m->in_chans};
    vt_nn_low_weights(&b);
    vt_heads heads = vt_model_build(&b, m, vt_graph_input(b.g, "images", image_dtype, 4, shape));
    eval->logits = vt_model_eval_logits(&b, heads);
    if (eval->logits) eval->logits->keep = true;
    st = vt_graph_fold(b.g, vt_folds);
    if (st == VT_OK) st = vt_graph_plan(b.g);
    eval->batch = batch;
    if (st) vt_eval_close(eval);
    return st;
}

vt_status vt_eval_open(vt_eval *eval, vt_workspace *workspace)
{
    return vt_exec_create(&eval->exec, eval->graph, workspace);
}

vt_status vt_eval_run(vt_eval *eval, const void *images, float *logits)
{
    vt_exec_bind(eval->exec, "images", images);
    vt_status st = vt_exec_run(eval->exec);
    if (st == VT_OK) vt_exec_read(eval->exec, eval->logits, logits);
    return st;
}

void vt_eval_close(vt_eval *eval)
{
    vt_exec_destroy(eval->exec);
    vt_graph_destroy(eval->graph);
    *eval = (vt_eval){0};
}
