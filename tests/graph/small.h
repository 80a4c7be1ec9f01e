/* tests/graph/small.h - a two-block transformer in a few lines, with everything a graph has to cope with: several
 * readers of one tensor, residuals, drop-path, dropout, epilogues to fold, in-place ops, micro-batches,
 * recomputation. */
#ifndef VT_TESTS_GRAPH_SMALL_H
#define VT_TESTS_GRAPH_SMALL_H

#include "test.h"

#include "base/alloc.h"
#include "graph/exec.h"
#include "ops/ops.h"

enum { SMALL_TOKENS = 7, SMALL_WIDTH = 8, SMALL_CLASSES = 3, SMALL_PARAMS = 64, SMALL_BLOCKS = 2 };

typedef struct small_options {
    int batch, micro_batches;  /* of `batch` samples each */
    bool recompute, no_fold, apart;
    float drop;                /* dropout and drop-path */
} small_options;

enum { SMALL_SAMPLES = 8, SMALL_PIXELS = 24 };
typedef struct small {
    unsigned char pixels[SMALL_SAMPLES * SMALL_PIXELS]; /* bound to the inputs */
    vt_graph *g;
    vt_store params;
    vt_tensor *loss, *grads[SMALL_PARAMS];
    vt_device *device;
    vt_workspace workspace;
    vt_exec *exec;
} small;

static vt_tensor *small_param(small *s, const char *name, int ndim, const int64_t *shape)
{
    int index = vt_store_find(&s->params, name);
    if (index < 0) {
        vt_entry e = {.name = name, .ndim = ndim, .init = VT_INIT_UNIFORM, .init_value = 0.5f};
        for (int i = 0; i < ndim; i++) e.shape[i] = shape[i];
        vt_status st = vt_store_add(&s->params, &e, &index);
        if (st) {
            s->g->status = st;
            return NULL;
        }
    }
    return vt_graph_stored(s->g, &s->params, index, true);
}

#define SHAPE(...) (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]){__VA_ARGS__}

static vt_tensor *small_linear(small *s, const char *name, vt_tensor *x, int64_t k, int64_t n)
{
    vt_tensor *w = small_param(s, vt_graph_name(s->g, "%s.weight", name), SHAPE(n, k));
    return vt_linear(s->g, name, x, w, small_param(s, vt_graph_name(s->g, "%s.bias", name), SHAPE(n)));
}

static vt_normed small_norm(small *s, const char *name, vt_tensor *x, vt_tensor *branch, vt_tensor *scale)
{
    vt_tensor *w = small_param(s, vt_graph_name(s->g, "%s.weight", name), SHAPE(SMALL_WIDTH));
    return vt_layernorm(s->g, name, x, branch, scale, w,
                        small_param(s, vt_graph_name(s->g, "%s.bias", name), SHAPE(SMALL_WIDTH)), 1e-6f);
}

static vt_tensor *small_block(small *s, int i, vt_tensor *x, float drop, const vt_random *random)
{
    vt_graph *g = s->g;
    const char *b = vt_graph_name(g, "blocks.%d", i);
    g->segment = i + 1;
    vt_normed n = small_norm(s, vt_graph_name(g, "%s.norm1", b), x, NULL, NULL);
    vt_tensor *qkv = small_linear(s, vt_graph_name(g, "%s.qkv", b), n.y, SMALL_WIDTH, 3 * SMALL_WIDTH);
    vt_tensor *a = vt_attention(g, vt_graph_name(g, "%s.attn", b), qkv, NULL, 2, drop, random);
    a = small_linear(s, vt_graph_name(g, "%s.proj", b), a, SMALL_WIDTH, SMALL_WIDTH);
    vt_tensor *scale = drop > 0 ? vt_drop_path(g, vt_graph_name(g, "%s.path", b), drop, random, NULL) : NULL;
    n = small_norm(s, vt_graph_name(g, "%s.norm2", b), x, a, scale);
    vt_tensor *h = small_linear(s, vt_graph_name(g, "%s.fc1", b), n.y, SMALL_WIDTH, 2 * SMALL_WIDTH);
    h = vt_activation(g, vt_graph_name(g, "%s.act", b), h, VT_GELU);
    h = vt_dropout(g, vt_graph_name(g, "%s.drop", b), h, drop, random);
    h = small_linear(s, vt_graph_name(g, "%s.fc2", b), h, 2 * SMALL_WIDTH, SMALL_WIDTH);
    x = vt_add(g, vt_graph_name(g, "%s.add", b), n.sum, h);
    g->segment = 0;
    return x;
}

static vt_tensor *small_forward(small *s, const small_options *o, int micro, vt_tensor *step)
{
    static const vt_patchify_attrs patches = {2, 2, 2, 2, .mean = {0.5f}, .inv_std = {4}};
    vt_graph *g = s->g;
    int64_t batch = o->batch;
    vt_random random = {step, vt_graph_input(g, vt_graph_name(g, "slots.%d", micro), VT_I32, SHAPE(batch)), 3};
    vt_tensor *x = vt_graph_input(g, vt_graph_name(g, "images.%d", micro), VT_U8, SHAPE(batch, 4, 6, 1));
    x = small_linear(s, "embed", vt_patchify(g, "patchify", x, &patches), 4, SMALL_WIDTH);
    vt_tensor *cls = small_param(s, "cls_token", SHAPE(1, 1, SMALL_WIDTH));
    x = vt_tokens(g, "tokens", x, cls, NULL, small_param(s, "pos_embed", SHAPE(1, SMALL_TOKENS, SMALL_WIDTH)));
    for (int i = 0; i < SMALL_BLOCKS; i++) x = small_block(s, i, x, o->drop, &random);
    x = vt_pool_tokens(g, "pool", small_norm(s, "norm", x, NULL, NULL).y, 0, 1);
    vt_tensor *logits = small_linear(s, "head", x, SMALL_WIDTH, SMALL_CLASSES);
    vt_tensor *labels = vt_graph_input(g, vt_graph_name(g, "labels.%d", micro), VT_I32, SHAPE(batch));
    return vt_cross_entropy(g, "loss", logits, vt_smooth(g, "smooth", labels, SMALL_CLASSES, 0.1f), NULL);
}

/* Builds forward and backward of each micro-batch, summing loss and gradients, all kept. */
static vt_status small_build(small *s, vt_dtype real, const small_options *o)
{
    *s = (small){0};
    vt_store_init(&s->params, "param", real);
    vt_status st = vt_graph_create(&s->g, real);
    if (st) return st;
    vt_graph *g = s->g;
    vt_autodiff with = {vt_fill, vt_add, o->recompute};
    vt_tensor *step = vt_graph_input(g, "step", VT_I32, SHAPE(1));
    for (int m = 0; m < o->micro_batches && !g->status; m++) {
        vt_tensor *grads[SMALL_PARAMS] = {NULL};
        int first = g->n_nodes;
        vt_tensor *loss = small_forward(s, o, m, step);
        double share = 1.0 / o->micro_batches;
        if (g->status || vt_graph_backward(g, &with, first, g->n_nodes, loss, share, &s->params, grads)) break;
        loss = vt_add_scaled(g, "share", share, loss, 0, NULL, NULL);
        s->loss = m ? vt_add(g, "losses", s->loss, loss) : loss;
        for (int i = 0; i < s->params.count; i++)
            s->grads[i] = m ? vt_add(g, "grads", s->grads[i], grads[i]) : grads[i];
    }
    if (g->status) return g->status;
    s->loss->keep = true;
    for (int i = 0; i < s->params.count; i++) s->grads[i]->keep = true;
    if (!o->no_fold && vt_graph_fold(g, vt_folds)) return g->status;
    return vt_graph_plan(g);
}

/* Gives every tensor room of its own: what the planner must be indistinguishable from. */
static void small_plan_apart(vt_graph *g)
{
    g->workspace_bytes = 0;
    for (int i = 0; i < g->n_tensors; i++) {
        g->tensors[i]->offset = g->workspace_bytes;
        g->workspace_bytes += (vt_tensor_bytes(g->tensors[i]) + VT_ALIGN - 1) / VT_ALIGN * VT_ALIGN;
    }
}

/* Element i of a parameter, in place in the slab. */
static void small_fill_params(small *s)
{
    float values[256];
    for (int i = 0; i < s->params.count; i++) {
        const vt_entry *e = &s->params.entries[i];
        vt_entry_initialise(e, 5, values);
        for (int64_t k = 0; k < e->count; k++)
            if (s->params.dtype == VT_F64) ((double *)s->params.data)[e->offset + k] = values[k];
            else ((float *)s->params.data)[e->offset + k] = values[k];
    }
}

static vt_status small_open(small *s, vt_dtype real, const small_options *o, const char *path)
{
    vt_status st = small_build(s, real, o);
    if (st == VT_OK && o->apart) small_plan_apart(s->g);
    if (st == VT_OK) st = vt_device_open(&s->device, &(vt_device_options){.name = "cpu", .cpu = path, .threads = 1});
    s->workspace.device = s->device;
    if (st == VT_OK) st = vt_store_bind(&s->params, s->device);
    if (st == VT_OK) st = vt_exec_create(&s->exec, s->g, &s->workspace);
    if (st == VT_OK) small_fill_params(s);
    return st;
}

static void small_close(small *s)
{
    vt_exec_destroy(s->exec);
    vt_workspace_free(&s->workspace);
    if (s->device) vt_store_unbind(&s->params, s->device);
    vt_device_close(s->device);
    vt_graph_destroy(s->g);
    vt_store_free(&s->params);
}

/* Runs over a poisoned workspace; sample k of the step has the same pixels, label and slot however it is batched. */
static vt_status small_run(small *s, const small_options *o, bool checked)
{
    static const int32_t slots[SMALL_SAMPLES] = {0, 1, 2, 3, 4, 5, 6, 7};
    static const int32_t labels[SMALL_SAMPLES] = {2, 0, 1, 1, 0, 2, 2, 1};
    static const int32_t step = 11;
    for (int i = 0; i < SMALL_SAMPLES * SMALL_PIXELS; i++) s->pixels[i] = (unsigned char)(i * 37 + i * i % 101);
    memset(s->workspace.data, 0xff, s->workspace.bytes);
    memset(s->workspace.scratch, 0xff, s->workspace.scratch_bytes);
    vt_exec_bind(s->exec, "step", &step);
    for (int m = 0; m < o->micro_batches; m++) {
        char name[32];
        snprintf(name, sizeof name, "images.%d", m);
        vt_exec_bind(s->exec, name, s->pixels + m * o->batch * SMALL_PIXELS);
        snprintf(name, sizeof name, "labels.%d", m);
        vt_exec_bind(s->exec, name, labels + m * o->batch);
        snprintf(name, sizeof name, "slots.%d", m);
        vt_exec_bind(s->exec, name, slots + m * o->batch);
    }
    return checked ? vt_exec_run_checked(s->exec, 0) : vt_exec_run(s->exec);
}

static double small_at(const small *s, const vt_tensor *t, int64_t k)
{
    const void *data = vt_exec_data(s->exec, t);
    return t->dtype == VT_F64 ? ((const double *)data)[k] : ((const float *)data)[k];
}

/* Opens and runs both ways; loss and all gradients must agree within `tolerance` of the larger, bit for bit if it is
 * 0. */
static inline void small_compare(vt_dtype real, const char *path, const small_options *a, const small_options *b,
                                 double tolerance)
{
    small x, y;
    CHECK_OK(small_open(&x, real, a, path));
    CHECK_OK(small_open(&y, real, b, path));
    if (x.exec && y.exec) {
        CHECK_OK(small_run(&x, a, false));
        CHECK_OK(small_run(&y, b, false));
        CHECK_NEAR(small_at(&x, x.loss, 0), small_at(&y, y.loss, 0), tolerance);
        CHECK(small_at(&x, x.loss, 0) > 0.1);
        for (int i = 0; i < x.params.count; i++)
            for (int64_t k = 0; k < x.params.entries[i].count; k++) {
                double u = small_at(&x, x.grads[i], k), v = small_at(&y, y.grads[i], k);
                CHECK_MSG(fabs(u - v) <= tolerance, "gradient of %s, element %lld: %.17g and %.17g",
                          x.params.entries[i].name, (long long)k, u, v);
            }
    }
    small_close(&x);
    small_close(&y);
}

#endif
