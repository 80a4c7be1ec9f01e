/* train/bench_sgemm.h - the ceiling of a step: what this machine makes of one large matrix product. */
#ifndef VT_TRAIN_BENCH_SGEMM_H
#define VT_TRAIN_BENCH_SGEMM_H

#include "graph/backend.h"

typedef struct vt_sgemm_speed {
    double best;      /* GFLOP/s of 2048 x 2048 x 2048 */
    double own;       /* the linear op's on the device */
    double openblas;  /* with as many threads; 0: libopenblas is not installed */
} vt_sgemm_speed;

/* The fastest of several rounds of each, in turn. */
vt_status vt_sgemm_measure(vt_sgemm_speed *speed, vt_device *device);

#endif
