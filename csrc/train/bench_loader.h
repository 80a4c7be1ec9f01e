/* train/bench_loader.h - how fast training samples are made: from JPEG files on one thread, and by a data set's
 * loader. */
#ifndef VT_TRAIN_BENCH_LOADER_H
#define VT_TRAIN_BENCH_LOADER_H

#include "data/bench.h"
#include "train/run_setup.h"

typedef struct vt_bench_loader {
    vt_data_bench jpeg;
    bool made_up;                 /* there were no photographs */
    int size;                     /* of the samples */
    double images_per_second;     /* of the loader; 0: no data set */
    int workers;
} vt_bench_loader;

/* `images`: photographs, PNG or JPEG files and folders of them; none: made-up ones. `parts` with options and settings
 * alone: the loader is measured for `seconds` where --data-path is among them. */
vt_status vt_bench_loader_run(vt_bench_loader *result, const vt_strings *images, vt_run_parts *parts, double seconds);
void vt_bench_loader_table(vt_text *text, const vt_bench_loader *result);
void vt_bench_loader_json(vt_text *text, const vt_bench_loader *result); /* one object */

#endif
