/* train/bench_attention.h - attention forward and backward by several implementations, each with its share of the
 * roofline and its error against fp64. */
#ifndef VT_TRAIN_BENCH_ATTENTION_H
#define VT_TRAIN_BENCH_ATTENTION_H

#include "base/options.h"
#include "train/bench_time.h"

enum { VT_BENCH_FORWARD, VT_BENCH_BACKWARD, VT_BENCH_BOTH };
extern const char *const vt_bench_directions[]; /* "fwd", "bwd", "both" */

typedef struct vt_attention_case {
    int batch, heads, tokens, dim;
    const char *impl;    /* "vitc", or a rival's name */
    int direction;
    int runs, sets;      /* of tensors that a run goes through; 0: as many as outgrow the cache twice, at most 64 */
} vt_attention_case;

enum { VT_ERROR_OUT, VT_ERROR_DQ, VT_ERROR_DK, VT_ERROR_DV, VT_ERRORS };

typedef struct vt_attention_row {
    vt_attention_case what;
    const char *status;  /* "ok", "failed", "missing" (not in this build or on this device) */
    char reason[256];    /* of the latter two */
    vt_bench_time time;  /* of one set */
    double flops, bytes; /* 4 B H N N D forward, 2.5 times that backward; inputs and outputs once */
    double floor;        /* seconds, by the roofline */
    bool cold;           /* the sets outgrow the cache */
    bool memory_bound;   /* what the floor, or its larger part, is made of */
    double errors[VT_ERRORS]; /* ||x - fp64|| / ||fp64|| over a few heads; negative: not of this direction */
    double error;        /* the largest */
} vt_attention_row;

/* bench_attention_row.c: fills the row of row->what; a failure goes into it. */
void vt_attention_measure(vt_attention_row *row, vt_device *device, const vt_roofline *roof);

typedef struct vt_bench_attention {
    char device[128];
    size_t cache_bytes;
    vt_roofline roof;
    vt_attention_row *rows;
    int count;
} vt_bench_attention;

typedef struct vt_bench_attention_options {
    vt_device_options device;
    const char *shapes;  /* "B,H,N,D,B,H,N,D…"; NULL: DeiT's */
    vt_strings impls, directions; /* known names */
    int runs, sets;
    int side;            /* of the product that measures the ceiling; 0: 8192 on cuda, 2048 on the CPU */
} vt_bench_attention_options;

vt_status vt_bench_attention_run(vt_bench_attention *result, const vt_bench_attention_options *options);
void vt_bench_attention_free(vt_bench_attention *result);
bool vt_bench_attention_failed(const vt_bench_attention *result); /* a row of vitc's own */
void vt_bench_attention_table(vt_text *text, const vt_bench_attention *result);
void vt_bench_attention_json(vt_text *text, const vt_bench_attention *result); /* one object */

#endif
