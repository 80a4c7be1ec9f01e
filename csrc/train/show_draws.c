#include "train/show_draws.h"

#include "base/alloc.h"
#include "base/json.h"

static vt_status size_of(const vt_drawn_sample *d, int *width, int *height)
{
    vt_bytes file = {0};
    vt_sample sample;
    vt_status st = vt_dataset_read(d->ds, d->sample, &file, &sample);
    vt_image_source source = {.width = sample.w, .height = sample.h};
    if (st == VT_OK && sample.bytes) st = vt_image_open(&source, sample.bytes, sample.size);
    *width = source.width;
    *height = source.height;
    vt_free(file.data);
    return st;
}

static void ints(vt_text *t, const int32_t *values, int n)
{
    vt_json_open(t, '[');
    for (int i = 0; i < n; i++) vt_json_int(t, values[i]);
    vt_json_close(t, ']');
}

static void crop(vt_text *t, const vt_crop *c)
{
    static const char *const names[] = {"nearest", "bilinear", "bicubic"};
    vt_json_key(t, "crop");
    ints(t, (int32_t[]){c->x, c->y, c->width, c->height}, 4);
    vt_json_key(t, "hflip");
    vt_json_bool(t, c->hflip);
    vt_json_key(t, "vflip");
    vt_json_bool(t, c->vflip);
    vt_json_key(t, "interpolation");
    vt_json_string(t, names[c->filter]);
}

static void ops(vt_text *t, const vt_augment_step *steps, int begin, int end)
{
    vt_json_key(t, "ops");
    vt_json_open(t, '[');
    for (int i = begin; i < end; i++) {
        vt_json_open(t, '{');
        vt_json_key(t, "op");
        vt_json_string(t, steps[i].op->name);
        vt_json_key(t, "argument");
        vt_json_number(t, steps[i].argument);
        vt_json_close(t, '}');
    }
    vt_json_close(t, ']');
}

static void augmix(vt_text *t, const vt_augment_drawn *a)
{
    vt_json_key(t, "share");
    vt_json_number(t, a->share);
    vt_json_key(t, "blended");
    vt_json_bool(t, a->blended);
    vt_json_key(t, "chains");
    vt_json_open(t, '[');
    for (int k = 0, begin = 0; k < a->chains; begin = a->ends[k++]) {
        vt_json_open(t, '{');
        vt_json_key(t, "weight");
        vt_json_number(t, a->weight[k]);
        ops(t, a->steps, begin, a->ends[k]);
        vt_json_close(t, '}');
    }
    vt_json_close(t, ']');
}

static void effects(vt_text *t, const vt_step_effects *e, int at)
{
    vt_json_key(t, "erase");
    vt_json_open(t, '[');
    for (int k = 0; k < e->erase_boxes; k++) {
        const int32_t *box = e->boxes + 4 * (at * e->erase_boxes + k);
        if (box[2]) ints(t, box, 4);
    }
    vt_json_close(t, ']');
    if (!e->where) return;
    vt_json_key(t, "partner");
    vt_json_int(t, e->where[5 * at]);
    vt_json_key(t, "box");
    ints(t, e->where + 5 * at + 1, 4);
    vt_json_key(t, "weights");
    vt_json_open(t, '[');
    for (int i = 0; i < 3; i++) vt_json_number(t, e->weights[3 * at + i]);
    vt_json_close(t, ']');
}

vt_status vt_show_draws(vt_text *t, const vt_drawn_sample *d)
{
    char name[512];
    int width, height;
    const vt_transform *how = &d->loading->transform;
    uint64_t seed = d->loading->sampler.seed;
    vt_augment_drawn augment;
    vt_status st = size_of(d, &width, &height);
    if (st) return st;
    vt_crop cut = vt_crop_draw(how, width, height, seed, d->epoch, d->sample, (uint32_t)d->repeat);
    vt_augment_draw(&how->augment, how->train_interpolation, seed, d->epoch, d->sample, (uint32_t)d->repeat, &augment);
    vt_json_open(t, '{');
    vt_json_key(t, "at");
    vt_json_int(t, d->at);
    vt_json_key(t, "file");
    vt_json_string(t, vt_dataset_name(d->ds, d->sample, name, sizeof name));
    vt_json_key(t, "class");
    vt_json_string(t, vt_dataset_class(d->ds, vt_dataset_label(d->ds, d->sample)));
    vt_json_key(t, "repeat");
    vt_json_int(t, d->repeat);
    crop(t, &cut);
    if (augment.chains) augmix(t, &augment);
    else ops(t, augment.steps, 0, augment.count);
    effects(t, d->effects, d->at);
    vt_json_close(t, '}');
    vt_text_add(t, "\n");
    return vt_text_status(t);
}
