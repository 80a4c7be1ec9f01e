#include "train/predict.h"

#include <stdio.h>

#include "base/alloc.h"
#include "data/grid.h"
#include "train/evaluate.h"
#include "train/save_images.h"

enum { CHUNK = 16, NAME_BYTES = 1024 };

typedef struct predictor {
    const vt_predict_job *job;
    vt_model *model;
    vt_eval eval;
    vt_dataset *data;
    vt_transform_scratch scratch;
    vt_bytes buffer;
    vt_arena names;
    int total;             /* files, then samples */
    int batch;
    size_t image_bytes;
    float *logits;         /* [batch, classes] */
    uint8_t *pixels;       /* [batch, H, W, C]; where they are written at the end, all of them and room for one batch */
    vt_prediction *items;           /* as many */
    bool keep;
    int read, bad;
    char first_bad[NAME_BYTES];
} predictor;

/* --- opening --- */

static vt_status open_data(predictor *p)
{
    const vt_predict_job *j = p->job;
    const vt_checkpoint *c = j->checkpoint;
    vt_dataset_options o = {.val_split = c->preprocessing.val_split, .seed = (uint64_t)c->preprocessing.seed,
                            .num_classes = c->model.classes, .in_chans = c->model.in_chans, .val_names = c->held_out,
                            .val_count = c->held_out_count, .class_names = c->classes, .class_count = c->class_count};
    return vt_dataset_open(&p->data, j->data_path, j->split, &o);
}

static vt_status check_job(const vt_predict_job *j)
{
    const vt_checkpoint *c = j->checkpoint;
    if (c->model.in_chans != 1 && c->model.in_chans != 3)
        return vt_fail(VT_INVALID, "%s: the model has %d channels, images have 1 or 3", c->file.path,
                       c->model.in_chans);
    if (!j->files.count && !j->data_path) return vt_fail(VT_INVALID, "no images: name files, or --data-path");
    if (j->class_names.count && j->class_names.count != c->model.classes)
        return vt_fail(VT_INVALID, "--class-names has %d names, the model %d classes", j->class_names.count,
                       c->model.classes);
    return vt_transform_check(&j->transform);
}

static vt_status open_predictor(predictor *p)
{
    const vt_predict_job *j = p->job;
    char line[160];
    vt_status st = check_job(j);
    if (st == VT_OK && j->data_path) st = open_data(p);
    if (st == VT_OK) st = vt_checkpoint_load_model(j->checkpoint, &p->model, &j->device, j->ema);
    if (st) return st;
    int samples = p->data ? (int)vt_dataset_count(p->data) : 0;
    p->total = j->files.count + (samples < j->count ? samples : p->data ? j->count : 0);
    p->batch = p->total < CHUNK ? p->total : CHUNK;
    p->keep = j->tensors || j->grid;
    const vt_model_config *c = &p->model->config;
    size_t kept = (size_t)(p->keep ? p->total + p->batch : p->batch); /* the last batch may be a part of one */
    p->image_bytes = (size_t)c->img_height * (size_t)c->img_width * (size_t)c->in_chans;
    p->pixels = vt_alloc(kept * p->image_bytes);
    p->items = vt_alloc(kept * sizeof *p->items);
    p->logits = vt_alloc((size_t)p->batch * (size_t)c->classes * sizeof *p->logits);
    if (!p->pixels || !p->items || !p->logits) return vt_fail_memory("images");
    snprintf(line, sizeof line, "device: %s", p->model->device->about);
    j->say(j->arg, line);
    st = vt_eval_build(&p->eval, c, &p->model->params, VT_U8, p->batch, p->model->device->precision);
    return st ? st : vt_eval_open(&p->eval, &p->model->workspace);
}

static void close_predictor(predictor *p)
{
    vt_eval_close(&p->eval);
    vt_model_destroy(p->model);
    vt_dataset_close(p->data);
    vt_transform_scratch_free(&p->scratch);
    vt_free(p->buffer.data);
    vt_free(p->pixels);
    vt_free(p->items);
    vt_free(p->logits);
    vt_arena_free(&p->names);
}

/* --- reading --- */

static vt_status read_file(predictor *p, const char *path, uint8_t *out)
{
    vt_file file;
    vt_status st = vt_file_read(&file, path);
    if (st) return st;
    vt_sample sample = {.bytes = file.data, .size = file.size};
    st = vt_transform_sample(&p->job->transform, &p->scratch, &sample, 0, 0, 0, 0, out);
    vt_file_close(&file);
    return st ? vt_fail_in(st, "%s", path) : VT_OK;
}

static vt_status read_sample(predictor *p, uint32_t i, const char *path, uint8_t *out)
{
    vt_sample sample;
    vt_status st = vt_dataset_read(p->data, i, &p->buffer, &sample);
    if (st) return st;
    st = vt_transform_sample(&p->job->transform, &p->scratch, &sample, 0, 0, i, 0, out);
    return st ? vt_fail_in(st, "%s", path) : VT_OK;
}

static const char *class_name(predictor *p, int k)
{
    const vt_checkpoint *c = p->job->checkpoint;
    if (k < p->job->class_names.count) return p->job->class_names.items[k];
    if (k < c->class_count) return c->classes[k];
    if (p->data && k < vt_dataset_classes(p->data)) return vt_dataset_class(p->data, k);
    const char *number = vt_arena_printf(&p->names, "%d", k);
    return number ? number : "?";
}

/* Image i of all; VT_INVALID: it cannot be read. */
static vt_status read_image(predictor *p, int i, vt_prediction *to, uint8_t *out)
{
    int files = p->job->files.count;
    char path[NAME_BYTES];
    *to = (vt_prediction){.label = -1};
    if (i < files) {
        to->file = p->job->files.items[i];
        return read_file(p, to->file, out);
    }
    uint32_t at = (uint32_t)((uint64_t)(i - files) * vt_dataset_count(p->data) / (uint64_t)(p->total - files));
    to->file = vt_arena_printf(&p->names, "%s", vt_dataset_path(p->data, at, path, sizeof path));
    to->label = vt_dataset_label(p->data, at);
    to->truth = class_name(p, to->label);
    return to->file ? read_sample(p, at, to->file, out) : vt_fail_memory("names");
}

/* --- predicting --- */

static vt_status tell(predictor *p, vt_prediction *r, const float *logits)
{
    int classes = p->model->config.classes;
    r->count = classes < VT_PREDICT_TOP ? classes : VT_PREDICT_TOP;
    vt_top(logits, classes, r->count, r->best, r->probability);
    for (int k = 0; k < r->count; k++) r->names[k] = class_name(p, r->best[k]);
    return p->job->report(p->job->arg, r);
}

static void note_bad(predictor *p)
{
    if (!p->bad++) snprintf(p->first_bad, sizeof p->first_bad, "%s", vt_error());
    else p->job->say(p->job->arg, vt_error());
}

/* Reads up to a batch from image *next on, and runs the model on what could be read. */
static vt_status predict_chunk(predictor *p, int *next)
{
    int n = 0, classes = p->model->config.classes, at = p->keep ? p->read : 0;
    while (n < p->batch && *next < p->total) {
        vt_status st = read_image(p, (*next)++, &p->items[at + n], p->pixels + (size_t)(at + n) * p->image_bytes);
        if (st && st != VT_INVALID) return st;
        if (st) note_bad(p);
        else n++;
    }
    if (!n) return VT_OK;
    p->read += n;
    vt_status st = vt_eval_run(&p->eval, p->pixels + (size_t)at * p->image_bytes, p->logits);
    for (int i = 0; i < n && st == VT_OK; i++)
        st = tell(p, &p->items[at + i], p->logits + (size_t)i * (size_t)classes);
    return st;
}

/* --- files --- */

static vt_status write_tensors(predictor *p)
{
    vt_save_images images = {&p->model->config, p->model->device, p->pixels, p->read, NULL};
    vt_save_tensor tensor = vt_save_images_tensor(&images);
    return vt_safetensors_write(p->job->tensors, &tensor, 1, NULL, 0);
}

/* What was predicted, green or red where the truth is known, and the truth below it. */
static vt_status write_grid(predictor *p)
{
    const vt_model_config *c = &p->model->config;
    vt_cell *cells = vt_alloc(((size_t)p->read + 1) * sizeof *cells);
    if (!cells) return vt_fail_memory("picture");
    for (int i = 0; i < p->read; i++) {
        const vt_prediction *r = &p->items[i];
        cells[i] = (vt_cell){.pixels = p->pixels + (size_t)i * p->image_bytes, .lines = {r->names[0], r->truth},
                             .colours = {VT_INK_BLACK, VT_INK_GREY}};
        if (r->truth) cells[i].colours[0] = r->best[0] == r->label ? VT_INK_GREEN : VT_INK_RED;
    }
    vt_status st = vt_grid_write(p->job->grid, cells, p->read, c->img_width, c->img_height, c->in_chans);
    vt_free(cells);
    return st;
}

vt_status vt_predict(const vt_predict_job *job)
{
    predictor p = {.job = job};
    vt_status st = open_predictor(&p);
    for (int next = 0; st == VT_OK && next < p.total;) st = predict_chunk(&p, &next);
    if (st == VT_OK && p.read && job->tensors) st = write_tensors(&p);
    if (st == VT_OK && p.read && job->grid) st = write_grid(&p);
    if (st == VT_OK && p.bad)
        st = p.bad == 1 ? vt_fail(VT_INVALID, "%s", p.first_bad)
                        : vt_fail(VT_INVALID, "%s (and %d more images of %d)", p.first_bad, p.bad - 1, p.total);
    close_predictor(&p);
    return st;
}
