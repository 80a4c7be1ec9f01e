/* train/trace.h - `vitc trace`: a model run on given tensors, and what it computed written by name. */
#ifndef VT_TRAIN_TRACE_H
#define VT_TRAIN_TRACE_H

#include "train/loss_flags.h"

typedef struct vt_trace {
    vt_model_config model;      /* classes 0: as many as the weights' head has */
    vt_model_options device;
    const char *weights, *inputs, *output; /* safetensors files */
    bool train;                 /* drop-path by the given masks, dropout by the seed */
    bool backward, all;         /* gradients; named activations */
    int steps;                  /* optimizer steps; 0: none */
    double lr;
    vt_train_options update;    /* of it the optimizer and what is frozen, decay, clipping, EMA */
    const vt_loss_flags *loss;
} vt_trace;

/* The tensors of cli.md. VT_INVALID names the tensor that is missing or of another shape. */
vt_status vt_trace_run(const vt_trace *trace);

#endif
