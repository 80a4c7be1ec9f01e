/* train/save_images.h - images as a model sees them: normalised, and where a step did so erased and mixed, by the
 * graph's own op. */
#ifndef VT_TRAIN_SAVE_IMAGES_H
#define VT_TRAIN_SAVE_IMAGES_H

#include "base/safetensors.h"
#include "graph/backend.h"
#include "vitc/model.h"

typedef struct vt_step_effects { /* what a step does to its samples: see vt_effects (ops/ops.h) and vt_micro */
    const int32_t *slots;        /* [count] */
    const int32_t *boxes;        /* [count, erase_boxes, 4]; not read where erase_boxes is 0 */
    int erase_boxes, erase_mode;
    const int32_t *where;        /* [count, 5], partners among the count; NULL: nothing is mixed */
    const float *weights;        /* [count, 3] */
    int32_t step;
    uint64_t seed;
} vt_step_effects;

typedef struct vt_save_images {
    const vt_model_config *model;
    vt_device *device;
    const uint8_t *images;          /* [count, H, W, C] */
    int64_t count;
    const vt_step_effects *effects; /* NULL: none */
} vt_save_images;

/* Hands over pixels [H, W, C] of one image after the other. */
typedef vt_status vt_take_image(void *arg, int64_t i, const float *pixels);
vt_status vt_seen_images(const vt_save_images *from, vt_take_image *take, void *arg);
/* "images" f32 [count, C, H, W]; *from must stay until the file is written. */
vt_save_tensor vt_save_images_tensor(vt_save_images *from);

#endif
