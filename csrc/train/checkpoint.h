/* train/checkpoint.h - checkpoints: safetensors with timm's names, and all else of a run in the metadata.
 *
 *     NAME                    raw weights (best.safetensors: the better of raw and EMA, and nothing else)
 *     ema.NAME                their average
 *     opt.exp_avg.NAME, opt.exp_avg_sq.NAME, or what moments the optimizer has, of the parameters that are trained
 *
 * Metadata (strings): vitc.format "1", vitc.model (models/config.h), vitc.recipe (the settings, as JSON), vitc.classes
 * (JSON list), vitc.data (JSON: preprocessing and the images held out), vitc.weights ("raw", "ema" or "train"),
 * vitc.progress (JSON: the position from which a run goes on, and what of its epoch is already summed up); where the
 * device has any, vitc.gemm_algorithms (vt_backend.choices); where the loss has any, vitc.class_weights (JSON list). */
#ifndef VT_TRAIN_CHECKPOINT_H
#define VT_TRAIN_CHECKPOINT_H

#include "base/json.h"
#include "base/safetensors.h"
#include "models/model.h"
#include "train/settings.h"
#include "train/trainer.h"

/* How a run's images were made: evaluation must make them so again. */
typedef struct vt_preprocessing {
    double crop_pct;
    vt_filter interpolation;
    double val_split;
    int64_t seed;
} vt_preprocessing;

/* Where a run is. */
typedef struct vt_progress {
    int64_t step;              /* optimizer steps taken */
    int64_t epoch, epoch_step; /* the next step to take */
    /* Sums over the steps of this epoch so far; seconds of training, of waiting. */
    double epoch_loss, epoch_seconds, epoch_waited;
    double best_acc1;          /* of best.safetensors, -1: none yet */
} vt_progress;

typedef struct vt_checkpoint {
    vt_safetensors file;
    vt_arena arena;
    bool ours;                       /* has our metadata; else a bare file with timm's names */
    vt_model_config model;
    const char *recipe;              /* JSON; "" in a bare file */
    const char *const *classes;      /* [class_count]; NULL where unknown */
    int class_count;
    const char *const *held_out;     /* [held_out_count] names of the validation images; NULL: the data has its own */
    size_t held_out_count;
    vt_preprocessing preprocessing;
    const char *weights;             /* "train", "raw" or "ema" */
    vt_progress progress;
    const char *gemm_algorithms;     /* NULL: none */
    const float *class_weights;      /* [model.classes]; NULL: none */
} vt_checkpoint;

/* VT_INVALID for a file that is damaged or no ViT. `flags` give the shape of a bare file where --model is among them
 * (NULL: read it off the tensors). */
vt_status vt_checkpoint_open(vt_checkpoint *c, const char *path, const vt_model_flags *flags);
void vt_checkpoint_close(vt_checkpoint *c);

/* A model with the checkpoint's weights; `ema`: its average's. */
vt_status vt_checkpoint_load_model(const vt_checkpoint *c, vt_model **model, const vt_model_options *device, bool ema);
/* The same into the bound parameters of a model of this configuration. */
vt_status vt_checkpoint_load_weights(const vt_checkpoint *c, const vt_store *params, vt_device *device, bool ema);
/* Everything of a training checkpoint, into a trainer of the same model. */
vt_status vt_checkpoint_load_trainer(const vt_checkpoint *c, vt_trainer *trainer);

/* What a checkpoint is written from. */
typedef struct vt_checkpoint_state {
    const vt_trainer *trainer;
    const vt_dataset *train, *val;   /* class names; the images held out */
    vt_preprocessing preprocessing;
    const char *recipe;
    const float *class_weights;      /* [classes], or NULL */
    vt_progress progress;
} vt_checkpoint_state;
vt_status vt_checkpoint_save(const vt_checkpoint_state *state, const char *path);
/* Bare names alone, of the raw weights or the EMA. */
vt_status vt_checkpoint_save_best(const vt_checkpoint_state *state, bool ema, const char *path);

#endif
