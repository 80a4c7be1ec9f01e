#include "train/bench_step.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/philox.h"
#include "train/ledger.h"
#include "train/progress.h"

enum { WARM_UP = 2, LEAST_STEPS = 3, MOST_STEPS = 10000, OP_STEPS = 5 };

/* Micro-batch k of the made-up step, erased and mixed as those of a run are. */
static vt_micro make_micro(const vt_bench_subject *s, const vt_bench_options *o, int k)
{
    const vt_model_config *c = &o->model;
    int batch = o->train.batch_size, first = k * batch, boxes = 4 * o->train.erase_boxes;
    size_t pixels = (size_t)c->img_height * (size_t)c->img_width * (size_t)c->in_chans;
    const vt_mixed mixed = {s->mixed.where + 5 * first, s->mixed.weights + 3 * first};
    vt_micro m = {.images = s->images + (size_t)first * pixels, .labels = s->labels + first,
                  .slots = s->trainer->slots + first};
    for (int i = first; boxes && i < first + batch; i++)
        vt_erase_draw(&o->erase, c->img_height, c->img_width, 0, 0, (uint32_t)i, 0, s->boxes + i * boxes);
    if (boxes) m.boxes = s->boxes + first * boxes;
    if (!o->train.mixing) return m;
    vt_mixing_draw(&o->mixing, c->img_height, c->img_width, 0, 0, 0, m.slots, batch, &mixed);
    m.where = mixed.where;
    m.weights = mixed.weights;
    return m;
}

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
    s->boxes = vt_alloc(samples * 4 * (size_t)o->train.erase_boxes * sizeof *s->boxes);
    s->mixed = (vt_mixed){vt_alloc(samples * 5 * sizeof(int32_t)), vt_alloc(samples * 3 * sizeof(float))};
    s->micros = vt_alloc((size_t)o->train.micro_batches * sizeof *s->micros);
    if (!s->images || !s->labels || !s->boxes || !s->mixed.where || !s->mixed.weights || !s->micros)
        VT_TRY(vt_fail_memory("made-up images"));
    for (size_t i = 0; i < pixels; i++) s->images[i] = (uint8_t)(vt_rng_bits(&random) >> 24);
    for (size_t i = 0; i < samples; i++) s->labels[i] = (int32_t)vt_rng_below(&random, (uint32_t)c->classes);
    for (int k = 0; k < o->train.micro_batches; k++) s->micros[k] = make_micro(s, o, k);
    return VT_OK;
fail:
    vt_bench_close(s);
    return st;
}

vt_status vt_bench_take_step(vt_bench_subject *s)
{
    float loss, norm;
    vt_status st = vt_trainer_queue(s->trainer, s->micros, 1e-6f);
    return st ? st : vt_trainer_read(s->trainer, &loss, &norm);
}

void vt_bench_close(vt_bench_subject *s)
{
    vt_trainer_destroy(s->trainer);
    vt_model_destroy(s->model);
    vt_free(s->images);
    vt_free(s->labels);
    vt_free(s->boxes);
    vt_free(s->mixed.where);
    vt_free(s->mixed.weights);
    vt_free(s->micros);
    *s = (vt_bench_subject){0};
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *times, int n)
{
    qsort(times, (size_t)n, sizeof *times, ascending);
    return n % 2 ? times[n / 2] : (times[n / 2 - 1] + times[n / 2]) / 2;
}

/* Whole steps by the host's clock; *taken of them. */
static vt_status time_whole(vt_bench_subject *s, double *times, int most, double seconds, int *taken)
{
    double total = 0;
    for (*taken = 0; *taken < most && (*taken < LEAST_STEPS || total < seconds);) {
        double start = vt_seconds();
        vt_status st = vt_bench_take_step(s);
        if (st) return st;
        total += times[(*taken)++] = vt_seconds() - start;
    }
    return VT_OK;
}

/* Replays of the recorded step by the device's clock, some at a time. */
static vt_status time_replays(vt_bench_subject *s, double *times, int most, double seconds, int *taken)
{
    double start = vt_seconds();
    for (*taken = 0; *taken < most && (*taken < LEAST_STEPS || vt_seconds() - start < seconds);) {
        int n = most - *taken, some = *taken ? 10 : LEAST_STEPS;
        n = n < some ? n : some;
        vt_status st = vt_exec_replay(s->trainer->exec, n, vt_seconds, times + *taken);
        if (st) return st;
        *taken += n;
    }
    return VT_OK;
}

static vt_status time_steps(vt_bench_step *r, vt_bench_subject *s, const vt_bench_options *o)
{
    int most = o->steps ? o->steps : MOST_STEPS, n = 0;
    double *times = vt_alloc((size_t)most * sizeof *times), wall[LEAST_STEPS];
    double seconds = o->steps ? HUGE_VAL : o->seconds;
    vt_status st = VT_OK;
    if (!times) return vt_fail_memory("times");
    for (int i = 0; i < WARM_UP; i++) VT_TRY(vt_bench_take_step(s));
    if (r->roof.side) {
        VT_TRY(time_whole(s, wall, LEAST_STEPS, 0, &n));
        r->wall_ms = 1e3 * median(wall, n);
        VT_TRY(time_replays(s, times, most, seconds, &n));
    } else {
        VT_TRY(time_whole(s, times, most, seconds, &n));
    }
    r->steps = n;
    r->step_ms = 1e3 * median(times, n);
    r->fastest_ms = 1e3 * times[0];
fail:
    vt_free(times);
    return st;
}

vt_status vt_bench_roofline(vt_roofline *roof, const vt_bench_options *o)
{
    enum { SIDE = 8192 };
    vt_device *d;
    vt_device_options options = vt_model_device(&o->device);
    *roof = (vt_roofline){0};
    vt_status st = vt_device_open(&d, &options);
    if (st == VT_OK && d->backend->time) st = vt_roofline_measure(roof, d, o->side ? o->side : SIDE);
    vt_device_close(d);
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
    st = vt_bench_ops_sum(&r->ops, g, seconds, OP_STEPS, NULL, r->roof.side ? &r->roof : NULL, false);
fail:
    vt_exec_time(s->trainer->exec, NULL, NULL);
    vt_free(seconds);
    return st;
}

/* What the device's memory must hold of this step, and the time that its kernels take at least. */
static vt_status read_ceilings(vt_bench_step *r, const vt_bench_subject *s, const vt_bench_options *o)
{
    vt_ledger ledger;
    if (!r->roof.side) return vt_sgemm_measure(&r->sgemm, s->model->device);
    r->floor_ms = 1e3 * vt_bench_ops_floor(s->trainer->step.graph, &r->roof);
    vt_status st = vt_ledger_read(&ledger, &o->model, &o->train, s->model->device, NULL);
    r->peak_bytes = ledger.peak;
    return st;
}

vt_status vt_bench_step_run(vt_bench_step *r, const vt_bench_options *o)
{
    vt_status st;
    vt_bench_subject s = {0};
    double flops, recomputed, images = (double)o->train.batch_size * o->train.micro_batches;
    *r = (vt_bench_step){0};
    VT_TRY(vt_bench_roofline(&r->roof, o));
    VT_TRY(vt_bench_open(&s, o));
    r->path = s.model->device->path;
    r->device = s.model->device->backend->name;
    snprintf(r->about, sizeof r->about, "%s", s.model->device->about);
    r->threads = s.model->device->threads;
    VT_TRY(time_steps(r, &s, o));
    r->peak_bytes = vt_peak_bytes();
    VT_TRY(vt_graph_flops(s.trainer->step.graph, &flops, &recomputed));
    r->images_per_second = 1e3 * images / r->step_ms;
    r->flops_per_image = flops / images;
    r->gflops = 1e-6 * flops / r->step_ms;
    if (o->by_op) VT_TRY(time_ops(r, &s));
    st = read_ceilings(r, &s, o);
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

static void print_cpu(vt_text *t, const vt_bench_step *r)
{
    vt_text_printf(t, "  %.4g FLOPs an image, %.1f GFLOP/s, %.0f %% of sgemm at 2048^3\n", r->flops_per_image,
                   r->gflops, 100 * share(r));
    vt_text_printf(t, "  sgemm: vitc %.1f GFLOP/s", r->sgemm.own);
    if (r->sgemm.openblas > 0) vt_text_printf(t, ", OpenBLAS %.1f", r->sgemm.openblas);
    vt_text_printf(t, "\n  peak resident set %.1f MiB\n", (double)r->peak_bytes / 1048576);
}

static void print_roofline(vt_text *t, const vt_bench_step *r)
{
    vt_text_printf(t, "  %.4g FLOPs an image, %.1f TFLOP/s; %.2f ms with uploads, one step at a time\n",
                   r->flops_per_image, 1e-3 * r->gflops, r->wall_ms);
    vt_text_printf(t, "  roofline, kernel by kernel: %.2f ms, the step reaches %.1f %% of it; a copy %.4g GB/s, "
                   "a product of %d^3 %.4g TFLOP/s\n", r->floor_ms, 100 * r->floor_ms / r->step_ms,
                   1e-9 * r->roof.bytes_per_second, r->roof.side, 1e-12 * r->roof.flops_per_second);
    vt_text_printf(t, "  device memory as planned %.1f MiB\n", (double)r->peak_bytes / 1048576);
}

void vt_bench_step_table(vt_text *t, const vt_bench_step *r, const vt_bench_options *o)
{
    vt_text_printf(t, "step of %s, %d x %d images, %s\n", o->model.name, o->train.micro_batches, o->train.batch_size,
                   r->about);
    vt_text_printf(t, "  %.1f images/s, %.2f ms a step (median of %d; fastest %.2f)\n", r->images_per_second,
                   r->step_ms, r->steps, r->fastest_ms);
    if (r->roof.side) print_roofline(t, r);
    else print_cpu(t, r);
    if (!r->ops.count) return;
    vt_text_add(t, "\n");
    vt_bench_ops_table(t, &r->ops);
}

typedef struct number {
    const char *key;
    double value;
} number;

static void write_numbers(vt_text *t, const number *numbers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        vt_json_key(t, numbers[i].key);
        vt_json_number(t, numbers[i].value);
    }
}

static void write_cpu(vt_text *t, const vt_bench_step *r)
{
    const number numbers[] = {{"threads", r->threads}, {"sgemm_gflops", r->sgemm.best},
                              {"sgemm_vitc_gflops", r->sgemm.own}, {"share_of_sgemm", share(r)}};
    vt_json_key(t, "cpu");
    vt_json_string(t, r->path);
    write_numbers(t, numbers, sizeof numbers / sizeof *numbers);
    vt_json_key(t, "sgemm_openblas_gflops");
    if (r->sgemm.openblas > 0) vt_json_number(t, r->sgemm.openblas);
    else vt_json_string(t, NULL);
    vt_json_key(t, "sgemm_by");
    vt_json_string(t, r->sgemm.openblas > r->sgemm.own ? "openblas" : "vitc");
}

static void write_roofline(vt_text *t, const vt_bench_step *r)
{
    const number numbers[] = {{"wall_step_ms", r->wall_ms},
                              {"copy_gbytes_per_second", 1e-9 * r->roof.bytes_per_second},
                              {"gemm_gflops", 1e-9 * r->roof.flops_per_second},
                              {"gemm_side", r->roof.side},
                              {"floor_ms", r->floor_ms},
                              {"roofline_share", r->floor_ms / r->step_ms}};
    vt_json_key(t, "precision");
    vt_json_string(t, r->path);
    vt_json_key(t, "about");
    vt_json_string(t, r->about);
    write_numbers(t, numbers, sizeof numbers / sizeof *numbers);
}

void vt_bench_step_json(vt_text *t, const vt_bench_step *r, const vt_bench_options *o)
{
    const number numbers[] = {
        {"batch_size", o->batch_size}, {"micro_batch_size", o->train.batch_size},
        {"micro_batches", o->train.micro_batches}, {"steps", r->steps}, {"images_per_second", r->images_per_second},
        {"step_ms", r->step_ms}, {"fastest_step_ms", r->fastest_ms}, {"flops_per_image", r->flops_per_image},
        {"gflops", r->gflops}, {"peak_bytes", (double)r->peak_bytes}};
    vt_json_open(t, '{');
    vt_json_key(t, "model");
    vt_json_string(t, o->model.name);
    vt_json_key(t, "device");
    vt_json_string(t, r->device);
    write_numbers(t, numbers, sizeof numbers / sizeof *numbers);
    if (r->roof.side) write_roofline(t, r);
    else write_cpu(t, r);
    if (r->ops.count) {
        vt_json_key(t, "ops_ms");
        vt_json_number(t, 1e3 * r->ops.seconds);
        vt_json_key(t, "ops");
        vt_bench_ops_json(t, &r->ops);
    }
    vt_json_close(t, '}');
}
