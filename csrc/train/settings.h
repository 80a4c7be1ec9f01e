/* train/settings.h - what the flags fill in: groups that commands share, and the recipe. One table a group; cli.md's
 * names. */
#ifndef VT_TRAIN_SETTINGS_H
#define VT_TRAIN_SETTINGS_H

#include "base/options.h"
#include "data/dataset.h"
#include "data/erase.h"
#include "data/mixing.h"
#include "data/transform.h"
#include "graph/backend.h"
#include "train/loss_flags.h"
#include "vitc/model.h"
#include "vitc/train.h"

/* --- the model: zeros mean the model's own --- */

typedef struct vt_model_flags {
    const char *model;
    int num_classes, img_size[2], patch_size, patch_stride, in_chans, embed_dim, depth, heads, representation_size;
    double mlp_ratio, layer_norm_eps;
    bool qkv_bias;
    vt_global_pool global_pool;
    double init_values;
    bool no_embed_class;
    double drop, attn_drop, drop_path;
    int drop_path_mode;        /* index in "default|linear|uniform" */
} vt_model_flags;
extern const vt_option vt_model_flags_table[];

/* The named model with the flags laid over it, in_chans and its normalisation included; classes stay the model's own
 * where --num-classes was not given. VT_INVALID names the flag. */
vt_status vt_model_flags_apply(const vt_model_flags *flags, vt_model_config *config);
/* The flags alone, over a configuration that is already there. */
void vt_model_flags_override(const vt_model_flags *flags, vt_model_config *config);

/* --- images --- */

enum { VT_JPEG_AUTO, VT_JPEG_FULL };
typedef struct vt_image_flags {
    vt_strings mean, std;      /* none: the model's own */
    double crop_pct;
    vt_filter interpolation;   /* of evaluation */
    int jpeg_scale;            /* VT_JPEG_AUTO */
} vt_image_flags;
extern const vt_option vt_image_flags_table[];

vt_status vt_image_flags_apply(const vt_image_flags *flags, vt_model_config *config); /* mean and std */

/* --- data --- */

typedef struct vt_data_flags {
    const char *data_path;
    double val_split;
    int bad_images;            /* 0 stop, 1 skip */
    int num_workers;
} vt_data_flags;
extern const vt_option vt_data_flags_table[];

/* --- device --- */

typedef struct vt_device_flags {
    int device;                /* index in "auto|cpu|cuda" */
    int precision, residual;   /* indices in "default|fp32|bf16|tf32" and "default|fp32|bf16" */
    const char *cpu;
    int threads;
} vt_device_flags;
extern const vt_option vt_device_flags_table[];

/* What the flags ask for; cuda_precision: on CUDA where --precision was not given. */
vt_status vt_device_flags_open(const vt_device_flags *flags, const char *cuda_precision, vt_model_options *options);

/* --- the optimizer --- */

typedef struct vt_optimizer_flags {
    int opt;                   /* a row of vt_optimizers */
    double eps, betas[2], momentum, layer_decay; /* betas: both 0, the optimizer's own */
    const char *freeze, *no_decay;
    bool attn_only, ema_warmup;
} vt_optimizer_flags;
extern const vt_option vt_optimizer_flags_table[];

void vt_optimizer_flags_apply(const vt_optimizer_flags *flags, vt_train_options *options);

/* --- the recipe and the run --- */

/* Random erasing, mixup and cutmix. */
typedef struct vt_effects_flags {
    double reprob;
    int remode, recount;                          /* remode: a vt_erase_mode */
    double mixup, cutmix, cutmix_minmax[2], mixup_prob, mixup_switch_prob;
    int mixup_mode, mixup_off_epoch;              /* a vt_mixing's mode */
} vt_effects_flags;
extern const vt_option vt_effects_flags_table[];

vt_status vt_effects_flags_check(const vt_effects_flags *flags);
void vt_effects_flags_apply(const vt_effects_flags *flags, vt_erase *erase, vt_mixing *mixing);

typedef struct vt_recipe {
    int batch_size, micro_batch_size, lanes, grad_accum_steps, epochs;
    int64_t max_steps;                            /* 0: all */
    double lr, warmup_epochs, warmup_lr, min_lr;
    bool unscale_lr, sched_per_epoch;
    int sched, sched_lag;
    double decay_epochs, decay_rate;              /* of --sched step */
    vt_optimizer_flags optimizer;
    double weight_decay, clip_grad;
    bool model_ema;
    double model_ema_decay;
    double scale[2], ratio[2], hflip, vflip;
    vt_filter train_interpolation;
    int repeats;                                  /* of repeated augmentation; 1: off */
    double smoothing;
    vt_loss_flags loss;
    bool recompute;
    int64_t seed;
    const char *aa;                               /* vt_augment_parse */
    double color_jitter;
    bool three_augment;                           /* instead of aa */
    vt_effects_flags effects;
    enum { VT_COMPAT_NONE, VT_COMPAT_DEIT, VT_COMPAT_TIMM } compat;
} vt_recipe;

typedef struct vt_run_flags {
    const char *output_dir, *resume, *finetune;
    bool overwrite, antialias;                    /* antialias: of the positions that finetune resizes */
    int64_t save_steps;                           /* 0: each epoch, and every 5 minutes */
    int checkpoint_hist;
} vt_run_flags;

typedef struct vt_settings {
    vt_model_flags model;
    vt_image_flags images;
    vt_data_flags data;
    vt_device_flags device;
    vt_recipe recipe;
    vt_run_flags run;
    const char *config;
} vt_settings;
extern const vt_option vt_settings_table[];

/* VT_INVALID where settings contradict each other, or name an ingredient that this version does not have. */
vt_status vt_recipe_check(const vt_options *options, const vt_settings *settings);
/* The preset of small data sets (under 100,000 images, or 64 px and less), set where the user said nothing; `report`
 * gets a line that says what it set. */
vt_status vt_recipe_preset(vt_options *options, vt_settings *settings, uint32_t images, int64_t steps_per_epoch,
                           int image_side, vt_text *report);
/* One setting, unless a later source has said it: then `report` gets nothing. */
void vt_recipe_set(vt_options *options, vt_status *st, vt_text *report, const char *name, const char *value,
                   vt_source source);
vt_train_options vt_recipe_train_options(const vt_recipe *recipe, int micros); /* but its loss: vt_loss_open */
/* --aa, --ThreeAugment and --color-jitter. */
vt_status vt_recipe_augment(const vt_recipe *recipe, vt_augment *augment);

#endif
