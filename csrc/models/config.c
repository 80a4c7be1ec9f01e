#include "models/config.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "models/models.h"

typedef enum field_kind { INT, BOOL, FLOAT } field_kind;

/* Every field but name, family, mean and std. */
static const struct field {
    const char *name;
    field_kind kind;
    size_t offset;
} fields[] = {
#define FIELD(name, kind) {#name, kind, offsetof(vt_model_config, name)}
    FIELD(img_height, INT), FIELD(img_width, INT), FIELD(patch_size, INT), FIELD(patch_stride, INT),
    FIELD(in_chans, INT), FIELD(classes, INT), FIELD(embed_dim, INT), FIELD(depth, INT), FIELD(heads, INT),
    FIELD(mlp_ratio, FLOAT), FIELD(qkv_bias, BOOL), FIELD(distilled, BOOL), FIELD(layer_norm_eps, FLOAT),
    FIELD(global_pool, INT), FIELD(representation_size, INT), FIELD(init_values, FLOAT), FIELD(no_embed_class, BOOL),
    FIELD(drop, FLOAT), FIELD(attn_drop, FLOAT), FIELD(drop_path, FLOAT), FIELD(drop_path_uniform, BOOL),
#undef FIELD
};
enum { FIELDS = sizeof fields / sizeof *fields };

void vt_model_config_write(vt_text *t, const vt_model_config *c)
{
    vt_json_open(t, '{');
    vt_json_key(t, "name");
    vt_json_string(t, c->name);
    vt_json_key(t, "family");
    vt_json_string(t, c->family);
    for (int i = 0; i < FIELDS; i++) {
        const char *at = (const char *)c + fields[i].offset;
        vt_json_key(t, fields[i].name);
        if (fields[i].kind == INT) vt_json_int(t, *(const int *)at);
        if (fields[i].kind == BOOL) vt_json_bool(t, *(const bool *)at);
        if (fields[i].kind == FLOAT) vt_json_number(t, *(const float *)at);
    }
    const struct { const char *name; const float *values; } lists[] = {{"mean", c->mean}, {"std", c->std}};
    for (int l = 0; l < 2; l++) {
        vt_json_key(t, lists[l].name);
        vt_json_open(t, '[');
        for (int i = 0; i < c->in_chans; i++) vt_json_number(t, lists[l].values[i]);
        vt_json_close(t, ']');
    }
    vt_json_close(t, '}');
}

static bool read_field(void *at, field_kind kind, const vt_json *v)
{
    if (kind == BOOL && v->kind == VT_JSON_BOOL) *(bool *)at = v->boolean;
    else if (kind == INT && v->kind == VT_JSON_NUMBER && v->integral) *(int *)at = (int)v->integer;
    else if (kind == FLOAT && v->kind == VT_JSON_NUMBER) *(float *)at = (float)v->number;
    else return false;
    return true;
}

vt_status vt_model_config_read(vt_model_config *c, const vt_json *o, const char *path)
{
    const vt_json *name = vt_json_get(o, "name");
    if (!name || name->kind != VT_JSON_STRING || vt_model_find(c, name->string))
        return vt_fail(VT_INVALID, "%s: metadata vitc.model names no model of this version", path);
    for (int i = 0; i < FIELDS; i++) {
        const vt_json *v = vt_json_get(o, fields[i].name); /* one that an older file lacks is the named model's */
        if (v && !read_field((char *)c + fields[i].offset, fields[i].kind, v))
            return vt_fail(VT_INVALID, "%s: metadata vitc.model: field %s is of another type", path, fields[i].name);
    }
    const struct { const char *name; float *values; } lists[] = {{"mean", c->mean}, {"std", c->std}};
    for (int l = 0; l < 2; l++) {
        const vt_json *list = vt_json_get(o, lists[l].name), *v = list ? list->first : NULL;
        for (int i = 0; v && i < VT_MAX_CHANNELS; i++, v = v->next) lists[l].values[i] = (float)v->number;
    }
    return vt_model_check(c);
}

static int count_blocks(const vt_safetensors *f)
{
    char name[64];
    int depth = 0;
    for (;; depth++) {
        snprintf(name, sizeof name, "blocks.%d.norm1.weight", depth);
        if (!vt_safetensors_find(f, name)) return depth;
    }
}

/* Where a file's position embeddings end: [cls | dist | grid], or the grid alone. */
static void infer_grid(vt_model_config *c, int64_t positions)
{
    int64_t extra = 1 + c->distilled, grid = llround(sqrt((double)positions));
    c->no_embed_class = grid * grid == positions;
    if (!c->no_embed_class) grid = llround(sqrt((double)(positions - extra)));
    c->img_height = c->img_width = (int)grid * c->patch_size;
}

/* A known model of these dimensions: the one that the file names, else a deit_ (vit_ and deit_ share theirs and differ
 * in normalisation alone; --model says which). */
static void name_it(vt_model_config *c, const char *named)
{
    for (int i = 0; i < vt_model_count(); i++) {
        vt_model_config known;
        if (vt_model_find(&known, vt_model_name(i)) || known.embed_dim != c->embed_dim || known.depth != c->depth ||
            known.patch_size != c->patch_size || known.img_height != c->img_height || known.distilled != c->distilled ||
            known.no_embed_class != c->no_embed_class || (known.init_values > 0) != (c->init_values > 0))
            continue;
        bool first = strcmp(c->name, "vit") == 0, deit = strncmp(known.name, "deit", 4) == 0;
        bool better = named ? strcmp(known.name, named) == 0 : deit && strncmp(c->name, "deit", 4) != 0;
        if (!first && !better) continue;
        snprintf(c->name, sizeof c->name, "%s", known.name);
        c->heads = known.heads;
    }
}

vt_status vt_model_config_infer(vt_model_config *c, const vt_safetensors *f)
{
    const vt_safetensor *patch = vt_safetensors_find(f, "patch_embed.proj.weight");
    const vt_safetensor *pos = vt_safetensors_find(f, "pos_embed"), *head = vt_safetensors_find(f, "head.weight");
    const vt_safetensor *fc1 = vt_safetensors_find(f, "blocks.0.mlp.fc1.weight");
    if (!patch || patch->ndim != 4 || !pos || pos->ndim != 3 || !head || head->ndim != 2 || !fc1 || fc1->ndim != 2)
        return vt_fail(VT_INVALID, "%s: not a ViT with timm's names (patch_embed.proj.weight, pos_embed, head.weight, "
                       "blocks.0.mlp.fc1.weight)", f->path);
    vt_status st = vt_model_find(c, vt_safetensors_find(f, "head_dist.weight") ? "deit_tiny_distilled_patch16_224"
                                                                               : "deit_tiny_patch16_224");
    if (st) return st;
    c->embed_dim = (int)patch->shape[0];
    c->in_chans = (int)patch->shape[1];
    c->patch_size = (int)patch->shape[2];
    c->depth = count_blocks(f);
    c->heads = c->embed_dim == 96 ? 4 : c->embed_dim % 64 ? 1 : c->embed_dim / 64;
    c->classes = (int)head->shape[0];
    c->mlp_ratio = (float)fc1->shape[0] / (float)c->embed_dim;
    c->qkv_bias = vt_safetensors_find(f, "blocks.0.attn.qkv.bias") != NULL;
    c->global_pool = vt_safetensors_find(f, "fc_norm.weight") ? VT_POOL_AVG : VT_POOL_TOKEN;
    const vt_safetensor *pre = vt_safetensors_find(f, "pre_logits.fc.weight");
    c->representation_size = pre ? (int)pre->shape[0] : 0;
    c->init_values = vt_safetensors_find(f, "blocks.0.ls1.gamma") ? 1e-6f : 0; /* whatever it was: these are trained */
    infer_grid(c, pos->shape[1]);
    snprintf(c->name, sizeof c->name, "%s", "vit");
    vt_model_normalisation(c);
    name_it(c, vt_safetensors_metadata(f, "model"));
    vt_model_normalisation(c);
    return vt_model_check(c);
}
