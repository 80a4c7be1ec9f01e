#include "base/alloc.h"
#include "models/config.h"
#include "models/weights.h"
#include "train/checkpoint.h"

enum { METADATA = 9 };

/* One file under construction. */
typedef struct file {
    const vt_checkpoint_state *state;
    vt_arena arena;
    vt_metadata metadata[METADATA];
    int metadata_count;
    vt_save_tensor *tensors;
    vt_weight_source *sources;
    int count, capacity;
} file;

/* Takes the text over. */
static vt_status add_metadata(file *f, const char *key, vt_text *text)
{
    vt_status st = vt_text_status(text);
    char *value = st ? NULL : vt_arena_printf(&f->arena, "%s", vt_text_str(text));
    vt_text_free(text);
    if (!value) return vt_fail_memory("checkpoint metadata");
    f->metadata[f->metadata_count++] = (vt_metadata){key, value};
    return VT_OK;
}

static vt_status add_string(file *f, const char *key, const char *value)
{
    vt_text t = {0};
    vt_text_add(&t, value);
    return add_metadata(f, key, &t);
}

static vt_status add_progress(file *f)
{
    const vt_progress *p = &f->state->progress;
    vt_text t = {0};
    const struct { const char *key; int64_t value; } integers[] = {
        {"step", p->step}, {"epoch", p->epoch}, {"epoch_step", p->epoch_step}};
    const struct { const char *key; double value; } numbers[] = {
        {"epoch_loss", p->epoch_loss}, {"epoch_seconds", p->epoch_seconds}, {"epoch_waited", p->epoch_waited},
        {"best_acc1", p->best_acc1}};
    vt_json_open(&t, '{');
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        vt_json_key(&t, integers[i].key);
        vt_json_int(&t, integers[i].value);
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        vt_json_key(&t, numbers[i].key);
        vt_json_exact(&t, numbers[i].value);
    }
    vt_json_close(&t, '}');
    return add_metadata(f, "vitc.progress", &t);
}

static vt_status add_classes(file *f)
{
    vt_text t = {0};
    const vt_dataset *d = f->state->train;
    vt_json_open(&t, '[');
    for (int i = 0; i < vt_dataset_classes(d); i++) vt_json_string(&t, vt_dataset_class(d, i));
    vt_json_close(&t, ']');
    return add_metadata(f, "vitc.classes", &t);
}

static vt_status add_data(file *f)
{
    vt_text t = {0};
    const vt_preprocessing *p = &f->state->preprocessing;
    const vt_dataset *val = f->state->val;
    vt_json_open(&t, '{');
    vt_json_key(&t, "crop_pct");
    vt_json_exact(&t, p->crop_pct);
    vt_json_key(&t, "interpolation");
    vt_json_int(&t, p->interpolation);
    vt_json_key(&t, "val_split");
    vt_json_exact(&t, p->val_split);
    vt_json_key(&t, "seed");
    vt_json_int(&t, p->seed);
    if (vt_dataset_held_out(val)) {
        vt_json_key(&t, "held_out");
        vt_json_open(&t, '[');
        for (uint32_t i = 0; i < vt_dataset_count(val); i++) {
            char name[4096];
            vt_json_string(&t, vt_dataset_name(val, i, name, sizeof name));
        }
        vt_json_close(&t, ']');
    }
    vt_json_close(&t, '}');
    return add_metadata(f, "vitc.data", &t);
}

static vt_status add_model(file *f)
{
    vt_text t = {0};
    vt_model_config_write(&t, &f->state->trainer->model->config);
    return add_metadata(f, "vitc.model", &t);
}

static vt_status add_choices(file *f)
{
    vt_text t = {0};
    vt_device *d = f->state->trainer->model->device;
    if (!d->backend->choices) return VT_OK;
    vt_status st = d->backend->choices(d, &t);
    if (st == VT_OK) return add_metadata(f, "vitc.gemm_algorithms", &t);
    vt_text_free(&t);
    return st;
}

static vt_status add_class_weights(file *f)
{
    vt_text t = {0};
    const vt_checkpoint_state *s = f->state;
    if (!s->class_weights) return VT_OK;
    vt_json_open(&t, '[');
    for (int i = 0; i < s->trainer->model->config.classes; i++) vt_json_exact(&t, (double)s->class_weights[i]);
    vt_json_close(&t, ']');
    return add_metadata(f, "vitc.class_weights", &t);
}

static vt_status add_all_metadata(file *f, const char *weights)
{
    const vt_checkpoint_state *s = f->state;
    vt_status st = add_string(f, "vitc.format", "1");
    if (st == VT_OK) st = add_model(f);
    if (st == VT_OK) st = add_string(f, "vitc.recipe", s->recipe);
    if (st == VT_OK) st = add_classes(f);
    if (st == VT_OK) st = add_data(f);
    if (st == VT_OK) st = add_string(f, "vitc.weights", weights);
    if (st == VT_OK) st = add_progress(f);
    if (st == VT_OK) st = add_class_weights(f);
    return st;
}

static vt_status open_file(file *f, const vt_checkpoint_state *state, int stores)
{
    *f = (file){.state = state, .capacity = stores * state->trainer->model->params.count};
    f->tensors = vt_alloc((size_t)f->capacity * sizeof *f->tensors);
    f->sources = vt_alloc((size_t)f->capacity * sizeof *f->sources);
    return f->tensors && f->sources ? VT_OK : vt_fail_memory("checkpoint");
}

static vt_status add_store(file *f, const vt_store *store, const char *prefix)
{
    vt_device *d = f->state->trainer->model->device;
    vt_status st = vt_weights_save(store, d, prefix, &f->arena, f->sources + f->count, f->tensors + f->count);
    f->count += store->count;
    return st;
}

static void close_file(file *f)
{
    vt_arena_free(&f->arena);
    vt_free(f->tensors);
    vt_free(f->sources);
}

vt_status vt_checkpoint_save(const vt_checkpoint_state *state, const char *path)
{
    const vt_trainer *t = state->trainer;
    file f;
    vt_status st;
    VT_TRY(open_file(&f, state, 2 + t->stores.moments));
    VT_TRY(add_store(&f, &t->model->params, ""));
    for (int k = 0; k < t->stores.moments; k++)
        VT_TRY(add_store(&f, &t->stores.moment[k], t->stores.moment[k].role));
    if (t->options.ema) VT_TRY(add_store(&f, &t->stores.ema, t->stores.ema.role));
    VT_TRY(add_all_metadata(&f, "train"));
    VT_TRY(add_choices(&f));
    st = vt_safetensors_write(path, f.tensors, f.count, f.metadata, f.metadata_count);
fail:
    close_file(&f);
    return st;
}

vt_status vt_checkpoint_save_best(const vt_checkpoint_state *state, bool ema, const char *path)
{
    const vt_trainer *t = state->trainer;
    file f;
    vt_status st;
    VT_TRY(open_file(&f, state, 1));
    VT_TRY(add_store(&f, ema ? &t->stores.ema : &t->model->params, ""));
    VT_TRY(add_all_metadata(&f, ema ? "ema" : "raw"));
    st = vt_safetensors_write(path, f.tensors, f.count, f.metadata, f.metadata_count);
fail:
    close_file(&f);
    return st;
}
