/* train/progress.h - the console's line of a step, in DeiT's format. */
#ifndef VT_TRAIN_PROGRESS_H
#define VT_TRAIN_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct vt_console {
    FILE *out;      /* NULL: silent */
    bool live;      /* a terminal: one line that is rewritten; else lines, at most one a second */
    FILE *warnings; /* NULL: not looked for */
} vt_console;

enum { VT_PROGRESS_WINDOW = 20 };
typedef struct vt_meter { /* the last values, and all of them */
    double window[VT_PROGRESS_WINDOW], sum;
    int64_t count;
} vt_meter;
void vt_meter_add(vt_meter *m, double value);
double vt_meter_median(const vt_meter *m);
double vt_meter_mean(const vt_meter *m);

typedef struct vt_progress_line {
    vt_console console;
    int64_t epoch, steps;   /* of an epoch */
    vt_meter loss, time, data;
    double shown;           /* when a line was last written */
} vt_progress_line;

/* Step `step` (from 0) of the epoch is done: it took `seconds`, of which `waited` were for data. */
void vt_progress_step(vt_progress_line *p, int64_t step, double lr, double loss, double seconds, double waited);
void vt_progress_end(vt_progress_line *p); /* ends a live line */

double vt_seconds(void);        /* of a clock that only goes forward */
size_t vt_peak_bytes(void);     /* largest resident set of this process so far */

#endif
