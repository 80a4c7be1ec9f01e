/* train/run_setup.h - a run's parts, and how they are made from settings. For run.c and what looks into runs. */
#ifndef VT_TRAIN_RUN_SETUP_H
#define VT_TRAIN_RUN_SETUP_H

#include "train/checkpoint.h"
#include "train/evaluate.h"
#include "train/progress.h"
#include "train/schedule.h"

typedef struct vt_run_parts {
    vt_options *options;
    vt_settings *settings;
    vt_console console;
    vt_dataset *train, *val;
    vt_model_config config;
    vt_model *model;
    vt_trainer *trainer;
    vt_eval raw, ema;            /* evaluation graphs on the two sets of weights */
    vt_loader_options loading;
    vt_transform evaluation;
    vt_schedule schedule;
    vt_loss_options loss;
    int64_t steps_per_epoch;
    vt_text recipe;              /* the settings as JSON */
    vt_checkpoint resumed;       /* file.path NULL: a fresh run */
    vt_progress progress;
} vt_run_parts;

/* Opens data and settles classes, preset, loader and schedule, without model or trainer: enough to know every batch. */
vt_status vt_run_open_data(vt_run_parts *r);
/* Class weights and the teacher; data may be missing. */
vt_status vt_run_open_loss(vt_run_parts *r);
/* What --finetune does to declared parameters, as a table; nothing where the run does not begin so. */
vt_status vt_run_finetune_table(const vt_run_parts *r, const vt_store *params, vt_text *table);
/* The model, trainer and evaluation graphs; initial, fine-tuned or resumed weights. */
vt_status vt_run_open_model(vt_run_parts *r);
void vt_run_close(vt_run_parts *r);
int64_t vt_run_steps(const vt_run_parts *r); /* that the run takes in all, once its data is open */

/* --resume: finds the checkpoint, takes its settings over. auto with nothing to go on from leaves r->resumed empty. */
vt_status vt_run_resume(vt_run_parts *r);

#endif
