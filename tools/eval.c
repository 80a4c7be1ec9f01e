#include <string.h>

#include "base/json.h"
#include "command.h"
#include "train/checkpoint.h"
#include "train/evaluate.h"

typedef struct settings {
    vt_model_flags model;
    vt_data_flags data;
    vt_image_flags images;
    vt_device_flags device;
    const char *checkpoint;
    bool ema, json;
    vt_split split;
    int batch_size;
} settings;

#define FIELD(member) VT_FIELD(settings, member), .group = "Evaluation"
#define TABLE(member, of) {.name = #member, .kind = VT_OPT_TABLE, VT_FIELD(settings, member), .table = of}
static const vt_option table[] = {
    {.name = "checkpoint", .kind = VT_OPT_STRING, FIELD(checkpoint), .argument = "FILE",
     .help = "of a run, or any safetensors file with timm's names"},
    {.name = "ema", .kind = VT_OPT_FLAG, FIELD(ema), .help = "the average of the weights"},
    {.name = "split", .kind = VT_OPT_CHOICE, FIELD(split), .choices = "train|val|all", .fallback = "val",
     .help = "which images"},
    {.name = "batch-size", .aliases = "b", .kind = VT_OPT_INT, FIELD(batch_size), .min = 1, .max = 65536,
     .fallback = "64",
     .help = "images at a time"},
    {.name = "json", .kind = VT_OPT_FLAG, FIELD(json), .help = "print one JSON object"},
    TABLE(data, vt_data_flags_table), TABLE(images, vt_image_flags_table), TABLE(model, vt_model_flags_table),
    TABLE(device, vt_device_flags_table),
    {0}};

static vt_status print(const settings *s, const vt_checkpoint *c, const vt_score *score)
{
    vt_text text = {0};
    const char *weights = s->ema || strcmp(c->weights, "ema") == 0 ? "ema" : "raw";
    if (!s->json) {
        vt_text_printf(&text, "* Acc@1 %.3f Acc@5 %.3f loss %.3f\n", score->acc1, score->acc5, score->loss);
        return vt_print(&text);
    }
    const struct { const char *key; double value; } numbers[] = {
        {"acc1", score->acc1}, {"acc5", score->acc5}, {"loss", score->loss}, {"n", (double)score->n}};
    vt_json_open(&text, '{');
    for (int i = 0; i < 4; i++) {
        vt_json_key(&text, numbers[i].key);
        vt_json_number(&text, numbers[i].value);
    }
    vt_json_key(&text, "weights");
    vt_json_string(&text, weights);
    vt_json_close(&text, '}');
    vt_text_add(&text, "\n");
    return vt_print(&text);
}

static vt_status open_data(const settings *s, const vt_checkpoint *c, vt_dataset **data)
{
    if (c->model.in_chans != 1 && c->model.in_chans != 3)
        return vt_fail(VT_INVALID, "%s: the model has %d channels, images have 1 or 3", s->checkpoint,
                       c->model.in_chans);
    vt_dataset_options o = {.val_split = c->ours ? c->preprocessing.val_split : s->data.val_split,
                            .seed = (uint64_t)c->preprocessing.seed, .num_classes = c->model.classes,
                            .in_chans = c->model.in_chans, .val_names = c->held_out, .val_count = c->held_out_count,
                            .class_names = c->classes, .class_count = c->class_count};
    return vt_dataset_open(data, s->data.data_path, s->split, &o);
}

static vt_status evaluate(vt_options *options, const settings *s, vt_checkpoint *c)
{
    vt_status st;
    vt_dataset *data = NULL;
    vt_model *model = NULL;
    vt_eval eval = {0};
    vt_model_options device;
    vt_score score;
    VT_TRY(vt_image_flags_apply(&s->images, &c->model));
    VT_TRY(open_data(s, c, &data));
    VT_TRY(vt_device_flags_open(&s->device, "fp32", &device));
    VT_TRY(vt_checkpoint_load_model(c, &model, &device, s->ema));
    VT_TRY(vt_eval_build(&eval, &c->model, &model->params, VT_U8, s->batch_size, model->device->precision));
    VT_TRY(vt_eval_open(&eval, &model->workspace));
    vt_transform t = vt_transform_default(c->model.img_height, c->model.img_width, c->model.in_chans, false);
    t.crop_pct = vt_options_given(options, "crop-pct") ? s->images.crop_pct : c->preprocessing.crop_pct;
    t.interpolation = vt_options_given(options,
                                       "interpolation") ? s->images.interpolation : c->preprocessing.interpolation;
    int threads = model->device->threads;
    fprintf(stderr, "device: %s  %u images\n", model->device->about, vt_dataset_count(data));
    VT_TRY(vt_evaluate(&score, &eval, data, &t, s->data.num_workers < threads ? s->data.num_workers : threads,
                       s->data.bad_images));
    st = print(s, c, &score);
fail:
    vt_eval_close(&eval);
    vt_model_destroy(model);
    vt_dataset_close(data);
    return st;
}

static vt_status run(vt_options *options, void *given)
{
    const settings *s = given;
    vt_checkpoint c;
    if (!s->checkpoint) return vt_fail(VT_INVALID, "--checkpoint is missing");
    if (!s->data.data_path) return vt_fail(VT_INVALID, "--data-path is missing");
    vt_status st = vt_checkpoint_open(&c, s->checkpoint, &s->model);
    if (st) return st;
    st = evaluate(options, s, &c);
    vt_checkpoint_close(&c);
    return st;
}

const vt_command vt_command_eval = {
    .name = "eval", .summary = "accuracy of a checkpoint over a data set",
    .usage = "vitc eval --checkpoint F --data-path D [--ema] [--split val] [flags]",
    .example = "vitc eval --checkpoint runs/fashion/best.safetensors --data-path /usr/share/datasets/fashion-mnist",
    .table = table, .settings_bytes = sizeof(settings), .run = run};
