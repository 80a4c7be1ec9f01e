#include "train/summary.h"

#include "command.h"
#include "train/settings.h"

typedef struct settings {
    vt_model_flags model;
    int batch_size;
    bool json;
} settings;

#define FIELD(member) VT_FIELD(settings, member), .group = "Summary"
static const vt_option table[] = {
    {.name = "model-flags", .kind = VT_OPT_TABLE, VT_FIELD(settings, model), .table = vt_model_flags_table},
    {.name = "batch-size", .aliases = "b", .kind = VT_OPT_INT, FIELD(batch_size), .min = 1, .max = 1 << 20,
     .fallback = "1",
     .help = "images, for shapes and FLOPs"},
    {.name = "json", .kind = VT_OPT_FLAG, FIELD(json), .help = "print one JSON object"},
    {0}};

static vt_status run(vt_options *options, void *given)
{
    const settings *s = given;
    vt_model_config model;
    vt_text text = {0};
    vt_status st = vt_model_flags_apply(&s->model, &model);
    if (st == VT_OK) st = vt_summary(&text, &model, s->batch_size, s->json);
    if (st == VT_OK) return vt_print(&text);
    vt_text_free(&text);
    return st;
}

const vt_command vt_command_summary = {
    .name = "summary", .summary = "the layer table: shapes, parameters, FLOPs",
        .usage = "vitc summary --model M [flags]",
    .example = "vitc summary --model deit_tiny_patch16_224 --num-classes 10", .table = table,
    .settings_bytes = sizeof(settings), .run = run};
