/* train/run.h - a training run, from flags to the last checkpoint. */
#ifndef VT_TRAIN_RUN_H
#define VT_TRAIN_RUN_H

#include <signal.h>

#include "train/progress.h"
#include "train/settings.h"

/* Trains as `options` (of vt_settings_table, filling `settings`) say. When *stop becomes nonzero the step is finished,
 * the state is saved and VT_OK returned. VT_FAILED: a step was not finite; the state before it was saved. */
vt_status vt_train_run(vt_options *options, vt_settings *settings, vt_console console,
                       const volatile sig_atomic_t *stop);

#endif
