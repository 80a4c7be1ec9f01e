/* train/bench_time.h - seconds of work on a device, and the two ceilings of its roofline. */
#ifndef VT_TRAIN_BENCH_TIME_H
#define VT_TRAIN_BENCH_TIME_H

#include "graph/backend.h"

typedef struct vt_bench_time {
    double median, least; /* seconds */
} vt_bench_time;

/* `work` queues what a run is made of (on the CPU: does it). One run warms up, `runs` are timed: on a device that
 * records, of one recording, by its own clock and without pauses; else by the host's. */
vt_status vt_bench_time_work(vt_bench_time *time, vt_device *device, void (*work)(void *arg), void *arg, int runs);

/* What the backend's bodies of these nodes want before their first run. */
vt_status vt_bench_prepare(vt_device *device, const vt_graph *graph);

/* Device memory of `count` elements with mean 0 and deviation 1, F32 or BF16; they repeat after some 10^5. */
vt_status vt_bench_fill(vt_device *device, void *data, vt_dtype dtype, int64_t count, uint64_t seed);

typedef struct vt_roofline {
    int side;
    double bytes_per_second; /* read and written, by the op add as a copy of 4 * side * side activations */
    double flops_per_second; /* of the op linear on activations, side * side * side */
} vt_roofline;

vt_status vt_roofline_measure(vt_roofline *roofline, vt_device *device, int side);

#endif
