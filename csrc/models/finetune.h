/* models/finetune.h - beginning with the weights of another task or resolution. */
#ifndef VT_MODELS_FINETUNE_H
#define VT_MODELS_FINETUNE_H

#include "models/weights.h"

/* Tensors of the same name and shape are kept. Position embeddings of another grid are resized, their extra tokens
 * kept. Those of a head, and dist_token, that are absent or of another shape keep their initial values; anything else
 * that does not fit is an error. What the model does not have is dropped.
 *
 * A grid of h x w is resized by weights along each axis, centres at (i + 0.5) h / H - 0.5, Keys' cubic kernel:
 *   plain        a = -0.75, four taps, edges repeated (torch's interpolate, mode bicubic, align_corners False: DeiT)
 *   antialiased  a = -0.5, stretched by h / H where that is above 1, normalised (the same with antialias=True: timm's
 *                resample_abs_pos_embed) */
typedef struct vt_finetune {
    int extra_tokens;   /* class and distillation tokens that have positions */
    int grid_h, grid_w; /* of patches */
    bool antialias;
} vt_finetune;

/* What becomes of each tensor, as a table; nothing is loaded, the store need not be bound. VT_INVALID where it cannot
 * be. */
vt_status vt_finetune_table(const vt_store *store, const vt_safetensors *file, const vt_finetune *how, vt_text *table);
/* Does it to a bound store that holds its initial values. */
vt_status vt_finetune_load(const vt_store *store, vt_device *device, const vt_safetensors *file,
                           const vt_finetune *how);

#endif
