#include "command.h"
#include "vitc/model.h"

static vt_status run(vt_options *options, void *settings)
{
    vt_text text = {0};
    for (int i = 0; i < vt_model_count(); i++) vt_text_printf(&text, "%s\n", vt_model_name(i));
    return vt_print(&text);
}

static const vt_option table[] = {{0}};

const vt_command vt_command_models = {.name = "models", .summary = "the names that --model takes",
                                      .usage = "vitc models",
                                      .table = table, .run = run};
