/* train/save_images.h - images as a model sees them: normalised by the graph's own op, channels first, in a tensors
 * file. */
#ifndef VT_TRAIN_SAVE_IMAGES_H
#define VT_TRAIN_SAVE_IMAGES_H

#include "base/safetensors.h"
#include "graph/backend.h"
#include "vitc/model.h"

typedef struct vt_save_images {
    const vt_model_config *model;
    vt_device *device;
    const uint8_t *images; /* [count, H, W, C] */
    int64_t count;
} vt_save_images;

/* "images" f32 [count, C, H, W]; *from must stay until the file is written. */
vt_save_tensor vt_save_images_tensor(vt_save_images *from);

#endif
