/* Random erasing, mixup and cutmix: the flags, with DeiT's defaults. */
#include "train/settings.h"

#define EFFECT(member) VT_FIELD(vt_effects_flags, member), .group = "Augmentation"
const vt_option vt_effects_flags_table[] = {
    {.name = "reprob", .kind = VT_OPT_FLOAT, EFFECT(reprob), .min = 0, .max = 1, .fallback = "0.25",
     .help = "random erasing: probability that a sample is erased"},
    {.name = "remode", .kind = VT_OPT_CHOICE, EFFECT(remode), .choices = "const|rand|pixel", .fallback = "pixel",
     .help = "erased pixels become 0, one normal number a channel, or one a pixel"},
    {.name = "recount", .kind = VT_OPT_INT, EFFECT(recount), .min = 1, .max = VT_ERASE_MOST, .fallback = "1",
     .help = "boxes of an erased sample, at most"},
    {.name = "mixup", .kind = VT_OPT_FLOAT, EFFECT(mixup), .min = 0, .max = 1e3, .fallback = "0.8",
     .help = "mixup: its lambda is of Beta(a, a); 0: off"},
    {.name = "cutmix", .kind = VT_OPT_FLOAT, EFFECT(cutmix), .min = 0, .max = 1e3, .fallback = "1",
     .help = "cutmix: its lambda is of Beta(a, a); 0: off"},
    {.name = "cutmix-minmax", .kind = VT_OPT_FLOATS, EFFECT(cutmix_minmax), .min = 0, .max = 1,
     .help = "cutmix's box has sides of these shares of the image's, least and most, in place of lambda's"},
    {.name = "mixup-prob", .kind = VT_OPT_FLOAT, EFFECT(mixup_prob), .min = 0, .max = 1, .fallback = "1",
     .help = "probability that mixup or cutmix is done"},
    {.name = "mixup-switch-prob", .kind = VT_OPT_FLOAT, EFFECT(mixup_switch_prob), .min = 0, .max = 1,
     .fallback = "0.5", .help = "where both are on: probability of cutmix"},
    {.name = "mixup-mode", .kind = VT_OPT_CHOICE, EFFECT(mixup_mode), .choices = "batch|pair|elem", .fallback = "batch",
     .help = "one draw for a micro-batch, for two samples mixed with each other, or for each sample"},
    {.name = "mixup-off-epoch", .kind = VT_OPT_INT, EFFECT(mixup_off_epoch), .min = 0, .max = 1 << 20, .fallback = "0",
     .help = "no mixing from this epoch on; 0: to the end"},
    {0}};

vt_status vt_effects_flags_check(const vt_effects_flags *f)
{
    const double *share = f->cutmix_minmax;
    if (share[0] < share[1] || (share[0] == 0 && share[1] == 0)) return VT_OK;
    return vt_fail(VT_INVALID, "--cutmix-minmax %g %g: the second must be larger", share[0], share[1]);
}

void vt_effects_flags_apply(const vt_effects_flags *f, vt_erase *erase, vt_mixing *mixing)
{
    *erase = (vt_erase){f->reprob, f->recount};
    *mixing = (vt_mixing){.mixup = f->mixup, .cutmix = f->cutmix, .minmax = {f->cutmix_minmax[0], f->cutmix_minmax[1]},
                          .mix_probability = f->mixup_prob, .switch_probability = f->mixup_switch_prob,
                          .mode = f->mixup_mode, .off_epoch = (uint32_t)f->mixup_off_epoch};
}
