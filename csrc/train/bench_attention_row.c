#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "ops/ops.h"
#include "ops/rivals.h"
#include "train/bench_attention.h"

enum { FORWARD = VT_ATTENTION_FORWARD, BACKWARD = VT_ATTENTION_BACKWARD, PASSES = VT_ATTENTION_PASSES };

/* ---- the ops' own bodies, as a rival has them -------------------------------------------------------------------- */

typedef struct own {
    vt_body body[PASSES];
    size_t scratch;
} own;

static vt_status own_open(vt_device *d, const vt_node *const nodes[PASSES], void **state)
{
    own *o = vt_alloc(sizeof *o);
    if (!o) return vt_fail_memory("attention");
    *state = o;
    for (int i = 0; i < PASSES; i++) {
        if (!nodes[i]) continue;
        size_t bytes = d->backend->scratch(d, nodes[i]);
        if (bytes > o->scratch) o->scratch = bytes;
        o->body[i] = d->backend->body(d, nodes[i]);
    }
    return VT_OK; /* `measure` has prepared the graph */
}

static size_t own_scratch(const void *state) { return ((const own *)state)->scratch; }
static void own_forward(const void *state, const vt_run *r) { ((const own *)state)->body[FORWARD](r); }
static void own_backward(const void *state, const vt_run *r) { ((const own *)state)->body[BACKWARD](r); }
static void own_close(vt_device *d, void *state) { vt_free(state); }

static const vt_attention_rival ours = {"vitc", NULL, own_open, own_scratch, {own_forward, own_backward}, own_close};

/* NULL: not in this build, or for another device. */
static const vt_attention_rival *find(const char *impl, const vt_device *d)
{
    if (strcmp(impl, ours.name) == 0) return &ours;
    for (const vt_attention_rival *const *r = vt_attention_rivals; *r; r++)
        if (strcmp((*r)->name, impl) == 0 && strcmp((*r)->backend, d->backend->name) == 0) return *r;
    return NULL;
}

/* ---- a graph of the two nodes ------------------------------------------------------------------------------------ */

static vt_status build(vt_graph **graph, vt_dtype real, vt_precision precision, const vt_attention_case *c,
                       vt_node *nodes[PASSES])
{
    int64_t width = (int64_t)c->heads * c->dim, packed[] = {c->batch, c->tokens, 3 * width};
    vt_status st = vt_graph_create(graph, real);
    if (st) return st;
    vt_graph *g = *graph;
    g->precision = precision;
    vt_tensor *qkv = vt_graph_input(g, "qkv", precision.act, 3, packed);
    vt_tensor *dout = vt_graph_input(g, "dout", precision.act, 3, (int64_t[]){c->batch, c->tokens, width});
    vt_tensor *out = vt_attention(g, "attention", qkv, NULL, c->heads, 0, NULL);
    if (!out) return vt_graph_status(g);
    vt_node *n = out->producer;
    vt_tensor *in[] = {dout, qkv, n->out[0], n->out[1], NULL, NULL, NULL};
    nodes[FORWARD] = n;
    nodes[BACKWARD] = vt_node_add(g, &vt_op_attention_grad, "attention.grad", n->attrs, in, 7);
    return vt_graph_status(g);
}

/* ---- sets of tensors --------------------------------------------------------------------------------------------- */

enum { QKV, DOUT, OUT, LSE, DQKV, SCRATCH, BUFFERS };
enum { MOST_SETS = 64, CHECKED = 3 };

typedef struct set {
    void *data[BUFFERS];
    void *in[PASSES][7], *out[PASSES][2];
    vt_run run[PASSES];
} set;

typedef struct subject {
    vt_device *device;
    const vt_attention_rival *impl;
    void *state;
    vt_graph *graph;
    vt_node *nodes[PASSES];
    set sets[MOST_SETS];
    int count;
    bool wants[PASSES];  /* which passes a run has */
} subject;

/* All sets go forward before one goes backward, as the layers of a model do. */
static void run_passes(void *arg)
{
    subject *s = arg;
    for (int pass = 0; pass < PASSES; pass++)
        for (int i = 0; s->wants[pass] && i < s->count; i++) s->impl->run[pass](s->state, &s->sets[i].run[pass]);
}

static vt_status make_set(subject *s, set *one, const size_t bytes[BUFFERS])
{
    vt_device *d = s->device;
    const vt_tensor *qkv = s->nodes[FORWARD]->in[0], *dout = s->nodes[BACKWARD]->in[0];
    for (int i = 0; i < BUFFERS; i++) {
        vt_status st = d->backend->alloc(d, bytes[i], &one->data[i]);
        if (st) return st;
    }
    one->in[FORWARD][0] = one->in[BACKWARD][1] = one->data[QKV];
    one->out[FORWARD][0] = one->in[BACKWARD][2] = one->data[OUT];
    one->out[FORWARD][1] = one->in[BACKWARD][3] = one->data[LSE];
    one->in[BACKWARD][0] = one->data[DOUT];
    one->out[BACKWARD][0] = one->data[DQKV];
    for (int pass = 0; pass < PASSES; pass++)
        one->run[pass] = (vt_run){s->nodes[pass], one->in[pass], one->out[pass], one->data[SCRATCH], d->pool, d->state};
    vt_status st = vt_bench_fill(d, one->data[QKV], qkv->dtype, vt_tensor_count(qkv), 1);
    return st ? st : vt_bench_fill(d, one->data[DOUT], dout->dtype, vt_tensor_count(dout), 2);
}

static vt_status make_sets(subject *s, int wanted, bool *cold)
{
    const vt_node *f = s->nodes[FORWARD], *b = s->nodes[BACKWARD];
    size_t bytes[BUFFERS] = {vt_tensor_bytes(f->in[0]),  vt_tensor_bytes(b->in[0]),  vt_tensor_bytes(f->out[0]),
                             vt_tensor_bytes(f->out[1]), vt_tensor_bytes(b->out[0]), s->impl->scratch(s->state)};
    size_t cache = s->device->cache_bytes ? s->device->cache_bytes : (size_t)32 << 20;
    size_t each = bytes[QKV] + bytes[OUT]; /* the least that a pass touches */
    size_t outgrow = 2 * cache / each + 1;
    if (!wanted) wanted = outgrow < MOST_SETS ? (int)outgrow : MOST_SETS;
    if (wanted > MOST_SETS) wanted = MOST_SETS;
    *cold = (size_t)wanted * each > cache;
    while (s->count < wanted) {
        vt_status st = make_set(s, &s->sets[s->count++], bytes);
        if (st) return st;
    }
    return VT_OK;
}

static void close_subject(subject *s)
{
    for (int i = 0; i < s->count; i++)
        for (int k = 0; k < BUFFERS; k++)
            if (s->sets[i].data[k]) s->device->backend->free(s->device, s->sets[i].data[k]);
    if (s->state) s->impl->close(s->device, s->state);
    vt_graph_destroy(s->graph);
    vt_free(s);
}

static vt_status finish(vt_device *d)
{
    return d->backend->finish ? d->backend->finish(d) : VT_OK;
}

/* ---- fp64 -------------------------------------------------------------------------------------------------------- */

/* A head by the specification. */
typedef struct truth {
    vt_graph *graph;
    vt_node *nodes[PASSES];
    double *data[SCRATCH]; /* qkv and dqkv [N, 3, D], dout and out [N, D], lse [N] */
} truth;

static void close_truth(truth *t)
{
    for (int i = 0; i < SCRATCH; i++) vt_free(t->data[i]);
    vt_graph_destroy(t->graph);
}

static vt_status open_truth(truth *t, const vt_attention_case *c)
{
    vt_attention_case one = {.batch = 1, .heads = 1, .tokens = c->tokens, .dim = c->dim};
    size_t row = (size_t)c->tokens * (size_t)c->dim, counts[] = {3 * row, row, row, (size_t)c->tokens, 3 * row};
    *t = (truth){0};
    vt_status st = build(&t->graph, VT_F64, (vt_precision){VT_F64, VT_F64}, &one, t->nodes);
    for (int i = 0; i < SCRATCH && st == VT_OK; i++) {
        t->data[i] = vt_alloc(counts[i] * sizeof(double));
        if (!t->data[i]) st = vt_fail_memory("attention in fp64");
    }
    return st;
}

static void run_truth(truth *t)
{
    void *qkv[4] = {t->data[QKV]}, *out[] = {t->data[OUT], t->data[LSE]}, *dqkv[] = {t->data[DQKV], NULL};
    void *in[7] = {t->data[DOUT], t->data[QKV], t->data[OUT], t->data[LSE]};
    vt_run forward = {.node = t->nodes[FORWARD], .in = qkv, .out = out};
    vt_run backward = {.node = t->nodes[BACKWARD], .in = in, .out = dqkv};
    vt_op_attention.reference[1](&forward);
    vt_op_attention_grad.reference[1](&backward);
}

/* Head h of sample b of a tensor [B, N, parts, H, D] on the device -> [N, parts, D]. */
static vt_status read_head(const subject *s, int which, const vt_tensor *t, int parts, int b, int h, double *head)
{
    const vt_attention_attrs *a = s->nodes[FORWARD]->attrs;
    int64_t n = t->shape[1], width = t->shape[2], d = width / parts / a->heads;
    size_t each = vt_dtype_bytes(t->dtype), bytes = (size_t)(n * width) * each;
    void *sample = vt_alloc_raw(bytes);
    if (!sample) return vt_fail_memory("a sample");
    s->device->backend->read(s->device, (const char *)s->sets[0].data[which] + (size_t)b * bytes, sample, bytes);
    for (int64_t i = 0; i < n * parts; i++) {
        for (int64_t k = 0; k < d; k++) {
            int64_t at = i * width / parts + h * d + k;
            union { uint32_t bits; float f; } v;
            if (t->dtype == VT_BF16) v.bits = (uint32_t)((const uint16_t *)sample)[at] << 16;
            else v.f = ((const float *)sample)[at];
            head[i * d + k] = v.f;
        }
    }
    vt_free(sample);
    return VT_OK;
}

typedef struct errors {
    double error[VT_ERRORS], size[VT_ERRORS];
} errors;

/* made, right [N, parts, D]; part p counts as `first` + p. */
static void compare(errors *e, int first, int parts, int64_t n, int64_t d, const double *made, const double *right)
{
    for (int64_t i = 0; i < n * parts * d; i++) {
        int at = first + (int)(i / d % parts);
        double off = made[i] - right[i];
        e->error[at] += off * off;
        e->size[at] += right[i] * right[i];
    }
}

static vt_status check_head(const subject *s, truth *t, errors *e, int b, int h)
{
    const vt_tensor *qkv = s->nodes[FORWARD]->in[0], *out = s->nodes[FORWARD]->out[0];
    int64_t n = qkv->shape[1], d = t->nodes[FORWARD]->out[0]->shape[2];
    double *made = vt_alloc_raw((size_t)(3 * n * d) * sizeof *made);
    vt_status st = VT_OK;
    if (!made) return vt_fail_memory("a head");
    VT_TRY(read_head(s, QKV, qkv, 3, b, h, t->data[QKV]));
    VT_TRY(read_head(s, DOUT, out, 1, b, h, t->data[DOUT]));
    run_truth(t);
    VT_TRY(read_head(s, OUT, out, 1, b, h, made));
    if (s->wants[FORWARD]) compare(e, VT_ERROR_OUT, 1, n, d, made, t->data[OUT]);
    VT_TRY(read_head(s, DQKV, qkv, 3, b, h, made));
    if (s->wants[BACKWARD]) compare(e, VT_ERROR_DQ, 3, n, d, made, t->data[DQKV]);
fail:
    vt_free(made);
    return st;
}

/* The first, middle and last head; a result that is plainly wrong is a failure. */
static vt_status check(vt_attention_row *row, const subject *s)
{
    const vt_attention_case *c = &row->what;
    int64_t heads = (int64_t)c->batch * c->heads;
    truth t;
    errors e = {{0}, {0}};
    vt_status st = open_truth(&t, c);
    for (int i = 0; i < CHECKED && i < heads && st == VT_OK; i++) {
        int64_t at = heads <= CHECKED ? i : i * (heads - 1) / (CHECKED - 1);
        st = check_head(s, &t, &e, (int)(at / c->heads), (int)(at % c->heads));
    }
    close_truth(&t);
    for (int i = 0; i < VT_ERRORS; i++) {
        row->errors[i] = e.size[i] > 0 ? sqrt(e.error[i] / e.size[i]) : -1;
        if (!(row->errors[i] <= row->error)) row->error = row->errors[i];
    }
    if (st == VT_OK && !(row->error < 0.1))
        st = vt_fail(VT_FAILED, "its result is wrong: relative error %.3g against fp64", row->error);
    return st;
}

/* ---- a row ------------------------------------------------------------------------------------------------------- */

static void cost_of(vt_attention_row *row, const subject *s, const vt_roofline *roof)
{
    static const double share[PASSES] = {1, 2.5}; /* of forward's FLOPs: backward has five products, forward two */
    double forward = 0, arithmetic = 0;
    for (int pass = 0; pass < PASSES; pass++) {
        vt_cost cost;
        vt_node_cost(s->nodes[pass], &cost);
        if (pass == FORWARD) forward = cost.flops;
        if (!s->wants[pass]) continue;
        double memory = cost.bytes / roof->bytes_per_second, math = share[pass] * forward / roof->flops_per_second;
        row->bytes += cost.bytes;
        row->flops += share[pass] * forward;
        row->floor += memory > math ? memory : math;
        arithmetic += math > memory ? math : 0;
    }
    row->memory_bound = 2 * arithmetic < row->floor;
}

static vt_status measure(vt_attention_row *row, subject *s, const vt_roofline *roof)
{
    vt_attention_case *c = &row->what;
    const vt_node *given[PASSES];
    bool wanted[PASSES] = {c->direction != VT_BENCH_BACKWARD, c->direction != VT_BENCH_FORWARD};
    vt_status st = build(&s->graph, VT_F32, s->device->precision, c, s->nodes);
    if (st) return st;
    for (int pass = 0; pass < PASSES; pass++) s->wants[pass] = wanted[pass];
    cost_of(row, s, roof);
    given[FORWARD] = s->nodes[FORWARD];
    given[BACKWARD] = wanted[BACKWARD] ? s->nodes[BACKWARD] : NULL;
    VT_TRY(vt_bench_prepare(s->device, s->graph));
    VT_TRY(s->impl->open(s->device, given, &s->state));
    VT_TRY(make_sets(s, c->sets, &row->cold));
    c->sets = s->count;
    if (!wanted[FORWARD]) { /* backward alone reads what forward made */
        s->wants[FORWARD] = true;
        s->wants[BACKWARD] = false;
        run_passes(s);
        s->wants[FORWARD] = false;
        s->wants[BACKWARD] = true;
        VT_TRY(finish(s->device));
    }
    VT_TRY(vt_bench_time_work(&row->time, s->device, run_passes, s, c->runs));
    row->time.median /= s->count;
    row->time.least /= s->count;
    st = check(row, s);
fail:
    return st;
}

void vt_attention_measure(vt_attention_row *row, vt_device *d, const vt_roofline *roof)
{
    for (int i = 0; i < VT_ERRORS; i++) row->errors[i] = -1;
    const vt_attention_rival *impl = find(row->what.impl, d);
    if (!impl) {
        row->status = "missing";
        snprintf(row->reason, sizeof row->reason, "not in this build, or not for --device %s", d->backend->name);
        return;
    }
    subject *s = vt_alloc(sizeof *s);
    vt_status st = s ? VT_OK : vt_fail_memory("sets of tensors");
    if (s) {
        s->device = d;
        s->impl = impl;
        st = measure(row, s, roof);
    }
    if (st) snprintf(row->reason, sizeof row->reason, "%s", vt_error());
    row->status = st ? "failed" : "ok";
    if (!s) return;
    close_subject(s);
    finish(d); /* what closing met is not the next row's */
}
