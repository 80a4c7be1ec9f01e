/* ops/ops.h - the ops' builders: formula, shapes, attributes. `real` is the graph's dtype, fp32 or, for checks, fp64;
 * activations are of graph->precision.act, the residual stream (tokens, LayerNorm's sums) of precision.stream; on the
 * CPU all three are one.
 *
 * Every builder takes the node's name first (its identity, see rule 1 of docs/architecture.md), returns NULL after a
 * failure and accepts NULL from one. [..., K] is any leading shape. */
#ifndef VT_OPS_OPS_H
#define VT_OPS_OPS_H

#include "graph/graph.h"

#define VT_OP(name, fast) extern const vt_op vt_op_##name;
#include "ops/ops.def"
#undef VT_OP

enum { VT_OP_COUNT = 0
#define VT_OP(name, fast) + 1
#include "ops/ops.def"
#undef VT_OP
};
extern const vt_op *const vt_ops[]; /* in the order of ops.def */
int vt_op_index(const vt_op *op);

/* Epilogues that replace chains of ops; see folds.c. */
extern const vt_fold vt_folds[];

/* ---- images in --------------------------------------------------------------------------------------------------- */

enum { VT_MAX_CHANNELS = 16 };
typedef struct vt_patchify_attrs {
    int patch_h, patch_w, stride_h, stride_w;
    float mean[VT_MAX_CHANNELS], inv_std[VT_MAX_CHANNELS]; /* of u8 images: (v / 255 - mean) * inv_std */
    int erase;    /* a vt_erase_mode, and the key of its draws: made by the builder */
    uint64_t key;
} vt_patchify_attrs;
/* images u8 or real [B, H, W, C] -> [B, P, ph*pw*C]: patches in row-major order, each with its pixels row-major and
 * channels last; P = ((H - ph) / sh + 1) * ((W - pw) / sw + 1). Pixels beyond the last whole patch are not used
 * (Conv2d, no padding). u8 is normalised, real is taken as it is. Not differentiable. */
vt_tensor *vt_patchify(vt_graph *g, const char *name, vt_tensor *images, const vt_patchify_attrs *attrs);

typedef struct vt_random {
    vt_tensor *step;    /* i32 [1]: number of the optimizer step */
    vt_tensor *slots;   /* i32 [B]: each sample's slot in the step's global batch */
    uint64_t seed;
} vt_random;
typedef enum vt_erase_mode { VT_ERASE_CONST, VT_ERASE_RAND, VT_ERASE_PIXEL } vt_erase_mode;
/* What happens to normalised images on their way to the patches: random erasing (Zhong et al., 2020), then mixup (Zhang
 * et al., 2018) and cutmix (Yun et al., 2019), of which both are
 *     inside the box a * own + (1 - a) * partner's, outside b * own + (1 - b) * partner's;
 * the partner is erased by its own boxes and noise. A box is cut off at the image's borders by the data layer. Erased
 * pixels become 0 (const), one N(0, 1) a box and channel (rand) or one a pixel and channel (pixel; base/normal.h); of
 * boxes that overlap the last counts. Noise is keyed by the name "erase" whatever the node's is, so that a teacher sees
 * the student's. Element: (y * W + x) * C + c, or box * C + c. */
typedef struct vt_effects {
    vt_tensor *boxes;     /* i32 [B, R, 4]: top, left, height, width; height 0: none. NULL: nothing is erased */
    vt_erase_mode erase;
    vt_random random;     /* of the noise */
    vt_tensor *where;     /* i32 [B, 5]: partner within the batch, and the box. NULL: nothing is mixed */
    vt_tensor *weights;   /* real [B, 3]: a, b, and t of the target */
} vt_effects;
/* The same with effects, where they are not NULL. */
vt_tensor *vt_patchify_with(vt_graph *g, const char *name, vt_tensor *images, const vt_patchify_attrs *attrs,
                            const vt_effects *effects);

/* ---- linear ------------------------------------------------------------------------------------------------------ */

typedef enum vt_activation_kind { VT_IDENTITY, VT_GELU, VT_RELU, VT_TANH } vt_activation_kind;
typedef struct vt_linear_attrs {
    vt_activation_kind activation; /* folded: linear y = f(x w^T + b); linear_dx dx = (dy w) * f'(pre) */
    bool wide;                     /* y is real, not an activation */
} vt_linear_attrs;
/* y = x w^T + b.  x [..., K], w [N, K] (or [N, …] with K elements a row), b [N] or NULL -> y [..., N]; folded with an
 * activation, output 1 is the value before it, where somebody reads it. Gradient: linear_dx (dy, w[, pre]) and
 * linear_dw (dy, x[, dw to add to][, db to add to]) -> dw [N, K], db [N] = column sums of dy, where there is a bias. */
vt_tensor *vt_linear(vt_graph *g, const char *name, vt_tensor *x, vt_tensor *w, vt_tensor *b);
vt_tensor *vt_linear_wide(vt_graph *g, const char *name, vt_tensor *x, vt_tensor *w, vt_tensor *b); /* for logits */

typedef struct vt_scaled {
    vt_tensor *w, *b;
} vt_scaled;
/* LayerScale (Touvron et al., 2021) where a linear layer's outputs are its inputs:
 *   gamma * (x w^T + b) = x (gamma w)^T + gamma b,   gamma [N] for each row of w [N, ...] and of b [N], or NULL
 * -> the scaled weight and bias, activations as GEMMs read them; so the tokens are not passed over again.
 * Gradient: dw = gamma dws, db = gamma dbs, dgamma = row sums of dws * w, plus dbs * b. */
vt_scaled vt_layer_scale(vt_graph *g, const char *name, vt_tensor *w, vt_tensor *b, vt_tensor *gamma);

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

/* [cls | dist | x] + pos.  x [B, P, D], cls and dist [1, 1, D] or NULL, pos [1, N, D], N = P + number of extra tokens,
 * or [1, P, D], of the patches alone -> [B, N, D] */
vt_tensor *vt_tokens(vt_graph *g, const char *name, vt_tensor *x, vt_tensor *cls, vt_tensor *dist, vt_tensor *pos);
typedef struct vt_tokens_grad_attrs {
    bool cls, dist; /* which extra tokens there were */
    bool patches;   /* pos was of the patches alone */
} vt_tokens_grad_attrs;

typedef struct vt_pool_attrs {
    int first, count;
} vt_pool_attrs;
/* mean of tokens first .. first+count-1.  x [B, N, D] -> [B, D]; count 1 selects a token. */
vt_tensor *vt_pool_tokens(vt_graph *g, const char *name, vt_tensor *x, int first, int count);

/* ---- normalisation and residual ---------------------------------------------------------------------------------- */

typedef struct vt_layernorm_attrs {
    float eps;
} vt_layernorm_attrs;
typedef struct vt_normed {
    vt_tensor *y;   /* [..., D] */
    vt_tensor *sum; /* [..., D]: x + scale * branch; x itself where there is no branch */
} vt_normed;
/* Residual add and LayerNorm (Ba et al., 2016) in one pass:
 *   sum = x + scale[sample] * branch;  y = (sum - mean) * rstd * w + b,  rstd = 1 / sqrt(var + eps), var biased
 * x, branch [B, ..., D]; branch may be NULL; scale [B] (drop-path) or NULL for 1; w, b [D].
 * Outputs: y, mean [rows], rstd [rows], sum. */
vt_normed vt_layernorm(vt_graph *g, const char *name, vt_tensor *x, vt_tensor *branch, vt_tensor *scale, vt_tensor *w,
                       vt_tensor *b, float eps);

typedef struct vt_cast_attrs {
    vt_dtype dtype;
} vt_cast_attrs;
/* n tensors in another float dtype, rounded to nearest even, in one node: the weights' copies that GEMMs read. */
void vt_cast_all(vt_graph *g, const char *name, vt_tensor *const *x, int n, vt_dtype dtype, vt_tensor **y);
/* One; x itself where it has that dtype. */
vt_tensor *vt_cast(vt_graph *g, const char *name, vt_tensor *x, vt_dtype dtype);

/* Of a's dtype, or b's where there is no a.  alpha * a + beta * scale[sample] * b.  a, b [B, ...] of one shape, either
 * may be NULL; scale [B] or NULL for 1. */
typedef struct vt_add_attrs {
    double alpha, beta;
} vt_add_attrs;
vt_tensor *vt_add_scaled(vt_graph *g, const char *name, double alpha, vt_tensor *a, double beta, vt_tensor *b,
                         vt_tensor *scale);
vt_tensor *vt_add(vt_graph *g, const char *name, vt_tensor *a, vt_tensor *b);
/* [1], a constant. */
vt_tensor *vt_fill(vt_graph *g, const char *name, double value);

/* ---- attention --------------------------------------------------------------------------------------------------- */

typedef struct vt_attention_attrs {
    int heads;
    float scale;        /* of q k^T */
    float dropout;      /* of the probabilities */
    uint64_t key;       /* of the dropout's draws */
} vt_attention_attrs;
/* out = softmax(scale * q k^T + bias) v for each head, on packed qkv (Vaswani et al., 2017).
 * qkv [B, N, 3, H, D] given as [B, N, 3*H*D]; bias [1 or H, N, N] or NULL (an additive mask is a bias without
 * gradient); random (see vt_random) or all NULL with dropout 0 -> out [B, N, H*D], lse [B, H, N] (log-sum-exp of the
 * scaled, biased scores). Probabilities are not kept: the gradient recomputes them from lse. */
vt_tensor *vt_attention(vt_graph *g, const char *name, vt_tensor *qkv, vt_tensor *bias, int heads, float dropout,
                        const vt_random *random);

/* ---- elementwise ------------------------------------------------------------------------------------------------- */

typedef struct vt_activation_attrs {
    vt_activation_kind kind;
} vt_activation_attrs;
/* GELU x * Phi(x) by erf (Hendrycks and Gimpel, 2016), ReLU, tanh.  [..., K] -> [..., K] */
vt_tensor *vt_activation(vt_graph *g, const char *name, vt_tensor *x, vt_activation_kind kind);

typedef struct vt_dropout_attrs {
    float rate;
    uint64_t key;
} vt_dropout_attrs;
/* Element e of sample b is kept with probability 1 - rate and divided by it.  x [B, ...] -> [B, ...] */
vt_tensor *vt_dropout(vt_graph *g, const char *name, vt_tensor *x, float rate, const vt_random *random);
/* Drop-path (stochastic depth; Huang et al., 2016): the branch's factor for each sample, 0 or 1 / (1 - rate) -> [B].
 * With `mask` real [B] (1: kept) given, nothing is drawn. */
vt_tensor *vt_drop_path(vt_graph *g, const char *name, float rate, const vt_random *random, vt_tensor *mask);

/* ---- losses: means over the batch, [1] --------------------------------------------------------------------------- */

typedef struct vt_smooth_attrs {
    int classes;
    float smoothing;
} vt_smooth_attrs;
/* labels i32 [B] -> [B, K]: 1 - s + s/K at the label, s/K elsewhere */
vt_tensor *vt_smooth(vt_graph *g, const char *name, vt_tensor *labels, int classes, float smoothing);
/* The same mixed as the images are, where they are: t * own + (1 - t) * partner's. */
vt_tensor *vt_smooth_with(vt_graph *g, const char *name, vt_tensor *labels, int classes, float smoothing,
                          const vt_effects *effects);
/* mean over b of -sum_k weights[k] * targets[b,k] * log softmax(logits)[b,k], as torch's CrossEntropyLoss(weight) of
 * probabilities: divided by B, not by a sum of weights.  logits, targets [B, K]; weights [K], or NULL for 1 */
vt_tensor *vt_cross_entropy(vt_graph *g, const char *name, vt_tensor *logits, vt_tensor *targets, vt_tensor *weights);
typedef struct vt_bce_attrs {
    float threshold; /* targets above it are taken for 1, others for 0; below 0: as they are */
} vt_bce_attrs;
/* mean over b and k of weights[k] * binary cross-entropy with logits, as BCEWithLogitsLoss(weight) */
vt_tensor *vt_bce(vt_graph *g, const char *name, vt_tensor *logits, vt_tensor *targets, vt_tensor *weights,
                  float threshold);
typedef enum vt_distill_kind { VT_DISTILL_SOFT, VT_DISTILL_HARD } vt_distill_kind;
typedef struct vt_distill_attrs {
    vt_distill_kind kind;
    float tau;
} vt_distill_attrs;
/* DeiT's distillation terms (Touvron et al., 2021); the teacher has no gradient. student, teacher [B, K].
 * soft: tau^2 / (B*K) * sum of p_t (log p_t - log p_s) at temperature tau; hard: cross-entropy with the teacher's
 * argmax */
vt_tensor *vt_distill(vt_graph *g, const char *name, vt_tensor *student, vt_tensor *teacher, vt_distill_kind kind,
                      float tau);

/* ---- the end of a step ------------------------------------------------------------------------------------------- */

/* L2 norm over all gradients, in a fixed order -> [1] */
vt_tensor *vt_grad_norm(vt_graph *g, const char *name, vt_tensor *const *grads, int n);
/* Sets the sticky flag real [1] (an entry of a store) where a value [1] is not finite. The flag predicates all that
 * writes state: once set, nothing does. */
void vt_guard(vt_graph *g, const char *name, vt_tensor *flag, vt_tensor *const *values, int n);

/* The step block, f32 [VT_CONTROL_COUNT], one of the step's inputs. */
enum { VT_CONTROL_LR, VT_CONTROL_DECAY, VT_CONTROL_EMA_DECAY, VT_CONTROL_MAX_NORM, VT_CONTROL_COUNT };

/* An optimizer: a row of optimizers.def. Whatever differs between them is read from here or done by their ops. */
enum { VT_MOMENTS = 2 };           /* of a parameter, at most */
typedef struct vt_optimizer {
    const char *name;              /* --opt */
    const vt_op *op;
    double beta1, beta2;           /* where a run does not say */
    bool nesterov;
    int moments;
    const char *moment[VT_MOMENTS]; /* the roles of their stores, and so their tensors' prefixes in checkpoints */
} vt_optimizer;
extern const vt_optimizer vt_optimizers[];
extern const char vt_optimizer_names[]; /* of the table's rows, each behind a bar: "|adamw|lamb…" */
vt_status vt_optimizer_find(const vt_optimizer **found, const char *name); /* VT_INVALID: none of this name */

typedef struct vt_update_attrs {
    double beta1, beta2, eps, momentum;
    bool nesterov;                 /* this and what follows: made by the builder */
    const float *rate;             /* [n] */
    const bool *decay;             /* [n] */
} vt_update_attrs;
typedef struct vt_update_inputs {
    vt_tensor *flag, *control, *step, *norm; /* real [1], f32 [VT_CONTROL_COUNT], i32 [1], real [1] */
} vt_update_inputs;
typedef struct vt_update_param {
    vt_tensor *param, *grad, *moment[VT_MOMENTS]; /* of one shape, as these, which may be NULL: */
    vt_tensor *ema;
    vt_tensor *copy;               /* for GEMMs, in the activations' dtype where that is not real */
    float rate;                    /* of the learning rate */
    bool decay;                    /* weight decay applies */
} vt_update_param;
/* One step of an optimizer over n parameters p with gradients g, in place, unless flag is set. With t = step + 1, lr
 * the step's times the parameter's rate, decay the step's or 0, and m, v the moments:
 *
 *   all     first g *= min(1, max_norm / (norm + 1e-6)) where max_norm > 0; last ema = d ema + (1 - d) p,
 *           copy = p rounded to nearest even
 *   adamw   m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;  p *= 1 - lr decay
 *           p -= lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
 *           (Loshchilov and Hutter, 2019; torch.optim.AdamW)
 *   lamb    g scaled down to a norm of 1 over all of them (VT_LAMB_NORM);  m, v as adamw's
 *           u = m / (1 - beta1^t) / (sqrt(v) / sqrt(1 - beta2^t) + eps) + decay p;  p -= lr ratio u
 *           ratio = |p| / |u| of the parameter where decay is not 0 and neither norm is, else 1
 *           (You et al., 2020; timm.optim.Lamb)
 *   sgd     g += decay p;  m = momentum m + g;  p -= lr (g + momentum m), or without Nesterov lr m
 *           (Sutskever et al., 2013; torch.optim.SGD)
 *   lion    p *= 1 - lr decay;  p -= lr sign(beta1 m + (1 - beta1) g);  m = beta2 m + (1 - beta2) g
 *           (Chen et al., 2023; timm.optim.Lion) */
void vt_optimizer_step(vt_graph *g, const char *name, const vt_optimizer *kind, const vt_update_attrs *attrs,
                       const vt_update_inputs *inputs, const vt_update_param *params, int n);

#endif
