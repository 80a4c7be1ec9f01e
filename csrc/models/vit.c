/* vit: ViT, DeiT and DeiT III (pre-norm), with the parameter names of timm's VisionTransformer and
 * VisionTransformerDistilled. */
#include "models/models.h"

#include <math.h>

enum { MOST_PATCHES = 1 << 24 }; /* no machine comes near; a count of tokens fits an int with room to spare */

/* The residual stream is (x, branch not yet added, its drop-path factor): the next LayerNorm adds and normalises in
 * one pass. */
typedef struct stream {
    vt_tensor *x, *branch, *scale;
} stream;

static vt_status vit_check(const vt_model_config *c)
{
    const struct { int value; const char *flag; } positive[] = {
        {c->img_height, "img-size"}, {c->img_width, "img-size"}, {c->patch_size, "patch-size"}, {c->depth, "depth"},
        {c->in_chans, "in-chans"}, {c->classes, "num-classes"},
        {c->embed_dim, "embed-dim"}, {c->heads, "num-heads"}};
    for (size_t i = 0; i < sizeof positive / sizeof *positive; i++)
        if (positive[i].value < 1) return vt_fail(VT_INVALID, "--%s must be at least 1", positive[i].flag);
    if (c->in_chans > VT_MAX_CHANNELS)
        return vt_fail(VT_INVALID, "--in-chans %d: at most %d", c->in_chans, VT_MAX_CHANNELS);
    if (c->embed_dim % c->heads)
        return vt_fail(VT_INVALID, "--embed-dim %d is not a multiple of --num-heads %d", c->embed_dim, c->heads);
    if (c->patch_size > c->img_height || c->patch_size > c->img_width)
        return vt_fail(VT_INVALID, "--patch-size %d is larger than the image, %dx%d", c->patch_size, c->img_height,
                       c->img_width);
    int64_t step = c->patch_stride > 0 ? c->patch_stride : c->patch_size;
    int64_t patches = ((c->img_height - c->patch_size) / step + 1) * ((c->img_width - c->patch_size) / step + 1);
    if (patches > MOST_PATCHES)
        return vt_fail(VT_INVALID, "--img-size %dx%d is %lld patches, at most %d: lower it or raise --patch-size",
                       c->img_height, c->img_width, (long long)patches, MOST_PATCHES);
    if ((int)(c->embed_dim * c->mlp_ratio) < 1)
        return vt_fail(VT_INVALID, "--mlp-ratio %g leaves no width", c->mlp_ratio);
    if (c->patch_stride < 0) return vt_fail(VT_INVALID, "--patch-stride %d: must not be negative", c->patch_stride);
    if (!(c->init_values >= 0 && c->init_values <= 1e3f))
        return vt_fail(VT_INVALID, "--init-values %g: must be in [0, 1000]; 0 for no LayerScale",
                       (double)c->init_values);
    if (c->distilled && c->representation_size)
        return vt_fail(VT_INVALID, "--representation-size: a distilled model has none (as in timm)");
    if (c->distilled && c->global_pool != VT_POOL_TOKEN)
        return vt_fail(VT_INVALID, "--global-pool avg: a distilled model's heads read its tokens (as in timm)");
    const float rates[] = {c->drop, c->attn_drop, c->drop_path};
    static const char *const names[] = {"drop", "attn-drop", "drop-path"};
    for (int i = 0; i < 3; i++)
        if (!(rates[i] >= 0 && rates[i] < 1))
            return vt_fail(VT_INVALID, "--%s %g: must be in [0, 1)", names[i], rates[i]);
    return VT_OK;
}

/* timm keeps nn.Conv2d's initialisation here: uniform within 1 / sqrt(fan in). */
static vt_tensor *patch_embed(vt_builder *b, const vt_model_config *c, vt_tensor *images)
{
    int p = c->patch_size, s = c->patch_stride ? c->patch_stride : p;
    vt_patchify_attrs a = {.patch_h = p, .patch_w = p, .stride_h = s, .stride_w = s};
    for (int i = 0; i < c->in_chans; i++) {
        a.mean[i] = c->mean[i];
        a.inv_std[i] = 1 / c->std[i];
    }
    vt_tensor *patches = vt_patchify_with(b->g, "patch_embed.patches", images, &a, b->effects);
    float bound = 1 / sqrtf((float)(p * p * c->in_chans));
    /* The file has Conv2d's [D, C, p, p]; patches have their channels last. */
    vt_entry weight = {.name = "patch_embed.proj.weight", .ndim = 4, .shape = {c->embed_dim, p, p, c->in_chans},
                       .file_axis = {0, 2, 3, 1}, .init = VT_INIT_UNIFORM, .init_value = bound, .decay = true};
    vt_entry bias = {.name = "patch_embed.proj.bias", .ndim = 1, .shape = {c->embed_dim}, .init = VT_INIT_UNIFORM,
                     .init_value = bound};
    vt_tensor *w = vt_gemm_param(b, &weight);
    vt_tensor *x = vt_linear(b->g, "patch_embed.proj", patches, w, vt_gemm_param(b, &bias));
    vt_graph_mark(b->g, "patch_embed", x);
    return x;
}

static vt_tensor *token_param(vt_builder *b, const char *name, int64_t n, int64_t d, bool decay)
{
    return vt_param(b, &(vt_entry){.name = name, .ndim = 3, .shape = {1, n, d}, .init = VT_INIT_NORMAL,
                                   .init_value = 0.02f, .decay = decay});
}

static vt_tensor *embed(vt_builder *b, const vt_model_config *c, vt_tensor *images)
{
    vt_tensor *x = patch_embed(b, c, images);
    if (!x) return NULL;
    vt_tensor *cls = token_param(b, "cls_token", 1, c->embed_dim, false);
    vt_tensor *dist = NULL;
    if (c->distilled) dist = token_param(b, "dist_token", 1, c->embed_dim, true); /* decayed, as in DeiT */
    int64_t placed = x->shape[1] + (c->no_embed_class ? 0 : 1 + c->distilled);
    vt_tensor *pos = token_param(b, "pos_embed", placed, c->embed_dim, false);
    return vt_nn_dropout(b, "pos_drop", vt_tokens(b->g, "tokens", x, cls, dist, pos), c->drop);
}

/* Adds what the stream still owes and normalises; the sum is the block's output that timm names `mark`. */
static vt_tensor *norm(vt_builder *b, const vt_model_config *c, const char *name, stream *s, const char *mark)
{
    vt_normed n = vt_nn_layernorm(b, name, s->x, s->branch, s->scale, c->layer_norm_eps);
    *s = (stream){n.sum, NULL, NULL};
    if (mark) vt_graph_mark(b->g, mark, n.sum);
    vt_graph_mark(b->g, name, n.y);
    return n.y;
}

/* The last linear layer of a branch. With LayerScale the scaled branch is all that is ever made: timm's name for that
 * is marked, in place of the branch's. */
static vt_tensor *branch_linear(vt_builder *b, const vt_model_config *c, const char *name, const char *scale,
                                vt_tensor *x)
{
    if (c->init_values <= 0) return vt_nn_linear(b, name, x, c->embed_dim, true);
    return vt_nn_linear_scaled(b, name, x, c->embed_dim, vt_graph_name(b->g, "%s.gamma", scale), c->init_values);
}

static void mark_branch(vt_builder *b, const vt_model_config *c, const char *name, const char *scale, vt_tensor *branch)
{
    vt_graph_mark(b->g, c->init_values > 0 ? scale : name, branch);
}

static vt_tensor *attention(vt_builder *b, const vt_model_config *c, const char *name, const char *scale, vt_tensor *x)
{
#define NAME(part) vt_graph_name(b->g, "%s." part, name)
    vt_tensor *qkv = vt_nn_linear(b, NAME("qkv"), x, 3 * c->embed_dim, c->qkv_bias);
    vt_tensor *a = vt_attention(b->g, NAME("attn_drop"), qkv, NULL, c->heads, b->train ? c->attn_drop : 0, &b->random);
    a = vt_nn_dropout(b, NAME("proj_drop"), branch_linear(b, c, NAME("proj"), scale, a), c->drop);
    mark_branch(b, c, name, scale, a);
    return a;
}

static vt_tensor *mlp(vt_builder *b, const vt_model_config *c, const char *name, const char *scale, vt_tensor *x)
{
    vt_tensor *h = vt_nn_linear(b, NAME("fc1"), x, (int)(c->embed_dim * c->mlp_ratio), true);
    h = vt_nn_dropout(b, NAME("drop1"), vt_activation(b->g, NAME("act"), h, VT_GELU), c->drop);
    h = vt_nn_dropout(b, NAME("drop2"), branch_linear(b, c, NAME("fc2"), scale, h), c->drop);
    mark_branch(b, c, name, scale, h);
    return h;
#undef NAME
}

static void block(vt_builder *b, const vt_model_config *c, int i, stream *s)
{
#define NAME(part) vt_graph_name(b->g, "blocks.%d" part, i)
    float rate = c->drop_path;
    if (!c->drop_path_uniform) rate = c->depth > 1 ? rate * (float)i / (float)(c->depth - 1) : 0;
    vt_tensor *x = norm(b, c, NAME(".norm1"), s, i ? vt_graph_name(b->g, "blocks.%d", i - 1) : NULL);
    s->branch = attention(b, c, NAME(".attn"), NAME(".ls1"), x);
    s->scale = vt_nn_drop_path(b, NAME(".drop_path1"), rate);
    x = norm(b, c, NAME(".norm2"), s, NULL);
    s->branch = mlp(b, c, NAME(".mlp"), NAME(".ls2"), x);
    s->scale = vt_nn_drop_path(b, NAME(".drop_path2"), rate);
#undef NAME
}

static vt_heads vit_build(vt_builder *b, const vt_model_config *c, vt_tensor *images)
{
    vt_heads heads = {NULL, NULL};
    stream s = {embed(b, c, images), NULL, NULL};
    for (int i = 0; i < c->depth; i++) {
        b->g->segment = b->layer = i + 1;
        block(b, c, i, &s);
    }
    b->g->segment = 0;
    if (!s.x || !s.branch) return heads;
    const char *last = vt_graph_name(b->g, "blocks.%d", c->depth - 1);
    int extra = 1 + c->distilled, tokens = (int)s.x->shape[1];
    vt_tensor *features, *dist = NULL;
    if (c->global_pool == VT_POOL_AVG) {
        b->layer = c->depth + 1;
        vt_tensor *x = vt_add_scaled(b->g, last, 1, s.x, 1, s.branch, s.scale);
        vt_graph_mark(b->g, last, x);
        x = vt_pool_tokens(b->g, "pool", x, extra, tokens - extra);
        features = vt_nn_layernorm(b, "fc_norm", x, NULL, NULL, c->layer_norm_eps).y;
    } else {
        vt_tensor *x = norm(b, c, "norm", &s, last); /* of the last block's layer, as timm groups it */
        b->layer = c->depth + 1;
        features = vt_pool_tokens(b->g, "pool", x, 0, 1);
        if (c->distilled) dist = vt_pool_tokens(b->g, "pool_dist", x, 1, 1);
    }
    if (c->representation_size) {
        features = vt_nn_linear(b, "pre_logits.fc", features, c->representation_size, true);
        features = vt_activation(b->g, "pre_logits.act", features, VT_TANH);
    }
    heads.logits = vt_nn_head(b, "head", features, c->classes);
    if (c->distilled) heads.logits_dist = vt_nn_head(b, "head_dist", dist, c->classes);
    return heads;
}

const vt_family vt_family_vit = {
    .name = "vit",
    .defaults = {.img_height = 224, .img_width = 224, .patch_size = 16, .in_chans = 3, .classes = 1000,
                 .mlp_ratio = 4, .qkv_bias = true, .layer_norm_eps = 1e-6f, .family = "vit"},
    .check = vit_check,
    .build = vit_build,
};
