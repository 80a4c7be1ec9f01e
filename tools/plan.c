#include "base/json.h"
#include "command.h"
#include "models/model.h"
#include "train/ledger.h"
#include "train/run_setup.h"

typedef struct settings {
    vt_settings train;
    int64_t fit;
    bool json;
} settings;

#define FIELD(member) VT_FIELD(settings, member), .group = "Plan"
static const vt_option table[] = {
    {.name = "fit", .kind = VT_OPT_BYTES, FIELD(fit), .min = 1, .max = 9e18, .argument = "SIZE",
     .help = "choose --micro-batch-size and --recompute so that the step takes no more, such as 24GiB"},
    {.name = "json", .kind = VT_OPT_FLAG, FIELD(json), .help = "print one JSON object"},
    {.name = "train", .kind = VT_OPT_TABLE, VT_FIELD(settings, train), .table = vt_settings_table},
    {0}};

static void print_table(vt_text *t, const settings *s, const vt_model_config *model, const vt_fit *f)
{
    vt_text_printf(t, "%s, %dx%d px, %d classes; a step: %d x %d images%s\n\n", model->name,
                   model->img_height, model->img_width, model->classes, f->options.micro_batches, f->options.batch_size,
                   f->options.recompute ? ", activations recomputed" : "");
    vt_ledger_table(t, &f->ledger);
    if (!s->fit) return;
    vt_text_printf(t, "\nfits into %.1f MiB with: --batch-size %d --micro-batch-size %d%s\n", (double)s->fit / 1048576,
                   f->batch_size, f->options.batch_size, f->options.recompute ? " --recompute" : "");
    if (f->options.batch_size != f->batch_size)
        vt_text_add(t, "(another micro-batch size is another order of summation: results differ in the last bits)\n");
}

static void print_json(vt_text *t, const vt_model_config *model, const vt_fit *f)
{
    vt_json_open(t, '{');
    vt_json_key(t, "model");
    vt_json_string(t, model->name);
    const struct { const char *key; int64_t value; } ints[] = {{"batch_size", f->batch_size},
                                                               {"micro_batch_size", f->options.batch_size},
                                                               {"micro_batches", f->options.micro_batches}};
    for (int i = 0; i < 3; i++) {
        vt_json_key(t, ints[i].key);
        vt_json_int(t, ints[i].value);
    }
    vt_json_key(t, "recompute");
    vt_json_bool(t, f->options.recompute);
    vt_ledger_json(t, &f->ledger);
    vt_json_close(t, '}');
    vt_text_add(t, "\n");
}

/* With a data set, its classes, preset and loader; else what the flags alone say. */
static vt_status settle(vt_options *options, settings *s, vt_run_parts *parts)
{
    vt_status st;
    if (s->train.data.data_path) return vt_run_open_data(parts);
    st = vt_model_flags_apply(&s->train.model, &parts->config);
    if (st == VT_OK) st = vt_image_flags_apply(&s->train.images, &parts->config);
    if (st == VT_OK) st = vt_model_check(&parts->config);
    if (st == VT_OK) st = vt_recipe_check(options, &s->train);
    if (st) return st;
    vt_model_config *c = &parts->config;
    parts->loading.transform = vt_transform_default(c->img_height, c->img_width, c->in_chans, true);
    parts->loading.prefetch = VT_PREFETCH;
    return VT_OK;
}

static vt_status run(vt_options *options, void *given)
{
    settings *s = given;
    const vt_recipe *r = &s->train.recipe;
    vt_status st;
    vt_text text = {0};
    vt_device *device = NULL;
    vt_model_options on;
    vt_run_parts parts = {.options = options, .settings = &s->train};
    int micro = r->micro_batch_size ? r->micro_batch_size : r->batch_size;
    vt_fit fit = {.batch_size = r->batch_size, .accumulation = r->grad_accum_steps};
    VT_TRY(settle(options, s, &parts));
    VT_TRY(vt_run_open_loss(&parts));
    VT_TRY(vt_device_flags_open(&s->train.device, "bf16", &on));
    vt_device_options device_options = vt_model_device(&on);
    VT_TRY(vt_device_open(&device, &device_options));
    fit.options = vt_recipe_train_options(r, r->batch_size / micro * r->grad_accum_steps);
    fit.options.loss = parts.loss;
    if (s->fit) {
        VT_TRY(vt_ledger_fit(&fit, (size_t)s->fit, &parts.config, device, &parts.loading));
    } else {
        parts.loading.sampler.micro_batch = micro;
        parts.loading.micro_end = fit.options.micro_batches;
        VT_TRY(vt_ledger_read(&fit.ledger, &parts.config, &fit.options, device, &parts.loading));
    }
    if (s->json) print_json(&text, &parts.config, &fit);
    else print_table(&text, s, &parts.config, &fit);
    st = vt_print(&text);
fail:
    vt_text_free(&text);
    vt_device_close(device);
    vt_run_close(&parts);
    return st;
}

const vt_command vt_command_plan = {
    .name = "plan", .summary = "what a step takes, before anything runs",
    .usage = "vitc plan --model M --batch-size B [--fit 24GiB] [train's flags]",
    .example = "vitc plan --model deit_small_patch16_224 --batch-size 256 --fit 24GiB", .table = table,
    .settings_bytes = sizeof(settings), .run = run};
