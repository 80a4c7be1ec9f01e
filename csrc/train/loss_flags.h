/* train/loss_flags.h - the flags of a loss, shared by training and trace, and what they open. */
#ifndef VT_TRAIN_LOSS_FLAGS_H
#define VT_TRAIN_LOSS_FLAGS_H

#include "base/options.h"
#include "data/dataset.h"
#include "vitc/train.h"

typedef enum vt_distillation { VT_DISTILLATION_NONE, VT_DISTILLATION_SOFT, VT_DISTILLATION_HARD } vt_distillation;

typedef struct vt_loss_flags {
    bool bce_loss;
    double bce_target_thresh;   /* below 0: none */
    const char *class_weights;  /* "auto", a file, or NULL */
    vt_distillation distillation;
    double distillation_alpha, distillation_tau;
    const char *teacher_model, *teacher_path;
} vt_loss_flags;
extern const vt_option vt_loss_flags_table[];

/* VT_INVALID where flags contradict each other. */
vt_status vt_loss_flags_check(const vt_loss_flags *flags);

/* Opens what the flags name for a student: class weights, the teacher. `data`: the training set, whose labels "auto"
 * counts, N / (classes * count), or NULL; `recorded` [student->classes]: the weights of the run that goes on, or NULL.
 * vt_loss_close frees it, after a failure too. */
vt_status vt_loss_open(vt_loss_options *loss, const vt_loss_flags *flags, const vt_model_config *student,
                       const vt_dataset *data, const float *recorded);
void vt_loss_close(vt_loss_options *loss);

#endif
