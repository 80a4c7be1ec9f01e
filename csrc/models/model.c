/* The public model: parameters, and an evaluation graph for each batch size asked for last. */
#include "vitc/model.h"

#include <string.h>

#include "base/alloc.h"
#include "base/safetensors.h"
#include "models/eval.h"
#include "models/model.h"
#include "models/weights.h"

vt_device_options vt_model_device(const vt_model_options *o)
{
    return (vt_device_options){.name = o->device ? o->device : "cpu", .cpu = o->cpu, .threads = o->threads,
                               .precision = o->precision, .residual = o->residual};
}

vt_status vt_model_create(vt_model **model, const vt_model_config *config, const vt_model_options *options)
{
    vt_status st;
    vt_model_options o = options ? *options : (vt_model_options){0};
    vt_device_options device = vt_model_device(&o);
    vt_model *m = vt_alloc(sizeof *m);
    *model = NULL;
    if (!m) return vt_fail_memory("model");
    m->config = *config;
    vt_store_init(&m->params, "param", VT_F32);
    VT_TRY(vt_model_declare(&m->params, config));
    VT_TRY(vt_device_open(&m->device, &device));
    m->workspace.device = m->device;
    VT_TRY(vt_store_bind(&m->params, m->device));
    VT_TRY(vt_weights_initialise(&m->params, m->device, o.seed));
    *model = m;
    return VT_OK;
fail:
    vt_model_destroy(m);
    return st;
}

void vt_model_destroy(vt_model *m)
{
    if (!m) return;
    vt_eval_close(&m->eval);
    vt_workspace_free(&m->workspace);
    if (m->device) vt_store_unbind(&m->params, m->device);
    vt_store_free(&m->params);
    vt_device_close(m->device);
    vt_free(m);
}

const vt_model_config *vt_model_get_config(const vt_model *m)
{
    return &m->config;
}

int64_t vt_model_parameters(const vt_model *m)
{
    return vt_store_parameters(&m->params);
}

vt_status vt_model_load(vt_model *m, const char *path)
{
    static const char *const state[] = {"ema.", "opt.", NULL};
    vt_safetensors f;
    vt_status st = vt_safetensors_open(&f, path);
    if (st) return st;
    st = vt_weights_load(&m->params, m->device, &f, "", state);
    vt_safetensors_close(&f);
    return st;
}

vt_status vt_model_save(const vt_model *m, const char *path)
{
    vt_arena names = {0};
    size_t n = (size_t)m->params.count;
    vt_weight_source *sources = vt_alloc(n * sizeof *sources);
    vt_save_tensor *tensors = vt_alloc(n * sizeof *tensors);
    vt_status st = sources && tensors ? VT_OK : vt_fail_memory("checkpoint");
    vt_metadata meta = {"model", m->config.name};
    if (st == VT_OK) st = vt_weights_save(&m->params, m->device, "", &names, sources, tensors);
    if (st == VT_OK) st = vt_safetensors_write(path, tensors, m->params.count, &meta, 1);
    vt_arena_free(&names);
    vt_free(sources);
    vt_free(tensors);
    return st;
}

vt_status vt_model_run(vt_model *m, const uint8_t *images, int n, float *logits)
{
    if (n < 1) return vt_fail(VT_INVALID, "vt_model_run: n is %d, must be at least 1", n);
    if (m->eval.batch != n) {
        vt_eval_close(&m->eval);
        vt_status st = vt_eval_build(&m->eval, &m->config, &m->params, VT_U8, n, m->device->precision);
        if (st == VT_OK) st = vt_eval_open(&m->eval, &m->workspace);
        if (st) {
            vt_eval_close(&m->eval);
            return st;
        }
    }
    return vt_eval_run(&m->eval, images, logits);
}
