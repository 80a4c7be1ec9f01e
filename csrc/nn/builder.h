/* nn/builder.h - what a model's build function is given, and the blocks that models share. */
#ifndef VT_NN_BUILDER_H
#define VT_NN_BUILDER_H

#include "ops/ops.h"

typedef struct vt_builder {
    vt_graph *g;
    vt_store *params;      /* the first build declares its entries, later ones find them */
    bool train;            /* dropout and drop-path are on */
    bool masks;            /* drop-path reads inputs "mask.NAME" real [B] in place of draws */
    const char *suffix;    /* of this micro-batch's inputs: "", ".0", ".1", … */
    vt_random random;
    const vt_effects *effects; /* of the images; NULL: none */
    int64_t batch;
    int layer;             /* of the parameters that are declared next: vt_entry */
    vt_tensor **low;       /* [params->count]: what GEMMs read in place of a parameter; NULL: the parameters */
    int next;              /* where vt_param looks first */
} vt_builder;

/* A parameter by timm's name, in memory layout `shape`. No decay on 1-D tensors and biases (DeiT's rule); the model
 * says so of others. */
vt_tensor *vt_param(vt_builder *b, const vt_entry *entry);
vt_tensor *vt_gemm_param(vt_builder *b, const vt_entry *entry); /* one that GEMMs read */
/* Before the model is built, where activations are not `real`: GEMMs read the low store of the declared parameters, or
 * where those have none (an average, which is not trained) casts that the graph makes. */
void vt_nn_low_weights(vt_builder *b);
vt_tensor *vt_param_constant(vt_builder *b, const char *name, int64_t n, float value); /* [n], not decayed */

/* y = x w^T + b with parameters NAME.weight [n, k], NAME.bias [n]: truncated normal 0.02, zero. A head's y are logits,
 * `real`. */
vt_tensor *vt_nn_linear(vt_builder *b, const char *name, vt_tensor *x, int64_t n, bool bias);
/* The same, its outputs scaled by a parameter GAMMA [n] that begins with init_values: LayerScale. */
vt_tensor *vt_nn_linear_scaled(vt_builder *b, const char *name, vt_tensor *x, int64_t n, const char *gamma,
                               float init_values);
vt_tensor *vt_nn_head(vt_builder *b, const char *name, vt_tensor *x, int64_t n);
vt_normed vt_nn_layernorm(vt_builder *b, const char *name, vt_tensor *x, vt_tensor *branch, vt_tensor *scale,
                          float eps);
vt_tensor *vt_nn_dropout(vt_builder *b, const char *name, vt_tensor *x, float rate); /* x itself where it is off */
/* The branch's factor [B]; NULL where drop-path is off. */
vt_tensor *vt_nn_drop_path(vt_builder *b, const char *name, float rate);

#endif
