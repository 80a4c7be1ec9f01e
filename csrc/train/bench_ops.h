/* train/bench_ops.h - what the ops of a graph take, timed in place: in the order, and with the caches, of a real run.
 * */
#ifndef VT_TRAIN_BENCH_OPS_H
#define VT_TRAIN_BENCH_OPS_H

#include "base/text.h"
#include "graph/exec.h"
#include "train/bench_time.h"

typedef struct vt_bench_op {
    const char *op;
    char shape[128];        /* of first input and output, where rows are told apart by it; else "" */
    int calls;              /* of a run */
    double seconds, flops, bytes;
    double reference;       /* seconds of the reference body; 0: not measured */
    double floor;           /* seconds by the roofline: of each call the larger of bytes and FLOPs; 0: not known */
} vt_bench_op;

typedef struct vt_bench_ops {
    vt_bench_op *rows;      /* the slowest first */
    int count;
    double seconds, floor;  /* of all rows */
    double bandwidth;       /* bytes a second that a copy reaches; 0: not measured */
} vt_bench_ops;

/* Adds up `seconds` [n_nodes] of `runs` runs by op, or by op and shape. `reference` [n_nodes], of one run, and the
 * roofline may be NULL. */
vt_status vt_bench_ops_sum(vt_bench_ops *ops, const vt_graph *graph, const double *seconds, int runs,
                           const double *reference, const vt_roofline *roof, bool by_shape);
/* Seconds that a roofline leaves a graph, kernel by kernel. */
double vt_bench_ops_floor(const vt_graph *graph, const vt_roofline *roof);
void vt_bench_ops_free(vt_bench_ops *ops);
void vt_bench_ops_table(vt_text *text, const vt_bench_ops *ops);
void vt_bench_ops_json(vt_text *text, const vt_bench_ops *ops); /* a list */

#endif
