/* train/step.h - the graph of one optimizer step: micro-batches unrolled, lanes, reduction, clip, optimizer, EMA.
 *
 * The M micro-batches of a step form L lanes of contiguous blocks. A lane accumulates in order; lane sums meet in a
 * fixed binary tree. So the sums' order is a function of M and L alone, whoever computes which lane. */
#ifndef VT_TRAIN_STEP_H
#define VT_TRAIN_STEP_H

#include "graph/exec.h"
#include "models/models.h"
#include "vitc/train.h"

typedef enum vt_targets {
    VT_TARGETS_LABELS, /* inputs "labels" i32 [B], smoothed in the graph */
    VT_TARGETS_SOFT,   /* inputs "targets" real [B, K] */
} vt_targets;

typedef struct vt_step_config {
    vt_model_config model;
    int micro_batch, micro_count, lanes; /* samples; M; L: the largest power of two that divides M, at most this */
    vt_dtype image_dtype;                /* VT_U8, or VT_F32: already normalised */
    vt_targets targets;
    float smoothing;
    vt_loss_options loss;
    int erase_boxes;                     /* R, of a sample's random erasing; 0: none */
    vt_erase_mode erase;
    bool mixing;                         /* mixup and cutmix */
    bool train;                          /* dropout and drop-path */
    bool masks;                          /* drop-path's masks are inputs */
    bool recompute;                      /* activations inside a block are computed again in the backward pass */
    bool update;                         /* optimizer; else the graph ends with the gradients */
    bool ema;
    const vt_optimizer *optimizer;
    vt_update_attrs rule;                /* of the optimizer: what its builder does not make */
    double layer_decay;                  /* a layer's rate is multiplied by it for each layer above */
    const char *freeze;                  /* vt_freeze */
    bool attn_only;
    const char *no_decay;                /* vt_undecay */
    uint64_t seed;
    vt_precision precision;
} vt_step_config;

/* What a training run keeps between steps. The EMA has the parameters' entries, the moments have those of them that are
 * trained. */
typedef struct vt_stores {
    vt_store *params; /* the model's */
    int moments;      /* as many as the optimizer has */
    vt_store moment[VT_MOMENTS], ema;
    vt_store state;   /* "flag" [1]: set by a step that was not finite; "class_weights" [K], where there are any */
} vt_stores;

typedef struct vt_step_inputs { /* of one micro-batch */
    vt_tensor *images, *targets, *slots; /* targets: the labels, or soft ones */
    vt_tensor *boxes, *where, *weights;  /* of erasing and mixing, as vt_effects has them; NULL where there is none */
} vt_step_inputs;

typedef struct vt_step {
    vt_graph *graph;
    vt_step_inputs *inputs;     /* [micro_count] */
    vt_tensor *loss, *norm;     /* [1]: mean over the step's samples; gradient norm before clipping */
    vt_tensor *flag;
    vt_tensor **grads;          /* [params.count]: sum over micro-batches of d(loss mean); NULL where there is none */
    vt_heads heads;             /* of the last micro-batch built */
    vt_tensor *teacher;         /* likewise, its logits; NULL: none */
} vt_step;

/* For a declared model, whose entries it freezes and thaws as the configuration says; no device allocates anything. */
vt_status vt_stores_create(vt_stores *stores, vt_store *params, const vt_step_config *config);
/* Puts the weights into the bound state; NULL: there are none. */
void vt_stores_weigh(const vt_stores *stores, vt_device *device, const float *class_weights);
/* Not the parameters. `device`: where they are bound, or NULL. */
void vt_stores_free(vt_stores *stores, vt_device *device);
vt_status vt_stores_bind(vt_stores *stores, vt_device *device, bool ema); /* not the parameters */

enum { VT_MOST_MICRO_BATCHES = 1 << 16 }; /* each is a copy of the model's nodes, in host memory */

/* What can be read after the run, beside the loss. */
enum vt_keep { VT_KEEP_LOGITS = 1, VT_KEEP_GRADS = 2, VT_KEEP_MARKS = 4 };

/* Builds, folds and plans; `keep`: a sum of vt_keep's. Inputs, with suffix ".k" for micro-batch k where micro_count >
 * 1: images u8 or f32 [B, H, W, C], labels or targets, slots i32 [B], boxes i32 [B, R, 4], where i32 [B, 5], weights
 * f32 [B, 3]; and step i32 [1], control f32 [VT_CONTROL_COUNT]. */
vt_status vt_step_build(vt_step *step, const vt_step_config *config, vt_stores *stores, unsigned keep);
void vt_step_free(vt_step *step);

int vt_step_lanes(int micro_count, int most);

#endif
