#include "train/settings.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MODEL(member) VT_FIELD(vt_model_flags, member), .group = "Model"
const vt_option vt_model_flags_table[] = {
    {.name = "model", .kind = VT_OPT_STRING, MODEL(model), .argument = "NAME",
     .help = "timm's name; `vitc models` lists them"},
    {.name = "num-classes", .kind = VT_OPT_INT, MODEL(num_classes), .min = 0, .max = 1e6,
     .help = "classes; 0: counted from the data, else the model's 1000"},
    {.name = "img-size", .aliases = "input-size", .kind = VT_OPT_SIZE, MODEL(img_size),
     .help = "image size in pixels, N or HxW; the model's own by default"},
    {.name = "patch-size", .kind = VT_OPT_INT, MODEL(patch_size), .min = 0, .max = 4096,
     .help = "side of a patch; 0: the model's own"},
    {.name = "patch-stride", .kind = VT_OPT_INT, MODEL(patch_stride), .min = 0, .max = 4096,
     .help = "distance between patches; 0: the patch size; smaller ones overlap"},
    {.name = "in-chans", .kind = VT_OPT_INT, MODEL(in_chans), .min = 0, .max = 16,
     .help = "channels of the image: 3 replicates grey, 1 turns colour into luma; 0: 3"},
    {.name = "embed-dim", .kind = VT_OPT_INT, MODEL(embed_dim), .min = 0, .max = 65536,
     .help = "width; 0: the model's own"},
    {.name = "depth", .kind = VT_OPT_INT, MODEL(depth), .min = 0, .max = 1000, .help = "blocks; 0: the model's own"},
    {.name = "num-heads", .kind = VT_OPT_INT, MODEL(heads), .min = 0, .max = 4096, .help = "heads; 0: the model's own"},
    {.name = "mlp-ratio", .kind = VT_OPT_FLOAT, MODEL(mlp_ratio), .min = 0, .max = 64,
     .help = "hidden width / width; 0: the model's own"},
    {.name = "qkv-bias", .kind = VT_OPT_FLAG, MODEL(qkv_bias), .fallback = "true",
     .help = "bias of the qkv projection"},
    {.name = "layer-norm-eps", .kind = VT_OPT_FLOAT, MODEL(layer_norm_eps), .min = 0, .max = 1,
     .help = "epsilon of LayerNorm; 0: 1e-6"},
    {.name = "global-pool", .kind = VT_OPT_CHOICE, MODEL(global_pool), .choices = "token|avg", .fallback = "token",
     .help = "head on the class token, or on the mean of the patch tokens"},
    {.name = "representation-size", .kind = VT_OPT_INT, MODEL(representation_size), .min = 0, .max = 65536,
     .help = "width of tanh pre-logits; 0: none"},
    {.name = "init-values", .kind = VT_OPT_FLOAT, MODEL(init_values), .min = 0, .max = 1000,
     .help = "LayerScale that begins with this; 0: the model's own, or none"},
    {.name = "no-embed-class", .kind = VT_OPT_FLAG, MODEL(no_embed_class),
     .help = "position embeddings of the patches alone, as DeiT III"},
    {.name = "drop", .kind = VT_OPT_FLOAT, MODEL(drop), .min = 0, .max = 0.999, .fallback = "0", .help = "dropout"},
    {.name = "attn-drop", .aliases = "attn-drop-rate", .kind = VT_OPT_FLOAT, MODEL(attn_drop), .min = 0,
     .max = 0.999, .fallback = "0",
     .help = "dropout of attention probabilities"},
    {.name = "drop-path", .kind = VT_OPT_FLOAT, MODEL(drop_path), .min = 0, .max = 0.999, .fallback = "0.1",
     .help = "drop-path of the last block"},
    {.name = "drop-path-mode", .kind = VT_OPT_CHOICE, MODEL(drop_path_mode), .choices = "default|linear|uniform",
     .fallback = "default",
     .help = "linear: block i has i / (depth - 1) of it; uniform: all of it, the default of deit3_ models"},
    {0}};

#define IMAGE(member) VT_FIELD(vt_image_flags, member), .group = "Images"
const vt_option vt_image_flags_table[] = {
    {.name = "mean", .kind = VT_OPT_STRINGS, IMAGE(mean), .argument = "M",
     .help = "mean of each channel, of pixels in 0..1"},
    {.name = "std", .kind = VT_OPT_STRINGS, IMAGE(std), .argument = "S", .help = "standard deviation of each channel"},
    {.name = "crop-pct", .aliases = "eval-crop-ratio", .kind = VT_OPT_FLOAT, IMAGE(crop_pct), .min = 0.01, .max = 1,
     .fallback = "0.875",
     .help = "evaluation: the centre crop's share of the resized side"},
    {.name = "interpolation", .kind = VT_OPT_CHOICE, IMAGE(interpolation), .choices = "nearest|bilinear|bicubic",
     .fallback = "bicubic",
     .help = "resampling in evaluation"},
    {.name = "jpeg-scale", .kind = VT_OPT_CHOICE, IMAGE(jpeg_scale), .choices = "auto|full", .fallback = "auto",
     .help = "training: decode JPEG at a reduced scale where the crop allows; evaluation always decodes in full"},
    {0}};

#define DATA(member) VT_FIELD(vt_data_flags, member), .group = "Data"
const vt_option vt_data_flags_table[] = {
    {.name = "data-path", .aliases = "data-dir", .kind = VT_OPT_STRING, DATA(data_path), .positional = true,
     .argument = "DIR",
     .help = "train/ and val/ of class folders, one set of class folders, IDX or CIFAR files"},
    {.name = "val-split", .kind = VT_OPT_FLOAT, DATA(val_split), .min = 0, .max = 0.99, .fallback = "0.1",
     .help = "share of each class held out where the data has no validation images"},
    {.name = "bad-images", .kind = VT_OPT_CHOICE, DATA(bad_images), .choices = "stop|skip", .fallback = "stop",
     .help = "a file that cannot be read: stop with its name, or skip and list it"},
    {.name = "num-workers", .aliases = "workers, j", .kind = VT_OPT_INT, DATA(num_workers), .min = 0, .max = 256,
     .fallback = "10",
     .help = "threads that load images; no more than there are processors are started"},
    {0}};

#define DEVICE(member) VT_FIELD(vt_device_flags, member), .group = "Device"
const vt_option vt_device_flags_table[] = {
    {.name = "device", .kind = VT_OPT_CHOICE, DEVICE(device), .choices = "auto|cpu|cuda", .fallback = "auto",
     .help = "where it runs; auto: CUDA where this build has it and a device answers, else the CPU"},
    {.name = "precision", .aliases = "amp-dtype", .kind = VT_OPT_CHOICE, DEVICE(precision),
     .choices = "default|fp32|bf16|tf32",
     .fallback = "default", .help = "fp32 on the CPU, the only one there; CUDA trains in bf16 by default"},
    {.name = "residual", .kind = VT_OPT_CHOICE, DEVICE(residual), .choices = "default|fp32|bf16",
     .fallback = "default", .help = "the residual stream's dtype beside --precision bf16; fp32 by default"},
    {.name = "cpu", .kind = VT_OPT_STRING, DEVICE(cpu), .fallback = "auto", .argument = "PATH",
     .help = "the CPU's code path: auto, avx512, avx2, plain or reference"},
    {.name = "threads", .kind = VT_OPT_INT, DEVICE(threads), .min = 0, .max = 256, .fallback = "0",
     .help = "threads of the CPU backend; 0: OMP_NUM_THREADS, else the processors there are"},
    {0}};

void vt_model_flags_override(const vt_model_flags *f, vt_model_config *c)
{
    const struct { int flag; int *field; } ints[] = {
        {f->num_classes, &c->classes},       {f->img_size[0], &c->img_height}, {f->img_size[1], &c->img_width},
        {f->patch_size, &c->patch_size},     {f->patch_stride, &c->patch_stride}, {f->embed_dim, &c->embed_dim},
        {f->depth, &c->depth},               {f->heads, &c->heads},
        {f->representation_size, &c->representation_size}};
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++)
        if (ints[i].flag) *ints[i].field = ints[i].flag;
    if (f->in_chans && f->in_chans != c->in_chans) {
        c->in_chans = f->in_chans;
        vt_model_normalisation(c);
    }
    if (f->mlp_ratio > 0) c->mlp_ratio = (float)f->mlp_ratio;
    if (f->layer_norm_eps > 0) c->layer_norm_eps = (float)f->layer_norm_eps;
    c->drop = (float)f->drop;
    c->attn_drop = (float)f->attn_drop;
    c->drop_path = (float)f->drop_path;
    if (f->init_values > 0) c->init_values = (float)f->init_values;
    c->no_embed_class |= f->no_embed_class;
    if (f->drop_path_mode) c->drop_path_uniform = f->drop_path_mode == 2;
}

vt_status vt_model_flags_apply(const vt_model_flags *f, vt_model_config *c)
{
    if (!f->model) return vt_fail(VT_INVALID, "--model is missing; `vitc models` lists the names");
    vt_status st = vt_model_find(c, f->model);
    if (st) return st;
    c->qkv_bias = f->qkv_bias;
    c->global_pool = f->global_pool;
    vt_model_flags_override(f, c);
    return VT_OK;
}

static vt_status channel_list(const char *flag, const vt_strings *given, int chans, float *values)
{
    if (!given->count) return VT_OK;
    if (given->count != chans && given->count != 1)
        return vt_fail(VT_INVALID, "--%s has %d values, the images have %d channels", flag, given->count, chans);
    for (int i = 0; i < chans; i++) {
        const char *text = given->items[given->count == 1 ? 0 : i];
        double v;
        if (!vt_parse_double(text, strlen(text), &v) || !isfinite((float)v))
            return vt_fail(VT_INVALID, "--%s: %s is not a number", flag, text);
        values[i] = (float)v;
    }
    return VT_OK;
}

vt_status vt_image_flags_apply(const vt_image_flags *f, vt_model_config *c)
{
    vt_status st = channel_list("mean", &f->mean, c->in_chans, c->mean);
    return st ? st : channel_list("std", &f->std, c->in_chans, c->std);
}

/* "auto": the best backend that answers; the CPU always does. */
static const vt_backend *find_backend(const char *name)
{
    const vt_backend *const *b = vt_backends;
    while (*b && (strcmp(name, "auto") == 0 ? (*b)->answers() != VT_OK : strcmp(name, (*b)->name) != 0)) b++;
    return *b;
}

vt_status vt_device_flags_open(const vt_device_flags *f, const char *cuda_precision, vt_model_options *o)
{
    static const char *const names[] = {"auto", "cpu", "cuda"}, *const precisions[] = {NULL, "fp32", "bf16", "tf32"};
    static const char *const residuals[] = {NULL, "fp32", "bf16"};
    const vt_backend *b = find_backend(names[f->device]);
    if (!b)
        return vt_fail(VT_INVALID, "--device %s: this build has no CUDA backend; use --device cpu", names[f->device]);
    vt_status st = b->answers();
    if (st) return st;
    bool cuda = strcmp(b->name, "cuda") == 0;
    *o = (vt_model_options){.device = b->name, .cpu = f->cpu, .threads = f->threads,
                            .precision = f->precision ? precisions[f->precision] : cuda ? cuda_precision : NULL,
                            .residual = residuals[f->residual]};
    return VT_OK;
}
