/* models/models.h - a model is a function that builds its graph; all else is read off that graph. */
#ifndef VT_MODELS_MODELS_H
#define VT_MODELS_MODELS_H

#include "nn/builder.h"
#include "vitc/model.h"

typedef struct vt_heads {
    vt_tensor *logits;      /* [B, classes] */
    vt_tensor *logits_dist; /* the distillation head's; NULL without one */
} vt_heads;

typedef struct vt_family {
    const char *name;
    vt_model_config defaults;
    vt_status (*check)(const vt_model_config *c);
    /* images u8 or real [B, H, W, C] */
    vt_heads (*build)(vt_builder *b, const vt_model_config *c, vt_tensor *images);
} vt_family;

const vt_family *vt_model_family(const vt_model_config *config);
/* Says what does not fit together, by the flag's name. */
vt_status vt_model_check(const vt_model_config *config);
vt_heads vt_model_build(vt_builder *b, const vt_model_config *config, vt_tensor *images);
/* mean of the heads' logits at evaluation */
vt_tensor *vt_model_eval_logits(vt_builder *b, vt_heads heads);
/* Declares the model's parameters in an empty store, by building its graph once, and then its low store. */
vt_status vt_model_declare(vt_store *params, const vt_model_config *config);

#endif
