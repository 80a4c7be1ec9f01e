/* Reading: the metadata, then the weights. Writing is checkpoint_save.c. */
#include "train/checkpoint.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "models/config.h"
#include "models/weights.h"

static vt_status bad(const vt_checkpoint *c, const char *key)
{
    return vt_fail(VT_INVALID, "%s: metadata %s is missing or not understood", c->file.path, key);
}

static vt_status parse(vt_checkpoint *c, const char *key, vt_json_kind kind, const vt_json **value)
{
    const char *text = vt_safetensors_metadata(&c->file, key);
    vt_json *root = NULL;
    if (!text || vt_json_parse(&c->arena, text, strlen(text), &root) || root->kind != kind) return bad(c, key);
    *value = root;
    return VT_OK;
}

static vt_status read_strings(vt_checkpoint *c, const char *key, const vt_json *list, const char *const **items,
                              size_t *n)
{
    const char **out = vt_arena_alloc(&c->arena, ((size_t)list->count + 1) * sizeof *out);
    size_t i = 0;
    if (!out) return vt_fail_memory("checkpoint");
    for (const vt_json *v = list->first; v; v = v->next) {
        if (v->kind != VT_JSON_STRING) return bad(c, key);
        out[i++] = v->string;
    }
    *items = out;
    *n = i;
    return VT_OK;
}

static vt_status read_data(vt_checkpoint *c)
{
    const vt_json *o = NULL;
    vt_status st = parse(c, "vitc.data", VT_JSON_OBJECT, &o);
    if (st) return st;
    const vt_json *crop = vt_json_get(o, "crop_pct"), *filter = vt_json_get(o, "interpolation");
    const vt_json *split = vt_json_get(o, "val_split"), *seed = vt_json_get(o, "seed"), *held = vt_json_get(o,
                                                                                                            "held_out");
    if (!crop || !filter || !split || !seed || crop->kind != VT_JSON_NUMBER || filter->kind != VT_JSON_NUMBER ||
        filter->number < 0 || filter->number >= VT_FILTER_RANDOM)
        return bad(c, "vitc.data");
    c->preprocessing = (vt_preprocessing){crop->number, (vt_filter)(int)filter->number, split->number, seed->integer};
    return held ? read_strings(c, "vitc.data", held, &c->held_out, &c->held_out_count) : VT_OK;
}

static vt_status read_progress(vt_checkpoint *c)
{
    vt_progress *p = &c->progress;
    const vt_json *o = NULL;
    const struct { const char *key; int64_t *integer; double *number; } fields[] = {
        {"step", &p->step, NULL}, {"epoch", &p->epoch, NULL}, {"epoch_step", &p->epoch_step, NULL},
        {"epoch_loss", NULL, &p->epoch_loss}, {"epoch_seconds", NULL, &p->epoch_seconds},
        {"epoch_waited", NULL, &p->epoch_waited}, {"best_acc1", NULL, &p->best_acc1}};
    vt_status st = parse(c, "vitc.progress", VT_JSON_OBJECT, &o);
    for (size_t i = 0; st == VT_OK && i < sizeof fields / sizeof *fields; i++) {
        const vt_json *v = vt_json_get(o, fields[i].key);
        if (!v || v->kind != VT_JSON_NUMBER || (fields[i].integer && (!v->integral || v->integer < 0)))
            return bad(c, "vitc.progress");
        if (fields[i].integer) *fields[i].integer = v->integer;
        else *fields[i].number = v->number;
    }
    return st;
}

static vt_status read_class_weights(vt_checkpoint *c)
{
    const vt_json *list = NULL;
    if (!vt_safetensors_metadata(&c->file, "vitc.class_weights")) return VT_OK;
    vt_status st = parse(c, "vitc.class_weights", VT_JSON_ARRAY, &list);
    if (st) return st;
    float *weights = vt_arena_alloc(&c->arena, (size_t)c->model.classes * sizeof *weights), *at = weights;
    if (!weights) return vt_fail_memory("checkpoint");
    if (list->count != c->model.classes) return bad(c, "vitc.class_weights");
    for (const vt_json *v = list->first; v; v = v->next) {
        if (v->kind != VT_JSON_NUMBER) return bad(c, "vitc.class_weights");
        *at++ = (float)v->number;
    }
    c->class_weights = weights;
    return VT_OK;
}

static vt_status read_ours(vt_checkpoint *c)
{
    const vt_json *model = NULL, *classes = NULL;
    size_t n = 0;
    vt_status st = parse(c, "vitc.model", VT_JSON_OBJECT, &model);
    if (st == VT_OK) st = vt_model_config_read(&c->model, model, c->file.path);
    if (st == VT_OK) st = parse(c, "vitc.classes", VT_JSON_ARRAY, &classes);
    if (st == VT_OK) st = read_strings(c, "vitc.classes", classes, &c->classes, &n);
    if (st == VT_OK) st = read_data(c);
    if (st == VT_OK) st = read_progress(c);
    if (st == VT_OK) st = read_class_weights(c);
    if (st) return st;
    c->class_count = (int)n;
    c->recipe = vt_safetensors_metadata(&c->file, "vitc.recipe");
    c->weights = vt_safetensors_metadata(&c->file, "vitc.weights");
    c->gemm_algorithms = vt_safetensors_metadata(&c->file, "vitc.gemm_algorithms");
    return c->recipe && c->weights ? VT_OK : bad(c, "vitc.recipe");
}

/* The model of a run is its own; flags may repeat it. */
static vt_status check_flags(const vt_checkpoint *c, const vt_model_flags *flags)
{
    vt_model_config asked = c->model;
    vt_model_flags_override(flags, &asked);
    const struct { const char *flag; int value, own; } fields[] = {
        {"num-classes", asked.classes, c->model.classes},      {"img-size", asked.img_height, c->model.img_height},
        {"img-size", asked.img_width, c->model.img_width},     {"patch-size", asked.patch_size, c->model.patch_size},
        {"patch-stride", asked.patch_stride, c->model.patch_stride}, {"depth", asked.depth, c->model.depth},
        {"embed-dim", asked.embed_dim, c->model.embed_dim},    {"num-heads", asked.heads, c->model.heads},
        {"in-chans", asked.in_chans, c->model.in_chans}};
    if (flags->model && strcmp(flags->model, c->model.name) != 0)
        return vt_fail(VT_INVALID, "--model %s: %s holds a %s; leave the flag out", flags->model, c->file.path,
                       c->model.name);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (fields[i].value != fields[i].own)
            return vt_fail(VT_INVALID, "--%s %d: the model in %s has %d; leave the flag out", fields[i].flag,
                           fields[i].value, c->file.path, fields[i].own);
    return VT_OK;
}

/* A bare file: the shape comes from --model and its flags, or from the tensors. */
static vt_status read_bare(vt_checkpoint *c, const vt_model_flags *flags)
{
    c->recipe = "";
    c->weights = "raw";
    c->preprocessing = (vt_preprocessing){0.875, VT_FILTER_BICUBIC, 0.1, 0};
    if (!flags || !flags->model) return vt_model_config_infer(&c->model, &c->file);
    vt_status st = vt_model_flags_apply(flags, &c->model);
    const vt_safetensor *head = vt_safetensors_find(&c->file, "head.weight");
    if (st == VT_OK && !flags->num_classes && head && head->ndim == 2) c->model.classes = (int)head->shape[0];
    return st;
}

vt_status vt_checkpoint_open(vt_checkpoint *c, const char *path, const vt_model_flags *flags)
{
    *c = (vt_checkpoint){0};
    vt_status st = vt_safetensors_open(&c->file, path);
    if (st) return st;
    const char *format = vt_safetensors_metadata(&c->file, "vitc.format");
    c->ours = format != NULL;
    if (format && strcmp(format, "1") != 0)
        st = vt_fail(VT_INVALID, "%s: checkpoint format %s; this version reads format 1", path, format);
    else st = c->ours ? read_ours(c) : read_bare(c, flags);
    if (st == VT_OK && c->ours && flags) st = check_flags(c, flags);
    if (st) vt_checkpoint_close(c);
    return st;
}

void vt_checkpoint_close(vt_checkpoint *c)
{
    vt_safetensors_close(&c->file);
    vt_arena_free(&c->arena);
    *c = (vt_checkpoint){0};
}

static const char *const state_prefixes[] = {"ema.", "opt.", NULL};

vt_status vt_checkpoint_load_weights(const vt_checkpoint *c, const vt_store *params, vt_device *device, bool ema)
{
    if (ema && !vt_safetensors_find(&c->file, "ema.head.weight") && strcmp(c->weights, "ema") != 0)
        return vt_fail(VT_INVALID, "%s holds no EMA: leave --ema away", c->file.path);
    bool stored = ema && strcmp(c->weights, "train") == 0;
    return vt_weights_load(params, device, &c->file, stored ? "ema" : "", state_prefixes);
}

vt_status vt_checkpoint_load_model(const vt_checkpoint *c, vt_model **model, const vt_model_options *device, bool ema)
{
    vt_status st = vt_model_create(model, &c->model, device);
    if (st == VT_OK) st = vt_checkpoint_load_weights(c, &(*model)->params, (*model)->device, ema);
    if (st) {
        vt_model_destroy(*model);
        *model = NULL;
    }
    return st;
}

vt_status vt_checkpoint_load_trainer(const vt_checkpoint *c, vt_trainer *t)
{
    vt_device *d = t->model->device;
    if (strcmp(c->weights, "train") != 0)
        return vt_fail(VT_INVALID, "%s holds weights alone, no run to go on from: use --finetune", c->file.path);
    vt_status st = vt_weights_load(&t->model->params, d, &c->file, "", state_prefixes);
    for (int k = 0; k < t->stores.moments && st == VT_OK; k++)
        st = vt_weights_load(&t->stores.moment[k], d, &c->file, t->stores.moment[k].role, NULL);
    if (st == VT_OK && t->options.ema) st = vt_weights_load(&t->stores.ema, d, &c->file, t->stores.ema.role, NULL);
    t->number = (int32_t)c->progress.step;
    return st;
}
