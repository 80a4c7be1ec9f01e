/* ops/cases.h - one list of cases for every op: the finite differences, the comparison of fast and device bodies with
 * the specification, and the tests of the graph all walk it.
 *
 * A case builds a small graph: parameters (entries of its own store), inputs, and outputs. The gradient is taken of
 * the sum of the outputs' elements times given random numbers, so no scalar loss is wanted: each output's gradient is
 * an input. */
#ifndef VT_OPS_CASES_H
#define VT_OPS_CASES_H

#include "graph/graph.h"
#include "ops/ops.h"

enum { VT_CASE_INPUTS = 128, VT_CASE_OUTPUTS = 4, VT_CASE_ENTRIES = 400 };

typedef struct vt_case_input {
    vt_tensor *tensor;
    float low, high;       /* its elements are uniform in [low, high), whole numbers where the dtype is */
    const float *values;   /* or, not NULL, these */
} vt_case_input;

typedef struct vt_case vt_case;

typedef struct vt_case_graph {
    vt_graph *g;
    vt_store store;
    float low[VT_CASE_ENTRIES], high[VT_CASE_ENTRIES]; /* of each entry's elements, likewise */
    vt_case_input inputs[VT_CASE_INPUTS];
    vt_tensor *out[VT_CASE_OUTPUTS];    /* kept: what is compared */
    vt_seed seeds[VT_CASE_OUTPUTS];     /* of those outputs that have a gradient, with it: an input's copy */
    vt_tensor *grad[VT_CASE_ENTRIES];   /* by entry of the store; kept; NULL: no gradient */
    int n_inputs, n_out, n_seeds;
} vt_case_graph;

struct vt_case {
    const char *op, *name;
    void (*build)(vt_case_graph *c, const vt_case *self);
    int dim[6];            /* what they are is build's affair */
    float value;
    bool large;            /* finite differences would take too long */
};

extern const vt_case vt_cases[];
extern const int vt_case_count;

/* Builds the case's graph and, where wanted, appends its gradient; nothing is folded or planned. Ops read copies of
 * entries and seeds, so that those that may work in place do. On failure *c is empty. */
vt_status vt_case_open(vt_case_graph *c, const vt_case *which, vt_dtype real, vt_precision precision, bool gradient);
void vt_case_close(vt_case_graph *c); /* not the store's slab: its device owns it */

/* What builders are written with: an input with the range of its values, and a workspace copy of a tensor. */
vt_tensor *vt_case_feed(vt_case_graph *c, const char *name, vt_dtype dtype, float low, float high, int ndim,
                        const int64_t *shape);
vt_tensor *vt_case_copy(vt_case_graph *c, vt_tensor *t);

/* Element e of a tensor of this name within [low, high), the same for any dtype: a number that bf16 has. */
float vt_case_value(uint64_t seed, const char *name, int64_t e, float low, float high);

#endif
