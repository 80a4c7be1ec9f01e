/* train/summary.h - the layer table of a model, read off its forward graph. */
#ifndef VT_TRAIN_SUMMARY_H
#define VT_TRAIN_SUMMARY_H

#include "base/text.h"
#include "vitc/model.h"

/* A line a layer, or with `json` one object: its name (timm's module path), op, shapes, parameters and FLOPs for
 * `batch` images. A parameter counts for the layer that reads it first. */
vt_status vt_summary(vt_text *text, const vt_model_config *model, int batch, bool json);

#endif
