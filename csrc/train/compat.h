/* train/compat.h - --compat: doing as DeiT or as timm where they differ. */
#ifndef VT_TRAIN_COMPAT_H
#define VT_TRAIN_COMPAT_H

#include "train/settings.h"

/* Sets what --compat stands for, where the user said nothing else (docs/recipe.md has the table); `report` gets a line
 * that says what it set. */
vt_status vt_compat_apply(vt_options *options, const vt_settings *settings, const vt_model_config *model,
                          vt_text *report);

#endif
