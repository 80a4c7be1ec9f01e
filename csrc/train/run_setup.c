#include "train/run_setup.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/pool.h"
#include "models/finetune.h"
#include "train/compat.h"
#include "train/freeze.h"
#include "train/logs.h"

/* These may differ from the recorded ones on resume: they do not change results, or are meant to be changed. */
static const char free_on_resume[] = "epochs,max-steps,device,cpu,threads,num-workers,data-path,output-dir,resume,"
                                     "overwrite,save-steps,checkpoint-hist,config,finetune,teacher-path";

static void say(const vt_run_parts *r, const char *text)
{
    if (r->console.out) fputs(text, r->console.out);
}

/* The newest checkpoint of the folder that can be read: last, else the checkpoint-N of the highest N. */
static vt_status open_newest(vt_run_parts *r)
{
    char path[VT_PATH_BYTES], name[64];
    vt_status st = vt_logs_path(path, r->settings->run.output_dir, "last.safetensors");
    if (st) return st;
    if (access(path, F_OK) == 0 && vt_checkpoint_open(&r->resumed, path, NULL) == VT_OK) return VT_OK;
    for (int epoch = r->settings->recipe.epochs; epoch >= 0; epoch--) {
        snprintf(name, sizeof name, "checkpoint-%d.safetensors", epoch);
        st = vt_logs_path(path, r->settings->run.output_dir, name);
        if (st) return st;
        if (access(path, F_OK) == 0 && vt_checkpoint_open(&r->resumed, path, NULL) == VT_OK) return VT_OK;
    }
    return VT_OK;
}

vt_status vt_run_resume(vt_run_parts *r)
{
    const char *from = r->settings->run.resume;
    if (!from) return VT_OK;
    vt_status st = strcmp(from, "auto") == 0 ? open_newest(r) : vt_checkpoint_open(&r->resumed, from, NULL);
    if (st || !r->resumed.file.path) return st;
    if (!r->resumed.ours || strcmp(r->resumed.weights, "train") != 0)
        return vt_fail(VT_INVALID, "--resume %s: weights alone, no run to go on from: use --finetune", from);
    st = vt_options_resume(r->options, r->resumed.recipe, free_on_resume);
    return st ? vt_fail_in(st, "--resume %s", r->resumed.file.path) : VT_OK;
}

static vt_status open_datasets(vt_run_parts *r)
{
    const vt_settings *s = r->settings;
    if (!s->data.data_path) return vt_fail(VT_INVALID, "--data-path is missing: a folder of images");
    int chans = s->model.in_chans ? s->model.in_chans : 3;
    if (chans != 1 && chans != 3)
        return vt_fail(VT_INVALID, "--in-chans %d: images have 1 or 3 channels (other numbers are for `vitc trace`)",
                       chans);
    vt_dataset_options o = {.val_split = s->data.val_split, .seed = (uint64_t)s->recipe.seed,
                            .num_classes = s->model.num_classes, .in_chans = chans,
                            .val_names = r->resumed.held_out, .val_count = r->resumed.held_out_count,
                            .class_names = r->resumed.classes, .class_count = r->resumed.class_count};
    vt_status st = vt_dataset_open(&r->train, s->data.data_path, VT_SPLIT_TRAIN, &o);
    if (st == VT_OK) st = vt_dataset_open(&r->val, s->data.data_path, VT_SPLIT_VAL, &o);
    return st;
}

/* What was found, and what of it is not used. */
static void say_data(const vt_run_parts *r)
{
    const char *first;
    if (!r->console.out) return;
    fprintf(r->console.out, "data: %s, %u training and %u validation images, %d classes\n",
            vt_dataset_kind_name(r->train), vt_dataset_count(r->train), vt_dataset_count(r->val),
            vt_dataset_classes(r->train));
    long ignored = vt_dataset_ignored(r->train, &first);
    if (ignored)
        fprintf(r->console.out, "data: %ld files are neither PNG nor JPEG by name, such as %s\n", ignored, first);
}

/* Micro-batches of a step over all processes, and the sampler that deals them. */
static vt_sampler sampler_of(const vt_run_parts *r)
{
    const vt_recipe *c = &r->settings->recipe;
    int micro = c->micro_batch_size ? c->micro_batch_size : c->batch_size;
    return (vt_sampler){.samples = vt_dataset_count(r->train), .seed = (uint64_t)c->seed, .train = 1,
                        .repeats = c->repeats < 1 ? 1 : c->repeats, .micro_batch = micro,
                        .micros = c->batch_size / micro * c->grad_accum_steps};
}

static vt_status settle_compat(vt_run_parts *r)
{
    vt_text report = {0};
    vt_status st = vt_compat_apply(r->options, r->settings, &r->config, &report);
    if (st == VT_OK) st = vt_text_status(&report);
    if (st == VT_OK) say(r, vt_text_str(&report));
    vt_text_free(&report);
    return st;
}

static vt_status settle_preset(vt_run_parts *r)
{
    vt_text report = {0};
    vt_sampler sampler = sampler_of(r);
    sampler.repeats = 1;
    int side = r->config.img_height < r->config.img_width ? r->config.img_width : r->config.img_height;
    vt_status st = vt_recipe_preset(r->options, r->settings, vt_dataset_count(r->train), vt_sampler_steps(&sampler),
                                    side, &report);
    if (st == VT_OK) st = vt_text_status(&report);
    if (st == VT_OK) say(r, vt_text_str(&report));
    vt_text_free(&report);
    return st;
}

static void settle_schedule(vt_run_parts *r)
{
    const vt_recipe *c = &r->settings->recipe;
    double global = (double)c->batch_size * c->grad_accum_steps;
    r->schedule = (vt_schedule){.kind = (vt_schedule_kind)c->sched,
                                .lr = c->unscale_lr ? c->lr : c->lr * global / 512,
                                .warmup_lr = c->warmup_lr, .min_lr = c->min_lr,
                                .total = r->steps_per_epoch * c->epochs,
                                .warmup = llround(c->warmup_epochs * (double)r->steps_per_epoch),
                                .decay_every = c->decay_epochs * (double)r->steps_per_epoch,
                                .decay_rate = c->decay_rate,
                                .per_epoch = r->steps_per_epoch, .per_epoch_updates = c->sched_per_epoch,
                                .lag = c->sched_lag};
}

int64_t vt_run_steps(const vt_run_parts *r)
{
    int64_t most = r->settings->recipe.max_steps;
    return most && most < r->schedule.total ? most : r->schedule.total;
}

static uint8_t level_of(float mean)
{
    double level = rint(255 * (double)mean);
    return (uint8_t)(level < 0 ? 0 : level > 255 ? 255 : level);
}

static vt_status settle_transforms(vt_run_parts *r)
{
    const vt_settings *s = r->settings;
    const vt_model_config *c = &r->config;
    vt_transform *t = &r->loading.transform;
    *t = vt_transform_default(c->img_height, c->img_width, c->in_chans, true);
    for (int i = 0; i < 2; i++) {
        t->scale[i] = s->recipe.scale[i];
        t->ratio[i] = s->recipe.ratio[i];
    }
    t->hflip = s->recipe.hflip;
    t->vflip = s->recipe.vflip;
    t->train_interpolation = s->recipe.train_interpolation;
    t->jpeg_scale = s->images.jpeg_scale == VT_JPEG_AUTO;
    for (int i = 0; i < c->in_chans && i < 3; i++) t->fill[i] = level_of(c->mean[i]);
    vt_status st = vt_recipe_augment(&s->recipe, &t->augment);
    if (st) return st;
    r->evaluation = vt_transform_default(c->img_height, c->img_width, c->in_chans, false);
    r->evaluation.crop_pct = s->images.crop_pct;
    r->evaluation.interpolation = s->images.interpolation;
    st = vt_transform_check(t);
    return st ? st : vt_transform_check(&r->evaluation);
}

vt_status vt_run_open_data(vt_run_parts *r)
{
    const vt_settings *s = r->settings;
    vt_status st = vt_model_flags_apply(&s->model, &r->config);
    if (st == VT_OK) st = vt_image_flags_apply(&s->images, &r->config);
    if (st == VT_OK) st = vt_model_check(&r->config);
    if (st == VT_OK) st = settle_compat(r);
    if (st == VT_OK) st = vt_recipe_check(r->options, s);
    if (st == VT_OK) st = open_datasets(r);
    if (st) return st;
    say_data(r);
    if (!s->model.num_classes) r->config.classes = vt_dataset_classes(r->train);
    st = settle_preset(r);
    if (st == VT_OK) st = settle_transforms(r);
    if (st) return st;
    int processors = vt_pool_default_threads();
    r->loading.sampler = sampler_of(r);
    r->loading.micro_end = r->loading.sampler.micros;
    r->loading.epochs = (uint32_t)s->recipe.epochs;
    r->loading.workers = s->data.num_workers < processors ? s->data.num_workers : processors;
    r->loading.prefetch = VT_PREFETCH;
    r->loading.skip_bad = s->data.bad_images;
    vt_effects_flags_apply(&s->recipe.effects, &r->loading.erase, &r->loading.mixing);
    r->steps_per_epoch = vt_sampler_steps(&r->loading.sampler);
    if (!r->steps_per_epoch)
        return vt_fail(VT_INVALID, "--batch-size %d x --grad-accum-steps %d: larger than the %u training images of %s",
                       s->recipe.batch_size, s->recipe.grad_accum_steps, vt_dataset_count(r->train), s->data.data_path);
    settle_schedule(r);
    vt_options_write_json(r->options, &r->recipe);
    return vt_text_status(&r->recipe);
}

vt_status vt_run_open_loss(vt_run_parts *r)
{
    vt_status st = vt_loss_open(&r->loss, &r->settings->recipe.loss, &r->config, r->train, r->resumed.class_weights);
    const float *w = r->loss.class_weights;
    if (st || !w || !r->console.out) return st;
    float least = w[0], most = w[0];
    for (int k = 1; k < r->config.classes; k++) {
        least = fminf(least, w[k]);
        most = fmaxf(most, w[k]);
    }
    fprintf(r->console.out, "class weights: %.4g to %.4g\n", (double)least, (double)most);
    return VT_OK;
}

/* What --finetune asks for, and its file, opened. */
static vt_status open_finetune(const vt_run_parts *r, vt_safetensors *f, vt_finetune *how)
{
    const vt_model_config *c = &r->config;
    int stride = c->patch_stride ? c->patch_stride : c->patch_size;
    *how = (vt_finetune){.extra_tokens = c->no_embed_class ? 0 : 1 + c->distilled,
                         .grid_h = (c->img_height - c->patch_size) / stride + 1,
                         .grid_w = (c->img_width - c->patch_size) / stride + 1,
                         .antialias = r->settings->run.antialias};
    return vt_safetensors_open(f, r->settings->run.finetune);
}

vt_status vt_run_finetune_table(const vt_run_parts *r, const vt_store *params, vt_text *table)
{
    vt_safetensors f;
    vt_finetune how;
    if (!r->settings->run.finetune || r->resumed.file.path) return VT_OK;
    vt_status st = open_finetune(r, &f, &how);
    if (st) return st;
    st = vt_finetune_table(params, &f, &how, table);
    vt_safetensors_close(&f);
    return st;
}

static vt_status finetune(vt_run_parts *r)
{
    vt_safetensors f;
    vt_finetune how;
    vt_text table = {0};
    vt_status st = vt_run_finetune_table(r, &r->model->params, &table);
    if (st == VT_OK) say(r, vt_text_str(&table));
    vt_text_free(&table);
    if (st == VT_OK) st = open_finetune(r, &f, &how);
    if (st) return st;
    st = vt_finetune_load(&r->model->params, r->model->device, &f, &how);
    vt_safetensors_close(&f);
    return st;
}

/* The algorithms that the run has used so far. On another device or library it goes on without. */
static void adopt_choices(vt_run_parts *r)
{
    vt_device *d = r->model->device;
    if (!r->resumed.gemm_algorithms || !d->backend->adopt) return;
    if (d->backend->adopt(d, r->resumed.gemm_algorithms) == VT_OK || !r->console.out) return;
    fprintf(r->console.out, "note: %s: %s; results differ in their last bits\n", r->resumed.file.path, vt_error());
}

vt_status vt_run_open_model(vt_run_parts *r)
{
    vt_status st;
    int64_t trained;
    vt_model_options device = {0};
    const vt_recipe *c = &r->settings->recipe;
    vt_train_options o = vt_recipe_train_options(c, r->loading.sampler.micros);
    o.loss = r->loss;
    int batch = o.batch_size < VT_EVAL_BATCH ? o.batch_size : VT_EVAL_BATCH;
    VT_TRY(vt_device_flags_open(&r->settings->device, "bf16", &device));
    device.seed = (uint64_t)c->seed;
    VT_TRY(vt_model_create(&r->model, &r->config, &device));
    if (r->console.out)
        fprintf(r->console.out, "device: %s  model: %s, %.2f M parameters, %d classes\n", r->model->device->about,
                r->config.name, 1e-6 * (double)vt_model_parameters(r->model), r->config.classes);
    adopt_choices(r);
    if (r->settings->run.finetune && !r->resumed.file.path) VT_TRY(finetune(r));
    VT_TRY(vt_trainer_create(&r->trainer, r->model, &o));
    trained = vt_trained_parameters(&r->model->params);
    if (r->console.out && trained < vt_model_parameters(r->model))
        fprintf(r->console.out, "frozen: all but %lld parameters\n", (long long)trained);
    if (r->resumed.file.path) {
        VT_TRY(vt_checkpoint_load_trainer(&r->resumed, r->trainer));
        r->progress = r->resumed.progress;
    } else {
        r->progress = (vt_progress){.best_acc1 = -1};
    }
    VT_TRY(vt_eval_build(&r->raw, &r->config, &r->model->params, VT_U8, batch, r->model->device->precision));
    VT_TRY(vt_eval_open(&r->raw, &r->model->workspace));
    if (o.ema) VT_TRY(vt_eval_build(&r->ema, &r->config, &r->trainer->stores.ema, VT_U8, batch,
                                     r->model->device->precision));
    if (o.ema) VT_TRY(vt_eval_open(&r->ema, &r->model->workspace));
fail:
    return st;
}

void vt_run_close(vt_run_parts *r)
{
    vt_eval_close(&r->raw);
    vt_eval_close(&r->ema);
    vt_trainer_destroy(r->trainer);
    vt_model_destroy(r->model);
    vt_loss_close(&r->loss);
    vt_dataset_close(r->train);
    vt_dataset_close(r->val);
    vt_text_free(&r->recipe);
    if (r->resumed.file.path) vt_checkpoint_close(&r->resumed);
}
