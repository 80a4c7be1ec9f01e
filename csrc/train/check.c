/* What is known before a run. Printing is check_print.c. */
#include "train/check.h"

#include <math.h>
#include <string.h>

#include "train/trainer.h"

const char *const vt_check_group_name[VT_CHECK_GROUPS] = {"decayed",    "biases", "1-D", "pos_embed, cls_token",
                                                          "--no-decay", "frozen"};

vt_check_group vt_check_group_of(const vt_entry *e)
{
    size_t n = strlen(e->name);
    if (e->frozen) return VT_CHECK_FROZEN;
    if (e->decay) return e->undecayed ? VT_CHECK_SPARED : VT_CHECK_DECAYED;
    if (n > 5 && strcmp(e->name + n - 5, ".bias") == 0) return VT_CHECK_BIASES;
    return e->ndim == 1 ? VT_CHECK_VECTORS : VT_CHECK_TOKENS;
}

static vt_status read_parameters(vt_check *c)
{
    const vt_recipe *r = &c->run->settings->recipe;
    vt_train_options o = vt_recipe_train_options(r, c->run->loading.sampler.micros);
    vt_stores stores = {0};
    o.loss = c->run->loss;
    vt_status st = vt_model_declare(&c->params, &c->run->config);
    if (st == VT_OK) st = vt_trainer_config(&c->step, &c->run->config, &o);
    if (st == VT_OK) st = vt_stores_create(&stores, &c->params, &c->step);
    if (st) return st;
    vt_stores_free(&stores, NULL);
    for (int i = 0; i < c->params.count; i++) {
        const vt_entry *e = &c->params.entries[i];
        vt_check_group g = vt_check_group_of(e);
        c->tensors[g]++;
        c->elements[g] += e->count;
        if (e->layer >= c->layers) c->layers = e->layer + 1;
    }
    return VT_OK;
}

double vt_check_scale(const vt_check *c, int layer)
{
    return pow(c->step.layer_decay, c->layers - 1 - layer);
}

/* --- the schedule --- */

static void add_point(vt_check *c, const char *at, int64_t step)
{
    if (step < c->steps) c->points[c->point_count++] = (vt_check_point){at, step};
}

static void read_schedule(vt_check *c)
{
    c->steps = vt_run_steps(c->run);
    add_point(c, "start", 0);
    if (c->run->schedule.warmup > 0) add_point(c, "end of the warm-up", c->run->schedule.warmup);
    add_point(c, "25 %", c->steps / 4);
    add_point(c, "50 %", c->steps / 2);
    add_point(c, "75 %", 3 * c->steps / 4);
    add_point(c, "last", c->steps - 1);
}

/* --- a training sample --- */

static char *stage(vt_check *c, const char *name)
{
    vt_check_stage *s = &c->stages[c->stage_count++];
    s->name = name;
    return s->settings;
}
#define STAGE(name, ...) snprintf(stage(c, name), sizeof c->stages->settings, __VA_ARGS__)

static void read_policy(vt_check *c, const vt_transform *t)
{
    const vt_augment *a = &t->augment;
    const vt_recipe *r = &c->run->settings->recipe;
    const char *aa = r->three_augment ? "3a" : r->aa ? r->aa : "none";
    char level[64];
    if (isinf(a->deviation)) snprintf(level, sizeof level, "level 0 to %g", a->level);
    else snprintf(level, sizeof level, "level %g +- %g", a->level, a->deviation);
    if (a->policy == VT_AUGMENT_RAND)
        STAGE("augment", "RandAugment, --aa %s: %d ops, each with probability %g, %s%s", aa, a->layers, a->probability,
              level, a->increasing ? ", increasing" : "");
    if (a->policy == VT_AUGMENT_MIX)
        STAGE("augment", "AugMix, --aa %s: %d chains of %.*d%s ops, %s, %s", aa, a->width, a->depth > 0, a->depth,
              a->depth ? "" : "1 to 3", level, a->blended ? "blended one by one" : "summed, then mixed in");
    if (a->policy == VT_AUGMENT_AUTO) STAGE("augment", "AutoAugment, --aa %s: one of 25 pairs of ops", aa);
    if (a->policy == VT_AUGMENT_THREE) STAGE("augment", "ThreeAugment: grey, solarised or blurred");
    if (vt_augment_jitters(a))
        STAGE("jitter", "brightness, contrast, saturation by factors of 1 +- %g", a->jitter);
}

static void read_effects(vt_check *c)
{
    static const char *const fills[] = {"0", "a normal number a channel", "normal numbers"};
    static const char *const modes[] = {"a micro-batch", "a pair", "a sample"};
    const vt_effects_flags *e = &c->run->settings->recipe.effects;
    const vt_erase *erase = &c->run->loading.erase;
    const vt_mixing *m = &c->run->loading.mixing;
    bool cutmix = m->cutmix > 0 || m->minmax[1] > 0;
    char off[48] = "", boxes[64] = "";
    if (erase->probability > 0)
        STAGE("erase", "with probability %g, up to %d box%s filled with %s", erase->probability, erase->most,
              erase->most > 1 ? "es" : "", fills[e->remode]);
    if (!vt_mixing_on(m)) return;
    if (m->off_epoch) snprintf(off, sizeof off, "; from epoch %u on not", m->off_epoch);
    if (m->minmax[1] > 0)
        snprintf(boxes, sizeof boxes, " with boxes of %g to %g of a side", m->minmax[0], m->minmax[1]);
    if (m->mixup > 0 && cutmix)
        STAGE("mix", "with probability %g: cutmix (%g)%s with probability %g, else mixup (%g); one draw for %s%s",
              m->mix_probability, m->cutmix, boxes, m->switch_probability, m->mixup, modes[m->mode], off);
    else if (cutmix)
        STAGE("mix", "with probability %g: cutmix (%g)%s; one draw for %s%s", m->mix_probability, m->cutmix, boxes,
              modes[m->mode], off);
    else
        STAGE("mix", "with probability %g: mixup (%g); one draw for %s%s", m->mix_probability, m->mixup, modes[m->mode],
              off);
}

static void read_sample(vt_check *c)
{
    static const char *const filters[] = {"nearest", "bilinear", "bicubic", "bilinear or bicubic at random"};
    const vt_transform *t = &c->run->loading.transform;
    const vt_model_config *m = &c->run->config;
    int repeats = c->run->loading.sampler.repeats;
    char means[96] = "", stds[96] = "";
    for (int i = 0, n = 0, k = 0; i < m->in_chans && i < 4; i++) {
        n += snprintf(means + n, sizeof means - (size_t)n, " %g", (double)m->mean[i]);
        k += snprintf(stds + k, sizeof stds - (size_t)k, " %g", (double)m->std[i]);
    }
    if (repeats > 1)
        STAGE("repeat", "each sample %d times in a row, with other draws; the epoch is no longer", repeats);
    STAGE("crop", "%g to %g of the area, width / height %.3g to %.3g, resized to %dx%d, %s%s", t->scale[0], t->scale[1],
          t->ratio[0], t->ratio[1], m->img_height, m->img_width, filters[t->train_interpolation],
          t->jpeg_scale ? "; JPEG decoded at a reduced scale where the crop allows" : "");
    if (t->hflip > 0 || t->vflip > 0)
        STAGE("flip", "horizontally with probability %g, vertically %g", t->hflip, t->vflip);
    read_policy(c, t);
    STAGE("normalise", "mean%s, std%s", means, stds);
    read_effects(c);
}

/* --- all of it --- */

vt_status vt_check_open(vt_check *c, vt_run_parts *run)
{
    vt_status st;
    *c = (vt_check){.run = run};
    vt_store_init(&c->params, "param", VT_F32);
    VT_TRY(vt_run_resume(run));
    VT_TRY(vt_run_open_data(run));
    VT_TRY(vt_run_open_loss(run));
    VT_TRY(read_parameters(c));
    VT_TRY(vt_run_finetune_table(run, &c->params, &c->finetune));
    read_schedule(c);
    read_sample(c);
    vt_warnings_find(&c->warnings, run);
    st = vt_text_status(&c->warnings.lines);
fail:
    if (st) vt_check_close(c);
    return st;
}

void vt_check_close(vt_check *c)
{
    vt_text_free(&c->finetune);
    vt_text_free(&c->warnings.lines);
    vt_store_free(&c->params);
}
