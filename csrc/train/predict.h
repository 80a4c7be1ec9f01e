/* train/predict.h - what a checkpoint says about images: files, or samples of a data set. */
#ifndef VT_TRAIN_PREDICT_H
#define VT_TRAIN_PREDICT_H

#include "train/checkpoint.h"

enum { VT_PREDICT_TOP = 5 };

typedef struct vt_prediction {
    const char *file;                     /* as given; of a data set, its path */
    int label;                            /* the true class; -1: unknown */
    const char *truth;                    /* its name; NULL */
    int count;                            /* min(5, classes) */
    int best[VT_PREDICT_TOP];
    const char *names[VT_PREDICT_TOP];
    float probability[VT_PREDICT_TOP];
} vt_prediction;

typedef struct vt_predict_job {
    vt_checkpoint *checkpoint;            /* open */
    bool ema;
    vt_model_options device;
    vt_transform transform;               /* evaluation's */
    vt_strings files;
    const char *data_path;                /* NULL: files alone; else `count` samples of it too, evenly spaced */
    vt_split split;
    int count;
    vt_strings class_names;               /* none: the checkpoint's, else the data set's */
    const char *tensors, *grid;           /* files to write; NULL: not wanted */
    vt_status (*report)(void *arg, const vt_prediction *prediction); /* in order; a failure ends the job */
    void (*say)(void *arg, const char *line);                   /* the device; an image that cannot be read */
    void *arg;
} vt_predict_job;

/* An image that cannot be read is told and left out; VT_INVALID at the end, when all others are done. */
vt_status vt_predict(const vt_predict_job *job);

#endif
