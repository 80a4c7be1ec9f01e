/* The cases: what is odd, small, or extreme about each op, and how its graph is built. */
#include "ops/cases.h"
#include "ops/op.h"

#if VT_REAL == 32

/* ---- what builders are written with ---------------------------------------------------------------------------- */

#define DIMS(...) (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]){__VA_ARGS__}

static vt_tensor *stored(vt_case_graph *c, const char *name, float centre, float spread, bool trainable, int ndim,
                         const int64_t *shape)
{
    vt_entry e = {.name = name, .ndim = ndim};
    for (int i = 0; i < ndim; i++) e.shape[i] = shape[i];
    int index;
    vt_status st = vt_store_add(&c->store, &e, &index);
    if (st) {
        c->g->status = st;
        return NULL;
    }
    c->low[index] = centre - spread;
    c->high[index] = centre + spread;
    return vt_graph_stored(c->g, &c->store, index, trainable);
}

/* A differentiable input of the op, uniform in [-spread, spread). */
static vt_tensor *param(vt_case_graph *c, const char *name, float spread, int ndim, const int64_t *shape)
{
    return vt_case_copy(c, stored(c, name, 0, spread, true, ndim, shape));
}

static vt_tensor *given(vt_case_graph *c, const char *name, vt_dtype dtype, const float *values, int ndim,
                        const int64_t *shape)
{
    vt_tensor *t = vt_case_feed(c, name, dtype, 0, 0, ndim, shape);
    c->inputs[c->n_inputs - 1].values = values;
    return t;
}

static void output(vt_case_graph *c, vt_tensor *t)
{
    c->out[c->n_out++] = t;
}

static vt_random draws(vt_case_graph *c, int64_t batch)
{
    vt_tensor *step = vt_case_feed(c, "step", VT_I32, 0, 1000, DIMS(1));
    return (vt_random){step, vt_case_feed(c, "slots", VT_I32, 0, 1000, DIMS(batch)), 7};
}

/* ---- images and tokens ----------------------------------------------------------------------------------------- */

/* dim: B, H, W, C, patch and stride as yx; value 1: real images */
static void build_patchify(vt_case_graph *c, const vt_case *s)
{
    const int *d = s->dim;
    vt_patchify_attrs a = {d[4] / 10, d[4] % 10, d[5] / 10, d[5] % 10, {0.4f, 0.5f, 0.6f, 0.7f}, {4, 5, 3, 2}};
    vt_dtype dtype = s->value == 1 ? c->g->real : VT_U8;
    float low = s->value == 1 ? -1 : 0, high = s->value == 1 ? 1 : 256;
    vt_tensor *images = vt_case_feed(c, "images", dtype, low, high, DIMS(d[0], d[1], d[2], d[3]));
    output(c, vt_patchify(c->g, "patchify", images, &a));
}

/* dim: B, P, D, with cls, with dist */
static void build_tokens(vt_case_graph *c, const vt_case *s)
{
    const int *d = s->dim;
    vt_tensor *x = param(c, "x", 1, DIMS(d[0], d[1], d[2]));
    vt_tensor *cls = d[3] ? param(c, "cls", 1, DIMS(1, 1, d[2])) : NULL;
    vt_tensor *dist = d[4] ? param(c, "dist", 1, DIMS(1, 1, d[2])) : NULL;
    output(c, vt_tokens(c->g, "tokens", x, cls, dist, param(c, "pos", 1, DIMS(1, d[1] + d[3] + d[4], d[2]))));
}

/* dim: B, N, D, first, count */
static void build_pool(vt_case_graph *c, const vt_case *s)
{
    const int *d = s->dim;
    output(c, vt_pool_tokens(c->g, "pool", param(c, "x", 1, DIMS(d[0], d[1], d[2])), d[3], d[4]));
}

/* ---- linear, normalisation, elementwise ------------------------------------------------------------------------ */

/* dim: rows, K, N, with bias, activation behind it; value: how many times the same weight is used */
static void build_linear(vt_case_graph *c, const vt_case *s)
{
    const int *d = s->dim;
    float spread = 1 / sqrtf((float)d[1]);
    vt_tensor *w = param(c, "w", spread, DIMS(d[2], d[1])), *b = d[3] ? param(c, "b", spread, DIMS(d[2])) : NULL;
    static const char *const names[] = {"x0", "x1", "x2"};
    for (int i = 0; i < (int)s->value; i++) {
        vt_tensor *y = vt_linear(c->g, "linear", param(c, names[i], 2, DIMS(d[0], d[1])), w, b);
        output(c, d[4] ? vt_activation(c->g, "act", y, (vt_activation_kind)d[4]) : y);
    }
}

/* An MLP: both epilogues, activation and its gradient, between two linears. dim: rows, K, N, activation */
static void build_mlp(vt_case_graph *c, const vt_case *s)
{
    const int *d = s->dim;
    vt_tensor *x = param(c, "x", 2, DIMS(2, d[0], d[1]));
    x = vt_linear(c->g, "fc1", x, param(c, "w1", 1, DIMS(d[2], d[1])), param(c, "b1", 1, DIMS(d[2])));
    x = vt_activation(c->g, "act", x, (vt_activation_kind)d[3]);
    output(c, vt_linear(c->g, "fc2", x, param(c, "w2", 1, DIMS(d[1], d[2])), NULL));
}

/* dim: B, N, D, with branch, with scale, whose output: 0 y, 1 both, 2 the sum; value: centre of x */
static void build_layernorm(vt_case_graph *c, const vt_case *s)
{
    const int *d = s->dim;
    vt_tensor *x = vt_case_copy(c, stored(c, "x", s->value, 1, true, DIMS(d[0], d[1], d[2])));
    vt_tensor *branch = d[3] ? param(c, "branch", 1, DIMS(d[0], d[1], d[2])) : NULL;
    vt_tensor *scale = d[4] ? vt_case_feed(c, "scale", c->g->real, 0, 2, DIMS(d[0])) : NULL;
    vt_tensor *w = stored(c, "w", 1, 0.5f, true, DIMS(d[2])), *b = param(c, "b", 1, DIMS(d[2]));
    float eps = d[2] == 1 ? 1 : 1e-6f; /* one column's variance is 0: 1 / sqrt(eps) would multiply every rounding */
    vt_normed n = vt_layernorm(c->g, "norm", x, branch, scale, w, b, eps);
    if (d[5] != 2) output(c, n.y);
    if (d[5] != 0) output(c, n.sum);
}

/* dim: elements, kind; value: spread */
static void build_activation(vt_case_graph *c, const vt_case *s)
{
    output(c, vt_activation(c->g, "act", param(c, "x", s->value, DIMS(3, s->dim[0])), (vt_activation_kind)s->dim[1]));
}

/* dim: B, elements; value: rate */
static void build_dropout(vt_case_graph *c, const vt_case *s)
{
    vt_random random = draws(c, s->dim[0]);
    output(c, vt_dropout(c->g, "drop", param(c, "x", 1, DIMS(s->dim[0], s->dim[1])), s->value, &random));
}

/* dim: B, with mask; value: rate */
static void build_drop_path(vt_case_graph *c, const vt_case *s)
{
    static const float kept[] = {1, 0, 1, 1, 0, 0, 1};
    vt_random random = draws(c, s->dim[0]);
    vt_tensor *mask = s->dim[1] ? given(c, "mask", c->g->real, kept, DIMS(7)) : NULL;
    output(c, vt_drop_path(c->g, "path", s->value, mask ? NULL : &random, mask));
}

/* dim: B, elements, with a, with b, with scale; value: alpha */
static void build_add(vt_case_graph *c, const vt_case *s)
{
    const int *d = s->dim;
    vt_tensor *a = d[2] ? param(c, "a", 1, DIMS(d[0], d[1])) : NULL;
    vt_tensor *b = d[3] ? param(c, "b", 1, DIMS(d[0], d[1])) : NULL;
    vt_tensor *scale = d[4] ? vt_case_feed(c, "scale", c->g->real, 0, 2, DIMS(d[0])) : NULL;
    output(c, vt_add_scaled(c->g, "sum", s->value, a, 0.75, b, scale));
}

static void build_fill(vt_case_graph *c, const vt_case *s)
{
    output(c, vt_fill(c->g, "fill", s->value));
}

/* ---- attention ------------------------------------------------------------------------------------------------- */

/* dim: B, N, H, D, bias: 0 none, 1 one for all heads, 2 for each head, 3 a mask, 4 a mask of -inf; percent of
 * dropout; value: spread of qkv */
static void build_attention(vt_case_graph *c, const vt_case *s)
{
    static const float mask[] = {0, -INFINITY, 0, -INFINITY, 0, 0, 0, 0, -INFINITY};
    const int *d = s->dim;
    vt_random random = draws(c, d[0]);
    vt_tensor *qkv = param(c, "qkv", s->value, DIMS(d[0], d[1], 3 * d[2] * d[3])), *bias = NULL;
    if (d[4] == 1 || d[4] == 2) bias = param(c, "bias", 1, DIMS(d[4] == 1 ? 1 : d[2], d[1], d[1]));
    if (d[4] == 3) bias = vt_case_feed(c, "mask", c->g->real, -3, 3, DIMS(1, d[1], d[1]));
    if (d[4] == 4) bias = given(c, "mask", c->g->real, mask, DIMS(1, 3, 3));
    output(c, vt_attention(c->g, "attn", qkv, bias, d[2], (float)d[5] / 100, &random));
}

/* ---- losses ---------------------------------------------------------------------------------------------------- */

/* dim: B, K; value: smoothing */
static void build_smooth(vt_case_graph *c, const vt_case *s)
{
    vt_tensor *labels = vt_case_feed(c, "labels", VT_I32, 0, (float)s->dim[1], DIMS(s->dim[0]));
    output(c, vt_smooth(c->g, "smooth", labels, s->dim[1], s->value));
}

/* dim: B, K; value: spread of the logits */
static void build_cross_entropy(vt_case_graph *c, const vt_case *s)
{
    vt_tensor *x = param(c, "logits", s->value, DIMS(s->dim[0], s->dim[1]));
    vt_tensor *t = vt_case_feed(c, "targets", c->g->real, 0, 1, DIMS(s->dim[0], s->dim[1]));
    output(c, vt_cross_entropy(c->g, "loss", x, t));
}

static void build_bce(vt_case_graph *c, const vt_case *s)
{
    vt_tensor *x = param(c, "logits", s->value, DIMS(s->dim[0], s->dim[1]));
    vt_tensor *t = vt_case_feed(c, "targets", c->g->real, 0, 1, DIMS(s->dim[0], s->dim[1]));
    output(c, vt_bce(c->g, "loss", x, t));
}

/* dim: B, K, kind; value: temperature */
static void build_distill(vt_case_graph *c, const vt_case *s)
{
    vt_tensor *x = param(c, "student", 3, DIMS(s->dim[0], s->dim[1]));
    vt_tensor *t = vt_case_feed(c, "teacher", c->g->real, -3, 3, DIMS(s->dim[0], s->dim[1]));
    output(c, vt_distill(c->g, "loss", x, t, (vt_distill_kind)s->dim[2], s->value));
}

/* ---- the end of a step ----------------------------------------------------------------------------------------- */

/* dim: elements of three gradients */
static void build_grad_norm(vt_case_graph *c, const vt_case *s)
{
    static const char *const names[] = {"g0", "g1", "g2"};
    vt_tensor *grads[3];
    for (int i = 0; i < 3; i++)
        grads[i] = vt_case_feed(c, names[i], c->g->real, -s->value, s->value, DIMS(s->dim[i], 1));
    output(c, vt_grad_norm(c->g, "norm", grads, 3));
}

/* value: one of the two values that are looked at; dim: the flag before */
static void build_guard(vt_case_graph *c, const vt_case *s)
{
    vt_tensor *flag = stored(c, "flag", (float)s->dim[0], 0, false, DIMS(1));
    vt_tensor *values[] = {vt_case_feed(c, "fine", c->g->real, 1, 2, DIMS(1)),
                           vt_case_feed(c, "value", c->g->real, s->value, s->value, DIMS(1))};
    vt_guard(c->g, "guard", flag, values, 2);
}

static const float control_clip[VT_CONTROL_COUNT] = {0.01f, 0.05f, 0.9f, 0.5f};
static const float control_free[VT_CONTROL_COUNT] = {0.01f, 0.05f, 0.9996f, 0};

/* dim: elements of two parameters, the flag, step; value 1: clipped */
static void build_adamw(vt_case_graph *c, const vt_case *s)
{
    static const char *const names[][4] = {{"p0", "g0", "m0", "v0"}, {"p1", "g1", "m1", "v1"}};
    vt_tensor *flag = stored(c, "flag", (float)s->dim[2], 0, false, DIMS(1));
    const float *block = s->value == 1 ? control_clip : control_free;
    vt_tensor *control = given(c, "control", VT_F32, block, DIMS(VT_CONTROL_COUNT));
    vt_tensor *step = vt_case_feed(c, "step", VT_I32, (float)s->dim[3], (float)s->dim[3], DIMS(1)), *grads[2];
    vt_adamw_param params[2];
    for (int i = 0; i < 2; i++) {
        const char *const *name = names[i];
        int64_t n = s->dim[i];
        grads[i] = vt_case_feed(c, name[1], c->g->real, -1, 1, DIMS(n));
        params[i] = (vt_adamw_param){stored(c, name[0], 0, 1, false, DIMS(n)), grads[i],
                                     stored(c, name[2], 0, 0.5f, false, DIMS(n)),
                                     stored(c, name[3], 0.5f, 0.5f, false, DIMS(n)), i == 0};
    }
    vt_adamw_attrs a = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
    vt_adamw(c->g, "adamw", &a, flag, control, step, vt_grad_norm(c->g, "norm", grads, 2), params, 2);
}

/* dim: elements of two parameters, the flag */
static void build_ema(vt_case_graph *c, const vt_case *s)
{
    vt_tensor *flag = stored(c, "flag", (float)s->dim[2], 0, false, DIMS(1));
    vt_tensor *control = given(c, "control", VT_F32, control_free, DIMS(VT_CONTROL_COUNT));
    vt_tensor *ema[] = {stored(c, "e0", 0, 1, false, DIMS(s->dim[0])), stored(c, "e1", 0, 1, false, DIMS(s->dim[1]))};
    vt_tensor *p[] = {stored(c, "p0", 0, 1, false, DIMS(s->dim[0])), stored(c, "p1", 0, 1, false, DIMS(s->dim[1]))};
    vt_ema(c->g, "ema", flag, control, ema, p, 2);
}

/* ---- the list -------------------------------------------------------------------------------------------------- */

const vt_case vt_cases[] = {
    {"patchify", "u8, 3 channels", build_patchify, {2, 6, 9, 3, 23, 23}, 0, false},
    {"patchify", "overlapping, pixels left over", build_patchify, {1, 8, 7, 4, 33, 12}, 0, false},
    {"patchify", "1 grey pixel", build_patchify, {1, 1, 1, 1, 11, 11}, 0, false},
    {"patchify", "real images", build_patchify, {3, 5, 4, 2, 22, 22}, 1, false},

    {"linear", "one of each", build_linear, {1, 1, 1, 1}, 1, false},
    {"linear", "1 row, no bias", build_linear, {1, 7, 5}, 1, false},
    {"linear", "odd", build_linear, {13, 17, 11, 1}, 1, false},
    {"linear", "K 1", build_linear, {9, 1, 3, 1}, 1, false},
    {"linear", "N 1", build_linear, {33, 6, 1, 1}, 1, false},
    {"linear", "GELU", build_linear, {5, 6, 7, 1, VT_GELU}, 1, false},
    {"linear", "ReLU, no bias", build_linear, {4, 3, 9, 0, VT_RELU}, 1, false},
    {"linear", "tanh", build_linear, {3, 8, 2, 1, VT_TANH}, 1, false},
    {"linear", "three uses of one weight", build_linear, {5, 4, 3, 1}, 3, false},
    {"linear", "width 96", build_linear, {136, 96, 288, 1}, 1, true},
    {"linear", "every remainder of a tile", build_linear, {197, 101, 67, 1, VT_GELU}, 2, true},
    {"linear", "long K", build_linear, {7, 3072, 10, 1}, 1, true},
    {"linear", "MLP, GELU", build_mlp, {5, 4, 9, VT_GELU}, 0, false},
    {"linear", "MLP, tanh, 1 row", build_mlp, {1, 3, 5, VT_TANH}, 0, false},
    {"linear", "MLP, wide", build_mlp, {50, 96, 384, VT_GELU}, 0, true},

    {"tokens", "no extra token", build_tokens, {2, 3, 5, 0, 0}, 0, false},
    {"tokens", "class token", build_tokens, {3, 4, 7, 1, 0}, 0, false},
    {"tokens", "class and distillation token, batch 1", build_tokens, {1, 1, 1, 1, 1}, 0, false},
    {"tokens", "both", build_tokens, {4, 9, 6, 1, 1}, 0, false},

    {"layernorm", "plain", build_layernorm, {2, 3, 7, 0, 0, 0}, 0, false},
    {"layernorm", "width 1", build_layernorm, {2, 2, 1, 1, 0, 1}, 0, false},
    {"layernorm", "branch", build_layernorm, {2, 3, 5, 1, 0, 1}, 0, false},
    {"layernorm", "branch, the sum unused", build_layernorm, {1, 4, 6, 1, 0, 0}, 0, false},
    {"layernorm", "branch, scale", build_layernorm, {3, 2, 9, 1, 1, 1}, 0, false},
    {"layernorm", "branch, scale, the sum alone", build_layernorm, {3, 2, 4, 1, 1, 2}, 0, false},
    {"layernorm", "mean far above the spread", build_layernorm, {1, 3, 33, 0, 0, 0}, 8, false},
    {"layernorm", "1000 columns", build_layernorm, {2, 17, 1000, 1, 1, 1}, 0, true},

    {"attention", "1 token", build_attention, {1, 1, 1, 1, 0, 0}, 1, false},
    {"attention", "5 heads of odd width", build_attention, {2, 6, 5, 3, 0, 0}, 1, false},
    {"attention", "bias of all heads", build_attention, {2, 5, 3, 4, 1, 0}, 1, false},
    {"attention", "bias of each head", build_attention, {2, 7, 2, 5, 2, 0}, 1, false},
    {"attention", "mask", build_attention, {2, 4, 2, 8, 3, 0}, 1, false},
    {"attention", "mask of -inf", build_attention, {2, 3, 2, 2, 4, 0}, 1, false},
    {"attention", "dropout", build_attention, {3, 5, 2, 4, 0, 30}, 1, false},
    {"attention", "dropout and bias", build_attention, {2, 5, 2, 4, 2, 60}, 1, false},
    {"attention", "one probability near 1", build_attention, {1, 9, 2, 8, 0, 0}, 5, false},
    {"attention", "17 tokens, width 24", build_attention, {5, 17, 4, 24, 0, 0}, 1, true},
    {"attention", "197 tokens, width 64", build_attention, {1, 197, 3, 64, 0, 0}, 1, true},
    {"attention", "33 tokens, all at once", build_attention, {2, 33, 2, 40, 2, 10}, 1, true},

    {"activation", "identity", build_activation, {5, VT_IDENTITY}, 2, false},
    {"activation", "GELU", build_activation, {33, VT_GELU}, 3, false},
    {"activation", "GELU, both tails", build_activation, {50, VT_GELU}, 12, false},
    {"activation", "ReLU", build_activation, {19, VT_RELU}, 2, false},
    {"activation", "tanh, both tails", build_activation, {17, VT_TANH}, 9, false},
    {"activation", "GELU, long", build_activation, {10001, VT_GELU}, 5, true},
    {"activation", "tanh, long", build_activation, {10001, VT_TANH}, 5, true},

    {"dropout", "rate 0.5", build_dropout, {3, 35}, 0.5f, false},
    {"dropout", "rate 0.9, batch 1", build_dropout, {1, 101}, 0.9f, false},
    {"drop_path", "drawn", build_drop_path, {33, 0}, 0.4f, false},
    {"drop_path", "given", build_drop_path, {7, 1}, 0.25f, false},

    {"add", "scaled sum", build_add, {1, 37, 1, 1}, -0.5f, false},
    {"add", "scaling", build_add, {3, 1, 1}, 3, false},
    {"add", "samples scaled", build_add, {3, 7, 1, 1, 1}, 1, false},
    {"add", "one addend, samples scaled", build_add, {4, 5, 0, 1, 1}, 1, false},
    {"fill", "constant", build_fill, {0}, 0.1f, false},

    {"pool", "one token", build_pool, {3, 5, 4, 1, 1}, 0, false},
    {"pool", "mean of the rest", build_pool, {2, 6, 3, 1, 5}, 0, false},
    {"pool", "all of one", build_pool, {1, 1, 1, 0, 1}, 0, false},

    {"smooth", "smoothed", build_smooth, {5, 7}, 0.1f, false},
    {"smooth", "one class", build_smooth, {2, 1}, 0.3f, false},
    {"cross_entropy", "7 classes", build_cross_entropy, {5, 7}, 3, false},
    {"cross_entropy", "one class", build_cross_entropy, {2, 1}, 1, false},
    {"cross_entropy", "exp would overflow", build_cross_entropy, {2, 9}, 1500, false},
    {"cross_entropy", "1000 classes", build_cross_entropy, {3, 1000}, 5, true},
    {"bce", "7 classes", build_bce, {5, 7}, 3, false},
    {"bce", "exp would overflow", build_bce, {1, 19}, 1500, false},
    {"distill", "soft", build_distill, {4, 7, VT_DISTILL_SOFT}, 3, false},
    {"distill", "soft, cold", build_distill, {1, 5, VT_DISTILL_SOFT}, 0.5f, false},
    {"distill", "hard", build_distill, {4, 7, VT_DISTILL_HARD}, 1, false},

    {"grad_norm", "odd sizes", build_grad_norm, {1, 37, 1009}, 1, false},
    {"grad_norm", "squares beyond fp32's range", build_grad_norm, {3, 5, 7}, 1e25f, false},
    {"guard", "finite", build_guard, {0}, 1, false},
    {"guard", "infinite", build_guard, {0}, INFINITY, false},
    {"guard", "NaN", build_guard, {0}, NAN, false},
    {"guard", "set stays set", build_guard, {1}, 1, false},
    {"adamw", "first step, not clipped", build_adamw, {13, 1, 0, 0}, 0, false},
    {"adamw", "step 1000, clipped", build_adamw, {1, 77, 0, 999}, 1, false},
    {"adamw", "flag set", build_adamw, {5, 3, 1, 0}, 0, false},
    {"ema", "odd sizes", build_ema, {19, 1, 0}, 0, false},
    {"ema", "flag set", build_ema, {3, 2, 1}, 0, false},
};
const int vt_case_count = (int)(sizeof vt_cases / sizeof *vt_cases);
#endif
