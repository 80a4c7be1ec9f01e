/* vitc/model.h - Vision Transformers by timm's names: configuration, weights, inference.
 *
 *     vt_model_config c;
 *     vt_model *model;
 *     vt_model_find(&c, "deit_micro");
 *     vt_model_create(&model, &c, NULL);
 *     vt_model_load(model, "best.safetensors");
 *     vt_model_run(model, images, n, logits);
 *     vt_model_destroy(model);
 *
 * A model is used by one thread at a time; different models may be used by different threads. */
#ifndef VITC_MODEL_H
#define VITC_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "vitc/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum vt_global_pool { VT_POOL_TOKEN, VT_POOL_AVG } vt_global_pool;

/* ViT (Dosovitskiy et al., 2021), DeiT (Touvron et al., 2021) and DeiT III (Touvron et al., 2022). Every field may be
 * changed after vt_model_find. */
typedef struct vt_model_config {
    char name[64];              /* timm's: "deit_tiny_patch16_224" */
    const char *family;         /* "vit" */
    int img_height, img_width;  /* pixels */
    int patch_size;
    int patch_stride;           /* 0: patch_size; smaller: patches overlap */
    int in_chans, classes;
    int embed_dim, depth, heads;
    float mlp_ratio;            /* hidden width of the MLP: (int)(embed_dim * mlp_ratio) */
    bool qkv_bias, distilled;
    float layer_norm_eps;
    vt_global_pool global_pool; /* avg: mean of the patch tokens, then fc_norm, as timm */
    int representation_size;    /* pre-logits of this width with tanh; 0: none */
    float init_values;          /* LayerScale's gamma at the start; 0: no LayerScale */
    bool no_embed_class;        /* position embeddings of the patches alone */
    float drop, attn_drop, drop_path; /* rates, in training; drop_path is the last block's ... */
    bool drop_path_uniform;     /* ... and every block's, in place of rising from 0 with depth */
    float mean[16], std[16];    /* normalisation of pixels in 0..1, a channel */
} vt_model_config;

/* The names that vt_model_find takes: 0 .. vt_model_count()-1. */
int vt_model_count(void);
const char *vt_model_name(int i);
vt_status vt_model_find(vt_model_config *config, const char *name);
/* Refills mean and std for config->in_chans channels: ImageNet's for 3 (0.5 for the vit_ names), their mean for 1,
 * else 0.5. */
void vt_model_normalisation(vt_model_config *config);

typedef struct vt_model_options {
    const char *device;         /* "cpu" (the default), "cuda" where the build has it */
    const char *cpu;            /* "auto", "avx512", "avx2", "plain", "reference" */
    int threads;                /* 0: OMP_NUM_THREADS, else the processors there are */
    uint64_t seed;              /* of the initial weights */
    const char *precision;      /* "fp32" (the default, and all that the CPU has), "bf16", "tf32" */
    const char *residual;       /* of the residual stream with bf16: "fp32" (the default), "bf16" */
} vt_model_options;

typedef struct vt_model vt_model;

/* Builds the model and initialises its weights as timm does. `options` may be NULL. */
vt_status vt_model_create(vt_model **model, const vt_model_config *config, const vt_model_options *options);
void vt_model_destroy(vt_model *model); /* NULL is allowed */
const vt_model_config *vt_model_get_config(const vt_model *model);
int64_t vt_model_parameters(const vt_model *model);

/* Loads weights by timm's names from a safetensors file; each must be there, in its shape. */
vt_status vt_model_load(vt_model *model, const char *path);
/* Writes them: a file that timm loads strictly. */
vt_status vt_model_save(const vt_model *model, const char *path);

/* logits [n, classes] of images [n, height, width, channels] u8: normalisation is part of the model. A distilled model
 * gives the mean of its two heads. */
vt_status vt_model_run(vt_model *model, const uint8_t *images, int n, float *logits);

#ifdef __cplusplus
}
#endif
#endif
