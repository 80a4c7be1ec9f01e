#include "train/check.h"

#include <string.h>

#include "base/file.h"
#include "command.h"

typedef struct settings {
    vt_settings train;
    const char *json;
    bool strict;
} settings;

#define FIELD(member) VT_FIELD(settings, member), .group = "Check"
static const vt_option table[] = {
    {.name = "json",
     .kind = VT_OPT_STRING,
     FIELD(json),
     .argument = "FILE",
     .help = "the same as JSON; -: to stdout, alone"},
    {.name = "strict", .kind = VT_OPT_FLAG, FIELD(strict), .help = "exit with status 1 where there are warnings"},
    {.name = "train", .kind = VT_OPT_TABLE, VT_FIELD(settings, train), .table = vt_settings_table},
    {0}};

static vt_status write(const vt_check *c, const char *json)
{
    vt_text text = {0}, object = {0};
    bool alone = json && strcmp(json, "-") == 0;
    vt_check_text(c, &text);
    vt_check_json(c, &object);
    vt_status st = vt_text_status(&object);
    if (st == VT_OK && json && !alone) st = vt_file_write(json, vt_text_str(&object), object.size);
    if (st == VT_OK) st = vt_print(alone ? &object : &text);
    vt_text_free(&text);
    vt_text_free(&object);
    return st;
}

static vt_status run(vt_options *options, void *given)
{
    settings *s = given;
    vt_run_parts parts = {.options = options, .settings = &s->train};
    vt_check check;
    vt_status st = vt_check_open(&check, &parts);
    if (st == VT_OK) {
        int warnings = check.warnings.count;
        st = write(&check, s->json);
        if (st == VT_OK && s->strict && warnings)
            st = vt_fail(VT_FAILED, "%d warning%s, and --strict allows none", warnings, warnings > 1 ? "s" : "");
        vt_check_close(&check);
    }
    vt_run_close(&parts);
    return st;
}

const vt_command vt_command_check = {
    .name = "check",
    .summary = "what a recipe really does, and its likely mistakes",
    .usage = "vitc check --model M --data-path D [--json FILE] [--strict] [train's flags]",
    .example = "vitc check --model deit_micro --data-path /usr/share/datasets/fashion-mnist --in-chans 1 --epochs 5",
    .table = table,
    .settings_bytes = sizeof(settings),
    .run = run};
