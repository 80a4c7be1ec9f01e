/* train/show_batch.h - the very images and targets that a step of a run used, made again from its recorded settings. */
#ifndef VT_TRAIN_SHOW_BATCH_H
#define VT_TRAIN_SHOW_BATCH_H

#include "train/settings.h"

typedef struct vt_show_batch_job {
    const char *run;              /* output folder of the run, or a training checkpoint */
    const char *data_path;        /* NULL: as recorded */
    int64_t epoch, step;          /* from 0; the step within the epoch */
    int micro;                    /* that micro-batch alone; -1: the whole step, in the order of its global list */
    const char *output, *tensors; /* a PNG picture; a safetensors file: NULL: not wanted */
    vt_model_options device;
} vt_show_batch_job;

/* Writes the picture, each image with its class and target, and in the tensors `images` f32 [B, C, H, W], `targets` f32
 * [B, K] and for each drop-path that draws `mask.NAME` f32 [B]. `draws`, unless NULL, gets a line a sample, as
 * train/show_draws.h has it. */
vt_status vt_show_batch(const vt_show_batch_job *job, vt_text *draws);

#endif
