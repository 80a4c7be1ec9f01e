#include "train/warnings.h"

#include <math.h>
#include <string.h>

#include "ops/update.h"

enum { REPEATED_LEAST = 256, STEPS_LEAST = 10, PATCHES_LEAST = 16 };
static const double warmup_most = 0.2, tuning_warmup_most = 0.5, initial_most = 0.01, adamw_most = 5e-3,
                    lion_most = 1e-3, sgd_decay_most = 2e-3;

typedef struct look {
    vt_warnings *w;
    const vt_run_parts *run;
    const vt_settings *s;
    const vt_recipe *r;
    int64_t steps;      /* of the run */
    int global, micro;  /* batch */
    bool mixing, tunes; /* tunes: begins with weights that were trained */
} look;

static vt_text *line(const look *l)
{
    l->w->count++;
    return &l->w->lines;
}

/* --- flags that do nothing here; a settings file such as args.yaml has every setting, used or not --- */

static void unused(const look *l, const char *flag, bool is_unused, const char *why)
{
    if (is_unused && vt_options_source(l->run->options, flag) == VT_FROM_FLAG)
        vt_text_printf(line(l), "--%s has no effect: %s\n", flag, why);
}

static void unused_optimizer_flags(const look *l)
{
    const vt_recipe *r = l->r;
    const vt_optimizer *opt = &vt_optimizers[r->optimizer.opt];
    const char *op = opt->op->name;
    bool sgd = strcmp(op, "sgd") == 0, lion = strcmp(op, "lion") == 0, bounded = r->sched <= VT_SCHED_LINEAR;
    unused(l, "momentum", !sgd, "it is of sgd, nesterov and momentum; leave it away, or choose one with --opt");
    unused(l, "opt-betas", sgd, "they are of adamw, lamb and lion; sgd has --momentum");
    unused(l, "opt-eps", sgd || lion, "it is of adamw and lamb; leave it away");
    unused(l, "clip-grad", strcmp(op, "lamb") == 0 && r->clip_grad >= VT_LAMB_NORM,
           "lamb scales gradients to a norm of at most 1 by itself; leave it away");
    unused(l, "decay-epochs", r->sched != VT_SCHED_STEP, "it is of --sched step");
    unused(l, "decay-rate", r->sched != VT_SCHED_STEP, "it is of --sched step");
    unused(l, "min-lr", !bounded, "only --sched cosine and linear end at it; leave it away");
    unused(l, "sched-lag", !r->sched_per_epoch, "it is of --sched-per-epoch");
    unused(l, "warmup-lr", l->run->schedule.warmup == 0, "there is no warm-up; give --warmup-epochs");
    unused(l, "model-ema-decay", !r->model_ema, "the average is off; give --model-ema");
    unused(l, "model-ema-warmup", r->optimizer.ema_warmup && !r->model_ema, "the average is off; give --model-ema");
}

static void unused_sample_flags(const look *l)
{
    static const char *const of_mixing[] = {"cutmix-minmax", "mixup-prob", "mixup-switch-prob", "mixup-mode",
                                            "mixup-off-epoch"};
    const vt_effects_flags *e = &l->r->effects;
    const vt_augment *augment = &l->run->loading.transform.augment;
    bool both = e->mixup > 0 && (e->cutmix > 0 || e->cutmix_minmax[1] > 0);
    unused(l, "color-jitter", l->r->color_jitter > 0 && !vt_augment_jitters(augment),
           "--aa wins over it; leave it away, or give --aa none");
    unused(l, "remode", e->reprob <= 0, "nothing is erased; give --reprob");
    unused(l, "recount", e->reprob <= 0, "nothing is erased; give --reprob");
    for (int i = 0; i < 5; i++) unused(l, of_mixing[i], !l->mixing, "nothing is mixed; give --mixup or --cutmix");
    unused(l, "mixup-switch-prob", l->mixing && !both, "only one of mixup and cutmix is on; give both");
    unused(l, "mixup-off-epoch", l->mixing && e->mixup_off_epoch >= l->r->epochs,
           "the run ends before that epoch; lower it or raise --epochs");
}

static void unused_model_flags(const look *l)
{
    const vt_loss_flags *f = &l->r->loss;
    const vt_model_config *c = &l->run->config;
    bool none = f->distillation == VT_DISTILLATION_NONE;
    unused(l, "drop-path", c->depth == 1 && !c->drop_path_uniform && c->drop_path > 0,
           "its rate grows from 0 with depth, and there is 1 block; give --drop-path-mode uniform");
    unused(l, "pos-embed-antialias", !l->s->run.finetune, "it is of --finetune");
    unused(l, "distillation-alpha", none, "there is no teacher; give --distillation-type soft or hard");
    unused(l, "distillation-tau", none, "there is no teacher; give --distillation-type soft");
    unused(l, "distillation-tau", f->distillation == VT_DISTILLATION_HARD,
           "a hard teacher's choice has no temperature; leave it away, or give --distillation-type soft");
}

/* --- the rate --- */

static void warn_warmup(const look *l)
{
    const vt_schedule *c = &l->run->schedule;
    double most = l->tunes ? tuning_warmup_most : warmup_most;
    int held = 1 + c->lag, epochs = l->r->epochs;
    if ((double)c->warmup > most * (double)l->steps)
        vt_text_printf(line(l),
                       "the warm-up takes %lld of the run's %lld steps%s: lower --warmup-epochs, to %.3g or so\n",
                       (long long)c->warmup, (long long)l->steps,
                       c->warmup >= l->steps ? ", so the rate never reaches its peak" : "",
                       0.05 * (double)l->steps / (double)c->per_epoch);
    else if (c->per_epoch_updates && c->warmup > 0 && held > most * epochs)
        vt_text_printf(line(l),
                       "--sched-per-epoch holds --warmup-lr %g for %d of %d epochs: give --warmup-epochs 0, or "
                       "--no-sched-per-epoch\n",
                       c->warmup_lr, held, epochs);
}

static void warn_rate(const look *l)
{
    const vt_recipe *r = l->r;
    const vt_schedule *c = &l->run->schedule;
    const char *op = vt_optimizers[r->optimizer.opt].op->name;
    if (c->kind <= VT_SCHED_LINEAR && c->min_lr > c->lr)
        vt_text_printf(line(l),
                       "--min-lr %g is above the peak rate %.3g%s: the rate rises to the end of the run: raise "
                       "--lr, or lower --min-lr\n",
                       c->min_lr, c->lr, r->unscale_lr ? "" : " (--lr x batch / 512)");
    if (c->warmup > 0 && c->warmup_lr > c->lr)
        vt_text_printf(line(l), "--warmup-lr %g is above the peak rate %.3g: the warm-up falls: lower it\n",
                       c->warmup_lr, c->lr);
    if (r->unscale_lr && !vt_options_given(l->run->options, "lr") && l->global != 512)
        vt_text_printf(line(l),
                       "--unscale-lr with the default --lr %g, which is that of a batch of 512, and the batch is "
                       "%d: give --lr, or leave --unscale-lr away\n",
                       r->lr, l->global);
    double most = strcmp(op, "adamw") == 0 ? adamw_most : strcmp(op, "lion") == 0 ? lion_most : INFINITY;
    if (c->lr > most)
        vt_text_printf(line(l), "the peak rate %.3g%s is high for %s, which rarely trains above %g: lower --lr\n",
                       c->lr, r->unscale_lr ? "" : " (--lr x batch / 512)", op, most);
    if (strcmp(op, "sgd") == 0 && r->weight_decay > sgd_decay_most)
        vt_text_printf(line(l),
                       "--weight-decay %g with --opt %s, whose decay is part of the gradient: usual is 1e-4: "
                       "lower it\n",
                       r->weight_decay, vt_optimizers[r->optimizer.opt].name);
    if (r->optimizer.layer_decay < 1 && !l->tunes)
        vt_text_printf(line(l),
                       "--layer-decay %g of weights that begin at random: early layers hardly learn: it is for "
                       "--finetune\n",
                       r->optimizer.layer_decay);
    warn_warmup(l);
}

/* A half-life of an epoch is what the preset has, and never too slow; weights that were trained do no harm. */
static void warn_average(const look *l)
{
    double decay = l->r->model_ema_decay, half = vt_ema_half_life(decay), epoch = (double)l->run->steps_per_epoch;
    double share = vt_ema_initial_share(decay, l->r->optimizer.ema_warmup, l->steps);
    if (!l->r->model_ema || l->tunes || share <= initial_most || half <= 1.1 * epoch) return;
    double better = pow(0.5, 8 / (double)l->steps); /* then 0.4 % are left; two digits of what it is below 1 */
    int digits = 1 + (int)ceil(-log10(1 - better));
    vt_text_printf(line(l),
                   "--model-ema-decay %.9g is too slow for %lld steps: its half-life is %.3g steps, and %.3g %% of "
                   "the initial weights are left in the average at the end: give --model-ema-decay %.*f, or "
                   "--model-ema-warmup\n",
                   decay, (long long)l->steps, half, 100 * share, digits, better);
}

/* --- data, samples, targets --- */

static void warn_data(const look *l)
{
    const vt_sampler *sampler = &l->run->loading.sampler;
    const vt_model_config *c = &l->run->config;
    int stride = c->patch_stride ? c->patch_stride : c->patch_size;
    int patches = ((c->img_height - c->patch_size) / stride + 1) * ((c->img_width - c->patch_size) / stride + 1);
    int side = c->img_height < c->img_width ? c->img_height : c->img_width;
    int64_t seen = l->run->steps_per_epoch * l->global / sampler->repeats;
    if (sampler->repeats > 1 &&
        (sampler->samples < (uint32_t)(REPEATED_LEAST * sampler->repeats) || l->run->steps_per_epoch < STEPS_LEAST))
        vt_text_printf(line(l),
                       "--aug-repeats %d of %u images: an epoch has %lld steps and sees %lld different images: give "
                       "--no-repeated-aug\n",
                       sampler->repeats, sampler->samples, (long long)l->run->steps_per_epoch, (long long)seen);
    if (patches < PATCHES_LEAST)
        vt_text_printf(line(l),
                       "patches of %d pixels make %d of a %dx%d image, few to attend to: give --patch-size %d, or a "
                       "larger --img-size\n",
                       c->patch_size, patches, c->img_height, c->img_width, side / 4 > 1 ? side / 4 : 1);
    if (l->mixing && l->micro % 2)
        vt_text_printf(line(l),
                       "mixup and cutmix pair the samples of a micro-batch, and %d is odd: the middle one is never "
                       "mixed: give an even --%s\n",
                       l->micro, l->r->micro_batch_size ? "micro-batch-size" : "batch-size");
}

static void warn_targets(const look *l)
{
    const vt_loss_flags *f = &l->r->loss;
    double s = l->r->smoothing, k = l->run->config.classes, off = s / k, on = 1 - s + off;
    if (l->run->config.classes == 1) {
        vt_text_printf(line(l),
                       "1 class: every target is 1, nothing can be learned: give class folders, or --num-classes "
                       "2\n");
        return;
    }
    if (l->run->config.classes == 2 && s > 0)
        vt_text_printf(line(l),
                       "--smoothing %g of 2 classes: targets are %.3g and %.3g, so no probability is learned above "
                       "that: give --smoothing 0 where probabilities matter\n",
                       s, on, off);
    if (!f->bce_loss) return;
    if (f->bce_target_thresh < 0 && s > 0)
        vt_text_printf(line(l),
                       "--bce-loss with --smoothing %g: each of the other classes is a target of %.3g too: give "
                       "--smoothing 0, as DeiT III\n",
                       s, off);
    if (f->bce_target_thresh >= 0 && f->bce_target_thresh < off)
        vt_text_printf(line(l),
                       "--bce-target-thresh %g is below %.3g, which --smoothing %g gives every class: all targets "
                       "become 1: give --smoothing 0\n",
                       f->bce_target_thresh, off, s);
    if (f->bce_target_thresh >= on)
        vt_text_printf(line(l), "--bce-target-thresh %g: no target is above %.3g, so all become 0: lower it\n",
                       f->bce_target_thresh, on);
}

void vt_warnings_find(vt_warnings *w, const vt_run_parts *run)
{
    const vt_recipe *r = &run->settings->recipe;
    look l = {.w = w,
              .run = run,
              .s = run->settings,
              .r = r,
              .steps = vt_run_steps(run),
              .global = r->batch_size * r->grad_accum_steps,
              .micro = run->loading.sampler.micro_batch,
              .mixing = vt_mixing_on(&run->loading.mixing),
              .tunes = run->settings->run.finetune != NULL};
    *w = (vt_warnings){0};
    warn_data(&l);
    warn_targets(&l);
    warn_rate(&l);
    warn_average(&l);
    unused_optimizer_flags(&l);
    unused_sample_flags(&l);
    unused_model_flags(&l);
}

vt_status vt_warnings_print(vt_warnings *w, FILE *to)
{
    for (const char *at = vt_text_str(&w->lines); *at;) {
        size_t n = strcspn(at, "\n");
        fprintf(to, "warning: %.*s\n", (int)n, at);
        at += n + (at[n] == '\n');
    }
    vt_status st = vt_text_status(&w->lines);
    vt_text_free(&w->lines);
    return st;
}
