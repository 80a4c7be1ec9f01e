/* train/bench_kernels.h - each op and shape of a model's step on the device: on the CPU beside its reference body,
 * elsewhere beside the roofline. */
#ifndef VT_TRAIN_BENCH_KERNELS_H
#define VT_TRAIN_BENCH_KERNELS_H

#include "train/bench_step.h"

/* Takes `runs` steps on the device, and one with reference bodies where `reference`. vt_bench_ops_free(ops) after. */
vt_status vt_bench_kernels_run(vt_bench_ops *ops, const vt_bench_options *options, int runs, bool reference);

#endif
