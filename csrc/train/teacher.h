/* train/teacher.h - the inside of the public vt_teacher: a model with a store of its own in the student's step graph.
 *
 * It is built in evaluation mode on the student's images, normalised its own way, before the student: its activations
 * are dead when the student's begin. Its weights have no gradient and are no part of what a checkpoint or the EMA
 * holds. Where activations are bf16, what its GEMMs read is rounded once, when it is loaded; what LayerScale scales,
 * each step. */
#ifndef VT_TRAIN_TEACHER_H
#define VT_TRAIN_TEACHER_H

#include "data/dataset.h"
#include "graph/exec.h"
#include "models/models.h"
#include "vitc/train.h"

/* VT_INVALID where it cannot teach this student: other images or classes. `data`: the student's, whose classes must
 * have the names that a checkpoint of vitc records; NULL: not looked at. */
vt_status vt_teacher_check(const vt_teacher *teacher, const vt_model_config *student, const vt_dataset *data);

/* Puts its weights on the device; it can be on one at a time. */
vt_status vt_teacher_load(vt_teacher *teacher, vt_device *device);
void vt_teacher_unload(vt_teacher *teacher); /* one that was not loaded too */
size_t vt_teacher_bytes(const vt_teacher *teacher, vt_precision precision); /* that loading takes */

/* Its logits [B, classes] of images [B, H, W, C], the mean of both heads where it has two: what vt_model_build takes,
 * loaded or not. effects: the student's, so that both see the same images; or NULL. */
vt_tensor *vt_teacher_build(const vt_teacher *teacher, vt_graph *g, vt_tensor *images, const vt_effects *effects);

#endif
