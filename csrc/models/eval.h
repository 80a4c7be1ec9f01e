/* models/eval.h - the evaluation graph of a model, and running it over any number of images. */
#ifndef VT_MODELS_EVAL_H
#define VT_MODELS_EVAL_H

#include "graph/exec.h"
#include "models/models.h"

typedef struct vt_eval {
    vt_graph *graph;
    vt_exec *exec;
    vt_tensor *logits;  /* [B, classes]; of a distilled model the mean of its heads */
    int batch;
} vt_eval;

enum { VT_EVAL_BATCH = 64 }; /* at most, beside training */

/* The graph alone: input "images" [batch, H, W, C]; `weights`: a model's parameters or their EMA. Folded and planned.
 * */
vt_status vt_eval_build(vt_eval *eval, const vt_model_config *model, vt_store *weights, vt_dtype image_dtype,
                        int batch, vt_precision precision);
/* Ready to run; the weights are bound. */
vt_status vt_eval_open(vt_eval *eval, vt_workspace *workspace);
/* logits [batch, classes] of images [batch, H, W, C] */
vt_status vt_eval_run(vt_eval *eval, const void *images, float *logits);
void vt_eval_close(vt_eval *eval);

#endif
