#include "train/compat.h"

vt_status vt_compat_apply(vt_options *o, const vt_settings *s, const vt_model_config *model, vt_text *report)
{
    static const char *const names[] = {"none", "deit", "timm"};
    bool timm = s->recipe.compat == VT_COMPAT_TIMM;
    vt_status st = VT_OK;
    vt_text set = {0};
    if (s->recipe.compat == VT_COMPAT_NONE) return VT_OK;
    const struct {
        const char *name, *value;
        bool matters;
    } settings[] = {{"sched-per-epoch", "true", true},
                    {"sched-lag", timm ? "0" : "1", true},
                    {"no-decay", "dist_token", timm && model->distilled},
                    {"pos-embed-antialias", timm ? "true" : "false", s->run.finetune != NULL},
                    {"bce-target-thresh", "0", !timm && s->recipe.loss.bce_loss},
                    {"unscale-lr", "true", timm && vt_options_given(o, "lr")}};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (settings[i].matters) vt_recipe_set(o, &st, &set, settings[i].name, settings[i].value, VT_FROM_COMPAT);
    if (st == VT_OK) st = vt_text_status(&set);
    if (set.size) vt_text_printf(report, "--compat %s:%s\n", names[s->recipe.compat], set.data);
    vt_text_free(&set);
    return st;
}
