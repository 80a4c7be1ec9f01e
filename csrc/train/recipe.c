/* The recipe's table, its preset for small data, and what this version does not have. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "train/settings.h"
#include "train/step.h"

#define RECIPE(member) VT_FIELD(vt_recipe, member)
static const vt_option recipe_table[] = {
    {.name = "batch-size", .aliases = "b", .kind = VT_OPT_INT, RECIPE(batch_size), .min = 1, .max = 1 << 20,
     .fallback = "64",
     .group = "Batches", .help = "images of a process and accumulation step"},
    {.name = "micro-batch-size", .kind = VT_OPT_INT, RECIPE(micro_batch_size), .min = 0, .max = 1 << 20,
     .group = "Batches",
     .help = "unit of summation and mixing, divides the batch size; 0: the batch size"},
    {.name = "lanes", .kind = VT_OPT_INT, RECIPE(lanes), .min = 1, .max = 1024, .fallback = "8", .group = "Batches",
     .help = "sums of micro-batches formed side by side, at most"},
    {.name = "grad-accum-steps", .kind = VT_OPT_INT, RECIPE(grad_accum_steps), .min = 1, .max = 65536,
     .fallback = "1", .group = "Batches",
     .help = "batches of an optimizer step"},
    {.name = "epochs", .kind = VT_OPT_INT, RECIPE(epochs), .min = 1, .max = 1 << 20, .fallback = "300",
     .group = "Schedule", .help = "passes over the data"},
    {.name = "max-steps", .kind = VT_OPT_INT, RECIPE(max_steps), .min = 0, .max = 1e15, .group = "Schedule",
     .help = "end after this many steps; 0: after the last epoch"},
    {.name = "lr", .kind = VT_OPT_FLOAT, RECIPE(lr), .min = 0, .max = 1e6, .fallback = "5e-4", .group = "Schedule",
     .help = "learning rate of a global batch of 512; scaled by global batch / 512"},
    {.name = "unscale-lr", .kind = VT_OPT_FLAG, RECIPE(unscale_lr), .group = "Schedule",
     .help = "take --lr as it stands"},
    {.name = "sched", .kind = VT_OPT_CHOICE, RECIPE(sched), .choices = "cosine|linear|step|constant|none",
     .fallback = "cosine", .group = "Schedule", .help = "schedule after the warm-up; none is constant"},
    {.name = "decay-epochs", .kind = VT_OPT_FLOAT, RECIPE(decay_epochs), .min = 1e-3, .max = 1e6, .fallback = "30",
     .group = "Schedule", .help = "--sched step: epochs from one fall of the rate to the next"},
    {.name = "decay-rate", .kind = VT_OPT_FLOAT, RECIPE(decay_rate), .min = 1e-6, .max = 1, .fallback = "0.1",
     .group = "Schedule", .help = "--sched step: what the rate is multiplied by"},
    {.name = "warmup-epochs", .kind = VT_OPT_FLOAT, RECIPE(warmup_epochs), .min = 0, .max = 1e6, .fallback = "5",
     .group = "Schedule", .help = "epochs of linear warm-up"},
    {.name = "warmup-lr", .kind = VT_OPT_FLOAT, RECIPE(warmup_lr), .min = 0, .max = 1e6, .fallback = "1e-6",
     .group = "Schedule", .help = "rate at step 0, not scaled"},
    {.name = "min-lr", .kind = VT_OPT_FLOAT, RECIPE(min_lr), .min = 0, .max = 1e6, .fallback = "1e-5",
     .group = "Schedule", .help = "rate at the end of cosine and linear, not scaled"},
    {.name = "sched-per-epoch", .kind = VT_OPT_FLAG, RECIPE(sched_per_epoch), .group = "Schedule",
     .help = "set the rate once an epoch"},
    {.name = "sched-lag", .kind = VT_OPT_INT, RECIPE(sched_lag), .min = 0, .max = 1, .fallback = "1",
     .group = "Schedule",
     .help = "--sched-per-epoch: 1, to the rate of the epoch before, as DeiT; 0, to the epoch's own, as timm"},
    {.name = "optimizer", .kind = VT_OPT_TABLE, RECIPE(optimizer), .table = vt_optimizer_flags_table},
    {.name = "weight-decay", .kind = VT_OPT_FLOAT, RECIPE(weight_decay), .min = 0, .max = 1e3, .fallback = "0.05",
     .group = "Optimizer",
     .help = "not of 1-D tensors, biases, pos_embed, cls_token"},
    {.name = "clip-grad", .kind = VT_OPT_FLOAT, RECIPE(clip_grad), .min = 0, .max = 1e9, .group = "Optimizer",
     .help = "largest gradient L2 norm; 0: off"},
    {.name = "model-ema", .kind = VT_OPT_FLAG, RECIPE(model_ema), .fallback = "true", .group = "Optimizer",
     .help = "keep and evaluate an average of the weights"},
    {.name = "model-ema-decay", .kind = VT_OPT_FLOAT, RECIPE(model_ema_decay), .min = 0, .max = 1,
     .fallback = "0.99996", .group = "Optimizer", .help = "of a step"},
    {.name = "scale", .kind = VT_OPT_FLOATS, RECIPE(scale), .min = 0.0001, .max = 1, .fallback = "0.08,1",
     .group = "Augmentation", .help = "share of the area that a crop takes"},
    {.name = "ratio", .kind = VT_OPT_FLOATS, RECIPE(ratio), .min = 0.01, .max = 100,
     .fallback = "0.75,1.3333333333333333", .group = "Augmentation", .help = "width / height of a crop"},
    {.name = "hflip", .kind = VT_OPT_FLOAT, RECIPE(hflip), .min = 0, .max = 1, .fallback = "0.5",
     .group = "Augmentation", .help = "probability of a horizontal flip"},
    {.name = "vflip", .kind = VT_OPT_FLOAT, RECIPE(vflip), .min = 0, .max = 1, .fallback = "0",
     .group = "Augmentation", .help = "probability of a vertical flip"},
    {.name = "train-interpolation", .kind = VT_OPT_CHOICE, RECIPE(train_interpolation),
     .choices = "nearest|bilinear|bicubic|random", .fallback = "bicubic",
     .group = "Augmentation", .help = "resampling in training"},
    {.name = "aug-repeats", .aliases = "repeated-aug=3, no-repeated-aug=1", .kind = VT_OPT_INT, RECIPE(repeats),
     .min = 0, .max = 64, .fallback = "3",
     .group = "Augmentation", .help = "repeated augmentation: draws of a sample in an epoch; 1: off"},
    {.name = "smoothing", .kind = VT_OPT_FLOAT, RECIPE(smoothing), .min = 0, .max = 0.999, .fallback = "0.1",
     .group = "Loss", .help = "label smoothing"},
    {.name = "loss", .kind = VT_OPT_TABLE, RECIPE(loss), .table = vt_loss_flags_table},
    {.name = "compat", .kind = VT_OPT_CHOICE, RECIPE(compat), .choices = "none|deit|timm", .fallback = "none",
     .group = "Run", .help = "do as DeiT or timm where they differ from each other or from vitc: docs/recipe.md"},
    {.name = "recompute", .kind = VT_OPT_FLAG, RECIPE(recompute), .group = "Batches",
     .help = "less memory: compute activations again in the backward pass"},
    {.name = "seed", .kind = VT_OPT_INT, RECIPE(seed), .min = 0, .max = 9e15, .fallback = "0", .group = "Run",
     .help = "of weights, batches, augmentation, drop-path"},
    {.name = "aa", .kind = VT_OPT_STRING, RECIPE(aa), .fallback = "rand-m9-mstd0.5-inc1", .group = "Augmentation",
     .argument = "POLICY",
     .help = "RandAugment rand-mX-mstdX-mmaxX-incX-nX-pX-tSET, AutoAugment original(r) or v0(r), ThreeAugment 3a, "
             "AugMix augmix-mX-mstdX-wX-dX-aX-bX, or none"},
    {.name = "color-jitter", .kind = VT_OPT_FLOAT, RECIPE(color_jitter), .min = 0, .max = 10, .fallback = "0.3",
     .group = "Augmentation",
     .help = "brightness, contrast and saturation change by up to this factor; with --aa none or 3a alone"},
    {.name = "ThreeAugment", .aliases = "three-augment", .kind = VT_OPT_FLAG, RECIPE(three_augment),
     .group = "Augmentation", .help = "--aa 3a, as DeiT III has it"},
    {.name = "effects", .kind = VT_OPT_TABLE, RECIPE(effects), .table = vt_effects_flags_table},
    {0}};

#define RUN(member) VT_FIELD(vt_run_flags, member), .group = "Run"
static const vt_option run_table[] = {
    {.name = "output-dir", .aliases = "output", .kind = VT_OPT_STRING, RUN(output_dir), .argument = "DIR",
     .help = "logs, settings and checkpoints"},
    {.name = "resume", .kind = VT_OPT_STRING, RUN(resume), .argument = "FILE|auto",
     .help = "go on from a checkpoint; auto: the newest of --output-dir, or afresh"},
    {.name = "overwrite", .kind = VT_OPT_FLAG, RUN(overwrite), .help = "begin afresh in a used --output-dir"},
    {.name = "finetune", .aliases = "pretrained-path", .kind = VT_OPT_STRING, RUN(finetune), .argument = "FILE",
     .help = "begin with these weights: positions resized, heads of another size initialised"},
    {.name = "pos-embed-antialias", .kind = VT_OPT_FLAG, RUN(antialias),
     .help = "--finetune: positions are resized with antialiasing, as timm; without, as DeiT"},
    {.name = "save-steps", .kind = VT_OPT_INT, RUN(save_steps), .min = 0, .max = 1e15,
     .help = "steps between checkpoints; 0: each epoch and every 5 minutes"},
    {.name = "checkpoint-hist", .kind = VT_OPT_INT, RUN(checkpoint_hist), .min = 0, .max = 100000, .fallback = "3",
     .help = "checkpoint-N files that are kept"},
    {0}};

#define TABLE(member, of) {.name = #member, .kind = VT_OPT_TABLE, VT_FIELD(vt_settings, member), .table = of}
const vt_option vt_settings_table[] = {
    TABLE(model, vt_model_flags_table), TABLE(data, vt_data_flags_table), TABLE(images, vt_image_flags_table),
    TABLE(recipe, recipe_table), TABLE(run, run_table), TABLE(device, vt_device_flags_table),
    {.name = "config", .aliases = "c", .kind = VT_OPT_CONFIG, VT_FIELD(vt_settings, config), .group = "Run",
     .argument = "FILE",
     .help = "settings from a YAML file such as args.yaml; flags win"},
    {0}};

vt_status vt_recipe_check(const vt_options *o, const vt_settings *s)
{
    const vt_recipe *r = &s->recipe;
    vt_augment augment = {0};
    vt_status st = vt_recipe_augment(r, &augment);
    if (st == VT_OK) st = vt_loss_flags_check(&r->loss);
    if (st == VT_OK) st = vt_effects_flags_check(&r->effects);
    if (st) return st;
    if (r->three_augment && vt_options_given(o, "aa") && r->aa && strcmp(r->aa, "3a") != 0)
        return vt_fail(VT_INVALID, "--aa %s: --ThreeAugment takes its place; leave one of them away", r->aa);
    if (r->micro_batch_size && r->batch_size % r->micro_batch_size)
        return vt_fail(VT_INVALID, "--micro-batch-size %d does not divide --batch-size %d", r->micro_batch_size,
                       r->batch_size);
    int64_t micros = (int64_t)(r->micro_batch_size ? r->batch_size / r->micro_batch_size : 1) * r->grad_accum_steps;
    if (micros > VT_MOST_MICRO_BATCHES)
        return vt_fail(VT_INVALID, "--micro-batch-size %d: %lld micro-batches a step, at most %d: raise it, or lower "
                       "--batch-size or --grad-accum-steps", r->micro_batch_size, (long long)micros,
                       VT_MOST_MICRO_BATCHES);
    const double *betas = r->optimizer.betas;
    if (vt_options_source(o, "opt-betas") == VT_FROM_FLAG && betas[0] == 0 && betas[1] == 0)
        return vt_fail(VT_INVALID, "--opt-betas 0,0: one must be above 0; leave it away for the optimizer's own");
    if (r->lanes & (r->lanes - 1)) return vt_fail(VT_INVALID, "--lanes %d: must be a power of two", r->lanes);
    if (r->warmup_epochs >= r->epochs && vt_options_given(o, "warmup-epochs"))
        return vt_fail(VT_INVALID, "--warmup-epochs %g: the run has %d epochs", r->warmup_epochs, r->epochs);
    return VT_OK;
}

void vt_recipe_set(vt_options *o, vt_status *st, vt_text *report, const char *name, const char *value, vt_source source)
{
    if (*st != VT_OK || vt_options_source(o, name) > source) return;
    *st = vt_options_set(o, name, value, source);
    vt_text_printf(report, " --%s %s", name, value);
}

static void preset(vt_options *o, vt_status *st, vt_text *report, const char *name, const char *value)
{
    vt_recipe_set(o, st, report, name, value, VT_FROM_PRESET);
}

static void preset_number(vt_options *o, vt_status *st, vt_text *report, const char *name, double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.6g", value);
    preset(o, st, report, name, text);
}

vt_status vt_recipe_preset(vt_options *o, vt_settings *s, uint32_t images, int64_t steps_per_epoch, int side,
                           vt_text *report)
{
    vt_status st = VT_OK;
    vt_text set = {0};
    vt_augment augment = {0};
    if (s->recipe.three_augment) st = vt_options_set(o, "aa", "3a", VT_FROM_PRESET);
    if (s->recipe.three_augment && st == VT_OK) st = vt_options_set(o, "reprob", "0", VT_FROM_PRESET); /* as DeiT III */
    if (images >= 100000 && side > 64) return st;
    preset(o, &st, &set, "crop-pct", "1");
    preset(o, &st, &set, "aug-repeats", "1");
    preset(o, &st, &set, "scale", "0.6,1");
    if (!s->recipe.three_augment) preset(o, &st, &set, "aa", "none");
    if (st == VT_OK) st = vt_recipe_augment(&s->recipe, &augment);
    if (augment.policy == VT_AUGMENT_NONE) preset(o, &st, &set, "color-jitter", "0");
    preset(o, &st, &set, "reprob", "0");
    preset(o, &st, &set, "mixup", "0");
    preset(o, &st, &set, "cutmix", "0");
    double half_life = steps_per_epoch > 0 ? (double)steps_per_epoch : 1;
    preset_number(o, &st, &set, "model-ema-decay", pow(0.5, 1 / half_life));
    double warmup = 0.05 * s->recipe.epochs;
    if (warmup < s->recipe.warmup_epochs) preset_number(o, &st, &set, "warmup-epochs", warmup);
    if (st == VT_OK) st = vt_text_status(&set);
    if (set.size) vt_text_printf(report, "preset for small data (%u images, %d px):%s\n", images, side, set.data);
    vt_text_free(&set);
    return st;
}

vt_status vt_recipe_augment(const vt_recipe *r, vt_augment *augment)
{
    augment->jitter = r->color_jitter;
    return vt_augment_parse(augment, r->three_augment ? "3a" : r->aa);
}

vt_train_options vt_recipe_train_options(const vt_recipe *r, int micros)
{
    int micro = r->micro_batch_size ? r->micro_batch_size : r->batch_size;
    vt_train_options o = {.batch_size = micro, .micro_batches = micros, .lanes = r->lanes,
                          .weight_decay = r->weight_decay, .clip_grad = (float)r->clip_grad,
                          .smoothing = (float)r->smoothing, .ema = r->model_ema,
                          .ema_decay = (float)r->model_ema_decay, .recompute = r->recompute,
                          .seed = (uint64_t)r->seed};
    vt_optimizer_flags_apply(&r->optimizer, &o);
    vt_erase erase;
    vt_mixing mixing;
    vt_effects_flags_apply(&r->effects, &erase, &mixing);
    o.erase_boxes = erase.probability > 0 ? erase.most : 0;
    o.erase_mode = r->effects.remode;
    o.mixing = vt_mixing_on(&mixing);
    return o;
}
