#include "train/step.h"

#include <math.h>

#include "base/alloc.h"
#include "train/freeze.h"
#include "train/loss.h"
#include "train/teacher.h"

enum { STATE_FLAG, STATE_WEIGHTS };

vt_status vt_stores_create(vt_stores *s, vt_store *params, const vt_step_config *config)
{
    *s = (vt_stores){.params = params, .moments = config->update ? config->optimizer->moments : 0};
    vt_status st = vt_freeze(params, config->freeze, config->attn_only);
    if (st == VT_OK) st = vt_undecay(params, config->no_decay);
    vt_store_init(&s->state, "state", params->dtype);
    int at, weighted = config->loss.class_weights ? config->model.classes : 0;
    if (st == VT_OK) st = vt_store_add(&s->state, &(vt_entry){.name = "flag", .ndim = 1, .shape = {1}}, &at);
    if (st == VT_OK && weighted)
        st = vt_store_add(&s->state, &(vt_entry){.name = "class_weights", .ndim = 1, .shape = {weighted}}, &at);
    for (int k = 0; k < s->moments && st == VT_OK; k++)
        st = vt_store_trained(&s->moment[k], config->optimizer->moment[k], params);
    vt_store_like(&s->ema, "ema", params);
    if (st) vt_stores_free(s, NULL);
    return st;
}

void vt_stores_free(vt_stores *s, vt_device *device)
{
    vt_store *own[VT_MOMENTS + 2] = {&s->ema, &s->state};
    for (int k = 0; k < s->moments; k++) own[2 + k] = &s->moment[k];
    for (int i = 0; i < 2 + s->moments; i++) {
        if (device) vt_store_unbind(own[i], device);
        vt_store_free(own[i]);
    }
}

vt_status vt_stores_bind(vt_stores *s, vt_device *device, bool ema)
{
    vt_status st = vt_store_bind(&s->state, device);
    for (int k = 0; k < s->moments && st == VT_OK; k++) st = vt_store_bind(&s->moment[k], device);
    if (st == VT_OK && ema) st = vt_store_bind(&s->ema, device);
    return st;
}

void vt_stores_weigh(const vt_stores *s, vt_device *device, const float *class_weights)
{
    if (!class_weights) return;
    vt_store_write(&s->state, device, STATE_WEIGHTS, 0, class_weights, s->state.entries[STATE_WEIGHTS].count);
}

int vt_step_lanes(int micro_count, int most)
{
    int lanes = 1;
    while (2 * lanes <= most && micro_count % (2 * lanes) == 0) lanes *= 2;
    return lanes;
}

/* One step under construction. A "sum" is an array of params.count gradients and, last, the loss. */
typedef struct build {
    vt_graph *g;
    const vt_step_config *c;
    vt_stores *stores;
    vt_step *step;
    vt_tensor *step_number;
    int lanes;
    vt_tensor **low;    /* what GEMMs read, shared by the micro-batches */
} build;

static vt_tensor *batch_input(build *b, const char *name, const char *suffix, vt_dtype dtype, int ndim, int64_t *shape)
{
    shape[0] = b->c->micro_batch;
    return vt_graph_input(b->g, vt_graph_name(b->g, "%s%s", name, suffix), dtype, ndim, shape);
}

static vt_effects effects_of(build *b, vt_step_inputs *in, const char *suffix)
{
    int64_t boxes[] = {0, b->c->erase_boxes, 4}, where[] = {0, 5}, weights[] = {0, 3};
    if (b->c->erase_boxes) in->boxes = batch_input(b, "boxes", suffix, VT_I32, 3, boxes);
    if (b->c->mixing) in->where = batch_input(b, "where", suffix, VT_I32, 2, where);
    if (b->c->mixing) in->weights = batch_input(b, "weights", suffix, b->g->real, 2, weights);
    return (vt_effects){in->boxes, b->c->erase, {b->step_number, in->slots, b->c->seed}, in->where, in->weights};
}

static vt_tensor *forward(build *b, int micro)
{
    const vt_model_config *m = &b->c->model;
    const char *suffix = b->c->micro_count > 1 ? vt_graph_name(b->g, ".%d", micro) : "";
    int64_t image[] = {0, m->img_height, m->img_width, m->in_chans}, target[] = {0, m->classes}, one[] = {0};
    vt_builder nn = {.g = b->g, .params = b->stores->params, .train = b->c->train, .masks = b->c->masks,
                     .suffix = suffix, .batch = b->c->micro_batch, .low = b->low};
    vt_step_inputs *in = &b->step->inputs[micro];
    in->images = batch_input(b, "images", suffix, b->c->image_dtype, 4, image);
    in->slots = batch_input(b, "slots", suffix, VT_I32, 1, one);
    nn.random = (vt_random){b->step_number, in->slots, b->c->seed};
    vt_effects effects = effects_of(b, in, suffix);
    nn.effects = &effects;
    if (b->c->loss.teacher) b->step->teacher = vt_teacher_build(b->c->loss.teacher, b->g, in->images, &effects);
    b->step->heads = vt_model_build(&nn, m, in->images);
    bool soft = b->c->targets == VT_TARGETS_SOFT;
    in->targets = soft ? batch_input(b, "targets", suffix, b->g->real, 2, target)
                       : batch_input(b, "labels", suffix, VT_I32, 1, one);
    vt_tensor *targets = soft ? in->targets
                              : vt_smooth_with(b->g, "targets", in->targets, m->classes, b->c->smoothing, &effects);
    const vt_loss_options *loss = &b->c->loss;
    vt_tensor *weights = loss->class_weights ? vt_graph_stored(b->g, &b->stores->state, STATE_WEIGHTS, false) : NULL;
    return vt_loss_build(b->g, loss, b->step->heads, targets, weights, b->step->teacher);
}

/* Every trained parameter takes part in gradients, whether dropout is on or not. */
static void want_grads(build *b)
{
    const vt_store *params = b->stores->params;
    for (int i = 0; i < params->count; i++) vt_graph_stored(b->g, params, i, !params->entries[i].frozen);
    vt_builder nn = {.g = b->g, .params = b->stores->params, .train = true};
    vt_nn_low_weights(&nn);
    b->low = nn.low;
}

static void add_into(build *b, vt_tensor **sum, vt_tensor **more)
{
    int n = b->stores->params->count;
    for (int i = 0; i <= n; i++) {
        const char *name = i < n ? b->stores->params->entries[i].name : "loss";
        if (!sum[i]) sum[i] = more[i];
        else if (more[i]) sum[i] = vt_add(b->g, vt_graph_name(b->g, "sum(%s)", name), sum[i], more[i]);
    }
}

static void micro_batch(build *b, int micro, vt_tensor **sum)
{
    int n = b->stores->params->count, first = b->g->n_nodes;
    vt_tensor **own = vt_arena_alloc(&b->g->arena, ((size_t)n + 1) * sizeof *own);
    if (!own) {
        b->g->status = vt_fail_memory("step graph");
        return;
    }
    double share = 1.0 / b->c->micro_count;
    vt_autodiff with = {vt_fill, vt_add, b->c->recompute};
    vt_tensor *loss = forward(b, micro);
    if (b->g->status || vt_graph_backward(b->g, &with, first, b->g->n_nodes, loss, share, b->stores->params, own))
        return;
    own[n] = share == 1 ? loss : vt_add_scaled(b->g, "loss_share", share, loss, 0, NULL, NULL);
    add_into(b, sum, own);
}

/* Lanes [first, first + count), count a power of two: built depth first, so that few lane sums live at a time. */
static void lane_tree(build *b, int first, int count, vt_tensor **sum)
{
    if (count == 1) {
        int per_lane = b->c->micro_count / b->lanes;
        for (int i = 0; i < per_lane && !b->g->status; i++) micro_batch(b, first * per_lane + i, sum);
        return;
    }
    vt_tensor **right = vt_arena_alloc(&b->g->arena, ((size_t)b->stores->params->count + 1) * sizeof *right);
    if (!right) {
        b->g->status = vt_fail_memory("step graph");
        return;
    }
    lane_tree(b, first, count / 2, sum);
    lane_tree(b, first + count / 2, count / 2, right);
    add_into(b, sum, right);
}

static void optimizer(build *b)
{
    vt_stores *s = b->stores;
    const vt_entry *entries = s->params->entries;
    int n = s->params->count, used = 0, layers = 0;
    vt_update_param *params = vt_arena_alloc(&b->g->arena, (size_t)n * sizeof *params);
    if (!params) {
        b->g->status = vt_fail_memory("step graph");
        return;
    }
    vt_update_inputs in = {b->step->flag, NULL, b->step_number, b->step->norm};
    in.control = vt_graph_input(b->g, "control", VT_F32, 1, (int64_t[]){VT_CONTROL_COUNT});
    for (int i = 0; i < n; i++) layers = entries[i].layer > layers ? entries[i].layer : layers;
    for (int i = 0, trained = 0; i < n; i++) {
        int at = trained;
        trained += !entries[i].frozen;
        if (!b->step->grads[i]) continue; /* its average is what it began as, a copy */
        vt_update_param *p = &params[used++];
        *p = (vt_update_param){.param = vt_graph_stored(b->g, s->params, i, true), .grad = b->step->grads[i],
                               .rate = (float)pow(b->c->layer_decay, layers - entries[i].layer),
                               .decay = entries[i].decay && !entries[i].undecayed};
        p->copy = vt_graph_low(b->g, s->params, i, true);
        if (b->c->ema) p->ema = vt_graph_stored(b->g, &s->ema, i, false);
        for (int k = 0; k < s->moments; k++) p->moment[k] = vt_graph_stored(b->g, &s->moment[k], at, false);
    }
    if (b->g->status) return;
    vt_optimizer_step(b->g, b->c->optimizer->op->name, b->c->optimizer, &b->c->rule, &in, params, used);
}

static void finish(build *b, vt_tensor **sum)
{
    int n = b->stores->params->count, used = 0;
    vt_tensor **present = vt_arena_alloc(&b->g->arena, (size_t)n * sizeof *present);
    if (!present) {
        b->g->status = vt_fail_memory("step graph");
        return;
    }
    b->step->loss = sum[n];
    b->step->grads = sum;
    for (int i = 0; i < n; i++)
        if (sum[i]) present[used++] = sum[i];
    b->step->norm = vt_grad_norm(b->g, "grad_norm", present, used);
    b->step->flag = vt_graph_stored(b->g, &b->stores->state, STATE_FLAG, false);
    vt_guard(b->g, "guard", b->step->flag, (vt_tensor *[]){b->step->loss, b->step->norm}, 2);
    if (b->c->update && !b->g->status) optimizer(b);
}

static void mark_kept(vt_step *s, int n, unsigned keep)
{
    s->loss->keep = s->norm->keep = true;
    for (int i = 0; i < n; i++)
        if ((keep & VT_KEEP_GRADS) && s->grads[i]) s->grads[i]->keep = true;
    for (int i = 0; i < s->graph->n_marks; i++)
        if ((keep & VT_KEEP_MARKS) && s->graph->marks[i].tensor) s->graph->marks[i].tensor->keep = true;
    if (!(keep & VT_KEEP_LOGITS)) return;
    s->heads.logits->keep = true;
    if (s->heads.logits_dist) s->heads.logits_dist->keep = true;
    if (s->teacher) s->teacher->keep = true;
}

vt_status vt_step_build(vt_step *step, const vt_step_config *config, vt_stores *stores, unsigned keep)
{
    *step = (vt_step){0};
    vt_status st = vt_graph_create(&step->graph, stores->params->dtype);
    if (st) return st;
    step->graph->precision = config->precision;
    build b = {.g = step->graph, .c = config, .stores = stores, .step = step};
    b.lanes = vt_step_lanes(config->micro_count, config->lanes);
    b.step_number = vt_graph_input(b.g, "step", VT_I32, 1, (int64_t[]){1});
    vt_tensor **sum = vt_arena_alloc(&b.g->arena, ((size_t)stores->params->count + 1) * sizeof *sum);
    step->inputs = vt_arena_alloc(&b.g->arena, (size_t)config->micro_count * sizeof *step->inputs);
    if (!sum || !step->inputs) b.g->status = vt_fail_memory("step graph");
    want_grads(&b);
    if (!b.g->status) lane_tree(&b, 0, b.lanes, sum);
    if (!b.g->status) finish(&b, sum);
    if (!b.g->status) mark_kept(step, stores->params->count, keep);
    st = vt_graph_fold(b.g, vt_folds);
    if (st == VT_OK) st = vt_graph_plan(b.g);
    if (st) vt_step_free(step);
    return st;
}

void vt_step_free(vt_step *step)
{
    vt_graph_destroy(step->graph);
    *step = (vt_step){0};
}
