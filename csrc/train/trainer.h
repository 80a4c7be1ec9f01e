/* train/trainer.h - the inside of the public vt_trainer, as the training run uses it. */
#ifndef VT_TRAIN_TRAINER_H
#define VT_TRAIN_TRAINER_H

#include "data/mixing.h"
#include "models/model.h"
#include "train/step.h"
#include "vitc/train.h"

struct vt_trainer {
    vt_model *model;
    vt_train_options options;
    vt_step_config config;
    vt_stores stores;
    vt_step step;
    vt_teacher *teacher;    /* loaded for this trainer; NULL: none */
    vt_exec *exec;
    int32_t number;         /* optimizer steps queued */
    int unread;             /* of them, whose result was not read */
    float control[VT_CONTROL_COUNT]; /* of the step queued last; stays bound */
    int32_t *slots;         /* [micro_batches, batch_size]: the global list, as the sampler deals it */
    int32_t *boxes;         /* [batch_size, erase_boxes, 4]: none; NULL where the step erases nothing */
    vt_mixed unmixed;       /* of batch_size; NULLs where the step mixes nothing */
};

/* Without the exec: the step graph alone, for plan and summary. */
vt_status vt_trainer_config(vt_step_config *config, const vt_model_config *model, const vt_train_options *options);

typedef struct vt_micro { /* what one micro-batch reads: images [B, H, W, C] u8, labels and slots [B] */
    const uint8_t *images;
    const int32_t *labels, *slots;
    /* Where the trainer has room for them: boxes [B, erase_boxes, 4], where [B, 5], weights [B, 3], as vt_effects
     * (ops/ops.h) and vt_mixed have them. NULL boxes: nothing is erased; NULL where: nothing is mixed. */
    const int32_t *boxes, *where;
    const float *weights;
} vt_micro;
/* Queues a step on micros [options.micro_batches], whose memory may be used again once the step is read; at most
 * `depth` steps may be queued and unread. */
vt_status vt_trainer_queue(vt_trainer *trainer, const vt_micro *micros, float lr);
/* The oldest unread step's, once it is done. norm: gradient norm before clipping. One that was not finite was not
 * taken, nor were those queued behind it; the failure says why. */
vt_status vt_trainer_read(vt_trainer *trainer, float *loss, float *norm);
int vt_trainer_depth(const vt_trainer *trainer);

#endif
