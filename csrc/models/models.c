/* The registry: names, families, and what every family shares. */
#include "models/models.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define VT_MODEL(name, family, ...) extern const vt_family vt_family_##family;
#include "models/models.def"
#undef VT_MODEL

/* Only the fields that models.def names are set; vt_model_find lays them over the family's defaults. */
static const struct model {
    const char *name;
    const vt_family *family;
    vt_model_config differs;
} models[] = {
#define VT_MODEL(name, family, ...) {#name, &vt_family_##family, {__VA_ARGS__}},
#include "models/models.def"
#undef VT_MODEL
};

enum { MODEL_COUNT = sizeof models / sizeof *models };

int vt_model_count(void)
{
    return MODEL_COUNT;
}

const char *vt_model_name(int i)
{
    return i >= 0 && i < MODEL_COUNT ? models[i].name : NULL;
}

static vt_status unknown(const char *name)
{
    const char *names[MODEL_COUNT];
    for (int i = 0; i < MODEL_COUNT; i++) names[i] = models[i].name;
    const char *near = vt_suggest(name, names, MODEL_COUNT);
    return vt_fail(VT_INVALID, "--model %s: no such model%s%s; `vitc models` lists them", name,
                   near ? ": did you mean " : "", near ? near : "");
}

vt_status vt_model_find(vt_model_config *config, const char *name)
{
    const struct model *m = NULL;
    for (int i = 0; i < MODEL_COUNT && !m; i++)
        if (strcmp(models[i].name, name) == 0) m = &models[i];
    if (!m) return unknown(name);
    const vt_model_config *d = &m->differs;
    *config = m->family->defaults;
    snprintf(config->name, sizeof config->name, "%s", name);
#define DIFFERS(field) \
    if (d->field) config->field = d->field
    DIFFERS(img_height);
    DIFFERS(img_width);
    DIFFERS(patch_size);
    DIFFERS(embed_dim);
    DIFFERS(depth);
    DIFFERS(heads);
    DIFFERS(distilled);
    DIFFERS(init_values);
    DIFFERS(no_embed_class);
    DIFFERS(drop_path_uniform);
#undef DIFFERS
    vt_model_normalisation(config);
    return VT_OK;
}

void vt_model_normalisation(vt_model_config *c)
{
    static const float imagenet_mean[] = {0.485f, 0.456f, 0.406f}, imagenet_std[] = {0.229f, 0.224f, 0.225f};
    bool half = strncmp(c->name, "vit_", 4) == 0; /* the vit_ weights of timm are trained so */
    for (int i = 0; i < VT_MAX_CHANNELS; i++) {
        bool rgb = c->in_chans == 3 && i < 3, grey = c->in_chans == 1;
        c->mean[i] = half ? 0.5f : rgb ? imagenet_mean[i] : grey ? 0.449f : 0.5f;
        c->std[i] = half ? 0.5f : rgb ? imagenet_std[i] : grey ? 0.226f : 0.5f;
    }
}

const vt_family *vt_model_family(const vt_model_config *config)
{
    for (int i = 0; i < MODEL_COUNT; i++)
        if (strcmp(models[i].family->name, config->family) == 0) return models[i].family;
    return NULL;
}

vt_status vt_model_check(const vt_model_config *config)
{
    for (int i = 0; i < config->in_chans && i < VT_MAX_CHANNELS; i++)
        if (!(config->std[i] > 0)) return vt_fail(VT_INVALID, "--std %g: must be positive", (double)config->std[i]);
    return vt_model_family(config)->check(config);
}

vt_heads vt_model_build(vt_builder *b, const vt_model_config *config, vt_tensor *images)
{
    return vt_model_family(config)->build(b, config, images);
}

vt_tensor *vt_model_eval_logits(vt_builder *b, vt_heads heads)
{
    if (!heads.logits_dist) return heads.logits;
    return vt_add_scaled(b->g, "logits_eval", 0.5, heads.logits, 0.5, heads.logits_dist, NULL);
}

vt_status vt_model_declare(vt_store *params, const vt_model_config *c)
{
    vt_status st = vt_model_check(c);
    vt_graph *g = NULL;
    if (st == VT_OK) st = vt_graph_create(&g, params->dtype);
    if (st) return st;
    int64_t shape[] = {1, c->img_height, c->img_width, c->in_chans};
    vt_builder b = {.g = g, .params = params, .suffix = "", .batch = 1};
    vt_model_build(&b, c, vt_graph_input(g, "images", VT_U8, 4, shape));
    st = vt_graph_status(g);
    vt_graph_destroy(g);
    return st ? st : vt_store_lower(params, VT_BF16);
}
