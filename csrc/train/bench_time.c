#include "train/bench_time.h"

#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/philox.h"
#include "graph/exec.h"
#include "ops/ops.h"
#include "train/progress.h"

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static vt_status time_recorded(vt_device *d, void (*work)(void *arg), void *arg, int runs, double *seconds)
{
    void *recording = NULL;
    vt_status st = d->backend->record(d, work, arg, &recording);
    if (st == VT_OK) st = d->backend->time(d, recording, runs, seconds);
    if (recording) d->backend->discard(d, recording);
    vt_status end = d->backend->finish(d);
    return st ? st : end;
}

vt_status vt_bench_time_work(vt_bench_time *t, vt_device *d, void (*work)(void *arg), void *arg, int runs)
{
    double *seconds = vt_alloc((size_t)runs * sizeof *seconds);
    vt_status st = VT_OK;
    if (!seconds) return vt_fail_memory("times");
    if (d->backend->record) {
        st = time_recorded(d, work, arg, runs, seconds);
    } else {
        work(arg);
        for (int i = 0; i < runs; i++) {
            double start = vt_seconds();
            work(arg);
            seconds[i] = vt_seconds() - start;
        }
    }
    qsort(seconds, (size_t)runs, sizeof *seconds, ascending);
    t->median = runs % 2 ? seconds[runs / 2] : (seconds[runs / 2 - 1] + seconds[runs / 2]) / 2;
    t->least = seconds[0];
    vt_free(seconds);
    return st;
}

vt_status vt_bench_prepare(vt_device *d, const vt_graph *g)
{
    vt_room room = {0};
    vt_status st;
    if (!d->backend->prepare) return VT_OK;
    room.bytes = d->backend->room(d, g);
    VT_TRY(d->backend->alloc(d, room.bytes, &room.memory));
    VT_TRY(d->backend->alloc(d, vt_exec_scratch_bytes(g, d), &room.scratch));
    st = d->backend->prepare(d, g, &room);
fail:
    if (room.memory) d->backend->free(d, room.memory);
    if (room.scratch) d->backend->free(d, room.scratch);
    return st;
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

enum { PATTERN = 1 << 17 };

/* The sum of four uniform numbers, scaled: near enough to normal. */
static float draw(vt_rng *r)
{
    float sum = -2;
    for (int i = 0; i < 4; i++) sum += vt_rng_uniform(r);
    return sum * 1.7320508f;
}

static uint16_t to_bf16(float v) /* nearest even */
{
    union { float f; uint32_t bits; } both = {v};
    return (uint16_t)((both.bits + 0x7FFF + (both.bits >> 16 & 1)) >> 16);
}

vt_status vt_bench_fill(vt_device *d, void *data, vt_dtype dtype, int64_t count, uint64_t seed)
{
    vt_rng random = vt_rng_data(seed, VT_PURPOSE_AUGMENT, 0, 0, 0);
    int64_t n = count < PATTERN ? count : PATTERN;
    size_t each = vt_dtype_bytes(dtype);
    void *values = vt_alloc_raw((size_t)n * each);
    if (!values) return vt_fail_memory("made-up numbers");
    for (int64_t i = 0; i < n; i++) {
        if (dtype == VT_BF16) ((uint16_t *)values)[i] = to_bf16(draw(&random));
        else ((float *)values)[i] = draw(&random);
    }
    for (int64_t at = 0; at < count; at += n) {
        int64_t now = count - at < n ? count - at : n;
        d->backend->write(d, (char *)data + (size_t)at * each, values, (size_t)now * each);
    }
    vt_free(values);
    return VT_OK;
}

/* ---- ceilings: single nodes on made-up numbers ------------------------------------------------------------------- */

enum { ROOF_RUNS = 7, MOST_IN = 8 };

typedef struct subject {
    vt_run run;
    vt_body body;
    void *in[MOST_IN], *out[MOST_IN], *scratch;
} subject;

static void run_subject(void *arg)
{
    subject *s = arg;
    s->body(&s->run);
}

static vt_status take(vt_device *d, vt_tensor *t, void **data)
{
    return t ? d->backend->alloc(d, vt_tensor_bytes(t), data) : VT_OK;
}

static vt_status time_node(vt_device *d, const vt_node *n, double *seconds)
{
    vt_status st = VT_OK;
    vt_bench_time time;
    subject s = {.body = d->backend->body(d, n)};
    for (int i = 0; i < n->n_in; i++) {
        VT_TRY(take(d, n->in[i], &s.in[i]));
        if (n->in[i]) VT_TRY(vt_bench_fill(d, s.in[i], n->in[i]->dtype, vt_tensor_count(n->in[i]), (uint64_t)i));
    }
    for (int i = 0; i < n->n_out; i++) VT_TRY(take(d, n->out[i], &s.out[i]));
    VT_TRY(d->backend->alloc(d, d->backend->scratch(d, n), &s.scratch));
    s.run = (vt_run){n, s.in, s.out, s.scratch, d->pool, d->state};
    VT_TRY(vt_bench_time_work(&time, d, run_subject, &s, ROOF_RUNS));
    *seconds = time.median;
fail:
    for (int i = 0; i < MOST_IN; i++) {
        if (s.in[i]) d->backend->free(d, s.in[i]);
        if (s.out[i]) d->backend->free(d, s.out[i]);
    }
    if (s.scratch) d->backend->free(d, s.scratch);
    return st;
}

vt_status vt_roofline_measure(vt_roofline *r, vt_device *d, int side)
{
    vt_graph *g;
    double seconds;
    int64_t square[] = {side, side}, tall[] = {4 * (int64_t)side, side};
    vt_status st = vt_graph_create(&g, VT_F32);
    if (st) return st;
    g->precision = d->precision;
    vt_dtype act = g->precision.act;
    vt_tensor *x = vt_graph_input(g, "x", act, 2, square), *w = vt_graph_input(g, "w", act, 2, square);
    vt_tensor *y = vt_linear(g, "product", x, w, NULL);
    vt_tensor *copy = vt_add_scaled(g, "copy", 1, vt_graph_input(g, "a", act, 2, tall), 0, NULL, NULL);
    VT_TRY(vt_graph_status(g));
    *r = (vt_roofline){.side = side};
    VT_TRY(vt_bench_prepare(d, g));
    VT_TRY(time_node(d, y->producer, &seconds));
    r->flops_per_second = 2.0 * side * side * side / seconds;
    VT_TRY(time_node(d, copy->producer, &seconds));
    r->bytes_per_second = 2.0 * (double)vt_tensor_bytes(copy) / seconds;
fail:
    vt_graph_destroy(g);
    return st;
}
