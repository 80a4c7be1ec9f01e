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

/* The same in the dtype of activations, or of the residual stream. */
static vt_tensor *act(vt_case_graph *c, vt_tensor *t)
{
    return t ? vt_cast(c->g, t->name, t, c->g->precision.act) : NULL;
}

static vt_tensor *on_stream(vt_case_graph *c, vt_tensor *t)
{
    return t ? vt_cast(c->g, t->name, t, c->g->precision.stream) : NULL;
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
    vt_patchify_attrs a = {d[4] / 10, d[4] % 10, d[5] / 10, d[5] % 10, .mean = {0.4f, 0.5f, 0.6f, 0.7f},
                           .inv_std = {4, 5, 3, 2}};
    vt_dtype dtype = s->value == 1 ? c->g->real : VT_U8;
    float low = s->value == 1 ? -1 : 0, high = s->value == 1 ? 1 : 256;
    vt_tensor *images = vt_case_feed(c, "images", dtype, low, high, DIMS(d[0], d[1], d[2], d[3]));
    output(c, vt_patchify(c->g, "patchify", images, &a));
}

static float *numbers(vt_case_graph *c, int64_t n)
{
    float *values = vt_arena_alloc(&c->g->arena, (size_t)n * sizeof *values);
    if (!values) c->g->status = vt_fail_memory("case");
    return values;
}

/* Top, left, height, width of the i-th of some boxes in an image; every fourth is none. */
static void put_box(float *box, int i, int height, int width)
{
    box[0] = (float)(3 * i % height);
    box[1] = (float)(5 * i % width);
    box[2] = i % 4 == 3 ? 0 : (float)(1 + (7 * i + height / 2) % (height - 3 * i % height));
    box[3] = i % 4 == 3 ? 0 : (float)(1 + (11 * i + width / 2) % (width - 5 * i % width));
}

/* Mixup, cutmix, both at once and nothing, in turn. */
static void mix(vt_case_graph *c, vt_effects *e, int batch, int height, int width)
{
    static const float weights[][3] = {{0.3f, 0.3f, 0.3f}, {0, 1, 0.4f}, {0.25f, 0.75f, 0.6f}, {1, 1, 1}, {0, 0, 0}};
    float *where = numbers(c, 5 * batch), *w = numbers(c, 3 * batch);
    for (int b = 0; where && w && b < batch; b++) {
        where[5 * b] = (float)(batch - 1 - b);
        put_box(where + 5 * b + 1, b, height, width);
        memcpy(w + 3 * b, weights[b % 5], sizeof *weights);
    }
    e->where = given(c, "where", VT_I32, where, DIMS(batch, 5));
    e->weights = given(c, "weights", c->g->real, w, DIMS(batch, 3));
}

/* dim: as build_patchify; value: 100 for real images, 10 times what is erased (1 const, 2 rand, 3 pixel), 1: mixed */
static void build_effects(vt_case_graph *c, const vt_case *s)
{
    enum { R = 3 };
    const int *d = s->dim;
    vt_patchify_attrs a = {d[4] / 10, d[4] % 10, d[5] / 10, d[5] % 10, .mean = {0.4f, 0.5f, 0.6f, 0.7f},
                           .inv_std = {4, 5, 3, 2}};
    int what = (int)s->value, real = what >= 100, erase = what / 10 % 10;
    vt_effects e = {.erase = erase - 1};
    vt_tensor *images = vt_case_feed(c, "images", real ? c->g->real : VT_U8, real ? -1 : 0, real ? 1 : 256,
                                     DIMS(d[0], d[1], d[2], d[3]));
    float *boxes = numbers(c, 4 * R * d[0]);
    for (int i = 0; boxes && i < R * d[0]; i++) put_box(boxes + 4 * i, i, d[1], d[2]);
    if (erase) {
        e.boxes = given(c, "boxes", VT_I32, boxes, DIMS(d[0], R, 4));
        e.random = draws(c, d[0]);
    }
    if (what % 10) mix(c, &e, d[0], d[1], d[2]);
    output(c, vt_patchify_with(c->g, "patchify", images, &a, &e));
}

/* dim: B, P, D, with cls, with dist; value 1: positions of the patches alone */
static void build_tokens(vt_case_graph *c, const vt_case *s)
{
    const int *d = s->dim;
    vt_tensor *x = act(c, param(c, "x", 1, DIMS(d[0], d[1], d[2])));
    vt_tensor *cls = d[3] ? param(c, "cls", 1, DIMS(1, 1, d[2])) : NULL;
    vt_tensor *dist = d[4] ? param(c, "dist", 1, DIMS(1, 1, d[2])) : NULL;
    int64_t placed = s->value == 1 ? d[1] : d[1] + d[3] + d[4];
    output(c, vt_tokens(c->g, "tokens", x, cls, dist, param(c, "pos", 1, DIMS(1, placed, d[2]))));
}

/* dim: N, K, with bias */
static void build_layer_scale(vt_case_graph *c, const vt_case *s)
{
    const int *d = s->dim;
    vt_tensor *w = param(c, "w", 1, DIMS(d[0], d[1])), *b = d[2] ? param(c, "b", 1, DIMS(d[0])) : NULL;
    vt_scaled scaled = vt_layer_scale(c->g, "scale", w, b, param(c, "gamma", 1, DIMS(d[0])));
    output(c, scaled.w);
    if (b) output(c, scaled.b);
}

/* dim: B, N, D, first, count */
static void build_pool(vt_case_graph *c, const vt_case *s)
{
    const int *d = s->dim;
    output(c, vt_pool_tokens(c->g, "pool", on_stream(c, param(c, "x", 1, DIMS(d[0], d[1], d[2]))), d[3], d[4]));
}

/* ---- linear, normalisation, elementwise ------------------------------------------------------------------------ */

/* dim: rows, K, N, with bias, activation behind it; value: how many times the same weight is used */
static void build_linear(vt_case_graph *c, const vt_case *s)
{
    const int *d = s->dim;
    float spread = 1 / sqrtf((float)d[1]);
    vt_tensor *w = act(c, param(c, "w", spread, DIMS(d[2], d[1])));
    vt_tensor *b = d[3] ? act(c, param(c, "b", spread, DIMS(d[2]))) : NULL;
    static const char *const names[] = {"x0", "x1", "x2"};
    for (int i = 0; i < (int)s->value; i++) {
        vt_tensor *y = vt_linear(c->g, "linear", act(c, param(c, names[i], 2, DIMS(d[0], d[1]))), w, b);
        output(c, d[4] ? vt_activation(c->g, "act", y, (vt_activation_kind)d[4]) : y);
    }
}

/* An MLP: both epilogues, activation and its gradient, between two linears. dim: rows, K, N, activation */
static void build_mlp(vt_case_graph *c, const vt_case *s)
{
    const int *d = s->dim;
    vt_tensor *x = act(c, param(c, "x", 2, DIMS(2, d[0], d[1])));
    vt_tensor *w1 = act(c, param(c, "w1", 1, DIMS(d[2], d[1]))), *b1 = act(c, param(c, "b1", 1, DIMS(d[2])));
    x = vt_linear(c->g, "fc1", x, w1, b1);
    x = vt_activation(c->g, "act", x, (vt_activation_kind)d[3]);
    output(c, vt_linear(c->g, "fc2", x, act(c, param(c, "w2", 1, DIMS(d[1], d[2]))), NULL));
}

/* dim: B, N, D, with branch, with scale, whose output: 0 y, 1 both, 2 the sum; value: centre of x */
static void build_layernorm(vt_case_graph *c, const vt_case *s)
{
    const int *d = s->dim;
    vt_tensor *x = on_stream(c, vt_case_copy(c, stored(c, "x", s->value, 1, true, DIMS(d[0], d[1], d[2]))));
    vt_tensor *branch = d[3] ? act(c, param(c, "branch", 1, DIMS(d[0], d[1], d[2]))) : NULL;
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
    vt_tensor *x = act(c, param(c, "x", s->value, DIMS(3, s->dim[0])));
    output(c, vt_activation(c->g, "act", x, (vt_activation_kind)s->dim[1]));
}

/* dim: B, elements; value: rate */
static void build_dropout(vt_case_graph *c, const vt_case *s)
{
    vt_random random = draws(c, s->dim[0]);
    output(c, vt_dropout(c->g, "drop", act(c, param(c, "x", 1, DIMS(s->dim[0], s->dim[1]))), s->value, &random));
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
    vt_tensor *a = d[2] ? on_stream(c, param(c, "a", 1, DIMS(d[0], d[1]))) : NULL;
    vt_tensor *b = d[3] ? act(c, param(c, "b", 1, DIMS(d[0], d[1]))) : NULL;
    vt_tensor *scale = d[4] ? vt_case_feed(c, "scale", c->g->real, 0, 2, DIMS(d[0])) : NULL;
    output(c, vt_add_scaled(c->g, "sum", s->value, a, 0.75, b, scale));
}

/* dim: elements of two tensors */
static void build_cast(vt_case_graph *c, const vt_case *s)
{
    vt_tensor *x[] = {param(c, "x0", 1, DIMS(s->dim[0])), param(c, "x1", 1, DIMS(s->dim[1], 3))}, *y[2];
    vt_cast_all(c->g, "cast", x, 2, c->g->precision.act, y);
    output(c, y[0]);
    output(c, y[1]);
}

static void build_fill(vt_case_graph *c, const vt_case *s)
{
    output(c, vt_fill(c->g, "fill", s->value));
}

/* ---- attention ------------------------------------------------------------------------------------------------- */

/* A mask of -inf [1, n, n]: a token sees itself and the second half, so that whole tiles of keys can be masked. */
static vt_tensor *half_mask(vt_case_graph *c, int64_t n)
{
    float *mask = vt_arena_alloc(&c->g->arena, (size_t)(n * n) * sizeof *mask);
    if (!mask) c->g->status = vt_fail_memory("mask");
    for (int64_t i = 0; mask && i < n * n; i++) mask[i] = i % n < n / 2 && i % n != i / n ? -INFINITY : 0;
    return mask ? given(c, "mask", c->g->real, mask, DIMS(1, n, n)) : NULL;
}

/* dim: B, N, H, D, bias: 0 none, 1 one for all heads, 2 for each head, 3 a mask, 4 a mask of -inf; percent of
 * dropout; value: spread of qkv */
static void build_attention(vt_case_graph *c, const vt_case *s)
{
    const int *d = s->dim;
    vt_random random = draws(c, d[0]);
    vt_tensor *qkv = act(c, param(c, "qkv", s->value, DIMS(d[0], d[1], 3 * d[2] * d[3]))), *bias = NULL;
    if (d[4] == 1 || d[4] == 2) bias = param(c, "bias", 1, DIMS(d[4] == 1 ? 1 : d[2], d[1], d[1]));
    if (d[4] == 3) bias = vt_case_feed(c, "mask", c->g->real, -3, 3, DIMS(1, d[1], d[1]));
    if (d[4] == 4) bias = half_mask(c, d[1]);
    output(c, vt_attention(c->g, "attn", qkv, bias, d[2], (float)d[5] / 100, &random));
}

/* ---- losses ---------------------------------------------------------------------------------------------------- */

/* dim: B, K; value: smoothing */
static void build_smooth(vt_case_graph *c, const vt_case *s)
{
    vt_tensor *labels = vt_case_feed(c, "labels", VT_I32, 0, (float)s->dim[1], DIMS(s->dim[0]));
    output(c, vt_smooth(c->g, "smooth", labels, s->dim[1], s->value));
}

static void build_smooth_mixed(vt_case_graph *c, const vt_case *s)
{
    vt_tensor *labels = vt_case_feed(c, "labels", VT_I32, 0, (float)s->dim[1], DIMS(s->dim[0]));
    vt_effects e = {0};
    mix(c, &e, s->dim[0], 1, 1);
    output(c, vt_smooth_with(c->g, "smooth", labels, s->dim[1], s->value, &e));
}

static vt_tensor *class_weights(vt_case_graph *c, const vt_case *s)
{
    return s->dim[2] ? vt_case_feed(c, "weights", c->g->real, 0, 2, DIMS(s->dim[1])) : NULL;
}

/* dim: B, K, with weights; value: spread of the logits */
static void build_cross_entropy(vt_case_graph *c, const vt_case *s)
{
    vt_tensor *x = param(c, "logits", s->value, DIMS(s->dim[0], s->dim[1]));
    vt_tensor *t = vt_case_feed(c, "targets", c->g->real, 0, 1, DIMS(s->dim[0], s->dim[1]));
    output(c, vt_cross_entropy(c->g, "loss", x, t, class_weights(c, s)));
}

/* dim: B, K, with weights, percent of the threshold or 0 for none; value: spread of the logits */
static void build_bce(vt_case_graph *c, const vt_case *s)
{
    vt_tensor *x = param(c, "logits", s->value, DIMS(s->dim[0], s->dim[1]));
    vt_tensor *t = vt_case_feed(c, "targets", c->g->real, 0, 1, DIMS(s->dim[0], s->dim[1]));
    output(c, vt_bce(c->g, "loss", x, t, class_weights(c, s), s->dim[3] ? (float)s->dim[3] / 100 : -1));
}

/* dim: B, K, kind, whether the teacher cannot choose; value: temperature */
static void build_distill(vt_case_graph *c, const vt_case *s)
{
    float low = s->dim[3] ? 3 : -3;
    vt_tensor *x = param(c, "student", 3, DIMS(s->dim[0], s->dim[1]));
    vt_tensor *t = vt_case_feed(c, "teacher", c->g->real, low, 3, DIMS(s->dim[0], s->dim[1]));
    output(c, vt_distill(c->g, "loss", x, t, (vt_distill_kind)s->dim[2], s->value));
}

/* ---- the end of a step ----------------------------------------------------------------------------------------- */

enum { MANY = 200 }; /* more tensors than a launch of any of these ops can name */

/* dim: elements of three gradients, how many times each is given, less one */
static void build_grad_norm(vt_case_graph *c, const vt_case *s)
{
    static const char *const names[] = {"g0", "g1", "g2"};
    vt_tensor *grads[MANY];
    int n = 3 * (s->dim[3] + 1);
    for (int i = 0; i < 3; i++)
        grads[i] = vt_case_feed(c, names[i], c->g->real, -s->value, s->value, DIMS(s->dim[i], 1));
    for (int i = 3; i < n; i++) grads[i] = grads[i - 3];
    output(c, vt_grad_norm(c->g, "norm", grads, n));
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

static vt_tensor *numbered(vt_case_graph *c, const char *name, int i, float centre, float spread, int64_t n)
{
    return stored(c, vt_graph_name(c->g, "%s%d", name, i), centre, spread, false, DIMS(n));
}

/* Of the optimizer named like the case's op. dim: elements of the first parameter and of the others, the flag, step,
 * how many more than two, 1: without Nesterov; value 1: clipped. Every third parameter has no average, every fifth no
 * copy, the third is 0. */
static void build_optimizer(vt_case_graph *c, const vt_case *s)
{
    const vt_optimizer *kind;
    c->g->status = vt_optimizer_find(&kind, s->dim[5] ? "momentum" : s->op);
    vt_update_inputs in = {.flag = stored(c, "flag", (float)s->dim[2], 0, false, DIMS(1))};
    in.control = given(c, "control", VT_F32, s->value == 1 ? control_clip : control_free, DIMS(VT_CONTROL_COUNT));
    in.step = vt_case_feed(c, "step", VT_I32, (float)s->dim[3], (float)s->dim[3], DIMS(1));
    vt_tensor *grads[MANY];
    vt_update_param params[MANY];
    int count = 2 + s->dim[4];
    for (int i = 0; i < count; i++) {
        int64_t n = s->dim[i > 0];
        grads[i] = vt_case_feed(c, vt_graph_name(c->g, "g%d", i), c->g->real, -1, 1, DIMS(n));
        params[i] = (vt_update_param){.param = numbered(c, "p", i, 0, i == 2 ? 0 : 1, n), .grad = grads[i],
                                      .moment = {numbered(c, "m", i, 0, 0.5f, n), numbered(c, "v", i, 0.5f, 0.5f, n)},
                                      .ema = i % 3 == 1 ? NULL : numbered(c, "e", i, 0, 1, n),
                                      .rate = i % 4 == 3 ? 0.25f : 1, .decay = i % 2 == 0};
        if (params[i].param) c->store.entries[params[i].param->entry].gemm = i % 5 != 1;
    }
    if (!c->g->status) c->g->status = vt_store_lower(&c->store, VT_BF16);
    for (int i = 0; i < count && !c->g->status; i++)
        params[i].copy = vt_graph_low(c->g, &c->store, params[i].param->entry, false);
    in.norm = vt_grad_norm(c->g, "norm", grads, count);
    vt_update_attrs a = {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .momentum = 0.8};
    vt_optimizer_step(c->g, s->op, kind, &a, &in, params, count);
}

/* ---- the list -------------------------------------------------------------------------------------------------- */

const vt_case vt_cases[] = {
#include "ops/cases.def"
};
const int vt_case_count = (int)(sizeof vt_cases / sizeof *vt_cases);
#endif
