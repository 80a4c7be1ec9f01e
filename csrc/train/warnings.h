/* train/warnings.h - likely mistakes of a recipe: settings that are allowed, and are not what anyone wants. */
#ifndef VT_TRAIN_WARNINGS_H
#define VT_TRAIN_WARNINGS_H

#include "train/run_setup.h"

typedef struct vt_warnings {
    vt_text lines; /* a line each: what, and what to do */
    int count;
} vt_warnings;

/* Of a run whose data is open (vt_run_open_data). Only what is true of this run is said, and of what the user has not
 * said nothing but where the defaults themselves do not fit the data. The lines are to be freed. */
void vt_warnings_find(vt_warnings *w, const vt_run_parts *run);
/* The lines, each after "warning: "; frees them. */
vt_status vt_warnings_print(vt_warnings *w, FILE *to);

#endif
