/* graph/graph.h - the static graph: tensors, nodes, and the op descriptors they point to.
 *
 * Builders append nodes; a node's place in the list is when it runs. The first failure sticks to the graph: builders
 * then return NULL and accept NULL, and vt_graph_status tells at the end, so that a model is written without a check a
 * line. */
#ifndef VT_GRAPH_GRAPH_H
#define VT_GRAPH_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/dtype.h"
#include "base/status.h"
#include "graph/store.h"

typedef struct vt_graph vt_graph;
typedef struct vt_node vt_node;
typedef struct vt_op vt_op;

typedef enum vt_memory {
    VT_WORKSPACE, /* made by a node; the planner gives it an offset in the shared workspace */
    VT_STORED,    /* an entry of a store */
    VT_INPUT,     /* a step input: bound to a slot of the ring before each run */
} vt_memory;

/* What a graph keeps activations and the residual stream in; sums, statistics, losses and parameters are the graph's
 * `real`. The CPU has one dtype for all; CUDA trains with bf16 activations. */
typedef struct vt_precision {
    vt_dtype act, stream;
} vt_precision;

typedef struct vt_tensor {
    const char *name;
    vt_memory memory;
    vt_dtype dtype;
    int id, ndim;
    int64_t shape[VT_MAX_DIMS];
    vt_node *producer;         /* VT_WORKSPACE */
    const vt_store *store;     /* VT_STORED */
    int entry;
    bool wants_grad;           /* a trainable parameter, or made from one */
    bool keep;                 /* read after the run: lives to its end */
    struct vt_tensor *twin;    /* the copy that recomputation makes for the backward pass */
    struct vt_tensor *grad;    /* of the walk under way in autodiff, or the last one */
    size_t offset;             /* bytes into the workspace, after planning */
} vt_tensor;

struct vt_node {
    const vt_op *op;
    const char *name;          /* stable identity: random numbers are keyed by it */
    vt_tensor **in, **out;     /* an optional one may be NULL */
    int n_in, n_out, index;
    const void *attrs;         /* op->attr_bytes of the op's own struct */
    int segment;               /* recomputation unit of the forward pass; 0: never recomputed */
};

typedef struct vt_cost {
    double flops;              /* multiply-add = 2; GEMMs and attention products alone */
    double bytes;              /* read and written once each */
} vt_cost;

/* What a body is given. Bodies cannot fail and do not allocate. */
typedef struct vt_run {
    const vt_node *node;
    void *const *in, *const *out;  /* data of node->in and node->out; NULL where those are NULL */
    void *scratch;                 /* as many bytes as the backend was asked for */
    struct vt_pool *pool;          /* the CPU's threads */
    const void *state;             /* the device's own */
} vt_run;
typedef void (*vt_body)(const vt_run *run);

/* An op. One `const vt_op vt_op_NAME` in csrc/ops/NAME.c and one line in ops.def; nothing switches over ops. */
struct vt_op {
    const char *name;
    size_t attr_bytes;
    int n_out;                  /* or VT_OUT_EACH */
    unsigned out_optional;      /* bit i: output i may be left out by `infer` */
    bool side_effect;           /* writes a store: never removed as unused */
    signed char in_place[2];    /* input (1-based) that output 0, 1 may overwrite; 0: none */
    vt_status (*infer)(vt_graph *g, vt_node *n);  /* checks inputs and attributes, sets outputs' dtype and shape */
    /* Appends the gradient's nodes. dout[i] is NULL where output i has no gradient; din[i] (preset NULL) is wanted
     * where n->in[i]->wants_grad. NULL: not differentiable. */
    void (*grad)(vt_graph *g, const vt_node *n, vt_tensor *const *dout, vt_tensor **din);
    void (*cost)(const vt_node *n, vt_cost *cost); /* NULL: no FLOPs; bytes of inputs and outputs once */
    vt_body reference[2];       /* the specification, for float and for double */
};
enum { VT_OUT_EACH = -1 };      /* as many outputs as inputs */

typedef struct vt_mark { /* an activation that has a name of timm's: "blocks.0.attn" */
    const char *name;
    vt_tensor *tensor;
} vt_mark;

struct vt_graph {
    vt_arena arena;
    vt_status status;           /* sticks at the first failure */
    vt_dtype real;              /* VT_F32, or VT_F64 for the specification's checks */
    vt_precision precision;     /* `real` twice, unless set before the first node */
    vt_node **nodes;
    vt_tensor **tensors;
    vt_tensor **stored;         /* [cap_stored] the VT_STORED ones, by store and entry: a hash table in the arena */
    vt_mark *marks;
    int n_nodes, n_tensors, n_stored, n_marks;
    int cap_nodes, cap_tensors, cap_stored, cap_marks;
    int segment;                /* given to nodes as they are added */
    size_t workspace_bytes;     /* after planning */
};

vt_status vt_graph_create(vt_graph **graph, vt_dtype real);
void vt_graph_destroy(vt_graph *graph);
vt_status vt_graph_status(const vt_graph *graph);

/* The tensor of a store's entry (the same one at each call) and a step input. */
vt_tensor *vt_graph_stored(vt_graph *g, const vt_store *store, int entry, bool trainable);
/* What GEMMs read in place of such an entry: the low store's. NULL: they read the entry itself, or there is none of the
 * activations' dtype. */
vt_tensor *vt_graph_low(vt_graph *g, const vt_store *store, int entry, bool trainable);
vt_tensor *vt_graph_input(vt_graph *g, const char *name, vt_dtype dtype, int ndim, const int64_t *shape);
vt_tensor *vt_graph_find_input(const vt_graph *g, const char *name); /* NULL: none */

/* For op builders: appends a node, infers its outputs. NULL on failure (the status sticks). */
vt_node *vt_node_add(vt_graph *g, const vt_op *op, const char *name, const void *attrs, vt_tensor *const *in, int n_in);
/* For `infer`: declares output i. */
vt_status vt_node_output(vt_graph *g, vt_node *n, int i, vt_dtype dtype, int ndim, const int64_t *shape);
/* For `infer` and builders: a failure that names op and node; returns the status, which sticks. */
vt_status vt_node_fail(vt_graph *g, const vt_node *n, const char *fmt, ...) VT_PRINTF(3, 4);

void vt_graph_mark(vt_graph *g, const char *name, vt_tensor *t);
const char *vt_graph_name(vt_graph *g, const char *fmt, ...) VT_PRINTF(2, 3);

int64_t vt_tensor_count(const vt_tensor *t);
size_t vt_tensor_bytes(const vt_tensor *t);
const char *vt_shape_text(const vt_tensor *t, char *text, size_t bytes); /* "[8, 197, 192]" */
bool vt_same_shape(const vt_tensor *a, const vt_tensor *b);
void vt_node_cost(const vt_node *n, vt_cost *cost);

/* graph/autodiff.c: appends the gradient of nodes [first, last) for `seed` * loss; grads[i] is that of wrt's entry i or
 * of its low one, NULL where the loss does not depend on it. `recompute`: activations inside a segment are computed
 * again, not kept. The two ops it needs of its own come from csrc/ops, which graph does not see. */
typedef struct vt_autodiff {
    vt_tensor *(*fill)(vt_graph *g, const char *name, double value);                 /* [1] */
    vt_tensor *(*add)(vt_graph *g, const char *name, vt_tensor *a, vt_tensor *b);
    bool recompute;
} vt_autodiff;
vt_status vt_graph_backward(vt_graph *g, const vt_autodiff *with, int first, int last, vt_tensor *loss, double seed,
                            const vt_store *wrt, vt_tensor **grads);
/* The same from any number of tensors whose gradients are given: a product of a vector and the Jacobian. */
typedef struct vt_seed {
    vt_tensor *of, *grad; /* of one shape */
} vt_seed;
vt_status vt_graph_backward_from(vt_graph *g, const vt_autodiff *with, int first, int last, const vt_seed *seeds, int n,
                                 const vt_store *wrt, vt_tensor **grads);

/* graph/fold.c: a fold is offered a consumer and the producer of one of its inputs, and either rewrites the producer so
 * that it makes the consumer's output too, or returns false. `sole`: nobody else reads that input, it need not be made.
 * The table ends with a NULL fold. */
typedef struct vt_fold {
    const vt_op *producer, *consumer;
    bool (*fold)(vt_graph *g, vt_node *producer, const vt_node *consumer, int input, bool sole);
} vt_fold;
vt_status vt_graph_fold(vt_graph *g, const vt_fold *table); /* also removes nodes that nobody reads */

/* graph/plan.c: gives every workspace tensor an offset, by liveness. May be repeated after a change. */
vt_status vt_graph_plan(vt_graph *g);

#endif
