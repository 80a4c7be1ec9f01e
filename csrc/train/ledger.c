#include "train/ledger.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/json.h"
#include "models/eval.h"
#include "train/teacher.h"

const char *const vt_ledger_class_name[VT_BYTES_CLASSES] = {
    [VT_BYTES_PARAMETERS] = "parameters", [VT_BYTES_COPIES] = "copies", [VT_BYTES_OPTIMIZER] = "optimizer",
    [VT_BYTES_EMA] = "ema",
    [VT_BYTES_STATE] = "state", [VT_BYTES_TEACHER] = "teacher", [VT_BYTES_ACTIVATIONS] = "activations",
    [VT_BYTES_GRADIENTS] = "gradients", [VT_BYTES_GAPS] = "gaps", [VT_BYTES_SCRATCH] = "scratch",
    [VT_BYTES_INPUTS] = "inputs", [VT_BYTES_EVALUATION] = "evaluation", [VT_BYTES_LOADER] = "loader"};

/* --- FLOPs --- */

/* By tensor id: whether it is a copy that recomputation made. NULL when memory is out. */
static bool *find_copies(const vt_graph *g)
{
    bool *copy = vt_alloc((size_t)g->n_tensors + 1);
    for (int i = 0; copy && i < g->n_tensors; i++)
        if (g->tensors[i]->twin) copy[g->tensors[i]->twin->id] = true;
    return copy;
}

static bool makes_copy(const vt_node *n, const bool *copy)
{
    for (int k = 0; k < n->n_out; k++)
        if (n->out[k] && copy[n->out[k]->id]) return true;
    return false;
}

vt_status vt_graph_flops(const vt_graph *g, double *flops, double *recomputed)
{
    bool *copy = find_copies(g);
    if (!copy) return vt_fail_memory("ledger");
    *flops = *recomputed = 0;
    for (int i = 0; i < g->n_nodes; i++) {
        vt_cost cost;
        vt_node_cost(g->nodes[i], &cost);
        *(makes_copy(g->nodes[i], copy) ? recomputed : flops) += cost.flops;
    }
    vt_free(copy);
    return VT_OK;
}

/* The forward pass costs the same with and without dropout, so the evaluation graph tells it. */
static vt_status forward_flops(double *flops, const vt_model_config *model, vt_store *params, int batch,
                               vt_precision precision)
{
    vt_eval eval;
    double none;
    vt_status st = vt_eval_build(&eval, model, params, VT_U8, batch, precision);
    if (st) return st;
    st = vt_graph_flops(eval.graph, flops, &none);
    vt_eval_close(&eval);
    return st;
}

/* --- the workspace at its fullest --- */

typedef struct sweep {
    const vt_graph *g;
    bool *backward;            /* by tensor id: it follows from the loss's gradient */
    int *last;                 /* by tensor id: the last node that reads or makes it; n_nodes: kept */
    size_t alive[2], most[2];  /* [0] activations, [1] gradients: now, and at the fullest node */
    int fullest;
} sweep;

/* The seed of a gradient is the one workspace tensor that a node makes from nothing. */
static void find_backward(sweep *s)
{
    for (int i = 0; i < s->g->n_nodes; i++) {
        const vt_node *n = s->g->nodes[i];
        bool backward = n->n_in == 0;
        for (int k = 0; k < n->n_in; k++) backward |= n->in[k] && s->backward[n->in[k]->id];
        for (int k = 0; k < n->n_out; k++)
            if (n->out[k]) s->backward[n->out[k]->id] = backward;
    }
}

static void find_last(sweep *s)
{
    for (int i = 0; i < s->g->n_nodes; i++) {
        const vt_node *n = s->g->nodes[i];
        for (int k = 0; k < n->n_in + n->n_out; k++) {
            const vt_tensor *t = k < n->n_in ? n->in[k] : n->out[k - n->n_in];
            if (t) s->last[t->id] = t->keep ? s->g->n_nodes : i;
        }
    }
}

static void count(sweep *s, const vt_tensor *t, bool born)
{
    size_t bytes = vt_tensor_bytes(t), *alive = &s->alive[s->backward[t->id]];
    *alive = born ? *alive + bytes : *alive - bytes;
}

static bool dies_at(const sweep *s, const vt_node *n, const vt_tensor *t)
{
    return t && t->memory == VT_WORKSPACE && s->last[t->id] == n->index;
}

/* Is output t written over input k, so that only one of them takes room at this node? */
static bool overwritten(const vt_node *n, int k)
{
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i] && n->out[i]->memory == VT_WORKSPACE && n->out[i]->offset == n->in[k]->offset) return true;
    return false;
}

static bool is_repeated(const vt_node *n, int k)
{
    for (int i = 0; i < k; i++)
        if (n->in[i] == n->in[k]) return true;
    return false;
}

static void bury_inputs(sweep *s, const vt_node *n, bool before)
{
    for (int k = 0; k < n->n_in; k++)
        if (dies_at(s, n, n->in[k]) && !is_repeated(n, k) && overwritten(n, k) == before) count(s, n->in[k], false);
}

static void walk(sweep *s)
{
    for (int i = 0; i < s->g->n_nodes; i++) {
        const vt_node *n = s->g->nodes[i];
        bury_inputs(s, n, true);
        for (int k = 0; k < n->n_out; k++)
            if (n->out[k] && n->out[k]->memory == VT_WORKSPACE) count(s, n->out[k], true);
        if (s->alive[0] + s->alive[1] > s->most[0] + s->most[1]) {
            s->most[0] = s->alive[0];
            s->most[1] = s->alive[1];
            s->fullest = i;
        }
        bury_inputs(s, n, false);
        for (int k = 0; k < n->n_out; k++)
            if (dies_at(s, n, n->out[k])) count(s, n->out[k], false);
    }
}

static vt_status split_workspace(vt_ledger *l, const vt_graph *g)
{
    size_t n = (size_t)g->n_tensors + 1;
    sweep s = {.g = g, .backward = vt_alloc(n), .last = vt_alloc(n * sizeof(int))};
    vt_status st = s.backward && s.last ? VT_OK : vt_fail_memory("ledger");
    if (st == VT_OK) {
        find_backward(&s);
        find_last(&s);
        walk(&s);
        l->bytes[VT_BYTES_ACTIVATIONS] = s.most[0];
        l->bytes[VT_BYTES_GRADIENTS] = s.most[1];
        snprintf(l->fullest, sizeof l->fullest, "%s", g->n_nodes ? g->nodes[s.fullest]->name : "");
    }
    vt_free(s.backward);
    vt_free(s.last);
    return st;
}

/* --- the ledger --- */

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* A graph takes part: what it needs of what all graphs share. */
static void share(vt_ledger *l, const vt_graph *g, const vt_device *d)
{
    l->workspace = larger(l->workspace, vt_exec_workspace_bytes(g, d));
    l->bytes[VT_BYTES_SCRATCH] = larger(l->bytes[VT_BYTES_SCRATCH], vt_exec_scratch_bytes(g, d));
}

/* As a training run makes it, on the weights or on their EMA. */
static vt_status share_evaluation(vt_ledger *l, const vt_model_config *model, vt_store *weights,
                                  const vt_train_options *o, const vt_device *d)
{
    vt_eval eval;
    int batch = o->batch_size < VT_EVAL_BATCH ? o->batch_size : VT_EVAL_BATCH;
    vt_status st = vt_eval_build(&eval, model, weights, VT_U8, batch, d->precision);
    if (st) return st;
    share(l, eval.graph, d);
    l->bytes[VT_BYTES_EVALUATION] += vt_exec_ring_bytes(d, vt_exec_slot_bytes(eval.graph));
    vt_eval_close(&eval);
    return VT_OK;
}

/* Of `micros` micro-batches, where the graph that was planned has fewer. */
static size_t input_bytes(const vt_step *step, int planned, int micros, const vt_device *d)
{
    const vt_step_inputs *in = step->inputs;
    const vt_tensor *of_micro[] = {in->images, in->targets, in->slots, in->boxes, in->where, in->weights};
    size_t slot = vt_exec_slot_bytes(step->graph);
    for (size_t i = 0; i < sizeof of_micro / sizeof *of_micro; i++) {
        size_t bytes = of_micro[i] ? vt_tensor_bytes(of_micro[i]) : 0;
        slot += (size_t)(micros - planned) * ((bytes + VT_ALIGN - 1) / VT_ALIGN * VT_ALIGN);
    }
    return vt_exec_ring_bytes(d, slot);
}

static void count_loader(vt_ledger *l, const vt_loader_options *loading, const vt_device *d)
{
    vt_loader_options o = loading ? *loading : (vt_loader_options){0};
    o.held = vt_device_depth(d);
    size_t ring = loading ? (size_t)vt_loader_slots(&o) * vt_loader_slot_bytes(&o) : 0;
    *(d->backend->begin ? &l->host : &l->bytes[VT_BYTES_LOADER]) = ring;
}

/* From the second micro-batch of each lane on, each takes what the one before it took: of very many not all need be
 * planned. How buffers lie may differ then, and with it the gaps, by some thousand bytes. */
static void leave_away_repeats(vt_train_options *o)
{
    enum { MANY = 128 };
    int lanes = vt_step_lanes(o->micro_batches, o->lanes);
    if (o->micro_batches <= MANY || o->micro_batches <= 2 * lanes) return;
    o->micro_batches = 2 * lanes;
    o->lanes = lanes;
}

vt_status vt_ledger_read(vt_ledger *l, const vt_model_config *model, const vt_train_options *o, const vt_device *device,
                         const vt_loader_options *loading)
{
    vt_status st;
    vt_store params;
    vt_stores stores = {0};
    vt_step_config config;
    vt_step step = {0};
    vt_train_options planned = *o;
    leave_away_repeats(&planned);
    double repeats = (double)o->micro_batches / planned.micro_batches;
    *l = (vt_ledger){.images = (int64_t)o->batch_size * o->micro_batches, .taken = device->taken_bytes,
                     .memory = device->memory_bytes};
    vt_store_init(&params, "param", VT_F32);
    VT_TRY(vt_model_declare(&params, model));
    VT_TRY(vt_trainer_config(&config, model, &planned));
    VT_TRY(vt_stores_create(&stores, &params, &config));
    config.precision = device->precision;
    VT_TRY(vt_step_build(&step, &config, &stores, 0));
    VT_TRY(vt_graph_flops(step.graph, &l->flops_step, &l->flops_recomputed));
    VT_TRY(forward_flops(&l->flops_forward, model, &params, o->batch_size, device->precision));
    VT_TRY(split_workspace(l, step.graph));
    share(l, step.graph, device);
    if (loading) VT_TRY(share_evaluation(l, model, &params, o, device));
    if (loading && o->ema) VT_TRY(share_evaluation(l, model, &stores.ema, o, device));
    l->bytes[VT_BYTES_GAPS] = l->workspace - l->bytes[VT_BYTES_ACTIVATIONS] - l->bytes[VT_BYTES_GRADIENTS];
    l->flops_forward *= o->micro_batches;
    l->flops_step *= repeats;
    l->flops_recomputed *= repeats;
    l->parameters = vt_store_parameters(&params);
    l->bytes[VT_BYTES_PARAMETERS] = vt_store_bytes(&params);
    l->bytes[VT_BYTES_COPIES] = vt_store_low_bytes(&params, device->precision.act);
    for (int k = 0; k < stores.moments; k++) l->bytes[VT_BYTES_OPTIMIZER] += vt_store_bytes(&stores.moment[k]);
    l->bytes[VT_BYTES_EMA] = o->ema ? vt_store_bytes(&stores.ema) : 0;
    l->bytes[VT_BYTES_STATE] = vt_store_bytes(&stores.state);
    l->bytes[VT_BYTES_TEACHER] = o->loss.teacher ? vt_teacher_bytes(o->loss.teacher, device->precision) : 0;
    l->bytes[VT_BYTES_INPUTS] = input_bytes(&step, planned.micro_batches, o->micro_batches, device);
    count_loader(l, loading, device);
    for (int i = 0; i < VT_BYTES_CLASSES; i++) l->peak += l->bytes[i];
fail:
    vt_step_free(&step);
    vt_stores_free(&stores, NULL);
    vt_store_free(&params);
    return st;
}

/* --- fitting into a budget --- */

static vt_status try_micro(vt_fit *f, int micro, bool recompute, const vt_model_config *model, const vt_device *device,
                           const vt_loader_options *loading)
{
    vt_loader_options ring = loading ? *loading : (vt_loader_options){0};
    f->options.batch_size = ring.sampler.micro_batch = micro;
    f->options.micro_batches = ring.sampler.micros = ring.micro_end = f->batch_size / micro * f->accumulation;
    f->options.recompute = recompute;
    return vt_ledger_read(&f->ledger, model, &f->options, device, loading ? &ring : NULL);
}

vt_status vt_ledger_fit(vt_fit *f, size_t bytes, const vt_model_config *model, const vt_device *device,
                        const vt_loader_options *loading)
{
    enum { SMALL = 8 };
    size_t least = SIZE_MAX;
    for (int pass = 0; pass < 3; pass++) {
        int from = pass < 2 ? f->batch_size : SMALL - 1, to = pass < 2 ? SMALL : 1;
        for (int micro = from; micro >= to || micro == f->batch_size; micro--) {
            if (micro > f->batch_size || f->batch_size % micro) continue;
            if ((int64_t)(f->batch_size / micro) * f->accumulation > VT_MOST_MICRO_BATCHES) continue;
            vt_status st = try_micro(f, micro, pass > 0, model, device, loading);
            if (st) return st;
            if (f->ledger.peak <= bytes) return VT_OK;
            if (f->ledger.peak < least) least = f->ledger.peak;
        }
    }
    return vt_fail(VT_FAILED,
                   "nothing fits: a step takes at least %.1f MiB of %.1f MiB allowed; take a smaller model, "
                   "image or --batch-size, fewer --lanes, or --no-model-ema", (double)least / 1048576,
                   (double)bytes / 1048576);
}

/* --- telling --- */

void vt_ledger_table(vt_text *t, const vt_ledger *l)
{
    static const char *const what[VT_BYTES_CLASSES] = {[VT_BYTES_PARAMETERS] = "",
                                                       [VT_BYTES_COPIES] = "of weights, for GEMMs in bf16",
                                                       [VT_BYTES_OPTIMIZER] = "its moments",
                                                       [VT_BYTES_EMA] = "average of the weights",
                                                       [VT_BYTES_STATE] = "",
                                                       [VT_BYTES_TEACHER] = "its weights",
                                                       [VT_BYTES_ACTIVATIONS] = "workspace",
                                                       [VT_BYTES_GRADIENTS] = "workspace",
                                                       [VT_BYTES_GAPS] = "workspace: alignment, holes",
                                                       [VT_BYTES_SCRATCH] = "of the backend",
                                                       [VT_BYTES_INPUTS] = "step inputs on the device",
                                                       [VT_BYTES_EVALUATION] = "its inputs on the device",
                                                       [VT_BYTES_LOADER] = "micro-batches made ahead"};
    vt_text_printf(t, "parameters  %lld\n", (long long)l->parameters);
    vt_text_printf(t, "FLOPs       %.4g forward, %.4g the step of %lld images (%.4g an image)", l->flops_forward,
                   l->flops_step, (long long)l->images, l->flops_step / (double)l->images);
    if (l->flops_recomputed > 0) vt_text_printf(t, ", and %.4g recomputed", l->flops_recomputed);
    vt_text_add(t, "\n\n");
    for (int i = 0; i < VT_BYTES_CLASSES; i++)
        vt_text_printf(t, "%-12s %16zu bytes %10.1f MiB%s%s\n", vt_ledger_class_name[i], l->bytes[i],
                       (double)l->bytes[i] / 1048576, *what[i] ? "  " : "", what[i]);
    vt_text_printf(t, "%-12s %16zu bytes %10.1f MiB  fullest at %s\n", "peak", l->peak, (double)l->peak / 1048576,
                   l->fullest);
    if (l->memory)
        vt_text_printf(t, "\nbeside it, %.1f MiB of %.1f MiB are taken: driver, context, libraries (kernels that are "
                       "loaded later add to it), other processes\n", (double)l->taken / 1048576,
                       (double)l->memory / 1048576);
    if (l->host) vt_text_printf(t, "on the host, %.1f MiB of micro-batches made ahead\n", (double)l->host / 1048576);
}

void vt_ledger_json(vt_text *t, const vt_ledger *l)
{
    const struct { const char *key; double value; } numbers[] = {
        {"params", (double)l->parameters}, {"images", (double)l->images}, {"flops_forward", l->flops_forward},
        {"flops_step", l->flops_step}, {"flops_recomputed", l->flops_recomputed}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        vt_json_key(t, numbers[i].key);
        vt_json_number(t, numbers[i].value);
    }
    vt_json_key(t, "bytes");
    vt_json_open(t, '{');
    for (int i = 0; i < VT_BYTES_CLASSES; i++) {
        vt_json_key(t, vt_ledger_class_name[i]);
        vt_json_int(t, (int64_t)l->bytes[i]);
    }
    vt_json_close(t, '}');
    const struct { const char *key; size_t value; bool told; } sizes[] = {
        {"workspace_bytes", l->workspace, true}, {"peak_bytes", l->peak, true}, {"host_bytes", l->host, l->memory > 0},
        {"taken_bytes", l->taken, l->memory > 0}, {"memory_bytes", l->memory, l->memory > 0}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (!sizes[i].told) continue;
        vt_json_key(t, sizes[i].key);
        vt_json_int(t, (int64_t)sizes[i].value);
    }
}
