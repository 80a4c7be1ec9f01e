/* models/config.h - a model's configuration in a checkpoint's metadata, and read off bare tensors. */
#ifndef VT_MODELS_CONFIG_H
#define VT_MODELS_CONFIG_H

#include "base/json.h"
#include "base/safetensors.h"
#include "vitc/model.h"

/* One JSON object with every field. */
void vt_model_config_write(vt_text *text, const vt_model_config *config);
/* Back; `path` for messages. */
vt_status vt_model_config_read(vt_model_config *config, const vt_json *object, const char *path);
/* From a file with timm's names and no metadata of ours: sizes from the shapes; heads are embed_dim / 64 (deit_micro's
 * 24 is known by its shape), the image is square, the rest as the vit family's defaults. */
vt_status vt_model_config_infer(vt_model_config *config, const vt_safetensors *file);

#endif
