#include "models/model.h"
#include "train/show_batch.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "data/grid.h"
#include "train/logs.h"
#include "train/run_setup.h"
#include "train/save_images.h"
#include "train/show_draws.h"

typedef struct show {
    const vt_show_batch_job *job;
    vt_settings settings;
    vt_options options;
    vt_run_parts parts;
    vt_device *device;
    vt_arena arena;
    int batch;                    /* samples shown */
    uint8_t *images;              /* [batch, H, W, C] */
    int32_t *labels, *slots;      /* [batch] */
    uint32_t *samples;            /* [batch] */
    int32_t *repeats;             /* [batch] */
    int32_t *boxes, *where;       /* as vt_step_effects has them */
    float *weights;
    vt_step_effects effects;
    float *targets;               /* [batch, classes] */
    vt_save_tensor *tensors;      /* images, targets, masks */
    int tensor_count;
} show;

/* --- the run --- */

static vt_status open_run(show *s)
{
    char path[VT_PATH_BYTES];
    struct stat about;
    const vt_show_batch_job *j = s->job;
    vt_status st = vt_logs_path(path, j->run, "last.safetensors");
    if (st) return st;
    if (stat(j->run, &about) == 0 && S_ISREG(about.st_mode)) snprintf(path, sizeof path, "%s", j->run);
    VT_TRY(vt_options_init(&s->options, vt_settings_table, &s->settings));
    VT_TRY(vt_options_set(&s->options, "resume", path, VT_FROM_FLAG));
    if (j->data_path) VT_TRY(vt_options_set(&s->options, "data-path", j->data_path, VT_FROM_FLAG));
    s->parts = (vt_run_parts){.options = &s->options, .settings = &s->settings};
    VT_TRY(vt_run_resume(&s->parts));
    VT_TRY(vt_run_open_data(&s->parts));
    vt_device_options device = vt_model_device(&j->device);
    st = vt_device_open(&s->device, &device);
fail:
    return st;
}

static vt_status check_position(const show *s)
{
    const vt_show_batch_job *j = s->job;
    int micros = s->parts.loading.sampler.micros;
    if (j->step >= s->parts.steps_per_epoch)
        return vt_fail(VT_INVALID, "--step %lld: an epoch of this run has %lld steps, from 0", (long long)j->step,
                       (long long)s->parts.steps_per_epoch);
    if (j->epoch >= s->settings.recipe.epochs)
        return vt_fail(VT_INVALID, "--epoch %lld: this run has %d epochs, from 0", (long long)j->epoch,
                       s->settings.recipe.epochs);
    if (j->micro >= micros)
        return vt_fail(VT_INVALID, "--micro %d: a step of this run has %d, from 0", j->micro, micros);
    return VT_OK;
}

static vt_status reserve(show *s)
{
    const vt_loader_options *o = &s->parts.loading;
    const vt_transform *t = &o->transform;
    const vt_recipe *r = &s->settings.recipe;
    vt_train_options train = vt_recipe_train_options(r, o->sampler.micros);
    size_t n = (size_t)s->batch, boxes = 4 * (size_t)train.erase_boxes;
    s->images = vt_arena_alloc(&s->arena, n * (size_t)t->height * (size_t)t->width * (size_t)t->channels);
    s->labels = vt_arena_alloc(&s->arena, n * (8 + boxes) * sizeof *s->labels);
    s->samples = vt_arena_alloc(&s->arena, n * sizeof *s->samples);
    s->weights = vt_arena_alloc(&s->arena, n * 3 * sizeof *s->weights);
    if (!s->images || !s->labels || !s->samples || !s->weights) return vt_fail_memory("batch");
    s->slots = s->labels + n;
    s->repeats = s->slots + n;
    s->where = s->repeats + n;
    s->boxes = s->where + 5 * n;
    s->effects = (vt_step_effects){.slots = s->slots, .boxes = s->boxes, .erase_boxes = train.erase_boxes,
                                   .erase_mode = train.erase_mode, .where = train.mixing ? s->where : NULL,
                                   .weights = s->weights, .seed = train.seed,
                                   .step = (int32_t)(s->job->epoch * s->parts.steps_per_epoch + s->job->step)};
    return VT_OK;
}

/* Sample i of a micro-batch as sample `to`; its partner p is then sample p * stride + first. */
static void take_sample(show *s, const vt_batch *b, int i, int to, int first, int stride)
{
    const vt_transform *t = &s->parts.loading.transform;
    size_t bytes = (size_t)t->height * (size_t)t->width * (size_t)t->channels;
    size_t boxes = 4 * (size_t)s->effects.erase_boxes;
    memcpy(s->images + (size_t)to * bytes, b->images + (size_t)i * bytes, bytes);
    s->labels[to] = b->labels[i];
    s->slots[to] = b->slots[i];
    s->samples[to] = b->samples[i];
    s->repeats[to] = b->repeats[i];
    if (b->boxes) memcpy(s->boxes + (size_t)to * boxes, b->boxes + (size_t)i * boxes, boxes * sizeof *b->boxes);
    if (!b->mixed.where) return;
    memcpy(s->where + 5 * to, b->mixed.where + 5 * i, 5 * sizeof *s->where);
    memcpy(s->weights + 3 * to, b->mixed.weights + 3 * i, 3 * sizeof *s->weights);
    s->where[5 * to] = s->where[5 * to] * stride + first;
}

/* Micro-batch k of M holds positions k, k + M, … of the step's global list. */
static vt_status load(show *s)
{
    vt_loader_options o = s->parts.loading;
    vt_loader *loader = NULL;
    vt_status st;
    bool whole = s->job->micro < 0;
    int micros = o.sampler.micros, each = o.sampler.micro_batch;
    o.epoch = (uint32_t)s->job->epoch;
    o.step = s->job->step;
    o.epochs = o.epoch + 1;
    o.workers = 0;
    o.prefetch = 1;
    o.micro_begin = whole ? 0 : s->job->micro;
    o.micro_end = whole ? micros : s->job->micro + 1;
    s->batch = each * (o.micro_end - o.micro_begin);
    VT_TRY(reserve(s));
    VT_TRY(vt_loader_create(&loader, s->parts.train, &o));
    for (int k = o.micro_begin; k < o.micro_end; k++) {
        const vt_batch *b;
        VT_TRY(vt_loader_next(loader, &b));
        for (int i = 0; i < each; i++)
            take_sample(s, b, i, whole ? i * micros + k : i, whole ? k : 0, whole ? micros : 1);
        vt_loader_release(loader, b);
    }
fail:
    vt_loader_destroy(loader);
    return st;
}

/* --- targets and masks: the step's own graph, of which all that they do not need is removed --- */

static vt_graph *build(show *s, vt_store *params, vt_tensor **targets)
{
    vt_graph *g = NULL;
    const vt_model_config *c = &s->parts.config;
    int64_t batch = s->batch, shape[] = {batch, c->img_height, c->img_width, c->in_chans};
    if (vt_graph_create(&g, VT_F32)) return NULL;
    vt_builder b = {.g = g, .params = params, .train = true, .suffix = "", .batch = batch};
    b.random = (vt_random){vt_graph_input(g, "step", VT_I32, 1, (int64_t[]){1}),
                           vt_graph_input(g, "slots", VT_I32, 1, &batch), (uint64_t)s->settings.recipe.seed};
    vt_model_build(&b, c, vt_graph_input(g, "images", VT_U8, 4, shape));
    vt_effects effects = {0};
    if (s->effects.where) {
        effects.where = vt_graph_input(g, "where", VT_I32, 2, (int64_t[]){batch, 5});
        effects.weights = vt_graph_input(g, "weights", VT_F32, 2, (int64_t[]){batch, 3});
    }
    *targets = vt_smooth_with(g, "targets", vt_graph_input(g, "labels", VT_I32, 1, &batch), c->classes,
                              (float)s->settings.recipe.smoothing, &effects);
    if (*targets) (*targets)->keep = true;
    for (int i = 0; i < g->n_nodes; i++)
        if (g->nodes[i]->op == &vt_op_drop_path) g->nodes[i]->out[0]->keep = true;
    return g;
}

static vt_status save(show *s, vt_exec *e, const vt_tensor *t, const char *name)
{
    float *values = vt_arena_alloc(&s->arena, vt_tensor_bytes(t));
    if (!values || !name) return vt_fail_memory("tensors");
    vt_exec_read(e, t, values);
    vt_save_tensor *to = &s->tensors[s->tensor_count++];
    *to = (vt_save_tensor){.name = name, .dtype = VT_F32, .ndim = t->ndim, .data = values};
    for (int i = 0; i < t->ndim; i++) to->shape[i] = t->shape[i];
    return VT_OK;
}

/* A drop-path's factor is 0 or 1 / (1 - rate); the mask is what trace takes, 0 or 1. */
static vt_status save_mask(show *s, vt_exec *e, const vt_node *n)
{
    vt_status st = save(s, e, n->out[0], vt_arena_printf(&s->arena, "mask.%s", n->name));
    if (st) return st;
    float *mask = (float *)s->tensors[s->tensor_count - 1].data; /* the arena's, just filled */
    for (int i = 0; i < s->batch; i++) mask[i] = mask[i] > 0;
    return VT_OK;
}

static vt_status draw(show *s)
{
    vt_status st;
    vt_store params;
    vt_workspace workspace = {.device = s->device};
    vt_exec *e = NULL;
    vt_tensor *targets = NULL;
    vt_store_init(&params, "param", VT_F32);
    vt_graph *g = build(s, &params, &targets);
    if (!g) return vt_fail_memory("graph");
    VT_TRY(vt_graph_fold(g, vt_folds));
    VT_TRY(vt_graph_plan(g));
    VT_TRY(vt_exec_create(&e, g, &workspace));
    s->tensors = vt_arena_alloc(&s->arena, ((size_t)g->n_nodes + 2) * sizeof *s->tensors);
    if (!s->tensors) VT_TRY(vt_fail_memory("tensors"));
    vt_exec_bind(e, "step", &s->effects.step);
    vt_exec_bind(e, "where", s->where);
    vt_exec_bind(e, "weights", s->weights);
    vt_exec_bind(e, "slots", s->slots);
    vt_exec_bind(e, "labels", s->labels);
    vt_exec_bind(e, "images", s->images);
    VT_TRY(vt_exec_run(e));
    VT_TRY(save(s, e, targets, "targets"));
    s->targets = (float *)s->tensors[0].data;
    for (int i = 0; i < g->n_nodes; i++)
        if (g->nodes[i]->op == &vt_op_drop_path) VT_TRY(save_mask(s, e, g->nodes[i]));
fail:
    vt_exec_destroy(e);
    vt_workspace_free(&workspace);
    vt_graph_destroy(g);
    vt_store_free(&params);
    return st;
}

/* --- files --- */

typedef struct picture {
    const vt_model_config *model;
    uint8_t *pixels; /* [batch, H, W, C] */
} picture;

/* Normalised pixels as colours again; noise may be outside them. */
static vt_status put_colours(void *arg, int64_t i, const float *pixels)
{
    const picture *p = arg;
    const vt_model_config *m = p->model;
    int64_t count = (int64_t)m->img_height * m->img_width * m->in_chans;
    for (int64_t k = 0; k < count; k++) {
        float v = rintf(255 * (pixels[k] * m->std[k % m->in_chans] + m->mean[k % m->in_chans]));
        p->pixels[i * count + k] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
    }
    return VT_OK;
}

/* The class and its target; mixed with another one, both classes with theirs. */
static vt_status caption(show *s, int i, vt_cell *cell)
{
    int own = s->labels[i], other = s->effects.where ? s->labels[s->where[5 * i]] : own;
    const char *name = vt_dataset_class(s->parts.train, own);
    const float *targets = s->targets + (int64_t)i * s->parts.config.classes;
    if (other != own && s->weights[3 * i + 2] < 1) {
        cell->lines[0] = vt_arena_printf(&s->arena, "%.2f %s", (double)targets[own], name);
        cell->lines[1] = vt_arena_printf(&s->arena, "%.2f %s", (double)targets[other],
                                         vt_dataset_class(s->parts.train, other));
    } else {
        cell->lines[0] = name;
        cell->lines[1] = vt_arena_printf(&s->arena, "%.3f", (double)targets[own]);
    }
    return cell->lines[0] && cell->lines[1] ? VT_OK : vt_fail_memory("picture");
}

static vt_status write_picture(show *s, const vt_save_images *images)
{
    const vt_model_config *c = &s->parts.config;
    size_t bytes = (size_t)c->img_height * (size_t)c->img_width * (size_t)c->in_chans;
    vt_cell *cells = vt_arena_alloc(&s->arena, (size_t)s->batch * sizeof *cells);
    picture p = {c, vt_arena_alloc(&s->arena, (size_t)s->batch * bytes)};
    if (!cells || !p.pixels) return vt_fail_memory("picture");
    vt_status st = vt_seen_images(images, put_colours, &p);
    for (int i = 0; i < s->batch && st == VT_OK; i++) {
        cells[i] = (vt_cell){.pixels = p.pixels + (size_t)i * bytes, .colours = {VT_INK_BLACK, VT_INK_GREY}};
        st = caption(s, i, &cells[i]);
    }
    return st ? st : vt_grid_write(s->job->output, cells, s->batch, c->img_width, c->img_height, c->in_chans);
}

static vt_status write_tensors(show *s, vt_save_images *images)
{
    s->tensors[s->tensor_count++] = vt_save_images_tensor(images);
    return vt_safetensors_write(s->job->tensors, s->tensors, s->tensor_count, NULL, 0);
}

static vt_status add_draws(const show *s, vt_text *text)
{
    vt_status st = VT_OK;
    for (int i = 0; i < s->batch && st == VT_OK; i++)
        st = vt_show_draws(text, &(vt_drawn_sample){s->parts.train, &s->parts.loading, (uint32_t)s->job->epoch,
                                                    s->samples[i], s->repeats[i], &s->effects, i});
    return st;
}

vt_status vt_show_batch(const vt_show_batch_job *job, vt_text *draws)
{
    show s = {.job = job};
    vt_status st = open_run(&s);
    if (st == VT_OK) st = check_position(&s);
    if (st == VT_OK) st = load(&s);
    if (st == VT_OK) st = draw(&s);
    vt_save_images images = {&s.parts.config, s.device, s.images, s.batch, &s.effects};
    if (st == VT_OK && job->output) st = write_picture(&s, &images);
    if (st == VT_OK && job->tensors) st = write_tensors(&s, &images);
    if (st == VT_OK && draws) st = add_draws(&s, draws);
    vt_device_close(s.device);
    vt_run_close(&s.parts);
    vt_options_free(&s.options);
    vt_arena_free(&s.arena);
    return st;
}
