/* train/bench_step.h - the speed of a whole optimizer step on made-up images, and of its ops. */
#ifndef VT_TRAIN_BENCH_STEP_H
#define VT_TRAIN_BENCH_STEP_H

#include "base/text.h"
#include "vitc/train.h"

typedef struct vt_bench_options {
    vt_model_config model;
    vt_train_options train;
    vt_model_options device;
    int steps;              /* measured, after the warm-up; 0: as many as fill `seconds`, at least 3 */
    double seconds;
    bool by_op;             /* time each op too, in further steps */
} vt_bench_options;

typedef struct vt_bench_op { /* of one step */
    const char *op;         /* static */
    char shape[160];        /* of its inputs and output, where rows are told apart by it; else "" */
    int calls;
    double seconds, flops, bytes;
    double reference;       /* seconds of the reference body; 0: not measured */
} vt_bench_op;

typedef struct vt_bench_step {
    const char *path;       /* the CPU's code path; static */
    int threads, steps, images;
    double step_ms, fastest_ms;                 /* median, least */
    double flops_per_image, gflops;             /* recomputation not counted */
    double sgemm, sgemm_vitc, sgemm_openblas;   /* GFLOP/s of 2048^3: the better; ours; 0 without OpenBLAS */
    size_t peak_bytes;                          /* largest resident set, measured before the sgemm */
    vt_bench_op *ops;       /* vt_free */
    int op_count;
} vt_bench_step;

vt_status vt_bench_step_run(vt_bench_step *result, const vt_bench_options *options);
void vt_bench_step_table(vt_text *text, const vt_bench_options *options, const vt_bench_step *result);
void vt_bench_step_json(vt_text *text, const vt_bench_options *options, const vt_bench_step *result); /* one object */

/* Each op and shape of a step, on the device and, with `reference`, in its reference body too (once). */
vt_status vt_bench_kernels_run(vt_bench_step *result, const vt_bench_options *options, bool reference);
void vt_bench_kernels_table(vt_text *text, const vt_bench_options *options, const vt_bench_step *result);
void vt_bench_kernels_json(vt_text *text, const vt_bench_step *result); /* a list */

#endif
