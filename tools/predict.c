#include "train/predict.h"

#include "base/json.h"
#include "command.h"

typedef struct settings {
    vt_model_flags model;
    vt_image_flags images;
    vt_device_flags device;
    const char *checkpoint, *data_path, *tensors, *grid;
    vt_strings files, class_names;
    vt_split split;
    int count;
    bool ema, json;
} settings;

#define FIELD(member) VT_FIELD(settings, member), .group = "Prediction"
static const vt_option table[] = {
    {.name = "checkpoint", .kind = VT_OPT_STRING, FIELD(checkpoint), .argument = "FILE",
     .help = "of a run, or any safetensors file with timm's names"},
    {.name = "image", .kind = VT_OPT_STRINGS, FIELD(files), .positional = true, .argument = "FILE…",
     .help = "PNG or JPEG files"},
    {.name = "ema", .kind = VT_OPT_FLAG, FIELD(ema), .help = "the average of the weights"},
    {.name = "json", .kind = VT_OPT_FLAG, FIELD(json), .help = "print one JSON object a line and image"},
    {.name = "tensors", .kind = VT_OPT_STRING, FIELD(tensors), .argument = "FILE",
     .help = "write the images as the model saw them, f32 [N,C,H,W]"},
    {.name = "grid", .kind = VT_OPT_STRING, FIELD(grid), .argument = "FILE",
     .help = "write a PNG picture of the images with their classes, predicted and true"},
    {.name = "data-path", .kind = VT_OPT_STRING, FIELD(data_path), .argument = "DIR", .help = "images of a data set"},
    {.name = "split", .kind = VT_OPT_CHOICE, FIELD(split), .choices = "train|val|all", .fallback = "val",
     .help = "of --data-path"},
    {.name = "count", .kind = VT_OPT_INT, FIELD(count), .min = 1, .max = 1e6, .fallback = "40",
     .help = "how many of them, evenly spaced"},
    {.name = "class-names", .kind = VT_OPT_STRINGS, FIELD(class_names), .argument = "NAME…",
     .help = "in place of the checkpoint's, in its order"},
    {.name = "image-flags", .kind = VT_OPT_TABLE, VT_FIELD(settings, images), .table = vt_image_flags_table},
    {.name = "model-flags", .kind = VT_OPT_TABLE, VT_FIELD(settings, model), .table = vt_model_flags_table},
    {.name = "device-flags", .kind = VT_OPT_TABLE, VT_FIELD(settings, device), .table = vt_device_flags_table},
    {0}};

static void say(void *arg, const char *line)
{
    fprintf(stderr, "%s\n", line);
}

static void add_json(vt_text *t, const vt_prediction *p)
{
    vt_json_open(t, '{');
    vt_json_key(t, "file");
    vt_json_string(t, p->file);
    if (p->truth) vt_json_key(t, "true");
    if (p->truth) vt_json_string(t, p->truth);
    vt_json_key(t, "top");
    vt_json_open(t, '[');
    for (int k = 0; k < p->count; k++) {
        vt_json_open(t, '{');
        vt_json_key(t, "class");
        vt_json_string(t, p->names[k]);
        vt_json_key(t, "index");
        vt_json_int(t, p->best[k]);
        vt_json_key(t, "prob");
        vt_json_number(t, (double)p->probability[k]);
        vt_json_close(t, '}');
    }
    vt_json_close(t, ']');
    vt_json_close(t, '}');
    vt_text_add(t, "\n");
}

static void add_text(vt_text *t, const vt_prediction *p)
{
    vt_text_printf(t, "%s", p->file);
    if (p->truth) vt_text_printf(t, "  (is %s)", p->truth);
    for (int k = 0; k < p->count; k++)
        vt_text_printf(t, "\n  %6.2f %%  %s", 100 * (double)p->probability[k], p->names[k]);
    vt_text_add(t, "\n");
}

static vt_status report(void *arg, const vt_prediction *p)
{
    const settings *s = arg;
    vt_text text = {0};
    (s->json ? add_json : add_text)(&text, p);
    return vt_print(&text);
}

static vt_status predict(vt_options *options, settings *s, vt_checkpoint *c)
{
    vt_predict_job job = {.checkpoint = c, .ema = s->ema, .files = s->files, .data_path = s->data_path,
                          .split = s->split, .count = s->count, .class_names = s->class_names, .tensors = s->tensors,
                          .grid = s->grid, .report = report, .say = say, .arg = s};
    vt_transform *t = &job.transform;
    vt_status st = vt_image_flags_apply(&s->images, &c->model);
    if (st == VT_OK) st = vt_device_flags_open(&s->device, "fp32", &job.device);
    if (st) return st;
    *t = vt_transform_default(c->model.img_height, c->model.img_width, c->model.in_chans, false);
    t->crop_pct = vt_options_given(options, "crop-pct") ? s->images.crop_pct : c->preprocessing.crop_pct;
    t->interpolation =
        vt_options_given(options, "interpolation") ? s->images.interpolation : c->preprocessing.interpolation;
    return vt_predict(&job);
}

static vt_status run(vt_options *options, void *given)
{
    settings *s = given;
    vt_checkpoint c;
    if (!s->checkpoint) return vt_fail(VT_INVALID, "--checkpoint is missing");
    vt_status st = vt_checkpoint_open(&c, s->checkpoint, &s->model);
    if (st) return st;
    st = predict(options, s, &c);
    vt_checkpoint_close(&c);
    return st;
}

const vt_command vt_command_predict = {
    .name = "predict", .summary = "the classes of images", .usage = "vitc predict --checkpoint F IMAGE... [flags]",
    .example = "vitc predict --checkpoint runs/fashion/best.safetensors --data-path /usr/share/datasets/fashion-mnist "
               "--count 40 --grid predictions.png",
    .table = table, .settings_bytes = sizeof(settings), .run = run};
