#include "train/bench_step.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/philox.h"
#include "train/ledger.h"
#include "train/progress.h"

enum { WARM_UP = 2, LEAST_STEPS = 3, MOST_STEPS = 10000, OP_STEPS = 5 };

vt_status vt_bench_open(vt_bench_subject *s, const vt_bench_options *o)
{
    vt_status st;
    const vt_model_config *c = &o->model;
    size_t samples = (size_t)o->train.batch_size * (size_t)o->train.micro_batches;
    size_t pixels = samples * (size_t)c->img_height * (size_t)c->img_width * (size_t)c->in_chans;
    vt_rng random = vt_rng_data(0, VT_PURPOSE_AUGMENT, 0, 0, 0);
    *s = (vt_bench_subject){0};
    VT_TRY(vt_model_create(&s->model, c, &o->device));
    VT_TRY(vt_trainer_create(&s->trainer, s->model, &o->train));
    s->images = vt_alloc_raw(pixels);
    s->labels = vt_alloc_raw(samples * sizeof *s->labels);
    if (!s->images || !s->labels) VT_TRY(vt_fail_memory("made-up images"));
    for (size_t i = 0; i < pixels; i++) s->images[i] = (uint8_t)(vt_rng_bits(&random) >> 24);
    for (size_t i = 0; i < samples; i++) s->labels[i] = (int32_t)vt_rng_below(&random, (uint32_t)c->classes);
    return VT_OK;
fail:
    vt_bench_close(s);
    return st;
}

vt_status vt_bench_take_step(vt_bench_subject *s)
{
    float loss;
    return vt_trainer_step(s->trainer, s->images, s->labels, 1e-6f, &loss);
}

void vt_bench_close(vt_bench_subject *s)
{
    vt_trainer_destroy(s->trainer);
    vt_model_destroy(s->model);
    vt_free(s->images);
    vt_free(s->labels);
    *s = (vt_bench_subject){0};
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static vt_status time_steps(vt_bench_step *r, vt_bench_subject *s, const vt_bench_options *o)
{
    int most = o->steps ? o->steps : MOST_STEPS, n = 0;
    double *times = vt_alloc((size_t)most * sizeof *times), total = 0;
    vt_status st = VT_OK;
    if (!times) return vt_fail_memory("times");
    for (int i = 0; i < WARM_UP; i++) VT_TRY(vt_bench_take_step(s));
    while (n < most && (o->steps || n < LEAST_STEPS || total < o->seconds)) {
        double start = vt_seconds();
        VT_TRY(vt_bench_take_step(s));
        total += times[n++] = vt_seconds() - start;
    }
    qsort(times, (size_t)n, sizeof *times, ascending);
    r->steps = n;
    r->step_ms = 1e3 * (n % 2 ? times[n / 2] : (times[n / 2 - 1] + times[n / 2]) / 2);
    r->fastest_ms = 1e3 * times[0];
fail:
    vt_free(times);
    return st;
}

static vt_status time_ops(vt_bench_step *r, vt_bench_subject *s)
{
    const vt_graph *g = s->trainer->step.graph;
    double *seconds = vt_alloc(((size_t)g->n_nodes + 1) * sizeof *seconds);
    vt_status st = VT_OK;
    if (!seconds) return vt_fail_memory("times");
    vt_exec_time(s->trainer->exec, vt_seconds, seconds);
    for (int i = 0; i < OP_STEPS; i++) VT_TRY(vt_bench_take_step(s));
    st = vt_bench_ops_sum(&r->ops, g, seconds, OP_STEPS, NULL, false);
fail:
    vt_exec_time(s->trainer->exec, NULL, NULL);
    vt_free(seconds);
    return st;
}


vt_status vt_bench_step_run(vt_bench_step *r, const vt_bench_options *o)
{
    vt_status st;
    vt_bench_subject s;
    double flops, recomputed, images = (double)o->train.batch_size * o->train.micro_batches;
    *r = (vt_bench_step){0};
    st = vt_bench_open(&s, o);
    if (st) return st;
    r->path = s.model->device->path;
    r->threads = s.model->device->threads;
    VT_TRY(time_steps(r, &s, o));
    r->peak_bytes = vt_peak_bytes();
    VT_TRY(vt_graph_flops(s.trainer->step.graph, &flops, &recomputed));
    r->images_per_second = 1e3 * images / r->step_ms;
    r->flops_per_image = flops / images;
    r->gflops = 1e-6 * flops / r->step_ms;
    if (o->by_op) VT_TRY(time_ops(r, &s));
    st = vt_sgemm_measure(&r->sgemm, s.model->device);
fail:
    vt_bench_close(&s);
    if (st) vt_bench_step_free(r);
    return st;
}

void vt_bench_step_free(vt_bench_step *r)
{
    vt_bench_ops_free(&r->ops);
}

static double share(const vt_bench_step *r)
{
    return r->sgemm.best > 0 ? r->gflops / r->sgemm.best : 0;
}

void vt_bench_step_table(vt_text *t, const vt_bench_step *r, const vt_bench_options *o)
{
    vt_text_printf(t, "step of %s, %d x %d images, cpu %s, %d threads\n", o->model.name, o->train.micro_batches,
                   o->train.batch_size, r->path, r->threads);
    vt_text_printf(t, "  %.1f images/s, %.2f ms a step (median of %d; fastest %.2f)\n", r->images_per_second,
                   r->step_ms, r->steps, r->fastest_ms);
    vt_text_printf(t, "  %.4g FLOPs an image, %.1f GFLOP/s, %.0f %% of sgemm at 2048^3\n", r->flops_per_image,
                   r->gflops, 100 * share(r));
    vt_text_printf(t, "  sgemm: vitc %.1f GFLOP/s", r->sgemm.own);
    if (r->sgemm.openblas > 0) vt_text_printf(t, ", OpenBLAS %.1f", r->sgemm.openblas);
    vt_text_printf(t, "\n  peak resident set %.1f MiB\n", (double)r->peak_bytes / 1048576);
    if (!r->ops.count) return;
    vt_text_add(t, "\n");
    vt_bench_ops_table(t, &r->ops);
}

static void members(vt_text *t, const vt_bench_step *r, const vt_bench_options *o)
{
    const struct { const char *key; double value; } numbers[] = {
        {"batch_size", o->batch_size}, {"micro_batch_size", o->train.batch_size},
        {"micro_batches", o->train.micro_batches}, {"threads", r->threads}, {"steps", r->steps},
        {"images_per_second", r->images_per_second}, {"step_ms", r->step_ms}, {"fastest_step_ms", r->fastest_ms},
        {"flops_per_image", r->flops_per_image}, {"gflops", r->gflops}, {"peak_bytes", (double)r->peak_bytes},
        {"sgemm_gflops", r->sgemm.best}, {"sgemm_vitc_gflops", r->sgemm.own}, {"share_of_sgemm", share(r)}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        vt_json_key(t, numbers[i].key);
        vt_json_number(t, numbers[i].value);
    }
}

void vt_bench_step_json(vt_text *t, const vt_bench_step *r, const vt_bench_options *o)
{
    vt_json_open(t, '{');
    vt_json_key(t, "model");
    vt_json_string(t, o->model.name);
    vt_json_key(t, "device");
    vt_json_string(t, "cpu");
    vt_json_key(t, "cpu");
    vt_json_string(t, r->path);
    members(t, r, o);
    vt_json_key(t, "sgemm_openblas_gflops");
    if (r->sgemm.openblas > 0) vt_json_number(t, r->sgemm.openblas);
    else vt_json_string(t, NULL);
    vt_json_key(t, "sgemm_by");
    vt_json_string(t, r->sgemm.openblas > r->sgemm.own ? "openblas" : "vitc");
    if (r->ops.count) {
        vt_json_key(t, "ops");
        vt_bench_ops_json(t, &r->ops);
    }
    vt_json_close(t, '}');
}
