/* train/bench_step.h - the speed of a whole optimizer step on made-up images, and of its ops. */
#ifndef VT_TRAIN_BENCH_STEP_H
#define VT_TRAIN_BENCH_STEP_H

#include "base/text.h"
#include "data/erase.h"
#include "train/bench_ops.h"
#include "train/bench_sgemm.h"
#include "train/trainer.h"

typedef struct vt_bench_options {
    vt_model_config model;
    vt_train_options train;
    vt_erase erase;         /* what the made-up batch is erased and mixed by, where train says so */
    vt_mixing mixing;
    int batch_size; /* as --batch-size, for the report */
    vt_model_options device;
    int steps;              /* measured, after the warm-up; 0: as many as fill `seconds`, at least 3 */
    double seconds;
    bool by_op;             /* time each op too, in further steps */
    int side;               /* of the product that measures the ceiling of a device with memory of its own; 0: 8192 */
} vt_bench_options;

/* A trainer and what it is fed. */
typedef struct vt_bench_subject {
    vt_model *model;
    vt_trainer *trainer;
    uint8_t *images;
    int32_t *labels, *boxes;
    vt_mixed mixed;
    vt_micro *micros;
} vt_bench_subject;
vt_status vt_bench_open(vt_bench_subject *subject, const vt_bench_options *options);
vt_status vt_bench_take_step(vt_bench_subject *subject);
void vt_bench_close(vt_bench_subject *subject);

/* The ceilings of a device with memory of its own; side 0 on the CPU, whose ceiling is vt_sgemm_measure's. */
vt_status vt_bench_roofline(vt_roofline *roof, const vt_bench_options *options);

typedef struct vt_bench_step {
    const char *path, *device;         /* code path or precision, and the backend's name; static */
    char about[128];
    int threads, steps;
    double step_ms, fastest_ms;        /* median, least */
    double images_per_second;          /* at the median */
    double flops_per_image, gflops;    /* recomputation not counted */
    size_t peak_bytes;                 /* CPU: largest resident set, read before the sgemm; else planned device bytes */
    vt_sgemm_speed sgemm;              /* CPU */
    vt_roofline roof;                  /* else; side 0 on the CPU */
    double floor_ms;                   /* what the roofline leaves the step, kernel by kernel */
    double wall_ms;                    /* of a step with its uploads, one at a time: median */
    vt_bench_ops ops;                  /* by_op: of one step */
} vt_bench_step;

vt_status vt_bench_step_run(vt_bench_step *result, const vt_bench_options *options);
void vt_bench_step_free(vt_bench_step *result);
void vt_bench_step_table(vt_text *text, const vt_bench_step *result, const vt_bench_options *options);
void vt_bench_step_json(vt_text *text, const vt_bench_step *result, const vt_bench_options *options); /* one object */

#endif
