/* train/check.h - what a recipe does with a model and a data set, settled as a run settles it, before anything runs. */
#ifndef VT_TRAIN_CHECK_H
#define VT_TRAIN_CHECK_H

#include "train/run_setup.h"
#include "train/warnings.h"

typedef enum vt_check_group {
    VT_CHECK_DECAYED,
    VT_CHECK_BIASES,  /* not decayed, each for its reason: */
    VT_CHECK_VECTORS, /* other 1-D tensors, of norms and LayerScale */
    VT_CHECK_TOKENS,  /* pos_embed, cls_token */
    VT_CHECK_SPARED,  /* --no-decay */
    VT_CHECK_FROZEN,  /* not trained at all */
    VT_CHECK_GROUPS
} vt_check_group;
extern const char *const vt_check_group_name[VT_CHECK_GROUPS];
vt_check_group vt_check_group_of(const vt_entry *entry);

typedef struct vt_check_point { /* of the schedule */
    const char *at;
    int64_t step;
} vt_check_point;

typedef struct vt_check_stage { /* of what a training sample goes through */
    const char *name;
    char settings[224];
} vt_check_stage;

enum { VT_CHECK_POINTS = 6, VT_CHECK_STAGES = 9 };
typedef struct vt_check {
    vt_run_parts *run;
    vt_store params;     /* declared: what of it is frozen and decayed */
    vt_step_config step; /* what the trainer is made with */
    int64_t steps;       /* of the run */
    int tensors[VT_CHECK_GROUPS], layers;
    int64_t elements[VT_CHECK_GROUPS];
    vt_check_point points[VT_CHECK_POINTS];
    vt_check_stage stages[VT_CHECK_STAGES];
    int point_count, stage_count;
    vt_text finetune; /* its table; empty: none */
    vt_warnings warnings;
} vt_check;

/* Opens the run's data and loss (`run`: options and settings filled in; the caller closes it). */
vt_status vt_check_open(vt_check *check, vt_run_parts *run);
void vt_check_close(vt_check *check);

double vt_check_scale(const vt_check *check, int layer); /* what --layer-decay makes of the rate */
/* For people, and the same as one JSON object. */
void vt_check_text(const vt_check *check, vt_text *text);
void vt_check_json(const vt_check *check, vt_text *text);

#endif
