/* models/model.h - the inside of the public vt_model. */
#ifndef VT_MODELS_MODEL_H
#define VT_MODELS_MODEL_H

#include "graph/exec.h"
#include "models/eval.h"
#include "models/models.h"

struct vt_model {
    vt_model_config config;
    vt_device *device;
    vt_store params;
    vt_workspace workspace;
    vt_eval eval; /* of the batch size last run */
};

vt_device_options vt_model_device(const vt_model_options *options); /* what they say of the device */

#endif
