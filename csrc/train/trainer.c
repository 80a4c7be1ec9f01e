#include "train/trainer.h"

#include "base/alloc.h"
#include "data/erase.h"
#include "train/schedule.h"
#include "train/teacher.h"

vt_train_options vt_train_defaults(void)
{
    return (vt_train_options){.batch_size = 64, .micro_batches = 1, .lanes = 8, .optimizer = "adamw",
                              .weight_decay = 0.05, .eps = 1e-8, .momentum = 0.9, .layer_decay = 1,
                              .smoothing = 0.1f, .ema_decay = 0.99996f,
                              .loss = {.bce_threshold = -1, .distill_alpha = 0.5, .distill_tau = 1}};
}

vt_status vt_trainer_config(vt_step_config *c, const vt_model_config *model, const vt_train_options *o)
{
    if (o->batch_size < 1 || o->micro_batches < 1)
        return vt_fail(VT_INVALID, "a step of %d micro-batches of %d samples: both must be at least 1",
                       o->micro_batches, o->batch_size);
    if (o->erase_boxes < 0 || o->erase_boxes > VT_ERASE_MOST || o->erase_mode < VT_ERASE_CONST ||
        o->erase_mode > VT_ERASE_PIXEL)
        return vt_fail(VT_INVALID, "%d boxes to erase, mode %d: want 0 to %d, and 0, 1 or 2", o->erase_boxes,
                       o->erase_mode, VT_ERASE_MOST);
    const vt_optimizer *kind;
    vt_status st = vt_optimizer_find(&kind, o->optimizer ? o->optimizer : "adamw");
    if (st) return st;
    if (!(o->layer_decay > 0 && o->layer_decay <= 1))
        return vt_fail(VT_INVALID, "layer decay %g: must be above 0, and 1 at most", o->layer_decay);
    bool own = o->beta1 == 0 && o->beta2 == 0;
    *c = (vt_step_config){.model = *model,
                          .micro_batch = o->batch_size,
                          .micro_count = o->micro_batches,
                          .lanes = o->lanes,
                          .image_dtype = VT_U8,
                          .targets = VT_TARGETS_LABELS,
                          .smoothing = o->smoothing,
                          .loss = o->loss,
                          .erase_boxes = o->erase_boxes,
                          .erase = (vt_erase_mode)o->erase_mode,
                          .mixing = o->mixing,
                          .train = true,
                          .recompute = o->recompute,
                          .update = true,
                          .ema = o->ema,
                          .optimizer = kind,
                          .rule = {.beta1 = own ? kind->beta1 : o->beta1, .beta2 = own ? kind->beta2 : o->beta2,
                                   .eps = o->eps, .momentum = o->momentum},
                          .layer_decay = o->layer_decay,
                          .freeze = o->freeze,
                          .attn_only = o->attn_only,
                          .no_decay = o->no_decay,
                          .seed = o->seed};
    return VT_OK;
}

static vt_status load_teacher(vt_trainer *t)
{
    vt_teacher *teacher = t->options.loss.teacher;
    if (!teacher) return VT_OK;
    vt_status st = vt_teacher_check(teacher, &t->model->config, NULL);
    if (st == VT_OK) st = vt_teacher_load(teacher, t->model->device);
    if (st == VT_OK) t->teacher = teacher;
    return st;
}

/* What is bound where a micro-batch brings no erasing or mixing of its own. */
static vt_status make_idle_effects(vt_trainer *t)
{
    const vt_train_options *o = &t->options;
    size_t batch = (size_t)o->batch_size;
    if (o->erase_boxes) t->boxes = vt_alloc(batch * (size_t)o->erase_boxes * 4 * sizeof *t->boxes);
    if (o->erase_boxes && !t->boxes) return vt_fail_memory("trainer");
    if (!o->mixing) return VT_OK;
    t->unmixed.where = vt_alloc(5 * batch * sizeof *t->unmixed.where);
    t->unmixed.weights = vt_alloc(3 * batch * sizeof *t->unmixed.weights);
    if (!t->unmixed.where || !t->unmixed.weights) return vt_fail_memory("trainer");
    vt_mixing_none(o->batch_size, &t->unmixed);
    return VT_OK;
}

vt_status vt_trainer_create(vt_trainer **trainer, vt_model *model, const vt_train_options *o)
{
    vt_status st;
    vt_trainer *t = vt_alloc(sizeof *t);
    *trainer = NULL;
    if (!t) return vt_fail_memory("trainer");
    t->model = model;
    t->options = *o;
    VT_TRY(vt_trainer_config(&t->config, &model->config, o));
    t->config.precision = model->device->precision;
    VT_TRY(load_teacher(t));
    VT_TRY(vt_stores_create(&t->stores, &model->params, &t->config));
    VT_TRY(vt_step_build(&t->step, &t->config, &t->stores, 0));
    VT_TRY(vt_stores_bind(&t->stores, model->device, o->ema));
    vt_stores_weigh(&t->stores, model->device, o->loss.class_weights);
    VT_TRY(vt_exec_create(&t->exec, t->step.graph, &model->workspace));
    VT_TRY(vt_exec_watch(t->exec, (const vt_tensor *[]){t->step.flag, t->step.loss, t->step.norm}, 3));
    t->slots = vt_alloc((size_t)o->batch_size * (size_t)o->micro_batches * sizeof *t->slots);
    if (!t->slots) {
        st = vt_fail_memory("trainer");
        goto fail;
    }
    for (int k = 0; k < o->micro_batches; k++)
        for (int i = 0; i < o->batch_size; i++) t->slots[k * o->batch_size + i] = i * o->micro_batches + k;
    VT_TRY(make_idle_effects(t));
    if (o->ema) vt_store_copy(&t->stores.ema, &model->params, model->device);
    *trainer = t;
    return VT_OK;
fail:
    vt_trainer_destroy(t);
    return st;
}

void vt_trainer_destroy(vt_trainer *t)
{
    if (!t) return;
    vt_exec_destroy(t->exec);
    vt_step_free(&t->step);
    vt_stores_free(&t->stores, t->model->device);
    if (t->teacher) vt_teacher_unload(t->teacher);
    vt_free(t->slots);
    vt_free(t->boxes);
    vt_free(t->unmixed.where);
    vt_free(t->unmixed.weights);
    vt_free(t);
}

static void bind(vt_trainer *t, const vt_micro *micros)
{
    for (int k = 0; k < t->options.micro_batches; k++) {
        const vt_step_inputs *in = &t->step.inputs[k];
        vt_exec_bind_tensor(t->exec, in->images, micros[k].images);
        vt_exec_bind_tensor(t->exec, in->targets, micros[k].labels);
        vt_exec_bind_tensor(t->exec, in->slots, micros[k].slots);
        if (in->boxes) vt_exec_bind_tensor(t->exec, in->boxes, micros[k].boxes ? micros[k].boxes : t->boxes);
        if (!in->where) continue;
        bool mixed = micros[k].where != NULL;
        vt_exec_bind_tensor(t->exec, in->where, mixed ? micros[k].where : t->unmixed.where);
        vt_exec_bind_tensor(t->exec, in->weights, mixed ? micros[k].weights : t->unmixed.weights);
    }
}

/* The flag says that a step changed nothing, nor did those queued behind it; a second run of it, looking at every
 * tensor, says why. */
static vt_status explain(vt_trainer *t, int back)
{
    t->number -= t->unread; /* where inputs are read in place, the second run draws as the first did */
    t->unread = 0;
    vt_status st = vt_exec_run_checked(t->exec, back);
    float zero = 0;
    vt_store_write(&t->stores.state, t->model->device, t->step.flag->entry, 0, &zero, 1);
    if (st == VT_OK) st = vt_fail(VT_FAILED, "loss or gradient norm is not finite, but no op's output is");
    return vt_fail_in(st, "step %d is not finite and was not taken; the weights are those before it: lower --lr or set "
                      "--clip-grad", (int)t->number);
}

vt_status vt_trainer_queue(vt_trainer *t, const vt_micro *micros, float lr)
{
    const vt_train_options *o = &t->options;
    t->control[VT_CONTROL_LR] = lr;
    t->control[VT_CONTROL_DECAY] = (float)o->weight_decay;
    t->control[VT_CONTROL_EMA_DECAY] = (float)vt_ema_decay(o->ema_decay, o->ema_warmup, t->number);
    t->control[VT_CONTROL_MAX_NORM] = o->clip_grad;
    bind(t, micros);
    vt_exec_bind(t->exec, "step", &t->number);
    vt_exec_bind(t->exec, "control", t->control);
    vt_status st = vt_exec_run(t->exec);
    if (st) return st;
    t->number++;
    t->unread++;
    return VT_OK;
}

vt_status vt_trainer_read(vt_trainer *t, float *loss, float *norm)
{
    float seen[VT_WATCHED];
    vt_status st = vt_exec_watched(t->exec, t->unread - 1, seen);
    if (st) return st;
    if (seen[0] != 0) return explain(t, t->unread - 1);
    *loss = seen[1];
    *norm = seen[2];
    t->unread--;
    return VT_OK;
}

int vt_trainer_depth(const vt_trainer *t)
{
    return vt_device_depth(t->model->device);
}

vt_status vt_trainer_step(vt_trainer *t, const uint8_t *images, const int32_t *labels, float lr, float *loss)
{
    const vt_model_config *c = &t->model->config;
    const vt_train_options *o = &t->options;
    size_t pixels = (size_t)c->img_height * (size_t)c->img_width * (size_t)c->in_chans;
    size_t samples = (size_t)o->batch_size * (size_t)o->micro_batches;
    for (size_t i = 0; i < samples; i++)
        if (labels[i] < 0 || labels[i] >= c->classes)
            return vt_fail(VT_INVALID, "label %d of sample %zu: the model has %d classes", (int)labels[i], i,
                           c->classes);
    vt_micro *micros = vt_alloc((size_t)o->micro_batches * sizeof *micros);
    if (!micros) return vt_fail_memory("micro-batches");
    for (int k = 0; k < o->micro_batches; k++) {
        size_t at = (size_t)k * (size_t)o->batch_size;
        micros[k] = (vt_micro){.images = images + at * pixels, .labels = labels + at, .slots = t->slots + at};
    }
    float norm;
    vt_status st = vt_trainer_queue(t, micros, lr);
    if (st == VT_OK) st = vt_trainer_read(t, loss, &norm);
    vt_free(micros);
    return st;
}
