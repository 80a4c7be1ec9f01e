/* train/logs.h - the output folder's files for people and their tools: args.yaml, summary.csv, log.txt,
 * bad_images.txt. */
#ifndef VT_TRAIN_LOGS_H
#define VT_TRAIN_LOGS_H

#include "base/options.h"
#include "data/loader.h"
#include "train/evaluate.h"

typedef struct vt_epoch_log {
    int64_t epoch, n_parameters;
    double lr, train_loss, train_seconds;
    double data_wait; /* share of the time that the trainer waited for images */
    vt_score raw, ema;
    bool has_ema;
} vt_epoch_log;

/* Makes the folder. A used one is an error unless `resume`, or `overwrite`, which removes a run's files from it. */
vt_status vt_logs_prepare(const char *dir, bool resume, bool overwrite);
/* VT_INVALID where that would remove `file`, which the run reads by --flag; NULL: none. */
vt_status vt_logs_spares(const char *dir, const char *flag, const char *file);
vt_status vt_logs_args(const char *dir, const vt_options *options);
/* Appends a line to summary.csv and log.txt. */
vt_status vt_logs_epoch(const char *dir, const vt_epoch_log *log);
/* On resume: drops the lines of epoch `epoch` and later, which will be run again. */
vt_status vt_logs_rewind(const char *dir, int64_t epoch);
vt_status vt_logs_bad_images(const char *dir, const vt_dataset *data, const vt_loader *loader);

/* DIR/NAME in a fixed buffer; VT_INVALID where it is too long. */
enum { VT_PATH_BYTES = 4096 };
vt_status vt_logs_path(char path[VT_PATH_BYTES], const char *dir, const char *name);

#endif
