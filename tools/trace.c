#include "command.h"
#include "train/settings.h"
#include "train/trace.h"

typedef struct settings {
    vt_model_flags model;
    vt_device_flags device;
    vt_loss_flags loss;
    const char *weights, *inputs, *output;
    bool train, backward, all;
    int steps;
    double lr, weight_decay, clip_grad, ema_decay;
    vt_optimizer_flags optimizer;
} settings;

#define FIELD(member) VT_FIELD(settings, member), .group = "Trace"
static const vt_option table[] = {
    {.name = "weights", .kind = VT_OPT_STRING, FIELD(weights), .argument = "FILE",
     .help = "safetensors with timm's names"},
    {.name = "inputs", .kind = VT_OPT_STRING, FIELD(inputs), .argument = "FILE",
     .help = "images f32 [B,C,H,W], normalised; targets f32 [B,K] or labels i64 [B]; mask.NAME f32 [B]"},
    {.name = "output", .kind = VT_OPT_STRING, FIELD(output), .argument = "FILE", .help = "what was computed, by name"},
    {.name = "train", .kind = VT_OPT_FLAG, FIELD(train), .help = "drop-path by the given masks, dropout on"},
    {.name = "backward", .kind = VT_OPT_FLAG, FIELD(backward), .help = "grad.NAME of every parameter"},
    {.name = "all", .kind = VT_OPT_FLAG, FIELD(all), .help = "activations by timm's module path"},
    {.name = "steps", .kind = VT_OPT_INT, FIELD(steps), .min = 0, .max = 1e6,
     .help = "optimizer steps; then param.NAME, ema.NAME, losses"},
    {.name = "lr", .kind = VT_OPT_FLOAT, FIELD(lr), .min = 0, .max = 1e6, .fallback = "5e-4", .help = "as it stands"},
    {.name = "weight-decay", .kind = VT_OPT_FLOAT, FIELD(weight_decay), .min = 0, .max = 1e3, .fallback = "0.05",
     .help = "not of 1-D tensors, biases, pos_embed, cls_token"},
    {.name = "clip-grad", .kind = VT_OPT_FLOAT, FIELD(clip_grad), .min = 0, .max = 1e9,
     .help = "largest gradient norm; 0: off"},
    {.name = "model-ema-decay", .kind = VT_OPT_FLOAT, FIELD(ema_decay), .min = -1, .max = 1, .fallback = "-1",
     .help = "EMA of the weights; below 0: none"},
    {.name = "loss-flags", .kind = VT_OPT_TABLE, VT_FIELD(settings, loss), .table = vt_loss_flags_table},
    {.name = "optimizer-flags", .kind = VT_OPT_TABLE, VT_FIELD(settings, optimizer),
     .table = vt_optimizer_flags_table},
    {.name = "model-flags", .kind = VT_OPT_TABLE, VT_FIELD(settings, model), .table = vt_model_flags_table},
    {.name = "device-flags", .kind = VT_OPT_TABLE, VT_FIELD(settings, device), .table = vt_device_flags_table},
    {0}};

static vt_status run(vt_options *options, void *given)
{
    const settings *s = given;
    const struct { const char *flag, *value; } wanted[] = {
        {"weights", s->weights}, {"inputs", s->inputs}, {"output", s->output}};
    for (int i = 0; i < 3; i++)
        if (!wanted[i].value) return vt_fail(VT_INVALID, "--%s is missing", wanted[i].flag);
    vt_trace t = {.weights = s->weights, .inputs = s->inputs, .output = s->output, .train = s->train,
                  .backward = s->backward, .all = s->all, .steps = s->steps, .lr = s->lr,
                  .update = {.weight_decay = s->weight_decay, .clip_grad = (float)s->clip_grad,
                             .ema = s->steps && s->ema_decay >= 0, .ema_decay = (float)s->ema_decay},
                  .loss = &s->loss};
    vt_optimizer_flags_apply(&s->optimizer, &t.update);
    vt_status st = vt_loss_flags_check(&s->loss);
    if (st == VT_OK) st = vt_model_flags_apply(&s->model, &t.model);
    if (!s->model.num_classes) t.model.classes = 0;
    if (st == VT_OK) st = vt_device_flags_open(&s->device, "fp32", &t.device);
    return st ? st : vt_trace_run(&t);
}

const vt_command vt_command_trace = {
    .name = "trace", .summary = "runs a model on given tensors and writes what it computed",
    .usage = "vitc trace --model M --weights W.safetensors --inputs X.safetensors --output Y.safetensors [flags]",
    .example = "vitc trace --model deit_micro --weights w.safetensors --inputs x.safetensors --output y.safetensors "
               "--backward",
    .table = table, .settings_bytes = sizeof(settings), .run = run};
