#include "train/show_batch.h"

#include <string.h>

#include "base/file.h"
#include "command.h"

typedef struct settings {
    vt_device_flags device;
    const char *run, *data_path, *output, *tensors, *draws;
    int64_t epoch, step;
    int micro;
} settings;

#define FIELD(member) VT_FIELD(settings, member), .group = "Batch"
static const vt_option table[] = {
    {.name = "run", .kind = VT_OPT_STRING, FIELD(run), .positional = true, .argument = "DIR",
     .help = "output folder of a run, or a checkpoint of it"},
    {.name = "epoch", .kind = VT_OPT_INT, FIELD(epoch), .min = 0, .max = 1 << 20, .help = "from 0"},
    {.name = "step", .kind = VT_OPT_INT, FIELD(step), .min = 0, .max = 1e9, .help = "within the epoch, from 0"},
    {.name = "micro", .kind = VT_OPT_INT, FIELD(micro), .min = -1, .max = 1e9, .fallback = "-1",
     .help = "this micro-batch alone; -1: all of the step"},
    {.name = "output", .aliases = "o", .kind = VT_OPT_STRING, FIELD(output), .argument = "FILE",
     .help = "a PNG picture of the images with their classes and targets"},
    {.name = "tensors", .kind = VT_OPT_STRING, FIELD(tensors), .argument = "FILE",
     .help = "images, targets and drop-path's masks, as trace takes them"},
    {.name = "draws", .kind = VT_OPT_STRING, FIELD(draws), .argument = "FILE",
     .help = "what was drawn for each image: crop, ops, erased boxes, mixing; a line of JSON each; - is stdout"},
    {.name = "data-path", .kind = VT_OPT_STRING, FIELD(data_path), .argument = "DIR", .help = "where the data is now"},
    {.name = "device-flags", .kind = VT_OPT_TABLE, VT_FIELD(settings, device), .table = vt_device_flags_table},
    {0}};

static vt_status run(vt_options *options, void *given)
{
    const settings *s = given;
    if (!s->run) return vt_fail(VT_INVALID, "--run is missing: the output folder of a run");
    if (!s->output && !s->tensors && !s->draws)
        return vt_fail(VT_INVALID, "--output is missing: the PNG file to write (or --tensors, --draws)");
    vt_show_batch_job job = {.run = s->run, .data_path = s->data_path, .epoch = s->epoch, .step = s->step,
                             .micro = s->micro, .output = s->output, .tensors = s->tensors};
    vt_text draws = {0};
    vt_status st = vt_device_flags_open(&s->device, "fp32", &job.device);
    if (st == VT_OK) st = vt_show_batch(&job, s->draws ? &draws : NULL);
    if (st == VT_OK && s->draws)
        st = strcmp(s->draws, "-") == 0 ? vt_print(&draws) : vt_file_write(s->draws, vt_text_str(&draws), draws.size);
    vt_text_free(&draws);
    return st;
}

const vt_command vt_command_show_batch = {
    .name = "show-batch", .summary = "the images and targets that a step of a run used",
    .usage = "vitc show-batch --run R --epoch E --step S --output P.png [flags]",
    .example = "vitc show-batch --run runs/fashion --epoch 3 --step 17 --output batch.png --tensors batch.safetensors",
    .table = table, .settings_bytes = sizeof(settings), .run = run};
