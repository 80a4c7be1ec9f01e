#include "train/trace.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "models/model.h"
#include "models/weights.h"
#include "train/schedule.h"
#include "train/teacher.h"
#include "train/trainer.h"

/* One traced batch on the host. */
typedef struct batch {
    const vt_safetensor *images, *targets, *labels;
    int64_t size;          /* B */
    int64_t count;         /* leading [N], 1 without */
    float *nhwc;           /* [B, H, W, C] of the step last prepared */
    float *soft;           /* [B, K] */
    int32_t *classes;      /* [B] */
    int32_t *slots;        /* [B] */
} batch;

typedef struct trace {
    const vt_trace *o;
    vt_safetensors inputs;
    vt_model *model;
    vt_step_config config;
    vt_stores stores;
    vt_loss_options loss;
    batch batch;
    vt_arena memory;       /* host copies of what is written, and names */
    vt_save_tensor *saved;
    int saved_count, saved_capacity;
} trace;

static vt_status bad_input(const trace *t, const char *name, const char *want)
{
    return vt_fail(VT_INVALID, "%s: tensor %s: %s", t->o->inputs, name, want);
}

/* How many batches a tensor brings whose single batch has `ndim` axes. */
static int64_t leading(const vt_safetensor *t, int ndim)
{
    return t->ndim == ndim + 1 ? t->shape[0] : 1;
}

static vt_status find_batch(trace *t)
{
    batch *b = &t->batch;
    const vt_model_config *c = &t->model->config;
    b->images = vt_safetensors_find(&t->inputs, "images");
    b->targets = vt_safetensors_find(&t->inputs, "targets");
    b->labels = vt_safetensors_find(&t->inputs, "labels");
    const vt_safetensor *x = b->images;
    if (!x || x->ndim < 4 || x->ndim > 5 || x->dtype != VT_F32) return bad_input(t, "images", "wants f32 [B, C, H, W]");
    const int64_t *shape = x->shape + (x->ndim - 4);
    b->count = leading(x, 4);
    b->size = shape[0];
    if (shape[1] != c->in_chans || shape[2] != c->img_height || shape[3] != c->img_width || b->size < 1 ||
        b->count < 1) {
        char want[128];
        snprintf(want, sizeof want, "the model wants [B, %d, %d, %d]; see --in-chans and --img-size", c->in_chans,
                 c->img_height, c->img_width);
        return bad_input(t, "images", want);
    }
    const vt_safetensor *y = b->targets ? b->targets : b->labels;
    int ndim = b->targets ? 2 : 1;
    if (!y)
        return t->o->backward || t->o->steps || t->o->loss->distillation
                   ? bad_input(t, "targets", "missing, and so is labels: a loss needs one") : VT_OK;
    const int64_t *ys = y->shape + (y->ndim - ndim);
    if (y->ndim < ndim || y->ndim > ndim + 1 || ys[0] != b->size ||
        (b->targets && (ys[1] != c->classes || y->dtype != VT_F32)))
        return bad_input(t, y->name, b->targets ? "wants f32 [B, classes]" : "wants i64 [B]");
    if (leading(y, ndim) != 1 && leading(y, ndim) != b->count)
        return bad_input(t, y->name, "another number of batches than images");
    return VT_OK;
}

static vt_status take_batch_memory(trace *t)
{
    batch *b = &t->batch;
    const vt_model_config *c = &t->model->config;
    size_t n = (size_t)b->size, pixels = (size_t)c->img_height * (size_t)c->img_width * (size_t)c->in_chans;
    b->nhwc = vt_arena_alloc(&t->memory, n * pixels * sizeof *b->nhwc);
    b->soft = vt_arena_alloc(&t->memory, n * (size_t)c->classes * sizeof *b->soft);
    b->classes = vt_arena_alloc(&t->memory, n * sizeof *b->classes);
    b->slots = vt_arena_alloc(&t->memory, n * sizeof *b->slots);
    if (!b->nhwc || !b->soft || !b->classes || !b->slots) return vt_fail_memory("traced batch");
    for (int32_t i = 0; i < b->size; i++) b->slots[i] = i;
    return VT_OK;
}

/* Copies batch `step` (modulo what there is): pixels to channels-last, labels checked. */
static vt_status prepare_batch(trace *t, int64_t step)
{
    batch *b = &t->batch;
    const vt_model_config *c = &t->model->config;
    int64_t plane = (int64_t)c->img_height * c->img_width, image = plane * c->in_chans;
    const char *from = (const char *)b->images->data + (size_t)(step % b->count * b->size * image) * sizeof(float);
    for (int64_t i = 0; i < b->size; i++)
        for (int64_t ch = 0; ch < c->in_chans; ch++)
            for (int64_t p = 0; p < plane; p++)
                memcpy(&b->nhwc[i * image + p * c->in_chans + ch],
                       from + (size_t)(i * image + ch * plane + p) * sizeof(float),
                       sizeof(float)); /* the file's data need not be aligned */
    if (b->targets) {
        size_t bytes = (size_t)(b->size * c->classes) * sizeof(float);
        memcpy(b->soft, (const char *)b->targets->data + (size_t)(step % leading(b->targets, 2)) * bytes, bytes);
    } else if (b->labels) {
        size_t each = vt_dtype_bytes(b->labels->dtype);
        for (int64_t i = 0; i < b->size; i++) {
            int64_t label = 0, at = step % leading(b->labels, 1) * b->size + i;
            if (b->labels->dtype != VT_I64 && b->labels->dtype != VT_I32)
                return bad_input(t, "labels", "wants i64 [B]");
            memcpy(&label, (const char *)b->labels->data + (size_t)at * each, each);
            if (label < 0 || label >= c->classes)
                return bad_input(t, "labels", "a label is not below the number of classes");
            b->classes[i] = (int32_t)label;
        }
    }
    return VT_OK;
}

static void bind_batch(trace *t, vt_exec *e, const int32_t *step)
{
    vt_exec_bind(e, "images", t->batch.nhwc);
    vt_exec_bind(e, "targets", t->batch.soft);
    vt_exec_bind(e, "labels", t->batch.classes);
    vt_exec_bind(e, "slots", t->batch.slots);
    vt_exec_bind(e, "step", step);
}

/* The graph's "mask." inputs, each from the tensor of that name. */
static vt_status bind_masks(trace *t, const vt_graph *g, vt_exec *e, int64_t step)
{
    for (int i = 0; i < g->n_tensors; i++) {
        const vt_tensor *in = g->tensors[i];
        if (in->memory != VT_INPUT || strncmp(in->name, "mask.", 5) != 0) continue;
        const vt_safetensor *m = vt_safetensors_find(&t->inputs, in->name);
        if (!m || m->dtype != VT_F32 || m->ndim < 1 || m->ndim > 2 || m->shape[m->ndim - 1] != t->batch.size)
            return bad_input(t, in->name, "missing or not f32 [B]: --train with drop-path needs it, or --drop-path 0");
        float *mask = vt_arena_alloc(&t->memory, (size_t)t->batch.size * sizeof *mask);
        if (!mask) return vt_fail_memory("drop-path mask");
        size_t bytes = (size_t)t->batch.size * sizeof *mask;
        memcpy(mask, (const char *)m->data + (size_t)(step % leading(m, 1)) * bytes, bytes);
        vt_exec_bind(e, in->name, mask);
    }
    return VT_OK;
}

/* A tensor to be written; returns where its values go. */
static float *save(trace *t, const char *name, int ndim, const int64_t *shape)
{
    if (t->saved_count == t->saved_capacity) {
        int capacity = t->saved_capacity ? 2 * t->saved_capacity : 256;
        vt_save_tensor *grown =
            vt_realloc(t->saved, (size_t)t->saved_capacity * sizeof *grown, (size_t)capacity * sizeof *grown);
        if (!grown) return NULL;
        t->saved = grown;
        t->saved_capacity = capacity;
    }
    vt_save_tensor *s = &t->saved[t->saved_count];
    size_t n = 1;
    *s = (vt_save_tensor){.dtype = VT_F32, .ndim = ndim};
    for (int i = 0; i < ndim; i++) n *= (size_t)(s->shape[i] = shape[i]);
    float *values = vt_arena_alloc(&t->memory, n * sizeof *values);
    s->name = vt_arena_printf(&t->memory, "%s", name);
    s->data = values;
    if (!values || !s->name) return NULL;
    t->saved_count++;
    return values;
}

static vt_status save_tensor(trace *t, vt_exec *e, const char *name, const vt_tensor *x)
{
    float *values = save(t, name, x->ndim, x->shape);
    if (!values) return vt_fail_memory(name);
    vt_exec_read(e, x, values);
    return VT_OK;
}

static vt_status save_logits(trace *t, vt_exec *e, vt_heads heads)
{
    vt_status st = save_tensor(t, e, "logits", heads.logits);
    if (st || !heads.logits_dist) return st;
    st = save_tensor(t, e, "logits_dist", heads.logits_dist);
    if (st) return st;
    const float *cls = t->saved[t->saved_count - 2].data, *dist = t->saved[t->saved_count - 1].data;
    float *mean = save(t, "logits_eval", heads.logits->ndim, heads.logits->shape);
    if (!mean) return vt_fail_memory("logits_eval");
    for (int64_t i = 0; i < vt_tensor_count(heads.logits); i++) mean[i] = 0.5f * (cls[i] + dist[i]);
    return VT_OK;
}

static vt_status save_marks(trace *t, vt_exec *e, const vt_graph *g)
{
    vt_status st = VT_OK;
    for (int i = 0; i < g->n_marks && st == VT_OK; i++)
        if (g->marks[i].tensor) st = save_tensor(t, e, g->marks[i].name, g->marks[i].tensor);
    return st;
}

static vt_status save_grads(trace *t, vt_exec *e, const vt_step *step)
{
    const vt_store *p = &t->model->params;
    for (int i = 0; i < p->count; i++) {
        const vt_entry *entry = &p->entries[i];
        int64_t shape[VT_MAX_DIMS];
        char name[300];
        if (entry->frozen) continue;
        vt_entry_file_shape(entry, shape);
        snprintf(name, sizeof name, "grad.%s", entry->name);
        float *values = save(t, name, entry->ndim, shape);
        float *memory = vt_alloc((size_t)entry->count * sizeof *memory);
        if (!values || !memory) {
            vt_free(memory);
            return vt_fail_memory(name);
        }
        if (step->grads[i]) vt_exec_read(e, step->grads[i], memory);
        vt_entry_to_file(entry, memory, values, sizeof *values);
        vt_free(memory);
    }
    return VT_OK;
}

static vt_status save_store(trace *t, const vt_store *s, const char *prefix)
{
    vt_status st = VT_OK;
    for (int i = 0; i < s->count && st == VT_OK; i++) {
        int64_t shape[VT_MAX_DIMS];
        char name[300];
        vt_entry_file_shape(&s->entries[i], shape);
        snprintf(name, sizeof name, "%s.%s", prefix, s->entries[i].name);
        float *values = save(t, name, s->entries[i].ndim, shape);
        st = values ? vt_weights_read_entry(s, t->model->device, i, values) : vt_fail_memory(name);
    }
    return st;
}

/* Of one step on the traced batch, and the stores that it needs. */
static vt_status configure(trace *t)
{
    vt_train_options o = t->o->update;
    o.batch_size = (int)t->batch.size;
    o.micro_batches = o.lanes = 1;
    o.smoothing = 0;
    o.loss = t->loss;
    vt_status st = vt_trainer_config(&t->config, &t->model->config, &o);
    if (st) return st;
    t->config.image_dtype = VT_F32;
    t->config.targets = t->batch.targets ? VT_TARGETS_SOFT : VT_TARGETS_LABELS;
    t->config.train = t->o->train;
    t->config.masks = true;
    t->config.precision = t->model->device->precision;
    return vt_stores_create(&t->stores, &t->model->params, &t->config);
}

/* Without targets there is a forward pass alone. */
static vt_status trace_forward(trace *t)
{
    const vt_model_config *c = &t->model->config;
    vt_graph *g = NULL;
    vt_exec *e = NULL;
    int32_t step = 0;
    int64_t shape[] = {t->batch.size, c->img_height, c->img_width, c->in_chans};
    vt_status st;
    VT_TRY(vt_graph_create(&g, VT_F32));
    g->precision = t->model->device->precision;
    vt_builder b = {.g = g, .params = &t->model->params, .train = t->o->train, .masks = true, .suffix = "",
                    .batch = t->batch.size};
    b.random = (vt_random){vt_graph_input(g, "step", VT_I32, 1, (int64_t[]){1}),
                           vt_graph_input(g, "slots", VT_I32, 1, &t->batch.size), 0};
    vt_nn_low_weights(&b);
    vt_heads heads = vt_model_build(&b, c, vt_graph_input(g, "images", VT_F32, 4, shape));
    VT_TRY(vt_graph_status(g));
    heads.logits->keep = true;
    if (heads.logits_dist) heads.logits_dist->keep = true;
    for (int i = 0; i < g->n_marks; i++)
        if (t->o->all && g->marks[i].tensor) g->marks[i].tensor->keep = true;
    VT_TRY(vt_graph_fold(g, vt_folds));
    VT_TRY(vt_graph_plan(g));
    VT_TRY(vt_exec_create(&e, g, &t->model->workspace));
    VT_TRY(prepare_batch(t, 0));
    bind_batch(t, e, &step);
    VT_TRY(bind_masks(t, g, e, 0));
    VT_TRY(vt_exec_run(e));
    VT_TRY(save_logits(t, e, heads));
    if (t->o->all) VT_TRY(save_marks(t, e, g));
fail:
    vt_exec_destroy(e);
    vt_graph_destroy(g);
    return st;
}

static vt_status trace_loss(trace *t)
{
    vt_step step = {0};
    vt_exec *e = NULL;
    int32_t number = 0;
    vt_step_config config = t->config;
    config.update = false;
    unsigned keep = VT_KEEP_LOGITS | (t->o->backward ? VT_KEEP_GRADS : 0) | (t->o->all ? VT_KEEP_MARKS : 0);
    vt_status st;
    VT_TRY(vt_step_build(&step, &config, &t->stores, keep));
    VT_TRY(vt_exec_create(&e, step.graph, &t->model->workspace));
    VT_TRY(prepare_batch(t, 0));
    bind_batch(t, e, &number);
    VT_TRY(bind_masks(t, step.graph, e, 0));
    VT_TRY(vt_exec_run(e));
    VT_TRY(save_logits(t, e, step.heads));
    if (step.teacher) VT_TRY(save_tensor(t, e, "logits_teacher", step.teacher));
    VT_TRY(save_tensor(t, e, "loss", step.loss));
    if (t->o->all) VT_TRY(save_marks(t, e, step.graph));
    if (t->o->backward) VT_TRY(save_grads(t, e, &step));
fail:
    vt_exec_destroy(e);
    vt_step_free(&step);
    return st;
}

static vt_status trace_steps(trace *t)
{
    const vt_trace *o = t->o;
    vt_step step = {0};
    vt_exec *e = NULL;
    const vt_train_options *u = &o->update;
    float control[VT_CONTROL_COUNT] = {(float)o->lr, (float)u->weight_decay, 0, u->clip_grad};
    vt_status st;
    float *losses = save(t, "losses", 1, (int64_t[]){o->steps});
    if (!losses) return vt_fail_memory("losses");
    VT_TRY(vt_step_build(&step, &t->config, &t->stores, 0));
    VT_TRY(vt_stores_bind(&t->stores, t->model->device, u->ema));
    if (u->ema) vt_store_copy(&t->stores.ema, &t->model->params, t->model->device);
    VT_TRY(vt_exec_create(&e, step.graph, &t->model->workspace));
    for (int32_t i = 0; i < o->steps; i++) {
        VT_TRY(prepare_batch(t, i));
        bind_batch(t, e, &i);
        control[VT_CONTROL_EMA_DECAY] = (float)vt_ema_decay(u->ema_decay, u->ema_warmup, i);
        vt_exec_bind(e, "control", control);
        VT_TRY(bind_masks(t, step.graph, e, i));
        VT_TRY(vt_exec_run(e));
        vt_exec_read(e, step.loss, &losses[i]);
    }
    VT_TRY(save_store(t, &t->model->params, "param"));
    if (u->ema) VT_TRY(save_store(t, &t->stores.ema, "ema"));
fail:
    vt_exec_destroy(e);
    vt_step_free(&step);
    return st;
}

/* The number of classes is the weights' own where it was not given. */
static vt_status open_model(trace *t)
{
    vt_model_config config = t->o->model;
    vt_safetensors w;
    vt_status st = vt_safetensors_open(&w, t->o->weights);
    if (st) return st;
    const vt_safetensor *head = vt_safetensors_find(&w, "head.weight");
    if (!config.classes && head && head->ndim == 2) config.classes = (int)head->shape[0];
    vt_safetensors_close(&w);
    if (!config.classes)
        return vt_fail(VT_INVALID, "%s: tensor head.weight [classes, width] is missing: is this file the weights?",
                       t->o->weights);
    st = vt_model_create(&t->model, &config, &t->o->device);
    return st ? st : vt_model_load(t->model, t->o->weights);
}

vt_status vt_trace_run(const vt_trace *o)
{
    vt_status st;
    trace t = {.o = o};
    VT_TRY(open_model(&t));
    VT_TRY(vt_safetensors_open(&t.inputs, o->inputs));
    VT_TRY(find_batch(&t));
    VT_TRY(take_batch_memory(&t));
    VT_TRY(vt_loss_open(&t.loss, o->loss, &t.model->config, NULL, NULL));
    if (t.loss.teacher) VT_TRY(vt_teacher_load(t.loss.teacher, t.model->device));
    VT_TRY(configure(&t));
    VT_TRY(vt_store_bind(&t.stores.state, t.model->device));
    vt_stores_weigh(&t.stores, t.model->device, t.loss.class_weights);
    VT_TRY(t.batch.targets || t.batch.labels ? trace_loss(&t) : trace_forward(&t));
    if (o->steps) VT_TRY(trace_steps(&t));
    vt_metadata model = {"model", t.model->config.name};
    st = vt_safetensors_write(o->output, t.saved, t.saved_count, &model, 1);
fail:
    if (t.model) vt_stores_free(&t.stores, t.model->device);
    vt_loss_close(&t.loss);
    vt_model_destroy(t.model);
    vt_safetensors_close(&t.inputs);
    vt_arena_free(&t.memory);
    vt_free(t.saved);
    return st;
}
