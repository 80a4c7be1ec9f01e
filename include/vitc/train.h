/* vitc/train.h - optimizer steps on a model: forward, backward, clipping, optimizer and EMA as one planned graph.
 *
 *     vt_train_options o = vt_train_defaults();
 *     o.batch_size = 128;
 *     vt_trainer_create(&trainer, model, &o);
 *     for (...) vt_trainer_step(trainer, images, labels, lr, &loss);
 *     vt_trainer_destroy(trainer);
 */
#ifndef VITC_TRAIN_H
#define VITC_TRAIN_H

#include "vitc/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A teacher for distillation: another model, whose logits on the same images a student learns from. */
typedef struct vt_teacher vt_teacher;

/* From a checkpoint of vitc, or from another safetensors file with timm's names: then `model` says which model it is,
 * else it may be NULL. The teacher must outlive its trainer, and serves one trainer at a time. */
vt_status vt_teacher_open(vt_teacher **teacher, const char *path, const char *model);
void vt_teacher_close(vt_teacher *teacher); /* NULL is allowed */

typedef struct vt_loss_options {
    bool bce;                   /* binary cross-entropy in place of cross-entropy */
    float bce_threshold;        /* of its targets: those above become 1, others 0; below 0: as they are */
    const float *class_weights; /* [classes], borrowed until the trainer is made; NULL: 1 */
    vt_teacher *teacher;        /* NULL: none. Loss (1 - alpha) * that of the class head + alpha * the teacher's term */
    bool distill_hard;          /* the term: cross-entropy with the teacher's choice; else KL divergence at tau */
    double distill_alpha, distill_tau;
} vt_loss_options;

typedef struct vt_train_options {
    int batch_size;             /* samples of a micro-batch */
    int micro_batches;          /* of a step, accumulated; the step takes batch_size * micro_batches samples */
    int lanes;                  /* sums of micro-batches are formed in at most this many lanes (a power of two) */
    const char *optimizer;      /* adamw, lamb, sgd, nesterov, momentum or lion; formulas in csrc/ops/ops.h */
    double weight_decay;
    double beta1, beta2;        /* of adamw, lamb, lion; both 0: the optimizer's own */
    double eps;                 /* of adamw and lamb */
    double momentum;            /* of sgd, nesterov, momentum */
    double layer_decay;         /* in (0, 1]: a layer's rate is lr * layer_decay^(layers above it) */
    const char *freeze;         /* globs of parameters that are not trained, separated by commas; NULL: none */
    bool attn_only;             /* train attention, head and pos_embed alone, as DeiT's --attn-only */
    const char *no_decay;       /* globs of parameters without weight decay, beside those that never have it; or NULL */
    float clip_grad;            /* largest gradient L2 norm; 0: off */
    float smoothing;            /* of the labels */
    vt_loss_options loss;
    bool ema;
    float ema_decay;
    bool ema_warmup;            /* the decay of step t = 1, 2, ... is min(ema_decay, 1 - t^(-2/3)) */
    /* Room for random erasing and mixing, which training runs draw with their batches; vt_trainer_step does neither. */
    int erase_boxes;            /* boxes that a sample may have; 0: nothing is erased */
    int erase_mode;             /* what they are filled with: 0 zeros, 1 a normal number a channel, 2 one a pixel */
    bool mixing;                /* mixup and cutmix */
    bool recompute;             /* less memory: activations inside a block are computed again in the backward pass */
    uint64_t seed;              /* of dropout and drop-path */
} vt_train_options;

vt_train_options vt_train_defaults(void); /* DeiT's: AdamW, eps 1e-8, decay 0.05, smoothing 0.1 */

typedef struct vt_trainer vt_trainer;

/* The model must outlive the trainer. VT_NO_MEMORY says what the step takes; VT_INVALID: the teacher is of other images
 * or classes. */
vt_status vt_trainer_create(vt_trainer **trainer, vt_model *model, const vt_train_options *options);
void vt_trainer_destroy(vt_trainer *trainer); /* NULL is allowed */

/* One step on images [micro_batches * batch_size, height, width, channels] u8 and labels [same], each in 0 ..
 * classes-1. loss: mean over the samples, before the update. A step whose loss or gradient is not finite changes
 * nothing and returns VT_FAILED; the message names the first op and tensor. */
vt_status vt_trainer_step(vt_trainer *trainer, const uint8_t *images, const int32_t *labels, float lr, float *loss);

#ifdef __cplusplus
}
#endif
#endif
