/* A check's two forms. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "train/check.h"

static int patches_of(const vt_model_config *c)
{
    int stride = c->patch_stride ? c->patch_stride : c->patch_size;
    return ((c->img_height - c->patch_size) / stride + 1) * ((c->img_width - c->patch_size) / stride + 1);
}

static int batch_of(const vt_check *c)
{
    return c->step.micro_batch * c->step.micro_count;
}

static double share_of(const vt_check *c)
{
    const vt_recipe *r = &c->run->settings->recipe;
    return vt_ema_initial_share(r->model_ema_decay, r->optimizer.ema_warmup, c->steps);
}

static double rate_at(const vt_check *c, int64_t step)
{
    return vt_schedule_lr(&c->run->schedule, step);
}

static const char *const schedules[] = {"cosine", "linear", "step", "constant", "constant"};

/* --- what is not said by one number --- */

static void about_loss(const vt_check *c, vt_text *t)
{
    const vt_loss_options *loss = &c->run->loss;
    const vt_model_config *m = &c->run->config;
    double smoothing = (double)c->step.smoothing;
    vt_text_add(t, loss->bce ? "binary cross-entropy" : "cross-entropy");
    vt_text_printf(t, ", smoothing %.4g", smoothing);
    if (loss->bce && loss->bce_threshold >= 0)
        vt_text_printf(t, ", targets above %g become 1, others 0", (double)loss->bce_threshold);
    if (loss->class_weights) vt_text_add(t, ", classes weighted");
    if (loss->teacher && loss->distill_hard)
        vt_text_printf(t, "; %g of it the teacher's choice", loss->distill_alpha);
    else if (loss->teacher)
        vt_text_printf(t, "; %g of it the teacher's probabilities at temperature %g", loss->distill_alpha,
                       loss->distill_tau);
    else if (m->distilled)
        vt_text_add(t, "; mean of both heads'");
}

static void about_optimizer(const vt_check *c, vt_text *t)
{
    const vt_step_config *s = &c->step;
    const vt_recipe *r = &c->run->settings->recipe;
    const char *op = s->optimizer->op->name;
    vt_text_add(t, s->optimizer->name);
    if (strcmp(op, "sgd") == 0)
        vt_text_printf(t, ", momentum %g%s", s->rule.momentum, s->optimizer->nesterov ? " (Nesterov)" : "");
    else
        vt_text_printf(t, ", betas %g %g", s->rule.beta1, s->rule.beta2);
    if (strcmp(op, "adamw") == 0 || strcmp(op, "lamb") == 0) vt_text_printf(t, ", eps %g", s->rule.eps);
    vt_text_printf(t, ", weight decay %g", r->weight_decay);
    if (r->clip_grad > 0) vt_text_printf(t, ", gradients clipped at a norm of %g", r->clip_grad);
}

/* What of the settings has this source, as on the command line, or as members of an open JSON object. */
static int settings_from(const vt_options *o, vt_source source, vt_text *t, bool json)
{
    int found = 0;
    for (int i = 0; i < o->count; i++) {
        if (o->sources[i] != source) continue;
        vt_text value = {0}, name = {0};
        int items = vt_option_items(&o->table[i], o->settings);
        for (int k = 0; k < items; k++) {
            if (k) vt_text_add(&value, ",");
            vt_option_item(&o->table[i], o->settings, k, &value);
        }
        vt_text_add(&name, o->table[i].name);
        for (char *at = name.data; json && at && *at; at++)
            if (*at == '-') *at = '_';
        if (json) {
            vt_json_key(t, vt_text_str(&name));
            vt_json_string(t, vt_text_str(&value));
        } else {
            vt_text_printf(t, " --%s %s", vt_text_str(&name), vt_text_str(&value));
        }
        t->failed |= value.failed || name.failed;
        vt_text_free(&value);
        vt_text_free(&name);
        found++;
    }
    return found;
}

/* Calls for each warning, without its newline. */
static void each_warning(const vt_check *c, vt_text *t, bool json)
{
    for (const char *at = vt_text_str(&c->warnings.lines); *at;) {
        size_t n = strcspn(at, "\n");
        vt_text one = {0};
        vt_text_append(&one, at, n);
        if (json)
            vt_json_string(t, vt_text_str(&one));
        else
            vt_text_printf(t, "  %s\n", vt_text_str(&one));
        t->failed |= one.failed;
        vt_text_free(&one);
        at += n + (at[n] == '\n');
    }
}

/* --- for people --- */

static void text_run(const vt_check *c, vt_text *t)
{
    const vt_run_parts *r = c->run;
    const vt_model_config *m = &r->config;
    const vt_recipe *recipe = &r->settings->recipe;
    vt_text_printf(t, "model      %s, %dx%d px, %d patches, %lld parameters\n", m->name, m->img_height, m->img_width,
                   patches_of(m), (long long)vt_store_parameters(&c->params));
    vt_text_printf(t, "data       %s, %u training and %u validation images, %d classes\n",
                   vt_dataset_kind_name(r->train), vt_dataset_count(r->train), vt_dataset_count(r->val), m->classes);
    vt_text_printf(t, "run        %lld steps: %d epochs of %lld; %lld images seen\n", (long long)c->steps,
                   recipe->epochs, (long long)r->steps_per_epoch, (long long)(c->steps * batch_of(c)));
    vt_text_printf(t, "batch      %d images: %d micro-batch%s of %d, in %d lane%s\n", batch_of(c), c->step.micro_count,
                   c->step.micro_count > 1 ? "es" : "", c->step.micro_batch,
                   vt_step_lanes(c->step.micro_count, c->step.lanes),
                   vt_step_lanes(c->step.micro_count, c->step.lanes) > 1 ? "s" : "");
    vt_text_add(t, "optimizer  ");
    about_optimizer(c, t);
    vt_text_add(t, "\nloss       ");
    about_loss(c, t);
    vt_text_add(t, "\n");
}

static void text_schedule(const vt_check *c, vt_text *t)
{
    const vt_schedule *s = &c->run->schedule;
    const vt_recipe *r = &c->run->settings->recipe;
    vt_text_printf(t, "\nlearning rate: %s, at most %.6g", schedules[s->kind], s->lr);
    if (!r->unscale_lr) vt_text_printf(t, " = %g x %d / 512", r->lr, batch_of(c));
    vt_text_printf(t, ", set %s\n", !s->per_epoch_updates ? "each step" : s->lag ? "after each epoch" : "each epoch");
    vt_text_printf(t, "  %8s  %10s  rate\n", "epoch", "step");
    for (int i = 0; i < c->point_count; i++) {
        int64_t step = c->points[i].step;
        vt_text_printf(t, "  %8.2f  %10lld  %-12.6g  %s\n", (double)step / (double)s->per_epoch, (long long)step,
                       rate_at(c, step), c->points[i].at);
    }
}

static void text_parameters(const vt_check *c, vt_text *t)
{
    vt_text_printf(t, "\n%-34s  %8s  %12s\n", "parameters", "tensors", "elements");
    for (int g = 0; g < VT_CHECK_GROUPS; g++) {
        bool spared = g != VT_CHECK_DECAYED && g != VT_CHECK_FROZEN;
        char name[64];
        snprintf(name, sizeof name, "%s%s", spared ? "not decayed: " : "", vt_check_group_name[g]);
        if (c->tensors[g]) vt_text_printf(t, "  %-32s  %8d  %12lld\n", name, c->tensors[g], (long long)c->elements[g]);
    }
    if (c->step.layer_decay == 1) return;
    vt_text_add(t, "\nthe rate of a layer is multiplied by\n");
    for (int i = 0; i < c->layers; i++) {
        char name[32] = "embedding";
        if (i) snprintf(name, sizeof name, i == c->layers - 1 ? "head" : "blocks.%d", i - 1);
        vt_text_printf(t, "  %-10s  %.6g\n", name, vt_check_scale(c, i));
    }
}

static void text_average(const vt_check *c, vt_text *t)
{
    const vt_recipe *r = &c->run->settings->recipe;
    double half = vt_ema_half_life(r->model_ema_decay);
    if (!c->step.ema) {
        vt_text_add(t, "\nno average of the weights is kept\n");
        return;
    }
    vt_text_printf(t,
                   "\naverage of the weights: decay %g%s, half-life %.4g steps, %.3g of an epoch; at the end %.2g %% "
                   "of it are the initial weights\n",
                   r->model_ema_decay, r->optimizer.ema_warmup ? ", grown to" : "", half,
                   half / (double)c->run->steps_per_epoch, 100 * share_of(c));
}

static void text_settings(const vt_check *c, vt_text *t, const char *by, vt_source source)
{
    vt_text set = {0};
    if (settings_from(c->run->options, source, &set, false))
        vt_text_printf(t, "\nset by %s:%s\n", by, vt_text_str(&set));
    t->failed |= set.failed;
    vt_text_free(&set);
}

void vt_check_text(const vt_check *c, vt_text *t)
{
    text_run(c, t);
    text_schedule(c, t);
    text_parameters(c, t);
    text_average(c, t);
    vt_text_add(t, "\na training sample, in this order\n");
    for (int i = 0; i < c->stage_count; i++)
        vt_text_printf(t, "  %-9s  %s\n", c->stages[i].name, c->stages[i].settings);
    text_settings(c, t, "--compat", VT_FROM_COMPAT);
    text_settings(c, t, "the preset", VT_FROM_PRESET);
    if (c->finetune.size) vt_text_printf(t, "\n%s", vt_text_str(&c->finetune));
    vt_text_add(t, c->warnings.count ? "\nwarnings\n" : "\nno warnings\n");
    each_warning(c, t, false);
}

/* --- JSON --- */

static void json_numbers(const vt_check *c, vt_text *t)
{
    const vt_run_parts *r = c->run;
    const struct {
        const char *key;
        int64_t value;
    } ints[] = {{"params", vt_store_parameters(&c->params)},
                {"patches", patches_of(&r->config)},
                {"images", vt_dataset_count(r->train)},
                {"val_images", vt_dataset_count(r->val)},
                {"classes", r->config.classes},
                {"epochs", r->settings->recipe.epochs},
                {"steps_per_epoch", r->steps_per_epoch},
                {"steps", c->steps},
                {"images_seen", c->steps * batch_of(c)},
                {"global_batch", batch_of(c)},
                {"micro_batch", c->step.micro_batch}};
    vt_json_key(t, "model");
    vt_json_string(t, r->config.name);
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) {
        vt_json_key(t, ints[i].key);
        vt_json_int(t, ints[i].value);
    }
}

static void json_schedule(const vt_check *c, vt_text *t)
{
    const vt_schedule *s = &c->run->schedule;
    vt_json_key(t, "lr");
    vt_json_exact(t, s->lr);
    vt_json_key(t, "sched");
    vt_json_string(t, schedules[s->kind]);
    vt_json_key(t, "schedule");
    vt_json_open(t, '[');
    for (int i = 0; i < c->point_count; i++) {
        int64_t step = c->points[i].step;
        vt_json_open(t, '{');
        vt_json_key(t, "at");
        vt_json_string(t, c->points[i].at);
        vt_json_key(t, "epoch");
        vt_json_number(t, (double)step / (double)s->per_epoch);
        vt_json_key(t, "step");
        vt_json_int(t, step);
        vt_json_key(t, "lr");
        vt_json_exact(t, rate_at(c, step));
        vt_json_close(t, '}');
    }
    vt_json_close(t, ']');
}

static void json_parameters(const vt_check *c, vt_text *t)
{
    vt_json_key(t, "parameters");
    vt_json_open(t, '[');
    for (int g = 0; g < VT_CHECK_GROUPS; g++) {
        if (!c->tensors[g]) continue;
        vt_json_open(t, '{');
        vt_json_key(t, "group");
        vt_json_string(t, vt_check_group_name[g]);
        vt_json_key(t, "decayed");
        vt_json_bool(t, g == VT_CHECK_DECAYED);
        vt_json_key(t, "tensors");
        vt_json_int(t, c->tensors[g]);
        vt_json_key(t, "elements");
        vt_json_int(t, c->elements[g]);
        vt_json_close(t, '}');
    }
    vt_json_close(t, ']');
    vt_json_key(t, "layer_scales");
    vt_json_open(t, '[');
    for (int i = 0; i < c->layers; i++) vt_json_number(t, vt_check_scale(c, i));
    vt_json_close(t, ']');
}

static void json_average(const vt_check *c, vt_text *t)
{
    const vt_recipe *r = &c->run->settings->recipe;
    double half = vt_ema_half_life(r->model_ema_decay);
    vt_json_key(t, "ema");
    if (!c->step.ema) {
        vt_json_string(t, NULL);
        return;
    }
    const struct {
        const char *key;
        double value;
    } numbers[] = {{"decay", r->model_ema_decay},
                   {"half_life_steps", half},
                   {"half_life_epochs", half / (double)c->run->steps_per_epoch},
                   {"initial_share", share_of(c)}};
    vt_json_open(t, '{');
    for (int i = 0; i < 4; i++) {
        vt_json_key(t, numbers[i].key);
        vt_json_number(t, numbers[i].value);
    }
    vt_json_close(t, '}');
}

static void json_about(const vt_check *c, vt_text *t, const char *key, void (*about)(const vt_check *, vt_text *))
{
    vt_text words = {0};
    about(c, &words);
    vt_json_key(t, key);
    vt_json_string(t, vt_text_str(&words));
    t->failed |= words.failed;
    vt_text_free(&words);
}

static void json_settings(const vt_check *c, vt_text *t, const char *key, vt_source source)
{
    vt_json_key(t, key);
    vt_json_open(t, '{');
    settings_from(c->run->options, source, t, true);
    vt_json_close(t, '}');
}

void vt_check_json(const vt_check *c, vt_text *t)
{
    vt_json_open(t, '{');
    json_numbers(c, t);
    json_about(c, t, "optimizer", about_optimizer);
    json_about(c, t, "loss", about_loss);
    json_schedule(c, t);
    json_parameters(c, t);
    json_average(c, t);
    vt_json_key(t, "sample");
    vt_json_open(t, '[');
    for (int i = 0; i < c->stage_count; i++) {
        vt_json_open(t, '{');
        vt_json_key(t, "stage");
        vt_json_string(t, c->stages[i].name);
        vt_json_key(t, "settings");
        vt_json_string(t, c->stages[i].settings);
        vt_json_close(t, '}');
    }
    vt_json_close(t, ']');
    json_settings(c, t, "compat", VT_FROM_COMPAT);
    json_settings(c, t, "preset", VT_FROM_PRESET);
    vt_json_key(t, "finetune");
    vt_json_string(t, c->finetune.size ? c->finetune.data : NULL);
    vt_json_key(t, "warnings");
    vt_json_open(t, '[');
    each_warning(c, t, true);
    vt_json_close(t, ']');
    vt_json_close(t, '}');
    vt_text_add(t, "\n");
}
